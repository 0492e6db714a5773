//! Commits, merges, expiry, orphans and copies, by hand.

use super::super::snapshot::Scan;
use super::super::{Levels, MemoryPages, PageBatch, PageStore, StoreError, TableId, VALUE_BYTES_MAX};
use super::super::{LevelsOptions, LevelsReader, Snapshot};
use super::{MEMBERS, ORDERS, SPECS, all, down, filled, merge_all, never, open, up};

fn runs(levels: &Levels) -> u64 {
    levels.reader().snapshot().stats()[0].runs
}

#[test]
fn the_last_change_of_a_key_wins() {
    let pages = MemoryPages::default();
    let mut levels = open(&pages);
    assert_eq!(levels.head(), None);
    for value in [b"a", b"b", b"c"] {
        levels.put(ORDERS, &[0, 1], value);
        levels.put(ORDERS, &[0, 2], value);
        levels.put(MEMBERS, &[9; 18], value);
    }
    levels.remove(ORDERS, &[0, 2]);
    levels.remove(ORDERS, &[0, 3]);
    assert!(all(&levels.reader().snapshot(), ORDERS).is_empty(), "nothing is visible before the commit");
    let report = levels.commit(b"head").unwrap();
    assert_eq!(report.entries, 4);
    let snapshot = levels.reader().snapshot();
    assert_eq!(all(&snapshot, ORDERS), [(vec![0, 1], b"c".to_vec())]);
    assert_eq!(all(&snapshot, MEMBERS), [(vec![9; 18], b"c".to_vec())]);
    assert_eq!(snapshot.get(ORDERS, &[0, 2]).unwrap(), None);
    assert_eq!(levels.head().as_deref(), Some(b"head".as_slice()));
    assert_eq!(levels.staged_bytes(), 0);
}

#[test]
fn values_from_empty_to_the_largest_are_kept() {
    let pages = MemoryPages::default();
    let mut levels = Levels::open(Box::new(pages), SPECS, LevelsOptions::default()).unwrap();
    let lens = [0, 1, 1_000, 40 << 10, VALUE_BYTES_MAX, 3];
    for (key, len) in lens.into_iter().enumerate() {
        levels.put(ORDERS, &[0, key as u8], &vec![key as u8; len]);
    }
    levels.commit(b"").unwrap();
    let snapshot = levels.reader().snapshot();
    for (key, len) in lens.into_iter().enumerate() {
        assert_eq!(snapshot.get(ORDERS, &[0, key as u8]).unwrap(), Some(vec![key as u8; len]));
    }
    assert_eq!(snapshot.stats()[0].pages, 4, "large ones have pages of their own");
    assert_eq!(snapshot.head(), Some([].as_slice()));
}

#[test]
fn merges_leave_few_runs_and_the_same_entries() {
    let (pages, mut levels) = filled(33);
    assert_eq!(runs(&levels), 33);
    let before = all(&levels.reader().snapshot(), ORDERS);
    assert_eq!(before.len(), 33 * 4 + 4);
    let mut steps = 0;
    while levels.merge_step(100, &never).unwrap().more {
        steps += 1;
        assert_eq!(all(&levels.reader().snapshot(), ORDERS), before);
    }
    assert!(steps > 10, "a step is a bounded piece: {steps}");
    assert!(runs(&levels) <= 2, "{} runs", runs(&levels));
    let levels = open(&pages.after_crash());
    assert_eq!(all(&levels.reader().snapshot(), ORDERS), before);
    assert_eq!(levels.head().as_deref(), Some([0, 32].as_slice()), "merges leave the head");
}

#[test]
fn looking_keys_up_in_sequence_searches_for_each_page_once() {
    let (pages, levels) = filled(33);
    let snapshot = levels.reader().snapshot();
    let before = all(&snapshot, ORDERS);
    let stored = snapshot.stats()[0].pages;
    let mut finder = snapshot.finder(ORDERS);
    let from = pages.searches();
    for (key, value) in &before {
        assert_eq!(finder.get(key).unwrap(), Some(value.as_slice()));
    }
    let searches = pages.searches() - from;
    assert!(searches <= stored && before.len() as u64 > stored, "{searches} searches, {stored} pages");
    assert_eq!(finder.get(&[0xff, 0xff]).unwrap(), None);
    let from = pages.searches();
    for _ in 0..100 {
        assert_eq!(finder.get(&[0, 0]).unwrap(), Some(before[0].1.as_slice()));
    }
    assert_eq!(pages.searches() - from, 1, "the same key again");
}

#[test]
fn a_large_merge_does_not_hold_up_a_small_one() {
    let (_, mut levels) = filled(2);
    levels.merge_step(10, &never).unwrap();
    for key in 0..4_u16 {
        levels.put(MEMBERS, &[key as u8; 18], &[1; 30]);
        levels.commit(b"").unwrap();
        // One step at a time, while orders are being merged too.
        levels.merge_step(60, &never).unwrap();
    }
    merge_all(&mut levels);
    assert_eq!(all(&levels.reader().snapshot(), MEMBERS).len(), 4);
    assert_eq!(all(&levels.reader().snapshot(), ORDERS).len(), 12);
}

#[test]
fn entries_expire_only_with_the_oldest_run() {
    let is_old = |table: TableId, _: &[u8], value: &[u8]| table == ORDERS && value == b"old";
    let (_, mut levels) = filled(0);
    for key in 0..4_u16 {
        levels.put(ORDERS, &key.to_be_bytes(), b"new");
        levels.put(ORDERS, &(100 + key).to_be_bytes(), b"new");
        levels.commit(b"").unwrap();
        merge_all(&mut levels);
    }
    let oldest = runs(&levels);
    // Now two younger runs that are merged without the oldest.
    levels.put(ORDERS, &[0, 0], b"old");
    levels.commit(b"").unwrap();
    levels.remove(ORDERS, &[0, 1]);
    levels.commit(b"").unwrap();
    while levels.merge_step(1 << 20, &is_old).unwrap().more {}
    let snapshot = levels.reader().snapshot();
    assert_eq!(runs(&levels), oldest + 1);
    assert_eq!(snapshot.get(ORDERS, &[0, 0]).unwrap().as_deref(), Some(b"old".as_slice()));
    assert_eq!(snapshot.get(ORDERS, &[0, 1]).unwrap(), None, "an older entry stays hidden");
    assert_eq!(snapshot.stats()[0].entries, 8 + 2);
    drop(snapshot);

    // More commits of the same kind, until the oldest run takes part.
    let commits = (0..64).take_while(|_| {
        levels.put(ORDERS, &[0, 0], b"old");
        levels.commit(b"").unwrap();
        while levels.merge_step(1 << 20, &is_old).unwrap().more {}
        runs(&levels) > 1
    });
    assert!(commits.count() < 64);
    let snapshot = levels.reader().snapshot();
    assert_eq!(snapshot.get(ORDERS, &[0, 0]).unwrap(), None);
    assert_eq!(snapshot.get(ORDERS, &[0, 1]).unwrap(), None);
    assert_eq!(
        (all(&snapshot, ORDERS).len(), snapshot.stats()[0].entries),
        (6, 6),
        "not even removals are left"
    );
}

#[test]
fn a_table_can_become_empty() {
    let (pages, mut levels) = filled(2);
    for key in 0..12_u16 {
        levels.remove(ORDERS, &key.to_be_bytes());
    }
    levels.commit(b"end").unwrap();
    merge_all(&mut levels);
    while runs(&levels) > 0 {
        levels.remove(ORDERS, &[0, 0]);
        levels.commit(b"end").unwrap();
        merge_all(&mut levels);
    }
    assert_eq!(pages.keys(), [Box::from(b"h".as_slice()), Box::from(b"m".as_slice())]);
}

#[test]
fn snapshots_keep_their_pages() {
    let (pages, mut levels) = filled(4);
    let snapshot = levels.reader().snapshot();
    let before = all(&snapshot, ORDERS);
    let mut scan = snapshot.scan(ORDERS, &[], None);
    scan.next().unwrap();
    for key in 0..20_u16 {
        levels.remove(ORDERS, &key.to_be_bytes());
    }
    levels.commit(b"").unwrap();
    merge_all(&mut levels);
    levels.commit(b"").unwrap();
    assert_eq!(all(&snapshot, ORDERS), before);
    drop(snapshot);
    let held = pages.keys().len();
    let mut rest = 1;
    while scan.next().unwrap().is_some() {
        rest += 1;
    }
    assert_eq!(rest, before.len(), "a scan holds its snapshot");
    drop(scan);
    assert!(levels.merge_step(1, &never).unwrap().more, "pages are removed a few at a time");
    merge_all(&mut levels);
    assert!(pages.keys().len() < held);
}

#[test]
fn what_an_interrupted_merge_left_is_removed() {
    let (pages, mut levels) = filled(2);
    levels.merge_step(60, &never).unwrap();
    let after = pages.after_crash();
    let left = after.keys().len();
    let named: u64 = levels.reader().snapshot().stats().iter().map(|table| table.pages).sum();
    assert!(left as u64 > named + 2, "the merge wrote a page");
    let mut levels = open(&after);
    let before = all(&levels.reader().snapshot(), ORDERS);
    levels.commit(b"").unwrap();
    assert_eq!(after.keys().len() as u64, named + 2);
    merge_all(&mut levels);
    assert_eq!(all(&levels.reader().snapshot(), ORDERS), before);
}

#[test]
fn an_unfinished_first_commit_leaves_nothing() {
    let mut pages = MemoryPages::default();
    let mut batch = PageBatch::default();
    batch.put([b"p".as_slice(), &[1], &9_u64.to_be_bytes(), &[0, 0]].concat(), vec![1, 2, 3]);
    pages.commit(batch).unwrap();
    let mut levels = open(&pages);
    assert_eq!(levels.head(), None);
    levels.put(ORDERS, &[0, 0], b"x");
    levels.commit(b"").unwrap();
    assert_eq!(pages.keys().len(), 3);
    assert!(pages.keys()[2][2..10] == 10_u64.to_be_bytes(), "its number isn't used again");
}

#[test]
fn a_failed_commit_leaves_what_was_there() {
    let (pages, mut levels) = filled(3);
    let before = all(&levels.reader().snapshot(), ORDERS);
    pages.fail_commit_at(pages.commits() + 1);
    levels.put(ORDERS, &[0, 0], b"lost");
    assert!(matches!(levels.commit(b"lost"), Err(StoreError::Io { .. })));
    assert!(matches!(levels.commit(b"lost"), Err(StoreError::Stopped)));
    assert!(matches!(levels.merge_step(1, &never), Err(StoreError::Stopped)));
    for levels in [&levels, &open(&pages.after_crash())] {
        assert_eq!(levels.head().as_deref(), Some([0, 2].as_slice()));
        assert_eq!(all(&levels.reader().snapshot(), ORDERS), before);
    }
}

#[test]
fn a_large_commit_goes_in_pieces_and_fails_as_a_whole() {
    for fail_at in 1..=3 {
        let pages = MemoryPages::default();
        let mut levels = Levels::open(Box::new(pages.clone()), SPECS, LevelsOptions::default()).unwrap();
        for key in 0..64_u16 {
            levels.put(ORDERS, &key.to_be_bytes(), &[7; VALUE_BYTES_MAX]);
        }
        assert!(levels.staged_bytes() >= 64 * VALUE_BYTES_MAX);
        pages.fail_commit_at(fail_at);
        levels.commit(b"").unwrap_err();
        let after = pages.after_crash();
        let mut levels = open(&after);
        assert!(levels.head().is_none() && all(&levels.reader().snapshot(), ORDERS).is_empty());
        merge_all(&mut levels);
        assert!(after.keys().is_empty());
    }
}

#[test]
fn staging_is_bounded_by_what_is_staged() {
    let (_, mut levels) = filled(0);
    for key in 0..1_000_u16 {
        levels.put(ORDERS, &key.to_be_bytes(), &[1; 100]);
    }
    assert!((102_000..=102_000 + 1_000 * 32).contains(&levels.staged_bytes()), "{}", levels.staged_bytes());
    levels.commit(b"").unwrap();
    assert_eq!(levels.staged_bytes(), 0);
}

#[test]
fn a_copy_equals_its_source() {
    let (_, mut levels) = filled(9);
    levels.put(MEMBERS, &[3; 18], b"member");
    levels.commit(b"the head").unwrap();
    levels.merge_step(200, &never).unwrap();
    let snapshot = levels.reader().snapshot();
    let mut target = MemoryPages::default();
    let mut copied = 0;
    snapshot.copy_to(&mut target, &mut |bytes| copied = bytes).unwrap();
    assert_eq!(copied, snapshot.stats().iter().map(|table| table.bytes).sum::<u64>());
    assert!(matches!(snapshot.copy_to(&mut target, &mut |_| {}), Err(StoreError::NotEmpty)));
    let mut copy = open(&target);
    assert_eq!(copy.head().as_deref(), Some(b"the head".as_slice()));
    for table in [ORDERS, MEMBERS] {
        assert_eq!(all(&copy.reader().snapshot(), table), all(&snapshot, table));
    }
    copy.put(ORDERS, &[0, 0], b"on its own");
    copy.commit(b"next").unwrap();
    merge_all(&mut copy);
    assert_eq!(up(&copy.reader().snapshot(), ORDERS, &[0, 0], Some(&[0, 1])).len(), 1);
}

#[test]
fn both_ends_of_the_key_space_can_be_scanned() {
    let (_, mut levels) = filled(0);
    for key in [0, 1, 0x00ff, 0x0100, 0xfffe, 0xffff_u16] {
        for _ in 0..3 {
            levels.put(ORDERS, &key.to_be_bytes(), &[5; 60]);
        }
    }
    levels.commit(b"").unwrap();
    let snapshot = levels.reader().snapshot();
    assert_eq!(snapshot.stats()[0].pages, 6);
    let keys = |found: Vec<(Vec<u8>, Vec<u8>)>| found.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(down(&snapshot, ORDERS, &[0, 1], Some(&[1, 0]))), [[0, 0xff], [0, 1]]);
    assert_eq!(keys(down(&snapshot, ORDERS, &[], Some(&[0xff, 0xff]))).len(), 5);
    assert_eq!(keys(up(&snapshot, ORDERS, &[0xff, 0xff], None)), [[0xff, 0xff]]);
    assert_eq!(keys(up(&snapshot, ORDERS, &[], Some(&[0, 0]))), Vec::<Vec<u8>>::new());
    assert_eq!(keys(up(&snapshot, ORDERS, &[0, 2], Some(&[0xff]))), [[0, 0xff], [1, 0]]);
}

#[test]
fn readers_go_to_other_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    fn is_sent<T: Send + 'static>() {}
    is_shared::<LevelsReader>();
    is_shared::<Snapshot>();
    is_sent::<Scan>();
    is_sent::<Levels>();
}
