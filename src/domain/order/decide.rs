//! What a command comes to: a pure function of order, command and time.

use super::Order;
use super::status::{CloseReason, OrderStatus, RefundReason};
use crate::domain::event::{Event, OrderStep};
use crate::domain::ids::PaymentId;
use crate::domain::money::Money;
use crate::domain::reject::Reject;
use crate::domain::request::Shipment;

/// A command to one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderCommand {
    /// The member goes to pay.
    StartPayment {
        /// How far the deadline moves, in ms.
        grace_ms: u64,
    },
    /// Money has arrived.
    ApplyPayment {
        /// Which payment.
        payment: PaymentId,
        /// How much.
        amount: Money,
    },
    /// The units of a timed-out order are held again, for this payment.
    Revive {
        /// Which payment.
        payment: PaymentId,
    },
    /// The units of a timed-out order could not be had again.
    Refund {
        /// Which payment.
        payment: PaymentId,
        /// How much.
        amount: Money,
        /// Why.
        reason: RefundReason,
    },
    /// The member or the shop cancels it.
    Cancel {
        /// Who, and so why.
        reason: CloseReason,
    },
    /// Its deadline has passed.
    Expire,
    /// The parcel leaves.
    Ship(Shipment),
    /// The buyer has it.
    Confirm,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These events, in one entry.
    Events(Vec<Event>),
    /// The order's units must be reserved again first; then [`OrderCommand::Revive`] or [`OrderCommand::Refund`].
    ReserveAgain,
    /// It is so already.
    Unchanged,
}
impl Order {
    /// What a command comes to, now.
    ///
    /// # Errors
    /// A reject where the order's status or deadline doesn't allow it.
    pub fn decide(&self, command: &OrderCommand, now_ms: u64) -> Result<Decision, Reject> {
        match command {
            OrderCommand::StartPayment { grace_ms } => self.decide_start_payment(*grace_ms, now_ms),
            OrderCommand::ApplyPayment { payment, amount } => {
                Ok(self.decide_payment(*payment, *amount, now_ms))
            }
            OrderCommand::Revive { payment } => self.decide_revive(*payment, now_ms),
            OrderCommand::Refund { payment, amount, reason } => {
                if self.knows_payment(*payment) {
                    return Ok(Decision::Unchanged);
                }
                Ok(self.refund(*payment, *amount, *reason, now_ms))
            }
            OrderCommand::Cancel { reason } => match self.status {
                OrderStatus::Pending => Ok(Decision::Events(vec![self.closed(*reason, now_ms)])),
                OrderStatus::Cancelled if self.close_reason == Some(*reason) => Ok(Decision::Unchanged),
                _ => Err(self.wrong_status()),
            },
            OrderCommand::Expire => {
                if self.status == OrderStatus::Pending && self.is_overdue(now_ms) {
                    Ok(Decision::Events(vec![self.closed(CloseReason::Timeout, now_ms)]))
                } else {
                    Ok(Decision::Unchanged)
                }
            }
            OrderCommand::Ship(shipment) => match self.status {
                OrderStatus::Paid => Ok(Decision::Events(vec![Event::OrderShipped {
                    step: self.step(1, now_ms),
                    shipment: shipment.clone(),
                }])),
                OrderStatus::Shipped if self.shipment() == Some(shipment) => Ok(Decision::Unchanged),
                _ => Err(self.wrong_status()),
            },
            OrderCommand::Confirm => match self.status {
                OrderStatus::Shipped => {
                    Ok(Decision::Events(vec![Event::OrderReceived { step: self.step(1, now_ms) }]))
                }
                OrderStatus::Completed => Ok(Decision::Unchanged),
                _ => Err(self.wrong_status()),
            },
        }
    }

    fn decide_start_payment(&self, grace_ms: u64, now_ms: u64) -> Result<Decision, Reject> {
        if self.status != OrderStatus::Pending {
            return Err(self.wrong_status());
        }
        if self.is_overdue(now_ms) {
            return Err(Reject::OrderOverdue { order_no: self.order_no });
        }
        if self.payment_started {
            return Ok(Decision::Unchanged);
        }
        Ok(Decision::Events(vec![Event::PaymentStarted {
            step: self.step(1, now_ms),
            deadline_ms: self.deadline_ms.saturating_add(grace_ms),
        }]))
    }

    /// R10: only a timeout is undone by late money, never a cancellation; whoever holds the units gives them back then.
    fn decide_revive(&self, payment: PaymentId, now_ms: u64) -> Result<Decision, Reject> {
        if self.knows_payment(payment) {
            return Ok(Decision::Unchanged);
        }
        if self.close_reason != Some(CloseReason::Timeout) {
            return Err(self.wrong_status());
        }
        Ok(Decision::Events(vec![
            Event::OrderRevived { step: self.step(1, now_ms), units: self.lines.units() },
            self.paid(2, payment, now_ms),
        ]))
    }

    /// R9 and R10: what becomes of money that has arrived.
    fn decide_payment(&self, payment: PaymentId, amount: Money, now_ms: u64) -> Decision {
        if self.knows_payment(payment) {
            return Decision::Unchanged;
        }
        match (self.status, self.close_reason) {
            (OrderStatus::Pending, _) if !self.is_overdue(now_ms) => {
                Decision::Events(vec![self.paid(1, payment, now_ms)])
            }
            // Overdue and not closed yet: nobody else can have its units, so the late money keeps them.
            (OrderStatus::Pending, _) => Decision::Events(vec![
                self.closed(CloseReason::Timeout, now_ms),
                Event::OrderRevived { step: self.step(2, now_ms), units: self.lines.units() },
                self.paid(3, payment, now_ms),
            ]),
            (OrderStatus::Cancelled, Some(CloseReason::Timeout)) => Decision::ReserveAgain,
            (OrderStatus::Cancelled, _) => self.refund(payment, amount, RefundReason::OrderCancelled, now_ms),
            (OrderStatus::Paid | OrderStatus::Shipped | OrderStatus::Completed, _) => {
                self.refund(payment, amount, RefundReason::AlreadyPaid, now_ms)
            }
        }
    }

    /// Whether this payment has had its outcome.
    pub(super) fn closed(&self, reason: CloseReason, now_ms: u64) -> Event {
        Event::OrderClosed { step: self.step(1, now_ms), reason, units: self.lines.units() }
    }

    fn paid(&self, nth: u32, payment: PaymentId, now_ms: u64) -> Event {
        Event::OrderPaid { step: self.step(nth, now_ms), payment, units: self.lines.units() }
    }

    fn refund(&self, payment: PaymentId, amount: Money, reason: RefundReason, now_ms: u64) -> Decision {
        Decision::Events(vec![Event::RefundRequired { step: self.step(1, now_ms), payment, amount, reason }])
    }

    /// The step of the `nth` event from now, counting from 1.
    fn step(&self, nth: u32, now_ms: u64) -> OrderStep {
        OrderStep { order_no: self.order_no, version: self.version + nth, at_ms: now_ms }
    }

    fn wrong_status(&self) -> Reject {
        Reject::WrongStatus { order_no: self.order_no, status: self.status }
    }
}
