//! What an order actor finds its orders by, and what it keeps per slot: the members' limits, the payments.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::coupons::Wallet;
use super::index::Index;
use super::records::{NONE, Records};
use super::{PaymentOutcome, PaymentResult};
use crate::actors::reply::Reply;
use crate::domain::hash::{RecordHasher, mix64};
use crate::domain::ids::{MemberId, OrderNo, PaymentId, RequestId, SLOTS, Slot, StockKey};
use crate::domain::money::Money;
use crate::domain::order::payment_hash;

/// Hashes the keys of in-memory tables with a seed of this process, so that nobody can aim at one bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyHasher {
    seed: u64,
}

impl KeyHasher {
    /// A hasher with this seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The hash of a request.
    pub(crate) fn request(self, member: MemberId, request: RequestId) -> u64 {
        let [high, low] = request.words();
        mix64(mix64(member.0 ^ self.seed) ^ high).wrapping_add(mix64(low ^ self.seed.rotate_left(32)))
    }

    /// The hash of a member.
    pub(crate) fn member(self, member: MemberId) -> u64 {
        mix64(member.0 ^ self.seed)
    }
}

/// Set on an entry of the request table that names a collecting order instead of a placed one.
const COLLECTING: u32 = 1 << 31;

/// Numbers that have left memory are swept out of a slot's list when there are at least so many.
const LEFT_MAX: usize = 32;

/// What a request id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// An order that is collecting its lines, by the index of its collection.
    Collecting(u32),
    /// A placed order, by its index.
    Placed(u32),
}

impl Known {
    fn pack(self) -> u32 {
        match self {
            Self::Collecting(index) => index | COLLECTING,
            Self::Placed(index) => index,
        }
    }

    fn unpack(word: u32) -> Self {
        if word & COLLECTING == 0 { Self::Placed(word) } else { Self::Collecting(word & !COLLECTING) }
    }
}

/// A member's use of one purchase limit, in units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitUse {
    /// In orders that are placed and not cancelled.
    pub(crate) used: u32,
    /// In orders of other systems, as the last import said.
    pub(crate) elsewhere: u32,
    /// Orders in memory, whatever their status, that have a line with this limit.
    pub(crate) orders: u32,
    /// Questions to the store that will tell `used`, or could have.
    pub(crate) asked: u32,
    /// Whether `used` is still to come from the store; nothing is decided by it before.
    pub(crate) is_unknown: bool,
    /// In orders that are collecting their lines.
    pub(crate) collecting: u32,
    /// The lowest limit among those that were let in to collect, which may be of different revisions; 0 while nothing
    /// is collecting.
    pub(crate) strictest: u32,
}

impl LimitUse {
    /// Whether nothing in memory needs it.
    pub(crate) fn may_leave(&self) -> bool {
        self.orders == 0 && self.asked == 0 && self.collecting == 0 && self.elsewhere == 0
    }

    /// An order with this limit begins to collect so many units.
    pub(crate) fn begin_collecting(&mut self, units: u32, limit: u32) {
        self.strictest = if self.collecting == 0 { limit } else { self.strictest.min(limit) };
        self.collecting += units;
    }

    /// So many units are placed or given up.
    pub(crate) fn end_collecting(&mut self, units: u32) {
        self.collecting -= units;
        if self.collecting == 0 {
            self.strictest = 0;
        }
    }
}

/// A limit's part of the state hash, for units in this engine's orders.
pub(crate) fn limit_hash(member: MemberId, key: &StockKey, used: u32) -> u64 {
    if used == 0 {
        return 0;
    }
    key.fold_into(RecordHasher::new(4).word(member.0)).word(u64::from(used)).finish()
}

/// A payment that was received.
#[derive(Debug)]
pub(crate) struct PaymentRecord {
    /// The order it is for.
    pub(crate) order_no: OrderNo,
    /// How much.
    pub(crate) amount: Money,
    /// What became of it, once that is decided.
    pub(crate) result: Option<PaymentResult>,
    /// Callers who wait for that.
    pub(crate) waiting: Vec<Reply<PaymentOutcome>>,
}

impl PaymentRecord {
    /// This payment's part of the state hash.
    pub(crate) fn record_hash(&self, payment: PaymentId) -> u64 {
        payment_hash(payment, self.order_no, self.amount, self.result)
    }
}

/// The numbers of one slot's orders in memory, ascending, each with its order's index.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotNumbers {
    /// An order that has left memory stays here with the index [`NONE`] until there are many.
    entries: Vec<(OrderNo, u32)>,
    left: usize,
    /// The last number that was not promised.
    last: OrderNo,
}

impl SlotNumbers {
    /// The last number that was given to an order of this slot when it was placed. Promised numbers come from another
    /// source and don't count.
    pub(crate) fn last(&self) -> OrderNo {
        self.last
    }

    /// The order with this number. A binary search.
    pub(crate) fn find(&self, number: OrderNo) -> Option<u32> {
        let place = self.entries.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.entries[place].1).filter(|index| *index != NONE)
    }

    /// Enters a new order.
    ///
    /// # Panics
    /// If its number was given before, or, not promised, is not above all others of its source.
    pub(crate) fn push(&mut self, number: OrderNo, index: u32) {
        if !number.is_promised() {
            let increases = number > self.last || self.last == OrderNo::default();
            assert!(increases, "numbers of a slot that are not promised increase");
            self.last = number;
        }
        if self.entries.last().is_none_or(|(highest, _)| *highest < number) {
            return self.entries.push((number, index));
        }
        // Promised earlier than the latest orders were numbered, and placed later: its place is close to the end.
        let place = self.entries.partition_point(|(other, _)| *other < number);
        assert!(self.entries[place].0 != number, "{number} was given to another order");
        self.entries.insert(place, (number, index));
    }

    /// Enters an order that comes back.
    pub(crate) fn insert(&mut self, number: OrderNo, index: u32) {
        if !number.is_promised() {
            self.last = self.last.max(number);
        }
        match self.entries.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(place) => {
                debug_assert_eq!(self.entries[place].1, NONE, "an order comes back only after it left");
                self.entries[place].1 = index;
                self.left -= 1;
            }
            Err(place) => self.entries.insert(place, (number, index)),
        }
    }

    /// An order leaves memory.
    pub(crate) fn leave(&mut self, number: OrderNo) {
        let found = self.entries.binary_search_by_key(&number, |(number, _)| *number);
        let Ok(place) = found else {
            debug_assert!(false, "only what is there leaves");
            return;
        };
        self.entries[place].1 = NONE;
        self.left += 1;
        if self.left * 2 > self.entries.len() && self.left >= LEFT_MAX {
            self.entries.retain(|(_, index)| *index != NONE);
            self.left = 0;
        }
    }
}

/// What few members have: limits in use, submissions waiting for them, coupons, payments.
#[derive(Debug, Default)]
pub(crate) struct SlotState {
    /// Use of purchase limits, for members and keys that have any.
    pub(crate) limits: HashMap<(MemberId, StockKey), LimitUse>,
    /// Members whose submissions wait for their own earlier ones, in order of arrival, by collection.
    pub(crate) queues: HashMap<MemberId, VecDeque<u32>>,
    /// Coupons of members who have any.
    pub(crate) wallets: HashMap<MemberId, Wallet>,
    /// Payments whose identity falls into this slot.
    pub(crate) payments: HashMap<PaymentId, PaymentRecord>,
}

/// An actor's tables over all its slots: by request, by number, by member.
#[derive(Debug)]
pub(crate) struct Tables {
    hasher: KeyHasher,
    by_request: Index,
    newest_of_member: Index,
    numbers: Vec<SlotNumbers>,
    /// Keeps the reads of [`Tables::warm`] from being optimized away.
    warmed: u32,
}

impl Tables {
    /// Empty tables.
    pub(crate) fn new(hasher: KeyHasher) -> Self {
        Self {
            hasher,
            by_request: Index::default(),
            newest_of_member: Index::default(),
            numbers: vec![SlotNumbers::default(); usize::from(SLOTS)],
            warmed: 0,
        }
    }

    /// Brings what the submission of a request will touch into the cache.
    #[inline]
    pub(crate) fn warm(&mut self, request_hash: u64, member: MemberId) {
        let touched =
            self.by_request.warm(request_hash) ^ self.newest_of_member.warm(self.hasher.member(member));
        self.warmed = self.warmed.wrapping_add(touched);
    }

    /// What this request id stands for. `collecting` tells whether a collection belongs to the same request.
    pub(crate) fn find_request(
        &self,
        hash: u64,
        member: MemberId,
        request: RequestId,
        records: &Records,
        collecting: impl Fn(u32) -> bool,
    ) -> Option<Known> {
        let found = self.by_request.find(hash, |word| match Known::unpack(word) {
            Known::Collecting(index) => collecting(index),
            Known::Placed(index) => {
                let order = &records.get(index).order;
                order.request_id == request && order.member_id == member
            }
        });
        found.map(Known::unpack)
    }

    /// Notes that a request has begun to collect its lines.
    pub(crate) fn begin_request(&mut self, hash: u64, collect: u32) {
        self.by_request.insert(hash, Known::Collecting(collect).pack());
    }

    /// Notes that a collecting request became the order at `index`.
    pub(crate) fn place_request(&mut self, hash: u64, collect: u32, index: u32) {
        let word = Known::Collecting(collect).pack();
        match self.by_request.find_mut(hash, |known| known == word) {
            Some(known) => *known = Known::Placed(index).pack(),
            None => debug_assert!(false, "a collecting request is in the table"),
        }
    }

    /// Forgets a collecting request.
    pub(crate) fn end_request(&mut self, hash: u64, collect: u32) {
        let was_there = self.by_request.remove(hash, Known::Collecting(collect).pack());
        debug_assert!(was_there, "a collecting request is in the table");
    }

    /// Enters a recovered order's request.
    pub(crate) fn restore_request(&mut self, member: MemberId, request: RequestId, index: u32) {
        let hash = self.hasher.request(member, request);
        self.by_request.insert(hash, Known::Placed(index).pack());
    }

    /// Whether an order may get this number: it is above all others of its slot that were not promised, or was promised
    /// and is not in use.
    pub(crate) fn may_give(&self, number: OrderNo) -> bool {
        let numbers = &self.numbers[number.slot().index()];
        if number.is_promised() { numbers.find(number).is_none() } else { number > numbers.last() }
    }

    /// The last number that was given to an order of a slot when it was placed.
    pub(crate) fn last_number(&self, slot: Slot) -> OrderNo {
        self.numbers[slot.index()].last()
    }

    /// The order with this number.
    pub(crate) fn find_number(&self, number: OrderNo) -> Option<u32> {
        self.numbers[number.slot().index()].find(number)
    }

    /// The member's newest order.
    pub(crate) fn newest_of(&self, member: MemberId, records: &Records) -> Option<u32> {
        let is_members = |index: u32| records.get(index).order.member_id == member;
        self.newest_of_member.find(self.hasher.member(member), is_members)
    }

    /// Enters a newly placed order, or one that comes back, into the tables of numbers and members.
    pub(crate) fn index_order(&mut self, index: u32, is_new: bool, records: &mut Records) {
        let (number, member) = (records.get(index).order.order_no, records.get(index).order.member_id);
        let numbers = &mut self.numbers[number.slot().index()];
        if is_new {
            numbers.push(number, index);
        } else {
            numbers.insert(number, index);
        }
        let hash = self.hasher.member(member);
        let is_members = |other: u32| records.get(other).order.member_id == member;
        let Some(newest) = self.newest_of_member.find_mut(hash, is_members) else {
            return self.newest_of_member.insert(hash, index);
        };
        // The member's orders hang together from the newest to the oldest.
        let (mut after, mut before) = (NONE, *newest);
        while before != NONE && records.get(before).order.order_no > number {
            (after, before) = (before, records.get(before).previous_of_member);
        }
        if after == NONE {
            *newest = index;
        } else {
            records.get_mut(after).previous_of_member = index;
        }
        if before != NONE {
            records.get_mut(before).next_of_member = index;
        }
        let record = records.get_mut(index);
        (record.previous_of_member, record.next_of_member) = (before, after);
    }

    /// Takes an order out of all tables.
    pub(crate) fn forget_order(&mut self, index: u32, records: &mut Records) {
        let record = records.get(index);
        let (before, after) = (record.previous_of_member, record.next_of_member);
        let (number, member) = (record.order.order_no, record.order.member_id);
        let request_hash = self.hasher.request(member, record.order.request_id);
        let was_there = self.by_request.remove(request_hash, Known::Placed(index).pack());
        debug_assert!(was_there, "a placed order's request is in the table");
        self.numbers[number.slot().index()].leave(number);
        if before != NONE {
            records.get_mut(before).next_of_member = after;
        }
        if after != NONE {
            records.get_mut(after).previous_of_member = before;
            return;
        }
        let hash = self.hasher.member(member);
        if before == NONE {
            let was_there = self.newest_of_member.remove(hash, index);
            debug_assert!(was_there, "a member's newest order is in the table");
        } else if let Some(newest) = self.newest_of_member.find_mut(hash, |other| other == index) {
            *newest = before;
        }
    }
}
