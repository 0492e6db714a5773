//! The journal: the write-ahead log that every state change goes through before anybody hears of it (R4).
//!
//! ```text
//! actors ── EntryBuffer ──▶ JournalHandle::append ── queue ──▶ writer thread
//!                                                                │ pack frames
//!                                                                │ Journal::write   insert + flush
//!                                                                │ Journal::sync    fdatasync, then the mark
//!                                                                └ acknowledge, publish the durable position
//! recovery, projections, relay ◀── JournalRead::read ── frames up to the durable position
//! ```
//!
//! One thread writes. Actors hand their entries over under one short lock, which assigns the positions, and never
//! wait. What is behind [`Journal`] is exchangeable: [`SledJournal`] on a local disk, [`MemoryJournal`] for tests,
//! simulation and the memory level. This module knows nothing of what the events mean, and never retries a write
//! (R13). `docs/DURABILITY.md` says what each level promises.

mod codec;
mod data_dir;
mod entry;
mod error;
mod figures;
mod frame;
mod handle;
mod holds;
mod mark;
mod memory;
mod pack;
mod recorded;
mod scan;
mod sled_backend;
pub(crate) mod sled_reads;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::domain::ids::Position;

pub use codec::{CODEC_VERSION, CodecError, decode, encode};
pub(crate) use codec::{decode_record, encode_record};
pub use data_dir::{DataDir, layout};
pub(crate) use data_dir::{format_of, free_bytes, sync_dir, written_by};
pub use entry::{ENTRY_BYTES_MAX, ENTRY_EVENTS_MAX, ENTRY_HEADER_BYTES, EntryBuffer, EntryView, Events};
pub use error::{JournalError, Poisoned};
pub use figures::JournalFigures;
pub use frame::{
    EncodedFrame, Entries, FRAME_BYTES_MAX, FRAME_BYTES_TARGET, FRAME_FORMAT_VERSION, FRAME_HEADER_BYTES,
    Frame, FrameBytes,
};
pub use handle::{
    Acknowledge, Durability, JournalHandle, JournalStats, MonotonicUs, OnPoison, WriterOptions,
};
pub(crate) use holds::Holds;
pub use memory::{MemoryJournal, Operation};
pub use pack::pack;
pub use recorded::RecordedEvent;
pub(crate) use recorded::events_from;
pub use scan::{Scan, scan};
pub use sled_backend::{OpenReport, SledJournal, SledJournalOptions};
pub(crate) use sled_backend::{open_database, sync_database};

/// A storage backend of the journal, driven by the one writer thread.
///
/// After the first error of any method the writer calls none again (R13).
pub trait Journal: Send + 'static {
    /// Stores frames that continue the journal without a gap. Afterwards they survive a crash of the process, but
    /// not yet a power cut.
    ///
    /// # Errors
    /// What the storage answers; some of the frames may be stored then.
    fn write(&mut self, frames: &[EncodedFrame]) -> Result<(), JournalError>;

    /// Makes everything written survive a power cut, and only then records `last` as the last position that must be
    /// found again. Readers see frames up to `last` from here on.
    ///
    /// # Errors
    /// What the storage answers; nothing is known about what survives then.
    fn sync(&mut self, last: Position) -> Result<(), JournalError>;

    /// Removes frames that lie wholly before `keep_from`, oldest first and boundedly many, never the last frame.
    /// The new beginning is recorded durably before anything is removed.
    ///
    /// # Errors
    /// What the storage answers.
    fn trim(&mut self, keep_from: Position) -> Result<TrimProgress, JournalError>;

    /// Makes the backend's own bookkeeping survive a power cut. Called now and then, and before closing.
    ///
    /// # Errors
    /// What the storage answers.
    fn settle(&mut self) -> Result<(), JournalError> {
        Ok(())
    }

    /// The reading side, usable from any thread and beyond the life of the writer.
    fn reader(&self) -> Arc<dyn JournalRead>;
}

/// What one step of trimming did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrimProgress {
    /// Frames removed in this step.
    pub frames: u32,
    /// Whether another step would remove more.
    pub more: bool,
}

/// The reading side of a journal. It shows synced frames only, so no reader can know what a power cut takes back
/// (R11).
pub trait JournalRead: Send + Sync + 'static {
    /// The frames from the one that contains `from` on, in order and without a gap: about `bytes_max` bytes of them,
    /// at least one. Empty when `from` is behind [`JournalRead::last`].
    ///
    /// Every frame is checked on the way (checksum, versions, contiguity), and so is that nothing is missing before
    /// the last position.
    ///
    /// # Errors
    /// [`JournalError::PositionTrimmed`] before [`JournalRead::first`]; [`JournalError::Damaged`] where a frame is
    /// missing or changed; [`JournalError::UnknownCodec`] and [`JournalError::UnknownFrameFormat`] where a newer
    /// release wrote it.
    fn read(&self, from: Position, bytes_max: usize) -> Result<Vec<Frame>, JournalError>;

    /// The first position that can be read: 1 until something was trimmed.
    fn first(&self) -> Position;

    /// The last position that can be read: 0 while there is none.
    fn last(&self) -> Position;

    /// Space that the journal takes up on the disk, in bytes.
    fn bytes_on_disk(&self) -> u64 {
        0
    }
}
