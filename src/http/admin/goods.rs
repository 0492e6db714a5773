//! What there is to sell, and what carriage costs: SKUs, how they ship, freight templates.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::desk::{Desk, Reason, Revision};
use crate::http::json::{Body, Id, Parts};
use crate::http::problem::Problem;
use crate::{FreightCharge, FreightRule, FreightTemplate, Money, Reject, Sku, SkuShipping};

/// A SKU, to be put as a whole.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"product_id": "7", "code": "TEA-50", "title": "Green tea, 50 g", "price": 19900,
    "on_sale": true, "limit_per_member": 2}))]
pub struct SkuBody {
    /// The product that it belongs to.
    pub product_id: Id,
    /// The shop's own code.
    pub code: String,
    /// What buyers read.
    pub title: String,
    /// Price of one unit, in cents; not negative.
    #[schema(minimum = 0)]
    pub price: i64,
    /// Whether it can be ordered.
    pub on_sale: bool,
    /// Most units one member may have in orders that are not cancelled; 0 for no limit.
    #[serde(default)]
    pub limit_per_member: u32,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// A SKU as it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"sku_id": "42", "product_id": "7", "code": "TEA-50", "title": "Green tea, 50 g", "price": 19900,
    "on_sale": true, "limit_per_member": 2}))]
pub struct SkuView {
    /// Its id.
    pub sku_id: Id,
    /// The product that it belongs to.
    pub product_id: Id,
    /// The shop's own code.
    pub code: String,
    /// What buyers read.
    pub title: String,
    /// Price of one unit, in cents.
    pub price: i64,
    /// Whether it can be ordered.
    pub on_sale: bool,
    /// Most units one member may have; 0 for no limit.
    pub limit_per_member: u32,
}

impl From<&Sku> for SkuView {
    fn from(sku: &Sku) -> Self {
        Self {
            sku_id: sku.id.into(),
            product_id: sku.product_id.into(),
            code: sku.code.clone(),
            title: sku.title.clone(),
            price: sku.price.minor(),
            on_sale: sku.on_sale,
            limit_per_member: sku.limit_per_member,
        }
    }
}

/// Shows a SKU as it stands.
///
/// Its current revision.
#[utoipa::path(get, path = "/admin/skus/{sku_id}", tag = "admin",
    operation_id = "admin_sku",
    params(("sku_id" = Id, Path, description = "The SKU.")),
    responses((status = 200, description = "The SKU.", body = SkuView)))]
pub async fn sku(desk: Desk, Parts(id): Parts<Id>) -> Result<Json<SkuView>, Problem> {
    match desk.engine().sku(id.0) {
        Some(sku) => Ok(Json(SkuView::from(&*sku))),
        None => {
            let unknown = Problem::from(Reject::UnknownSku { sku: id.into() });
            Err(unknown.status(axum::http::StatusCode::NOT_FOUND))
        }
    }
}

/// Puts a SKU, or a new revision of it.
///
/// Orders that were placed before keep the revision that they were priced from.
#[utoipa::path(put, path = "/admin/skus/{sku_id}", tag = "admin",
    operation_id = "admin_put_sku", request_body = SkuBody,
    params(("sku_id" = Id, Path, description = "The SKU.")),
    responses((status = 200, description = "It is put, durably.", body = Revision)))]
pub async fn put_sku(
    desk: Desk,
    Parts(id): Parts<Id>,
    Body(body): Body<SkuBody>,
) -> Result<Json<Revision>, Problem> {
    desk.acted("sku.put", id, body.reason.given()?).await?;
    let sku = Sku {
        id: id.into(),
        product_id: body.product_id.into(),
        code: body.code,
        title: body.title,
        price: Money::from_minor(body.price),
        on_sale: body.on_sale,
        limit_per_member: body.limit_per_member,
    };
    Ok(Json(Revision { revision: desk.engine().put_sku(sku).await? }))
}

/// How a SKU ships.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"weight_grams": 120, "freight_id": "1"}))]
pub struct ShippingBody {
    /// What one unit weighs, in grams.
    #[serde(default)]
    pub weight_grams: u32,
    /// The freight template; without one it ships free.
    pub freight_id: Option<Id>,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Puts how a SKU ships: its weight, and the template that its carriage is charged by.
///
/// Without a template it ships free. Orders that were placed before keep what they were charged.
#[utoipa::path(put, path = "/admin/skus/{sku_id}/shipping", tag = "admin",
    operation_id = "admin_put_shipping", request_body = ShippingBody,
    params(("sku_id" = Id, Path, description = "The SKU.")),
    responses((status = 200, description = "It is put, durably.", body = Revision)))]
pub async fn put_shipping(
    desk: Desk,
    Parts(id): Parts<Id>,
    Body(body): Body<ShippingBody>,
) -> Result<Json<Revision>, Problem> {
    let reason = body.reason.given()?;
    desk.acted("sku.shipping", id, reason).await?;
    let freight = body.freight_id.map(Into::into);
    let shipping = SkuShipping { sku_id: id.into(), weight_grams: body.weight_grams, freight };
    let revision = desk.engine().put_shipping(shipping, desk.origin(reason)).await?;
    Ok(Json(Revision { revision }))
}

/// A freight template, to be put as a whole.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "standard", "charge": {"weight_steps": {"first_grams": 1000, "first_fee": 800,
    "step_grams": 500, "step_fee": 200}}, "free_from": 9900}))]
pub struct FreightBody {
    /// What the shop calls it; 1 to 128 bytes.
    pub name: String,
    /// How a parcel is charged.
    pub charge: ChargeBody,
    /// The amount of goods, after coupons, from which on nothing is charged, in cents.
    pub free_from: Option<i64>,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// How a parcel is charged, in cents.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChargeBody {
    /// The same for every parcel.
    Flat {
        /// The fee.
        fee: i64,
    },
    /// By weight.
    WeightSteps {
        /// Up to this weight only the first fee is charged.
        first_grams: u32,
        /// The first fee.
        first_fee: i64,
        /// Length of a further step.
        step_grams: u32,
        /// The fee for each further step, begun ones included.
        step_fee: i64,
    },
}

impl From<ChargeBody> for FreightCharge {
    fn from(body: ChargeBody) -> Self {
        let money = Money::from_minor;
        match body {
            ChargeBody::Flat { fee } => Self::Flat { fee: money(fee) },
            ChargeBody::WeightSteps { first_grams, first_fee, step_grams, step_fee } => Self::WeightSteps {
                first_grams,
                first_fee: money(first_fee),
                step_grams,
                step_fee: money(step_fee),
            },
        }
    }
}

/// Puts a freight template.
///
/// Orders that were placed before keep what they were charged.
#[utoipa::path(put, path = "/admin/freight/{id}", tag = "admin",
    operation_id = "admin_put_freight", request_body = FreightBody,
    params(("id" = Id, Path, description = "The template.")),
    responses((status = 200, description = "It is put, durably.", body = Revision)))]
pub async fn put_freight(
    desk: Desk,
    Parts(id): Parts<Id>,
    Body(body): Body<FreightBody>,
) -> Result<Json<Revision>, Problem> {
    let reason = body.reason.given()?;
    desk.acted("freight.put", id, reason).await?;
    let free_from = body.free_from.map(Money::from_minor);
    let rule = FreightRule { charge: body.charge.into(), free_from };
    let template = FreightTemplate { id: id.into(), name: body.name.as_str().into(), rule };
    let revision = desk.engine().put_freight(template, desk.origin(reason)).await?;
    Ok(Json(Revision { revision }))
}
