//! Who still needs which part of the journal: backups, the search index, the relay's subscriptions.
//!
//! Whoever trims asks here first, under one lock with those who come to read: what a holder was promised stays, and who
//! comes too late is told so. Beside it, how many bytes of the journal lie behind a position, so that a reader who falls
//! back can be told by bytes and not only by events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::ids::Position;

/// Samples kept of how many bytes lie before a position.
const SAMPLES_MAX: usize = 4_096;
/// What an event is taken to be where nothing is known, in bytes.
const EVENT_BYTES: u64 = 100;

/// A position that is trimmed away, or about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLate {
    /// The first position that is there to stay for a holder who comes now.
    pub(crate) first: Position,
}

/// The holders of one journal.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// From where on each holder needs the journal.
    holders: BTreeMap<Box<str>, Position>,
    /// Everything before this is given up to trimming.
    given_up: Position,
    /// Positions with the bytes written before them, ascending.
    samples: VecDeque<(Position, u64)>,
}

impl Holds {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the journal from `from` on, in place of what this holder kept before.
    ///
    /// # Errors
    /// [`TooLate`] where some of that is given up to trimming already; then the holder keeps what it kept.
    pub(crate) fn hold(&self, holder: &str, from: Position) -> Result<(), TooLate> {
        let mut state = self.state();
        if from < state.given_up {
            return Err(TooLate { first: state.given_up });
        }
        state.holders.insert(holder.into(), from);
        Ok(())
    }

    /// Keeps everything that is left, and says from where on that is.
    pub(crate) fn hold_all(&self, holder: &str) -> Position {
        let mut state = self.state();
        let from = state.given_up;
        state.holders.insert(holder.into(), from);
        from
    }

    /// This holder needs nothing any more.
    pub(crate) fn release(&self, holder: &str) {
        self.state().holders.remove(holder);
    }

    /// From where on a holder needs the journal, if it does.
    pub(crate) fn of(&self, holder: &str) -> Option<Position> {
        self.state().holders.get(holder).copied()
    }

    /// Gives up what lies before `wanted`, as far as nobody needs it. Trimming may go up to the position that it answers.
    pub(crate) fn give_up(&self, wanted: Position) -> Position {
        let mut state = self.state();
        let needed = state.holders.values().min().copied().unwrap_or(wanted);
        state.given_up = state.given_up.max(wanted.min(needed));
        state.given_up
    }

    /// What the journal had lost when it was opened: nobody can hold that.
    pub(crate) fn begin_at(&self, first: Position) {
        let mut state = self.state();
        state.given_up = state.given_up.max(first);
    }

    /// Notes that `bytes` have been written in all when the journal ended at `position`.
    pub(crate) fn note_written(&self, position: Position, bytes: u64) {
        let mut state = self.state();
        if state.samples.back().is_some_and(|(last, _)| *last >= position) {
            return;
        }
        if state.samples.len() == SAMPLES_MAX {
            // Every other one goes: what is long ago is known less exactly.
            let mut nth = 0_usize;
            state.samples.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
        }
        state.samples.push_back((position, bytes));
    }

    /// About how many bytes of journal lie behind `position`, up to the last that was noted. Exact to a sample for what this
    /// process has written; before that by the mean size of its events.
    pub(crate) fn bytes_behind(&self, position: Position) -> u64 {
        let state = self.state();
        let Some((last, total)) = state.samples.back().copied() else { return 0 };
        if position >= last {
            return 0;
        }
        let place = state.samples.partition_point(|(noted, _)| *noted <= position);
        if let Some((_, bytes)) = place.checked_sub(1).and_then(|place| state.samples.get(place)) {
            return total - bytes;
        }
        let (first, before) = state.samples.front().copied().unwrap_or((last, total));
        let events = last.0 - first.0;
        let mean = (total - before).checked_div(events).map_or(EVENT_BYTES, |mean| mean.max(1));
        (total - before) + (first.0 - position.0).saturating_mul(mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_somebody_holds_is_given_up() {
        let holds = Holds::default();
        assert_eq!(holds.give_up(Position(10)), Position(10));
        assert_eq!(holds.hold("a", Position(9)), Err(TooLate { first: Position(10) }));
        holds.hold("a", Position(10)).unwrap();
        holds.hold("b", Position(20)).unwrap();
        assert_eq!(holds.give_up(Position(30)), Position(10));
        holds.hold("a", Position(25)).unwrap();
        assert_eq!(holds.give_up(Position(30)), Position(20));
        holds.release("b");
        assert_eq!(holds.give_up(Position(30)), Position(25));
        assert_eq!(holds.give_up(Position(5)), Position(25), "what is given up stays so");
        assert_eq!(holds.hold("a", Position(24)), Err(TooLate { first: Position(25) }));
        assert_eq!(holds.of("a"), Some(Position(25)), "the old hold goes on");
        assert_eq!(holds.hold_all("c"), Position(25));
    }

    #[test]
    fn bytes_are_counted_from_samples_and_estimated_before_them() {
        let holds = Holds::default();
        assert_eq!(holds.bytes_behind(Position(5)), 0);
        holds.note_written(Position(100), 0);
        holds.note_written(Position(200), 10_000);
        holds.note_written(Position(300), 30_000);
        assert_eq!(holds.bytes_behind(Position(300)), 0);
        assert_eq!(holds.bytes_behind(Position(200)), 20_000);
        assert_eq!(holds.bytes_behind(Position(250)), 20_000);
        assert_eq!(holds.bytes_behind(Position(90)), 30_000 + 10 * 150);
        for n in 0..10_000 {
            holds.note_written(Position(400 + n), 30_000 + n * 100);
        }
        assert!(holds.state().samples.len() <= SAMPLES_MAX);
        assert_eq!(holds.bytes_behind(Position(100)), 30_000 + 9_999 * 100);
    }
}
