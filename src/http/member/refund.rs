//! Refunds of the member's own orders: applying, looking, taking an application back.
//!
//! A refund of another's order answers as one that doesn't exist (R14).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::ToSchema;

use super::submit::request_id;
use crate::http::caller::Member;
use crate::http::json::{Body, Id, OrderNumber, Part, Parts};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::http::view::refund::{RefundBody, RefundReceiptBody};
use crate::{Money, RefundNo, RefundRequest, Reject};

/// An application for a refund: for units, for an amount, or for both.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"request_id": "r-1", "reason": "too bitter", "lines": [{"sku_id": "42", "quantity": 1}]}))]
pub struct RefundApplication {
    /// The client's name for this request, where `Idempotency-Key` doesn't carry it; 1 to 255 bytes. Sent again, it gives
    /// the first answer.
    #[schema(min_length = 1, max_length = 255)]
    pub request_id: Option<String>,
    /// Why, at most 512 bytes.
    #[serde(default)]
    #[schema(max_length = 512)]
    pub reason: String,
    /// Units that go back; they come to their share of what was paid.
    #[serde(default)]
    #[schema(max_items = 100)]
    pub lines: Vec<RefundUnits>,
    /// What is to go back beyond that, in cents: carriage, or an amount for no unit in particular.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub amount: i64,
}

/// Units of a SKU.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundUnits {
    /// The SKU.
    pub sku_id: Id,
    /// How many, at least one.
    #[schema(minimum = 1)]
    pub quantity: u32,
}

impl Part for RefundNo {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    const EXPECTED: &'static str = "a refund number, like 380000000000000001-1";
}

impl RefundApplication {
    fn into_request(self, headers: &HeaderMap) -> Result<RefundRequest, Problem> {
        Ok(RefundRequest {
            request_id: request_id(self.request_id.as_deref(), headers)?,
            reason: self.reason.into(),
            lines: self.lines.iter().map(|line| (line.sku_id.into(), line.quantity)).collect(),
            extra: Money::from_minor(self.amount),
        })
    }
}

/// A refund of an order that isn't there isn't there either, and says no more.
fn not_found(reject: Reject) -> Problem {
    match reject {
        Reject::OrderNotFound => Reject::RefundNotFound.into(),
        other => other.into(),
    }
}

/// Applies for a refund of a paid order.
///
/// For units, which come to their share of what was paid, for an amount, or for both. Sent again under the same name it
/// gives the first answer. While it is open the order isn't shipped.
#[utoipa::path(post, path = "/api/order/{order_no}/refund", tag = "member", request_body = RefundApplication,
    params(
        ("order_no" = String, Path, pattern = "^[0-9]{1,19}$", example = "380000000000000001",
        description = "The order's number."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
            description = "The client's name for this request."),
    ),
    responses((status = 201, description = "It is applied for; the shop decides.", body = RefundReceiptBody)))]
pub async fn apply(
    State(app): State<App>,
    member: Member,
    Parts(order_no): Parts<OrderNumber>,
    headers: HeaderMap,
    Body(body): Body<RefundApplication>,
) -> Result<(StatusCode, Json<RefundReceiptBody>), Problem> {
    let request = body.into_request(&headers)?;
    let receipt = app.engine().apply_refund(member.caller(), order_no.0, request).await?;
    Ok((StatusCode::CREATED, Json(receipt.into())))
}

/// Takes an application for a refund back.
///
/// Until the shop has decided. Takes no body.
#[utoipa::path(post, path = "/api/refund/{refund_no}/withdraw", tag = "member",
    params(("refund_no" = String, Path, pattern = "^([0-9]{1,19}-[1-9][0-9]{0,4}|p[0-9a-f]{32})$",
        example = "380000000000000001-1", description = "The refund's number.")),
    responses((status = 200, description = "It is withdrawn.", body = RefundReceiptBody)))]
pub async fn withdraw(
    State(app): State<App>,
    member: Member,
    Parts(refund_no): Parts<RefundNo>,
) -> Result<Json<RefundReceiptBody>, Problem> {
    let receipt = app.engine().withdraw_refund(member.caller(), refund_no).await.map_err(not_found)?;
    Ok(Json(receipt.into()))
}

/// One refund of the member's own.
///
/// A refund of another's order answers as one that doesn't exist.
#[utoipa::path(get, path = "/api/refund/{refund_no}", tag = "member",
    params(("refund_no" = String, Path, pattern = "^([0-9]{1,19}-[1-9][0-9]{0,4}|p[0-9a-f]{32})$",
        example = "380000000000000001-1", description = "The refund's number.")),
    responses((status = 200, description = "The refund.", body = RefundBody)))]
pub async fn show(
    State(app): State<App>,
    member: Member,
    Parts(refund_no): Parts<RefundNo>,
) -> Result<Json<RefundBody>, Problem> {
    let refund = app.engine().refund(member.caller(), refund_no).await.map_err(not_found)?;
    Ok(Json(refund.into()))
}
