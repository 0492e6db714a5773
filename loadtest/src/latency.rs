//! Latencies of many clients, each recorded without waiting for the others, merged at the end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Histograms that clients are spread over: enough that two threads rarely meet, few enough for thousands of clients.
const SHARDS: usize = 64;
/// Longest latency that is told apart; longer ones count as this.
const NANOS_MAX: u64 = 600_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 3;

/// Records latencies.
pub(crate) struct Latencies(Vec<Mutex<Histogram<u64>>>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self::with_shards(SHARDS)
    }

    /// With so many histograms: fewer where there are many operations, because each takes a quarter of a MiB.
    pub(crate) fn with_shards(shards: usize) -> Self {
        Self((0..shards.max(1)).map(|_| Mutex::new(empty())).collect())
    }

    /// Records one latency of a client.
    pub(crate) fn record(&self, client: u64, latency: Duration) {
        self.record_all(client, [latency]);
    }

    /// Records many latencies of a client.
    pub(crate) fn record_all(&self, client: u64, latencies: impl IntoIterator<Item = Duration>) {
        let shard = &self.0[client as usize % self.0.len()];
        let mut histogram = shard.lock().unwrap_or_else(PoisonError::into_inner);
        for latency in latencies {
            histogram.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(NANOS_MAX));
        }
    }

    /// The percentiles over all clients; `None` where nothing was recorded.
    pub(crate) fn percentiles(&self) -> Option<Percentiles> {
        let mut merged = empty();
        for shard in &self.0 {
            // Equal bounds, so it can't fail.
            let _ = merged.add(&*shard.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let at = |quantile| merged.value_at_quantile(quantile) as f64 / 1e3;
        (!merged.is_empty()).then(|| Percentiles {
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: merged.max() as f64 / 1e3,
        })
    }
}

/// Latencies by percentile, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl Percentiles {
    pub(crate) fn json(&self) -> Value {
        json!({
            "p50": self.p50_us,
            "p90": self.p90_us,
            "p99": self.p99_us,
            "p999": self.p999_us,
            "max": self.max_us,
        })
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, NANOS_MAX, SIGNIFICANT_DIGITS).expect("the bounds are valid constants")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_over_all_clients() {
        let latencies = Latencies::new();
        assert_eq!(latencies.percentiles(), None);
        for client in 0..1000 {
            latencies.record(client, Duration::from_micros(client + 1));
        }
        latencies.record(7, Duration::from_secs(100_000));
        let percentiles = latencies.percentiles().unwrap();
        assert!((495.0..=505.0).contains(&percentiles.p50_us), "{percentiles:?}");
        assert!((985.0..=995.0).contains(&percentiles.p99_us), "{percentiles:?}");
        assert!((599e6..=601e6).contains(&percentiles.max_us), "{percentiles:?}");
    }
}
