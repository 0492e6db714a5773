//! What is delivered: an event as JSON.

use crate::domain::ids::{OrderNo, Position};

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
