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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::brokers::control::OwnNats;
    use crate::brokers::{has_service, unique_name};

    async fn publish(nats: &Nats, positions: std::ops::Range<u64>) {
        let context = nats.connect().await.unwrap();
        let config = jetstream::stream::Config {
            name: nats.name.clone(),
            subjects: vec![format!("{}.>", nats.name)],
            ..Default::default()
        };
        context.get_or_create_stream(config).await.unwrap();
        for position in positions {
            let body = format!(r#"{{"schema":1,"position":{position},"event":"OrderPaid"}}"#);
            context.publish(format!("{}.x", nats.name), body.into()).await.unwrap().await.unwrap();
        }
    }

    async fn wait_for(inbox: &Inbox, distinct: u64) {
        let started = Instant::now();
        while inbox.received().distinct() < distinct {
            assert!(started.elapsed() < Duration::from_secs(60), "{:?}", inbox.received());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_consumer_goes_on_after_the_server_was_killed() {
        if !has_service("nats-server", OwnNats::is_installed(Path::new("nats-server"))) {
            return;
        }
        let mut server = OwnNats::start_new(Path::new("nats-server")).unwrap();
        let nats = Nats { address: server.address(), name: unique_name() };
        let inbox = Inbox::default();
        let consumer = tokio::spawn(nats.clone().consume(inbox.clone()));
        publish(&nats, 1..100).await;
        wait_for(&inbox, 99).await;
        server.kill();
        server.start().unwrap();
        publish(&nats, 100..200).await;
        wait_for(&inbox, 199).await;
        assert_eq!(inbox.received().duplicates(), 0, "a consumer knows its place");
        nats.remove().await.unwrap();
        inbox.stop();
        consumer.await.unwrap();
    }
}
