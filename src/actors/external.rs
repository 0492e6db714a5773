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
    /// An order that is still being decided.
    Claimed,
    /// An order that is placed and not appended yet. Whoever looks for it finds it: its actor answers after the append,
    /// and an acknowledgement may come before [`ExternalIndex::assign`] does.
    Placing(OrderNo),
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
                // Who hears "taken" waits for what is appended by then, so not before the append (R4).
                Owner::Claimed | Owner::Placing(_) => Claim::Busy,
                Owner::Order(_) => Claim::Taken,
            },
        }
    }

    /// Lets a claimed number be found. Before the append, because the order may be acknowledged the moment after it.
    pub(crate) fn place(&self, external_no: &str, order_no: OrderNo) {
        self.owners.insert(external_no.into(), Owner::Placing(order_no));
    }

    /// Makes a claim final, after the append.
    pub(crate) fn assign(&self, external_no: &str, order_no: OrderNo) {
        self.owners.insert(external_no.into(), Owner::Order(order_no));
    }

    /// Gives back a claim whose order was not placed.
    pub(crate) fn give_back(&self, external_no: &str) {
        self.owners.remove_if(external_no, |_, owner| *owner == Owner::Claimed);
    }

    /// The order leaves memory; who asks for its number from here on must ask the store.
    pub(crate) fn leave(&self, external_no: &str, order_no: OrderNo) {
        self.owners.remove_if(external_no, |_, owner| *owner == Owner::Order(order_no));
    }

    /// The placed order with this number, if it is in memory.
    pub(crate) fn find(&self, external_no: &str) -> Option<OrderNo> {
        match *self.owners.get(external_no)? {
            Owner::Claimed => None,
            Owner::Placing(order_no) | Owner::Order(order_no) => Some(order_no),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_as_soon_as_its_order_may_be_acknowledged() {
        let (index, order_no) = (ExternalIndex::default(), OrderNo::default());
        assert_eq!(index.claim("WEB-1"), Claim::Granted);
        assert_eq!(index.find("WEB-1"), None, "its order is still being decided");
        index.place("WEB-1", order_no);
        assert_eq!(
            index.find("WEB-1"),
            Some(order_no),
            "the journal may acknowledge it before `assign` runs"
        );
        assert_eq!(index.claim("WEB-1"), Claim::Busy, "it may not be appended yet");
        index.assign("WEB-1", order_no);
        assert_eq!((index.find("WEB-1"), index.claim("WEB-1")), (Some(order_no), Claim::Taken));
    }
}
