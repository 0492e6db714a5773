//! `POST /callback/payment`: where providers knock.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Failure, take};
use crate::http::json::{Parts, read};
use crate::http::problem::Problem;
use crate::http::state::App;

/// Largest notification, in bytes.
const NOTIFICATION_BYTES_MAX: usize = 64 << 10;

/// The routes.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(payment)).routes(routes!(payment_of))
}

/// A payment provider's notification, where only one provider is configured. Answered with success once it is recorded;
/// sent again, it is answered so again.
#[utoipa::path(post, path = "/callback/payment", tag = "callback",
    request_body(content = Object, content_type = "application/json", description = "In the provider's own form.",
        example = json!({"order_no": "380000000000000001", "channel": "wechat", "merchant": "1900000001",
            "transaction_id": "4200001234202611110000000001", "amount": 19900})),
    params(("X-Stockade-Timestamp" = Option<String>, Header, pattern = "^[0-9]{1,20}$", example = "1794398400",
            description = "When it was signed, in seconds since the Unix epoch."),
        ("X-Stockade-Signature" = Option<String>, Header, pattern = "^v1=[0-9a-fA-F]{64}$",
            description = "`v1=` and the HMAC-SHA256 of timestamp, a dot and the body, in hexadecimal digits.")),
    responses(
        (status = 200, description = "It is recorded; don't send it again.", body = Object,
            example = json!({"result": "paid", "order_no": "380000000000000001"})),
        (status = 204, description = "The same, in the form of some providers."),
        (status = 400, description = "It can't be read.", body = Object),
        (status = 401, description = "It isn't signed by the provider, or not now.", body = Object),
        (status = 403, description = "It is for another merchant.", body = Object),
        (status = 404, description = "There is no such provider or refund.", body = Object),
        (status = 409, description = "It contradicts what is recorded.", body = Object),
        (status = 422, description = "It says what can't be.", body = Object),
        (status = 503, description = "Send it again.", body = Object)))]
pub(super) async fn payment(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let name = app.live().now().providers.only().map(|provider| provider.name().to_owned());
    receive(app, &name.ok_or_else(no_provider)?, request).await
}

/// A payment provider's notification, for the provider of that name.
#[utoipa::path(post, path = "/callback/payment/{provider}", tag = "callback",
    request_body(content = Object, content_type = "application/json", description = "In the provider's own form.",
        example = json!({"order_no": "380000000000000001", "channel": "wechat", "merchant": "1900000001",
            "transaction_id": "4200001234202611110000000001", "amount": 19900})),
    params(("provider" = String, Path, min_length = 1, max_length = 32, example = "pay", description = "The provider's configured name.")),
    responses(
        (status = 200, description = "It is recorded; don't send it again.", body = Object,
            example = json!({"result": "paid", "order_no": "380000000000000001"})),
        (status = 204, description = "The same, in the form of some providers."),
        (status = 400, description = "It can't be read.", body = Object),
        (status = 401, description = "It isn't signed by the provider, or not now.", body = Object),
        (status = 403, description = "It is for another merchant.", body = Object),
        (status = 404, description = "There is no such provider or refund.", body = Object),
        (status = 409, description = "It contradicts what is recorded.", body = Object),
        (status = 422, description = "It says what can't be.", body = Object),
        (status = 503, description = "Send it again.", body = Object)))]
pub(super) async fn payment_of(
    State(app): State<App>,
    Parts(provider): Parts<String>,
    request: Request,
) -> Result<Response, Problem> {
    receive(app, &provider, request).await
}

async fn receive(app: App, provider: &str, request: Request) -> Result<Response, Problem> {
    let in_force = app.live().now();
    if in_force.providers.get(provider).is_none() {
        return Err(no_provider());
    }
    let headers = request.headers().clone();
    let body = read(request, NOTIFICATION_BYTES_MAX).await?;
    let name = provider.to_owned();
    // In a task of its own: a provider that hangs up too early doesn't take the notification back.
    let recorded =
        tokio::spawn(async move { record(&app, &in_force.providers, &name, &headers, &body).await });
    recorded.await.unwrap_or_else(|_panicked| Err(no_provider()))
}

async fn record(
    app: &App,
    providers: &super::Providers,
    name: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, Problem> {
    let provider = providers.get(name).ok_or_else(no_provider)?;
    let engine = app.engine();
    let outcome = take(engine, provider, headers, body, engine.now_ms()).await;
    match &outcome {
        Ok(_) => tracing::debug!(provider = name, "a payment notification was recorded"),
        // Neither body nor headers: they may name people.
        Err(failure) => log(name, failure),
    }
    Ok(provider.acknowledge(&outcome).into_response())
}

fn log(provider: &str, failure: &Failure) {
    tracing::warn!(provider, code = failure.code(), "a payment notification was refused");
}

fn no_provider() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "no_such_provider",
        "no payment provider of this name is configured",
        "未配置该支付渠道",
    )
}
