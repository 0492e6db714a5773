//! [`SubmitOrder::price`]: canonical lines, amounts, and every reject.

use crate::domain::catalogue::Sku;
use crate::domain::ids::{ActivityId, ProductId, SkuId, StockKey};
use crate::domain::money::Money;
use crate::domain::order::Line;
use crate::domain::order_type::OrderType;
use crate::domain::reject::Reject;
use crate::domain::request::{
    EXTERNAL_NO_BYTES_MAX, LINE_EXT_BYTES_MAX, LINE_EXT_BYTES_TOTAL_MAX, ORDER_EXT_BYTES_MAX,
    ORDER_LINES_MAX, OrderLine, PERSONAL_BYTES_MAX, Personal, PricedOrder, REMARK_BYTES_MAX, SubmitOrder,
};

const OFF_SALE: u64 = 900;
const PRICELESS: u64 = 901;
const FREE: u64 = 902;
const UNKNOWN: u64 = 1_000;

/// SKUs below [`UNKNOWN`] exist; each costs ten times its id, in revision id + 1, with a limit of its id.
fn sku(id: SkuId) -> Option<Sku> {
    (id.0 < UNKNOWN).then(|| Sku {
        id,
        product_id: ProductId(1),
        code: String::new(),
        title: String::new(),
        price: match id.0 {
            PRICELESS => Money::from_minor(i64::MAX),
            FREE => Money::ZERO,
            other => Money::from_minor(other as i64 * 10),
        },
        on_sale: id.0 != OFF_SALE,
        limit_per_member: id.0 as u32,
    })
}

fn price(order: &SubmitOrder) -> Result<PricedOrder, Reject> {
    order.price(None, 0, |id, price_line| sku(id).map(|sku| price_line(id.0 as u32 + 1, &sku)))
}

fn order(lines: &[(u64, u32)]) -> SubmitOrder {
    let lines = lines.iter().map(|(sku, quantity)| OrderLine::new(*sku, *quantity)).collect();
    SubmitOrder { lines, ..SubmitOrder::default() }
}

fn bytes(len: usize) -> Box<[u8]> {
    vec![b'x'; len].into()
}

fn text(len: usize) -> Box<str> {
    "x".repeat(len).into()
}

#[test]
fn lines_of_one_sku_are_summed_and_lines_ascend_by_stock_key() {
    let priced = price(&order(&[(30, 1), (10, 2), (30, 4), (20, 1), (10, 1)])).unwrap();
    let line = |sku, quantity| Line {
        key: StockKey::normal(SkuId(sku)),
        quantity,
        price: Money::from_minor(sku as i64 * 10),
        revision: sku as u32 + 1,
        limit_per_member: sku as u32,
    };
    assert_eq!(priced.lines[..], [line(10, 3), line(20, 1), line(30, 5)]);
    assert_eq!(priced.pay_amount, Money::from_minor(3 * 100 + 200 + 5 * 300));
}

#[test]
fn two_lines_of_one_sku_price_like_one() {
    assert_eq!(price(&order(&[(5, 2), (5, 3)])), price(&order(&[(5, 5)])));
}

#[test]
fn what_is_free_costs_nothing() {
    assert_eq!(price(&order(&[(FREE, u32::MAX)])).unwrap().pay_amount, Money::ZERO);
}

#[test]
fn bad_lines_are_refused() {
    let many = |len: u64| (0..len).map(|sku| (sku, 1)).collect::<Vec<_>>();
    let too_many = Reject::TooManyLines { lines: ORDER_LINES_MAX + 1, lines_max: ORDER_LINES_MAX };
    let cases: &[(&[(u64, u32)], Reject)] = &[
        (&[], Reject::EmptyOrder),
        (&[(1, 0)], Reject::QuantityTooSmall { sku: SkuId(1) }),
        (&[(1, 1), (2, 0)], Reject::QuantityTooSmall { sku: SkuId(2) }),
        // Zero plus one is not a way around it.
        (&[(1, 1), (1, 0)], Reject::QuantityTooSmall { sku: SkuId(1) }),
        (&[(1, u32::MAX), (1, 1)], Reject::QuantityOverflow { sku: SkuId(1) }),
        (&[(PRICELESS, 2)], Reject::AmountOverflow),
        (&[(PRICELESS, 1), (1, 1)], Reject::AmountOverflow),
        (&[(UNKNOWN, 1)], Reject::UnknownSku { sku: SkuId(UNKNOWN) }),
        (&[(1, 1), (UNKNOWN, 1)], Reject::UnknownSku { sku: SkuId(UNKNOWN) }),
        (&[(OFF_SALE, 1)], Reject::SkuOffSale { sku: SkuId(OFF_SALE) }),
        (&[(1, 1), (OFF_SALE, 1)], Reject::SkuOffSale { sku: SkuId(OFF_SALE) }),
        (&many(ORDER_LINES_MAX as u64 + 1), too_many),
    ];
    for (lines, reject) in cases {
        assert_eq!(price(&order(lines)), Err(*reject), "{lines:?}");
    }
    assert_eq!(price(&order(&many(ORDER_LINES_MAX as u64))).unwrap().lines.len(), ORDER_LINES_MAX);
}

#[test]
fn types_and_activities_that_are_not_sold_are_refused() {
    let one = order(&[(1, 1)]);
    for order_type in [OrderType::Seckill, OrderType::GroupBuy] {
        let order = SubmitOrder { order_type, ..one.clone() };
        assert_eq!(price(&order), Err(Reject::ActivityRequired { order_type }));
    }
    let with_activity = SubmitOrder { activity_id: Some(ActivityId(1)), ..one };
    assert_eq!(price(&with_activity), Err(Reject::UnexpectedActivity { order_type: OrderType::Normal }));
}

/// Each field passes at its bound and is refused one byte above it.
#[test]
fn every_field_has_its_bound() {
    type SetLen = fn(&mut SubmitOrder, usize);
    let cases: &[(&'static str, usize, SetLen)] = &[
        ("line.ext", LINE_EXT_BYTES_MAX, |order, len| order.lines[0].ext = Some(bytes(len))),
        ("personal", PERSONAL_BYTES_MAX, |order, len| order.personal = Some(Personal::Plain(bytes(len)))),
        ("personal", PERSONAL_BYTES_MAX, |order, len| {
            order.personal = Some(Personal::Sealed { key_version: 1, ciphertext: bytes(len) });
        }),
        ("remark", REMARK_BYTES_MAX, |order, len| order.remark = Some(text(len))),
        ("external_no", EXTERNAL_NO_BYTES_MAX, |order, len| order.external_no = Some(text(len))),
        ("ext", ORDER_EXT_BYTES_MAX, |order, len| order.ext = Some(bytes(len))),
        ("lines.ext", LINE_EXT_BYTES_TOTAL_MAX, |order, len| {
            let full = OrderLine { ext: Some(bytes(LINE_EXT_BYTES_MAX)), ..OrderLine::new(2, 1) };
            order.lines.extend(vec![full; len / LINE_EXT_BYTES_MAX]);
            order.lines[0].ext = Some(bytes(len % LINE_EXT_BYTES_MAX));
        }),
    ];
    for (field, len_max, set_len) in cases {
        let mut at_bound = order(&[(1, 1)]);
        set_len(&mut at_bound, *len_max);
        assert!(price(&at_bound).is_ok(), "{field}");
        let mut above = order(&[(1, 1)]);
        set_len(&mut above, len_max + 1);
        let reject = Reject::FieldTooLong { field, len: len_max + 1, len_max: *len_max };
        assert_eq!(price(&above), Err(reject), "{field}");
    }
    let empty = SubmitOrder { external_no: Some(text(0)), ..order(&[(1, 1)]) };
    assert_eq!(price(&empty), Err(Reject::FieldEmpty { field: "external_no" }));
}
