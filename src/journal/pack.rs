//! Packing entries into frames by copying whole stretches between cut points.

use crate::domain::ids::Position;

use super::entry::{Cut, EntryBuffer};
use super::frame::{EncodedFrame, FRAME_BYTES_TARGET};

/// Frames under construction, with the memory of earlier ones to reuse.
#[derive(Debug, Default)]
pub(super) struct Packer {
    frames: Vec<EncodedFrame>,
    spare: Vec<Vec<u8>>,
    payload_bytes: usize,
    events: u64,
}

impl Packer {
    /// Adds entries of `buffer` from the cut point `from` on, whose first position is `position`, until
    /// `payload_bytes_max` would be exceeded. Returns where it stopped, and whether everything is in.
    pub(super) fn add(
        &mut self,
        buffer: &EntryBuffer,
        from: Cut,
        mut position: Position,
        payload_bytes_max: usize,
    ) -> (Cut, bool) {
        let mut at = from;
        while let Some((entries, next)) = buffer.stretch(at) {
            if self.payload_bytes > 0 && self.payload_bytes + entries.len() > payload_bytes_max {
                return (at, false);
            }
            let count = next.events - at.events;
            self.extend(entries, count, position);
            self.payload_bytes += entries.len();
            self.events += u64::from(count);
            position.0 += u64::from(count);
            at = next;
        }
        (at, true)
    }

    /// Finishes the last frame and shows all of them.
    pub(super) fn finish(&mut self) -> &[EncodedFrame] {
        if let Some(frame) = self.frames.last_mut() {
            frame.finish();
        }
        &self.frames
    }

    /// Size of the entries in the frames.
    pub(super) fn payload_bytes(&self) -> usize {
        self.payload_bytes
    }

    /// Number of events in the frames.
    pub(super) fn events(&self) -> u64 {
        self.events
    }

    /// Forgets the frames and keeps their memory.
    pub(super) fn clear(&mut self) {
        self.spare.extend(self.frames.drain(..).map(EncodedFrame::into_bytes));
        self.payload_bytes = 0;
        self.events = 0;
    }

    fn extend(&mut self, entries: &[u8], count: u32, position: Position) {
        if let Some(frame) = self.frames.last_mut() {
            if frame.bytes().len() < FRAME_BYTES_TARGET && frame.try_extend(entries, count) {
                return;
            }
            frame.finish();
        }
        let mut frame = EncodedFrame::begin(position, self.spare.pop().unwrap_or_default());
        // A stretch has at most 16 KiB plus one entry of at most 32 KiB.
        assert!(frame.try_extend(entries, count), "a stretch of {} bytes fits no frame", entries.len());
        self.frames.push(frame);
    }
}

/// Packs all entries of a buffer into frames that begin at `first`; for import, tests and benchmarks.
pub fn pack(buffer: &EntryBuffer, first: Position) -> Vec<EncodedFrame> {
    let mut packer = Packer::default();
    packer.add(buffer, Cut::default(), first, usize::MAX);
    packer.finish();
    packer.frames
}
