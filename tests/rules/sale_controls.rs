//! Switches on what may be sold: they hold at once, survive a crash, and leave payments alone.

use stockade::{
    AdjustmentId, Money, OrderType, Origin, PaymentResult, Position, Reject, SaleControl, StockAdjustment,
    StockChange,
};

use crate::support::*;

#[tokio::test]
async fn a_paused_sku_takes_no_orders_until_it_is_resumed_and_payments_go_on() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    shop.stock_up(2, 10).await;
    let placed = shop.submit(one(1, 1, 1)).await.unwrap();
    let pause = |paused| SaleControl::SkuPaused { sku: 1.into(), paused };
    let origin = Origin { operator: "wang".into(), reason: "recall".into() };
    assert_eq!(shop.control_sales(pause(true), Some(origin)).await, Ok(1));
    assert_eq!(shop.submit(one(2, 2, 1)).await, Err(Reject::SkuPaused { sku: 1.into() }));
    assert_eq!(shop.submit(basket(2, 3, &[(2, 1), (1, 1)])).await, Err(Reject::SkuPaused { sku: 1.into() }));
    assert!(shop.submit(one(2, 4, 2)).await.is_ok());
    assert_eq!(shop.submit(one(1, 1, 1)).await, Ok(placed), "R8: a retry gets the first answer");
    assert_eq!(shop.pay(payment(&placed, "t-1")).await.unwrap().result, PaymentResult::Paid);

    let shop = shop.after_power_cut().await;
    assert_eq!(shop.submit(one(2, 2, 1)).await, Err(Reject::SkuPaused { sku: 1.into() }));
    assert_eq!(shop.control_sales(pause(false), None).await, Ok(2));
    assert!(shop.submit(one(2, 2, 1)).await.is_ok(), "a pause doesn't stick to a request");
    audit(&shop.journal);
}

#[tokio::test]
async fn all_sales_can_be_paused_and_a_member_blocked_until_a_time() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    shop.control_sales(SaleControl::AllPaused { paused: true }, None).await.unwrap();
    assert_eq!(shop.submit(one(1, 1, 1)).await, Err(Reject::SalesPaused));
    shop.control_sales(SaleControl::AllPaused { paused: false }, None).await.unwrap();
    let until_ms = START_MS + 5_000;
    shop.control_sales(SaleControl::MemberBlocked { member: 1.into(), until_ms }, None).await.unwrap();
    assert_eq!(shop.submit(one(1, 1, 1)).await, Err(Reject::MemberBlocked { until_ms }));
    assert!(shop.submit(one(2, 2, 1)).await.is_ok());
    shop.advance_to(until_ms);
    assert!(shop.submit(one(1, 1, 1)).await.is_ok());
    audit(&shop.journal);
}

#[tokio::test]
async fn safety_stock_is_kept_back_from_sale() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let keep = |units| SaleControl::SafetyStock { key: key(1), units };
    shop.control_sales(keep(3), None).await.unwrap();
    shop.submit(one(1, 1, 1)).await.unwrap();
    shop.submit(one(2, 2, 1)).await.unwrap();
    assert_eq!(shop.submit(one(3, 3, 1)).await, Err(sold_out(1)));
    assert_eq!(shop.counters(1).await.available, 3);
    let shop = shop.after_power_cut().await;
    assert_eq!(shop.submit(one(4, 4, 1)).await, Err(sold_out(1)));
    shop.control_sales(keep(2), None).await.unwrap();
    assert!(shop.submit(one(5, 5, 1)).await.is_ok());
    assert_eq!(shop.submit(one(6, 6, 1)).await, Err(sold_out(1)));
    audit(&shop.journal);
}

#[tokio::test]
async fn stock_is_set_as_of_a_position_whatever_was_ordered_since() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    shop.submit(one(1, 1, 1)).await.unwrap();
    // Somebody counts now: nine should be there, and eight are.
    let as_of = shop.state_hash().await.unwrap().position;
    let closed = shop.submit(one(2, 2, 1)).await.unwrap();
    shop.submit(one(3, 3, 1)).await.unwrap();
    shop.advance_to(closed.deadline_ms);
    shop.closed(closed.order_no).await;
    shop.settle().await;
    let before = shop.counters(1).await;
    let counted = StockAdjustment {
        id: AdjustmentId(9),
        key: key(1),
        change: StockChange::AvailableAt { available: 8, as_of },
    };
    let after = shop.adjust_stock(counted).await.unwrap();
    assert_eq!((after.total, after.available), (before.total - 1, before.available - 1));
    assert_eq!(shop.adjust_stock(counted).await.unwrap().total, after.total, "once per id");
    let last = shop.metrics().durable.0;
    let future = shop.set_available_at(AdjustmentId(10), key(1), 8, Position(last + 100)).await;
    assert!(matches!(future, Err(Reject::PositionNotKept { .. })), "{future:?}");
    let most = shop.set_available_at(AdjustmentId(11), key(1), 0, Position(1)).await.unwrap();
    assert_eq!(most.total, after.total, "nothing was there at position 1, and zero were counted");
    audit(&shop.journal);
}

#[tokio::test]
async fn rejects_and_names_of_order_types_are_typed() {
    assert_eq!("auction".parse::<OrderType>(), Err(Reject::UnknownOrderType));
    assert_eq!("group_buy".parse(), Ok(OrderType::GroupBuy));
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    let order = stockade::SubmitOrder { order_type: OrderType::Seckill, ..one(1, 1, 1) };
    let required = Reject::ActivityRequired { order_type: OrderType::Seckill };
    assert_eq!(shop.submit(order).await, Err(required));
    let long = Origin { operator: "x".repeat(65).into(), reason: "".into() };
    let refused = shop.control_sales(SaleControl::AllPaused { paused: true }, Some(long)).await;
    assert!(matches!(refused, Err(Reject::FieldTooLong { field: "operator", .. })));
    assert_eq!(shop.submit(one(1, 2, 1)).await.unwrap().pay_amount, Money::from_minor(PRICE));
}
