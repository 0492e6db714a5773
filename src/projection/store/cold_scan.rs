//! All orders of all cold files, ascending by key and each once, as the latest file that has it says.
//!
//! Each file ascends by itself, so they are merged: of each file one block is in memory at a time, about 64 KiB, and
//! none of a file whose first order is still ahead. What the tables say of an order is not looked at here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::archive::{Archive, ColdFile, KEY_BYTES};
use crate::projection::levels::StoreError;

/// The key of an order: its slot and number.
pub(super) type Key = [u8; KEY_BYTES];

/// Where one file is being read.
struct Cursor {
    file: Arc<ColdFile>,
    /// The block to be read after the one at hand.
    next_block: u32,
    block: Vec<u8>,
    /// Where the next record begins in the block at hand.
    at: usize,
    records: u64,
}

impl Cursor {
    /// The record that comes next, and the key of the one behind it.
    fn take(&mut self) -> Result<(Key, Vec<u8>, Option<Key>), StoreError> {
        if self.at == self.block.len() {
            self.block = self.file.block_number(self.next_block)?;
            (self.at, self.next_block) = (0, self.next_block + 1);
        }
        let (key, record, end) = self.file.record_at(&self.block, self.at)?;
        let record = record.to_vec();
        self.at = end;
        self.records += 1;
        let behind = if end < self.block.len() {
            Some(self.file.record_at(&self.block, end)?.0)
        } else if self.next_block < self.file.blocks() {
            Some(self.file.first_key(self.next_block)?)
        } else {
            self.block = Vec::new();
            self.at = 0;
            None
        };
        if behind.is_some_and(|behind| behind <= key) {
            return Err(self.file.damaged("its orders are not in order"));
        }
        if behind.is_none() && self.records != self.file.orders() {
            return Err(self.file.damaged("orders are missing"));
        }
        Ok((key, record, behind))
    }
}

/// Reads all cold files that there were when it began.
pub(super) struct ColdScan {
    /// Oldest first.
    cursors: Vec<Cursor>,
    /// The key that comes next of each file; of one key the latest file comes first.
    next: BinaryHeap<(Reverse<Key>, usize)>,
}

impl ColdScan {
    /// Begins before the first order.
    pub(super) fn new(archive: Option<&Archive>) -> Result<Self, StoreError> {
        let files = archive.map(Archive::files).unwrap_or_default();
        let mut scan = Self { cursors: Vec::with_capacity(files.len()), next: BinaryHeap::new() };
        for file in files {
            if file.blocks() > 0 {
                scan.next.push((Reverse(file.first_key(0)?), scan.cursors.len()));
            }
            scan.cursors.push(Cursor { file, next_block: 0, block: Vec::new(), at: 0, records: 0 });
        }
        Ok(scan)
    }

    /// The next order's key and record, unless it comes after `last`.
    pub(super) fn next_up_to(&mut self, last: Option<&[u8]>) -> Result<Option<(Key, Vec<u8>)>, StoreError> {
        let Some((Reverse(key), latest)) = self.next.peek().copied() else { return Ok(None) };
        if last.is_some_and(|last| key[..] > *last) {
            return Ok(None);
        }
        let record = self.take(latest)?;
        // Older files say what it was before it came back.
        while let Some((_, older)) = self.next.peek().copied().filter(|(Reverse(next), _)| *next == key) {
            self.take(older)?;
        }
        Ok(Some((key, record)))
    }

    /// Takes the next record of a file, which is the first in line.
    fn take(&mut self, file: usize) -> Result<Vec<u8>, StoreError> {
        self.next.pop();
        let (key, record, behind) = self.cursors[file].take()?;
        debug_assert!(behind.is_none_or(|behind| behind > key));
        if let Some(behind) = behind {
            self.next.push((Reverse(behind), file));
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{OrderNo, Slot};
    use crate::projection::store::tables;

    /// Records of some orders, `bytes` of `mark` each.
    fn records(numbers: impl Iterator<Item = u64>, mark: u8, bytes: usize) -> Vec<(Key, Vec<u8>)> {
        let number = |at| OrderNo::compose(1_000 + at / 7, Slot::from_index((at % 7) as u16).unwrap(), 0);
        let mut records: Vec<_> =
            numbers.map(|at| (tables::order_key(number(at)), vec![mark; bytes])).collect();
        records.sort();
        records
    }

    #[test]
    fn files_are_merged_and_the_latest_one_that_has_an_order_counts() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        assert_eq!(ColdScan::new(Some(&archive)).unwrap().next_up_to(None).unwrap(), None);
        // Of many blocks; between the first one's; and some of the first again.
        let files = [
            records((0..2_000).step_by(2), 1, 700),
            records((1..500).step_by(2), 2, 90),
            records((0..2_000).step_by(50), 3, 900),
        ];
        for file in &files {
            archive.add(file).unwrap();
        }
        let expected: std::collections::BTreeMap<_, _> = files.into_iter().flatten().collect();
        for archive in [Archive::open(dir.path()).unwrap(), archive] {
            let mut scan = ColdScan::new(Some(&archive)).unwrap();
            let middle = *expected.keys().nth(300).unwrap();
            let mut found = Vec::new();
            while let Some(record) = scan.next_up_to(Some(&middle)).unwrap() {
                found.push(record);
            }
            assert_eq!(found.len(), 301, "up to it and with it");
            while let Some(record) = scan.next_up_to(None).unwrap() {
                found.push(record);
            }
            assert!(found.into_iter().eq(expected.clone()));
        }
    }

    #[test]
    fn one_block_of_each_file_is_in_memory_at_most() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        archive.add(&records(0..1_000, 1, 700)).unwrap();
        archive.add(&records(1_000..3_000, 2, 700)).unwrap();
        let mut scan = ColdScan::new(Some(&archive)).unwrap();
        let mut most = 0;
        while scan.next_up_to(None).unwrap().is_some() {
            most = most.max(scan.cursors.iter().map(|cursor| cursor.block.len()).sum());
        }
        assert!((64 << 10..2 * (66 << 10)).contains(&most), "{most} bytes");
    }

    #[test]
    fn a_file_that_has_changed_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        archive.add(&records(0..1_000, 1, 700)).unwrap();
        let path = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[300_000] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        let mut scan = ColdScan::new(Some(&archive)).unwrap();
        let end = std::iter::from_fn(|| scan.next_up_to(None).transpose()).find_map(Result::err);
        assert!(matches!(end, Some(StoreError::Damaged { .. })), "{end:?}");
    }
}
