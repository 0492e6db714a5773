//! R8: the same request counts once and gives the first answer; so do payments and stock adjustments.

use stockade::{Caller, PaymentResult, RefundReason, Reject, Sku, SubmitOrder};

use crate::support::*;

#[tokio::test]
async fn r8_a_retry_gets_the_first_receipt_whatever_has_become_of_the_order() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    assert_eq!(shop.submit(one(7, 1, 1)).await, Ok(receipt));
    shop.start_payment(Caller::Operator, receipt.order_no).await.unwrap();
    shop.cancel(Caller::Operator, receipt.order_no).await.unwrap();
    assert_eq!(shop.submit(one(7, 1, 1)).await, Ok(receipt));
    assert_eq!(shop.count("OrderCreated"), 1);
    assert_eq!(shop.metrics().duplicates, 2);
}

#[tokio::test]
async fn r8_a_retry_after_sell_out_gets_its_receipt() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    // Somebody else is refused at the door, so the gauge shows sold out.
    assert_eq!(shop.submit(one(8, 1, 1)).await, Err(sold_out(1)));
    until(|| shop.metrics().sold_out > 0).await;
    shop.settle().await;
    for member in 100..110 {
        assert_eq!(shop.submit(one(member, 1, 1)).await, Err(sold_out(1)));
    }
    assert!(shop.metrics().sold_out_at_door >= 10, "{:?}", shop.metrics());
    assert_eq!(shop.submit(one(7, 1, 1)).await, Ok(receipt));

    let next = shop.after_power_cut().await;
    assert_eq!(next.submit(one(9, 1, 1)).await, Err(sold_out(1)));
    assert_eq!(next.metrics().sold_out_at_door, 1, "the door refuses after a restart, too");
    assert_eq!(next.submit(one(7, 1, 1)).await, Ok(receipt));
}

#[tokio::test]
async fn r8_a_retry_of_a_batch_after_sell_out_gets_its_receipts() {
    let shop = Shop::open().await;
    shop.stock_up(1, 3).await;
    let batch: Vec<_> = (0..5).map(|member| one(member, 1, 1)).collect();
    let first = answered(shop.submit_batch(batch.clone())).await;
    assert_eq!(first.iter().filter(|result| result.is_ok()).count(), 3);
    assert_eq!(answered(shop.submit_batch(batch)).await, first);
    assert_eq!(shop.count("OrderCreated"), 3);
}

#[tokio::test]
async fn r8_a_retry_gets_its_receipt_after_the_sku_has_changed_or_left() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.put_sku(Sku { price: stockade::Money::from_minor(999), ..sku(1) }).await.unwrap();
    assert_eq!(shop.submit(one(7, 1, 1)).await, Ok(receipt), "at the first price");
    shop.put_sku(Sku { on_sale: false, ..sku(1) }).await.unwrap();
    assert_eq!(shop.submit(one(7, 1, 1)).await, Ok(receipt), "the sku is off sale by now");
    assert_eq!(shop.submit_batch(vec![one(7, 1, 1)]).await, [Ok(receipt)]);
    assert_eq!(shop.submit(one(8, 1, 1)).await, Err(Reject::SkuOffSale { sku: 1.into() }));
    let next = shop.after_power_cut().await;
    assert_eq!(next.submit(one(7, 1, 1)).await, Ok(receipt), "and after a restart");
    until(|| next.metrics().in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_a_duplicate_in_flight_gets_the_same_answer() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1_000).await;
    shop.stock_up(2, 1_000).await;
    for request in 0..30 {
        let order = basket(7, request, &[(1, 1), (2, 1)]);
        let results = submit_together(&shop, (0..40).map(|_| order.clone())).await;
        let receipt = results[0].unwrap();
        assert!(results.iter().all(|result| *result == Ok(receipt)), "{results:?}");
    }
    assert_eq!(shop.count("OrderCreated"), 30);
    shop.settle().await;
    assert_eq!(shop.counters(1).await.reserved, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_a_duplicate_waits_for_the_firsts_durability_too() {
    let (shop, gate) = Shop::open_gated(|config| config).await;
    shop.stock_up(1, 5).await;
    gate.close();
    let before = shop.journal.written();
    let submit = |engine: stockade::Engine| async move { engine.submit(one(7, 1, 1)).await };
    let first = tokio::spawn(submit(shop.engine.clone()));
    until(|| shop.journal.written() > before).await;
    let second = tokio::spawn(submit(shop.engine.clone()));
    until(|| shop.metrics().duplicates == 1).await;
    assert!(!first.is_finished() && !second.is_finished());
    gate.open();
    let (first, second) = (answered(first).await.unwrap(), answered(second).await.unwrap());
    assert!(first.is_ok());
    assert_eq!(first, second);
}

#[tokio::test]
async fn r8_duplicates_of_a_request_that_is_refused_are_refused_with_it() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    shop.stock_up(2, 1).await;
    let order = || shop.submit(basket(7, 1, &[(1, 1), (2, 2)]));
    let (first, second, third) = tokio::join!(order(), order(), order());
    assert_eq!([first, second, third], [Err(sold_out(2)); 3]);
    until(|| shop.metrics().in_flight == 0).await;
}

#[tokio::test]
async fn r8_a_request_id_with_another_body_is_refused_as_reused() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    shop.stock_up(2, 5).await;
    shop.submit(one(7, 1, 1)).await.unwrap();
    for other in [
        one(7, 1, 2),
        basket(7, 1, &[(1, 2)]),
        SubmitOrder { remark: Some("ring twice".into()), ..one(7, 1, 1) },
        SubmitOrder { ext: Some(b"x"[..].into()), ..one(7, 1, 1) },
    ] {
        assert_eq!(shop.submit(other).await, Err(Reject::RequestIdReused));
    }
    // In flight, too.
    let (first, other) = tokio::join!(shop.submit(one(7, 2, 1)), shop.submit(one(7, 2, 2)));
    assert!(first.is_ok());
    assert_eq!(other, Err(Reject::RequestIdReused));
    let next = shop.after_power_cut().await;
    assert_eq!(next.submit(one(7, 1, 2)).await, Err(Reject::RequestIdReused), "after a restart, too");
}

#[tokio::test]
async fn r8_a_delayed_duplicate_of_a_refused_request_stays_refused_after_a_restock() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    let short = basket(7, 1, &[(1, 2)]);
    assert_eq!(shop.submit(short.clone()).await, Err(sold_out(1)), "refused by the actor");
    shop.submit(one(8, 1, 1)).await.unwrap();
    shop.settle().await;
    assert_eq!(shop.submit(one(9, 1, 1)).await, Err(sold_out(1)));
    assert_eq!(shop.metrics().sold_out_at_door, 1, "refused at the door");

    shop.adjust_stock(add_units(2, 1, 100)).await.unwrap();
    assert_eq!(shop.submit(short).await, Err(sold_out(1)));
    assert_eq!(shop.submit(one(9, 1, 1)).await, Err(sold_out(1)));
    assert!(shop.submit(one(9, 2, 1)).await.is_ok(), "a new request is free to buy");
}

#[tokio::test]
async fn r8_overloaded_never_sticks() {
    let shop = Shop::open_with(|config| config.in_flight_max(3)).await;
    shop.stock_up(1, 10).await;
    let batch: Vec<_> = (0..4).map(|member| one(member, 1, 1)).collect();
    let refused = shop.submit_batch(batch.clone()).await;
    assert!(refused.iter().all(|result| matches!(result, Err(Reject::Overloaded { .. }))), "{refused:?}");
    for order in batch {
        assert!(shop.submit(order).await.is_ok());
    }
}

#[tokio::test]
async fn r8_an_external_number_names_one_order_over_all_members() {
    let shop = Shop::open().await;
    shop.stock_up(1, 50).await;
    let named = |member, request, name: &str| SubmitOrder {
        external_no: Some(name.into()),
        ..one(member, request, 1)
    };
    let receipt = shop.submit(named(7, 1, "A")).await.unwrap();
    assert_eq!(shop.submit(named(8, 1, "A")).await, Err(Reject::ExternalNoTaken));
    assert_eq!(shop.submit(named(7, 1, "A")).await, Ok(receipt), "its own retry is no stranger");
    // A number whose order fails is free again.
    let fails = SubmitOrder { lines: basket(0, 0, &[(1, 99)]).lines, ..named(9, 1, "B") };
    assert_eq!(shop.submit(fails).await, Err(sold_out(1)));
    assert!(shop.submit(named(10, 1, "B")).await.is_ok());

    let next = shop.after_power_cut().await;
    assert_eq!(next.submit(named(11, 1, "A")).await, Err(Reject::ExternalNoTaken), "after a restart, too");
    assert_eq!(next.order_by_external_no(Caller::Operator, "A").await.unwrap().order_no, receipt.order_no);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_concurrent_claims_of_one_external_number_make_one_order() {
    let shop = Shop::open().await;
    shop.stock_up(1, 500).await;
    for round in 0..20 {
        let name: Box<str> = format!("WEB-{round}").into();
        let orders =
            (0..10).map(|member| SubmitOrder { external_no: Some(name.clone()), ..one(member, round, 1) });
        let results = submit_together(&shop, orders).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
        let expected = |result: &Result<_, Reject>| {
            matches!(result, Ok(_) | Err(Reject::ExternalNoTaken | Reject::ExternalNoBusy))
        };
        assert!(results.iter().all(expected), "{results:?}");
    }
}

#[tokio::test]
async fn r8_a_repeated_notification_gets_the_first_outcome() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let notification = payment(&receipt, "tx");
    let outcome = shop.pay(notification.clone()).await.unwrap();
    assert_eq!((outcome.order_no, outcome.result), (receipt.order_no, PaymentResult::Paid));
    assert_eq!(shop.pay(notification.clone()).await, Ok(outcome));
    let next = shop.after_power_cut().await;
    assert_eq!(next.pay(notification).await, Ok(outcome));
    assert_eq!((next.count("PaymentReceived"), next.count("OrderPaid")), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_concurrent_notifications_of_one_payment_count_once() {
    let shop = Shop::open().await;
    shop.stock_up(1, 100).await;
    for round in 0..20 {
        let receipt = shop.submit(one(7, round, 1)).await.unwrap();
        let notification = payment(&receipt, &format!("tx {round}"));
        let pay = (0..20).map(|_| {
            let (engine, notification) = (shop.engine.clone(), notification.clone());
            async move { engine.pay(notification).await }
        });
        let outcomes = together(pay.collect::<Vec<_>>()).await;
        let paid = |outcome: &Result<stockade::PaymentOutcome, _>| {
            outcome.is_ok_and(|outcome| outcome.result == PaymentResult::Paid)
        };
        assert!(outcomes.iter().all(paid), "{outcomes:?}");
    }
    assert_eq!((shop.count("PaymentReceived"), shop.count("OrderPaid")), (20, 20));
    assert_eq!(shop.count("RefundRequired"), 0);
    audit(&shop.journal);
}

#[tokio::test]
async fn r8_the_same_payment_id_on_two_orders_is_refused_for_the_second() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let first = shop.submit(one(7, 1, 1)).await.unwrap();
    let second = shop.submit(one(8, 1, 1)).await.unwrap();
    shop.pay(payment(&first, "tx")).await.unwrap();
    assert_eq!(shop.pay(payment(&second, "tx")).await, Err(Reject::PaymentIdReused));
    assert_eq!(shop.view(second.order_no).await.version, 1);
    assert_eq!(shop.count("PaymentReceived"), 1);
    let next = shop.after_power_cut().await;
    assert_eq!(next.pay(payment(&second, "tx")).await, Err(Reject::PaymentIdReused), "after a restart, too");
    assert!(next.pay(payment(&second, "another")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r8_one_payment_racing_for_two_orders_pays_one_of_them() {
    let shop = Shop::open().await;
    shop.stock_up(1, 100).await;
    for round in 0..30 {
        let receipts =
            [shop.submit(one(7, round, 1)).await.unwrap(), shop.submit(one(8, round, 1)).await.unwrap()];
        let pay = receipts.map(|receipt| {
            let engine = shop.engine.clone();
            async move { engine.pay(payment(&receipt, &format!("tx {round}"))).await }
        });
        let outcomes = together(pay).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        assert!(outcomes.contains(&Err(Reject::PaymentIdReused)), "{outcomes:?}");
    }
    audit(&shop.journal);
}

#[tokio::test]
async fn r8_a_second_payment_of_a_paid_order_must_go_back_exactly_once() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.pay(payment(&receipt, "first")).await.unwrap();
    let again = shop.pay(payment(&receipt, "second")).await.unwrap();
    assert_eq!(again.result, PaymentResult::RefundRequired(RefundReason::AlreadyPaid));
    assert_eq!(shop.pay(payment(&receipt, "second")).await, Ok(again));
    let view = shop.view(receipt.order_no).await;
    assert_eq!((view.refunds.len(), view.status), (1, stockade::OrderStatus::Paid));
    assert_eq!(shop.count("RefundRequired"), 1);
    audit(&shop.journal);
}

#[tokio::test]
async fn r8_a_stock_adjustment_applies_once_per_id_also_after_a_restart() {
    let shop = Shop::open().await;
    shop.stock_up(1, 0).await;
    for _ in 0..3 {
        assert_eq!(shop.adjust_stock(add_units(9, 1, 5)).await.unwrap().total, 5);
    }
    assert_eq!(shop.adjust_stock(add_units(9, 1, 6)).await, Err(Reject::AdjustmentIdReused));
    let next = shop.after_power_cut().await;
    assert_eq!(next.adjust_stock(add_units(9, 1, 5)).await.unwrap().total, 5);
    assert_eq!(next.adjust_stock(add_units(9, 1, 6)).await, Err(Reject::AdjustmentIdReused));
    assert_eq!(next.count("StockAdjusted"), 2);
}

#[tokio::test]
async fn r8_a_payment_recorded_before_a_crash_is_completed_after_it() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let notification = payment(&receipt, "tx");
    let outcome = shop.pay(notification.clone()).await.unwrap();
    let entries = shop.entries();
    let received = entries.iter().position(|entry| entry.events[0].name() == "PaymentReceived").unwrap();

    let left = journal_of(&entries[..=received]);
    assert_eq!(audit(&left).payments_unresolved, 1, "the crash fell between the payment and its outcome");
    let next = shop.reopen(left, |config| config).await.unwrap();
    // Nobody has to ask again: recovery itself completes it.
    next.event(|event| event.name() == "OrderPaid").await;
    assert_eq!(next.status(receipt.order_no).await, stockade::OrderStatus::Paid);
    assert_eq!(answered(next.pay(notification)).await, Ok(outcome));
    assert_eq!((next.count("PaymentReceived"), next.count("OrderPaid")), (1, 1));
}

#[tokio::test]
async fn r8_a_retry_is_known_for_the_whole_idempotency_window_after_sell_out() {
    let shop = Shop::open_with(|config| config.idempotency_window_ms(20_000)).await;
    shop.stock_up(1, 3).await;
    // Housekeeping begins to count the windows.
    shop.time.advance(500);
    shop.settle().await;
    for member in 0..3_u64 {
        let receipt = shop.submit(one(member, 1, 1)).await.unwrap();
        for _ in 0..19 {
            shop.time.advance(1_000);
            shop.settle().await;
            assert_eq!(shop.submit(one(member, 1, 1)).await, Ok(receipt), "{member} at {}", shop.now_ms());
        }
    }
    assert_eq!(shop.submit(one(9, 1, 1)).await, Err(sold_out(1)));
    assert_eq!(shop.metrics().sold_out_at_door, 1);
}

#[tokio::test]
async fn r8_a_retry_that_has_become_invalid_gets_the_answer_of_its_id() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    shop.stock_up(2, 5).await;
    shop.submit(one(7, 1, 1)).await.unwrap();
    assert_eq!(shop.submit(basket(7, 1, &[])).await, Err(Reject::RequestIdReused), "another body");
    assert_eq!(shop.submit(basket(7, 2, &[])).await, Err(Reject::EmptyOrder), "an id of its own");
    // A duplicate that arrives while the first still collects its lines waits for it, off sale or not.
    let first = shop.submit(basket(8, 1, &[(1, 1), (2, 1)]));
    let leaves = shop.put_sku(Sku { on_sale: false, ..sku(2) });
    let second = shop.submit(basket(8, 1, &[(1, 1), (2, 1)]));
    let (first, _revision, second) = answered(async { tokio::join!(first, leaves, second) }).await;
    assert!(first.is_ok());
    assert_eq!(first, second);
}

#[tokio::test]
async fn r8_the_same_request_twice_in_one_batch_is_one_order() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let batch = vec![one(7, 1, 1), one(7, 1, 1), one(7, 2, 1), basket(7, 2, &[(1, 2)])];
    let results = answered(shop.submit_batch(batch)).await;
    assert!(results[0].is_ok() && results[2].is_ok());
    assert_eq!(results[1], results[0]);
    assert_eq!(results[3], Err(Reject::RequestIdReused));
    assert_eq!(shop.count("OrderCreated"), 2);
}
