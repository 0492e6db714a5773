//! What leaves memory: completed and cancelled orders without unfinished refunds, and payments whose outcome is known,
//! some time after the store has taken them in. Their part of the state hash stays behind as a sum (R7).

use super::actor::OrderActor;
use super::cold::external_key;
use super::records::NONE;
use crate::domain::ids::{OrderNo, PaymentId, Position};

/// Most orders, and most payments, that leave in one round, so that new orders don't wait for them.
const LEAVE_PER_ROUND: usize = 512;
/// However many closed orders are in memory, each stays at least so long, in ms.
const STAY_MIN_MS: u64 = 1_000;

/// An order that was closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClosedOrder {
    order_no: OrderNo,
    at_ms: u64,
}

/// A payment whose outcome became known.
#[derive(Clone, Copy, Debug)]
pub(super) struct DonePayment {
    payment: PaymentId,
    /// The outcome stands at or before it.
    position: Position,
    at_ms: u64,
}

impl OrderActor {
    /// Notes that an order is closed, so that it leaves some time later.
    pub(super) fn note_closed(&mut self, index: u32, at_ms: u64) {
        if self.shared.store.is_some() {
            let order_no = self.records.get(index).order.order_no;
            self.closed.push_back(ClosedOrder { order_no, at_ms });
        }
    }

    /// Notes that a payment's outcome, which stands at or before `position`, is known.
    pub(super) fn note_paid(&mut self, payment: PaymentId, position: Position, at_ms: u64) {
        if self.shared.store.is_some() {
            self.done_payments.push_back(DonePayment { payment, position, at_ms });
        }
    }

    /// Whether there is more to do than one round does: orders that could leave, questions of the store.
    pub(crate) fn has_more_to_do(&self) -> bool {
        self.more_to_leave || !self.gathers.is_empty()
    }

    /// Lets go of what the store has and has been closed for long enough.
    pub(super) fn leave(&mut self, now_ms: u64) {
        let Some(stored) = self.shared.store.as_ref().map(|store| store.stored()) else { return };
        let orders = self.orders_leave(now_ms, stored);
        let payments = self.payments_leave(now_ms, stored);
        let coupons = self.coupons_leave(now_ms, stored);
        self.more_to_leave = orders || payments || coupons;
    }

    fn orders_leave(&mut self, now_ms: u64, stored: Position) -> bool {
        for _ in 0..LEAVE_PER_ROUND {
            let Some(&ClosedOrder { order_no, at_ms }) = self.closed.front() else { return false };
            let crowded = self.closed.len() > self.settings.closed_hot_max;
            let stay_ms = if crowded { STAY_MIN_MS } else { self.settings.retain_closed_ms };
            if now_ms < at_ms.saturating_add(stay_ms) {
                return false;
            }
            let index = self.find(order_no);
            let stays = index.is_none_or(|index| {
                let record = self.records.get(index);
                // One that came back to life is noted anew when it is closed again.
                !record.order.is_at_rest() || record.reviving != NONE
            });
            if let Some(index) = index.filter(|_| !stays) {
                // What this round has changed has no final position yet, and is above every other.
                if self.records.get(index).order.last_position > stored {
                    return false;
                }
                if !self.stored_closed.contains_key(&index) {
                    // Stored as it was after later events, and so among the open ones, until the next checkpoint.
                    return false;
                }
                self.forget(index);
            } else if index.is_some_and(|index| self.records.get(index).reviving != NONE) {
                return false;
            }
            self.closed.pop_front();
        }
        true
    }

    fn forget(&mut self, index: u32) {
        let Some(store) = self.shared.store.clone() else { return };
        let Some(hash) = self.stored_closed.remove(&index) else { return };
        let order = &self.records.get(index).order;
        debug_assert_eq!(order.record_hash(), hash, "what leaves is what was stored");
        // Known to the filters before it is unknown to the tables.
        store.add_request(self.shared.hasher.request(order.member_id, order.request_id));
        if let Some(external_no) = order.external_no() {
            store.add_external(external_key(external_no));
            self.shared.external.leave(external_no, order.order_no);
        }
        self.tables.forget_order(index, &mut self.records);
        let record = self.records.remove(index);
        self.release_limits(&record.order);
        self.left_sum = self.left_sum.wrapping_add(hash);
        self.counts.evicted += 1;
    }

    fn payments_leave(&mut self, now_ms: u64, stored: Position) -> bool {
        for _ in 0..LEAVE_PER_ROUND {
            let Some(&DonePayment { payment, position, at_ms }) = self.done_payments.front() else {
                return false;
            };
            let crowded = self.done_payments.len() > self.settings.closed_hot_max;
            let stay_ms = if crowded { STAY_MIN_MS } else { self.settings.retain_closed_ms };
            if now_ms < at_ms.saturating_add(stay_ms) || position > stored {
                return false;
            }
            self.done_payments.pop_front();
            if let Some(store) = &self.shared.store {
                store.add_payment(payment);
            }
            if let Some(record) = self.slot(payment.slot()).payments.remove(&payment) {
                self.left_sum = self.left_sum.wrapping_add(record.record_hash(payment));
            }
        }
        true
    }
}
