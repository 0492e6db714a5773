//! The gate: whether the engine takes writes, and why not.
//!
//! Shutdown goes one way, open → draining → closed, so that each phase can rely on the one before. Beside that stands
//! *poisoned*, which is final (R13): after the first failed write or a panic nothing is accepted any more. And, for the end
//! of a shutdown, a bounded wait for those who still hold on to something.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// How long [`until_gone`] waits between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a gate lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GateState {
    /// Everything.
    Open = 0,
    /// Nothing new; what is inside is being finished.
    Draining = 1,
    /// Nothing; what was inside is done.
    Closed = 2,
    /// Nothing, for good: the engine failed.
    Poisoned = 3,
}

/// Why a gate is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Shut {
    /// The engine is shutting down or has shut down.
    #[error("the engine is shut down: start it again")]
    Closed,
    /// The engine failed.
    #[error("the engine has failed: restart it, and it recovers")]
    Poisoned,
}

/// The engine's gate, shared by all that may have to refuse.
pub struct Gate {
    state: AtomicU8,
    reason: OnceLock<Box<str>>,
    poisoned: Notify,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("state", &self.state()).field("reason", &self.reason()).finish()
    }
}

impl Gate {
    /// An open gate.
    pub fn new() -> Self {
        Self { state: AtomicU8::new(GateState::Open as u8), reason: OnceLock::new(), poisoned: Notify::new() }
    }

    /// Whether something new may enter: one load.
    ///
    /// # Errors
    /// [`Shut::Closed`] from the beginning of draining on, [`Shut::Poisoned`] after a failure.
    pub fn check(&self) -> Result<(), Shut> {
        match self.state() {
            GateState::Open => Ok(()),
            GateState::Draining | GateState::Closed => Err(Shut::Closed),
            GateState::Poisoned => Err(Shut::Poisoned),
        }
    }

    /// The state; whoever sees *poisoned* also sees the reason.
    pub fn state(&self) -> GateState {
        match self.state.load(Ordering::Acquire) {
            0 => GateState::Open,
            1 => GateState::Draining,
            2 => GateState::Closed,
            _ => GateState::Poisoned,
        }
    }

    /// Lets nothing new in; returns whether the gate was open.
    pub fn begin_drain(&self) -> bool {
        self.advance(GateState::Draining)
    }

    /// What was inside is done; returns whether the gate was open or draining.
    pub fn close(&self) -> bool {
        self.advance(GateState::Closed)
    }

    /// Shuts the gate for good, from any state. The first reason is kept; returns whether it was this one.
    pub fn poison(&self, reason: impl Into<Box<str>>) -> bool {
        let first = self.reason.set(reason.into()).is_ok();
        // Also by whoever comes second: the gate is shut when the call returns, whoever was faster.
        self.state.store(GateState::Poisoned as u8, Ordering::Release);
        self.poisoned.notify_waiters();
        first
    }

    /// Why the engine failed, if it did.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(AsRef::as_ref)
    }

    /// Waits until the gate is poisoned, and returns why.
    pub async fn wait_poisoned(&self) -> &str {
        loop {
            let poisoned = self.poisoned.notified();
            tokio::pin!(poisoned);
            // Enlisted before the state is read, so poisoning can't slip in between.
            poisoned.as_mut().enable();
            if self.state() == GateState::Poisoned {
                return self.reason().unwrap_or_default();
            }
            poisoned.await;
        }
    }

    /// Moves to a later state, never to an earlier one.
    fn advance(&self, to: GateState) -> bool {
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |from| (from < to as u8).then_some(to as u8))
            .is_ok()
    }
}

/// Waits until somebody has let go of something: looks `looks_max` times at most, 1 ms apart, and then waits no longer.
///
/// For those who can't say when they are gone, such as the task of a stopped actor, which drops its state last.
pub(crate) async fn until_gone(looks_max: usize, mut is_gone: impl FnMut() -> bool) {
    for _ in 0..looks_max {
        if is_gone() {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn shutdown_goes_one_way() {
        let gate = Gate::new();
        assert_eq!(gate.check(), Ok(()));
        assert!(gate.begin_drain());
        assert!(!gate.begin_drain());
        assert_eq!((gate.check(), gate.state()), (Err(Shut::Closed), GateState::Draining));
        assert!(gate.close());
        assert!(!gate.begin_drain(), "a closed gate doesn't drain again");
        assert_eq!((gate.check(), gate.state()), (Err(Shut::Closed), GateState::Closed));
    }

    #[test]
    fn poison_is_final_and_keeps_the_first_reason() {
        let gate = Gate::new();
        gate.close();
        assert!(gate.poison("disk full"));
        assert!(!gate.poison(String::from("panic")));
        assert!(!gate.close());
        assert_eq!((gate.check(), gate.reason()), (Err(Shut::Poisoned), Some("disk full")));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_poison() {
        let gate = Arc::new(Gate::new());
        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move { gate.wait_poisoned().await.to_owned() }
        });
        tokio::task::yield_now().await;
        gate.begin_drain();
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        gate.poison("fsync failed");
        assert_eq!(waiter.await.unwrap(), "fsync failed");
        assert_eq!(gate.wait_poisoned().await, "fsync failed");
    }

    #[tokio::test]
    async fn waiting_for_somebody_to_go_ends_when_they_are_gone_or_take_too_long() {
        for (gone_at, looks_max, expected) in [(1, 5, 1), (3, 5, 3), (9, 5, 5), (1, 0, 0)] {
            let mut looks = 0;
            until_gone(looks_max, || {
                looks += 1;
                looks == gone_at
            })
            .await;
            assert_eq!(looks, expected);
        }
    }
}
