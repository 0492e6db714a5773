//! `GET /admin/refusals`: why somebody did not get it.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Filter, Refusal};
use crate::Reject;
use crate::http::context::Context;
use crate::http::json::{Id, Params, instant};
use crate::http::language::Language;
use crate::http::problem::Problem;
use crate::http::state::App;

/// Refusals of an answer, unless it is said how many.
const LEN_DEFAULT: u32 = 50;
/// Most refusals of an answer.
pub const LEN_MAX: u32 = 500;
/// Longest text of a question, in bytes.
const TEXT_BYTES_MAX: usize = 255;

/// Which refusals.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RefusalsQuery {
    /// Of this member.
    pub member_id: Option<Id>,
    /// With this `X-Request-Id`, or this `Idempotency-Key`; at most 255 bytes.
    #[param(min_length = 1, max_length = 255)]
    pub request_id: Option<String>,
    /// With this code; at most 255 bytes.
    #[param(min_length = 1, max_length = 255, example = "sold_out")]
    pub code: Option<String>,
    /// At most so many, 1 to 500. Default: 50.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Refusals, latest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Refusals, example = json!({"refusals": [{"at": "2026-11-11T12:00:00.000Z", "at_ms": 1_794_398_400_000_u64,
    "member_id": "7", "request_id": "19f0-1", "method": "POST", "route": "/api/order/submit", "status": 409,
    "code": "sold_out", "field": "lines.sku_id", "detail": "sku 42 is sold out"}]}))]
pub struct RefusalsBody {
    /// The refusals.
    pub refusals: Vec<RefusalBody>,
}

/// A refusal.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RefusalBody {
    /// When.
    pub at: String,
    /// The same in ms since the Unix epoch.
    pub at_ms: u64,
    /// The member, where it was one's request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<Id>,
    /// The request's `X-Request-Id`.
    pub request_id: String,
    /// Its method; `-` where there is no such route.
    pub method: &'static str,
    /// Its route, with the names of variable parts; `-` where there is none.
    pub route: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: &'static str,
    /// The field that was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The engine's words, where it was the engine that refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl RefusalBody {
    fn of(refusal: Refusal, language: Language) -> Self {
        let words = |reject: Reject| Problem::from(reject).detail(language);
        Self {
            at: instant(refusal.at_ms),
            at_ms: refusal.at_ms,
            member_id: refusal.member.map(Into::into),
            request_id: refusal.request_id.as_ref().to_owned(),
            method: refusal.route.method(),
            route: refusal.route.path(),
            status: refusal.status,
            code: refusal.code,
            field: refusal.field.map(Into::into),
            detail: refusal.reject.map(words),
        }
    }
}

fn short_text(field: &'static str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if !(1..=TEXT_BYTES_MAX).contains(&text.len()) => Err(Problem::invalid(
            field,
            format!("{field} has {} bytes: 1 to {TEXT_BYTES_MAX} are allowed", text.len()),
            format!("{field} 长度为 {} 字节，应为 1 至 {TEXT_BYTES_MAX} 字节", text.len()),
        )),
        text => Ok(text),
    }
}

impl RefusalsQuery {
    fn into_filter(self) -> Result<(Filter, usize), Problem> {
        let limit = self.limit.unwrap_or(LEN_DEFAULT);
        if !(1..=LEN_MAX).contains(&limit) {
            return Err(Problem::invalid(
                "limit",
                format!("limit is {limit}: 1 to {LEN_MAX} are allowed"),
                format!("limit 为 {limit}，应为 1 至 {LEN_MAX}"),
            ));
        }
        let filter = Filter {
            member: self.member_id.map(Into::into),
            request_id: short_text("request_id", self.request_id)?,
            code: short_text("code", self.code)?,
        };
        Ok((filter, limit as usize))
    }
}

/// The latest refusals, for whoever is asked "why didn't I get it?". They are kept in memory, the latest 65,536 unless it
/// is configured otherwise, and not over a restart.
#[utoipa::path(get, path = "/admin/refusals", tag = "admin", params(RefusalsQuery),
    responses((status = 200, description = "Refusals, latest first.", body = RefusalsBody)))]
pub async fn refusals(
    State(app): State<App>,
    context: Context,
    Params(query): Params<RefusalsQuery>,
) -> Result<Json<RefusalsBody>, Problem> {
    let (filter, len_max) = query.into_filter()?;
    let found = app.observer().refusals().find(&filter, len_max);
    let refusals = found.into_iter().map(|refusal| RefusalBody::of(refusal, context.language)).collect();
    Ok(Json(RefusalsBody { refusals }))
}
