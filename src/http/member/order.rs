//! One order of the member's own: looking at it, and what its member may do with it.
//!
//! The engine checks whose it is; another's answers as one that doesn't exist (R14).

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::submit::ReceiptBody;
use crate::PaymentAttempt;
use crate::http::caller::Member;
use crate::http::json::{Body, OrderNumber, Parts, instant};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::http::view::order::{OrderBody, Reveal};
use crate::personal::Receiver;

/// How it is to be paid.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"channel": "wechat"}))]
pub struct PayBody {
    /// Payment channel, 1 to 64 bytes.
    #[schema(min_length = 1, max_length = 64)]
    pub channel: String,
}

/// A payment to be begun at the provider.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"pay_no": "380000000000000001-1", "amount": 19900,
    "pay_before": "2026-11-11T12:35:00.000Z", "pay_before_ms": 1_794_400_500_000_u64}))]
pub struct AttemptReceiptBody {
    /// The trade's number, for the provider.
    pub pay_no: String,
    /// What is to be paid, in cents.
    pub amount: i64,
    /// At and after this instant the order can't be paid in the ordinary way.
    pub pay_before: String,
    /// The same, in ms since the Unix epoch.
    pub pay_before_ms: u64,
}

/// Where the parcel is to go.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"receiver": {"name": "张三", "phone": "13812345678", "province": "广东省", "city": "深圳市",
    "district": "南山区", "address": "科技园路 2 号"}}))]
pub struct AddressBody {
    /// Who receives it, in place of whoever was named before.
    pub receiver: Receiver,
}

impl From<PaymentAttempt> for AttemptReceiptBody {
    fn from(attempt: PaymentAttempt) -> Self {
        Self {
            pay_no: attempt.pay_no.to_string(),
            amount: attempt.amount.minor(),
            pay_before: instant(attempt.deadline_ms),
            pay_before_ms: attempt.deadline_ms,
        }
    }
}

/// One order of the member's own.
///
/// With its timeline, its refunds and packages, and its receiver in full. Another member's answers as one that doesn't
/// exist.
#[utoipa::path(get, path = "/api/order/{order_no}", tag = "member",
    params(("order_no" = String, Path, pattern = "^[0-9]{1,19}$", example = "380000000000000001",
        description = "The order's number.")),
    responses((status = 200, description = "The order.", body = OrderBody)))]
pub async fn show(
    State(app): State<App>,
    member: Member,
    Parts(order_no): Parts<OrderNumber>,
) -> Result<Json<OrderBody>, Problem> {
    let view = app.engine().order(member.caller(), order_no.0).await?;
    Ok(Json(OrderBody::for_member(view, Reveal::Whole)))
}

/// The member goes to pay: gives the trade at the provider its number.
///
/// The first time the order's deadline moves by a grace. Each call begins another attempt, at most 16 an order.
#[utoipa::path(post, path = "/api/order/{order_no}/pay", tag = "member", request_body = PayBody,
    params(("order_no" = String, Path, pattern = "^[0-9]{1,19}$", example = "380000000000000001",
        description = "The order's number.")),
    responses((status = 200, description = "The trade may be begun.", body = AttemptReceiptBody)))]
pub async fn pay(
    State(app): State<App>,
    member: Member,
    Parts(order_no): Parts<OrderNumber>,
    Body(body): Body<PayBody>,
) -> Result<Json<AttemptReceiptBody>, Problem> {
    let attempt = app.engine().begin_payment(member.caller(), order_no.0, &body.channel).await?;
    Ok(Json(attempt.into()))
}

/// Cancels an unpaid order.
///
/// Its units are on sale again at once. Called again it changes nothing. Takes no body.
#[utoipa::path(post, path = "/api/order/{order_no}/cancel", tag = "member",
    params(("order_no" = String, Path, pattern = "^[0-9]{1,19}$", example = "380000000000000001",
        description = "The order's number.")),
    responses((status = 200, description = "It is cancelled, and its units are on sale again.", body = ReceiptBody)))]
pub async fn cancel(
    State(app): State<App>,
    member: Member,
    Parts(order_no): Parts<OrderNumber>,
) -> Result<Json<ReceiptBody>, Problem> {
    Ok(Json(app.engine().cancel(member.caller(), order_no.0).await?.into()))
}

/// The member has received a shipped order.
///
/// Completes it; by itself that happens a configured time after shipping. Called again it changes nothing. Takes no body.
#[utoipa::path(post, path = "/api/order/{order_no}/confirm", tag = "member",
    params(("order_no" = String, Path, pattern = "^[0-9]{1,19}$", example = "380000000000000001",
        description = "The order's number.")),
    responses((status = 200, description = "It is completed.", body = ReceiptBody)))]
pub async fn confirm(
    State(app): State<App>,
    member: Member,
    Parts(order_no): Parts<OrderNumber>,
) -> Result<Json<ReceiptBody>, Problem> {
    Ok(Json(app.engine().confirm(member.caller(), order_no.0).await?.into()))
}

/// Sends the parcel elsewhere.
///
/// Only while nothing of the order has left. The receiver takes the place of the one before, as a whole.
#[utoipa::path(post, path = "/api/order/{order_no}/address", tag = "member", request_body = AddressBody,
    params(("order_no" = String, Path, pattern = "^[0-9]{1,19}$", example = "380000000000000001",
        description = "The order's number.")),
    responses((status = 200, description = "The address is changed.", body = ReceiptBody)))]
pub async fn change_address(
    State(app): State<App>,
    member: Member,
    Parts(order_no): Parts<OrderNumber>,
    Body(body): Body<AddressBody>,
) -> Result<Json<ReceiptBody>, Problem> {
    let personal = body.receiver.to_personal()?;
    Ok(Json(app.engine().change_address(member.caller(), order_no.0, personal).await?.into()))
}
