//! What is delivered: an event as JSON.
//!
//! A [`Renderer`] makes messages of events, in the journal's order. Most of what a message says stands in its event; whose
//! order it is, what the order costs and how it stands after the event comes from what the renderer remembers of the
//! events before, or from the engine, by [`Orders`]. It delivers nothing and keeps nothing durably.
//!
//! `docs/relay-message.schema.json` describes the form, and is its contract: fields are added, never changed or taken
//! away, unless `schema` in the message counts up.

mod facts;
mod form;
mod operation;
mod order;
mod payload;
mod setting;
mod task;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;

use crate::domain::catalogue::Sku;
use crate::domain::event::{Event, OrderCreated};
use crate::domain::ids::{MemberId, OrderNo, Pool, Position, ProductId, SkuId, StockKey};
use crate::domain::import::IMPORTED_REVISION;
use crate::domain::instant::rfc3339;
use crate::domain::order::Order;
use crate::domain::reject::Reject;
use crate::domain::setting::{SaleControl, Setting};
use crate::journal::RecordedEvent;
use crate::relay::spec::PersonalChoice;

use facts::{Facts, Known};
use form::{Text, Texts};
use operation::operation_of;
use order::ShownOrder;
use payload::Payload;

/// A message, ready to be sent. `docs/relay-message.schema.json` describes its body.
/// Its `Debug` form shows no more of the body than its size.
#[derive(Clone, PartialEq, Eq)]
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

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("position", &self.position)
            .field("order_no", &self.order_no)
            .field("event", &self.event)
            .field("at_ms", &self.at_ms)
            .field("attempt", &self.attempt)
            .field("body_bytes", &self.body.len())
            .finish()
    }
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
    /// It can't be written as JSON, which nothing that events say gives cause for.
    #[error("{event} can't be written as JSON: {reason}")]
    Form {
        /// The event.
        event: &'static str,
        /// What serde says, which repeats no values.
        reason: String,
    },
}

/// Makes messages of events, for one subscription.
pub struct Renderer {
    orders: Arc<dyn Orders>,
    options: RenderOptions,
    known: Known,
    /// The position of the event that came last; 0 before the first.
    last: Position,
}

impl fmt::Debug for Renderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renderer")
            .field("options", &self.options)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}

impl Renderer {
    /// A renderer that remembers nothing yet.
    pub fn new(orders: Arc<dyn Orders>, options: RenderOptions) -> Self {
        Self { orders, options, known: Known::default(), last: Position(0) }
    }

    /// Takes note of an event that gets no message, because the subscription did not choose it. Cheap, and asks nobody;
    /// without it the orders of later events are looked up again.
    pub fn pass(&mut self, recorded: &RecordedEvent) {
        self.come_to(recorded.position);
        match &recorded.event {
            Event::OrderCreated(created) => self.create(created),
            event => {
                if let Some((order_no, version)) = event.order_version() {
                    self.follow(order_no, event, version);
                }
            }
        }
        self.last = recorded.position;
    }

    /// The message of an event. Called in the journal's order, and for the same event again where it failed. A jump to
    /// another position is noticed: then orders are looked up anew.
    ///
    /// At most two look-ups of the event's order, where it isn't remembered or a snapshot is wanted.
    ///
    /// # Errors
    /// [`RenderError`]: the event can be tried again.
    pub async fn render(&mut self, recorded: &RecordedEvent) -> Result<Message, RenderError> {
        self.come_to(recorded.position);
        let RecordedEvent { position, entry, event } = recorded;
        let order_no = order_of(event);
        let facts = match order_no {
            None => None,
            Some(order_no) => self.facts(order_no, recorded).await?,
        };
        let snapshot = match order_no {
            Some(order_no) if self.options.snapshot => self.look_up(order_no).await?,
            _ => None,
        };
        let orders = &*self.orders;
        let personal = self.options.personal;
        let (skus, products) = match &facts {
            Some(facts) => (facts.skus.clone(), facts.products.clone()),
            None => goods_of(event, orders),
        };
        let envelope = Envelope {
            schema: SCHEMA,
            position: position.0,
            entry: entry.0,
            event: event.name(),
            operation: operation_of(event),
            at: rfc3339(event.at_ms()),
            at_ms: event.at_ms(),
            order_no: order_no.map(Text),
            version: event.order_version().map(|(_, version)| version),
            user_id: facts.as_ref().map(|facts| facts.member).or_else(|| member_of(event)).map(Text),
            order_type: facts.as_ref().map(|facts| facts.order_type.name()),
            status: facts.as_ref().map(|facts| facts.status.name()),
            external_no: facts.as_ref().and_then(|facts| facts.external_no.as_deref()),
            amount: facts.as_ref().map(|facts| facts.amount.minor()),
            product_ids: Texts(&products),
            sku_ids: Texts(&skus),
            personal,
            payload: Payload { recorded, orders, personal },
            snapshot: self
                .options
                .snapshot
                .then(|| snapshot.as_ref().map(|order| ShownOrder { order, orders, personal })),
        };
        let mut body = Vec::with_capacity(1024);
        serde_json::to_writer(&mut body, &envelope)
            .map_err(|error| RenderError::Form { event: event.name(), reason: error.to_string() })?;
        self.last = *position;
        let (event, at_ms) = (event.name(), event.at_ms());
        Ok(Message { position: *position, order_no, event, at_ms, attempt: 0, body: body.into() })
    }

    /// What is remembered holds for the next event only.
    fn come_to(&mut self, position: Position) {
        if position != self.last && position.0 != self.last.0.saturating_add(1) {
            self.known.clear();
        }
    }

    fn create(&mut self, created: &OrderCreated) {
        self.known.insert(created.order_no, Facts::created(created, &*self.orders));
    }

    /// Takes an event of an order that is remembered. Answers whether it is.
    fn follow(&mut self, order_no: OrderNo, event: &Event, version: u32) -> bool {
        match self.known.get_mut(order_no) {
            // It is tried again.
            Some(facts) if facts.version >= version => true,
            Some(facts) if facts.version + 1 == version => {
                facts.apply(event, version);
                true
            }
            _ => false,
        }
    }

    /// The order of an event as it was after it.
    async fn facts(
        &mut self,
        order_no: OrderNo,
        recorded: &RecordedEvent,
    ) -> Result<Option<Facts>, RenderError> {
        let version = recorded.event.order_version().map(|(_, version)| version);
        let is_known = match (&recorded.event, version) {
            (Event::OrderCreated(created), _) => {
                self.create(created);
                true
            }
            (event, Some(version)) => self.follow(order_no, event, version),
            (_, None) => self.known.get_mut(order_no).is_some(),
        };
        if !is_known {
            let Some(order) = self.look_up(order_no).await? else { return Ok(None) };
            if let Some(expected) = version.filter(|expected| order.version < *expected) {
                return Err(RenderError::Behind { order_no, version: order.version, expected });
            }
            let Some(facts) = Facts::at(recorded.position, &order, &*self.orders) else { return Ok(None) };
            self.known.insert(order_no, facts);
        }
        Ok(self.known.get_mut(order_no).map(|facts| facts.clone()))
    }

    async fn look_up(&self, order_no: OrderNo) -> Result<Option<Order>, RenderError> {
        let found = self.orders.order(order_no).await;
        found.map_err(|reject| RenderError::Unanswered { order_no, reject })
    }
}

/// Version of the form. It counts up only where something that consumers rely on is changed or taken away.
pub const SCHEMA: u32 = 1;

/// A message's body. Every field is always there, null where an event has nothing of it.
#[derive(Serialize)]
struct Envelope<'a> {
    schema: u32,
    position: u64,
    entry: u64,
    event: &'static str,
    operation: &'static str,
    at: String,
    at_ms: u64,
    order_no: Option<Text<OrderNo>>,
    version: Option<u32>,
    user_id: Option<Text<MemberId>>,
    order_type: Option<&'static str>,
    status: Option<&'static str>,
    external_no: Option<&'a str>,
    amount: Option<i64>,
    product_ids: Texts<'a, ProductId>,
    sku_ids: Texts<'a, SkuId>,
    personal: PersonalChoice,
    payload: Payload<'a>,
    /// Only where the subscription wants snapshots.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<Option<ShownOrder<'a>>>,
}

/// The member that an event of no order names.
fn member_of(event: &Event) -> Option<MemberId> {
    match event {
        Event::LimitImported { member_id, .. } => Some(*member_id),
        Event::Coupon(coupon) => Some(coupon.step().member),
        Event::SettingPut { setting, .. } => match **setting {
            Setting::Control(SaleControl::MemberBlocked { member, .. }) => Some(member),
            _ => None,
        },
        _ => None,
    }
}

/// The SKUs and products that an event of no order is about.
fn goods_of(event: &Event, orders: &dyn Orders) -> (Arc<[SkuId]>, Arc<[ProductId]>) {
    let of_key = |key: &StockKey| (key.pool <= Pool::GroupBuy).then_some(key.sku);
    let sku = match event {
        Event::SkuPut { sku, .. } => return (Arc::new([sku.id]), Arc::new([sku.product_id])),
        Event::StockAdjusted { key, .. } | Event::LimitImported { key, .. } => of_key(key),
        Event::StockTransferred { from, .. } => of_key(from),
        Event::SettingPut { setting, .. } => match &**setting {
            Setting::Control(SaleControl::SkuPaused { sku, .. }) => Some(*sku),
            Setting::Control(SaleControl::SafetyStock { key, .. }) => of_key(key),
            Setting::Shipping(shipping) => Some(shipping.sku_id),
            _ => None,
        },
        _ => None,
    };
    let product = sku.and_then(|sku| orders.sku(sku, IMPORTED_REVISION)).map(|sku| sku.product_id);
    (sku.into_iter().collect(), product.into_iter().collect())
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
