//! What a stretch of the journal says, counted naively. The simulation keeps two: one of everything appended, which
//! is what truly happened so far, and one of everything committed, which is what callers may have been told.

use std::collections::{BTreeMap, BTreeSet};

use super::log::Entry;
use crate::actors::order::PaymentResult;
use crate::domain::event::{Event, OrderCreated, OrderStep, StockUnits};
use crate::domain::ids::{AdjustmentId, MemberId, OrderNo, PaymentId, RequestId, StockKey};
use crate::domain::money::Money;
use crate::domain::order::{CloseReason, OrderEvent, OrderStatus};
use crate::domain::refund::{RefundNo, RefundState, RefundStep};
use crate::domain::request::StockChange;

/// One order as its events tell it.
#[derive(Clone, Debug)]
pub(super) struct OrderFacts {
    /// Its first event.
    pub(super) created: OrderCreated,
    /// Every status it has had.
    pub(super) statuses: Vec<OrderStatus>,
    /// Why it was closed, each time.
    pub(super) closed: Vec<CloseReason>,
    /// Number of its events.
    pub(super) version: u32,
    /// Its deadline, in ms since the Unix epoch.
    pub(super) deadline_ms: u64,
    /// Whether a payment was started.
    pub(super) payment_started: bool,
    /// The names of the events of its later life.
    pub(super) names: BTreeSet<&'static str>,
    /// Everything that was to be paid at some time.
    pub(super) pay_amounts: Vec<Money>,
    /// Where its refunds stand.
    pub(super) refunds: BTreeMap<u16, RefundState>,
}

/// One payment as its events tell it.
#[derive(Clone, Copy, Debug)]
pub(super) struct PaymentFacts {
    /// For which order.
    pub(super) order_no: OrderNo,
    /// How much.
    pub(super) amount: Money,
    /// What became of it.
    pub(super) result: Option<PaymentResult>,
}

/// One stock key as events tell it, in units. Signed, so that a broken journal shows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyFacts {
    /// All units.
    pub(super) total: i64,
    /// In unpaid orders.
    pub(super) reserved: i64,
    /// In paid orders.
    pub(super) sold: i64,
    /// Ever reserved, released, sold, taken back: what stock actors may have been told (R5).
    pub(super) ever: [u64; 4],
}

impl KeyFacts {
    /// Units in no order: available, held, or on their way back.
    pub(super) fn open(&self) -> i64 {
        self.total - self.reserved - self.sold
    }
}

/// What the journal says.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) orders: BTreeMap<OrderNo, OrderFacts>,
    pub(super) requests: BTreeMap<(MemberId, RequestId), OrderNo>,
    pub(super) external: BTreeMap<Box<str>, OrderNo>,
    pub(super) payments: BTreeMap<PaymentId, PaymentFacts>,
    /// Refunds of payments for no order.
    pub(super) unmatched: BTreeMap<PaymentId, RefundState>,
    pub(super) adjustments: BTreeMap<(StockKey, AdjustmentId), StockChange>,
    pub(super) stock: BTreeMap<StockKey, KeyFacts>,
    /// Units of limited lines in orders that are not cancelled.
    pub(super) used: BTreeMap<(MemberId, StockKey), i64>,
    /// Sum of the hashes of all catalogue revisions.
    pub(super) catalogue_hash: u64,
    /// Exclusive end of the reserved order numbers.
    pub(super) numbers_until_ms: u64,
    /// Time of the latest event.
    pub(super) latest_at_ms: u64,
}

impl Facts {
    /// Units of a key that are in no order.
    pub(super) fn open(&self, key: &StockKey) -> i64 {
        self.stock.get(key).map_or(0, KeyFacts::open)
    }

    /// Units of limited lines that a member has.
    pub(super) fn used(&self, member: MemberId, key: StockKey) -> i64 {
        self.used.get(&(member, key)).copied().unwrap_or(0)
    }

    /// Refunds that somebody has to do something about.
    pub(super) fn unfinished_refunds(&self) -> BTreeSet<(RefundNo, RefundState)> {
        let of_orders = self.orders.iter().flat_map(|(order_no, order)| {
            let order_no = *order_no;
            order
                .refunds
                .iter()
                .map(move |(ordinal, state)| (RefundNo::Order { order_no, ordinal: *ordinal }, *state))
        });
        let unmatched = self.unmatched.iter().map(|(payment, state)| (RefundNo::Payment(*payment), *state));
        of_orders.chain(unmatched).filter(|(_, state)| !state.is_over()).collect()
    }

    /// Takes one decision.
    pub(super) fn take(&mut self, entry: &Entry) {
        // Units of an overdue order that is paid before it was closed never leave it: no stock actor hears of a
        // release or a reservation.
        let kept =
            matches!(entry.events.as_slice(), [Event::OrderClosed { .. }, Event::OrderRevived { .. }, ..]);
        for event in &entry.events {
            self.latest_at_ms = self.latest_at_ms.max(event.at_ms());
            self.event(event, kept);
        }
    }

    fn event(&mut self, event: &Event, kept: bool) {
        let ever = u64::from(!kept);
        match event {
            Event::NumbersReserved { until_ms, .. } => {
                self.numbers_until_ms = self.numbers_until_ms.max(*until_ms);
            }
            Event::SkuPut { revision, sku, .. } => {
                self.catalogue_hash = self.catalogue_hash.wrapping_add(sku.record_hash(*revision));
            }
            Event::SettingPut { .. }
            | Event::StockTransferred { .. }
            | Event::Coupon(_)
            | Event::OperatorActed(_) => {}
            Event::StockAdjusted { key, adjustment_id, change, delta, .. } => {
                self.stock.entry(*key).or_default().total += delta;
                self.adjustments.insert((*key, *adjustment_id), *change);
            }
            Event::OrderCreated(created) => {
                let request = (created.member_id, created.request_id);
                let other = self.requests.insert(request, created.order_no);
                assert!(
                    other.is_none(),
                    "R8: {request:?} is placed twice: {other:?} and {}",
                    created.order_no
                );
                if let Some(number) = created.extra.external_no().map(Box::from) {
                    let other = self.external.insert(number, created.order_no);
                    assert!(other.is_none(), "R8: an external number belongs to one order");
                }
                let order = OrderFacts {
                    created: OrderCreated::clone(created),
                    statuses: vec![OrderStatus::Pending],
                    closed: Vec::new(),
                    version: 1,
                    deadline_ms: created.at_ms + u64::from(created.auto_close_ms),
                    payment_started: false,
                    names: BTreeSet::new(),
                    pay_amounts: vec![created.pay_amount],
                    refunds: BTreeMap::new(),
                };
                let other = self.orders.insert(created.order_no, order);
                assert!(other.is_none(), "R8: an order number is given once");
                self.units(&created.lines.units(), [1, 0], [1, 0, 0, 0]);
                self.count(created.order_no, 1);
            }
            Event::PaymentStarted { step, deadline_ms } => {
                let order = self.step(step);
                order.payment_started = true;
                order.deadline_ms = *deadline_ms;
            }
            Event::PaymentReceived { payment, order_no, amount, .. } => {
                let facts = PaymentFacts { order_no: *order_no, amount: *amount, result: None };
                let other = self.payments.insert(*payment, facts);
                assert!(other.is_none(), "R8: payment {payment} is received once");
            }
            Event::OrderPaid { step, payment, units } => {
                self.step(step).statuses.push(OrderStatus::Paid);
                if *payment != PaymentId::of_nothing(step.order_no) {
                    self.settle(*payment, PaymentResult::Paid);
                }
                self.units(units, [-1, 1], [0, 0, 1, 0]);
            }
            Event::OrderShipped { step, .. } => self.step(step).statuses.push(OrderStatus::Shipped),
            Event::OrderReceived { step } => self.step(step).statuses.push(OrderStatus::Completed),
            Event::OrderClosed { step, reason, units } => {
                let order = self.step(step);
                order.statuses.push(OrderStatus::Cancelled);
                order.closed.push(*reason);
                self.units(units, [-1, 0], [0, ever, 0, 0]);
                self.count(step.order_no, -1);
            }
            Event::OrderRevived { step, units } => {
                self.step(step).statuses.push(OrderStatus::Pending);
                self.units(units, [1, 0], [ever, 0, 0, 0]);
                self.count(step.order_no, 1);
            }
            Event::RefundRequired { step, payment, reason, .. } => {
                let refunds = &mut self.step(step).refunds;
                refunds.insert(refunds.len() as u16 + 1, RefundState::Required);
                self.settle(*payment, PaymentResult::RefundRequired(*reason));
            }
            Event::Order { step, what } => self.later(step, what),
            Event::PaymentUnmatched { payment, reason, .. } => {
                self.settle(*payment, PaymentResult::RefundRequired(*reason));
                self.unmatched.insert(*payment, RefundState::Required);
            }
            Event::UnmatchedRefund { payment, what, .. } => {
                let state = self.unmatched.get_mut(payment).expect("R5: it stands behind its payment");
                *state = match what {
                    RefundStep::Requested => RefundState::Requested,
                    RefundStep::Failed { .. } => RefundState::Failed,
                    RefundStep::Finished { .. } => RefundState::Finished,
                };
            }
            Event::LimitImported { .. } => unreachable!("nothing is imported into the simulated shop"),
            Event::Task(_) | Event::Team(_) => {
                unreachable!("the simulated shop has no delay queue and no campaigns")
            }
        }
    }

    fn later(&mut self, step: &OrderStep, what: &OrderEvent) {
        self.units(what.restocked(), [0, -1], [0, 0, 0, 1]);
        let order = self.step(step);
        order.names.insert(what.name());
        let mut becomes = |refund: &u16, state| {
            order.refunds.insert(*refund, state);
        };
        match what {
            OrderEvent::RefundApplied { refund, .. } => becomes(refund, RefundState::Applied),
            OrderEvent::RefundClosed { refund, .. } => becomes(refund, RefundState::Rejected),
            OrderEvent::RefundApproved { refund, .. } => becomes(refund, RefundState::Required),
            OrderEvent::RefundRequested { refund } => becomes(refund, RefundState::Requested),
            OrderEvent::RefundFailed { refund, .. } => becomes(refund, RefundState::Failed),
            OrderEvent::RefundFinished { refund, .. } => becomes(refund, RefundState::Finished),
            OrderEvent::PackageShipped { .. } => order.statuses.push(OrderStatus::PartiallyShipped),
            OrderEvent::PriceChanged { pay_amount, .. } => order.pay_amounts.push(*pay_amount),
            OrderEvent::PaymentAttempted { .. }
            | OrderEvent::AddressChanged { .. }
            | OrderEvent::OrderRemarked { .. }
            | OrderEvent::TradeCloseRequired { .. }
            | OrderEvent::TeamJoined {}
            | OrderEvent::UnitsReturned { .. } => {}
        }
    }

    fn step(&mut self, step: &OrderStep) -> &mut OrderFacts {
        let order =
            self.orders.get_mut(&step.order_no).expect("R5: an order's creation stands before its steps");
        order.version += 1;
        order
    }

    fn settle(&mut self, payment: PaymentId, result: PaymentResult) {
        let facts = self.payments.get_mut(&payment).expect("R5: a payment is received before its outcome");
        let other = facts.result.replace(result);
        assert!(other.is_none(), "R8: payment {payment} has a second outcome: {result:?} after {other:?}");
    }

    fn units(&mut self, units: &[StockUnits], [reserved, sold]: [i64; 2], ever: [u64; 4]) {
        for StockUnits { key, quantity } in units {
            let facts = self.stock.entry(*key).or_default();
            facts.reserved += reserved * i64::from(*quantity);
            facts.sold += sold * i64::from(*quantity);
            for (sum, times) in facts.ever.iter_mut().zip(ever) {
                *sum += times * u64::from(*quantity);
            }
            assert!(
                facts.open() >= 0 && facts.reserved >= 0 && facts.sold >= 0,
                "R1: {key} is oversold: {facts:?}"
            );
        }
    }

    fn count(&mut self, order_no: OrderNo, sign: i64) {
        let created = &self.orders[&order_no].created;
        for line in created.lines.iter().filter(|line| line.limit_per_member > 0) {
            *self.used.entry((created.member_id, line.key)).or_default() += sign * i64::from(line.quantity);
        }
    }
}
