//! The journal of a simulation: what was appended, how much of it is committed, and the answers that wait for that.
//!
//! Entries go through the real encoding and framing, so that a fact that doesn't survive it fails the run.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::random::Random;
use crate::actors::reply::Answer;
use crate::domain::event::Event;
use crate::domain::ids::{Position, Slot};
use crate::journal::{EncodedFrame, EntryBuffer, Frame, pack};

/// One decision as the journal has it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Position of its first event.
    pub(super) first: Position,
    /// The slot of the owner that decided it.
    pub(super) slot: Slot,
    /// What happened.
    pub(super) events: Vec<Event>,
}

/// What is to be done once a batch is committed.
pub(super) enum Acknowledge {
    /// Send these answers.
    Answers(Vec<Answer>),
    /// Give out order numbers up to this time.
    Numbers(u64),
}

struct Batch {
    entries_end: usize,
    acknowledge: Option<Acknowledge>,
}

/// The journal.
#[derive(Default)]
pub(super) struct Log {
    /// The whole history, for the oracle; the process can read it from `trimmed_len` on.
    entries: Vec<Entry>,
    trimmed_len: usize,
    committed_len: usize,
    queue: VecDeque<Batch>,
}

/// The entries of a buffer, as if it were appended at `first`.
pub(super) fn decode(buffer: &EntryBuffer, first: Position) -> Vec<Entry> {
    let mut entries = Vec::new();
    for encoded in pack(buffer, first) {
        for view in parse(&encoded).entries() {
            let events = view.events().map(|event| event.unwrap().1).collect();
            entries.push(Entry { first: view.first, slot: view.slot, events });
        }
    }
    entries
}

fn parse(encoded: &EncodedFrame) -> Frame {
    let bytes = Arc::new(encoded.bytes().to_vec());
    Frame::parse(encoded.first(), bytes).expect("what was framed can be read")
}

fn end_of(entries: &[Entry]) -> Position {
    entries.last().map_or(Position(0), Entry::last)
}

impl Entry {
    /// Position of its last event.
    fn last(&self) -> Position {
        Position(self.first.0 + self.events.len() as u64 - 1)
    }
}

impl Log {
    /// The last position given out.
    pub(super) fn appended(&self) -> Position {
        end_of(&self.entries)
    }

    /// The last position whose answers may leave.
    pub(super) fn acknowledged(&self) -> Position {
        end_of(&self.entries[..self.committed_len])
    }

    /// All entries, committed or not.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Entries that are committed.
    pub(super) fn committed(&self) -> &[Entry] {
        &self.entries[..self.committed_len]
    }

    /// The first position that the process can read.
    pub(super) fn first(&self) -> Position {
        Position(end_of(&self.entries[..self.trimmed_len]).0 + 1)
    }

    /// Committed entries in frames of any size, from the one that contains `from` on, with about `events_max` events.
    pub(super) fn frames(&self, random: &mut Random, from: Position, events_max: u64) -> Vec<Frame> {
        let committed = self.committed();
        let mut start = committed.partition_point(|entry| entry.last() < from);
        assert!(start >= self.trimmed_len, "the journal is trimmed behind {from}");
        if start > self.trimmed_len && random.percent(30) {
            // A frame may begin before what is asked for.
            start -= 1;
        }
        let mut frames = Vec::new();
        let mut rest = &committed[start..];
        while let Some(first) = rest.first()
            && first.first.0 < from.0.saturating_add(events_max)
        {
            let len = random.between(1, 4).min(rest.len() as u64) as usize;
            let mut buffer = EntryBuffer::new();
            rest[..len].iter().for_each(|entry| buffer.push(&entry.events));
            for encoded in pack(&buffer, first.first) {
                frames.push(parse(&encoded));
            }
            rest = &rest[len..];
        }
        frames
    }

    /// Takes away entries that lie wholly before `keep_from`, never the last one; gives how many.
    pub(super) fn trim(&mut self, keep_from: Position) -> u64 {
        let before = self.trimmed_len;
        let end = self.committed().partition_point(|entry| entry.last() < keep_from);
        self.trimmed_len = before.max(end.min(self.committed_len.saturating_sub(1)));
        (self.trimmed_len - before) as u64
    }

    /// Whether anything waits to be committed.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes over a round's entries; gives the position of the first event and the indices of the entries.
    pub(super) fn append(
        &mut self,
        buffer: &mut EntryBuffer,
        acknowledge: Option<Acknowledge>,
    ) -> (Position, Range<usize>) {
        let first = Position(self.appended().0 + 1);
        let start = self.entries.len();
        self.entries.extend(decode(buffer, first));
        assert_eq!(self.appended().0 + 1, first.0 + u64::from(buffer.event_count()), "every event is framed");
        buffer.clear();
        let entries_end = self.entries.len();
        self.queue.push_back(Batch { entries_end, acknowledge });
        (first, start..entries_end)
    }

    /// Commits the oldest batches; gives the indices of their entries and what is to be done then.
    pub(super) fn commit(&mut self, batches_max: usize) -> (Range<usize>, Vec<Acknowledge>) {
        let start = self.committed_len;
        let mut acknowledge = Vec::new();
        for _ in 0..batches_max {
            let Some(batch) = self.queue.pop_front() else { break };
            self.committed_len = batch.entries_end;
            acknowledge.extend(batch.acknowledge);
        }
        (start..self.committed_len, acknowledge)
    }

    /// The process dies: of what was not committed, the first `survivors_max` entries reached the disk all the same.
    /// Nobody is answered. Gives the indices of the survivors.
    pub(super) fn crash(&mut self, survivors_max: usize) -> Range<usize> {
        let start = self.committed_len;
        self.entries.truncate(start + survivors_max);
        self.committed_len = self.entries.len();
        self.queue.clear();
        start..self.committed_len
    }
}
