//! RabbitMQ: a consumer with manual acknowledgement, and the queues of a test.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeleteOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use stockade::relay::{RabbitSpec, Secret};

use super::{CONNECT_MAX, Inbox, QUIET, RECONNECT};
use crate::Failure;

/// Messages that are under way to the consumer; they are acknowledged a half at a time.
const PREFETCH: u16 = 1_000;

/// A RabbitMQ, and what is where in it.
#[derive(Clone)]
pub(crate) struct Rabbit {
    /// `host:port`.
    pub(crate) address: String,
    pub(crate) user: String,
    pub(crate) password: String,
    /// The queue, and the exchange that it is bound to.
    pub(crate) name: String,
}

impl Rabbit {
    /// The subscription's side: an exchange and a queue that the relay makes.
    pub(crate) fn spec(&self, mirror: bool) -> RabbitSpec {
        RabbitSpec {
            exchange: self.name.clone(),
            queue: Some(self.name.clone()),
            mirror,
            routing_key: None,
            ..self.bare_spec()
        }
    }

    /// The subscription's side, for a queue that is there already: it goes by the default exchange.
    pub(crate) fn spec_of_existing(&self) -> RabbitSpec {
        RabbitSpec { routing_key: Some(self.name.clone()), ..self.bare_spec() }
    }

    fn bare_spec(&self) -> RabbitSpec {
        RabbitSpec {
            address: self.address.clone(),
            user: self.user.clone(),
            password: Secret(self.password.clone()),
            vhost: "/".to_owned(),
            tls: false,
            tls_ca: None,
            exchange: String::new(),
            queue: None,
            routing_key: None,
            mirror: false,
        }
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let (host, port) = self.address.rsplit_once(':').ok_or("the address of RabbitMQ is `host:port`")?;
        let uri = AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: self.user.clone(), password: self.password.clone() },
                host: host.to_owned(),
                port: port.parse()?,
            },
            vhost: "/".to_owned(),
            ..AMQPUri::default()
        };
        let connecting = Connection::connect_uri(uri, ConnectionProperties::default());
        Ok(tokio::time::timeout(CONNECT_MAX, connecting).await??)
    }

    async fn channel(&self) -> Result<(Connection, Channel), Failure> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }

    fn name(&self) -> ShortString {
        self.name.as_str().into()
    }

    /// Makes a queue that refuses what doesn't fit.
    pub(crate) async fn make_bounded(&self, len_max: u32) -> Result<(), Failure> {
        let (connection, channel) = self.channel().await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongUInt(len_max));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(self.name(), options, arguments).await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    }

    /// Messages that wait in the queue.
    pub(crate) async fn len(&self) -> Result<u32, Failure> {
        let (connection, channel) = self.channel().await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(self.name(), options, FieldTable::default()).await?;
        connection.close(200, "done".into()).await?;
        Ok(queue.message_count())
    }

    /// Deletes queue and exchange.
    pub(crate) async fn remove(&self) -> Result<(), Failure> {
        let (connection, channel) = self.channel().await?;
        channel.queue_delete(self.name(), QueueDeleteOptions::default()).await?;
        channel.exchange_delete(self.name(), ExchangeDeleteOptions::default()).await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    }

    /// Takes what comes, again after each loss of the connection, until it is told to stop. The queue may be made later.
    pub(crate) async fn consume(self, inbox: Inbox) {
        while !inbox.is_stopped() {
            // The broker is stopped on purpose: whatever goes wrong, it is tried again.
            if self.consume_once(&inbox).await.is_err() {
                tokio::time::sleep(RECONNECT).await;
            }
        }
    }

    async fn consume_once(&self, inbox: &Inbox) -> Result<(), Failure> {
        let (connection, channel) = self.channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let options = BasicConsumeOptions::default();
        let mut consumer =
            channel.basic_consume(self.name(), "loadtest".into(), options, FieldTable::default()).await?;
        let mut unacknowledged = None;
        let mut count = 0;
        while !inbox.is_stopped() {
            // Acknowledged after it is taken in, many at a time, and all once nothing more comes.
            let next = next(&mut consumer, if count == 0 { QUIET } else { QUIET / 50 }).await?;
            let is_quiet = next.is_none();
            if let Some(delivery) = next {
                inbox.received().take(&delivery.data);
                count += 1;
                unacknowledged = Some(delivery);
            }
            if is_quiet || count >= PREFETCH / 2 {
                acknowledge(unacknowledged.take()).await?;
                count = 0;
            }
        }
        acknowledge(unacknowledged).await?;
        connection.close(200, "done".into()).await?;
        Ok(())
    }
}

async fn next(consumer: &mut Consumer, wait: Duration) -> Result<Option<Delivery>, Failure> {
    match tokio::time::timeout(wait, consumer.next()).await {
        Err(_quiet) => Ok(None),
        Ok(None) => Err("the consumer was cancelled".into()),
        Ok(Some(delivery)) => Ok(Some(delivery?)),
    }
}

/// Acknowledges a delivery and all before it.
async fn acknowledge(delivery: Option<Delivery>) -> Result<(), Failure> {
    if let Some(delivery) = delivery {
        delivery.ack(BasicAckOptions { multiple: true }).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Instant;

    use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
    use lapin::{BasicProperties, Confirmation};

    use super::*;
    use crate::brokers::{has_service, rabbitmq_of_the_environment};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bounded_queue_refuses_and_what_it_took_is_read() {
        let rabbit = rabbitmq_of_the_environment();
        if !has_service("RabbitMQ", TcpStream::connect(&rabbit.address).is_ok()) {
            return;
        }
        rabbit.make_bounded(5).await.unwrap();
        let (connection, channel) = rabbit.channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let mut taken = 0;
        for position in 1..=20 {
            let body = format!(r#"{{"schema":1,"position":{position},"event":"OrderPaid"}}"#);
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default();
            let confirm =
                channel.basic_publish("".into(), rabbit.name(), options, body.as_bytes(), properties).await;
            taken += u64::from(matches!(confirm.unwrap().await.unwrap(), Confirmation::Ack(_)));
        }
        assert!((5..20).contains(&taken), "{taken}");
        assert_eq!(u64::from(rabbit.len().await.unwrap()), taken);

        let inbox = Inbox::default();
        let consumer = tokio::spawn(rabbit.clone().consume(inbox.clone()));
        let started = Instant::now();
        while inbox.received().distinct() < taken || rabbit.len().await.unwrap() > 0 {
            assert!(started.elapsed() < Duration::from_secs(60), "{:?}", inbox.received());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        inbox.stop();
        consumer.await.unwrap();
        rabbit.remove().await.unwrap();
        connection.close(200, "done".into()).await.unwrap();
    }
}
