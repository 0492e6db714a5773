//! Seckill sessions: their window, price, limit and stock, and what becomes of the stock when they are over.

use stockade::{
    Activity, ActivityItem, ActivityKind, AdjustmentId, Event, Money, OrderStatus, OrderType, PaymentResult,
    RefundReason, Reject, StockCounters, StockKey, SubmitOrder,
};

use crate::support::*;

const SKU: u64 = 10;
const SESSION: u64 = 7;
const SESSION_PRICE: i64 = 99;
const OPENS_MS: u64 = START_MS + 10_000;
const ENDS_MS: u64 = OPENS_MS + 20_000;

fn session() -> Activity {
    Activity {
        id: SESSION.into(),
        kind: ActivityKind::Seckill,
        title: "Ten o'clock".into(),
        start_ms: OPENS_MS,
        end_ms: ENDS_MS,
        items: vec![ActivityItem {
            sku_id: SKU.into(),
            price: Money::from_minor(SESSION_PRICE),
            limit_per_member: 1,
        }],
        ..Activity::default()
    }
}

fn pool() -> StockKey {
    session().stock_key(SKU.into())
}

fn order(member: u64, request: u128) -> SubmitOrder {
    SubmitOrder {
        order_type: OrderType::Seckill,
        activity_id: Some(SESSION.into()),
        ..one(member, request, SKU)
    }
}

/// A shop with 100 units, five of them in the session.
async fn shop() -> Shop {
    let shop = Shop::open_with(|config| config.auto_close_ms(OrderType::Seckill, AUTO_CLOSE_MS)).await;
    shop.stock_up(SKU, 100).await;
    assert_eq!(shop.put_activity(session()).await, Ok(1));
    let left = shop.transfer_stock(AdjustmentId(1), key(SKU), pool(), 5).await.unwrap();
    assert_eq!((left.total, left.available), (95, 95));
    shop
}

async fn pool_of(shop: &Shop) -> StockCounters {
    shop.stock(pool()).await.unwrap()
}

#[tokio::test]
async fn nothing_is_accepted_before_the_start_and_nothing_at_the_end() {
    let shop = shop().await;
    let early = Err(Reject::NotOpenYet { activity: SESSION.into(), opens_at_ms: OPENS_MS });
    assert_eq!(shop.submit(order(1, 1)).await, early);
    shop.advance_to(OPENS_MS - 1);
    assert_eq!(shop.submit(order(1, 1)).await, early);
    shop.advance_to(OPENS_MS);
    let receipt = shop.submit(order(1, 1)).await.unwrap();
    assert_eq!(receipt.pay_amount, Money::from_minor(SESSION_PRICE), "not_open_yet doesn't stick");
    shop.advance_to(ENDS_MS - 1);
    shop.submit(order(2, 2)).await.unwrap();
    shop.advance_to(ENDS_MS);
    let over = Err(Reject::ActivityOver { activity: SESSION.into() });
    assert_eq!(shop.submit(order(3, 3)).await, over);
    assert_eq!(shop.submit(order(1, 1)).await, Ok(receipt), "R8: a retry gets the first answer all the same");
    audit(&shop.journal);
}

#[tokio::test]
async fn it_sells_its_own_stock_at_its_own_price_within_its_own_limit() {
    let shop = shop().await;
    shop.advance_to(OPENS_MS);
    shop.submit(order(1, 1)).await.unwrap();
    let limited = Reject::LimitExceeded { sku: SKU.into(), limit: 1, bought: 1 };
    assert_eq!(shop.submit(order(1, 2)).await, Err(limited));
    assert!(shop.submit(one(1, 3, SKU)).await.is_ok(), "everyday orders have a limit of their own");
    for member in 2..=5 {
        shop.submit(order(member, 10 + u128::from(member))).await.unwrap();
    }
    assert_eq!(shop.submit(order(6, 20)).await, Err(sold_out(SKU)));
    assert_eq!(shop.counters(SKU).await.available, 94);
    assert_no_prefix_oversells(&shop.journal);
    audit(&shop.journal);
}

#[tokio::test]
async fn what_is_left_and_what_comes_back_flows_to_the_everyday_stock() {
    let shop = shop().await;
    shop.advance_to(OPENS_MS);
    let paid = shop.submit(order(1, 1)).await.unwrap();
    let unpaid = shop.submit(order(2, 2)).await.unwrap();
    shop.pay(payment(&paid, "t-1")).await.unwrap();
    shop.advance_to(ENDS_MS);
    shop.event(|event| matches!(event, Event::StockTransferred { units: 3, .. })).await;
    shop.settle().await;
    let StockCounters { total, available, reserved, sold, .. } = pool_of(&shop).await;
    assert_eq!((total, available, reserved, sold), (2, 0, 1, 1));
    assert_eq!(shop.counters(SKU).await.available, 98);

    shop.advance_to(unpaid.deadline_ms);
    shop.closed(unpaid.order_no).await;
    shop.event(|event| matches!(event, Event::StockTransferred { units: 1, .. })).await;
    shop.settle().await;
    assert_eq!((pool_of(&shop).await.total, shop.counters(SKU).await.available), (1, 99));
    assert_eq!(shop.count("ActivityEnded"), 1);
    let outcome = shop.pay(payment(&unpaid, "t-2")).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::SoldOut), "the session is over");
    assert_no_prefix_oversells(&shop.journal);
    audit(&shop.journal);
}

#[tokio::test]
async fn a_restart_carries_out_an_end_that_fell_into_the_down_time() {
    let shop = shop().await;
    shop.advance_to(OPENS_MS);
    let unpaid = shop.submit(order(2, 2)).await.unwrap();
    let journal = shop.journal.after_power_cut();
    shop.advance_to(ENDS_MS + 1);
    let shop = shop.reopen(journal, |config| config).await.unwrap();
    shop.event(|event| matches!(event, Event::StockTransferred { units: 4, .. })).await;
    shop.settle().await;
    assert_eq!(shop.activity(SESSION).unwrap().ended_at_ms, Some(ENDS_MS));
    assert_eq!(shop.status(unpaid.order_no).await, OrderStatus::Pending);
    let hash = shop.state_hash().await.unwrap().hash;
    // Over already, and a close after another restart flows back, too.
    let shop = shop.after_power_cut().await;
    shop.settle().await;
    assert_eq!(shop.state_hash().await.unwrap().hash, hash, "R7");
    shop.advance_to(unpaid.deadline_ms);
    shop.closed(unpaid.order_no).await;
    shop.settle().await;
    assert_eq!((pool_of(&shop).await.total, shop.counters(SKU).await.available), (0, 100));
    assert_no_prefix_oversells(&shop.journal);
    audit(&shop.journal);
}

#[tokio::test]
async fn every_prefix_of_a_session_opens_and_comes_to_rest() {
    let shop = shop().await;
    shop.advance_to(OPENS_MS);
    let unpaid = shop.submit(order(2, 2)).await.unwrap();
    shop.end_activity(SESSION, None).await.unwrap();
    shop.settle().await;
    shop.advance_to(unpaid.deadline_ms);
    shop.closed(unpaid.order_no).await;
    shop.settle().await;
    let entries = shop.entries();
    for len in 1..=entries.len() {
        let journal = journal_of(&entries[..len]);
        audit(&journal);
        let again = shop.reopen(journal, |config| config).await.unwrap();
        again.settle().await;
        again.settle().await;
        let pool = pool_of(&again).await;
        let ended = again.activity(SESSION).is_some_and(|session| session.ended_at_ms.is_some());
        assert!(!ended || pool.available == 0, "after {len} entries: {pool:?}");
        audit(&again.journal);
    }
}

#[tokio::test]
async fn transfers_are_checked_and_happen_once_per_id() {
    let shop = shop().await;
    let transfer = |id: u128, from, to, units| shop.transfer_stock(AdjustmentId(id), from, to, units);
    assert_eq!(transfer(1, key(SKU), pool(), 5).await.map(|left| left.total), Ok(95), "it was made before");
    assert_eq!(transfer(1, key(SKU), pool(), 6).await, Err(Reject::AdjustmentIdReused));
    let below = Reject::StockBelowZero { needed: 96, available: 95 };
    assert_eq!(transfer(2, key(SKU), pool(), 96).await, Err(below));
    assert!(matches!(transfer(3, key(SKU), key(SKU), 1).await, Err(Reject::TransferInvalid { .. })));
    assert!(matches!(transfer(3, key(SKU), pool(), 0).await, Err(Reject::TransferInvalid { .. })));
    let nowhere = StockKey { activity: 8.into(), ..pool() };
    assert_eq!(transfer(3, key(SKU), nowhere, 1).await, Err(Reject::ActivityNotFound { activity: 8.into() }));
    assert_eq!(transfer(4, pool(), key(SKU), 2).await.map(|left| left.total), Ok(3), "units may leave again");
    shop.end_activity(SESSION, None).await.unwrap();
    let over = Err(Reject::ActivityOver { activity: SESSION.into() });
    assert_eq!(transfer(5, key(SKU), pool(), 1).await, over);
    shop.settle().await;
    assert_eq!((pool_of(&shop).await.total, shop.counters(SKU).await.total), (0, 100));
    let shop = shop.after_power_cut().await;
    let again = shop.transfer_stock(AdjustmentId(4), pool(), key(SKU), 2).await;
    assert_eq!(again.map(|left| left.total), Ok(0), "R8: known after a restart, too");
    audit(&shop.journal);
}

#[tokio::test]
async fn what_a_session_may_become_is_checked() {
    let shop = shop().await;
    assert_eq!(shop.put_activity(session()).await, Ok(1), "equal to what holds");
    let cheaper = |price| {
        let mut session = session();
        session.items[0].price = Money::from_minor(price);
        session
    };
    shop.advance_to(OPENS_MS);
    assert_eq!(shop.put_activity(cheaper(50)).await, Ok(2));
    assert_eq!(shop.submit(order(1, 1)).await.unwrap().pay_amount, Money::from_minor(50));
    let moved = Activity { start_ms: OPENS_MS + 1, ..session() };
    assert!(matches!(shop.put_activity(moved).await, Err(Reject::ActivityInvalid { .. })));
    let unknown =
        Activity { items: vec![ActivityItem { sku_id: 99.into(), ..Default::default() }], ..session() };
    assert_eq!(shop.put_activity(unknown).await, Err(Reject::UnknownSku { sku: 99.into() }));
    shop.end_activity(SESSION, None).await.unwrap();
    let over = Err(Reject::ActivityOver { activity: SESSION.into() });
    assert_eq!(shop.put_activity(cheaper(10)).await, over);
    let wrong = SubmitOrder { order_type: OrderType::GroupBuy, ..order(1, 5) };
    assert_eq!(shop.submit(wrong).await, Err(Reject::ActivityNotFound { activity: SESSION.into() }));
    audit(&shop.journal);
}
