//! Random operations, compared with ordered maps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Levels, MemoryPages, Snapshot, TableId};
use super::{MEMBERS, ORDERS, down, merge_all, never, open, up};

#[derive(Clone, Debug)]
enum Operation {
    Put { long: bool, key: u8, value_len: u8 },
    Remove { long: bool, key: u8 },
    Commit,
    Merge { bytes_max: usize },
    Reopen,
    FailedCommit,
    Take,
    Drop,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => (any::<bool>(), 0..40_u8, 0..90_u8)
            .prop_map(|(long, key, value_len)| Operation::Put { long, key, value_len }),
        4 => (any::<bool>(), 0..40_u8).prop_map(|(long, key)| Operation::Remove { long, key }),
        5 => Just(Operation::Commit),
        5 => (1..400_usize).prop_map(|bytes_max| Operation::Merge { bytes_max }),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::FailedCommit),
        1 => Just(Operation::Take),
        1 => Just(Operation::Drop),
    ]
}

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// What should be in both tables, and the head.
#[derive(Clone, Debug, Default)]
struct Model {
    tables: [Table; 2],
    head: Option<Vec<u8>>,
}

fn key_of(long: bool, key: u8) -> (TableId, Vec<u8>) {
    if long {
        // Keys that differ before, and only behind, the part that comparisons keep.
        let mut bytes = vec![0; 18];
        (bytes[0], bytes[17]) = (key / 8, key % 8);
        (MEMBERS, bytes)
    } else {
        (ORDERS, vec![key / 16, key % 16])
    }
}

fn check(snapshot: &Snapshot, model: &Model) {
    assert_eq!(snapshot.head(), model.head.as_deref());
    for (long, table) in [(false, &model.tables[0]), (true, &model.tables[1])] {
        let (id, _) = key_of(long, 0);
        for (low, high) in [(0, None), (7, None), (0, Some(21)), (5, Some(30)), (9, Some(9)), (12, Some(3))] {
            let (low, high) = (key_of(long, low).1, high.map(|high| key_of(long, high).1));
            let mut expected: Vec<_> = table
                .iter()
                .filter(|(key, _)| **key >= low && high.as_ref().is_none_or(|high| *key < high))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            assert_eq!(up(snapshot, id, &low, high.as_deref()), expected);
            expected.reverse();
            assert_eq!(down(snapshot, id, &low, high.as_deref()), expected);
        }
        // Bounds shorter than keys.
        let found = |key: &&Vec<u8>| key[0] == 1;
        assert_eq!(up(snapshot, id, &[1], Some(&[2])).len(), table.keys().filter(found).count());
        assert_eq!(down(snapshot, id, &[1], Some(&[2])).len(), table.keys().filter(found).count());
        let mut finder = snapshot.finder(id);
        for key in 0..40 {
            let (id, key) = key_of(long, key);
            assert_eq!(snapshot.get(id, &key).unwrap().as_ref(), table.get(&key));
            assert_eq!(finder.get(&key).unwrap(), table.get(&key).map(Vec::as_slice));
        }
        // In any other sequence, too.
        for step in 0..40_u16 {
            let (_, key) = key_of(long, (step * 27 % 40) as u8);
            assert_eq!(finder.get(&key).unwrap(), table.get(&key).map(Vec::as_slice));
        }
    }
}

struct Run {
    pages: MemoryPages,
    levels: Levels,
    staged: Model,
    committed: Model,
    snapshots: Vec<(Snapshot, Model)>,
    step: u8,
}

impl Run {
    fn apply(&mut self, operation: Operation) {
        self.step = self.step.wrapping_add(1);
        match operation {
            Operation::Put { long, key, value_len } => {
                let (id, key) = key_of(long, key);
                let value = vec![self.step; value_len.into()];
                self.levels.put(id, &key, &value);
                self.staged.tables[usize::from(long)].insert(key, value);
            }
            Operation::Remove { long, key } => {
                let (id, key) = key_of(long, key);
                self.levels.remove(id, &key);
                self.staged.tables[usize::from(long)].remove(&key);
            }
            Operation::Commit => {
                let head = vec![self.step];
                self.levels.commit(&head).unwrap();
                self.staged.head = Some(head);
                self.committed = self.staged.clone();
            }
            Operation::Merge { bytes_max } => {
                self.levels.merge_step(bytes_max, &never).unwrap();
            }
            Operation::Reopen => {
                self.pages = self.pages.after_crash();
                self.reopen();
            }
            Operation::FailedCommit => {
                self.pages.fail_commit_at(self.pages.commits() + 1);
                self.levels.commit(b"lost").unwrap_err();
                self.levels.commit(b"stopped").unwrap_err();
                self.levels.merge_step(100, &never).unwrap_err();
                check(&self.levels.reader().snapshot(), &self.committed);
                self.pages = self.pages.after_crash();
                self.reopen();
            }
            Operation::Take => self.snapshots.push((self.levels.reader().snapshot(), self.committed.clone())),
            Operation::Drop => drop(self.snapshots.pop()),
        }
    }

    fn reopen(&mut self) {
        // Snapshots belong to the store before.
        self.snapshots.clear();
        self.levels = open(&self.pages);
        self.staged = self.committed.clone();
        check(&self.levels.reader().snapshot(), &self.committed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables_agree_with_maps(operations in prop::collection::vec(operation(), 1..160)) {
        let pages = MemoryPages::default();
        let levels = open(&pages);
        let (staged, committed) = (Model::default(), Model::default());
        let mut run = Run { pages, levels, staged, committed, snapshots: Vec::new(), step: 0 };
        for operation in operations {
            run.apply(operation);
        }
        for (snapshot, model) in &run.snapshots {
            check(snapshot, model);
        }
        check(&run.levels.reader().snapshot(), &run.committed);
        run.snapshots.clear();
        merge_all(&mut run.levels);
        let snapshot = run.levels.reader().snapshot();
        check(&snapshot, &run.committed);
        let pages: u64 = snapshot.stats().iter().map(|table| table.pages).sum();
        let manifest_and_head = u64::from(snapshot.head().is_some()) * 2;
        prop_assert_eq!(run.pages.keys().len() as u64, pages + manifest_and_head, "nothing else is left");
    }
}
