//! The same tables on a disk.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::pages::{PageBatch, PageStore};
use super::super::{Levels, LevelsOptions, SledPages, StoreError, VALUE_BYTES_MAX};
use super::{MEMBERS, ORDERS, SPECS, all, down, merge_all, never};

fn open(path: &Path) -> Levels {
    let pages = SledPages::open(path, 16 << 20).unwrap();
    let options = LevelsOptions { page_bytes: 4 << 10, fan_in: 4, removes_max: 64 };
    Levels::open(Box::new(pages), SPECS, options).unwrap()
}

#[test]
fn tables_survive_on_disk_without_blobs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut levels = open(&path);
    for commit in 0..6_u8 {
        for key in 0..100_u16 {
            levels.put(ORDERS, &(key * 7).to_be_bytes(), &[commit; 100]);
        }
        levels.put(MEMBERS, &[commit; 18], &[commit; VALUE_BYTES_MAX]);
        levels.put(MEMBERS, &[100 + commit; 18], &[commit; 31 << 10]);
        levels.commit(&[commit]).unwrap();
        levels.merge_step(20_000, &never).unwrap();
    }
    merge_all(&mut levels);
    let check = |levels: &Levels| {
        assert_eq!(levels.head().as_deref(), Some([5].as_slice()));
        let snapshot = levels.reader().snapshot();
        let orders = all(&snapshot, ORDERS);
        assert_eq!(orders.len(), 100);
        assert!(orders.iter().all(|(_, value)| *value == [5; 100]));
        let mut members = all(&snapshot, MEMBERS);
        assert_eq!(members.len(), 12);
        members.reverse();
        assert_eq!(down(&snapshot, MEMBERS, &[], None), members);
        assert_eq!(snapshot.get(MEMBERS, &[3; 18]).unwrap(), Some(vec![3; VALUE_BYTES_MAX]));
        assert_eq!(snapshot.get(MEMBERS, &[50; 18]).unwrap(), None);
    };
    check(&levels);
    assert!(levels.reader().bytes_on_disk() > 0);

    let target_path = dir.path().join("copy");
    let mut target = SledPages::open(&target_path, 16 << 20).unwrap();
    levels.reader().snapshot().copy_to(&mut target, &mut |_| {}).unwrap();
    drop((target, levels));
    check(&open(&path));
    check(&open(&target_path));
    for path in [path, target_path] {
        let blobs = fs::read_dir(path.join("blobs")).map_or(0, Iterator::count);
        assert_eq!(blobs, 0, "blobs are never synced");
    }
}

#[test]
fn keys_without_pages_are_not_found_and_go_with_the_orphans() {
    let dir = tempfile::tempdir().unwrap();
    {
        // What a crash leaves of the first commit.
        let db = sled::Config::new().path(dir.path()).segment_size(16 << 20).open().unwrap();
        db.insert(b"m", b"").unwrap();
        db.insert(b"h", b"").unwrap();
        db.insert([b"p\x01".as_slice(), &3_u64.to_be_bytes(), &[0, 0]].concat(), b"").unwrap();
        db.flush().unwrap();
    }
    let mut levels = open(dir.path());
    assert_eq!(levels.head(), None);
    levels.put(ORDERS, &[0, 0], b"x");
    assert_eq!(levels.commit(b"head").unwrap().pages_removed, 1);
    assert_eq!(all(&levels.reader().snapshot(), ORDERS).len(), 1);
    drop(levels);
    assert_eq!(open(dir.path()).head().as_deref(), Some(b"head".as_slice()));
}

#[test]
fn a_store_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let _held = SledPages::open(dir.path(), 1 << 20).unwrap();
    let error = SledPages::open(dir.path(), 1 << 20).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}

#[test]
fn a_damaged_file_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut levels = open(dir.path());
    for key in 0..2_000_u16 {
        levels.put(ORDERS, &key.to_be_bytes(), &[9; 100]);
    }
    levels.commit(b"head").unwrap();
    drop(levels);
    let db = dir.path().join("db");
    let mut bytes = fs::read(&db).unwrap();
    let middle = bytes.windows(100).position(|window| window == [9; 100]).unwrap();
    bytes[middle + 50] ^= 1;
    fs::write(&db, bytes).unwrap();
    let read = SledPages::open(dir.path(), 1 << 20).and_then(|pages| {
        let levels = Levels::open(Box::new(pages), SPECS, LevelsOptions::default())?;
        let mut scan = levels.reader().snapshot().scan(ORDERS, &[], None);
        let mut entries = 0;
        while scan.next()?.is_some() {
            entries += 1;
        }
        Ok((levels.head().is_some(), entries))
    });
    // The database may cut off its tail at damage: then the head is gone too, which the owner compares.
    assert!(read.as_ref().map_or(true, |read| *read == (false, 0)), "{read:?}");
}

/// Names the directory to the process that only reads.
const TO_READ: &str = "STOCKADE_TEST_PAGES_TO_READ";

/// What that process reads: leaves of 16 pages.
const LEAVES: u32 = 2_000;
const LEAF_PAGES: u32 = 16;
const LEAF_PAGE_BYTES: usize = 4 << 10;

#[test]
fn r12_pages_that_were_read_once_do_not_stay_in_memory() {
    if let Some(path) = std::env::var_os(TO_READ) {
        return read_a_page_of_each_leaf(Path::new(&path));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut pages = SledPages::open(dir.path(), 1 << 20).unwrap();
    let keys: Vec<u32> = (0..LEAVES * LEAF_PAGES).collect();
    for keys in keys.chunks(512) {
        let mut batch = PageBatch::default();
        for key in keys {
            batch.put(key.to_be_bytes(), vec![*key as u8; LEAF_PAGE_BYTES]);
        }
        pages.commit(batch).unwrap();
    }
    drop(pages);
    // Memory is the process's: nobody else may take any meanwhile.
    let (program, thread) = (std::env::current_exe().unwrap(), std::thread::current());
    let mut alone = Command::new(program);
    alone.args(["--exact", thread.name().unwrap(), "--nocapture"]).env(TO_READ, dir.path());
    let output = alone.output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn read_a_page_of_each_leaf(path: &Path) {
    let pages = SledPages::open(path, 1 << 20).unwrap().reader();
    let before = resident_bytes();
    for leaf in 0..LEAVES {
        let key = (leaf * LEAF_PAGES).to_be_bytes();
        let found = if leaf % 2 == 0 {
            pages.get(&key).unwrap().is_some()
        } else {
            pages.floor(&[0; 4], &key).unwrap().is_some()
        };
        assert!(found);
    }
    // The last leaf of each of the cache's 256 parts stays, and garbage that is on its way.
    let (taken, stored) = (resident_bytes() - before, (LEAVES * LEAF_PAGES) as usize * LEAF_PAGE_BYTES);
    println!("taken {taken} of {stored}");
    assert!(taken < stored / 8, "{taken} bytes of {stored} stay in memory");
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix("kB"));
    kib.unwrap().trim().parse::<usize>().unwrap() << 10
}
