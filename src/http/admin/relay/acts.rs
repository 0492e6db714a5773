//! A subscription paused, resumed, moved.

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;

use super::super::desk::{Desk, Reason};
use super::relay;
use super::spec::StartBody;
use super::view::SubscriptionView;
use crate::http::json::{Body, Parts};
use crate::http::problem::Problem;

/// Why it is done.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RelayAct, example = json!({"reason": "the ERP is being moved"}))]
pub struct ActBody {
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Pauses a subscription of the relay: nothing is delivered.
///
/// The journal is kept for it, up to its `lag_bytes_max`.
#[utoipa::path(post, path = "/admin/relay/subscriptions/{name}/pause", tag = "admin", request_body = ActBody,
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "Its name.")),
    responses((status = 200, description = "It is paused, durably.", body = SubscriptionView)))]
pub async fn pause(
    desk: Desk,
    Parts(name): Parts<String>,
    Body(body): Body<ActBody>,
) -> Result<Json<SubscriptionView>, Problem> {
    let (reason, relay) = (body.reason.given()?, relay(&desk)?);
    desk.acted("relay.pause", &name, reason).await?;
    let status = relay.pause(&name).await?;
    Ok(Json(SubscriptionView::of(name, status)?))
}

/// Lets a paused or suspended subscription of the relay go on.
///
/// Behind what it misses: `missing` of the answer names the positions that it will never get.
#[utoipa::path(post, path = "/admin/relay/subscriptions/{name}/resume", tag = "admin", request_body = ActBody,
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "Its name.")),
    responses((status = 200, description = "It goes on.", body = SubscriptionView)))]
pub async fn resume(
    desk: Desk,
    Parts(name): Parts<String>,
    Body(body): Body<ActBody>,
) -> Result<Json<SubscriptionView>, Problem> {
    let (reason, relay) = (body.reason.given()?, relay(&desk)?);
    desk.acted("relay.resume", &name, reason).await?;
    let status = relay.resume(&name).await?;
    Ok(Json(SubscriptionView::of(name, status)?))
}

/// Where a subscription is to go on.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RelaySeek, example = json!({"to": {"at": 120}, "reason": "the ERP was restored from its backup"}))]
pub struct SeekBody {
    /// `"first"`, with the first event that the journal still has; `"next"`, with the next one that becomes durable; or
    /// `{"at": 120}`, at a position.
    pub to: StartBody,
    /// Why, for the log; needed.
    #[serde(default)]
    pub reason: Reason,
}

/// Moves a subscription of the relay to another position.
///
/// Back, and it delivers again, under the same positions; ahead, and it passes over what lies between. A position that the
/// journal no longer has is refused as `position_trimmed`, one that is not written yet as `position_ahead`.
#[utoipa::path(post, path = "/admin/relay/subscriptions/{name}/seek", tag = "admin", request_body = SeekBody,
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "Its name.")),
    responses((status = 200, description = "It goes on there, durably.", body = SubscriptionView)))]
pub async fn seek(
    desk: Desk,
    Parts(name): Parts<String>,
    Body(body): Body<SeekBody>,
) -> Result<Json<SubscriptionView>, Problem> {
    let (reason, relay) = (body.reason.needed()?, relay(&desk)?);
    desk.acted("relay.seek", &name, reason).await?;
    let status = relay.seek(&name, body.to.into()).await?;
    Ok(Json(SubscriptionView::of(name, status)?))
}
