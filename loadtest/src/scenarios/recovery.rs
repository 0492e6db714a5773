//! How fast a journal is recovered, and that replay equals life (R7): the state hash is the same after the restart,
//! and with another number of order actors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stockade::{Engine, StateHash};
use tokio::task::JoinSet;

use crate::acked::{Ack, AckList, Acknowledged, Fact, Problems};
use crate::cli::{EngineArgs, RecoveryArgs};
use crate::place::Place;
use crate::plan::{Baskets, Conduct, Plan};
use crate::progress::Follower;
use crate::report::{Report, Tally};
use crate::{Failure, audit, buyer, machine, shop};

/// SKUs that are sold.
const SKUS: u64 = 10;
/// Clients that write the journal.
const CLIENTS: u64 = 64;
/// Orders that each has under way.
const BATCH: u64 = 256;

pub(crate) async fn run(args: RecoveryArgs) -> Result<Report, Failure> {
    let durability = args.engine.durability;
    if !durability.leaves_a_journal() {
        return Err("durability memory leaves nothing to recover".into());
    }
    let place = Place::new(args.engine.data.as_deref())?;
    let config = |engine: &EngineArgs| shop::config(place.path(), engine, CLIENTS * BATCH);
    let engine = Engine::open(config(&args.engine)).await?;
    shop::stock(&engine, SKUS, 0, |_sku| args.orders).await?;
    let plan = Plan { seed: 1, skus: SKUS, baskets: Baskets::Plain { lines: 1 } };
    let before = engine.metrics();
    let (tally, acks, elapsed) = write_journal(&engine, plan, args.orders).await?;
    let written = engine.metrics();
    let lived = engine.state_hash().await?;
    engine.shutdown().await?;
    // The directory is in use for as long as anybody holds the engine.
    drop(engine);

    let mut report = Report::new("recovery", durability.name(), place.path());
    report.set_orders(&tally, elapsed);
    report.set_journal(&before, &written);
    report.set("state_hash", format!("{:016x}", lived.hash));
    let mut problems = Problems::default();
    let usual = args.engine.order_actors.unwrap_or_else(machine::cores);
    let mut lived = lived;
    for order_actors in [usual, usual + 1] {
        let again = EngineArgs { order_actors: Some(order_actors), ..args.engine.clone() };
        let engine = Engine::open(config(&again)).await?;
        if order_actors == usual {
            report.set_recovery(&engine.metrics());
        }
        lived = compare(&engine, lived, order_actors, &mut problems).await?;
        engine.shutdown().await?;
        drop(engine);
    }
    let mut acknowledged = Acknowledged::new(plan);
    acknowledged.extend(acks);
    let audited = audit::audit(place.path(), true, &mut acknowledged)?;
    report.set_audit(audited);
    report.add_problems(problems);
    Ok(report)
}

/// Compares the state that was recovered with the one that was lived. Opening reserves a range of order numbers, which
/// is an event of its own: it moves the position and must not move the hash.
async fn compare(
    engine: &Engine,
    lived: StateHash,
    order_actors: usize,
    problems: &mut Problems,
) -> Result<StateHash, Failure> {
    let recovered = engine.state_hash().await?;
    if recovered.hash != lived.hash {
        problems.add(|| {
            format!(
                "with {order_actors} order actors the state hash is {:016x} at position {}, before it was {:016x} at {}",
                recovered.hash, recovered.position, lived.hash, lived.position
            )
        });
    }
    Ok(recovered)
}

/// Writes a journal of so many orders: every fourth is paid, every eighth cancelled.
async fn write_journal(
    engine: &Engine,
    plan: Plan,
    orders: u64,
) -> Result<(Tally, AckList, Duration), Failure> {
    let done = Arc::new(AtomicU64::new(0));
    let bar = Follower::start("orders", orders, Arc::clone(&done));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for client in 0..CLIENTS {
        let share = client * orders / CLIENTS..(client + 1) * orders / CLIENTS;
        let (engine, done) = (engine.clone(), Arc::clone(&done));
        tasks.spawn(async move {
            let (mut tally, mut acks) = (Tally::default(), AckList::new());
            let mut next = share.start;
            while next < share.end {
                let batch = next..share.end.min(next + BATCH);
                next = batch.end;
                let len = batch.end - batch.start;
                for (n, result) in shop::submit_batch(&engine, &plan, batch).await {
                    tally.note(&result);
                    let Ok(receipt) = result else { continue };
                    let order_no = receipt.order_no;
                    acks.push(Ack { order_no, n, fact: Fact::Placed });
                    let conduct = match n % 8 {
                        0 | 4 => Conduct::Pay,
                        2 => Conduct::Cancel,
                        _ => continue,
                    };
                    let note = |fact| acks.push(Ack { order_no, n, fact });
                    buyer::conclude(&engine, &plan, n, conduct, &receipt, note).await?;
                }
                done.fetch_add(len, Ordering::Relaxed);
            }
            Ok::<_, stockade::Reject>((tally, acks))
        });
    }
    let (mut tally, mut acks) = (Tally::default(), AckList::new());
    while let Some(finished) = tasks.join_next().await {
        let (part, list) = finished??;
        tally.add(part);
        acks.extend(list);
    }
    drop(bar);
    Ok((tally, acks, started.elapsed()))
}
