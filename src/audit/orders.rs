//! The audit's own memory of orders: a small record for each, moved along by the events and checked at every step.

use hashbrown::HashMap;

use super::later::Later;
use super::report::{Findings, OrderTally, Rule};
use super::stock::{Account, KeyIndex};
use crate::domain::event::{OrderCreated, OrderStep};
use crate::domain::ids::{MemberId, OrderNo, RequestId, Slot};
use crate::domain::money::Money;
use crate::domain::order::{CloseReason, RefundReason};

/// Where an order stands, by the audit's own book-keeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Pending,
    Paid,
    Shipped,
    Completed,
    Cancelled(CloseReason),
    PartiallyShipped,
}

impl Standing {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Completed => "completed",
            Self::Cancelled(CloseReason::Timeout) => "cancelled (timeout)",
            Self::Cancelled(CloseReason::Member) => "cancelled (member)",
            Self::Cancelled(CloseReason::Operator) => "cancelled (operator)",
            Self::Cancelled(CloseReason::Refunded) => "cancelled (refunded)",
            Self::Cancelled(CloseReason::TeamFailed) => "cancelled (team failed)",
            Self::PartiallyShipped => "partially shipped",
        }
    }
}

/// What the audit remembers of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LineRecord {
    pub(super) key: KeyIndex,
    pub(super) quantity: u32,
    pub(super) limit_per_member: u32,
}

/// The lines of one order; most have one, which then takes no allocation.
#[derive(Clone, Debug)]
pub(super) enum LineRecords {
    One(LineRecord),
    Many(Box<[LineRecord]>),
}

impl LineRecords {
    pub(super) fn from_lines(mut lines: impl ExactSizeIterator<Item = LineRecord>) -> Self {
        if lines.len() == 1
            && let Some(line) = lines.next()
        {
            return Self::One(line);
        }
        Self::Many(lines.collect())
    }

    pub(super) fn as_slice(&self) -> &[LineRecord] {
        match self {
            Self::One(line) => std::slice::from_ref(line),
            Self::Many(lines) => lines,
        }
    }
}

/// What the audit remembers of an order.
#[derive(Clone, Debug)]
pub(super) struct OrderRecord {
    pub(super) member: MemberId,
    pub(super) pay_amount: Money,
    pub(super) lines: LineRecords,
    pub(super) deadline_ms: u64,
    pub(super) last_at_ms: u64,
    pub(super) version: u32,
    pub(super) standing: Standing,
    pub(super) payment_started: bool,
    /// It was brought back, so its deadline no longer binds.
    revived: bool,
    pub(super) ever_paid: bool,
    /// What only some orders have.
    pub(super) later: Option<Box<Later>>,
    /// It comes from a store that knows it as it was later: what happened in between can't be told.
    pub(super) later_unknown: bool,
}

/// All orders that the journal has named so far.
#[derive(Debug, Default)]
pub(super) struct OrderBook {
    orders: HashMap<OrderNo, OrderRecord>,
    requests: HashMap<(MemberId, RequestId), OrderNo>,
    revived: u64,
    /// Order numbers with a time below this were reserved, in ms since the numbers' epoch.
    numbers_until_ms: u64,
}

impl OrderBook {
    /// A range of order numbers may be given out from now on.
    pub(super) fn reserve_numbers(&mut self, until_ms: u64) {
        self.numbers_until_ms = self.numbers_until_ms.max(until_ms);
    }

    /// An order was placed. The lines' units are the caller's business.
    pub(super) fn create(&mut self, created: &OrderCreated, lines: LineRecords, findings: &mut Findings) {
        let OrderCreated { order_no, member_id, request_id, at_ms, pay_amount, .. } = *created;
        let record = OrderRecord::placed(member_id, pay_amount, lines, at_ms, created.auto_close_ms);
        self.enter(order_no, request_id, record, findings);
    }

    /// Enters an order with where it stands: its number is new, of its member's slot and from a reserved range, and its
    /// request places no other one.
    pub(super) fn enter(
        &mut self,
        order_no: OrderNo,
        request_id: RequestId,
        record: OrderRecord,
        findings: &mut Findings,
    ) {
        let member_id = record.member;
        findings.check(order_no.slot() == Slot::of_member(member_id), Rule::OrderNumbers, || {
            format!("order {order_no} is not in the slot of its member {member_id}")
        });
        findings.check(order_no.time_ms() < self.numbers_until_ms, Rule::OrderNumbers, || {
            format!("order number {order_no} is not from a range reserved before it")
        });
        let first = self.requests.insert((member_id, request_id), order_no);
        findings.check(first.is_none(), Rule::Once, || {
            format!("request {request_id} of member {member_id} places a second order, {order_no}")
        });
        if self.orders.insert(order_no, record).is_some() {
            findings.add(Rule::OrderNumbers, || format!("order number {order_no} is given out twice"));
        }
    }

    /// The order with a number.
    pub(super) fn get(&self, order_no: OrderNo) -> Option<&OrderRecord> {
        self.orders.get(&order_no)
    }

    /// All orders, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (OrderNo, &OrderRecord)> {
        self.orders.iter().map(|(order_no, record)| (*order_no, record))
    }

    /// Number of orders.
    pub(super) fn len(&self) -> usize {
        self.orders.len()
    }

    /// The order that a request has placed.
    pub(super) fn placed_by(&self, member: MemberId, request: RequestId) -> Option<OrderNo> {
        self.requests.get(&(member, request)).copied()
    }

    /// All requests with their orders, in no order.
    pub(super) fn requests(&self) -> impl Iterator<Item = (MemberId, RequestId, OrderNo)> {
        self.requests.iter().map(|((member, request), order_no)| (*member, *request, *order_no))
    }

    /// Exclusive end of the reserved order numbers, in ms since the numbers' epoch.
    pub(super) fn numbers_until_ms(&self) -> u64 {
        self.numbers_until_ms
    }

    /// Whether the journal has placed this order.
    pub(super) fn contains(&self, order_no: OrderNo) -> bool {
        self.orders.contains_key(&order_no)
    }

    /// Takes an order's next step: it exists, its version is the next one, its time doesn't run backwards.
    pub(super) fn step(&mut self, step: &OrderStep, findings: &mut Findings) -> Option<&mut OrderRecord> {
        let order_no = step.order_no;
        let Some(order) = self.orders.get_mut(&order_no) else {
            findings.add(Rule::CausalPrefix, || format!("order {order_no} was not placed before this"));
            return None;
        };
        order.advance(step, findings);
        Some(order)
    }

    /// Counts orders that a late payment brought back.
    pub(super) fn count_revived(&mut self, orders: u64) {
        self.revived += orders;
    }

    /// Number of times that orders were brought back.
    pub(super) fn revived(&self) -> u64 {
        self.revived
    }

    /// Orders by where they stand.
    pub(super) fn tally(&self) -> OrderTally {
        let mut tally = OrderTally { total: self.orders.len() as u64, ..OrderTally::default() };
        for order in self.orders.values() {
            *match order.standing {
                Standing::Pending => &mut tally.pending,
                Standing::Paid => &mut tally.paid,
                Standing::Shipped => &mut tally.shipped,
                Standing::Completed => &mut tally.completed,
                Standing::Cancelled(CloseReason::Timeout) => &mut tally.cancelled_timeout,
                Standing::Cancelled(CloseReason::Member) => &mut tally.cancelled_member,
                Standing::Cancelled(CloseReason::Operator) => &mut tally.cancelled_operator,
                Standing::Cancelled(CloseReason::Refunded) => &mut tally.cancelled_refunded,
                Standing::Cancelled(CloseReason::TeamFailed) => &mut tally.cancelled_team_failed,
                Standing::PartiallyShipped => &mut tally.partially_shipped,
            } += 1;
        }
        tally
    }
}

impl OrderRecord {
    /// An order that was just placed.
    pub(super) fn placed(
        member: MemberId,
        pay_amount: Money,
        lines: LineRecords,
        at_ms: u64,
        auto_close_ms: u32,
    ) -> Self {
        Self {
            member,
            pay_amount,
            lines,
            deadline_ms: at_ms.saturating_add(u64::from(auto_close_ms)),
            last_at_ms: at_ms,
            version: 1,
            standing: Standing::Pending,
            payment_started: false,
            revived: false,
            ever_paid: false,
            later: None,
            later_unknown: false,
        }
    }

    /// Takes the next step's version and time: the version is the next one, the time doesn't run backwards.
    pub(super) fn advance(&mut self, step: &OrderStep, findings: &mut Findings) {
        let order_no = step.order_no;
        let expected = self.version.saturating_add(1);
        findings.check(step.version == expected, Rule::Versions, || {
            format!("order {order_no} gets version {}, expected {expected}", step.version)
        });
        findings.check(step.at_ms >= self.last_at_ms, Rule::Times, || {
            format!("order {order_no} goes back in time, from {} to {} ms", self.last_at_ms, step.at_ms)
        });
        // Go on from what the journal says, so that one gap is one violation.
        self.version = step.version;
        self.last_at_ms = self.last_at_ms.max(step.at_ms);
    }

    /// Where it stands.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Where its units are.
    pub(super) fn account(&self) -> Account {
        match self.standing {
            Standing::Pending => Account::Reserved,
            Standing::Paid
            | Standing::PartiallyShipped
            | Standing::Shipped
            | Standing::Completed
            // What went back on sale of these is counted apart.
            | Standing::Cancelled(CloseReason::Refunded) => Account::Sold,
            Standing::Cancelled(_) => Account::Available,
        }
    }

    /// Whether another record says the same, lines apart.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        let part = |record: &Self| {
            let Self { member, pay_amount, deadline_ms, last_at_ms, version, standing, .. } = *record;
            let flags = (record.payment_started, record.revived, record.ever_paid);
            (member, pay_amount, deadline_ms, last_at_ms, version, standing, flags)
        };
        // One with nothing in it is as good as none.
        let later = |record: &Self| record.later.as_deref().cloned().unwrap_or_default();
        let later_agrees = self.later_unknown || other.later_unknown || later(self) == later(other);
        part(self) == part(other) && later_agrees
    }

    /// The member went to pay: once, in time, and the deadline moves onwards (R9).
    pub(super) fn start_payment(&mut self, step: &OrderStep, deadline_ms: u64, findings: &mut Findings) {
        let order_no = step.order_no;
        self.expect(self.standing == Standing::Pending, step, "starts a payment", findings);
        findings.check(!self.payment_started, Rule::Deadline, || {
            format!("order {order_no} extends its deadline a second time")
        });
        findings.check(step.at_ms < self.deadline_ms, Rule::Deadline, || {
            format!(
                "order {order_no} starts a payment at {} ms, deadline {} ms",
                step.at_ms, self.deadline_ms
            )
        });
        findings.check(deadline_ms >= self.deadline_ms, Rule::Deadline, || {
            format!("order {order_no} moves its deadline back, from {} to {deadline_ms} ms", self.deadline_ms)
        });
        self.payment_started = true;
        self.deadline_ms = deadline_ms;
    }

    /// The order is paid: once (R10), and before its deadline unless a late payment brought it back (R9).
    pub(super) fn pay(&mut self, step: &OrderStep, findings: &mut Findings) {
        let order_no = step.order_no;
        self.expect(self.standing == Standing::Pending, step, "is paid", findings);
        findings.check(!self.ever_paid, Rule::LateMoney, || format!("order {order_no} is paid twice"));
        findings.check(self.revived || step.at_ms < self.deadline_ms, Rule::Deadline, || {
            format!("order {order_no} is paid at {} ms, deadline {} ms", step.at_ms, self.deadline_ms)
        });
        self.standing = Standing::Paid;
        self.ever_paid = true;
    }

    /// The order is cancelled; if by its timer, not before its deadline (R9).
    pub(super) fn close(&mut self, step: &OrderStep, reason: CloseReason, findings: &mut Findings) {
        let order_no = step.order_no;
        if reason == CloseReason::Refunded {
            self.standing = Standing::Cancelled(reason);
            return;
        }
        let fits = self.standing == Standing::Pending
            || (reason == CloseReason::TeamFailed && self.standing == Standing::Paid);
        self.expect(fits, step, "is closed", findings);
        let early = reason == CloseReason::Timeout && step.at_ms < self.deadline_ms;
        findings.check(!early, Rule::Deadline, || {
            format!("order {order_no} times out at {} ms, deadline {} ms", step.at_ms, self.deadline_ms)
        });
        self.standing = Standing::Cancelled(reason);
    }

    /// A late payment brings the order back, unless its member or the shop had cancelled it (R10).
    pub(super) fn revive(&mut self, step: &OrderStep, findings: &mut Findings) {
        match self.standing {
            Standing::Cancelled(CloseReason::Timeout) => {}
            Standing::Cancelled(reason) => findings.add(Rule::LateMoney, || {
                format!("order {} is revived, though cancelled by {}", step.order_no, reason.name())
            }),
            _ => self.expect(false, step, "is revived", findings),
        }
        self.standing = Standing::Pending;
        self.revived = true;
    }

    /// Money goes back, for the reason that the order's standing gives (R10).
    pub(super) fn refund(
        &mut self,
        step: &OrderStep,
        amount: Money,
        reason: RefundReason,
        findings: &mut Findings,
    ) {
        let fits = match reason {
            RefundReason::OrderCancelled => {
                matches!(self.standing, Standing::Cancelled(CloseReason::Member | CloseReason::Operator))
            }
            RefundReason::SoldOut | RefundReason::LimitExceeded | RefundReason::CouponGone => {
                self.standing == Standing::Cancelled(CloseReason::Timeout)
            }
            RefundReason::AlreadyPaid => self.ever_paid,
            RefundReason::WrongAmount => {
                let unpaid =
                    matches!(self.standing, Standing::Pending | Standing::Cancelled(CloseReason::Timeout));
                unpaid && amount != self.pay_amount
            }
            RefundReason::TeamFailed => {
                matches!(self.standing, Standing::Cancelled(CloseReason::TeamFailed | CloseReason::Timeout))
            }
            RefundReason::TeamDissolved => self.standing == Standing::Paid,
            // That is for payments of no order.
            RefundReason::UnknownOrder => false,
        };
        let standing = self.standing;
        findings.check(fits, Rule::LateMoney, || {
            format!("order {} is {} and refunds as {}", step.order_no, standing.name(), reason.name())
        });
        self.later_mut().owe(amount);
    }

    /// The parcel left.
    pub(super) fn ship(&mut self, step: &OrderStep, findings: &mut Findings) {
        let fits = matches!(self.standing, Standing::Paid | Standing::PartiallyShipped);
        self.expect(fits, step, "is shipped", findings);
        self.check_no_refund_open(step, "is shipped", findings);
        self.standing = Standing::Shipped;
    }

    /// The buyer has it.
    pub(super) fn receive(&mut self, step: &OrderStep, findings: &mut Findings) {
        self.expect(self.standing == Standing::Shipped, step, "is received", findings);
        self.standing = Standing::Completed;
    }

    pub(super) fn expect(&self, holds: bool, step: &OrderStep, what: &str, findings: &mut Findings) {
        let standing = self.standing;
        findings.check(holds, Rule::Transitions, || {
            format!("order {} {what} while it is {}", step.order_no, standing.name())
        });
    }
}
