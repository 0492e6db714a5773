//! R9: a timer never fires early, and at or after its deadline an order can't be paid in the ordinary way.

use stockade::{Caller, CloseReason, Event, OrderStatus, PaymentResult, Reject};

use crate::support::*;

#[tokio::test]
async fn r9_an_order_is_closed_at_its_deadline_and_not_a_millisecond_earlier() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    assert_eq!(receipt.deadline_ms, START_MS + u64::from(AUTO_CLOSE_MS));
    shop.advance_to(receipt.deadline_ms - 1);
    shop.settle().await;
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Pending);
    assert_eq!(shop.metrics().expired, 0);

    shop.time.advance(1);
    let Event::OrderClosed { step, reason, .. } = shop.closed(receipt.order_no).await else { unreachable!() };
    assert_eq!((step.at_ms, reason), (receipt.deadline_ms, CloseReason::Timeout));
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Cancelled);
    shop.settle().await;
    assert_eq!(shop.counters(1).await.available, 5);
}

#[tokio::test]
async fn r9_many_deadlines_each_fire_at_their_own_time() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1_000).await;
    let mut receipts = Vec::new();
    for step in 0..200_u64 {
        receipts.push(shop.submit(one(step, 1, 1)).await.unwrap());
        // Uneven gaps, from none to far.
        shop.time.advance(step * step % 97);
    }
    let last = receipts.last().unwrap().deadline_ms;
    while shop.now_ms() < last {
        shop.time.advance((last - shop.now_ms()).min(37));
        shop.settle().await;
    }
    for receipt in receipts {
        let Event::OrderClosed { step, .. } = shop.closed(receipt.order_no).await else { unreachable!() };
        assert!(step.at_ms >= receipt.deadline_ms, "{} ms early", receipt.deadline_ms - step.at_ms);
        assert!(step.at_ms <= receipt.deadline_ms + 37, "{} ms late", step.at_ms - receipt.deadline_ms);
    }
    assert_eq!(shop.metrics().timers_pending, 0);
    audit(&shop.journal);
}

/// Pays an order at an instant, in an engine that has not closed it yet, and gives the names of its entries' events.
async fn pay_at(offset_ms: i64) -> Vec<&'static str> {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let left = shop.journal.after_power_cut();
    shop.advance_to(receipt.deadline_ms.checked_add_signed(offset_ms).unwrap());
    // An engine that waits for providers' retries before it closes what is overdue.
    let next = shop.reopen(left, |config| config.recovery_grace_ms(60_000)).await.unwrap();
    assert_eq!(next.pay(payment(&receipt, "tx")).await.unwrap().result, PaymentResult::Paid);
    audit(&next.journal);
    next.events_of(receipt.order_no).into_iter().map(|(_, name)| name).skip(1).collect()
}

#[tokio::test]
async fn r9_at_the_deadline_an_order_can_not_be_paid_in_the_ordinary_way() {
    assert_eq!(pay_at(-1).await, ["OrderPaid"]);
    assert_eq!(pay_at(0).await, ["OrderClosed", "OrderRevived", "OrderPaid"]);
    assert_eq!(pay_at(1).await, ["OrderClosed", "OrderRevived", "OrderPaid"]);
}

#[tokio::test]
async fn r9_a_started_payment_extends_the_deadline_once() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.time.advance(1_000);
    let started = shop.start_payment(Caller::Member(7.into()), receipt.order_no).await.unwrap();
    assert_eq!(started.deadline_ms, receipt.deadline_ms + PAYMENT_GRACE_MS);
    shop.time.advance(1_000);
    let again = shop.start_payment(Caller::Member(7.into()), receipt.order_no).await.unwrap();
    assert_eq!(again, started);
    assert_eq!(shop.count("PaymentStarted"), 1);

    shop.advance_to(started.deadline_ms - 1);
    shop.settle().await;
    assert_eq!(
        shop.status(receipt.order_no).await,
        OrderStatus::Pending,
        "the first deadline counts no more"
    );
    shop.time.advance(1);
    let Event::OrderClosed { step, .. } = shop.closed(receipt.order_no).await else { unreachable!() };
    assert_eq!(step.at_ms, started.deadline_ms);
}

#[tokio::test]
async fn r9_an_extended_deadline_survives_a_restart() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let started = shop.start_payment(Caller::Operator, receipt.order_no).await.unwrap();
    let next = shop.after_power_cut().await;
    next.advance_to(receipt.deadline_ms);
    next.settle().await;
    assert_eq!(next.status(receipt.order_no).await, OrderStatus::Pending);
    next.advance_to(started.deadline_ms);
    next.closed(receipt.order_no).await;
}

#[tokio::test]
async fn r9_a_payment_can_not_be_started_at_the_deadline() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    let left = shop.journal.after_power_cut();
    shop.advance_to(receipt.deadline_ms);
    let next = shop.reopen(left, |config| config.recovery_grace_ms(60_000)).await.unwrap();
    let started = next.start_payment(Caller::Operator, receipt.order_no).await;
    assert_eq!(started, Err(Reject::OrderOverdue { order_no: receipt.order_no }));
}

#[tokio::test]
async fn r9_a_paid_order_has_no_timer_left() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.pay(payment(&receipt, "tx")).await.unwrap();
    shop.settle().await;
    assert_eq!(shop.metrics().timers_pending, 0);
    shop.time.advance(10 * u64::from(AUTO_CLOSE_MS));
    shop.settle().await;
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Paid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r9_a_wave_of_deadlines_closes_every_order_once() {
    let shop = Shop::open_with(|config| config.expiry_in_flight_max(100)).await;
    shop.stock_up(1, 5_000).await;
    let batch = (0..5_000).map(|member| one(member, 1, 1)).collect();
    let receipts = answered(shop.submit_batch(batch)).await;
    assert!(receipts.iter().all(Result::is_ok));
    shop.time.advance(u64::from(AUTO_CLOSE_MS));
    // The bound on closes in flight hands the rest to the next tick.
    answered(async {
        while shop.metrics().expired < 5_000 {
            shop.time.advance(1);
            tokio::task::yield_now().await;
        }
    })
    .await;
    shop.settle().await;
    assert_eq!(shop.counters(1).await.available, 5_000);
    assert_eq!(audit(&shop.journal).orders.cancelled_timeout, 5_000);
}
