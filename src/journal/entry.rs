//! Entries: the events of one decision, journaled together, recovered whole or not at all (R6).
//!
//! ```text
//! entry = slot u16 | event count u8 | payload length u16 | payload: the events one after the other
//! ```
//!
//! Integers are little endian. The header lets replay hand an entry to its owner's worker, or skip it, without
//! decoding it. Five bytes are what is left of the 96 that a one-line order may take.

use crate::domain::event::{Event, OrderCreated};
use crate::domain::ids::{Position, Slot};

use super::JournalError;
use super::codec;

/// Bytes before an entry's events.
pub const ENTRY_HEADER_BYTES: usize = 5;
/// Largest entry, header included. The largest order with the longest texts in every field stays below 24 KiB.
pub const ENTRY_BYTES_MAX: usize = 32 * 1024;
/// Most events of one entry.
pub const ENTRY_EVENTS_MAX: usize = u8::MAX as usize;
/// About how many bytes lie between two cut points.
const CUT_BYTES: usize = 16 * 1024;

/// A place between two entries of a buffer: everything before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    /// Bytes before it.
    pub(super) bytes: usize,
    /// Events before it.
    pub(super) events: u32,
}

/// The encoded entries of one drain round, ready to be handed to the journal, and reusable afterwards.
///
/// It remembers a cut point about every 16 KiB, so that the writer can pack frames by copying whole stretches and
/// never walks single entries.
#[derive(Debug, Default)]
pub struct EntryBuffer {
    bytes: Vec<u8>,
    cuts: Vec<Cut>,
    events: u32,
}

impl EntryBuffer {
    /// An empty buffer, without an allocation.
    pub fn new() -> Self {
        Self::default()
    }

    /// Encodes the events of one decision as one entry. Costs about 80 ns for a one-line order.
    ///
    /// # Panics
    /// Without events, with more than [`ENTRY_EVENTS_MAX`], or above [`ENTRY_BYTES_MAX`]: requests are bounded so
    /// that no decision comes near.
    pub fn push(&mut self, events: &[Event]) {
        let [first, ..] = events else { panic!("an entry needs an event") };
        assert!(events.len() <= ENTRY_EVENTS_MAX, "{} events in one entry", events.len());
        let start = self.begin(first.slot(), events.len());
        for event in events {
            codec::encode(event, &mut self.bytes);
        }
        self.finish(start, events.len(), first.name());
    }

    /// Encodes a decision that is one `OrderCreated`, byte for byte as [`EntryBuffer::push`] would.
    ///
    /// # Panics
    /// As [`EntryBuffer::push`].
    pub fn push_created(&mut self, created: &OrderCreated) {
        let start = self.begin(created.order_no.slot(), 1);
        codec::encode_created(created, &mut self.bytes);
        self.finish(start, 1, "OrderCreated");
    }

    /// Begins an entry; gives where.
    fn begin(&mut self, slot: Slot, events: usize) -> usize {
        let start = self.bytes.len();
        // The index is below 1024, and the caller has checked the count.
        self.bytes.extend_from_slice(&(slot.index() as u16).to_le_bytes());
        self.bytes.extend_from_slice(&[events as u8, 0, 0]);
        start
    }

    /// Completes the entry that began at `start`.
    fn finish(&mut self, start: usize, events: usize, name: &str) {
        let entry_bytes = self.bytes.len() - start;
        assert!(entry_bytes <= ENTRY_BYTES_MAX, "an entry that starts with {name} has {entry_bytes} bytes");
        let payload_bytes = (entry_bytes - ENTRY_HEADER_BYTES) as u16;
        self.bytes[start + 3..start + 5].copy_from_slice(&payload_bytes.to_le_bytes());
        self.events += events as u32;
        if self.bytes.len() - self.cuts.last().map_or(0, |cut| cut.bytes) >= CUT_BYTES {
            self.cuts.push(self.end());
        }
    }

    /// How many events it holds.
    pub fn event_count(&self) -> u32 {
        self.events
    }

    /// Whether it holds no entry.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Size of the encoded entries, in bytes.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the entries and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.cuts.clear();
        self.events = 0;
    }

    /// How many bytes it holds on to, used or not.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// The next whole stretch of entries after `from`, which is a cut point, and the cut point after it. `None` at
    /// the end. A stretch has at most 16 KiB plus one entry.
    pub(super) fn stretch(&self, from: Cut) -> Option<(&[u8], Cut)> {
        let next = self.cuts.partition_point(|cut| cut.bytes <= from.bytes);
        let to = self.cuts.get(next).copied().unwrap_or_else(|| self.end());
        (to.bytes > from.bytes).then(|| (&self.bytes[from.bytes..to.bytes], to))
    }

    fn end(&self) -> Cut {
        Cut { bytes: self.bytes.len(), events: self.events }
    }
}

/// One entry of a frame, not decoded yet.
#[derive(Clone, Copy, Debug)]
pub struct EntryView<'f> {
    /// Position of its first event; the others follow without a gap.
    pub first: Position,
    /// The slot of the owner that decided it.
    pub slot: Slot,
    /// How many events it has: 1 to [`ENTRY_EVENTS_MAX`].
    pub event_count: u32,
    pub(super) codec_version: u8,
    pub(super) payload: &'f [u8],
}

impl<'f> EntryView<'f> {
    /// Takes the entry at the front of `bytes` apart; `None` unless there is a whole one. The rest is what follows.
    pub(super) fn split(
        bytes: &'f [u8],
        first: Position,
        codec_version: u8,
    ) -> Option<(EntryView<'f>, &'f [u8])> {
        let ([slot_low, slot_high, count, len_low, len_high], rest) = bytes.split_first_chunk()?;
        let slot = Slot::from_index(u16::from_le_bytes([*slot_low, *slot_high]))?;
        let payload_bytes = usize::from(u16::from_le_bytes([*len_low, *len_high]));
        let (payload, rest) = rest.split_at_checked(payload_bytes)?;
        let event_count = u32::from(*count);
        (event_count > 0).then_some((EntryView { first, slot, event_count, codec_version, payload }, rest))
    }

    /// Position of its last event.
    pub fn last(&self) -> Position {
        Position(self.first.0 + u64::from(self.event_count) - 1)
    }

    /// Decodes the events one after the other, each with its position; about 150 ns each.
    ///
    /// An error ends the iteration: the entry is then to be taken as a whole for damaged.
    pub fn events(&self) -> Events<'f> {
        Events {
            position: self.first,
            left: self.event_count,
            codec_version: self.codec_version,
            bytes: self.payload,
        }
    }
}

/// The events of one entry, decoded on the way.
#[derive(Clone, Debug)]
pub struct Events<'f> {
    position: Position,
    left: u32,
    codec_version: u8,
    bytes: &'f [u8],
}

impl Iterator for Events<'_> {
    type Item = Result<(Position, Event), JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let position = self.position;
        self.position.0 += 1;
        let decoded = codec::decode(self.codec_version, &mut self.bytes);
        let failed = |what: String| {
            Some(Err(JournalError::damaged(format!(
                "the event at position {position} can't be decoded: {what}"
            ))))
        };
        match decoded {
            Ok(_) if self.left == 0 && !self.bytes.is_empty() => {
                failed(format!("{} bytes are left over behind it", self.bytes.len()))
            }
            Ok(event) => Some(Ok((position, event))),
            Err(error) => {
                self.left = 0;
                failed(error.to_string())
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left as usize))
    }
}
