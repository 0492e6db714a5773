//! The sold-out gauge: what the front door may know about a stock key without asking its actor.
//!
//! The door refuses only if, at one instant, nothing was available, held or waited for, and nothing was on its way
//! back (R3). Two counters for returns instead of one difference make that instant provable: see
//! [`Gauge::is_sold_out`].

use std::sync::atomic::{AtomicU64, Ordering};

/// Shared beside a stock actor's handle.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Units ever sent on their way back by a releaser, counted before it appends the close that frees them.
    returns_started: AtomicU64,
    /// Units of these that the stock actor has put into its counters, counted after it updated `open`.
    returns_finished: AtomicU64,
    /// Units available or held, plus requests parked.
    open: AtomicU64,
}

impl Gauge {
    /// A releaser is about to append closes that free so many units, and to push their release after that.
    pub(crate) fn start_return(&self, units: u64) {
        self.returns_started.fetch_add(units, Ordering::SeqCst);
    }

    /// The stock actor has published the counters that include so many returned units.
    pub(crate) fn finish_return(&self, units: u64) {
        self.returns_finished.fetch_add(units, Ordering::SeqCst);
    }

    /// Units on their way back, at one instant during the call.
    pub(crate) fn returning(&self) -> u64 {
        // Finished first: it never overtakes started, so the difference can only be too large, which parks a
        // request that could have been refused, never the other way round.
        let finished = self.returns_finished.load(Ordering::SeqCst);
        self.returns_started.load(Ordering::SeqCst) - finished
    }

    /// The stock actor's counters have changed.
    pub(crate) fn publish(&self, open: u64) {
        self.open.store(open, Ordering::SeqCst);
    }

    /// Whether there was an instant during this call at which a request for any quantity had to be refused.
    ///
    /// `started` is read first and last. If it did not change, and `finished` had caught up with it in between, then
    /// nothing was on its way back from the look at `finished` on; and at the look at `open` that follows, nothing was
    /// open. That instant is the proof that R3 asks for. The first look at `open` only saves the others their time.
    pub(crate) fn is_sold_out(&self) -> bool {
        let started = self.returns_started.load(Ordering::SeqCst);
        self.open.load(Ordering::SeqCst) == 0
            && self.returns_finished.load(Ordering::SeqCst) == started
            && self.open.load(Ordering::SeqCst) == 0
            && self.returns_started.load(Ordering::SeqCst) == started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sold_out_only_with_nothing_open_and_nothing_returning() {
        let gauge = Gauge::default();
        assert!(gauge.is_sold_out());
        gauge.publish(1);
        assert!(!gauge.is_sold_out());
        gauge.publish(0);
        gauge.start_return(2);
        assert!(!gauge.is_sold_out(), "two units are on their way back");
        assert_eq!(gauge.returning(), 2);
        gauge.publish(2);
        gauge.finish_return(2);
        assert!(!gauge.is_sold_out());
        gauge.publish(0);
        assert!(gauge.is_sold_out());
    }
}
