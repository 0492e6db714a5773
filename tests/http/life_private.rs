//! Personal data of orders: nowhere in the log, however much is logged, and in no answer that doesn't need it.

use serde_json::{Value, json};

use crate::life::{DESK, number, stock};
use crate::process::{Client, Server, configure};

const NAME: &str = "欧阳彩虹";
const PHONE: &str = "13987650321";
const ROAD: &str = "Quiet Lane 731";
/// The buyer's own words.
const REMARK: &str = "leave it with Mrs Kestrel";

fn receiver() -> Value {
    json!({"name": NAME, "phone": PHONE, "province": "广东省", "city": "深圳市", "address": ROAD})
}

fn order(name: &str) -> Value {
    json!({"request_id": name, "lines": [{"sku_id": "42", "quantity": 1}], "receiver": receiver(),
        "remark": REMARK})
}

/// Checks that nothing planted is in a text.
#[track_caller]
fn assert_hidden(text: &str, place: &str) {
    for planted in [NAME, PHONE, ROAD] {
        assert!(!text.contains(planted), "{planted} is in {place}: {text}");
    }
}

/// Sends a field whose name is a number: its sender is told which field it was, and nobody else.
fn unknown_field(buyer: &mut Client) {
    let mut order = order("refused");
    order[PHONE] = json!(ROAD);
    let refused = buyer.post("/api/order/submit", &order).expect(422);
    assert_eq!((&refused["code"], &refused["field"]), (&json!("invalid_body"), &json!(PHONE)));
    assert!(!refused.to_string().contains(ROAD), "{refused}");
}

/// Sends what carries personal data and is refused, each in another way; gives the answers.
fn refusals(buyer: &mut Client) -> Vec<String> {
    let with = |field: &str, value: Value| {
        let mut order = order("refused");
        order[field] = value;
        order.to_string()
    };
    let mut unknown = receiver();
    unknown[PHONE] = json!(ROAD);
    let mut long = receiver();
    long["address"] = json!(format!("{ROAD} {}", "x".repeat(4_000)));
    let mut wrong_type = receiver();
    wrong_type["name"] = json!([NAME, PHONE]);
    let bodies = [
        with("lines", json!([{"sku_id": "9", "quantity": 1}])),
        with("lines", json!([{"sku_id": PHONE, "quantity": ROAD}])),
        with("receiver", unknown),
        with("receiver", long),
        with("receiver", wrong_type),
        with("receiver", json!(ROAD)),
        with("expected_pay_amount", json!(1)),
        with("order_type", json!(NAME)),
        with("coupons", json!([ROAD])),
        format!("{{\"receiver\": \"{PHONE}\", {ROAD}"),
    ];
    let mut said = Vec::new();
    for body in bodies {
        let reply = buyer.ask("POST", "/api/order/submit", &[], &body).expect("an answer");
        assert!((400..500).contains(&reply.status), "{body}: {}", reply.text());
        said.push(reply.text());
    }
    let road = ROAD.replace(' ', "%20");
    for path in [format!("/api/order/{road}"), format!("/api/order/list?{PHONE}={road}"), format!("/{PHONE}")]
    {
        let reply = buyer.get(&path);
        assert!((400..500).contains(&reply.status), "{path}: {}", reply.text());
        said.push(reply.text());
    }
    said
}

fn is_private_all_the_way(format: &str) {
    let dir = tempfile::tempdir().expect("a directory");
    configure(dir.path());
    let server = Server::start(dir.path(), &["--log-level", "debug", "--log-format", format]);
    let (mut desk, mut buyer) = (server.client(DESK), server.client("member 7"));
    stock(&mut desk, 100);
    buyer.post("/api/order/preview", &json!({"lines": order("")["lines"], "receiver": receiver()}));
    let order_no = number(&buyer.post("/api/order/submit", &order("one")).expect(201));
    let prefer = [("Prefer", "respond-async")];
    let body = order("two").to_string();
    let promised = buyer.ask("POST", "/api/order/submit", &prefer, &body).expect("an answer");
    let second = number(&promised.expect(202));
    buyer.get(&format!("/api/order/result?order_no={second}&wait_ms=30000")).expect(200);
    let address = json!({"receiver": receiver()});
    let moved = buyer.post(&format!("/api/order/{order_no}/address"), &address);
    assert_hidden(&moved.text(), "the answer to another address");
    moved.expect(200);
    let moved = desk.post(&format!("/admin/order/{order_no}/address"), &address);
    assert_hidden(&moved.text(), "the answer to the shop's other address");
    moved.expect(200);
    // A provider may send more than is asked for.
    let notice = json!({"order_no": order_no, "channel": "demo", "merchant": "shop", "transaction_id": "t",
        "amount": 19_900, "payer": NAME, "payer_phone": PHONE});
    buyer.notify(&notice).expect("an answer").expect(200);
    let broken = json!({"order_no": ROAD, "channel": PHONE, "merchant": NAME, "payer": NAME});
    let told = buyer.notify(&broken).expect("an answer");
    assert_eq!(told.status, 400, "{}", told.text());
    assert_hidden(&told.text(), "the answer to a notification");

    unknown_field(&mut buyer);
    for text in refusals(&mut buyer) {
        assert_hidden(&text, "a refusal");
    }
    shown_by_default(&mut desk, &mut buyer, &order_no);
    shown_on_demand(&mut desk, &mut buyer, &order_no);
    let log = server.end();
    assert!(log.contains("/api/order/submit") && log.contains("invalid_body"), "the log says too little");
    assert_hidden(&log, "the log");
    for line in log.lines() {
        assert!(!line.contains("Kestrel"), "the buyer's words are in the log: {line}");
        if format == "json" {
            serde_json::from_str::<Value>(line).expect("each line is JSON");
        }
    }
}

fn shown_by_default(desk: &mut Client, buyer: &mut Client, order_no: &str) {
    for path in [
        "/admin/order".to_owned(),
        format!("/admin/order/{order_no}"),
        "/admin/refusals?limit=500".to_owned(),
        "/admin/acts".to_owned(),
        "/admin/payments?state=started".to_owned(),
        "/metrics".to_owned(),
    ] {
        let reply = desk.get(&path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_hidden(&reply.text(), &path);
    }
    for (path, body) in [
        ("/admin/orders/batch_get", json!({"orders": [order_no]})),
        ("/admin/order/export", json!({"format": "csv"})),
        ("/admin/order/export", json!({"format": "jsonl"})),
    ] {
        let reply = desk.post(path, &body);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert!(reply.text().contains(order_no), "{path} shows nothing");
        assert_hidden(&reply.text(), path);
    }
    let list = buyer.get("/api/order/list");
    assert!(list.text().contains(order_no));
    assert_hidden(&list.text(), "the member's list");
    let kept = desk.get("/admin/refusals?limit=500").expect(200)["refusals"].as_array().map(Vec::len);
    assert!(kept >= Some(10), "only {kept:?} refusals are kept");
    assert_eq!(desk.get("/admin/acts?action=order.reveal").expect(200)["acts"], json!([]));
}

fn shown_on_demand(desk: &mut Client, buyer: &mut Client, order_no: &str) {
    let own = buyer.get(&format!("/api/order/{order_no}")).expect(200);
    let revealed = desk.get(&format!("/admin/order/{order_no}?reveal=true")).expect(200);
    for shown in [own, revealed] {
        let receiver = &shown["receiver"];
        assert_eq!(
            (&receiver["name"], &receiver["phone"], &receiver["address"]),
            (&json!(NAME), &json!(PHONE), &json!(ROAD))
        );
    }
    let acts = desk.get("/admin/acts?action=order.reveal").expect(200)["acts"].clone();
    assert_eq!(acts.as_array().map(Vec::len), Some(1));
    assert_eq!((&acts[0]["target"], &acts[0]["operator"]), (&json!(order_no), &json!("anna")));
}

#[test]
fn nobody_is_named_in_a_log_of_text() {
    is_private_all_the_way("text");
}

#[test]
fn nobody_is_named_in_a_log_of_json() {
    is_private_all_the_way("json");
}
