//! Where an order stands, and why it was closed or its money must go back.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where an order stands. The variants' order is persisted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderStatus {
    /// Placed, units reserved, not paid.
    #[default]
    Pending,
    /// Paid, units sold.
    Paid,
    /// On its way.
    Shipped,
    /// Received by the buyer.
    Completed,
    /// Closed without a sale, or paid back in full; the close reason says why.
    Cancelled,
    /// Some of its units are on their way, others are left to ship.
    PartiallyShipped,
}

impl OrderStatus {
    /// Every status, in the persisted order: counts by status are indexed by it.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Paid, Self::Shipped, Self::Completed, Self::Cancelled, Self::PartiallyShipped];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::PartiallyShipped => "partially_shipped",
        }
    }

    /// The status of that stable name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CloseReason {
    /// It was not paid in time.
    Timeout,
    /// The member cancelled it.
    Member,
    /// The shop cancelled it.
    Operator,
    /// All that was paid has gone back.
    Refunded,
    /// Its team did not form.
    TeamFailed,
}

impl CloseReason {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Member => "member",
            Self::Operator => "operator",
            Self::Refunded => "refunded",
            Self::TeamFailed => "team_failed",
        }
    }
}

/// Why a payment must go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefundReason {
    /// The member or the shop had cancelled the order.
    OrderCancelled,
    /// The order had timed out and its units were gone.
    SoldOut,
    /// The order had timed out and the member's limit was used up since.
    LimitExceeded,
    /// Another payment had paid the order.
    AlreadyPaid,
    /// It was not what was to be paid.
    WrongAmount,
    /// It named no order that there is.
    UnknownOrder,
    /// The order had timed out, and a coupon that it used was used, locked or expired since.
    CouponGone,
    /// The order's team did not form.
    TeamFailed,
    /// It had paid its order, whose team did not form then. The payment's outcome stays that it paid.
    TeamDissolved,
}

impl RefundReason {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderCancelled => "order_cancelled",
            Self::SoldOut => "sold_out",
            Self::LimitExceeded => "limit_exceeded",
            Self::AlreadyPaid => "already_paid",
            Self::WrongAmount => "wrong_amount",
            Self::UnknownOrder => "unknown_order",
            Self::CouponGone => "coupon_gone",
            Self::TeamFailed => "team_failed",
            Self::TeamDissolved => "team_dissolved",
        }
    }

    /// Whether it is what became of a payment, and not what became later of an order that it had paid.
    pub const fn is_outcome(self) -> bool {
        !matches!(self, Self::TeamDissolved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_stand_in_the_persisted_order_and_are_found_by_their_names() {
        for (index, status) in OrderStatus::ALL.into_iter().enumerate() {
            assert_eq!(status as usize, index);
            assert_eq!(OrderStatus::from_name(status.name()), Some(status));
        }
        assert_eq!(OrderStatus::from_name("Paid"), None);
        assert_eq!(OrderStatus::from_name(""), None);
    }
}
