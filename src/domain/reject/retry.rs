//! Whether a refused request may be sent again, and when. Waiting and sending again is the caller's to do.

use super::Reject;

/// When it makes sense to send a refused request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request would be refused again.
    Never,
    /// Soon, with the same request id.
    After {
        /// How long to wait at least, in milliseconds.
        wait_ms: u32,
    },
    /// After the engine was restarted; the same request id then gives the first answer.
    AfterRestart,
}

impl Reject {
    /// Whether and when to send the same request again.
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Overloaded { retry_after_ms, .. } => Retry::After { wait_ms: *retry_after_ms },
            Self::ExternalNoBusy => Retry::After { wait_ms: 10 },
            Self::DiskReserve
            | Self::SalesPaused
            | Self::SkuPaused { .. }
            | Self::ActivityPaused { .. }
            | Self::NotOpenYet { .. } => Retry::After { wait_ms: 1_000 },
            // It is built, catches up or is repaired by itself, or not at all.
            Self::SearchBuilding
            | Self::SearchBehind { .. }
            | Self::SearchFailed
            | Self::SearchWordsUnavailable { is_off: false }
            | Self::SearchSortUnavailable { is_off: false } => Retry::After { wait_ms: 1_000 },
            Self::Unavailable | Self::OutcomeUnknown => Retry::AfterRestart,
            _ => Retry::Never,
        }
    }
}
