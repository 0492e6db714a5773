//! What the store answers to the order actors' questions: reads it, and says whom to tell.

use crate::actors::order::cold::{Load, Loaded};
use crate::actors::reply::Answer;
use crate::domain::ids::{MemberId, RequestId, Slot};
use crate::domain::order::Order;
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
        Load::Submission { collect, member, request, external, limits } => {
            let found = readable(submission(store, member, request, external, since_ms));
            let (found, external_taken) = match found {
                Ok((order, taken)) => (Ok(order), taken),
                Err(reject) => (Err(reject), false),
            };
            let limits = readable(store.limits(member, &limits));
            let told = Loaded::Submission { collect, found, external_taken, limits };
            Told::Owner(Slot::of_member(member), told)
        }
        Load::Limits { ticket, member, keys } => {
            let limits = readable(store.limits(member, &keys));
            Told::Owner(Slot::of_member(member), Loaded::Limits { ticket, limits })
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

/// The order that a request was placed as, and whether another one has its external number.
fn submission(
    store: &StoreReader,
    member: MemberId,
    request: RequestId,
    external: Option<u128>,
    since_ms: u64,
) -> Result<(Option<Order>, bool), StoreError> {
    let Some(external) = external else { return Ok((store.request(member, request, since_ms)?, false)) };
    let Some(owner) = store.external(external)? else {
        return Ok((store.request(member, request, since_ms)?, false));
    };
    // Placed by this very request, however long ago: an import's number is its identity.
    let own = |order: &Order| (order.member_id, order.request_id) == (member, request);
    match store.order(owner)?.filter(own) {
        Some(order) => Ok((Some(order), true)),
        None => Ok((store.request(member, request, since_ms)?, true)),
    }
}

/// An answer of the store, or that it can't be read.
pub(in crate::engine) fn readable<T>(result: Result<T, StoreError>) -> Result<T, Reject> {
    result.map_err(|error| {
        tracing::error!(%error, "the store can't be read");
        Reject::Unavailable
    })
}
