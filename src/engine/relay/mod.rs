//! The relay in the running engine.

mod handle;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use crate::domain::ids::Position;
use crate::engine::Engine;
use crate::relay::{
    DeadPage, DeadRelayed, Hub, Message, RelayConfig, RelayError, Start, SubscriptionSpec, SubscriptionStatus,
};

pub(crate) use handle::RelayHandle;
pub(super) use handle::check;
pub use stream::RelayStream;

/// The relay of an engine: a cheap-to-clone handle.
///
/// Every method answers [`RelayError::Off`] once the engine is closed, [`RelayError::Storage`] where what the relay keeps
/// can't be read or written, and, with a name, [`RelayError::NotFound`] where there is no such subscription. What a
/// command changes is durable when it answers.
///
/// ```
/// use stockade::{Config, Durability, Engine};
/// use stockade::relay::{SubscriptionSpec, SubscriptionState};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
/// let relay = engine.relay()?;
/// let spec: SubscriptionSpec =
///     serde_json::from_str(r#"{"events": ["OrderCreated"], "sink": {"kind": "pull"}}"#)?;
/// let made = relay.create("erp", spec).await?;
/// assert_eq!(made.state, SubscriptionState::Running);
/// assert_eq!(relay.pause("erp").await?.state, SubscriptionState::Paused);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Relay {
    hub: Arc<Hub>,
}

impl Engine {
    /// Its relay. Without a data directory what it keeps is in memory, as the journal is.
    ///
    /// # Errors
    /// [`RelayError::Off`] in an engine that is closed.
    pub fn relay(&self) -> Result<Relay, RelayError> {
        let hub = &self.inner.relay.hub;
        if hub.is_closed() { Err(RelayError::Off) } else { Ok(Relay { hub: Arc::clone(hub) }) }
    }
}

impl Relay {
    /// All subscriptions, by name; 64 at most. None once the engine is closed.
    pub fn subscriptions(&self) -> Vec<(String, SubscriptionStatus)> {
        self.hub.statuses()
    }

    /// Why nothing works, where what the relay keeps could not be read when the engine was opened: every command is answered
    /// with it, the whole journal is kept, and orders go on.
    pub fn failure(&self) -> Option<RelayError> {
        self.hub.failure()
    }

    /// One subscription.
    ///
    /// # Errors
    /// Those of every method.
    pub fn subscription(&self, name: &str) -> Result<SubscriptionStatus, RelayError> {
        self.hub.status(name)
    }

    /// Makes a subscription. The same again changes nothing; a secret that is left empty counts as the same.
    ///
    /// # Errors
    /// [`RelayError::Invalid`], [`RelayError::Exists`] or [`RelayError::Configured`] where there is one of that name with
    /// other settings, [`RelayError::TooMany`]; [`RelayError::Trimmed`] or [`RelayError::Ahead`] for where it is to start.
    pub async fn create(&self, name: &str, spec: SubscriptionSpec) -> Result<SubscriptionStatus, RelayError> {
        self.hub.create(name, spec).await
    }

    /// Makes a subscription, or gives one that was made by a call other settings: its cursor, its dead letters and whether it
    /// is paused stay, and where it was to start counts no more. Settings that are all the same change nothing, a secret that is
    /// left empty counting as the same.
    ///
    /// # Errors
    /// [`RelayError::Invalid`], [`RelayError::Configured`] where it comes from the configuration and the settings differ,
    /// [`RelayError::TooMany`]; [`RelayError::Trimmed`] or [`RelayError::Ahead`] for where a new one is to start.
    pub async fn put(&self, name: &str, spec: SubscriptionSpec) -> Result<SubscriptionStatus, RelayError> {
        self.hub.put(name, spec).await
    }

    /// Pauses it: nothing more is sent, and the journal is kept for it, up to its `lag_bytes_max`. A suspended one stays
    /// suspended.
    ///
    /// # Errors
    /// Those of every method.
    pub async fn pause(&self, name: &str) -> Result<SubscriptionStatus, RelayError> {
        self.hub.pause(name).await
    }

    /// Lets a paused, suspended or failed one go on, behind what it misses; [`SubscriptionStatus::missing`] says what that
    /// is. One whose sink is down tries it at once.
    ///
    /// # Errors
    /// Those of every method.
    pub async fn resume(&self, name: &str) -> Result<SubscriptionStatus, RelayError> {
        self.hub.resume(name).await
    }

    /// Moves its cursor, back or forth. A suspended one goes on from there, a paused one stays paused. Waits up to 5 s for
    /// what is on its way.
    ///
    /// # Errors
    /// [`RelayError::Trimmed`], [`RelayError::Ahead`].
    pub async fn seek(&self, name: &str, to: Start) -> Result<SubscriptionStatus, RelayError> {
        self.hub.seek(name, to).await
    }

    /// Deletes it, with its dead letters. Waits up to 5 s for what is on its way, and 5 s for its sink to close.
    ///
    /// # Errors
    /// [`RelayError::Configured`].
    pub async fn delete(&self, name: &str) -> Result<(), RelayError> {
        self.hub.delete(name).await
    }

    /// Messages behind the cursor of a pulled subscription, and behind `after` where that is given: at most `len_max`, 1 to
    /// 1,000, and about 8 MiB. Waits up to `wait`, 30 s at most, for the first; none then. Polled again without `after` it
    /// gives the same.
    ///
    /// # Errors
    /// [`RelayError::NotPulled`], [`RelayError::Busy`] while somebody else polls, [`RelayError::Stopped`] unless it runs,
    /// [`RelayError::Invalid`] for `len_max`, [`RelayError::Trimmed`] where a journal in memory has forgotten them.
    pub async fn poll(
        &self,
        name: &str,
        after: Option<Position>,
        len_max: usize,
        wait: Duration,
    ) -> Result<Vec<Message>, RelayError> {
        self.hub.poll(name, after, len_max, wait).await
    }

    /// Moves a pulled subscription's cursor behind `position`, durably; a position before the cursor changes nothing.
    ///
    /// # Errors
    /// [`RelayError::NotPulled`], [`RelayError::Stopped`] unless it runs, [`RelayError::Ahead`].
    pub async fn acknowledge(
        &self,
        name: &str,
        position: Position,
    ) -> Result<SubscriptionStatus, RelayError> {
        self.hub.acknowledge(name, position).await
    }

    /// A pulled subscription's messages as a stream, from its cursor on. What is not acknowledged comes again from the next
    /// stream.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, SubmitOrder};
    /// use stockade::relay::SubscriptionSpec;
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let relay = engine.relay()?;
    /// let spec: SubscriptionSpec =
    ///     serde_json::from_str(r#"{"events": ["OrderCreated"], "sink": {"kind": "pull"}}"#)?;
    /// relay.create("erp", spec).await?;
    /// let placed = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    ///
    /// let mut orders = relay.stream("erp")?;
    /// let message = orders.next().await?;
    /// assert_eq!(message.order_no, Some(placed.order_no));
    /// // Once the message has had its effect:
    /// orders.ack(message.position).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RelayError::NotPulled`].
    pub fn stream(&self, name: &str) -> Result<RelayStream, RelayError> {
        self.hub.check_pulled(name)?;
        Ok(RelayStream::new(self.clone(), name))
    }

    /// A page of dead letters, from a position on; at most `len_max`, 1 to 1,000, and about 8 MiB.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] for `len_max`.
    pub async fn dead_letters(
        &self,
        name: &str,
        from: Position,
        len_max: usize,
    ) -> Result<DeadPage, RelayError> {
        self.hub.dead_letters(name, from, len_max).await
    }

    /// One dead letter.
    ///
    /// # Errors
    /// [`RelayError::NoDeadLetter`].
    pub async fn dead_letter(&self, name: &str, position: Position) -> Result<DeadRelayed, RelayError> {
        self.hub.dead_letter(name, position).await
    }

    /// Has one dead letter, or all, delivered again, oldest first. With one letter of an order go the others of that order,
    /// since they wait for each other. Answers how many. What is refused once more is a dead letter again.
    ///
    /// # Errors
    /// [`RelayError::NoDeadLetter`], [`RelayError::Stopped`] where it has failed.
    pub async fn requeue(&self, name: &str, position: Option<Position>) -> Result<u64, RelayError> {
        self.hub.requeue(name, position).await
    }

    /// Throws one dead letter, or all, away. Answers how many. Once an order has none left, its next events are delivered
    /// again.
    ///
    /// # Errors
    /// [`RelayError::NoDeadLetter`], [`RelayError::Stopped`] where it has failed.
    pub async fn discard(&self, name: &str, position: Option<Position>) -> Result<u64, RelayError> {
        self.hub.discard(name, position).await
    }

    /// Puts the subscriptions of another configuration in force: new ones are made, others change and keep their cursor.
    /// Those that are not in it any more are paused, and are no longer the configuration's; they go on when they come back.
    ///
    /// # Errors
    /// [`RelayError::Invalid`] and [`RelayError::TooMany`] before anything is changed. Later the first error; the other
    /// subscriptions are in force all the same.
    pub async fn configure(&self, config: &RelayConfig) -> Result<(), RelayError> {
        self.hub.configure(config).await
    }
}
