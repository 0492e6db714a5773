//! Pulled subscriptions: polled, acknowledged, and polled again after a crash.

use std::time::Duration;

use serde_json::json;
use stockade::relay::{Message, RelayError};
use stockade::{Position, Relay};

use crate::relay_support::*;
use crate::support::*;

const NOW: Duration = Duration::ZERO;
const LONG: Duration = Duration::from_secs(30);

async fn poll(relay: &Relay, after: Option<Position>) -> Vec<Message> {
    answered(relay.poll(NAME, after, 1_000, NOW)).await.unwrap()
}

/// A poll that waits, also for its turn.
async fn patient(relay: Relay) -> Result<Vec<Message>, RelayError> {
    loop {
        match relay.poll(NAME, None, 10, LONG).await {
            Err(RelayError::Busy { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
            other => return other,
        }
    }
}

fn positions(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.position.0).collect()
}

#[tokio::test]
async fn what_is_not_acknowledged_comes_again() {
    let (shop, relay) = shop_with(&FakeSink::default()).await;
    shop.stock_up(1, 100).await;
    relay.create(NAME, pulled(json!({}))).await.unwrap();
    for request in 1..=10 {
        shop.submit(one(1, request, 1)).await.unwrap();
    }
    shop.settle().await;
    let events = journal(&shop).await;
    let first = poll(&relay, None).await;
    assert_complete(&first, &events, "the first poll");
    assert_eq!(positions(&poll(&relay, None).await), positions(&first));
    let third = first[2].position;
    assert_eq!(positions(&poll(&relay, Some(third)).await), positions(&first[3..]));
    assert_eq!(relay.poll(NAME, None, 2, NOW).await.unwrap().len(), 2);

    let status = relay.acknowledge(NAME, third).await.unwrap();
    assert_eq!((status.cursor.0, status.lag_events), (third.0 + 1, events.len() as u64 - third.0));
    assert_eq!(relay.acknowledge(NAME, Position(1)).await.unwrap().cursor, status.cursor, "never back");
    assert_eq!(positions(&poll(&relay, None).await), positions(&first[3..]));
    let last = first.last().unwrap().position;
    let ahead = relay.acknowledge(NAME, Position(last.0 + 1)).await.unwrap_err();
    assert_eq!(ahead, RelayError::Ahead { asked: Position(last.0 + 1), last });
    relay.acknowledge(NAME, last).await.unwrap();
    assert_eq!(poll(&relay, None).await, []);
}

#[tokio::test]
async fn an_acknowledgement_survives_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let sink = FakeSink::default();
    let shop = Disk::open(dir.path(), &sink).await;
    shop.stock_up(1, 100).await;
    let relay = shop.relay().unwrap();
    relay.create(NAME, pulled(json!({}))).await.unwrap();
    shop.submit(one(1, 1, 1)).await.unwrap();
    let messages = poll(&relay, None).await;
    relay.acknowledge(NAME, messages[1].position).await.unwrap();
    let by = shop.crash(dir.path()).await;
    let shop = Disk::open_by(dir.path(), &sink, by, |config| config).await;
    let again = poll(&shop.relay().unwrap(), None).await;
    assert_eq!(again[0].position.0, messages[1].position.0 + 1);
    shop.shut_down(dir.path()).await;
}

#[tokio::test]
async fn a_poll_waits_for_what_was_chosen_and_the_cursor_passes_the_rest() {
    let (shop, relay) = shop_with(&FakeSink::default()).await;
    shop.stock_up(1, 100).await;
    relay.create(NAME, pulled(json!({"events": ["OrderPaid"]}))).await.unwrap();
    let order = shop.submit(one(1, 1, 1)).await.unwrap();
    assert_eq!(poll(&relay, None).await, []);
    reached(|| relay.subscription(NAME).unwrap().cursor > shop.metrics().durable).await;

    let waiting = tokio::spawn(patient(relay.clone()));
    tokio::task::yield_now().await;
    reached(|| relay.subscription(NAME).is_ok()).await;
    shop.pay(payment(&order, "t1")).await.unwrap();
    let messages = answered(waiting).await.unwrap().unwrap();
    assert_eq!(messages.iter().map(|message| message.event).collect::<Vec<_>>(), ["OrderPaid"]);
    let status = relay.subscription(NAME).unwrap();
    assert!(status.cursor <= messages[0].position, "that is for its client to say");
    shop.submit(one(1, 2, 1)).await.unwrap();
    assert_eq!(poll(&relay, Some(messages[0].position)).await, []);
    relay.acknowledge(NAME, messages[0].position).await.unwrap();
    assert_eq!(poll(&relay, None).await, []);
    reached(|| relay.subscription(NAME).unwrap().cursor > shop.metrics().durable).await;
}

#[tokio::test]
async fn one_polls_at_a_time_and_only_what_is_to_be_polled() {
    let (shop, relay) = shop_with(&FakeSink::default()).await;
    relay.create(NAME, pulled(json!({"start": "next"}))).await.unwrap();
    relay.create("pushed", spec(json!({}))).await.unwrap();
    let waiting = tokio::spawn(patient(relay.clone()));
    answered(async {
        while relay.poll(NAME, None, 10, NOW).await != Err(RelayError::Busy { name: NAME.into() }) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let not_pulled = RelayError::NotPulled { name: "pushed".into() };
    assert_eq!(relay.poll("pushed", None, 10, NOW).await, Err(not_pulled.clone()));
    assert_eq!(relay.acknowledge("pushed", Position(1)).await.unwrap_err(), not_pulled);
    assert_eq!(relay.stream("pushed").unwrap_err(), not_pulled);
    for len_max in [0, 1_001] {
        let error = relay.poll(NAME, None, len_max, NOW).await.unwrap_err();
        assert!(matches!(error, RelayError::Invalid { .. }), "{error}");
    }
    // Whoever waits is let go when it is paused, and when the engine ends.
    relay.pause(NAME).await.unwrap();
    let stopped = RelayError::Stopped { name: NAME.into(), reason: "it is paused".into() };
    assert_eq!(answered(waiting).await.unwrap(), Err(stopped.clone()));
    assert_eq!(relay.acknowledge(NAME, Position(1)).await.unwrap_err(), stopped);
    relay.resume(NAME).await.unwrap();
    let waiting = tokio::spawn(patient(relay.clone()));
    tokio::task::yield_now().await;
    answered(shop.shutdown()).await.unwrap();
    assert_eq!(answered(waiting).await.unwrap(), Err(RelayError::Off));
}

#[tokio::test]
async fn a_stream_gives_message_after_message_and_the_next_begins_behind_what_is_done() {
    let (shop, relay) = shop_with(&FakeSink::default()).await;
    shop.stock_up(1, 1_000).await;
    relay.create(NAME, pulled(json!({"events": ["OrderCreated"]}))).await.unwrap();
    let mut placed = Vec::new();
    for request in 1..=600 {
        placed.push(shop.submit(one(1, request, 1)).await.unwrap().order_no);
    }
    let mut stream = relay.stream(NAME).unwrap();
    for order_no in &placed[..400] {
        let message = answered(stream.next()).await.unwrap();
        assert_eq!(message.order_no, Some(*order_no));
        if *order_no == placed[299] {
            stream.ack(message.position).await.unwrap();
        }
    }
    assert!(!format!("{stream:?}").contains("body"));
    drop(stream);
    let mut stream = relay.stream(NAME).unwrap();
    for order_no in &placed[300..] {
        assert_eq!(answered(stream.next()).await.unwrap().order_no, Some(*order_no));
    }
}
