//! Bounds that the description names, where the code once let more through.

use serde_json::{Value, json};

use crate::support::Shop;

#[tokio::test]
async fn a_query_out_of_its_bounds_is_refused() {
    let shop = Shop::with_tea(1).await;
    let long = "a".repeat(65);
    for (who, path, code, field) in [
        ("member 7", "/api/order/list?external_no=".to_owned(), "field_empty", "external_no"),
        ("member 7", format!("/api/order/list?external_no={long}"), "field_too_long", "external_no"),
        ("admin support", "/admin/order?flag=10".to_owned(), "out_of_range", "flag"),
        ("admin auditor", format!("/admin/acts?operator={long}"), "field_too_long", "operator"),
        ("admin auditor", format!("/admin/acts?action={long}"), "field_too_long", "action"),
    ] {
        let problem = shop.get(who, &path).await.refused(422, code);
        assert_eq!(problem["field"], field, "{path}");
    }
}

#[tokio::test]
async fn a_body_out_of_its_bounds_is_refused() {
    let shop = Shop::with_tea(1).await;
    let preview = |name: &str| json!({"request_id": name, "lines": [{"sku_id": "42", "quantity": 1}]});
    let refused = async |who: &str, path: &str, body: Value, code: &str| {
        shop.post(who, path, body).await.refused(422, code);
    };
    refused("member 7", "/api/order/preview", preview(""), "field_empty").await;
    refused("member 7", "/api/order/preview", preview(&"r".repeat(256)), "field_too_long").await;
    // A list of an object's values is no object.
    refused("member 7", "/api/order/1/pay", json!(["wechat"]), "invalid_body").await;
    refused("service", "/gateway/delay/mails/pop", json!([]), "invalid_body").await;
    // Also where the operation has no use for the field.
    refused("service", "/gateway/delay/mails/pop", json!({"timeout_ms": 30_001}), "out_of_range").await;
    refused("service", "/gateway/delay/mails/bpop", json!({"len_max": 257}), "out_of_range").await;
    let reserve = json!({"len_max": 0, "timeout_ms": 0});
    refused("service", "/gateway/delay/mails/reserve", reserve, "out_of_range").await;
}
