//! Placing orders: `POST /api/order/submit`.

use serde_json::json;

use crate::support::Shop;

#[tokio::test]
async fn an_order_is_placed_once_and_answered_with_a_receipt() {
    let shop = Shop::with_tea(2).await;
    let order = json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": 1}]});
    let receipt = shop.post("member 7", "/api/order/submit", order.clone()).await.expect(201);
    assert_eq!((&receipt["pay_amount"], &receipt["status"]), (&json!(19_900), &json!("pending")));
    assert!(receipt["order_no"].is_string());
    assert_eq!(shop.post("member 7", "/api/order/submit", order).await.expect(201), receipt);

    let other = json!({"request_id": "a", "lines": [{"sku_id": 42, "quantity": 2}]});
    shop.post("member 7", "/api/order/submit", other).await.refused(422, "request_id_reused");
}

#[tokio::test]
async fn what_is_wrong_is_said_and_changes_nothing() {
    let shop = Shop::with_tea(1).await;
    let submit = async |who, body| shop.post(who, "/api/order/submit", body).await;
    let line = json!([{"sku_id": "42", "quantity": 1}]);
    submit("", json!({})).await.refused(401, "token_missing");
    submit("service", json!({})).await.refused(403, "forbidden");
    submit("member 7", json!({"lines": line})).await.refused(400, "request_id_missing");
    let problem =
        submit("member 7", json!({"request_id": "a", "lines": [{"sku_id": "x", "quantity": 1}]})).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "lines[0].sku_id");
    let many = json!({"request_id": "b", "lines": [{"sku_id": "42", "quantity": 2}]});
    submit("member 7", many).await.refused(409, "sold_out");
    submit("member 7", json!({"request_id": "c", "lines": line})).await.expect(201);
}
