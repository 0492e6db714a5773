//! The search index's figures as metric families.

use std::fmt;

use super::families::Families;
use crate::{Position, SearchFigures};

/// All of them. `durable` is the journal's last durable position.
pub(super) fn write(out: &mut Families<'_>, figures: &SearchFigures, durable: Position) -> fmt::Result {
    let SearchFigures {
        is_on,
        position,
        lag_ms,
        lag_bytes,
        documents,
        commits,
        indexed,
        caught_up,
        disk_bytes,
        is_rebuilding,
        rebuilds,
        answered: [index, store],
        failure,
    } = figures;
    let lag = if *is_on { durable.0.saturating_sub(position.0) } else { 0 };
    out.gauge("stockade_search_on", "1 while an index for order search is kept.", u64::from(*is_on))?;
    out.gauge("stockade_search_lag_events", "Durable events that are not searchable.", lag)?;
    out.seconds(
        "stockade_search_lag_seconds",
        "Age of the oldest durable event that is not searchable.",
        lag_ms.cast_signed(),
    )?;
    out.gauge(
        "stockade_search_lag_bytes",
        "Bytes of journal that are kept for the search index.",
        *lag_bytes,
    )?;
    out.gauge("stockade_search_documents", "Orders in the search index.", *documents)?;
    out.gauge("stockade_search_disk_bytes", "Size of the search index on the disk.", *disk_bytes)?;
    out.counter("stockade_search_indexed", "Orders that the search index has taken in.", *indexed)?;
    out.counter(
        "stockade_search_caught_up",
        "Orders that the search index has taken in from the store, because it was far behind.",
        *caught_up,
    )?;
    out.counter("stockade_search_commits", "Commits of the search index.", *commits)?;
    out.gauge(
        "stockade_search_rebuilding",
        "1 while the search index is being built anew.",
        u64::from(*is_rebuilding),
    )?;
    out.counter("stockade_search_rebuilds", "Times that the search index was built anew.", *rebuilds)?;
    out.gauge(
        "stockade_search_failed",
        "1 once the search index has stopped: filters are answered from the store.",
        u64::from(failure.is_some()),
    )?;
    out.counters(
        "stockade_searches",
        "Searches answered, by the source of the answer.",
        [(&[("source", "index")][..], *index), (&[("source", "store")], *store)],
    )
}
