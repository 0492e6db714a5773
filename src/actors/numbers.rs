//! Order numbers: unique across restarts and clock steps backwards.
//!
//! The time parts that may be given out are reserved in the journal, range by range, before the first number of a
//! range is used. A restart begins above everything that was ever reserved, so no number is ever given twice.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::ids::{ORDER_NO_EPOCH_MS, ORDER_NO_SEQUENCE_LEN, OrderNo, Slot};

/// How far ahead of the clock a range reaches, in ms. A crash skips at most this much of the number space.
pub(crate) const LEASE_AHEAD_MS: u64 = 20_000;
/// A range is renewed when less than this is left of it, in ms.
pub(crate) const LEASE_RENEW_MS: u64 = 10_000;

/// The range of number times that is durably reserved: shared by all order actors, moved by the engine.
#[derive(Debug, Default)]
pub(crate) struct NumberLease {
    from_ms: AtomicU64,
    until_ms: AtomicU64,
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

    /// The next number after `last` in a slot; `None` where the range is used up.
    pub(crate) fn next(&self, slot: Slot, last: OrderNo, now_ms: u64) -> Option<OrderNo> {
        let until_ms = self.until_ms();
        // A clock that has jumped ahead of the range doesn't stop sales: numbers stay inside and lag behind it.
        let now_ms = Self::number_time(now_ms).min(until_ms.saturating_sub(1));
        let earliest = now_ms.max(self.from_ms.load(Ordering::Acquire));
        let next = if last.get() == 0 || earliest > last.time_ms() {
            OrderNo::compose(earliest, slot, 0)
        } else if last.sequence() + 1 < ORDER_NO_SEQUENCE_LEN {
            OrderNo::compose(last.time_ms(), slot, last.sequence() + 1)
        } else {
            OrderNo::compose(last.time_ms() + 1, slot, 0)
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
        for _ in 0..=ORDER_NO_SEQUENCE_LEN {
            last = lease.next(slot, last, ORDER_NO_EPOCH_MS + 10).unwrap();
        }
        assert_eq!((last.time_ms(), last.sequence()), (11, 0));
    }

    #[test]
    fn numbers_stay_inside_the_reserved_range() {
        let lease = lease(500, 502);
        let slot = Slot::default();
        // The clock stepped back behind an earlier run's range: numbers start above it all the same.
        let first = lease.next(slot, OrderNo::default(), ORDER_NO_EPOCH_MS).unwrap();
        assert_eq!(first.time_ms(), 500);
        let beyond = OrderNo::compose(501, slot, ORDER_NO_SEQUENCE_LEN - 1);
        assert_eq!(lease.next(slot, beyond, ORDER_NO_EPOCH_MS), None);
        let ahead = lease.next(slot, first, ORDER_NO_EPOCH_MS + 9_999).unwrap();
        assert_eq!(ahead.time_ms(), 501);
    }
}
