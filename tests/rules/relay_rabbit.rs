//! The relay's RabbitMQ sink against a real broker.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use stockade::relay::{RabbitSpec, Secret, Sink, SinkSpec, Undelivered};

use crate::relay_sinks::{Wire, breaks_and_connects_again, message, open, service, unique};

/// A broker, and a channel of the test's own.
struct Broker {
    address: String,
    connection: Connection,
    channel: Channel,
}

impl Broker {
    /// The broker, unless there is none.
    async fn found() -> Option<Self> {
        let address = service("RabbitMQ", "STOCKADE_RABBITMQ", "127.0.0.1:5672")?;
        let uri = format!("amqp://guest:guest@{address}/%2f");
        let connection = Connection::connect(&uri, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        Some(Self { address, connection, channel })
    }

    fn spec(&self, exchange: &str, queue: Option<&str>) -> RabbitSpec {
        RabbitSpec {
            address: self.address.clone(),
            user: "guest".to_owned(),
            password: Secret("guest".to_owned()),
            vhost: "/".to_owned(),
            tls: false,
            tls_ca: None,
            exchange: exchange.to_owned(),
            queue: queue.map(str::to_owned),
            routing_key: None,
            mirror: false,
        }
    }

    async fn declare(&self, queue: &str, arguments: &[(&str, AMQPValue)]) -> lapin::Result<()> {
        let channel = self.connection.create_channel().await?;
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(queue.into(), options, table).await.map(drop)
    }

    /// Takes messages out of a queue, as many as there are.
    async fn take(&self, queue: &str) -> Vec<lapin::message::Delivery> {
        let mut taken = Vec::new();
        let options = BasicGetOptions { no_ack: true };
        while let Some(got) = self.channel.basic_get(queue.into(), options).await.unwrap() {
            taken.push(got.delivery);
        }
        taken
    }

    async fn forget(&self, queue: &str, exchange: &str) {
        if !queue.is_empty() {
            // The broker would take no name for the last queue that was declared, and close the channel where there is none.
            let _ = self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
        }
        if !exchange.is_empty() {
            let _ = self.channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await;
        }
    }
}

fn rabbit(spec: RabbitSpec) -> Arc<dyn Sink> {
    open(&SinkSpec::Rabbitmq(spec))
}

async fn deliver(sink: &Arc<dyn Sink>, position: u64) -> Result<(), Undelivered> {
    tokio::time::timeout(Duration::from_secs(60), sink.deliver(message(position))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_confirmed_and_say_what_they_are() {
    let Some(broker) = Broker::found().await else { return };
    let (exchange, queue) = (unique("exchange"), unique("queue"));
    let sink = rabbit(broker.spec(&exchange, Some(&queue)));
    let outcomes = join_all((1..=500).map(|position| sink.deliver(message(position)))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    let taken = broker.take(&queue).await;
    assert_eq!(taken.len(), 500);
    let first = &taken[0];
    assert_eq!((first.exchange.as_str(), first.routing_key.as_str()), (&*exchange, &*queue));
    assert_eq!(first.data, message(1).body);
    let properties = &first.properties;
    assert_eq!(properties.content_type().as_ref().unwrap().as_str(), "application/json");
    assert_eq!(*properties.delivery_mode(), Some(2), "it survives a restart of the broker");
    assert_eq!(properties.message_id().as_ref().unwrap().as_str(), "1");
    assert_eq!(properties.kind().as_ref().unwrap().as_str(), "OrderPaid");
    assert_eq!(*properties.timestamp(), Some(message(1).at_ms / 1000));
    let mut positions: Vec<u64> = taken
        .iter()
        .map(|taken| taken.properties.message_id().as_ref().unwrap().as_str().parse().unwrap())
        .collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=500).collect::<Vec<_>>());
    sink.close().await;
    // It connects again when it is used again.
    assert_eq!(deliver(&sink, 501).await, Ok(()));
    sink.close().await;
    broker.forget(&queue, &exchange).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_exchange_routes_by_the_name_of_the_queue() {
    let Some(broker) = Broker::found().await else { return };
    let queue = unique("default");
    let sink = rabbit(broker.spec("", Some(&queue)));
    assert_eq!(deliver(&sink, 7).await, Ok(()));
    assert_eq!(broker.take(&queue).await.len(), 1);
    sink.close().await;
    broker.forget(&queue, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_routed_is_refused_and_nothing_else() {
    let Some(broker) = Broker::found().await else { return };
    let (exchange, queue) = (unique("unroutable"), unique("unroutable-queue"));
    let mut spec = broker.spec(&exchange, None);
    spec.routing_key = Some(queue.clone());
    let sink = rabbit(spec);
    let outcomes = join_all((1..=300).map(|position| sink.deliver(message(position)))).await;
    for outcome in outcomes {
        let Err(Undelivered::Refused(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("unroutable"), "{reason}");
    }
    // Bound and unbound again and again while messages are on their way: whatever was confirmed is in the queue.
    broker.declare(&queue, &[]).await.unwrap();
    let rebind = async {
        for _ in 0..20 {
            let key = || queue.as_str().into();
            let bind = broker.channel.queue_bind(
                key(),
                exchange.as_str().into(),
                key(),
                Default::default(),
                FieldTable::default(),
            );
            bind.await.unwrap();
            let unbind =
                broker.channel.queue_unbind(key(), exchange.as_str().into(), key(), FieldTable::default());
            unbind.await.unwrap();
        }
    };
    let send = join_all((1_001..=4_000).map(|position| sink.deliver(message(position))));
    let ((), outcomes) = tokio::join!(rebind, send);
    let there: std::collections::BTreeSet<u64> = broker
        .take(&queue)
        .await
        .iter()
        .map(|taken| taken.properties.message_id().as_ref().unwrap().as_str().parse().unwrap())
        .collect();
    for (position, outcome) in (1_001..).zip(&outcomes) {
        assert!(outcome.is_err() || there.contains(&position), "{position} was confirmed, and is lost");
    }
    let delivered = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    println!("{delivered} of 3000 were routed, {} are in the queue", there.len());
    sink.close().await;
    broker.forget(&queue, &exchange).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_until_there_is_room() {
    let Some(broker) = Broker::found().await else { return };
    let queue = unique("full");
    let arguments = [
        ("x-max-length", AMQPValue::LongInt(3)),
        ("x-overflow", AMQPValue::LongString("reject-publish".into())),
    ];
    broker.declare(&queue, &arguments).await.unwrap();
    let sink = rabbit(broker.spec("", Some(&queue)));
    let mut refused = 0;
    for position in 1..=20 {
        match deliver(&sink, position).await {
            Ok(()) => {}
            Err(Undelivered::Refused(reason)) => {
                assert!(reason.contains("nack"), "{reason}");
                refused += 1;
            }
            Err(Undelivered::Down(reason)) => panic!("{reason}"),
        }
    }
    assert!(refused >= 10, "only {refused} of 20 were refused by a queue of 3");
    assert!(!broker.take(&queue).await.is_empty());
    assert_eq!(deliver(&sink, 21).await, Ok(()), "there is room again");
    sink.close().await;
    broker.forget(&queue, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirrored_queue_is_a_quorum_queue_and_another_is_not_taken_for_one() {
    let Some(broker) = Broker::found().await else { return };
    let queue = unique("quorum");
    let mut spec = broker.spec("", Some(&queue));
    spec.mirror = true;
    let sink = rabbit(spec.clone());
    assert_eq!(deliver(&sink, 1).await, Ok(()));
    let quorum = [("x-queue-type", AMQPValue::LongString("quorum".into()))];
    broker.declare(&queue, &quorum).await.expect("it is there just as this declares it");
    let other = broker.declare(&queue, &[]).await.unwrap_err().to_string();
    assert!(other.contains("x-queue-type"), "{other}");
    sink.close().await;
    // It is there now, and taken as it is.
    let again = rabbit(spec);
    assert_eq!(deliver(&again, 2).await, Ok(()));
    again.close().await;
    broker.forget(&queue, "").await;

    let queue = unique("classic");
    broker.declare(&queue, &[]).await.unwrap();
    let mut spec = broker.spec("", Some(&queue));
    spec.mirror = true;
    let sink = rabbit(spec);
    let Err(Undelivered::Down(reason)) = deliver(&sink, 1).await else {
        panic!("it was taken for a quorum queue")
    };
    assert!(reason.contains("not as a quorum queue") && reason.contains(&queue), "{reason}");
    sink.close().await;
    broker.forget(&queue, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_of_another_kind_is_taken_as_it_is() {
    let Some(broker) = Broker::found().await else { return };
    let (exchange, queue) = (unique("topic"), unique("topic-queue"));
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let made = broker.channel.exchange_declare(
        exchange.as_str().into(),
        ExchangeKind::Topic,
        options,
        FieldTable::default(),
    );
    made.await.unwrap();
    let sink = rabbit(broker.spec(&exchange, Some(&queue)));
    assert_eq!(deliver(&sink, 1).await, Ok(()));
    sink.close().await;
    broker.forget(&queue, &exchange).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_down_and_never_shown() {
    let Some(broker) = Broker::found().await else { return };
    const PASSWORD: &str = "not-the-right-one-7531";
    let mut spec = broker.spec("", Some("nowhere"));
    spec.password = Secret(PASSWORD.to_owned());
    assert!(!format!("{spec:?}").contains(PASSWORD));
    let sink = rabbit(spec);
    let outcomes = join_all((1..=3).map(|position| sink.deliver(message(position)))).await;
    for outcome in outcomes {
        let Err(Undelivered::Down(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains(&broker.address) && reason.contains("ACCESS_REFUSED"), "{reason}");
        assert!(!reason.contains(PASSWORD), "{reason}");
    }
    let mut spec = broker.spec("", Some("nowhere"));
    spec.vhost = "there is none/like it".to_owned();
    let Err(Undelivered::Down(reason)) = deliver(&rabbit(spec), 1).await else { panic!("it connected") };
    assert!(reason.contains("there is none/like it"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_down() {
    // Nothing listens on a port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let spec = RabbitSpec {
        address: free.to_string(),
        user: "guest".to_owned(),
        password: Secret::default(),
        vhost: "/".to_owned(),
        tls: false,
        tls_ca: None,
        exchange: String::new(),
        queue: Some("q".to_owned()),
        routing_key: None,
        mirror: false,
    };
    let sink = rabbit(spec);
    for position in 1..=3 {
        let outcome = deliver(&sink, position).await;
        assert!(matches!(outcome, Err(Undelivered::Down(_))), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_down_for_all_on_their_way_and_made_again() {
    let Some(broker) = Broker::found().await else { return };
    let wire = Wire::to(&broker.address).await;
    let queue = unique("broken");
    let mut spec = broker.spec("", Some(&queue));
    spec.address = wire.address.clone();
    breaks_and_connects_again(rabbit(spec), &wire).await;
    broker.forget(&queue, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_on_their_way_at_a_time() {
    use futures_util::stream::{FuturesUnordered, StreamExt};

    let Some(broker) = Broker::found().await else { return };
    let queue = unique("many");
    let sink = rabbit(broker.spec("", Some(&queue)));
    assert_eq!(deliver(&sink, 1).await, Ok(()));
    let began = std::time::Instant::now();
    let (mut next, last) = (2, 20_000);
    let mut on_their_way = FuturesUnordered::new();
    loop {
        while next <= last && on_their_way.len() < 1_024 {
            on_their_way.push(sink.deliver(message(next)));
            next += 1;
        }
        match on_their_way.next().await {
            Some(outcome) => assert_eq!(outcome, Ok(())),
            None => break,
        }
    }
    println!("{:.0} confirmed messages a second", f64::from(20_000) / began.elapsed().as_secs_f64());
    sink.close().await;
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let there =
        broker.channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await.unwrap();
    assert_eq!(there.message_count(), 20_000);
    broker.forget(&queue, "").await;
}

/// Set for the process of the test below that has a log of its own: a process has one.
const CHILD: &str = "STOCKADE_TEST_LOG_CHILD";

#[test]
fn what_is_returned_never_reaches_the_log() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    if service("RabbitMQ", "STOCKADE_RABBITMQ", "127.0.0.1:5672").is_none() {
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["relay_rabbit::what_is_returned_never_reaches_the_log", "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the log is on"), "{said}");
    // lapin would write the body as a list of bytes: these are those of "schema".
    for hidden in ["returned us a message", "115, 99, 104, 101, 109, 97", "\"schema\""] {
        assert!(!said.contains(hidden), "{hidden} is in the log: {said}");
    }
}

fn child() {
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::WARN).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::warn!("the log is on");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = Broker::found().await.unwrap();
        let exchange = unique("logged");
        let mut spec = broker.spec(&exchange, None);
        spec.routing_key = Some("nobody".to_owned());
        let sink = rabbit(spec);
        for position in 1..=3 {
            let outcome = deliver(&sink, position).await;
            assert!(matches!(outcome, Err(Undelivered::Refused(_))), "{outcome:?}");
        }
        sink.close().await;
        broker.forget("", &exchange).await;
    });
}
