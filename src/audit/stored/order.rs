//! A stored order, lived through once more: its timeline, event by event, under the audit's own rules.

use crate::audit::orders::{LineRecords, OrderRecord, Standing};
use crate::audit::report::{Findings, Rule};
use crate::domain::event::OrderStep;
use crate::domain::ids::{PaymentId, Position};
use crate::domain::order::{CloseReason, Order, OrderStatus, PaymentResult, SettledPayment};

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
    /// How often money went back, up to the checkpoint.
    pub(super) refunds: u64,
}

/// Goes through the timeline of an order in the store of a checkpoint at `stored`.
pub(super) fn live(order: &Order, lines: LineRecords, stored: Position, findings: &mut Findings) -> Life {
    let order_no = order.order_no;
    findings.at(order.last_position);
    findings.check(order.created_position <= stored, Rule::Store, || {
        let at = order.created_position;
        format!("order {order_no} was placed at position {at}, behind the checkpoint at position {stored}")
    });
    let mut record = OrderRecord::placed(
        order.member_id,
        order.pay_amount,
        lines,
        order.created_at_ms,
        order.auto_close_ms,
    );
    let mut life =
        Life { at_checkpoint: record.clone(), ahead: None, outcomes: Vec::new(), revived: 0, refunds: 0 };
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
        }
        let step = OrderStep { order_no, version: record.version.saturating_add(1), at_ms: entry.at_ms };
        record.advance(&step, findings);
        let mut outcome = None;
        match entry.event {
            "PaymentStarted" => record.start_payment(&step, order.deadline_ms, findings),
            "OrderPaid" => {
                record.pay(&step, findings);
                let paid_by = order.history.as_ref().and_then(|history| history.paid_by);
                outcome = paid_by.map(|payment| (payment, order.pay_amount, PaymentResult::Paid));
            }
            "OrderShipped" => record.ship(&step, findings),
            "OrderReceived" => record.receive(&step, findings),
            "OrderClosed" => {
                let undone = last_revival.is_some_and(|revival| revival > index);
                let reason = order.close_reason.filter(|_| !undone).unwrap_or(CloseReason::Timeout);
                record.close(&step, reason, findings);
            }
            "OrderRevived" => {
                record.revive(&step, findings);
                life.revived += u64::from(!is_ahead);
            }
            "RefundRequired" => {
                if let Some(refund) = refunds.next() {
                    record.refund(&step, refund.reason, findings);
                    let result = PaymentResult::RefundRequired(refund.reason);
                    outcome = Some((refund.payment, refund.amount, result));
                } else {
                    findings.add(Rule::Store, || format!("order {order_no} has no record of a refund"));
                }
                life.refunds += u64::from(!is_ahead);
            }
            other => findings.add(Rule::Store, || format!("order {order_no} has {other} in its timeline")),
        }
        if let Some((payment, amount, result)) = outcome.filter(|_| !is_ahead) {
            let settled = SettledPayment { order_no, amount, result, at_ms: entry.at_ms };
            life.outcomes.push((payment, settled));
        }
    }
    findings.at(order.last_position);
    let refunds_left = refunds.count();
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
