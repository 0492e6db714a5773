//! What a command comes to: a pure function of order, command and time.

use super::Order;
use super::event::OrderEvent;
use super::refunds::RefundCommand;
use super::status::{CloseReason, OrderStatus, RefundReason};
use crate::domain::event::{Event, OrderStep};
use crate::domain::ids::{PaymentId, SkuId};
use crate::domain::money::Money;
use crate::domain::pricing::PriceChange;
use crate::domain::reject::Reject;
use crate::domain::request::{Personal, Shipment};

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
    /// The member goes to pay at a provider.
    BeginPayment {
        /// Payment channel.
        channel: Box<str>,
        /// How far the deadline moves the first time, in ms.
        grace_ms: u64,
    },
    /// The shop asks for another amount.
    ChangePrice {
        /// What is to be paid, and how much of it for carriage.
        change: PriceChange,
    },
    /// The parcel is to go elsewhere.
    ChangeAddress {
        /// Name, phone, address.
        personal: Personal,
    },
    /// A package with some of the units leaves.
    ShipPackage {
        /// How it travels.
        shipment: Shipment,
        /// What is in it.
        lines: Vec<(SkuId, u32)>,
    },
    /// So much time has passed since the last package that the buyer must have it.
    AutoConfirm {
        /// How much, in ms.
        after_ms: u64,
    },
    /// The shop notes something.
    Remark {
        /// The note.
        remark: Box<str>,
        /// A mark of the shop's.
        flag: u8,
    },
    /// About a refund.
    AfterSale(RefundCommand),
    /// Its team has formed.
    JoinTeam,
    /// Its team has failed.
    FailTeam,
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
                Ok(self.refund_due(*payment, *amount, *reason, now_ms))
            }
            OrderCommand::Cancel { reason } => match self.status {
                OrderStatus::Pending => Ok(Decision::Events(self.closing(*reason, now_ms))),
                OrderStatus::Cancelled if self.close_reason == Some(*reason) => Ok(Decision::Unchanged),
                _ => Err(self.wrong_status()),
            },
            OrderCommand::Expire => {
                if self.status == OrderStatus::Pending && self.is_overdue(now_ms) {
                    Ok(Decision::Events(self.closing(CloseReason::Timeout, now_ms)))
                } else {
                    Ok(Decision::Unchanged)
                }
            }
            OrderCommand::Ship(shipment) => self.decide_ship(shipment, now_ms),
            OrderCommand::Confirm => match self.status {
                OrderStatus::Shipped => {
                    Ok(Decision::Events(vec![Event::OrderReceived { step: self.step(1, now_ms) }]))
                }
                OrderStatus::Completed => Ok(Decision::Unchanged),
                _ => Err(self.wrong_status()),
            },
            OrderCommand::BeginPayment { channel, grace_ms } => {
                self.decide_attempt(channel, *grace_ms, now_ms)
            }
            OrderCommand::ChangePrice { change } => self.decide_price(*change, now_ms),
            OrderCommand::ChangeAddress { personal } => self.decide_address(personal, now_ms),
            OrderCommand::ShipPackage { shipment, lines } => self.decide_package(shipment, lines, now_ms),
            OrderCommand::AutoConfirm { after_ms } => Ok(self.decide_auto_confirm(*after_ms, now_ms)),
            OrderCommand::Remark { remark, flag } => self.decide_note(remark, *flag, now_ms),
            OrderCommand::AfterSale(command) => self.decide_refund(command, now_ms),
            OrderCommand::JoinTeam => Ok(self.decide_join(now_ms)),
            OrderCommand::FailTeam => Ok(self.decide_team_failed(now_ms)),
        }
    }

    pub(super) fn decide_start_payment(&self, grace_ms: u64, now_ms: u64) -> Result<Decision, Reject> {
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
        let reason = match (self.status, self.close_reason) {
            (OrderStatus::Pending, _) | (OrderStatus::Cancelled, Some(CloseReason::Timeout))
                if amount != self.pay_amount =>
            {
                RefundReason::WrongAmount
            }
            (OrderStatus::Pending, _) if !self.is_overdue(now_ms) => {
                return Decision::Events(vec![self.paid(1, payment, now_ms)]);
            }
            // Overdue and not closed yet: nobody else can have its units, so the late money keeps them.
            (OrderStatus::Pending, _) => {
                return Decision::Events(vec![
                    self.closed(CloseReason::Timeout, now_ms),
                    Event::OrderRevived { step: self.step(2, now_ms), units: self.lines.units() },
                    self.paid(3, payment, now_ms),
                ]);
            }
            (OrderStatus::Cancelled, Some(CloseReason::Timeout)) => return Decision::ReserveAgain,
            (OrderStatus::Cancelled, Some(CloseReason::Refunded)) => RefundReason::AlreadyPaid,
            (OrderStatus::Cancelled, Some(CloseReason::TeamFailed)) => RefundReason::TeamFailed,
            (OrderStatus::Cancelled, _) => RefundReason::OrderCancelled,
            (
                OrderStatus::Paid
                | OrderStatus::PartiallyShipped
                | OrderStatus::Shipped
                | OrderStatus::Completed,
                _,
            ) => RefundReason::AlreadyPaid,
        };
        self.refund_due(payment, amount, reason, now_ms)
    }

    /// Its team has formed: from here on it can ship.
    fn decide_join(&self, now_ms: u64) -> Decision {
        if self.status != OrderStatus::Paid || self.has_joined_team() {
            return Decision::Unchanged;
        }
        Decision::Events(vec![self.later_event(1, OrderEvent::TeamJoined {}, now_ms)])
    }

    /// Its team has failed: unpaid it is closed, paid its money goes back and its units are on sale again.
    fn decide_team_failed(&self, now_ms: u64) -> Decision {
        match self.status {
            OrderStatus::Pending => Decision::Events(self.closing(CloseReason::TeamFailed, now_ms)),
            OrderStatus::Paid if !self.has_joined_team() => {
                let mut events = Vec::new();
                let paid_by = self.history.as_ref().and_then(|history| history.paid_by);
                if let Some(payment) = paid_by.filter(|_| self.pay_amount != Money::ZERO) {
                    let (step, amount) = (self.step(1, now_ms), self.pay_amount);
                    let reason = RefundReason::TeamDissolved;
                    events.push(Event::RefundRequired { step, payment, amount, reason });
                }
                let nth = events.len() as u32;
                let returned = OrderEvent::UnitsReturned { units: self.lines.units() };
                events.push(self.later_event(nth + 1, returned, now_ms));
                let step = self.step(nth + 2, now_ms);
                let (reason, units) = (CloseReason::TeamFailed, Vec::new());
                events.push(Event::OrderClosed { step, reason, units });
                Decision::Events(events)
            }
            _ => Decision::Unchanged,
        }
    }

    /// It is closed, and with it the trades that were begun at providers.
    fn closing(&self, reason: CloseReason, now_ms: u64) -> Vec<Event> {
        let mut events = vec![self.closed(reason, now_ms)];
        if self.later().is_some() {
            self.void_attempts(&mut events, now_ms);
        }
        events
    }

    pub(super) fn closed(&self, reason: CloseReason, now_ms: u64) -> Event {
        Event::OrderClosed { step: self.step(1, now_ms), reason, units: self.lines.units() }
    }

    pub(super) fn paid(&self, nth: u32, payment: PaymentId, now_ms: u64) -> Event {
        Event::OrderPaid { step: self.step(nth, now_ms), payment, units: self.lines.units() }
    }

    /// Money goes back. Where nothing was paid nothing does: no payment was received that could be settled by it, and an
    /// order that was to be paid with nothing and can't be any more simply stays unpaid.
    fn refund_due(&self, payment: PaymentId, amount: Money, reason: RefundReason, now_ms: u64) -> Decision {
        if payment == PaymentId::of_nothing(self.order_no) {
            return Decision::Unchanged;
        }
        Decision::Events(vec![Event::RefundRequired { step: self.step(1, now_ms), payment, amount, reason }])
    }

    /// The step of the `nth` event from now, counting from 1.
    pub(super) fn step(&self, nth: u32, now_ms: u64) -> OrderStep {
        OrderStep { order_no: self.order_no, version: self.version + nth, at_ms: now_ms }
    }

    pub(super) fn wrong_status(&self) -> Reject {
        Reject::WrongStatus { order_no: self.order_no, status: self.status }
    }
}
