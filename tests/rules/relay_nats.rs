//! The relay's NATS JetStream sink against a real server.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use futures_util::future::join_all;
use stockade::relay::{NatsSpec, Secret, Sink, SinkSpec, Undelivered};

use crate::relay_sinks::{Wire, breaks_and_connects_again, message, open, service, unique};

struct Server {
    address: String,
    context: jetstream::Context,
}

impl Server {
    async fn found() -> Option<Self> {
        let address = service("NATS", "STOCKADE_NATS", "127.0.0.1:4222")?;
        let client = async_nats::connect(format!("nats://{address}")).await.unwrap();
        Some(Self { address, context: jetstream::new(client) })
    }

    fn spec(&self, stream: &str, subject: &str) -> NatsSpec {
        NatsSpec {
            address: self.address.clone(),
            user: None,
            password: Secret::default(),
            tls: false,
            tls_ca: None,
            stream: stream.to_owned(),
            subject: subject.to_owned(),
        }
    }

    async fn len(&self, stream: &str) -> u64 {
        self.context.get_stream(stream).await.unwrap().cached_info().state.messages
    }
}

fn nats(spec: NatsSpec) -> Arc<dyn Sink> {
    open(&SinkSpec::Nats(spec))
}

async fn deliver(sink: &Arc<dyn Sink>, position: u64) -> Result<(), Undelivered> {
    tokio::time::timeout(Duration::from_secs(60), sink.deliver(message(position))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_is_made_and_drops_what_it_has_had() {
    let Some(server) = Server::found().await else { return };
    let stream = unique("stream");
    let sink = nats(server.spec(&stream, &format!("{stream}.{{event}}")));
    let outcomes = join_all((1..=500).map(|position| sink.deliver(message(position)))).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(server.len(&stream).await, 500);
    // The same again, on the same connection and on another.
    assert_eq!(deliver(&sink, 500).await, Ok(()));
    sink.close().await;
    assert_eq!(deliver(&sink, 1).await, Ok(()));
    assert_eq!(server.len(&stream).await, 500, "a position is in it once");
    let kept = server.context.get_stream(&stream).await.unwrap();
    let first = kept.get_raw_message(1).await.unwrap();
    assert_eq!(first.subject.as_str(), format!("{stream}.OrderPaid"));
    assert_eq!(first.payload, message(1).body);
    let header = |name: &str| first.headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("Nats-Msg-Id").as_deref(), Some("test:1"));
    assert_eq!(header("Stockade-Event").as_deref(), Some("OrderPaid"));
    assert_eq!(header("Stockade-Position").as_deref(), Some("1"));
    sink.close().await;
    server.context.delete_stream(&stream).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_refuses_until_there_is_room() {
    let Some(server) = Server::found().await else { return };
    let name = unique("full");
    let config = stream::Config {
        name: name.clone(),
        subjects: vec![format!("{name}.>")],
        max_messages: 3,
        discard: stream::DiscardPolicy::New,
        ..Default::default()
    };
    let made = server.context.create_stream(config).await.unwrap();
    let sink = nats(server.spec(&name, &format!("{name}.{{event}}")));
    for position in 1..=3 {
        assert_eq!(deliver(&sink, position).await, Ok(()));
    }
    let outcome = deliver(&sink, 4).await;
    let Err(Undelivered::Refused(reason)) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("maximum messages exceeded"), "{reason}");
    made.purge().await.unwrap();
    assert_eq!(deliver(&sink, 5).await, Ok(()), "the connection goes on");
    sink.close().await;
    server.context.delete_stream(&name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_take_the_subject_is_down_and_so_is_one_that_is_gone() {
    let Some(server) = Server::found().await else { return };
    let name = unique("other");
    let config =
        stream::Config { name: name.clone(), subjects: vec![format!("{name}.x")], ..Default::default() };
    server.context.create_stream(config).await.unwrap();
    let sink = nats(server.spec(&name, &format!("{name}.{{event}}")));
    let outcome = deliver(&sink, 1).await;
    let Err(Undelivered::Down(reason)) = outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("does not take"), "{reason}");
    let sink = nats(server.spec(&name, &format!("{name}.x")));
    assert_eq!(deliver(&sink, 1).await, Ok(()));
    server.context.delete_stream(&name).await.unwrap();
    let outcome = deliver(&sink, 2).await;
    assert!(matches!(outcome, Err(Undelivered::Down(_))), "{outcome:?}");
    assert_eq!(deliver(&sink, 2).await, Ok(()), "connecting again makes it again");
    sink.close().await;
    server.context.delete_stream(&name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_down() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let spec = NatsSpec {
        address: free.to_string(),
        user: Some("u".to_owned()),
        password: Secret("never-shown-8642".to_owned()),
        tls: false,
        tls_ca: None,
        stream: "s".to_owned(),
        subject: "s.{event}".to_owned(),
    };
    let sink = nats(spec);
    for position in 1..=3 {
        let outcome = deliver(&sink, position).await;
        let Err(Undelivered::Down(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(!reason.contains("never-shown-8642"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_is_down_for_all_on_their_way_and_made_again() {
    let Some(server) = Server::found().await else { return };
    let wire = Wire::to(&server.address).await;
    let stream = unique("broken");
    let mut spec = server.spec(&stream, &format!("{stream}.{{event}}"));
    spec.address = wire.address.clone();
    breaks_and_connects_again(nats(spec), &wire).await;
    // Every position is in it once, although many were published again and again.
    let messages = server.len(&stream).await;
    assert!((4..=601).contains(&messages), "{messages}");
    server.context.delete_stream(&stream).await.unwrap();
}
