//! Crashes at any moment: what is there afterwards is the state of one commit, with its position.

use std::fs;

use super::*;
use crate::projection::search::Generations;
use crate::projection::search::schema::SCHEMA_VERSION;

/// A copy of an index's files as they are at this moment, as a killed process leaves them.
fn left_behind(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(dir).unwrap() {
        let from = entry.unwrap().path();
        // A file may go away while it is being copied: a merge has made it superfluous.
        if from.extension().is_none_or(|extension| extension != "lock") {
            let _ = fs::copy(&from, copy.path().join(from.file_name().unwrap()));
        }
    }
    copy
}

fn numbers<'o>(orders: impl Iterator<Item = &'o Order>) -> Vec<u64> {
    let mut numbers: Vec<u64> = orders.map(|order| order.order_no.get()).collect();
    numbers.sort_unstable();
    numbers
}

/// Goes on from the index's own position to the end, as the follower does: the orders that the steps behind it touched.
fn go_on(index: &mut Index, steps: &[(Position, Vec<Order>)]) {
    let mut position = index.reader().position();
    for (up_to, orders) in steps {
        if *up_to > position {
            index.put(orders, position).unwrap();
            position = *up_to;
        }
    }
    index.commit(position, START_MS).unwrap();
}

#[test]
fn killed_between_put_and_commit_and_at_a_commit_each_order_has_one_document() {
    let seed = 7;
    let random = &mut Random(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut index = create(dir.path());
    index.commit(Position(0), START_MS).unwrap();
    let mut orders = Orders::new();
    let mut steps: Vec<(Position, Vec<Order>)> = Vec::new();
    let mut kept = Vec::new();
    for step in 0..40_u64 {
        let position = Position(step * 10);
        let mut batch: Vec<Order> = (position.0 + 1..=position.0 + 10).map(|n| order(n, random)).collect();
        for order in orders.values().filter(|_| random.below(5) == 0).collect::<Vec<_>>() {
            let mut order = order.clone();
            change(&mut order, random);
            batch.push(order);
        }
        orders.extend(batch.iter().map(|order| (order.order_no, order.clone())));
        index.put(&batch, position).unwrap();
        steps.push((Position(position.0 + 10), batch));
        if step % 8 == 5 {
            // Put, not committed: the process is killed, or stops without a word and comes back.
            kept.push(left_behind(dir.path()));
            if step == 21 {
                drop(index);
                index = open(dir.path());
                go_on(&mut index, &steps);
                continue;
            }
        }
        if step % 3 == 0 {
            index.commit(Position(position.0 + 10), START_MS).unwrap();
            kept.push(left_behind(dir.path()));
        }
    }
    go_on(&mut index, &steps);
    assert_eq!(index.reader().position(), Position(400));
    assert_eq!(found(&index, &Expr::All), numbers(orders.values()), "seed {seed}");
    assert!(kept.len() >= 15);
    for (nth, copy) in kept.iter().enumerate() {
        let Ok(mut index) = Index::open(copy.path(), Arc::new(Shelf), MEMORY_BYTES) else {
            // Copied while a merge was removing files: told, never half of it.
            continue;
        };
        let position = index.reader().position();
        let until_then = orders.values().filter(|order| order.created_position <= position);
        assert_eq!(found(&index, &Expr::All), numbers(until_then), "copy {nth} at {position}");
        go_on(&mut index, &steps);
        assert_eq!(found(&index, &Expr::All), numbers(orders.values()), "copy {nth} from {position}");
        for status in OrderStatus::ALL {
            let in_state = orders.values().filter(|order| order.status == status);
            assert_eq!(found(&index, &Expr::Status(status)), numbers(in_state), "copy {nth} from {position}");
        }
    }
}

/// The library numbers what is done to an index, from the last commit's own number on after a restart. A first deletion
/// with that number was passed over by a merge of segments of which some had deletions of that commit.
#[test]
fn what_is_replaced_first_after_a_restart_is_replaced_also_where_segments_are_merged_meanwhile() {
    let random = &mut Random(5);
    let dir = tempfile::tempdir().unwrap();
    let mut index = create(dir.path());
    index.set_merging_waits(true);
    let mut orders: Vec<Order> = Vec::new();
    let mut position = Position(0);
    for segment in 0..12_u64 {
        // The first is the largest: the merge goes by what was deleted in it.
        let len = if segment == 0 { 40 } else { 10 };
        let mut batch: Vec<Order> = (1..=len).map(|n| order(position.0 + n, random)).collect();
        orders.extend(batch.iter().cloned());
        if segment == 11 {
            // The last commit deletes in all but the first.
            batch.extend(orders[40..140].iter().step_by(10).cloned());
        }
        index.put(&batch, position).unwrap();
        position = Position(position.0 + len);
        index.commit(position, START_MS).unwrap();
    }
    drop(index);
    let mut index = open(dir.path());
    let replaced: Vec<Order> = orders.iter().step_by(2).cloned().collect();
    index.put(&replaced, position).unwrap();
    index.commit(position, START_MS).unwrap();
    index.close().unwrap();
    assert_eq!(found(&open(dir.path()), &Expr::All), numbers(orders.iter()));
}

#[test]
fn an_incomplete_or_damaged_generation_gives_way_to_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let generations = Generations::new(&dir.path().join("search"));
    let goods: Arc<dyn Goods> = Arc::new(Shelf);
    let open = || {
        let mut unusable = 0;
        let opened = generations.open(&goods, MEMORY_BYTES, &mut |_| unusable += 1);
        (opened.map(|(number, index)| (number, found(&index, &Expr::All).len())), unusable)
    };
    assert_eq!(open(), (None, 0));
    let (number, mut index) = generations.create(&goods, MEMORY_BYTES).unwrap();
    index.put(&[order(1, &mut Random(1))], Position(0)).unwrap();
    index.commit(Position(1), START_MS).unwrap();
    drop(index);
    let (second, mut incomplete) = generations.create(&goods, MEMORY_BYTES).unwrap();
    incomplete.put(&[order(2, &mut Random(1))], Position(0)).unwrap();
    drop(incomplete);
    assert_eq!((number, second), (1, 2));
    assert_eq!(open(), (Some((1, 1)), 1), "the second was never committed");
    assert!(!dir.path().join("search/2").exists());

    let (third, mut index) = generations.create(&goods, MEMORY_BYTES).unwrap();
    index.commit(Position(1), START_MS).unwrap();
    drop(index);
    assert_eq!((third, open()), (2, (Some((2, 0)), 0)), "the newest that is complete");
    assert!(!dir.path().join("search/1").exists());
    assert!(generations.bytes_on_disk(2) > 0);

    fs::write(dir.path().join("search/2/meta.json"), b"{").unwrap();
    assert_eq!(open(), (None, 1));
    assert!(!dir.path().join("search/2").exists());
}

#[test]
fn an_index_of_another_release_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = create(dir.path());
    index.commit(Position(3), START_MS).unwrap();
    index.close().unwrap();
    assert_eq!(open(dir.path()).reader().position(), Position(3));
    let meta = dir.path().join("meta.json");
    let text = fs::read_to_string(&meta).unwrap();
    let ours = format!("stockade {SCHEMA_VERSION} 3");
    for other in ["stockade 0 3", "other 2 3"] {
        fs::write(&meta, text.replace(&ours, other)).unwrap();
        let error = Index::open(dir.path(), Arc::new(Shelf), MEMORY_BYTES).err().unwrap();
        assert!(error.to_string().contains("another release"), "{error}");
    }
}
