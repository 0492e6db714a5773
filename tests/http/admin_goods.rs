//! The back office: SKUs, how they ship, freight, stock; and the record that goes ahead of every write.

use serde_json::{Value, json};

use crate::support::Shop;

pub(crate) const OPERATIONS: &str = "admin operations";

/// The recorded acts of this kind, newest first.
pub(crate) async fn acts(shop: &Shop, action: &str) -> Vec<Value> {
    let path = format!("/admin/acts?action={action}");
    let list = shop.get("admin auditor", &path).await.expect(200);
    list["acts"].as_array().expect("a list").clone()
}

fn tea() -> Value {
    json!({"product_id": "7", "code": "TEA-50", "title": "Green tea", "price": 19_900, "on_sale": true})
}

#[tokio::test]
async fn a_sku_is_put_shown_and_revised() {
    let shop = Shop::empty().await;
    shop.get(OPERATIONS, "/admin/skus/42").await.refused(404, "unknown_sku");
    let put = shop.put(OPERATIONS, "/admin/skus/42", tea()).await.expect(200);
    assert_eq!(put, json!({"revision": 1}));
    assert_eq!(shop.put(OPERATIONS, "/admin/skus/42", tea()).await.expect(200)["revision"], 1);

    let shown = shop.get(OPERATIONS, "/admin/skus/42").await.expect(200);
    let expected = json!({"sku_id": "42", "product_id": "7", "code": "TEA-50", "title": "Green tea",
        "price": 19_900, "on_sale": true, "limit_per_member": 0});
    assert_eq!(shown, expected);

    let mut dearer = tea();
    dearer["price"] = json!(20_000);
    dearer["reason"] = json!("new harvest");
    assert_eq!(shop.put(OPERATIONS, "/admin/skus/42", dearer).await.expect(200)["revision"], 2);
    let acts = acts(&shop, "sku.put").await;
    assert_eq!(acts.len(), 3, "asked three times, recorded three times");
    let newest = &acts[0];
    assert_eq!(
        (&newest["operator"], &newest["target"], &newest["reason"]),
        (&json!("anna"), &json!("42"), &json!("new harvest"))
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_sku_is_said_and_nothing_is_recorded_of_what_cant_be_read() {
    let shop = Shop::empty().await;
    let put = async |who, body| shop.put(who, "/admin/skus/42", body).await;
    put("", tea()).await.refused(401, "token_missing");
    put("member 7", tea()).await.refused(403, "forbidden");
    put("admin support warehouse finance auditor security", tea()).await.refused(403, "forbidden");
    let mut unknown = tea();
    unknown["colour"] = json!("green");
    put(OPERATIONS, unknown).await.refused(422, "invalid_body");
    let mut long = tea();
    long["reason"] = json!("x".repeat(257));
    assert_eq!(put(OPERATIONS, long).await.refused(422, "field_too_long")["field"], "reason");
    assert!(acts(&shop, "sku.put").await.is_empty());
    let mut negative = tea();
    negative["price"] = json!(-1);
    put(OPERATIONS, negative).await.refused(422, "negative_price");
    shop.put(OPERATIONS, "/admin/skus/tea", tea()).await.refused(422, "invalid_path");
}

#[tokio::test]
async fn carriage_is_charged_as_the_template_says() {
    let shop = Shop::with_tea(5).await;
    let template = json!({"name": "standard", "free_from": 50_000, "charge": {"weight_steps":
        {"first_grams": 1_000, "first_fee": 800, "step_grams": 500, "step_fee": 200}}});
    shop.put(OPERATIONS, "/admin/freight/1", template).await.expect(200);
    let shipping = json!({"weight_grams": 1_200, "freight_id": "1"});
    shop.put(OPERATIONS, "/admin/skus/42/shipping", shipping).await.expect(200);
    let order = json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": 1}]});
    let receipt = shop.post("member 7", "/api/order/submit", order).await.expect(201);
    assert_eq!(receipt["pay_amount"], 19_900 + 800 + 200);

    let empty = json!({"name": "", "charge": {"flat": {"fee": 0}}});
    shop.put(OPERATIONS, "/admin/freight/1", empty).await.refused(422, "field_empty");
    let two = json!({"name": "x", "charge": {"flat": {"fee": 0, "colour": 1}}});
    shop.put(OPERATIONS, "/admin/freight/1", two).await.refused(422, "invalid_body");
    assert_eq!(acts(&shop, "freight.put").await.len(), 2);
    assert_eq!(acts(&shop, "sku.shipping").await[0]["target"], "42");
}

#[tokio::test]
async fn stock_is_adjusted_once_for_each_name_and_moved_between_pools() {
    let shop = Shop::with_tea(10).await;
    let who = "admin warehouse";
    let adjust = async |body| shop.post(who, "/admin/stock/adjust", body).await;
    let delivery = json!({"request_id": "d1", "sku_id": "42", "change": {"add": 5}, "reason": "delivery"});
    assert_eq!(adjust(delivery.clone()).await.expect(200)["available"], 15);
    assert_eq!(adjust(delivery).await.expect(200)["available"], 15, "once");
    let total = json!({"request_id": "d2", "sku_id": "42", "change": {"total": 12}, "reason": "counted"});
    assert_eq!(adjust(total).await.expect(200)["total"], 12);
    let silent = json!({"request_id": "d3", "sku_id": "42", "change": {"add": 1}});
    assert_eq!(adjust(silent).await.refused(422, "reason_missing")["field"], "reason");
    let nameless = json!({"sku_id": "42", "change": {"add": 1}, "reason": "x"});
    adjust(nameless).await.refused(400, "request_id_missing");
    let below = json!({"request_id": "d4", "sku_id": "42", "change": {"add": -13}, "reason": "lost"});
    adjust(below).await.refused(409, "stock_below_zero");
    let elsewhere =
        json!({"request_id": "d5", "sku_id": "42", "activity_id": "9", "change": {"add": 1}, "reason": "x"});
    adjust(elsewhere).await.refused(422, "activity_not_found");

    let session =
        json!({"kind": "seckill", "start": 1, "end": "2100-01-01", "items": [{"sku_id": "42", "price": 1}]});
    shop.put(OPERATIONS, "/admin/activities/9", session).await.expect(200);
    let transfer =
        json!({"request_id": "t1", "sku_id": "42", "to_activity_id": "9", "units": 4, "reason": "noon"});
    let left = shop.post(who, "/admin/stock/transfer", transfer.clone()).await.expect(200);
    assert_eq!(left["available"], 8);
    shop.post(who, "/admin/stock/transfer", transfer).await.expect(200);
    let pools = shop.get("admin auditor", "/admin/stock/42").await.expect(200);
    assert_eq!(pools["pools"][0]["pool"], "normal");
    assert_eq!(
        (&pools["pools"][1]["activity_id"], &pools["pools"][1]["available"]),
        (&json!("9"), &json!(4))
    );
    assert_eq!(acts(&shop, "stock.transfer").await[0]["reason"], "noon");
    shop.get("admin auditor", "/admin/stock/43").await.refused(404, "unknown_sku");
    let silent = json!({"request_id": "t2", "sku_id": "42", "to_activity_id": "9", "units": 1});
    shop.post(who, "/admin/stock/transfer", silent).await.refused(422, "reason_missing");
    shop.post("admin auditor", "/admin/stock/adjust", json!({})).await.refused(403, "forbidden");
}
