//! `GET /api/time`: the time that windows and deadlines go by.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::json::instant;
use crate::http::state::App;

/// The time by which the shop's sales begin and end.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Time, example = json!({"now": "2026-11-11T12:00:00.000Z", "now_ms": 1_794_398_400_000_u64}))]
pub struct TimeBody {
    /// Now.
    pub now: String,
    /// The same, in ms since the Unix epoch.
    pub now_ms: u64,
}

/// The server's time, for countdowns.
///
/// Sales open and deadlines end by this clock. Half of the round trip is how far the answer is behind.
#[utoipa::path(get, path = "/api/time", tag = "public",
    responses((status = 200, description = "Now.", body = TimeBody)))]
pub async fn now(State(app): State<App>) -> ([(HeaderName, &'static str); 1], Json<TimeBody>) {
    let now_ms = app.engine().now_ms();
    ([(header::CACHE_CONTROL, "no-store")], Json(TimeBody { now: instant(now_ms), now_ms }))
}
