//! The form of messages is held by a file with one of every kind. `UPDATE=1` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use super::samples::{Shop, at, created, later, one_of_each, order_no, payment, step, units};
use super::{MASKED, WHOLE, json, message_of};
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::order::{Order, OrderEvent};
use crate::relay::event_names;
use crate::relay::message::{RenderOptions, Renderer};

/// An order with some life behind it, as snapshots show it, and the event that comes next.
fn lived() -> (Order, Event) {
    let mut order = Order::create(created(), Position(10));
    let attempt =
        OrderEvent::PaymentAttempted { attempt: 1, channel: "wechat".into(), amount: order.pay_amount };
    order.apply(&later(2, attempt), Position(11));
    let paid = Event::OrderPaid { step: step(3), payment: payment(), units: units() };
    order.apply(&paid, Position(12));
    order.apply(&later(4, OrderEvent::OrderRemarked { remark: "call first".into(), flag: 3 }), Position(13));
    (order, paid)
}

#[tokio::test]
async fn messages_keep_their_form() {
    let mut lines = String::new();
    for event in one_of_each() {
        let message = message_of(event, MASKED).await;
        writeln!(lines, "{}", String::from_utf8(message.body.to_vec()).unwrap()).unwrap();
    }
    for event in one_of_each() {
        let whole = message_of(event.clone(), WHOLE).await;
        if whole.body != message_of(event, MASKED).await.body {
            writeln!(lines, "{}", String::from_utf8(whole.body.to_vec()).unwrap()).unwrap();
        }
    }
    let (order, paid) = lived();
    let shop = Arc::new(Shop::default());
    shop.put(order);
    let mut renderer = Renderer::new(shop, RenderOptions { snapshot: true, ..MASKED });
    let message = renderer.render(&at(12, paid)).await.unwrap();
    writeln!(lines, "{}", String::from_utf8(message.body.to_vec()).unwrap()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/relay/message/tests/golden.jsonl");
    if std::env::var("UPDATE").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &lines).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (line, golden) in lines.lines().zip(golden.lines()) {
        assert_eq!(
            line, golden,
            "consumers rely on this form: fields may be added (UPDATE=1), others change by a new schema version"
        );
    }
    assert_eq!(lines.lines().count(), golden.lines().count());
}

#[test]
fn there_is_a_sample_of_every_event() {
    let samples: BTreeSet<_> = one_of_each().iter().map(Event::name).collect();
    let known: BTreeSet<_> = event_names().collect();
    assert_eq!(samples, known);
}

#[tokio::test]
async fn a_message_says_itself_what_its_body_says() {
    for event in one_of_each() {
        let message = message_of(event.clone(), MASKED).await;
        let body = json(&message);
        assert_eq!(body["position"], 11);
        assert_eq!(body["event"], message.event);
        assert_eq!(body["at_ms"], message.at_ms);
        assert_eq!(body["order_no"].as_str().map(str::to_owned), message.order_no.map(|no| no.to_string()));
        let own = event.order_version().map(|(order_no, _)| order_no);
        assert!(own.is_none() || message.order_no == own, "{}", message.event);
        if message.order_no == Some(order_no()) {
            assert_eq!(body["user_id"], "7", "{}", message.event);
            assert_eq!(body["external_no"], "WEB-1");
            assert_eq!(body["sku_ids"], serde_json::json!(["42", "57"]));
            assert_eq!(body["product_ids"], serde_json::json!(["4", "5"]));
        }
    }
}
