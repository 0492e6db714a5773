//! Watching: metrics, health, recent refusals, and a line in the log for a request.
//!
//! The layer around every route ([`context`](super::context)) tells the [`Observer`] when a request comes and how it was
//! answered. Nothing here decides anything, keeps names, phones or addresses, or grows without a bound: routes are counted
//! by their templates, refusals by their codes, and of refusals themselves the latest are kept.
//!
//! | module | what it does |
//! |---|---|
//! | [`metrics`] | `GET /metrics`: the engine's figures and those of requests |
//! | [`health`] | `GET /healthz`, `GET /readyz`; the stand-in while an engine recovers |
//! | [`refusals`] | the latest refusals, and `GET /admin/refusals` |
//! | [`requests`] | counters of requests by route |
//! | [`codes`] | counters of refusals by code |
//! | [`watch`] | one request, from its arrival to its answer |
//! | [`budget`] | how many lines the log gets in a second |
//! | `otlp` | traces to a collector, behind the feature `otlp` |

pub mod budget;
pub mod codes;
mod families;
pub mod health;
pub mod metrics;
mod of_engine;
#[cfg(feature = "relay")]
mod of_relay;
mod of_search;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod refusals;
pub mod requests;
pub mod watch;

use std::fmt;
use std::sync::OnceLock;

use axum::extract::Request;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::budget::Budget;
use self::codes::Codes;
use self::refusals::{RefusalLog, Refused};
use self::requests::{Requests, Route};
use self::watch::Watch;
use super::state::App;
use crate::Engine;
use crate::runtime::clock::{Clock, STEP_MAX_MS_DEFAULT};

/// `[observe]`: what is kept and logged of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObserveConfig {
    /// Refusals that are kept, 8 to 16,777,216, about 200 bytes each; an eighth of that beside them for callers without
    /// a valid token. Not replaceable. Default: 65,536.
    pub refusals_kept: usize,
    /// Most requests that are logged at level info or above within a second, 0 to 1,000,000; the others are counted.
    /// Not replaceable. Default: 200.
    pub request_log_per_s_max: u32,
}

impl Default for ObserveConfig {
    fn default() -> Self {
        Self { refusals_kept: 65_536, request_log_per_s_max: 200 }
    }
}

/// What a server says of its connections, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Open now.
    pub open: u64,
    /// Accepted so far.
    pub accepted: u64,
    /// Refused so far because there were as many as may be.
    pub refused: u64,
    /// How often the machine would not give one.
    pub accept_errors: u64,
    /// Cut so far, by the name of the reason.
    pub cuts: Vec<(&'static str, u64)>,
}

/// Reads a server's counters.
pub type ReadConnections = dyn Fn() -> Connections + Send + Sync;

/// Sees every request.
pub struct Observer {
    engine: Engine,
    /// For durations only: instants are the engine's.
    clock: Clock,
    requests: Requests,
    codes: Codes,
    refusals: RefusalLog,
    log: Budget,
    connections: OnceLock<Box<ReadConnections>>,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    /// One for an engine. Takes the memory for counters and refusals at once.
    pub fn new(engine: Engine, config: ObserveConfig) -> Self {
        Self {
            engine,
            clock: Clock::system(STEP_MAX_MS_DEFAULT),
            requests: Requests::default(),
            codes: Codes::default(),
            refusals: RefusalLog::new(config.refusals_kept),
            log: Budget::new(config.request_log_per_s_max),
            connections: OnceLock::new(),
        }
    }

    /// Shows a server's connections among the metrics. The first call counts.
    pub fn connections_from(&self, read: Box<ReadConnections>) {
        // A second server of one adapter would need names; there is none.
        let _ = self.connections.set(read);
    }

    /// A request has come.
    pub fn start(&self, request: &Request) -> Watch<'_> {
        Watch::new(self, request)
    }

    /// A refusal is on its way to its caller: counts it, and keeps it for a while.
    pub fn refused(&self, refused: &Refused<'_>) {
        self.codes.count(refused.problem.code());
        if refused.route.is_kept() {
            self.refusals.keep(self.engine.now_ms(), refused);
        }
    }

    /// The latest refusals.
    pub fn refusals(&self) -> &RefusalLog {
        &self.refusals
    }
}

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(metrics::metrics))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(refusals::page::refusals))
}

/// The route of orders by the line; each line that is refused is a refusal of its own.
pub fn orders_route() -> Route {
    Route::of("POST", "/gateway/orders")
}
