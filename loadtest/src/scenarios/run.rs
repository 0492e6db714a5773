//! Runs a scenario from a file, lets everything come to rest, and checks engine, journal and store against what the
//! buyers were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stockade::{Config, Engine, OrderType};
use tokio::task::JoinSet;

use crate::cli::{EngineArgs, RunArgs};
use crate::place::Place;
use crate::progress::Follower;
use crate::report::{Report, per_second, rounded};
use crate::script::book::Book;
use crate::script::check::{self, Found};
use crate::script::file::Script;
use crate::script::plan::Buyers;
use crate::script::sale::{Operation, Sale, open_shop};
use crate::script::worker::{self, Tasks};
use crate::script::{buyer::Waiting, journal};
use crate::{Failure, shop, store};

/// Journal that durability `memory` keeps, so that it can be audited, in bytes.
const MEMORY_JOURNAL_BYTES: usize = 1 << 30;
/// Time for the shop to be stocked before the run begins, in ms for each SKU and activity, and at least.
const SETUP_MS: (u64, u64) = (5, 200);

/// What a run brings home.
struct Ran {
    book: Book,
    tasks: Tasks,
    switches: u64,
    selling: Duration,
    quiet: Option<Duration>,
}

pub(crate) async fn run(args: RunArgs) -> Result<Report, Failure> {
    let mut script = Script::load(&args.file)?.scaled(args.scale);
    script.seed = args.seed.unwrap_or(script.seed);
    script.durability = args.durability.unwrap_or(script.durability);
    run_script(script, args.data.as_deref()).await
}

/// Runs a scenario.
pub(crate) async fn run_script(script: Script, data: Option<&std::path::Path>) -> Result<Report, Failure> {
    let place = Place::new(data)?;
    let durability = script.durability;
    let engine = Engine::open(config(&script, &place, data.is_some())).await?;
    let mut report = Report::new("run", durability.name(), place.path());
    report.set("name", script.name.as_str());
    report.set("seed", script.seed);
    report.set("buyers", script.run.buyers);

    let buyers = Buyers { script };
    let parts = buyers.script.shop.skus + buyers.activities().map(|(_, _, part)| part.skus + 1).sum::<u64>();
    let start_ms = engine.now_ms() + (parts * SETUP_MS.0).max(SETUP_MS.1);
    open_shop(&engine, &buyers, start_ms).await?;
    // Sessions count from here on, however fast the shop was stocked.
    let wait_ms = start_ms.saturating_sub(engine.now_ms());
    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    let before = engine.metrics();
    let sale = Arc::new(Sale::new(engine.clone(), buyers, start_ms));
    let mut ran = sell(&sale).await?;
    let ended = engine.metrics();
    let has_store = sale.buyers.script.store && durability.leaves_a_journal();
    let drained = if has_store { store::drain(&engine).await } else { None };

    let found = check::check(&sale, &ran.book).await?;
    set_orders(&mut report, &sale, &ran, &found);
    for (operation, name) in Operation::ALL {
        if let Some(latency) = sale.latencies(operation).and_then(|latencies| latencies.percentiles()) {
            report.set(name, latency.json());
        }
    }
    report.set_journal(&before, &ended);
    report.set_drain(ended.store_lag_ms, drained);
    if ran.quiet.is_none() {
        report.add_problem(|| "units were still reserved long after every deadline".to_owned());
    }
    if ran.tasks.pushed != ran.tasks.acked {
        report.add_problem(|| {
            format!("{} tasks were pushed, {} acknowledged", ran.tasks.pushed, ran.tasks.acked)
        });
    }
    let cross_checks = found.problems.total() + ran.book.problems.total() + ran.tasks.problems.total();
    report.set("cross_checks", if cross_checks == 0 { "pass" } else { "fail" });
    report.add_problems(found.problems);
    report.add_problems(std::mem::take(&mut ran.book.problems));
    report.add_problems(std::mem::take(&mut ran.tasks.problems));

    let audited = if durability.leaves_a_journal() {
        engine.shutdown().await?;
        // The directory is in use for as long as anybody holds the engine.
        drop((engine, sale));
        journal::audit_directory(place.path(), &ran.book)?
    } else {
        let audited = journal::audit_memory(&engine, &ran.book).await?;
        engine.shutdown().await?;
        audited
    };
    let (audit, problems) = audited;
    for violation in &audit.violations {
        report.add_problem(|| violation.to_string());
    }
    report.set("oversold_units", audit.oversold_units());
    report.set("lost_acked", problems.total());
    report.set("audited_events", audit.events);
    report.set("audit", if audit.passed() && problems.is_empty() { "pass" } else { "fail" });
    report.add_problems(problems);
    Ok(report)
}

fn config(script: &Script, place: &Place, is_named: bool) -> Config {
    let args = EngineArgs {
        durability: script.durability,
        order_actors: usize::try_from(script.order_actors).ok().filter(|actors| *actors > 0),
        data: is_named.then(|| place.path().to_owned()),
    };
    // A buyer has up to two commands under way, and those who wait come back at the same time.
    let config = shop::config(place.path(), &args, script.run.buyers * 4)
        .payment_grace_ms(script.shop.payment_grace_ms)
        .auto_confirm_ms(script.shop.auto_confirm_ms)
        .memory_journal_bytes_max(MEMORY_JOURNAL_BYTES)
        .store(script.store);
    OrderType::ALL
        .into_iter()
        .fold(config, |config, order_type| config.auto_close_ms(order_type, script.shop.auto_close_ms))
}

/// Serves all buyers, beside everybody else, until everything has come to rest.
async fn sell(sale: &Arc<Sale>) -> Result<Ran, Failure> {
    let run = sale.buyers.script.run.clone();
    let bar = Follower::start("orders", run.orders, Arc::clone(&sale.done));
    let (selling_over, resting) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let refunds = tokio::spawn(worker::work_refunds(Arc::clone(sale), Arc::clone(&resting)));
    let switches = tokio::spawn(worker::turn_switches(Arc::clone(sale), Arc::clone(&selling_over)));
    let tasks = tokio::spawn(worker::use_delay_queue(Arc::clone(sale), Arc::clone(&selling_over)));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..run.buyers {
        clients.spawn(Arc::clone(sale).client());
    }
    let (mut book, mut waiting) = (Book::default(), Waiting::new());
    while let Some(finished) = clients.join_next().await {
        let (part, waits) = finished?;
        book.add(part);
        waiting.extend(waits);
    }
    let selling = began.elapsed();
    selling_over.store(true, Ordering::Relaxed);
    drop(bar);
    for waits in waiting {
        book.add(waits.await?);
    }
    let quiet = check::wait_for_quiet(sale).await?;
    // Only now is it sure that no further refund comes.
    resting.store(true, Ordering::Relaxed);
    book.add(refunds.await??);
    // Units that came back by refunds may have to flow on.
    let quiet = match quiet {
        Some(quiet) => check::wait_for_quiet(sale).await?.map(|more| quiet + more),
        None => None,
    };
    Ok(Ran { book, tasks: tasks.await??, switches: switches.await??, selling, quiet })
}

fn set_orders(report: &mut Report, sale: &Sale, ran: &Ran, found: &Found) {
    let Ran { book, tasks, switches, selling, quiet } = ran;
    let placed = book.orders.len() as u64;
    report.set("requests", sale.done.load(Ordering::Relaxed));
    report.set("requests_per_s", per_second(sale.done.load(Ordering::Relaxed), *selling));
    report.set("orders_per_s", per_second(placed, *selling));
    report.set("elapsed_s", rounded(selling.as_secs_f64()));
    report.set("quiet_after_s", quiet.map_or(-1.0, |quiet| rounded(quiet.as_secs_f64())));
    report.set("accepted", placed);
    report.set("duplicates", book.duplicates);
    for (order_type, count) in &book.placed {
        report.set(format!("accepted.{order_type}"), *count);
    }
    for ((order_type, outcome), count) in &found.outcomes {
        report.set(format!("orders.{order_type}.{outcome}"), *count);
    }
    for ((what, code), count) in &book.rejects {
        report.set(format!("refused.{}.{code}", what.replace(' ', "_")), *count);
    }
    for (session, opening) in &book.openings {
        let times = [
            ("first_order_ms", opening.first_order_ms),
            ("last_order_ms", opening.last_order_ms),
            ("first_sold_out_ms", opening.first_sold_out_ms),
        ];
        for (name, at_ms) in times {
            if let Some(at_ms) = at_ms {
                report.set(format!("activity.{session}.{name}"), at_ms);
            }
        }
    }
    report.set("payments", book.payments.len() as u64);
    report.set("money_kept", found.kept);
    for (state, count) in &found.refunds {
        report.set(format!("refunds.{state}"), *count);
    }
    for (state, count) in &found.teams {
        report.set(format!("teams.{state}"), *count);
    }
    report.set("coupons_used", found.coupons_used);
    if *switches > 0 {
        report.set("sku_pauses", *switches);
    }
    if tasks.pushed > 0 {
        report.set("tasks", tasks.pushed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::DurabilityArg;

    fn scenario(name: &str) -> Script {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name);
        Script::load(&path).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn everything_at_once_passes_audit_and_cross_checks() {
        let mut script = Script { durability: DurabilityArg::Memory, ..scenario("mixed.toml").scaled(2) };
        // Slow enough for both sessions to open.
        script.run.rate = 350;
        let report = run_script(script, None).await.unwrap();
        report.print(false);
        assert!(report.passed());
    }
}
