//! Waiting for the engine's store, which follows the journal at its own pace.

use std::time::{Duration, Instant};

use stockade::{Engine, Metrics};

/// How often it is looked.
const POLL: Duration = Duration::from_millis(5);
/// Longest wait for the first checkpoint: a short run may be over before it.
const FIRST_MAX: Duration = Duration::from_secs(2);
/// Longest wait for the store to catch up.
const DRAIN_MAX: Duration = Duration::from_secs(120);

/// How the store caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Drained {
    /// How long it took, or was waited.
    pub(crate) ms: u64,
    /// Whether it did.
    pub(crate) complete: bool,
}

/// Whether there is a store that has taken anything in.
pub(crate) fn is_active(metrics: &Metrics) -> bool {
    metrics.stored.0 > 0
}

/// Waits until the store has everything that has been appended when this is called. `None` without an active store.
pub(crate) async fn drain(engine: &Engine) -> Option<Drained> {
    let started = Instant::now();
    let target = engine.metrics().appended;
    loop {
        let metrics = engine.metrics();
        let waited = started.elapsed();
        let ms = waited.as_millis() as u64;
        if !is_active(&metrics) && waited > FIRST_MAX {
            return None;
        }
        if is_active(&metrics) && metrics.stored >= target {
            return Some(Drained { ms, complete: true });
        }
        if waited > DRAIN_MAX || metrics.store_failure.is_some() {
            return is_active(&metrics).then_some(Drained { ms, complete: false });
        }
        tokio::time::sleep(POLL).await;
    }
}
