//! Taking orders into an index: those that a checkpoint hands on, and, where some are missing, those that the journal names
//! and the store has.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::handle::SearchBoard;
use crate::actors::order::gather::Gathered;
use crate::domain::ids::{OrderNo, Position};
use crate::domain::order::Order;
use crate::journal::{JournalRead, RecordedEvent, decode_record, events_from, free_bytes};
use crate::projection::search::{Index, IndexError};
use crate::projection::store::{StoreError, StoreReader};

/// Orders that go to the index at once.
const PUT_MAX: usize = 1_024;
/// Journal read at a time, in bytes, and events that one step of catching up takes in, one read more at most.
const READ_BYTES: usize = 1 << 20;
const STEP_EVENTS: u64 = 1 << 16;
/// Space that an index leaves free beyond the disk's own reserve, in bytes.
const FREE_MARGIN_BYTES: u64 = 64 << 20;

/// Why an index can't go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stuck {
    /// Its files.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// What it is made from.
    #[error("{0}")]
    Source(String),
    /// The journal was let go of.
    #[error("it fell too far behind: the journal from position {0} on is given up")]
    TooFarBehind(Position),
    /// Too little space is left for it.
    #[error("the disk is too full for it: {free_bytes} bytes are left")]
    DiskFull {
        /// What is left.
        free_bytes: u64,
    },
    /// The engine closes.
    #[error("the engine is closing")]
    Closing,
}

/// What an index is made from.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) journal: Arc<dyn JournalRead>,
    pub(super) store: StoreReader,
}

/// The space that indexes may use.
#[derive(Clone, Debug)]
pub(super) struct Space {
    pub(super) dir: PathBuf,
    pub(super) disk_free_min_bytes: u64,
}

impl Space {
    /// # Errors
    /// [`Stuck::DiskFull`] where orders may soon need what is left.
    pub(super) fn check(&self) -> Result<(), Stuck> {
        let Ok(free_bytes) = free_bytes(&self.dir) else { return Ok(()) };
        let is_enough = free_bytes >= self.disk_free_min_bytes.saturating_add(FREE_MARGIN_BYTES);
        if is_enough { Ok(()) } else { Err(Stuck::DiskFull { free_bytes }) }
    }
}

/// An index that is being filled.
pub(crate) struct Filled {
    pub(super) number: u64,
    pub(super) index: Index,
    /// Everything up to here was put.
    pub(super) position: Position,
    /// Everything up to here is committed.
    pub(super) committed: Position,
    /// Engine time of the last commit, in ms.
    pub(super) committed_at_ms: u64,
    /// How long it took, in ms.
    pub(super) commit_took_ms: u64,
}

impl Filled {
    /// An index that stands at its last commit.
    pub(super) fn new(number: u64, index: Index) -> Self {
        let reader = index.reader();
        let position = reader.position();
        let committed_at_ms = reader.committed_at_ms();
        Self { number, index, position, committed: position, committed_at_ms, commit_took_ms: 0 }
    }

    /// Takes in what checkpoints have handed on.
    pub(super) fn take(
        &mut self,
        gathered: &[Gathered],
        up_to: Position,
        board: &SearchBoard,
    ) -> Result<(), Stuck> {
        let mut orders = Vec::with_capacity(PUT_MAX);
        for (order_no, record) in latest(gathered) {
            let decoded: Order =
                decode_record(record).map_err(|error| Stuck::Source(format!("order {order_no}: {error}")))?;
            orders.push(decoded);
            if orders.len() == PUT_MAX {
                self.put(&mut orders, board)?;
            }
        }
        self.put(&mut orders, board)?;
        self.position = up_to;
        Ok(())
    }

    fn put(&mut self, orders: &mut Vec<Order>, board: &SearchBoard) -> Result<(), Stuck> {
        self.index.put(orders, self.position)?;
        board.indexed.fetch_add(orders.len() as u64, Ordering::Relaxed);
        orders.clear();
        Ok(())
    }

    /// One step towards `to`, which is stored: reads which orders the journal's events touched, and what the store has of
    /// them.
    pub(super) fn catch_up(
        &mut self,
        sources: &Sources,
        to: Position,
        board: &SearchBoard,
    ) -> Result<(), Stuck> {
        let (touched, up_to) = touched_orders(sources.journal.as_ref(), self.position, to)?;
        let source = |error: StoreError| Stuck::Source(error.to_string());
        let (snapshot, head) = sources.store.pinned().map_err(source)?;
        if head.position < up_to {
            return Err(Stuck::Source(format!("the store is at {}, before {up_to}", head.position)));
        }
        let mut finder = sources.store.order_finder(&snapshot);
        let mut orders = Vec::with_capacity(PUT_MAX);
        for numbers in touched.chunks(PUT_MAX) {
            for number in numbers {
                orders.push(finder.order(*number).map_err(source)?);
            }
            board.caught_up.fetch_add(orders.len() as u64, Ordering::Relaxed);
            self.put(&mut orders, board)?;
        }
        self.position = up_to;
        Ok(())
    }

    /// Makes it durable and searchable.
    pub(super) fn commit(&mut self, now_ms: u64, board: &SearchBoard) -> Result<(), Stuck> {
        self.index.commit(self.position, now_ms)?;
        self.committed = self.position;
        self.committed_at_ms = now_ms;
        board.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Each order's last record, the newest first.
fn latest(gathered: &[Gathered]) -> impl Iterator<Item = (OrderNo, &[u8])> {
    let mut seen = HashSet::new();
    let newest_first = gathered.iter().rev().flat_map(|gathered| {
        (0..gathered.orders.len()).rev().map(move |index| {
            let begin = index.checked_sub(1).map_or(0, |before| gathered.orders[before].end);
            let order = &gathered.orders[index];
            (order.order_no, &gathered.bytes[begin..order.end])
        })
    });
    newest_first.filter(move |(order_no, _record)| seen.insert(*order_no))
}

/// The orders that events behind `from` touched, by slot and number, and up to where that goes: to `to` at most.
fn touched_orders(
    journal: &dyn JournalRead,
    from: Position,
    to: Position,
) -> Result<(Vec<OrderNo>, Position), Stuck> {
    let mut touched = Vec::new();
    let mut up_to = from;
    while up_to < to && up_to.0 - from.0 < STEP_EVENTS {
        let next = Position(up_to.0 + 1);
        let frames = journal.read(next, READ_BYTES).map_err(|error| Stuck::Source(error.to_string()))?;
        if frames.is_empty() {
            return Err(Stuck::Source(format!("the journal ends before position {next}")));
        }
        for recorded in events_from(&frames, next) {
            let RecordedEvent { position, event, .. } =
                recorded.map_err(|error| Stuck::Source(error.to_string()))?;
            if position > to {
                break;
            }
            up_to = position;
            touched.extend(event.order_version().map(|(order_no, _)| order_no));
        }
    }
    // As they lie in the store.
    touched.sort_unstable_by_key(|order_no| (order_no.slot().index(), *order_no));
    touched.dedup();
    Ok((touched, up_to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::order::gather::{GatheredOrder, Place};

    fn gathered(records: &[(u64, &str)]) -> Gathered {
        let mut gathered = Gathered::default();
        for (number, record) in records {
            gathered.bytes.extend_from_slice(record.as_bytes());
            let order_no = OrderNo::from_u64(*number).unwrap();
            gathered.orders.push(GatheredOrder {
                order_no,
                end: gathered.bytes.len(),
                place: Place::Open { was_closed: false },
            });
        }
        gathered
    }

    #[test]
    fn of_checkpoints_taken_together_an_orders_last_record_counts() {
        let taken = [gathered(&[(7, "old"), (8, "kept")]), gathered(&[]), gathered(&[(9, ""), (7, "new")])];
        let latest: Vec<(u64, &[u8])> =
            latest(&taken).map(|(number, record)| (number.get(), record)).collect();
        assert_eq!(latest, [(7, b"new".as_slice()), (9, b""), (8, b"kept")]);
    }
}
