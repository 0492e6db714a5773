//! What happened to an order since it was placed.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::event::ORDER_EVENT_NAMES;
use super::later::OrderLater;
use super::status::RefundReason;
use crate::domain::event::EVENT_NAMES;
use crate::domain::ids::{PaymentId, Position};
use crate::domain::money::Money;
use crate::domain::request::Shipment;

/// What happened to an order, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// The event's stable name.
    pub event: &'static str,
    /// Engine time, in ms since the Unix epoch.
    pub at_ms: u64,
    /// The event's position in the journal.
    pub position: Position,
}

/// From this place on, a stored place means a name of [`ORDER_EVENT_NAMES`].
const ORDER_EVENTS_FROM: u8 = 64;

/// The stored place of an event's name.
fn place_of(event: &str) -> Option<u8> {
    let place = |names: &[&str]| names.iter().position(|name| *name == event);
    match place(&EVENT_NAMES) {
        Some(place) => u8::try_from(place).ok().filter(|place| *place < ORDER_EVENTS_FROM),
        None => u8::try_from(place(&ORDER_EVENT_NAMES)?).ok()?.checked_add(ORDER_EVENTS_FROM),
    }
}

/// The name with a stored place.
fn name_at(place: u8) -> Option<&'static str> {
    match place.checked_sub(ORDER_EVENTS_FROM) {
        None => EVENT_NAMES.get(usize::from(place)).copied(),
        Some(place) => ORDER_EVENT_NAMES.get(usize::from(place)).copied(),
    }
}

/// Stored as the place of the event's name, the time and the position.
impl Serialize for TimelineEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = place_of(self.event)
            .ok_or_else(|| serde::ser::Error::custom(format!("no event is called {}", self.event)))?;
        (place, self.at_ms, self.position).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TimelineEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (place, at_ms, position) = <(u8, u64, Position)>::deserialize(deserializer)?;
        let event = name_at(place)
            .ok_or_else(|| serde::de::Error::custom(format!("there is no event with number {place}")))?;
        Ok(Self { event, at_ms, position })
    }
}

/// A payment that must go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundDue {
    /// Which payment.
    pub payment: PaymentId,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: RefundReason,
}

/// The part of an order that a freshly placed one doesn't have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderHistory {
    /// The payment that paid it.
    pub paid_by: Option<PaymentId>,
    /// Payments that must go back.
    pub refunds: Vec<RefundDue>,
    /// How it travels, once shipped.
    pub shipment: Option<Shipment>,
    /// What happened after it was placed.
    pub timeline: Vec<TimelineEntry>,
    /// What only orders with a later life have; stored beside the rest under a tag of its own.
    #[serde(skip)]
    pub later: Option<Box<OrderLater>>,
}

/// The persisted form of an order's history: one tag, 0 for none, 1 for one without a later life, as it was before
/// there were any, 2 for one with it. So what older releases wrote reads as before, and most orders take not one byte
/// more.
pub(super) mod stored {
    use super::*;

    #[derive(Serialize)]
    enum StoredRef<'h> {
        None,
        Plain(&'h OrderHistory),
        Later(&'h OrderHistory, &'h OrderLater),
    }

    #[derive(Deserialize)]
    enum Stored {
        None,
        Plain(Box<OrderHistory>),
        Later(Box<OrderHistory>, Box<OrderLater>),
    }

    pub(in crate::domain::order) fn serialize<S: Serializer>(
        history: &Option<Box<OrderHistory>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let stored = match history.as_deref() {
            None => StoredRef::None,
            Some(history) => match history.later.as_deref().filter(|later| !later.is_empty()) {
                None => StoredRef::Plain(history),
                Some(later) => StoredRef::Later(history, later),
            },
        };
        stored.serialize(serializer)
    }

    pub(in crate::domain::order) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Box<OrderHistory>>, D::Error> {
        Ok(match Stored::deserialize(deserializer)? {
            Stored::None => None,
            Stored::Plain(history) => Some(history),
            Stored::Later(mut history, later) => {
                history.later = Some(later);
                Some(history)
            }
        })
    }
}
