//! [`quote()`] and [`Quote::changed`]: whole orders, against tables and against the naive calculation.

use super::*;
use crate::domain::ids::{FreightId, ProductId, SkuId};

const FLAT: FreightRule =
    FreightRule { charge: FreightCharge::Flat { fee: Money::from_minor(800) }, free_from: None };

fn shares(quote: &Quote) -> Vec<i64> {
    quote.lines.iter().map(|line| line.share.minor()).collect()
}

#[test]
fn an_order_is_the_sum_of_its_parts() {
    let coupon =
        CouponTerms { scope: CouponScope::Products(vec![ProductId(1)]), ..terms(1, amount_off(1_000)) };
    let shipped = |line| PricedLine { freight: Some(FreightId(0)), ..line };
    let lines = [shipped(line(10, 2_000, 3)), line(11, 3_000, 1), shipped(line(20, 500, 2))];
    let coupons = [held(5, &coupon)];
    let cart = Cart { coupons: &coupons, adjustment: money(-300), ..cart(&lines) };
    let quote = quote(&cart, |_| Some(FLAT)).unwrap();
    let total = |amount: Money| amount.minor();
    assert_eq!(
        [quote.goods_amount, quote.discount_amount, quote.adjustment, quote.freight, quote.pay_amount]
            .map(total),
        [10_000, 1_000, -300, 800, 9_500]
    );
    // 53.33, 26.67 and 10.00 are left after the coupon; 87.00 is spread over them.
    assert_eq!(shares(&quote), [5_155, 2_578, 967]);
    assert_eq!(quote.lines[0].discount, money(667));
    assert_eq!(quote.lines[0].adjustment, money(5_155 - 5_333));
    assert_eq!(quote.coupons[0].by_line, moneys(&[667, 333, 0]));
    assert_eq!(quote.goods_share(), Ok(money(8_700)));
    assert!(quote.adds_up());
}

#[test]
fn freight_is_free_by_what_is_left_after_coupons_and_not_by_adjustments() {
    let rule = FreightRule { free_from: Some(money(1_000)), ..FLAT };
    let lines = [PricedLine { freight: Some(FreightId(0)), ..line(10, 1_000, 1) }];
    let priced = |coupons: &[HeldCoupon<'_>], adjustment| {
        let cart = Cart { coupons, adjustment: money(adjustment), ..cart(&lines) };
        quote(&cart, |_| Some(rule)).unwrap().freight.minor()
    };
    let coupon = terms(1, amount_off(1));
    assert_eq!(priced(&[], 0), 0);
    assert_eq!(priced(&[held(1, &coupon)], 0), 800);
    assert_eq!(priced(&[held(1, &coupon)], 1), 800);
    assert_eq!(priced(&[], -1), 0);
}

#[test]
fn bad_carts_are_refused() {
    let refused = |lines: &[PricedLine]| quote(&cart(lines), no_rules).unwrap_err();
    assert_eq!(refused(&[]), Reject::EmptyOrder);
    assert_eq!(refused(&[line(1, 1, 1); 101]), Reject::TooManyLines { lines: 101, lines_max: 100 });
    assert_eq!(refused(&[line(1, 1, 1), line(2, 1, 0)]), Reject::QuantityTooSmall { sku: SkuId(2) });
    assert_eq!(refused(&[line(1, 1, 1), line(2, -1, 1)]), Reject::NegativePrice { sku: SkuId(2) });
    let unknown = PricedLine { freight: Some(FreightId(3)), ..line(1, 1, 1) };
    assert_eq!(refused(&[unknown]), Reject::UnknownFreight { freight: FreightId(3) });

    let lines = [line(1, 100, 1)];
    let lowered = |adjustment| quote(&Cart { adjustment: money(adjustment), ..cart(&lines) }, no_rules);
    assert_eq!(lowered(-100).unwrap().pay_amount, Money::ZERO);
    let too_low = Err(Reject::DiscountAboveAmount { discount: money(101), amount: money(100) });
    assert_eq!(lowered(-101), too_low);
}

#[test]
fn a_changed_price_is_spread_over_the_lines() {
    let lines = [line(1, 3_333, 1), line(2, 3_333, 1), line(3, 3_334, 1)];
    let first = quote(&cart(&lines), no_rules).unwrap();
    let change = |quote: &Quote, pay_amount, freight| {
        quote.changed(PriceChange { pay_amount: money(pay_amount), freight: money(freight) })
    };
    let lower = change(&first, 5_500, 500).unwrap();
    assert_eq!(shares(&lower), [1_667, 1_666, 1_667]);
    assert_eq!(
        (lower.adjustment, lower.freight, lower.goods_amount),
        (money(-5_000), money(500), money(10_000))
    );
    assert!(lower.adds_up());

    // The same total gives the same shares, whatever came between.
    assert_eq!(change(&change(&lower, 77, 0).unwrap(), 5_500, 500), Ok(lower.clone()));
    assert_eq!(change(&lower, 10_000, 0), Ok(first.clone()));
    assert_eq!(shares(&change(&first, 0, 0).unwrap()), [0, 0, 0]);
    assert_eq!(shares(&change(&first, 20_000, 0).unwrap()), [6_666, 6_666, 6_668]);

    let below = Err(Reject::TotalBelowFreight { pay_amount: money(499), freight: money(500) });
    assert_eq!(change(&first, 499, 500), below);
    assert!(matches!(change(&first, -1, 0), Err(Reject::InvalidField { .. })));
    assert!(matches!(change(&first, 1, -1), Err(Reject::InvalidField { .. })));
}

#[test]
fn a_price_for_what_was_free_is_spread_equally() {
    let (lines, coupon) = ([line(1, 900, 1), line(2, 100, 1)], terms(1, percent_off(PERCENT_BP_MAX)));
    let coupons = [held(1, &coupon)];
    let free = quote(&Cart { coupons: &coupons, ..cart(&lines) }, no_rules).unwrap();
    assert_eq!(free.pay_amount, Money::ZERO);
    let changed = free.changed(PriceChange { pay_amount: money(101), freight: Money::ZERO }).unwrap();
    assert_eq!(shares(&changed), [51, 50]);
    assert!(changed.adds_up());
}

#[test]
fn a_quote_that_was_tampered_with_does_not_add_up() {
    type Spoil = fn(&mut Quote);
    let spoils: &[Spoil] = &[
        |quote| quote.goods_amount = money(0),
        |quote| quote.discount_amount = money(0),
        |quote| quote.adjustment = money(1),
        |quote| quote.freight = money(1),
        |quote| quote.pay_amount = money(i64::MIN),
        |quote| quote.lines[0].quantity = 9,
        |quote| quote.lines[0].share = money(0),
        |quote| quote.lines.swap(0, 1),
        |quote| quote.coupons[0].amount = money(0),
        |quote| quote.coupons[0].by_line.truncate(1),
        |quote| quote.coupons[0].by_line.swap(0, 1),
        // Two lines that are wrong by opposite amounts.
        |quote| {
            quote.lines[0].share = money(quote.lines[0].share.minor() + 1);
            quote.lines[1].share = money(quote.lines[1].share.minor() - 1);
        },
    ];
    let (lines, coupon) = ([line(1, 900, 1), line(2, 100, 1)], terms(1, amount_off(500)));
    let coupons = [held(1, &coupon)];
    let good = quote(&Cart { coupons: &coupons, ..cart(&lines) }, no_rules).unwrap();
    assert!(good.adds_up());
    for (number, spoil) in spoils.iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(!bad.adds_up(), "{number}");
    }
}

fn any_benefit() -> impl Strategy<Value = CouponBenefit> {
    prop_oneof![
        (1_i64..20_000).prop_map(amount_off),
        (1..=PERCENT_BP_MAX, prop::option::of(1_i64..5_000))
            .prop_map(|(percent_bp, cap)| { CouponBenefit::PercentOff { percent_bp, cap: cap.map(money) } }),
    ]
}

fn any_scope() -> impl Strategy<Value = CouponScope> {
    prop_oneof![
        3 => Just(CouponScope::All),
        2 => prop::collection::btree_set(1_u64..4, 1..3)
            .prop_map(|ids| CouponScope::Products(ids.into_iter().map(ProductId).collect())),
        1 => prop::collection::btree_set(10_u64..40, 10..25)
            .prop_map(|ids| CouponScope::Skus(ids.into_iter().map(SkuId).collect())),
    ]
}

fn any_terms() -> impl Strategy<Value = CouponTerms> {
    let threshold = prop_oneof![4 => Just(0_i64), 1 => 0_i64..50_000];
    (0_u64..4, any_benefit(), any_scope(), threshold).prop_map(|(id, benefit, scope, threshold)| {
        CouponTerms { scope, threshold: money(threshold), ..terms(id, benefit) }
    })
}

fn any_rule() -> impl Strategy<Value = FreightRule> {
    let steps = (0_u32..2_000, 0_i64..2_000, 1_u32..1_000, 0_i64..300).prop_map(
        |(first_grams, first_fee, step_grams, step_fee)| FreightCharge::WeightSteps {
            first_grams,
            first_fee: money(first_fee),
            step_grams,
            step_fee: money(step_fee),
        },
    );
    let charge = prop_oneof![(0_i64..2_000).prop_map(|fee| FreightCharge::Flat { fee: money(fee) }), steps];
    (charge, prop::option::of(0_i64..30_000))
        .prop_map(|(charge, free_from)| FreightRule { charge, free_from: free_from.map(money) })
}

fn any_lines() -> impl Strategy<Value = Vec<PricedLine>> {
    let rest = (0_i64..20_000, 1_u32..20, 0_u32..3_000, prop::option::of(0_u64..3));
    prop::collection::btree_map(10_u64..40, rest, 1..10).prop_map(|lines| {
        let one =
            |(sku, (unit_price, quantity, weight_grams, freight)): (u64, (i64, u32, u32, Option<u64>))| {
                PricedLine {
                    weight_grams,
                    freight: freight.map(FreightId),
                    ..line(sku, unit_price, quantity)
                }
            };
        lines.into_iter().map(one).collect()
    })
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn a_quote_agrees_with_the_naive_calculation(
        lines in any_lines(),
        terms in prop::collection::vec(any_terms(), 0..4),
        rules in prop::collection::vec(any_rule(), 3),
        adjustment in prop_oneof![2 => Just(0_i64), 1 => -30_000_i64..30_000],
    ) {
        let coupons: Vec<_> = (0..).zip(&terms).map(|(id, terms)| held(id, terms)).collect();
        let cart = Cart { coupons: &coupons, adjustment: money(adjustment), ..cart(&lines) };
        let quoted = quote(&cart, |freight| rules.get(freight.0 as usize).copied());
        match naive::quote(&cart, &rules) {
            None => prop_assert!(quoted.is_err(), "{:?}", quoted),
            Some((expected, freight)) => {
                let quoted = quoted.unwrap();
                prop_assert!(quoted.adds_up());
                let wide = |amounts: Vec<i64>| amounts.into_iter().map(i128::from).collect::<Vec<_>>();
                prop_assert_eq!(wide(shares(&quoted)), expected);
                prop_assert_eq!(i128::from(quoted.freight.minor()), freight);
            }
        }
    }

    #[test]
    fn the_order_of_coupons_makes_no_difference(
        lines in any_lines(),
        terms in prop::collection::vec(any_terms(), 2..4),
        turn in 0_usize..4,
    ) {
        let coupons: Vec<_> = (0..).zip(&terms).map(|(id, terms)| held(id, terms)).collect();
        let mut turned = coupons.clone();
        turned.rotate_left(turn % coupons.len());
        let price = |coupons: &[HeldCoupon<'_>]| quote(&Cart { coupons, ..cart(&lines) }, |_| Some(FLAT));
        prop_assert_eq!(price(&coupons), price(&turned));
    }

    /// Whatever is changed before payment, refunds of all units of all lines give back all but the freight.
    #[test]
    fn a_changed_order_adds_up_and_refunds_to_the_last_unit(
        lines in any_lines(),
        pay_amount in 0_i64..1_000_000,
        freight in 0_i64..10_000,
    ) {
        let quote = quote(&cart(&lines), |_| Some(FLAT)).unwrap();
        let change = PriceChange { pay_amount: money(pay_amount), freight: money(freight) };
        prop_assume!(freight <= pay_amount);
        let changed = quote.changed(change).unwrap();
        prop_assert!(changed.adds_up());
        prop_assert_eq!(changed.pay_amount, change.pay_amount);
        let mut refunds = Money::ZERO;
        for line in &changed.lines {
            for refunded in 0..line.quantity {
                let unit = LineRefund { share: line.share, quantity: line.quantity, refunded, units: 1 };
                refunds = add(refunds, unit.amount().unwrap()).unwrap();
            }
        }
        prop_assert_eq!(add(refunds, change.freight), Ok(change.pay_amount));
    }
}
