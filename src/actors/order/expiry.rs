//! Closing unpaid orders and confirming shipped ones: the wheel fires, the order decides (R9), in bounded steps so that
//! a wave of expiries never stops new orders.

use super::actor::{OrderActor, OrderEffects};
use super::records::NONE;
use crate::domain::ids::Position;
use crate::domain::order::{Decision, OrderCommand, OrderStatus};
use crate::timer::{STEPS_PER_ADVANCE, TimerId};

/// Most orders that one round closes, and most steps that it lets the wheel take: a close costs more than a step of the
/// wheel, and new orders wait for the whole round.
const EXPIRY_ROUND_MAX: usize = 512;

impl OrderActor {
    /// Closes orders whose deadline has passed, as many as the bounds allow.
    pub(super) fn expire(&mut self, now_ms: u64, acknowledged: Position, effects: &mut OrderEffects) {
        while let Some((position, _count)) = self.expiring.front()
            && *position <= acknowledged
        {
            self.expiring.pop_front();
        }
        if !self.may_expire() {
            return;
        }
        // Whether more is due shows in the wheel's next deadline.
        let _progress = self.wheel.advance(now_ms, STEPS_PER_ADVANCE.min(EXPIRY_ROUND_MAX), &mut self.fired);
        let mut fired = std::mem::take(&mut self.fired);
        let lags = fired.iter().map(|(deadline_ms, _index)| now_ms.saturating_sub(*deadline_ms));
        if let Some(lag_ms) = lags.max() {
            self.counts.expiry_lag_ms = lag_ms;
        }
        for (_deadline_ms, index) in fired.drain(..) {
            let record = self.records.get(index);
            if record.reviving != NONE {
                // Money came before the timer and asks the order's team: it keeps the units (R10), so the order is looked
                // at again with the answer.
                continue;
            }
            let order = &record.order;
            let is_shipped = order.status == OrderStatus::Shipped;
            let command = if is_shipped {
                OrderCommand::AutoConfirm { after_ms: self.settings.auto_confirm_ms }
            } else {
                OrderCommand::Expire
            };
            if let Ok(Decision::Events(events)) = order.decide(&command, now_ms) {
                self.record(index, &events, effects);
                self.counts.expired += u64::from(!is_shipped);
                self.expired_in_round += 1;
            }
        }
        self.fired = fired;
    }

    /// Closes an order whose timer fired while its money asked its team, if that has not paid it. One that asks again, or
    /// is being revived, isn't closed.
    pub(super) fn expire_after_answer(&mut self, index: u32, now_ms: u64, effects: &mut OrderEffects) {
        let record = self.records.get(index);
        if record.reviving != NONE || record.order.status != OrderStatus::Pending {
            return;
        }
        if let Ok(Decision::Events(events)) = record.order.decide(&OrderCommand::Expire, now_ms) {
            self.record(index, &events, effects);
            self.counts.expired += 1;
            self.expired_in_round += 1;
        }
    }

    /// Sets the timer of an order that is, or was, shipped: it fires when the buyer counts as having it. An open refund
    /// stops it, and the end of the refund sets it anew.
    pub(super) fn arm_confirmation(&mut self, index: u32) {
        let record = self.records.get_mut(index);
        self.wheel.cancel(record.timer);
        record.timer = match record.order.confirm_due_ms(self.settings.auto_confirm_ms) {
            Some(due_ms) => self.wheel.arm(due_ms, index),
            None => TimerId::NONE,
        };
    }

    /// Whether another round may close orders by timer. A round that begins below the bound may end above it, by less
    /// than what one round closes.
    pub(crate) fn may_expire(&self) -> bool {
        let in_flight: usize = self.expiring.iter().map(|(_position, count)| count).sum();
        in_flight < self.settings.expiry_in_flight_max
    }

    /// When the wheel wants to be looked at next, in ms since the Unix epoch; `None` with no timer pending.
    pub(crate) fn next_deadline_ms(&self) -> Option<u64> {
        self.wheel.next_deadline_hint()
    }
}
