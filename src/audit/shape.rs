//! R6: which events may stand together in one entry, because one decision makes them.

use super::report::{Findings, Rule};
use crate::domain::coupon::CouponEvent;
use crate::domain::event::Event;
use crate::domain::ids::OrderNo;
use crate::domain::order::CloseReason;
use crate::domain::order::OrderEvent;
use crate::domain::team::TeamEvent;

/// What an entry decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A single fact that stands alone.
    Single,
    /// A payment found its order overdue but not closed: `OrderClosed, OrderRevived, OrderPaid`.
    OverduePaid,
    /// A payment brought a timed-out order back: `OrderRevived, OrderPaid`.
    Revived,
    /// Money came for no order: `PaymentReceived, PaymentUnmatched`.
    Unmatched,
    /// Anything else, which no decision makes.
    Broken,
}

impl Shape {
    /// Recognizes an entry and reports one that is not a single decision.
    pub(super) fn check(events: &[Event], findings: &mut Findings) -> Self {
        let shape = Self::of(events);
        findings.check(shape != Self::Broken, Rule::OneDecision, || match events {
            [] => "an entry without events".to_owned(),
            [event] => format!("{} stands alone in its entry", event.name()),
            _ => format!("{} don't make one decision", names(events)),
        });
        // One of them names an order that there is not.
        let of_orders = |event: &&Event| shape != Self::Unmatched && !matches!(event, Event::Team(_));
        let mut orders = events.iter().filter(of_orders).map(order_of);
        if let Some(first) = orders.next() {
            findings.check(orders.all(|order| order == first), Rule::OneDecision, || {
                format!("{} in one entry are about different orders", names(events))
            });
        }
        shape
    }

    fn of(events: &[Event]) -> Self {
        let own = events.iter().position(|event| matches!(event, Event::Coupon(_))).unwrap_or(events.len());
        let (own, coupons) = events.split_at(own);
        if !coupons.is_empty() {
            return Self::of_coupons(own, coupons);
        }
        match own {
            [Event::OrderRevived { .. } | Event::PaymentUnmatched { .. }] | [] => Self::Broken,
            [Event::Order { what, .. }] if matches!(**what, OrderEvent::TradeCloseRequired { .. }) => {
                Self::Broken
            }
            [_] => Self::Single,
            // An order opens a team and has its first seat.
            [Event::Team(TeamEvent::Opened { team, .. }), Event::OrderCreated(created)]
                if team.0 == created.order_no.get() =>
            {
                Self::Single
            }
            // What costs nothing is paid at once.
            [Event::OrderCreated(_), Event::OrderPaid { .. }] => Self::Single,
            [
                Event::PaymentReceived { payment: received, .. },
                Event::PaymentUnmatched { payment: unmatched, .. },
            ] if received == unmatched => Self::Unmatched,
            [Event::OrderRevived { .. }, Event::OrderPaid { .. }] => Self::Revived,
            [
                Event::OrderClosed { reason: CloseReason::Timeout, .. },
                Event::OrderRevived { .. },
                Event::OrderPaid { .. },
            ] => Self::OverduePaid,
            _ if is_later(events) => Self::Single,
            _ => Self::Broken,
        }
    }
}

/// What one decision of an order's later life makes.
fn is_later(events: &[Event]) -> bool {
    let what = |event: &Event| match event {
        Event::Order { what, .. } => what.name(),
        Event::OrderClosed { reason, .. } if *reason == CloseReason::Refunded => "refunded",
        Event::OrderClosed { reason: CloseReason::TeamFailed, units, .. } if units.is_empty() => {
            "team failed"
        }
        Event::OrderClosed { .. } => "closed",
        other => other.name(),
    };
    let names: Vec<&str> = events.iter().map(what).collect();
    matches!(
        names.as_slice(),
        ["closed", "TradeCloseRequired"]
            | ["PaymentStarted", "PaymentAttempted"]
            | ["PriceChanged", "TradeCloseRequired"]
            | ["PriceChanged", "OrderPaid"]
            | ["PriceChanged", "TradeCloseRequired", "OrderPaid"]
            | ["PackageShipped", "OrderShipped"]
            | ["RefundFinished", "refunded" | "OrderShipped"]
            | ["RefundRequired", "UnitsReturned", "team failed"]
            | ["UnitsReturned", "team failed"]
            | ["RefundClosed", "OrderShipped"]
    )
}

impl Shape {
    /// A coupon is issued by itself; all else that happens to coupons follows from what happens to their order.
    fn of_coupons(own: &[Event], coupons: &[Event]) -> Self {
        let is_issue = |event: &Event| match event {
            Event::Coupon(event) => matches!(**event, CouponEvent::Issued { .. }),
            _ => false,
        };
        let is_move = |event: &Event| matches!(event, Event::Coupon(_)) && !is_issue(event);
        match (own, coupons) {
            ([], [issued]) if is_issue(issued) => Self::Single,
            ([_, ..], moves) if moves.iter().all(is_move) => Self::of(own),
            _ => Self::Broken,
        }
    }
}

/// The order that an event is about.
fn order_of(event: &Event) -> Option<OrderNo> {
    match event {
        Event::PaymentReceived { order_no, .. } => Some(*order_no),
        Event::Coupon(event) => event.order_no(),
        _ => event.order_version().map(|(order_no, _)| order_no),
    }
}

fn names(events: &[Event]) -> String {
    /// Enough to recognize the entry by.
    const NAMES_MAX: usize = 8;
    let mut text = events.iter().take(NAMES_MAX).map(Event::name).collect::<Vec<_>>().join(", ");
    if events.len() > NAMES_MAX {
        text.push_str(", …");
    }
    text
}
