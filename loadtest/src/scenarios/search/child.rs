//! The engine that `search` kills: opens the data directory, waits until its index has caught up, compares it with the
//! store, and then takes orders until it dies, with as many commits of the index as there can be.
//!
//! Its lines: `ready`, `checked DOCUMENTS ORDERS` when the index is what it must be, `at N` when buyers before N are
//! served, `commits N` after each commit of the index, `X TEXT` for something that must not happen, `done` after an orderly end.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use stockade::{Config, Engine, OrderType, SearchConfig, SearchMode};

use super::check::check;
use crate::acked::Problems;
use crate::cli::{EngineArgs, SearchChildArgs};
use crate::lifecycle::{Ends, Load, live};
use crate::plan::{Baskets, Plan};
use crate::process::{die_with_parent, say};
use crate::segments::Segments;
use crate::{Failure, described, shop};

/// SKUs that are sold.
const SKUS: u64 = 100;
/// Members who order again and again.
const MEMBERS: u64 = 1_000;
/// Units of each SKU: more than any run can sell.
const UNITS: u64 = 1 << 38;
/// Clients, and orders that each has under way.
const CLIENTS: u64 = 8;
const IN_FLIGHT: u64 = 32;
/// Orders between two lines.
const STEP: u64 = CLIENTS * IN_FLIGHT * 4;
/// How often it is looked whether there was a commit.
const POLL: Duration = Duration::from_millis(2);
/// The least that an engine allows: a commit after the other.
const REFRESH_MS: u64 = 10;
/// Checkpoints feed the index.
const CHECKPOINT_MS: u64 = 10;

/// An engine's configuration with an index.
pub(crate) fn with_search(config: Config, refresh_ms: u64) -> Config {
    let search =
        SearchConfig { mode: SearchMode::On, max_lag_ms: 3_600_000, refresh_ms, ..SearchConfig::default() };
    config.search(search).auto_close_ms(OrderType::Normal, 24 * 3_600_000)
}

pub(crate) async fn run(args: SearchChildArgs) -> Result<(), Failure> {
    die_with_parent();
    let engine_args = EngineArgs { durability: args.durability, order_actors: None, data: None };
    let config = shop::config(&args.data, &engine_args, 1 << 14)
        .checkpoint_interval_ms(CHECKPOINT_MS)
        .retain_closed_ms(1_000);
    let engine = Engine::open(with_search(config, REFRESH_MS)).await?;
    say("ready");
    let mut problems = Problems::default();
    let checked = check(&engine, &mut problems).await?;
    problems.kept().iter().for_each(|problem| say(&format!("X {problem}")));
    say(&format!("checked {} {}", checked.documents, checked.orders));
    if args.look {
        engine.shutdown().await?;
        say("done");
        return Ok(());
    }
    shop::stock_as(&engine, SKUS, described::sku, |_sku| UNITS).await?;
    let plan = Plan { seed: args.seed, skus: SKUS, baskets: Baskets::Described { members: MEMBERS } };
    tell_of_commits(engine.clone());
    let mut next = args.first;
    loop {
        serve(&engine, plan, next..next + STEP).await?;
        next += STEP;
        say(&format!("at {next}"));
    }
}

/// Tells of every commit, on a thread of its own, for as long as the process lives.
fn tell_of_commits(engine: Engine) {
    std::thread::spawn(move || {
        let mut told = 0;
        loop {
            let commits = engine.search_figures().commits;
            if commits > told {
                say(&format!("commits {commits}"));
                told = commits;
            }
            std::thread::sleep(POLL);
        }
    });
}

async fn serve(engine: &Engine, plan: Plan, buyers: Range<u64>) -> Result<(), Failure> {
    let load =
        Load { clients: CLIENTS, in_flight: IN_FLIGHT, open_max: u64::MAX, ends: Ends::Anywhere, samples: 0 };
    let segments = Arc::new(Segments::start(buyers.end - buyers.start));
    let lived = live(engine, plan, buyers, load, &segments).await?;
    lived.problems.kept().iter().for_each(|problem| say(&format!("X {problem}")));
    Ok(())
}
