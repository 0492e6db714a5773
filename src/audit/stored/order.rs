//! A stored order, lived through once more: its timeline, event by event, under the audit's own rules.

use crate::audit::later::{RefundRecord, by_key};
use crate::audit::orders::{LineRecords, OrderRecord, Standing};
use crate::audit::report::{Findings, Rule};
use crate::domain::event::{OrderStep, StockUnits};
use crate::domain::ids::{PaymentId, Position};
use crate::domain::order::{
    CloseReason, LineUnits, Order, OrderLater, OrderStatus, PaymentResult, SettledPayment,
};
use crate::domain::refund::RefundState;

/// What an order's record says of its life.
#[derive(Debug)]
pub(super) struct Life {
    /// The order as of the checkpoint.
    pub(super) at_checkpoint: OrderRecord,
    /// The order as it is stored, where that is ahead of the checkpoint.
    pub(super) ahead: Option<OrderRecord>,
    /// Outcomes of payments up to the checkpoint.
    pub(super) outcomes: Vec<(PaymentId, SettledPayment)>,
    /// How often it was brought back, up to the checkpoint.
    pub(super) revived: u64,
    /// How often money had to go back, up to the checkpoint.
    pub(super) refunds: u64,
    /// Refunds that were applied for, and those of both kinds that are finished, up to the checkpoint.
    pub(super) applied_and_finished: [u64; 2],
}

/// Goes through the timeline of an order in the store of a checkpoint at `stored`.
pub(super) fn live(order: &Order, lines: LineRecords, stored: Position, findings: &mut Findings) -> Life {
    let order_no = order.order_no;
    findings.at(order.last_position);
    findings.check(order.created_position <= stored, Rule::Store, || {
        let at = order.created_position;
        format!("order {order_no} was placed at position {at}, behind the checkpoint at position {stored}")
    });
    let first = order.later().and_then(|later| later.prices.first().copied());
    let mut record = OrderRecord::placed(
        order.member_id,
        first.unwrap_or(order.pay_amount),
        lines,
        order.created_at_ms,
        order.auto_close_ms,
    );
    let mut life = Life {
        at_checkpoint: record.clone(),
        ahead: None,
        outcomes: Vec::new(),
        revived: 0,
        refunds: 0,
        applied_and_finished: [0; 2],
    };
    let mut parts = Parts::of(order.later());
    let mut last = order.created_position;
    let mut refunds = order.history.iter().flat_map(|history| &history.refunds);
    let timeline = order.history.as_ref().map_or(&[][..], |history| &history.timeline);
    // Only a timeout can be undone, so whatever was closed and then revived had timed out.
    let last_revival = timeline.iter().rposition(|entry| entry.event == "OrderRevived");
    let mut is_ahead = false;
    for (index, entry) in timeline.iter().enumerate() {
        findings.at(entry.position);
        findings.check(entry.position > last, Rule::Store, || {
            format!("order {order_no} has an event at position {} after one at {last}", entry.position)
        });
        last = entry.position;
        if entry.position > stored && !is_ahead {
            is_ahead = true;
            life.at_checkpoint = record.clone();
            life.at_checkpoint.later_unknown = true;
        }
        let step = OrderStep { order_no, version: record.version.saturating_add(1), at_ms: entry.at_ms };
        record.advance(&step, findings);
        let mut outcome = None;
        match entry.event {
            "PaymentStarted" => record.start_payment(&step, order.deadline_ms, findings),
            "OrderPaid" => {
                record.pay(&step, findings);
                let paid_by = order.history.as_ref().and_then(|history| history.paid_by);
                // What costs nothing is paid without a payment.
                let paid_by = paid_by.filter(|payment| *payment != PaymentId::of_nothing(order_no));
                outcome = paid_by.map(|payment| (payment, order.pay_amount, PaymentResult::Paid));
            }
            "OrderShipped" => record.ship(&step, findings),
            "OrderReceived" => record.receive(&step, findings),
            "OrderClosed" => {
                let undone = last_revival.is_some_and(|revival| revival > index);
                let reason = order.close_reason.filter(|_| !undone).unwrap_or(CloseReason::Timeout);
                if reason == CloseReason::Refunded {
                    record.close_refunded(&step, &[], findings);
                }
                record.close(&step, reason, findings);
            }
            "OrderRevived" => {
                record.revive(&step, findings);
                life.revived += u64::from(!is_ahead);
            }
            "RefundRequired" => {
                if let Some(refund) = refunds.next() {
                    record.refund(&step, refund.amount, refund.reason, findings);
                    let result = PaymentResult::RefundRequired(refund.reason);
                    // What becomes later of an order that was paid is no outcome of its payment.
                    let is_outcome = refund.reason.is_outcome();
                    outcome = is_outcome.then_some((refund.payment, refund.amount, result));
                } else {
                    findings.add(Rule::Store, || format!("order {order_no} has no record of a refund"));
                }
                life.refunds += u64::from(!is_ahead);
            }
            other if !parts.take(order, other, &mut record) => {
                findings.add(Rule::Store, || format!("order {order_no} has {other} in its timeline"));
            }
            other => {
                let counts = [other == "RefundApplied", other == "RefundFinished"];
                for (sum, counts) in life.applied_and_finished.iter_mut().zip(counts) {
                    *sum += u64::from(counts && !is_ahead);
                }
            }
        }
        // The last step of a refund: those before it can't be told from the record.
        for progress in order.later().into_iter().flat_map(|later| &later.progress) {
            if progress.version == step.version {
                parts.settle(order, progress.ordinal, progress.state, &mut record);
            }
        }
        if let Some((payment, amount, result)) = outcome.filter(|_| !is_ahead) {
            let settled = SettledPayment { order_no, amount, result, at_ms: entry.at_ms };
            life.outcomes.push((payment, settled));
        }
    }
    findings.at(order.last_position);
    let refunds_left = refunds.count();
    check_later(order, &record, findings);
    check_end(order, &record, last, refunds_left, findings);
    if is_ahead {
        life.ahead = Some(record);
    } else {
        life.at_checkpoint = record;
    }
    life
}

/// What the record says of itself is what its timeline comes to.
fn check_end(
    order: &Order,
    record: &OrderRecord,
    last: Position,
    refunds_left: usize,
    findings: &mut Findings,
) {
    let order_no = order.order_no;
    let standing = match (order.status, order.close_reason) {
        (OrderStatus::Pending, None) => Some(Standing::Pending),
        (OrderStatus::Paid, None) => Some(Standing::Paid),
        (OrderStatus::Shipped, None) => Some(Standing::Shipped),
        (OrderStatus::Completed, None) => Some(Standing::Completed),
        (OrderStatus::PartiallyShipped, None) => Some(Standing::PartiallyShipped),
        (OrderStatus::Cancelled, Some(reason)) => Some(Standing::Cancelled(reason)),
        _ => None,
    };
    findings.check(standing == Some(record.standing), Rule::Store, || {
        let (status, lived) = (order.status, record.standing.name());
        format!("order {order_no} is stored as {status}, its timeline leaves it {lived}")
    });
    findings.check((order.version, order.last_position) == (record.version, last), Rule::Store, || {
        let (version, position) = (order.version, order.last_position);
        let lived = record.version;
        format!(
            "order {order_no} is stored in version {version} of position {position}, its timeline ends with \
                 version {lived} at position {last}"
        )
    });
    findings.check(order.deadline_ms == record.deadline_ms, Rule::Store, || {
        let (stored, lived) = (order.deadline_ms, record.deadline_ms);
        format!("order {order_no} is stored with deadline {stored} ms, its timeline gives it {lived} ms")
    });
    let paid = order.history.as_ref().is_some_and(|history| history.paid_by.is_some());
    let agree =
        order.payment_started == record.payment_started && paid == record.ever_paid && refunds_left == 0;
    findings.check(agree, Rule::Store, || {
        format!("what order {order_no} says of its payments and refunds is not what its timeline says")
    });
}

/// The parts of a later life, taken one after the other as the timeline names them.
struct Parts<'o> {
    later: Option<&'o OrderLater>,
    attempts: usize,
    prices: usize,
    packages: usize,
    applied: usize,
}

impl<'o> Parts<'o> {
    fn of(later: Option<&'o OrderLater>) -> Self {
        Self { later, attempts: 0, prices: 0, packages: 0, applied: 0 }
    }

    /// Takes what an event of this name brought. False where the record has nothing for it.
    fn take(&mut self, order: &Order, event: &str, record: &mut OrderRecord) -> bool {
        if event == "UnitsReturned" {
            // All of the order's, and only when its team has failed.
            return order.close_reason == Some(CloseReason::TeamFailed);
        }
        let Some(later) = self.later else { return event == "AddressChanged" };
        match event {
            "PaymentAttempted" => {
                let known = later.attempts.get(self.attempts).map(|attempt| attempt.is_void);
                self.attempts += 1;
                record.later_mut().attempts.extend(known);
                known.is_some()
            }
            "PriceChanged" => {
                if self.prices >= later.prices.len() {
                    return false;
                }
                // Each one kept is what it was before the change; the order has what it is after the last.
                self.prices += 1;
                record.pay_amount = later.prices.get(self.prices).copied().unwrap_or(order.pay_amount);
                true
            }
            "PackageShipped" => {
                let Some(package) = later.packages.get(self.packages) else { return false };
                self.packages += 1;
                for (key, quantity) in by_key(&units_of(order, &package.lines)) {
                    *record.later_mut().shipped.entry(key).or_default() += u64::from(quantity);
                }
                record.standing = Standing::PartiallyShipped;
                true
            }
            "RefundApplied" => {
                let Some(refund) = later.after_sale.get(self.applied) else { return false };
                self.applied += 1;
                let lines: Vec<LineUnits> = refund
                    .lines
                    .iter()
                    .map(|share| LineUnits { line: share.line, quantity: share.quantity })
                    .collect();
                let applied = RefundRecord {
                    state: RefundState::Applied,
                    amount: refund.amount,
                    is_obligation: false,
                    units: by_key(&units_of(order, &lines)),
                    restock: Default::default(),
                };
                record.later_mut().refunds.insert(refund.ordinal, applied);
                true
            }
            "TeamJoined" => {
                record.later_mut().team_formed = true;
                later.team_formed
            }
            "TradeCloseRequired" => later.attempts.iter().any(|attempt| attempt.is_void),
            "OrderRemarked" => later.note.is_some(),
            "RefundClosed" | "RefundApproved" | "RefundRequested" | "RefundFailed" | "RefundFinished" => {
                !later.progress.is_empty()
            }
            "AddressChanged" => true,
            _ => false,
        }
    }

    /// Where a refund has come to.
    fn settle(&self, order: &Order, ordinal: u16, state: RefundState, record: &mut OrderRecord) {
        let after_sale = self.later.map_or(&[][..], |later| &later.after_sale);
        let agreed = after_sale.iter().find(|refund| refund.ordinal == ordinal);
        let restock = agreed.map(|refund| by_key(&units_of(order, &refund.restock))).unwrap_or_default();
        if let Some(refund) = record.later_mut().refunds.get_mut(&ordinal) {
            refund.state = state;
            refund.restock = restock;
        }
    }
}

fn units_of(order: &Order, units: &[LineUnits]) -> Vec<StockUnits> {
    let line = |unit: &LineUnits| order.lines.get(usize::from(unit.line));
    let units = units.iter().filter_map(|unit| Some((line(unit)?, unit.quantity)));
    units.map(|(line, quantity)| StockUnits { key: line.key, quantity }).collect()
}

/// Refunds within what was paid, units within what was ordered, by what the record says of itself.
fn check_later(order: &Order, record: &OrderRecord, findings: &mut Findings) {
    let Some(later) = order.later() else { return };
    let order_no = order.order_no;
    let state = |ordinal: u16| later.progress.iter().find(|progress| progress.ordinal == ordinal);
    let counted = || {
        let counts = |ordinal| state(ordinal).is_some_and(|progress| progress.state.counts());
        later.after_sale.iter().filter(move |refund| counts(refund.ordinal))
    };
    let sum: i128 = counted().map(|refund| i128::from(refund.amount.minor())).sum();
    findings.check(sum <= i128::from(order.pay_amount.minor()), Rule::AfterSale, || {
        format!("the refunds of order {order_no} come to {sum}, paid was {}", order.pay_amount)
    });
    for (place, line) in (0_u8..).zip(order.lines.iter()) {
        let units = |units: &[LineUnits]| -> u64 {
            units.iter().filter(|unit| unit.line == place).map(|unit| u64::from(unit.quantity)).sum()
        };
        let sent: u64 = later.packages.iter().map(|package| units(&package.lines)).sum();
        let restocked: u64 = counted().map(|refund| units(&refund.restock)).sum();
        let shares = counted().flat_map(|refund| &refund.lines).filter(|share| share.line == place);
        let refunded: u64 = shares.map(|share| u64::from(share.quantity)).sum();
        let most = sent.max(restocked).max(refunded);
        findings.check(most <= u64::from(line.quantity), Rule::AfterSale, || {
            let (key, all) = (line.key, line.quantity);
            format!("order {order_no} sent {sent}, refunded {refunded}, restocked {restocked} of {all} units of {key}")
        });
    }
    let known = record.later.as_ref().map_or(0, |lived| lived.refunds.len());
    findings.check(known == order.refunds_len(), Rule::Store, || {
        let stored = order.refunds_len();
        format!("order {order_no} is stored with {stored} refunds, its timeline has {known}")
    });
}
