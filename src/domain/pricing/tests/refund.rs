//! [`LineRefund`]: what goes back for some units of a line.

use super::*;

fn refund(share: i64, quantity: u32, refunded: u32, units: u32) -> Result<Money, Reject> {
    LineRefund { share: money(share), quantity, refunded, units }.amount()
}

#[test]
fn units_refunded_one_by_one_add_up() {
    let each: Vec<_> = (0..3).map(|refunded| refund(1_000, 3, refunded, 1).unwrap()).collect();
    assert_eq!(each, moneys(&[333, 333, 334]));
    assert_eq!(refund(1_000, 3, 0, 3), Ok(money(1_000)));
    assert_eq!(refund(1_000, 3, 1, 2), Ok(money(667)));
    assert_eq!(refund(0, 3, 1, 2), Ok(Money::ZERO));
}

#[test]
fn no_more_units_than_are_left_are_refunded() {
    assert_eq!(refund(1_000, 3, 1, 3), Err(Reject::RefundAboveQuantity { units: 3, left: 2 }));
    assert_eq!(refund(1_000, 3, 3, 1), Err(Reject::RefundAboveQuantity { units: 1, left: 0 }));
    assert_eq!(refund(1_000, 3, 4, 1), Err(Reject::RefundAboveQuantity { units: 1, left: 0 }));
    assert_eq!(refund(1_000, 0, 0, 1), Err(Reject::RefundAboveQuantity { units: 1, left: 0 }));
    assert!(matches!(refund(1_000, 3, 0, 0), Err(Reject::InvalidField { field: "refund.units", .. })));
    assert!(matches!(refund(-1, 3, 0, 1), Err(Reject::InvalidField { field: "refund.share", .. })));
    let left = u32::MAX - 1;
    assert_eq!(refund(1, u32::MAX, 1, u32::MAX), Err(Reject::RefundAboveQuantity { units: u32::MAX, left }));
}

proptest! {
    #![proptest_config(config(256))]

    /// However the units are split over refunds, everything goes back and no refund is unfair by a unit.
    #[test]
    fn refunds_of_a_line_add_up_to_its_share(
        share in any_amount(),
        batches in prop::collection::vec(prop_oneof![1_u32..4, 1_u32..100_000_000], 1..30),
    ) {
        let quantity: u32 = batches.iter().sum();
        let (mut refunded, mut total) = (0, Money::ZERO);
        for units in batches {
            let amount = refund(share, quantity, refunded, units).unwrap();
            prop_assert!(!amount.is_negative());
            let exact = i128::from(share) * i128::from(units);
            let distance = (i128::from(amount.minor()) * i128::from(quantity) - exact).abs();
            prop_assert!(distance < i128::from(quantity));
            (refunded, total) = (refunded + units, add(total, amount).unwrap());
        }
        prop_assert_eq!(total, money(share));
    }
}
