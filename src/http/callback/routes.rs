//! Where payment providers call.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Answer, handle};
use crate::http::problem::Problem;
use crate::http::state::App;

/// Most bytes of a notification.
pub const NOTIFICATION_BYTES_MAX: usize = 64 << 10;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(only)).routes(routes!(named))
}

/// Takes a notification of the only provider that is configured.
#[utoipa::path(post, path = "/callback/payment", tag = "callback",
    request_body(content = String, description = "The notification, signed as its provider signs."),
    responses((status = 204, description = "It is recorded, durably; or 200, as the provider wants it.")))]
pub async fn only(State(app): State<App>, request: Request) -> Result<Answer, Problem> {
    take(&app, None, request).await
}

/// Takes a notification of the provider of that name.
#[utoipa::path(post, path = "/callback/payment/{provider}", tag = "callback",
    params(("provider" = String, Path, description = "The provider's name in the configuration.")),
    request_body(content = String, description = "The notification, signed as its provider signs."),
    responses((status = 204, description = "It is recorded, durably; or 200, as the provider wants it.")))]
pub async fn named(
    State(app): State<App>,
    Path(provider): Path<String>,
    request: Request,
) -> Result<Answer, Problem> {
    take(&app, Some(&provider), request).await
}

async fn take(app: &App, name: Option<&str>, request: Request) -> Result<Answer, Problem> {
    let in_force = app.live().now();
    let provider = name.map_or_else(|| in_force.providers.only(), |name| in_force.providers.get(name));
    let provider = provider.ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            "no_such_provider",
            "no payment provider of this name is configured",
            "没有配置该支付服务商",
        )
    })?;
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, NOTIFICATION_BYTES_MAX).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the notification is incomplete, or has more than {NOTIFICATION_BYTES_MAX} bytes"),
            format!("通知不完整，或者超过 {NOTIFICATION_BYTES_MAX} 字节"),
        )
    })?;
    Ok(handle(app.engine(), provider, &parts.headers, &body, app.engine().now_ms()).await)
}
