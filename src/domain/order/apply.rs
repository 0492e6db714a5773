//! What an event does to an order. It can't fail: what the event says has happened.

use super::Order;
use super::history::{OrderHistory, RefundDue, TimelineEntry};
use super::status::OrderStatus;
use crate::domain::event::Event;
use crate::domain::ids::Position;

impl Order {
    /// Applies one of this order's later events. Can't fail: what the event says has happened.
    pub fn apply(&mut self, event: &Event, position: Position) {
        match event {
            Event::PaymentStarted { deadline_ms, .. } => {
                self.payment_started = true;
                self.deadline_ms = *deadline_ms;
            }
            Event::OrderPaid { payment, .. } => {
                self.status = OrderStatus::Paid;
                self.history_mut().paid_by = Some(*payment);
            }
            Event::OrderShipped { shipment, .. } => {
                self.status = OrderStatus::Shipped;
                self.history_mut().shipment = Some(shipment.clone());
            }
            Event::OrderReceived { .. } => self.status = OrderStatus::Completed,
            Event::OrderClosed { reason, .. } => {
                self.status = OrderStatus::Cancelled;
                self.close_reason = Some(*reason);
            }
            Event::OrderRevived { .. } => {
                self.status = OrderStatus::Pending;
                self.close_reason = None;
            }
            Event::RefundRequired { payment, amount, reason, .. } => {
                let refund = RefundDue { payment: *payment, amount: *amount, reason: *reason };
                self.history_mut().refunds.push(refund);
            }
            Event::NumbersReserved { .. }
            | Event::SkuPut { .. }
            | Event::StockAdjusted { .. }
            | Event::OrderCreated(_)
            | Event::PaymentReceived { .. }
            | Event::LimitImported { .. }
            | Event::SettingPut { .. }
            | Event::StockTransferred { .. }
            | Event::Task(_)
            | Event::Coupon(_) => return,
        }
        self.version += 1;
        self.last_position = position;
        let entry = TimelineEntry { event: event.name(), at_ms: event.at_ms(), position };
        self.history_mut().timeline.push(entry);
    }

    fn history_mut(&mut self) -> &mut OrderHistory {
        self.history.get_or_insert_default()
    }
}
