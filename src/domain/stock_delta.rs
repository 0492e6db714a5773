//! What events do to stock: the one place that says it, for replay, for checkpoints and for counting at a position.
//!
//! Stock actors don't go by it while they run: they decide first, and what they decided is what the event says. The
//! auditor has its own reading of the events, so that a mistake here shows.

use super::coupon::CouponEvent;
use super::event::{Event, StockUnits};
use super::ids::StockKey;
use super::stock::StockCounters;
use super::team::TeamEvent;

/// What events add to one stock key. Sums don't depend on the order of their parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StockDelta {
    /// Units added to the total.
    pub(crate) total: i64,
    /// Units added to what is reserved.
    pub(crate) reserved: i64,
    /// Units added to what is sold.
    pub(crate) sold: i64,
}

impl StockDelta {
    fn total(units: i64) -> Self {
        Self { total: units, ..Self::default() }
    }

    fn reserved(quantity: u32) -> Self {
        Self { reserved: i64::from(quantity), ..Self::default() }
    }

    fn sold(quantity: u32) -> Self {
        Self { sold: i64::from(quantity), ..Self::default() }
    }

    fn negated(self) -> Self {
        Self { total: -self.total, reserved: -self.reserved, sold: -self.sold }
    }

    /// Adds another sum.
    pub(crate) fn add(&mut self, other: Self) {
        self.total += other.total;
        self.reserved += other.reserved;
        self.sold += other.sold;
    }

    /// What it adds to the available units.
    pub(crate) fn available(self) -> i64 {
        self.total - self.reserved - self.sold
    }

    /// The counters that a key's whole history adds up to; `None` where one would be negative.
    pub(crate) fn counters(self) -> Option<StockCounters> {
        let units = |value: i64| u64::try_from(value).ok();
        Some(StockCounters {
            total: units(self.total)?,
            available: units(self.available())?,
            held: 0,
            reserved: units(self.reserved)?,
            sold: units(self.sold)?,
        })
    }
}

impl Event {
    /// Calls `each` with every stock key that it concerns, and what it adds there. A key may come more than once, and
    /// with nothing added.
    pub(crate) fn stock_changes(&self, mut each: impl FnMut(StockKey, StockDelta)) {
        match self {
            Self::StockAdjusted { key, delta, .. } => each(*key, StockDelta::total(*delta)),
            Self::StockTransferred { from, to, units, .. } => {
                // Bounded by what a key may hold, so the conversion can't fail.
                let moved = StockDelta::total(i64::try_from(*units).unwrap_or(i64::MAX));
                each(*from, moved.negated());
                each(*to, moved);
            }
            Self::OrderCreated(created) => {
                created.lines.iter().for_each(|line| each(line.key, StockDelta::reserved(line.quantity)));
            }
            Self::OrderPaid { units, .. } => {
                for StockUnits { key, quantity } in units {
                    each(
                        *key,
                        StockDelta {
                            sold: i64::from(*quantity),
                            ..StockDelta::reserved(*quantity).negated()
                        },
                    );
                }
            }
            Self::OrderClosed { units, .. } => {
                units
                    .iter()
                    .for_each(|units| each(units.key, StockDelta::reserved(units.quantity).negated()));
            }
            Self::OrderRevived { units, .. } => {
                units.iter().for_each(|units| each(units.key, StockDelta::reserved(units.quantity)));
            }
            Self::Order { what, .. } => {
                let restocked = what.restocked().iter();
                restocked.for_each(|units| each(units.key, StockDelta::sold(units.quantity).negated()));
            }
            Self::Team(TeamEvent::Opened { team, activity, size, .. }) => {
                each(StockKey::seats(*activity, *team), StockDelta::total(i64::from(*size)));
            }
            Self::Coupon(event) => {
                if let CouponEvent::Issued { step } = &**event {
                    each(StockKey::coupons(step.coupon.terms()), StockDelta::sold(1));
                }
            }
            // Named one by one: a new event has to say here what it does to stock.
            Self::NumbersReserved { .. }
            | Self::SkuPut { .. }
            | Self::PaymentStarted { .. }
            | Self::PaymentReceived { .. }
            | Self::OrderShipped { .. }
            | Self::OrderReceived { .. }
            | Self::RefundRequired { .. }
            | Self::LimitImported { .. }
            | Self::SettingPut { .. }
            | Self::Task(_)
            | Self::PaymentUnmatched { .. }
            | Self::UnmatchedRefund { .. }
            | Self::Team(_)
            | Self::OperatorActed(_) => {}
        }
    }

    /// What it adds to the available units of a stock key.
    pub fn available_change(&self, key: &StockKey) -> i64 {
        let mut sum = StockDelta::default();
        self.stock_changes(|changed, delta| {
            if changed == *key {
                sum.add(delta);
            }
        });
        sum.available()
    }
}
