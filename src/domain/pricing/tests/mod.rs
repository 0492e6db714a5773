//! Tests of prices: tables of the rules, and random carts compared with a naive calculation.

mod brought;
mod coupon;
mod extremes;
mod freight;
mod naive;
mod quote;
mod refund;
mod spread;

use proptest::prelude::*;

use super::*;
use crate::domain::ids::{CouponId, CouponTermsId};
use crate::domain::order_type::OrderType;

const NOW_MS: u64 = 1_800_000_000_000;

fn money(minor: i64) -> Money {
    Money::from_minor(minor)
}

fn moneys(minor: &[i64]) -> Vec<Money> {
    minor.iter().copied().map(money).collect()
}

/// Stackable terms for everything, valid now, without a threshold.
fn terms(id: u64, benefit: CouponBenefit) -> CouponTerms {
    CouponTerms {
        id: CouponTermsId(id),
        title: "a coupon".into(),
        benefit,
        threshold: Money::ZERO,
        scope: CouponScope::All,
        valid_from_ms: NOW_MS,
        valid_until_ms: NOW_MS + 1,
        stackable: true,
        issue_max: 1_000,
        per_member_max: 0,
        order_types: OrderTypes::all(),
    }
}

fn amount_off(minor: i64) -> CouponBenefit {
    CouponBenefit::AmountOff(money(minor))
}

fn percent_off(percent_bp: u16) -> CouponBenefit {
    CouponBenefit::PercentOff { percent_bp, cap: None }
}

fn held(id: u128, terms: &CouponTerms) -> HeldCoupon<'_> {
    HeldCoupon { id: CouponId::new(id), terms }
}

/// A line of SKU `sku` of product `sku / 10`, which weighs nothing and ships free.
fn line(sku: u64, unit_price: i64, quantity: u32) -> PricedLine {
    PricedLine {
        sku: sku.into(),
        product: (sku / 10).into(),
        unit_price: money(unit_price),
        quantity,
        ..PricedLine::default()
    }
}

fn cart(lines: &[PricedLine]) -> Cart<'_> {
    Cart { order_type: OrderType::Normal, now_ms: NOW_MS, lines, coupons: &[], adjustment: Money::ZERO }
}

/// No template exists.
fn no_rules(_: crate::domain::ids::FreightId) -> Option<FreightRule> {
    None
}

/// So many cases; failures are not written beside the sources.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Amounts that are small, usual, or as large as they get; zero among them.
fn any_amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => 0_i64..4,
        4 => 0_i64..100_000,
        1 => (0_i64..1_000).prop_map(|below| i64::MAX - below),
        1 => 0_i64..=i64::MAX,
    ]
}
