//! The open orders of another system, taken over twice: how fast that is, and that the second time changes nothing.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stockade::{
    Engine, ImportId, ImportOutcome, ImportedLimit, ImportedLine, ImportedOrder, Money, OrderRef,
    PaymentResult, Reject, StockKey,
};
use tokio::task::JoinSet;

use crate::acked::Acknowledged;
use crate::cli::ImportArgs;
use crate::place::Place;
use crate::plan::{Baskets, Plan};
use crate::progress::Follower;
use crate::report::{Report, per_second};
use crate::{Failure, audit, shop, store};

/// How long the orders may be paid, in ms: none falls due while the test runs.
const DEADLINE_AHEAD_MS: u64 = 24 * 3_600_000;
/// Orders of one member, who has a limit of as many units of each SKU.
const ORDERS_PER_MEMBER: u64 = 4;
/// Payments under way at a time.
const PAYMENTS: u64 = 256;

/// The other system: its n-th open order, the same each time.
#[derive(Clone, Copy)]
struct Old {
    skus: u64,
    deadline_ms: u64,
}

impl Old {
    /// One line, every fourth order two; every second line counts towards a limit.
    fn order(self, n: u64) -> ImportedOrder {
        let line = |n: u64| ImportedLine {
            sku_id: (n % self.skus + 1).into(),
            quantity: 1,
            price: Money::from_minor(8_800 + (n % 100) as i64),
            limit_per_member: if n.is_multiple_of(2) { 5 } else { 0 },
        };
        let mut lines = vec![line(n)];
        if n.is_multiple_of(4) {
            lines.push(line(n + 1));
        }
        ImportedOrder {
            external_no: Self::number(n),
            member_id: (n / ORDERS_PER_MEMBER + 1).into(),
            lines,
            deadline_ms: self.deadline_ms,
            ..ImportedOrder::default()
        }
    }

    fn number(n: u64) -> Box<str> {
        format!("OLD-{n:09}").into()
    }
}

/// How one pass over all orders went.
#[derive(Clone, Copy, Debug, Default)]
struct Pass {
    imported: u64,
    unchanged: u64,
    refused: u64,
    elapsed: Duration,
}

pub(crate) async fn run(args: ImportArgs) -> Result<Report, Failure> {
    let durability = args.engine.durability;
    let place = Place::new(args.engine.data.as_deref())?;
    let config = shop::config(place.path(), &args.engine, args.batch * args.batches);
    let engine = Engine::open(config).await?;
    shop::stock(&engine, args.skus, 0, |_sku| 2 * (args.orders / args.skus + 1)).await?;
    let old = Old { skus: args.skus, deadline_ms: engine.now_ms() + DEADLINE_AHEAD_MS };

    let before = engine.metrics();
    let first = pass(&engine, old, &args, "import").await?;
    let after = engine.metrics();
    let limits = import_limits(&engine, &args).await?;
    let hash = engine.state_hash().await?.hash;
    let appended = engine.metrics().appended;
    let second = pass(&engine, old, &args, "import again").await?;
    let limits_again = import_limits(&engine, &args).await?;
    let hash_again = engine.state_hash().await?.hash;

    let mut report = Report::new("import", durability.name(), place.path());
    report.set("orders", args.orders);
    report.set("batch", args.batch);
    report.set("batches", args.batches);
    report.set("imported", first.imported);
    report.set("imported_per_s", per_second(first.imported, first.elapsed));
    report.set("unchanged_again", second.unchanged);
    report.set("unchanged_per_s", per_second(second.unchanged, second.elapsed));
    report.set("limits_imported", limits);
    report.set_journal(&before, &after);
    if (first.imported, first.refused) != (args.orders, 0) {
        report.add_problem(|| format!("the first pass is {first:?}"));
    }
    if (second.unchanged, second.refused) != (args.orders, 0) {
        report.add_problem(|| format!("the second pass is {second:?}"));
    }
    if limits_again > 0 {
        report.add_problem(|| format!("{limits_again} limits changed the second time"));
    }
    report.set("hash_equal", hash == hash_again);
    if hash != hash_again {
        report.add_problem(|| format!("the state hash was {hash:016x} and is {hash_again:016x}"));
    }
    // Reservations of order numbers go on by time.
    report.set("events_again", engine.metrics().appended.0 - appended.0);

    let (paid, elapsed) = pay(&engine, old, &args).await?;
    report.set("paid", paid);
    report.set("paid_per_s", per_second(paid, elapsed));
    if paid != args.samples.min(args.orders) {
        report.add_problem(|| format!("{paid} of {} samples are paid", args.samples.min(args.orders)));
    }
    let lag_ms = engine.metrics().store_lag_ms;
    let drained = if durability.leaves_a_journal() { store::drain(&engine).await } else { None };
    report.set_drain(lag_ms, drained);
    let shown = shop::counters(&engine, args.skus).await?;
    engine.shutdown().await?;
    drop(engine);

    if durability.leaves_a_journal() {
        let plan = Plan { seed: 1, skus: args.skus, baskets: Baskets::Plain { lines: 1 } };
        let mut audited = audit::audit(place.path(), true, &mut Acknowledged::new(plan))?;
        audited.compare_stock(&shown);
        report.set_audit(audited);
    }
    Ok(report)
}

/// Imports all orders.
async fn pass(engine: &Engine, old: Old, args: &ImportArgs, name: &'static str) -> Result<Pass, Failure> {
    let done = Arc::new(AtomicU64::new(0));
    let bar = Follower::start(name, args.orders, Arc::clone(&done));
    let started = Instant::now();
    let mut total = Pass::default();
    let mut tasks: JoinSet<Pass> = JoinSet::new();
    let mut next = 0;
    loop {
        while next < args.orders && (tasks.len() as u64) < args.batches {
            let batch = next..args.orders.min(next + args.batch);
            next = batch.end;
            tasks.spawn(import(engine.clone(), old, batch));
        }
        let Some(finished) = tasks.join_next().await else { break };
        let part = finished?;
        total.imported += part.imported;
        total.unchanged += part.unchanged;
        total.refused += part.refused;
        done.store(total.imported + total.unchanged + total.refused, Ordering::Relaxed);
    }
    drop(bar);
    Ok(Pass { elapsed: started.elapsed(), ..total })
}

async fn import(engine: Engine, old: Old, batch: Range<u64>) -> Pass {
    let mut pass = Pass::default();
    for import in engine.import_orders(batch.map(|n| old.order(n)).collect()).await {
        match import.map(|import| import.outcome) {
            Ok(ImportOutcome::Imported) => pass.imported += 1,
            Ok(ImportOutcome::Unchanged) => pass.unchanged += 1,
            Err(_) => pass.refused += 1,
        }
    }
    pass
}

/// Every tenth member has used up a unit of SKU 1 elsewhere. Gives how many figures were new.
async fn import_limits(engine: &Engine, args: &ImportArgs) -> Result<u64, Reject> {
    let (key, import_id) = (StockKey::normal(1.into()), ImportId::from_name("loadtest"));
    let members: Vec<u64> = (1..=args.orders / ORDERS_PER_MEMBER).step_by(10).collect();
    let mut imported = 0;
    for chunk in members.chunks(args.batch as usize) {
        let limit = |member: &u64| ImportedLimit { member_id: (*member).into(), key, used: 1, import_id };
        for outcome in engine.import_limits(chunk.iter().map(limit).collect()).await {
            imported += u64::from(outcome? == ImportOutcome::Imported);
        }
    }
    Ok(imported)
}

/// Pays a sample under the numbers of the other system. Gives how many are paid, and how long that took.
async fn pay(engine: &Engine, old: Old, args: &ImportArgs) -> Result<(u64, Duration), Failure> {
    let samples = args.samples.min(args.orders);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for client in 0..PAYMENTS {
        let (engine, orders) = (engine.clone(), args.orders);
        tasks.spawn(async move {
            let mut paid = 0;
            for sample in (client..samples).step_by(PAYMENTS as usize) {
                let n = sample * orders / samples;
                let amount = old.order(n).priced()?.pay_amount;
                let payment = shop::payment(OrderRef::External(Old::number(n)), n, amount);
                let outcome = shop::patiently(|| engine.pay(payment.clone())).await?;
                paid += u64::from(outcome.result == PaymentResult::Paid);
            }
            Ok::<u64, Reject>(paid)
        });
    }
    let mut paid = 0;
    while let Some(finished) = tasks.join_next().await {
        paid += finished??;
    }
    Ok((paid, started.elapsed()))
}
