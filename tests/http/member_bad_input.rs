//! Input that can't be read, on every member route that takes some: each a refusal of its own, and nothing changes.

use axum::body::Body;
use axum::http::{Method, header};
use serde_json::json;

use crate::support::{Answer, Shop, request};

async fn raw(shop: &Shop, path: &str, kind: &str, body: impl Into<Body>) -> Answer {
    let request = request(Method::POST, "member 7", path).header(header::CONTENT_TYPE, kind);
    shop.send(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_on_every_route_and_changes_nothing() {
    let shop = Shop::empty().await;
    let own = stockade::examples::paid_order(&shop.engine).await.expect("it is paid");
    let before = shop.engine.state_hash().await.unwrap();
    let routes = [
        "/api/order/submit".to_owned(),
        "/api/order/preview".to_owned(),
        format!("/api/order/{own}/pay"),
        format!("/api/order/{own}/address"),
        format!("/api/order/{own}/refund"),
    ];
    const JSON: &str = "application/json";
    for path in &routes {
        raw(&shop, path, "text/plain", "{}").await.refused(415, "unsupported_media_type");
        raw(&shop, path, JSON, "").await.refused(400, "invalid_json");
        raw(&shop, path, JSON, "{").await.refused(400, "invalid_json");
        raw(&shop, path, JSON, b"{\"\xff\xfe\":1}".to_vec()).await.refused(400, "invalid_json");
        raw(&shop, path, JSON, "[]").await.refused(422, "invalid_body");
        raw(&shop, path, JSON, "null").await.refused(422, "invalid_body");
        raw(&shop, path, JSON, "{\"nonsense\":1}").await.refused(422, "invalid_body");
        let large = format!("{{\"x\":\"{}\"}}", "x".repeat(256 << 10));
        raw(&shop, path, JSON, large).await.refused(413, "body_too_large");
    }
    assert_eq!(shop.engine.state_hash().await.unwrap(), before);
}

#[tokio::test]
async fn an_order_out_of_bounds_is_refused_by_field_and_places_nothing() {
    let shop = Shop::with_tea(1_000).await;
    let before = shop.engine.state_hash().await.unwrap();
    let line = json!([{"sku_id": "42", "quantity": 1}]);
    let many: Vec<_> = (0..101).map(|_| json!({"sku_id": "42", "quantity": 1})).collect();
    for (body, code) in [
        (json!({"request_id": "a"}), "invalid_body"),
        (json!({"request_id": "", "lines": line}), "field_empty"),
        (json!({"request_id": "x".repeat(256), "lines": line}), "field_too_long"),
        (json!({"request_id": 5, "lines": line}), "invalid_body"),
        (json!({"request_id": "a", "lines": []}), "empty_order"),
        (json!({"request_id": "a", "lines": many}), "too_many_lines"),
        (json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": 0}]}), "quantity_too_small"),
        (json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": -1}]}), "invalid_body"),
        (json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": 1.5}]}), "invalid_body"),
        (
            json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": 4_294_967_296_u64}]}),
            "invalid_body",
        ),
        (
            json!({"request_id": "a", "lines": [{"sku_id": 9_007_199_254_740_992_u64, "quantity": 1}]}),
            "invalid_body",
        ),
        (
            json!({"request_id": "a", "lines": [{"sku_id": "18446744073709551616", "quantity": 1}]}),
            "invalid_body",
        ),
        (
            json!({"request_id": "a", "lines": [{"sku_id": "18446744073709551615", "quantity": 1}]}),
            "unknown_sku",
        ),
        (json!({"request_id": "a", "lines": line, "remark": "x".repeat(1_025)}), "field_too_long"),
        (json!({"request_id": "a", "lines": line, "external_no": ""}), "field_empty"),
        (json!({"request_id": "a", "lines": line, "external_no": "x".repeat(65)}), "field_too_long"),
        (json!({"request_id": "a", "lines": line, "ext": "x".repeat(4_096)}), "field_too_long"),
        (json!({"request_id": "a", "lines": line, "member_id": "8"}), "invalid_body"),
        (json!({"request_id": "a", "lines": line, "pay_amount": 1}), "invalid_body"),
        (json!({"request_id": "a", "lines": line, "team": "open"}), "team_choice_invalid"),
        (json!({"request_id": "a", "lines": line, "activity_id": "9"}), "unexpected_activity"),
        (json!({"request_id": "a", "lines": line, "order_type": "seckill"}), "activity_required"),
    ] {
        let answer = shop.post("member 7", "/api/order/submit", body.clone()).await;
        assert_eq!(answer.json()["code"], code, "{body}");
        answer.refused(422, code);
    }
    assert_eq!(shop.engine.state_hash().await.unwrap(), before);
}

#[tokio::test]
async fn paths_that_name_nothing_are_refused() {
    let shop = Shop::with_tea(1).await;
    for wrong in ["x", "-1", "9223372036854775808", "1e3", "%20", "%FF", "0x1"] {
        shop.get("member 7", &format!("/api/order/{wrong}")).await.refused(422, "invalid_path");
        let cancel = format!("/api/order/{wrong}/cancel");
        shop.post("member 7", &cancel, json!({})).await.refused(422, "invalid_path");
    }
    shop.get("member 7", "/api/order/submit").await.refused(405, "method_not_allowed");
    shop.put("member 7", "/api/order/submit", json!({})).await.refused(405, "method_not_allowed");
    shop.get("member 7", "/api/order/1/nothing").await.refused(404, "no_such_path");
    let unsigned = shop.get("", "/api/order/1").await;
    unsigned.refused(401, "token_missing");
    assert_eq!(unsigned.headers[header::WWW_AUTHENTICATE], "Bearer");
    shop.get("service", "/api/order/1").await.refused(403, "forbidden");
    shop.get("admin support", "/api/order/list").await.refused(403, "forbidden");
}
