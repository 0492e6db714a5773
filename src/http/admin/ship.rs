//! Shipping: an order as a whole, package by package, or many orders at once.

use std::collections::HashSet;

use axum::Json;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use utoipa::ToSchema;

use super::desk::{Desk, Reason};
use super::order_name::OrderName;
use super::orders::{check_batch, find};
use crate::http::json::{Body, Id, OrderNumber, Parts};
use crate::http::problem::{Problem, ProblemBody};
use crate::{OrderNo, OrderStatus, ShipPackage, Shipment};

/// How an order ships.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"carrier": "sf", "tracking_no": "SF1000001"}))]
pub struct ShipBody {
    /// The carrier.
    pub carrier: String,
    /// The carrier's number.
    pub tracking_no: String,
    /// What is in the package; without it, all of the order.
    pub lines: Option<Vec<PackedLine>>,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Units of a SKU in a package.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PackedLine {
    /// The SKU.
    pub sku_id: Id,
    /// How many.
    #[schema(minimum = 1)]
    pub quantity: u32,
}

/// An order that ships.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"order_no": "380000000000000001", "status": "shipped", "outcome": "shipped"}))]
pub struct ShippedView {
    /// The order.
    pub order_no: OrderNumber,
    /// Where it stands now.
    pub status: &'static str,
    /// `shipped`, or `already` where it had been shipped by this very parcel.
    pub outcome: &'static str,
}

impl ShippedView {
    fn new(order_no: OrderNo, status: OrderStatus, outcome: &'static str) -> Self {
        Self { order_no: order_no.into(), status: status.name(), outcome }
    }
}

/// Ships an order, as a whole or a package with some of its units.
///
/// As a whole: sent again with the same parcel it changes nothing. A package sent again is another package, as far as units
/// are left.
#[utoipa::path(post, path = "/admin/order/{order_no}/ship", tag = "admin",
    operation_id = "admin_ship", request_body = ShipBody,
    params(("order_no" = OrderName, Path, description = "Its number, or `external:` and the shop's own.")),
    responses((status = 200, description = "It ships, durably.", body = ShippedView)))]
pub async fn ship(
    desk: Desk,
    Parts(name): Parts<OrderName>,
    Body(body): Body<ShipBody>,
) -> Result<Json<ShippedView>, Problem> {
    let reason = body.reason.given()?;
    let shipment = Shipment { carrier: body.carrier.into(), tracking_no: body.tracking_no.into() };
    let Some(lines) = body.lines else { return ship_whole(&desk, &name, shipment, reason).await.map(Json) };
    desk.acted("order.ship_package", &name, reason).await?;
    let lines = lines.into_iter().map(|line| (line.sku_id.into(), line.quantity)).collect();
    let receipt = desk.engine().ship_package(name.order_ref(), ShipPackage { shipment, lines }).await?;
    Ok(Json(ShippedView::new(receipt.order_no, receipt.status, "shipped")))
}

/// Ships an order as a whole, once for each parcel.
async fn ship_whole(
    desk: &Desk,
    name: &OrderName,
    shipment: Shipment,
    reason: &str,
) -> Result<ShippedView, Problem> {
    let view = find(desk, name).await?;
    // The engine knows this while the order is on its way; here it holds for received ones, too.
    if view.shipment.as_ref() == Some(&shipment) {
        return Ok(ShippedView::new(view.order_no, view.status, "already"));
    }
    desk.acted("order.ship", name, reason).await?;
    let receipt = desk.engine().ship(name.order_ref(), shipment).await?;
    Ok(ShippedView::new(receipt.order_no, receipt.status, "shipped"))
}

/// Orders that ship, each as a whole.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"shipments": [{"order": "380000000000000001", "carrier": "sf", "tracking_no": "SF1000001"}]}))]
pub struct BatchShipBody {
    /// 1 to 200 orders, each once.
    #[schema(min_items = 1, max_items = 200)]
    pub shipments: Vec<ShipItem>,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// An order that ships.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShipItem {
    /// The order.
    pub order: OrderName,
    /// The carrier.
    pub carrier: String,
    /// The carrier's number.
    pub tracking_no: String,
}

/// What became of one order of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchShipItem {
    /// As it was asked for.
    pub asked: OrderName,
    /// The order, where it ships.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipped: Option<ShippedView>,
    /// Why it doesn't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"results": [{"asked": "380000000000000001", "shipped": {"order_no": "380000000000000001",
    "status": "shipped", "outcome": "already"}}], "shipped": 1, "refused": 0}))]
pub struct BatchShipView {
    /// One for each order that was asked for, in that order.
    pub results: Vec<BatchShipItem>,
    /// How many ship.
    pub shipped: usize,
    /// How many don't.
    pub refused: usize,
}

/// Ships up to 200 orders, each as a whole and with its own result.
///
/// Sent again with the same parcels it changes nothing.
#[utoipa::path(post, path = "/admin/orders/batch_ship", tag = "admin",
    operation_id = "admin_batch_ship", request_body = BatchShipBody,
    responses((status = 200, description = "A result for each, in order.", body = BatchShipView)))]
pub async fn batch_ship(desk: Desk, Body(body): Body<BatchShipBody>) -> Result<Json<BatchShipView>, Problem> {
    check_batch("shipments", body.shipments.len())?;
    let reason = body.reason.given()?;
    check_distinct(&body.shipments)?;
    let names: Vec<_> = body.shipments.iter().map(|item| item.order.clone()).collect();
    // Side by side, so that they share the journal's syncs.
    let mut running = JoinSet::new();
    for (nth, item) in body.shipments.into_iter().enumerate() {
        let (desk, reason) = (desk.clone(), reason.to_owned());
        running.spawn(async move {
            let shipment = Shipment { carrier: item.carrier.into(), tracking_no: item.tracking_no.into() };
            (nth, ship_whole(&desk, &item.order, shipment, &reason).await)
        });
    }
    let mut done: Vec<_> = names.iter().map(|_| None).collect();
    while let Some(joined) = running.join_next().await {
        if let Ok((nth, result)) = joined {
            done[nth] = Some(result);
        }
    }
    let results: Vec<_> = names.into_iter().zip(done).map(|(asked, done)| item(&desk, asked, done)).collect();
    let shipped = results.iter().filter(|result| result.shipped.is_some()).count();
    let refused = results.len() - shipped;
    Ok(Json(BatchShipView { results, shipped, refused }))
}

/// Refuses a batch that names an order twice: which of its parcels holds would be a matter of chance.
fn check_distinct(shipments: &[ShipItem]) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    match shipments.iter().position(|item| !seen.insert(&item.order)) {
        None => Ok(()),
        Some(nth) => Err(Problem::invalid(
            format!("shipments[{nth}].order"),
            "the batch names this order twice",
            "批次中该订单重复出现",
        )),
    }
}

fn item(desk: &Desk, asked: OrderName, done: Option<Result<ShippedView, Problem>>) -> BatchShipItem {
    // What has no result panicked: nobody knows whether it was done.
    let done = done.unwrap_or_else(|| Err(crate::Reject::OutcomeUnknown.into()));
    match done {
        Ok(shipped) => BatchShipItem { asked, shipped: Some(shipped), problem: None },
        Err(problem) => {
            let problem = problem.body(desk.context.language, &desk.context.request_id);
            BatchShipItem { asked, shipped: None, problem: Some(problem) }
        }
    }
}
