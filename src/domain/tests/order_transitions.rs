//! Each transition of an order and each reject, as a table: given events, when a command, then events or an answer.

use super::*;
use crate::domain::event::{Event, OrderStep};
use crate::domain::ids::Position;
use crate::domain::order::{
    CloseReason, Decision, Order, OrderCommand, OrderStatus, OrderText, RefundReason,
};
use crate::domain::reject::Reject;
use crate::domain::request::{Personal, Shipment};

const IN_TIME_MS: u64 = DEADLINE_MS - 1;
const GRACE_MS: u64 = 300;

/// The one helper: what came before, the command and its time, what must come of it.
#[track_caller]
fn check(given: &[Event], (command, now_ms): (OrderCommand, u64), then: Result<Decision, Reject>) {
    let order = replay(given);
    assert_eq!(order.decide(&command, now_ms), then, "{} and {command:?}", order.status);
}

fn replay(given: &[Event]) -> Order {
    let mut order = Order::create(created(), Position(1));
    for (event, position) in given.iter().zip(2..) {
        assert_eq!(
            event.order_version(),
            Some((order_no(), order.version + 1)),
            "a test's history has a gap"
        );
        order.apply(event, Position(position));
    }
    order
}

fn events(events: impl Into<Vec<Event>>) -> Result<Decision, Reject> {
    Ok(Decision::Events(events.into()))
}

fn wrong_status(status: OrderStatus) -> Result<Decision, Reject> {
    Err(Reject::WrongStatus { order_no: order_no(), status })
}

fn step(version: u32, at_ms: u64) -> OrderStep {
    OrderStep { order_no: order_no(), version, at_ms }
}

fn started(version: u32, at_ms: u64) -> Event {
    Event::PaymentStarted { step: step(version, at_ms), deadline_ms: DEADLINE_MS + GRACE_MS }
}

fn paid(version: u32, at_ms: u64, number: u8) -> Event {
    Event::OrderPaid { step: step(version, at_ms), payment: payment(number), units: created().lines.units() }
}

fn closed(version: u32, at_ms: u64, reason: CloseReason) -> Event {
    Event::OrderClosed { step: step(version, at_ms), reason, units: created().lines.units() }
}

fn revived(version: u32, at_ms: u64) -> Event {
    Event::OrderRevived { step: step(version, at_ms), units: created().lines.units() }
}

fn refund(version: u32, at_ms: u64, number: u8, reason: RefundReason) -> Event {
    let payment = payment(number);
    Event::RefundRequired { step: step(version, at_ms), payment, amount: PAY_AMOUNT, reason }
}

fn shipment() -> Shipment {
    Shipment { carrier: "sf".into(), tracking_no: "1".into() }
}

fn shipped(version: u32, at_ms: u64) -> Event {
    Event::OrderShipped { step: step(version, at_ms), shipment: shipment() }
}

fn received(version: u32, at_ms: u64) -> Event {
    Event::OrderReceived { step: step(version, at_ms) }
}

/// One history for each status; the cancelled one is the member's.
fn history(status: OrderStatus) -> Vec<Event> {
    let way = [paid(2, IN_TIME_MS, 1), shipped(3, IN_TIME_MS), received(4, IN_TIME_MS)];
    match status {
        OrderStatus::Pending => vec![],
        OrderStatus::Paid => way[..1].into(),
        OrderStatus::Shipped => way[..2].into(),
        OrderStatus::Completed => way.into(),
        OrderStatus::PartiallyShipped => unreachable!("packages have their own tests"),
        OrderStatus::Cancelled => vec![closed(2, IN_TIME_MS, CloseReason::Member)],
    }
}

fn timed_out() -> Vec<Event> {
    vec![closed(2, DEADLINE_MS, CloseReason::Timeout)]
}

fn start(now_ms: u64) -> (OrderCommand, u64) {
    (OrderCommand::StartPayment { grace_ms: GRACE_MS }, now_ms)
}

fn pay(number: u8, now_ms: u64) -> (OrderCommand, u64) {
    (OrderCommand::ApplyPayment { payment: payment(number), amount: PAY_AMOUNT }, now_ms)
}

fn cancel(reason: CloseReason) -> (OrderCommand, u64) {
    (OrderCommand::Cancel { reason }, IN_TIME_MS)
}

fn refuse(number: u8, reason: RefundReason) -> (OrderCommand, u64) {
    (OrderCommand::Refund { payment: payment(number), amount: PAY_AMOUNT, reason }, DEADLINE_MS)
}

const NOT_PENDING: [OrderStatus; 4] =
    [OrderStatus::Paid, OrderStatus::Shipped, OrderStatus::Completed, OrderStatus::Cancelled];

#[test]
fn starting_a_payment_extends_the_deadline_once_and_only_in_time() {
    check(&[], start(IN_TIME_MS), events([started(2, IN_TIME_MS)]));
    check(&[started(2, IN_TIME_MS)], start(IN_TIME_MS), Ok(Decision::Unchanged));
    let overdue = Err(Reject::OrderOverdue { order_no: order_no() });
    check(&[], start(DEADLINE_MS), overdue.clone());
    check(&[started(2, IN_TIME_MS)], start(DEADLINE_MS + GRACE_MS), overdue);
    for status in NOT_PENDING {
        check(&history(status), start(IN_TIME_MS), wrong_status(status));
    }
}

#[test]
fn a_payment_in_time_pays() {
    check(&[], pay(1, IN_TIME_MS), events([paid(2, IN_TIME_MS, 1)]));
    let last_ms = DEADLINE_MS + GRACE_MS - 1;
    check(&[started(2, IN_TIME_MS)], pay(1, last_ms), events([paid(3, last_ms, 1)]));
}

#[test]
fn a_payment_of_an_overdue_open_order_keeps_its_units_in_one_entry() {
    check(
        &[],
        pay(1, DEADLINE_MS),
        events([
            closed(2, DEADLINE_MS, CloseReason::Timeout),
            revived(3, DEADLINE_MS),
            paid(4, DEADLINE_MS, 1),
        ]),
    );
}

#[test]
fn a_payment_after_a_timeout_reserves_again_or_goes_back() {
    check(&timed_out(), pay(1, DEADLINE_MS), Ok(Decision::ReserveAgain));
    let revive = (OrderCommand::Revive { payment: payment(1) }, DEADLINE_MS);
    check(&timed_out(), revive, events([revived(3, DEADLINE_MS), paid(4, DEADLINE_MS, 1)]));
    for reason in [RefundReason::SoldOut, RefundReason::LimitExceeded] {
        check(&timed_out(), refuse(1, reason), events([refund(3, DEADLINE_MS, 1, reason)]));
    }
}

#[test]
fn after_one_payment_was_sent_back_another_may_still_revive_the_order() {
    let mut given = timed_out();
    given.push(refund(3, DEADLINE_MS, 1, RefundReason::SoldOut));
    check(&given, pay(1, DEADLINE_MS), Ok(Decision::Unchanged));
    check(&given, pay(2, DEADLINE_MS), Ok(Decision::ReserveAgain));
}

#[test]
fn a_payment_of_a_cancelled_order_goes_back() {
    for reason in [CloseReason::Member, CloseReason::Operator] {
        let given = [closed(2, IN_TIME_MS, reason)];
        let then = refund(3, DEADLINE_MS, 1, RefundReason::OrderCancelled);
        check(&given, pay(1, DEADLINE_MS), events([then]));
    }
}

#[test]
fn only_a_timed_out_order_is_ever_revived() {
    let revive = |number| (OrderCommand::Revive { payment: payment(number) }, DEADLINE_MS);
    check(&[], revive(9), wrong_status(OrderStatus::Pending));
    for status in NOT_PENDING {
        check(&history(status), revive(9), wrong_status(status));
    }
    check(&[closed(2, IN_TIME_MS, CloseReason::Operator)], revive(9), wrong_status(OrderStatus::Cancelled));
    check(&history(OrderStatus::Paid), revive(1), Ok(Decision::Unchanged));
}

#[test]
fn a_second_payment_goes_back_and_the_first_again_changes_nothing() {
    for status in [OrderStatus::Paid, OrderStatus::Shipped, OrderStatus::Completed] {
        let given = history(status);
        let version = given.len() as u32 + 2;
        check(&given, pay(1, DEADLINE_MS), Ok(Decision::Unchanged));
        let then = refund(version, DEADLINE_MS, 2, RefundReason::AlreadyPaid);
        check(&given, pay(2, DEADLINE_MS), events([then]));
    }
}

#[test]
fn a_payment_is_sent_back_once() {
    let given = [paid(2, IN_TIME_MS, 1), refund(3, IN_TIME_MS, 2, RefundReason::AlreadyPaid)];
    check(&given, pay(2, DEADLINE_MS), Ok(Decision::Unchanged));
    check(&given, refuse(2, RefundReason::SoldOut), Ok(Decision::Unchanged));
    check(&given, refuse(1, RefundReason::SoldOut), Ok(Decision::Unchanged));
}

#[test]
fn only_a_pending_order_is_cancelled() {
    for reason in [CloseReason::Member, CloseReason::Operator] {
        check(&[], cancel(reason), events([closed(2, IN_TIME_MS, reason)]));
        for status in [OrderStatus::Paid, OrderStatus::Shipped, OrderStatus::Completed] {
            check(&history(status), cancel(reason), wrong_status(status));
        }
        check(&timed_out(), cancel(reason), wrong_status(OrderStatus::Cancelled));
    }
    let by_member = history(OrderStatus::Cancelled);
    check(&by_member, cancel(CloseReason::Member), Ok(Decision::Unchanged));
    check(&by_member, cancel(CloseReason::Operator), wrong_status(OrderStatus::Cancelled));
}

#[test]
fn a_timer_closes_at_the_deadline_and_never_before() {
    check(&[], (OrderCommand::Expire, IN_TIME_MS), Ok(Decision::Unchanged));
    check(&[], (OrderCommand::Expire, DEADLINE_MS), events([closed(2, DEADLINE_MS, CloseReason::Timeout)]));
    check(&[started(2, IN_TIME_MS)], (OrderCommand::Expire, DEADLINE_MS), Ok(Decision::Unchanged));
    for status in NOT_PENDING {
        check(&history(status), (OrderCommand::Expire, DEADLINE_MS), Ok(Decision::Unchanged));
    }
}

#[test]
fn only_a_paid_order_ships_and_the_same_shipment_again_changes_nothing() {
    let ship = |shipment| (OrderCommand::Ship(shipment), DEADLINE_MS);
    check(&history(OrderStatus::Paid), ship(shipment()), events([shipped(3, DEADLINE_MS)]));
    check(&history(OrderStatus::Shipped), ship(shipment()), Ok(Decision::Unchanged));
    check(&history(OrderStatus::Shipped), ship(Shipment::default()), wrong_status(OrderStatus::Shipped));
    for status in [OrderStatus::Pending, OrderStatus::Completed, OrderStatus::Cancelled] {
        check(&history(status), ship(shipment()), wrong_status(status));
    }
}

#[test]
fn only_a_shipped_order_is_received() {
    let confirm = (OrderCommand::Confirm, DEADLINE_MS);
    check(&history(OrderStatus::Shipped), confirm.clone(), events([received(4, DEADLINE_MS)]));
    check(&history(OrderStatus::Completed), confirm.clone(), Ok(Decision::Unchanged));
    for status in [OrderStatus::Pending, OrderStatus::Paid, OrderStatus::Cancelled] {
        check(&history(status), confirm.clone(), wrong_status(status));
    }
}

#[test]
fn the_state_hash_ignores_personal_data_and_nothing_else() {
    let hash = |text: Option<OrderText>| {
        let created = OrderCreated {
            extra: crate::domain::order::OrderExtra::of_text(text.map(Box::new)),
            ..created()
        };
        Order::create(created, Position(1)).record_hash()
    };
    let personal = Some(Personal::Plain(b"name".as_slice().into()));
    let remark = || Some("leave at the door".into());
    let bare = hash(None);
    assert_eq!(hash(Some(OrderText { personal: personal.clone(), ..OrderText::default() })), bare);
    let with_remark = hash(Some(OrderText { remark: remark(), ..OrderText::default() }));
    assert_eq!(hash(Some(OrderText { personal, remark: remark(), ..OrderText::default() })), with_remark);
    assert_ne!(with_remark, bare);
    assert_ne!(hash(Some(OrderText { external_no: remark(), ..OrderText::default() })), with_remark);
}
