//! Tables as levels of sorted runs, kept in pages of an atomic store.
//!
//! A commit sorts the changes since the last one into one new run for each table they touch. Runs are never changed.
//! When a level of a table has collected `fan_in` runs, they are merged into one run of the next level, a bounded
//! piece at a time. So each entry is written once for each level, about log(entries / entries of a commit) to the
//! base of `fan_in` times, always in order and in whole pages; and a record costs the store nothing of its own.
//!
//! | key | value |
//! |---|---|
//! | `m` | the manifest: all runs, newest first |
//! | `h` | the head: opaque bytes of the last commit |
//! | `p`, table, run number, first key | a page of entries |
//!
//! Pages of a new run are written before the manifest names it. The manifest and the head change in one atomic
//! batch, which is the commit. What a crash leaves of unfinished runs is found at open, and removed.
//!
//! ```text
//! put, remove ─ staging ─ commit ─┐                       ┌─ get, scan, scan_back, copy_to
//!                                 ├─ pages, manifest, head ┤
//!            merge_step ──────────┘                       └─ snapshot: the runs of one commit
//! ```
//!
//! After the first error of a write the writer stops for good (R13); snapshots can still be read.

mod cursor;
mod error;
mod manifest;
#[cfg(any(test, feature = "relay"))]
mod memory_pages;
mod merge;
mod page;
mod pages;
mod sled_pages;
mod snapshot;
mod staging;
mod tables;
#[cfg(test)]
mod tests;

pub(crate) use error::StoreError;
#[cfg(any(test, feature = "relay"))]
pub(crate) use memory_pages::MemoryPages;
pub(crate) use pages::{PageBatch, PageRead, PageStore};
pub(crate) use sled_pages::SledPages;
pub(crate) use snapshot::{Finder, LevelsReader, ScanBack, Snapshot, TableStats};
pub(crate) use tables::{CommitReport, Levels, MergeReport};

/// The largest value, in bytes: a store's leaf of 17 such pages stays below 4 MiB.
pub(crate) const VALUE_BYTES_MAX: usize = 160 << 10;

/// A table's number. It is part of what is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct TableId(pub(crate) u8);

/// What a table is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TableSpec {
    /// Its number.
    pub(crate) id: TableId,
    /// Its name in messages and statistics.
    pub(crate) name: &'static str,
    /// The length of each of its keys in bytes, 1 to 1,024. Keys are ordered byte by byte.
    pub(crate) key_len: usize,
}

/// How tables are laid out. Each option may change from one open to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LevelsOptions {
    /// Size of a page, in bytes, 160 KiB at most; a larger entry gets one of its own.
    pub(crate) page_bytes: usize,
    /// A level of a table is merged when it has so many runs, at least 2.
    pub(crate) fan_in: usize,
    /// Pages of retired runs that one write to the store removes at most.
    pub(crate) removes_max: usize,
}

impl Default for LevelsOptions {
    /// Pages of 32 KiB, 8 runs, 256 pages.
    fn default() -> Self {
        Self { page_bytes: 32 << 10, fan_in: 8, removes_max: 256 }
    }
}
