//! What the store shows of itself, for the metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counters and gauges, written by the projector and the readers.
#[derive(Debug, Default)]
pub(crate) struct StoreBoard {
    pub(crate) checkpoints: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) disk_bytes: AtomicU64,
    /// Engine time at which the oldest durable event that is not stored became known, in ms since the Unix epoch; 0 for
    /// none.
    pub(crate) behind_since_ms: AtomicU64,
    pub(crate) reads: AtomicU64,
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
