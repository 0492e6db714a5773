//! The index of external numbers: unique over all members, so it belongs to no slot.
//!
//! A claim is taken before the order's first hold and becomes final once its `OrderCreated` is
//! appended, or is given back.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::domain::ids::OrderNo;

/// Who has an external number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// An order that is still being decided, or not appended yet.
    Claimed,
    /// A placed order.
    Order(OrderNo),
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is the caller's now.
    Granted,
    /// A placed order has it.
    Taken,
    /// An order that is still being decided, or not appended yet, has it.
    Busy,
}

/// External number to order.
#[derive(Debug, Default)]
pub(crate) struct ExternalIndex {
    owners: DashMap<Box<str>, Owner>,
}

impl ExternalIndex {
    /// Claims a number for an order that is about to collect its lines.
    pub(crate) fn claim(&self, external_no: &str) -> Claim {
        match self.owners.entry(external_no.into()) {
            Entry::Vacant(vacant) => {
                vacant.insert(Owner::Claimed);
                Claim::Granted
            }
            Entry::Occupied(occupied) => match occupied.get() {
                Owner::Claimed => Claim::Busy,
                Owner::Order(_) => Claim::Taken,
            },
        }
    }

    /// Makes a claim final.
    pub(crate) fn assign(&self, external_no: &str, order_no: OrderNo) {
        self.owners.insert(external_no.into(), Owner::Order(order_no));
    }

    /// Gives back a claim whose order was not placed.
    pub(crate) fn give_back(&self, external_no: &str) {
        self.owners.remove_if(external_no, |_, owner| *owner == Owner::Claimed);
    }

    /// The placed order with this number.
    pub(crate) fn find(&self, external_no: &str) -> Option<OrderNo> {
        match *self.owners.get(external_no)? {
            Owner::Claimed => None,
            Owner::Order(order_no) => Some(order_no),
        }
    }
}
