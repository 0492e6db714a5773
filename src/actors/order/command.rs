//! Commands to a placed order: start a payment, cancel, ship, confirm, and those of its later life.

use super::actor::{OrderActor, OrderEffects};
use super::collect::Purpose;
use super::records::NONE;
use super::{Action, CommandReply, CommandRequest, OrderItem, RefundOf};
use crate::actors::reply::{Answer, PaymentAttempt, Receipt, RefundReceipt};
use crate::domain::order::{Decision, Order, OrderCommand};
use crate::domain::reject::Reject;

impl OrderActor {
    /// Does one command, or lets it wait while the order's units are being reserved again.
    pub(super) fn command(&mut self, request: Box<CommandRequest>, now_ms: u64, effects: &mut OrderEffects) {
        let index = match self.find_for(request.order_no, request.caller) {
            Ok(index) => index,
            Err(reject) => {
                let order_no = request.order_no;
                if self.find(order_no).is_some() {
                    return effects.answers.push(request.reply.refuse(reject));
                }
                let waits = self.wait_for_order(order_no, OrderItem::Command(request), effects);
                if let Some(OrderItem::Command(request)) = waits {
                    effects.answers.push(request.reply.refuse(reject));
                }
                return;
            }
        };
        if self.records.get(index).reviving != NONE {
            return self.wait_for_revival(index, OrderItem::Command(request), effects);
        }
        let CommandRequest { action, reply, .. } = *request;
        let command = match action {
            Action::StartPayment => OrderCommand::StartPayment { grace_ms: self.settings.payment_grace_ms },
            Action::Cancel(reason) => OrderCommand::Cancel { reason },
            Action::Ship(shipment) => OrderCommand::Ship(shipment),
            Action::Confirm => OrderCommand::Confirm,
            Action::Later(command) => command,
        };
        let result = match self.records.get(index).order.decide(&command, now_ms) {
            Ok(Decision::Events(events)) => {
                self.record(index, &events, effects);
                Ok(())
            }
            Ok(Decision::Unchanged | Decision::ReserveAgain) => Ok(()),
            Err(reject) => Err(reject),
        };
        // A reject shows the order's status too, which may not be durable yet (R4).
        effects.durable_answers.push(match result {
            Ok(()) => reply.tell(&self.records.get(index).order),
            Err(reject) => reply.refuse(reject),
        });
    }

    /// Lets an item wait until the revival of its order is decided.
    pub(super) fn wait_for_revival(&mut self, index: u32, item: OrderItem, effects: &mut OrderEffects) {
        let collect = self.records.get(index).reviving;
        let waiters_max = self.settings.waiters_max;
        let (Purpose::Revive { waiting, .. } | Purpose::AskTeam { waiting, .. }) =
            &mut self.collects.get_mut(collect).purpose
        else {
            unreachable!("an order names the collection that revives it")
        };
        match item {
            OrderItem::Command(request) if waiting.len() >= waiters_max => {
                let reject = Reject::Overloaded { bound: "waiters_max", retry_after_ms: 10 };
                effects.answers.push(request.reply.refuse(reject));
            }
            // Recorded money is never turned away. The credits of its notifications bound how much can wait here.
            item => waiting.push(item),
        }
    }
}

impl CommandReply {
    /// The answer of a command that was done, or had been, from its order.
    pub(super) fn tell(self, order: &Order) -> Answer {
        match self {
            Self::Receipt(reply) => Answer::to(reply, Ok(Receipt::of(order))),
            Self::Attempt(reply) => {
                let attempt = order.last_pay_no().map(|pay_no| PaymentAttempt {
                    pay_no,
                    amount: order.pay_amount,
                    deadline_ms: order.deadline_ms,
                });
                // Without an attempt the command was refused, and does not get here.
                Answer::to(reply, attempt.ok_or(Reject::OrderNotFound))
            }
            Self::Refund(of, reply) => {
                let ordinal = match of {
                    RefundOf::Ordinal(ordinal) => Some(ordinal),
                    RefundOf::Request(request_id) => order.applied_as(request_id),
                };
                let refund = ordinal.and_then(|ordinal| order.refund(ordinal));
                let receipt = refund.map(|refund| RefundReceipt {
                    refund_no: refund.refund_no,
                    state: refund.state,
                    amount: refund.amount,
                    order_status: Some(order.status),
                });
                Answer::to(reply, receipt.ok_or(Reject::RefundNotFound))
            }
        }
    }

    /// The answer of a command that was not done.
    pub(super) fn refuse(self, reject: Reject) -> Answer {
        match self {
            Self::Receipt(reply) => Answer::to(reply, Err(reject)),
            Self::Attempt(reply) => Answer::to(reply, Err(reject)),
            // Who names a refund has not asked for an order.
            Self::Refund(RefundOf::Ordinal(_), reply) if reject == Reject::OrderNotFound => {
                Answer::to(reply, Err(Reject::RefundNotFound))
            }
            Self::Refund(_, reply) => Answer::to(reply, Err(reject)),
        }
    }
}
