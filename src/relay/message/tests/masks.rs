//! Who receives goods is masked unless the subscription says otherwise.

use std::sync::Arc;

use super::samples::{ADDRESS, NAME, PHONE, Shop, at, created, later, one_of_each, receiver};
use super::{MASKED, WHOLE, json, message_of};
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::order::{Order, OrderEvent, OrderText};
use crate::domain::request::Personal;
use crate::relay::message::{RenderOptions, Renderer};

#[tokio::test]
async fn no_message_of_a_masked_subscription_holds_what_is_to_be_hidden() {
    for snapshot in [false, true] {
        let shop = Arc::new(Shop::default());
        shop.put(Order::create(created(), Position(10)));
        for event in one_of_each() {
            let name = event.name();
            let mut renderer = Renderer::new(shop.clone(), RenderOptions { snapshot, ..MASKED });
            renderer.pass(&at(10, Event::OrderCreated(Box::new(created()))));
            let message = renderer.render(&at(11, event)).await.unwrap();
            let text = String::from_utf8(message.body.to_vec()).unwrap();
            for hidden in [NAME, PHONE, ADDRESS, "518000"] {
                assert!(!text.contains(hidden), "{name} shows {hidden}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_subscription_that_says_so_gets_it_whole() {
    let event = Event::OrderCreated(Box::new(created()));
    let body = json(&message_of(event.clone(), WHOLE).await);
    assert_eq!(body["payload"]["receiver"]["phone"], PHONE);
    assert_eq!(body["payload"]["receiver"]["address"], ADDRESS);
    let body = json(&message_of(event, MASKED).await);
    assert_eq!(body["payload"]["receiver"]["phone"], "138****5678");
    assert_eq!(body["payload"]["receiver"]["city"], "深圳市");
    let moved = later(2, OrderEvent::AddressChanged { personal: receiver() });
    let body = json(&message_of(moved, WHOLE).await);
    assert_eq!(body["payload"]["receiver"]["name"], NAME);
}

#[tokio::test]
async fn of_other_forms_only_the_size_is_told() {
    let sealed = Personal::Sealed { key_version: 1, ciphertext: b"secret-ciphertext".as_slice().into() };
    let foreign = Personal::Plain(b"name=secret-foreign".as_slice().into());
    for (personal, len) in [(sealed, 17), (foreign, 19)] {
        for options in [MASKED, WHOLE] {
            let mut placed = created();
            placed.extra.text =
                Some(Box::new(OrderText { personal: Some(personal.clone()), ..OrderText::default() }));
            let message = message_of(Event::OrderCreated(Box::new(placed)), options).await;
            let text = String::from_utf8(message.body.to_vec()).unwrap();
            assert!(!text.contains("secret"), "{text}");
            assert_eq!(json(&message)["payload"]["receiver"]["bytes"], len);
        }
    }
}
