//! A wave of expiries: many orders with one and the same deadline close at once while new orders go on.
//!
//! The engine runs on a clock that stands still while the orders are placed, jumps to their deadline, and then keeps
//! pace with the machine's. New orders are sent at a steady rate whatever the engine does, and their latency counts
//! from when they were due (open loop), so that a stall shows in every order that it delayed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{Engine, OrderType};

use crate::acked::{Acknowledged, Problems};
use crate::cli::WaveArgs;
use crate::latency::Latencies;
use crate::place::Place;
use crate::plan::{Baskets, Plan};
use crate::progress::Follower;
use crate::report::{Report, Tally};
use crate::stream::{IN_FLIGHT_MAX, PACE, Stream};
use crate::{Failure, audit, shop};

/// SKUs that are sold.
const SKUS: u64 = 10;
/// Orders placed at a time before the wave.
const BATCH: u64 = 4096;
/// All orders close after so many ms: long enough that no new order does while the test runs.
const AUTO_CLOSE_MS: u32 = 10 * 60_000;
/// An instant for the engine's clock to start at: 2026-01-01T00:00:00Z.
const CLOCK_START_MS: u64 = 1_767_225_600_000;
/// Longest wait for the wave to pass.
const WAVE_MAX: Duration = Duration::from_secs(120);
/// How long new orders go on before the wave and after it.
const LEAD: Duration = Duration::from_millis(500);

pub(crate) async fn run(args: WaveArgs) -> Result<Report, Failure> {
    let durability = args.engine.durability;
    let place = Place::new(args.engine.data.as_deref())?;
    let (clock, hand) = Clock::manual(CLOCK_START_MS);
    let config = shop::config(place.path(), &args.engine, BATCH + IN_FLIGHT_MAX)
        .auto_close_ms(OrderType::Normal, AUTO_CLOSE_MS)
        .clock(clock);
    let engine = Engine::open(config).await?;
    // Plenty for the new orders too.
    shop::stock(&engine, SKUS, 0, |_sku| args.orders * 2 + args.rate * 1_000).await?;

    let plan = Plan { seed: 1, skus: SKUS, baskets: Baskets::Plain { lines: 1 } };
    let before = engine.metrics();
    let mut tally = place_orders(&engine, &plan, args.orders).await;

    let pace = tokio::spawn(keep_pace(hand.clone()));
    let stream = Arc::new(Stream {
        engine: engine.clone(),
        plan,
        first: args.orders,
        rate: args.rate,
        orders_max: u64::MAX,
        batch_max: 1,
        latencies: Latencies::new(),
        done: Arc::default(),
        stop: AtomicBool::new(false),
    });
    let sending = tokio::spawn(Arc::clone(&stream).send());
    tokio::time::sleep(LEAD).await;
    let done = Arc::new(AtomicU64::new(0));
    let bar = Follower::start("closed", args.orders, Arc::clone(&done));
    let started = Instant::now();
    hand.advance(AUTO_CLOSE_MS.into());
    let mut problems = Problems::default();
    let closing = loop {
        let expired = engine.metrics().expired - before.expired;
        done.store(expired, Ordering::Relaxed);
        if expired >= tally.accepted {
            break started.elapsed();
        }
        if started.elapsed() > WAVE_MAX {
            problems.add(|| format!("{expired} of {} orders are closed", tally.accepted));
            break started.elapsed();
        }
        tokio::time::sleep(PACE).await;
    };
    drop(bar);
    tokio::time::sleep(LEAD).await;
    // Relaxed: it is looked at again and again.
    stream.stop.store(true, Ordering::Relaxed);
    let new = sending.await?;
    pace.abort();

    let mut report = Report::new("wave", durability.name(), place.path());
    report.set("wave_orders", tally.accepted);
    report.set("wave_closed_ms", closing.as_millis() as u64);
    report.set("new_orders", new.accepted);
    report.set("new_orders_per_s", args.rate);
    tally.add(new);
    report.set_latency(stream.latencies.percentiles());
    report.set("accepted", tally.accepted);
    report.set("sold_out", tally.sold_out);
    report.set("other_rejects", tally.other_rejects);
    report.set_journal(&before, &engine.metrics());
    let shown = shop::counters(&engine, SKUS).await?;
    engine.shutdown().await?;
    // The directory is in use for as long as anybody holds the engine.
    drop((engine, stream));
    if durability.leaves_a_journal() {
        let mut audited = audit::audit(place.path(), true, &mut Acknowledged::new(plan))?;
        audited.compare_stock(&shown);
        report.set_audit(audited);
    }
    report.add_problems(problems);
    Ok(report)
}

/// Places the orders of the wave, all at one instant of the engine's clock.
async fn place_orders(engine: &Engine, plan: &Plan, orders: u64) -> Tally {
    let done = Arc::new(AtomicU64::new(0));
    let _bar = Follower::start("orders", orders, Arc::clone(&done));
    let mut tally = Tally::default();
    let mut next = 0;
    while next < orders {
        let batch = next..orders.min(next + BATCH);
        next = batch.end;
        for (_, result) in shop::submit_batch(engine, plan, batch).await {
            tally.note(&result);
        }
        done.store(next, Ordering::Relaxed);
    }
    tally
}

/// Lets the engine's clock go on as the machine's does.
async fn keep_pace(hand: ManualTime) {
    let started = Instant::now();
    let mut passed = 0;
    loop {
        tokio::time::sleep(PACE).await;
        let now = started.elapsed().as_millis() as u64;
        if now > passed {
            hand.advance(now - passed);
            passed = now;
        }
    }
}
