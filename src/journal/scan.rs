//! One pass over the journal, for recovery and verification.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::ids::Position;

use super::{Frame, JournalError, JournalRead};

/// How many bytes one step of a scan reads.
const STEP_BYTES: usize = 4 * 1024 * 1024;

/// Reads every frame from the one that contains `from` to the last one there is when the scan begins, once, in
/// bounded steps. Together with the checks of [`JournalRead::read`] it shows that nothing is missing in between.
pub fn scan(reader: Arc<dyn JournalRead>, from: Position) -> Scan {
    let last = reader.last();
    Scan { reader, next: from, last, read: VecDeque::new() }
}

/// The frames of a [`scan`]. An error ends it.
pub struct Scan {
    reader: Arc<dyn JournalRead>,
    next: Position,
    last: Position,
    read: VecDeque<Frame>,
}

impl Iterator for Scan {
    type Item = Result<Frame, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_empty() && self.next <= self.last {
            match self.reader.read(self.next, STEP_BYTES) {
                Ok(frames) => self.read = frames.into(),
                Err(error) => {
                    self.next = Position(u64::MAX);
                    return Some(Err(error));
                }
            }
        }
        let frame = self.read.pop_front()?;
        self.next = Position(frame.last().0 + 1);
        Some(Ok(frame))
    }
}
