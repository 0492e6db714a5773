//! Whatever is missing or changed is found by whoever reads it, and named.

use super::super::{Levels, MemoryPages, Snapshot, StoreError};
use super::{ORDERS, SMALL, SPECS, filled, never, open};

/// The keys of all pages, of one run with several.
fn page_keys(pages: &MemoryPages) -> Vec<Box<[u8]>> {
    pages.keys().into_iter().filter(|key| key[0] == b'p').collect()
}

fn scan_all(snapshot: &Snapshot) -> Result<usize, StoreError> {
    let mut scan = snapshot.scan(ORDERS, &[], None);
    let mut entries = 0;
    while scan.next()?.is_some() {
        entries += 1;
    }
    Ok(entries)
}

fn scan_all_back(snapshot: &Snapshot) -> Result<usize, StoreError> {
    let mut scan = snapshot.scan_back(ORDERS, &[], None);
    let mut entries = 0;
    while scan.next()?.is_some() {
        entries += 1;
    }
    Ok(entries)
}

fn assert_damaged<T: std::fmt::Debug>(what: &str, read: Result<T, StoreError>) {
    match read {
        Err(StoreError::Damaged { what: found }) => {
            assert!(found.contains("run 1 of table orders"), "{what}: {found}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn each_missing_page_is_noticed() {
    let (pages, levels) = filled(1);
    drop(levels);
    assert!(page_keys(&pages).len() >= 3);
    for missing in page_keys(&pages) {
        let pages = pages.after_crash();
        pages.tamper(&missing, None);
        let levels = open(&pages);
        let snapshot = levels.reader().snapshot();
        assert_damaged("scan", scan_all(&snapshot));
        assert_damaged("scan back", scan_all_back(&snapshot));
        assert_damaged("get", snapshot.get(ORDERS, &missing[10..]));
        let mut target = MemoryPages::default();
        assert_damaged("copy", snapshot.copy_to(&mut target, &mut |_| {}));
        assert!(open(&target).head().is_none());
    }
}

#[test]
fn each_changed_byte_is_noticed() {
    let (pages, levels) = filled(1);
    drop(levels);
    let key = page_keys(&pages)[0].clone();
    let page = super::super::PageRead::get(&pages, &key).unwrap().unwrap().as_ref().to_vec();
    for at in 0..page.len() {
        let pages = pages.after_crash();
        let mut changed = page.clone();
        changed[at] ^= 1;
        pages.tamper(&key, Some(changed));
        let snapshot = open(&pages).reader().snapshot();
        let error = snapshot.get(ORDERS, &[0, 0]).unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. } | StoreError::UnknownFormat { .. }),
            "{at}: {error}"
        );
        assert!(error.to_string().contains("run 1 of table orders"), "{at}: {error}");
        scan_all(&snapshot).unwrap_err();
    }
    for len in 0..page.len() {
        let pages = pages.after_crash();
        pages.tamper(&key, Some(page[..len].to_vec()));
        assert_damaged("cut off", open(&pages).reader().snapshot().get(ORDERS, &[0, 0]));
    }
}

#[test]
fn a_page_in_the_place_of_another_is_noticed() {
    let (pages, levels) = filled(1);
    drop(levels);
    let keys = page_keys(&pages);
    let page = super::super::PageRead::get(&pages, &keys[1]).unwrap().unwrap().as_ref().to_vec();
    pages.tamper(&keys[0], Some(page));
    assert_damaged("get", open(&pages).reader().snapshot().get(ORDERS, &[0, 0]));
}

#[test]
fn a_scan_ends_after_an_error() {
    let (pages, levels) = filled(1);
    drop(levels);
    pages.tamper(&page_keys(&pages)[1], None);
    let snapshot = open(&pages).reader().snapshot();
    let mut scan = snapshot.scan(ORDERS, &[], None);
    while scan.next().is_ok() {}
    assert!(scan.next().unwrap().is_none());
}

#[test]
fn a_merge_stops_at_damage() {
    let (pages, levels) = filled(2);
    drop(levels);
    pages.tamper(&page_keys(&pages)[1], None);
    let mut levels = open(&pages);
    assert_damaged("merge", levels.merge_step(1 << 20, &never));
    assert!(matches!(levels.commit(b""), Err(StoreError::Stopped)));
    assert_eq!(levels.reader().snapshot().stats()[0].runs, 2);
}

#[test]
fn manifest_and_head_go_together_and_are_checked() {
    let (pages, levels) = filled(2);
    drop(levels);
    let open = |pages: &MemoryPages| Levels::open(Box::new(pages.clone()), SPECS, SMALL).map(drop);
    for key in [b"m", b"h"] {
        let pages = pages.after_crash();
        pages.tamper(key, None);
        assert!(matches!(open(&pages), Err(StoreError::Damaged { .. })));
    }
    let manifest = super::super::PageRead::get(&pages, b"m").unwrap().unwrap().as_ref().to_vec();
    for at in (0..manifest.len()).filter(|at| *at != 3) {
        let pages = pages.after_crash();
        let mut changed = manifest.clone();
        changed[at] ^= 1;
        pages.tamper(b"m", Some(changed));
        let error = open(&pages).unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. } | StoreError::UnknownFormat { .. }),
            "{at}: {error}"
        );
    }
    let one = Levels::open(Box::new(pages.clone()), &SPECS[1..], SMALL).unwrap_err();
    assert!(one.to_string().contains("a table 1"), "{one}");
}
