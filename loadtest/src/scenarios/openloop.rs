//! Orders at a steady rate for a while, whatever the engine does, and how far the store falls behind meanwhile. Nobody
//! pays: orders close by their timers during the run, so that closes go on as well.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use stockade::{Engine, OrderType, Position};

use crate::acked::Acknowledged;
use crate::cli::OpenloopArgs;
use crate::latency::Latencies;
use crate::place::Place;
use crate::plan::{Baskets, Plan};
use crate::progress::Follower;
use crate::report::Report;
use crate::sampling::Sampler;
use crate::stream::{IN_FLIGHT_MAX, Stream};
use crate::{Failure, audit, shop, store};

/// SKUs that are sold.
const SKUS: u64 = 10;
/// How often the store's lag is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn run(args: OpenloopArgs) -> Result<Report, Failure> {
    let durability = args.engine.durability;
    let place = Place::new(args.engine.data.as_deref())?;
    let config = shop::config(place.path(), &args.engine, IN_FLIGHT_MAX)
        .auto_close_ms(OrderType::Normal, args.auto_close_ms)
        .retain_closed_ms(args.retain_closed_ms)
        .store(args.store.store)
        .journal_keep_min_bytes(shop::JOURNAL_KEPT_BYTES);
    let engine = Engine::open(config).await?;
    let orders = args.rate * args.seconds;
    shop::stock(&engine, SKUS, 0, |_sku| orders).await?;

    let plan = Plan { seed: 1, skus: SKUS, baskets: Baskets::Plain { lines: 1 } };
    let before = engine.metrics();
    let stream = Arc::new(Stream {
        engine: engine.clone(),
        plan,
        first: 0,
        rate: args.rate,
        orders_max: orders,
        batch_max: args.batch,
        latencies: Latencies::new(),
        done: Arc::default(),
        stop: AtomicBool::new(false),
    });
    let watched = engine.clone();
    let sampler = Sampler::start(SAMPLE_EVERY, move || watched.metrics().store_lag_ms);
    let bar = Follower::start("orders", orders, Arc::clone(&stream.done));
    let started = Instant::now();
    // On a task of its own, as its bunches are.
    let tally = tokio::spawn(Arc::clone(&stream).send()).await?;
    let elapsed = started.elapsed();
    drop(bar);
    let lags = sampler.stop().await;
    let ended = engine.metrics();
    let has_store = args.store.store && durability.leaves_a_journal();
    let drained = if has_store { store::drain(&engine).await } else { None };
    let after = engine.metrics();

    let mut report = Report::new("openloop", durability.name(), place.path());
    report.set("rate", args.rate);
    report.set("seconds", args.seconds);
    report.set("batch_max", args.batch);
    report.set_orders(&tally, elapsed);
    let latency = stream.latencies.percentiles();
    report.set_latency(latency);
    report.set("expired", after.expired - before.expired);
    report.set_journal(&before, &after);
    let lag_ms_max = lags.into_iter().max().unwrap_or_default();
    report.set("store_lag_ms_max", lag_ms_max);
    report.set_drain(ended.store_lag_ms, drained);
    report.set_store(&after);
    if tally.accepted < orders {
        report.add_problem(|| format!("{} of {orders} orders were placed", tally.accepted));
    }
    expect(&mut report, "store lag in ms", args.expect_lag_ms.filter(|_| drained.is_some()), lag_ms_max);
    let p99_us = latency.map_or(0, |latency| latency.p99_us.ceil() as u64);
    expect(&mut report, "p99 in µs", args.expect_p99_us, p99_us);

    engine.shutdown().await?;
    // The directory is in use for as long as anybody holds the engine.
    drop((engine, stream));
    if !args.audit.unwrap_or(true) || !durability.leaves_a_journal() {
        return Ok(report);
    }
    if after.journal_first > Position(1) {
        report.set("audit", "skipped (journal trimmed)");
    } else {
        report.set_audit(audit::audit(place.path(), true, &mut Acknowledged::new(plan))?);
    }
    Ok(report)
}

/// A figure beyond its bound, if it has one, is a problem.
fn expect(report: &mut Report, what: &str, bound: Option<u64>, figure: u64) {
    if let Some(bound) = bound.filter(|bound| figure > *bound) {
        report.add_problem(|| format!("{what}: {figure}, at most {bound} was expected"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_figure_beyond_its_bound_is_a_problem() {
        for (bound, figure, passes) in [(None, 9, true), (Some(9), 9, true), (Some(9), 10, false)] {
            let mut report = Report::default();
            expect(&mut report, "figure", bound, figure);
            assert_eq!(report.passed(), passes, "{bound:?} {figure}");
        }
    }
}
