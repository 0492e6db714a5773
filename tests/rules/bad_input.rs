//! Bad input gets a typed reject and changes nothing.

use stockade::{
    ActivityId, Caller, Config, Durability, Engine, Money, OrderLine, OrderNo, OrderStatus, OrderType,
    Payment, Personal, Reject, Shipment, Sku, StateHash, StockChange, SubmitOrder,
};

use crate::support::*;

/// Runs something that must be refused, and shows that it changed nothing.
async fn refused<T: std::fmt::Debug>(
    shop: &Shop,
    what: &str,
    attempt: impl Future<Output = Result<T, Reject>>,
) -> Reject {
    let before: StateHash = shop.state_hash().await.unwrap();
    let reject = attempt.await.expect_err(what);
    assert_eq!(shop.state_hash().await.unwrap(), before, "{what} changed something");
    until(|| shop.metrics().in_flight == 0).await;
    reject
}

async fn stocked() -> Shop {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    shop.stock_up(2, 10).await;
    shop
}

#[tokio::test]
async fn bad_quantities_are_refused() {
    let shop = stocked().await;
    let reject = refused(&shop, "zero", shop.submit(basket(7, 1, &[(1, 1), (2, 0)]))).await;
    assert_eq!(reject, Reject::QuantityTooSmall { sku: 2.into() });
    let sum = shop.submit(basket(7, 2, &[(1, u32::MAX), (1, 1)]));
    assert_eq!(refused(&shop, "a sum beyond 32 bits", sum).await, Reject::QuantityOverflow { sku: 1.into() });
    let huge = shop.submit(basket(7, 3, &[(1, u32::MAX)]));
    assert_eq!(refused(&shop, "more than there is", huge).await, sold_out(1));
}

#[tokio::test]
async fn skus_that_can_not_be_ordered_are_refused() {
    let shop = stocked().await;
    let reject = refused(&shop, "an unknown sku", shop.submit(basket(7, 1, &[(1, 1), (99, 1)]))).await;
    assert_eq!(reject, Reject::UnknownSku { sku: 99.into() });
    shop.put_sku(Sku { on_sale: false, ..sku(2) }).await.unwrap();
    let reject = refused(&shop, "an off-sale sku", shop.submit(basket(7, 2, &[(1, 1), (2, 1)]))).await;
    assert_eq!(reject, Reject::SkuOffSale { sku: 2.into() });
    shop.put_sku(sku(3)).await.unwrap();
    let reject = refused(&shop, "a sku that never had stock", shop.submit(one(7, 3, 3))).await;
    assert_eq!(reject, sold_out(3));
}

#[tokio::test]
async fn orders_of_no_or_too_many_lines_are_refused() {
    let shop = stocked().await;
    assert_eq!(refused(&shop, "no lines", shop.submit(basket(7, 1, &[]))).await, Reject::EmptyOrder);
    let lines = vec![(1, 1); 101];
    let reject = refused(&shop, "101 lines", shop.submit(basket(7, 2, &lines))).await;
    assert_eq!(reject, Reject::TooManyLines { lines: 101, lines_max: 100 });
    shop.adjust_stock(add_units(9, 1, 100)).await.unwrap();
    assert!(shop.submit(basket(7, 3, &lines[..100])).await.is_ok());
}

#[tokio::test]
async fn amounts_that_overflow_are_refused() {
    let shop = stocked().await;
    shop.put_sku(Sku { price: Money::from_minor(i64::MAX), ..sku(1) }).await.unwrap();
    let reject = refused(&shop, "a product", shop.submit(basket(7, 1, &[(1, 2)]))).await;
    assert_eq!(reject, Reject::AmountOverflow);
    let reject = refused(&shop, "a sum", shop.submit(basket(7, 2, &[(1, 1), (2, 1)]))).await;
    assert_eq!(reject, Reject::AmountOverflow);
    assert!(shop.submit(one(7, 3, 1)).await.is_ok(), "the largest amount itself is fine");
    let negative = shop.put_sku(Sku { price: Money::from_minor(-1), ..sku(2) });
    assert_eq!(refused(&shop, "a negative price", negative).await, Reject::NegativePrice { sku: 2.into() });
}

#[tokio::test]
async fn fields_beyond_their_bounds_are_refused() {
    let shop = stocked().await;
    let bytes = |len: usize| vec![7_u8; len].into_boxed_slice();
    let text = |len: usize| -> Box<str> { "x".repeat(len).into() };
    let base = || one(7, 1, 1);
    let line = |len| OrderLine { ext: Some(bytes(len)), ..OrderLine::new(1, 1) };
    let cases = [
        ("ext", SubmitOrder { ext: Some(bytes(4_097)), ..base() }),
        ("remark", SubmitOrder { remark: Some(text(1_025)), ..base() }),
        ("external_no", SubmitOrder { external_no: Some(text(65)), ..base() }),
        ("personal", SubmitOrder { personal: Some(Personal::Plain(bytes(2_049))), ..base() }),
        ("line.ext", SubmitOrder { lines: vec![line(513)], ..base() }),
        ("lines.ext", SubmitOrder { lines: vec![line(512); 17], ..base() }),
    ];
    for (field, order) in cases {
        match refused(&shop, field, shop.submit(order)).await {
            Reject::FieldTooLong { field: found, len, len_max } => {
                assert_eq!(found, field);
                assert!(len > len_max);
            }
            other => panic!("{field}: {other:?}"),
        }
    }
    let empty = shop.submit(SubmitOrder { external_no: Some("".into()), ..base() });
    assert_eq!(refused(&shop, "no name", empty).await, Reject::FieldEmpty { field: "external_no" });
    let title = shop.put_sku(Sku { title: "x".repeat(513), ..sku(1) });
    assert!(matches!(refused(&shop, "title", title).await, Reject::FieldTooLong { field: "sku.title", .. }));
    let code = shop.put_sku(Sku { code: "x".repeat(65), ..sku(1) });
    assert!(matches!(refused(&shop, "code", code).await, Reject::FieldTooLong { field: "sku.code", .. }));

    let largest = SubmitOrder {
        ext: Some(bytes(4_096)),
        remark: Some(text(1_024)),
        external_no: Some(text(64)),
        personal: Some(Personal::Sealed { key_version: 1, ciphertext: bytes(2_048) }),
        lines: (0..100).map(|nth| if nth < 16 { line(512) } else { OrderLine::new(2, 1) }).collect(),
        ..base()
    };
    shop.adjust_stock(add_units(9, 1, 100)).await.unwrap();
    shop.adjust_stock(add_units(9, 2, 100)).await.unwrap();
    let receipt = shop.submit(largest.clone()).await.expect("everything at its bound");
    let next = shop.after_power_cut().await;
    let view = next.view(receipt.order_no).await;
    assert_eq!((view.ext, view.remark, view.personal), (largest.ext, largest.remark, largest.personal));
}

#[tokio::test]
async fn order_types_and_activities_that_are_not_sold_are_refused() {
    let shop = stocked().await;
    let seckill = shop.submit(SubmitOrder { order_type: OrderType::Seckill, ..one(7, 1, 1) });
    let reject = refused(&shop, "seckill", seckill).await;
    assert_eq!(reject, Reject::ActivityRequired { order_type: OrderType::Seckill });
    let activity = shop.submit(SubmitOrder { activity_id: Some(ActivityId(1)), ..one(7, 2, 1) });
    let reject = refused(&shop, "an activity", activity).await;
    assert_eq!(reject, Reject::UnexpectedActivity { order_type: OrderType::Normal });
}

#[tokio::test]
async fn bad_payments_are_refused_before_their_money_is_recorded() {
    let shop = stocked().await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let below = shop.pay(Payment { amount: Money::from_minor(-PRICE), ..payment(&receipt, "tx") });
    let reject = refused(&shop, "an amount below zero", below).await;
    assert!(matches!(reject, Reject::InvalidField { field: "amount", .. }));
    let long: Box<str> = "x".repeat(65).into();
    let long = shop.pay(Payment { transaction_id: long, ..payment(&receipt, "tx") });
    let reject = refused(&shop, "a long transaction id", long).await;
    assert!(matches!(reject, Reject::FieldTooLong { field: "transaction_id", .. }));
    let empty = shop.pay(Payment { channel: "".into(), ..payment(&receipt, "tx") });
    assert_eq!(refused(&shop, "no channel", empty).await, Reject::FieldEmpty { field: "channel" });
    assert!(shop.pay(payment(&receipt, "tx")).await.is_ok(), "none of it used up the id");
}

#[tokio::test]
async fn commands_to_unknown_orders_and_by_strangers_are_refused() {
    let shop = stocked().await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let missing = OrderNo::compose(1, receipt.order_no.slot(), 1);
    let stranger = Caller::Member(8.into());
    for (caller, order_no) in [(Caller::Operator, missing), (stranger, receipt.order_no)] {
        let not_found = Reject::OrderNotFound;
        assert_eq!(refused(&shop, "cancel", shop.cancel(caller, order_no)).await, not_found);
        assert_eq!(refused(&shop, "start", shop.start_payment(caller, order_no)).await, not_found);
        assert_eq!(refused(&shop, "confirm", shop.confirm(caller, order_no)).await, not_found);
        assert_eq!(refused(&shop, "order", shop.order(caller, order_no)).await, not_found);
    }
    let ship = shop.ship(missing, Shipment::default());
    assert_eq!(refused(&shop, "ship", ship).await, Reject::OrderNotFound);
}

#[tokio::test]
async fn transitions_out_of_order_are_refused() {
    let shop = stocked().await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let order_no = receipt.order_no;
    let wrong = |status| Reject::WrongStatus { order_no, status };
    let operator = Caller::Operator;
    let parcel = |tracking_no: &str| Shipment { carrier: "SF".into(), tracking_no: tracking_no.into() };

    let pending = wrong(OrderStatus::Pending);
    assert_eq!(refused(&shop, "ship unpaid", shop.ship(order_no, parcel("1"))).await, pending);
    assert_eq!(refused(&shop, "confirm unpaid", shop.confirm(operator, order_no)).await, pending);

    shop.pay(payment(&receipt, "tx")).await.unwrap();
    let paid = wrong(OrderStatus::Paid);
    assert_eq!(refused(&shop, "cancel paid", shop.cancel(operator, order_no)).await, paid);
    assert_eq!(refused(&shop, "start paid", shop.start_payment(operator, order_no)).await, paid);
    assert_eq!(refused(&shop, "confirm paid", shop.confirm(operator, order_no)).await, paid);
    let long = Shipment { carrier: "x".repeat(65).into(), ..parcel("1") };
    let reject = refused(&shop, "a long carrier", shop.ship(order_no, long)).await;
    assert!(matches!(reject, Reject::FieldTooLong { field: "carrier", .. }));

    shop.ship(order_no, parcel("1")).await.unwrap();
    let shipped = wrong(OrderStatus::Shipped);
    assert_eq!(refused(&shop, "ship otherwise", shop.ship(order_no, parcel("2"))).await, shipped);
    assert_eq!(refused(&shop, "cancel shipped", shop.cancel(operator, order_no)).await, shipped);
    assert!(shop.ship(order_no, parcel("1")).await.is_ok(), "the same shipment again changes nothing");

    shop.confirm(operator, order_no).await.unwrap();
    let completed = wrong(OrderStatus::Completed);
    assert_eq!(refused(&shop, "ship completed", shop.ship(order_no, parcel("1"))).await, completed);
    assert_eq!(refused(&shop, "cancel completed", shop.cancel(operator, order_no)).await, completed);

    let cancelled = shop.submit(one(7, 2, 1)).await.unwrap().order_no;
    shop.cancel(Caller::Member(7.into()), cancelled).await.unwrap();
    let reject = Reject::WrongStatus { order_no: cancelled, status: OrderStatus::Cancelled };
    assert_eq!(refused(&shop, "cancel by another", shop.cancel(operator, cancelled)).await, reject);
    assert_eq!(refused(&shop, "start cancelled", shop.start_payment(operator, cancelled)).await, reject);
    assert_eq!(refused(&shop, "ship cancelled", shop.ship(cancelled, parcel("1"))).await, reject);
}

#[tokio::test]
async fn adjustments_below_zero_or_beyond_the_bound_are_refused() {
    let shop = stocked().await;
    shop.submit(basket(7, 1, &[(1, 4)])).await.unwrap();
    shop.settle().await;
    let below = Reject::StockBelowZero { needed: 7, available: 6 };
    assert_eq!(refused(&shop, "below", shop.adjust_stock(add_units(50, 1, -7))).await, below);
    assert_eq!(refused(&shop, "to below", shop.adjust_stock(set_total(51, 1, 3))).await, below);
    let least = shop.adjust_stock(add_units(52, 1, i64::MIN));
    assert!(matches!(refused(&shop, "the least", least).await, Reject::StockBelowZero { .. }));
    let total_max = stockade::domain::stock::STOCK_TOTAL_MAX;
    let overflow = Reject::StockOverflow { total_max };
    for change in [
        StockChange::Relative(i64::MAX),
        StockChange::Absolute(total_max + 1),
        StockChange::Absolute(u64::MAX),
    ] {
        let adjustment = stockade::StockAdjustment { change, ..add_units(53, 1, 0) };
        assert_eq!(refused(&shop, "too much", shop.adjust_stock(adjustment)).await, overflow);
    }
    let unknown = shop.adjust_stock(add_units(54, 99, 1));
    assert_eq!(refused(&shop, "an unknown sku", unknown).await, Reject::UnknownSku { sku: 99.into() });
    assert_eq!(shop.adjust_stock(add_units(50, 1, -6)).await.unwrap().available, 0, "no id was used up");
}

#[tokio::test]
async fn a_batch_refuses_its_bad_orders_one_by_one() {
    let shop = stocked().await;
    let batch = vec![one(1, 1, 1), basket(2, 1, &[]), one(3, 1, 99), one(4, 1, 2), basket(5, 1, &[(1, 99)])];
    let results = answered(shop.submit_batch(batch)).await;
    assert!(results[0].is_ok() && results[3].is_ok());
    assert_eq!(results[1], Err(Reject::EmptyOrder));
    assert_eq!(results[2], Err(Reject::UnknownSku { sku: 99.into() }));
    assert_eq!(results[4], Err(sold_out(1)));
}

#[tokio::test]
async fn an_engine_without_a_disk_refuses_bad_input_alike() {
    let engine = Engine::open(Config::new("").durability(Durability::Memory)).await.unwrap();
    assert_eq!(engine.submit(one(7, 1, 1)).await, Err(Reject::UnknownSku { sku: 1.into() }));
    engine.shutdown().await.unwrap();
}
