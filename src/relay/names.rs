//! The names of events, as subscriptions choose them.

use crate::domain::event::EVENT_NAMES;
use crate::domain::order::ORDER_EVENT_NAMES;

/// Places in [`EVENT_NAMES`] that stand for a variant only: its events have names of their own.
const VARIANTS: [&str; 5] = ["SettingPut", "Task", "Order", "Team", "Coupon"];

/// The names of events of settings, teams, coupons and tasks. A test compares them with the source.
const FURTHER: [&str; 27] = [
    "ActivityEnded",
    "ActivityPut",
    "SalesControlled",
    "CouponPut",
    "FreightPut",
    "ShippingPut",
    "TeamOpened",
    "TeamFormed",
    "TeamFailed",
    "CouponIssued",
    "CouponLocked",
    "CouponUsed",
    "CouponReturned",
    "TaskBodyPart",
    "TaskPushed",
    "TaskPopped",
    "TaskRemoved",
    "TaskRescheduled",
    "TaskReserved",
    "TaskAcked",
    "TaskNacked",
    "TaskLapsed",
    "TaskDeadLettered",
    "TaskExpired",
    "TaskRequeued",
    "TaskDiscarded",
    "TaskExtended",
];

/// The names of all events that there are, as [`Event::name`](crate::Event::name) gives them.
///
/// ```
/// assert!(stockade::relay::event_names().any(|name| name == "OrderPaid"));
/// ```
pub fn event_names() -> impl Iterator<Item = &'static str> {
    let own = EVENT_NAMES.into_iter().filter(|name| !VARIANTS.contains(name));
    own.chain(ORDER_EVENT_NAMES).chain(FURTHER)
}

/// A name as this program has it; `None` where there is no such event.
pub(super) fn known(name: &str) -> Option<&'static str> {
    event_names().find(|known| *known == name)
}
