//! Where the orders that are meant can be at all, so that who looks through many leaves the others out.

use super::{Expr, Span};
use crate::domain::ids::{OrderNo, Slot};
use crate::domain::order::OrderStatus;

/// What holds of every order that an expression means. It may hold of others, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Its number is at least this, and at most that.
    pub numbers: (u64, u64),
    /// It was placed in this span, in ms since the Unix epoch: from, and the first that is outside.
    pub created_ms: (u64, u64),
    /// It belongs to a member of this slot.
    pub slot: Option<Slot>,
    /// It is not at rest.
    pub open_only: bool,
    /// No order is meant.
    pub is_nothing: bool,
}

impl Reach {
    /// All orders.
    pub const ALL: Self = Self {
        numbers: (0, u64::MAX),
        created_ms: (0, u64::MAX),
        slot: None,
        open_only: false,
        is_nothing: false,
    };
    const NOTHING: Self = Self { is_nothing: true, ..Self::ALL };

    fn of_span(span: Span<u64>) -> Self {
        // The last instant that there is lies in no span with an end, and in every one without.
        let created_ms = (span.from.unwrap_or(0), span.until.unwrap_or(u64::MAX));
        Self { created_ms, ..Self::ALL }
    }

    fn of_number(order_no: OrderNo) -> Self {
        let number = order_no.get();
        Self { numbers: (number, number), slot: Some(order_no.slot()), ..Self::ALL }
    }

    fn and(self, other: Self) -> Self {
        let both = Self {
            numbers: (self.numbers.0.max(other.numbers.0), self.numbers.1.min(other.numbers.1)),
            created_ms: (
                self.created_ms.0.max(other.created_ms.0),
                self.created_ms.1.min(other.created_ms.1),
            ),
            slot: self.slot.or(other.slot),
            open_only: self.open_only || other.open_only,
            is_nothing: self.is_nothing || other.is_nothing,
        };
        let are_apart = matches!((self.slot, other.slot), (Some(one), Some(other)) if one != other);
        Self { is_nothing: both.is_nothing || are_apart || both.numbers.0 > both.numbers.1, ..both }
    }

    fn or(self, other: Self) -> Self {
        match (self.is_nothing, other.is_nothing) {
            (true, _) => other,
            (_, true) => self,
            _ => Self {
                numbers: (self.numbers.0.min(other.numbers.0), self.numbers.1.max(other.numbers.1)),
                created_ms: (
                    self.created_ms.0.min(other.created_ms.0),
                    self.created_ms.1.max(other.created_ms.1),
                ),
                slot: self.slot.filter(|slot| other.slot == Some(*slot)),
                open_only: self.open_only && other.open_only,
                is_nothing: false,
            },
        }
    }
}

impl Expr {
    /// Where the orders that are meant can be at all.
    pub fn reach(&self) -> Reach {
        let open = Reach { open_only: true, ..Reach::ALL };
        match self {
            Self::And(parts) => parts.iter().map(Self::reach).fold(Reach::ALL, Reach::and),
            Self::Or(parts) => parts.iter().map(Self::reach).fold(Reach::NOTHING, Reach::or),
            Self::OrderNo(order_no) => Reach::of_number(*order_no),
            Self::Member(member) => Reach { slot: Some(Slot::of_member(*member)), ..Reach::ALL },
            Self::Created(span) => Reach::of_span(*span),
            Self::Status(OrderStatus::Completed | OrderStatus::Cancelled) => Reach::ALL,
            Self::Status(_) | Self::OpenRefund(true) | Self::PaymentStarted => open,
            // What is not meant says little about what is.
            _ => Reach::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::MemberId;

    #[test]
    fn what_all_parts_say_narrows_and_what_one_of_them_says_widens() {
        let created = |from, until| Expr::Created(Span { from: Some(from), until: Some(until) });
        let member = |member| Expr::Member(MemberId(member));
        let both = Expr::And(vec![created(10, 30), created(20, 40), member(7)]).reach();
        assert_eq!((both.created_ms, both.slot), ((20, 30), Some(Slot::of_member(MemberId(7)))));
        let either = Expr::Or(vec![created(10, 30), created(20, 40)]).reach();
        assert_eq!(either.created_ms, (10, 40));
        assert_eq!(Expr::Or(vec![member(7), Expr::All]).reach(), Reach::ALL);
        assert_eq!(Expr::Or(vec![member(7), member(7)]).reach(), member(7).reach());
        assert!(Expr::And(vec![member(0), member(1)]).reach().is_nothing, "they are of different slots");
        assert!(Expr::Or(Vec::new()).reach().is_nothing);
        assert_eq!(Expr::Not(Box::new(member(7))).reach(), Reach::ALL);
    }

    #[test]
    fn orders_at_rest_are_left_out_where_none_can_be_meant() {
        let status = Expr::Status;
        let unpaid_or_paid = Expr::Or(vec![status(OrderStatus::Pending), status(OrderStatus::Paid)]);
        assert!(unpaid_or_paid.reach().open_only);
        let with_cancelled = Expr::Or(vec![status(OrderStatus::Pending), status(OrderStatus::Cancelled)]);
        assert!(!with_cancelled.reach().open_only);
        assert!(Expr::And(vec![with_cancelled, Expr::OpenRefund(true)]).reach().open_only);
        assert!(!Expr::OpenRefund(false).reach().open_only);
    }
}
