//! What is for sale: stock, activities, the time; and what a member has for it: coupons, teams.

use serde_json::json;
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{
    Activity, ActivityItem, ActivityKind, Config, CouponBenefit, CouponScope, CouponTerms, Durability, Money,
    OrderTypes, SaleControl, StockKey, TeamTerms,
};

use crate::support::Shop;

const START_MS: u64 = 1_790_000_000_000;

async fn shop(units: u32) -> (Shop, ManualTime) {
    let (clock, time) = Clock::manual(START_MS);
    let shop = Shop::with(Config::new("").durability(Durability::Memory).clock(clock)).await;
    stockade::examples::stock_tea(&shop.engine, units).await.expect("tea is on sale");
    (shop, time)
}

fn activity(id: u64, kind: ActivityKind, start_ms: u64) -> Activity {
    let team = (kind == ActivityKind::GroupBuy).then_some(TeamTerms { size: 2, time_limit_ms: 60_000 });
    Activity {
        id: id.into(),
        kind,
        title: "Ten o'clock tea".into(),
        start_ms,
        end_ms: start_ms + 600_000,
        items: vec![ActivityItem { sku_id: 42.into(), price: Money::from_minor(9_900), limit_per_member: 1 }],
        team,
        ..Activity::default()
    }
}

#[tokio::test]
async fn stock_is_told_up_to_a_hundred() {
    let (shop, _time) = shop(250).await;
    let session = activity(9, ActivityKind::Seckill, START_MS);
    shop.engine.put_activity(session.clone()).await.unwrap();
    let to = session.stock_key(42.into());
    shop.engine.transfer_stock(2.into(), StockKey::normal(42.into()), to, 3).await.unwrap();
    let stock = shop.get("", "/api/stock/42").await.expect(200);
    assert_eq!(stock, json!({"sku_id": "42", "on_sale": true, "in_stock": true, "available": 100}));
    let stock = shop.get("", "/api/stock/42?activity_id=9").await.expect(200);
    assert_eq!((&stock["available"], &stock["activity_id"]), (&json!(3), &json!("9")));

    shop.get("", "/api/stock/43").await.refused(404, "unknown_sku");
    shop.get("", "/api/stock/42?activity_id=8").await.refused(404, "activity_not_found");
    shop.get("", "/api/stock/tea").await.refused(422, "invalid_path");
    shop.get("", "/api/stock/99999999999999999999999").await.refused(422, "invalid_path");
    shop.get("", "/api/stock/%FF").await.refused(422, "invalid_path");
    shop.get("", "/api/stock/42?activity_id=x").await.refused(422, "invalid_query");
    shop.get("", "/api/stock/42?location=1").await.refused(422, "invalid_query");
}

#[tokio::test]
async fn units_that_are_kept_back_are_not_shown_as_stock() {
    let (shop, _time) = shop(3).await;
    let key = StockKey::normal(42.into());
    shop.engine.control_sales(SaleControl::SafetyStock { key, units: 2 }, None).await.unwrap();
    assert_eq!(shop.get("", "/api/stock/42").await.expect(200)["available"], 1);
    let two = json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": 2}]});
    let preview = shop.post("member 7", "/api/order/preview", two.clone()).await.expect(200);
    assert_eq!(preview["in_stock"], false);
    shop.post("member 7", "/api/order/submit", two).await.refused(409, "sold_out");
    shop.engine.control_sales(SaleControl::SafetyStock { key, units: 5 }, None).await.unwrap();
    assert_eq!(shop.get("", "/api/stock/42").await.expect(200)["in_stock"], false);
}

#[tokio::test]
async fn the_time_is_the_engines() {
    let (shop, time) = shop(1).await;
    time.advance(1_500);
    let answer = shop.get("", "/api/time").await;
    assert_eq!(answer.expect(200), json!({"now": "2026-09-21T14:13:21.500Z", "now_ms": START_MS + 1_500}));
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn activities_that_run_or_are_to_come_are_listed_by_their_start() {
    let (shop, time) = shop(10).await;
    for (id, kind, start_ms) in [
        (1, ActivityKind::Seckill, START_MS + 3_600_000),
        (2, ActivityKind::GroupBuy, START_MS),
        (3, ActivityKind::Seckill, START_MS + 3_600_000),
    ] {
        shop.engine.put_activity(activity(id, kind, start_ms)).await.unwrap();
    }
    shop.engine.put_activity(activity(4, ActivityKind::Seckill, START_MS)).await.unwrap();
    shop.engine.end_activity(4, None).await.unwrap();
    let list = async |query: &str| shop.get("", &format!("/api/activities{query}")).await.expect(200);
    let all = list("").await;
    let campaign = json!({
        "activity_id": "2", "kind": "group_buy", "title": "Ten o'clock tea", "state": "running",
        "starts_at": "2026-09-21T14:13:20.000Z", "starts_at_ms": START_MS,
        "ends_at": "2026-09-21T14:23:20.000Z", "ends_at_ms": START_MS + 600_000,
        "team": {"size": 2, "time_limit_ms": 60_000},
        "items": [{"sku_id": "42", "code": "TEA-50", "title": "Green tea, 50 g", "price": 9_900,
            "list_price": 19_900, "limit_per_member": 1}],
    });
    assert_eq!(all["activities"][0], campaign);
    assert_eq!((&all["now_ms"], &all["activities"][1]["state"]), (&json!(START_MS), &json!("coming")));
    let mut seen = Vec::new();
    let mut query = "?size=1".to_owned();
    loop {
        let page = list(&query).await;
        seen.push(page["activities"][0]["activity_id"].clone());
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?size=1&cursor={next}");
    }
    assert_eq!(seen, ["2", "1", "3"]);
    time.advance(600_000);
    assert_eq!(list("").await["activities"][0]["activity_id"], "1", "the campaign is over");
    shop.get("", "/api/activities?size=21").await.refused(422, "invalid_value");
    shop.get("", "/api/activities?cursor=1").await.refused(422, "invalid_value");
}

#[tokio::test]
async fn coupons_are_shown_with_what_they_are_worth_and_who_has_them() {
    let (shop, _time) = shop(10).await;
    let terms = |id: u64, benefit, scope| CouponTerms {
        id: id.into(),
        title: "tea days".into(),
        benefit,
        threshold: Money::from_minor(5_000),
        scope,
        valid_from_ms: START_MS,
        valid_until_ms: START_MS + 86_400_000,
        stackable: false,
        issue_max: 100,
        per_member_max: 0,
        order_types: OrderTypes::all(),
    };
    let tenth = CouponBenefit::PercentOff { percent_bp: 1_000, cap: Some(Money::from_minor(1_500)) };
    shop.engine.put_coupon_terms(terms(6, tenth, CouponScope::Skus(vec![42.into()])), None).await.unwrap();
    let off = CouponBenefit::AmountOff(Money::from_minor(1_000));
    shop.engine.put_coupon_terms(terms(5, off, CouponScope::All), None).await.unwrap();
    let coupon = shop.engine.issue_coupon(7, 5, 1).await.unwrap().coupon;
    shop.engine.issue_coupon(7, 6, 2).await.unwrap();
    shop.engine.issue_coupon(8, 6, 3).await.unwrap();

    let order = json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": 1}], "coupons": [coupon.to_string()]});
    let preview = shop.post("member 7", "/api/order/preview", order.clone()).await.expect(200);
    let used = json!([{"coupon_id": coupon.to_string(), "terms_id": "5", "amount": 1_000}]);
    assert_eq!((&preview["coupons"], &preview["amounts"]["discount_amount"]), (&used, &json!(1_000)));
    let placed = shop.post("member 7", "/api/order/submit", order).await.expect(201);
    assert_eq!(placed["pay_amount"], 18_900);
    let path = format!("/api/order/{}", placed["order_no"].as_str().unwrap());
    assert_eq!(shop.get("member 7", &path).await.expect(200)["coupons"], used);

    let list = async |query: &str| shop.get("member 7", &format!("/api/coupons{query}")).await.expect(200);
    let all = list("").await;
    assert_eq!(all["coupons"][0]["coupon_id"], coupon.to_string());
    assert_eq!(all["coupons"][0]["state"], "locked");
    assert_eq!(all["coupons"][0]["order_no"], placed["order_no"]);
    let types = json!(["normal", "seckill", "group_buy"]);
    let expected = json!([
        {"terms_id": "5", "title": "tea days", "amount_off": 1_000, "threshold": 5_000, "stackable": false,
            "order_types": types},
        {"terms_id": "6", "title": "tea days", "percent_bp": 1_000, "cap": 1_500, "threshold": 5_000,
            "sku_ids": ["42"], "stackable": false, "order_types": types},
    ]);
    assert_eq!(all["terms"], expected);
    let free = list("?state=free").await;
    assert_eq!((&free["coupons"][0]["terms_id"], &free["coupons"][1]), (&json!("6"), &json!(null)));
    let first = list("?size=1").await;
    let rest = list(&format!("?size=1&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!((&rest["coupons"][0], &rest["next"]), (&all["coupons"][1], &json!(null)));
    shop.get("member 7", "/api/coupons?state=lost").await.refused(422, "invalid_value");
    shop.get("member 7", "/api/coupons?cursor=1").await.refused(422, "invalid_value");
    shop.get("", "/api/coupons").await.refused(401, "token_missing");
}

#[tokio::test]
async fn a_team_names_nobody() {
    let (shop, _time) = shop(10).await;
    let campaign = activity(9, ActivityKind::GroupBuy, START_MS);
    shop.engine.put_activity(campaign.clone()).await.unwrap();
    let to = campaign.stock_key(42.into());
    shop.engine.transfer_stock(2.into(), StockKey::normal(42.into()), to, 5).await.unwrap();
    let order = |team| {
        json!({"request_id": "a", "order_type": "group_buy", "activity_id": "9", "team": team,
            "lines": [{"sku_id": "42", "quantity": 1}]})
    };
    let opened = shop.post("member 7", "/api/order/submit", order(json!("open"))).await.expect(201);
    let team = opened["order_no"].as_str().unwrap();
    let view = shop.get("member 8", &format!("/api/team/{team}")).await.expect(200);
    let expected = json!({"team_id": team, "activity_id": "9", "size": 2, "state": "forming",
        "deadline": "2026-09-21T14:14:20.000Z", "deadline_ms": START_MS + 60_000, "paid": 0, "unpaid": 1, "free": 1});
    assert_eq!(view, expected);

    let joined = shop.post("member 8", "/api/order/submit", order(json!({"join": team}))).await.expect(201);
    let path = format!("/api/order/{}", joined["order_no"].as_str().unwrap());
    let shown = shop.get("member 8", &path).await.expect(200);
    assert_eq!(shown["team"], json!({"team_id": team, "formed": false}));
    assert_eq!((&shown["activity_id"], &shown["lines"][1]), (&json!("9"), &json!(null)));
    shop.post("member 9", "/api/order/submit", order(json!({"join": team}))).await.refused(409, "team_full");
    shop.get("member 8", "/api/team/5").await.refused(404, "team_not_found");
    shop.get("member 8", "/api/team/x").await.refused(422, "invalid_path");
    shop.get("", &format!("/api/team/{team}")).await.refused(401, "token_missing");
}
