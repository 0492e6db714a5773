//! What happened to an order since it was placed.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

/// Stored as the event's place in [`EVENT_NAMES`], the time and the position.
impl Serialize for TimelineEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = EVENT_NAMES.iter().position(|name| *name == self.event);
        let place = place.and_then(|place| u8::try_from(place).ok());
        let place =
            place.ok_or_else(|| serde::ser::Error::custom(format!("no event is called {}", self.event)))?;
        (place, self.at_ms, self.position).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TimelineEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (place, at_ms, position) = <(u8, u64, Position)>::deserialize(deserializer)?;
        let event = EVENT_NAMES.get(usize::from(place)).copied();
        let event = event
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
}
