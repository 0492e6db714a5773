//! R6: one entry is one decision; the reservation exists in the journal through `OrderCreated` alone.

use stockade::{Event, Reject};

use crate::support::*;

#[tokio::test]
async fn r6_an_order_of_many_lines_is_one_event_in_one_entry() {
    let shop = Shop::open().await;
    let lines: Vec<_> = (1..=100).map(|sku| (sku, 2)).collect();
    for (sku, _) in &lines {
        shop.stock_up(*sku, 2).await;
    }
    let receipt = shop.submit(basket(7, 1, &lines)).await.unwrap();
    let of_order: Vec<_> = shop
        .entries()
        .into_iter()
        .filter(|entry| entry.events.iter().any(|event| event.order_version().is_some()))
        .collect();
    let [entry] = of_order.as_slice() else { panic!("{} entries", of_order.len()) };
    let [Event::OrderCreated(created)] = entry.events.as_slice() else { panic!("{:?}", entry.events) };
    assert_eq!((created.order_no, created.lines.len()), (receipt.order_no, 100));
}

#[tokio::test]
async fn r6_a_crash_between_hold_and_order_leaves_nothing_behind() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    shop.stock_up(2, 1).await;
    let writes = shop.metrics().commits;
    shop.journal.fail_write_at(writes + 1);
    let order = basket(7, 1, &[(1, 1), (2, 1)]);
    assert_eq!(answered(shop.submit(order.clone())).await, Err(Reject::OutcomeUnknown));

    let next = shop.after_power_cut().await;
    for sku in [1, 2] {
        let counters = next.counters(sku).await;
        assert_eq!((counters.available, counters.held, counters.reserved), (1, 0, 0), "sku {sku}");
    }
    assert!(next.submit(order).await.is_ok(), "the same request, sent again, places the order");
}

#[tokio::test]
async fn r6_an_entry_survives_whole_or_not_at_all() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    // The next engine opens overdue, and waits with closing: late money makes an entry of three events.
    let left = shop.journal.after_process_crash();
    shop.advance_to(receipt.deadline_ms);
    let next = shop.reopen(left, |config| config.recovery_grace_ms(60_000)).await.unwrap();
    next.pay(payment(&receipt, "late")).await.unwrap();
    let events = next.events_of(receipt.order_no);
    let names: Vec<_> = events.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, ["OrderCreated", "OrderClosed", "OrderRevived", "OrderPaid"]);
    assert!(events[1..].windows(2).all(|pair| pair[0].0 == pair[1].0), "{events:?}");
}
