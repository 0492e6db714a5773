//! What the shop does about one order: cancel, note, price, address.

use axum::Json;
use serde::Deserialize;
use utoipa::ToSchema;

use super::desk::{Desk, Reason};
use super::order_name::OrderName;
use crate::http::json::{Body, Parts};
use crate::http::member::submit::ReceiptBody;
use crate::http::problem::Problem;
use crate::personal::Receiver;
use crate::{Caller, Money, PriceChange};

/// Why an order is cancelled.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the buyer called"}))]
pub struct CancelBody {
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Cancels an order that is not paid.
///
/// Its units and coupons are free again.
#[utoipa::path(post, path = "/admin/order/{order_no}/cancel", tag = "admin",
    operation_id = "admin_order_cancel", request_body = CancelBody,
    params(("order_no" = OrderName, Path, description = "Its number, or `external:` and the shop's own.")),
    responses((status = 200, description = "It is cancelled, durably.", body = ReceiptBody)))]
pub async fn cancel(
    desk: Desk,
    Parts(name): Parts<OrderName>,
    Body(body): Body<CancelBody>,
) -> Result<Json<ReceiptBody>, Problem> {
    desk.acted("order.cancel", &name, body.reason.needed()?).await?;
    Ok(Json(desk.engine().cancel(Caller::Operator, name.order_ref()).await?.into()))
}

/// The shop's note, in place of the one before.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"remark": "wrap as a gift", "flag": 3}))]
pub struct RemarkBody {
    /// At most 1,024 bytes.
    pub remark: String,
    /// A mark, 0 to 9.
    #[serde(default)]
    #[schema(maximum = 9)]
    pub flag: u8,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Notes something about an order, in place of what was noted before.
///
/// Members don't see it.
#[utoipa::path(post, path = "/admin/order/{order_no}/remark", tag = "admin",
    operation_id = "admin_order_remark", request_body = RemarkBody,
    params(("order_no" = OrderName, Path, description = "Its number, or `external:` and the shop's own.")),
    responses((status = 200, description = "It is noted, durably.", body = ReceiptBody)))]
pub async fn remark(
    desk: Desk,
    Parts(name): Parts<OrderName>,
    Body(body): Body<RemarkBody>,
) -> Result<Json<ReceiptBody>, Problem> {
    desk.acted("order.remark", &name, body.reason.given()?).await?;
    Ok(Json(desk.engine().remark_order(name.order_ref(), &body.remark, body.flag).await?.into()))
}

/// Another price.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"pay_amount": 15000, "freight": 0, "reason": "agreed on the phone"}))]
pub struct PriceBody {
    /// What is to be paid, freight included, in cents.
    #[schema(minimum = 0)]
    pub pay_amount: i64,
    /// Of it, what carriage costs, in cents.
    #[schema(minimum = 0)]
    pub freight: i64,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Changes what is to be paid for an order that is not paid.
///
/// Payments that were begun for the old amount are void. An order that costs nothing from now on is paid by that.
#[utoipa::path(post, path = "/admin/order/{order_no}/price", tag = "admin",
    operation_id = "admin_order_price", request_body = PriceBody,
    params(("order_no" = OrderName, Path, description = "Its number, or `external:` and the shop's own.")),
    responses((status = 200, description = "It holds, durably.", body = ReceiptBody)))]
pub async fn price(
    desk: Desk,
    Parts(name): Parts<OrderName>,
    Body(body): Body<PriceBody>,
) -> Result<Json<ReceiptBody>, Problem> {
    desk.acted("order.price", &name, body.reason.needed()?).await?;
    let change = PriceChange {
        pay_amount: Money::from_minor(body.pay_amount),
        freight: Money::from_minor(body.freight),
    };
    Ok(Json(desk.engine().change_price(name.order_ref(), change).await?.into()))
}

/// Another receiver.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AdminAddressBody, example = json!({"receiver": {"name": "张三", "phone": "13812345678", "province": "广东省", "city": "深圳市", "district":
    "南山区", "address": "科技园路 1 号"}, "reason": "the buyer has moved"}))]
pub struct AddressBody {
    /// Who receives it, and where.
    pub receiver: Receiver,
    /// Why, for the log; no place for the address.
    #[serde(default)]
    pub reason: Reason,
}

/// Sends the parcel elsewhere, while nothing of the order has left.
///
/// The log has that it was changed, and not the address.
#[utoipa::path(post, path = "/admin/order/{order_no}/address", tag = "admin",
    operation_id = "admin_order_address", request_body = AddressBody,
    params(("order_no" = OrderName, Path, description = "Its number, or `external:` and the shop's own.")),
    responses((status = 200, description = "It holds, durably.", body = ReceiptBody)))]
pub async fn address(
    desk: Desk,
    Parts(name): Parts<OrderName>,
    Body(body): Body<AddressBody>,
) -> Result<Json<ReceiptBody>, Problem> {
    let reason = body.reason.given()?;
    let personal = body.receiver.to_personal()?;
    desk.acted("order.address", &name, reason).await?;
    let receipt = desk.engine().change_address(Caller::Operator, name.order_ref(), personal).await?;
    Ok(Json(receipt.into()))
}
