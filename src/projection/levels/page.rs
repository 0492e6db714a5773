//! A page: some entries of a run in ascending order, with what is needed to find one and to notice damage.
//!
//! | bytes | what |
//! |---|---|
//! | 0–1 | magic `lp` |
//! | 2 | format version |
//! | 3 | 1 when another page of the run follows, otherwise 0 |
//! | 4–7 | crc32c of the page's key in the store and of all other bytes |
//! | 8–11 | number of entries |
//! | 12–13 | length of a key |
//! | 14–15 | 0 |
//! | … | the first key of the page that follows, if one does |
//! | … | all keys |
//! | … | for each entry, where its value ends, counted from the first value; the highest bit marks a removal |
//! | … | all values |
//!
//! Numbers are little-endian. Keys of one length need no offsets, so a search touches nothing but keys. Each page
//! names the next, so that a missing one is noticed by whoever reads past it.

use super::manifest::{Run, page_key};
use super::pages::{PageBatch, PageBytes};
use super::{StoreError, TableSpec};

const MAGIC: [u8; 2] = *b"lp";
/// The format that this release writes, and the newest that it reads.
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 16;
const CRC_AT: usize = 4;
const REMOVED: u32 = 1 << 31;
const END_BYTES: usize = 4;

/// A page that was checked.
#[derive(Debug)]
pub(super) struct Page {
    bytes: PageBytes,
    key_len: usize,
    len: usize,
    keys_at: usize,
    ends_at: usize,
    values_at: usize,
}

impl Page {
    /// Checks a page of a run that was found under a key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with table and run, [`StoreError::UnknownFormat`].
    pub(super) fn parse(
        table: &TableSpec,
        run: &Run,
        key: &[u8],
        bytes: PageBytes,
    ) -> Result<Self, StoreError> {
        let wrong = |what: &str| run.damaged(table, what);
        let all = bytes.as_ref();
        if all.len() < HEADER_BYTES || all[..2] != MAGIC {
            return Err(wrong("a page has no header"));
        }
        if all[2] != VERSION {
            let what = format!("a page of run {} of table {}", run.id, table.name);
            return Err(StoreError::UnknownFormat { what, version: all[2], supported: VERSION });
        }
        if u32_at(all, CRC_AT) != checksum(key, all) {
            return Err(wrong("a page has a wrong checksum"));
        }
        let (len, key_len) = (u32_at(all, 8) as usize, usize::from(u16::from_le_bytes([all[12], all[13]])));
        let keys_at = HEADER_BYTES + if all[3] == 1 { key_len } else { 0 };
        let ends_at = keys_at + len * key_len;
        let values_at = ends_at + len * END_BYTES;
        if len == 0 || key_len != table.key_len || values_at > all.len() {
            return Err(wrong("a page has a wrong length"));
        }
        let page = Self { bytes, key_len, len, keys_at, ends_at, values_at };
        if page.values_at + (page.end(len - 1) & !REMOVED) as usize != page.bytes.as_ref().len() {
            return Err(wrong("a page has a wrong length"));
        }
        if !key.ends_with(page.key(0)) {
            return Err(wrong("a page lies under the wrong key"));
        }
        Ok(page)
    }

    /// How many entries there are, at least one.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The first key of the page that follows.
    pub(super) fn next(&self) -> Option<&[u8]> {
        (self.keys_at > HEADER_BYTES).then(|| &self.bytes.as_ref()[HEADER_BYTES..self.keys_at])
    }

    /// The key of an entry.
    pub(super) fn key(&self, index: usize) -> &[u8] {
        let at = self.keys_at + index * self.key_len;
        &self.bytes.as_ref()[at..at + self.key_len]
    }

    /// The value of an entry, `None` when it says that the key was removed.
    pub(super) fn value(&self, index: usize) -> Option<&[u8]> {
        let end = self.end(index);
        if end & REMOVED != 0 {
            return None;
        }
        let start = if index == 0 { 0 } else { self.end(index - 1) & !REMOVED };
        Some(&self.bytes.as_ref()[self.values_at + start as usize..self.values_at + end as usize])
    }

    /// The index of the first entry whose key is not below `key`.
    pub(super) fn lower_bound(&self, key: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// What the page says about a key: nothing, that it was removed, or its value.
    pub(super) fn find(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let index = self.lower_bound(key);
        (index < self.len && self.key(index) == key).then(|| self.value(index))
    }

    /// Whether a key that is not above the run's greatest lies here, if the run has it.
    pub(super) fn is_around(&self, key: &[u8]) -> bool {
        self.key(0) <= key && self.next().is_none_or(|next| key < next)
    }

    /// The page as it is stored.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    fn end(&self, index: usize) -> u32 {
        u32_at(self.bytes.as_ref(), self.ends_at + index * END_BYTES)
    }
}

/// Writes the pages of one run, entry by entry in ascending order. It holds one page.
#[derive(Debug)]
pub(super) struct RunWriter {
    page_bytes: usize,
    keys: Vec<u8>,
    ends: Vec<u8>,
    values: Vec<u8>,
    run: Run,
}

impl RunWriter {
    /// Begins a run.
    pub(super) fn new(table: &TableSpec, id: u64, level: u8, page_bytes: usize) -> Self {
        Self {
            page_bytes,
            keys: Vec::new(),
            ends: Vec::new(),
            values: Vec::new(),
            run: Run::empty(table, id, level),
        }
    }

    /// Adds an entry whose key is above all before, `None` for a removal. A page that is full goes to the batch.
    pub(super) fn push(&mut self, key: &[u8], value: Option<&[u8]>, batch: &mut PageBatch) {
        let entry_bytes = key.len() + END_BYTES + value.map_or(0, <[u8]>::len);
        let bytes = HEADER_BYTES + key.len() + self.keys.len() + self.ends.len() + self.values.len();
        if !self.keys.is_empty() && bytes + entry_bytes > self.page_bytes {
            self.finish_page(Some(key), batch);
        }
        self.keys.extend_from_slice(key);
        self.values.extend_from_slice(value.unwrap_or_default());
        let end = self.values.len() as u32 | if value.is_none() { REMOVED } else { 0 };
        self.ends.extend_from_slice(&end.to_le_bytes());
        self.run.entries += 1;
    }

    /// Ends the run. `None` when it has no entries.
    pub(super) fn finish(mut self, batch: &mut PageBatch) -> Option<Run> {
        if self.keys.is_empty() {
            return None;
        }
        self.run.max = self.keys[self.keys.len() - self.run.key_len()..].into();
        self.finish_page(None, batch);
        Some(self.run)
    }

    fn finish_page(&mut self, next: Option<&[u8]>, batch: &mut PageBatch) {
        let key_len = self.run.key_len();
        let first = &self.keys[..key_len];
        let key = page_key(self.run.table, self.run.id, first);
        let len = (self.keys.len() / key_len) as u32;
        let body_bytes = self.keys.len() + self.ends.len() + self.values.len();
        let mut page = Vec::with_capacity(HEADER_BYTES + key_len + body_bytes);
        page.extend_from_slice(&MAGIC);
        page.extend_from_slice(&[VERSION, u8::from(next.is_some()), 0, 0, 0, 0]);
        page.extend_from_slice(&len.to_le_bytes());
        page.extend_from_slice(&(key_len as u16).to_le_bytes());
        page.extend_from_slice(&[0, 0]);
        for part in [next.unwrap_or_default(), &self.keys, &self.ends, &self.values] {
            page.extend_from_slice(part);
        }
        let crc = checksum(&key, &page);
        page[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());

        if self.run.pages == 0 {
            self.run.min = first.into();
        }
        self.run.pages += 1;
        self.run.bytes += page.len() as u64;
        batch.put(key, page);
        self.keys.clear();
        self.ends.clear();
        self.values.clear();
    }
}

/// Covers the key too, so that a page can't pass for another.
fn checksum(key: &[u8], page: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &page[..CRC_AT]);
    crc32c::crc32c_append(crc, &page[CRC_AT + 4..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}
