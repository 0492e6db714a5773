//! The mark: a small file beside the database that says which positions must be found again.
//!
//! The database can lose its tail to damage without noticing. The mark lets open notice: it is written after the
//! fdatasync of every commit and before its acknowledgements, and open compares. Two slots, each with a sequence
//! number and a checksum, are written in turns, so that a torn write leaves the other. The file is written out in
//! full when it is created, so writing a slot changes no metadata and needs no space.
//!
//! A write alone survives a crash of the process. The file is fsynced now and then only, so after a power cut the
//! mark may lag behind: it then asks for less than there is, never for more.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::domain::ids::Position;

use super::JournalError;

const MAGIC: [u8; 8] = *b"STKMARK1";
/// The slots lie in different blocks of the disk.
const SLOT_STRIDE: u64 = 4096;
const SLOT_BYTES: usize = 36;

/// What the mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marked {
    /// The first position that must be there.
    pub(super) first: Position,
    /// The last one; below `first` where there must be none.
    pub(super) last: Position,
}

/// The open file.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    path: PathBuf,
    sequence: u64,
    dirty: bool,
}

impl Mark {
    /// Makes a new file, durably but for its directory entry, which is the caller's to sync.
    pub(super) fn create(path: &Path, marked: Marked) -> Result<Self, JournalError> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.map_err(|error| JournalError::io("create", path, error))?;
        let zeros = [0; 2 * SLOT_STRIDE as usize];
        file.write_all_at(&zeros, 0).map_err(|error| JournalError::io("write", path, error))?;
        let mut mark = Self { file, path: path.to_path_buf(), sequence: 0, dirty: true };
        mark.write(marked)?;
        mark.file.sync_all().map_err(|error| JournalError::io("fsync", path, error))?;
        mark.dirty = false;
        Ok(mark)
    }

    /// Opens the file; `None` where there is none.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] where neither slot holds.
    pub(super) fn open(path: &Path) -> Result<Option<(Self, Marked)>, JournalError> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(JournalError::io("open", path, error)),
        };
        let mut newest = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            match file.read_exact_at(&mut bytes, slot * SLOT_STRIDE) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(JournalError::io("read", path, error)),
            }
            newest = newest.max(decode(&bytes));
        }
        let Some((sequence, first, last)) = newest else {
            return Err(JournalError::damaged(format!(
                "neither slot of {} has a right checksum, so nobody knows which positions were acknowledged",
                path.display()
            )));
        };
        let mark = Self { file, path: path.to_path_buf(), sequence, dirty: true };
        Ok(Some((mark, Marked { first, last })))
    }

    /// Writes the slot that is not the newest.
    pub(super) fn write(&mut self, marked: Marked) -> Result<(), JournalError> {
        let sequence = self.sequence + 1;
        let bytes = encode(sequence, marked);
        self.file
            .write_all_at(&bytes, (sequence % 2) * SLOT_STRIDE)
            .map_err(|error| JournalError::io("write", &self.path, error))?;
        self.sequence = sequence;
        self.dirty = true;
        Ok(())
    }

    /// Makes what was written survive a power cut.
    pub(super) fn sync(&mut self) -> Result<(), JournalError> {
        if self.dirty {
            self.file.sync_data().map_err(|error| JournalError::io("fdatasync", &self.path, error))?;
            self.dirty = false;
        }
        Ok(())
    }
}

fn encode(sequence: u64, marked: Marked) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
    bytes[16..24].copy_from_slice(&marked.first.0.to_le_bytes());
    bytes[24..32].copy_from_slice(&marked.last.0.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..32]);
    bytes[32..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A slot's sequence number, first and last position, if it holds.
fn decode(bytes: &[u8; SLOT_BYTES]) -> Option<(u64, Position, Position)> {
    let (content, crc) = bytes.split_last_chunk::<4>()?;
    let word = |at: usize| content.get(at..)?.first_chunk().copied().map(u64::from_le_bytes);
    let valid = content.starts_with(&MAGIC) && crc32c::crc32c(content) == u32::from_le_bytes(*crc);
    valid.then_some((word(8)?, Position(word(16)?), Position(word(24)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(first: u64, last: u64) -> Marked {
        Marked { first: Position(first), last: Position(last) }
    }

    #[test]
    fn the_newest_slot_wins_and_a_torn_one_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        let mut mark = Mark::create(&path, marked(1, 0)).unwrap();
        mark.write(marked(1, 10)).unwrap();
        mark.write(marked(1, 20)).unwrap();
        drop(mark);
        let (mark, found) = Mark::open(&path).unwrap().unwrap();
        assert_eq!((mark.sequence, found), (3, marked(1, 20)));

        // Sequence 3 is in the second slot.
        mark.file.write_all_at(&[0xff; 4], SLOT_STRIDE + 24).unwrap();
        let (mut mark, found) = Mark::open(&path).unwrap().unwrap();
        assert_eq!(found, marked(1, 10));
        mark.write(marked(1, 30)).unwrap();
        assert_eq!(Mark::open(&path).unwrap().unwrap().1, marked(1, 30));

        mark.file.write_all_at(&[0xff; 4], SLOT_STRIDE).unwrap();
        mark.file.write_all_at(&[0xff; 4], 0).unwrap();
        assert!(matches!(Mark::open(&path), Err(JournalError::Damaged { .. })));
        mark.file.set_len(10).unwrap();
        assert!(matches!(Mark::open(&path), Err(JournalError::Damaged { .. })));
    }

    #[test]
    fn a_slot_has_golden_bytes() {
        let hex: String = encode(7, marked(2, 300)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "53544b4d41524b31070000000000000002000000000000002c01000000000000c48d6489");
    }

    #[test]
    fn a_missing_file_is_not_damage_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Mark::open(&dir.path().join("mark")).unwrap().is_none());
    }
}
