//! The engine that `relay` kills: opens the data directory, takes orders through their lives from a given buyer on, waits
//! until everything is relayed, and ends in order if it gets that far. Its parent tells it how many buyers it may take: none
//! before the first such line.
//!
//! Its lines: `ready` once it is open, `at N` when all buyers before N have done what they do, `lag EVENTS` while it
//! waits for the relay, `X TEXT` for something that must not happen, `end NAME RETRIED DEAD` for each subscription before an
//! orderly end, `done` after it.

use std::path::Path;
use std::time::{Duration, Instant};

use stockade::relay::{RelayConfig, SubscriptionState};
use stockade::{Engine, OrderType, Reject};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::SUBSCRIPTIONS;
use crate::cli::{EngineArgs, RelayChildArgs};
use crate::plan::{Baskets, Conduct, Plan};
use crate::process::{say, watch_parent};
use crate::standstill::Standstill;
use crate::{Failure, buyer, shop, store};

/// SKUs that are sold.
const SKUS: u64 = 10;
/// Units of each SKU: more than any run can sell.
const UNITS: u64 = 1 << 38;
/// Members who order again and again.
const MEMBERS: u64 = 10_000;
/// Buyers who are in the shop at a time; the next ones come when all have gone.
const BUYERS: u64 = 512;
/// Unpaid orders close after so many ms.
const AUTO_CLOSE_MS: u32 = 1_000;
/// A started payment has so many ms more.
const PAYMENT_GRACE_MS: u64 = 500;
/// How long after the last order all are closed that will be.
const SETTLE: Duration = Duration::from_millis(AUTO_CLOSE_MS as u64 + PAYMENT_GRACE_MS + 500);
/// How often it is looked how far the relay is.
const POLL: Duration = Duration::from_millis(100);
/// Longest wait for the relay to go on.
const STALL_MAX: Duration = Duration::from_secs(120);

/// The engine's configuration: orders leave memory soon, so that messages need the store as well.
pub(crate) fn config(data: &Path, args: &EngineArgs) -> stockade::Config {
    shop::config(data, args, 1 << 14)
        .auto_close_ms(OrderType::Normal, AUTO_CLOSE_MS)
        .payment_grace_ms(PAYMENT_GRACE_MS)
        .retain_closed_ms(1_000)
}

/// The buyers.
pub(crate) fn plan(seed: u64) -> Plan {
    Plan { seed, skus: SKUS, baskets: Baskets::Regulars { members: MEMBERS } }
}

/// Puts everything on sale.
pub(crate) async fn stock(engine: &Engine) -> Result<(), Failure> {
    shop::stock(engine, SKUS, 0, |_sku| UNITS).await
}

pub(crate) async fn run(args: RelayChildArgs) -> Result<(), Failure> {
    let (allow, mut allowed) = watch::channel(0);
    watch_parent(move |orders| {
        allow.send_replace(orders);
    });
    let relay: RelayConfig = serde_json::from_str(&std::env::var(SUBSCRIPTIONS)?)?;
    let data = args.engine.data.as_deref().ok_or("the data directory is missing")?;
    let mut config = config(data, &args.engine).relay(relay);
    if args.trim {
        config = config.journal_keep_min_bytes(0);
    }
    let engine = Engine::open(config).await?;
    stock(&engine).await?;
    say("ready");
    let started = Instant::now();
    let plan = plan(args.seed);
    let mut next = args.first;
    while next < args.orders {
        let bound = (*allowed.wait_for(|bound| *bound > next).await?).min(args.orders);
        let buyers = next..bound.min(next + BUYERS);
        let mut tasks = JoinSet::new();
        for n in buyers.clone() {
            let engine = engine.clone();
            tasks.spawn(async move { serve(&engine, &plan, n).await });
        }
        while let Some(finished) = tasks.join_next().await {
            if let Err(text) = finished? {
                say(&format!("X {text}"));
            }
        }
        next = buyers.end;
        say(&format!("at {next}"));
        say(&format!("lag {}", lag_events(&engine)?));
        let due = Duration::from_secs_f64((next - args.first) as f64 / args.rate as f64);
        tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
    }
    tokio::time::sleep(SETTLE).await;
    wait_for_relay(&engine).await?;
    if store::drain(&engine).await.is_none_or(|drained| !drained.complete) {
        say("X the store has not caught up");
    }
    for (name, status) in engine.relay()?.subscriptions() {
        say(&format!("end {name} {} {}", status.retried, status.dead_letters));
    }
    engine.shutdown().await?;
    say("done");
    Ok(())
}

/// Serves the n-th buyer, also when it was done before, in part or whole.
async fn serve(engine: &Engine, plan: &Plan, n: u64) -> Result<(), String> {
    let receipt = match shop::submit(engine, plan, n).await {
        Ok(receipt) => receipt,
        Err(reject) => return Err(format!("buyer {n} gets no order: {}", reject.code())),
    };
    let conduct = plan.conduct(n);
    let mut ended = buyer::conclude(engine, plan, n, conduct, &receipt, |_fact| {}).await;
    if ended.is_ok() && matches!(conduct, Conduct::Pay | Conduct::StartAndPay) {
        ended = buyer::deliver(engine, plan, n, &receipt, |_fact| {}).await;
    }
    match ended {
        // A repeated request finds its order further on, and a slow one finds it closed.
        Ok(()) | Err(Reject::WrongStatus { .. } | Reject::OrderOverdue { .. }) => Ok(()),
        Err(reject) => Err(format!("the order of buyer {n} did not come to its end: {}", reject.code())),
    }
}

/// Events that the relay has before it, over all subscriptions.
pub(crate) fn lag_events(engine: &Engine) -> Result<u64, Failure> {
    Ok(engine.relay()?.subscriptions().iter().map(|(_, status)| status.lag_events).sum())
}

/// Waits until everything is relayed.
async fn wait_for_relay(engine: &Engine) -> Result<(), Failure> {
    let mut standstill = Standstill::new();
    loop {
        let lag = lag_events(engine)?;
        if lag == 0 {
            return Ok(());
        }
        say(&format!("lag {lag}"));
        if standstill.see(lag) > STALL_MAX {
            for (name, status) in engine.relay()?.subscriptions() {
                let state = match status.state {
                    SubscriptionState::Running => "runs".to_owned(),
                    state => format!("{state:?}"),
                };
                say(&format!(
                    "X subscription {name} stands still: {} events to go, {state}",
                    status.lag_events
                ));
            }
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}
