//! Gauges looked at again and again while a test runs, and how far they spread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Looks at something at regular intervals. Stops when dropped.
pub(crate) struct Sampler<T> {
    series: Arc<Mutex<Vec<T>>>,
    task: JoinHandle<()>,
}

impl<T: Send + 'static> Sampler<T> {
    /// Takes the first sample at once. Must be called within a runtime.
    pub(crate) fn start(every: Duration, mut probe: impl FnMut() -> T + Send + 'static) -> Self {
        let series = Arc::new(Mutex::new(Vec::new()));
        let growing = Arc::clone(&series);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every);
            loop {
                ticks.tick().await;
                let sample = probe();
                growing.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
            }
        });
        Self { series, task }
    }

    /// Ends, and returns the samples, oldest first. What the probe held is let go by then.
    pub(crate) async fn stop(mut self) -> Vec<T> {
        self.task.abort();
        // It ends as cancelled.
        let _ = (&mut self.task).await;
        std::mem::take(&mut *self.series.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Drop for Sampler<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The least and the most of a gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl Spread {
    /// Over the second half of the samples, when what had to fill up is full; `None` without a sample.
    pub(crate) fn of_second_half(series: &[u64]) -> Option<Self> {
        let half = &series[series.len() / 2..];
        Some(Self { min: *half.iter().min()?, max: *half.iter().max()? })
    }

    /// How much more the most is than the least, in percent.
    pub(crate) fn percent(&self) -> f64 {
        (self.max - self.min) as f64 * 100.0 / self.min.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_the_second_half() {
        assert_eq!(Spread::of_second_half(&[]), None);
        assert_eq!(Spread::of_second_half(&[7]), Some(Spread { min: 7, max: 7 }));
        let spread = Spread::of_second_half(&[1, 900, 100, 120, 110]).unwrap();
        assert_eq!(spread, Spread { min: 100, max: 120 });
        assert_eq!(spread.percent(), 20.0);
    }

    #[test]
    fn a_gauge_that_was_zero_has_a_spread() {
        assert_eq!(Spread { min: 0, max: 0 }.percent(), 0.0);
        assert_eq!(Spread { min: 0, max: 2 }.percent(), 200.0);
    }

    #[tokio::test]
    async fn samples_come_in_order_and_the_probe_is_let_go() {
        let held = Arc::new(());
        let probe = Arc::clone(&held);
        let mut count = 0;
        let sampler = Sampler::start(Duration::from_millis(1), move || {
            let _held = &probe;
            count += 1;
            count
        });
        while sampler.series.lock().unwrap().len() < 3 {
            tokio::task::yield_now().await;
        }
        let series = sampler.stop().await;
        assert!(series.iter().copied().eq(1..=series.len()), "{series:?}");
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
