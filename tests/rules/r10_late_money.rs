//! R10: late money is never lost: it keeps or brings back its order's units, or must go back, exactly once.

use stockade::{Caller, CloseReason, Event, OrderStatus, PaymentResult, RefundReason, Reject};

use crate::support::*;

#[tokio::test]
async fn r10_money_for_an_overdue_order_that_is_not_closed_yet_keeps_its_units_in_one_entry() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 1, 1).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let left = shop.journal.after_power_cut();
    shop.advance_to(receipt.deadline_ms + 5_000);
    let next = shop.reopen(left, |config| config.recovery_grace_ms(60_000)).await.unwrap();
    next.settle().await;
    assert_eq!(next.status(receipt.order_no).await, OrderStatus::Pending, "closing waits for the grace");
    assert_eq!(next.submit(one(8, 1, 1)).await, Err(sold_out(1)), "nobody else gets its unit");
    assert_eq!(next.pay(payment(&receipt, "tx")).await.unwrap().result, PaymentResult::Paid);

    let events = next.events_of(receipt.order_no);
    let names: Vec<_> = events.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, ["OrderCreated", "OrderClosed", "OrderRevived", "OrderPaid"]);
    assert!(events[1..].iter().all(|(entry, _)| *entry == events[1].0), "one entry: {events:?}");
    next.settle().await;
    let counters = next.counters(1).await;
    assert_eq!((counters.available, counters.reserved, counters.sold), (0, 0, 1));
    audit(&next.journal);
    let third = next.after_power_cut().await;
    assert_eq!(third.counters(1).await, counters);
}

#[tokio::test]
async fn r10_overdue_orders_wait_for_the_recovery_grace_and_not_longer() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let left = shop.journal.after_power_cut();
    shop.advance_to(receipt.deadline_ms + 5_000);
    let next = shop.reopen(left, |config| config.recovery_grace_ms(60_000)).await.unwrap();
    next.time.advance(59_999);
    next.settle().await;
    assert_eq!(next.status(receipt.order_no).await, OrderStatus::Pending);
    next.time.advance(1);
    next.closed(receipt.order_no).await;
}

#[tokio::test]
async fn r10_late_money_revives_a_timed_out_order_while_its_units_are_there() {
    let shop = Shop::open().await;
    shop.stock_up(1, 2).await;
    shop.stock_up(2, 1).await;
    let receipt = shop.submit(basket(7, 1, &[(1, 2), (2, 1)])).await.unwrap();
    shop.advance_to(receipt.deadline_ms);
    shop.closed(receipt.order_no).await;
    let outcome = answered(shop.pay(payment(&receipt, "tx"))).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::Paid);
    let events = shop.events_of(receipt.order_no);
    let names: Vec<_> = events.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, ["OrderCreated", "OrderClosed", "OrderRevived", "OrderPaid"]);
    assert_eq!(events[2].0, events[3].0, "revived and paid in one entry");
    let view = shop.view(receipt.order_no).await;
    assert_eq!((view.status, view.close_reason, view.version), (OrderStatus::Paid, None, 4));
    shop.settle().await;
    assert_eq!((shop.counters(1).await.sold, shop.counters(2).await.sold), (2, 1));
    audit(&shop.journal);
}

#[tokio::test]
async fn r10_late_money_for_units_that_are_gone_must_go_back_exactly_once() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    shop.stock_up(2, 1).await;
    let receipt = shop.submit(basket(7, 1, &[(1, 1), (2, 1)])).await.unwrap();
    shop.advance_to(receipt.deadline_ms);
    shop.closed(receipt.order_no).await;
    shop.submit(one(8, 1, 2)).await.unwrap();
    for _ in 0..3 {
        let outcome = answered(shop.pay(payment(&receipt, "tx"))).await.unwrap();
        assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::SoldOut));
    }
    assert_eq!(shop.count("RefundRequired"), 1);
    shop.settle().await;
    assert_eq!(shop.counters(1).await.available, 1, "what it held of the first sku is free again");
    let next = shop.after_power_cut().await;
    let outcome = next.pay(payment(&receipt, "tx")).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::SoldOut));
    let view = next.view(receipt.order_no).await;
    assert_eq!((view.status, view.refunds.len()), (OrderStatus::Cancelled, 1));
    assert_eq!(view.refunds[0].amount, receipt.pay_amount);
    audit(&next.journal);
}

#[tokio::test]
async fn r10_late_money_respects_the_limit_that_was_used_up_since() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 5, 1).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.advance_to(receipt.deadline_ms);
    shop.closed(receipt.order_no).await;
    shop.submit(one(7, 2, 1)).await.unwrap();
    let outcome = answered(shop.pay(payment(&receipt, "tx"))).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::LimitExceeded));
    assert_eq!(shop.count("RefundRequired"), 1);
    audit(&shop.journal);
}

#[tokio::test]
async fn r10_a_revived_order_counts_towards_the_limit_again() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 5, 1).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.advance_to(receipt.deadline_ms);
    shop.closed(receipt.order_no).await;
    answered(shop.pay(payment(&receipt, "tx"))).await.unwrap();
    let more = Err(Reject::LimitExceeded { sku: 1.into(), limit: 1, bought: 1 });
    assert_eq!(shop.submit(one(7, 2, 1)).await, more);
    assert_eq!(shop.after_power_cut().await.submit(one(7, 3, 1)).await, more, "after a restart, too");
}

#[tokio::test]
async fn r10_money_never_revives_what_a_member_or_the_shop_cancelled() {
    for (caller, reason) in
        [(Caller::Member(7.into()), CloseReason::Member), (Caller::Operator, CloseReason::Operator)]
    {
        let shop = Shop::open().await;
        shop.stock_up(1, 5).await;
        let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
        shop.cancel(caller, receipt.order_no).await.unwrap();
        for _ in 0..2 {
            let outcome = shop.pay(payment(&receipt, "tx")).await.unwrap();
            assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::OrderCancelled));
        }
        let view = shop.view(receipt.order_no).await;
        assert_eq!((view.status, view.close_reason), (OrderStatus::Cancelled, Some(reason)));
        assert_eq!(shop.count("RefundRequired"), 1);
        shop.settle().await;
        assert_eq!(shop.counters(1).await.available, 5);
        audit(&shop.journal);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_two_late_payments_of_one_order_revive_it_once_and_return_the_other() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    for round in 0..20_u64 {
        if round > 0 {
            shop.adjust_stock(add_units(u128::from(100 + round), 1, 1)).await.unwrap();
        }
        let receipt = shop.submit(one(round, 1, 1)).await.unwrap();
        shop.advance_to(receipt.deadline_ms);
        shop.closed(receipt.order_no).await;
        let pay = (0..4).map(|nth| {
            let engine = shop.engine.clone();
            async move { engine.pay(payment(&receipt, &format!("{round}/{nth}"))).await.unwrap().result }
        });
        let results = together(pay.collect::<Vec<_>>()).await;
        assert_eq!(results.iter().filter(|result| **result == PaymentResult::Paid).count(), 1, "{results:?}");
        let refund = PaymentResult::RefundRequired(RefundReason::AlreadyPaid);
        assert_eq!(results.iter().filter(|result| **result == refund).count(), 3, "{results:?}");
    }
    shop.settle().await;
    assert_eq!(shop.counters(1).await.sold, 20);
    audit(&shop.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_a_payment_racing_a_cancel_is_kept_or_goes_back() {
    let shop = Shop::open().await;
    shop.stock_up(1, 200).await;
    for round in 0..100 {
        let receipt = shop.submit(one(round, 1, 1)).await.unwrap();
        let (payer, canceller) = (shop.engine.clone(), shop.engine.clone());
        let pay = tokio::spawn(async move { payer.pay(payment(&receipt, &round.to_string())).await });
        let cancel = tokio::spawn(async move { canceller.cancel(Caller::Operator, receipt.order_no).await });
        let paid = answered(pay).await.unwrap().unwrap().result;
        let cancelled = answered(cancel).await.unwrap();
        match paid {
            PaymentResult::Paid => assert!(matches!(cancelled, Err(Reject::WrongStatus { .. }))),
            PaymentResult::RefundRequired(reason) => {
                assert_eq!((reason, cancelled.is_ok()), (RefundReason::OrderCancelled, true));
            }
        }
    }
    audit(&shop.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_a_payment_racing_the_deadline_is_never_lost() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    for round in 0..100_u64 {
        let receipt = shop.submit(one(round, 1, 1)).await.unwrap();
        shop.advance_to(receipt.deadline_ms - 1);
        let engine = shop.engine.clone();
        let pay = tokio::spawn(async move { engine.pay(payment(&receipt, &round.to_string())).await });
        shop.time.advance(1);
        // The unit is fought over by a new buyer.
        let rival = shop.submit(one(10_000 + round, 1, 1)).await;
        match answered(pay).await.unwrap().unwrap().result {
            PaymentResult::Paid => {
                assert!(rival.is_err(), "round {round}: one unit went to two");
                shop.adjust_stock(add_units(u128::from(100 + round), 1, 1)).await.unwrap();
            }
            PaymentResult::RefundRequired(reason) => {
                assert_eq!(reason, RefundReason::SoldOut, "round {round}");
                shop.cancel(Caller::Operator, rival.unwrap().order_no).await.unwrap();
            }
        }
    }
    let report = audit(&shop.journal);
    assert_eq!((report.payments_received, report.payments_unresolved), (100, 0));
}

#[tokio::test]
async fn r10_an_order_that_money_keeps_is_closed_and_revived_at_the_same_instant() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let left = shop.journal.after_power_cut();
    shop.advance_to(receipt.deadline_ms + 1);
    let next = shop.reopen(left, |config| config.recovery_grace_ms(60_000)).await.unwrap();
    next.pay(payment(&receipt, "tx")).await.unwrap();
    let entry = next.entries().into_iter().find(|entry| entry.events.len() == 3).unwrap();
    let [
        Event::OrderClosed { step: closed, reason, units: freed },
        Event::OrderRevived { step: revived, units: taken },
        Event::OrderPaid { step: paid, .. },
    ] = entry.events.as_slice()
    else {
        panic!("{:?}", entry.events)
    };
    assert_eq!(*reason, CloseReason::Timeout);
    assert_eq!(freed, taken);
    assert_eq!([closed.version, revived.version, paid.version], [2, 3, 4]);
    assert!(closed.at_ms == revived.at_ms && revived.at_ms == paid.at_ms);
}

#[tokio::test]
async fn r10_commands_to_an_order_that_is_being_revived_wait_for_the_outcome() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    shop.stock_up(2, 10).await;
    for request in 0..5 {
        let receipt = shop.submit(basket(7, request, &[(1, 1), (2, 1)])).await.unwrap();
        shop.advance_to(receipt.deadline_ms);
        shop.closed(receipt.order_no).await;
        let (first, second) = (format!("first {request}"), format!("second {request}"));
        let (paid, again, cancelled, shipped) = answered(async {
            tokio::join!(
                shop.pay(payment(&receipt, &first)),
                shop.pay(payment(&receipt, &second)),
                shop.cancel(Caller::Operator, receipt.order_no),
                shop.ship(receipt.order_no, Default::default()),
            )
        })
        .await;
        let results = [paid.unwrap().result, again.unwrap().result];
        assert!(results.contains(&PaymentResult::Paid), "{results:?}");
        assert!(results.contains(&PaymentResult::RefundRequired(RefundReason::AlreadyPaid)), "{results:?}");
        // They came before, in the middle or after; each is a typed answer, and none undid the payment.
        assert!(cancelled.is_err(), "{cancelled:?}");
        assert!(shipped.is_ok() || matches!(shipped, Err(Reject::WrongStatus { .. })), "{shipped:?}");
        let status = shop.status(receipt.order_no).await;
        assert_eq!(status, if shipped.is_ok() { OrderStatus::Shipped } else { OrderStatus::Paid });
    }
    audit(&shop.journal);
}

#[tokio::test]
async fn r10_late_money_waits_for_a_unit_that_is_only_held() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1).await;
    shop.stock_up(2, 1).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.advance_to(receipt.deadline_ms);
    shop.closed(receipt.order_no).await;
    // A basket holds the unit while it is being refused for another line.
    let fails = shop.submit(basket(8, 1, &[(1, 1), (2, 2)]));
    let late = shop.pay(payment(&receipt, "tx"));
    let (failed, outcome) = answered(async { tokio::join!(fails, late) }).await;
    assert_eq!(failed, Err(sold_out(2)));
    assert_eq!(outcome.unwrap().result, PaymentResult::Paid);
    audit(&shop.journal);
}
