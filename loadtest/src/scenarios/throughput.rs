//! Plain orders as fast as they go: every client waits for its answer, or for its batch, before it asks again. With search
//! or a relay on, the same orders go to an engine without them first.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stockade::{Config, Engine, Receipt, Reject};
use tokio::task::JoinSet;

use super::outgoing::Outgoing;
use crate::acked::{Ack, AckList, Acknowledged, Fact};
use crate::cli::ThroughputArgs;
use crate::latency::{Latencies, Percentiles};
use crate::place::Place;
use crate::plan::{Baskets, Plan};
use crate::progress::Follower;
use crate::report::{Report, Tally, per_second, rounded};
use crate::{Failure, audit, shop, store};

/// What the clients share.
struct Clients {
    engine: Engine,
    plan: Plan,
    in_flight: u64,
    latencies: Latencies,
    done: Arc<AtomicU64>,
}

/// What the orders of one engine came to.
struct Placed {
    tally: Tally,
    lists: Vec<AckList>,
    elapsed: Duration,
    latencies: Option<Percentiles>,
}

pub(crate) async fn run(args: ThroughputArgs) -> Result<Report, Failure> {
    if args.lines > args.skus {
        return Err(format!("{} lines need as many skus, and there are {}", args.lines, args.skus).into());
    }
    let durability = args.engine.durability;
    let outgoing = Outgoing::new(&args.outgoing);
    if outgoing.is_some() && (!durability.leaves_a_journal() || !args.store.store) {
        return Err("search and relay need a journal and a store".into());
    }
    let alone = match &outgoing {
        Some(_) => Some(place_alone(&args).await?),
        None => None,
    };
    let place = Place::new(args.engine.data.as_deref())?;
    let config = config(&args, place.path());
    let config = outgoing.iter().fold(config, |config, outgoing| outgoing.configure(config));
    let engine = Engine::open(config).await?;
    shop::stock(&engine, args.skus, 0, |_sku| args.orders).await?;

    let before = engine.metrics();
    let started = Instant::now();
    let placed = place_orders(&engine, &args).await?;
    let ended = engine.metrics();

    let mut report = Report::new("throughput", durability.name(), place.path());
    report.set("clients", args.clients);
    report.set("in_flight", args.in_flight);
    report.set("skus", args.skus);
    report.set("lines", args.lines);
    report.set_orders(&placed.tally, placed.elapsed);
    report.set_latency(placed.latencies);
    report.set_journal(&before, &ended);
    if let (Some(outgoing), Some(alone)) = (&outgoing, alone) {
        let with = per_second(placed.tally.accepted, placed.elapsed);
        report.set("orders_per_s_alone", alone);
        report.set("percent_of_alone", rounded(with as f64 * 100.0 / alone.max(1) as f64));
        let drained = outgoing.drain(&engine, &mut report).await;
        outgoing.set_relay_rate(&mut report, &engine, started.elapsed())?;
        if let Err(error) = drained {
            report.add_problem(|| error.to_string());
        }
    }
    let has_store = args.store.store && durability.leaves_a_journal();
    let drained = if has_store { store::drain(&engine).await } else { None };
    report.set_drain(ended.store_lag_ms, drained);
    let shown = shop::counters(&engine, args.skus).await?;
    engine.shutdown().await?;
    // The directory is in use for as long as anybody holds the engine.
    drop(engine);
    if let Some(outgoing) = &outgoing {
        outgoing.end().await;
    }

    if args.audit.unwrap_or(true) && durability.leaves_a_journal() {
        let mut acknowledged = Acknowledged::new(plan(&args));
        placed.lists.into_iter().for_each(|list| acknowledged.extend(list));
        // Nobody else has the directory, so it needs no copy.
        let mut audited = audit::audit(place.path(), true, &mut acknowledged)?;
        audited.compare_stock(&shown);
        report.set_audit(audited);
    }
    Ok(report)
}

fn config(args: &ThroughputArgs, data: &Path) -> Config {
    shop::config(data, &args.engine, args.clients * args.in_flight).store(args.store.store)
}

fn plan(args: &ThroughputArgs) -> Plan {
    Plan { seed: args.seed, skus: args.skus, baskets: Baskets::Plain { lines: args.lines } }
}

/// The same orders in an engine of their own, with nothing beside; answers how many went in a second.
async fn place_alone(args: &ThroughputArgs) -> Result<u64, Failure> {
    let place = Place::new(None)?;
    let engine = Engine::open(config(args, place.path())).await?;
    shop::stock(&engine, args.skus, 0, |_sku| args.orders).await?;
    let Placed { tally, elapsed, .. } = place_orders(&engine, args).await?;
    engine.shutdown().await?;
    Ok(per_second(tally.accepted, elapsed))
}

async fn place_orders(engine: &Engine, args: &ThroughputArgs) -> Result<Placed, Failure> {
    let done = Arc::new(AtomicU64::new(0));
    let clients = Arc::new(Clients {
        engine: engine.clone(),
        plan: plan(args),
        in_flight: args.in_flight,
        latencies: Latencies::new(),
        done: Arc::clone(&done),
    });
    let _bar = Follower::start("orders", args.orders, done);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for client in 0..args.clients {
        let share = client * args.orders / args.clients..(client + 1) * args.orders / args.clients;
        tasks.spawn(Arc::clone(&clients).client(client, share));
    }
    let mut tally = Tally::default();
    let mut lists = Vec::new();
    while let Some(finished) = tasks.join_next().await {
        let (part, list) = finished?;
        tally.add(part);
        lists.push(list);
    }
    let elapsed = started.elapsed();
    Ok(Placed { tally, lists, elapsed, latencies: clients.latencies.percentiles() })
}

impl Clients {
    /// Sends a client's share of the orders.
    async fn client(self: Arc<Self>, client: u64, share: Range<u64>) -> (Tally, AckList) {
        let mut tally = Tally::default();
        let mut list = Vec::with_capacity((share.end - share.start) as usize);
        let mut note = |n: u64, result: &Result<Receipt, Reject>| {
            tally.note(result);
            if let Ok(receipt) = result {
                list.push(Ack { order_no: receipt.order_no, n, fact: Fact::Placed });
            }
        };
        if self.in_flight == 1 {
            for n in share {
                let asked = Instant::now();
                let result = shop::submit(&self.engine, &self.plan, n).await;
                self.latencies.record(client, asked.elapsed());
                note(n, &result);
                self.done.fetch_add(1, Ordering::Relaxed);
            }
            return (tally, list);
        }
        let mut next = share.start;
        while next < share.end {
            let batch = next..share.end.min(next + self.in_flight);
            next = batch.end;
            let len = batch.end - batch.start;
            let asked = Instant::now();
            let results = shop::submit_batch(&self.engine, &self.plan, batch).await;
            self.latencies.record(client, asked.elapsed());
            results.iter().for_each(|(n, result)| note(*n, result));
            self.done.fetch_add(len, Ordering::Relaxed);
        }
        (tally, list)
    }
}
