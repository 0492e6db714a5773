//! How much memory an open one-line order takes. The resident set is measured, not counted allocations: it includes
//! what the allocator and half-empty tables waste, which is what a machine must have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use stockade::Engine;

use crate::cli::{EngineArgs, MemoryArgs};
use crate::place::Place;
use crate::plan::{Baskets, Plan};
use crate::progress::Follower;
use crate::report::{Report, Tally, rounded};
use crate::{Failure, machine, shop};

/// Orders placed at a time.
const BATCH: u64 = 4096;
/// SKUs that are sold.
const SKUS: u64 = 10;
/// Bytes of events that durability `memory` keeps, small beside what is measured.
const MEMORY_JOURNAL_BYTES: usize = 1 << 20;

pub(crate) async fn run(args: MemoryArgs) -> Result<Report, Failure> {
    let durability = args.durability;
    let place = Place::new(args.data.as_deref())?;
    let engine_args = EngineArgs { durability, order_actors: None, data: None };
    let config =
        shop::config(place.path(), &engine_args, BATCH).memory_journal_bytes_max(MEMORY_JOURNAL_BYTES);
    let engine = Engine::open(config).await?;
    shop::stock(&engine, SKUS, 0, |_sku| args.orders).await?;

    let plan = Plan { seed: 1, skus: SKUS, baskets: Baskets::Plain { lines: 1 } };
    let before = engine.metrics();
    let resident =
        || machine::resident_bytes().ok_or("this system does not tell how much memory is resident");
    let resident_before = resident()?;
    let done = Arc::new(AtomicU64::new(0));
    let bar = Follower::start("orders", args.orders, Arc::clone(&done));
    let mut tally = Tally::default();
    let started = Instant::now();
    let mut next = 0;
    while next < args.orders {
        let batch = next..args.orders.min(next + BATCH);
        next = batch.end;
        for (_, result) in shop::submit_batch(&engine, &plan, batch).await {
            tally.note(&result);
        }
        done.store(next, Ordering::Relaxed);
    }
    let elapsed = started.elapsed();
    drop(bar);
    let bytes = resident()?.saturating_sub(resident_before);
    let metrics = engine.metrics();

    let mut report = Report::new("memory", durability.name(), place.path());
    report.set_orders(&tally, elapsed);
    report.set_journal(&before, &metrics);
    report.set("open_orders", metrics.open_orders);
    report.set("timers_pending", metrics.timers_pending);
    report.set("resident_mib_before", resident_before >> 20);
    report.set("resident_mib_added", bytes >> 20);
    report.set("memory_bytes_per_order", rounded(bytes as f64 / tally.accepted.max(1) as f64));
    engine.shutdown().await?;
    Ok(report)
}
