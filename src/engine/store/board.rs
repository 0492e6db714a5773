//! What the store shows of itself, for the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters and gauges, written by the projector and the readers.
#[derive(Debug, Default)]
pub(crate) struct StoreBoard {
    pub(crate) checkpoints: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) disk_bytes: AtomicU64,
    /// Engine time of the latest event that is stored, in ms since the Unix epoch.
    pub(crate) stored_at_ms: AtomicU64,
    /// Engine time at which everything was stored when the ticker last looked and it was so.
    pub(crate) up_to_date_at_ms: AtomicU64,
    pub(crate) reads: AtomicU64,
    pub(crate) archived: AtomicU64,
    /// Whether there is merging left to do.
    pub(crate) merging_waits: AtomicBool,
    failed: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl StoreBoard {
    /// The store has stopped: orders go on, the journal is no longer trimmed.
    pub(crate) fn fail(&self, reason: String) {
        tracing::error!(reason, "the store has stopped: orders go on, and the journal grows until a restart");
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(reason);
        self.failed.store(true, Ordering::Release);
    }

    /// Whether it has stopped.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Why it has stopped, if it has.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
