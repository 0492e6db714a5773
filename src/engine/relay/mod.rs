//! The relay in the running engine.

use std::time::Duration;

use crate::domain::ids::Position;
use crate::engine::Engine;
use crate::relay::{
    DeadPage, DeadRelayed, Message, RelayConfig, RelayError, Start, SubscriptionSpec, SubscriptionStatus,
};

/// The relay of an engine: a cheap-to-clone handle.
#[derive(Clone, Debug)]
pub struct Relay {}

impl Engine {
    /// Its relay.
    ///
    /// # Errors
    /// [`RelayError::Off`] in an engine without a data directory, or one that is closed.
    pub fn relay(&self) -> Result<Relay, RelayError> {
        Err(RelayError::Off)
    }
}

impl Relay {
    /// All subscriptions, by name.
    pub fn subscriptions(&self) -> Vec<(String, SubscriptionStatus)> {
        unimplemented!()
    }

    /// One subscription.
    pub fn subscription(&self, _name: &str) -> Result<SubscriptionStatus, RelayError> {
        unimplemented!()
    }

    /// Makes a subscription. The same again changes nothing.
    pub async fn create(
        &self,
        _name: &str,
        _spec: SubscriptionSpec,
    ) -> Result<SubscriptionStatus, RelayError> {
        unimplemented!()
    }

    /// Pauses it: nothing is delivered, and the journal is kept for it.
    pub async fn pause(&self, _name: &str) -> Result<SubscriptionStatus, RelayError> {
        unimplemented!()
    }

    /// Lets a paused or suspended one go on, behind what it misses.
    pub async fn resume(&self, _name: &str) -> Result<SubscriptionStatus, RelayError> {
        unimplemented!()
    }

    /// Moves its cursor.
    pub async fn seek(&self, _name: &str, _to: Start) -> Result<SubscriptionStatus, RelayError> {
        unimplemented!()
    }

    /// Deletes it, with its dead letters.
    pub async fn delete(&self, _name: &str) -> Result<(), RelayError> {
        unimplemented!()
    }

    /// Messages behind the cursor of a pulled subscription, and behind `after` where that is given: at most `len_max`, 1 to
    /// 1,000. Waits up to `wait`, 30 s at most, for the first.
    pub async fn poll(
        &self,
        _name: &str,
        _after: Option<Position>,
        _len_max: usize,
        _wait: Duration,
    ) -> Result<Vec<Message>, RelayError> {
        unimplemented!()
    }

    /// Moves a pulled subscription's cursor behind `position`, durably.
    pub async fn acknowledge(
        &self,
        _name: &str,
        _position: Position,
    ) -> Result<SubscriptionStatus, RelayError> {
        unimplemented!()
    }

    /// A page of dead letters, from a position on; at most `len_max`, 1 to 1,000.
    pub async fn dead_letters(
        &self,
        _name: &str,
        _from: Position,
        _len_max: usize,
    ) -> Result<DeadPage, RelayError> {
        unimplemented!()
    }

    /// One dead letter.
    pub async fn dead_letter(&self, _name: &str, _position: Position) -> Result<DeadRelayed, RelayError> {
        unimplemented!()
    }

    /// Has one dead letter, or all, delivered again. Answers how many.
    pub async fn requeue(&self, _name: &str, _position: Option<Position>) -> Result<u64, RelayError> {
        unimplemented!()
    }

    /// Throws one dead letter, or all, away. Answers how many.
    pub async fn discard(&self, _name: &str, _position: Option<Position>) -> Result<u64, RelayError> {
        unimplemented!()
    }

    /// Puts the subscriptions of another configuration in force. Those that are not in it any more are paused.
    pub async fn configure(&self, _config: &RelayConfig) -> Result<(), RelayError> {
        unimplemented!()
    }
}
