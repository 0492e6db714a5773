//! Coupons: when one may be used, what it takes off, and how several go together.

use super::*;
use crate::domain::ids::{ProductId, SkuId};

/// Lines of SKUs 10, 11 and 20 (products 1, 1 and 2) for 60.00, 30.00 and 10.00.
fn lines() -> Vec<CouponLine> {
    let line =
        |sku: u64, amount| CouponLine { sku: sku.into(), product: (sku / 10).into(), amount: money(amount) };
    vec![line(10, 6_000), line(11, 3_000), line(20, 1_000)]
}

fn uses(coupons: &[HeldCoupon<'_>]) -> Result<Vec<CouponUse>, Reject> {
    let lines = lines();
    coupon_uses(&CouponCart { order_type: OrderType::Normal, now_ms: NOW_MS, lines: &lines }, coupons)
}

/// What one coupon takes off each line.
fn by_line(terms: &CouponTerms) -> Result<Vec<Money>, Reject> {
    uses(&[held(1, terms)]).map(|mut uses| uses.remove(0).by_line)
}

fn scoped(benefit: CouponBenefit, scope: CouponScope) -> CouponTerms {
    CouponTerms { scope, ..terms(1, benefit) }
}

#[test]
fn a_discount_is_spread_over_the_lines_in_scope() {
    let all = terms(1, amount_off(1_000));
    assert_eq!(by_line(&all), Ok(moneys(&[600, 300, 100])));
    let product = scoped(amount_off(1_000), CouponScope::Products(vec![ProductId(1)]));
    assert_eq!(by_line(&product), Ok(moneys(&[667, 333, 0])));
    let sku = scoped(percent_off(2_500), CouponScope::Skus(vec![SkuId(10), SkuId(20)]));
    assert_eq!(by_line(&sku), Ok(moneys(&[1_500, 0, 250])));
}

#[test]
fn a_discount_ends_at_its_cap_and_at_what_the_lines_cost() {
    let capped = terms(1, CouponBenefit::PercentOff { percent_bp: 5_000, cap: Some(money(100)) });
    assert_eq!(by_line(&capped), Ok(moneys(&[60, 30, 10])));
    let sku = scoped(amount_off(5_000), CouponScope::Skus(vec![SkuId(20)]));
    assert_eq!(by_line(&sku), Ok(moneys(&[0, 0, 1_000])));
    assert_eq!(by_line(&terms(1, percent_off(PERCENT_BP_MAX))), Ok(moneys(&[6_000, 3_000, 1_000])));
    // 0.01 % of 99.99 is less than a unit, of 100.00 it is one.
    assert_eq!(by_line(&terms(1, percent_off(1))), Ok(moneys(&[1, 0, 0])));
}

#[test]
fn percentages_come_before_amounts_then_terms_then_coupons() {
    let (amount, percent) = (terms(1, amount_off(1_000)), terms(2, percent_off(1_000)));
    let last = terms(9, percent_off(1_000));
    // 10 % of 100.00, 10 % of 90.00, twice 10.00.
    let expected = [(7, 2, 1_000), (1, 9, 900), (5, 1, 1_000), (6, 1, 1_000)];
    let mut coupons = [held(6, &amount), held(7, &percent), held(1, &last), held(5, &amount)];
    for _ in 0..4 {
        coupons.rotate_left(1);
        let uses = uses(&coupons).unwrap();
        let order: Vec<_> =
            uses.iter().map(|used| (used.coupon.get(), used.terms.0, used.amount.minor())).collect();
        assert_eq!(order, expected);
    }
}

#[test]
fn each_coupon_works_on_what_the_ones_before_it_left() {
    let one = scoped(percent_off(5_000), CouponScope::Skus(vec![SkuId(10)]));
    let rest = terms(2, amount_off(700));
    let uses = uses(&[held(1, &one), held(2, &rest)]).unwrap();
    assert_eq!(uses[0].by_line, moneys(&[3_000, 0, 0]));
    // 30.00, 30.00 and 10.00 are left.
    assert_eq!(uses[1].by_line, moneys(&[300, 300, 100]));
}

#[test]
fn conditions_hold_at_their_bounds_and_not_beyond() {
    let coupon = CouponId::new(1);
    let base = terms(1, amount_off(100));
    let cases: Vec<(CouponTerms, Option<Reject>)> = vec![
        (base.clone(), None),
        (
            CouponTerms { valid_from_ms: NOW_MS + 1, valid_until_ms: NOW_MS + 2, ..base.clone() },
            Some(Reject::CouponNotYetValid { coupon, valid_from_ms: NOW_MS + 1 }),
        ),
        (
            CouponTerms { valid_from_ms: 0, valid_until_ms: NOW_MS, ..base.clone() },
            Some(Reject::CouponExpired { coupon, valid_until_ms: NOW_MS }),
        ),
        (CouponTerms { order_types: OrderTypes::of(&[OrderType::Normal]), ..base.clone() }, None),
        (
            CouponTerms {
                order_types: OrderTypes::of(&[OrderType::Seckill, OrderType::GroupBuy]),
                ..base.clone()
            },
            Some(Reject::CouponWrongOrderType { coupon, order_type: OrderType::Normal }),
        ),
        (
            CouponTerms { scope: CouponScope::Skus(vec![SkuId(1)]), ..base.clone() },
            Some(Reject::CouponOutOfScope { coupon }),
        ),
        (
            CouponTerms { scope: CouponScope::Products(vec![ProductId(3)]), ..base.clone() },
            Some(Reject::CouponOutOfScope { coupon }),
        ),
        (CouponTerms { threshold: money(10_000), ..base.clone() }, None),
        (
            CouponTerms { threshold: money(10_001), ..base.clone() },
            Some(Reject::CouponBelowThreshold { coupon, threshold: money(10_001), amount: money(10_000) }),
        ),
        // Only what is in scope counts.
        (
            CouponTerms {
                threshold: money(9_001),
                scope: CouponScope::Products(vec![ProductId(1)]),
                ..base.clone()
            },
            Some(Reject::CouponBelowThreshold { coupon, threshold: money(9_001), amount: money(9_000) }),
        ),
        (terms(1, CouponBenefit::PercentOff { percent_bp: 1, cap: None }), None),
    ];
    for (terms, reject) in cases {
        assert_eq!(by_line(&terms).err(), reject, "{terms:?}");
    }
}

#[test]
fn a_threshold_is_measured_before_other_coupons() {
    let half = terms(1, percent_off(5_000));
    let whole = CouponTerms { threshold: money(10_000), ..terms(2, amount_off(100)) };
    assert_eq!(uses(&[held(1, &half), held(2, &whole)]).unwrap().len(), 2);
}

#[test]
fn coupons_that_cannot_go_together_are_refused() {
    let stackable = terms(1, amount_off(100));
    let alone = CouponTerms { stackable: false, ..terms(2, amount_off(100)) };
    assert_eq!(by_line(&alone), Ok(moneys(&[60, 30, 10])));
    let not_stackable = Err(Reject::CouponNotStackable { coupon: CouponId::new(2) });
    assert_eq!(uses(&[held(2, &alone), held(1, &stackable)]), not_stackable);
    assert_eq!(uses(&[held(1, &stackable), held(2, &alone)]), not_stackable);
    let repeated = Err(Reject::CouponRepeated { coupon: CouponId::new(1) });
    assert_eq!(uses(&[held(1, &stackable), held(2, &stackable), held(1, &stackable)]), repeated);

    let many = |len: usize| (0..len as u128).map(|id| held(id, &stackable)).collect::<Vec<_>>();
    assert_eq!(uses(&many(COUPONS_PER_ORDER_MAX)).unwrap().len(), COUPONS_PER_ORDER_MAX);
    let coupons = COUPONS_PER_ORDER_MAX + 1;
    let too_many = Err(Reject::TooManyCoupons { coupons, coupons_max: COUPONS_PER_ORDER_MAX });
    assert_eq!(uses(&many(coupons)), too_many);
}

#[test]
fn a_coupon_that_takes_nothing_off_is_not_used_up() {
    let (everything, more) = (terms(1, amount_off(10_000)), terms(2, amount_off(1)));
    let reject = Err(Reject::CouponWithoutEffect { coupon: CouponId::new(2) });
    assert_eq!(uses(&[held(1, &everything), held(2, &more)]), reject);
}

#[test]
fn bad_terms_are_refused() {
    type Spoil = fn(&mut CouponTerms);
    let cases: &[(&str, Spoil)] = &[
        ("coupon.amount_off", |terms| terms.benefit = amount_off(0)),
        ("coupon.amount_off", |terms| terms.benefit = amount_off(-1)),
        ("coupon.percent_bp", |terms| terms.benefit = percent_off(0)),
        ("coupon.percent_bp", |terms| terms.benefit = percent_off(PERCENT_BP_MAX + 1)),
        ("coupon.cap", |terms| {
            terms.benefit = CouponBenefit::PercentOff { percent_bp: 1, cap: Some(Money::ZERO) };
        }),
        ("coupon.threshold", |terms| terms.threshold = money(-1)),
        ("coupon.scope", |terms| terms.scope = CouponScope::Products(vec![])),
        ("coupon.scope", |terms| terms.scope = CouponScope::Skus(vec![SkuId(1), SkuId(1)])),
        ("coupon.scope", |terms| terms.scope = CouponScope::Skus(vec![SkuId(2), SkuId(1)])),
        ("coupon.scope", |terms| {
            let ids = 0..=COUPON_SCOPE_LEN_MAX as u64;
            terms.scope = CouponScope::Products(ids.map(ProductId).collect());
        }),
        ("coupon.valid_until_ms", |terms| terms.valid_until_ms = terms.valid_from_ms),
        ("coupon.order_types", |terms| terms.order_types = OrderTypes::of(&[])),
    ];
    for (wrong, spoil) in cases {
        let mut terms = terms(1, amount_off(1));
        assert_eq!(terms.validate(), Ok(()));
        spoil(&mut terms);
        let result = terms.validate();
        assert!(matches!(result, Err(Reject::InvalidField { field, .. }) if field == *wrong), "{result:?}");
    }
    let titled = |len| CouponTerms { title: "x".repeat(len).into(), ..terms(1, amount_off(1)) }.validate();
    assert_eq!(titled(0), Err(Reject::FieldEmpty { field: "coupon.title" }));
    assert_eq!(titled(COUPON_TITLE_BYTES_MAX), Ok(()));
    assert!(matches!(titled(COUPON_TITLE_BYTES_MAX + 1), Err(Reject::FieldTooLong { .. })));
    let widest = CouponScope::Skus((0..COUPON_SCOPE_LEN_MAX as u64).map(SkuId).collect());
    assert_eq!(scoped(percent_off(PERCENT_BP_MAX), widest).validate(), Ok(()));
}

#[test]
fn a_set_of_order_types_has_what_it_was_made_of() {
    let set = OrderTypes::of(&[OrderType::Normal, OrderType::GroupBuy]);
    assert_eq!(OrderType::ALL.map(|order_type| set.contains(order_type)), [true, false, true]);
    assert_eq!(OrderType::ALL.map(|order_type| OrderTypes::all().contains(order_type)), [true; 3]);
}
