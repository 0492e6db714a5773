//! The engine that `crash` kills: opens the data directory, repeats the requests that its predecessor may have left
//! unanswered, then serves buyers until it dies, and says a line for every acknowledgement after it got it.
//!
//! Its lines: `ready EVENTS MS` once it is open, `LETTER N ORDER` for a fact about the order of buyer N, `E N CODE`
//! for a refused request, `X TEXT` for something that must not happen, `done` after an orderly end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use stockade::{Caller, CloseReason, Engine, OrderStatus, OrderType, Receipt, Reject};
use tokio::task::JoinSet;

use crate::acked::Fact;
use crate::cli::{CrashChildArgs, EngineArgs};
use crate::plan::{Conduct, Plan};
use crate::process::{die_with_parent, say};
use crate::scenarios::crash::{SKUS, plan};
use crate::{Failure, buyer, shop};

/// Unpaid orders close after so many ms.
const AUTO_CLOSE_MS: u32 = 100;
/// A started payment has so many ms more.
const PAYMENT_GRACE_MS: u64 = 200;
/// How long after its deadline it is looked whether an order is closed.
const CLOSED_AFTER: Duration = Duration::from_millis(30);
/// One paid order in so many is delivered at once.
const DELIVERED_EVERY: u64 = 5;
/// Units of each SKU: more than any number of rounds can sell.
const UNITS: u64 = 1 << 38;

/// An engine and what its buyers share.
struct Child {
    engine: Engine,
    plan: Plan,
    next: AtomicU64,
    stop: AtomicBool,
}

pub(crate) async fn run(args: CrashChildArgs) -> Result<(), Failure> {
    die_with_parent();
    let engine_args = EngineArgs { durability: args.durability, order_actors: None, data: None };
    let config = shop::config(&args.data, &engine_args, 1 << 16)
        .auto_close_ms(OrderType::Normal, AUTO_CLOSE_MS)
        .payment_grace_ms(PAYMENT_GRACE_MS);
    let engine = Engine::open(config).await?;
    shop::stock(&engine, SKUS, 0, |_sku| UNITS).await?;
    let metrics = engine.metrics();
    say(&format!("ready {} {}", metrics.recovered_events, metrics.recovery_ms));

    let child = Arc::new(Child {
        engine,
        plan: plan(args.seed),
        next: AtomicU64::new(args.first),
        stop: AtomicBool::new(false),
    });
    let retries = Arc::new(AtomicU64::new(args.retry_from));
    let mut tasks = JoinSet::new();
    for _ in 0..args.clients {
        let (child, retries) = (Arc::clone(&child), Arc::clone(&retries));
        tasks.spawn(async move {
            // Repetitions first, shared among all.
            loop {
                let n = retries.fetch_add(1, Ordering::Relaxed);
                if n >= args.retry_to {
                    break;
                }
                child.serve(n).await;
            }
            while !child.stop.load(Ordering::Relaxed) {
                child.serve(child.next.fetch_add(1, Ordering::Relaxed)).await;
            }
        });
    }
    let Some(stop_after_ms) = args.stop_after_ms else {
        while tasks.join_next().await.is_some() {}
        return Ok(());
    };
    tokio::time::sleep(Duration::from_millis(stop_after_ms)).await;
    child.stop.store(true, Ordering::Relaxed);
    while let Some(finished) = tasks.join_next().await {
        finished?;
    }
    child.engine.shutdown().await?;
    say("done");
    Ok(())
}

impl Child {
    /// Serves the n-th buyer, also when it was done before, in part or whole.
    async fn serve(self: &Arc<Self>, n: u64) {
        match shop::submit(&self.engine, &self.plan, n).await {
            Ok(receipt) => {
                note(n, &receipt, Fact::Placed);
                self.conclude(n, &receipt).await;
            }
            Err(reject) => say(&format!("E {n} {}", reject.code())),
        }
    }

    async fn conclude(self: &Arc<Self>, n: u64, receipt: &Receipt) {
        let conduct = self.plan.conduct(n);
        let noted = |fact| note(n, receipt, fact);
        match buyer::conclude(&self.engine, &self.plan, n, conduct, receipt, noted).await {
            Ok(()) => {}
            // A repeated request finds its order further on, and a slow one finds it closed.
            Err(Reject::WrongStatus { .. } | Reject::OrderOverdue { .. }) => return,
            Err(reject) => return say(&format!("X buyer {n} could not {conduct:?}: {}", reject.code())),
        }
        match conduct {
            Conduct::Pay | Conduct::StartAndPay if n.is_multiple_of(DELIVERED_EVERY) => {
                match buyer::deliver(&self.engine, &self.plan, n, receipt, noted).await {
                    // A late payment may be a refund's, and then there is nothing to deliver.
                    Ok(()) | Err(Reject::WrongStatus { .. }) => {}
                    Err(reject) => say(&format!("X order of buyer {n} is not delivered: {}", reject.code())),
                }
            }
            Conduct::WalkAway => {
                let (child, receipt) = (Arc::clone(self), *receipt);
                tokio::spawn(async move { child.watch_timeout(n, receipt).await });
            }
            Conduct::Pay | Conduct::StartAndPay | Conduct::Cancel => {}
        }
    }

    /// Looks at an unpaid order once it should be closed: what a query has shown can't be taken back either (R4).
    async fn watch_timeout(&self, n: u64, receipt: Receipt) {
        let left = Duration::from_millis(receipt.deadline_ms.saturating_sub(self.engine.now_ms()));
        tokio::time::sleep(left + CLOSED_AFTER).await;
        let Ok(order) = self.engine.order(Caller::Operator, receipt.order_no).await else { return };
        if order.status == OrderStatus::Cancelled && order.close_reason == Some(CloseReason::Timeout) {
            note(n, &receipt, Fact::TimedOut);
        }
    }
}

fn note(n: u64, receipt: &Receipt, fact: Fact) {
    say(&format!("{} {n} {}", fact.letter(), receipt.order_no));
}
