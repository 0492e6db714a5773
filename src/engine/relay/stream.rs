//! A pulled subscription as a stream, for programs that embed the engine.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::Relay;
use crate::domain::ids::Position;
use crate::relay::{Message, POLL_WAIT_MS_MAX, RelayError};

/// Messages that are fetched at a time.
const AHEAD_LEN: usize = 256;

/// The messages of a pulled subscription, one after the other, from its cursor on. See [`Relay::stream`].
pub struct RelayStream {
    relay: Relay,
    name: String,
    ahead: VecDeque<Message>,
    last: Option<Position>,
}

impl RelayStream {
    pub(super) fn new(relay: Relay, name: &str) -> Self {
        Self { relay, name: name.to_owned(), ahead: VecDeque::new(), last: None }
    }

    /// The next message, once there is one. Cancel safe: a dropped call loses no message.
    ///
    /// # Errors
    /// As [`Relay::poll`]; [`RelayError::Off`] once the engine is closed. After an error it can be called again.
    pub async fn next(&mut self) -> Result<Message, RelayError> {
        loop {
            if let Some(message) = self.ahead.pop_front() {
                self.last = Some(message.position);
                return Ok(message);
            }
            let wait = Duration::from_millis(POLL_WAIT_MS_MAX);
            self.ahead = self.relay.poll(&self.name, self.last, AHEAD_LEN, wait).await?.into();
        }
    }

    /// Everything up to this position is done with: it comes no more, not even after a crash.
    ///
    /// # Errors
    /// As [`Relay::acknowledge`].
    pub async fn ack(&self, position: Position) -> Result<(), RelayError> {
        self.relay.acknowledge(&self.name, position).await.map(|_status| ())
    }
}

impl fmt::Debug for RelayStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Messages may hold personal data.
        f.debug_struct("RelayStream")
            .field("name", &self.name)
            .field("last", &self.last)
            .finish_non_exhaustive()
    }
}
