//! NATS JetStream: a consumer that reads a stream by its own place in it, and the stream of a test.
//!
//! It acknowledges nothing: JetStream sends what was not acknowledged again after later messages, and it is the relay's
//! sequence that is to be seen, not the consumer's.

use async_nats::jetstream;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use futures_util::StreamExt;
use stockade::relay::{NatsSpec, Secret};

use super::{CONNECT_MAX, Inbox, QUIET, RECONNECT};
use crate::Failure;

/// Quiet spells in a row after which the consumer is made anew: one that the server has forgotten is never told so.
const QUIET_MAX: u32 = 6;

/// A NATS server, and what is where in it.
#[derive(Clone)]
pub(crate) struct Nats {
    /// `host:port`.
    pub(crate) address: String,
    /// The stream, and what its subjects begin with.
    pub(crate) name: String,
}

impl Nats {
    /// The subscription's side: a stream that the relay makes.
    pub(crate) fn spec(&self) -> NatsSpec {
        NatsSpec {
            address: self.address.clone(),
            user: None,
            password: Secret::default(),
            tls: false,
            tls_ca: None,
            stream: self.name.clone(),
            subject: format!("{}.{{event}}", self.name),
        }
    }

    async fn connect(&self) -> Result<jetstream::Context, Failure> {
        let options = async_nats::ConnectOptions::new().connection_timeout(CONNECT_MAX);
        Ok(jetstream::new(options.connect(format!("nats://{}", self.address)).await?))
    }

    /// Deletes the stream.
    pub(crate) async fn remove(&self) -> Result<(), Failure> {
        self.connect().await?.delete_stream(&self.name).await?;
        Ok(())
    }

    /// Takes what comes, again after each loss of the connection, until it is told to stop. The stream may be made later.
    pub(crate) async fn consume(self, inbox: Inbox) {
        let mut next_sequence = 1;
        while !inbox.is_stopped() {
            // The broker is stopped on purpose: whatever goes wrong, it is tried again.
            if self.consume_once(&inbox, &mut next_sequence).await.is_err() {
                tokio::time::sleep(RECONNECT).await;
            }
        }
    }

    async fn consume_once(&self, inbox: &Inbox, next_sequence: &mut u64) -> Result<(), Failure> {
        let stream = self.connect().await?.get_stream(&self.name).await?;
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: *next_sequence },
            ack_policy: AckPolicy::None,
            ..pull::Config::default()
        };
        let mut messages = stream.create_consumer(config).await?.messages().await?;
        let mut quiet = 0;
        while !inbox.is_stopped() && quiet < QUIET_MAX {
            let Ok(message) = tokio::time::timeout(QUIET, messages.next()).await else {
                quiet += 1;
                continue;
            };
            quiet = 0;
            let message = message.ok_or("the consumer has ended")??;
            let sequence = message.info()?.stream_sequence;
            if sequence < *next_sequence {
                continue;
            }
            inbox.received().take(&message.payload);
            *next_sequence = sequence + 1;
        }
        Ok(())
    }
}
