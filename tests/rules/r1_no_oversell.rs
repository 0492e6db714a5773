//! R1: for every stock key, at every moment, `available ≥ 0` and `total = available + held + reserved + sold`.

use stockade::{Caller, Reject, SubmitOrder};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_a_rush_of_buyers_gets_exactly_the_units_there_are() {
    let shop = Shop::open().await;
    shop.stock_up(1, 100).await;
    let results = submit_together(&shop, (0..400).map(|buyer| one(buyer, 1, 1))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 100);
    assert!(results.iter().all(|result| result.is_ok() || *result == Err(sold_out(1))));
    shop.settle().await;
    let counters = shop.counters(1).await;
    assert_eq!((counters.available, counters.held, counters.reserved), (0, 0, 100));
    assert_no_prefix_oversells(&shop.journal);
    assert_eq!(audit(&shop.journal).orders.pending, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r1_the_counters_add_up_whenever_somebody_looks() {
    let shop = Shop::open().await;
    shop.stock_up(1, 20).await;
    let watcher = tokio::spawn({
        let engine = shop.engine.clone();
        async move {
            for _ in 0..300 {
                let counters = engine.stock(key(1)).await.unwrap();
                assert!(counters.balanced(), "{counters:?}");
                assert_eq!(counters.total, 20);
            }
        }
    });
    let buyers = (0..200_u64).map(|buyer| {
        let engine = shop.engine.clone();
        async move {
            let Ok(receipt) = engine.submit(one(buyer, 1, 1)).await else { return };
            if buyer % 3 == 0 {
                engine.pay(payment(&receipt, &buyer.to_string())).await.unwrap();
            } else {
                engine.cancel(Caller::Member(buyer.into()), receipt.order_no).await.unwrap();
            }
        }
    });
    together(buyers.collect::<Vec<_>>()).await;
    answered(watcher).await.unwrap();
    shop.settle().await;
    let counters = shop.counters(1).await;
    assert_eq!((counters.held, counters.reserved), (0, 0));
    assert_eq!(counters.available + counters.sold, 20);
    assert_no_prefix_oversells(&shop.journal);
    let report = audit(&shop.journal);
    assert_eq!(report.stock_of(&key(1)).sold as u64, counters.sold);
}

#[tokio::test]
async fn r1_an_adjustment_takes_only_what_is_available() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    shop.submit(SubmitOrder::one_line(1, 1, 1, 3)).await.unwrap();
    assert_eq!(
        shop.adjust_stock(set_total(50, 1, 2)).await,
        Err(Reject::StockBelowZero { needed: 3, available: 2 })
    );
    let counters = shop.adjust_stock(set_total(51, 1, 3)).await.unwrap();
    assert_eq!((counters.total, counters.available), (3, 0));
    assert_eq!(shop.submit(one(9, 9, 1)).await, Err(sold_out(1)));
}
