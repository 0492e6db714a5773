//! Tests of messages.

mod facts;
mod form;
mod masks;
mod samples;
mod schema;

use std::sync::Arc;

use serde_json::Value;

use crate::domain::event::Event;
use crate::relay::message::{Message, RenderOptions, Renderer};
use crate::relay::spec::PersonalChoice;

use samples::{Shop, at, created};

const MASKED: RenderOptions = RenderOptions { snapshot: false, personal: PersonalChoice::Masked };
const WHOLE: RenderOptions = RenderOptions { snapshot: false, personal: PersonalChoice::Whole };

/// The message of an event that comes right after the order was placed.
async fn message_of(event: Event, options: RenderOptions) -> Message {
    let shop = Arc::new(Shop::default());
    let mut renderer = Renderer::new(shop, options);
    if !matches!(event, Event::OrderCreated(_)) {
        renderer.pass(&at(10, Event::OrderCreated(Box::new(created()))));
    }
    renderer.render(&at(11, event)).await.unwrap()
}

fn json(message: &Message) -> Value {
    serde_json::from_slice(&message.body).unwrap()
}
