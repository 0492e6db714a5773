//! A subscription as it is shown.

use serde::Serialize;
use utoipa::ToSchema;

use super::spec::{SpecBody, has_secret};
use crate::Position;
use crate::http::json::instant;
use crate::http::problem::Problem;
use crate::relay::{SubscriptionState, SubscriptionStatus};

/// A subscription of the relay, and how far it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RelaySubscription, example = json!({"name": "erp", "configured": false, "state": "down", "reason":
    "connection refused", "since": "2026-11-11T04:00:00.000Z", "since_ms": 1_794_369_600_000_u64,
    "spec": {"events": ["OrderPaid"], "sink": {"kind": "rabbitmq", "address": "rabbit.internal:5671", "tls": true, "user":
    "shop", "exchange": "orders", "queue": "erp", "mirror": true}}, "has_secret": true, "cursor": 120, "lag_events": 10,
    "lag_bytes": 1200, "lag_ms": 4000, "missing": [{"from": 40, "to": 60}], "dead_letters": 1, "delivered": 80,
    "skipped": 18, "retried": 3, "in_flight": 0}))]
pub struct SubscriptionView {
    /// Its name.
    pub name: String,
    /// Whether it comes from the configuration, and is changed there.
    pub configured: bool,
    /// `running`, `down` (its sink can't be reached; it tries again), `paused`, `suspended` (it fell too far behind, or its
    /// dead letters are full; it waits for somebody) or `failed` (what it keeps can't be written).
    pub state: &'static str,
    /// Why it is down, suspended or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// The same, in ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Its settings, without what is secret in them.
    pub spec: SpecBody,
    /// Whether it has a password or key.
    pub has_secret: bool,
    /// Everything before this position is done with.
    pub cursor: u64,
    /// Durable events behind the cursor.
    pub lag_events: u64,
    /// Bytes of journal that are kept for it.
    pub lag_bytes: u64,
    /// Age of the oldest event behind the cursor, in ms; 0 without one.
    pub lag_ms: u64,
    /// Ranges of positions that it will never get.
    pub missing: Vec<RangeView>,
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

/// Positions from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PositionRange)]
pub struct RangeView {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
}

impl SubscriptionView {
    /// A subscription under its name.
    ///
    /// # Errors
    /// `internal` where its settings have no form here.
    pub fn of(name: String, status: SubscriptionStatus) -> Result<Self, Problem> {
        let (state, reason, since_ms) = told(status.state);
        let range = |(from, to): (Position, Position)| RangeView { from: from.0, to: to.0 };
        Ok(Self {
            name,
            configured: status.configured,
            state,
            reason,
            since: since_ms.map(instant),
            since_ms,
            spec: SpecBody::shown(&status.spec)?,
            has_secret: has_secret(&status.spec),
            cursor: status.cursor.0,
            lag_events: status.lag_events,
            lag_bytes: status.lag_bytes,
            lag_ms: status.lag_ms,
            missing: status.missing.into_iter().map(range).collect(),
            dead_letters: status.dead_letters,
            delivered: status.delivered,
            skipped: status.skipped,
            retried: status.retried,
            in_flight: status.in_flight,
        })
    }
}

/// A state's name, its reason and its begin.
fn told(state: SubscriptionState) -> (&'static str, Option<String>, Option<u64>) {
    let name = state_name(&state);
    match state {
        SubscriptionState::Running | SubscriptionState::Paused => (name, None, None),
        SubscriptionState::Down { reason, since_ms } => (name, Some(reason), Some(since_ms)),
        SubscriptionState::Suspended { reason } | SubscriptionState::Failed { reason } => {
            (name, Some(reason), None)
        }
    }
}

/// Names of states, in the sequence in which metrics show them.
pub(in crate::http) const STATES: [&str; 5] = ["running", "down", "paused", "suspended", "failed"];

/// A state's name.
pub(in crate::http) const fn state_name(state: &SubscriptionState) -> &'static str {
    match state {
        SubscriptionState::Running => STATES[0],
        SubscriptionState::Down { .. } => STATES[1],
        SubscriptionState::Paused => STATES[2],
        SubscriptionState::Suspended { .. } => STATES[3],
        SubscriptionState::Failed { .. } => STATES[4],
    }
}
