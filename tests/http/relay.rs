//! The relay's subscriptions over HTTP: made, changed, paused, moved, deleted; polled and acknowledged; dead letters.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, header};
use serde_json::{Value, json};
use stockade::relay::{Delivery, Message, Sink, Undelivered};
use stockade::{Config, Durability};

use crate::admin_goods::{OPERATIONS, acts};
use crate::admin_orders::{is_hidden, order, pay};
use crate::process::PATIENCE;
use crate::support::{Answer, Shop, request};

const LIST: &str = "/admin/relay/subscriptions";
const POLLER: &str = "service relay:erp";
const SECRET: &str = "hunter2-hunter2-hunter2-hunter2!";

fn path(name: &str) -> String {
    format!("{LIST}/{name}")
}

async fn delete(shop: &Shop, who: &str, path: &str) -> Answer {
    shop.send(request(Method::DELETE, who, path).body(Body::empty()).expect("a request")).await
}

async fn put(shop: &Shop, name: &str, spec: Value) -> Answer {
    shop.put(OPERATIONS, &path(name), json!({"spec": spec, "reason": "a test"})).await
}

async fn poll(shop: &Shop, query: &str) -> Value {
    shop.get(POLLER, &format!("/gateway/events/erp{query}")).await.expect(200)
}

fn positions(answer: &Value) -> Vec<u64> {
    let messages = answer["messages"].as_array().expect("a list");
    messages.iter().map(|message| message["position"].as_u64().expect("a position")).collect()
}

/// Asks again until the answer is there.
async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answer = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{what} doesn't come"))
}

#[tokio::test]
async fn a_subscription_is_made_shown_changed_and_deleted() {
    let shop = Shop::with_tea(10).await;
    assert_eq!(shop.get("admin auditor", LIST).await.expect(200), json!({"subscriptions": []}));
    let spec = json!({"events": ["OrderPaid"], "start": "first", "sink": {"kind": "pull"}});
    let made = put(&shop, "erp", spec.clone()).await.expect(200);
    assert_eq!(
        (&made["name"], &made["state"], &made["configured"]),
        (&json!("erp"), &json!("running"), &json!(false))
    );
    assert_eq!(
        (&made["spec"]["retry"]["attempts_max"], &made["spec"]["personal"]),
        (&json!(10), &json!("masked"))
    );
    assert_eq!(
        put(&shop, "erp", spec.clone()).await.expect(200)["spec"],
        made["spec"],
        "the same changes nothing"
    );
    assert_eq!(
        put(&shop, "erp", made["spec"].clone()).await.expect(200)["spec"],
        made["spec"],
        "what is shown can be sent"
    );
    let cursor = made["cursor"].clone();
    let mut changed = spec.clone();
    changed["in_flight_max"] = json!(7);
    let changed = put(&shop, "erp", changed).await.expect(200);
    assert_eq!(
        (&changed["spec"]["in_flight_max"], &changed["cursor"]),
        (&json!(7), &cursor),
        "it stays where it was"
    );
    assert_eq!(shop.get("admin auditor", &path("erp")).await.expect(200)["spec"], changed["spec"]);

    for (act, state) in [("pause", "paused"), ("resume", "running")] {
        let done = shop.post(OPERATIONS, &format!("{}/{act}", path("erp")), json!({})).await.expect(200);
        assert_eq!(done["state"], state);
    }
    let seek = format!("{}/seek", path("erp"));
    shop.post(OPERATIONS, &seek, json!({"to": "first"})).await.refused(422, "reason_missing");
    let moved = shop.post(OPERATIONS, &seek, json!({"to": {"at": 2}, "reason": "again"})).await.expect(200);
    assert_eq!(moved["cursor"], 2);
    let ahead = json!({"to": {"at": 1_000_000}, "reason": "too far"});
    shop.post(OPERATIONS, &seek, ahead).await.refused(409, "position_ahead");
    let gone = delete(&shop, OPERATIONS, &format!("{}?reason=replaced", path("erp"))).await.expect(200);
    assert_eq!(gone, json!({"deleted": true}));
    shop.get(OPERATIONS, &path("erp")).await.refused(404, "subscription_not_found");
    for (action, len) in
        [("relay.put", 4), ("relay.pause", 1), ("relay.resume", 1), ("relay.seek", 2), ("relay.delete", 1)]
    {
        let recorded = acts(&shop, action).await;
        assert_eq!((recorded.len(), &recorded[0]["target"]), (len, &json!("erp")), "{action}");
    }
    assert_eq!(acts(&shop, "relay.delete").await[0]["reason"], "replaced");
}

#[tokio::test]
async fn what_cant_be_is_named_and_changes_nothing() {
    let shop = Shop::empty().await;
    let pull = json!({"kind": "pull"});
    for (spec, field) in [
        (json!({"sink": pull, "events": ["OrderEaten"]}), "events"),
        (json!({"sink": pull, "in_flight_max": 0}), "in_flight_max"),
        (json!({"sink": pull, "retry": {"attempts_max": 1_001}}), "retry.attempts_max"),
        (json!({"sink": pull, "lag_bytes_max": 1}), "lag_bytes_max"),
        (json!({"sink": {"kind": "webhook", "url": "ftp://a.example/", "secret": SECRET}}), "sink.url"),
        (json!({"sink": {"kind": "nats", "address": "a b", "stream": "S", "subject": "s"}}), "sink.address"),
    ] {
        let refused = put(&shop, "erp", spec.clone()).await.refused(422, "invalid_value");
        assert_eq!(refused["field"], field, "{spec}: {refused}");
    }
    for spec in [
        json!({}),
        json!({"sink": {"kind": "kafka"}}),
        json!({"sink": {"kind": "pull", "colour": 1}}),
        json!({"sink": pull, "start": {"at": "soon"}}),
        json!({"sink": {"kind": "rabbitmq", "address": "a:1", "exchange": "e", "password": 170_859_375}}),
    ] {
        let answer = put(&shop, "erp", spec.clone()).await;
        let refused = answer.refused(422, "invalid_body");
        assert!(!refused.to_string().contains("170859375"), "{refused}");
    }
    let wrong_name = put(&shop, "ERP", json!({"sink": pull})).await.refused(422, "invalid_value");
    assert_eq!(wrong_name["field"], "name");
    for (act, body) in
        [("pause", json!({})), ("resume", json!({})), ("seek", json!({"to": "next", "reason": "a"}))]
    {
        shop.post(OPERATIONS, &format!("{}/{act}", path("erp")), body)
            .await
            .refused(404, "subscription_not_found");
    }
    delete(&shop, OPERATIONS, &path("erp")).await.refused(404, "subscription_not_found");
    shop.get(POLLER, "/gateway/events/erp").await.refused(404, "subscription_not_found");
    let chinese = request(Method::GET, OPERATIONS, &path("erp")).header(header::ACCEPT_LANGUAGE, "zh");
    let chinese = shop.send(chinese.body(Body::empty()).expect("a request")).await;
    assert_eq!(chinese.refused(404, "subscription_not_found")["detail"], "没有该名称的订阅");
    assert_eq!(shop.get(OPERATIONS, LIST).await.expect(200), json!({"subscriptions": []}));
}

#[tokio::test]
async fn a_secret_is_written_and_never_shown() {
    let shop = Shop::empty().await;
    let sinks = [
        // Nothing listens there.
        json!({"kind": "rabbitmq", "address": "127.0.0.1:1", "user": "shop", "password": SECRET, "exchange": "orders", "queue": "erp"}),
        json!({"kind": "nats", "address": "127.0.0.1:1", "user": "shop", "password": SECRET, "stream": "S", "subject": "s.{event}"}),
        json!({"kind": "webhook", "url": "https://erp.invalid/events", "secret": SECRET}),
    ];
    for (nth, sink) in sinks.iter().enumerate() {
        let name = format!("erp-{nth}");
        let made = put(&shop, &name, json!({"sink": sink})).await.expect(200);
        assert_eq!(made["has_secret"], true);
        assert!(
            made["spec"]["sink"]["password"].is_null() && made["spec"]["sink"]["secret"].is_null(),
            "{made}"
        );
        // Without it, it stays, as long as it goes to the same place.
        let mut again = made["spec"].clone();
        again["in_flight_max"] = json!(5);
        let again = put(&shop, &name, again).await.expect(200);
        assert_eq!((&again["has_secret"], &again["spec"]["in_flight_max"]), (&json!(true), &json!(5)));
        let mut elsewhere = again["spec"].clone();
        let (place, field) = if nth == 2 { ("url", "sink.secret") } else { ("address", "sink.password") };
        elsewhere["sink"][place] = json!(if nth == 2 { "https://evil.invalid/" } else { "127.0.0.1:2" });
        let refused = put(&shop, &name, elsewhere.clone()).await.refused(422, "invalid_value");
        assert_eq!(refused["field"], field);
        elsewhere["sink"][&field[5..]] = json!("");
        put(&shop, &name, elsewhere).await.refused(422, "invalid_value");
        assert_eq!(shop.get(OPERATIONS, &path(&name)).await.expect(200)["spec"], again["spec"]);
    }
    for path in [LIST, "/admin/relay/subscriptions/erp-0", "/admin/refusals", "/admin/acts", "/metrics"] {
        let answer = shop.get("admin operations security auditor support", path).await;
        assert_eq!(answer.status, 200, "{path}");
        let text = String::from_utf8(answer.bytes).expect("text");
        assert!(!text.contains(SECRET), "{path} shows it");
    }
}

#[tokio::test]
async fn personal_data_and_private_addresses_need_more_than_operations() {
    let shop = Shop::empty().await;
    let whole = json!({"sink": {"kind": "pull"}, "personal": "whole"});
    let private = json!({"sink": {"kind": "webhook", "url": "http://127.0.0.1:1/", "secret": SECRET, "allow_private": true}});
    for spec in [whole, private] {
        put(&shop, "erp", spec.clone()).await.refused(403, "forbidden");
        shop.get(OPERATIONS, &path("erp")).await.refused(404, "subscription_not_found");
        let body = json!({"spec": spec});
        shop.put("admin operations security", &path("erp"), body).await.expect(200);
        delete(&shop, OPERATIONS, &path("erp")).await.expect(200);
    }
    let open = json!({"sink": {"kind": "webhook", "url": "http://127.0.0.1:1/", "secret": SECRET}});
    assert_eq!(put(&shop, "erp", open).await.status, 422, "http is for private addresses alone");
    for (method, path) in [("GET", LIST.to_owned()), ("PUT", path("erp")), ("DELETE", path("erp"))] {
        for who in ["admin support", "admin security", "service relay:erp", "member 7"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let asked = request(method, who, &path).header(header::CONTENT_TYPE, "application/json");
            let answer = shop.send(asked.body(Body::from("{}")).expect("a request")).await;
            answer.refused(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn messages_are_polled_and_come_again_until_they_are_acknowledged() {
    let shop = Shop::with_tea(100).await;
    put(&shop, "erp", json!({"events": ["OrderCreated", "OrderPaid"], "sink": {"kind": "pull"}}))
        .await
        .expect(200);
    assert_eq!(poll(&shop, "").await, json!({"messages": []}));
    let number = order(&shop, 7, "a").await;
    pay(&shop, &number).await;
    let first = poll(&shop, "?wait_ms=30000&max=1").await;
    let second = wait_for("the second message", async || {
        let answer = poll(&shop, &format!("?after={}", first["next"])).await;
        (!positions(&answer).is_empty()).then_some(answer)
    });
    let second = second.await;
    let events =
        [&first, &second].map(|answer| answer["messages"][0]["event"].as_str().expect("a name").to_owned());
    assert_eq!(events, ["OrderCreated", "OrderPaid"]);
    let message = &first["messages"][0];
    assert_eq!(
        (&message["order_no"], &message["user_id"], &message["personal"]),
        (&json!(number), &json!("7"), &json!("masked"))
    );
    assert!(is_hidden(&first.to_string()), "{first}");
    let both = [positions(&first), positions(&second)].concat();
    assert_eq!(positions(&poll(&shop, "").await), both, "what is not acknowledged comes again");
    let ack = async |position: u64| {
        shop.post(POLLER, "/gateway/events/erp/ack", json!({"position": position})).await.expect(200)
    };
    assert_eq!(ack(both[0]).await["cursor"], both[0] + 1);
    assert_eq!(positions(&poll(&shop, "").await), both[1..]);
    assert_eq!(ack(both[1]).await["cursor"], both[1] + 1);
    assert_eq!(ack(both[0]).await["cursor"], both[1] + 1, "what is done stays done");
    assert_eq!(poll(&shop, "").await["messages"], json!([]));
    let ahead = json!({"position": 1_000_000});
    shop.post(POLLER, "/gateway/events/erp/ack", ahead).await.refused(409, "position_ahead");
    for wrong in ["?max=0", "?max=1001", "?wait_ms=30001", "?after=x", "?colour=red"] {
        assert_eq!(shop.get(POLLER, &format!("/gateway/events/erp{wrong}")).await.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn a_poll_waits_for_what_comes_and_only_one_polls() {
    let shop = Arc::new(Shop::with_tea(100).await);
    put(&shop, "erp", json!({"events": ["OrderCreated"], "sink": {"kind": "pull"}})).await.expect(200);
    let waiting = tokio::spawn({
        let shop = Arc::clone(&shop);
        async move {
            loop {
                // The question below may be there first.
                let answer = shop.get(POLLER, "/gateway/events/erp?wait_ms=30000").await;
                if answer.status != 409 {
                    return answer.expect(200);
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let busy = wait_for("the first poll", async || {
        let answer = shop.get(POLLER, "/gateway/events/erp").await;
        (answer.status == 409).then_some(answer)
    });
    let busy = busy.await.refused(409, "subscription_busy");
    assert_eq!(busy["retryable"], true);
    assert!(!waiting.is_finished());
    order(&shop, 7, "a").await;
    let answer = tokio::time::timeout(PATIENCE, waiting).await.expect("it ends").expect("no panic");
    assert_eq!(positions(&answer).len(), 1);
    // Who hangs up stands in nobody's way.
    shop.post(POLLER, "/gateway/events/erp/ack", json!({"position": answer["next"]})).await.expect(200);
    let given_up = poll(&shop, "?wait_ms=30000");
    assert!(tokio::time::timeout(Duration::from_millis(50), given_up).await.is_err());
    assert_eq!(positions(&poll(&shop, "").await).len(), 0);
}

#[tokio::test]
async fn a_service_polls_what_its_token_names_and_nothing_else() {
    let shop = Shop::empty().await;
    for name in ["erp", "wms"] {
        put(&shop, name, json!({"sink": {"kind": "pull"}})).await.expect(200);
    }
    let asked = async |who: &str, name: &str| {
        let polled = shop.get(who, &format!("/gateway/events/{name}")).await.status.as_u16();
        let ack = json!({"position": 0});
        let acked = shop.post(who, &format!("/gateway/events/{name}/ack"), ack).await.status.as_u16();
        [polled, acked]
    };
    for (who, erp, wms) in [
        ("service relay:erp", 200, 403),
        ("service relay:erp relay:wms", 200, 200),
        ("service relay:*", 200, 200),
        ("service", 403, 403),
        ("service relay:er", 403, 403),
        ("admin operations security", 403, 403),
        ("member 7", 403, 403),
        ("", 401, 401),
    ] {
        assert_eq!((asked(who, "erp").await, asked(who, "wms").await), ([erp; 2], [wms; 2]), "{who}");
    }
    // Whether there is a subscription is told to those alone who may poll it.
    shop.get("service relay:erp", "/gateway/events/other").await.refused(403, "forbidden");
}

/// Refuses everything until it is told otherwise.
#[derive(Default)]
struct Fussy {
    takes: AtomicBool,
    taken: std::sync::Mutex<Vec<u64>>,
}

impl Sink for Fussy {
    fn deliver(&self, message: Arc<Message>) -> Delivery {
        let result = if self.takes.load(Ordering::SeqCst) {
            self.taken.lock().expect("no panic").push(message.position.0);
            Ok(())
        } else {
            Err(Undelivered::Refused("not today".into()))
        };
        Box::pin(async move { result })
    }
}

#[tokio::test]
async fn dead_letters_are_listed_shown_requeued_and_discarded() {
    let sink = Arc::new(Fussy::default());
    let config = Config::new("")
        .durability(Durability::Memory)
        .relay_sink("fussy", Arc::clone(&sink) as Arc<dyn Sink>);
    let shop = Shop::with(config).await;
    stockade::examples::stock_tea(&shop.engine, 100).await.expect("tea is on sale");
    let spec = json!({"events": ["OrderCreated"], "sink": {"kind": "program", "sink": "fussy"},
        "retry": {"attempts_max": 2, "backoff_ms": 1, "backoff_ms_max": 1}, "personal": "whole"});
    let body = json!({"spec": spec});
    shop.put("admin operations security", &path("erp"), body).await.expect(200);
    for member in 1..=4 {
        order(&shop, member, "a").await;
    }
    let letters = format!("{}/dead_letters", path("erp"));
    let list = async |query: &str| shop.get("admin auditor", &format!("{letters}{query}")).await.expect(200);
    let all = wait_for("the last dead letter", async || {
        let all = list("").await;
        (all["dead_letters"].as_array().expect("a list").len() == 4).then_some(all)
    });
    let all = all.await;
    let of = |page: &Value| -> Vec<u64> {
        let letters = page["dead_letters"].as_array().expect("a list");
        letters.iter().map(|letter| letter["position"].as_u64().expect("a position")).collect()
    };
    let positions = of(&all);
    let letter = &all["dead_letters"][0];
    assert_eq!(
        (&letter["event"], &letter["attempts"], &letter["reason"]),
        (&json!("OrderCreated"), &json!(2), &json!("not today"))
    );
    assert!(is_hidden(&all.to_string()) && letter["message"].is_null(), "lists are without messages");
    let page = list("?limit=3").await;
    let next = page["next"].as_str().expect("there is more").to_owned();
    assert_eq!([of(&page), of(&list(&format!("?limit=3&from={next}")).await)].concat(), positions);
    let metrics = String::from_utf8(shop.get("service", "/metrics").await.bytes).expect("text");
    assert!(metrics.contains("stockade_relay_dead_letters{subscription=\"erp\"} 4"), "{metrics}");

    // Personal data in full is for those who may see it, and recorded.
    let one = format!("{letters}/{}", positions[0]);
    let shown = shop.get("admin auditor", &one).await.expect(200);
    assert!(shown["message"].is_null() && is_hidden(&shown.to_string()));
    shop.get("admin auditor", &format!("{one}?reveal=true")).await.refused(403, "forbidden");
    assert_eq!(acts(&shop, "order.reveal").await.len(), 0);
    let whole = shop.get("admin auditor security", &format!("{one}?reveal=true")).await.expect(200);
    assert_eq!(whole["message"]["position"], positions[0]);
    assert!(!is_hidden(&whole.to_string()), "{whole}");
    assert_eq!(acts(&shop, "order.reveal").await[0]["target"], format!("erp/{}", positions[0]));
    shop.get("admin auditor", &format!("{letters}/999999")).await.refused(404, "dead_letter_not_found");

    let act = async |act: &str, body: Value| shop.post(OPERATIONS, &format!("{letters}/{act}"), body).await;
    act("discard", json!({"all": true})).await.refused(422, "reason_missing");
    act("requeue", json!({})).await.refused(422, "invalid_value");
    act("requeue", json!({"position": "999999"})).await.refused(404, "dead_letter_not_found");
    assert_eq!(
        act("discard", json!({"position": positions[0]})).await.expect(200),
        json!({"dead_letters": 1})
    );
    sink.takes.store(true, Ordering::SeqCst);
    assert_eq!(
        act("requeue", json!({"position": positions[1].to_string()})).await.expect(200)["dead_letters"],
        1
    );
    // It is one until it is delivered; the list, which is read from the book, hears of that a moment before the others.
    let left = "stockade_relay_dead_letters{subscription=\"erp\"} 2";
    wait_for("the delivery", async || {
        let metrics = shop.get("service", "/metrics").await.bytes;
        String::from_utf8(metrics).expect("text").contains(left).then_some(())
    })
    .await;
    assert_eq!(of(&list("").await), positions[2..]);
    assert_eq!(act("requeue", json!({"all": true})).await.expect(200)["dead_letters"], 2);
    let taken = wait_for("the last message", async || {
        let taken: BTreeSet<_> = sink.taken.lock().expect("no panic").iter().copied().collect();
        (taken.len() == 3).then_some(taken)
    });
    assert_eq!(taken.await, positions[1..].iter().copied().collect::<BTreeSet<_>>());
    wait_for("the end of the dead letters", async || of(&list("").await).is_empty().then_some(())).await;
    let targets: Vec<_> =
        acts(&shop, "relay.requeue").await.iter().map(|act| act["target"].clone()).collect();
    assert_eq!(targets, ["erp/all".into(), format!("erp/{}", positions[1]), "erp/999999".into()]);
}
