//! The shop that the buyers find: its engine, its SKUs, its stock, its payments.

use std::path::Path;
use std::time::Duration;

use stockade::{
    Config, Engine, Money, OrderRef, Payment, Receipt, Reject, Sku, StockAdjustment, StockChange,
    StockCounters, StockKey, SubmitOrder,
};

use crate::Failure;
use crate::cli::EngineArgs;
use crate::plan::Plan;

/// Times that a request is sent again after `overloaded`.
const OVERLOADED_TRIES_MAX: usize = 10_000;
/// The adjustment that stocks the shop.
const DELIVERY: u128 = 1;

/// Bytes of journal that stay in tests that let the rest be trimmed.
pub(crate) const JOURNAL_KEPT_BYTES: u64 = 64 << 20;

/// The engine's configuration for these arguments and at most so many commands at a time. The whole journal stays, so
/// that it can be audited.
pub(crate) fn config(data: &Path, args: &EngineArgs, in_flight: u64) -> Config {
    let config = Config::new(data)
        .durability(args.durability.into())
        .recovery_grace_ms(0)
        .journal_keep_min_bytes(u64::MAX)
        // Data that somebody named can be inspected and backed up while the load runs.
        .control_socket(args.data.is_some())
        // Room for the harness's own questions.
        .in_flight_max(usize::try_from(in_flight).unwrap_or(usize::MAX).saturating_add(1024));
    match args.order_actors {
        Some(order_actors) => config.order_actors(order_actors),
        None => config,
    }
}

/// What is sold as SKU `sku`.
pub(crate) fn sku(sku: u64, limit_per_member: u32) -> Sku {
    Sku {
        id: sku.into(),
        product_id: 1.into(),
        code: format!("SKU-{sku}"),
        title: format!("Limited edition no. {sku}"),
        price: Money::from_minor(9_900 + sku as i64 * 100),
        on_sale: true,
        limit_per_member,
    }
}

/// Puts SKUs 1 to `skus` on sale, with `units(sku)` units each. Does nothing when it was done before.
pub(crate) async fn stock(
    engine: &Engine,
    skus: u64,
    limit_per_member: u32,
    units: impl Fn(u64) -> u64,
) -> Result<(), Failure> {
    stock_as(engine, skus, |id| sku(id, limit_per_member), units).await
}

/// The same for other goods.
pub(crate) async fn stock_as(
    engine: &Engine,
    skus: u64,
    sku: impl Fn(u64) -> Sku,
    units: impl Fn(u64) -> u64,
) -> Result<(), Failure> {
    for id in 1..=skus {
        engine.put_sku(sku(id)).await?;
        let change = StockChange::Relative(i64::try_from(units(id))?);
        let key = StockKey::normal(id.into());
        engine.adjust_stock(StockAdjustment { id: DELIVERY.into(), key, change }).await?;
    }
    Ok(())
}

/// The counters of SKUs 1 to `skus`.
pub(crate) async fn counters(engine: &Engine, skus: u64) -> Result<Vec<(StockKey, StockCounters)>, Reject> {
    let mut counters = Vec::new();
    for id in 1..=skus {
        let key = StockKey::normal(id.into());
        counters.push((key, engine.stock(key).await?));
    }
    Ok(counters)
}

/// The n-th buyer's payment, the same each time.
pub(crate) fn payment(order: OrderRef, n: u64, amount: Money) -> Payment {
    Payment {
        order,
        channel: "loadtest".into(),
        merchant: "shop".into(),
        transaction_id: n.to_string().into(),
        amount,
    }
}

/// Asks the engine for something, again for as long as it is overloaded.
pub(crate) async fn patiently<T, Asked>(ask: impl Fn() -> Asked) -> Result<T, Reject>
where
    Asked: Future<Output = Result<T, Reject>>,
{
    for _ in 0..OVERLOADED_TRIES_MAX {
        match ask().await {
            Err(Reject::Overloaded { retry_after_ms, .. }) => {
                tokio::time::sleep(Duration::from_millis(retry_after_ms.into())).await;
            }
            result => return result,
        }
    }
    ask().await
}

/// Submits the n-th buyer's request, again for as long as the engine is overloaded.
pub(crate) async fn submit(engine: &Engine, plan: &Plan, n: u64) -> Result<Receipt, Reject> {
    patiently(|| engine.submit(plan.order(n))).await
}

/// Submits the requests of many buyers as one batch, those that the engine had no room for again.
pub(crate) async fn submit_batch(
    engine: &Engine,
    plan: &Plan,
    buyers: impl Iterator<Item = u64>,
) -> Vec<(u64, Result<Receipt, Reject>)> {
    let mut open: Vec<u64> = buyers.collect();
    let mut answers = Vec::with_capacity(open.len());
    for _ in 0..OVERLOADED_TRIES_MAX {
        let orders: Vec<SubmitOrder> = open.iter().map(|n| plan.order(*n)).collect();
        let results = engine.submit_batch(orders).await;
        let mut wait_ms = 0;
        let mut again = Vec::new();
        for (n, result) in open.into_iter().zip(results) {
            match result {
                Err(Reject::Overloaded { retry_after_ms, .. }) => {
                    wait_ms = wait_ms.max(retry_after_ms);
                    again.push(n);
                }
                result => answers.push((n, result)),
            }
        }
        if again.is_empty() {
            return answers;
        }
        open = again;
        tokio::time::sleep(Duration::from_millis(wait_ms.into())).await;
    }
    let overloaded = Reject::Overloaded { bound: "in_flight_max", retry_after_ms: 0 };
    answers.extend(open.into_iter().map(|n| (n, Err(overloaded))));
    answers
}
