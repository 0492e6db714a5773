//! What a subscription shows of itself, written by its task and read by everybody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::book::{StoredState, SubscriptionRecord};
use super::spec::SubscriptionSpec;
use super::status::{SubscriptionState, SubscriptionStatus};
use super::world::World;
use crate::domain::ids::Position;

/// Missing ranges that are remembered; beyond that the two oldest become one that covers both.
const MISSING_MAX: usize = 100;

/// A subscription's figures and state.
#[derive(Debug)]
pub(super) struct Board {
    standing: Mutex<Standing>,
    cursor: AtomicU64,
    /// When the oldest event behind the cursor happened, in ms since the Unix epoch; 0 where that is not known.
    oldest_at_ms: AtomicU64,
    dead_letters: AtomicU64,
    in_flight: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) retried: AtomicU64,
}

/// What is stored of a subscription, and what happens to it beside that.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) spec: Arc<SubscriptionSpec>,
    pub(super) configured: bool,
    pub(super) stored: StoredState,
    pub(super) missing: Vec<(Position, Position)>,
    /// Its sink can't be reached: why, and since when, in ms since the Unix epoch.
    pub(super) down: Option<(String, u64)>,
    /// It has failed, and waits for somebody to look after it.
    pub(super) failed: Option<String>,
}

impl Standing {
    /// As it is stored.
    pub(super) fn record(&self) -> SubscriptionRecord {
        let mut record = SubscriptionRecord::new((*self.spec).clone(), self.configured);
        record.state = self.stored.clone();
        record.missing.clone_from(&self.missing);
        record
    }

    /// Notes positions that it will never get, both included.
    pub(super) fn miss(&mut self, from: Position, up_to: Position) {
        if self.missing.len() >= MISSING_MAX
            && let [(_, first_end), (_, second_end), ..] = &mut *self.missing
        {
            *first_end = *second_end;
            self.missing.remove(1);
        }
        self.missing.push((from, up_to));
    }

    fn state(&self) -> SubscriptionState {
        if let Some(reason) = &self.failed {
            return SubscriptionState::Failed { reason: reason.clone() };
        }
        match (&self.stored, &self.down) {
            (StoredState::Paused { .. }, _) => SubscriptionState::Paused,
            (StoredState::Suspended { reason, .. }, _) => {
                SubscriptionState::Suspended { reason: reason.clone() }
            }
            (StoredState::Running, Some((reason, since_ms))) => {
                SubscriptionState::Down { reason: reason.clone(), since_ms: *since_ms }
            }
            (StoredState::Running, None) => SubscriptionState::Running,
        }
    }
}

impl Board {
    /// The board of a subscription as it is stored.
    pub(super) fn new(record: SubscriptionRecord, cursor: Position) -> Self {
        let standing = Standing {
            spec: Arc::new(record.spec),
            configured: record.configured,
            stored: record.state,
            missing: record.missing,
            down: None,
            failed: None,
        };
        Self {
            standing: Mutex::new(standing),
            cursor: AtomicU64::new(cursor.0),
            oldest_at_ms: AtomicU64::default(),
            dead_letters: AtomicU64::default(),
            in_flight: AtomicU64::default(),
            delivered: AtomicU64::default(),
            skipped: AtomicU64::default(),
            retried: AtomicU64::default(),
        }
    }

    /// Its standing, to be looked at or changed; held for moments only.
    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spec(&self) -> Arc<SubscriptionSpec> {
        Arc::clone(&self.standing().spec)
    }

    /// Why it does not run, if so.
    pub(super) fn stopped(&self) -> Option<String> {
        match self.standing().state() {
            SubscriptionState::Running | SubscriptionState::Down { .. } => None,
            SubscriptionState::Paused => Some("it is paused".to_owned()),
            SubscriptionState::Suspended { reason } => Some(format!("it is suspended: {reason}")),
            SubscriptionState::Failed { reason } => Some(format!("it has failed: {reason}")),
        }
    }

    /// Everything before this position is done with.
    pub(super) fn cursor(&self) -> Position {
        Position(self.cursor.load(Ordering::Acquire))
    }

    pub(super) fn set_cursor(&self, cursor: Position) {
        self.cursor.store(cursor.0, Ordering::Release);
    }

    pub(super) fn set_oldest_at_ms(&self, at_ms: u64) {
        self.oldest_at_ms.store(at_ms, Ordering::Relaxed);
    }

    pub(super) fn set_dead_letters(&self, len: usize) {
        self.dead_letters.store(len as u64, Ordering::Relaxed);
    }

    pub(super) fn set_in_flight(&self, len: usize) {
        self.in_flight.store(len as u64, Ordering::Relaxed);
    }

    /// Bytes of journal behind its cursor, whether they are kept or not.
    pub(super) fn bytes_behind(&self, world: &World) -> u64 {
        world.holds.bytes_behind(Position(self.cursor().0.saturating_sub(1)))
    }

    /// Everything that it shows.
    pub(super) fn status(&self, world: &World) -> SubscriptionStatus {
        let standing = self.standing().clone();
        let cursor = self.cursor();
        let released = matches!(standing.stored, StoredState::Suspended { released: true, .. });
        let lag_events = (world.journal.durable().0 + 1).saturating_sub(cursor.0);
        let oldest_at_ms = self.oldest_at_ms.load(Ordering::Relaxed);
        let lag_ms = if lag_events == 0 || oldest_at_ms == 0 {
            0
        } else {
            world.clock.now_ms().saturating_sub(oldest_at_ms)
        };
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        SubscriptionStatus {
            state: standing.state(),
            spec: standing.spec,
            configured: standing.configured,
            cursor,
            lag_events,
            lag_bytes: if released { 0 } else { self.bytes_behind(world) },
            lag_ms,
            missing: standing.missing,
            dead_letters: read(&self.dead_letters),
            delivered: read(&self.delivered),
            skipped: read(&self.skipped),
            retried: read(&self.retried),
            in_flight: read(&self.in_flight),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_ranges_are_bounded_and_none_is_forgotten() {
        let spec = serde_json::from_str(r#"{"sink":{"kind":"pull"}}"#).unwrap();
        let board = Board::new(SubscriptionRecord::new(spec, false), Position(1));
        let mut standing = board.standing();
        for n in 0..MISSING_MAX as u64 + 5 {
            standing.miss(Position(10 * n), Position(10 * n + 3));
        }
        assert_eq!(standing.missing.len(), MISSING_MAX);
        assert_eq!(standing.missing[0], (Position(0), Position(53)));
        assert_eq!(standing.missing[1], (Position(60), Position(63)));
    }
}
