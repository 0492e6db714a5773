//! A long run: many more orders than memory could hold are taken and completed, and speed, memory and disk must stay
//! where they are. Afterwards orders of long ago are asked for again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stockade::{Engine, Metrics, OrderType};

use crate::cli::SoakArgs;
use crate::lifecycle::{Ends, Lived, Load, live};
use crate::place::Place;
use crate::plan::{Baskets, Plan};
use crate::report::{Report, rounded};
use crate::sampling::{Sampler, Spread};
use crate::segments::{Rates, Segments};
use crate::{Failure, machine, recheck, shop, store};

/// SKUs that are sold.
const SKUS: u64 = 10;
/// Orders that a member has at least, in the mean: a short run has fewer members.
const ORDERS_PER_MEMBER_MIN: u64 = 10;
/// Members whose orders are listed afterwards.
const MEMBERS_LISTED: u64 = 100;
/// How often memory is looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How much more memory may be used at the most than at the least, over the second half of the run, in percent.
const RESIDENT_SPREAD_MAX: f64 = 20.0;
/// How fast the end must be, compared with the beginning.
const RATIO_MIN: f64 = 0.85;
/// A run is too short to be judged by its speed and memory if a segment takes less, or there are fewer samples.
const JUDGED_SEGMENT_MIN: Duration = Duration::from_secs(1);
const JUDGED_SAMPLES_MIN: usize = 10;
/// Longest wait for the last unpaid orders to close, beyond the auto-close delay.
const SETTLE_MAX: Duration = Duration::from_secs(60);
/// How often it is looked whether they have.
const SETTLE_POLL: Duration = Duration::from_millis(10);
/// How long after `retain_closed_ms` the last orders have left memory.
const EVICTED_AFTER: Duration = Duration::from_secs(1);

/// One look at the run.
struct Look {
    resident_bytes: u64,
    open_orders: u64,
    store_lag_ms: u64,
}

pub(crate) async fn run(args: SoakArgs) -> Result<Report, Failure> {
    if args.open_max < args.in_flight {
        return Err(
            format!("--open-max {} leaves no room for a batch of {}", args.open_max, args.in_flight).into()
        );
    }
    machine::resident_bytes().ok_or("this system does not tell how much memory is resident")?;
    let durability = args.engine.durability;
    let place = Place::new(args.engine.data.as_deref())?;
    // Some payments are notified twice at once.
    let config = shop::config(place.path(), &args.engine, args.clients * args.in_flight * 2)
        .auto_close_ms(OrderType::Normal, args.auto_close_ms)
        .retain_closed_ms(args.retain_closed_ms)
        .journal_keep_min_bytes(shop::JOURNAL_KEPT_BYTES);
    let engine = Engine::open(config).await?;
    shop::stock(&engine, SKUS, 0, |_sku| args.orders).await?;
    let members = args.members.min(args.orders / ORDERS_PER_MEMBER_MIN).max(1);
    let plan = Plan { seed: args.seed, skus: SKUS, baskets: Baskets::Regulars { members } };

    let load = Load {
        clients: args.clients,
        in_flight: args.in_flight,
        open_max: args.open_max,
        ends: Ends::Planned,
        samples: args.samples,
    };
    let before = engine.metrics();
    let watched = engine.clone();
    let sampler = Sampler::start(SAMPLE_EVERY, move || look(&watched));
    let segments = Arc::new(Segments::start(args.orders));
    let mut lived = live(&engine, plan, 0..args.orders, load, &segments).await?;
    let elapsed = segments.elapsed();
    let looks = sampler.stop().await;
    let ended = engine.metrics();
    let drained = store::drain(&engine).await;
    settle(&engine, args.auto_close_ms).await?;

    let mut report = Report::new("soak", durability.name(), place.path());
    report.set("seed", args.seed);
    report.set("clients", args.clients);
    report.set("in_flight", args.in_flight);
    report.set("members", members);
    report.set_orders(&lived.tally, elapsed);
    report.set("completed", lived.completed);
    set_open(&mut report, &args, &lived, &looks);
    let is_judged = drained.is_some() && looks.len() >= JUDGED_SAMPLES_MIN;
    set_speed(&mut report, segments.len(), segments.rates(elapsed), is_judged);
    let resident: Vec<u64> = looks.iter().map(|look| look.resident_bytes).collect();
    set_memory(&mut report, &resident, is_judged);
    report.set("store_lag_ms_max", looks.iter().map(|look| look.store_lag_ms).max().unwrap_or_default());
    report.set_drain(ended.store_lag_ms, drained);
    check_complete(&mut report, &engine, &args, &lived, &before).await?;

    if drained.is_some() {
        // The last orders close, get stored, and leave memory: so the samples come from the store.
        store::drain(&engine).await;
        tokio::time::sleep(Duration::from_millis(args.retain_closed_ms) + EVICTED_AFTER).await;
    }
    let status = |n| Ends::Planned.status(&plan, n);
    let started = Instant::now();
    recheck::samples(&engine, &plan, &lived.samples, status, &mut lived.problems).await;
    let mut listed = 0;
    for member in recheck::some_members(members, MEMBERS_LISTED) {
        let asked = (member, members);
        listed += recheck::member(&engine, &plan, asked, args.orders, status, &mut lived.problems).await?;
    }
    report.set("orders_sampled", lived.samples.len());
    report.set("orders_listed", listed);
    report.set("recheck_s", rounded(started.elapsed().as_secs_f64()));
    let metrics = engine.metrics();
    report.set("orders_in_memory", metrics.orders);
    report.set_store(&metrics);
    engine.shutdown().await?;
    report.add_problems(lived.problems);
    Ok(report)
}

fn look(engine: &Engine) -> Look {
    let metrics = engine.metrics();
    Look {
        resident_bytes: machine::resident_bytes().unwrap_or_default(),
        open_orders: metrics.open_orders,
        store_lag_ms: metrics.store_lag_ms,
    }
}

/// Waits until no order is open.
async fn settle(engine: &Engine, auto_close_ms: u32) -> Result<(), Failure> {
    let until = Instant::now() + Duration::from_millis(auto_close_ms.into()) + SETTLE_MAX;
    loop {
        match engine.metrics().open_orders {
            0 => return Ok(()),
            open if Instant::now() > until => {
                return Err(format!("{open} orders are still open, long after their deadlines").into());
            }
            _ => tokio::time::sleep(SETTLE_POLL).await,
        }
    }
}

fn set_open(report: &mut Report, args: &SoakArgs, lived: &Lived, looks: &[Look]) {
    let sampled = looks.iter().map(|look| look.open_orders).max().unwrap_or_default();
    let seen = lived.open_seen.max(sampled);
    report.set("open_orders_max", seen);
    if seen > args.open_max {
        report.add_problem(|| format!("{seen} orders were open, at most {} may be", args.open_max));
    }
}

pub(super) fn set_speed(report: &mut Report, segment_orders: u64, rates: Option<Rates>, is_judged: bool) {
    let Some(rates) = rates else { return };
    let ratio = rates.ratio();
    report.set("segment_orders", segment_orders);
    report.set("first_segment_per_s", rates.first_per_s as u64);
    report.set("last_segment_per_s", rates.last_per_s as u64);
    report.set("last_to_first", rounded(ratio));
    let is_judged = is_judged && rates.shortest >= JUDGED_SEGMENT_MIN;
    report.set("is_speed_judged", is_judged);
    if is_judged && ratio < RATIO_MIN {
        report.add_problem(|| {
            format!("the last orders went at {ratio:.2} of the first ones' speed, not {RATIO_MIN}")
        });
    }
}

pub(super) fn set_memory(report: &mut Report, resident: &[u64], is_judged: bool) {
    let Some(spread) = Spread::of_second_half(resident) else { return };
    let percent = spread.percent();
    report.set("resident_mib_min", spread.min >> 20);
    report.set("resident_mib_max", spread.max >> 20);
    report.set("resident_spread_percent", rounded(percent));
    report.set("is_memory_judged", is_judged);
    if is_judged && percent > RESIDENT_SPREAD_MAX {
        report.add_problem(|| {
            format!("memory spreads by {percent:.1} % over the second half, not {RESIDENT_SPREAD_MAX}")
        });
    }
}

/// Every order that was asked for must have been taken, and every unit must be sold or back: none is lost.
async fn check_complete(
    report: &mut Report,
    engine: &Engine,
    args: &SoakArgs,
    lived: &Lived,
    before: &Metrics,
) -> Result<(), Failure> {
    let metrics = engine.metrics();
    let counters = shop::counters(engine, SKUS).await?;
    let (mut sold, mut reserved) = (0, 0);
    for (_, counters) in &counters {
        sold += counters.sold;
        reserved += counters.reserved + counters.held;
    }
    let lost = args.orders.saturating_sub(metrics.accepted - before.accepted);
    report.set("expired", metrics.expired - before.expired);
    report.set("lost_orders", lost);
    report.set("units_sold", sold);
    if lost > 0 || lived.tally.accepted != args.orders {
        let accepted = lived.tally.accepted;
        report
            .add_problem(|| format!("{accepted} of {} orders were placed, and {lost} are lost", args.orders));
    }
    if sold != lived.completed || reserved > 0 {
        let completed = lived.completed;
        report.add_problem(|| {
            format!("{completed} orders are completed, {sold} units sold, {reserved} reserved")
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_slows_down_fails_if_it_can_be_judged() {
        let passes = |last_per_s: f64, segment_s: u64, is_judged: bool| {
            let shortest = Duration::from_secs(segment_s);
            let mut report = Report::default();
            let rates = Rates { first_per_s: 100.0, last_per_s, shortest };
            set_speed(&mut report, 1_000_000, Some(rates), is_judged);
            report.passed()
        };
        assert!(passes(86.0, 10, true) && !passes(84.0, 10, true));
        assert!(passes(84.0, 0, true), "it was over too soon");
        assert!(passes(84.0, 10, false), "there is no store");
    }

    #[test]
    fn memory_that_grows_over_the_second_half_fails_if_it_can_be_judged() {
        let passes = |last_mib: u64, is_judged: bool| {
            let mut report = Report::default();
            set_memory(&mut report, &[10, 500, 1_000, last_mib].map(|mib| mib << 20), is_judged);
            report.passed()
        };
        assert!(passes(1_190, true) && !passes(1_210, true));
        assert!(passes(1_210, false));
    }
}
