//! Purchase limits per member: exact under concurrency, given back on cancel, recovered.

use stockade::{Caller, Reject};

use crate::support::*;

fn limited(limit: u32, bought: u32) -> Reject {
    Reject::LimitExceeded { sku: 1.into(), limit, bought }
}

#[tokio::test]
async fn while_a_first_submit_fails_a_second_is_not_refused_as_limited() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 1, 1).await;
    shop.stock_up(2, 1).await;
    for round in 0..100 {
        // The first has the member's limit and the unit of SKU 1 when it finds SKU 2 too short.
        let first = shop.submit(basket(7, round * 2, &[(1, 1), (2, 2)]));
        let second = shop.submit(one(7, round * 2 + 1, 1));
        let (first, second) = answered(async { tokio::join!(first, second) }).await;
        assert_eq!(first, Err(sold_out(2)));
        let receipt = second.expect("limit and unit came back");
        shop.cancel(Caller::Member(7.into()), receipt.order_no).await.unwrap();
    }
}

#[tokio::test]
async fn both_of_two_racing_submits_are_sold_out_and_not_limited_where_no_unit_is() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 1, 2).await;
    let (first, second) =
        tokio::join!(shop.submit(basket(7, 1, &[(1, 2)])), shop.submit(basket(7, 2, &[(1, 2)])));
    assert_eq!([first, second], [Err(sold_out(1)), Err(sold_out(1))]);
    assert_eq!(shop.metrics().limited, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_concurrent_submits_of_one_member_get_exactly_the_limit() {
    let shop = Shop::open_with(|config| config.waiters_max(1_000)).await;
    shop.stock_up_limited(1, 10_000, 3).await;
    for member in 0..20 {
        let results = submit_together(&shop, (0..30).map(|request| one(member, request, 1))).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 3, "{results:?}");
        assert!(results.iter().all(|result| result.is_ok() || *result == Err(limited(3, 3))), "{results:?}");
    }
    assert_eq!(shop.metrics().limited, 20 * 27);
    audit(&shop.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_is_exact_while_orders_are_cancelled_side_by_side() {
    let shop = Shop::open_with(|config| config.waiters_max(1_000)).await;
    shop.stock_up_limited(1, 100, 2).await;
    let buyers = (0..8_u128).map(|task| {
        let engine = shop.engine.clone();
        async move {
            for round in 0..60 {
                if let Ok(receipt) = engine.submit(one(7, task * 1_000 + round, 1)).await {
                    engine.cancel(Caller::Member(7.into()), receipt.order_no).await.unwrap();
                }
            }
        }
    });
    together(buyers.collect::<Vec<_>>()).await;
    assert!(shop.count("OrderCreated") > 60);
    // The auditor counts the limit along the journal.
    audit(&shop.journal);
    let results = submit_together(&shop, (0..5).map(|request| one(7, 100_000 + request, 1))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2, "{results:?}");
}

#[tokio::test]
async fn a_limit_is_given_back_on_cancel_and_on_timeout() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 10, 2).await;
    let first = shop.submit(one(7, 1, 1)).await.unwrap();
    let second = shop.submit(one(7, 2, 1)).await.unwrap();
    assert_eq!(shop.submit(one(7, 3, 1)).await, Err(limited(2, 2)));
    assert!(shop.submit(one(8, 1, 1)).await.is_ok(), "another member has a limit of their own");
    shop.cancel(Caller::Operator, first.order_no).await.unwrap();
    let third = shop.submit(one(7, 4, 1)).await.unwrap();
    assert_eq!(shop.submit(one(7, 5, 1)).await, Err(limited(2, 2)));
    shop.advance_to(second.deadline_ms);
    shop.closed(second.order_no).await;
    shop.closed(third.order_no).await;
    assert!(shop.submit(basket(7, 6, &[(1, 2)])).await.is_ok());
}

#[tokio::test]
async fn a_limit_is_recovered_after_a_restart() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 10, 3).await;
    let first = shop.submit(one(7, 1, 1)).await.unwrap();
    let second = shop.submit(one(7, 2, 1)).await.unwrap();
    shop.cancel(Caller::Operator, first.order_no).await.unwrap();
    shop.pay(payment(&second, "tx")).await.unwrap();
    let next = shop.after_power_cut().await;
    assert_eq!(next.submit(basket(7, 3, &[(1, 3)])).await, Err(limited(3, 1)));
    assert!(next.submit(basket(7, 4, &[(1, 2)])).await.is_ok());
    assert_eq!(next.submit(one(7, 5, 1)).await, Err(limited(3, 3)));
}

#[tokio::test]
async fn a_refused_multi_line_order_keeps_no_limit() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 10, 1).await;
    shop.stock_up(2, 1).await;
    assert_eq!(shop.submit(basket(7, 1, &[(1, 1), (2, 2)])).await, Err(sold_out(2)));
    assert!(shop.submit(one(7, 2, 1)).await.is_ok());
}
