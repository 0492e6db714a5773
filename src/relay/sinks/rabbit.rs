//! RabbitMQ: persistent messages, each confirmed by the broker.
//!
//! On a connection, the exchange and the queue are declared and bound where they aren't there yet, and confirmations are
//! asked for. A message counts as delivered once the broker has confirmed it and not returned it: for a durable queue that
//! is when it is on its disk, for a quorum queue when a majority has it. Reconnecting is left to the subscription, so none
//! of lapin's own recovery is switched on: it would republish nothing, and hide that something is wrong.
//!
//! **Returned messages.** The broker returns what it can't route, and then confirms it. lapin hands a return to whichever
//! confirmation comes next, which may be another message's when one confirmation covers several. So a return is told by
//! its message id. A confirmation that carries any return counts as refused, at worst one delivery too many; one without
//! is weighed once everything that was ready with it has been looked at: lapin hands out returns first come, first served,
//! so by then its return, if there was one, is among them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::tcp::{AMQPUriTcpExt, RustlsConnector, TLSConfig};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use tokio::time::timeout;

use super::address::Address;
use super::link::{CLOSE_TIMEOUT, CONNECT_TIMEOUT, Connector, Job, Jobs, Link, STALL_TIMEOUT, TAKEN_MAX};
use super::{check, check_text, redacted, tls};
use crate::relay::error::RelayError;
use crate::relay::message::Message;
use crate::relay::sink::{Delivery, Sink, Undelivered};
use crate::relay::spec::RabbitSpec;

/// Longest name of an exchange, a queue, a routing key, a user or a virtual host, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// How often a dead connection is looked for, in seconds.
const HEARTBEAT_S: u16 = 20;
/// In how many steps the time without a confirmation is measured.
const STALL_TICKS: u32 = 10;
/// Delivery mode of messages that survive a broker's restart.
const PERSISTENT: u8 = 2;
/// AMQP's reply code of a normal end.
const REPLY_SUCCESS: u16 = 200;
/// AMQP's reply code where there is no such exchange or queue.
const NOT_FOUND: u16 = 404;

/// Checks the settings.
pub(super) fn validate(spec: &RabbitSpec) -> Result<(), RelayError> {
    Address::parse(&spec.address)?;
    check_text("sink.user", &spec.user, true, NAME_BYTES_MAX)?;
    check_text("sink.password", &spec.password.0, false, 4_096)?;
    check_text("sink.vhost", &spec.vhost, true, NAME_BYTES_MAX)?;
    check_text("sink.exchange", &spec.exchange, false, NAME_BYTES_MAX)?;
    check("sink.tls_ca", spec.tls || spec.tls_ca.is_none(), "it is for TLS: set sink.tls, too")?;
    let reserved = spec.exchange.starts_with("amq.") && spec.exchange != "amq.direct";
    check("sink.exchange", !reserved, "exchanges that begin with amq. are the broker's own")?;
    let (queue, key) = (spec.queue.as_deref(), spec.routing_key.as_deref());
    if let Some(queue) = queue {
        check_text("sink.queue", queue, true, NAME_BYTES_MAX)?;
        check("sink.queue", !queue.starts_with("amq."), "queues that begin with amq. are the broker's own")?;
    }
    if let Some(key) = key {
        check_text("sink.routing_key", key, true, NAME_BYTES_MAX)?;
    }
    check("sink.routing_key", queue.or(key).is_some(), "it or sink.queue is needed")?;
    check("sink.mirror", queue.is_some() || !spec.mirror, "it is about sink.queue, which is missing")?;
    let routes = !spec.exchange.is_empty() || queue.is_none() || key.is_none() || key == queue;
    check("sink.routing_key", routes, "the default exchange routes by the queue's name: leave it out")
}

/// Makes the sink.
pub(super) fn open(spec: &RabbitSpec, name: &str) -> Result<Rabbit, RelayError> {
    let address = Address::parse(&spec.address)?;
    let tls = match spec.tls {
        true => Some(RustlsConnector::from(tls::client_config(spec.tls_ca.as_deref())?)),
        false => None,
    };
    let key = spec.routing_key.clone().or_else(|| spec.queue.clone()).unwrap_or_default();
    let broker = Broker { spec: spec.clone(), name: name.to_owned(), address, key, tls };
    Ok(Rabbit { link: Link::new(Arc::new(broker)) })
}

/// The sink.
pub(super) struct Rabbit {
    link: Link<Arc<Broker>>,
}

impl Sink for Rabbit {
    fn deliver(&self, message: Arc<Message>) -> Delivery {
        self.link.deliver(message)
    }

    fn close(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        self.link.close()
    }
}

/// A broker, and what is to be there.
struct Broker {
    spec: RabbitSpec,
    /// The subscription's.
    name: String,
    address: Address,
    key: String,
    tls: Option<RustlsConnector>,
}

impl Connector for Arc<Broker> {
    async fn run(self, jobs: &mut Jobs) -> String {
        let link = match timeout(CONNECT_TIMEOUT, self.connect()).await {
            Ok(Ok(link)) => link,
            Ok(Err(reason)) => return format!("rabbitmq {}: {reason}", self.address),
            Err(_elapsed) => {
                return format!("rabbitmq {}: no answer within {CONNECT_TIMEOUT:?}", self.address);
            }
        };
        let (connection, channel) = link;
        let mut publisher =
            Publisher { broker: &self, connection: &connection, in_flight: HashMap::new(), next: 0 };
        let reason = publisher.run(&channel, jobs).await;
        let reason = format!("rabbitmq {}: {reason}", self.address);
        // First this, so that whoever hears of it and tries again gets another connection.
        jobs.close();
        for (_, job) in publisher.in_flight.drain() {
            job.settle(Err(Undelivered::Down(reason.clone())));
        }
        // The broker may be gone: then there is nobody to take leave of.
        let _ = timeout(CLOSE_TIMEOUT, connection.close(REPLY_SUCCESS, "closing".into())).await;
        reason
    }
}

impl Broker {
    /// A connection, and a channel on which everything is declared and confirmations are on.
    async fn connect(&self) -> Result<(Connection, Channel), String> {
        let explained = |error: lapin::Error| redacted(error, &self.spec.password.0);
        let connection = self.open_connection().await.map_err(explained)?;
        self.declare_exchange(&connection).await.map_err(explained)?;
        self.declare_queue(&connection).await?;
        let channel = connection.create_channel().await.map_err(explained)?;
        if let Some(queue) = &self.spec.queue
            && !self.spec.exchange.is_empty()
        {
            let (queue, exchange) = (queue.as_str().into(), self.spec.exchange.as_str().into());
            let bound = channel.queue_bind(
                queue,
                exchange,
                self.key.as_str().into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            bound.await.map_err(explained)?;
        }
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(explained)?;
        Ok((connection, channel))
    }

    async fn open_connection(&self) -> lapin::Result<Connection> {
        let RabbitSpec { user, password, vhost, .. } = &self.spec;
        // As parts, not as a URI: nothing needs escaping, and no text with the password in it comes about.
        let uri = AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: user.clone(), password: password.0.clone() },
                host: self.address.host.clone(),
                port: self.address.port,
            },
            vhost: vhost.clone(),
            query: AMQPQueryString { heartbeat: Some(HEARTBEAT_S), ..AMQPQueryString::default() },
        };
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("stockade relay {}", self.name).into());
        let (tls, host) = (self.tls.clone(), self.address.host.clone());
        let connect = async move |uri: AMQPUri, runtime| {
            quieten();
            let stream = uri.connect_with_config_async(TLSConfig::default(), &runtime).await?;
            Ok(match &tls {
                None => stream,
                Some(connector) => stream.into_rustls(connector, &host).await?,
            })
        };
        Connection::connector(uri, lapin::runtime::default_runtime()?, connect, properties).await
    }

    /// Makes the exchange unless it is there. Looked for on a channel of its own: a refusal closes the channel.
    async fn declare_exchange(&self, connection: &Connection) -> lapin::Result<()> {
        let name = self.spec.exchange.as_str();
        if name.is_empty() {
            return Ok(());
        }
        let declare = async |passive| {
            let channel = connection.create_channel().await?;
            let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
            channel
                .exchange_declare(name.into(), ExchangeKind::Direct, options, FieldTable::default())
                .await?;
            channel.close(REPLY_SUCCESS, "declared".into()).await
        };
        match declare(true).await {
            Err(error) if reply_code(&error) == Some(NOT_FOUND) => declare(false).await,
            other => other,
        }
    }

    /// Makes the queue unless it is there. One that is there is taken as it is, with whatever bounds its operators gave
    /// it; only where a quorum queue is wanted it must be one.
    async fn declare_queue(&self, connection: &Connection) -> Result<(), String> {
        let Some(name) = self.spec.queue.as_deref() else { return Ok(()) };
        let declare = async |passive| {
            let channel = connection.create_channel().await?;
            let options = QueueDeclareOptions { passive, durable: true, ..Default::default() };
            let mut arguments = FieldTable::default();
            if self.spec.mirror {
                arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
            }
            channel.queue_declare(name.into(), options, arguments).await?;
            channel.close(REPLY_SUCCESS, "declared".into()).await
        };
        let explained = |error: lapin::Error| redacted(error, &self.spec.password.0);
        match declare(true).await {
            Ok(()) if self.spec.mirror => declare(false).await.map_err(|error| {
                format!(
                    "queue {name} is there, and not as a quorum queue without arguments of its own; give it bounds \
                     by a policy, or leave out mirror: {}",
                    explained(error)
                )
            }),
            Err(error) if reply_code(&error) == Some(NOT_FOUND) => declare(false).await.map_err(explained),
            other => other.map_err(explained),
        }
    }
}

/// lapin writes messages that are returned to the log, with all that they say, and does so on a thread of its own, on which
/// this is called. What is wrong comes back as an error, so nothing is lost when that thread logs nothing.
fn quieten() {
    std::mem::forget(tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default()));
}

/// The broker's reply code, where it is what has refused.
fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// Publishes on one channel.
struct Publisher<'a> {
    broker: &'a Broker,
    connection: &'a Connection,
    /// What was handed over and is not settled, by the number of its publishing: a position may be on its way twice.
    in_flight: HashMap<u64, Job>,
    next: u64,
}

/// The number of a publishing, and what became of it.
type Published = (u64, lapin::Result<Confirmation>);

impl Publisher<'_> {
    /// Publishes what comes and settles what is confirmed, until the channel ends; answers why.
    async fn run(&mut self, channel: &Channel, jobs: &mut Jobs) -> String {
        let mut under_way = FuturesUnordered::new();
        let mut taken = Vec::with_capacity(TAKEN_MAX);
        let mut is_open = true;
        let mut watch = tokio::time::interval(STALL_TIMEOUT / STALL_TICKS);
        let mut ticks_in_vain = 0;
        loop {
            tokio::select! {
                Some(published) = under_way.next(), if !under_way.is_empty() => {
                    let mut ready: Vec<Published> = vec![published];
                    // Twice in vain, because the set may answer "not ready" once after a long round.
                    let mut in_vain = 0;
                    while in_vain < 2 {
                        match under_way.next().now_or_never() {
                            Some(Some(published)) => ready.push(published),
                            Some(None) | None => in_vain += 1,
                        }
                    }
                    ticks_in_vain = 0;
                    if let Err(reason) = self.settle(ready) {
                        return reason;
                    }
                }
                len = jobs.recv_many(&mut taken, TAKEN_MAX), if is_open => {
                    is_open = len > 0;
                    if under_way.is_empty() {
                        ticks_in_vain = 0;
                    }
                    for job in taken.drain(..) {
                        let message = job.message.clone();
                        self.in_flight.insert(self.next, job);
                        under_way.push(self.broker.publish(channel, self.next, message));
                        self.next += 1;
                    }
                }
                _ = watch.tick() => {
                    ticks_in_vain += 1;
                    if !under_way.is_empty() && ticks_in_vain > STALL_TICKS {
                        return self.stalled();
                    }
                }
            }
            if !is_open && under_way.is_empty() {
                return "the subscription has closed it".to_owned();
            }
        }
    }

    fn stalled(&self) -> String {
        let blocked = if self.connection.status().blocked() {
            ": it blocks publishers, for want of memory or disk"
        } else {
            ""
        };
        format!("nothing was confirmed within {STALL_TIMEOUT:?}{blocked}")
    }

    /// Settles what was ready together. An error says why the channel is of no more use.
    fn settle(&mut self, ready: Vec<Published>) -> Result<(), String> {
        let returned: HashSet<u64> = ready
            .iter()
            .filter_map(|(_, result)| match result {
                Ok(Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) => {
                    message.properties.message_id().as_ref()?.as_str().parse().ok()
                }
                _ => None,
            })
            .collect();
        if !returned.is_empty() {
            let is_returned = |_: &u64, job: &mut Job| returned.contains(&job.message.position.0);
            self.in_flight.extract_if(is_returned).for_each(|(_, job)| job.settle(Err(unroutable())));
        }
        let mut broken = None;
        for (nth, result) in ready {
            let outcome = match result {
                Ok(Confirmation::Ack(None)) => Ok(()),
                Ok(Confirmation::Ack(Some(_))) => Err(unroutable()),
                Ok(Confirmation::Nack(_)) => Err(Undelivered::Refused(
                    "nack: the broker would not take it; is the queue full?".to_owned(),
                )),
                Ok(Confirmation::NotRequested) => {
                    broken = Some("it does not confirm".to_owned());
                    continue;
                }
                Err(error) => {
                    broken.get_or_insert_with(|| redacted(error, &self.broker.spec.password.0));
                    continue;
                }
            };
            if let Some(job) = self.in_flight.remove(&nth) {
                job.settle(outcome);
            }
        }
        broken.map_or(Ok(()), Err)
    }
}

fn unroutable() -> Undelivered {
    Undelivered::Refused("unroutable: no queue is bound to the exchange by this routing key".to_owned())
}

impl Broker {
    /// Publishes a message and waits for its confirmation.
    async fn publish(&self, channel: &Channel, nth: u64, message: Arc<Message>) -> Published {
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(message.position.0.to_string().into())
            .with_timestamp(message.at_ms / 1000)
            .with_type(message.event.into())
            .with_app_id("stockade".into());
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let (exchange, key) = (self.spec.exchange.as_str().into(), self.key.as_str().into());
        let published = channel.basic_publish(exchange, key, options, &message.body, properties).await;
        let confirmation = match published {
            Ok(confirm) => confirm.await,
            Err(error) => Err(error),
        };
        (nth, confirmation)
    }
}
