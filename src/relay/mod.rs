//! The relay: durable subscriptions that carry events to other systems, at least once and in order per order (R11).
//!
//! ```text
//! journal ── durable events ──▶ a subscription's lanes ── message ──▶ sink (RabbitMQ, NATS, webhook)
//!                                  │     ▲ retry, backoff                │ confirmed / refused / down
//!                                  │     └───────────────────────────────┘
//!                                  ├ cursor: everything before it is done ──▶ book, fdatasync ──▶ journal may be trimmed
//!                                  └ refused too often ──▶ dead letters
//! pulled subscriptions: poll ── messages behind the cursor ── ack moves it
//! ```

pub mod message;
pub mod sink;
pub mod sinks;
pub mod spec;

mod board;
mod book;
mod check;
mod dead;
mod error;
mod hub;
mod lanes;
mod names;
mod pull;
mod reading;
mod status;
mod task;
mod world;

pub(crate) use hub::{Hub, Parts};
pub(crate) use world::ProgramSinks;

pub use check::{NAME_BYTES_MAX, SUBSCRIPTIONS_MAX};
pub use error::RelayError;
pub use message::{Message, Orders, RenderError, RenderOptions, Renderer};
pub use names::event_names;
pub use pull::{POLL_LEN_MAX, POLL_WAIT_MS_MAX};
pub use sink::{Delivery, Sink, Undelivered};
pub use spec::{
    EventChoice, NatsSpec, PersonalChoice, RabbitSpec, RelayConfig, RetrySpec, Secret, SinkSpec, Start,
    SubscriptionSpec, WebhookSpec,
};
pub use status::{DeadPage, DeadRelayed, SubscriptionState, SubscriptionStatus};
