//! What the writer measures of its commits and syncs: one update each, so nothing is paid for a single order.
//!
//! Sizes are always counted. Times need a clock ([`WriterOptions::monotonic_us`](super::WriterOptions)); without one,
//! as in tests and simulation, their histograms stay empty.

use crate::runtime::histogram::{Histogram, HistogramCells};

/// Events of a commit.
const EVENT_BOUNDS: &[u64] =
    &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1 << 10, 1 << 11, 1 << 12, 1 << 14, 1 << 16];
/// Bytes of a commit.
const BYTE_BOUNDS: &[u64] = &[
    256,
    512,
    1 << 10,
    1 << 11,
    1 << 12,
    1 << 13,
    1 << 14,
    1 << 15,
    1 << 16,
    1 << 17,
    1 << 18,
    1 << 20,
    1 << 22,
];
/// Microseconds: from a fast SSD's sync to a stall of a second.
const MICROSECOND_BOUNDS: &[u64] = &[
    64,
    128,
    256,
    512,
    1 << 10,
    1 << 11,
    1 << 12,
    1 << 13,
    1 << 14,
    1 << 15,
    1 << 16,
    1 << 17,
    1 << 18,
    1 << 20,
];

/// Sizes and times of all commits and syncs since the writer was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JournalFigures {
    /// Events of each commit.
    pub commit_events: Histogram,
    /// Bytes of each commit, headers included.
    pub commit_bytes: Histogram,
    /// How long each sync took, in µs.
    pub sync_us: Histogram,
    /// How long the entry that had waited longest for each sync had waited since its append, in µs: the most that
    /// durability took for anything that became durable with it.
    pub durable_us: Histogram,
}

/// The figures as they are being counted.
pub(super) struct Figures {
    pub(super) commit_events: HistogramCells,
    pub(super) commit_bytes: HistogramCells,
    pub(super) sync_us: HistogramCells,
    pub(super) durable_us: HistogramCells,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            commit_events: HistogramCells::new(EVENT_BOUNDS),
            commit_bytes: HistogramCells::new(BYTE_BOUNDS),
            sync_us: HistogramCells::new(MICROSECOND_BOUNDS),
            durable_us: HistogramCells::new(MICROSECOND_BOUNDS),
        }
    }
}

impl Figures {
    pub(super) fn read(&self) -> JournalFigures {
        JournalFigures {
            commit_events: self.commit_events.read(),
            commit_bytes: self.commit_bytes.read(),
            sync_us: self.sync_us.read(),
            durable_us: self.durable_us.read(),
        }
    }
}
