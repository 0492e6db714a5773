//! The engine before the restart: makes the data of `restart` and ends in order, or opens it, takes a few more orders
//! and waits to be killed.
//!
//! Its line: `left OPEN HASH`, once everything is durable and nothing is under way.

use std::sync::Arc;

use stockade::{Engine, Reject};

use crate::cli::{DurabilityArg, RestartChildArgs};
use crate::lifecycle::{Ends, Load, live};
use crate::process::{die_with_parent, say};
use crate::scenarios::restart::{Contents, IN_FLIGHT_MAX, Left, SKUS, TAIL_SKU, config, newcomers};
use crate::segments::Segments;
use crate::{Failure, shop, store};

/// Clients that make the data.
const CLIENTS: u64 = 64;
/// Orders that each has under way: half of what the engine lets in, as some payments are notified twice.
const BATCH: u64 = IN_FLIGHT_MAX / CLIENTS / 2;
/// Units of each SKU that none of the data's orders can need.
const UNITS_LEFT: u64 = 1 << 30;

pub(crate) async fn run(args: RestartChildArgs) -> Result<(), Failure> {
    die_with_parent();
    let contents = Contents { open: args.open, stored: args.stored, members: args.members };
    // What is made needs no more than to be there in the end: the shutdown syncs it.
    let durability = if args.tail.is_some() { DurabilityArg::Synced } else { DurabilityArg::Buffered };
    let engine = Engine::open(config(&args.data, durability, args.order_actors)).await?;
    let Some(tail) = args.tail else {
        make(&engine, contents).await?;
        if store::drain(&engine).await.is_some_and(|drained| !drained.complete) {
            return Err("the store has not caught up".into());
        }
        say(&Left::of(&engine, args.hash).await?.line());
        engine.shutdown().await?;
        return Ok(());
    };
    take_tail(&engine, contents, tail).await?;
    say(&Left::of(&engine, args.hash).await?.line());
    // Until it is killed; if its parent dies, it goes too.
    std::future::pending::<()>().await;
    Ok(())
}

/// First the orders that close, then those that stay open.
async fn make(engine: &Engine, contents: Contents) -> Result<(), Failure> {
    let Contents { open, stored, .. } = contents;
    // Some are left for the orders of any number of restarts.
    shop::stock(engine, SKUS, 0, |_sku| open + stored + UNITS_LEFT).await?;
    let parts = [(0..stored, Ends::AtOnce), (stored..stored + open, Ends::Never)];
    for (buyers, ends) in parts {
        let load = Load { clients: CLIENTS, in_flight: BATCH, open_max: u64::MAX, ends, samples: 0 };
        let segments = Arc::new(Segments::start(buyers.end - buyers.start));
        let lived = live(engine, contents.plan(), buyers, load, &segments).await?;
        if let Some(problem) = lived.problems.kept().first() {
            return Err(format!("the data can't be made: {problem}").into());
        }
    }
    Ok(())
}

/// Takes so many orders by newcomers.
async fn take_tail(engine: &Engine, contents: Contents, tail: u64) -> Result<(), Reject> {
    let newcomers = newcomers(engine.now_ms(), TAIL_SKU, tail);
    for (_, result) in shop::submit_batch(engine, &contents.plan(), newcomers).await {
        result?;
    }
    Ok(())
}
