//! The engine that `crash` kills: opens the data directory, repeats the requests that its predecessor may have left
//! unanswered, then serves buyers until it dies, and says a line for every acknowledgement after it got it.
//!
//! Checkpoints are small and frequent, and closed orders leave memory as soon as they may, so that store and trimming
//! are always at work.
//!
//! Its lines: `ready EVENTS MS STORED FIRST` once it is open, `LETTER N ORDER` for a fact about the order of buyer N,
//! `V N LETTERS` for all that an order of long ago shows, `E N CODE` for a refused request, `X TEXT` for something that
//! must not happen, `now` when what was asked for has begun, `end HASH CHECKPOINTS EVICTED READS STORED FIRST` before an
//! orderly end, `done` after it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use stockade::{Caller, CloseReason, Engine, Metrics, OrderStatus, OrderType, Receipt, Reject};
use tokio::task::JoinSet;

use crate::acked::{Fact, shown};
use crate::cli::{CrashChildArgs, EngineArgs, SignalArg};
use crate::plan::{Conduct, Plan};
use crate::process::{die_with_parent, say};
use crate::scenarios::crash::{SKUS, plan};
use crate::shop::patiently;
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

/// Closed orders leave memory so soon, in ms: the least that an engine allows.
const RETAIN_CLOSED_MS: u64 = 1_000;
/// Beyond so many closed orders in memory, the oldest leave first.
const CLOSED_HOT_MAX: usize = 64;
/// How often it is looked whether a signal is due.
const SIGNAL_POLL: Duration = Duration::from_micros(50);
/// How long before an orderly end nobody asks for anything: every unpaid order is closed by then, and those that were
/// closed have left memory.
const SETTLE: Duration =
    Duration::from_millis(AUTO_CLOSE_MS as u64 + PAYMENT_GRACE_MS + RETAIN_CLOSED_MS + 600);

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
        .payment_grace_ms(PAYMENT_GRACE_MS)
        .checkpoint_interval_ms(args.checkpoint_interval_ms)
        .checkpoint_events_max(args.checkpoint_events_max)
        .retain_closed_ms(RETAIN_CLOSED_MS)
        .idempotency_hot_max(CLOSED_HOT_MAX)
        .journal_keep_min_bytes(if args.keep_journal { u64::MAX } else { 0 });
    let engine = Engine::open(config).await?;
    shop::stock(&engine, SKUS, 0, |_sku| UNITS).await?;
    let metrics = engine.metrics();
    let Metrics { recovered_events, recovery_ms, stored, journal_first, .. } = &metrics;
    say(&format!("ready {recovered_events} {recovery_ms} {stored} {journal_first}"));
    match args.signal {
        Some(SignalArg::Backup) => {
            tokio::spawn(make_backups(engine.clone(), backup_of(&args.data), args.signal_nth));
        }
        Some(signal) => give_signal(engine.clone(), signal, args.signal_nth),
        None => {}
    }

    let child = Arc::new(Child {
        engine,
        plan: plan(args.seed),
        next: AtomicU64::new(args.first),
        stop: AtomicBool::new(false),
    });
    let retries = Arc::new(AtomicU64::new(args.retry_from));
    let mut tasks = JoinSet::new();
    let (asking, again) = (Arc::clone(&child), args.again.clone());
    tasks.spawn(async move {
        for n in again {
            asking.serve_again(n).await;
        }
    });
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
    tokio::time::sleep(SETTLE).await;
    let hash = child.engine.state_hash().await?.hash;
    let Metrics { checkpoints, evicted, store_reads, stored, journal_first, store_failure, .. } =
        child.engine.metrics();
    if let Some(failure) = store_failure {
        say(&format!("X the store has stopped: {failure}"));
    }
    child.engine.shutdown().await?;
    say(&format!("end {hash:016x} {checkpoints} {evicted} {store_reads} {stored} {journal_first}"));
    say("done");
    Ok(())
}

/// Where the backups of an engine go: beside its data directory.
pub(crate) fn backup_of(data: &Path) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push("-backup");
    data.with_file_name(name)
}

/// Makes one backup after the other, and says `now` when they have told of their progress for the `nth` time.
async fn make_backups(engine: Engine, to: PathBuf, nth: u64) {
    let told = Arc::new(AtomicU64::new(0));
    let done = to.with_extension("done");
    loop {
        // A directory that is not empty is no target. Moved away first: killed while it is removed, this process must not
        // leave behind what looks like a backup with files missing.
        let _ = std::fs::remove_dir_all(&done);
        let _ = std::fs::rename(&to, &done);
        let _ = std::fs::remove_dir_all(&done);
        let told = Arc::clone(&told);
        let progress = move |_bytes| {
            if told.fetch_add(1, Ordering::Relaxed) + 1 == nth {
                say("now");
            }
        };
        if let Err(error) = engine.backup_with(&to, progress).await {
            return say(&format!("X a backup failed: {error}"));
        }
    }
}

/// Says `now` as soon as the engine shows that what is waited for has begun for the `nth` time.
fn give_signal(engine: Engine, signal: SignalArg, nth: u64) {
    let seen = move || {
        let Metrics { checkpoints, journal_first, .. } = engine.metrics();
        match signal {
            SignalArg::Checkpoint => checkpoints,
            SignalArg::Trim => journal_first.0,
            SignalArg::Backup => 0,
        }
    };
    std::thread::spawn(move || {
        let (mut last, mut times) = (seen(), 0);
        while times < nth {
            std::thread::sleep(SIGNAL_POLL);
            let now = seen();
            times += u64::from(now != last);
            last = now;
        }
        say("now");
    });
}

impl Child {
    /// Repeats a request of long ago, and shows everything that its order shows: it must be what was acknowledged.
    async fn serve_again(self: &Arc<Self>, n: u64) {
        let Ok(receipt) = shop::submit(&self.engine, &self.plan, n).await else {
            // Told like any other refusal of a request that has an order.
            return self.serve(n).await;
        };
        note(n, &receipt, Fact::Placed);
        match patiently(|| self.engine.order(Caller::Operator, receipt.order_no)).await {
            Ok(view) => {
                let letters: String =
                    shown(&view.timeline, view.close_reason).map(|fact| fact.letter()).collect();
                say(&format!("V {n} {}{letters}", Fact::Placed.letter()));
            }
            Err(reject) => say(&format!("X order of buyer {n} is not shown: {}", reject.code())),
        }
        self.conclude(n, &receipt).await;
    }

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
