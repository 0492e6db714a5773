//! The delay queue in the store: tasks outlive the journal that they were written to.

use std::path::Path;

use stockade::audit::AuditReport;
use stockade::audit::verify::{VerifyError, VerifyOptions, verify};
use stockade::journal::{DataDir, JournalError};
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{DelayQueue, Engine, NackOutcome, NewTask, PopOutcome, Position, TASK_BODY_BYTES_MAX};

use crate::support::*;

const TOPIC: &str = "mails";

/// An engine with a store on a data directory, whose journal is let go as soon as it may.
struct Mailer {
    engine: Engine,
    clock: Clock,
    time: ManualTime,
}

impl Mailer {
    async fn open(path: &Path) -> Self {
        let (clock, time) = Clock::manual(START_MS);
        Self::open_by(path, clock, time).await
    }

    async fn open_by(path: &Path, clock: Clock, time: ManualTime) -> Self {
        let config = config_in(path, &clock).checkpoint_interval_ms(1).journal_keep_min_bytes(0);
        Self { engine: Engine::open(config).await.unwrap(), clock, time }
    }

    fn queue(&self) -> DelayQueue {
        self.engine.delay()
    }

    /// Lets the store take in everything that is durable.
    async fn checkpoint(&self) {
        let last = self.engine.metrics().appended;
        self.wait_until(|engine| engine.metrics().stored >= last).await;
    }

    /// Two checkpoints after this the journal begins behind it.
    async fn trim(&self) {
        let first = self.engine.metrics().appended;
        for n in 0..3 {
            self.queue().push("trim", NewTask::new(n.to_string(), "")).await.unwrap();
            self.checkpoint().await;
        }
        self.queue().pop_batch("trim", 3).await.unwrap();
        self.wait_until(|engine| engine.metrics().journal_first > first).await;
    }

    async fn wait_until(&self, holds: impl Fn(&Engine) -> bool) {
        answered(async {
            while !holds(&self.engine) {
                assert_eq!(self.engine.metrics().store_failure, None);
                // Checkpoints take real time, and are called for by the clock. No task is due by it.
                self.time.advance(1);
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
    }

    async fn end(self, path: &Path, in_order: bool) -> (Clock, ManualTime) {
        if in_order {
            answered(self.engine.shutdown()).await.unwrap();
        }
        let Self { engine, clock, time } = self;
        drop(engine);
        until(|| !matches!(DataDir::open(path), Err(JournalError::InUse { .. }))).await;
        (clock, time)
    }
}

/// The audit of a directory. An engine that was dropped may hold on to its files for a moment.
async fn audited(path: &Path) -> AuditReport {
    let look = || verify(path, VerifyOptions::new());
    until(|| !matches!(look(), Err(VerifyError::InUse { .. }))).await;
    let report = look().unwrap();
    assert!(report.passed(), "{:?}", report.violations);
    report
}

async fn fill(queue: &DelayQueue) {
    let hour_ms = 3_600_000;
    for (id, len) in [("large", TASK_BODY_BYTES_MAX), ("small", 10)] {
        queue.push(TOPIC, NewTask::new(id, vec![3; len]).delay_ms(hour_ms)).await.unwrap();
    }
    let tasks = (0..300).map(|n| NewTask::new(format!("n{n}"), vec![4; 300]).attempts_max(1));
    queue.push_batch(TOPIC, tasks.collect()).await.unwrap();
    queue.pop_batch(TOPIC, 100).await.unwrap();
    let reserved = queue.reserve(TOPIC, 100, hour_ms).await.unwrap().tasks();
    for reserved in &reserved[..50] {
        queue.ack(TOPIC, reserved.task.id.as_str(), reserved.reservation).await.unwrap();
    }
    for reserved in &reserved[50..60] {
        let nacked = queue.nack(TOPIC, reserved.task.id.as_str(), reserved.reservation, 0).await;
        assert_eq!(nacked, Ok(NackOutcome::DeadLettered));
    }
    queue.reschedule(TOPIC, "n250", hour_ms / 2).await.unwrap();
}

#[tokio::test]
async fn r7_tasks_outlive_the_journal_they_were_written_to() {
    for in_order in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mailer = Mailer::open(dir.path()).await;
        fill(&mailer.queue()).await;
        mailer.trim().await;
        // The tail behind the last checkpoint.
        mailer.queue().remove(TOPIC, "small").await.unwrap();
        mailer.queue().push(TOPIC, NewTask::new("tail", vec![5; 40_000]).delay_ms(3_600_000)).await.unwrap();
        let hash = mailer.engine.state_hash().await.unwrap().hash;
        let before = mailer.queue().topics().await.unwrap();
        let letters = mailer.queue().dead_letters(TOPIC, None, 100).await.unwrap();
        assert_eq!(letters.len(), 10);

        let (clock, time) = mailer.end(dir.path(), in_order).await;
        let report = audited(dir.path()).await;
        assert!(report.first_position > Position(1), "nothing was trimmed");
        assert_eq!((report.tasks.reserved, report.tasks.dead_letters, report.tasks.pending), (40, 10, 102));
        assert!(report.store.unwrap().tasks >= 150, "{:?}", report.store);

        let mailer = Mailer::open_by(dir.path(), clock, time).await;
        assert_eq!(mailer.engine.state_hash().await.unwrap().hash, hash, "in order: {in_order}");
        assert_eq!(mailer.queue().topics().await.unwrap(), before);
        assert_eq!(mailer.queue().dead_letters(TOPIC, None, 100).await.unwrap(), letters);
        mailer.time.advance(4_000_000);
        let popped = mailer.queue().pop_batch(TOPIC, 1_000).await.unwrap().tasks();
        let body = |id: &str| &*popped.iter().find(|task| task.id.as_str() == id).unwrap().body;
        assert!(*body("large") == vec![3; TASK_BODY_BYTES_MAX] && *body("tail") == vec![5; 40_000]);
        answered(mailer.engine.shutdown()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_done_leaves_the_store_and_stays_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mailer = Mailer::open(dir.path()).await;
    fill(&mailer.queue()).await;
    mailer.checkpoint().await;
    mailer.time.advance(4_000_000);
    let queue = mailer.queue();
    // What is reserved had one attempt, and is dead now.
    while let PopOutcome::Popped(_) = queue.pop_batch(TOPIC, 1_000).await.unwrap() {}
    for letter in queue.dead_letters(TOPIC, None, 1_000).await.unwrap() {
        queue.discard(TOPIC, letter.task.id.as_str()).await.unwrap();
    }
    assert_eq!(queue.topics().await.unwrap(), []);
    drop(queue);
    mailer.trim().await;
    mailer.checkpoint().await;
    let (clock, time) = mailer.end(dir.path(), true).await;
    let report = audited(dir.path()).await;
    assert_eq!((report.tasks.pending, report.store.unwrap().tasks), (0, 0));
    let mailer = Mailer::open_by(dir.path(), clock, time).await;
    assert_eq!(mailer.engine.metrics().tasks, 0);
    // Sequence numbers go on, so that no old reservation names a new task.
    mailer.queue().push(TOPIC, NewTask::new("n1", "")).await.unwrap();
    let reserved = mailer.queue().reserve(TOPIC, 1, 10).await.unwrap().tasks().remove(0);
    let seq: u64 = reserved.reservation.to_string().split('-').next().unwrap().parse().unwrap();
    assert!(seq > 302, "{seq}");
    answered(mailer.engine.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_whole_journal_and_the_store_agree_on_every_task() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, time) = Clock::manual(START_MS);
    let config = config_in(dir.path(), &clock).checkpoint_interval_ms(1);
    let mailer = Mailer { engine: Engine::open(config).await.unwrap(), clock, time };
    fill(&mailer.queue()).await;
    mailer.checkpoint().await;
    mailer.end(dir.path(), true).await;
    let report = audited(dir.path()).await;
    assert!(report.store.unwrap().compared_with_replay);
    assert_eq!((report.tasks.popped, report.tasks.acked, report.tasks.pushed), (100, 50, 302));
}
