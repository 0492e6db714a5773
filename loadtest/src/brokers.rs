//! Brokers as the other system sees them: consumers that keep what comes in a [`Received`], however often the broker goes
//! away, and the commands that make it go away and come back.

pub(crate) mod control;
pub(crate) mod nats;
pub(crate) mod rabbitmq;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::relayed::Received;

/// How long a consumer waits before it connects again.
pub(crate) const RECONNECT: Duration = Duration::from_millis(200);
/// Longest wait for a broker to answer a connection.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long a consumer waits for a message before it looks whether it is to stop.
pub(crate) const QUIET: Duration = Duration::from_millis(500);

/// What a consumer and its owner share.
#[derive(Clone, Default)]
pub(crate) struct Inbox {
    received: Arc<Mutex<Received>>,
    stop: Arc<AtomicBool>,
}

impl Inbox {
    pub(crate) fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The consumer ends at the next opportunity.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A name for queues, exchanges and streams that no other run has.
pub(crate) fn unique_name() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("stockade-loadtest-{}-{:x}", std::process::id(), since.as_millis())
}
