//! What an order's price rests on beside the prices of its lines, and what the order takes part in.

use serde::{Deserialize, Serialize};

use crate::domain::hash::RecordHasher;
use crate::domain::ids::{ActivityId, CouponId, CouponTermsId, TeamId};
use crate::domain::money::Money;

/// A coupon that an order uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpentCoupon {
    /// Which.
    pub coupon: CouponId,
    /// Its definition.
    pub terms: CouponTermsId,
    /// What it takes off.
    pub amount: Money,
    /// Exclusive end of its validity, in ms since the Unix epoch: closed before then, the order gives it back.
    pub valid_until_ms: u64,
}

/// The terms of an order whose price is not just the sum of price times quantity, or that takes part in something.
///
/// `pay_amount = sum(price × quantity) − sum(discounts) + sum(adjustments) + freight`, each line's share at least zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderTerms {
    /// The session or campaign; 0 for none.
    pub activity_id: ActivityId,
    /// The team; 0 for none.
    pub team_id: TeamId,
    /// What carriage costs.
    pub freight: Money,
    /// What each line is reduced by, in the order of the lines; empty where none is.
    pub discounts: Vec<Money>,
    /// What the shop has changed about each line's price since, in the order of the lines, negative where it is lower;
    /// empty where it has changed nothing.
    pub adjustments: Vec<Money>,
    /// The coupons in use.
    pub coupons: Vec<SpentCoupon>,
    /// Who made the prices, where they were brought along by a trusted caller.
    pub price_source: Option<Box<str>>,
}

impl OrderTerms {
    /// Folds everything into a record's hash.
    #[must_use]
    pub(super) fn fold_into(&self, hash: RecordHasher) -> RecordHasher {
        let mut hash = hash
            .word(self.activity_id.0)
            .word(self.team_id.0)
            .word(self.freight.minor() as u64)
            .word(self.discounts.len() as u64)
            .word(self.adjustments.len() as u64)
            .word(self.coupons.len() as u64);
        for amount in self.discounts.iter().chain(&self.adjustments) {
            hash = hash.word(amount.minor() as u64);
        }
        for coupon in &self.coupons {
            hash = hash
                .word(coupon.coupon.words()[0])
                .word(coupon.coupon.words()[1])
                .word(coupon.terms.0)
                .word(coupon.amount.minor() as u64)
                .word(coupon.valid_until_ms);
        }
        hash.optional_bytes(self.price_source.as_deref().map(str::as_bytes))
    }

    /// What is off the price of the line with this index, in minor units; negative where the line costs more.
    pub fn reduction_of(&self, line: usize) -> i128 {
        let at = |amounts: &[Money]| amounts.get(line).map_or(0, |amount| i128::from(amount.minor()));
        at(&self.discounts) - at(&self.adjustments)
    }
}
