//! What a verified notification says, in the engine's words.

use crate::domain::ids::OrderNo;
use crate::domain::money::Money;
use crate::domain::order::PayNo;
use crate::domain::refund::{RefundNo, RefundStep};
use crate::{PaymentOutcome, RefundReceipt};

/// What a provider has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notification {
    /// Money has arrived.
    Paid(PaidNotice),
    /// A refund has come to an end, good or bad.
    Refund {
        /// Which.
        refund_no: RefundNo,
        /// How it ended.
        step: RefundStep,
    },
    /// Something that nobody here has to act upon: a trade that was closed unpaid. Acknowledged and forgotten.
    Nothing,
}

/// Money that has arrived; becomes a [`Payment`](crate::Payment) once its order is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidNotice {
    /// What it is for.
    pub order: OrderName,
    /// Payment channel.
    pub channel: Box<str>,
    /// The shop's account with the channel.
    pub merchant: Box<str>,
    /// The channel's number for the payment.
    pub transaction_id: Box<str>,
    /// How much.
    pub amount: Money,
}

/// How a notification names its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderName {
    /// By order number.
    Number(OrderNo),
    /// By external number.
    External(Box<str>),
    /// By whatever the shop has given the provider as its number: a payment number, an order number or an external
    /// number. Digits alone may be either of the last two, so the engine is asked whether there is such an order.
    Any(Box<str>),
}

impl From<PayNo> for OrderName {
    fn from(pay_no: PayNo) -> Self {
        Self::Number(pay_no.order_no)
    }
}

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The money is recorded: it paid its order, or must go back.
    Payment(PaymentOutcome),
    /// The refund's end is recorded.
    Refund(RefundReceipt),
    /// There was nothing to record.
    Nothing,
}
