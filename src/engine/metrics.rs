//! Metrics: a snapshot of counters and gauges.

use std::sync::atomic::{AtomicU64, Ordering};

use super::store::{StoreBoard, StoreHandle};
use super::{Engine, Inner};
use crate::domain::ids::Position;
use crate::journal::{Durability, JournalFigures};
use crate::runtime::histogram::Histogram;
use crate::runtime::shutdown::GateState;

/// Whether the engine takes commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Open,
    /// It finishes what is under way and takes nothing new.
    Draining,
    /// It is closed.
    Closed,
    /// It failed and waits for a restart (R13).
    Poisoned {
        /// The first failure.
        reason: String,
    },
}

/// Counters since the engine was opened, and gauges of this moment. The figures are read one after the other, so they
/// may be a round apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Whether the engine takes commands.
    pub health: Health,
    /// Orders placed.
    pub accepted: u64,
    /// Submissions refused as sold out, at the door or by a stock actor.
    pub sold_out: u64,
    /// Of these, refused at the door without a message.
    pub sold_out_at_door: u64,
    /// Submissions refused for a purchase limit.
    pub limited: u64,
    /// Repeated requests that got the first answer.
    pub duplicates: u64,
    /// Submissions refused for what they say.
    pub invalid: u64,
    /// Commands refused at a bound.
    pub overloaded: u64,
    /// Orders closed by their timer.
    pub expired: u64,
    /// How late the timers were that fired last, at most over the order actors, in ms.
    pub expiry_lag_ms: u64,
    /// Age of the oldest refund that somebody still has to do something about, in ms; 0 without one.
    pub refund_oldest_ms: u64,
    /// Orders in memory.
    pub orders: u64,
    /// Orders that are neither completed nor cancelled.
    pub open_orders: u64,
    /// Timers pending.
    pub timers_pending: u64,
    /// Orders that are collecting their lines at this moment.
    pub collecting: u64,
    /// Commands under way.
    pub in_flight: u64,
    /// Asynchronous submits whose outcome is kept, those under way included.
    pub promises: u64,
    /// Live tasks of the delay queue, dead letters included.
    pub tasks: u64,
    /// Topics that have tasks.
    pub task_topics: u64,
    /// Size of the tasks' ids and bodies, in bytes.
    pub task_bytes: u64,
    /// Callers who wait for a task.
    pub task_waiters: u64,
    /// Stock keys with an actor awake.
    pub stock_actors: u64,
    /// Last position given out.
    pub appended: Position,
    /// Last position whose answers may leave.
    pub acknowledged: Position,
    /// Last position that survives a power cut.
    pub durable: Position,
    /// Commits of the journal.
    pub commits: u64,
    /// Times the journal was synced.
    pub syncs: u64,
    /// Events written.
    pub events: u64,
    /// Bytes written to the journal, headers included.
    pub journal_bytes: u64,
    /// Events of each commit.
    pub commit_events: Histogram,
    /// Bytes of each commit, headers included.
    pub commit_bytes: Histogram,
    /// How long each sync of the journal took, in µs.
    pub sync_us: Histogram,
    /// For each sync, how long the entry that had waited longest for it had waited since its append, in µs: what
    /// durability adds to the slowest answer of a commit.
    pub durable_us: Histogram,
    /// Bytes on their way to the journal.
    pub journal_queued_bytes: u64,
    /// Last position that the store has taken in; 0 without a store.
    pub stored: Position,
    /// Age of the oldest durable event that the store has not taken in, in ms; 0 while it is up to date.
    pub store_lag_ms: u64,
    /// Checkpoints made.
    pub checkpoints: u64,
    /// Bytes that checkpoints and the store's merging have written.
    pub store_written_bytes: u64,
    /// Size of the store on the disk, in bytes.
    pub store_disk_bytes: u64,
    /// Size of the journal on the disk, in bytes.
    pub journal_disk_bytes: u64,
    /// First position that the journal still has.
    pub journal_first: Position,
    /// Why the store has stopped, if it has: orders go on, the journal is no longer trimmed.
    pub store_failure: Option<String>,
    /// Completed and cancelled orders that left memory.
    pub evicted: u64,
    /// Orders that moved to cold files.
    pub archived: u64,
    /// Orders, payments and requests looked up in the store.
    pub store_reads: u64,
    /// Events that recovery replayed when the engine was opened.
    pub recovered_events: u64,
    /// How long recovery took, in ms.
    pub recovery_ms: u64,
    /// Wall time minus engine time in ms, while that is beyond `clock_step_max_ms`.
    pub clock_drift_ms: Option<i64>,
    /// Whether the disk is below its reserve.
    pub disk_is_low: bool,
}

impl Engine {
    /// What an acknowledged command survives, as configured.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// assert_eq!(engine.durability(), Durability::Memory);
    /// # Ok(())
    /// # }
    /// ```
    pub fn durability(&self) -> Durability {
        self.inner.settings.durability
    }
}

impl Inner {
    pub(crate) fn metrics(&self) -> Metrics {
        let delay = self.delay.board.counts();
        let mut refund_since_ms = u64::MAX;
        let mut sums = crate::actors::order::actor::OrderCounts::default();
        for board in &self.boards {
            let counts = board.counts();
            sums.orders += counts.orders;
            sums.open += counts.open;
            sums.accepted += counts.accepted;
            sums.sold_out += counts.sold_out;
            sums.limited += counts.limited;
            sums.duplicates += counts.duplicates;
            sums.expired += counts.expired;
            sums.timers += counts.timers;
            sums.collecting += counts.collecting;
            sums.evicted += counts.evicted;
            sums.expiry_lag_ms = sums.expiry_lag_ms.max(counts.expiry_lag_ms);
            if counts.refund_since_ms > 0 {
                refund_since_ms = refund_since_ms.min(counts.refund_since_ms);
            }
        }
        let journal = self.journal.stats();
        let JournalFigures { commit_events, commit_bytes, sync_us, durable_us } = self.journal.figures();
        let store = self.store.as_ref();
        let of_store = |counter: fn(&StoreBoard) -> &AtomicU64| {
            store.map_or(0, |store| counter(&store.board).load(Ordering::Relaxed))
        };
        let sold_out_at_door = self.door.sold_out.load(Ordering::Relaxed);
        Metrics {
            health: self.health(),
            accepted: sums.accepted,
            sold_out: sums.sold_out + sold_out_at_door,
            sold_out_at_door,
            limited: sums.limited,
            duplicates: sums.duplicates,
            invalid: self.door.invalid.load(Ordering::Relaxed),
            overloaded: self.door.overloaded.load(Ordering::Relaxed),
            expired: sums.expired,
            expiry_lag_ms: sums.expiry_lag_ms,
            // Without a refund this is in the future.
            refund_oldest_ms: self.clock.now_ms().saturating_sub(refund_since_ms),
            orders: sums.orders,
            open_orders: sums.open,
            timers_pending: sums.timers,
            collecting: sums.collecting,
            in_flight: self.credits.in_use(),
            promises: self.promises.len() as u64,
            tasks: delay.tasks,
            task_topics: delay.topics,
            task_bytes: delay.bytes,
            task_waiters: delay.waiters,
            stock_actors: self.stock.awake(),
            appended: self.journal.appended(),
            acknowledged: self.journal.acknowledged(),
            durable: self.journal.durable(),
            commits: journal.commits,
            syncs: journal.syncs,
            events: journal.events,
            journal_bytes: journal.bytes,
            commit_events,
            commit_bytes,
            sync_us,
            durable_us,
            journal_queued_bytes: self.journal.queued_bytes() as u64,
            stored: store.map_or(Position(0), StoreHandle::stored),
            store_lag_ms: self.store_lag_ms(),
            checkpoints: of_store(|board| &board.checkpoints),
            store_written_bytes: of_store(|board| &board.written_bytes),
            store_disk_bytes: of_store(|board| &board.disk_bytes),
            journal_disk_bytes: self.journal_disk_bytes.load(Ordering::Relaxed),
            journal_first: self.journal.reader().first(),
            store_failure: store.and_then(|store| store.board.failure()),
            evicted: sums.evicted,
            archived: of_store(|board| &board.archived),
            store_reads: of_store(|board| &board.reads),
            recovered_events: self.recovery.events,
            recovery_ms: self.recovery.elapsed_ms,
            clock_drift_ms: self.clock.drift_alarm(),
            disk_is_low: self.door.disk_is_low.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn health(&self) -> Health {
        match self.gate.state() {
            GateState::Open => Health::Open,
            GateState::Draining => Health::Draining,
            GateState::Closed => Health::Closed,
            GateState::Poisoned => {
                Health::Poisoned { reason: self.gate.reason().unwrap_or_default().to_owned() }
            }
        }
    }

    /// Age of the oldest durable event that the store has not taken in, in ms. It is younger than the latest stored one,
    /// and than the last look that found nothing waiting.
    pub(crate) fn store_lag_ms(&self) -> u64 {
        let Some(store) = &self.store else { return 0 };
        if store.waiting() == 0 {
            return 0;
        }
        let board = &store.board;
        let stored_at_ms = board.stored_at_ms.load(Ordering::Relaxed);
        let since_ms = stored_at_ms.max(board.up_to_date_at_ms.load(Ordering::Relaxed));
        self.clock.now_ms().saturating_sub(since_ms)
    }
}
