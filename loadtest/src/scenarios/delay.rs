//! The delay queue: how fast tasks go in and out, how much memory a pending one takes, and how soon a blocked pop has its
//! task after the task's deadline. Ends with an audit that counts every task.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stockade::audit::verify::{VerifyOptions, verify};
use stockade::{DelayQueue, Engine, NewTask, PopOutcome, PushOutcome};
use tokio::task::JoinSet;

use crate::cli::DelayArgs;
use crate::latency::Latencies;
use crate::place::Place;
use crate::progress::Follower;
use crate::report::{Report, per_second, rounded};
use crate::{Failure, machine, shop, store};

/// The topic of all tasks but those that wake somebody.
const TOPIC: &str = "load";
/// Delays of the tasks that wake somebody, in ms: from the first to the second.
const WAKE_DELAYS_MS: Range<u64> = 5..25;
/// Longest time that a blocked pop waits, in ms: its task is lost then.
const WAIT_MS: u64 = 60_000;
/// Bytes of events that durability `memory` keeps, small beside what is measured.
const MEMORY_JOURNAL_BYTES: usize = 1 << 20;
/// Bytes of large bodies that one credit of the engine stands for.
const CREDIT_BYTES: u64 = 4 << 10;

pub(crate) async fn run(args: DelayArgs) -> Result<Report, Failure> {
    let durability = args.engine.durability;
    let place = Place::new(args.engine.data.as_deref())?;
    let task_bytes = args.body + 64;
    let in_flight = args.clients * args.batch * (1 + task_bytes / CREDIT_BYTES) + args.waiters;
    let config = shop::config(place.path(), &args.engine, in_flight)
        .memory_journal_bytes_max(MEMORY_JOURNAL_BYTES)
        .store(args.store.store)
        .tasks_max(usize::try_from(args.tasks + args.waiters)?)
        .task_bytes_max((args.tasks + args.waiters) * task_bytes)
        .task_batch_max(usize::try_from(args.batch)?);
    let engine = Engine::open(config).await?;
    let mut report = Report::new("delay", durability.name(), place.path());
    report.set("tasks", args.tasks);
    report.set("batch", args.batch);
    report.set("clients", args.clients);
    report.set("body_bytes", args.body);
    report.set("ready_ttl_ms", args.ready_ttl_ms);

    let before = engine.metrics();
    let resident_before = machine::resident_bytes();
    let started = Instant::now();
    push_all(&engine, &args).await?;
    report.set("pushes_per_s", per_second(args.tasks, started.elapsed()));
    let pushed = engine.metrics();
    report.set("commits", pushed.commits - before.commits);
    let journal_bytes = pushed.journal_bytes - before.journal_bytes;
    report.set("journal_bytes_per_task", rounded(journal_bytes as f64 / args.tasks as f64));
    // Memory at durability `memory` is the queue's alone; otherwise journal, store and their caches are in it.
    if let (Some(before), Some(after)) = (resident_before, machine::resident_bytes()) {
        let per_task = after.saturating_sub(before) as f64 / args.tasks as f64;
        report.set("resident_mib_added", after.saturating_sub(before) >> 20);
        report.set("resident_bytes_per_task_beyond_body", rounded(per_task - args.body as f64));
    }

    let due_ms = engine.now_ms() + args.spread_ms;
    while engine.now_ms() < due_ms {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let started = Instant::now();
    let popped = pop_all(&engine, &args).await?;
    report.set("pops_per_s", per_second(popped, started.elapsed()));
    if popped != args.tasks {
        report.add_problem(|| format!("{} tasks were pushed and {popped} popped", args.tasks));
    }

    let latencies = Arc::new(Latencies::new());
    wake_all(&engine, &args, &latencies).await?;
    let wakes = latencies.percentiles();
    if let Some(wakes) = wakes {
        report.set("wake_up_us", wakes.json());
        if let Some(expected_us) = args.expect_wake_p99_us.filter(|us| wakes.p99_us > *us as f64) {
            report.add_problem(|| format!("the 99th percentile of wake-ups is above {expected_us} µs"));
        }
    }
    if args.store.store && durability.leaves_a_journal() {
        let lag_ms = engine.metrics().store_lag_ms;
        report.set_drain(lag_ms, store::drain(&engine).await);
    }
    engine.shutdown().await?;
    drop(engine);
    if durability.leaves_a_journal() {
        audit(&place, &args, &mut report)?;
    }
    Ok(report)
}

/// Every task that was acknowledged is in the journal, once, and gone.
fn audit(place: &Place, args: &DelayArgs, report: &mut Report) -> Result<(), Failure> {
    // Nobody else has the directory, so it needs no copy.
    let audited = verify(place.path(), VerifyOptions::new().in_place(true))?;
    for violation in &audited.violations {
        report.add_problem(|| violation.to_string());
    }
    let (tasks, expected) = (audited.tasks, args.tasks + args.waiters * args.wakes);
    if (tasks.pushed, tasks.popped, tasks.pending, tasks.expired) != (expected, expected, 0, 0) {
        report.add_problem(|| format!("{expected} tasks came and went, the journal has {tasks:?}"));
    }
    report.set("audited_events", audited.events);
    report.set("audit", if audited.passed() && report.passed() { "pass" } else { "fail" });
    Ok(())
}

async fn push_all(engine: &Engine, args: &DelayArgs) -> Result<(), Failure> {
    let done = Arc::new(AtomicU64::new(0));
    let bar = Follower::start("pushed", args.tasks, Arc::clone(&done));
    let mut clients = JoinSet::new();
    for client in 0..args.clients {
        let share = client * args.tasks / args.clients..(client + 1) * args.tasks / args.clients;
        clients.spawn(push_share(engine.delay(), args.clone(), share, Arc::clone(&done)));
    }
    while let Some(finished) = clients.join_next().await {
        finished??;
    }
    drop(bar);
    Ok(())
}

async fn push_share(
    queue: DelayQueue,
    args: DelayArgs,
    share: Range<u64>,
    done: Arc<AtomicU64>,
) -> Result<(), Failure> {
    let body = vec![b'x'; usize::try_from(args.body)?];
    let mut next = share.start;
    while next < share.end {
        let batch = next..share.end.min(next + args.batch);
        next = batch.end;
        let len = batch.end - batch.start;
        let task = |n: u64| {
            // Scattered, but the same in each run.
            let delay_ms = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % args.spread_ms;
            NewTask::new(format!("task-{n:012}"), &body).delay_ms(delay_ms).ready_ttl_ms(args.ready_ttl_ms)
        };
        let outcomes = queue.push_batch(TOPIC, batch.map(task).collect()).await?;
        if outcomes.contains(&PushOutcome::DuplicateId) {
            return Err("a task was there before it was pushed".into());
        }
        done.fetch_add(len, Ordering::Relaxed);
    }
    Ok(())
}

async fn pop_all(engine: &Engine, args: &DelayArgs) -> Result<u64, Failure> {
    let len_max = usize::try_from(args.batch)?;
    let done = Arc::new(AtomicU64::new(0));
    let bar = Follower::start("popped", args.tasks, Arc::clone(&done));
    let mut clients = JoinSet::new();
    for _ in 0..args.clients {
        let (queue, done) = (engine.delay(), Arc::clone(&done));
        clients.spawn(async move {
            while let PopOutcome::Popped(tasks) = queue.pop_batch(TOPIC, len_max).await? {
                done.fetch_add(tasks.len() as u64, Ordering::Relaxed);
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(finished) = clients.join_next().await {
        finished??;
    }
    drop(bar);
    Ok(done.load(Ordering::Relaxed))
}

/// Every waiter pushes a task that is due a little later, and blocks until it has it. Late is what lies between the
/// instant at which the engine's clock reached the task's deadline and the answer, which waits for the journal.
async fn wake_all(engine: &Engine, args: &DelayArgs, latencies: &Arc<Latencies>) -> Result<(), Failure> {
    let (zero, zero_ms) = instant_of(engine);
    let mut waiters = JoinSet::new();
    for waiter in 0..args.waiters {
        let (queue, latencies, wakes) = (engine.delay(), Arc::clone(latencies), args.wakes);
        waiters.spawn(async move {
            let topic = format!("waiter-{waiter}");
            let span_ms = WAKE_DELAYS_MS.end - WAKE_DELAYS_MS.start;
            for n in 0..wakes {
                let delay_ms = WAKE_DELAYS_MS.start + (n * 7 + waiter * 3) % span_ms;
                let outcome = queue.push(&topic, NewTask::new("wake", "").delay_ms(delay_ms)).await?;
                let PushOutcome::Pushed { due_ms } = outcome else { return Err("it is still there".into()) };
                let found = queue.bpop(&topic, WAIT_MS).await?;
                let late = zero.elapsed().saturating_sub(Duration::from_millis(due_ms - zero_ms));
                if found.task().is_none() {
                    return Err(format!("a blocked pop has waited {WAIT_MS} ms for nothing").into());
                }
                latencies.record(waiter, late);
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(finished) = waiters.join_next().await {
        finished??;
    }
    Ok(())
}

/// An instant, to the microsecond, at which the engine's clock has gone on to this millisecond.
fn instant_of(engine: &Engine) -> (Instant, u64) {
    let before_ms = engine.now_ms();
    loop {
        let now_ms = engine.now_ms();
        if now_ms > before_ms {
            return (Instant::now(), now_ms);
        }
        std::hint::spin_loop();
    }
}
