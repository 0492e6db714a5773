//! Frames: what the journal stores under one key, some 64 KiB of entries with a checksum.
//!
//! ```text
//! frame = magic "STKF" | format version u8 | codec version u8 | first position u64 | event count u32
//!       | payload length u32 | crc32c u32 | payload: the entries one after the other
//! ```
//!
//! Integers are little endian; the checksum covers everything but itself. Many events go under one key because the
//! database below costs as much for a key as for 64 KiB of value; values much larger would leave its log for files
//! that nobody syncs.

use std::fmt;
use std::sync::Arc;

use crate::domain::ids::Position;

use super::JournalError;
use super::codec::{self, CODEC_VERSION};
use super::entry::EntryView;

/// A frame is closed at this size, in bytes.
pub const FRAME_BYTES_TARGET: usize = 64 * 1024;
/// No frame is larger than this, in bytes.
pub const FRAME_BYTES_MAX: usize = 128 * 1024;
/// Bytes before a frame's entries.
pub const FRAME_HEADER_BYTES: usize = 26;
/// The layout that this release writes.
pub const FRAME_FORMAT_VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"STKF";
const CRC_AT: usize = 22;

/// A frame on its way to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedFrame {
    first: Position,
    count: u32,
    bytes: Vec<u8>,
}

impl EncodedFrame {
    /// Starts a frame in `bytes`, whose memory is reused.
    pub(super) fn begin(first: Position, mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(FRAME_HEADER_BYTES, 0);
        Self { first, count: 0, bytes }
    }

    /// Adds whole entries with `count` events, and nothing where that would exceed [`FRAME_BYTES_MAX`].
    pub(super) fn try_extend(&mut self, entries: &[u8], count: u32) -> bool {
        let fits = self.bytes.len() + entries.len() <= FRAME_BYTES_MAX;
        if fits {
            self.bytes.extend_from_slice(entries);
            self.count += count;
        }
        fits
    }

    /// Writes the header.
    pub(super) fn finish(&mut self) {
        let payload_bytes = (self.bytes.len() - FRAME_HEADER_BYTES) as u32;
        let header = &mut self.bytes[..FRAME_HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4] = FRAME_FORMAT_VERSION;
        header[5] = CODEC_VERSION;
        header[6..14].copy_from_slice(&self.first.0.to_le_bytes());
        header[14..18].copy_from_slice(&self.count.to_le_bytes());
        header[18..22].copy_from_slice(&payload_bytes.to_le_bytes());
        let crc = checksum(&self.bytes);
        self.bytes[CRC_AT..FRAME_HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    }

    /// A frame that was read, to be stored elsewhere as it is.
    pub fn copy_of(frame: &Frame) -> Self {
        Self { first: frame.first, count: frame.count, bytes: frame.bytes().to_vec() }
    }

    /// Position of its first event; the key it is stored under.
    pub fn first(&self) -> Position {
        self.first
    }

    /// Position of its last event.
    pub fn last(&self) -> Position {
        Position(self.first.0 + u64::from(self.count) - 1)
    }

    /// How many events it holds, at least one.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The whole frame, header included.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the memory back.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Whoever holds the bytes of a frame: a vector, or the database's own shared value.
pub type FrameBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A frame as it was read: checked, its events not decoded yet. Cheap to clone and to send.
#[derive(Clone)]
pub struct Frame {
    first: Position,
    count: u32,
    codec_version: u8,
    bytes: FrameBytes,
}

impl Frame {
    /// Checks the frame stored under the key `position`: checksum, versions, and that its entries are whole.
    ///
    /// Costs about 10 µs for 64 KiB.
    ///
    /// # Errors
    /// [`JournalError::UnknownFrameFormat`] and [`JournalError::UnknownCodec`] for what a newer release wrote;
    /// [`JournalError::Damaged`] for anything else that was not written like this.
    pub fn parse(position: Position, bytes: FrameBytes) -> Result<Self, JournalError> {
        let damaged =
            |what: &str| JournalError::damaged(format!("the frame stored at position {position} {what}"));
        let whole = (*bytes).as_ref();
        let Some(header) = whole.first_chunk::<FRAME_HEADER_BYTES>() else {
            return Err(damaged("is shorter than a frame's header"));
        };
        if header[..4] != MAGIC {
            return Err(damaged("doesn't begin as a frame does"));
        }
        // The layout behind an unknown format version is unknown too, so this comes before the checksum. An unknown
        // codec comes after it, so that a flipped bit is not taken for a newer release.
        if header[4] != FRAME_FORMAT_VERSION {
            return Err(JournalError::UnknownFrameFormat {
                position,
                version: header[4],
                supported: FRAME_FORMAT_VERSION,
            });
        }
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if word(CRC_AT) != checksum(whole) {
            return Err(damaged("has a wrong checksum"));
        }
        let codec_version = header[5];
        if !codec::is_known(codec_version) {
            return Err(JournalError::UnknownCodec {
                position,
                version: codec_version,
                supported: CODEC_VERSION,
            });
        }
        let first = Position((u64::from(word(10)) << 32) | u64::from(word(6)));
        if first != position {
            return Err(damaged(&format!("says that it begins at {first}")));
        }
        if word(18) as usize != whole.len() - FRAME_HEADER_BYTES {
            return Err(damaged("has another length than it says"));
        }
        let frame = Self { first, count: word(14), codec_version, bytes };
        if frame.count == 0 || frame.counted() != Some(frame.count) {
            return Err(damaged("doesn't hold the entries that it says"));
        }
        Ok(frame)
    }

    /// Position of its first event.
    pub fn first(&self) -> Position {
        self.first
    }

    /// Position of its last event.
    pub fn last(&self) -> Position {
        Position(self.first.0 + u64::from(self.count) - 1)
    }

    /// How many events it holds, at least one.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The whole frame, header included.
    pub fn bytes(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// Its entries in order. Going on to the next reads five bytes of this one.
    pub fn entries(&self) -> Entries<'_> {
        Entries {
            next: self.first,
            codec_version: self.codec_version,
            bytes: &self.bytes()[FRAME_HEADER_BYTES..],
        }
    }

    /// How many events its entries say they hold, or `None` unless they fill the frame exactly.
    fn counted(&self) -> Option<u32> {
        let mut entries = self.entries();
        let events = entries.by_ref().fold(0_u32, |sum, entry| sum.saturating_add(entry.event_count));
        entries.bytes.is_empty().then_some(events)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("first", &self.first)
            .field("count", &self.count)
            .field("bytes_len", &self.bytes().len())
            .finish()
    }
}

/// The entries of a frame.
#[derive(Clone, Debug)]
pub struct Entries<'f> {
    next: Position,
    codec_version: u8,
    bytes: &'f [u8],
}

impl<'f> Iterator for Entries<'f> {
    type Item = EntryView<'f>;

    fn next(&mut self) -> Option<EntryView<'f>> {
        let (entry, rest) = EntryView::split(self.bytes, self.next, self.codec_version)?;
        self.next.0 += u64::from(entry.event_count);
        self.bytes = rest;
        Some(entry)
    }
}

/// The checksum of a whole frame, its own four bytes left out.
fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..CRC_AT]), &frame[FRAME_HEADER_BYTES..])
}
