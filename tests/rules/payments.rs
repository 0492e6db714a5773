//! Payments: attempts with a number of their own, and money that can't be kept goes back, once (R8, R10).

use stockade::{
    Caller, Event, Money, OrderEvent, OrderRef, OrderStatus, Payment, PaymentResult, PriceChange,
    RefundCause, RefundNo, RefundReason, RefundState, RefundStep, Reject, Sku,
};

use crate::support::*;

fn required(reason: RefundReason) -> PaymentResult {
    PaymentResult::RefundRequired(reason)
}

/// The events of an order's later life, in order.
fn later(shop: &Shop) -> Vec<OrderEvent> {
    let events = shop.entries().into_iter().flat_map(|entry| entry.events);
    events
        .filter_map(|event| if let Event::Order { what, .. } = event { Some(*what) } else { None })
        .collect()
}

#[tokio::test]
async fn a_wrong_amount_is_recorded_and_goes_back_once() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    for (index, amount) in [0, PRICE - 1, PRICE + 1, i64::MAX].into_iter().enumerate() {
        let payment = Payment { amount: Money::from_minor(amount), ..payment(&receipt, &amount.to_string()) };
        let first = shop.pay(payment.clone()).await.unwrap();
        assert_eq!(first.result, required(RefundReason::WrongAmount));
        assert_eq!(shop.pay(payment).await.unwrap(), first, "a repeated notification gets the first answer");
        assert_eq!(shop.view(receipt.order_no).await.refunds.len(), index + 1);
    }
    let paid = shop.pay(payment(&receipt, "right")).await.unwrap();
    assert_eq!(paid.result, PaymentResult::Paid, "the right amount still pays it");
    let second = shop.pay(payment(&receipt, "second")).await.unwrap();
    assert_eq!(second.result, required(RefundReason::AlreadyPaid));
    assert_eq!(shop.count("RefundRequired"), 5);
    audit(&shop.journal);
}

#[tokio::test]
async fn money_for_no_order_is_recorded_and_goes_back_once() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let missing = stockade::OrderNo::compose(1, receipt.order_no.slot(), 1);
    let long: Box<str> = "茶".repeat(100).into();
    let references =
        [OrderRef::Number(missing), OrderRef::External("WEB-1".into()), OrderRef::External(long)];
    for (index, order) in references.into_iter().enumerate() {
        let payment = Payment { order, ..payment(&receipt, &format!("lost-{index}")) };
        let first = shop.pay(payment.clone()).await.unwrap();
        assert_eq!(first.result, required(RefundReason::UnknownOrder));
        assert_eq!(shop.pay(payment).await.unwrap(), first);
    }
    assert_eq!(shop.count("PaymentUnmatched"), 3);
    let list = shop.refunds(Default::default()).await.unwrap().refunds;
    assert_eq!(list.len(), 3);
    assert!(list.iter().all(|refund| matches!(refund.refund_no, RefundNo::Payment(_))));
    assert!(list.iter().all(|refund| refund.cause == RefundCause::Obligation(RefundReason::UnknownOrder)));

    // An order with that external number comes later: the first answer stands.
    let order = stockade::SubmitOrder { external_no: Some("WEB-1".into()), ..one(8, 1, 1) };
    shop.submit(order).await.unwrap();
    let again = Payment { order: "WEB-1".into(), ..payment(&receipt, "lost-1") };
    assert_eq!(shop.pay(again).await.unwrap().result, required(RefundReason::UnknownOrder));
    let other = Payment { amount: Money::from_minor(1), ..payment(&receipt, "lost-1") };
    assert_eq!(shop.pay(other).await, Err(Reject::PaymentIdReused));

    shop.settle().await;
    let live = shop.state_hash().await.unwrap().hash;
    let next = shop.after_power_cut().await;
    assert_eq!(next.state_hash().await.unwrap().hash, live, "R7");
    assert_eq!(next.refunds(Default::default()).await.unwrap().refunds, list);
    pay_back(&next).await;
    assert!(next.refunds(Default::default()).await.unwrap().refunds.is_empty());
    let finished = next.refund(Caller::Operator, list[0].refund_no).await.unwrap();
    assert_eq!(finished.state, RefundState::Finished);
    assert_eq!(next.refund(Caller::Member(7.into()), list[0].refund_no).await, Err(Reject::RefundNotFound));
    let report = audit(&next.journal);
    assert_eq!((report.payments_unmatched, report.refunds_finished), (3, 3));
}

#[tokio::test]
async fn attempts_have_numbers_move_the_deadline_once_and_are_bounded() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let caller = Caller::Member(7.into());
    let first = shop.begin_payment(caller, receipt.order_no, "wechat").await.unwrap();
    assert_eq!(first.pay_no.to_string(), format!("{}-1", receipt.order_no));
    assert_eq!(first.pay_no.to_string().parse(), Ok(first.pay_no));
    assert_eq!(first.deadline_ms, receipt.deadline_ms + PAYMENT_GRACE_MS);
    let second = shop.begin_payment(caller, receipt.order_no, "alipay").await.unwrap();
    assert_eq!((second.pay_no.attempt, second.deadline_ms), (2, first.deadline_ms));
    let stranger = shop.begin_payment(Caller::Member(8.into()), receipt.order_no, "wechat").await;
    assert_eq!(stranger, Err(Reject::OrderNotFound), "R14");
    for _ in 2..16 {
        shop.begin_payment(caller, receipt.order_no, "wechat").await.unwrap();
    }
    let reject = shop.begin_payment(caller, receipt.order_no, "wechat").await.unwrap_err();
    assert_eq!(reject.code(), "too_many_of_one_order");
    assert_eq!(shop.count("PaymentStarted"), 1);
    shop.pay(payment(&receipt, "t")).await.unwrap();
    let late = shop.begin_payment(caller, receipt.order_no, "wechat").await.unwrap_err();
    assert_eq!(late.code(), "wrong_status");
    assert!(!later(&shop).iter().any(|what| what.name() == "TradeCloseRequired"), "it was paid, not closed");
    audit(&shop.journal);
}

#[tokio::test]
async fn closing_an_order_tells_the_providers_side_which_trades_to_close() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipts = [shop.submit(one(7, 1, 1)).await.unwrap(), shop.submit(one(8, 1, 1)).await.unwrap()];
    for receipt in receipts {
        shop.begin_payment(Caller::Operator, receipt.order_no, "wechat").await.unwrap();
        shop.begin_payment(Caller::Operator, receipt.order_no, "alipay").await.unwrap();
    }
    shop.cancel(Caller::Operator, receipts[0].order_no).await.unwrap();
    shop.time.advance(2 * u64::from(AUTO_CLOSE_MS));
    shop.closed(receipts[1].order_no).await;
    let untouched = shop.submit(one(9, 1, 1)).await.unwrap();
    shop.cancel(Caller::Operator, untouched.order_no).await.unwrap();
    let closing = |what: &OrderEvent| *what == OrderEvent::TradeCloseRequired { attempts: vec![1, 2] };
    assert_eq!(later(&shop).iter().filter(|what| closing(what)).count(), 2);
    for entry in shop.entries() {
        let names: Vec<_> = entry.events.iter().map(Event::name).collect();
        if names.contains(&"TradeCloseRequired") {
            assert_eq!(names, ["OrderClosed", "TradeCloseRequired"], "one entry");
        }
    }
    assert!(shop.view(receipts[0].order_no).await.attempts.iter().all(|attempt| attempt.is_void));
    // Late money for a closed trade brings the timed-out order back.
    assert_eq!(shop.pay(payment(&receipts[1], "late")).await.unwrap().result, PaymentResult::Paid);
    audit(&shop.journal);
}

#[tokio::test]
async fn an_order_that_costs_nothing_is_paid_as_it_is_placed() {
    let shop = Shop::open().await;
    shop.stock_up(1, 2).await;
    shop.put_sku(Sku { price: Money::ZERO, ..sku(1) }).await.unwrap();
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    assert_eq!((receipt.status, receipt.pay_amount), (OrderStatus::Paid, Money::ZERO));
    assert_eq!(shop.submit(one(7, 1, 1)).await, Ok(receipt), "R8");
    let created = shop.entries().into_iter().find(|entry| entry.events[0].name() == "OrderCreated").unwrap();
    assert_eq!(created.events.iter().map(Event::name).collect::<Vec<_>>(), ["OrderCreated", "OrderPaid"]);
    assert_eq!(shop.count("PaymentReceived"), 0);
    let counters = shop.counters(1).await;
    assert_eq!((counters.reserved, counters.sold), (0, 1));
    let late = shop.pay(payment(&receipt, "nobody asked")).await.unwrap();
    assert_eq!(late.result, required(RefundReason::AlreadyPaid));
    shop.ship(receipt.order_no, Default::default()).await.unwrap();
    shop.settle().await;
    let live = shop.state_hash().await.unwrap().hash;
    let next = shop.after_power_cut().await;
    assert_eq!(next.state_hash().await.unwrap().hash, live);
    assert_eq!(next.submit(one(7, 1, 1)).await, Ok(receipt));
    audit(&next.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pay_against_cancel_has_one_winner_and_no_money_is_lost() {
    let shop = Shop::open().await;
    shop.stock_up(1, 100).await;
    let mut won = [0, 0];
    for buyer in 0..60_u64 {
        let receipt = shop.submit(one(buyer, 1, 1)).await.unwrap();
        let (paid, cancelled) = tokio::join!(
            shop.engine.pay(payment(&receipt, &buyer.to_string())),
            shop.engine.cancel(Caller::Operator, receipt.order_no)
        );
        match (paid.unwrap().result, cancelled) {
            (PaymentResult::Paid, Err(Reject::WrongStatus { .. })) => won[0] += 1,
            (PaymentResult::RefundRequired(RefundReason::OrderCancelled), Ok(_)) => won[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    let owed = shop.refunds(Default::default()).await.unwrap().refunds;
    assert_eq!((owed.len(), won.iter().sum::<usize>()), (won[1], 60), "every payment is kept or owed");
    let counters = shop.counters(1).await;
    assert_eq!((counters.sold, counters.available), (won[0] as u64, 100 - won[0] as u64));
    audit(&shop.journal);
}

#[tokio::test]
async fn a_changed_price_voids_what_was_begun_for_the_old_one() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    shop.stock_up(2, 5).await;
    let receipt = shop.submit(basket(7, 1, &[(1, 1), (2, 2)])).await.unwrap();
    assert_eq!(receipt.pay_amount, Money::from_minor(3 * PRICE));
    shop.begin_payment(Caller::Operator, receipt.order_no, "wechat").await.unwrap();
    let change = |pay_amount, freight| PriceChange {
        pay_amount: Money::from_minor(pay_amount),
        freight: Money::from_minor(freight),
    };
    let cheaper = shop.change_price(receipt.order_no, change(500, 20)).await.unwrap();
    assert_eq!(cheaper.pay_amount, Money::from_minor(500));
    let what = later(&shop);
    let names: Vec<_> = what.iter().map(OrderEvent::name).collect();
    assert_eq!(names, ["PaymentAttempted", "PriceChanged", "TradeCloseRequired"]);
    let OrderEvent::PriceChanged { adjustments, .. } = &what[1] else { panic!("{what:?}") };
    let adjusted: Vec<_> = adjustments.iter().map(|amount| amount.minor()).collect();
    assert_eq!(adjusted, [-90, -180], "480 for goods that cost 750, in proportion");
    assert_eq!(shop.submit(basket(7, 1, &[(1, 1), (2, 2)])).await, Ok(receipt), "R8: the first answer again");
    let below = shop.change_price(receipt.order_no, change(10, 20)).await;
    assert_eq!(below.unwrap_err().code(), "total_below_freight");

    let old = shop.pay(payment(&receipt, "old")).await.unwrap();
    assert_eq!(old.result, required(RefundReason::WrongAmount));
    let new = shop.pay(Payment { amount: cheaper.pay_amount, ..payment(&receipt, "new") }).await.unwrap();
    assert_eq!(new.result, PaymentResult::Paid);
    let late = shop.change_price(receipt.order_no, change(1, 0)).await.unwrap_err();
    assert_eq!(late.code(), "wrong_status");

    let free = shop.submit(one(8, 1, 1)).await.unwrap();
    let paid = shop.change_price(free.order_no, change(0, 0)).await.unwrap();
    assert_eq!(paid.status, OrderStatus::Paid, "to change a price to nothing pays the order");
    assert_eq!(shop.submit(one(8, 1, 1)).await, Ok(free), "R8");
    shop.settle().await;
    let live = shop.state_hash().await.unwrap().hash;
    assert_eq!(shop.after_power_cut().await.state_hash().await.unwrap().hash, live);
    audit(&shop.journal);
}

#[tokio::test]
async fn refunds_of_unmatched_money_are_reported_like_any_other() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.pay(Payment { order: "nobody".into(), ..payment(&receipt, "x") }).await.unwrap();
    let refund_no = shop.refunds(Default::default()).await.unwrap().refunds[0].refund_no;
    assert_eq!(refund_no.to_string().parse(), Ok(refund_no));
    let step = |step| shop.engine.report_refund(refund_no, step);
    let finished = |id: &str| RefundStep::Finished { provider_refund_id: id.into() };
    assert_eq!(step(RefundStep::Requested).await.unwrap().state, RefundState::Requested);
    assert_eq!(step(RefundStep::Requested).await.unwrap().state, RefundState::Requested);
    let failed = RefundStep::Failed { reason: "no funds".into() };
    assert_eq!(step(failed).await.unwrap().state, RefundState::Failed);
    let failed = shop.refund(Caller::Operator, refund_no).await.unwrap();
    assert_eq!(failed.note.as_deref(), Some("no funds"));
    assert_eq!(step(RefundStep::Requested).await.unwrap().state, RefundState::Requested);
    assert_eq!(step(finished("r1")).await.unwrap().state, RefundState::Finished);
    assert_eq!(step(finished("r1")).await.unwrap().state, RefundState::Finished);
    assert_eq!(step(finished("r2")).await, Err(Reject::RefundFinishedOtherwise));
    assert_eq!(step(RefundStep::Requested).await.unwrap_err().code(), "wrong_refund_state");
    assert_eq!(shop.count("UnmatchedRefund"), 4);
    let unknown = RefundNo::Payment(stockade::PaymentId::of("a", "b", "c"));
    assert_eq!(shop.report_refund(unknown, RefundStep::Requested).await, Err(Reject::RefundNotFound));
    audit(&shop.journal);
}
