//! What everybody in a scenario shares: the engine, the plan, latencies by operation, teams that can be joined. And the
//! shop as the buyers find it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stockade::{
    Activity, ActivityId, ActivityItem, ActivityKind, AdjustmentId, CouponBenefit, CouponScope, CouponTerms,
    Engine, FreightCharge, FreightRule, FreightTemplate, Money, OrderType, OrderTypes, Pool, Reject, Sku,
    SkuShipping, StockAdjustment, StockChange, StockCounters, StockKey, TeamId, TeamTerms,
};

use super::plan::Buyers;
use crate::Failure;
use crate::latency::Latencies;
use crate::shop::patiently;

/// Histograms for each operation: fewer than for a run with one operation, because they are large.
const SHARDS: usize = 8;
/// The only freight template.
const FREIGHT: u64 = 1;
/// The adjustment that stocks the shop, and the transfers to activities, which have ids of their own.
const DELIVERY: u128 = 1;

/// Coupons are valid for a day.
const COUPONS_VALID_MS: u64 = 24 * 3_600_000;

/// What latencies are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Submit,
    /// A submission that was answered within a second of its session's opening.
    Opening,
    Coupon,
    BeginPayment,
    Pay,
    Cancel,
    Change,
    Ship,
    Confirm,
    Refund,
    Expiry,
}

impl Operation {
    pub(crate) const ALL: [(Self, &'static str); 11] = [
        (Self::Submit, "submit_us"),
        (Self::Opening, "submit_at_opening_us"),
        (Self::Coupon, "issue_coupon_us"),
        (Self::BeginPayment, "begin_payment_us"),
        (Self::Pay, "pay_us"),
        (Self::Cancel, "cancel_us"),
        (Self::Change, "change_us"),
        (Self::Ship, "ship_us"),
        (Self::Confirm, "confirm_us"),
        (Self::Refund, "refund_us"),
        (Self::Expiry, "expiry_lag_us"),
    ];
}

/// A scenario under way.
pub(crate) struct Sale {
    pub(crate) engine: Engine,
    pub(crate) buyers: Buyers,
    /// When it began, by the engine's clock and by the harness's.
    pub(crate) start_ms: u64,
    pub(crate) began: Instant,
    pub(crate) next: AtomicU64,
    pub(crate) done: Arc<AtomicU64>,
    latencies: BTreeMap<Operation, Latencies>,
    open_teams: Mutex<BTreeMap<ActivityId, VecDeque<TeamId>>>,
}

impl Sale {
    pub(crate) fn new(engine: Engine, buyers: Buyers, start_ms: u64) -> Self {
        let latencies = Operation::ALL.map(|(operation, _)| (operation, Latencies::with_shards(SHARDS)));
        Self {
            engine,
            buyers,
            start_ms,
            began: Instant::now(),
            next: AtomicU64::new(0),
            done: Arc::default(),
            latencies: latencies.into(),
            open_teams: Mutex::default(),
        }
    }

    /// Asks for something, patiently, and records how long it took.
    pub(crate) async fn timed<T, Asked>(
        &self,
        operation: Operation,
        n: u64,
        ask: impl Fn() -> Asked,
    ) -> Result<T, Reject>
    where
        Asked: Future<Output = Result<T, Reject>>,
    {
        let asked = Instant::now();
        let result = patiently(ask).await;
        self.record(operation, n, asked.elapsed());
        result
    }

    pub(crate) fn record(&self, operation: Operation, n: u64, latency: Duration) {
        if let Some(latencies) = self.latencies.get(&operation) {
            latencies.record(n, latency);
        }
    }

    pub(crate) fn latencies(&self, operation: Operation) -> Option<&Latencies> {
        self.latencies.get(&operation)
    }

    /// Offers seats of a team to whoever comes.
    pub(crate) fn offer(&self, campaign: ActivityId, team: TeamId, seats: u64) {
        let mut teams = self.open_teams.lock().unwrap_or_else(PoisonError::into_inner);
        teams.entry(campaign).or_default().extend((0..seats).map(|_| team));
    }

    /// A team with a seat, as far as is known.
    pub(crate) fn take_offer(&self, campaign: ActivityId) -> Option<TeamId> {
        let mut teams = self.open_teams.lock().unwrap_or_else(PoisonError::into_inner);
        teams.get_mut(&campaign)?.pop_front()
    }

    /// When an activity opens and ends, by the engine's clock.
    pub(crate) fn window_ms(&self, activity: ActivityId) -> Option<(u64, u64)> {
        let (_, _, part) = self.buyers.activities().find(|(_, id, _)| *id == activity)?;
        let start_ms = self.start_ms + part.start_ms;
        Some((start_ms, start_ms + part.length_ms))
    }

    /// Every stock key with goods, and its counters as they are.
    pub(crate) async fn counters(&self) -> Result<Vec<(StockKey, StockCounters)>, Reject> {
        let everyday = (1..=self.buyers.script.shop.skus).map(|sku| StockKey::normal(sku.into()));
        let sold = self.buyers.activities().flat_map(|(order_type, id, part)| {
            (1..=part.skus).map(move |sku| activity_key(order_type, id, sku))
        });
        let mut counters = Vec::new();
        for key in everyday.chain(sold) {
            counters.push((key, self.engine.stock(key).await?));
        }
        Ok(counters)
    }
}

fn activity_key(order_type: OrderType, activity: ActivityId, sku: u64) -> StockKey {
    let pool = if order_type == OrderType::Seckill { Pool::Seckill } else { Pool::GroupBuy };
    StockKey { pool, activity, ..StockKey::normal(sku.into()) }
}

/// Puts on sale what the scenario says; activities count their times from `start_ms`.
pub(crate) async fn open_shop(engine: &Engine, buyers: &Buyers, start_ms: u64) -> Result<(), Failure> {
    let script = &buyers.script;
    let freight = &script.freight;
    if freight.charged {
        let charge = FreightCharge::WeightSteps {
            first_grams: freight.first_grams,
            first_fee: Money::from_minor(freight.first_fee),
            step_grams: freight.step_grams,
            step_fee: Money::from_minor(freight.step_fee),
        };
        let free_from = (freight.free_from > 0).then(|| Money::from_minor(freight.free_from));
        let rule = FreightRule { charge, free_from };
        engine.put_freight(FreightTemplate { id: FREIGHT.into(), name: "parcel".into(), rule }, None).await?;
    }
    for id in 1..=script.shop.skus {
        let (price, weight_grams) = buyers.goods(id);
        let sku = Sku {
            id: id.into(),
            product_id: 1.into(),
            code: format!("SKU-{id}"),
            title: format!("Article no. {id}"),
            price: Money::from_minor(price),
            on_sale: true,
            limit_per_member: script.shop.limit_per_member,
        };
        engine.put_sku(sku).await?;
        if freight.charged {
            let shipping = SkuShipping { sku_id: id.into(), weight_grams, freight: Some(FREIGHT.into()) };
            engine.put_shipping(shipping, None).await?;
        }
        let change = StockChange::Relative(i64::try_from(script.shop.stock)?);
        let key = StockKey::normal(id.into());
        engine.adjust_stock(StockAdjustment { id: DELIVERY.into(), key, change }).await?;
    }
    for (id, part) in (1_u64..).zip(&script.coupon) {
        let benefit = match part.percent_bp {
            0 => CouponBenefit::AmountOff(Money::from_minor(part.amount_off)),
            percent_bp => {
                let cap = (part.cap > 0).then(|| Money::from_minor(part.cap));
                CouponBenefit::PercentOff { percent_bp, cap }
            }
        };
        let terms = CouponTerms {
            id: id.into(),
            title: format!("Coupon no. {id}").into(),
            benefit,
            threshold: Money::from_minor(part.threshold),
            scope: CouponScope::All,
            valid_from_ms: 0,
            valid_until_ms: start_ms + COUPONS_VALID_MS,
            stackable: part.stackable,
            issue_max: part.issue_max,
            per_member_max: part.per_member,
            order_types: OrderTypes::of(&[OrderType::Normal]),
        };
        engine.put_coupon_terms(terms, None).await?;
    }
    for (order_type, id, part) in buyers.activities() {
        let is_campaign = order_type == OrderType::GroupBuy;
        let item = |sku: u64| ActivityItem {
            sku_id: sku.into(),
            price: Money::from_minor(part.price),
            limit_per_member: part.limit_per_member,
        };
        let activity = Activity {
            id,
            kind: if is_campaign { ActivityKind::GroupBuy } else { ActivityKind::Seckill },
            title: format!("Sale no. {id}"),
            start_ms: start_ms + part.start_ms,
            end_ms: start_ms + part.start_ms + part.length_ms,
            items: (1..=part.skus).map(item).collect(),
            team: is_campaign.then_some(TeamTerms { size: part.team_size, time_limit_ms: part.team_ms }),
            ..Activity::default()
        };
        engine.put_activity(activity).await?;
        for sku in 1..=part.skus {
            let transfer = AdjustmentId(DELIVERY + u128::from(id.0));
            let to = activity_key(order_type, id, sku);
            engine.transfer_stock(transfer, StockKey::normal(sku.into()), to, part.stock).await?;
        }
    }
    Ok(())
}
