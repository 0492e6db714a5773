//! A movement: one thing that happened to money.

use serde::{Deserialize, Serialize};

use crate::domain::hash::hash128;
use crate::domain::ids::{OrderNo, PaymentId, Position};
use crate::domain::money::Money;
use crate::domain::order::RefundReason;

/// Whose money: a channel, and the shop's account with it.
///
/// Both are empty for money that came in before statements were kept: what it is named is not known any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// The payment channel.
    pub channel: Box<str>,
    /// The shop's account with it.
    pub merchant: Box<str>,
}

impl Account {
    /// An account.
    pub fn new(channel: &str, merchant: &str) -> Self {
        Self { channel: channel.into(), merchant: merchant.into() }
    }

    /// A hash that names it, equal for equal accounts only. Frozen: it stands in stored keys.
    pub fn hash(&self) -> u128 {
        let mut bytes = Vec::with_capacity(4 + self.channel.len() + self.merchant.len());
        // Its length first, so that ("ab", "c") and ("a", "bc") differ.
        bytes.extend_from_slice(&(self.channel.len() as u32).to_le_bytes());
        bytes.extend_from_slice(self.channel.as_bytes());
        bytes.extend_from_slice(self.merchant.as_bytes());
        hash128(&bytes)
    }
}

/// What happened to the money. Stored: variants are only ever added at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MovementKind {
    /// It came in.
    Received,
    /// It paid its order in time.
    Paid,
    /// It came after the order's time-out and brought the order back (R10).
    PaidLate,
    /// It can't be kept and has to go back: this is what became of it.
    ToRefund(RefundReason),
    /// The shop agreed to pay back something of what had paid an order.
    RefundAgreed,
    /// It has gone back.
    Refunded,
}

impl MovementKind {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Paid => "paid",
            Self::PaidLate => "paid_late",
            Self::ToRefund(_) => "to_refund",
            Self::RefundAgreed => "refund_agreed",
            Self::Refunded => "refunded",
        }
    }

    /// Why the money has to go back, where it has to.
    pub const fn reason(self) -> Option<RefundReason> {
        match self {
            Self::ToRefund(reason) => Some(reason),
            Self::Received | Self::Paid | Self::PaidLate | Self::RefundAgreed | Self::Refunded => None,
        }
    }
}

/// One thing that happened to money: a line of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// The event's place in the journal; no two movements have the same.
    pub position: Position,
    /// The latest time of any event up to it, in ms since the Unix epoch: says which day it belongs to.
    pub booked_ms: u64,
    /// The event's own time, in ms since the Unix epoch: the same, or a little earlier.
    pub at_ms: u64,
    /// What happened.
    pub kind: MovementKind,
    /// Whose money.
    pub account: Account,
    /// The provider's number of the payment.
    pub transaction_id: Box<str>,
    /// The payment.
    pub payment: PaymentId,
    /// The order that it is for, where it is for one.
    pub order_no: Option<OrderNo>,
    /// How much, always positive; the kind says which way it went.
    pub amount: Money,
    /// The refund's number here; empty where there is none.
    pub refund_no: Box<str>,
    /// The provider's number of the refund; empty where there is none.
    pub provider_refund_id: Box<str>,
}
