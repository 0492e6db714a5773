//! Histograms of how often which size occurred: fixed buckets, counted and read by any thread.
//!
//! For figures of whole commits and of HTTP requests, not of single orders: nothing here is cheap enough to be done once
//! for each of a million orders a second, and nothing needs to be.

use std::sync::atomic::{AtomicU64, Ordering};

/// A histogram as it stood when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// The buckets' inclusive upper bounds, ascending.
    pub bounds: &'static [u64],
    /// For each bound, how many values were at most that large: cumulative, as Prometheus counts. Values above the last
    /// bound are in `count` alone.
    pub counts: Vec<u64>,
    /// Sum of all values.
    pub sum: u64,
    /// How many values there were.
    pub count: u64,
}

/// A histogram that is being counted.
#[derive(Debug)]
pub struct HistogramCells {
    bounds: &'static [u64],
    /// Values by bucket, not cumulative; one more than there are bounds.
    cells: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl HistogramCells {
    /// An empty histogram with these inclusive upper bounds, ascending.
    pub fn new(bounds: &'static [u64]) -> Self {
        debug_assert!(bounds.is_sorted_by(|a, b| a < b), "bounds ascend: {bounds:?}");
        let cells = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, cells, sum: AtomicU64::new(0) }
    }

    /// Counts a value: two relaxed additions and a search among the bounds.
    pub fn record(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.cells[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// The histogram of this moment. Read beside a `record`, its sum may lack a value that its counts have, or the other
    /// way round; the counts agree among themselves.
    pub fn read(&self) -> Histogram {
        let mut count = 0;
        let mut counts: Vec<_> = self
            .cells
            .iter()
            .map(|cell| {
                count += cell.load(Ordering::Relaxed);
                count
            })
            .collect();
        counts.truncate(self.bounds.len());
        Histogram { bounds: self.bounds, counts, sum: self.sum.load(Ordering::Relaxed), count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_in_every_bucket_that_holds_them() {
        let cells = HistogramCells::new(&[1, 2, 4]);
        for value in [0, 1, 2, 3, 4, 5, 900] {
            cells.record(value);
        }
        let expected = Histogram { bounds: &[1, 2, 4], counts: vec![2, 3, 5], sum: 915, count: 7 };
        assert_eq!(cells.read(), expected);
    }

    #[test]
    fn what_two_threads_count_adds_up() {
        let cells = HistogramCells::new(&[10]);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..1_000).for_each(|value| cells.record(value % 20)));
            }
        });
        let Histogram { counts, sum, count, .. } = cells.read();
        assert_eq!((counts[0], sum, count), (2 * 550, 2 * 50 * 190, 2_000));
    }
}
