//! The back office: refunds from the application to the provider's answer.

use serde_json::{Value, json};
use stockade::{Caller, MemberId, Money, OrderNo, RefundRequest, StockKey};

use crate::admin_goods::acts;
use crate::admin_orders::{order, pay};
use crate::support::Shop;

/// A paid order's refund that its member has applied for, by its number.
async fn applied(shop: &Shop, member: u64, lines: Vec<(u64, u32)>, extra: i64) -> String {
    let number = order(shop, member, "a").await;
    pay(shop, &number).await;
    let request = RefundRequest {
        request_id: 1.into(),
        reason: "too bitter".into(),
        lines: lines.into_iter().map(|(sku, quantity)| (sku.into(), quantity)).collect(),
        extra: Money::from_minor(extra),
    };
    let caller = Caller::Member(MemberId(member));
    let order_no: OrderNo = number.parse().expect("a number");
    let receipt = shop.engine.apply_refund(caller, order_no, request).await;
    receipt.expect("it is applied for").refund_no.to_string()
}

async fn act(shop: &Shop, who: &str, refund_no: &str, what: &str, body: Value) -> crate::support::Answer {
    shop.post(who, &format!("/admin/refunds/{refund_no}/{what}"), body).await
}

#[tokio::test]
async fn a_refund_is_approved_asked_for_and_finished_and_its_units_are_sold_again() {
    let shop = Shop::with_tea(10).await;
    let refund_no = applied(&shop, 7, vec![(42, 1)], 0).await;
    let silent = act(&shop, "admin support", &refund_no, "approve", json!({"restock": "all"})).await;
    silent.refused(422, "reason_missing");
    let body = json!({"restock": "all", "reason": "unopened"});
    let approved = act(&shop, "admin support", &refund_no, "approve", body.clone()).await.expect(200);
    assert_eq!((&approved["state"], &approved["amount"]), (&json!("required"), &json!(19_900)));
    act(&shop, "admin support", &refund_no, "approve", body).await.expect(200);

    act(&shop, "admin support", &refund_no, "request", json!({})).await.refused(403, "forbidden");
    let who = "admin finance";
    assert_eq!(act(&shop, who, &refund_no, "request", json!({})).await.expect(200)["state"], "requested");
    let failed = act(&shop, who, &refund_no, "fail", json!({"note": "account closed"})).await;
    assert_eq!(failed.expect(200)["state"], "failed");
    let list = shop.get(who, "/admin/refunds?state=failed,required").await.expect(200);
    assert_eq!(list["refunds"][0]["note"], "account closed");
    assert_eq!(act(&shop, who, &refund_no, "request", json!({})).await.expect(200)["state"], "requested");
    let available = async || shop.engine.stock(StockKey::normal(42.into())).await.unwrap().available;
    let before = available().await;
    let finish = json!({"provider_refund_id": "5030"});
    let finished = act(&shop, who, &refund_no, "finish", finish.clone()).await.expect(200);
    assert_eq!((&finished["state"], &finished["order_status"]), (&json!("finished"), &json!("cancelled")));
    assert_eq!(available().await, before + 1);
    act(&shop, who, &refund_no, "finish", finish).await.expect(200);
    let other = act(&shop, who, &refund_no, "finish", json!({"provider_refund_id": "5031"})).await;
    other.refused(409, "refund_finished_otherwise");
    assert_eq!(available().await, before + 1, "once");
    assert_eq!(shop.get(who, "/admin/refunds").await.expect(200)["refunds"], json!([]));
    let recorded = acts(&shop, "refund.approve").await;
    assert_eq!((&recorded[0]["target"], &recorded[0]["reason"]), (&json!(refund_no), &json!("unopened")));
}

#[tokio::test]
async fn a_refund_is_rejected_with_a_note_or_restocks_what_the_shop_says() {
    let shop = Shop::with_tea(10).await;
    let refused = applied(&shop, 7, vec![(42, 1)], 0).await;
    let body = json!({"note": "the seal is broken", "reason": "photos"});
    assert_eq!(act(&shop, "admin finance", &refused, "reject", body).await.expect(200)["state"], "rejected");
    let partly = applied(&shop, 8, vec![], 500).await;
    let many = json!({"restock": {"lines": [{"sku_id": "42", "quantity": 9}]}, "reason": "x"});
    act(&shop, "admin finance", &partly, "approve", many).await.refused(409, "units_exceeded");
    let one = json!({"restock": {"lines": [{"sku_id": "42", "quantity": 1}]}, "reason": "x"});
    act(&shop, "admin finance", &partly, "approve", one).await.expect(200);
    act(&shop, "admin finance", "12", "reject", json!({})).await.refused(422, "invalid_path");
    let body = json!({"note": "x", "reason": "x"});
    act(&shop, "admin finance", "1-1", "reject", body.clone()).await.refused(404, "refund_not_found");
    act(&shop, "admin auditor", &partly, "reject", body).await.refused(403, "forbidden");
}

#[tokio::test]
async fn the_work_list_has_pages() {
    let shop = Shop::with_tea(10).await;
    let mut expected = Vec::new();
    for member in 1..=3 {
        expected.push(applied(&shop, member, vec![(42, 1)], 0).await);
    }
    let mut found = Vec::new();
    let mut next = None::<String>;
    loop {
        let after = next.map(|next| format!("&after={next}")).unwrap_or_default();
        let page = shop.get("admin auditor", &format!("/admin/refunds?limit=2{after}")).await.expect(200);
        let refunds = page["refunds"].as_array().unwrap();
        assert!(refunds.len() <= 2);
        found.extend(refunds.iter().map(|refund| refund["refund_no"].as_str().unwrap().to_owned()));
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() {
            break;
        }
    }
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    for wrong in ["?state=finished", "?after=x", "?after=1.x", "?limit=0"] {
        shop.get("admin auditor", &format!("/admin/refunds{wrong}")).await.refused(422, "invalid_value");
    }
}
