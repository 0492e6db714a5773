//! Payments: what becomes of one, and the form in which a settled one is stored.

use serde::{Deserialize, Serialize};

use super::hash::{RecordHasher, kinds};
use super::ids::{OrderNo, PaymentId};
use super::money::Money;
use super::order::RefundReason;

/// What became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentResult {
    /// It paid its order.
    Paid,
    /// It must go back.
    RefundRequired(RefundReason),
}

/// A payment's part of the state hash (R7).
pub fn payment_hash(
    payment: PaymentId,
    order_no: OrderNo,
    amount: Money,
    result: Option<PaymentResult>,
) -> u64 {
    let [high, low] = payment.words();
    let hash = RecordHasher::new(kinds::PAYMENT)
        .word(high)
        .word(low)
        .word(order_no.get())
        .word(amount.minor() as u64);
    let outcome = match result {
        None => 0,
        Some(PaymentResult::Paid) => 1,
        Some(PaymentResult::RefundRequired(reason)) => 2 + reason as u64,
    };
    hash.word(outcome).finish()
}

/// A payment whose outcome is known, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledPayment {
    /// The order it was for.
    pub order_no: OrderNo,
    /// How much.
    pub amount: Money,
    /// What became of it.
    pub result: PaymentResult,
    /// When that was decided, in ms since the Unix epoch.
    pub at_ms: u64,
}
