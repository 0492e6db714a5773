//! The relay's subscriptions: made, changed, paused, moved, deleted; what they could not deliver.
//!
//! What a subscription is told to keep secret is written and never read: no answer has it.

pub mod acts;
pub mod dead;
pub mod error;
pub mod spec;
pub mod view;

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::spec::SpecBody;
use self::view::SubscriptionView;
use super::desk::{Desk, Reason, forbidden};
use crate::Relay;
use crate::http::auth::access;
use crate::http::json::{Body, Params, Parts};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::relay::RelayError;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(subscriptions))
        .routes(routes!(subscription, put, delete))
        .routes(routes!(acts::pause))
        .routes(routes!(acts::resume))
        .routes(routes!(acts::seek))
        .routes(routes!(dead::dead_letters))
        .routes(routes!(dead::dead_letter))
        .routes(routes!(dead::requeue))
        .routes(routes!(dead::discard))
}

/// The relay of the engine that a handler works with.
pub(super) fn relay(desk: &Desk) -> Result<Relay, RelayError> {
    desk.engine().relay()
}

/// All subscriptions.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RelaySubscriptions, example = json!({"subscriptions": [{"name": "erp", "configured": false, "state": "running",
    "spec": {"events": ["OrderPaid"], "sink": {"kind": "pull"}}, "has_secret": false, "cursor": 120, "lag_events": 0,
    "lag_bytes": 0, "lag_ms": 0, "missing": [], "dead_letters": 0, "delivered": 119, "skipped": 0, "retried": 0,
    "in_flight": 0}]}))]
pub struct SubscriptionList {
    /// The subscriptions, by name; there are at most 64.
    pub subscriptions: Vec<SubscriptionView>,
}

/// Lists the relay's subscriptions.
///
/// With how far each of them is, and what keeps it from going on.
#[utoipa::path(get, path = "/admin/relay/subscriptions", tag = "admin",
    responses((status = 200, description = "All of them.", body = SubscriptionList)))]
pub async fn subscriptions(desk: Desk) -> Result<Json<SubscriptionList>, Problem> {
    let all = relay(&desk)?.subscriptions();
    let subscriptions = all.into_iter().map(|(name, status)| SubscriptionView::of(name, status));
    Ok(Json(SubscriptionList { subscriptions: subscriptions.collect::<Result<_, _>>()? }))
}

/// Shows a subscription of the relay.
///
/// Its settings come without what is secret in them.
#[utoipa::path(get, path = "/admin/relay/subscriptions/{name}", tag = "admin",
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "Its name.")),
    responses((status = 200, description = "The subscription.", body = SubscriptionView)))]
pub async fn subscription(desk: Desk, Parts(name): Parts<String>) -> Result<Json<SubscriptionView>, Problem> {
    let status = relay(&desk)?.subscription(&name)?;
    Ok(Json(SubscriptionView::of(name, status)?))
}

/// A subscription to be made, or to be changed.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RelaySubscriptionPut, example = json!({"spec": {"events": ["OrderPaid"], "sink": {"kind": "rabbitmq",
    "address": "rabbit.internal:5671", "tls": true, "user": "shop", "password": "…", "exchange": "orders", "queue": "erp",
    "mirror": true}}, "reason": "the new ERP"}))]
pub struct PutBody {
    /// Its settings, as a whole.
    pub spec: SpecBody,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Makes a subscription of the relay, or gives one other settings.
///
/// What is made begins at `start`; what is changed goes on where it was, with its dead letters. The same again changes
/// nothing. A password or key that is left out stays as it was, as long as messages go to the same place; elsewhere it has to
/// be sent again. Personal data in full (`personal`: `whole`) and webhooks within the shop's own networks (`allow_private`)
/// need the scope `security`, too. One that comes from the configuration is changed there.
#[utoipa::path(put, path = "/admin/relay/subscriptions/{name}", tag = "admin", request_body = PutBody,
    params(("name" = String, Path, min_length = 1, max_length = 64, pattern = "^[a-z0-9._-]{1,64}$", example = "erp",
        description = "Its name.")),
    responses((status = 200, description = "It is so, durably.", body = SubscriptionView)))]
pub async fn put(
    desk: Desk,
    Parts(name): Parts<String>,
    Body(body): Body<PutBody>,
) -> Result<Json<SubscriptionView>, Problem> {
    let reason = body.reason.given()?;
    let relay = relay(&desk)?;
    let old = relay.subscription(&name).ok();
    let spec = body.spec.into_spec(old.as_ref().map(|status| &*status.spec))?;
    if spec::is_wide_open(&spec) {
        access::may_open_wide(desk.principal()).map_err(|denied| forbidden(&denied))?;
    }
    spec.validate(&name)?;
    desk.acted("relay.put", &name, reason).await?;
    let status = relay.put(&name, spec).await?;
    Ok(Json(SubscriptionView::of(name, status)?))
}

/// Why a subscription is deleted.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteParams {
    /// Why, for the log; at most 256 bytes.
    #[param(value_type = Option<String>, max_length = 256, example = "replaced")]
    #[serde(default)]
    reason: Reason,
}

/// A subscription that is gone.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = RelayDeleted, example = json!({"deleted": true}))]
pub struct DeletedView {
    /// Always true.
    pub deleted: bool,
}

/// Deletes a subscription of the relay, with its dead letters.
///
/// Its place in the journal is forgotten: made again, it begins anew.
#[utoipa::path(delete, path = "/admin/relay/subscriptions/{name}", tag = "admin",
    params(("name" = String, Path, min_length = 1, max_length = 64, example = "erp", description = "Its name."), DeleteParams),
    responses((status = 200, description = "It is gone, durably.", body = DeletedView)))]
pub async fn delete(
    desk: Desk,
    Parts(name): Parts<String>,
    Params(params): Params<DeleteParams>,
) -> Result<Json<DeletedView>, Problem> {
    let reason = params.reason.given()?;
    let relay = relay(&desk)?;
    desk.acted("relay.delete", &name, reason).await?;
    relay.delete(&name).await?;
    Ok(Json(DeletedView { deleted: true }))
}
