//! Application servers: orders by the line, and the delay queue.

use axum::body::Body;
use axum::http::{Method, header};
use serde_json::{Value, json};
use stockade::{OrderRef, StockKey};

use crate::support::{Answer, Shop, request};

async fn stream(shop: &Shop, who: &str, body: Vec<u8>) -> Answer {
    let request = request(Method::POST, who, "/gateway/orders");
    let request = request.header(header::CONTENT_TYPE, "application/x-ndjson").body(Body::from(body));
    shop.send(request.expect("a request")).await
}

fn answers(answer: &Answer) -> Vec<Value> {
    let text = std::str::from_utf8(&answer.bytes).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[tokio::test]
async fn every_line_is_answered_in_order_and_a_wrong_one_stops_nobody() {
    let shop = Shop::with_tea(2_000).await;
    let mut body = Vec::new();
    for n in 1..=1_500 {
        let line = match n {
            7 => "{\"member_id\":\"7\"".to_owned(),
            8 => json!({"member_id": 8, "request_id": "r", "lines": [], "x": 1}).to_string(),
            9 => json!({"member_id": 9, "request_id": "r", "lines": [{"sku_id": "43", "quantity": 1}]})
                .to_string(),
            10 => "x".repeat(70_000),
            n => json!({"member_id": n, "request_id": "r", "lines": [{"sku_id": "42", "quantity": 1}]})
                .to_string(),
        };
        body.extend_from_slice(line.as_bytes());
        body.push(b'\n');
    }
    let answer = stream(&shop, "service", body).await;
    assert_eq!(answer.status.as_u16(), 200);
    let answers = answers(&answer);
    assert_eq!(answers.len(), 1_500);
    for (index, answer) in answers.iter().enumerate() {
        let line = index as u64 + 1;
        assert_eq!(answer["line"], line);
        let expected = match line {
            7 => (400, Some("invalid_json")),
            8 => (422, Some("invalid_body")),
            9 => (422, Some("unknown_sku")),
            10 => (413, Some("line_too_long")),
            _ => (201, None),
        };
        assert_eq!(
            (answer["status"].as_u64().expect("a status"), answer["code"].as_str()),
            expected,
            "{answer}"
        );
    }
    let stock = shop.engine.stock(StockKey::normal(42.into())).await.expect("stock");
    assert_eq!((stock.reserved, stock.available), (1_496, 504));
}

#[tokio::test]
async fn prices_may_be_brought_along_if_they_add_up() {
    let shop = Shop::with_tea(10).await;
    let order = |request: &str, pay_amount: i64| {
        let prices = json!({"source": "cart", "pay_amount": pay_amount, "freight": 500,
            "lines": [{"sku_id": "42", "unit_price": 10_000, "discount": 1_000}]});
        json!({"member_id": "7", "request_id": request, "lines": [{"sku_id": "42", "quantity": 2}], "prices": prices})
    };
    let body = format!("{}\n{}", order("a", 19_500), order("b", 19_499));
    let answers = answers(&stream(&shop, "service", body.into_bytes()).await);
    assert_eq!(answers[0]["pay_amount"], 19_500);
    assert_eq!(answers[1]["code"], "total_mismatch");
    let order_no: stockade::OrderNo =
        answers[0]["order_no"].as_str().expect("a number").parse().expect("a number");
    let order = shop.engine.order(stockade::Caller::Operator, OrderRef::Number(order_no)).await;
    assert_eq!(order.expect("the order").member_id, 7.into());
}

#[tokio::test]
async fn only_services_come_in_and_only_with_lines() {
    let shop = Shop::with_tea(1).await;
    for who in ["", "member 7", "admin operations"] {
        let status = stream(&shop, who, b"{}".to_vec()).await.status.as_u16();
        assert_eq!(status, if who.is_empty() { 401 } else { 403 });
    }
    shop.post("service", "/gateway/orders", json!({})).await.refused(415, "unsupported_media_type");
    assert_eq!(stream(&shop, "service", Vec::new()).await.bytes, b"");
}

#[tokio::test]
async fn tasks_are_pushed_reserved_given_back_and_acknowledged() {
    let shop = Shop::empty().await;
    let ask = async |operation: &str, body| {
        shop.post("service", &format!("/gateway/delay/close/{operation}"), body).await.expect(200)
    };
    assert_eq!(ask("push", json!({"id": "a", "body": "x"})).await["outcome"], "pushed");
    assert_eq!(ask("push", json!({"id": "a"})).await["outcome"], "duplicate_id");
    let tasks = json!({"tasks": [{"id": "b", "body_base64": "/w=="}, {"id": "c", "delay_ms": 60_000}]});
    assert_eq!(ask("push_batch", tasks).await["outcomes"][1]["outcome"], "pushed");
    let reserved = ask("reserve", json!({"len_max": 5})).await;
    assert_eq!(reserved["tasks"][1]["body_base64"], "/w==");
    let reservation = &reserved["tasks"][0]["reservation"];
    assert_eq!(
        ask("extend", json!({"id": "a", "reservation": reservation, "visibility_ms": 9_000})).await["outcome"],
        "extended"
    );
    assert_eq!(ask("nack", json!({"id": "a", "reservation": reservation})).await["outcome"], "returned");
    assert_eq!(ask("ack", json!({"id": "a", "reservation": reservation})).await["outcome"], "lapsed");
    assert_eq!(ask("bpop", json!({"timeout_ms": 100})).await["tasks"][0]["body"], "x");
    assert_eq!(ask("pop", json!({})).await["outcome"], "not_due");
    assert_eq!(ask("reschedule", json!({"id": "c"})).await["outcome"], "rescheduled");
    assert_eq!(ask("remove", json!({"id": "c"})).await["outcome"], "removed");
    let stats = shop.get("service", "/gateway/delay/close/stats").await.expect(200);
    assert_eq!((&stats["reserved"], &stats["pending"]), (&json!(1), &json!(0)));

    let wrong = json!({"id": "d", "body": "x", "body_base64": ""});
    let wrong = shop.post("service", "/gateway/delay/close/push", wrong).await.refused(422, "invalid_value");
    assert_eq!(wrong["field"], "body_base64");
    shop.post("service", "/gateway/delay/close/bpop", json!({"timeout_ms": 30_001}))
        .await
        .refused(422, "out_of_range");
    shop.post("member 7", "/gateway/delay/close/pop", json!({})).await.refused(403, "forbidden");
}
