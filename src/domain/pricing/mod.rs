//! What an order costs: line prices, coupons, freight, and what is to be paid, each line with its exact part of it.
//!
//! [`quote()`] is the whole calculation. It is called once, when an order is placed; the order keeps the result, and
//! everything later (a price change before payment, a refund of some units) works on that result, never on terms that
//! may have changed since. [`BroughtPrices`] takes its place where a trusted caller has priced the order itself.
//!
//! The rules that hold for every [`Quote`]:
//!
//! - amounts are whole minor units, and nothing is negative but an adjustment;
//! - `pay_amount = goods_amount - discount_amount + adjustment + freight`;
//! - the lines' shares add up to `pay_amount - freight`, so refunds by line give back exactly what the goods cost;
//! - freight stays apart from the lines: whether it goes back with a refund is the shop's choice.
//!
//! Nothing here knows which coupons a member has, how many are left to issue, or where templates are kept: terms come
//! in as arguments. Nothing panics: what exceeds 64 bits is [`Reject::AmountOverflow`].

mod brought;
mod coupon;
mod freight;
mod quote;
mod refund;
mod spread;

#[cfg(test)]
mod tests;

pub use brought::{BROUGHT_SOURCE_BYTES_MAX, BroughtLine, BroughtPrices};
pub use coupon::{
    COUPON_SCOPE_LEN_MAX, COUPON_TITLE_BYTES_MAX, COUPONS_PER_ORDER_MAX, CouponBenefit, CouponCart,
    CouponLine, CouponScope, CouponTerms, CouponUse, HeldCoupon, OrderTypes, PERCENT_BP_MAX, coupon_uses,
};
pub use freight::{
    FREIGHT_NAME_BYTES_MAX, FreightCharge, FreightLine, FreightRule, FreightTemplate, order_freight,
};
pub use quote::{Cart, PriceChange, PricedLine, Quote, QuotedLine, quote};
pub use refund::LineRefund;
pub use spread::{Part, spread, spread_capped};

use super::money::Money;
use super::reject::Reject;

/// The sum of two amounts.
fn add(left: Money, right: Money) -> Result<Money, Reject> {
    left.checked_add(right).ok_or(Reject::AmountOverflow)
}

/// The difference of two amounts.
fn subtract(left: Money, right: Money) -> Result<Money, Reject> {
    left.minor().checked_sub(right.minor()).map(Money::from_minor).ok_or(Reject::AmountOverflow)
}

/// The sum of some amounts.
fn sum(amounts: impl IntoIterator<Item = Money>) -> Result<Money, Reject> {
    amounts.into_iter().try_fold(Money::ZERO, add)
}

/// An amount that was calculated in 128 bits.
fn narrow(minor: i128) -> Result<Money, Reject> {
    i64::try_from(minor).map(Money::from_minor).map_err(|_| Reject::AmountOverflow)
}

/// Checks that an amount is not below zero.
fn check_not_negative(field: &'static str, amount: Money) -> Result<(), Reject> {
    check(!amount.is_negative(), field, "zero or more")
}

/// Checks a condition on a field.
fn check(holds: bool, field: &'static str, expected: &'static str) -> Result<(), Reject> {
    if holds { Ok(()) } else { Err(Reject::InvalidField { field, expected }) }
}
