//! R2: an order reserves every line or none; lines of one SKU are summed; quantities are at least one.

use stockade::Reject;

use crate::support::*;

#[tokio::test]
async fn r2_an_order_with_one_short_line_reserves_nothing() {
    let shop = Shop::open().await;
    for sku in [1, 2, 3] {
        shop.stock_up(sku, 5).await;
    }
    let short = shop.submit(basket(7, 1, &[(1, 1), (2, 6), (3, 1)])).await;
    assert_eq!(short, Err(sold_out(2)));
    for sku in [1, 2, 3] {
        let counters = shop.counters(sku).await;
        assert_eq!((counters.available, counters.held, counters.reserved), (5, 0, 0), "sku {sku}");
    }
    assert_eq!(shop.count("OrderCreated"), 0);

    let receipt = shop.submit(basket(7, 2, &[(1, 1), (2, 5), (3, 1)])).await.unwrap();
    assert_eq!(receipt.pay_amount.minor(), 7 * PRICE);
    shop.settle().await;
    assert_eq!(shop.counters(2).await.reserved, 5);
}

#[tokio::test]
async fn r2_lines_of_one_sku_are_summed_before_they_are_reserved() {
    let shop = Shop::open().await;
    shop.stock_up(1, 4).await;
    shop.stock_up(2, 4).await;
    let apart = shop.submit(basket(7, 1, &[(1, 2), (2, 1), (1, 3)])).await;
    assert_eq!(apart, Err(sold_out(1)), "2 + 3 of 4");
    let receipt = shop.submit(basket(7, 2, &[(1, 2), (2, 1), (1, 2)])).await.unwrap();
    let lines: Vec<_> =
        shop.view(receipt.order_no).await.lines.iter().map(|line| (line.sku_id.0, line.quantity)).collect();
    assert_eq!(lines, [(1, 4), (2, 1)]);
}

#[tokio::test]
async fn r2_a_quantity_below_one_is_refused() {
    let shop = Shop::open().await;
    shop.stock_up(1, 4).await;
    let nothing = shop.submit(basket(7, 1, &[(1, 0)])).await;
    assert_eq!(nothing, Err(Reject::QuantityTooSmall { sku: 1.into() }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_baskets_that_want_the_same_skus_in_opposite_order_neither_deadlock_nor_split() {
    let shop = Shop::open().await;
    shop.stock_up(1, 40).await;
    shop.stock_up(2, 40).await;
    let orders = (0..200_u64).map(|buyer| {
        let lines = if buyer % 2 == 0 { [(1, 1), (2, 1)] } else { [(2, 1), (1, 1)] };
        basket(buyer, 1, &lines)
    });
    let results = submit_together(&shop, orders).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 40);
    shop.settle().await;
    for sku in [1, 2] {
        let counters = shop.counters(sku).await;
        assert_eq!((counters.available, counters.held, counters.reserved), (0, 0, 40), "sku {sku}");
    }
    audit(&shop.journal);
}
