//! What movements add up to.

use serde::{Deserialize, Serialize};

use super::movement::MovementKind;
use crate::domain::money::Money;
use crate::domain::order::RefundReason;

/// So many movements of so much money. Wide enough never to overflow: an `i64` of minor units in each of 2⁶³ movements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// How many. Below zero only in differences.
    pub count: i64,
    /// Minor units.
    pub minor: i128,
}

impl Sum {
    /// Nothing.
    pub const ZERO: Self = Self { count: 0, minor: 0 };

    /// With one more movement.
    #[must_use]
    pub fn with(self, amount: Money) -> Self {
        Self { count: self.count + 1, minor: self.minor + i128::from(amount.minor()) }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { count: self.count + other.count, minor: self.minor + other.minor }
    }

    /// Without those.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self { count: self.count - other.count, minor: self.minor - other.minor }
    }
}

/// The movements of one account over some time, by kind. Stored: fields are only ever added in a new record version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Money that came in.
    pub received: Sum,
    /// Of it, what paid its order in time.
    pub paid_in_time: Sum,
    /// Of it, what came after the order's time-out and brought it back.
    pub paid_late: Sum,
    /// Of it, what came after the order's time-out and could not bring it back.
    pub late_to_refund: Sum,
    /// Of it, what there was no order to pay for: unknown, cancelled by member or shop, paid by another payment already, or of
    /// another amount.
    pub unmatched: Sum,
    /// Money that paid an order and is to go back all the same, because the shop agreed.
    pub refund_agreed: Sum,
    /// Money that went back.
    pub refunded: Sum,
}

impl Totals {
    /// With one more movement.
    pub fn add(&mut self, kind: MovementKind, amount: Money) {
        let sum = match kind {
            MovementKind::Received => &mut self.received,
            MovementKind::Paid => &mut self.paid_in_time,
            MovementKind::PaidLate => &mut self.paid_late,
            MovementKind::ToRefund(reason) if came_late(reason) => &mut self.late_to_refund,
            MovementKind::ToRefund(_) => &mut self.unmatched,
            MovementKind::RefundAgreed => &mut self.refund_agreed,
            MovementKind::Refunded => &mut self.refunded,
        };
        *sum = sum.with(amount);
    }

    /// Without those of an earlier time: what happened since.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            received: self.received.minus(earlier.received),
            paid_in_time: self.paid_in_time.minus(earlier.paid_in_time),
            paid_late: self.paid_late.minus(earlier.paid_late),
            late_to_refund: self.late_to_refund.minus(earlier.late_to_refund),
            unmatched: self.unmatched.minus(earlier.unmatched),
            refund_agreed: self.refund_agreed.minus(earlier.refund_agreed),
            refunded: self.refunded.minus(earlier.refunded),
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            received: self.received.plus(other.received),
            paid_in_time: self.paid_in_time.plus(other.paid_in_time),
            paid_late: self.paid_late.plus(other.paid_late),
            late_to_refund: self.late_to_refund.plus(other.late_to_refund),
            unmatched: self.unmatched.plus(other.unmatched),
            refund_agreed: self.refund_agreed.plus(other.refund_agreed),
            refunded: self.refunded.plus(other.refunded),
        }
    }

    /// What paid an order, in time or late.
    pub const fn paid(&self) -> Sum {
        self.paid_in_time.plus(self.paid_late)
    }

    /// What came after its order's time-out, whether it brought the order back or not.
    pub const fn late(&self) -> Sum {
        self.paid_late.plus(self.late_to_refund)
    }

    /// What is to go back, or went back.
    pub const fn to_refund(&self) -> Sum {
        self.late_to_refund.plus(self.unmatched).plus(self.refund_agreed)
    }
}

/// Whether money with this reason came after its order had timed out; otherwise there was no order for it.
const fn came_late(reason: RefundReason) -> bool {
    match reason {
        RefundReason::SoldOut | RefundReason::LimitExceeded | RefundReason::CouponGone => true,
        RefundReason::OrderCancelled
        | RefundReason::AlreadyPaid
        | RefundReason::WrongAmount
        | RefundReason::UnknownOrder
        | RefundReason::TeamFailed
        | RefundReason::TeamDissolved => false,
    }
}
