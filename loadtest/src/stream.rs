//! Orders at a steady rate, whatever the engine does (open loop): a latency counts from when its order was due, so that
//! a stall shows in every order that it delayed.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stockade::Engine;
use tokio::task::JoinSet;

use crate::latency::Latencies;
use crate::plan::Plan;
use crate::report::Tally;
use crate::shop;

/// Orders are sent in bunches of what fell due since the last one, so often.
pub(crate) const PACE: Duration = Duration::from_millis(1);
/// Orders that may be under way; beyond it they wait, and their latency counts on.
pub(crate) const IN_FLIGHT_MAX: u64 = 100_000;

/// A steady stream of orders.
pub(crate) struct Stream {
    pub(crate) engine: Engine,
    pub(crate) plan: Plan,
    /// Number of the first of its buyers.
    pub(crate) first: u64,
    /// Orders a second.
    pub(crate) rate: u64,
    /// It ends after so many, if it is not stopped before.
    pub(crate) orders_max: u64,
    /// Most orders that go as one batch; with 1 each goes on its own.
    pub(crate) batch_max: u64,
    pub(crate) latencies: Latencies,
    /// Orders that are answered.
    pub(crate) done: Arc<AtomicU64>,
    pub(crate) stop: AtomicBool,
}

impl Stream {
    /// Sends until it is told to stop, or until the last order; returns once every order is answered.
    pub(crate) async fn send(self: Arc<Self>) -> Tally {
        let started = Instant::now();
        let mut tally = Tally::default();
        let mut tasks: JoinSet<Tally> = JoinSet::new();
        let mut sent = 0;
        // Relaxed: it is looked at again and again.
        while sent < self.orders_max && !self.stop.load(Ordering::Relaxed) {
            while let Some(finished) = tasks.try_join_next() {
                finished.into_iter().for_each(|part| tally.add(part));
            }
            let room = IN_FLIGHT_MAX.saturating_sub(sent - tally.answered());
            let due = due(self.rate, started.elapsed()).min(self.orders_max).min(sent + room);
            while sent < due {
                let bunch = sent..due.min(sent + self.batch_max);
                sent = bunch.end;
                tasks.spawn(Arc::clone(&self).bunch(started, bunch));
            }
            tokio::time::sleep(PACE).await;
        }
        while let Some(finished) = tasks.join_next().await {
            finished.into_iter().for_each(|part| tally.add(part));
        }
        tally
    }

    async fn bunch(self: Arc<Self>, started: Instant, orders: Range<u64>) -> Tally {
        let mut tally = Tally::default();
        let mut buyers = orders.clone().map(|index| self.first + index);
        if orders.end - orders.start == 1 {
            let n = self.first + orders.start;
            tally.note(&shop::submit(&self.engine, &self.plan, n).await);
        } else {
            let results = shop::submit_batch(&self.engine, &self.plan, &mut buyers).await;
            results.iter().for_each(|(_, result)| tally.note(result));
        }
        let answered = started.elapsed();
        let late = orders.clone().map(|index| answered.saturating_sub(planned(self.rate, index)));
        self.latencies.record_all(orders.start, late);
        self.done.fetch_add(orders.end - orders.start, Ordering::Relaxed);
        tally
    }
}

/// How many orders are due after so long.
fn due(rate: u64, elapsed: Duration) -> u64 {
    (elapsed.as_nanos() * u128::from(rate) / 1_000_000_000) as u64
}

/// When an order is due, since the start.
fn planned(rate: u64, index: u64) -> Duration {
    Duration::from_nanos((u128::from(index) * 1_000_000_000 / u128::from(rate)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_order_is_sent_before_it_is_due() {
        for rate in [1, 3, 20_000, 200_000, 10_000_000] {
            for elapsed_us in [0, 1, 999, 1_000, 333_333, 59_999_999] {
                let elapsed = Duration::from_micros(elapsed_us);
                let due = due(rate, elapsed);
                assert!(due == 0 || planned(rate, due - 1) <= elapsed, "{rate} {elapsed_us}");
                assert!(planned(rate, due + 1) > elapsed, "{rate} {elapsed_us}");
            }
        }
    }

    #[test]
    fn a_rate_is_kept_for_days() {
        let day = Duration::from_secs(86_400);
        assert_eq!(due(200_000, day), 200_000 * 86_400);
        assert_eq!(planned(200_000, 200_000 * 86_400), day);
    }
}
