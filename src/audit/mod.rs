//! The auditor: reads journal and store and checks them against the rules, without trusting the engine.
//!
//! ```text
//! store ── every record ──▶ Stored::audit ── adds up on its own? ──▶ state at the checkpoint
//!                                                                      │ start      │ compare
//! journal ── every entry ─▶ Auditor::entry ◀───────────────────────────┘ (trimmed)  │ (whole: a replay
//!                              └ what the store has ahead of its checkpoint ◀────────┘  from position 1)
//! ```
//!
//! It shares the event types, the stored records, their frozen hashes and the frozen mapping of members to slots with
//! the rest of the crate, and nothing else: no counters, no `decide`, no `apply`. Its own state is naive on purpose:
//! signed counters, hash maps, one pass, so that a mistake in the engine's fast structures can't hide in here as well.
//!
//! What it deliberately does not do: repair, or judge what a journal can't show (whether a refusal was right, whether
//! an acknowledgement was lost). The load test checks the latter from its own log.
//!
//! Memory: about 160 bytes an order with one line; twice that while a store is compared with a replay. Time: well below a microsecond an event.

mod acts;
mod catalogue;
mod coupons;
mod later;
mod limits;
mod orders;
mod payments;
mod report;
mod settings;
mod shape;
mod stock;
mod stored;
mod tasks;
mod teams;
pub mod verify;

#[cfg(test)]
mod tests;

pub use report::{
    AuditReport, CouponTally, KeyTally, OrderTally, Rule, StockTally, StoreTally, VIOLATIONS_KEPT, Violation,
};
pub use tasks::TaskTally;
pub use teams::TeamTally;

use hashbrown::HashMap;

use crate::domain::coupon::CouponEvent;
use crate::domain::event::{Event, OrderCreated, OrderStep, StockUnits};
use crate::domain::ids::{AdjustmentId, OrderNo, PaymentId, Position, RequestId, StockKey};
use crate::domain::money::Money;
use crate::domain::order::{CloseReason, Line, OrderEvent, OrderTerms};
use crate::domain::order_type::OrderType;
use crate::domain::refund::{RefundState, RefundStep};
use crate::domain::team::TeamEvent;

use acts::ActBook;
use catalogue::CatalogueBook;
use coupons::CouponBook;
use limits::LimitBook;
use orders::{LineRecord, LineRecords, OrderBook};
use payments::{Outcome, PaymentBook};
use report::Findings;
use settings::SettingBook;
use shape::Shape;
use stock::{Account, StockLedger};
use stored::{Ahead, Stored};
use tasks::TaskLedger;
use teams::TeamBook;

/// Checks a journal entry by entry.
///
/// ```
/// use stockade::audit::Auditor;
/// use stockade::domain::event::Event;
/// use stockade::domain::ids::Position;
///
/// let mut auditor = Auditor::new();
/// auditor.entry(Position(1), &[Event::NumbersReserved { at_ms: 0, until_ms: 1_000 }]);
/// let report = auditor.finish();
/// assert!(report.passed());
/// assert_eq!(report.events, 1);
/// ```
#[derive(Debug)]
pub struct Auditor {
    findings: Findings,
    catalogue: CatalogueBook,
    settings: SettingBook,
    teams: TeamBook,
    stock: StockLedger,
    orders: OrderBook,
    limits: LimitBook,
    payments: PaymentBook,
    tasks: TaskLedger,
    coupons: CouponBook,
    acts: ActBook,
    first_position: Position,
    last_position: Position,
    entries: u64,
    events: u64,
    refunds_required: u64,
    refunds_applied: u64,
    refunds_finished: u64,
    /// Refunds of payments that are for no order.
    unmatched: HashMap<PaymentId, RefundState>,
    /// Entries up to here are in the state that the audit began with.
    start: Position,
    ahead: Ahead,
    store: Option<StoreTally>,
}

impl Default for Auditor {
    fn default() -> Self {
        Self::new()
    }
}

impl Auditor {
    /// An auditor that has seen nothing and lists at most [`VIOLATIONS_KEPT`] violations.
    pub fn new() -> Self {
        Self::with_violations_kept(VIOLATIONS_KEPT)
    }

    /// An auditor that lists at most so many violations; it counts all of them.
    pub fn with_violations_kept(violations_kept: usize) -> Self {
        Self {
            findings: Findings::new(violations_kept),
            catalogue: CatalogueBook::default(),
            settings: SettingBook::default(),
            teams: TeamBook::default(),
            stock: StockLedger::default(),
            orders: OrderBook::default(),
            limits: LimitBook::default(),
            payments: PaymentBook::default(),
            tasks: TaskLedger::default(),
            coupons: CouponBook::default(),
            acts: ActBook::default(),
            first_position: Position(0),
            last_position: Position(0),
            entries: 0,
            events: 0,
            refunds_required: 0,
            refunds_applied: 0,
            refunds_finished: 0,
            unmatched: HashMap::new(),
            start: Position(0),
            ahead: Ahead::default(),
            store: None,
        }
    }

    /// An auditor that begins with what a store comes to. The journal begins at `first`, and entries up to the
    /// checkpoint are only looked for in the store.
    fn resume(stored: Stored, first: Position) -> Self {
        let Stored { position, mut auditor, ahead, tally } = stored;
        auditor.last_position = Position(first.0.saturating_sub(1));
        auditor.start = position;
        auditor.ahead = ahead;
        auditor.store = Some(tally);
        auditor
    }

    /// An auditor that has seen nothing, and knows what a store says of positions behind its checkpoint. What was found
    /// in the store counts. Also gives the state at the checkpoint, to be compared when the replay gets there.
    fn replay_beside(stored: Stored, violations_kept: usize) -> (Self, Self) {
        let Stored { mut auditor, ahead, tally, .. } = stored;
        let mut replay = Self::with_violations_kept(violations_kept);
        replay.findings.absorb(std::mem::replace(&mut auditor.findings, Findings::new(0)));
        replay.ahead = ahead;
        replay.store = Some(StoreTally { compared_with_replay: true, ..tally });
        (replay, auditor)
    }

    /// Takes the next entry: its events and the position of the first of them. Entries come in journal order.
    pub fn entry(&mut self, first: Position, events: &[Event]) {
        self.findings.at(first);
        self.take_positions(first, events.len() as u64);
        let shape = Shape::check(events, &mut self.findings);
        let is_stored = first <= self.start;
        if is_stored {
            self.findings.check(self.last_position <= self.start, Rule::OneDecision, || {
                format!("the checkpoint at position {} is within one decision", self.start)
            });
        }
        if !is_stored {
            self.coupons.entry(events, &mut self.findings);
        }
        self.ahead.before(first, &self.stock, &self.limits, &mut self.findings);
        for (offset, event) in (0_u64..).zip(events) {
            let at = Position(first.0.saturating_add(offset));
            self.findings.at(at);
            if is_stored {
                self.look_for(at, event);
                continue;
            }
            self.event(at, event, shape);
            if let Some((order_no, _)) = event.order_version() {
                self.ahead.after(at, order_no, &self.orders, &mut self.findings);
            }
        }
    }

    /// Number of events taken so far.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The outcome, as of the last entry taken.
    pub fn finish(mut self) -> AuditReport {
        self.ahead.finish(self.last_position, &self.stock, &self.limits, &mut self.findings);
        let (stock, stock_by_key) = self.stock.tally();
        let (violations_total, violations) = self.findings.into_parts();
        AuditReport {
            first_position: self.first_position,
            last_position: self.last_position,
            entries: self.entries,
            events: self.events,
            orders: self.orders.tally(),
            orders_revived: self.orders.revived(),
            payments_received: self.payments.len(),
            payments_unresolved: self.payments.unresolved(),
            refunds_required: self.refunds_required,
            tasks: self.tasks.tally(),
            teams: self.teams.tally(),
            refunds_applied: self.refunds_applied,
            refunds_finished: self.refunds_finished,
            payments_unmatched: self.unmatched.len() as u64,
            coupons: self.coupons.tally(),
            stock,
            stock_by_key,
            store: self.store,
            violations_total,
            violations,
        }
    }

    /// The outcome where the journal was read and not audited: what the store adds up to.
    fn finish_unread(mut self, first: Position, last: Position) -> AuditReport {
        (self.first_position, self.last_position) = (first, last);
        self.finish()
    }

    /// An event that the store has taken in is known to it.
    fn look_for(&mut self, at: Position, event: &Event) {
        let Self { findings, orders, payments, stock, start, .. } = self;
        let is_known = match event {
            Event::NumbersReserved { until_ms, .. } => *until_ms <= orders.numbers_until_ms(),
            Event::StockAdjusted { key, adjustment_id, .. } => stock.knows_adjustment(key, *adjustment_id),
            // Also one that is no longer kept is known, from the outcome that its order tells of.
            Event::PaymentReceived { payment, order_no, .. } => {
                payments.get(*payment).is_some_and(|received| received.order_no == *order_no)
            }
            Event::SkuPut { revision, sku, .. } => self.catalogue.has(sku.id, *revision),
            Event::SettingPut { revision, setting, .. } => self.settings.has(setting, *revision),
            Event::Team(event) => self.teams.has(event),
            Event::StockTransferred { transfer_id, from, .. } => {
                *transfer_id == AdjustmentId(0) || stock.knows_adjustment(from, *transfer_id)
            }
            Event::PaymentUnmatched { payment, .. } | Event::UnmatchedRefund { payment, .. } => {
                self.unmatched.contains_key(payment)
            }
            Event::Coupon(coupon) => {
                let step = coupon.step();
                self.coupons.get(step.member, step.coupon).is_some()
            }
            Event::OperatorActed(act) => self.acts.has(at, act),
            _ => event.order_version().is_none_or(|(order_no, version)| {
                orders.get(order_no).is_some_and(|order| order.version >= version)
            }),
        };
        findings.check(is_known, Rule::Store, || {
            let name = event.name();
            match event.order_version() {
                Some((order_no, version)) => format!(
                    "{name}, version {version} of order {order_no}, is not in the store, which ends at position {start}"
                ),
                None => format!("{name} is not in the store, which ends at position {start}"),
            }
        });
    }

    /// Positions start at 1, or where a trimmed journal begins, and leave no gap.
    fn take_positions(&mut self, first: Position, len: u64) {
        let expected = self.last_position.0.saturating_add(1);
        self.findings.check(first.0 == expected, Rule::Positions, || {
            format!("an entry begins at position {first}, expected {expected}")
        });
        if self.entries == 0 {
            self.first_position = first;
        }
        self.entries += 1;
        self.events += len;
        // Go on from what the journal says, so that one gap is one violation.
        self.last_position = Position(first.0.saturating_add(len).saturating_sub(1));
    }

    fn event(&mut self, at: Position, event: &Event, shape: Shape) {
        let findings = &mut self.findings;
        match event {
            Event::NumbersReserved { until_ms, .. } => self.orders.reserve_numbers(*until_ms),
            Event::SkuPut { revision, sku, .. } => self.catalogue.put(sku, *revision, findings),
            Event::StockAdjusted { key, adjustment_id, change, delta, .. } => {
                self.stock.adjust(*key, *adjustment_id, *change, *delta, findings);
            }
            Event::OrderCreated(created) => self.order_created(created),
            Event::PaymentStarted { step, deadline_ms } => {
                if let Some(order) = self.orders.step(step, findings) {
                    order.start_payment(step, *deadline_ms, findings);
                }
            }
            Event::PaymentReceived { payment, order_no, amount, .. } => {
                if shape != Shape::Unmatched {
                    self.payment_received(*order_no);
                }
                self.payments.receive(*payment, *order_no, *amount, &mut self.findings);
            }
            Event::OrderPaid { step, payment, units } => {
                self.teams.paid(step.order_no);
                let mut pay_amount = None;
                if let Some(order) = self.orders.step(step, findings) {
                    order.pay(step, findings);
                    pay_amount = Some(order.pay_amount);
                    check_units(&self.stock, step.order_no, order.lines.as_slice(), units, findings);
                }
                if *payment == PaymentId::of_nothing(step.order_no) {
                    findings.check(pay_amount == Some(Money::ZERO), Rule::LateMoney, || {
                        format!("order {} is paid without money, and costs something", step.order_no)
                    });
                } else {
                    self.payments.settle(*payment, Outcome::Paid, step.order_no, pay_amount, findings);
                }
                self.shift(units, Account::Reserved, Account::Sold);
            }
            Event::OrderShipped { step, .. } => {
                if let Some(order) = self.orders.step(step, findings) {
                    order.ship(step, findings);
                }
            }
            Event::OrderReceived { step } => {
                if let Some(order) = self.orders.step(step, findings) {
                    order.receive(step, findings);
                }
            }
            Event::OrderClosed { step, reason, units } => {
                self.teams.left(step.order_no);
                if let Some(order) = self.orders.step(step, findings) {
                    if *reason == CloseReason::Refunded {
                        order.close_refunded(step, units, findings);
                    } else if *reason != CloseReason::TeamFailed || !units.is_empty() {
                        // Units of a paid order whose team failed went back by an event of their own.
                        check_units(&self.stock, step.order_no, order.lines.as_slice(), units, findings);
                    }
                    order.close(step, *reason, findings);
                    for line in order.lines.as_slice() {
                        self.limits.give_back(order.member, line.key, line.quantity, line.limit_per_member);
                    }
                }
                self.shift(units, Account::Reserved, Account::Available);
            }
            Event::OrderRevived { step, units } => {
                // Units of an order that was never really closed are kept, whatever the limit is by now.
                let kept = shape == Shape::OverduePaid;
                if let Some(order) = self.orders.step(step, findings) {
                    order.revive(step, findings);
                    check_units(&self.stock, step.order_no, order.lines.as_slice(), units, findings);
                    for line in order.lines.as_slice() {
                        let LineRecord { key, quantity, limit_per_member } = *line;
                        self.limits.take(order.member, key, quantity, limit_per_member, kept, findings);
                    }
                    self.orders.count_revived(1);
                }
                self.shift(units, Account::Available, Account::Reserved);
            }
            Event::RefundRequired { step, payment, amount, reason } => {
                if let Some(order) = self.orders.step(step, findings) {
                    order.refund(step, *amount, *reason, findings);
                }
                if reason.is_outcome() {
                    let (order_no, amount) = (step.order_no, Some(*amount));
                    self.payments.settle(*payment, Outcome::Refund, order_no, amount, findings);
                }
                self.refunds_required += 1;
            }
            Event::SettingPut { at_ms, revision, setting, .. } => {
                self.settings.put(setting, *revision, *at_ms, findings);
            }
            Event::StockTransferred { transfer_id, from, to, units, .. } => {
                self.stock.transfer(*transfer_id, *from, *to, *units, findings);
            }
            Event::Order { step, what } => {
                if matches!(**what, OrderEvent::TeamJoined {}) {
                    self.teams.joined(step.order_no, findings);
                }
                self.later_event(step, what);
            }
            Event::PaymentUnmatched { payment, amount, .. } => {
                let received = self.payments.get(*payment).map_or(OrderNo::default(), |known| known.order_no);
                self.payments.settle(*payment, Outcome::Refund, received, Some(*amount), findings);
                self.unmatched.insert(*payment, RefundState::Required);
                self.refunds_required += 1;
            }
            Event::UnmatchedRefund { payment, what, .. } => self.unmatched_step(*payment, what),
            Event::OperatorActed(act) => self.acts.take(at, act, findings),
            Event::Coupon(coupon) => {
                if let CouponEvent::Issued { step } = **coupon {
                    let is_known = self.settings.has_coupon(step.coupon.terms());
                    findings.check(is_known, Rule::CausalPrefix, || {
                        format!("coupon {} is issued, and its kind is not there yet", step.coupon)
                    });
                    let units = StockUnits { key: StockKey::coupons(step.coupon.terms()), quantity: 1 };
                    self.shift(&[units], Account::Available, Account::Sold);
                }
            }
            Event::LimitImported { member_id, key, used, .. } => {
                let key = self.stock.index_of(*key);
                self.limits.set_elsewhere(*member_id, key, *used);
            }
            Event::Task(event) => self.tasks.event(event, findings),
            Event::Team(event) => {
                self.teams.event(event, findings);
                if let TeamEvent::Opened { team, activity, size, .. } = event {
                    self.stock.open_seats(StockKey::seats(*activity, *team), *size, findings);
                }
            }
        }
    }

    fn later_event(&mut self, step: &OrderStep, what: &OrderEvent) {
        let Self { findings, orders, stock, .. } = self;
        self.refunds_applied += u64::from(matches!(what, OrderEvent::RefundApplied { .. }));
        self.refunds_finished += u64::from(matches!(what, OrderEvent::RefundFinished { .. }));
        if let Some(order) = orders.step(step, findings) {
            let lines = order.lines.clone();
            let ordered = |key: &StockKey| {
                let mut lines = lines.as_slice().iter();
                lines.find(|line| stock.key(line.key) == *key).map_or(0, |line| line.quantity)
            };
            order.live_on(step, what, &ordered, findings);
        }
        self.shift(what.restocked(), Account::Sold, Account::Available);
    }

    fn unmatched_step(&mut self, payment: PaymentId, what: &RefundStep) {
        let Self { findings, unmatched, .. } = self;
        let Some(state) = unmatched.get_mut(&payment) else {
            return findings.add(Rule::AfterSale, || {
                format!("payment {payment} is for an order, and refunded as for none")
            });
        };
        let next = match what {
            RefundStep::Requested => RefundState::Requested,
            RefundStep::Failed { .. } => RefundState::Failed,
            RefundStep::Finished { .. } => RefundState::Finished,
        };
        let fits = *state != RefundState::Finished && *state != next;
        findings.check(fits, Rule::AfterSale, || {
            format!("the refund of payment {payment} is {state} and becomes {next}")
        });
        *state = next;
        self.refunds_finished += u64::from(next == RefundState::Finished);
    }

    fn order_created(&mut self, created: &OrderCreated) {
        let findings = &mut self.findings;
        let terms = created.extra.terms.as_deref();
        check_lines(created.order_no, created.pay_amount, &created.lines, terms, findings);
        let imported = created.lines.iter().any(Line::is_imported);
        if imported {
            check_import(created, findings);
        }
        for line in created.lines.iter() {
            let brings_prices = terms.is_some_and(|terms| terms.price_source.is_some());
            self.catalogue.check_line(line, created.order_type, brings_prices, findings);
            self.settings.check_line(created, line, brings_prices, findings);
            let units = StockUnits { key: line.key, quantity: line.quantity };
            let key = self.stock.shift(units, Account::Available, Account::Reserved, findings);
            let (member, limit) = (created.member_id, line.limit_per_member);
            // An import counts towards the limit, and was accepted elsewhere.
            self.limits.take(member, key, line.quantity, limit, imported, findings);
        }
        self.teams.created(created, findings);
        let Self { stock, orders, .. } = self;
        let lines = LineRecords::from_lines(created.lines.iter().map(|line| LineRecord {
            key: stock.index_of(line.key),
            quantity: line.quantity,
            limit_per_member: line.limit_per_member,
        }));
        orders.create(created, lines, findings);
    }

    /// Money is recorded for orders that exist.
    fn payment_received(&mut self, order_no: OrderNo) {
        self.findings.check(self.orders.contains(order_no), Rule::CausalPrefix, || {
            format!("a payment arrives for order {order_no}, which was not placed before")
        });
    }

    fn shift(&mut self, units: &[StockUnits], from: Account, to: Account) {
        for units in units {
            self.stock.shift(*units, from, to, &mut self.findings);
        }
    }
}

/// Lines that bring their own terms are an import's: all of the order's lines do, and its request is that of importing
/// its external number. Nothing else may sell past the catalogue.
fn check_import(created: &OrderCreated, findings: &mut Findings) {
    let external_no = created.extra.external_no();
    let is_import = created.order_type == OrderType::Normal
        && created.lines.iter().all(Line::is_imported)
        && external_no.is_some_and(|external_no| created.request_id == RequestId::of_import(external_no));
    findings.check(is_import, Rule::Catalogue, || {
        format!("order {} has lines with terms of their own, and is no import", created.order_no)
    });
}

/// R2: at least one line, keys distinct and ascending, quantities of at least one, and the amount is their sum.
fn check_lines(
    order_no: OrderNo,
    pay_amount: Money,
    lines: &[Line],
    terms: Option<&OrderTerms>,
    findings: &mut Findings,
) {
    findings.check(!lines.is_empty(), Rule::AllOrNothing, || format!("order {order_no} has no lines"));
    findings.check(lines.windows(2).all(|pair| pair[0].key < pair[1].key), Rule::AllOrNothing, || {
        format!("the lines of order {order_no} don't have distinct, ascending stock keys")
    });
    findings.check(lines.iter().all(|line| line.quantity >= 1), Rule::AllOrNothing, || {
        format!("order {order_no} has a line of no units")
    });
    let amount = |line: &Line| i128::from(line.price.minor()) * i128::from(line.quantity);
    let goods = lines.iter().map(amount).sum::<i128>();
    let sum = match terms {
        None => goods,
        Some(terms) => {
            check_terms(order_no, lines, terms, findings);
            let reduced: i128 = (0..lines.len()).map(|line| terms.reduction_of(line)).sum();
            goods - reduced + i128::from(terms.freight.minor())
        }
    };
    findings.check(sum == i128::from(pay_amount.minor()), Rule::AllOrNothing, || {
        let sum =
            i64::try_from(sum).map_or_else(|_| sum.to_string(), |sum| Money::from_minor(sum).to_string());
        format!("order {order_no} is to pay {pay_amount}, its lines cost {sum}")
    });
}

/// What is off the lines leaves nothing negative, and coupons take off no more than there is off.
fn check_terms(order_no: OrderNo, lines: &[Line], terms: &OrderTerms, findings: &mut Findings) {
    let amount = |line: &Line| i128::from(line.price.minor()) * i128::from(line.quantity);
    let shares = lines.iter().enumerate().map(|(nth, line)| amount(line) - terms.reduction_of(nth));
    let fits = |len: usize| len == 0 || len == lines.len();
    findings.check(
        shares.min().unwrap_or(0) >= 0
            && !terms.freight.is_negative()
            && fits(terms.discounts.len())
            && fits(terms.adjustments.len()),
        Rule::AllOrNothing,
        || format!("order {order_no} has a line that costs less than nothing"),
    );
    let coupons: i128 = terms.coupons.iter().map(|coupon| i128::from(coupon.amount.minor())).sum();
    let discounts: i128 = terms.discounts.iter().map(|discount| i128::from(discount.minor())).sum();
    findings.check(terms.coupons.is_empty() || coupons == discounts, Rule::AllOrNothing, || {
        format!("the coupons of order {order_no} take off {coupons} minor units, its lines {discounts}")
    });
}

/// R2: what an event moves is what the order took, all of it.
fn check_units(
    stock: &StockLedger,
    order_no: OrderNo,
    lines: &[LineRecord],
    units: &[StockUnits],
    findings: &mut Findings,
) {
    let same = lines.len() == units.len()
        && lines
            .iter()
            .zip(units)
            .all(|(line, units)| stock.key(line.key) == units.key && line.quantity == units.quantity);
    findings.check(same, Rule::AllOrNothing, || {
        format!("order {order_no} moves units other than those of its {} lines", lines.len())
    });
}
