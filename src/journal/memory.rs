//! The journal in memory: for tests, for simulation, and for the memory level.
//!
//! It can fail at a chosen write or sync, remembers the order of operations, and gives the journal that a crash would
//! leave. A clone is another view of the same journal, so a test keeps one while the writer owns the other.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::ids::Position;

use super::frame::{EncodedFrame, Frame};
use super::{Journal, JournalError, JournalRead, TrimProgress};

/// An operation of the journal that has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Frames with these positions were written.
    Write {
        /// The first one.
        first: Position,
        /// The last one.
        last: Position,
    },
    /// Everything up to this position was synced.
    Sync {
        /// The last one.
        last: Position,
    },
    /// The journal was cut off before this position.
    Trim {
        /// The first position since.
        first: Position,
    },
}

/// A journal without a disk.
#[derive(Clone, Debug)]
pub struct MemoryJournal {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    retained_bytes_max: usize,
    first: Position,
    written: Position,
    synced: Position,
    writes: u64,
    syncs: u64,
    fail_write: Option<u64>,
    fail_sync: Option<u64>,
    operations: Option<Vec<Operation>>,
}

impl MemoryJournal {
    /// An empty journal that keeps about `retained_bytes_max` bytes and forgets its oldest synced frames above that.
    pub fn new(retained_bytes_max: usize) -> Self {
        Self::with_frames(VecDeque::new(), Position(1), Position(0), retained_bytes_max)
    }

    fn with_frames(
        frames: VecDeque<Frame>,
        first: Position,
        last: Position,
        retained_bytes_max: usize,
    ) -> Self {
        let bytes = frames.iter().map(|frame| frame.bytes().len()).sum();
        let state = State {
            frames,
            bytes,
            retained_bytes_max,
            first,
            written: last,
            synced: last,
            writes: 0,
            syncs: 0,
            fail_write: None,
            fail_sync: None,
            operations: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Lets the `nth` write fail, counted from 1 since the journal was made; its frames are not stored.
    pub fn fail_write_at(&self, nth: u64) {
        self.lock().fail_write = Some(nth);
    }

    /// Lets the `nth` sync fail, counted from 1 since the journal was made.
    pub fn fail_sync_at(&self, nth: u64) {
        self.lock().fail_sync = Some(nth);
    }

    /// From now on remembers every operation. The list grows without bound: for tests only.
    pub fn record_operations(&self) {
        self.lock().operations.get_or_insert_default();
    }

    /// What was done since [`MemoryJournal::record_operations`].
    pub fn operations(&self) -> Vec<Operation> {
        self.lock().operations.clone().unwrap_or_default()
    }

    /// The last position written.
    pub fn written(&self) -> Position {
        self.lock().written
    }

    /// The last position synced.
    pub fn synced(&self) -> Position {
        self.lock().synced
    }

    /// The journal as the next process finds it when this one crashes now: everything written.
    pub fn after_process_crash(&self) -> Self {
        let written = self.lock().written;
        self.up_to(written)
    }

    /// The journal as it is found after a power cut now: everything synced, and nothing more, which is the least
    /// that a disk may keep.
    pub fn after_power_cut(&self) -> Self {
        let synced = self.lock().synced;
        self.up_to(synced)
    }

    fn up_to(&self, last: Position) -> Self {
        let state = self.lock();
        let frames = state.frames.iter().filter(|frame| frame.last() <= last).cloned().collect();
        Self::with_frames(frames, state.first, last, state.retained_bytes_max)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn record(&mut self, operation: Operation) {
        if let Some(operations) = &mut self.operations {
            operations.push(operation);
        }
    }

    fn remove_first(&mut self) {
        if let Some(removed) = self.frames.pop_front() {
            self.bytes -= removed.bytes().len();
            self.first = Position(removed.last().0 + 1);
        }
    }
}

fn injected(doing: &'static str) -> JournalError {
    JournalError::io(doing, "the journal in memory".as_ref(), io::Error::other("injected fault"))
}

impl Journal for MemoryJournal {
    fn write(&mut self, frames: &[EncodedFrame]) -> Result<(), JournalError> {
        let mut state = self.lock();
        state.writes += 1;
        if state.fail_write == Some(state.writes) {
            return Err(injected("write"));
        }
        for encoded in frames {
            assert_eq!(encoded.first().0, state.written.0 + 1, "frames must follow each other without a gap");
            let frame = Frame::parse(encoded.first(), Arc::new(encoded.bytes().to_vec()))?;
            state.written = frame.last();
            state.bytes += frame.bytes().len();
            state.frames.push_back(frame);
        }
        if let [first, .., last] | [first @ last] = frames {
            state.record(Operation::Write { first: first.first(), last: last.last() });
        }
        Ok(())
    }

    fn sync(&mut self, last: Position) -> Result<(), JournalError> {
        let mut state = self.lock();
        assert!(last <= state.written, "position {last} was never written");
        state.syncs += 1;
        if state.fail_sync == Some(state.syncs) {
            return Err(injected("sync"));
        }
        state.synced = last;
        state.record(Operation::Sync { last });
        while state.bytes > state.retained_bytes_max && state.frames.len() > 1 {
            state.remove_first();
        }
        Ok(())
    }

    fn trim(&mut self, keep_from: Position) -> Result<TrimProgress, JournalError> {
        let mut state = self.lock();
        let mut removed = 0;
        while state.frames.len() > 1 && state.frames.front().is_some_and(|frame| frame.last() < keep_from) {
            state.remove_first();
            removed += 1;
        }
        let first = state.first;
        state.record(Operation::Trim { first });
        Ok(TrimProgress { frames: removed, more: false })
    }

    fn reader(&self) -> Arc<dyn JournalRead> {
        Arc::new(self.clone())
    }
}

impl JournalRead for MemoryJournal {
    fn read(&self, from: Position, bytes_max: usize) -> Result<Vec<Frame>, JournalError> {
        let state = self.lock();
        if from < state.first {
            return Err(JournalError::PositionTrimmed { asked: from, first: state.first });
        }
        let start = state.frames.partition_point(|frame| frame.last() < from);
        let mut bytes = 0;
        let mut frames = Vec::new();
        for frame in state.frames.range(start..).take_while(|frame| frame.last() <= state.synced) {
            frames.push(frame.clone());
            bytes += frame.bytes().len();
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(frames)
    }

    fn first(&self) -> Position {
        self.lock().first
    }

    fn last(&self) -> Position {
        self.lock().synced
    }
}
