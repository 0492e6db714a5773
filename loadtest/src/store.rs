//! Waiting for the engine's store, which follows the journal at its own pace.

use std::time::{Duration, Instant};

use stockade::{Engine, Metrics, Position};

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

/// What one look at the store says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Waiting,
    Inactive,
    Done(Drained),
}

/// Waits until the store has everything that has been appended when this is called. `None` without an active store.
pub(crate) async fn drain(engine: &Engine) -> Option<Drained> {
    let started = Instant::now();
    let target = engine.metrics().appended;
    loop {
        match look(&engine.metrics(), target, started.elapsed()) {
            Look::Waiting => tokio::time::sleep(POLL).await,
            Look::Inactive => return None,
            Look::Done(drained) => return Some(drained),
        }
    }
}

fn look(metrics: &Metrics, target: Position, waited: Duration) -> Look {
    let ms = waited.as_millis() as u64;
    let is_active = is_active(metrics);
    if metrics.store_failure.is_some() {
        return Look::Done(Drained { ms, complete: false });
    }
    if is_active && metrics.stored >= target {
        return Look::Done(Drained { ms, complete: true });
    }
    match is_active {
        true if waited > DRAIN_MAX => Look::Done(Drained { ms, complete: false }),
        false if waited > FIRST_MAX => Look::Inactive,
        _ => Look::Waiting,
    }
}

#[cfg(test)]
mod tests {
    use stockade::{Config, Durability};

    use super::*;

    #[tokio::test]
    async fn a_store_is_waited_for_until_it_has_the_target_has_failed_or_takes_too_long() {
        let engine = Engine::open(Config::new("").durability(Durability::Memory)).await.unwrap();
        let blank = engine.metrics();
        engine.shutdown().await.unwrap();
        let seen = |stored: u64, waited: Duration| {
            look(&Metrics { stored: Position(stored), ..blank.clone() }, Position(10), waited)
        };
        let second = Duration::from_secs(1);
        assert_eq!(seen(0, second), Look::Waiting, "the first checkpoint may be to come");
        assert_eq!(seen(0, 3 * second), Look::Inactive);
        assert_eq!(seen(9, 3 * second), Look::Waiting);
        assert_eq!(seen(9, 121 * second), Look::Done(Drained { ms: 121_000, complete: false }));
        assert_eq!(seen(10, second), Look::Done(Drained { ms: 1_000, complete: true }));
        let failed = Metrics { store_failure: Some("full".to_owned()), ..blank };
        assert_eq!(look(&failed, Position(10), second), Look::Done(Drained { ms: 1_000, complete: false }));
    }
}
