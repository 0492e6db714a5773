//! Walking through the orders of all members, from one checkpoint, in the order of their numbers or slot by slot.
//!
//! Orders stand by slot and number in two tables. By time they are merged from a *lane* for each slot and table: a lane
//! reads ahead a little, then more, so that a short page costs one search in each lane and a long scan little more than
//! its records. Slot by slot there are two lanes at a time, which is what a scan over everything wants. Nothing is
//! written for it: an index by time would cost every order of a flash sale something, for the sake of a list.

use std::collections::{BinaryHeap, VecDeque};
use std::ops::Range;

use super::cold_scan::ColdScan;
use super::head::Head;
use super::reader::StoreReader;
use super::tables;
use crate::domain::ids::{OrderNo, SLOTS, Slot};
use crate::domain::order::Order;
use crate::journal::decode_record;
use crate::projection::levels::{Snapshot, StoreError, TableId};

/// Orders that a lane of one slot among many reads ahead at first, and at most.
const AHEAD_MIN: usize = 2;
const AHEAD_MAX: usize = 32;
/// Bytes from which on a lane reads no further ahead.
const AHEAD_BYTES_MAX: usize = 8 << 10;

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WalkOrder {
    /// By number, greatest first.
    Descending,
    /// By number, least first.
    Ascending,
    /// By slot, and by number within a slot; the least first.
    BySlot,
}

/// What to walk through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderWalk {
    /// In which order.
    pub(crate) order: WalkOrder,
    /// Only orders behind this one, in that order.
    pub(crate) after: Option<OrderNo>,
    /// The least and the greatest number that is wanted.
    pub(crate) numbers: (OrderNo, OrderNo),
    /// Only this slot.
    pub(crate) slot: Option<Slot>,
    /// Only orders that a restart brings back into memory: no order at rest is looked at.
    pub(crate) open_only: bool,
}

impl StoreReader {
    /// Calls `each` with the orders of a walk, until it says no. Those in cold files are not among them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn walk_orders(
        snapshot: &Snapshot,
        walk: &OrderWalk,
        mut each: impl FnMut(Order) -> bool,
    ) -> Result<(), StoreError> {
        let slots = match walk.slot {
            Some(slot) => slot.index() as u16..slot.index() as u16 + 1,
            None => 0..SLOTS,
        };
        let mut range = (walk.numbers.0.get(), walk.numbers.1.get().saturating_add(1));
        match (walk.order, walk.after) {
            (WalkOrder::Descending, Some(after)) => range.1 = range.1.min(after.get()),
            (WalkOrder::Ascending, Some(after)) => range.0 = range.0.max(after.get().saturating_add(1)),
            _ => {}
        }
        if walk.order != WalkOrder::BySlot {
            return Lanes::new(snapshot, walk, slots, range)?.walk(&mut each).map(|_goes_on| ());
        }
        let first = walk.after.map_or(0, |after| after.slot().index() as u16);
        for slot in slots.start.max(first)..slots.end {
            let mut range = range;
            if let Some(after) = walk.after.filter(|after| after.slot().index() as u16 == slot) {
                range.0 = range.0.max(after.get().saturating_add(1));
            }
            if !Lanes::new(snapshot, walk, slot..slot + 1, range)?.walk(&mut each)? {
                break;
            }
        }
        Ok(())
    }
}

impl StoreReader {
    /// Calls `each` with every order of a pinned state, those in cold files among them, each once, by slot and number,
    /// until it says no.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) fn every_order(
        &self,
        (snapshot, head): &(Snapshot, Head),
        mut each: impl FnMut(Order) -> bool,
    ) -> Result<(), StoreError> {
        let archived = |record: &[u8]| -> Result<Option<Order>, StoreError> {
            let order: Order = decode_record(record)
                .map_err(|error| StoreError::damaged(format!("an archived order: {error}")))?;
            // A file that was added since may have what the snapshot doesn't know.
            Ok(Some(order).filter(|order| order.created_position <= head.position))
        };
        // Of the files as they are now: what moves to one meanwhile is in both, and not lost between the two.
        let mut cold = ColdScan::new(self.archive().map(AsRef::as_ref))?;
        let everything = OrderWalk {
            order: WalkOrder::BySlot,
            after: None,
            numbers: (OrderNo::default(), OrderNo::from_u64(u64::MAX >> 1).unwrap_or_default()),
            slot: None,
            open_only: false,
        };
        let mut goes_on = true;
        let mut failed = None;
        Self::walk_orders(snapshot, &everything, |order| {
            let key = tables::order_key(order.order_no);
            let mut before = || -> Result<bool, StoreError> {
                while let Some((cold_key, record)) = cold.next_up_to(Some(&key))? {
                    // One that is in both has come back: the tables are as new as the files, or newer.
                    if cold_key == key {
                        continue;
                    }
                    if let Some(order) = archived(&record)?
                        && !each(order)
                    {
                        return Ok(false);
                    }
                }
                Ok(true)
            };
            match before() {
                Ok(true) => goes_on = each(order),
                Ok(false) => goes_on = false,
                Err(error) => {
                    failed = Some(error);
                    goes_on = false;
                }
            }
            goes_on
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        while goes_on && let Some((_key, record)) = cold.next_up_to(None)? {
            goes_on = archived(&record)?.is_none_or(&mut each);
        }
        Ok(())
    }
}

/// A slot's orders in one table.
struct Lane {
    table: TableId,
    slot: u16,
    /// Numbers that were not read yet: the first, and the one behind the last.
    range: (u64, u64),
    ahead: VecDeque<(u64, Box<[u8]>)>,
    len: usize,
}

impl Lane {
    fn key(&self, number: u64) -> [u8; 10] {
        let mut key = [0; 10];
        key[..2].copy_from_slice(&self.slot.to_be_bytes());
        key[2..].copy_from_slice(&number.to_be_bytes());
        key
    }

    /// Reads ahead.
    fn fill(&mut self, snapshot: &Snapshot, is_descending: bool) -> Result<(), StoreError> {
        if self.range.0 >= self.range.1 {
            return Ok(());
        }
        let (low, high) = (self.key(self.range.0), self.key(self.range.1));
        let mut bytes = 0;
        if is_descending {
            let mut scan = snapshot.scan_back(self.table, &low, Some(&high));
            while self.ahead.len() < self.len && bytes < AHEAD_BYTES_MAX {
                let Some((key, value)) = scan.next()? else {
                    self.range.1 = self.range.0;
                    break;
                };
                bytes += value.len();
                self.range.1 = number_of(key)?;
                self.ahead.push_back((self.range.1, value.into()));
            }
        } else {
            let mut scan = snapshot.scan(self.table, &low, Some(&high));
            while self.ahead.len() < self.len && bytes < AHEAD_BYTES_MAX {
                let Some((key, value)) = scan.next()? else {
                    self.range.0 = self.range.1;
                    break;
                };
                bytes += value.len();
                let number = number_of(key)?;
                self.range.0 = number.saturating_add(1);
                self.ahead.push_back((number, value.into()));
            }
        }
        self.len = (self.len * 2).min(AHEAD_MAX);
        Ok(())
    }
}

/// Lanes of some slots, merged.
struct Lanes<'s> {
    snapshot: &'s Snapshot,
    is_descending: bool,
    lanes: Vec<Lane>,
    /// The next order of each lane on top, by number, or by what is left above it.
    heap: BinaryHeap<(u64, usize)>,
}

impl<'s> Lanes<'s> {
    fn new(
        snapshot: &'s Snapshot,
        walk: &OrderWalk,
        slots: Range<u16>,
        range: (u64, u64),
    ) -> Result<Self, StoreError> {
        let is_descending = walk.order == WalkOrder::Descending;
        let len = if slots.len() > 1 { AHEAD_MIN } else { AHEAD_MAX };
        let tables: &[TableId] =
            if walk.open_only { &[tables::OPEN] } else { &[tables::OPEN, tables::CLOSED] };
        let mut lanes = Vec::with_capacity(slots.len() * tables.len());
        // Table by table, so that neighbouring slots find the same pages in the cache.
        for table in tables {
            for slot in slots.clone() {
                let mut lane = Lane { table: *table, slot, range, ahead: VecDeque::new(), len };
                lane.fill(snapshot, is_descending)?;
                if !lane.ahead.is_empty() {
                    lanes.push(lane);
                }
            }
        }
        let mut merged = Self { snapshot, is_descending, lanes, heap: BinaryHeap::new() };
        (0..merged.lanes.len()).for_each(|lane| merged.offer(lane));
        Ok(merged)
    }

    fn offer(&mut self, lane: usize) {
        if let Some((number, _)) = self.lanes[lane].ahead.front() {
            let rank = if self.is_descending { *number } else { u64::MAX - number };
            self.heap.push((rank, lane));
        }
    }

    /// Calls `each` with one order after the other; false where it said no.
    fn walk(&mut self, each: &mut impl FnMut(Order) -> bool) -> Result<bool, StoreError> {
        while let Some((_, index)) = self.heap.pop() {
            let lane = &mut self.lanes[index];
            let Some((number, record)) = lane.ahead.pop_front() else { continue };
            if lane.ahead.is_empty() {
                lane.fill(self.snapshot, self.is_descending)?;
            }
            self.offer(index);
            let order = decode_record(&record)
                .map_err(|error| StoreError::damaged(format!("order {number}: {error}")))?;
            if !each(order) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn number_of(key: &[u8]) -> Result<u64, StoreError> {
    let number = tables::number_of_order_key(key);
    number.map(OrderNo::get).ok_or_else(|| StoreError::damaged("an order's key"))
}
