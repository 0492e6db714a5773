//! Tests of the tables: against a model, by hand, over damage, and on a disk.

mod behaviour;
mod damage;
mod golden;
mod model;
mod on_disk;

use super::{Levels, LevelsOptions, MemoryPages, Snapshot, TableId, TableSpec};

const ORDERS: TableId = TableId(1);
const MEMBERS: TableId = TableId(7);

static SPECS: &[TableSpec] = &[
    TableSpec { id: ORDERS, name: "orders", key_len: 2 },
    // Longer than what comparisons keep of a key.
    TableSpec { id: MEMBERS, name: "members", key_len: 18 },
];

/// So small that a few entries make a page, and a few commits a level.
const SMALL: LevelsOptions = LevelsOptions { page_bytes: 64, fan_in: 2, removes_max: 5 };

fn open(pages: &MemoryPages) -> Levels {
    Levels::open(Box::new(pages.clone()), SPECS, SMALL).unwrap()
}

fn never(_: TableId, _: &[u8], _: &[u8]) -> bool {
    false
}

fn merge_all(levels: &mut Levels) {
    while levels.merge_step(1 << 20, &never).unwrap().more {}
}

fn up(snapshot: &Snapshot, table: TableId, low: &[u8], high: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut scan = snapshot.scan(table, low, high);
    let mut found = Vec::new();
    while let Some((key, value)) = scan.next().unwrap() {
        found.push((key.to_vec(), value.to_vec()));
    }
    assert!(scan.next().unwrap().is_none(), "it stays at its end");
    found
}

fn down(snapshot: &Snapshot, table: TableId, low: &[u8], high: Option<&[u8]>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut scan = snapshot.scan_back(table, low, high);
    let mut found = Vec::new();
    while let Some((key, value)) = scan.next().unwrap() {
        found.push((key.to_vec(), value.to_vec()));
    }
    assert!(scan.next().unwrap().is_none(), "it stays at its end");
    found
}

fn all(snapshot: &Snapshot, table: TableId) -> Vec<(Vec<u8>, Vec<u8>)> {
    up(snapshot, table, &[], None)
}

/// A store with `commits` commits of eight orders each, every second key overwritten by the next commit.
fn filled(commits: u16) -> (MemoryPages, Levels) {
    let pages = MemoryPages::default();
    let mut levels = open(&pages);
    for commit in 0..commits {
        for key in 0..8 {
            levels.put(ORDERS, &(commit * 4 + key).to_be_bytes(), &[commit as u8; 10]);
        }
        levels.commit(&commit.to_be_bytes()).unwrap();
    }
    (pages, levels)
}
