//! The stored bytes, frozen: a change here is a change of format and needs a new version.

use super::super::{Levels, MemoryPages, PageRead, VALUE_BYTES_MAX};
use super::{ORDERS, SMALL, SPECS};

fn hex(pages: &MemoryPages, key: &[u8]) -> String {
    let bytes = pages.get(key).unwrap().unwrap();
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn pages_and_the_manifest_have_their_bytes() {
    let pages = MemoryPages::default();
    let mut levels = Levels::open(Box::new(pages.clone()), SPECS, SMALL).unwrap();
    levels.put(ORDERS, &[0, 1], b"one");
    levels.remove(ORDERS, &[0, 2]);
    levels.put(ORDERS, &[1, 0], &[0xee; 30]);
    levels.commit(b"head").unwrap();
    let keys = pages.keys();
    assert_eq!(keys[0][..], *b"h");
    assert_eq!(keys[1][..], *b"m");
    assert_eq!(keys[2][..], *b"p\x01\0\0\0\0\0\0\0\x01\0\x01");
    assert_eq!(keys[3][..], *b"p\x01\0\0\0\0\0\0\0\x01\x01\0");
    let first = "6c700101a8a5146b020000000200000001000001000203000000030000806f6e65";
    let second = "6c700100141c4277010000000200000001001e000000eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";
    let manifest = "6c6d0100bd2c512d02000000000000000100000001000100000000000000030000000000000002000000000000005500000000000000020000010100";
    assert_eq!(hex(&pages, &keys[2]), first);
    assert_eq!(hex(&pages, &keys[3]), second);
    assert_eq!(hex(&pages, b"m"), manifest);
    assert_eq!(hex(&pages, b"h"), "68656164");
}

#[test]
fn a_leaf_of_the_largest_pages_stays_out_of_blobs() {
    // 17 items in a leaf, which must stay below a quarter of a segment of 16 MiB; 1 KiB for key and header.
    const { assert!(17 * (VALUE_BYTES_MAX + 2_048) < 4 << 20) };
}
