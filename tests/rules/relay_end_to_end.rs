//! From orders to another system's table: an engine, its relay, a real broker, and a consumer that has messages alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::{self, consumer};
use futures_util::StreamExt;
use lapin::options::{BasicGetOptions, QueueDeleteOptions};
use lapin::{Connection, ConnectionProperties};
use serde_json::{Value, json};
use stockade::relay::SubscriptionSpec;
use stockade::{
    Caller, Config, Engine, Money, OrderNo, Payment, PriceChange, Sku, StockAdjustment, StockChange,
    StockKey, SubmitOrder,
};

use crate::relay_sinks::{service, unique};
use crate::relay_support::let_go;

/// An engine with something to sell, in a directory.
async fn open(dir: &Path) -> Engine {
    let engine = Engine::open(Config::new(dir)).await.unwrap();
    let sku = Sku {
        id: 42.into(),
        product_id: 7.into(),
        code: "TEA-50".into(),
        title: "Green tea, 50 g".into(),
        price: Money::from_minor(19_900),
        on_sale: true,
        limit_per_member: 0,
    };
    engine.put_sku(sku).await.unwrap();
    let key = StockKey::normal(42.into());
    let adjustment = StockAdjustment { id: 1.into(), key, change: StockChange::Relative(10_000) };
    engine.adjust_stock(adjustment).await.unwrap();
    engine
}

/// Places orders, pays some, changes the price of others, cancels some.
async fn trade(engine: &Engine, from: u64) -> Vec<OrderNo> {
    let mut placed = Vec::new();
    for n in from..from + 40 {
        let receipt = engine.submit(SubmitOrder::one_line(n, u128::from(n), 42, 1)).await.unwrap();
        let order_no = receipt.order_no;
        placed.push(order_no);
        match n % 4 {
            0 => {}
            1 => drop(engine.cancel(Caller::Operator, order_no).await.unwrap()),
            kind => {
                let mut amount = receipt.pay_amount;
                if kind == 2 {
                    amount = Money::from_minor(15_000);
                    let change = PriceChange { pay_amount: amount, freight: Money::ZERO };
                    engine.change_price(order_no, change).await.unwrap();
                }
                let payment = Payment {
                    order: order_no.into(),
                    channel: "wechat".into(),
                    merchant: "shop-1".into(),
                    transaction_id: n.to_string().into(),
                    amount,
                };
                engine.pay(payment).await.unwrap();
            }
        }
    }
    placed
}

/// Waits until nothing is left to be delivered.
async fn drained(engine: &Engine, name: &str) {
    for _ in 0..600 {
        let status = engine.relay().unwrap().subscription(name).unwrap();
        if status.lag_events == 0 && status.in_flight == 0 {
            assert_eq!(status.dead_letters, 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", engine.relay().unwrap().subscription(name));
}

/// What a consumer knows from messages alone, against what the engine says.
async fn same_as_engine(engine: &Engine, placed: &[OrderNo], bodies: &[Value]) {
    let mut seen = BTreeSet::new();
    let mut table: BTreeMap<String, (String, i64, u64, String)> = BTreeMap::new();
    for body in bodies {
        if !seen.insert(body["position"].as_u64().unwrap()) {
            continue;
        }
        let (Some(order_no), Some(version)) = (body["order_no"].as_str(), body["version"].as_u64()) else {
            continue;
        };
        let before = table.get(order_no).map_or(0, |row| row.2);
        assert_eq!(version, before + 1, "an order's messages come in its sequence, and none is left out");
        let status = body["status"].as_str().unwrap().to_owned();
        let member = body["user_id"].as_str().unwrap().to_owned();
        table.insert(order_no.to_owned(), (status, body["amount"].as_i64().unwrap(), version, member));
        assert_eq!(body["sku_ids"], json!(["42"]));
        assert_eq!(body["product_ids"], json!(["7"]));
    }
    assert_eq!(table.len(), placed.len());
    for order_no in placed {
        let order = engine.order(Caller::Operator, *order_no).await.unwrap();
        let expected = (
            order.status.name().to_owned(),
            order.pay_amount.minor(),
            u64::from(order.version),
            order.member_id.to_string(),
        );
        assert_eq!(table[&order_no.to_string()], expected);
    }
}

/// Trades, with the subscription made in the middle from the first event on, over a restart.
async fn relayed(dir: &Path, sink: Value) -> (Engine, Vec<OrderNo>) {
    let engine = open(dir).await;
    let mut placed = trade(&engine, 1).await;
    let spec: SubscriptionSpec =
        serde_json::from_value(json!({"start": "first", "sink": sink, "retry": {"backoff_ms": 10}})).unwrap();
    engine.relay().unwrap().create("e2e", spec).await.unwrap();
    placed.extend(trade(&engine, 101).await);
    engine.shutdown().await.unwrap();
    drop(engine);
    let_go(dir).await;
    let engine = Engine::open(Config::new(dir)).await.unwrap();
    placed.extend(trade(&engine, 201).await);
    drained(&engine, "e2e").await;
    (engine, placed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_of_rabbitmqs_messages_is_the_engines() {
    let Some(address) = service("RabbitMQ", "STOCKADE_RABBITMQ", "127.0.0.1:5672") else { return };
    let dir = tempfile::tempdir().unwrap();
    let queue = unique("e2e");
    let sink =
        json!({"kind": "rabbitmq", "address": address, "password": "guest", "exchange": "", "queue": queue});
    let (engine, placed) = relayed(dir.path(), sink).await;
    let uri = format!("amqp://guest:guest@{address}/%2f");
    let connection = Connection::connect(&uri, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut bodies = Vec::new();
    while let Some(got) =
        channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await.unwrap()
    {
        bodies.push(serde_json::from_slice(&got.delivery.data).unwrap());
    }
    channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    same_as_engine(&engine, &placed, &bodies).await;
    engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_of_jetstreams_messages_is_the_engines() {
    let Some(address) = service("NATS", "STOCKADE_NATS", "127.0.0.1:4222") else { return };
    let dir = tempfile::tempdir().unwrap();
    let name = unique("e2e");
    let sink =
        json!({"kind": "nats", "address": address, "stream": name, "subject": format!("{name}.{{event}}")});
    let (engine, placed) = relayed(dir.path(), sink).await;
    let client = async_nats::connect(format!("nats://{address}")).await.unwrap();
    let context = jetstream::new(client);
    let mut stream = context.get_stream(&name).await.unwrap();
    let len = stream.info().await.unwrap().state.messages;
    let consumer = stream.create_consumer(consumer::pull::OrderedConfig::default()).await.unwrap();
    let messages = consumer.messages().await.unwrap().take(usize::try_from(len).unwrap());
    let bodies: Vec<Value> =
        messages.map(|message| serde_json::from_slice(&message.unwrap().payload).unwrap()).collect().await;
    context.delete_stream(&name).await.unwrap();
    let positions: BTreeSet<_> = bodies.iter().map(|body| body["position"].as_u64()).collect();
    assert_eq!(positions.len(), bodies.len(), "the stream has dropped repetitions");
    same_as_engine(&engine, &placed, &bodies).await;
    engine.shutdown().await.unwrap();
}
