//! Which runs there are, and under which keys the store holds what.
//!
//! The manifest: magic `lm`, format version, 0, crc32c of what follows (4 bytes), the next run number (8), the
//! number of runs (4), and then the runs, newest first in each table: table (1), level (1), number, entries, pages,
//! bytes (8 each), length of a key (2), least key, greatest key. Numbers are little-endian.

use std::sync::Arc;

use super::{StoreError, TableId, TableSpec};

/// Under which key the manifest lies.
pub(super) const MANIFEST_KEY: &[u8] = b"m";
/// Under which key the head lies.
pub(super) const HEAD_KEY: &[u8] = b"h";
/// With what the keys of pages begin.
pub(super) const PAGE_PREFIX: u8 = b'p';
/// The first key behind all pages.
pub(super) const PAGES_END: &[u8] = b"q";

const RUN_KEY_BYTES: usize = 10;
const MAGIC: [u8; 2] = *b"lm";
/// The format that this release writes, and the newest that it reads.
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;

/// A sorted run: the entries of one commit, or of several that were merged. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) table: TableId,
    pub(super) id: u64,
    pub(super) level: u8,
    /// Entries, removals included.
    pub(super) entries: u64,
    pub(super) pages: u64,
    /// Size of its pages, in bytes.
    pub(super) bytes: u64,
    /// Its first key.
    pub(super) min: Box<[u8]>,
    /// Its last key.
    pub(super) max: Box<[u8]>,
}

impl Run {
    pub(super) fn empty(table: &TableSpec, id: u64, level: u8) -> Self {
        let none: Box<[u8]> = vec![0; table.key_len].into();
        Self { table: table.id, id, level, entries: 0, pages: 0, bytes: 0, min: none.clone(), max: none }
    }

    pub(super) fn key_len(&self) -> usize {
        self.min.len()
    }

    /// The store's key of a page of this run that begins with `first`.
    pub(super) fn page_key(&self, first: &[u8]) -> Box<[u8]> {
        page_key(self.table, self.id, first)
    }

    pub(super) fn damaged(&self, table: &TableSpec, what: &str) -> StoreError {
        StoreError::damaged(format!("{what} in run {} of table {}", self.id, table.name))
    }
}

pub(super) fn page_key(table: TableId, run: u64, first: &[u8]) -> Box<[u8]> {
    let mut key = Vec::with_capacity(RUN_KEY_BYTES + first.len());
    key.extend_from_slice(&[PAGE_PREFIX, table.0]);
    key.extend_from_slice(&run.to_be_bytes());
    key.extend_from_slice(first);
    key.into()
}

/// Table and run of a page's key.
pub(super) fn parse_page_key(key: &[u8]) -> Result<(TableId, u64), StoreError> {
    match key {
        [PAGE_PREFIX, table, rest @ ..] if rest.len() > 8 => {
            let mut id = [0; 8];
            id.copy_from_slice(&rest[..8]);
            Ok((TableId(*table), u64::from_be_bytes(id)))
        }
        _ => Err(StoreError::damaged(format!("{key:02x?} is no key of a page"))),
    }
}

/// All runs at one moment: for each table, in the order of the specs, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) runs: Vec<Vec<Arc<Run>>>,
    /// Above all numbers of runs that it names.
    pub(super) next_run: u64,
}

impl Manifest {
    pub(super) fn empty(specs: &[TableSpec]) -> Self {
        Self { runs: vec![Vec::new(); specs.len()], next_run: 1 }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = VERSION;
        bytes.extend_from_slice(&self.next_run.to_le_bytes());
        let len = self.runs.iter().map(Vec::len).sum::<usize>() as u32;
        bytes.extend_from_slice(&len.to_le_bytes());
        for run in self.runs.iter().flatten() {
            bytes.extend_from_slice(&[run.table.0, run.level]);
            for number in [run.id, run.entries, run.pages, run.bytes] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&(run.key_len() as u16).to_le_bytes());
            bytes.extend_from_slice(&run.min);
            bytes.extend_from_slice(&run.max);
        }
        let crc = crc32c::crc32c(&bytes[HEADER_BYTES..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// # Errors
    /// [`StoreError::Damaged`], also for a table that `specs` don't name; [`StoreError::UnknownFormat`] for another version.
    pub(super) fn decode(bytes: &[u8], specs: &[TableSpec]) -> Result<Self, StoreError> {
        let damaged = || StoreError::damaged("its list of runs has changed");
        let mut input = Input(bytes);
        if input.take(2).ok_or_else(damaged)? != MAGIC {
            return Err(damaged());
        }
        let version = input.u8().ok_or_else(damaged)?;
        if version != VERSION {
            let what = "the table store's list of runs".to_owned();
            return Err(StoreError::UnknownFormat { what, version, supported: VERSION });
        }
        input.u8().ok_or_else(damaged)?;
        if input.u32().ok_or_else(damaged)? != crc32c::crc32c(input.0) {
            return Err(damaged());
        }
        let mut manifest = Self::empty(specs);
        manifest.next_run = input.u64().ok_or_else(damaged)?;
        for _ in 0..input.u32().ok_or_else(damaged)? {
            let run = input.run().ok_or_else(damaged)?;
            let table = specs.iter().position(|table| table.id == run.table).ok_or_else(|| {
                StoreError::damaged(format!("it has a table {} that this release doesn't know", run.table.0))
            })?;
            if run.key_len() != specs[table].key_len || run.id >= manifest.next_run || run.min > run.max {
                return Err(run.damaged(&specs[table], "numbers don't agree"));
            }
            manifest.runs[table].push(Arc::new(run));
        }
        if input.0.is_empty() { Ok(manifest) } else { Err(damaged()) }
    }
}

/// What is left to decode.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn run(&mut self) -> Option<Run> {
        let (table, level) = (TableId(self.u8()?), self.u8()?);
        let (id, entries, pages, bytes) = (self.u64()?, self.u64()?, self.u64()?, self.u64()?);
        let key_len = usize::from(self.u16()?);
        let (min, max) = (self.take(key_len)?.into(), self.take(key_len)?.into());
        Some(Run { table, id, level, entries, pages, bytes, min, max })
    }
}
