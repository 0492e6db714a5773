//! R7: replaying the journal gives the state hash of the run that wrote it, whatever the number of order actors.

use stockade::{Caller, Config, Shipment, Sku, SubmitOrder};

use crate::support::*;

/// Trades until every kind of event has been written.
async fn trade(shop: &Shop) {
    for sku in 0..4 {
        shop.stock_up_limited(sku, 40, if sku == 0 { 2 } else { 0 }).await;
    }
    shop.put_sku(Sku { title: "Renamed".into(), ..sku(3) }).await.unwrap();
    shop.adjust_stock(add_units(100, 3, -5)).await.unwrap();
    let buyers = (0..60_u64).map(|buyer| {
        let engine = shop.engine.clone();
        async move {
            let order = SubmitOrder {
                external_no: (buyer % 5 == 0).then(|| format!("WEB-{buyer}").into()),
                ext: (buyer % 7 == 0).then(|| b"gift"[..].into()),
                ..basket(buyer, 1, &[(buyer % 4, 1), ((buyer + 1) % 4, 1)])
            };
            let Ok(receipt) = engine.submit(order).await else { return };
            match buyer % 6 {
                0 => drop(engine.cancel(Caller::Member(buyer.into()), receipt.order_no).await.unwrap()),
                1 => drop(engine.start_payment(Caller::Operator, receipt.order_no).await.unwrap()),
                2 | 3 => {
                    engine.pay(payment(&receipt, &format!("first {buyer}"))).await.unwrap();
                    engine.pay(payment(&receipt, &format!("second {buyer}"))).await.unwrap();
                    engine.ship(receipt.order_no, Shipment::default()).await.unwrap();
                    engine.confirm(Caller::Operator, receipt.order_no).await.unwrap();
                }
                _ => {}
            }
        }
    });
    together(buyers.collect::<Vec<_>>()).await;
    // Some come back from their timeout, some don't.
    let late = shop.submit(one(1_000, 1, 1)).await.unwrap();
    let lost = shop.submit(one(1_001, 1, 2)).await.unwrap();
    shop.advance_to(late.deadline_ms);
    shop.closed(late.order_no).await;
    shop.closed(lost.order_no).await;
    shop.pay(payment(&late, "late")).await.unwrap();
    shop.submit(one(1_002, 1, 1)).await.unwrap();
    for name in [
        "NumbersReserved",
        "SkuPut",
        "StockAdjusted",
        "OrderCreated",
        "PaymentStarted",
        "PaymentReceived",
        "OrderPaid",
        "OrderShipped",
        "OrderReceived",
        "OrderClosed",
        "OrderRevived",
        "RefundRequired",
    ] {
        assert!(shop.count(name) > 0, "the trading wrote no {name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r7_replay_gives_the_live_hash_with_any_number_of_order_actors() {
    let shop = Shop::open().await;
    trade(&shop).await;
    shop.settle().await;
    let live = shop.state_hash().await.unwrap();
    assert_eq!(live.position, shop.journal.synced());
    let left = shop.journal.after_process_crash();
    for order_actors in [1, 2, 5] {
        let open = |config: Config| config.order_actors(order_actors);
        let next = shop.reopen(left.after_process_crash(), open).await.unwrap();
        // Opening appends a reservation of order numbers, which is no part of the hash.
        let replayed = next.state_hash().await.unwrap();
        assert_eq!(replayed.hash, live.hash, "{order_actors} order actors");
        assert!(replayed.position > live.position);
    }
}

#[tokio::test]
async fn r7_the_hash_stays_the_same_over_many_restarts_in_the_middle_of_trading() {
    let mut shop = Shop::open().await;
    shop.stock_up_limited(1, 5, 3).await;
    for request in 0..4_u128 {
        let receipt = shop.submit(one(7, request, 1)).await.unwrap();
        match request {
            0 => drop(shop.cancel(Caller::Operator, receipt.order_no).await.unwrap()),
            1 => drop(shop.pay(payment(&receipt, "tx")).await.unwrap()),
            2 => drop(shop.start_payment(Caller::Operator, receipt.order_no).await.unwrap()),
            _ => {}
        }
        shop.settle().await;
        let live = shop.state_hash().await.unwrap().hash;
        let open = |config: Config| config.order_actors(1 + request as usize);
        let next = shop.reopen(shop.journal.after_power_cut(), open).await.unwrap();
        assert_eq!(next.state_hash().await.unwrap().hash, live, "restart {request}");
        shop = next;
    }
    let counters = shop.counters(1).await;
    assert_eq!((counters.available, counters.reserved, counters.sold), (2, 2, 1));
}

#[tokio::test]
async fn r7_the_hash_tells_states_apart() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let mut seen = vec![shop.state_hash().await.unwrap().hash];
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    seen.push(shop.state_hash().await.unwrap().hash);
    shop.start_payment(Caller::Operator, receipt.order_no).await.unwrap();
    seen.push(shop.state_hash().await.unwrap().hash);
    shop.pay(payment(&receipt, "1")).await.unwrap();
    seen.push(shop.state_hash().await.unwrap().hash);
    // A refusal and a repeated request are no facts.
    assert!(shop.submit(basket(7, 2, &[(1, 9)])).await.is_err());
    shop.submit(one(7, 1, 1)).await.unwrap();
    assert_eq!(shop.state_hash().await.unwrap().hash, seen[3]);
    seen.dedup();
    assert_eq!(seen.len(), 4);
}
