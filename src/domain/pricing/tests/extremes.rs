//! Amounts at the ends of 64 bits: every calculation gives a sum that is right or a reject, and never panics.

use super::*;
use crate::domain::ids::FreightId;

/// Amounts near zero and near both ends, negative ones too.
fn extreme() -> impl Strategy<Value = i64> {
    prop_oneof![
        3 => any_amount(),
        1 => (0_i64..3).prop_map(|above| i64::MIN + above),
        1 => -3_i64..0,
    ]
}

fn extreme_quantity() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1_u32..3, 1 => 0_u32..2, 1 => Just(u32::MAX)]
}

fn extreme_benefit() -> impl Strategy<Value = CouponBenefit> {
    prop_oneof![
        extreme().prop_map(amount_off),
        (any::<u16>(), prop::option::of(extreme()))
            .prop_map(|(percent_bp, cap)| CouponBenefit::PercentOff { percent_bp, cap: cap.map(money) }),
    ]
}

fn extreme_rule() -> impl Strategy<Value = FreightRule> {
    let charge = (any::<u32>(), extreme(), 0_u32..3, extreme()).prop_map(
        |(first_grams, first_fee, step_grams, step_fee)| FreightCharge::WeightSteps {
            first_grams,
            first_fee: money(first_fee),
            step_grams,
            step_fee: money(step_fee),
        },
    );
    (charge, prop::option::of(extreme()))
        .prop_map(|(charge, free_from)| FreightRule { charge, free_from: free_from.map(money) })
}

#[test]
fn what_exceeds_64_bits_overflows_by_name() {
    let overflow = |lines: &[PricedLine], adjustment| {
        quote(&Cart { adjustment: money(adjustment), ..cart(lines) }, no_rules).unwrap_err()
    };
    let dearest = line(1, i64::MAX, 1);
    assert_eq!(overflow(&[line(1, i64::MAX, 2)], 0), Reject::AmountOverflow);
    assert_eq!(overflow(&[dearest, line(2, 1, 1)], 0), Reject::AmountOverflow);
    assert_eq!(overflow(&[dearest], 1), Reject::AmountOverflow);
    assert_eq!(overflow(&[line(1, 0, 1)], i64::MIN), Reject::AmountOverflow);
    let shipped = PricedLine { freight: Some(FreightId(1)), ..dearest };
    let rule = FreightRule { charge: FreightCharge::Flat { fee: money(1) }, free_from: None };
    assert_eq!(quote(&cart(&[shipped]), |_| Some(rule)), Err(Reject::AmountOverflow));
    // At the bound itself everything works.
    let most = quote(&cart(&[dearest]), no_rules).unwrap();
    assert!(most.adds_up());
    let change = PriceChange { pay_amount: money(i64::MAX), freight: money(i64::MAX) };
    assert!(most.changed(change).unwrap().adds_up());
}

proptest! {
    #![proptest_config(config(512))]

    /// Terms that no validation let through must not panic either: they may come from elsewhere.
    #[test]
    fn quotes_add_up_or_are_refused(
        lines in prop::collection::vec((extreme(), extreme_quantity(), any::<u32>()), 1..6),
        benefits in prop::collection::vec(extreme_benefit(), 0..3),
        rule in extreme_rule(),
        adjustment in prop_oneof![Just(0), extreme()],
        pay_amount in extreme(),
        freight in extreme(),
    ) {
        let terms: Vec<_> = benefits.into_iter().map(|benefit| terms(1, benefit)).collect();
        let coupons: Vec<_> = (0..).zip(&terms).map(|(id, terms)| held(id, terms)).collect();
        let shipped = |(sku, (price, quantity, weight_grams)): (u64, (i64, u32, u32))| PricedLine {
            weight_grams,
            freight: Some(FreightId(sku % 2)),
            ..line(sku, price, quantity)
        };
        let lines: Vec<_> = (0..).zip(lines).map(shipped).collect();
        let cart = Cart { coupons: &coupons, adjustment: money(adjustment), ..cart(&lines) };
        if rule.validate().is_ok() && let Ok(quote) = quote(&cart, |_| Some(rule)) {
            prop_assert!(quote.adds_up());
            let change = PriceChange { pay_amount: money(pay_amount), freight: money(freight) };
            if let Ok(changed) = quote.changed(change) {
                prop_assert!(changed.adds_up());
            }
        } else {
            // Whatever it answers, it answers.
            let _ = quote(&cart, |_| Some(rule));
        }
    }

    #[test]
    fn freight_is_right_or_refused(
        rule in extreme_rule(),
        goods in extreme(),
        weight_grams in prop_oneof![any::<u64>(), 0_u64..10],
    ) {
        let Ok(fee) = rule.fee(money(goods), weight_grams) else { return Ok(()) };
        prop_assert!(rule.validate().is_err() || !fee.is_negative());
    }
}
