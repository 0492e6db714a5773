//! NATS JetStream: each message acknowledged by its stream, which drops what it has had before.
//!
//! The stream is made unless it is there. A message has its position in `Nats-Msg-Id`, so that the stream drops what it
//! has had within its duplicate window (two minutes, unless its operators say otherwise); what comes again later is the
//! consumer's to tell by the position. Reconnecting is left to the subscription.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

use async_nats::jetstream::context::{Context, ContextBuilder, PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream;
use async_nats::{ConnectOptions, Event};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::address::Address;
use super::link::{CONNECT_TIMEOUT, Connector, Job, Jobs, Link, STALL_TIMEOUT, TAKEN_MAX};
use super::{check, check_text, redacted, tls};
use crate::relay::error::RelayError;
use crate::relay::message::Message;
use crate::relay::sink::{Delivery, Sink, Undelivered};
use crate::relay::spec::NatsSpec;

/// Longest name of a stream or a user, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Most messages on their way, as the largest `in_flight_max` has it.
const IN_FLIGHT_MAX: usize = 65_536;
/// Stands for the event's name in a subject.
const EVENT: &str = "{event}";

/// JetStream's codes of a stream that is full, or takes no message of this size: about this message, in this state.
const REFUSALS: [u64; 2] = [10_077, 10_054];

/// Checks the settings.
pub(super) fn validate(spec: &NatsSpec) -> Result<(), RelayError> {
    Address::parse(&spec.address)?;
    if let Some(user) = &spec.user {
        check_text("sink.user", user, true, NAME_BYTES_MAX)?;
    }
    check_text("sink.password", &spec.password.0, false, 4_096)?;
    check("sink.user", spec.user.is_some() || spec.password.0.is_empty(), "there is a password without it")?;
    check("sink.tls_ca", spec.tls || spec.tls_ca.is_none(), "it is for TLS: set sink.tls, too")?;
    check_text("sink.stream", &spec.stream, true, NAME_BYTES_MAX)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    check("sink.stream", spec.stream.bytes().all(plain), "expected letters, digits, '_' and '-'")?;
    check_text("sink.subject", &spec.subject, true, NAME_BYTES_MAX)?;
    let tokens = spec.subject.split('.');
    let good = |token: &str| token == EVENT || (!token.is_empty() && token.bytes().all(plain));
    let reason =
        "expected words of letters, digits, '_' and '-' with dots between them, or {event} as one of them";
    check("sink.subject", tokens.clone().all(good), reason)?;
    check("sink.subject", tokens.filter(|token| *token == EVENT).count() <= 1, "{event} stands there twice")
}

/// Makes the sink.
pub(super) fn open(spec: &NatsSpec, name: &str) -> Result<Nats, RelayError> {
    let address = Address::parse(&spec.address)?;
    if let Some(path) = &spec.tls_ca {
        tls::authorities(path)?;
    }
    let server = Server { spec: spec.clone(), name: name.to_owned(), address };
    Ok(Nats { link: Link::new(Arc::new(server)) })
}

/// The sink.
pub(super) struct Nats {
    link: Link<Arc<Server>>,
}

impl Sink for Nats {
    fn deliver(&self, message: Arc<Message>) -> Delivery {
        self.link.deliver(message)
    }

    fn close(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        self.link.close()
    }
}

/// A server, and what is to be there.
struct Server {
    spec: NatsSpec,
    /// The subscription's.
    name: String,
    address: Address,
}

impl Connector for Arc<Server> {
    async fn run(self, jobs: &mut Jobs) -> String {
        let (broken, mut breaks) = mpsc::channel(1);
        let stream = match timeout(CONNECT_TIMEOUT, self.connect(broken)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(reason)) => return format!("nats {}: {reason}", self.address),
            Err(_elapsed) => return format!("nats {}: no answer within {CONNECT_TIMEOUT:?}", self.address),
        };
        let mut in_flight = HashMap::new();
        let reason = self.publish_all(&stream, jobs, &mut breaks, &mut in_flight).await;
        let reason = format!("nats {}: {reason}", self.address);
        // First this, so that whoever hears of it and tries again gets another connection.
        jobs.close();
        for (_, job) in in_flight.drain() {
            job.settle(Err(Undelivered::Down(reason.clone())));
        }
        reason
    }
}

impl Server {
    /// A connection on which the stream is there. `broken` hears when it is gone.
    async fn connect(&self, broken: mpsc::Sender<()>) -> Result<Context, String> {
        let explained = |text: String| redacted(text, &self.spec.password.0);
        let mut options = ConnectOptions::new()
            .name(format!("stockade relay {}", self.name))
            .connection_timeout(CONNECT_TIMEOUT)
            .request_timeout(Some(CONNECT_TIMEOUT))
            .require_tls(self.spec.tls)
            // The subscription reconnects; 0 would stand for no bound.
            .max_reconnects(1)
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    // Once is enough.
                    let _ = broken.try_send(());
                }
                std::future::ready(())
            });
        if let Some(user) = &self.spec.user {
            options = options.user_and_password(user.clone(), self.spec.password.0.clone());
        }
        if let Some(path) = &self.spec.tls_ca {
            options = options.add_root_certificates(path.clone());
        }
        let connected = options.connect(format!("nats://{}", self.address)).await;
        let client = connected.map_err(|error| explained(with_source(&error)))?;
        let context =
            ContextBuilder::new().timeout(STALL_TIMEOUT).max_ack_inflight(IN_FLIGHT_MAX).build(client);
        let config = stream::Config {
            name: self.spec.stream.clone(),
            subjects: vec![self.spec.subject.replace(EVENT, "*")],
            ..Default::default()
        };
        let made = context.get_or_create_stream(config).await;
        let made = made.map_err(|error| explained(with_source(&error)))?;
        let subjects = &made.cached_info().config.subjects;
        if !subjects.iter().any(|pattern| covers(pattern, &self.spec.subject)) {
            let Self { spec: NatsSpec { stream, subject, .. }, .. } = self;
            return Err(format!(
                "stream {stream} is there, and does not take {subject}: it takes {subjects:?}"
            ));
        }
        Ok(context)
    }

    /// Publishes what comes and settles what is acknowledged, until the connection ends; answers why.
    async fn publish_all(
        &self,
        stream: &Context,
        jobs: &mut Jobs,
        breaks: &mut mpsc::Receiver<()>,
        in_flight: &mut HashMap<u64, Job>,
    ) -> String {
        let mut under_way = FuturesUnordered::new();
        let mut taken = Vec::with_capacity(TAKEN_MAX);
        let mut is_open = true;
        let mut next = 0;
        loop {
            tokio::select! {
                Some((nth, result)) = under_way.next(), if !under_way.is_empty() => {
                    match self.weigh(result) {
                        (Err(Undelivered::Down(reason)), true) => return reason,
                        (outcome, _) => {
                            if let Some(job) = in_flight.remove(&nth) {
                                job.settle(outcome);
                            }
                        }
                    }
                }
                len = jobs.recv_many(&mut taken, TAKEN_MAX), if is_open => {
                    is_open = len > 0;
                    for job in taken.drain(..) {
                        let message = job.message.clone();
                        in_flight.insert(next, job);
                        under_way.push(self.publish(stream, next, message));
                        next += 1;
                    }
                }
                _ = breaks.recv() => return "the connection broke".to_owned(),
            }
            if !is_open && under_way.is_empty() {
                return "the subscription has closed it".to_owned();
            }
        }
    }

    /// Publishes a message and waits for its acknowledgement, 30 s at most.
    async fn publish(
        &self,
        stream: &Context,
        nth: u64,
        message: Arc<Message>,
    ) -> (u64, Result<(), PublishError>) {
        let position = message.position.0;
        let subject = self.spec.subject.replace(EVENT, message.event);
        let publish = PublishMessage::build()
            .payload(message.body.clone())
            .message_id(format!("{}:{position}", self.name))
            .header("Stockade-Event", message.event)
            .header("Stockade-Position", position.to_string());
        let acknowledged = match stream.send_publish(subject, publish).await {
            Ok(acknowledgement) => acknowledgement.await.map(drop),
            Err(error) => Err(error),
        };
        (nth, acknowledged)
    }

    /// What became of a message, and whether the connection is of no more use.
    fn weigh(&self, result: Result<(), PublishError>) -> (Result<(), Undelivered>, bool) {
        let Err(error) = result else { return (Ok(()), false) };
        let text = redacted(with_source(&error), &self.spec.password.0);
        match error.kind() {
            PublishErrorKind::MaxPayloadExceeded => (Err(Undelivered::Refused(text)), false),
            PublishErrorKind::WrongLastMessageId | PublishErrorKind::WrongLastSequence => {
                (Err(Undelivered::Refused(text)), false)
            }
            // It was deleted: connecting again makes it anew.
            PublishErrorKind::StreamNotFound
            | PublishErrorKind::TimedOut
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending => (Err(Undelivered::Down(text)), true),
            PublishErrorKind::Other => match jetstream_code(&error) {
                Some(code) if REFUSALS.contains(&code) => (Err(Undelivered::Refused(text)), false),
                Some(_) => (Err(Undelivered::Down(text)), false),
                None => (Err(Undelivered::Down(text)), true),
            },
        }
    }
}

/// The code of a refusal by JetStream.
fn jetstream_code(error: &PublishError) -> Option<u64> {
    let source = error.source()?;
    source.downcast_ref::<async_nats::jetstream::Error>().map(|error| error.error_code().0)
}

/// An error and what is behind it.
fn with_source(error: &dyn Error) -> String {
    match error.source() {
        Some(source) if !error.to_string().contains(&source.to_string()) => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

/// Whether a stream's pattern takes all that a subject with `{event}` in it may become.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (own, Some(wanted)) if own == wanted => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_takes() {
        let covered = [
            ("orders.>", "orders.{event}"),
            ("orders.*", "orders.{event}"),
            (">", "a.b.{event}.c"),
            ("a.*.c", "a.{event}.c"),
            ("orders", "orders"),
        ];
        for (pattern, subject) in covered {
            assert!(covers(pattern, subject), "{pattern} {subject}");
        }
        let not = [
            ("orders.OrderPaid", "orders.{event}"),
            ("orders.*", "orders"),
            ("orders.>", "orders"),
            ("orders", "orders.{event}"),
            ("stock.>", "orders.{event}"),
            ("orders.*", "orders.{event}.x"),
        ];
        for (pattern, subject) in not {
            assert!(!covers(pattern, subject), "{pattern} {subject}");
        }
    }
}
