//! In-flight credits: the bound that every inner queue inherits (R12).
//!
//! A request takes a credit at the front door and gives it back with its answer. The credit belongs to the request
//! and not to the caller's future, so there is no guard that would return it when a future is dropped.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;
use tokio::sync::Notify;

/// Somebody has waited for the idle moment, so each one is announced from then on.
const AWAITED: u64 = 1 << 63;
/// The bound is off: nothing is counted any more.
const VOID: u64 = 1 << 62;
/// The rest of the word: credits in use.
const IN_USE: u64 = VOID - 1;

/// A fixed number of credits, shared by all callers. Alone on its cache line.
pub struct Credits {
    state: CachePadded<AtomicU64>,
    max: u64,
    idle: Notify,
}

impl fmt::Debug for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credits").field("in_use", &self.in_use()).field("max", &self.max).finish()
    }
}

impl Credits {
    /// `max` credits, all free; at most 2^61.
    ///
    /// # Panics
    /// If `max` is above 2^61.
    pub fn new(max: u64) -> Self {
        assert!(max <= 1 << 61, "{max} credits: at most 2^61 are possible");
        Self { state: CachePadded::new(AtomicU64::new(0)), max, idle: Notify::new() }
    }

    /// Takes `n` credits, all or none. Never blocks: one compare-and-swap, repeated only when another caller was
    /// faster.
    #[must_use]
    pub fn try_take(&self, n: u64) -> bool {
        // Adding first and undoing on overflow would be one instruction less, but while a large batch undoes, it
        // would refuse small requests for which there is room.
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & VOID != 0 {
                return true;
            }
            if n > self.max.saturating_sub(state & IN_USE) {
                return false;
            }
            match self.state.compare_exchange_weak(state, state + n, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(actual) => state = actual,
            }
        }
    }

    /// Gives `n` credits back; what happened before is visible to whoever sees the credits idle.
    ///
    /// # Panics
    /// If more are given back than are in use: a request was answered twice, which is a bug.
    pub fn give_back(&self, n: u64) {
        // What was taken after the bound went off was not counted; what was taken before and is given back at that very
        // moment still is.
        if self.state.load(Ordering::Acquire) & VOID != 0 {
            return;
        }
        let before = self.state.fetch_sub(n, Ordering::AcqRel);
        assert!(before & IN_USE >= n, "{n} credits given back, {} in use", before & IN_USE);
        if before == (AWAITED | n) {
            self.idle.notify_waiters();
        }
    }

    /// Stops counting: from here on every credit is granted and none is in use. For an engine that has failed and let
    /// go of its requests, whose credits nobody gives back.
    pub fn void(&self) {
        self.state.fetch_or(VOID, Ordering::AcqRel);
        self.idle.notify_waiters();
    }

    /// Credits in use at this moment.
    pub fn in_use(&self) -> u64 {
        let state = self.state.load(Ordering::Acquire);
        if state & VOID == 0 { state & IN_USE } else { 0 }
    }

    /// Credits there are.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Waits for a moment at which no credit is in use. For ordered shutdown, after the front door was closed:
    /// otherwise the moment may have passed when this returns, or never come.
    pub async fn wait_idle(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // Enlisted before the count is read, so the last credit can't slip back in between.
            idle.as_mut().enable();
            let state = self.state.fetch_or(AWAITED, Ordering::AcqRel);
            if state & IN_USE == 0 || state & VOID != 0 {
                return;
            }
            idle.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn credits_are_taken_all_or_none() {
        let credits = Credits::new(10);
        assert!(credits.try_take(7));
        assert!(!credits.try_take(4));
        assert!(credits.try_take(3));
        assert!(!credits.try_take(1));
        assert!(credits.try_take(0));
        assert!(!credits.try_take(u64::MAX));
        credits.give_back(10);
        assert_eq!((credits.in_use(), credits.max()), (0, 10));
    }

    #[tokio::test]
    async fn voided_credits_bound_nothing_and_await_nobody() {
        let credits = Credits::new(1);
        assert!(credits.try_take(1));
        credits.void();
        assert!(credits.try_take(5));
        credits.give_back(5);
        assert_eq!(credits.in_use(), 0);
        credits.wait_idle().await;
    }

    #[test]
    #[should_panic(expected = "given back")]
    fn giving_back_too_many_is_a_bug() {
        let credits = Credits::new(2);
        assert!(credits.try_take(1));
        credits.give_back(2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn waiting_ends_with_the_last_credit_and_the_bound_holds_under_contention() {
        let credits = Arc::new(Credits::new(3));
        credits.wait_idle().await;
        assert!(credits.try_take(1));
        let waiter = tokio::spawn({
            let credits = credits.clone();
            async move { credits.wait_idle().await }
        });
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let credits = credits.clone();
                tokio::spawn(async move {
                    for _ in 0..20_000 {
                        if credits.try_take(2) {
                            assert!(credits.in_use() <= 3);
                            credits.give_back(2);
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        assert!(!waiter.is_finished(), "one credit is still in use");
        assert_eq!(credits.in_use(), 1);
        credits.give_back(1);
        waiter.await.unwrap();
    }
}
