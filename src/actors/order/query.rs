//! Questions. What they show waits until it is durable (R4).

use super::actor::{OrderActor, OrderEffects};
use super::cold::Load;
use super::records::NONE;
use super::slots::limit_hash;
use super::{OrderItem, Query};
use crate::actors::reply::Answer;
use crate::domain::hash::{RecordHasher, kinds};
use crate::domain::ids::{MemberId, OrderNo, Position, Slot};
use crate::domain::order::Order;
use crate::domain::refund::UnmatchedRefund;
use crate::domain::reject::Reject;

/// Answers one question.
pub(super) fn answer(
    actor: &mut OrderActor,
    query: Query,
    acknowledged: Position,
    effects: &mut OrderEffects,
) {
    match query {
        Query::Order { order_no, caller, reply } => {
            if actor.find(order_no).is_none() && actor.shared.store.is_some() {
                return effects.loads.push(Load::ShowOrder { order_no, caller, reply });
            }
            let result = actor.find_for(order_no, caller);
            let shown = result.as_ref().map(|index| actor.records.get(*index).order.last_position);
            if shown.is_ok_and(Position::is_provisional) && !actor.poisoned {
                // Changed in this round: the answer names positions, which the append is about to give.
                let query = Query::Order { order_no, caller, reply };
                return effects.routed.push((order_no.slot(), OrderItem::Query(query)));
            }
            let is_durable = shown.is_ok_and(|position| position <= acknowledged);
            let order = result.map(|index| actor.records.get(index).order.clone());
            effects.show(Answer::to(reply, order), is_durable);
        }
        Query::OrdersOf { member, before, len_max, reply } => {
            let orders = orders_of(actor, member, before, len_max);
            if orders.iter().any(|order| order.last_position.is_provisional()) && !actor.poisoned {
                let query = Query::OrdersOf { member, before, len_max, reply };
                return effects.routed.push((Slot::of_member(member), OrderItem::Query(query)));
            }
            // Also when the page is full: a newer order that is closed leaves memory before an older one that is not.
            if actor.shared.store.is_some() {
                return effects.loads.push(Load::OrdersOf { member, before, len_max, hot: orders, reply });
            }
            // After a failure what is durable is still shown (R13).
            let is_durable = orders.iter().all(|order| order.last_position <= acknowledged);
            effects.show(Answer::to(reply, Ok(orders)), is_durable);
        }
        Query::Refunds { states, after, len_max, reply } => {
            let refunds = actor.refunds_page(&states, after, len_max);
            effects.durable_answers.push(Answer::to(reply, Ok(refunds)));
        }
        Query::UnmatchedRefund { payment, reply } => {
            let refund = actor.unmatched.get(&payment).map(UnmatchedRefund::show);
            effects.durable_answers.push(Answer::to(reply, refund.ok_or(Reject::RefundNotFound)));
        }
        Query::CouponsOf { member, now_ms, reply } => {
            let (coupons, last) = actor.coupons_of(member, now_ms);
            // A provisional position is above every other.
            effects.show(Answer::to(reply, Ok(coupons)), last <= acknowledged);
        }
        Query::Flush { reply } => effects.answers.push(Answer::to(reply, Ok(()))),
        Query::Hash { reply } => effects.answers.push(Answer::to(reply, Ok(actor.state_hash()))),
    }
}

fn orders_of(actor: &OrderActor, member: MemberId, before: Option<OrderNo>, len_max: usize) -> Vec<Order> {
    // A cursor that names one of the member's orders is a shortcut; any other number works by comparison.
    let cursor = before
        .and_then(|number| actor.tables.find_number(number))
        .filter(|index| actor.records.get(*index).order.member_id == member);
    let mut next = cursor.or_else(|| actor.tables.newest_of(member, &actor.records)).unwrap_or(NONE);
    let mut orders = Vec::new();
    while next != NONE && orders.len() < len_max {
        let record = actor.records.get(next);
        if before.is_none_or(|before| record.order.order_no < before) {
            orders.push(record.order.clone());
        }
        next = record.previous_of_member;
    }
    orders
}

impl OrderActor {
    /// Payments in memory.
    #[cfg(test)]
    pub(crate) fn payments_len(&self) -> usize {
        self.slots.iter().flatten().map(|slot| slot.payments.len()).sum()
    }

    /// The orders in memory.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Order> {
        self.records.iter().map(|(_index, record)| &record.order)
    }

    /// Whether an order is in memory.
    pub(crate) fn holds(&self, order_no: OrderNo) -> bool {
        self.find(order_no).is_some()
    }

    /// This actor's part of the state hash: the sum over its orders, limits, coupons and payments, those that have left memory
    /// included. Takes time in proportion to the number of those in memory.
    pub(crate) fn state_hash(&self) -> u64 {
        let left_sum = self.left_sum.wrapping_add(self.coupons_hash());
        let mut sum = self
            .records
            .iter()
            .fold(left_sum, |sum, (_index, record)| sum.wrapping_add(record.order.record_hash()));
        for refund in self.unmatched.values() {
            sum = sum.wrapping_add(refund.record_hash());
        }
        for slot in self.slots.iter().flatten() {
            for ((member, key), limit) in &slot.limits {
                if limit.elsewhere > 0 {
                    let hash = key.fold_into(RecordHasher::new(kinds::LIMIT_ELSEWHERE).word(member.0));
                    sum = sum.wrapping_add(hash.word(u64::from(limit.elsewhere)).finish());
                }
                // One whose figure is still in the store counts among what has left memory.
                sum = sum.wrapping_add(limit_hash(*member, key, limit.used));
            }
            for (payment, record) in &slot.payments {
                sum = sum.wrapping_add(record.record_hash(*payment));
            }
        }
        sum
    }
}
