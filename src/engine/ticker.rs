//! What happens by itself: timers that fall due, order numbers to reserve, idle stock actors to put to rest, the
//! disk to look at, and the word to pass on when the engine is poisoned.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::Inner;
use super::store::Call;
use crate::actors::activity::ActivityWork;
use crate::actors::numbers::{LEASE_AHEAD_MS, LEASE_RENEW_MS, NumberLease};
use crate::actors::order::OrderItem;
use crate::actors::stock::StockItem;
use crate::actors::team::TeamItem;
use crate::domain::event::Event;
use crate::journal::{EntryBuffer, free_bytes};
use crate::runtime::clock::Ticker;

/// How often the slower duties are done, in ms.
const HOUSEKEEPING_MS: u64 = 500;

/// How often old orders are looked for at least, and how soon after the start, in ms.
const ARCHIVE_LOOK_MS_MAX: u64 = 24 * 3_600_000;
const ARCHIVE_FIRST_LOOK_MS: u64 = 60_000;

/// Starts the background tasks of an engine.
pub(super) fn spawn(inner: &Arc<Inner>) {
    // Made here and not in the task, which may run for the first time only after a manual clock was moved.
    let ticker = inner.clock.ticker(Duration::from_millis(inner.settings.tick_ms));
    let ticking = tokio::spawn(tick(Arc::downgrade(inner), ticker));
    let watching = tokio::spawn(watch_poison(Arc::downgrade(inner)));
    let alarm = inner.delay.spawn_alarm(&inner.clock);
    inner.tasks.lock().unwrap_or_else(PoisonError::into_inner).extend([ticking, watching, alarm]);
}

/// Appends a reservation of order numbers up to `until_ms`; they are given out once it is durable, and `done` is
/// called then. False with a poisoned journal.
pub(super) fn reserve_numbers(
    inner: &Arc<Inner>,
    until_ms: u64,
    done: Option<Box<dyn FnOnce() + Send>>,
) -> bool {
    let mut entries = EntryBuffer::default();
    entries.push(&[Event::NumbersReserved { at_ms: inner.clock.now_ms(), until_ms }]);
    let shared = Arc::clone(&inner.shared);
    let acknowledge = Box::new(move || {
        shared.lease.extend_to(until_ms);
        if let Some(done) = done {
            done();
        }
    });
    inner.journal.append(&mut entries, Some(acknowledge)).is_ok()
}

async fn tick(engine: Weak<Inner>, mut ticker: Ticker) {
    let mut housekeeping = Housekeeping::default();
    let mut store_at_ms = None;
    loop {
        let now_ms = ticker.wait_tick().await;
        // Held only for the round, so that a dropped engine ends.
        let Some(inner) = engine.upgrade() else { return };
        for (board, inbox) in inner.boards.iter().zip(&inner.orders) {
            if board.next_deadline_ms.load(Ordering::Acquire) <= now_ms {
                let _ = inbox.push(OrderItem::Tick);
            }
        }
        if inner.activities.next_end_ms.load(Ordering::Acquire) <= now_ms {
            let _ = inner.activities.inbox.push(ActivityWork::Tick);
        }
        if inner.teams.next_due_ms.load(Ordering::Acquire) <= now_ms {
            let _ = inner.teams.inbox.push(TeamItem::Tick);
        }
        advance_store(&inner, now_ms, &mut store_at_ms);
        advance_search(&inner, now_ms);
        housekeeping.run(&inner, now_ms);
    }
}

/// The slower duties.
#[derive(Default)]
struct Housekeeping {
    next_ms: u64,
    rest_at_ms: Option<u64>,
    archive_at_ms: Option<u64>,
    rotate_at_ms: Option<u64>,
    numbers_under_way: Arc<AtomicBool>,
}

impl Housekeeping {
    fn run(&mut self, inner: &Arc<Inner>, now_ms: u64) {
        self.renew_numbers(inner, now_ms);
        if now_ms < self.next_ms {
            return;
        }
        self.next_ms = now_ms + HOUSEKEEPING_MS;
        if let Some(difference_ms) = inner.clock.drift_alarm() {
            tracing::warn!(
                difference_ms,
                "the wall clock has jumped: engine time goes on without following it"
            );
        }
        let settings = &inner.settings;
        if due(&mut self.rotate_at_ms, now_ms, settings.idempotency_window_ms) {
            inner.filter.rotate();
            if let Some(store) = &inner.shared.store {
                store.rotate_requests();
            }
        }
        if due(&mut self.rest_at_ms, now_ms, settings.stock_idle_ms) {
            rest_idle_stock(inner);
        }
        look_at_disk(inner);
        if let Some(store) = &inner.store {
            let archive_after_ms = store.world.archive_after_ms;
            let look_ms = (archive_after_ms / 10).clamp(1_000, ARCHIVE_LOOK_MS_MAX);
            // The first look soon after the start: some engines are restarted more often than the interval.
            let first_ms = now_ms + look_ms.min(ARCHIVE_FIRST_LOOK_MS);
            self.archive_at_ms.get_or_insert(first_ms);
            if archive_after_ms > 0 && due(&mut self.archive_at_ms, now_ms, look_ms) {
                let _ = store.projector.cast(Call::Archive);
            }
            store.board.disk_bytes.store(store.reader.bytes_on_disk(), Ordering::Relaxed);
            // What has been closed for long enough leaves, also when nothing else happens.
            inner.orders.iter().for_each(|inbox| drop(inbox.push(OrderItem::Tick)));
        }
        inner.holds.note_written(inner.journal.durable(), inner.journal.stats().bytes);
        #[cfg(feature = "search")]
        if let Some(follower) = inner.search.follower() {
            follower.look_after();
        }
        inner.journal_disk_bytes.store(inner.journal.reader().bytes_on_disk(), Ordering::Relaxed);
    }

    fn renew_numbers(&self, inner: &Arc<Inner>, now_ms: u64) {
        let needed_ms = NumberLease::number_time(now_ms) + LEASE_RENEW_MS;
        if inner.shared.lease.until_ms() >= needed_ms || self.numbers_under_way.swap(true, Ordering::AcqRel) {
            return;
        }
        let under_way = Arc::clone(&self.numbers_under_way);
        let done = Box::new(move || under_way.store(false, Ordering::Release));
        let until_ms = needed_ms.max(inner.shared.lease.until_ms()) + (LEASE_AHEAD_MS - LEASE_RENEW_MS);
        reserve_numbers(inner, until_ms, Some(done));
    }
}

/// Calls the projector when its time has come, or a full batch waits.
fn advance_store(inner: &Inner, now_ms: u64, at_ms: &mut Option<u64>) {
    let Some(store) = &inner.store else { return };
    let waiting = store.waiting();
    if waiting == 0 {
        store.board.up_to_date_at_ms.store(now_ms, Ordering::Relaxed);
    }
    let has_work = waiting > 0 || store.board.merging_waits.load(Ordering::Relaxed);
    if !has_work || store.board.has_failed() {
        return;
    }
    // What is to be searchable soon must be stored before.
    let interval_ms = match inner.search.is_followed() {
        true => store.interval_ms.min(inner.search.config().refresh_ms),
        false => store.interval_ms,
    };
    if due(at_ms, now_ms, interval_ms) || waiting >= store.world.events_max as u64 {
        store.advance();
    }
}

/// Notes how far the journal is, and has what was put into the index committed when it is time.
fn advance_search(inner: &Inner, now_ms: u64) {
    if !inner.search.is_followed() {
        return;
    }
    inner.search.note_durable(inner.journal.durable(), now_ms);
    #[cfg(feature = "search")]
    if inner.search.board().commit_at_ms.load(Ordering::Acquire) <= now_ms
        && let Some(follower) = inner.search.follower()
    {
        follower.wake();
    }
}

/// Whether something that is done every `interval_ms` is due; the first time it only starts to count.
fn due(at_ms: &mut Option<u64>, now_ms: u64, interval_ms: u64) -> bool {
    let is_due = at_ms.is_some_and(|at_ms| at_ms <= now_ms);
    if is_due || at_ms.is_none() {
        *at_ms = Some(now_ms.saturating_add(interval_ms));
    }
    is_due
}

/// Suggests rest to every stock actor that has had no work since the last time.
fn rest_idle_stock(inner: &Arc<Inner>) {
    for cell in inner.stock.all() {
        if cell.is_awake() && !cell.was_busy() {
            inner.stock.send(&cell, StockItem::Rest);
        }
    }
}

/// Compares the disk's free space with the reserve.
pub(super) fn look_at_disk(inner: &Inner) {
    let Some(data_dir) = &inner.settings.data_dir else { return };
    let Ok(free_bytes) = free_bytes(data_dir) else { return };
    let is_low = free_bytes < inner.settings.disk_free_min_bytes;
    if inner.door.disk_is_low.swap(is_low, Ordering::Relaxed) != is_low {
        tracing::warn!(free_bytes, is_low, "free disk space crossed the reserve");
    }
}

async fn watch_poison(engine: Weak<Inner>) {
    let Some(gate) = engine.upgrade().map(|inner| Arc::clone(&inner.gate)) else { return };
    let reason = gate.wait_poisoned().await.to_owned();
    let Some(inner) = engine.upgrade() else { return };
    tracing::error!(reason, "the engine is poisoned: writes are refused until a restart");
    // Requests that are let go of below give no credits back.
    inner.credits.void();
    // Everybody who waits inside an actor is let go (R13).
    for inbox in &inner.orders {
        let _ = inbox.push(OrderItem::Poisoned);
    }
    inner.delay.drain();
}
