//! Refunding some units of a line, so that all refunds of the line together give back its share exactly.
//!
//! A share seldom divides by the quantity: three units paid with 10.00 are 3.33, 3.33 and 3.34. The refund of some
//! units is the difference of two roundings of one running total, so the parts add up however the units are split over
//! refunds, and each unit's refund is within one minor unit of the others'.

use super::check_not_negative;
use crate::domain::money::Money;
use crate::domain::reject::Reject;

/// A refund of some units of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRefund {
    /// What was paid for the whole line: its share of the order, without freight; not negative.
    pub share: Money,
    /// Units of the line.
    pub quantity: u32,
    /// Units of it that were refunded before.
    pub refunded: u32,
    /// Units to refund now, at least one.
    pub units: u32,
}

impl LineRefund {
    /// What goes back for the units: `floor(share * (refunded + units) / quantity) - floor(share * refunded /
    /// quantity)`.
    ///
    /// # Errors
    /// [`Reject::InvalidField`] for a negative share or no units; [`Reject::RefundAboveQuantity`] for more units than
    /// are left.
    pub fn amount(&self) -> Result<Money, Reject> {
        check_not_negative("refund.share", self.share)?;
        super::check(self.units > 0, "refund.units", "at least 1")?;
        let left = self.quantity.saturating_sub(self.refunded);
        if self.units > left {
            return Err(Reject::RefundAboveQuantity { units: self.units, left });
        }
        // The quantity is at least one here, because there are units left.
        let running =
            |units: u32| i128::from(self.share.minor()) * i128::from(units) / i128::from(self.quantity);
        super::narrow(running(self.refunded + self.units) - running(self.refunded))
    }
}
