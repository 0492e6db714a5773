//! The work list of refunds: those of the actor's orders and payments that somebody still has to do something about.
//!
//! An order with an unfinished refund stays in memory, so the list is exact without asking the store. Money that is for
//! no order has its refund here, too, at the owner of its payment, also once it is finished.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::actor::{OrderActor, OrderEffects};
use super::{RefundCursor, StepRequest};
use crate::actors::reply::{Answer, RefundReceipt};
use crate::domain::event::Event;
use crate::domain::ids::PaymentId;
use crate::domain::refund::{Refund, RefundNo, RefundState, UnmatchedRefund};
use crate::domain::reject::Reject;

/// Unfinished refunds by state, each with when it came about: the oldest first.
#[derive(Debug, Default)]
pub(crate) struct WorkList {
    by_state: [BTreeSet<(u64, RefundNo)>; RefundState::UNFINISHED.len()],
}

impl WorkList {
    /// Puts a refund on the list. One that is over doesn't go there.
    fn insert(&mut self, state: RefundState, since_ms: u64, refund_no: RefundNo) {
        if let Some(place) = place(state) {
            self.by_state[place].insert((since_ms, refund_no));
        }
    }

    /// Takes a refund off the list.
    fn remove(&mut self, state: RefundState, since_ms: u64, refund_no: RefundNo) {
        if let Some(place) = place(state) {
            self.by_state[place].remove(&(since_ms, refund_no));
        }
    }

    /// When the oldest refund on the list came about, in ms since the Unix epoch. Looks at one end of each list.
    pub(super) fn oldest_since_ms(&self) -> Option<u64> {
        self.by_state.iter().filter_map(|list| list.first()).map(|(since_ms, _)| *since_ms).min()
    }

    /// The oldest refunds behind a cursor, over some states.
    fn page(
        &self,
        states: &[RefundState],
        after: Option<RefundCursor>,
        len_max: usize,
    ) -> Vec<(u64, RefundNo)> {
        let from = match after {
            Some(RefundCursor { since_ms, refund_no }) => Bound::Excluded((since_ms, refund_no)),
            None => Bound::Unbounded,
        };
        let mut found: Vec<_> = Vec::new();
        for (state, list) in RefundState::UNFINISHED.iter().zip(&self.by_state) {
            if states.contains(state) {
                found.extend(list.range((from, Bound::Unbounded)).take(len_max));
            }
        }
        found.sort_unstable();
        found.truncate(len_max);
        found
    }
}

fn place(state: RefundState) -> Option<usize> {
    RefundState::UNFINISHED.iter().position(|unfinished| *unfinished == state)
}

impl OrderActor {
    /// Puts an order's unfinished refunds on the list.
    pub(super) fn list_refunds(&mut self, index: u32) {
        let Self { records, work, .. } = self;
        let order = &records.get(index).order;
        for refund in order.refunds() {
            work.insert(refund.state, refund.since_ms, refund.refund_no);
        }
    }

    /// Takes them off the list, before the order changes.
    pub(super) fn unlist_refunds(&mut self, index: u32) {
        let Self { records, work, .. } = self;
        let order = &records.get(index).order;
        for refund in order.refunds() {
            work.remove(refund.state, refund.since_ms, refund.refund_no);
        }
    }

    /// A page of the work list, oldest first.
    pub(super) fn refunds_page(
        &self,
        states: &[RefundState],
        after: Option<RefundCursor>,
        len_max: usize,
    ) -> Vec<Refund> {
        let page = self.work.page(states, after, len_max).into_iter();
        page.filter_map(|(_since_ms, refund_no)| match refund_no {
            RefundNo::Order { order_no, ordinal } => {
                let index = self.find(order_no)?;
                self.records.get(index).order.refund(ordinal)
            }
            RefundNo::Payment(payment) => self.unmatched.get(&payment).map(UnmatchedRefund::show),
        })
        .collect()
    }

    /// Everything on the list, with its state.
    #[cfg(test)]
    pub(crate) fn listed_refunds(&self) -> Vec<(RefundNo, RefundState)> {
        let lists = RefundState::UNFINISHED.iter().zip(&self.work.by_state);
        lists.flat_map(|(state, list)| list.iter().map(|(_, refund_no)| (*refund_no, *state))).collect()
    }

    /// Enters the refund of a payment that is for no order.
    pub(crate) fn restore_unmatched(&mut self, refund: UnmatchedRefund) {
        self.work.insert(refund.state, refund.since_ms, RefundNo::Payment(refund.payment));
        self.unmatched.insert(refund.payment, refund);
    }

    /// Applies a step of such a refund. False where there is no such refund.
    pub(super) fn apply_unmatched(
        &mut self,
        payment: PaymentId,
        step: &crate::domain::refund::RefundStep,
    ) -> bool {
        let Self { unmatched, work, .. } = self;
        let Some(refund) = unmatched.get_mut(&payment) else { return false };
        work.remove(refund.state, refund.since_ms, RefundNo::Payment(payment));
        refund.apply(step);
        work.insert(refund.state, refund.since_ms, RefundNo::Payment(payment));
        true
    }

    /// The provider's side reports about the refund of a payment that is for no order.
    pub(super) fn step_unmatched(&mut self, request: StepRequest, now_ms: u64, effects: &mut OrderEffects) {
        let StepRequest { payment, step, reply } = request;
        let result = match self.unmatched.get(&payment) {
            None => Err(Reject::RefundNotFound),
            Some(refund) => refund.decide(&step),
        };
        let result = result.map(|changes| {
            if changes {
                self.apply_unmatched(payment, &step);
                effects.entries.push(&[Event::UnmatchedRefund { at_ms: now_ms, payment, what: step }]);
            }
            let refund = &self.unmatched[&payment];
            RefundReceipt {
                refund_no: RefundNo::Payment(payment),
                state: refund.state,
                amount: refund.amount,
                order_status: None,
            }
        });
        // What it shows may not be durable yet (R4).
        effects.durable_answers.push(Answer::to(reply, result));
    }
}
