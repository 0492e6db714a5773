//! Freight: the fee of a parcel, and the parcels of an order.

use super::*;
use crate::domain::ids::FreightId;

const FLAT: FreightRule = FreightRule { charge: FreightCharge::Flat { fee: money_of(800) }, free_from: None };
/// 10.00 for the first kilogram, 2.00 for each half after it.
const BY_WEIGHT: FreightRule = FreightRule {
    charge: FreightCharge::WeightSteps {
        first_grams: 1_000,
        first_fee: money_of(1_000),
        step_grams: 500,
        step_fee: money_of(200),
    },
    free_from: None,
};

const fn money_of(minor: i64) -> Money {
    Money::from_minor(minor)
}

fn free_from(rule: FreightRule, minor: i64) -> FreightRule {
    FreightRule { free_from: Some(money(minor)), ..rule }
}

fn shipped(freight: u64, goods: i64, weight_grams: u64) -> FreightLine {
    FreightLine { freight: Some(FreightId(freight)), goods_after_discount: money(goods), weight_grams }
}

#[test]
fn a_begun_step_is_charged_in_full() {
    let fees = [(0, 1_000), (1_000, 1_000), (1_001, 1_200), (1_500, 1_200), (1_501, 1_400), (10_000, 4_600)];
    for (grams, fee) in fees {
        assert_eq!(BY_WEIGHT.fee(Money::ZERO, grams), Ok(money(fee)), "{grams} g");
    }
}

#[test]
fn any_rule_is_free_from_its_amount_on() {
    for (rule, fee) in [(FLAT, 800), (BY_WEIGHT, 1_200)] {
        let rule = free_from(rule, 9_900);
        assert_eq!(rule.fee(money(9_899), 1_200), Ok(money(fee)));
        assert_eq!(rule.fee(money(9_900), 1_200), Ok(Money::ZERO));
        assert_eq!(free_from(rule, 0).fee(Money::ZERO, 1_200), Ok(Money::ZERO));
    }
}

#[test]
fn lines_of_one_template_are_one_parcel_and_the_parcels_add_up() {
    let rules = |id: FreightId| match id.0 {
        1 => Some(FLAT),
        2 => Some(BY_WEIGHT),
        3 => Some(free_from(FLAT, 5_000)),
        _ => None,
    };
    let unshipped = FreightLine { freight: None, goods_after_discount: money(9_999), weight_grams: 9_999 };
    let cases: &[(&[FreightLine], i64)] = &[
        (&[], 0),
        (&[unshipped], 0),
        (&[shipped(1, 100, 0), shipped(1, 100, 0)], 800),
        (&[shipped(2, 100, 600), unshipped, shipped(1, 100, 600), shipped(2, 100, 600)], 800 + 1_200),
        // Half of what is needed in each of two lines is enough; what ships otherwise doesn't count.
        (&[shipped(3, 2_500, 0), shipped(3, 2_500, 0)], 0),
        (&[shipped(3, 2_500, 0), shipped(1, 2_500, 0)], 1_600),
    ];
    for (lines, fee) in cases {
        assert_eq!(order_freight(lines, rules), Ok(money(*fee)), "{lines:?}");
    }
    let unknown = Err(Reject::UnknownFreight { freight: FreightId(4) });
    assert_eq!(order_freight(&[shipped(1, 0, 0), shipped(4, 0, 0)], rules), unknown);
}

#[test]
fn bad_templates_are_refused() {
    let template = |rule| FreightTemplate { id: FreightId(1), name: "parcel".into(), rule };
    let steps = |first_fee, step_grams, step_fee| FreightRule {
        charge: FreightCharge::WeightSteps {
            first_grams: 0,
            first_fee: money(first_fee),
            step_grams,
            step_fee: money(step_fee),
        },
        free_from: None,
    };
    let flat = |fee| FreightRule { charge: FreightCharge::Flat { fee: money(fee) }, free_from: None };
    for good in [flat(0), FLAT, BY_WEIGHT, steps(0, 1, 0), free_from(FLAT, 0)] {
        assert_eq!(template(good).validate(), Ok(()));
    }
    let cases = [
        (flat(-1), "freight.fee"),
        (steps(-1, 1, 0), "freight.first_fee"),
        (steps(0, 0, 0), "freight.step_grams"),
        (steps(0, 1, -1), "freight.step_fee"),
        (free_from(FLAT, -1), "freight.free_from"),
    ];
    for (rule, wrong) in cases {
        let result = template(rule).validate();
        assert!(matches!(result, Err(Reject::InvalidField { field, .. }) if field == wrong), "{result:?}");
    }
    let named = |len| FreightTemplate { name: "x".repeat(len).into(), ..template(FLAT) }.validate();
    assert_eq!(named(0), Err(Reject::FieldEmpty { field: "freight.name" }));
    assert_eq!(named(FREIGHT_NAME_BYTES_MAX), Ok(()));
    assert!(matches!(named(FREIGHT_NAME_BYTES_MAX + 1), Err(Reject::FieldTooLong { .. })));
    // Nobody validated this one: it is refused, not divided by zero.
    assert!(steps(0, 0, 1).fee(Money::ZERO, 1).is_err());
}

#[test]
fn weights_and_fees_beyond_64_bits_are_refused() {
    let dear = FreightRule {
        charge: FreightCharge::WeightSteps {
            first_grams: 0,
            first_fee: money(i64::MAX),
            step_grams: 1,
            step_fee: money(i64::MAX),
        },
        free_from: None,
    };
    assert_eq!(dear.fee(Money::ZERO, 0), Ok(money(i64::MAX)));
    assert_eq!(dear.fee(Money::ZERO, 1), Err(Reject::AmountOverflow));
    assert_eq!(dear.fee(Money::ZERO, u64::MAX), Err(Reject::AmountOverflow));
    let rules = |_| Some(dear);
    let two = [shipped(1, 0, 0), shipped(2, 0, 0)];
    assert_eq!(order_freight(&two, rules), Err(Reject::AmountOverflow));
    let heavy = [shipped(1, 0, u64::MAX), shipped(1, 0, 1)];
    assert_eq!(order_freight(&heavy, |_| Some(FLAT)), Err(Reject::AmountOverflow));
    let costly = [shipped(1, i64::MAX, 0), shipped(1, 1, 0)];
    assert_eq!(order_freight(&costly, |_| Some(FLAT)), Err(Reject::AmountOverflow));
}
