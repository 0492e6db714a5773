//! Order search: how fast, how soon, how right.

mod check;
pub(crate) mod child;
mod kills;
mod lag;
mod queries;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stockade::Engine;

use self::lag::LagMeter;
use self::queries::{Corpus, Kind, Timed, hits_max, prepare};
use crate::acked::Problems;
use crate::cli::SearchArgs;
use crate::latency::{Latencies, Percentiles};
use crate::lifecycle::{Ends, Load, live};
use crate::place::Place;
use crate::plan::{Baskets, Plan};
use crate::progress::Follower;
use crate::report::{Report, Tally, per_second, rounded};
use crate::segments::Segments;
use crate::stream::{IN_FLIGHT_MAX, Stream};
use crate::{Failure, described, shop, store};

pub(crate) use self::check::{count, wait_until_searchable};
pub(crate) use self::child::with_search;

/// Units of each SKU: more than any run can sell.
const UNITS: u64 = 1 << 38;
/// Clients that fill the engine, and orders that each has under way.
const CLIENTS: u64 = 64;
const IN_FLIGHT: u64 = 64;
/// Most new orders in one batch.
const BATCH_MAX: u64 = 256;
/// Orders whose numbers are kept, as places far down.
const PLACES: u64 = 1_000;
/// The parts of the run have buyers of their own.
const LAG_BUYERS: u64 = 1 << 40;
const PROBE_BUYERS: u64 = 2 << 40;
const QUERY_BUYERS: u64 = 3 << 40;

pub(crate) async fn run(args: SearchArgs) -> Result<Report, Failure> {
    if !args.engine.durability.leaves_a_journal() {
        return Err(
            "an index needs a store, and durability memory has none: choose synced or buffered".into()
        );
    }
    let place = Place::new(args.engine.data.as_deref())?;
    let mut report = Report::new("search", args.engine.durability.name(), place.path());
    report.set("seed", args.seed);
    let config = shop::config(place.path(), &args.engine, IN_FLIGHT_MAX)
        .retain_closed_ms(2_000)
        .journal_keep_min_bytes(shop::JOURNAL_KEPT_BYTES);
    let engine = Engine::open(with_search(config, args.refresh_ms)).await?;
    shop::stock_as(&engine, args.skus, described::sku, |_sku| UNITS).await?;
    let plan =
        Plan { seed: args.seed, skus: args.skus, baskets: Baskets::Described { members: args.members } };
    let part = Parts { args: &args, engine: engine.clone(), plan };

    let corpus = part.fill(&mut report).await?;
    part.measure_lag(&mut report).await?;
    part.measure_queries(&corpus, &mut report).await?;
    part.reindex(&mut report).await?;
    part.compare(&mut report).await?;
    let figures = engine.search_figures();
    report.set("commits", figures.commits);
    report.set("indexed", figures.indexed);
    report.set("index_disk_bytes", figures.disk_bytes);
    report.set("index_bytes_per_order", figures.disk_bytes / figures.documents.max(1));
    report.set_store(&engine.metrics());
    engine.shutdown().await?;
    drop((engine, part));

    if args.kills > 0 {
        let place = Place::new(None)?;
        let killed = tokio::task::block_in_place(|| kills::run(&args, place.path()))?;
        report.set("kills", killed.kills);
        report.set("killed_commits", killed.commits);
        report.set("killed_checks", killed.checks);
        report.set("killed_documents", killed.documents);
        report.set("killed_orders", killed.orders);
        report.add_problems(killed.problems);
    }
    report.set("audit", if report.passed() { "pass" } else { "fail" });
    Ok(report)
}

/// The parts of a run.
struct Parts<'a> {
    args: &'a SearchArgs,
    engine: Engine,
    plan: Plan,
}

impl Parts<'_> {
    /// Fills the engine while the index is kept, and waits until all of it can be found.
    async fn fill(&self, report: &mut Report) -> Result<Corpus, Failure> {
        let (args, engine) = (self.args, &self.engine);
        let from_ms = engine.now_ms();
        let before = engine.metrics().appended;
        let segments = Arc::new(Segments::start(args.orders));
        let load = Load {
            clients: CLIENTS,
            in_flight: IN_FLIGHT,
            open_max: u64::MAX,
            ends: Ends::Anywhere,
            samples: PLACES,
        };
        let mut lived = live(engine, self.plan, 0..args.orders, load, &segments).await?;
        let filled = segments.elapsed();
        let drain = wait_until_searchable(engine).await?;
        let until_ms = engine.now_ms();
        let figures = engine.search_figures();
        let events = engine.metrics().appended.0 - before.0;
        let events_per_s = per_second(events, filled + drain);
        report.set_orders(&lived.tally, filled);
        report.set("events", events);
        report.set("index_drain_ms", drain.as_millis() as u64);
        report.set("indexed_events_per_s", events_per_s);
        report.set("documents", figures.documents);
        at_least(report, "events indexed a second", args.expect_events_per_s, events_per_s);
        report.add_problems(std::mem::take(&mut lived.problems));
        Ok(Corpus {
            seed: args.seed,
            orders: args.orders,
            skus: args.skus,
            members: args.members,
            created_ms: (from_ms, until_ms),
            order_nos: lived.samples.iter().map(|sample| sample.receipt.order_no).collect(),
        })
    }

    /// New orders at a steady rate, until they are stopped.
    fn stream(&self, first: u64, rate: u64, orders_max: u64) -> Arc<Stream> {
        Arc::new(Stream {
            engine: self.engine.clone(),
            plan: self.plan,
            first,
            rate,
            orders_max,
            batch_max: BATCH_MAX,
            latencies: Latencies::new(),
            done: Arc::default(),
            stop: AtomicBool::new(false),
        })
    }

    /// How soon new orders can be found, at a steady rate.
    async fn measure_lag(&self, report: &mut Report) -> Result<(), Failure> {
        let args = self.args;
        let orders = args.rate * args.seconds;
        let stream = self.stream(LAG_BUYERS, args.rate, orders);
        let bar = Follower::start("lag", orders, Arc::clone(&stream.done));
        let meter = LagMeter::start(self.engine.clone());
        let before = self.engine.search_figures().caught_up;
        let until = Instant::now() + Duration::from_secs(args.seconds);
        let probing = tokio::spawn(lag::probe(self.engine.clone(), self.plan, PROBE_BUYERS, until));
        let started = Instant::now();
        let tally = tokio::spawn(Arc::clone(&stream).send()).await?;
        let elapsed = started.elapsed();
        drop(bar);
        let (probes, behind, problems) = probing.await??;
        let drain = wait_until_searchable(&self.engine).await?;
        let lag = tokio::task::block_in_place(|| meter.stop());

        report.set("lag_rate", args.rate);
        report.set("lag_orders_per_s", per_second(tally.accepted, elapsed));
        set_latency(report, "lag_us", lag.percentiles());
        set_latency(report, "fresh_us", probes.percentiles());
        report.set("fresh_given_up", behind);
        set_latency(report, "lag_submit_us", stream.latencies.percentiles());
        report.set("lag_drain_ms", drain.as_millis() as u64);
        report.set("lag_caught_up", self.engine.search_figures().caught_up - before);
        check_placed(report, &tally, orders);
        let p99_ms = lag.percentiles().map_or(0, |lag| (lag.p99_us / 1e3).ceil() as u64);
        at_most(report, "lag p99 in ms", args.expect_lag_p99_ms, p99_ms);
        report.add_problems(problems);
        Ok(())
    }

    /// How long queries take while orders come in and are indexed.
    async fn measure_queries(&self, corpus: &Corpus, report: &mut Report) -> Result<(), Failure> {
        let args = self.args;
        let prepared = Arc::new(prepare(&self.engine, corpus).await?);
        let stream = self.stream(QUERY_BUYERS, args.beside, u64::MAX);
        let placing = tokio::spawn(Arc::clone(&stream).send());
        let timed = Arc::new(Timed::new());
        let started = Instant::now();
        let clients: Vec<_> = (0..args.clients)
            .map(|client| {
                let client = Arc::clone(&timed).client(client, self.engine.clone(), Arc::clone(&prepared));
                tokio::spawn(client)
            })
            .collect();
        tokio::time::sleep(Duration::from_secs(args.seconds)).await;
        timed.stop.store(true, Ordering::Relaxed);
        let (mut asked, mut problems) = (0, Problems::default());
        for client in clients {
            let (part, found) = client.await?;
            asked += part;
            problems.append(found);
        }
        let elapsed = started.elapsed();
        stream.stop.store(true, Ordering::Relaxed);
        let tally = placing.await?;

        report.set("beside_rate", args.beside);
        report.set("beside_orders_per_s", per_second(tally.accepted, elapsed));
        report.set("queries", asked);
        report.set("queries_per_s", per_second(asked, elapsed));
        let (few, many) = (timed.few.percentiles(), timed.many.percentiles());
        set_latency(report, "query_few_us", few);
        set_latency(report, "query_many_us", many);
        for (kind, latencies) in &timed.by_kind {
            report.set(format!("{}_hits", kind.name()), hits_max(&prepared, *kind));
            set_latency(report, &format!("{}_us", kind.name()), latencies.percentiles());
        }
        let p99_ms =
            |latency: Option<Percentiles>| latency.map_or(0, |latency| (latency.p99_us / 1e3).ceil() as u64);
        at_most(report, "p99 of queries with few hits in ms", args.expect_few_p99_ms, p99_ms(few));
        at_most(report, "p99 of queries with many hits in ms", args.expect_many_p99_ms, p99_ms(many));
        if hits_max(&prepared, Kind::Model) == 0 || hits_max(&prepared, Kind::Phone) == 0 {
            problems.add(|| "words that orders have are not found".to_owned());
        }
        report.add_problems(problems);
        Ok(())
    }

    /// Builds the index anew.
    async fn reindex(&self, report: &mut Report) -> Result<(), Failure> {
        store::drain(&self.engine).await;
        let started = Instant::now();
        let rebuilt = self.engine.reindex(|_progress| {}).await?;
        let elapsed = started.elapsed();
        report.set("reindex_orders", rebuilt.orders);
        report.set("reindex_s", rounded(elapsed.as_secs_f64()));
        report.set("reindex_orders_per_s", per_second(rebuilt.orders, elapsed));
        Ok(())
    }

    /// Compares the index with the store, all orders.
    async fn compare(&self, report: &mut Report) -> Result<(), Failure> {
        let mut problems = Problems::default();
        let started = Instant::now();
        let checked = check::check(&self.engine, &mut problems).await?;
        report.set("checked_documents", checked.documents);
        report.set("checked_hits", checked.hits);
        report.set("checked_orders", checked.orders);
        report.set("check_s", rounded(started.elapsed().as_secs_f64()));
        report.set("check_hits_s", rounded(checked.hits_took.as_secs_f64()));
        report.set("check_orders_s", rounded(checked.orders_took.as_secs_f64()));
        report.add_problems(problems);
        Ok(())
    }
}

fn set_latency(report: &mut Report, name: &str, latency: Option<Percentiles>) {
    if let Some(latency) = latency {
        report.set(name.to_owned(), latency.json());
    }
}

fn check_placed(report: &mut Report, tally: &Tally, orders: u64) {
    if tally.accepted < orders {
        report.add_problem(|| format!("{} of {orders} orders were placed", tally.accepted));
    }
}

fn at_most(report: &mut Report, what: &str, bound: Option<u64>, figure: u64) {
    if let Some(bound) = bound.filter(|bound| figure > *bound) {
        report.add_problem(|| format!("{what}: {figure}, at most {bound} was expected"));
    }
}

fn at_least(report: &mut Report, what: &str, bound: Option<u64>, figure: u64) {
    if let Some(bound) = bound.filter(|bound| figure < *bound) {
        report.add_problem(|| format!("{what}: {figure}, at least {bound} was expected"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_figure_on_the_wrong_side_of_its_bound_is_a_problem() {
        let passes = |check: fn(&mut Report, &str, Option<u64>, u64), bound, figure| {
            let mut report = Report::default();
            check(&mut report, "figure", bound, figure);
            report.passed()
        };
        assert!(passes(at_most, None, 9) && passes(at_most, Some(9), 9) && !passes(at_most, Some(9), 10));
        assert!(passes(at_least, None, 9) && passes(at_least, Some(9), 9) && !passes(at_least, Some(9), 8));
    }
}
