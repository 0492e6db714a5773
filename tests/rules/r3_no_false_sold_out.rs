//! R3: "sold out" only if, at some instant between arrival and answer, the units were truly not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use stockade::{Caller, Config, OrderStatus, OrderType};

use crate::support::*;

#[tokio::test]
async fn r3_units_held_by_an_order_that_fails_go_to_the_one_that_waited_for_them() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    shop.stock_up(2, 1).await;
    for round in 0..100 {
        // Both arrive before anybody has decided; the first holds the only unit of SKU 1 and then fails at SKU 2.
        let fails = shop.submit(basket(1, round * 2, &[(1, 1), (2, 2)]));
        let waits = shop.submit(one(2, round * 2 + 1, 1));
        let (failed, waited) = answered(async { tokio::join!(fails, waits) }).await;
        assert_eq!(failed, Err(sold_out(2)));
        let receipt = waited.expect("the unit came back");
        shop.cancel(Caller::Operator, receipt.order_no).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_after_an_acknowledged_cancel_the_unit_is_there() {
    let shop = Shop::open().await;
    const SKUS: u64 = 8;
    for sku in 0..SKUS {
        shop.stock_up(sku, 1).await;
    }
    // Each SKU has one unit that wanders from member to member; whoever cancelled makes room for exactly one.
    let wander = (0..SKUS).map(|sku| {
        let engine = shop.engine.clone();
        async move {
            for round in 0..400_u64 {
                let member = sku * 1_000 + round;
                let receipt = engine.submit(one(member, 1, sku)).await;
                let receipt = receipt.unwrap_or_else(|reject| panic!("round {round} of sku {sku}: {reject}"));
                engine.cancel(Caller::Member(member.into()), receipt.order_no).await.unwrap();
                let counters = engine.stock(key(sku)).await.unwrap();
                assert_eq!(counters.available, 1, "round {round} of sku {sku}");
            }
        }
    });
    together(wander.collect::<Vec<_>>()).await;
    assert_eq!(shop.metrics().sold_out, 0);
    audit(&shop.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_once_a_timed_out_order_is_seen_to_be_closed_its_unit_is_there() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    for round in 0..100 {
        let receipt = shop.submit(one(round, 1, 1)).await.unwrap();
        shop.advance_to(receipt.deadline_ms);
        shop.closed(receipt.order_no).await;
        let next = shop.submit(one(round, 2, 1)).await;
        let next = next.unwrap_or_else(|reject| panic!("round {round}: {reject}"));
        shop.cancel(Caller::Operator, next.order_no).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r3_a_stock_actor_that_goes_to_rest_loses_no_request() {
    let day_ms = 24 * 3_600_000;
    let rest_soon = |config: Config| config.stock_idle_ms(1).auto_close_ms(OrderType::Normal, day_ms);
    let shop = Shop::open_with(rest_soon).await;
    const SKUS: u64 = 4;
    for sku in 0..SKUS {
        shop.stock_up(sku, 1).await;
    }
    // Housekeeping suggests rest at every other step, in the middle of the traffic.
    let rests = Arc::new(AtomicU64::new(0));
    let trading = (0..SKUS).map(|sku| {
        let (engine, time, rests) = (shop.engine.clone(), shop.time.clone(), rests.clone());
        async move {
            for round in 0..150_u64 {
                let receipt = engine.submit(one(sku * 1_000 + round, 1, sku)).await.unwrap();
                // 500 ms is the interval of housekeeping; orders stay far from their deadline.
                time.advance(500);
                engine.cancel(Caller::Operator, receipt.order_no).await.unwrap();
                time.advance(500);
                for _ in 0..round % 7 {
                    tokio::task::yield_now().await;
                }
                if engine.metrics().stock_actors < SKUS {
                    rests.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    together(trading.collect::<Vec<_>>()).await;
    assert!(rests.load(Ordering::Relaxed) > 0, "no actor ever rested: the test shows nothing");
    shop.settle().await;
    for sku in 0..SKUS {
        let counters = shop.counters(sku).await;
        assert_eq!((counters.total, counters.available), (1, 1), "sku {sku}");
    }
    audit(&shop.journal);
}

#[tokio::test]
async fn r3_a_resting_stock_key_keeps_its_counters_and_its_adjustments() {
    let shop = Shop::open_with(|config| config.stock_idle_ms(1)).await;
    shop.stock_up(1, 3).await;
    let receipt = shop.submit(one(1, 1, 1)).await.unwrap();
    shop.pay(payment(&receipt, "1")).await.unwrap();
    answered(async {
        while shop.metrics().stock_actors > 0 {
            shop.time.advance(500);
            tokio::task::yield_now().await;
        }
    })
    .await;
    let counters = shop.counters(1).await;
    assert_eq!((counters.available, counters.reserved, counters.sold), (2, 0, 1));
    let again = shop.adjust_stock(set_total(1, 1, 3)).await.unwrap();
    assert_eq!((again.total, again.available), (3, 2), "the adjustment is still known");
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Paid);
}

#[tokio::test]
async fn r3_more_units_than_are_open_are_refused_while_others_still_can_be_had() {
    let shop = Shop::open().await;
    shop.stock_up(1, 3).await;
    assert_eq!(shop.submit(basket(1, 1, &[(1, 4)])).await, Err(sold_out(1)));
    assert!(shop.submit(basket(1, 2, &[(1, 3)])).await.is_ok());
}
