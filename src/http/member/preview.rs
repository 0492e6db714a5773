//! `POST /api/order/preview`: what an order would cost at this moment. Reserves nothing and promises nothing.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::submit::{REQUEST_KEY_BYTES_MAX, SubmitBody};
use crate::http::caller::Member;
use crate::http::json::{Body, Id};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::http::view::order::AmountsBody;
use crate::{CouponUse, Engine, Preview, QuotedLine, Reject, RequestId};

/// What an order would cost.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Preview, example = json!({
    "amounts": {"goods_amount": 19900, "discount_amount": 0, "adjustment": 0, "freight": 800, "pay_amount": 20700},
    "expected_pay_amount": 20700, "in_stock": true,
    "lines": [{"sku_id": "42", "code": "TEA-50", "title": "Green tea, 50 g", "quantity": 1, "unit_price": 19900,
        "amount": 19900, "discount": 0, "share": 19900, "in_stock": true}],
    "coupons": [],
}))]
pub struct PreviewBody {
    /// What it comes to.
    pub amounts: AmountsBody,
    /// To be sent along with the order, which is refused if the price is another by then; in cents.
    pub expected_pay_amount: i64,
    /// Whether every line could be had at this moment.
    pub in_stock: bool,
    /// The lines; those of one SKU are summed.
    pub lines: Vec<PreviewLineBody>,
    /// What each coupon takes off, in the order in which they were applied.
    pub coupons: Vec<CouponUseBody>,
}

/// A line's part of the price.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PreviewLine)]
pub struct PreviewLineBody {
    /// The SKU.
    pub sku_id: Id,
    /// Its code.
    pub code: String,
    /// Its title.
    pub title: String,
    /// Units.
    pub quantity: u32,
    /// Price of one unit, in cents.
    pub unit_price: i64,
    /// Unit price times quantity.
    pub amount: i64,
    /// Its part of the discounts.
    pub discount: i64,
    /// What is paid for it: `amount - discount`.
    pub share: i64,
    /// Whether so many units could be had at this moment.
    pub in_stock: bool,
}

/// What a coupon takes off.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CouponUse)]
pub struct CouponUseBody {
    /// Which: 32 hexadecimal digits.
    pub coupon_id: String,
    /// Its definition.
    pub terms_id: Id,
    /// What it takes off, in cents.
    pub amount: i64,
}

impl PreviewBody {
    fn new(preview: &Preview, engine: &Engine) -> Self {
        let quote = &preview.quote;
        let lines = quote.lines.iter().zip(&preview.stock);
        let lines = lines.map(|(line, (_, available))| PreviewLineBody::new(line, *available, engine));
        Self {
            amounts: AmountsBody {
                goods_amount: quote.goods_amount.minor(),
                discount_amount: quote.discount_amount.minor(),
                adjustment: quote.adjustment.minor(),
                freight: quote.freight.minor(),
                pay_amount: quote.pay_amount.minor(),
            },
            expected_pay_amount: quote.pay_amount.minor(),
            in_stock: preview.is_available(),
            lines: lines.collect(),
            coupons: quote.coupons.iter().map(CouponUseBody::from).collect(),
        }
    }
}

impl SubmitBody {
    /// Checks what only a submit has a use for, so that what is wrong with it shows before the order is placed.
    fn check_unused(&self) -> Result<(), Reject> {
        match &self.request_id {
            Some(name) => Reject::check_present("request_id", name.len(), REQUEST_KEY_BYTES_MAX),
            None => Ok(()),
        }
    }
}

impl PreviewLineBody {
    fn new(line: &QuotedLine, available: u64, engine: &Engine) -> Self {
        let sku = engine.sku(line.sku);
        let (code, title) = sku.map(|sku| (sku.code.clone(), sku.title.clone())).unwrap_or_default();
        Self {
            sku_id: line.sku.into(),
            code,
            title,
            quantity: line.quantity,
            unit_price: line.unit_price.minor(),
            amount: line.amount.minor(),
            discount: line.discount.minor(),
            share: line.share.minor(),
            in_stock: available >= u64::from(line.quantity),
        }
    }
}

impl From<&CouponUse> for CouponUseBody {
    fn from(used: &CouponUse) -> Self {
        Self { coupon_id: used.coupon.to_string(), terms_id: used.terms.into(), amount: used.amount.minor() }
    }
}

/// What an order would cost at this moment.
///
/// Takes the body of a submit; it needs no name. Reserves nothing: whether the member may use the coupons, and has not
/// reached a limit, is decided when the order is placed.
#[utoipa::path(post, path = "/api/order/preview", tag = "member", request_body = SubmitBody,
    responses((status = 200, description = "What it would cost.", body = PreviewBody)))]
pub async fn preview(
    State(app): State<App>,
    member: Member,
    Body(body): Body<SubmitBody>,
) -> Result<Json<PreviewBody>, Problem> {
    body.check_unused()?;
    // Nothing is placed, so nothing is to be known again.
    let order = body.into_request(member.0, RequestId::default())?;
    let preview = app.engine().preview(&order).await?;
    Ok(Json(PreviewBody::new(&preview, app.engine())))
}
