//! Order numbers: unique across restarts and clock steps backwards.
//!
//! The time parts that may be given out are reserved in the journal, range by range, before the first number of a
//! range is used. A restart begins above everything that was ever reserved, so no number is ever given twice.
//!
//! Numbers have two sources. The order actor numbers an order when it places it; the front door numbers a submission
//! that is answered with a promise, before anybody knows whether it becomes an order. Each source has sequences of its
//! own ([`ORDER_NO_PROMISED_FROM`]), so the two never meet and need no lock between them. Numbers of one slot increase
//! *within a source*: the actor's in the order of placing, the door's in the order of promising. An order whose number
//! was promised may therefore be placed after one with a higher number.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::ids::{
    ORDER_NO_EPOCH_MS, ORDER_NO_PROMISED_FROM, ORDER_NO_SEQUENCE_LEN, OrderNo, SLOTS, Slot,
};

/// How far ahead of the clock a range reaches, in ms. A crash skips at most this much of the number space.
pub(crate) const LEASE_AHEAD_MS: u64 = 20_000;
/// A range is renewed when less than this is left of it, in ms.
pub(crate) const LEASE_RENEW_MS: u64 = 10_000;

/// The range of number times that is durably reserved: shared by all order actors and the front door, moved by the
/// engine.
#[derive(Debug)]
pub(crate) struct NumberLease {
    from_ms: AtomicU64,
    until_ms: AtomicU64,
    /// The last number that the front door promised, by slot.
    promised: Box<[AtomicU64]>,
}

impl Default for NumberLease {
    fn default() -> Self {
        Self {
            from_ms: AtomicU64::default(),
            until_ms: AtomicU64::default(),
            promised: (0..SLOTS).map(|_| AtomicU64::default()).collect(),
        }
    }
}

impl NumberLease {
    /// Starts at the end of what earlier runs reserved.
    pub(crate) fn start_at(&self, from_ms: u64) {
        self.from_ms.store(from_ms, Ordering::Release);
        self.until_ms.store(from_ms, Ordering::Release);
    }

    /// Makes numbers up to `until_ms` (exclusive) available, once their reservation is durable.
    pub(crate) fn extend_to(&self, until_ms: u64) {
        self.until_ms.fetch_max(until_ms, Ordering::AcqRel);
    }

    /// The exclusive end of the range.
    pub(crate) fn until_ms(&self) -> u64 {
        self.until_ms.load(Ordering::Acquire)
    }

    /// The time part of the engine clock.
    pub(crate) fn number_time(now_ms: u64) -> u64 {
        now_ms.saturating_sub(ORDER_NO_EPOCH_MS)
    }

    /// The order actor's next number after `last`, its own last one, in a slot; `None` where the range is used up.
    pub(crate) fn next(&self, slot: Slot, last: OrderNo, now_ms: u64) -> Option<OrderNo> {
        self.next_of(slot, last, now_ms, 0..ORDER_NO_PROMISED_FROM)
    }

    /// The front door's next number in a slot; `None` where the range is used up. Never given again, whatever becomes of
    /// the submission that it is for.
    pub(crate) fn promise(&self, slot: Slot, now_ms: u64) -> Option<OrderNo> {
        let cell = &self.promised[slot.index()];
        // Relaxed: the number itself is all that goes through the cell.
        let mut last = cell.load(Ordering::Relaxed);
        loop {
            let sequences = ORDER_NO_PROMISED_FROM..ORDER_NO_SEQUENCE_LEN;
            let next = self.next_of(slot, OrderNo::from_u64(last).unwrap_or_default(), now_ms, sequences)?;
            match cell.compare_exchange_weak(last, next.get(), Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(next),
                Err(newer) => last = newer,
            }
        }
    }

    #[inline]
    fn next_of(&self, slot: Slot, last: OrderNo, now_ms: u64, sequences: Range<u64>) -> Option<OrderNo> {
        let until_ms = self.until_ms();
        // A clock that has jumped ahead of the range doesn't stop sales: numbers stay inside and lag behind it.
        let now_ms = Self::number_time(now_ms).min(until_ms.saturating_sub(1));
        let earliest = now_ms.max(self.from_ms.load(Ordering::Acquire));
        let next = if last.get() == 0 || earliest > last.time_ms() {
            OrderNo::compose(earliest, slot, sequences.start)
        } else if last.sequence() + 1 < sequences.end {
            OrderNo::compose(last.time_ms(), slot, last.sequence() + 1)
        } else {
            OrderNo::compose(last.time_ms() + 1, slot, sequences.start)
        };
        (next.time_ms() < until_ms).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(from_ms: u64, until_ms: u64) -> NumberLease {
        let lease = NumberLease::default();
        lease.start_at(from_ms);
        lease.extend_to(until_ms);
        lease
    }

    #[test]
    fn numbers_increase_within_a_slot_whatever_the_clock_does() {
        let lease = lease(0, 1_000_000);
        let slot = Slot::from_index(5).unwrap();
        let mut last = OrderNo::default();
        for now in [100, 100, 100, 50, 0, 101, 99] {
            let next = lease.next(slot, last, ORDER_NO_EPOCH_MS + now).unwrap();
            assert!(next > last, "{next} after {last}");
            assert_eq!(next.slot(), slot);
            last = next;
        }
    }

    #[test]
    fn a_full_millisecond_borrows_from_the_next() {
        let lease = lease(0, 1_000_000);
        let slot = Slot::default();
        let mut last = OrderNo::default();
        for _ in 0..=ORDER_NO_PROMISED_FROM {
            last = lease.next(slot, last, ORDER_NO_EPOCH_MS + 10).unwrap();
        }
        assert_eq!((last.time_ms(), last.sequence()), (11, 0));
        for _ in ORDER_NO_PROMISED_FROM..=ORDER_NO_SEQUENCE_LEN {
            last = lease.promise(slot, ORDER_NO_EPOCH_MS + 10).unwrap();
        }
        assert_eq!((last.time_ms(), last.sequence()), (11, ORDER_NO_PROMISED_FROM));
    }

    #[test]
    fn promised_numbers_and_those_of_the_actor_never_meet() {
        let lease = lease(0, 1_000_000);
        let slot = Slot::from_index(5).unwrap();
        let mut last = OrderNo::default();
        let (mut given, mut promised) = (std::collections::BTreeSet::new(), Vec::new());
        for nth in 0..3 * ORDER_NO_SEQUENCE_LEN {
            let now_ms = ORDER_NO_EPOCH_MS + 100 + nth % 3;
            last = lease.next(slot, last, now_ms).unwrap();
            promised.push(lease.promise(slot, now_ms).unwrap());
            assert!(given.insert(last) && given.insert(promised[promised.len() - 1]));
            assert!(!last.is_promised() && promised[promised.len() - 1].is_promised());
        }
        assert!(promised.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn promises_from_several_threads_differ_and_stay_inside_the_reserved_range() {
        let lease = lease(500, 502);
        let slot = Slot::default();
        let promise = || {
            let numbers = std::iter::from_fn(|| lease.promise(slot, ORDER_NO_EPOCH_MS));
            numbers.collect::<Vec<_>>()
        };
        let mut all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(promise)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        all.sort_unstable();
        all.dedup();
        // Two milliseconds, all of their promised sequences, and not one number more.
        assert_eq!(all.len() as u64, 2 * (ORDER_NO_SEQUENCE_LEN - ORDER_NO_PROMISED_FROM));
        assert_eq!((all[0].time_ms(), all[all.len() - 1].time_ms()), (500, 501));
    }

    #[test]
    fn numbers_stay_inside_the_reserved_range() {
        let lease = lease(500, 502);
        let slot = Slot::default();
        // The clock stepped back behind an earlier run's range: numbers start above it all the same.
        let first = lease.next(slot, OrderNo::default(), ORDER_NO_EPOCH_MS).unwrap();
        assert_eq!(first.time_ms(), 500);
        let beyond = OrderNo::compose(501, slot, ORDER_NO_PROMISED_FROM - 1);
        assert_eq!(lease.next(slot, beyond, ORDER_NO_EPOCH_MS), None);
        let ahead = lease.next(slot, first, ORDER_NO_EPOCH_MS + 9_999).unwrap();
        assert_eq!(ahead.time_ms(), 501);
    }
}
