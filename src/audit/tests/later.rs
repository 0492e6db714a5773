//! What the audit finds wrong with later lives of orders: each broken rule by its name.

use super::*;
use crate::domain::order::RefundClosing;
use crate::domain::refund::{RefundBy, RefundLine};

fn later(buyer: &Buyer, version: u32, what: OrderEvent) -> Vec<Event> {
    vec![Event::Order { step: buyer.step(version, 500), what: Box::new(what) }]
}

fn units(quantity: u32) -> Vec<StockUnits> {
    vec![StockUnits { key: key(1), quantity }]
}

fn applied(refund: u16, quantity: u32, amount: i64) -> OrderEvent {
    let line = RefundLine { key: key(1), quantity, amount: Money::from_minor(amount) };
    OrderEvent::RefundApplied {
        refund,
        request_id: RequestId::new(u128::from(refund)),
        by: RefundBy::Member,
        reason: "".into(),
        lines: vec![line],
        amount: Money::from_minor(amount),
    }
}

fn approved(restock: u32) -> OrderEvent {
    let restock = if restock == 0 { Vec::new() } else { units(restock) };
    OrderEvent::RefundApproved { refund: 1, restock }
}

fn finished(restocked: u32) -> OrderEvent {
    let restocked = if restocked == 0 { Vec::new() } else { units(restocked) };
    OrderEvent::RefundFinished { refund: 1, provider_refund_id: "r".into(), restocked }
}

fn package(quantity: u32) -> OrderEvent {
    OrderEvent::PackageShipped { shipment: Shipment::default(), units: units(quantity) }
}

/// A paid order of three units, and what follows as versions 3, 4 …
fn paid_then(what: impl IntoIterator<Item = OrderEvent>) -> Vec<Vec<Event>> {
    let buyer = Buyer::new(1, &[line(1, 3, 0)]);
    let mut entries = vec![vec![buyer.created()], vec![buyer.received()], vec![buyer.paid(2, 400)]];
    entries.extend((3..).zip(what).map(|(version, what)| later(&buyer, version, what)));
    entries
}

#[test]
fn a_clean_later_life_passes_and_is_counted() {
    let report = passes(paid_then([applied(1, 2, 2 * PRICE), approved(1), finished(1), package(1)]));
    assert_eq!((report.refunds_applied, report.refunds_finished), (1, 1));
    assert_eq!((report.orders.partially_shipped, report.stock_of(&key(1)).sold), (1, 2));
}

#[test]
fn refunds_stay_within_what_was_paid_and_ordered() {
    breaks(Rule::AfterSale, paid_then([applied(1, 3, 3 * PRICE + 1)]));
    breaks(Rule::AfterSale, paid_then([applied(1, 4, PRICE)]));
    breaks(Rule::AfterSale, paid_then([applied(1, 2, PRICE), applied(2, 2, PRICE)]));
    breaks(Rule::AfterSale, paid_then([applied(2, 1, PRICE)]));
    let closed = OrderEvent::RefundClosed { refund: 1, closing: RefundClosing::Rejected, note: "".into() };
    passes(paid_then([applied(1, 2, PRICE), closed, applied(2, 2, PRICE)]));
}

#[test]
fn refund_steps_go_in_legal_order() {
    breaks(Rule::AfterSale, paid_then([applied(1, 1, PRICE), finished(0)]));
    breaks(Rule::AfterSale, paid_then([applied(1, 1, PRICE), approved(0), finished(0), finished(0)]));
    breaks(Rule::AfterSale, paid_then([approved(0)]));
    let requested = || OrderEvent::RefundRequested { refund: 1 };
    breaks(Rule::AfterSale, paid_then([applied(1, 1, PRICE), requested()]));
    breaks(Rule::AfterSale, paid_then([applied(1, 1, PRICE), approved(0), requested(), requested()]));
}

#[test]
fn units_are_restocked_as_agreed_and_shipped_once() {
    breaks(Rule::AfterSale, paid_then([applied(1, 1, PRICE), approved(1), finished(2)]));
    breaks(Rule::AfterSale, paid_then([applied(1, 1, PRICE), approved(4)]));
    breaks(Rule::AfterSale, paid_then([package(2), package(2)]));
    breaks(Rule::AfterSale, paid_then([applied(1, 2, PRICE), approved(0), finished(0), package(2)]));
    breaks(Rule::AfterSale, paid_then([applied(1, 1, PRICE), package(1)]));
}

#[test]
fn an_order_is_closed_as_refunded_when_all_has_gone_back() {
    let buyer = Buyer::new(1, &[line(1, 3, 0)]);
    let close = |version| Event::OrderClosed {
        step: buyer.step(version, 500),
        reason: CloseReason::Refunded,
        units: Vec::new(),
    };
    let mut whole = paid_then([applied(1, 3, 3 * PRICE), approved(0), finished(0)]);
    whole.last_mut().unwrap().push(close(6));
    assert_eq!(passes(whole).orders.cancelled_refunded, 1);
    let mut part = paid_then([applied(1, 2, 2 * PRICE), approved(0), finished(0)]);
    part.last_mut().unwrap().push(close(6));
    breaks(Rule::AfterSale, part);
}

#[test]
fn only_what_costs_nothing_is_paid_without_money() {
    let mut free = line(1, 1, 0);
    free.price = Money::ZERO;
    for (line, amount) in [(free, 0), (line(1, 1, 0), PRICE)] {
        let buyer = Buyer::new(1, &[line]);
        let payment = PaymentId::of_nothing(buyer.number);
        let paid = Event::OrderPaid { step: buyer.step(2, 0), payment, units: buyer.lines().units() };
        let report = audit_shop([vec![buyer.created(), paid]]);
        let money = report.violations.iter().filter(|violation| violation.rule == Rule::LateMoney).count();
        assert_eq!(money, usize::from(amount > 0), "{:#?}", report.violations);
    }
}
