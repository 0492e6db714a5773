//! What an event does to what it is about, in three words.

use crate::domain::coupon::CouponEvent;
use crate::domain::event::Event;
use crate::domain::refund::RefundStep;
use crate::domain::task::TaskEvent;
use crate::domain::team::TeamEvent;

/// `created`, `updated` or `closed`. An order that is closed may come back by `OrderRevived`, which is an update, and
/// money may still go back; what an order is after an event, its status says.
pub(super) fn operation_of(event: &Event) -> &'static str {
    match event {
        Event::OrderCreated(_)
        | Event::PaymentReceived { .. }
        | Event::PaymentUnmatched { .. }
        | Event::OperatorActed(_) => "created",
        Event::SkuPut { revision, .. } | Event::SettingPut { revision, .. } => put(*revision),
        Event::OrderReceived { .. } | Event::OrderClosed { .. } => "closed",
        Event::NumbersReserved { .. }
        | Event::StockAdjusted { .. }
        | Event::PaymentStarted { .. }
        | Event::OrderPaid { .. }
        | Event::OrderShipped { .. }
        | Event::OrderRevived { .. }
        | Event::RefundRequired { .. }
        | Event::LimitImported { .. }
        | Event::StockTransferred { .. }
        | Event::Order { .. } => "updated",
        Event::UnmatchedRefund { what, .. } => match what {
            RefundStep::Requested | RefundStep::Failed { .. } => "updated",
            RefundStep::Finished { .. } => "closed",
        },
        Event::Task(event) => of_task(event),
        Event::Team(event) => match event {
            TeamEvent::Opened { .. } => "created",
            TeamEvent::Formed { .. } | TeamEvent::Failed { .. } => "closed",
        },
        Event::Coupon(event) => match **event {
            CouponEvent::Issued { .. } => "created",
            CouponEvent::Locked { .. } | CouponEvent::Returned { .. } => "updated",
            CouponEvent::Used { .. } => "closed",
        },
    }
}

const fn put(revision: u32) -> &'static str {
    if revision <= 1 { "created" } else { "updated" }
}

fn of_task(event: &TaskEvent) -> &'static str {
    match event {
        TaskEvent::BodyPart { .. } | TaskEvent::Pushed { .. } => "created",
        TaskEvent::Rescheduled { .. }
        | TaskEvent::Reserved { .. }
        | TaskEvent::Nacked { .. }
        | TaskEvent::Lapsed { .. }
        | TaskEvent::DeadLettered { .. }
        | TaskEvent::Requeued { .. }
        | TaskEvent::Extended { .. } => "updated",
        TaskEvent::Popped { .. }
        | TaskEvent::Removed { .. }
        | TaskEvent::Acked { .. }
        | TaskEvent::Expired { .. }
        | TaskEvent::Discarded { .. } => "closed",
    }
}
