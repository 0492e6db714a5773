//! Stock: counters of all pools of a SKU, adjustments, transfers between pools.

use axum::Json;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::desk::{Desk, Reason};
use crate::http::json::{Body, Id, Parts};
use crate::http::member::submit::request_id;
use crate::http::problem::Problem;
use crate::{
    Activity, ActivityId, AdjustmentId, Engine, Pool, Position, Reject, SaleControl, SkuId, StockAdjustment,
    StockChange, StockCounters, StockKey,
};

/// Most pools that one answer shows.
const POOLS_MAX: usize = 100;

/// The units of one pool. `total = available + held + reserved + sold`, always.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(example = json!({"total": 100, "available": 90, "held": 0, "reserved": 4, "sold": 6}))]
pub struct CountersView {
    /// All units there are, sold ones included.
    pub total: u64,
    /// Units that the next order can have, safety stock included.
    pub available: u64,
    /// Units set aside for orders that are still collecting their lines.
    pub held: u64,
    /// Units of orders that are placed and not paid.
    pub reserved: u64,
    /// Units of orders that are paid.
    pub sold: u64,
}

impl From<StockCounters> for CountersView {
    fn from(counters: StockCounters) -> Self {
        let StockCounters { total, available, held, reserved, sold } = counters;
        Self { total, available, held, reserved, sold }
    }
}

/// One pool of a SKU.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PoolView {
    /// `normal`, `seckill` or `group_buy`.
    pub pool: &'static str,
    /// The session or campaign, outside the everyday stock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<Id>,
    /// Its units.
    #[serde(flatten)]
    pub counters: CountersView,
    /// Of the available units, those that are kept back from sale.
    pub safety_stock: u64,
}

/// All pools of a SKU.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"sku_id": "42", "has_more": false, "pools": [{"pool": "normal", "total": 100, "available": 90,
    "held": 0, "reserved": 4, "sold": 6, "safety_stock": 0}, {"pool": "seckill", "activity_id":
    "9", "total": 50, "available": 50, "held": 0, "reserved": 0, "sold": 0, "safety_stock": 5}]}))]
pub struct StockView {
    /// The SKU.
    pub sku_id: Id,
    /// The everyday stock first, then activities, the latest start first.
    pub pools: Vec<PoolView>,
    /// Whether there are older activities with this SKU that are not shown.
    pub has_more: bool,
}

/// Shows the stock of a SKU: the everyday pool and those of the 99 latest activities that sell it.
///
/// Each pool has its counters, and the units that are kept back from sale.
#[utoipa::path(get, path = "/admin/stock/{sku_id}", tag = "admin",
    operation_id = "admin_stock",
    params(("sku_id" = Id, Path, description = "The SKU.")),
    responses((status = 200, description = "Its counters.", body = StockView)))]
pub async fn stock(desk: Desk, Parts(id): Parts<Id>) -> Result<Json<StockView>, Problem> {
    let (engine, sku) = (desk.engine(), SkuId::from(id));
    if engine.sku(sku).is_none() {
        return Err(Problem::from(Reject::UnknownSku { sku }).status(axum::http::StatusCode::NOT_FOUND));
    }
    let mut activities = engine.activities();
    activities.retain(|activity| activity.item(sku).is_some());
    activities.sort_by_key(|activity| std::cmp::Reverse((activity.start_ms, activity.id)));
    let has_more = activities.len() >= POOLS_MAX;
    let keys = activities.iter().map(|activity| activity.stock_key(sku)).take(POOLS_MAX - 1);
    let controls = engine.sale_controls();
    let mut pools = Vec::new();
    for key in std::iter::once(StockKey::normal(sku)).chain(keys) {
        let counters = engine.stock(key).await?;
        pools.push(PoolView {
            pool: pool_name(key.pool),
            activity_id: (key.activity != ActivityId(0)).then(|| key.activity.into()),
            counters: counters.into(),
            safety_stock: kept_back(&controls, key),
        });
    }
    Ok(Json(StockView { sku_id: id, pools, has_more }))
}

/// How many units of a key are kept back.
pub(super) fn kept_back(controls: &[SaleControl], of: StockKey) -> u64 {
    let units = controls.iter().find_map(|control| match control {
        SaleControl::SafetyStock { key, units } if *key == of => Some(*units),
        _ => None,
    });
    units.unwrap_or(0)
}

/// A pool's name.
const fn pool_name(pool: Pool) -> &'static str {
    match pool {
        Pool::Normal => "normal",
        Pool::Seckill => "seckill",
        Pool::GroupBuy => "group_buy",
        Pool::Seats => "seats",
        Pool::Coupons => "coupons",
    }
}

/// The stock of a SKU: the everyday one, or that of an activity.
///
/// # Errors
/// An activity that there is not.
pub(super) fn stock_key(engine: &Engine, sku: SkuId, activity: Option<Id>) -> Result<StockKey, Problem> {
    let Some(activity) = activity.map(ActivityId::from) else { return Ok(StockKey::normal(sku)) };
    let found = engine.activity(activity).ok_or(Reject::ActivityNotFound { activity })?;
    Ok(Activity::stock_key(&found, sku))
}

/// A change of stock.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"request_id": "delivery-1107", "sku_id": "42", "change": {"add": 100},
    "reason": "delivery 1107"}))]
pub struct AdjustBody {
    /// Its name, where `Idempotency-Key` doesn't carry it: sent again, it changes nothing.
    pub request_id: Option<String>,
    /// The SKU.
    pub sku_id: Id,
    /// The activity whose stock is meant; without one, the everyday stock.
    pub activity_id: Option<Id>,
    /// What changes.
    pub change: ChangeBody,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// How stock changes.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ChangeBody {
    /// Adds units, or takes available ones away where it is below zero.
    Add(i64),
    /// Sets the total; what is reserved and sold stays.
    Total(u64),
    /// Sets what was available at a position, as somebody counted it then; what happened since stays.
    Counted {
        /// Units that were counted.
        available: u64,
        /// The position of the journal at that time.
        as_of: Id,
    },
}

/// Adds to a pool, takes from it, or sets it, once for each name of a request and pool.
///
/// Needs a reason. Sent again under the same name it changes nothing.
#[utoipa::path(post, path = "/admin/stock/adjust", tag = "admin",
    operation_id = "admin_stock_adjust", request_body = AdjustBody,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "The adjustment's name.")),
    responses((status = 200, description = "The counters afterwards; sent again, as they are.", body = CountersView)))]
pub async fn adjust(
    desk: Desk,
    headers: HeaderMap,
    Body(body): Body<AdjustBody>,
) -> Result<Json<CountersView>, Problem> {
    let reason = body.reason.needed()?;
    let id = request_id(body.request_id.as_deref(), &headers)?;
    let key = stock_key(desk.engine(), body.sku_id.into(), body.activity_id)?;
    let change = match body.change {
        ChangeBody::Add(units) => StockChange::Relative(units),
        ChangeBody::Total(units) => StockChange::Absolute(units),
        ChangeBody::Counted { available, as_of } => {
            StockChange::AvailableAt { available, as_of: Position(as_of.0) }
        }
    };
    desk.acted("stock.adjust", key, reason).await?;
    let adjustment = StockAdjustment { id: AdjustmentId(id.get()), key, change };
    Ok(Json(desk.engine().adjust_stock(adjustment).await?.into()))
}

/// A move of available units from one pool of a SKU to another.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"request_id": "session-9-fill", "sku_id": "42", "to_activity_id": "9", "units": 50,
    "reason": "stock for the noon session"}))]
pub struct TransferBody {
    /// Its name, where `Idempotency-Key` doesn't carry it: sent again, it changes nothing.
    pub request_id: Option<String>,
    /// The SKU.
    pub sku_id: Id,
    /// Whose stock they come from; without one, the everyday stock.
    pub from_activity_id: Option<Id>,
    /// Whose stock they go to; without one, the everyday stock.
    pub to_activity_id: Option<Id>,
    /// How many.
    #[schema(minimum = 1)]
    pub units: u64,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// Moves available units of a SKU between its pools, once for each name of a request and pool that they come from.
///
/// Needs a reason. Sent again under the same name it moves nothing.
#[utoipa::path(post, path = "/admin/stock/transfer", tag = "admin",
    operation_id = "admin_stock_transfer", request_body = TransferBody,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "The transfer's name.")),
    responses((status = 200, description = "The counters of the pool that they came from.", body = CountersView)))]
pub async fn transfer(
    desk: Desk,
    headers: HeaderMap,
    Body(body): Body<TransferBody>,
) -> Result<Json<CountersView>, Problem> {
    let reason = body.reason.needed()?;
    let id = request_id(body.request_id.as_deref(), &headers)?;
    let (engine, sku) = (desk.engine(), SkuId::from(body.sku_id));
    let from = stock_key(engine, sku, body.from_activity_id)?;
    let to = stock_key(engine, sku, body.to_activity_id)?;
    desk.acted("stock.transfer", format!("{from} to {to}"), reason).await?;
    let counters = engine.transfer_stock(AdjustmentId(id.get()), from, to, body.units).await?;
    Ok(Json(counters.into()))
}
