//! Stock of one key: the counters of R1 and the hold protocol of R2 and R3.
//!
//! Units move `available → held → reserved → sold` and back. *Held* units belong to an order that is still
//! collecting its other lines: they may come back any moment, so a request that they would satisfy waits (parks)
//! instead of being told "sold out". Parked requests are served strictly in order of arrival.
//!
//! The type knows no actors and no journal. Its naive twin, which answers by replaying the whole history, is the
//! oracle of its property tests.

use std::collections::VecDeque;

use super::hash::{RecordHasher, kinds};
use super::ids::StockKey;
use super::reject::Reject;
use super::request::StockChange;

/// Most units that one stock key may hold.
pub const STOCK_TOTAL_MAX: u64 = 1 << 40;

/// The counters of one stock key. `total = available + held + reserved + sold`, always (R1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StockCounters {
    /// All units there are, sold ones included.
    pub total: u64,
    /// Units that the next order can have.
    pub available: u64,
    /// Units set aside for orders that are still collecting their lines; never journaled.
    pub held: u64,
    /// Units of orders that are placed and not paid.
    pub reserved: u64,
    /// Units of orders that are paid.
    pub sold: u64,
}

impl StockCounters {
    /// Whether R1 holds.
    pub fn balanced(&self) -> bool {
        self.available
            .checked_add(self.held)
            .and_then(|sum| sum.checked_add(self.reserved))
            .and_then(|sum| sum.checked_add(self.sold))
            == Some(self.total)
    }

    /// This key's part of the state hash. Held units count as available, because no event tells them apart (R7).
    pub fn record_hash(&self, key: &StockKey) -> u64 {
        key.fold_into(RecordHasher::new(kinds::STOCK))
            .word(self.total)
            .word(self.available + self.held)
            .word(self.reserved)
            .word(self.sold)
            .finish()
    }
}

/// The answer to a request for units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldAnswer {
    /// The units are held for the caller.
    Granted,
    /// The units are truly not there.
    Refused,
    /// The units may come back: the answer follows from [`HoldBook::resolve_parked`].
    Parked,
}

/// A parked request.
#[derive(Clone, Copy, Debug)]
struct Parked<W> {
    waiter: W,
    quantity: u64,
}

/// The counters of one stock key and the requests waiting for it. `W` names a waiter.
///
/// Every method keeps R1 and panics where a caller moves more units than there are: that is a bug, and an actor
/// whose counters can't be trusted must stop the engine (R13).
#[derive(Clone, Debug)]
pub struct HoldBook<W> {
    counters: StockCounters,
    /// Available units that are kept back from sale.
    safety: u64,
    parked: VecDeque<Parked<W>>,
}

impl<W> Default for HoldBook<W> {
    fn default() -> Self {
        Self::new(StockCounters::default())
    }
}

impl<W> HoldBook<W> {
    /// A book with the given counters and nobody waiting.
    ///
    /// # Panics
    /// If the counters break R1.
    pub fn new(counters: StockCounters) -> Self {
        assert!(counters.balanced(), "R1: {counters:?} don't add up");
        Self { counters, safety: 0, parked: VecDeque::new() }
    }

    /// The counters as they stand.
    pub fn counters(&self) -> StockCounters {
        self.counters
    }

    /// Keeps so many available units back from sale, from now on.
    pub fn keep_back(&mut self, units: u64) {
        self.safety = units;
    }

    /// Available units that are for sale.
    pub fn for_sale(&self) -> u64 {
        self.counters.available.saturating_sub(self.safety)
    }

    /// How many requests are parked.
    pub fn parked_len(&self) -> usize {
        self.parked.len()
    }

    /// Nothing held and nobody waiting: the counters are all there is.
    pub fn is_quiet(&self) -> bool {
        self.counters.held == 0 && self.parked.is_empty()
    }

    /// Asks for `quantity` units. `returning` counts the units that are on their way back from closed orders.
    ///
    /// Granted only if nobody is waiting already; refused only if even all units that may come back would not do.
    pub fn hold(&mut self, waiter: W, quantity: u32, returning: u64) -> HoldAnswer {
        let quantity = u64::from(quantity);
        if self.parked.is_empty() && quantity <= self.for_sale() {
            self.grant(quantity);
            return HoldAnswer::Granted;
        }
        if quantity > self.within_reach(returning) {
            return HoldAnswer::Refused;
        }
        self.parked.push_back(Parked { waiter, quantity });
        HoldAnswer::Parked
    }

    /// Answers the parked requests that can be answered, in order of arrival: `answer(waiter, granted)`.
    ///
    /// To be called after every change, with the units returning *then*; stops at the first request that has to
    /// go on waiting.
    pub fn resolve_parked(&mut self, returning: u64, mut answer: impl FnMut(W, bool)) {
        while let Some(first) = self.parked.front() {
            let quantity = first.quantity;
            let granted = quantity <= self.for_sale();
            if !granted && quantity <= self.within_reach(returning) {
                return;
            }
            if granted {
                self.grant(quantity);
            }
            if let Some(first) = self.parked.pop_front() {
                answer(first.waiter, granted);
            }
        }
    }

    /// Held units become reserved: their order is placed.
    pub fn settle(&mut self, units: u64) {
        let Self { counters, .. } = self;
        Self::shift(&mut counters.held, &mut counters.reserved, units);
    }

    /// Available units become reserved at once: they came into being for the order that has them.
    pub fn seize(&mut self, units: u64) {
        let Self { counters, .. } = self;
        Self::shift(&mut counters.available, &mut counters.reserved, units);
    }

    /// Held units become available: their order could not be placed.
    pub fn give_back(&mut self, units: u64) {
        let Self { counters, .. } = self;
        Self::shift(&mut counters.held, &mut counters.available, units);
    }

    /// Reserved units become available: their order was closed.
    pub fn release(&mut self, units: u64) {
        let Self { counters, .. } = self;
        Self::shift(&mut counters.reserved, &mut counters.available, units);
    }

    /// Reserved units become sold: their order was paid.
    pub fn sell(&mut self, units: u64) {
        let Self { counters, .. } = self;
        Self::shift(&mut counters.reserved, &mut counters.sold, units);
    }

    /// Sold units become available: they were refunded, and go back on sale.
    pub fn take_back(&mut self, units: u64) {
        let Self { counters, .. } = self;
        Self::shift(&mut counters.sold, &mut counters.available, units);
    }

    /// What `change` would add to the total (negative: take away), without doing it. What a count at an earlier position
    /// comes to is no question of the counters as they are: its caller says so in `counted`.
    ///
    /// # Errors
    /// [`Reject::StockOverflow`] above [`STOCK_TOTAL_MAX`]; [`Reject::StockBelowZero`] where it would need more
    /// units than are available.
    pub fn check_adjustment(&self, change: StockChange, counted: i64) -> Result<i64, Reject> {
        let StockCounters { total, available, .. } = self.counters;
        let total = i128::from(total);
        let target = match change {
            StockChange::Absolute(target) => i128::from(target),
            StockChange::Relative(delta) => total + i128::from(delta),
            StockChange::AvailableAt { .. } => total + i128::from(counted),
            StockChange::Transfer { units, .. } => total - i128::from(units),
        };
        if target > i128::from(STOCK_TOTAL_MAX) {
            return Err(Reject::StockOverflow { total_max: STOCK_TOTAL_MAX });
        }
        let needed = u64::try_from((total - target).max(0)).unwrap_or(u64::MAX);
        if needed > available {
            return Err(Reject::StockBelowZero { needed, available });
        }
        // Nothing goes below zero or above 2^40 here, so the difference fits.
        Ok((target - total) as i64)
    }

    /// Changes the total by a delta that [`HoldBook::check_adjustment`] allowed.
    ///
    /// # Panics
    /// If it takes away more than is available.
    pub fn adjust(&mut self, delta: i64) {
        let units = delta.unsigned_abs();
        let Self { counters, .. } = self;
        if delta >= 0 {
            counters.total += units;
            counters.available += units;
        } else {
            assert!(units <= counters.available, "R1: {units} units taken from {counters:?}");
            counters.total -= units;
            counters.available -= units;
        }
    }

    /// Takes available units out: they go to another key.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn send(&mut self, units: u64) {
        let Self { counters, .. } = self;
        assert!(units <= counters.available, "R1: {units} units sent from {counters:?}");
        counters.total -= units;
        counters.available -= units;
    }

    /// Puts in units that come from another key.
    pub fn receive(&mut self, units: u64) {
        let Self { counters, .. } = self;
        counters.total += units;
        counters.available += units;
    }

    /// Units that a request may still get without a new supply.
    fn within_reach(&self, returning: u64) -> u64 {
        let all = self.counters.available.saturating_add(self.counters.held).saturating_add(returning);
        all.saturating_sub(self.safety)
    }

    fn grant(&mut self, quantity: u64) {
        let Self { counters, .. } = self;
        Self::shift(&mut counters.available, &mut counters.held, quantity);
    }

    fn shift(from: &mut u64, to: &mut u64, units: u64) {
        assert!(units <= *from, "R1: {units} units moved where only {from} are");
        *from -= units;
        *to += units;
    }
}
