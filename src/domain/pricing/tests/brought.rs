//! [`BroughtPrices`]: prices of a trusted caller.

use super::*;
use crate::domain::ids::SkuId;

fn brought(lines: &[(u64, i64, i64)], freight: i64, pay_amount: i64) -> BroughtPrices {
    let line = |(sku, unit_price, discount): &(u64, i64, i64)| BroughtLine {
        sku: SkuId(*sku),
        unit_price: money(*unit_price),
        discount: money(*discount),
    };
    BroughtPrices {
        source: "shop".into(),
        lines: lines.iter().map(line).collect(),
        freight: money(freight),
        pay_amount: money(pay_amount),
    }
}

/// Two of SKU 1 and one of SKU 2, at catalogue prices that don't count.
fn ordered() -> [PricedLine; 2] {
    [line(1, 7, 2), line(2, 7, 1)]
}

#[test]
fn prices_that_add_up_make_a_quote_in_the_order_of_the_cart() {
    let quote = brought(&[(2, 500, 100), (1, 1_000, 300)], 600, 2_700).quote(&ordered()).unwrap();
    let lines: Vec<_> =
        quote.lines.iter().map(|line| (line.sku.0, line.amount.minor(), line.share.minor())).collect();
    assert_eq!(lines, [(1, 2_000, 1_700), (2, 500, 400)]);
    assert_eq!((quote.goods_amount, quote.discount_amount), (money(2_500), money(400)));
    assert_eq!((quote.freight, quote.pay_amount), (money(600), money(2_700)));
    assert!(quote.adds_up());
}

#[test]
fn prices_that_do_not_fit_the_cart_are_refused() {
    let invalid = |field| Reject::InvalidField { field, expected: "zero or more" };
    let too_much = Reject::DiscountAboveAmount { discount: money(2_001), amount: money(2_000) };
    let mismatch = |stated| Reject::TotalMismatch { stated: money(stated), computed: money(2_500) };
    let one = (1, 1_000, 0);
    let cases = [
        (brought(&[one, (2, 500, 0)], 0, 2_501), mismatch(2_501)),
        (brought(&[one, (2, 500, 0)], 0, -1), mismatch(-1)),
        (brought(&[one], 0, 2_000), Reject::PriceMissing { sku: SkuId(2) }),
        (brought(&[one, (3, 500, 0)], 0, 2_500), Reject::PriceMissing { sku: SkuId(2) }),
        (brought(&[one, (2, 500, 0), (3, 0, 0)], 0, 2_500), Reject::PriceUnexpected { sku: SkuId(3) }),
        (brought(&[one, one, (2, 500, 0)], 0, 2_500), Reject::PriceUnexpected { sku: SkuId(1) }),
        (brought(&[one, (2, -500, 0)], 0, 1_500), Reject::NegativePrice { sku: SkuId(2) }),
        (brought(&[(1, 1_000, -1), (2, 500, 0)], 0, 2_501), invalid("line.discount")),
        (brought(&[(1, 1_000, 2_001), (2, 500, 0)], 0, 499), too_much),
        (brought(&[one, (2, 500, 0)], -1, 2_499), invalid("prices.freight")),
        (brought(&[one, (2, 500, 0)], i64::MAX, 0), Reject::AmountOverflow),
        (brought(&[(1, i64::MAX, 0), (2, 500, 0)], 0, 0), Reject::AmountOverflow),
        (brought(&[], 0, 0), Reject::EmptyOrder),
    ];
    for (prices, reject) in cases {
        assert_eq!(prices.quote(&ordered()), Err(reject), "{prices:?}");
    }
    // One price doesn't do for two lines.
    let twice = brought(&[one], 0, 2_000).quote(&[line(1, 7, 1), line(1, 7, 1)]);
    assert_eq!(twice, Err(Reject::PriceMissing { sku: SkuId(1) }));
    assert_eq!(brought(&[one], 0, 0).quote(&[]), Err(Reject::EmptyOrder));
    let none = brought(&[one], 0, 0).quote(&[line(1, 7, 0)]);
    assert_eq!(none, Err(Reject::QuantityTooSmall { sku: SkuId(1) }));
}

#[test]
fn a_source_is_named_within_its_bound() {
    let from = |len| {
        let prices = brought(&[(1, 1_000, 0), (2, 500, 0)], 0, 2_500);
        BroughtPrices { source: "x".repeat(len).into(), ..prices }.quote(&ordered()).map(|_| ())
    };
    assert_eq!(from(0), Err(Reject::FieldEmpty { field: "prices.source" }));
    assert_eq!(from(BROUGHT_SOURCE_BYTES_MAX), Ok(()));
    assert!(matches!(from(BROUGHT_SOURCE_BYTES_MAX + 1), Err(Reject::FieldTooLong { .. })));
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_total_is_accepted_exactly_when_it_is_the_sum(
        priced in prop::collection::vec((0_i64..100_000, 1_u32..50, 0_u8..=100), 1..10),
        freight in 0_i64..5_000,
        off_by in -2_i64..=2,
    ) {
        let (mut cart, mut lines, mut total) = (Vec::new(), Vec::new(), freight);
        for (sku, (unit_price, quantity, percent)) in (1..).zip(priced) {
            let amount = unit_price * i64::from(quantity);
            let discount = amount * i64::from(percent) / 100;
            cart.push(line(sku, 0, quantity));
            lines.push((sku, unit_price, discount));
            total += amount - discount;
        }
        match brought(&lines, freight, total + off_by).quote(&cart) {
            Ok(quote) => prop_assert!(off_by == 0 && quote.adds_up()),
            Err(reject) => {
                let (stated, computed) = (money(total + off_by), money(total));
                prop_assert_eq!(reject, Reject::TotalMismatch { stated, computed });
                prop_assert!(off_by != 0);
            }
        }
    }
}
