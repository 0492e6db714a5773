//! A clean history passes, and for each rule a history that breaks it is caught, by that rule and no other.

mod later;

use super::orders::{LineRecord, LineRecords};
use super::report::Findings;
use super::*;
use crate::domain::catalogue::Sku;
use crate::domain::event::OrderStep;
use crate::domain::ids::{
    AdjustmentId, MemberId, ORDER_NO_EPOCH_MS, PaymentId, ProductId, RequestId, SkuId, Slot, StockKey,
};
use crate::domain::order::{CloseReason, Lines, RefundReason};
use crate::domain::order_type::OrderType;
use crate::domain::request::{Shipment, StockChange};

const T0: u64 = ORDER_NO_EPOCH_MS + 1_000;
const AUTO_CLOSE_MS: u32 = 500;
const PRICE: i64 = 250;

fn key(sku: u64) -> StockKey {
    StockKey::normal(SkuId(sku))
}

fn line(sku: u64, quantity: u32, limit_per_member: u32) -> Line {
    Line { key: key(sku), quantity, price: Money::from_minor(PRICE), revision: 1, limit_per_member }
}

fn sku_put(sku: u64, revision: u32, limit_per_member: u32) -> Event {
    Event::SkuPut {
        at_ms: T0,
        revision,
        sku: Box::new(Sku {
            id: SkuId(sku),
            product_id: ProductId(1),
            code: String::new(),
            title: "tea".to_owned(),
            price: Money::from_minor(PRICE),
            on_sale: true,
            limit_per_member,
        }),
    }
}

fn adjusted(sku: u64, id: u128, change: StockChange, delta: i64) -> Event {
    Event::StockAdjusted { at_ms: T0, key: key(sku), adjustment_id: AdjustmentId(id), change, delta }
}

/// A made-up order whose events are easily written down.
#[derive(Clone)]
struct Buyer {
    member: u64,
    request: u128,
    number: OrderNo,
    lines: Vec<Line>,
    payment: PaymentId,
}

impl Buyer {
    fn new(nth: u64, lines: &[Line]) -> Self {
        let member = MemberId(nth);
        Self {
            member: nth,
            request: u128::from(nth),
            number: OrderNo::compose(1_000, Slot::of_member(member), nth),
            lines: lines.to_vec(),
            payment: PaymentId::of("wechat", "shop", &nth.to_string()),
        }
    }

    fn amount(&self) -> Money {
        Money::from_minor(self.lines.iter().map(|line| line.price.minor() * i64::from(line.quantity)).sum())
    }

    fn lines(&self) -> Lines {
        Lines::from_vec(self.lines.clone())
    }

    fn step(&self, version: u32, after_ms: u64) -> OrderStep {
        OrderStep { order_no: self.number, version, at_ms: T0 + after_ms }
    }

    fn created(&self) -> Event {
        Event::OrderCreated(Box::new(OrderCreated {
            order_no: self.number,
            member_id: MemberId(self.member),
            request_id: RequestId::new(self.request),
            body_hash: 0,
            order_type: OrderType::Normal,
            at_ms: T0,
            auto_close_ms: AUTO_CLOSE_MS,
            pay_amount: self.amount(),
            lines: self.lines(),
            extra: Default::default(),
        }))
    }

    fn started(&self, version: u32, after_ms: u64, deadline_after_ms: u64) -> Event {
        Event::PaymentStarted { step: self.step(version, after_ms), deadline_ms: T0 + deadline_after_ms }
    }

    fn received(&self) -> Event {
        Event::PaymentReceived {
            at_ms: T0,
            payment: self.payment,
            channel: "wechat".into(),
            merchant: "shop".into(),
            transaction_id: self.member.to_string().into(),
            order_no: self.number,
            amount: self.amount(),
        }
    }

    fn paid(&self, version: u32, after_ms: u64) -> Event {
        Event::OrderPaid {
            step: self.step(version, after_ms),
            payment: self.payment,
            units: self.lines().units(),
        }
    }

    fn closed(&self, version: u32, after_ms: u64, reason: CloseReason) -> Event {
        Event::OrderClosed { step: self.step(version, after_ms), reason, units: self.lines().units() }
    }

    fn revived(&self, version: u32, after_ms: u64) -> Event {
        Event::OrderRevived { step: self.step(version, after_ms), units: self.lines().units() }
    }

    fn refund(&self, version: u32, reason: RefundReason) -> Event {
        Event::RefundRequired {
            step: self.step(version, 900),
            payment: self.payment,
            amount: self.amount(),
            reason,
        }
    }

    fn shipped(&self, version: u32) -> Event {
        Event::OrderShipped { step: self.step(version, 600), shipment: Shipment::default() }
    }

    fn received_by_buyer(&self, version: u32) -> Event {
        Event::OrderReceived { step: self.step(version, 700) }
    }
}

/// A shop with two SKUs of ten units each, the second with a limit of 2 a member.
fn shop() -> Vec<Vec<Event>> {
    vec![
        vec![Event::NumbersReserved { at_ms: T0, until_ms: 10_000 }],
        vec![sku_put(1, 1, 0)],
        vec![sku_put(2, 1, 2)],
        vec![adjusted(1, 1, StockChange::Relative(10), 10)],
        vec![adjusted(2, 1, StockChange::Absolute(10), 10)],
    ]
}

fn audit(entries: impl IntoIterator<Item = Vec<Event>>) -> AuditReport {
    let mut auditor = Auditor::new();
    let mut first = 1;
    for events in entries {
        auditor.entry(Position(first), &events);
        first += events.len() as u64;
    }
    auditor.finish()
}

fn audit_shop(entries: impl IntoIterator<Item = Vec<Event>>) -> AuditReport {
    audit(shop().into_iter().chain(entries))
}

/// Asserts that the entries break this rule and no other.
#[track_caller]
fn breaks(rule: Rule, entries: impl IntoIterator<Item = Vec<Event>>) -> AuditReport {
    let report = audit_shop(entries);
    let rules: Vec<Rule> = report.violations.iter().map(|violation| violation.rule).collect();
    assert!(!rules.is_empty(), "nothing was found");
    assert!(rules.iter().all(|found| *found == rule), "{:#?}", report.violations);
    assert_eq!(report.violations_total, rules.len() as u64);
    report
}

#[track_caller]
fn passes(entries: impl IntoIterator<Item = Vec<Event>>) -> AuditReport {
    let report = audit_shop(entries);
    assert!(report.passed(), "{:#?}", report.violations);
    report
}

#[test]
fn a_clean_history_passes_and_is_counted() {
    let completed = Buyer::new(1, &[line(1, 2, 0), line(2, 2, 2)]);
    let cancelled = Buyer::new(2, &[line(1, 3, 0)]);
    let late = Buyer::new(3, &[line(1, 1, 0)]);
    let overdue = Buyer::new(4, &[line(2, 1, 2)]);
    let unlucky = Buyer::new(5, &[line(1, 1, 0)]);
    let open = Buyer::new(6, &[line(1, 1, 0)]);
    let report = passes([
        vec![completed.created()],
        vec![cancelled.created()],
        vec![late.created()],
        vec![completed.started(2, 100, 2_000)],
        vec![completed.received()],
        vec![completed.paid(3, 600)],
        vec![cancelled.closed(2, 100, CloseReason::Member)],
        vec![cancelled.received()],
        vec![cancelled.refund(3, RefundReason::OrderCancelled)],
        vec![late.closed(2, 500, CloseReason::Timeout)],
        vec![late.received()],
        vec![late.revived(3, 800), late.paid(4, 800)],
        vec![overdue.created()],
        vec![overdue.received()],
        vec![overdue.closed(2, 900, CloseReason::Timeout), overdue.revived(3, 900), overdue.paid(4, 900)],
        vec![unlucky.created()],
        vec![unlucky.closed(2, 500, CloseReason::Timeout)],
        vec![unlucky.received()],
        vec![unlucky.refund(3, RefundReason::SoldOut)],
        vec![open.created()],
        vec![open.received()],
        vec![completed.shipped(4)],
        vec![completed.received_by_buyer(5)],
    ]);
    assert_eq!((report.first_position, report.last_position), (Position(1), Position(31)));
    assert_eq!((report.entries, report.events), (28, 31));
    let orders = OrderTally {
        total: 6,
        pending: 1,
        paid: 2,
        shipped: 0,
        completed: 1,
        cancelled_timeout: 1,
        cancelled_member: 1,
        ..OrderTally::default()
    };
    assert_eq!(report.orders, orders);
    assert_eq!((report.orders.cancelled(), report.orders.sold()), (2, 3));
    assert_eq!((report.orders_revived, report.refunds_required), (2, 2));
    assert_eq!((report.payments_received, report.payments_unresolved), (6, 1));
    let first = StockTally { total: 10, available: 6, reserved: 1, sold: 3, oversold_units: 0 };
    assert_eq!(report.stock_of(&key(1)), first);
    let sum = StockTally { total: 20, available: 13, reserved: 1, sold: 6, oversold_units: 0 };
    assert_eq!(report.stock, sum);
}

#[test]
fn r1_an_oversold_key_is_caught_with_its_units() {
    let report = breaks(
        Rule::NoOversell,
        [vec![Buyer::new(1, &[line(1, 8, 0)]).created()], vec![Buyer::new(2, &[line(1, 5, 0)]).created()]],
    );
    assert_eq!(report.oversold_units(), 3);
    assert_eq!(report.stock_of(&key(1)).available, -3);
}

#[test]
fn r1_an_oversell_that_heals_later_is_still_caught() {
    let (first, second) = (Buyer::new(1, &[line(1, 8, 0)]), Buyer::new(2, &[line(1, 5, 0)]));
    let report = breaks(
        Rule::NoOversell,
        [vec![first.created()], vec![second.created()], vec![first.closed(2, 10, CloseReason::Member)]],
    );
    assert_eq!((report.oversold_units(), report.stock_of(&key(1)).available), (3, 5));
}

#[test]
fn r1_a_release_before_its_close_is_caught() {
    // The units of the first order are sold again before it is closed: what a release ahead of the journal does.
    let (first, second) = (Buyer::new(1, &[line(1, 10, 0)]), Buyer::new(2, &[line(1, 10, 0)]));
    let closed = first.closed(2, 10, CloseReason::Member);
    breaks(Rule::NoOversell, [vec![first.created()], vec![second.created()], vec![closed]]);
}

#[test]
fn r1_an_adjustment_must_do_what_it_was_asked_to() {
    breaks(Rule::NoOversell, [vec![adjusted(1, 2, StockChange::Relative(5), 6)]]);
    breaks(Rule::NoOversell, [vec![adjusted(1, 2, StockChange::Absolute(12), 3)]]);
    breaks(Rule::NoOversell, [vec![adjusted(1, 2, StockChange::Relative(-11), -11)]]);
    passes([vec![adjusted(1, 2, StockChange::Absolute(4), -6)]]);
}

#[test]
fn r2_lines_are_checked() {
    let check = |pay_amount: i64, lines: &[Line]| {
        let mut findings = Findings::new(10);
        let number = OrderNo::default();
        check_lines(number, Money::from_minor(pay_amount), lines, None, &mut findings);
        let (total, kept) = findings.into_parts();
        assert!(kept.iter().all(|violation| violation.rule == Rule::AllOrNothing));
        total
    };
    assert_eq!(check(3 * PRICE, &[line(1, 1, 0), line(2, 2, 0)]), 0);
    assert_eq!(check(3 * PRICE, &[line(2, 2, 0), line(1, 1, 0)]), 1, "descending");
    assert_eq!(check(3 * PRICE, &[line(1, 2, 0), line(1, 1, 0)]), 1, "one key twice");
    assert_eq!(check(PRICE, &[line(1, 1, 0), line(2, 0, 0)]), 1, "no units");
    assert_eq!(check(0, &[]), 1, "no lines");
    assert_eq!(check(PRICE, &[line(1, 2, 0)]), 1, "wrong amount");
    let dear = Line { price: Money::from_minor(i64::MAX), ..line(1, u32::MAX, 0) };
    assert_eq!(check(-1, &[dear, Line { key: key(2), ..dear }]), 1, "an amount beyond 64 bits");
}

#[test]
fn r2_an_order_without_lines_is_caught_in_a_journal() {
    breaks(Rule::AllOrNothing, [vec![Buyer::new(1, &[]).created()]]);
}

#[test]
fn r2_a_close_that_forgets_a_line_is_caught() {
    let buyer = Buyer::new(1, &[line(1, 1, 0), line(2, 1, 2)]);
    let partial = Event::OrderClosed {
        step: buyer.step(2, 10),
        reason: CloseReason::Member,
        units: vec![StockUnits { key: key(1), quantity: 1 }],
    };
    breaks(Rule::AllOrNothing, [vec![buyer.created()], vec![partial]]);
}

#[test]
fn r2_a_sale_of_fewer_units_than_were_reserved_is_caught() {
    let buyer = Buyer::new(1, &[line(1, 2, 0)]);
    let partial = Event::OrderPaid {
        step: buyer.step(2, 10),
        payment: buyer.payment,
        units: vec![StockUnits { key: key(1), quantity: 1 }],
    };
    breaks(Rule::AllOrNothing, [vec![buyer.created()], vec![buyer.received()], vec![partial]]);
}

#[test]
fn r5_facts_about_an_order_that_is_not_there_are_caught() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    breaks(Rule::CausalPrefix, [vec![buyer.started(2, 10, 600)]]);
    breaks(Rule::CausalPrefix, [vec![buyer.shipped(2)]]);
    breaks(Rule::CausalPrefix, [vec![buyer.received()]]);
    let unknown = Line { revision: 2, ..line(1, 1, 0) };
    breaks(Rule::CausalPrefix, [vec![Buyer::new(1, &[unknown]).created()]]);
}

#[test]
fn r6_an_entry_is_one_decision() {
    let (first, second) = (Buyer::new(1, &[line(1, 1, 0)]), Buyer::new(2, &[line(1, 1, 0)]));
    breaks(Rule::OneDecision, [vec![first.created(), second.created()]]);
    breaks(Rule::OneDecision, [vec![first.created(), first.started(2, 10, 600)]]);
    breaks(Rule::OneDecision, [vec![]]);
    let closed = |buyer: &Buyer| vec![buyer.closed(2, 500, CloseReason::Timeout)];
    breaks(Rule::OneDecision, [vec![first.created()], closed(&first), vec![first.revived(3, 600)]]);
}

#[test]
fn r6_a_decision_is_about_one_order() {
    let (first, second) = (Buyer::new(1, &[line(1, 1, 0)]), Buyer::new(2, &[line(1, 1, 0)]));
    let closed = |buyer: &Buyer| vec![buyer.closed(2, 500, CloseReason::Timeout)];
    let report = breaks(
        Rule::OneDecision,
        [
            vec![first.created()],
            vec![second.created()],
            closed(&first),
            vec![second.received()],
            vec![first.revived(3, 400 + 200), second.paid(2, 400)],
        ],
    );
    assert_eq!(report.violations_total, 1);
}

#[test]
fn r8_a_request_places_one_order() {
    let first = Buyer::new(1, &[line(1, 1, 0)]);
    let number = OrderNo::compose(1_001, first.number.slot(), 0);
    let again = Buyer { number, ..first.clone() };
    breaks(Rule::Once, [vec![first.created()], vec![again.created()]]);
    let other_request = Buyer { request: 99, ..again };
    passes([vec![first.created()], vec![other_request.created()]]);
}

#[test]
fn r8_a_payment_is_received_once() {
    let first = Buyer::new(1, &[line(1, 1, 0)]);
    let second = Buyer { payment: first.payment, ..Buyer::new(2, &[line(1, 1, 0)]) };
    let created = [vec![first.created()], vec![second.created()], vec![first.received()]];
    breaks(Rule::Once, created.into_iter().chain([vec![second.received()]]));
}

#[test]
fn r8_an_adjustment_is_applied_once_to_each_key() {
    breaks(Rule::Once, [vec![adjusted(1, 1, StockChange::Relative(1), 1)]]);
    passes([
        vec![adjusted(1, 7, StockChange::Relative(1), 1)],
        vec![adjusted(2, 7, StockChange::Relative(1), 1)],
    ]);
}

#[test]
fn r9_an_overdue_order_is_not_paid_in_the_ordinary_way() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    let paid_at =
        |after_ms| vec![vec![buyer.created()], vec![buyer.received()], vec![buyer.paid(2, after_ms)]];
    passes(paid_at(499));
    breaks(Rule::Deadline, paid_at(500));
}

#[test]
fn r9_no_order_times_out_early() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    let close = |version, after_ms| vec![buyer.closed(version, after_ms, CloseReason::Timeout)];
    passes([vec![buyer.created()], close(2, 500)]);
    breaks(Rule::Deadline, [vec![buyer.created()], close(2, 499)]);
    breaks(Rule::Deadline, [vec![buyer.created()], vec![buyer.started(2, 100, 900)], close(3, 899)]);
}

#[test]
fn r9_a_started_payment_extends_the_deadline_once_and_in_time() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    let start = |version, after_ms, deadline| vec![buyer.started(version, after_ms, deadline)];
    breaks(Rule::Deadline, [vec![buyer.created()], start(2, 100, 900), start(3, 200, 1_200)]);
    breaks(Rule::Deadline, [vec![buyer.created()], start(2, 500, 900)]);
    breaks(Rule::Deadline, [vec![buyer.created()], start(2, 100, 400)]);
}

#[test]
fn r10_a_payment_has_exactly_one_outcome() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    let paid = [vec![buyer.created()], vec![buyer.received()], vec![buyer.paid(2, 10)]];
    let refund = vec![buyer.refund(3, RefundReason::AlreadyPaid)];
    breaks(Rule::LateMoney, paid.into_iter().chain([refund]));
    breaks(Rule::LateMoney, [vec![buyer.created()], vec![buyer.paid(2, 10)]]);
    let report = passes([vec![buyer.created()], vec![buyer.received()]]);
    assert_eq!(report.payments_unresolved, 1);
}

#[test]
fn r10_a_cancelled_order_is_not_revived() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    for reason in [CloseReason::Member, CloseReason::Operator] {
        breaks(
            Rule::LateMoney,
            [
                vec![buyer.created()],
                vec![buyer.closed(2, 10, reason)],
                vec![buyer.received()],
                vec![buyer.revived(3, 20), buyer.paid(4, 20)],
            ],
        );
    }
}

#[test]
fn r10_a_refund_returns_what_was_received_for_the_right_reason() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    let cancelled =
        [vec![buyer.created()], vec![buyer.closed(2, 10, CloseReason::Member)], vec![buyer.received()]];
    let short = Event::RefundRequired {
        step: buyer.step(3, 20),
        payment: buyer.payment,
        amount: Money::from_minor(PRICE - 1),
        reason: RefundReason::OrderCancelled,
    };
    breaks(Rule::LateMoney, cancelled.clone().into_iter().chain([vec![short]]));
    let wrong = vec![buyer.refund(3, RefundReason::SoldOut)];
    breaks(Rule::LateMoney, cancelled.into_iter().chain([wrong]));
}

#[test]
fn r10_a_payment_pays_its_own_order_only() {
    let (first, second) = (Buyer::new(1, &[line(1, 1, 0)]), Buyer::new(2, &[line(1, 1, 0)]));
    let stolen = Buyer { payment: first.payment, ..second };
    let created = [vec![first.created()], vec![stolen.created()], vec![first.received()]];
    breaks(Rule::LateMoney, created.into_iter().chain([vec![stolen.paid(2, 10)]]));
}

#[test]
fn r10_the_payment_that_pays_brings_the_orders_amount() {
    let buyer = Buyer::new(1, &[line(1, 2, 0)]);
    let cheap = Event::PaymentReceived {
        at_ms: T0,
        payment: buyer.payment,
        channel: "wechat".into(),
        merchant: "shop".into(),
        transaction_id: "1".into(),
        order_no: buyer.number,
        amount: Money::from_minor(1),
    };
    breaks(Rule::LateMoney, [vec![buyer.created()], vec![cheap], vec![buyer.paid(2, 10)]]);
}

#[test]
fn positions_must_not_leave_a_gap() {
    let mut auditor = Auditor::new();
    auditor.entry(Position(2), &[Event::NumbersReserved { at_ms: 0, until_ms: 1 }]);
    auditor.entry(Position(3), &[Event::NumbersReserved { at_ms: 0, until_ms: 2 }]);
    auditor.entry(Position(3), &[Event::NumbersReserved { at_ms: 0, until_ms: 3 }]);
    let report = auditor.finish();
    let found: Vec<_> =
        report.violations.iter().map(|violation| (violation.rule, violation.position)).collect();
    assert_eq!(found, [(Rule::Positions, Position(2)), (Rule::Positions, Position(3))]);
}

#[test]
fn versions_must_not_leave_a_gap() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    let close = |version| vec![buyer.closed(version, 10, CloseReason::Member)];
    breaks(Rule::Versions, [vec![buyer.created()], close(3)]);
    breaks(Rule::Versions, [vec![buyer.created()], close(1)]);
}

#[test]
fn orders_stay_on_their_state_machine() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    breaks(Rule::Transitions, [vec![buyer.created()], vec![buyer.shipped(2)]]);
    breaks(Rule::Transitions, [vec![buyer.created()], vec![buyer.received_by_buyer(2)]]);
    let paid = [vec![buyer.created()], vec![buyer.received()], vec![buyer.paid(2, 10)]];
    let receive = vec![buyer.received_by_buyer(3)];
    breaks(Rule::Transitions, paid.clone().into_iter().chain([receive]));
    let start = vec![buyer.started(3, 20, 900)];
    breaks(Rule::Transitions, paid.into_iter().chain([start]));
}

#[test]
fn an_order_that_is_paid_twice_is_caught() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    let paid = [vec![buyer.created()], vec![buyer.received()], vec![buyer.paid(2, 10)]];
    let report = audit_shop(paid.into_iter().chain([vec![buyer.paid(3, 20)]]));
    let message = "is paid twice";
    assert!(report.violations.iter().any(|violation| violation.message.contains(message)));
}

#[test]
fn an_orders_time_does_not_run_backwards() {
    let buyer = Buyer::new(1, &[line(1, 1, 0)]);
    let start = vec![buyer.started(2, 100, 900)];
    let close = vec![buyer.closed(3, 99, CloseReason::Member)];
    breaks(Rule::Times, [vec![buyer.created()], start, close]);
}

#[test]
fn order_numbers_are_unique_reserved_and_of_their_slot() {
    let first = Buyer::new(1, &[line(1, 1, 0)]);
    let twin = Buyer { request: 99, ..first.clone() };
    breaks(Rule::OrderNumbers, [vec![first.created()], vec![twin.created()]]);
    let slot = first.number.slot();
    let ahead = Buyer { number: OrderNo::compose(10_000, slot, 0), ..first.clone() };
    breaks(Rule::OrderNumbers, [vec![ahead.created()]]);
    let other_slot = Slot::from_index((slot.index() as u16 + 1) % 1024).unwrap();
    let stray = Buyer { number: OrderNo::compose(1, other_slot, 0), ..first };
    breaks(Rule::OrderNumbers, [vec![stray.created()]]);
}

#[test]
fn members_stay_within_their_limits() {
    let first = Buyer::new(1, &[line(2, 2, 2)]);
    let number = OrderNo::compose(1_001, first.number.slot(), 0);
    let second = Buyer { number, request: 99, lines: vec![line(2, 1, 2)], ..first.clone() };
    breaks(Rule::Limits, [vec![first.created()], vec![second.created()]]);
    let closed = vec![first.closed(2, 10, CloseReason::Member)];
    passes([vec![first.created()], closed, vec![second.created()]]);
}

#[test]
fn a_revived_order_counts_towards_the_limit_again_unless_it_never_closed() {
    let first = Buyer::new(1, &[line(2, 2, 2)]);
    let number = OrderNo::compose(1_001, first.number.slot(), 0);
    let second = Buyer { number, request: 99, lines: vec![line(2, 2, 2)], ..first.clone() };
    breaks(
        Rule::Limits,
        [
            vec![first.created()],
            vec![first.closed(2, 500, CloseReason::Timeout)],
            vec![second.created()],
            vec![first.received()],
            vec![first.revived(3, 600), first.paid(4, 600)],
        ],
    );
    // The limit was raised to 4 and the member bought up to it; then the first order is paid overdue.
    let raised = Line { revision: 2, limit_per_member: 4, ..line(2, 2, 4) };
    let second = Buyer { lines: vec![raised], ..second };
    passes([
        vec![first.created()],
        vec![sku_put(2, 2, 4)],
        vec![second.created()],
        vec![first.received()],
        vec![first.closed(2, 600, CloseReason::Timeout), first.revived(3, 600), first.paid(4, 600)],
    ]);
}

#[test]
fn lines_are_sold_on_the_terms_of_their_revision() {
    let dear = Line { price: Money::from_minor(PRICE + 1), ..line(1, 1, 0) };
    breaks(Rule::Catalogue, [vec![Buyer::new(1, &[dear]).created()]]);
    breaks(Rule::Catalogue, [vec![Buyer::new(1, &[line(2, 1, 0)]).created()]]);
    breaks(Rule::Catalogue, [vec![sku_put(1, 3, 0)]]);
}

#[test]
fn violations_beyond_the_list_are_counted() {
    let mut auditor = Auditor::with_violations_kept(2);
    for _ in 0..5 {
        auditor.entry(Position(7), &[Event::NumbersReserved { at_ms: 0, until_ms: 1 }]);
    }
    let report = auditor.finish();
    assert_eq!((report.violations.len(), report.violations_total), (2, 5));
    assert!(!report.passed());
}

#[test]
fn an_order_of_one_line_takes_little_memory() {
    let one = LineRecord { key: 0, quantity: 1, limit_per_member: 0 };
    assert!(matches!(LineRecords::from_lines([one].into_iter()), LineRecords::One(_)));
    assert!(size_of::<super::orders::OrderRecord>() <= 80);
}

#[test]
fn the_report_serializes_with_readable_keys_and_rule_codes() {
    let report = audit_shop([vec![Buyer::new(1, &[line(1, 11, 0)]).created()]]);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["stock_by_key"][0]["key"], "normal/0/1/0");
    assert_eq!(json["stock_by_key"][0]["oversold_units"], 1);
    assert_eq!(json["violations"][0]["rule"], "R1");
    assert_eq!(json["violations"][0]["position"], 6);
}
