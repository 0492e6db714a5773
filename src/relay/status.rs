//! What a subscription shows of itself.

use std::fmt;
use std::sync::Arc;

use super::spec::SubscriptionSpec;
use crate::domain::ids::{OrderNo, Position};

/// How a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionState {
    /// It delivers, or waits for events.
    Running,
    /// Its sink can't be reached; it tries again.
    Down {
        /// Why.
        reason: String,
        /// Since when, in ms since the Unix epoch.
        since_ms: u64,
    },
    /// Somebody has paused it.
    Paused,
    /// It fell too far behind, and the journal was let go of, or its dead letters are full. It goes on when somebody resumes
    /// it or seeks.
    Suspended {
        /// Why.
        reason: String,
    },
    /// What it keeps can't be written.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A subscription, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// Its settings.
    pub spec: Arc<SubscriptionSpec>,
    /// Whether it comes from the configuration.
    pub configured: bool,
    /// How it stands.
    pub state: SubscriptionState,
    /// Everything before this position is done with.
    pub cursor: Position,
    /// Durable events behind the cursor.
    pub lag_events: u64,
    /// Bytes of journal that are kept for it.
    pub lag_bytes: u64,
    /// Age of the oldest event behind the cursor, in ms; 0 without one.
    pub lag_ms: u64,
    /// Positions that it will never get, oldest first: from, and up to, both included.
    pub missing: Vec<(Position, Position)>,
    /// Dead letters that it keeps.
    pub dead_letters: u64,
    /// Messages delivered since the start.
    pub delivered: u64,
    /// Events passed over since the start, since it did not choose them.
    pub skipped: u64,
    /// Deliveries that were tried again since the start.
    pub retried: u64,
    /// Messages on their way.
    pub in_flight: u64,
}

/// A message that could not be delivered. Its `Debug` form shows no more of the message than its size.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadRelayed {
    /// Its position.
    pub position: Position,
    /// Its order, if it has one.
    pub order_no: Option<OrderNo>,
    /// Its event's name.
    pub event: String,
    /// Times that it was tried; 0 where it stands behind an earlier dead letter of its order.
    pub attempts: u32,
    /// Why.
    pub reason: String,
    /// Since when, in ms since the Unix epoch.
    pub at_ms: u64,
    /// The message, as JSON.
    pub body: Arc<[u8]>,
}

impl fmt::Debug for DeadRelayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadRelayed")
            .field("position", &self.position)
            .field("order_no", &self.order_no)
            .field("event", &self.event)
            .field("attempts", &self.attempts)
            .field("reason", &self.reason)
            .field("at_ms", &self.at_ms)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// A page of dead letters, by position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadPage {
    /// The dead letters.
    pub letters: Vec<DeadRelayed>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<Position>,
}
