//! Messages are as `docs/relay-message.schema.json` describes them, and it describes all of them.
//!
//! The walker knows the words of JSON Schema that the description uses, and no others. It is stricter in one point: a field
//! that the description doesn't name is refused, where consumers are to ignore it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::samples::{Shop, at, created, one_of_each};
use super::{MASKED, WHOLE};
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::instant::parse_instant;
use crate::domain::order::{Order, OrderText};
use crate::domain::request::Personal;
use crate::relay::event_names;
use crate::relay::message::{RenderOptions, Renderer};

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/relay-message.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no such type: {other}"),
    }
}

fn has_pattern(text: &str, pattern: &str) -> bool {
    match pattern {
        "^[0-9]+$" => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
        "^[0-9a-f]{32}$" => {
            text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        }
        other => panic!("the walker does not know the pattern {other}"),
    }
}

/// What is wrong with a value, if anything. `root` is where references begin.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let object = schema.as_object().unwrap();
    let wrong = |what: String| Err(format!("{at}: {what}"));
    for (word, rule) in object {
        let holds = match word.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "then" => true,
            "$ref" => {
                let target = root.pointer(rule.as_str().unwrap().strip_prefix('#').unwrap());
                check(root, target.unwrap_or_else(|| panic!("{rule} leads nowhere")), value, at)?;
                true
            }
            "type" => match rule {
                Value::String(name) => is_of_type(value, name),
                names => {
                    names.as_array().unwrap().iter().any(|name| is_of_type(value, name.as_str().unwrap()))
                }
            },
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| has_pattern(text, rule.as_str().unwrap())),
            "format" => value.as_str().is_none_or(|text| parse_instant(text).is_ok() && text.ends_with('Z')),
            "required" => {
                let missing =
                    rule.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
                if let (Some(name), true) = (missing, value.is_object()) {
                    return wrong(format!("{name} is missing"));
                }
                true
            }
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    match rule.get(name) {
                        Some(schema) => check(root, schema, value, &format!("{at}.{name}"))?,
                        // Conditions name only what they are about.
                        None if !object.contains_key("type") => {}
                        None => return wrong(format!("{name} is not described")),
                    }
                }
                true
            }
            "items" => {
                for (place, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, value, &format!("{at}[{place}]"))?;
                }
                true
            }
            "allOf" => {
                rule.as_array().unwrap().iter().try_for_each(|schema| check(root, schema, value, at))?;
                true
            }
            "anyOf" => {
                let tried: Vec<_> =
                    rule.as_array().unwrap().iter().map(|schema| check(root, schema, value, at)).collect();
                if tried.iter().all(Result::is_err) {
                    return wrong(format!("none of these: {tried:?}"));
                }
                true
            }
            "if" => {
                if check(root, rule, value, at).is_ok() {
                    check(root, &object["then"], value, at)?;
                }
                true
            }
            other => panic!("the walker does not know {other}"),
        };
        if !holds {
            return wrong(format!("{value} is not as {word} says: {rule}"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_message_is_as_described() {
    let schema = schema();
    let shop = Arc::new(Shop::default());
    shop.put(Order::create(created(), Position(10)));
    for event in one_of_each() {
        for options in [MASKED, WHOLE, RenderOptions { snapshot: true, ..WHOLE }] {
            let mut renderer = Renderer::new(shop.clone(), options);
            renderer.pass(&at(10, Event::OrderCreated(Box::new(created()))));
            let message = renderer.render(&at(11, event.clone())).await.unwrap();
            let body: Value = serde_json::from_slice(&message.body).unwrap();
            check(&schema, &schema, &body, event.name()).unwrap();
        }
    }
    // One whose order is unknown, and one with a receiver in another form.
    let mut renderer = Renderer::new(Arc::new(Shop::default()), MASKED);
    let mut bare = created();
    bare.extra.text = Some(Box::new(OrderText {
        personal: Some(Personal::Plain(b"x".as_slice().into())),
        ..OrderText::default()
    }));
    for event in one_of_each().into_iter().skip(1).chain([Event::OrderCreated(Box::new(bare))]) {
        let message = renderer.render(&at(11, event.clone())).await.unwrap();
        let body: Value = serde_json::from_slice(&message.body).unwrap();
        check(&schema, &schema, &body, event.name()).unwrap();
    }
}

#[test]
fn it_describes_the_events_that_there_are_and_no_others() {
    let schema = schema();
    let names = |value: &Value| -> BTreeSet<String> {
        value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let known: BTreeSet<_> = event_names().map(str::to_owned).collect();
    assert_eq!(names(&schema["properties"]["event"]["enum"]), known);
    let described: BTreeSet<_> = schema["$defs"]["payloads"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(described, known);
    let tied: BTreeSet<_> = schema["allOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| {
            let name = rule["if"]["properties"]["event"]["const"].as_str().unwrap();
            let target = &rule["then"]["properties"]["payload"]["$ref"];
            assert_eq!(target, &format!("#/$defs/payloads/{name}"));
            name.to_owned()
        })
        .collect();
    assert_eq!(tied, known);
}

#[tokio::test]
async fn the_walker_finds_what_is_wrong() {
    let schema = schema();
    let mut renderer = Renderer::new(Arc::new(Shop::default()), MASKED);
    let message = renderer.render(&at(11, one_of_each().remove(0))).await.unwrap();
    let body: Value = serde_json::from_slice(&message.body).unwrap();
    assert_eq!(check(&schema, &schema, &body, ""), Ok(()));
    let wrong = |pointer: &str, value: Value| {
        let mut body = body.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        assert!(check(&schema, &schema, &body, "").is_err(), "{pointer} passes");
    };
    wrong("/schema", json!(2));
    wrong("/position", json!("11"));
    wrong("/event", json!("Unheard"));
    wrong("/event", json!("OrderPaid"));
    wrong("/status", json!("lost"));
    wrong("/order_no", json!("x1"));
    wrong("/at", json!("yesterday"));
    wrong("/sku_ids", json!([42]));
    wrong("/payload", json!({}));
    wrong("/payload/request_id", json!("abc"));
    wrong("/payload/amounts/freight", json!(1.5));
    wrong("/payload/lines/0/quantity", json!(0));
    wrong("/payload/receiver", json!({"name": "x"}));
    let mut more = body.clone();
    more["unheard_of"] = json!(1);
    assert!(check(&schema, &schema, &more, "").is_err());
}
