//! Placing orders beyond the plain submit: previews, receivers, orders that are not waited for.

use axum::body::Body;
use axum::http::{Method, header};
use serde_json::{Value, json};
use stockade::{Activity, ActivityItem, SaleControl, Sku};

use crate::support::{Answer, Shop, request};

fn order(name: &str, quantity: u32) -> Value {
    json!({"request_id": name, "lines": [{"sku_id": "42", "quantity": quantity}]})
}

async fn submit_async(shop: &Shop, who: &str, prefer: &str, body: Value) -> Answer {
    let request = request(Method::POST, who, "/api/order/submit")
        .header(header::CONTENT_TYPE, "application/json")
        .header("prefer", prefer);
    shop.send(request.body(Body::from(body.to_string())).expect("a request")).await
}

#[tokio::test]
async fn a_preview_says_what_a_submit_charges_and_reserves_nothing() {
    let shop = Shop::with_tea(3).await;
    let before = shop.engine.state_hash().await.unwrap();
    let lines = json!([{"sku_id": "42", "quantity": 1}, {"sku_id": 42, "quantity": 1}]);
    let preview = shop.post("member 7", "/api/order/preview", json!({"lines": lines})).await.expect(200);
    let line = json!({
        "sku_id": "42", "code": "TEA-50", "title": "Green tea, 50 g", "quantity": 2, "unit_price": 19_900,
        "amount": 39_800, "discount": 0, "share": 39_800, "in_stock": true,
    });
    assert_eq!((&preview["lines"], &preview["in_stock"]), (&json!([line]), &json!(true)));
    assert_eq!(preview["amounts"]["pay_amount"], 39_800);
    assert_eq!(shop.engine.state_hash().await.unwrap(), before);

    let expected = &preview["expected_pay_amount"];
    let wrong = json!({"request_id": "a", "lines": lines, "expected_pay_amount": 1});
    shop.post("member 7", "/api/order/submit", wrong).await.refused(409, "price_changed");
    let right = json!({"request_id": "a", "lines": lines, "expected_pay_amount": expected});
    shop.post("member 7", "/api/order/submit", right).await.expect(201);

    let more = shop.post("member 7", "/api/order/preview", order("ignored", 2)).await.expect(200);
    assert_eq!((&more["in_stock"], &more["lines"][0]["in_stock"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn a_preview_refuses_what_a_submit_would() {
    let shop = Shop::with_tea(3).await;
    let preview = async |body| shop.post("member 7", "/api/order/preview", body).await;
    preview(json!({"lines": []})).await.refused(422, "empty_order");
    preview(json!({"lines": [{"sku_id": "43", "quantity": 1}]})).await.refused(422, "unknown_sku");
    let coupon = json!({"lines": [{"sku_id": "42", "quantity": 1}], "coupons": ["zz"]});
    assert_eq!(preview(coupon).await.refused(422, "invalid_value")["field"], "coupons");
    let kind = json!({"lines": [{"sku_id": "42", "quantity": 1}], "order_type": "auction"});
    preview(kind).await.refused(422, "unknown_order_type");
}

#[tokio::test]
async fn an_order_that_is_not_waited_for_is_told_of_under_its_location() {
    let shop = Shop::with_tea(3).await;
    let answer = submit_async(&shop, "member 7", "wait=1, Respond-Async", order("a", 1)).await;
    let promise = answer.expect(202);
    assert_eq!(promise["accepted"], false);
    assert!(promise["poll_after_ms"].as_u64().is_some_and(|wait_ms| wait_ms > 0), "{promise}");
    assert_eq!(answer.headers["preference-applied"], "respond-async");
    let location = answer.headers[header::LOCATION].to_str().unwrap();
    assert_eq!(location, format!("/api/order/result?order_no={}", promise["order_no"].as_str().unwrap()));

    let result = shop.get("member 7", &format!("{location}&wait_ms=30000")).await.expect(200);
    assert_eq!((&result["status"], &result["order"]["pay_amount"]), (&json!("created"), &json!(19_900)));
    assert_eq!(result["order"]["order_no"], promise["order_no"]);

    let other = submit_async(&shop, "member 7", "respond-async", order("a", 2)).await;
    let location = other.headers[header::LOCATION].to_str().unwrap();
    let result = shop.get("member 7", &format!("{location}&wait_ms=30000")).await.expect(200);
    assert_eq!(
        (&result["status"], &result["error"]["code"]),
        (&json!("failed"), &json!("request_id_reused"))
    );
    assert_eq!(result["error"]["retryable"], false);
}

#[tokio::test]
async fn what_the_front_door_refuses_is_refused_at_once() {
    let shop = Shop::with_tea(1).await;
    shop.post("member 7", "/api/order/submit", order("a", 1)).await.expect(201);
    let late = submit_async(&shop, "member 8", "respond-async", order("a", 1)).await;
    late.refused(409, "sold_out");
    assert!(!late.headers.contains_key("preference-applied"));
}

#[tokio::test]
async fn a_retry_that_is_not_waited_for_leads_to_the_first_order() {
    let shop = Shop::with_tea(2).await;
    let first = shop.post("member 7", "/api/order/submit", order("a", 1)).await.expect(201);
    let again = submit_async(&shop, "member 7", "respond-async", order("a", 1)).await;
    let location = again.headers[header::LOCATION].to_str().unwrap();
    let result = shop.get("member 7", &format!("{location}&wait_ms=30000")).await.expect(200);
    assert_eq!(result["order"], first);
    let stock = shop.get("", "/api/stock/42").await.expect(200);
    assert_eq!(stock["available"], 1);
}

#[tokio::test]
async fn a_result_tells_of_plain_orders_and_of_none() {
    let shop = Shop::with_tea(1).await;
    let placed = shop.post("member 7", "/api/order/submit", order("a", 1)).await.expect(201);
    let number: u64 = placed["order_no"].as_str().unwrap().parse().unwrap();
    let result = async |query: String| shop.get("member 7", &format!("/api/order/result?{query}")).await;
    assert_eq!(result(format!("order_no={number}")).await.expect(200)["order"], placed);
    // The slot is in the lowest bits, so that this number could be the member's, and nobody was given it.
    let result_of_none = result(format!("order_no={}", number ^ (1 << 30))).await.expect(200);
    assert_eq!(result_of_none["error"]["code"], "not_recorded");
    assert_eq!(result_of_none["error"]["retryable"], true);

    result(format!("order_no={number}&wait_ms=30001")).await.refused(422, "out_of_range");
    for wrong in
        ["", "order_no=x", "order_no=1&more=1", "order_no=9223372036854775808", "order_no=1&order_no=1"]
    {
        result(wrong.to_owned()).await.refused(422, "invalid_query");
    }
}

#[tokio::test]
async fn a_receiver_is_stored_with_the_order_and_never_repeated_in_a_refusal() {
    let shop = Shop::with_tea(1).await;
    let with = |receiver: Value| json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": 1}], "receiver": receiver});
    let submit = async |receiver| shop.post("member 7", "/api/order/submit", with(receiver)).await;
    let number = json!({"name": "张三", "phone": 13_812_345_678_u64, "address": "科技园路 1 号"});
    let refused = submit(number).await;
    assert_eq!(refused.refused(422, "invalid_body")["field"], "receiver");
    assert!(!String::from_utf8_lossy(&refused.bytes).contains("138"), "{refused:?}");
    let long = json!({"name": "张".repeat(50), "phone": "13812345678", "address": "科技园路 1 号"});
    submit(long).await.refused(422, "field_too_long");
    let nameless = json!({"name": " ", "phone": "13812345678", "address": "科技园路 1 号"});
    submit(nameless).await.refused(422, "field_empty");

    let receiver = json!({"name": "张三", "phone": "13812345678", "province": "广东省", "city": "深圳市",
        "district": "", "address": "科技园路 1 号"});
    let placed = submit(receiver.clone()).await.expect(201);
    let path = format!("/api/order/{}", placed["order_no"].as_str().unwrap());
    assert_eq!(shop.get("member 7", &path).await.expect(200)["receiver"], receiver);
    let list = shop.get("member 7", "/api/order/list").await;
    assert_eq!(list.expect(200)["orders"][0]["receiver"]["phone"], "138****5678");
    assert!(!String::from_utf8_lossy(&list.bytes).contains("科技园路"), "lists show no address");
}

#[tokio::test]
async fn messages_come_in_both_languages() {
    let shop = Shop::with_tea(1).await;
    let ask = async |language: &str| {
        let request = request(Method::POST, "member 7", "/api/order/submit")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT_LANGUAGE, language)
            .header("prefer", "respond-async");
        let body = order("a", 1).to_string();
        let answer = shop.send(request.body(Body::from(body)).expect("a request")).await;
        assert_eq!(answer.headers[header::CONTENT_LANGUAGE], language);
        answer.expect(202)["message"].as_str().unwrap().to_owned()
    };
    assert!(ask("en").await.starts_with("not accepted yet"));
    assert!(ask("zh").await.contains("尚未成立"));
    let wrong =
        request(Method::GET, "member 7", "/api/order/list?size=0").header(header::ACCEPT_LANGUAGE, "zh");
    let problem =
        shop.send(wrong.body(Body::empty()).expect("a request")).await.refused(422, "invalid_value");
    assert_eq!(problem["detail"], "size 为 0：每页应为 1 到 100 条");
}

#[tokio::test]
async fn what_stands_against_an_order_is_said_with_its_code() {
    let shop = Shop::empty().await;
    let tea = Sku { limit_per_member: 1, ..stockade::examples::tea() };
    stockade::examples::stock_tea(&shop.engine, 10).await.unwrap();
    shop.engine.put_sku(tea).await.unwrap();
    let opens_at_ms = shop.engine.now_ms() + 3_600_000;
    let session = Activity {
        id: 9.into(),
        start_ms: opens_at_ms,
        end_ms: opens_at_ms + 1,
        items: vec![ActivityItem { sku_id: 42.into(), ..ActivityItem::default() }],
        ..Activity::default()
    };
    shop.engine.put_activity(session).await.unwrap();
    let submit = async |body| shop.post("member 7", "/api/order/submit", body).await;
    let with = |fields: Value| {
        let mut body = order("b", 1);
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let early = submit(with(json!({"order_type": "seckill", "activity_id": "9"}))).await;
    let problem = early.refused(409, "not_open_yet");
    assert_eq!((&problem["retryable"], &problem["retry_after_ms"]), (&json!(true), &json!(1_000)));
    assert_eq!(early.headers[header::RETRY_AFTER], "1");
    submit(with(json!({"order_type": "seckill", "activity_id": "8"})))
        .await
        .refused(422, "activity_not_found");
    let group = json!({"order_type": "group_buy", "activity_id": "9", "team": "open"});
    submit(with(group)).await.refused(422, "activity_not_found");
    submit(with(json!({"coupons": ["5"]}))).await.refused(422, "coupon_terms_not_found");
    let many: Vec<_> = (0..11).map(|id| id.to_string()).collect();
    submit(with(json!({"coupons": many}))).await.refused(422, "too_many_coupons");

    submit(with(json!({"external_no": "web-1", "request_id": "a"}))).await.expect(201);
    submit(with(json!({}))).await.refused(409, "limit_exceeded");
    let taken = with(json!({"external_no": "web-1"}));
    shop.post("member 8", "/api/order/submit", taken).await.refused(409, "external_no_taken");

    let control = async |control| shop.engine.control_sales(control, None).await.unwrap();
    let submit = async || shop.post("member 9", "/api/order/submit", order("a", 1)).await;
    control(SaleControl::SkuPaused { sku: 42.into(), paused: true }).await;
    submit().await.refused(409, "sku_paused");
    control(SaleControl::AllPaused { paused: true }).await;
    submit().await.refused(409, "sales_paused");
    control(SaleControl::AllPaused { paused: false }).await;
    control(SaleControl::SkuPaused { sku: 42.into(), paused: false }).await;
    control(SaleControl::MemberBlocked { member: 9.into(), until_ms: opens_at_ms }).await;
    submit().await.refused(403, "member_blocked");
    shop.engine.shutdown().await.unwrap();
    let gone = shop.post("member 8", "/api/order/submit", order("a", 1)).await;
    assert_eq!(gone.refused(503, "unavailable")["retryable"], true);
}
