//! What the store answers to the order actors' questions: reads it, and says whom to tell.

use crate::actors::order::cold::{Load, Loaded};
use crate::actors::reply::Answer;
use crate::domain::ids::Slot;
use crate::domain::reject::Reject;
use crate::projection::levels::StoreError;
use crate::projection::store::StoreReader;

/// An answer on its way.
pub(crate) enum Told {
    /// To the owner of a slot.
    Owner(Slot, Loaded),
    /// To the caller, whose question needs no owner.
    Caller(Answer),
}

/// Answers one question. Requests are not looked for further back than `since_ms`, in ms since the epoch of order
/// numbers.
pub(crate) fn answer(store: &StoreReader, load: Load, since_ms: u64) -> Told {
    match load {
        Load::Order { order_no } => {
            let found = readable(store.order(order_no));
            Told::Owner(order_no.slot(), Loaded::Order { order_no, found })
        }
        Load::ShowOrder { order_no, caller, reply } => {
            let order = readable(store.any_order(order_no)).and_then(|order| {
                // R14: another member's order answers exactly as one that does not exist.
                order.filter(|order| caller.may_see(order.member_id)).ok_or(Reject::OrderNotFound)
            });
            Told::Caller(Answer::to(reply, order))
        }
        Load::OrdersOf { member, before, len_max, hot, reply } => {
            let orders = readable(store.orders_of(member, before, len_max, hot));
            Told::Owner(Slot::of_member(member), Loaded::OrdersOf { orders, reply })
        }
        Load::Submission { collect, member, request, external } => {
            let taken = match external {
                Some(external) => readable(store.external(external)).map(|order_no| order_no.is_some()),
                None => Ok(false),
            };
            let (found, external_taken) = match taken {
                Ok(taken) => (readable(store.request(member, request, since_ms)), taken),
                Err(reject) => (Err(reject), false),
            };
            Told::Owner(Slot::of_member(member), Loaded::Submission { collect, found, external_taken })
        }
        Load::Recall { recall, reply } => {
            let (member, request) = (recall.member_id, recall.request_id);
            let found = readable(store.request(member, request, since_ms));
            Told::Owner(Slot::of_member(member), Loaded::Recall { recall, reply, found })
        }
        Load::Payment { payment } => {
            let found = readable(store.payment(payment));
            Told::Owner(payment.slot(), Loaded::Payment { payment, found })
        }
    }
}

/// An answer of the store, or that it can't be read.
pub(super) fn readable<T>(result: Result<T, StoreError>) -> Result<T, Reject> {
    result.map_err(|error| {
        tracing::error!(%error, "the store can't be read");
        Reject::Unavailable
    })
}
