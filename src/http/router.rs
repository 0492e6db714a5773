//! All routes, and their OpenAPI description.

use axum::Router;
use axum::middleware::from_fn_with_state;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

use super::context::{around, method_not_allowed, no_route};
use super::state::App;
use super::{admin, callback, export, gateway, member, observe, openapi};

/// All routes with their descriptions, before anything goes around them.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(openapi::base())
        .merge(member::routes())
        .merge(admin::routes())
        .merge(gateway::routes())
        .merge(callback::routes())
        .merge(export::routes())
        .merge(observe::routes())
}

/// The router that a server serves, and what `/openapi.json` says of it.
pub fn router(app: App) -> (Router, Value) {
    let (routes, description) = routes().split_for_parts();
    let description = openapi::complete(description);
    let router = routes
        .merge(openapi::pages(description.clone()))
        .fallback(async || no_route())
        .method_not_allowed_fallback(async || method_not_allowed())
        .layer(from_fn_with_state(app.clone(), around))
        .with_state(app);
    (router, description)
}
