//! Writes metric families: one name, one help, values with labels.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use crate::Histogram;

/// Labels of one value.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

/// Where families are written to.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

/// What the unit of a histogram's values is, and what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Values as they are.
    AsIs,
    /// Microseconds, shown in seconds, as Prometheus likes them.
    Seconds,
}

impl Shown {
    fn of(self, value: u64) -> f64 {
        match self {
            Self::AsIs => value as f64,
            Self::Seconds => value as f64 / 1e6,
        }
    }
}

impl Families<'_> {
    /// A counter; `_total` is added to its name.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(&[] as Labels<'_>, value)])
    }

    /// A counter with labels.
    pub(super) fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            if labels.is_empty() {
                family.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            } else {
                family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            }
        }
        Ok(())
    }

    /// A gauge.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauges(name, help, [(&[] as Labels<'_>, value as f64)])
    }

    /// A gauge of a duration in ms, shown in seconds.
    pub(super) fn seconds(&mut self, name: &str, help: &str, value_ms: i64) -> fmt::Result {
        self.gauges(name, help, [(&[] as Labels<'_>, value_ms as f64 / 1e3)])
    }

    /// A gauge with labels.
    pub(super) fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            if labels.is_empty() {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    /// A histogram.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        shown: Shown,
        histogram: &Histogram,
    ) -> fmt::Result {
        self.histograms(name, help, shown, [(&[] as Labels<'_>, histogram)])
    }

    /// A histogram with labels.
    pub(super) fn histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        shown: Shown,
        values: impl IntoIterator<Item = (Labels<'l>, &'l Histogram)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, histogram) in values {
            let buckets = buckets(histogram, shown);
            let sum = shown.of(histogram.sum);
            if labels.is_empty() {
                family.encode_histogram::<NoLabelSet>(sum, histogram.count, &buckets, None)?;
            } else {
                let mut family = family.encode_family(&labels)?;
                family.encode_histogram::<NoLabelSet>(sum, histogram.count, &buckets, None)?;
            }
        }
        Ok(())
    }
}

/// The encoder adds buckets up itself, so it is given what each has more than the one before.
fn buckets(histogram: &Histogram, shown: Shown) -> Vec<(f64, u64)> {
    let mut before = 0;
    let bounds = histogram.bounds.iter().map(|bound| shown.of(*bound)).chain([f64::INFINITY]);
    let counts = histogram.counts.iter().copied().chain([histogram.count]);
    bounds
        .zip(counts)
        .map(|(bound, count)| {
            let own = count - before;
            before = count;
            (bound, own)
        })
        .collect()
}
