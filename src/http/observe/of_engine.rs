//! The engine's figures as metric families.

use std::fmt;

use super::families::{Families, Shown};
use crate::{Health, Metrics};

/// All of them.
pub(super) fn write(out: &mut Families<'_>, metrics: &Metrics) -> fmt::Result {
    health(out, metrics)?;
    orders(out, metrics)?;
    queues(out, metrics)?;
    journal(out, metrics)?;
    store(out, metrics)
}

fn health(out: &mut Families<'_>, metrics: &Metrics) -> fmt::Result {
    let is = |state: bool| f64::from(u8::from(state));
    out.gauges(
        "stockade_health",
        "Whether the engine takes commands: 1 for the state that it is in.",
        [
            (&[("state", "open")][..], is(metrics.health == Health::Open)),
            (&[("state", "draining")], is(metrics.health == Health::Draining)),
            (&[("state", "closed")], is(metrics.health == Health::Closed)),
            (&[("state", "poisoned")], is(matches!(metrics.health, Health::Poisoned { .. }))),
        ],
    )?;
    out.seconds(
        "stockade_clock_drift_seconds",
        "Wall time minus engine time, while that is more than is followed without a command.",
        metrics.clock_drift_ms.unwrap_or(0),
    )?;
    out.gauge(
        "stockade_disk_low",
        "1 while the disk is below its reserve and new orders are refused.",
        u64::from(metrics.disk_is_low),
    )?;
    out.gauge("stockade_recovery_events", "Events replayed at the start.", metrics.recovered_events)?;
    out.seconds(
        "stockade_recovery_seconds",
        "How long recovery took at the start.",
        metrics.recovery_ms.cast_signed(),
    )
}

fn orders(out: &mut Families<'_>, metrics: &Metrics) -> fmt::Result {
    out.counters(
        "stockade_orders",
        "Submissions by what became of them, and orders closed by their timer.",
        [
            (&[("outcome", "accepted")][..], metrics.accepted),
            (&[("outcome", "sold_out")], metrics.sold_out),
            (&[("outcome", "limited")], metrics.limited),
            (&[("outcome", "invalid")], metrics.invalid),
            (&[("outcome", "duplicate")], metrics.duplicates),
            (&[("outcome", "expired")], metrics.expired),
        ],
    )?;
    out.counter(
        "stockade_sold_out_at_door",
        "Of the sold-out submissions, those refused at the door without a message.",
        metrics.sold_out_at_door,
    )?;
    out.counter("stockade_overloaded", "Commands refused at a bound.", metrics.overloaded)?;
    out.seconds(
        "stockade_expiry_lag_seconds",
        "How late the timers were that fired last.",
        metrics.expiry_lag_ms.cast_signed(),
    )?;
    out.seconds(
        "stockade_refund_oldest_seconds",
        "Age of the oldest refund that somebody still has to do something about.",
        metrics.refund_oldest_ms.cast_signed(),
    )?;
    out.gauge("stockade_orders_in_memory", "Orders in memory.", metrics.orders)?;
    out.gauge(
        "stockade_orders_open",
        "Orders that are neither completed nor cancelled.",
        metrics.open_orders,
    )?;
    out.counter(
        "stockade_orders_evicted",
        "Completed and cancelled orders that left memory.",
        metrics.evicted,
    )
}

fn queues(out: &mut Families<'_>, metrics: &Metrics) -> fmt::Result {
    out.gauge("stockade_in_flight", "Commands under way in the engine.", metrics.in_flight)?;
    out.gauge(
        "stockade_collecting",
        "Orders that are collecting their lines at this moment.",
        metrics.collecting,
    )?;
    out.gauge(
        "stockade_promises",
        "Asynchronous submits whose outcome is kept, those under way included.",
        metrics.promises,
    )?;
    out.gauge("stockade_timers_pending", "Timers pending.", metrics.timers_pending)?;
    out.gauge("stockade_stock_actors", "Stock keys with an actor awake.", metrics.stock_actors)?;
    out.gauge("stockade_tasks", "Live tasks of the delay queue, dead letters included.", metrics.tasks)?;
    out.gauge("stockade_task_topics", "Topics that have tasks.", metrics.task_topics)?;
    out.gauge("stockade_task_bytes", "Size of the tasks' ids and bodies.", metrics.task_bytes)?;
    out.gauge("stockade_task_waiters", "Callers who wait for a task.", metrics.task_waiters)
}

fn journal(out: &mut Families<'_>, metrics: &Metrics) -> fmt::Result {
    out.gauges(
        "stockade_journal_position",
        "Last position appended, acknowledged, durable, taken in by the store; and the first that the journal has.",
        [
            (&[("stage", "appended")][..], metrics.appended.0 as f64),
            (&[("stage", "acknowledged")], metrics.acknowledged.0 as f64),
            (&[("stage", "durable")], metrics.durable.0 as f64),
            (&[("stage", "stored")], metrics.stored.0 as f64),
            (&[("stage", "first")], metrics.journal_first.0 as f64),
        ],
    )?;
    out.gauge(
        "stockade_journal_queued_bytes",
        "Bytes on their way to the journal.",
        metrics.journal_queued_bytes,
    )?;
    out.gauge("stockade_journal_disk_bytes", "Size of the journal on the disk.", metrics.journal_disk_bytes)?;
    out.counter("stockade_journal_commits", "Commits of the journal.", metrics.commits)?;
    out.counter("stockade_journal_syncs", "Times the journal was synced.", metrics.syncs)?;
    out.counter("stockade_journal_events", "Events written.", metrics.events)?;
    out.counter(
        "stockade_journal_written_bytes",
        "Bytes written to the journal, headers included.",
        metrics.journal_bytes,
    )?;
    out.histogram(
        "stockade_journal_commit_events",
        "Events of each commit.",
        Shown::AsIs,
        &metrics.commit_events,
    )?;
    out.histogram(
        "stockade_journal_commit_bytes",
        "Bytes of each commit, headers included.",
        Shown::AsIs,
        &metrics.commit_bytes,
    )?;
    out.histogram(
        "stockade_journal_sync_seconds",
        "How long each sync of the journal took.",
        Shown::Seconds,
        &metrics.sync_us,
    )?;
    out.histogram(
        "stockade_journal_durable_seconds",
        "For each sync, how long the entry that had waited longest for it had waited since its append.",
        Shown::Seconds,
        &metrics.durable_us,
    )
}

fn store(out: &mut Families<'_>, metrics: &Metrics) -> fmt::Result {
    // Without a store nothing is behind.
    let lag = if metrics.stored.0 == 0 { 0 } else { metrics.durable.0.saturating_sub(metrics.stored.0) };
    out.gauge("stockade_store_lag_events", "Durable events that the store has not taken in.", lag)?;
    out.seconds(
        "stockade_store_lag_seconds",
        "Age of the oldest durable event that the store has not taken in.",
        metrics.store_lag_ms.cast_signed(),
    )?;
    out.gauge(
        "stockade_store_failed",
        "1 once the store has stopped: orders go on, the journal grows.",
        u64::from(metrics.store_failure.is_some()),
    )?;
    out.gauge("stockade_store_disk_bytes", "Size of the store on the disk.", metrics.store_disk_bytes)?;
    out.counter("stockade_store_checkpoints", "Checkpoints made.", metrics.checkpoints)?;
    out.counter(
        "stockade_store_written_bytes",
        "Bytes that checkpoints and the store's merging have written.",
        metrics.store_written_bytes,
    )?;
    out.counter(
        "stockade_store_reads",
        "Orders, payments and requests looked up in the store.",
        metrics.store_reads,
    )?;
    out.counter("stockade_orders_archived", "Orders that moved to cold files.", metrics.archived)
}
