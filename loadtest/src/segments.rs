//! How fast a long run was at its beginning and at its end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Orders of the first and of the last segment; in a run of less than ten of them, a tenth of the run.
const SEGMENT_ORDERS_MAX: u64 = 1_000_000;

/// So many orders were done after so long.
type Mark = (u64, Duration);

/// Counts orders and remembers when the first segment ended and when the last one began. Costs one atomic addition.
pub(crate) struct Segments {
    orders: u64,
    segment: u64,
    started: Instant,
    done: Arc<AtomicU64>,
    first_end: Mutex<Option<Mark>>,
    last_begin: Mutex<Option<Mark>>,
}

/// Orders a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    pub(crate) first_per_s: f64,
    pub(crate) last_per_s: f64,
    /// The shorter of the two segments: what has taken no time says nothing.
    pub(crate) shortest: Duration,
}

impl Rates {
    /// The last segment's speed over the first one's.
    pub(crate) fn ratio(&self) -> f64 {
        self.last_per_s / self.first_per_s.max(1e-9)
    }
}

impl Segments {
    /// A run of so many orders that begins now.
    pub(crate) fn start(orders: u64) -> Self {
        Self {
            orders,
            segment: (orders / 10).clamp(1, SEGMENT_ORDERS_MAX),
            started: Instant::now(),
            done: Arc::default(),
            first_end: Mutex::default(),
            last_begin: Mutex::default(),
        }
    }

    /// Orders of one segment.
    pub(crate) fn len(&self) -> u64 {
        self.segment
    }

    /// The counter of orders that are done.
    pub(crate) fn done(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.done)
    }

    /// So many more orders are done.
    pub(crate) fn note(&self, orders: u64) {
        self.note_at(orders, self.started.elapsed());
    }

    /// Since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The speeds of a run that took so long in all; `None` while it is not done.
    pub(crate) fn rates(&self, elapsed: Duration) -> Option<Rates> {
        let mark = |mark: &Mutex<Option<Mark>>| *mark.lock().unwrap_or_else(PoisonError::into_inner);
        let ((first, first_took), (before_last, last_began)) =
            (mark(&self.first_end)?, mark(&self.last_begin)?);
        let last_took = elapsed.saturating_sub(last_began);
        let per_second = |orders: u64, took: Duration| orders as f64 / took.as_secs_f64().max(1e-9);
        Some(Rates {
            first_per_s: per_second(first, first_took),
            last_per_s: per_second(self.orders - before_last, last_took),
            shortest: first_took.min(last_took),
        })
    }

    fn note_at(&self, orders: u64, elapsed: Duration) {
        // Relaxed: whoever crosses a mark sees it in its own sum.
        let before = self.done.fetch_add(orders, Ordering::Relaxed);
        let after = before + orders;
        let crossing = [(self.segment, &self.first_end), (self.orders - self.segment, &self.last_begin)];
        for (at, mark) in crossing {
            if before < at && at <= after {
                *mark.lock().unwrap_or_else(PoisonError::into_inner) = Some((after, elapsed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_a_million_or_a_tenth() {
        assert_eq!(Segments::start(50_000_000).len(), 1_000_000);
        assert_eq!(Segments::start(20_000).len(), 2_000);
        assert_eq!(Segments::start(1).len(), 1);
    }

    #[test]
    fn a_run_that_slows_down_shows_it() {
        let segments = Segments::start(1_000);
        for batch in 1..=100 {
            let elapsed = if batch <= 50 { batch * 10 } else { 500 + (batch - 50) * 20 };
            segments.note_at(10, Duration::from_millis(elapsed));
        }
        let rates = segments.rates(Duration::from_millis(1_500)).unwrap();
        assert_eq!((rates.first_per_s.round(), rates.last_per_s.round()), (1_000.0, 500.0));
        assert!((rates.ratio() - 0.5).abs() < 1e-9, "{rates:?}");
        assert_eq!(rates.shortest, Duration::from_millis(100));
    }

    #[test]
    fn a_batch_across_a_mark_counts_with_all_its_orders() {
        let segments = Segments::start(1_000);
        segments.note_at(150, Duration::from_millis(150));
        segments.note_at(800, Duration::from_millis(950));
        segments.note_at(50, Duration::from_millis(1_000));
        let rates = segments.rates(Duration::from_millis(1_000)).unwrap();
        assert_eq!((rates.first_per_s.round(), rates.last_per_s.round()), (1_000.0, 1_000.0));
    }

    #[test]
    fn a_run_that_is_not_done_has_no_rates() {
        let segments = Segments::start(1_000);
        segments.note_at(500, Duration::from_millis(1));
        assert_eq!(segments.rates(Duration::from_millis(1)), None);
    }
}
