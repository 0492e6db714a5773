//! Positions of events that are not appended yet.

use super::Order;
use crate::domain::ids::Position;

/// Marks a position that is still relative to the entry's batch, see [`Order::settle_positions`].
const PROVISIONAL: u64 = 1 << 63;

impl Position {
    /// The position of the event with this index in a batch that has not been appended yet.
    pub(crate) const fn provisional(index: u32) -> Self {
        Self(PROVISIONAL | index as u64)
    }

    /// Whether it is not final yet.
    pub(crate) const fn is_provisional(self) -> bool {
        self.0 & PROVISIONAL != 0
    }

    /// The final position, given that of the batch's first event.
    pub(crate) fn settle(&mut self, first: Position) {
        if self.0 & PROVISIONAL != 0 {
            self.0 = first.0 + (self.0 & !PROVISIONAL);
        }
    }
}

impl Order {
    /// Replaces the provisional positions of a batch that has been appended at `first`.
    pub(crate) fn settle_positions(&mut self, first: Position) {
        self.created_position.settle(first);
        self.last_position.settle(first);
        if let Some(history) = &mut self.history {
            for entry in history.timeline.iter_mut().rev() {
                if !entry.position.is_provisional() {
                    break;
                }
                entry.position.settle(first);
            }
        }
    }
}
