//! What leaves the engine stands still: a dead sink, a search index that is switched off. Orders go on, memory stays where it
//! is, the journal is kept as far as its bounds allow, and afterwards each goes on as it should.
//!
//! Two subscriptions go to an address where nobody listens. One has room for the whole run: the journal must stay for it.
//! The other has little: it must be suspended, and its first event be gone once nobody else keeps it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stockade::domain::search::Expr;
use stockade::relay::{RelayError, SinkSpec, Start, SubscriptionSpec, SubscriptionState, SubscriptionStatus};
use stockade::{Config, Engine, Position, SearchMode};

use super::relay::services::{IN_FLIGHT_MAX, subscription};
use super::search::{count, wait_until_searchable, with_search};
use super::soak::{set_memory, set_speed};
use crate::acked::Problems;
use crate::brokers::control::free_port;
use crate::brokers::rabbitmq::Rabbit;
use crate::brokers::unique_name;
use crate::cli::{EngineArgs, StallArgs};
use crate::lifecycle::{Ends, Load, live};
use crate::place::Place;
use crate::plan::{Baskets, Plan};
use crate::report::Report;
use crate::sampling::Sampler;
use crate::segments::Segments;
use crate::{Failure, described, machine, shop, store};

/// The subscription with room, and the one with little.
const KEPT: &str = "kept";
const BOUNDED: &str = "bounded";
/// How often what was taken in becomes searchable, in ms.
const REFRESH_MS: u64 = 200;
/// SKUs that are sold.
const SKUS: u64 = 100;
/// Members who order again and again.
const MEMBERS: u64 = 10_000;
/// One order in so many is placed before the index is switched off.
const INDEXED_SHARE: u64 = 20;
/// How often the engine is looked at.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// A run is too short to be judged by its memory with fewer looks.
const JUDGED_SAMPLES_MIN: usize = 40;
/// How far a subscription may be seen beyond its bound: what is written between two looks of the relay, in bytes.
const SLACK_BYTES: u64 = 64 << 20;
/// Orders that are placed to have the journal trimmed, at a time.
const AFTERWARDS: u64 = 2_000;
/// Longest wait for it.
const TRIM_MAX: Duration = Duration::from_secs(60);

/// One look at the run.
#[derive(Clone, Debug)]
struct Look {
    resident_bytes: u64,
    journal_disk_bytes: u64,
    /// Taken before the journal's first position.
    kept: Option<Seen>,
    bounded: Option<Seen>,
    journal_first: Position,
}

/// How a subscription is seen.
#[derive(Clone, Debug)]
struct Seen {
    cursor: Position,
    lag_bytes: u64,
    in_flight: u64,
    is_suspended: bool,
}

impl Seen {
    fn of(status: &SubscriptionStatus) -> Self {
        Self {
            cursor: status.cursor,
            lag_bytes: status.lag_bytes,
            in_flight: status.in_flight,
            is_suspended: matches!(status.state, SubscriptionState::Suspended { .. }),
        }
    }
}

fn look(engine: &Engine) -> Look {
    let relay = engine.relay().ok();
    let seen =
        |name| relay.as_ref().and_then(|relay| relay.subscription(name).ok()).map(|status| Seen::of(&status));
    let (kept, bounded) = (seen(KEPT), seen(BOUNDED));
    let metrics = engine.metrics();
    Look {
        resident_bytes: machine::resident_bytes().unwrap_or_default(),
        journal_disk_bytes: metrics.journal_disk_bytes,
        kept,
        bounded,
        journal_first: metrics.journal_first,
    }
}

pub(crate) async fn run(args: StallArgs) -> Result<Report, Failure> {
    if !args.engine.durability.leaves_a_journal() {
        return Err("durability memory keeps no journal: choose synced or buffered".into());
    }
    let place = Place::new(args.engine.data.as_deref())?;
    let engine = Engine::open(config(&args, &place)).await?;
    shop::stock_as(&engine, SKUS, described::sku, |_sku| 1 << 38).await?;
    let mut run = Run { args: &args, engine: engine.clone(), next: 0, problems: Problems::default() };
    let relay = engine.relay()?;
    relay.create(KEPT, dead(None)?).await?;
    relay.create(BOUNDED, dead(Some(args.lag_mib_max << 20))?).await?;
    let mut report = Report::new("stall", args.engine.durability.name(), place.path());
    report.set("seed", args.seed);
    report.set("orders", args.orders);

    run.place(args.orders / INDEXED_SHARE).await?;
    wait_until_searchable(&engine).await?;
    report.set("documents_before", engine.search_figures().documents);
    engine.set_search_mode(SearchMode::Off);
    let watched = engine.clone();
    let sampler = Sampler::start(SAMPLE_EVERY, move || look(&watched));
    let segments = run.place(args.orders - run.next).await?;
    let looks = sampler.stop().await;
    if let Some(drained) = store::drain(&engine).await {
        report.set("store_drain_ms", drained.ms);
    }
    let resident: Vec<u64> = looks.iter().map(|look| look.resident_bytes).collect();
    let is_judged = looks.len() >= JUDGED_SAMPLES_MIN;
    set_speed(&mut report, segments.len(), segments.rates(segments.elapsed()), false);
    set_memory(&mut report, &resident, is_judged);
    set_journal(&mut report, &looks, args.lag_mib_max << 20);

    run.search_again(&mut report).await?;
    run.relay_again(&mut report).await?;
    report.set_store(&engine.metrics());
    report.add_problems(run.problems);
    engine.shutdown().await?;
    report.set("audit", if report.passed() { "pass" } else { "fail" });
    Ok(report)
}

fn config(args: &StallArgs, place: &Place) -> Config {
    let EngineArgs { durability, order_actors, .. } = args.engine;
    let engine_args = EngineArgs { durability, order_actors, data: None };
    let config = shop::config(place.path(), &engine_args, args.clients * args.in_flight * 2)
        .retain_closed_ms(1_000)
        .idempotency_hot_max(10_000)
        // Nothing stays but what somebody needs.
        .journal_keep_min_bytes(0);
    with_search(config, REFRESH_MS)
}

/// A subscription to an address where nobody listens, from the first event on.
fn dead(lag_bytes_max: Option<u64>) -> Result<SubscriptionSpec, Failure> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let (user, password) = ("guest".to_owned(), "guest".to_owned());
    let rabbit = Rabbit { address, user, password, name: unique_name() };
    let spec = subscription(SinkSpec::Rabbitmq(rabbit.spec(false)), Start::First);
    Ok(SubscriptionSpec { lag_bytes_max: lag_bytes_max.unwrap_or(spec.lag_bytes_max), ..spec })
}

/// What the journal's first position and the subscriptions' bounds must have been at every look.
fn set_journal(report: &mut Report, looks: &[Look], lag_bytes_max: u64) {
    let kept = || looks.iter().filter_map(|look| look.kept.as_ref());
    let bounded = || looks.iter().filter_map(|look| look.bounded.as_ref());
    let disk_max = looks.iter().map(|look| look.journal_disk_bytes).max().unwrap_or_default();
    report.set("journal_disk_bytes_max", disk_max);
    report.set("kept_lag_bytes_max", kept().map(|seen| seen.lag_bytes).max().unwrap_or_default());
    report.set("kept_in_flight_max", kept().map(|seen| seen.in_flight).max().unwrap_or_default());
    let bounded_max = bounded().filter(|seen| !seen.is_suspended).map(|seen| seen.lag_bytes).max();
    report.set("bounded_lag_bytes_max", bounded_max.unwrap_or_default());
    report.set("bounded_suspended_looks", bounded().filter(|seen| seen.is_suspended).count());
    if kept().any(|seen| seen.is_suspended) {
        report.add_problem(|| "the subscription with room was suspended".to_owned());
    }
    if kept().chain(bounded()).any(|seen| seen.in_flight > IN_FLIGHT_MAX) {
        report.add_problem(|| format!("more than {IN_FLIGHT_MAX} messages were on their way to a dead sink"));
    }
    if let Some(max) = bounded_max.filter(|max| *max > lag_bytes_max + SLACK_BYTES) {
        report.add_problem(|| format!("{max} bytes were kept for a subscription bounded to {lag_bytes_max}"));
    }
    let lost = |look: &&Look| look.kept.as_ref().is_some_and(|kept| kept.cursor < look.journal_first);
    if let Some(look) = looks.iter().find(lost) {
        let first = look.journal_first;
        report.add_problem(|| {
            format!("the journal began at {first}, and a subscription needed what was before")
        });
    }
}

/// A run.
struct Run<'a> {
    args: &'a StallArgs,
    engine: Engine,
    /// The next buyer.
    next: u64,
    problems: Problems,
}

impl Run<'_> {
    /// Takes so many orders through their lives; answers how fast.
    async fn place(&mut self, orders: u64) -> Result<Arc<Segments>, Failure> {
        let load = Load {
            clients: self.args.clients,
            in_flight: self.args.in_flight,
            open_max: u64::MAX,
            ends: Ends::AtOnce,
            samples: 0,
        };
        let plan =
            Plan { seed: self.args.seed, skus: SKUS, baskets: Baskets::Described { members: MEMBERS } };
        let segments = Arc::new(Segments::start(orders));
        let buyers = self.next..self.next + orders;
        self.next = buyers.end;
        let lived = live(&self.engine, plan, buyers, load, &segments).await?;
        self.problems.append(lived.problems);
        Ok(segments)
    }

    /// The index is switched on again, and must come to have every order.
    async fn search_again(&mut self, report: &mut Report) -> Result<(), Failure> {
        let started = Instant::now();
        self.engine.set_search_mode(SearchMode::On);
        wait_until_searchable(&self.engine).await?;
        report.set("search_back_ms", started.elapsed().as_millis() as u64);
        let (found, _) = count(&self.engine, Expr::All).await?;
        report.set("documents_after", found);
        if found != self.next {
            let placed = self.next;
            self.problems.add(|| format!("{placed} orders were placed, {found} are found"));
        }
        Ok(())
    }

    /// The subscription with room goes away, and the journal with it; the other one is resumed.
    async fn relay_again(&mut self, report: &mut Report) -> Result<(), Failure> {
        let relay = self.engine.relay()?;
        let kept = relay.subscription(KEPT)?;
        if !matches!(kept.state, SubscriptionState::Down { .. }) || kept.delivered > 0 {
            self.problems.add(|| format!("a subscription without a sink is {:?}", kept.state));
        }
        relay.delete(KEPT).await?;
        let bounded = relay.subscription(BOUNDED)?;
        let is_suspended = matches!(bounded.state, SubscriptionState::Suspended { .. });
        report.set("bounded_suspended", is_suspended);
        let written = self.engine.metrics().journal_bytes;
        if !is_suspended {
            // A short run may not write enough for it.
            if written > (self.args.lag_mib_max << 20) + SLACK_BYTES {
                self.problems
                    .add(|| format!("{written} bytes behind, a subscription is {:?}", bounded.state));
            }
            relay.delete(BOUNDED).await?;
            return Ok(());
        }
        self.wait_for_trim(bounded.cursor).await?;
        let first = self.engine.metrics().journal_first;
        report.set("journal_disk_bytes_after", self.engine.metrics().journal_disk_bytes);
        let sought = relay.seek(BOUNDED, Start::At(bounded.cursor)).await;
        if !matches!(sought, Err(RelayError::Trimmed { .. })) {
            self.problems
                .add(|| format!("seeking what is trimmed gives {:?}", sought.map(|status| status.cursor)));
        }
        let resumed = relay.resume(BOUNDED).await?;
        let missing = resumed.missing.iter().map(|(from, up_to)| up_to.0 - from.0 + 1).sum::<u64>();
        report.set("missing_events", missing);
        let is_told = resumed.missing.first().is_some_and(|(from, _)| *from == bounded.cursor)
            && resumed.missing.last().is_some_and(|(_, up_to)| up_to.0 + 1 >= first.0);
        if !is_told {
            let missing = resumed.missing;
            self.problems
                .add(|| format!("{} to {first} are gone, and {missing:?} is said to be", bounded.cursor));
        }
        relay.delete(BOUNDED).await?;
        Ok(())
    }

    /// Places orders until the journal begins behind a position.
    async fn wait_for_trim(&mut self, position: Position) -> Result<(), Failure> {
        let started = Instant::now();
        while self.engine.metrics().journal_first <= position {
            if started.elapsed() > TRIM_MAX {
                let first = self.engine.metrics().journal_first;
                self.problems
                    .add(|| format!("the journal begins at {first}, although nobody needs {position}"));
                return Ok(());
            }
            self.place(AFTERWARDS).await?;
            store::drain(&self.engine).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(journal_first: u64, cursor: u64, lag_bytes: u64, is_suspended: bool) -> Look {
        let bounded = Some(Seen { cursor: Position(cursor), lag_bytes, in_flight: 0, is_suspended });
        let kept = Some(Seen { cursor: Position(1), lag_bytes: 1 << 40, in_flight: 9, is_suspended: false });
        Look {
            resident_bytes: 0,
            journal_disk_bytes: 0,
            kept,
            bounded,
            journal_first: Position(journal_first),
        }
    }

    #[test]
    fn a_journal_that_was_let_go_of_too_soon_fails() {
        let passes = |looks: &[Look]| {
            let mut report = Report::default();
            set_journal(&mut report, looks, 1_000);
            report.passed()
        };
        assert!(passes(&[at(1, 1, 500, false), at(1, 1, 900, true)]));
        assert!(!passes(&[at(1, 1, 500, false), at(2, 2, 900, true)]), "somebody needed it");
        assert!(!passes(&[at(1, 1, 1_001 + SLACK_BYTES, false)]), "beyond its bound");
        assert!(passes(&[at(1, 1, 1_001 + SLACK_BYTES, true)]), "it is suspended");
    }
}
