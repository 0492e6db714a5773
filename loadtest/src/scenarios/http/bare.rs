//! The bare handler: parses the same JSON, answers the same size, and does nothing in between.

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use stockade::http::json::Id;
use stockade::http::member::submit::SubmitBody;
use tokio::net::TcpListener;

use super::SOLD_OUT;
use crate::Failure;

/// A receipt as the adapter writes it, digit for digit as long.
const RECEIPT: &[u8] = br#"{"order_no":"380000000000000001","status":"pending","pay_amount":10000,"pay_before":"2026-11-11T12:30:00.000Z","pay_before_ms":1794400200000}"#;
/// A refusal as the adapter writes it.
const REFUSAL: &[u8] = br#"{"type":"urn:stockade:problem:sold_out","title":"sold out","status":409,"detail":"sku 2 is sold out","instance":"urn:stockade:request:19a77c1d5f0-12d687","code":"sold_out","field":"lines.sku_id","retryable":false}"#;

/// Serves until the process ends.
pub(super) async fn serve(listener: TcpListener) -> Result<(), Failure> {
    let router = Router::new().route("/api/order/submit", post(submit));
    Ok(axum::serve(listener, router).await?)
}

async fn submit(Json(body): Json<SubmitBody>) -> Response {
    let is_sold_out = body.lines.iter().any(|line| line.sku_id == Id(SOLD_OUT));
    let (status, kind, bytes) = if is_sold_out {
        (StatusCode::CONFLICT, "application/problem+json", REFUSAL)
    } else {
        (StatusCode::CREATED, "application/json", RECEIPT)
    };
    // A name of the request in the answer's head, as the adapter gives it.
    let head = [(header::CONTENT_TYPE.as_str(), kind), ("x-request-id", "19a77c1d5f0-12d687")];
    (status, head, Bytes::from_static(bytes)).into_response()
}
