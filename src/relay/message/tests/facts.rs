//! What messages say about orders is so at their event's position, remembered or looked up.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::samples::{Shop, at, created, later, order_no, payment, step, units};
use super::{MASKED, json};
use crate::domain::event::{Event, OrderCreated};
use crate::domain::ids::{OrderNo, Position, Slot};
use crate::domain::money::Money;
use crate::domain::order::{CloseReason, Order, OrderEvent};
use crate::domain::reject::Reject;
use crate::domain::request::Shipment;
use crate::journal::RecordedEvent;
use crate::relay::message::{RenderError, RenderOptions, Renderer};

fn priced(version: u32, pay_amount: i64) -> Event {
    let pay_amount = Money::from_minor(pay_amount);
    later(version, OrderEvent::PriceChanged { pay_amount, freight: Money::ZERO, adjustments: Vec::new() })
}

/// The events of one order, and what it is after each of them.
fn life() -> Vec<(Event, &'static str, i64)> {
    let shipment = Shipment { carrier: "SF".into(), tracking_no: "1".into() };
    vec![
        (Event::OrderCreated(Box::new(created())), "pending", 59_600),
        (priced(2, 50_000), "pending", 50_000),
        (
            Event::OrderClosed { step: step(3), reason: CloseReason::Timeout, units: units() },
            "cancelled",
            50_000,
        ),
        (Event::OrderRevived { step: step(4), units: units() }, "pending", 50_000),
        (priced(5, 40_000), "pending", 40_000),
        (Event::OrderPaid { step: step(6), payment: payment(), units: units() }, "paid", 40_000),
        (
            later(7, OrderEvent::PackageShipped { shipment: shipment.clone(), units: units() }),
            "partially_shipped",
            40_000,
        ),
        (later(8, OrderEvent::OrderRemarked { remark: "x".into(), flag: 1 }), "partially_shipped", 40_000),
        (Event::OrderShipped { step: step(9), shipment }, "shipped", 40_000),
        (Event::OrderReceived { step: step(10) }, "completed", 40_000),
    ]
}

/// The order after all of its life, whose events stand at every third position from 10 on.
fn lived() -> Order {
    let mut order = Order::create(created(), Position(10));
    for (nth, (event, ..)) in (1..).zip(&life()[1..]) {
        order.apply(event, Position(10 + 3 * nth));
    }
    order
}

#[tokio::test]
async fn status_and_amount_are_those_after_the_event_however_they_are_found() {
    let shop = Arc::new(Shop::default());
    shop.put(lived());
    let mut following = Renderer::new(shop.clone(), MASKED);
    for (nth, (event, status, amount)) in (0..).zip(life()) {
        let recorded = at(10 + 3 * nth, event);
        // Looked up each time, since nothing came before it.
        let mut fresh = Renderer::new(shop.clone(), MASKED);
        let looked_up = json(&fresh.render(&recorded).await.unwrap());
        let remembered = json(&following.render(&recorded).await.unwrap());
        assert_eq!(looked_up, remembered);
        assert_eq!((&looked_up["status"], &looked_up["amount"]), (&status.into(), &amount.into()), "{nth}");
        assert_eq!(looked_up["version"], nth + 1);
        for other in 1..3 {
            following.pass(&at(10 + 3 * nth + other, Event::NumbersReserved { at_ms: 1, until_ms: 1 }));
        }
    }
}

#[tokio::test]
async fn what_follows_in_sequence_asks_nobody_and_a_jump_asks_anew() {
    let shop = Arc::new(Shop::default());
    shop.put(lived());
    let asked = || *shop.asked.lock().unwrap();
    let mut renderer = Renderer::new(shop.clone(), MASKED);
    let events: Vec<_> = life().into_iter().map(|(event, ..)| event).collect();
    // Without gaps between them here: the position only says what comes next to what.
    renderer.pass(&at(1, events[0].clone()));
    renderer.render(&at(2, events[1].clone())).await.unwrap();
    renderer.pass(&at(3, events[2].clone()));
    let body = json(&renderer.render(&at(4, events[3].clone())).await.unwrap());
    assert_eq!((&body["status"], asked()), (&"pending".into(), 0));
    // The payment of an order is about it, and changes nothing about it.
    let received = Event::PaymentReceived {
        at_ms: 1,
        payment: payment(),
        channel: "c".into(),
        merchant: "m".into(),
        transaction_id: "t".into(),
        order_no: order_no(),
        amount: Money::from_minor(1),
    };
    let body = json(&renderer.render(&at(5, received)).await.unwrap());
    assert_eq!((&body["status"], &body["version"], asked()), (&"pending".into(), &().into(), 0));
    // Something was left out: what is remembered may be wrong by now.
    renderer.render(&at(40, Event::OrderReceived { step: step(10) })).await.unwrap();
    assert_eq!(asked(), 1);
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_asked_again_and_nothing_is_lost() {
    let shop = Arc::new(Shop::default());
    let mut renderer = Renderer::new(shop.clone(), RenderOptions { snapshot: true, ..MASKED });
    let created = at(10, Event::OrderCreated(Box::new(created())));
    *shop.refusal.lock().unwrap() = Some(Reject::ExternalNoBusy);
    let refused = renderer.render(&created).await.unwrap_err();
    assert_eq!(refused, RenderError::Unanswered { order_no: order_no(), reject: Reject::ExternalNoBusy });
    *shop.refusal.lock().unwrap() = None;
    let body = json(&renderer.render(&created).await.unwrap());
    assert_eq!(body["snapshot"], serde_json::Value::Null, "there is no such order to be shown");
    // An order that is behind its own event is asked for again.
    let closed = Event::OrderClosed { step: step(3), reason: CloseReason::Member, units: units() };
    shop.put(Order::create(super::samples::created(), Position(10)));
    let refused = renderer.render(&at(30, closed.clone())).await.unwrap_err();
    assert_eq!(refused, RenderError::Behind { order_no: order_no(), version: 1, expected: 3 });
    shop.put(lived());
    let body = json(&renderer.render(&at(16, closed)).await.unwrap());
    assert_eq!((&body["status"], &body["snapshot"]["status"]), (&"cancelled".into(), &"completed".into()));
    assert_eq!(body["snapshot"]["version"], 10, "a snapshot has its own version");
}

/// What happens to an order next, if it may.
fn next(order: &Order, choice: u8, at: u64) -> Event {
    let step =
        crate::domain::event::OrderStep { order_no: order.order_no, version: order.version + 1, at_ms: at };
    let later = |what| Event::Order { step, what: Box::new(what) };
    let shipment = Shipment::default();
    match choice % 8 {
        0 => Event::OrderPaid { step, payment: payment(), units: units() },
        1 => Event::OrderClosed { step, reason: CloseReason::Timeout, units: units() },
        2 => Event::OrderRevived { step, units: units() },
        3 => later(OrderEvent::PriceChanged {
            pay_amount: Money::from_minor(at as i64),
            freight: Money::ZERO,
            adjustments: Vec::new(),
        }),
        4 => later(OrderEvent::PackageShipped { shipment, units: units() }),
        5 => Event::OrderShipped { step, shipment },
        6 => Event::OrderReceived { step },
        _ => later(OrderEvent::OrderRemarked { remark: "".into(), flag: 1 }),
    }
}

proptest! {
    /// Orders whose events are mixed, rendered by one who follows and by one who jumps in anywhere: both say of every event
    /// what the order was right after it.
    #[test]
    fn remembered_and_looked_up_facts_are_those_of_the_order_itself(
        choices in prop::collection::vec((0..4_u64, any::<u8>(), any::<bool>()), 1..60)
    ) {
        let mut orders: BTreeMap<u64, Order> = BTreeMap::new();
        let mut story: Vec<(RecordedEvent, Order)> = Vec::new();
        for (position, (which, choice, _)) in (1_u64..).zip(&choices) {
            let event = match orders.get(which) {
                Some(order) => next(order, *choice, position),
                None => {
                    let order_no = OrderNo::compose(1, Slot::from_index(9).unwrap(), which + 1);
                    Event::OrderCreated(Box::new(OrderCreated { order_no, ..created() }))
                }
            };
            let order = match &event {
                Event::OrderCreated(created) => Order::create((**created).clone(), Position(position)),
                later => {
                    let mut order = orders[which].clone();
                    order.apply(later, Position(position));
                    order
                }
            };
            orders.insert(*which, order.clone());
            story.push((at(position, event), order));
        }
        let shop = Arc::new(Shop::default());
        orders.into_values().for_each(|order| shop.put(order));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut following = Renderer::new(shop.clone(), MASKED);
            for ((recorded, order), (_, _, is_chosen)) in story.iter().zip(&choices) {
                let mut fresh = Renderer::new(shop.clone(), MASKED);
                let body = json(&fresh.render(recorded).await.unwrap());
                assert_eq!(body["status"], order.status.name());
                assert_eq!(body["amount"], order.pay_amount.minor());
                assert_eq!(body["version"], order.version);
                if *is_chosen {
                    assert_eq!(json(&following.render(recorded).await.unwrap()), body);
                } else {
                    following.pass(recorded);
                }
            }
        });
    }
}
