//! The delay queue's alarm: one task that sleeps until the very instant at which the actor has something to do.
//!
//! The engine's ticker looks every few milliseconds, which is too coarse for a caller who waits for a task: its answer
//! has to wait for the journal, too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use tokio::sync::Notify;

use super::DelayItem;
use crate::runtime::clock::Ticker;
use crate::runtime::inbox::Inbox;

/// "Nothing to wait for" in [`DelayBoard`].
const NO_DEADLINE: u64 = u64::MAX;

/// Figures of the queue, as last shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DelayCounts {
    /// Live tasks, dead letters included.
    pub(crate) tasks: u64,
    /// Topics that have some.
    pub(crate) topics: u64,
    /// Size of their ids and bodies, in bytes.
    pub(crate) bytes: u64,
    /// Callers who wait for a task.
    pub(crate) waiters: u64,
}

/// What the actor shows without being asked.
#[derive(Debug)]
pub(crate) struct DelayBoard {
    next_deadline_ms: CachePadded<AtomicU64>,
    changed: Notify,
    counts: [AtomicU64; 4],
}

impl Default for DelayBoard {
    fn default() -> Self {
        Self {
            next_deadline_ms: CachePadded::new(AtomicU64::new(NO_DEADLINE)),
            changed: Notify::new(),
            counts: Default::default(),
        }
    }
}

impl DelayBoard {
    /// Shows when the actor wants to be woken, and its figures. `was_woken` says that the alarm waits for this.
    pub(crate) fn publish(&self, deadline_ms: Option<u64>, counts: DelayCounts, was_woken: bool) {
        let DelayCounts { tasks, topics, bytes, waiters } = counts;
        for (cell, value) in self.counts.iter().zip([tasks, topics, bytes, waiters]) {
            cell.store(value, Ordering::Relaxed);
        }
        let deadline_ms = deadline_ms.unwrap_or(NO_DEADLINE);
        if self.next_deadline_ms.swap(deadline_ms, Ordering::AcqRel) != deadline_ms || was_woken {
            self.changed.notify_one();
        }
    }

    /// The figures as last shown.
    pub(crate) fn counts(&self) -> DelayCounts {
        let [tasks, topics, bytes, waiters] =
            std::array::from_fn(|index| self.counts[index].load(Ordering::Relaxed));
        DelayCounts { tasks, topics, bytes, waiters }
    }
}

/// Wakes the actor at each deadline that its board shows, until it is cancelled.
pub(crate) async fn watch(board: Arc<DelayBoard>, inbox: Arc<Inbox<DelayItem>>, mut ticker: Ticker) {
    loop {
        let deadline_ms = board.next_deadline_ms.load(Ordering::Acquire);
        if deadline_ms != NO_DEADLINE {
            tokio::select! {
                _now_ms = ticker.wait_until(deadline_ms) => {
                    if inbox.push(DelayItem::Tick).is_err() {
                        return;
                    }
                }
                // A word that was left from an earlier change only makes it look again.
                () = board.changed.notified() => continue,
            }
        }
        // Woken, the actor shows its next deadline; until then there is nothing to do.
        board.changed.notified().await;
    }
}
