//! Cold files: closed orders of long ago, out of the database, still found by their number.
//!
//! A cold file is written once and never changed. Its orders leave the database only after the file was synced, read
//! back and found equal. It holds blocks of records in the order of their keys, an index of the blocks, and a footer:
//!
//! | part | content, integers little endian |
//! |---|---|
//! | header | `STKDCOLD`, format version (u32) |
//! | block | crc32c of the rest (u32), length of the rest (u32), then records: key (10 bytes), length (u32), bytes |
//! | index | for each block: first key (10 bytes), offset (u64) |
//! | footer | offset of the index (u64), blocks (u32), orders (u64), least and greatest number (u64 each), crc32c of index and footer (u32), `STKDCOLD` |

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use super::tables;
use crate::domain::ids::OrderNo;
use crate::projection::levels::StoreError;

const MAGIC: &[u8; 8] = b"STKDCOLD";
const FORMAT: u32 = 1;
const HEADER_BYTES: u64 = 12;
const FOOTER_BYTES: usize = 8 + 4 + 8 + 8 + 8 + 4 + 8;
const INDEX_ENTRY_BYTES: usize = 18;
/// Length of an order's key.
pub(super) const KEY_BYTES: usize = 10;
const BLOCK_BYTES: usize = 64 << 10;
const SUFFIX: &str = "cold";

/// All cold files of a data directory.
#[derive(Debug)]
pub(crate) struct Archive {
    dir: PathBuf,
    files: RwLock<Vec<Arc<ColdFile>>>,
}

/// One cold file.
#[derive(Debug)]
pub(crate) struct ColdFile {
    path: PathBuf,
    file: File,
    number: u64,
    index_at: u64,
    blocks: u32,
    orders: u64,
    least: OrderNo,
    greatest: OrderNo,
}

impl ColdFile {
    /// Its size, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.index_at + u64::from(self.blocks) * INDEX_ENTRY_BYTES as u64 + FOOTER_BYTES as u64
    }

    /// Copies it into a folder, durably. The folder's own entry is the caller's to sync.
    ///
    /// # Errors
    /// [`StoreError`] where that can't be written, or this can't be read.
    pub(crate) fn copy_to(&self, dir: &Path) -> Result<(), StoreError> {
        fs::create_dir_all(dir).map_err(|error| StoreError::io("create", dir, error))?;
        let target = dir.join(self.path.file_name().unwrap_or_default());
        fs::copy(&self.path, &target)
            .and_then(|_bytes| File::open(&target)?.sync_all())
            .and_then(|()| File::open(dir)?.sync_all())
            .map_err(|error| StoreError::io("write", &target, error))
    }

    /// Orders in it.
    pub(crate) fn orders(&self) -> u64 {
        self.orders
    }

    /// Opens a file and checks its footer and index.
    fn open(path: &Path, number: u64) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|error| StoreError::io("open", path, error))?;
        let len = file.metadata().map_err(|error| StoreError::io("look at", path, error))?.len();
        let damaged = |what: &str| StoreError::damaged(format!("the cold file {}: {what}", path.display()));
        let header = read(&file, path, 0, HEADER_BYTES as usize)?;
        if !header.starts_with(MAGIC) || len < HEADER_BYTES + FOOTER_BYTES as u64 {
            return Err(damaged("it is no cold file, or cut off"));
        }
        let version = u32_at(&header, 8);
        if version != FORMAT {
            let what = format!("the cold file {}", path.display());
            let (version, supported) = (version.min(255) as u8, FORMAT as u8);
            return Err(StoreError::UnknownFormat { what, version, supported });
        }
        let footer = read(&file, path, len - FOOTER_BYTES as u64, FOOTER_BYTES)?;
        if !footer.ends_with(MAGIC) {
            return Err(damaged("it is cut off"));
        }
        let (index_at, blocks, orders) = (u64_at(&footer, 0), u32_at(&footer, 8), u64_at(&footer, 12));
        let number_at = |at| OrderNo::from_u64(u64_at(&footer, at));
        let (Some(least), Some(greatest)) = (number_at(20), number_at(28)) else {
            return Err(damaged("its footer names no order numbers"));
        };
        let index_len = u64::from(blocks) * INDEX_ENTRY_BYTES as u64;
        if index_at.checked_add(index_len) != Some(len - FOOTER_BYTES as u64) {
            return Err(damaged("its footer doesn't fit its length"));
        }
        let cold = Self { path: path.to_path_buf(), file, number, index_at, blocks, orders, least, greatest };
        let crc = crc32c::crc32c_append(crc32c::crc32c(&cold.index()?), &footer[..36]);
        if crc != u32_at(&footer, 36) {
            return Err(damaged("its index has changed"));
        }
        Ok(cold)
    }

    fn index(&self) -> Result<Vec<u8>, StoreError> {
        read(&self.file, &self.path, self.index_at, self.blocks as usize * INDEX_ENTRY_BYTES)
    }

    /// Blocks in it.
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// The first key of the `nth` block, counting from 0.
    pub(super) fn first_key(&self, nth: u32) -> Result<[u8; KEY_BYTES], StoreError> {
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(&self.index_entry(nth)?[..KEY_BYTES]);
        Ok(key)
    }

    /// The records of the `nth` block, counting from 0.
    pub(super) fn block_number(&self, nth: u32) -> Result<Vec<u8>, StoreError> {
        self.block(u64_at(&self.index_entry(nth)?, KEY_BYTES))
    }

    fn index_entry(&self, nth: u32) -> Result<Vec<u8>, StoreError> {
        let at = self.index_at + u64::from(nth) * INDEX_ENTRY_BYTES as u64;
        read(&self.file, &self.path, at, INDEX_ENTRY_BYTES)
    }

    /// The key and record that begin at a byte of a block, and where the next one does.
    pub(super) fn record_at<'b>(
        &self,
        block: &'b [u8],
        at: usize,
    ) -> Result<([u8; KEY_BYTES], &'b [u8], usize), StoreError> {
        let cut_off = || self.damaged("a record is cut off");
        let rest = block.get(at..).ok_or_else(cut_off)?;
        let (head, rest) = rest.split_first_chunk::<{ KEY_BYTES + 4 }>().ok_or_else(cut_off)?;
        let record = rest.get(..u32_at(head, KEY_BYTES) as usize).ok_or_else(cut_off)?;
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(&head[..KEY_BYTES]);
        Ok((key, record, at + head.len() + record.len()))
    }

    /// The record of an order.
    fn find(&self, number: OrderNo) -> Result<Option<Vec<u8>>, StoreError> {
        if number < self.least || number > self.greatest {
            return Ok(None);
        }
        let (key, index) = (tables::order_key(number), self.index()?);
        let entries: Vec<_> = index.chunks_exact(INDEX_ENTRY_BYTES).collect();
        let after = entries.partition_point(|entry| entry[..KEY_BYTES] <= key[..]);
        let Some(entry) = after.checked_sub(1).and_then(|at| entries.get(at)) else { return Ok(None) };
        let block = self.block(u64_at(entry, KEY_BYTES))?;
        let mut found = None;
        self.records(&block, |record_key, record| {
            if record_key == key {
                found = Some(record.to_vec());
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Calls `each` with every key and record, ascending, and checks all of the file on the way.
    pub(crate) fn scan(
        &self,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let index = self.index()?;
        let (mut orders, mut last) = (0, [0; KEY_BYTES]);
        for entry in index.chunks_exact(INDEX_ENTRY_BYTES) {
            let block = self.block(u64_at(entry, KEY_BYTES))?;
            self.records(&block, |key, record| {
                if orders > 0 && key <= &last[..] {
                    return Err(self.damaged("its orders are not in order"));
                }
                last.copy_from_slice(key);
                orders += 1;
                each(key, record)
            })?;
        }
        if orders == self.orders { Ok(()) } else { Err(self.damaged("orders are missing")) }
    }

    fn block(&self, at: u64) -> Result<Vec<u8>, StoreError> {
        let head = read(&self.file, &self.path, at, 8)?;
        let len = u32_at(&head, 4) as usize;
        if at + 8 + len as u64 > self.index_at {
            return Err(self.damaged("a block is longer than the file"));
        }
        let block = read(&self.file, &self.path, at + 8, len)?;
        if crc32c::crc32c(&block) != u32_at(&head, 0) {
            return Err(self.damaged(&format!("the block at byte {at} has changed")));
        }
        Ok(block)
    }

    fn records(
        &self,
        block: &[u8],
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut at = 0;
        while at < block.len() {
            let (key, record, end) = self.record_at(block, at)?;
            each(&key, record)?;
            at = end;
        }
        Ok(())
    }

    pub(super) fn damaged(&self, what: &str) -> StoreError {
        StoreError::damaged(format!("the cold file {}: {what}", self.path.display()))
    }
}

impl Archive {
    /// Opens all cold files in a folder, which need not be there. What an interrupted writing has left is removed.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where a file's footer or index is; blocks are checked when they are read.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        let mut files = Vec::new();
        if dir.exists() {
            for entry in fs::read_dir(dir).map_err(|error| StoreError::io("list", dir, error))? {
                let path = entry.map_err(|error| StoreError::io("list", dir, error))?.path();
                match number_of(&path) {
                    Some(number) => files.push(Arc::new(ColdFile::open(&path, number)?)),
                    None if path.extension().is_some_and(|suffix| suffix == "new") => {
                        fs::remove_file(&path).map_err(|error| StoreError::io("remove", &path, error))?;
                    }
                    None => {}
                }
            }
        }
        files.sort_by_key(|file| file.number);
        Ok(Self { dir: dir.to_path_buf(), files: RwLock::new(files) })
    }

    /// The cold files, oldest first.
    pub(crate) fn files(&self) -> Vec<Arc<ColdFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The record of an order, as the latest file that has it says.
    ///
    /// # Errors
    /// [`StoreError`] where a file can't be read, or is damaged.
    pub(crate) fn find(&self, number: OrderNo) -> Result<Option<Vec<u8>>, StoreError> {
        for file in self.files().iter().rev() {
            if let Some(record) = file.find(number)? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Writes a new file of these records, which ascend by key; on return it is durable and was read back.
    ///
    /// # Errors
    /// [`StoreError`]; then there is no new file.
    pub(crate) fn add(&self, records: &[([u8; KEY_BYTES], Vec<u8>)]) -> Result<Arc<ColdFile>, StoreError> {
        let files = self.files();
        let number = files.last().map_or(1, |file| file.number + 1);
        fs::create_dir_all(&self.dir).map_err(|error| StoreError::io("create", &self.dir, error))?;
        let path = self.dir.join(format!("orders-{number:08}.{SUFFIX}"));
        let new = path.with_extension("new");
        write(&new, records).map_err(|error| StoreError::io("write", &new, error))?;
        let written = ColdFile::open(&new, number)?;
        let mut expected = records.iter();
        written.scan(|key, record| match expected.next() {
            Some((wanted, bytes)) if key == wanted && record == bytes => Ok(()),
            _ => Err(StoreError::damaged(format!("{} reads back differently", new.display()))),
        })?;
        fs::rename(&new, &path)
            .and_then(|()| File::open(&self.dir))
            .and_then(|dir| dir.sync_all())
            .map_err(|error| StoreError::io("rename", &path, error))?;
        let file = Arc::new(ColdFile { path, ..written });
        self.files.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&file));
        Ok(file)
    }
}

fn write(path: &Path, records: &[([u8; KEY_BYTES], Vec<u8>)]) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(MAGIC)?;
    out.write_all(&FORMAT.to_le_bytes())?;
    let (mut at, mut index, mut blocks) = (HEADER_BYTES, Vec::new(), 0_u32);
    let mut block = Vec::with_capacity(BLOCK_BYTES + 4096);
    let mut rest = records;
    while !rest.is_empty() {
        block.clear();
        index.extend_from_slice(&rest[0].0);
        index.extend_from_slice(&at.to_le_bytes());
        while let Some(((key, record), after)) = rest.split_first()
            && block.len() < BLOCK_BYTES
        {
            block.extend_from_slice(key);
            block.extend_from_slice(&(record.len() as u32).to_le_bytes());
            block.extend_from_slice(record);
            rest = after;
        }
        out.write_all(&crc32c::crc32c(&block).to_le_bytes())?;
        out.write_all(&(block.len() as u32).to_le_bytes())?;
        out.write_all(&block)?;
        at += 8 + block.len() as u64;
        blocks += 1;
    }
    let numbers = || records.iter().filter_map(|(key, _)| tables::number_of_order_key(key)).map(OrderNo::get);
    let mut footer = Vec::with_capacity(FOOTER_BYTES);
    footer.extend_from_slice(&at.to_le_bytes());
    footer.extend_from_slice(&blocks.to_le_bytes());
    footer.extend_from_slice(&(records.len() as u64).to_le_bytes());
    footer.extend_from_slice(&numbers().min().unwrap_or(0).to_le_bytes());
    footer.extend_from_slice(&numbers().max().unwrap_or(0).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&index), &footer);
    footer.extend_from_slice(&crc.to_le_bytes());
    footer.extend_from_slice(MAGIC);
    out.write_all(&index)?;
    out.write_all(&footer)?;
    out.into_inner()?.sync_all()
}

/// The number in the name of a cold file.
fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix("orders-")?.strip_suffix(SUFFIX)?.strip_suffix('.')?.parse().ok()
}

fn read(file: &File, path: &Path, at: u64, len: usize) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at).map_err(|error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            StoreError::damaged(format!("the cold file {}: it is cut off", path.display()))
        } else {
            StoreError::io("read", path, error)
        }
    })?;
    Ok(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Slot;

    fn number(at: u64) -> OrderNo {
        OrderNo::compose(1_000 + at / 7, Slot::from_index((at % 7) as u16).unwrap(), at % 3)
    }

    fn records(range: std::ops::Range<u64>) -> Vec<([u8; KEY_BYTES], Vec<u8>)> {
        let record = |at| (tables::order_key(number(at)), vec![at as u8; 100 + at as usize % 50]);
        let mut records: Vec<_> = range.map(record).collect();
        records.sort();
        records
    }

    #[test]
    fn orders_are_found_by_number_after_a_reopen() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        assert_eq!(archive.find(number(1)).unwrap(), None);
        assert_eq!(archive.add(&records(0..3_000)).unwrap().orders(), 3_000);
        archive.add(&records(3_000..3_500)).unwrap();
        for archive in [archive, Archive::open(dir.path()).unwrap()] {
            for at in (0..3_500).step_by(111) {
                assert_eq!(archive.find(number(at)).unwrap(), Some(vec![at as u8; 100 + at as usize % 50]));
            }
            assert_eq!(archive.find(number(3_500)).unwrap(), None);
        }
    }

    #[test]
    fn what_has_changed_or_is_cut_off_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        let path = archive.add(&records(0..3_000)).unwrap().path.clone();
        let whole = fs::read(&path).unwrap();
        for at in [3, 20, 40_000, whole.len() - 60, whole.len() - 20, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, changed).unwrap();
            let found = Archive::open(dir.path()).and_then(|archive| archive.files()[0].scan(|_, _| Ok(())));
            assert!(found.is_err(), "byte {at}");
        }
        for len in [0, 5, 11, 60, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..len]).unwrap();
            assert!(matches!(Archive::open(dir.path()), Err(StoreError::Damaged { .. })), "{len} bytes");
        }
        fs::write(&path, &whole).unwrap();
        fs::write(dir.path().join("orders-00000002.new"), &whole[..100]).unwrap();
        let archive = Archive::open(dir.path()).unwrap();
        assert_eq!(archive.files().len(), 1, "an interrupted file is none");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
