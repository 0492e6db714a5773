//! From events to movements. The one place that knows which event moves money.
//!
//! An outcome names a payment and nothing else, a refund only its order: the ledger remembers whose money it was. What
//! it does not remember any more it is told by whoever keeps the movements ([`Recall`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::movement::{Account, Movement, MovementKind};
use crate::domain::event::{Event, OrderStep};
use crate::domain::ids::{OrderNo, PaymentId, Position};
use crate::domain::money::Money;
use crate::domain::order::{OrderEvent, RefundReason};
use crate::domain::refund::{RefundNo, RefundStep};

/// What is known of a payment: what its receipt said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PaymentReceipt {
    /// Whose money.
    pub account: Account,
    /// The provider's number.
    pub transaction_id: Box<str>,
    /// The order that it is for, where it is for one.
    pub order_no: Option<OrderNo>,
    /// How much.
    pub amount: Money,
}

/// Money of an order that is to go back: of which payment, and how much. Under number 0 what paid the order. Stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// Which payment.
    pub payment: PaymentId,
    /// How much.
    pub amount: Money,
}

/// Tells what the ledger has forgotten, because it is stored.
pub trait Recall {
    /// What can go wrong.
    type Error;

    /// A payment that has had its outcome.
    ///
    /// # Errors
    /// Those of the store.
    fn receipt(&self, payment: PaymentId) -> Result<Option<PaymentReceipt>, Self::Error>;

    /// A refund of an order, or under number 0 what paid the order.
    ///
    /// # Errors
    /// Those of the store.
    fn due(&self, order_no: OrderNo, number: u16) -> Result<Option<Due>, Self::Error>;

    /// The highest number of an order's refunds; 0 where it has none.
    ///
    /// # Errors
    /// Those of the store.
    fn last_due(&self, order_no: OrderNo) -> Result<u16, Self::Error>;
}

/// What one event comes to: at most a movement, and at most something to remember.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Booking {
    /// The movement, where money moved.
    pub movement: Option<Movement>,
    /// To be recalled under this order and number.
    pub due: Option<(OrderNo, u16, Due)>,
}

#[derive(Clone, Debug)]
struct Known {
    receipt: PaymentReceipt,
    is_decided: bool,
}

/// Makes movements of events, which it is given all and in order.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    latest_ms: u64,
    payments: BTreeMap<PaymentId, Known>,
    dues: BTreeMap<(OrderNo, u16), Due>,
    /// The order that came back by the event before, and the version that it has since.
    revived: Option<(OrderNo, u32)>,
}

impl Ledger {
    /// A ledger that goes on where the latest event had this time, in ms since the Unix epoch.
    pub fn from_time(latest_ms: u64) -> Self {
        Self { latest_ms, ..Self::default() }
    }

    /// Lets it know a payment that is received and has no outcome yet.
    pub fn know(&mut self, payment: PaymentId, receipt: PaymentReceipt) {
        self.payments.insert(payment, Known { receipt, is_decided: false });
    }

    /// The latest time of any event so far, in ms since the Unix epoch. Nothing is booked earlier from here on.
    pub fn latest_ms(&self) -> u64 {
        self.latest_ms
    }

    /// Forgets what can be recalled: call it once what was booked is stored.
    pub fn forget_stored(&mut self) {
        self.payments.retain(|_, known| !known.is_decided);
        self.dues.clear();
    }

    /// Takes in the next event.
    ///
    /// # Errors
    /// Those of `recall`.
    pub fn take<R: Recall>(
        &mut self,
        position: Position,
        event: &Event,
        recall: &R,
    ) -> Result<Booking, R::Error> {
        self.latest_ms = self.latest_ms.max(event.at_ms());
        let revived = self.revived.take();
        match event {
            Event::PaymentReceived {
                payment, channel, merchant, transaction_id, order_no, amount, ..
            } => {
                let receipt = PaymentReceipt {
                    account: Account { channel: channel.clone(), merchant: merchant.clone() },
                    transaction_id: transaction_id.clone(),
                    order_no: named(*order_no),
                    amount: *amount,
                };
                let movement =
                    self.movement(position, event, MovementKind::Received, *payment, receipt.clone());
                self.know(*payment, receipt);
                Ok(Booking { movement: Some(movement), due: None })
            }
            Event::OrderPaid { step, payment, .. } => {
                let is_late = revived == Some((step.order_no, step.version.saturating_sub(1)));
                let kind = if is_late { MovementKind::PaidLate } else { MovementKind::Paid };
                Ok(self.paid(position, event, step, kind, *payment))
            }
            Event::OrderRevived { step, .. } => {
                self.revived = Some((step.order_no, step.version));
                Ok(Booking::default())
            }
            Event::RefundRequired { step, payment, amount, reason } => {
                let due = Due { payment: *payment, amount: *amount };
                let number = self.last_due(step.order_no, recall)?.saturating_add(1);
                let due = self.remember(step.order_no, number, due);
                let movement = self.refund_required(position, event, step, due.2, *reason, recall)?;
                Ok(Booking { movement, due: Some(due) })
            }
            Event::Order { step, what } => self.later(position, event, step, what, recall),
            Event::PaymentUnmatched { payment, order_no, reason, .. } => {
                let receipt = self.receipt(*payment, *order_no, recall)?;
                self.decide(*payment);
                let kind = MovementKind::ToRefund(*reason);
                Ok(self.moved(position, event, kind, *payment, receipt))
            }
            Event::UnmatchedRefund { payment, what, .. } => {
                let RefundStep::Finished { provider_refund_id } = what else { return Ok(Booking::default()) };
                let receipt = self.receipt(*payment, OrderNo::default(), recall)?;
                let movement = self.movement(position, event, MovementKind::Refunded, *payment, receipt);
                Ok(refunded(movement, RefundNo::Payment(*payment), provider_refund_id))
            }
            Event::NumbersReserved { .. }
            | Event::SkuPut { .. }
            | Event::StockAdjusted { .. }
            | Event::OrderCreated(_)
            | Event::PaymentStarted { .. }
            | Event::OrderShipped { .. }
            | Event::OrderReceived { .. }
            | Event::OrderClosed { .. }
            | Event::LimitImported { .. }
            | Event::SettingPut { .. }
            | Event::StockTransferred { .. }
            | Event::Task(_)
            | Event::Team(_)
            | Event::Coupon(_)
            | Event::OperatorActed(_) => Ok(Booking::default()),
        }
    }

    /// An order is paid; where no money had come in for it, nothing moves.
    fn paid(
        &mut self,
        position: Position,
        event: &Event,
        step: &OrderStep,
        kind: MovementKind,
        payment: PaymentId,
    ) -> Booking {
        let Some(known) = self.payments.get_mut(&payment) else { return Booking::default() };
        known.is_decided = true;
        let receipt = known.receipt.clone();
        let due = self.remember(step.order_no, 0, Due { payment, amount: receipt.amount });
        Booking { movement: Some(self.movement(position, event, kind, payment, receipt)), due: Some(due) }
    }

    /// Money has to go back: mostly because nothing else became of it, sometimes after it had paid its order.
    fn refund_required<R: Recall>(
        &mut self,
        position: Position,
        event: &Event,
        step: &OrderStep,
        due: Due,
        reason: RefundReason,
        recall: &R,
    ) -> Result<Option<Movement>, R::Error> {
        let Due { payment, amount } = due;
        if payment == PaymentId::of_nothing(step.order_no) {
            return Ok(None);
        }
        let is_undecided = self.payments.get(&payment).is_some_and(|known| !known.is_decided);
        let kind = if is_undecided && reason.is_outcome() {
            MovementKind::ToRefund(reason)
        } else {
            MovementKind::RefundAgreed
        };
        let receipt = PaymentReceipt { amount, ..self.receipt(payment, step.order_no, recall)? };
        self.decide(payment);
        Ok(Some(self.movement(position, event, kind, payment, receipt)))
    }

    /// An order's later life: what is agreed to go back of what paid it, and what has gone back.
    fn later<R: Recall>(
        &mut self,
        position: Position,
        event: &Event,
        step: &OrderStep,
        what: &OrderEvent,
        recall: &R,
    ) -> Result<Booking, R::Error> {
        let order_no = step.order_no;
        match what {
            OrderEvent::RefundApplied { refund, amount, .. } => {
                // Of an order that was paid before statements were kept the payment is not known.
                let payment = self.due(order_no, 0, recall)?.map(|due| due.payment).unwrap_or_default();
                let due = self.remember(order_no, *refund, Due { payment, amount: *amount });
                Ok(Booking { movement: None, due: Some(due) })
            }
            OrderEvent::RefundApproved { refund, .. } => {
                let (payment, receipt) = self.refund_of(order_no, *refund, recall)?;
                Ok(self.moved(position, event, MovementKind::RefundAgreed, payment, receipt))
            }
            OrderEvent::RefundFinished { refund, provider_refund_id, .. } => {
                let (payment, receipt) = self.refund_of(order_no, *refund, recall)?;
                let movement = self.movement(position, event, MovementKind::Refunded, payment, receipt);
                let refund_no = RefundNo::Order { order_no, ordinal: *refund };
                Ok(refunded(movement, refund_no, provider_refund_id))
            }
            OrderEvent::PaymentAttempted { .. }
            | OrderEvent::PriceChanged { .. }
            | OrderEvent::AddressChanged { .. }
            | OrderEvent::PackageShipped { .. }
            | OrderEvent::RefundClosed { .. }
            | OrderEvent::RefundRequested { .. }
            | OrderEvent::RefundFailed { .. }
            | OrderEvent::OrderRemarked { .. }
            | OrderEvent::UnitsReturned { .. }
            | OrderEvent::TradeCloseRequired { .. }
            | OrderEvent::TeamJoined {} => Ok(Booking::default()),
        }
    }

    /// A refund's payment, and what is known of it, with the refund's own amount. The amount of one that came about before
    /// statements were kept is not known, and counts as nothing.
    fn refund_of<R: Recall>(
        &self,
        order_no: OrderNo,
        number: u16,
        recall: &R,
    ) -> Result<(PaymentId, PaymentReceipt), R::Error> {
        let due = self.due(order_no, number, recall)?;
        let Due { payment, amount } =
            due.unwrap_or(Due { payment: PaymentId::default(), amount: Money::ZERO });
        let receipt = self.receipt(payment, order_no, recall)?;
        Ok((payment, PaymentReceipt { amount, ..receipt }))
    }

    fn due<R: Recall>(&self, order_no: OrderNo, number: u16, recall: &R) -> Result<Option<Due>, R::Error> {
        match self.dues.get(&(order_no, number)) {
            Some(due) => Ok(Some(*due)),
            None => recall.due(order_no, number),
        }
    }

    fn moved(
        &self,
        position: Position,
        event: &Event,
        kind: MovementKind,
        payment: PaymentId,
        receipt: PaymentReceipt,
    ) -> Booking {
        Booking { movement: Some(self.movement(position, event, kind, payment, receipt)), due: None }
    }

    fn decide(&mut self, payment: PaymentId) {
        if let Some(known) = self.payments.get_mut(&payment) {
            known.is_decided = true;
        }
    }

    fn remember(&mut self, order_no: OrderNo, number: u16, due: Due) -> (OrderNo, u16, Due) {
        self.dues.insert((order_no, number), due);
        (order_no, number, due)
    }

    /// What is known of a payment. Of one from before statements were kept it is the order alone.
    fn receipt<R: Recall>(
        &self,
        payment: PaymentId,
        order_no: OrderNo,
        recall: &R,
    ) -> Result<PaymentReceipt, R::Error> {
        if let Some(known) = self.payments.get(&payment) {
            return Ok(known.receipt.clone());
        }
        let unknown = || PaymentReceipt { order_no: named(order_no), ..PaymentReceipt::default() };
        Ok(recall.receipt(payment)?.unwrap_or_else(unknown))
    }

    fn last_due<R: Recall>(&self, order_no: OrderNo, recall: &R) -> Result<u16, R::Error> {
        let mut known = self.dues.range((order_no, 1)..=(order_no, u16::MAX));
        match known.next_back() {
            Some(((_, number), _)) => Ok(*number),
            None => recall.last_due(order_no),
        }
    }

    fn movement(
        &self,
        position: Position,
        event: &Event,
        kind: MovementKind,
        payment: PaymentId,
        receipt: PaymentReceipt,
    ) -> Movement {
        let PaymentReceipt { account, transaction_id, order_no, amount } = receipt;
        Movement {
            position,
            booked_ms: self.latest_ms,
            at_ms: event.at_ms(),
            kind,
            account,
            transaction_id,
            payment,
            order_no,
            amount,
            refund_no: Box::default(),
            provider_refund_id: Box::default(),
        }
    }
}

/// Money that has gone back, with the names of its refund.
fn refunded(movement: Movement, refund_no: RefundNo, provider_refund_id: &str) -> Booking {
    let refund_no = refund_no.to_string().into();
    let movement = Movement { refund_no, provider_refund_id: provider_refund_id.into(), ..movement };
    Booking { movement: Some(movement), due: None }
}

/// The number, unless it is that of no order.
fn named(order_no: OrderNo) -> Option<OrderNo> {
    (order_no.get() != 0).then_some(order_no)
}
