//! The back office: sessions and their check list, sale controls, coupons.

use serde_json::{Value, json};

use crate::admin_goods::{OPERATIONS, acts};
use crate::support::Shop;

const HOUR_MS: u64 = 3_600_000;

fn session(shop: &Shop, price: i64) -> Value {
    let now_ms = shop.engine.now_ms();
    json!({"kind": "seckill", "title": "Noon", "start": now_ms + HOUR_MS, "end": now_ms + 2 * HOUR_MS,
        "items": [{"sku_id": "42", "price": price, "limit_per_member": 1}]})
}

async fn put_session(shop: &Shop) {
    shop.put(OPERATIONS, "/admin/activities/9", session(shop, 9_900)).await.expect(200);
}

#[tokio::test]
async fn a_session_is_put_listed_and_ended() {
    let shop = Shop::with_tea(5).await;
    shop.get(OPERATIONS, "/admin/activities/9").await.refused(404, "activity_not_found");
    shop.post(OPERATIONS, "/admin/activities/9/end", json!({})).await.refused(404, "activity_not_found");
    put_session(&shop).await;
    let shown = shop.get("admin auditor", "/admin/activities/9").await.expect(200);
    assert_eq!((&shown["state"], &shown["kind"]), (&json!("upcoming"), &json!("seckill")));
    assert_eq!(shown["items"][0]["price"], 9_900);
    assert!(shown["start"].as_str().is_some_and(|start| start.ends_with('Z')));

    let mut other = session(&shop, 1);
    other["start"] = json!(1);
    shop.put(OPERATIONS, "/admin/activities/10", other).await.expect(200);
    let page = shop.get(OPERATIONS, "/admin/activities?limit=1").await.expect(200);
    assert_eq!((&page["activities"][0]["activity_id"], &page["next"]), (&json!("9"), &json!("9")));
    let page = shop.get(OPERATIONS, "/admin/activities?limit=1&after=9").await.expect(200);
    assert_eq!((&page["activities"][0]["activity_id"], &page["next"]), (&json!("10"), &Value::Null));
    let open = shop.get(OPERATIONS, "/admin/activities?state=open&kind=seckill").await.expect(200);
    assert_eq!(open["activities"].as_array().map(Vec::len), Some(1));
    shop.get(OPERATIONS, "/admin/activities?state=soon").await.refused(422, "invalid_value");
    shop.get(OPERATIONS, "/admin/activities?limit=101").await.refused(422, "invalid_value");
    shop.get(OPERATIONS, "/admin/activities?colour=green").await.refused(422, "invalid_query");

    shop.post("admin auditor", "/admin/activities/9/end", json!({})).await.refused(403, "forbidden");
    shop.post(OPERATIONS, "/admin/activities/9/end", json!({"reason": "no stock"})).await.expect(200);
    assert_eq!(shop.get(OPERATIONS, "/admin/activities/9").await.expect(200)["state"], "over");
    assert_eq!(acts(&shop, "activity.end").await[0]["reason"], "no stock");
    let again = shop.put(OPERATIONS, "/admin/activities/9", session(&shop, 9_900)).await;
    again.refused(409, "activity_over");
}

#[tokio::test]
async fn the_check_list_names_what_would_go_wrong() {
    let shop = Shop::with_tea(5).await;
    put_session(&shop).await;
    let state = async |check: &str, query: &str| {
        let path = format!("/admin/activities/9/preflight{query}");
        let list = shop.get("admin auditor", &path).await.expect(200);
        let checks = list["checks"].as_array().expect("a list").clone();
        let found = checks.iter().find(|found| found["check"] == check).expect("this check");
        (found["state"].clone(), list["state"].clone(), found["message"].clone())
    };
    let (units, all, _) = state("units", "").await;
    assert_eq!((units, all), (json!("fail"), json!("fail")), "no stock was moved to it");
    let transfer =
        json!({"request_id": "t", "sku_id": "42", "to_activity_id": "9", "units": 3, "reason": "noon"});
    shop.post(OPERATIONS, "/admin/stock/transfer", transfer).await.expect(200);
    assert_eq!(state("units", "").await.0, "ok");
    assert_eq!(state("units", "?planned=42:4").await.0, "warn", "fewer than planned");
    assert_eq!(state("units", "?planned=42:2").await.0, "warn", "more than planned");
    assert_eq!(state("units", "?planned=42:3,43:9").await.0, "ok");
    for check in ["window", "switches", "sku", "price", "health", "disk", "clock", "store"] {
        let (found, _, message) = state(check, "").await;
        assert_eq!(found, "ok", "{check}: {message}");
    }
    assert_eq!(state("durability", "").await.0, "warn", "this journal is in memory");

    let control = |control: Value| json!({"control": control, "reason": "rehearsal"});
    let put = async |body| shop.post(OPERATIONS, "/admin/sale-controls", body).await.expect(200);
    put(control(json!({"activity_paused": {"activity_id": "9", "paused": true}}))).await;
    assert_eq!(state("switches", "").await.0, "fail");
    put(control(json!({"sku_paused": {"sku_id": "42", "paused": true}}))).await;
    assert_eq!(state("sku", "").await.0, "fail");
    put(control(json!({"safety_stock": {"sku_id": "42", "activity_id": "9", "units": 3}}))).await;
    assert_eq!(state("units", "").await.0, "fail", "all of them are kept back");
    shop.put(OPERATIONS, "/admin/activities/9", session(&shop, 19_900)).await.expect(200);
    assert_eq!(state("price", "").await.0, "warn", "no cheaper than every day");
    shop.post(OPERATIONS, "/admin/activities/9/end", json!({})).await.expect(200);
    assert_eq!(state("window", "").await.0, "fail");
    shop.get(OPERATIONS, "/admin/activities/9/preflight?planned=42").await.refused(422, "invalid_value");
    shop.get(OPERATIONS, "/admin/activities/8/preflight").await.refused(404, "activity_not_found");
}

#[tokio::test]
async fn switches_hold_at_once_and_security_turns_only_its_own() {
    let shop = Shop::with_tea(5).await;
    let put = async |who, body| shop.post(who, "/admin/sale-controls", body).await;
    let buy = async |request: &str| {
        let order = json!({"request_id": request, "lines": [{"sku_id": "42", "quantity": 1}]});
        shop.post("member 7", "/api/order/submit", order).await
    };
    let pause = |paused: bool| json!({"control": {"sku_paused": {"sku_id": "42", "paused": paused}}, "reason": "price"});
    put("admin security", pause(true)).await.refused(403, "forbidden");
    assert!(acts(&shop, "sku.pause").await.is_empty(), "what may not be is not recorded as done");
    put(OPERATIONS, pause(true)).await.expect(200);
    buy("a").await.refused(409, "sku_paused");
    put(OPERATIONS, pause(false)).await.expect(200);
    buy("b").await.expect(201);
    let silent = json!({"control": {"all_paused": {"paused": true}}});
    put(OPERATIONS, silent).await.refused(422, "reason_missing");

    let block =
        json!({"control": {"member_blocked": {"member_id": "7", "until": "2100-01-01"}}, "reason": "bot"});
    put("admin security", block).await.expect(200);
    buy("c").await.refused(403, "member_blocked");
    put(OPERATIONS, json!({"control": {"all_paused": {"paused": true}}, "reason": "x"})).await.expect(200);
    put(OPERATIONS, json!({"control": {"safety_stock": {"sku_id": "42", "units": 2}}, "reason": "x"}))
        .await
        .expect(200);

    let list = shop.get("admin security", "/admin/sale-controls?limit=2").await.expect(200);
    assert_eq!(list["controls"][0], json!({"all_paused": {"paused": true}}));
    assert_eq!(list["controls"][1]["member_blocked"]["until"], "2100-01-01T00:00:00.000Z");
    let next = list["next"].as_str().expect("there is more").to_owned();
    let rest = shop.get(OPERATIONS, &format!("/admin/sale-controls?after={next}")).await.expect(200);
    assert_eq!(rest["controls"], json!([{"safety_stock": {"sku_id": "42", "units": 2}}]));
    let all = shop.get(OPERATIONS, "/admin/sale-controls?all=true").await.expect(200);
    assert_eq!(all["controls"].as_array().map(Vec::len), Some(4), "with the one that is off");
    shop.get(OPERATIONS, "/admin/sale-controls?after=x").await.refused(422, "invalid_value");
    assert_eq!(acts(&shop, "member.block").await[0]["target"], "7");
}

#[tokio::test]
async fn coupons_are_laid_down_given_once_for_each_name_and_listed() {
    let shop = Shop::with_tea(5).await;
    let terms = json!({"title": "10 off", "benefit": {"amount_off": 1_000}, "valid_from": 0,
        "valid_until": "2100-01-01", "issue_max": 2, "per_member_max": 1, "order_types": ["normal"],
        "scope": {"skus": ["42", "41", "42"]}});
    shop.get(OPERATIONS, "/admin/coupon-terms/5").await.refused(404, "coupon_terms_not_found");
    shop.put(OPERATIONS, "/admin/coupon-terms/5", terms.clone()).await.expect(200);
    let shown = shop.get("admin auditor", "/admin/coupon-terms/5").await.expect(200);
    assert_eq!(shown["scope"], json!({"skus": ["41", "42"]}));
    assert_eq!(shown["benefit"], json!({"amount_off": 1_000}));
    let mut wrong = terms;
    wrong["order_types"] = json!(["rental"]);
    let problem = shop.put(OPERATIONS, "/admin/coupon-terms/5", wrong).await;
    assert_eq!(problem.refused(422, "unknown_order_type")["field"], "order_types");

    let issue = async |request: &str, member: &str| {
        let body = json!({"request_id": request, "member_id": member, "terms_id": "5", "reason": "late"});
        shop.post("admin support", "/admin/coupons/issue", body).await
    };
    let first = issue("i1", "7").await.expect(200);
    assert_eq!(first["outcome"], "issued");
    let again = issue("i1", "7").await.expect(200);
    assert_eq!((&again["coupon_id"], &again["outcome"]), (&first["coupon_id"], &json!("unchanged")));
    issue("i2", "7").await.refused(409, "coupon_maximum");
    issue("i3", "8").await.expect(200);
    issue("i4", "9").await.refused(409, "coupons_exhausted");
    let nameless = json!({"member_id": "7", "terms_id": "5"});
    shop.post("admin support", "/admin/coupons/issue", nameless).await.refused(400, "request_id_missing");

    let held = shop.get("admin auditor", "/admin/coupons/7").await.expect(200);
    assert_eq!(
        (&held["coupons"][0]["state"], &held["coupons"][0]["terms_id"]),
        (&json!("free"), &json!("5"))
    );
    assert_eq!(held["coupons"][0]["coupon_id"], first["coupon_id"]);
    shop.post("admin auditor", "/admin/coupons/issue", json!({})).await.refused(403, "forbidden");
    assert_eq!(acts(&shop, "coupon.issue").await[0]["target"], "5 to 9");
}
