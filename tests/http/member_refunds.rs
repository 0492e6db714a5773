//! Refunds of a member's own orders.

use serde_json::{Value, json};
use stockade::{OrderNo, RefundStep};

use crate::support::{Answer, Shop};

/// A shop with a paid order of member 7, of one unit at 199.00.
async fn shop() -> (Shop, OrderNo) {
    let shop = Shop::empty().await;
    let order_no = stockade::examples::paid_order(&shop.engine).await.expect("it is paid");
    (shop, order_no)
}

async fn apply(shop: &Shop, order_no: OrderNo, body: Value) -> Answer {
    shop.post("member 7", &format!("/api/order/{order_no}/refund"), body).await
}

fn one_unit(name: &str) -> Value {
    json!({"request_id": name, "reason": "too bitter", "lines": [{"sku_id": "42", "quantity": 1}]})
}

#[tokio::test]
async fn a_refund_is_applied_for_once_and_shown() {
    let (shop, order_no) = shop().await;
    let applied = apply(&shop, order_no, one_unit("r")).await.expect(201);
    let refund_no = format!("{order_no}-1");
    let expected =
        json!({"refund_no": refund_no, "state": "applied", "amount": 19_900, "order_status": "paid"});
    assert_eq!(applied, expected);
    assert_eq!(apply(&shop, order_no, one_unit("r")).await.expect(201), applied);
    let other = json!({"request_id": "r", "amount": 5});
    apply(&shop, order_no, other).await.refused(422, "request_id_reused");
    apply(&shop, order_no, one_unit("again")).await.refused(409, "units_exceeded");

    let refund = shop.get("member 7", &format!("/api/refund/{refund_no}")).await.expect(200);
    assert_eq!((&refund["kind"], &refund["applied_by"]), (&json!("after_sale"), &json!("member")));
    assert_eq!(refund["lines"], json!([{"sku_id": "42", "quantity": 1, "amount": 19_900}]));
    let order = shop.get("member 7", &format!("/api/order/{order_no}")).await.expect(200);
    assert_eq!(order["refunds"], json!([refund]));
}

#[tokio::test]
async fn an_application_is_withdrawn_until_it_is_decided() {
    let (shop, order_no) = shop().await;
    let withdraw = async |ordinal: u32| {
        shop.post("member 7", &format!("/api/refund/{order_no}-{ordinal}/withdraw"), json!({})).await
    };
    apply(&shop, order_no, json!({"request_id": "r", "amount": 500})).await.expect(201);
    assert_eq!(withdraw(1).await.expect(200)["state"], "withdrawn");
    let applied = apply(&shop, order_no, one_unit("s")).await.expect(201);
    let refund_no: stockade::RefundNo = applied["refund_no"].as_str().unwrap().parse().unwrap();
    shop.engine.approve_refund(refund_no, vec![(42.into(), 1)]).await.unwrap();
    withdraw(2).await.refused(409, "wrong_refund_state");
    let finished = RefundStep::Finished { provider_refund_id: "5030".into() };
    shop.engine.report_refund(refund_no, finished).await.unwrap();
    let refund = shop.get("member 7", &format!("/api/refund/{refund_no}")).await.expect(200);
    assert_eq!((&refund["state"], &refund["provider_refund_id"]), (&json!("finished"), &json!("5030")));
    assert_eq!(refund["restock"], json!([{"sku_id": "42", "quantity": 1}]));
    withdraw(3).await.refused(404, "refund_not_found");
}

#[tokio::test]
async fn what_cannot_go_back_is_refused_and_changes_nothing() {
    let (shop, order_no) = shop().await;
    let before = shop.engine.state_hash().await.unwrap();
    let line = |sku: &str, quantity: u64| json!({"request_id": "r", "lines": [{"sku_id": sku, "quantity": quantity}]});
    for (body, status, code) in [
        (json!({"lines": []}), 400, "request_id_missing"),
        (json!({"request_id": "r"}), 422, "invalid_field"),
        (json!({"request_id": "r", "amount": -1}), 422, "invalid_field"),
        (json!({"request_id": "r", "amount": 19_901}), 409, "refund_exceeds_paid"),
        (json!({"request_id": "r", "amount": i64::MAX}), 409, "refund_exceeds_paid"),
        (json!({"request_id": "r", "amount": 1e300}), 422, "invalid_body"),
        (json!({"request_id": "r", "amount": "5"}), 422, "invalid_body"),
        (json!({"request_id": "r", "reason": "x".repeat(513), "amount": 5}), 422, "field_too_long"),
        (line("43", 1), 422, "sku_not_in_order"),
        (line("42", 2), 409, "units_exceeded"),
        (line("42", 0), 422, "quantity_too_small"),
        (line("42", 1 << 32), 422, "invalid_body"),
    ] {
        apply(&shop, order_no, body).await.refused(status, code);
    }
    let many: Vec<_> = (0..101).map(|_| json!({"sku_id": "42", "quantity": 1})).collect();
    apply(&shop, order_no, json!({"request_id": "r", "lines": many})).await.refused(422, "too_many_lines");
    for wrong in ["x", "1", "1-0", "-1", "1-70000", "p1"] {
        shop.get("member 7", &format!("/api/refund/{wrong}")).await.refused(422, "invalid_path");
    }
    assert_eq!(shop.engine.state_hash().await.unwrap(), before);
}
