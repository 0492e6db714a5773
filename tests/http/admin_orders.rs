//! The back office: orders listed, shown, shipped, changed; personal data masked unless it is asked for, and recorded.

use serde_json::{Value, json};
use stockade::{Config, Payment};

use crate::admin_goods::{OPERATIONS, acts};
use crate::support::Shop;

const NAME: &str = "张三丰";
const PHONE: &str = "13812345678";
const ADDRESS: &str = "科技园路 1 号";

/// A shop with a store, which lists of orders are read from, and its directory.
pub(crate) async fn with_store() -> (Shop, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let shop = Shop::with(Config::new(dir.path().join("shop")).ballast_bytes(0)).await;
    stockade::examples::stock_tea(&shop.engine, 1_000).await.expect("tea is on sale");
    (shop, dir)
}

/// An order of one unit of tea, by its number.
pub(crate) async fn order(shop: &Shop, member: u64, request: &str) -> String {
    let receiver = json!({"name": NAME, "phone": PHONE, "province": "广东省", "address": ADDRESS});
    let order = json!({"request_id": request, "lines": [{"sku_id": "42", "quantity": 1}], "receiver": receiver,
        "external_no": format!("T-{member}-{request}")});
    let receipt = shop.post(&format!("member {member}"), "/api/order/submit", order).await.expect(201);
    receipt["order_no"].as_str().expect("a number").to_owned()
}

/// Pays an order in full.
pub(crate) async fn pay(shop: &Shop, order_no: &str) {
    let number: stockade::OrderNo = order_no.parse().expect("a number");
    let view = shop.engine.order(stockade::Caller::Operator, number).await.expect("the order");
    let payment = Payment {
        order: number.into(),
        channel: "wechat".into(),
        merchant: "shop-1".into(),
        transaction_id: format!("t-{order_no}").into(),
        amount: view.pay_amount,
    };
    shop.engine.pay(payment).await.expect("it is paid");
}

pub(crate) fn is_hidden(text: &str) -> bool {
    ![NAME, PHONE, ADDRESS].iter().any(|private| text.contains(private))
}

fn numbers(list: &Value) -> Vec<String> {
    let orders = list["orders"].as_array().expect("a list");
    orders.iter().map(|order| order["order_no"].as_str().expect("a number").to_owned()).collect()
}

#[tokio::test]
async fn orders_are_listed_by_filters_and_pages() {
    let (shop, _dir) = with_store().await;
    let first = order(&shop, 7, "a").await;
    let second = order(&shop, 8, "b").await;
    let third = order(&shop, 7, "c").await;
    pay(&shop, &second).await;
    let who = "admin finance";
    let list = async |query: &str| shop.get(who, &format!("/admin/order{query}")).await.expect(200);
    let page = list("?sort=oldest&limit=2").await;
    let mut ascending = [first.clone(), second.clone(), third.clone()];
    ascending.sort_by_key(|number| number.parse::<u64>().unwrap());
    assert_eq!(numbers(&page), ascending[..2]);
    let next = page["next"].as_str().expect("there is more");
    let rest = list(&format!("?sort=oldest&limit=2&after={next}")).await;
    assert_eq!((numbers(&rest), &rest["next"]), (ascending[2..].to_vec(), &Value::Null));
    assert_eq!(numbers(&list("?status=paid,shipped").await), std::slice::from_ref(&second));
    assert_eq!(numbers(&list("?member_id=7&sku_id=42&status=pending").await).len(), 2);
    assert_eq!(numbers(&list("?created_from=2100-01-01").await).len(), 0);
    assert_eq!(numbers(&list("?open_refund=true").await).len(), 0);
    assert_eq!(list("").await["orders"][0].get("timeline"), None, "lists are short");
    for wrong in ["?status=gone", "?sort=up", "?limit=201", "?flag=x", "?colour=green", "?order_type=rental"]
    {
        assert_eq!(shop.get(who, &format!("/admin/order{wrong}")).await.status, 422, "{wrong}");
    }
    shop.get("member 7", "/admin/order").await.refused(403, "forbidden");
    shop.get("", "/admin/order").await.refused(401, "token_missing");
    let memory = Shop::with_tea(1).await;
    memory.get(who, "/admin/order").await.refused(501, "no_store");
}

#[tokio::test]
async fn personal_data_is_masked_and_every_look_at_it_is_recorded_first() {
    let (shop, _dir) = with_store().await;
    let number = order(&shop, 7, "a").await;
    let get = async |who: &str, path: String| shop.get(who, &path).await;
    let masked = get("admin support", format!("/admin/order/{number}")).await;
    assert_eq!(masked.expect(200)["receiver"]["phone"], "138****5678");
    assert!(is_hidden(&String::from_utf8(masked.bytes).unwrap()));
    assert_eq!(acts(&shop, "order.reveal").await.len(), 0);

    let whole = get("admin support", format!("/admin/order/{number}?reveal=true")).await.expect(200);
    assert_eq!((&whole["receiver"]["name"], &whole["receiver"]["phone"]), (&json!(NAME), &json!(PHONE)));
    let recorded = acts(&shop, "order.reveal").await;
    assert_eq!((recorded.len(), &recorded[0]["target"]), (1, &json!(number)));
    get(OPERATIONS, format!("/admin/order/{number}?reveal=true")).await.refused(403, "forbidden");

    // Many at once are for the scope `security` alone.
    let batch = json!({"orders": [number], "reveal": true});
    for (who, status) in [("admin support", 403), ("admin support security", 200)] {
        assert_eq!(shop.post(who, "/admin/orders/batch_get", batch.clone()).await.status, status, "{who}");
        assert_eq!(get(who, "/admin/order?reveal=true".into()).await.status, status, "{who}");
    }
    let list = get("admin support security", "/admin/order?reveal=true".into()).await;
    assert!(!is_hidden(&String::from_utf8(list.bytes).unwrap()));
    let list = get("admin support security", "/admin/order".into()).await;
    assert!(is_hidden(&String::from_utf8(list.bytes).unwrap()));
    assert_eq!(acts(&shop, "order.reveal").await.len(), 4);
}

#[tokio::test]
async fn a_batch_answers_for_each_order_by_itself() {
    let (shop, _dir) = with_store().await;
    let number = order(&shop, 7, "a").await;
    let batch = json!({"orders": ["1", number, "external:T-7-a"]});
    let answer = shop.post("admin auditor", "/admin/orders/batch_get", batch).await;
    assert!(is_hidden(std::str::from_utf8(&answer.bytes).unwrap()));
    let results = answer.expect(200)["results"].clone();
    assert_eq!(
        (&results[0]["asked"], &results[0]["problem"]["code"]),
        (&json!("1"), &json!("order_not_found"))
    );
    assert_eq!(results[1]["order"]["order_no"], json!(number));
    assert_eq!(results[2]["order"]["order_no"], json!(number));
    for (orders, code) in [
        (json!([]), "out_of_range"),
        (json!(vec!["1"; 201]), "out_of_range"),
        (json!(["T-7-a"]), "invalid_body"),
        (json!([12]), "invalid_body"),
    ] {
        let answer = shop.post("admin auditor", "/admin/orders/batch_get", json!({"orders": orders})).await;
        answer.refused(422, code);
    }
    let shown = shop.get("admin auditor", "/admin/order/external:T-7-a").await.expect(200);
    assert_eq!(
        (&shown["order_no"], &shown["timeline"][0]["event"]),
        (&json!(number), &json!("OrderCreated"))
    );
    shop.get("admin auditor", "/admin/order/external:T-9").await.refused(404, "order_not_found");
    shop.get("admin auditor", "/admin/order/T-7-a").await.refused(422, "invalid_path");
}

#[tokio::test]
async fn a_batch_ships_each_order_once_and_says_what_became_of_each() {
    let shop = Shop::with_tea(10).await;
    let (first, second) = (order(&shop, 7, "a").await, order(&shop, 8, "b").await);
    pay(&shop, &first).await;
    let item =
        |order: &str, tracking: &str| json!({"order": order, "carrier": "sf", "tracking_no": tracking});
    let batch = json!({"shipments": [item(&second, "SF2"), item(&first, "SF1"), item("1", "SF3")]});
    let ship = async |body: Value| shop.post("admin warehouse", "/admin/orders/batch_ship", body).await;
    let answer = ship(batch.clone()).await.expect(200);
    assert_eq!((&answer["shipped"], &answer["refused"]), (&json!(1), &json!(2)));
    assert_eq!(answer["results"][0]["problem"]["code"], "wrong_status");
    assert_eq!(answer["results"][1]["shipped"]["outcome"], "shipped");
    assert_eq!(answer["results"][2]["problem"]["code"], "order_not_found");
    pay(&shop, &second).await;
    let answer = ship(batch).await.expect(200);
    assert_eq!(answer["results"][0]["shipped"]["outcome"], "shipped");
    assert_eq!(answer["results"][1]["shipped"]["outcome"], "already");
    assert_eq!(
        acts(&shop, "order.ship").await.len(),
        3,
        "nothing was asked of the order that was there already"
    );
    let other = ship(json!({"shipments": [item(&first, "SF9")]})).await.expect(200);
    assert_eq!(other["results"][0]["problem"]["code"], "wrong_status");

    let twice = json!({"shipments": [item(&first, "SF1"), item(&first, "SF2")]});
    assert_eq!(ship(twice).await.refused(422, "invalid_value")["field"], "shipments[1].order");
    shop.post(OPERATIONS, "/admin/orders/batch_ship", json!({"shipments": []}))
        .await
        .refused(403, "forbidden");
}

#[tokio::test]
async fn an_order_ships_package_by_package_or_as_a_whole() {
    let shop = Shop::with_tea(10).await;
    let lines = json!([{"sku_id": "42", "quantity": 2}]);
    let body = json!({"request_id": "a", "lines": lines});
    let receipt = shop.post("member 7", "/api/order/submit", body).await.expect(201);
    let number = receipt["order_no"].as_str().unwrap().to_owned();
    pay(&shop, &number).await;
    let ship =
        async |body: Value| shop.post("admin warehouse", &format!("/admin/order/{number}/ship"), body).await;
    let one = json!({"carrier": "sf", "tracking_no": "1", "lines": [{"sku_id": "42", "quantity": 1}]});
    assert_eq!(ship(one.clone()).await.expect(200)["status"], "partially_shipped");
    assert_eq!(ship(one.clone()).await.expect(200)["status"], "shipped");
    assert_eq!(ship(one).await.status, 409);
    let shown = shop.get("admin warehouse", &format!("/admin/order/{number}")).await.expect(200);
    assert_eq!(shown["packages"].as_array().map(Vec::len), Some(2));
    assert_eq!(acts(&shop, "order.ship_package").await.len(), 3);
    shop.post(OPERATIONS, &format!("/admin/order/{number}/ship"), json!({})).await.refused(403, "forbidden");
}

#[tokio::test]
async fn the_shop_cancels_notes_and_changes_with_a_record_of_each() {
    let shop = Shop::with_tea(10).await;
    let number = order(&shop, 7, "a").await;
    let act = async |who: &str, what: &str, body: Value| {
        shop.post(who, &format!("/admin/order/{number}/{what}"), body).await
    };
    let price = json!({"pay_amount": 15_000, "freight": 0});
    act(OPERATIONS, "price", price).await.refused(422, "reason_missing");
    let price = json!({"pay_amount": 15_000, "freight": 0, "reason": "agreed"});
    assert_eq!(act("admin finance", "price", price).await.expect(200)["pay_amount"], 15_000);
    let below = json!({"pay_amount": 100, "freight": 200, "reason": "agreed"});
    act("admin finance", "price", below).await.refused(422, "total_below_freight");
    act("admin support", "remark", json!({"remark": "gift", "flag": 3})).await.expect(200);
    act("admin support", "remark", json!({"remark": "gift", "flag": 10})).await.refused(422, "out_of_range");
    let receiver = json!({"name": "李四", "phone": "13900001111", "address": "新街 2 号"});
    act("admin support", "address", json!({"receiver": receiver})).await.expect(200);
    act("admin warehouse", "address", json!({"receiver": receiver})).await.refused(403, "forbidden");
    let shown = shop.get("admin support", &format!("/admin/order/{number}")).await.expect(200);
    assert_eq!((&shown["seller_remark"], &shown["flag"]), (&json!("gift"), &json!(3)));
    assert_eq!(shown["receiver"]["name"], "李*");
    act("admin support", "cancel", json!({})).await.refused(422, "reason_missing");
    act("admin warehouse", "cancel", json!({"reason": "x"})).await.refused(403, "forbidden");
    assert_eq!(
        act("admin support", "cancel", json!({"reason": "call"})).await.expect(200)["status"],
        "cancelled"
    );
    for (action, count) in
        [("order.price", 2), ("order.remark", 2), ("order.address", 1), ("order.cancel", 1)]
    {
        let recorded = acts(&shop, action).await;
        assert_eq!(recorded.len(), count, "{action}");
        assert_eq!(recorded[0]["target"], json!(number));
        assert!(is_hidden(&recorded[0].to_string()) && !recorded[0].to_string().contains("李四"));
    }
}

#[tokio::test]
async fn payments_that_were_begun_are_listed_until_they_are_paid() {
    let (shop, _dir) = with_store().await;
    let number = order(&shop, 7, "a").await;
    order(&shop, 8, "b").await;
    let parsed: stockade::OrderNo = number.parse().unwrap();
    shop.engine.begin_payment(stockade::Caller::Operator, parsed, "wechat").await.unwrap();
    let list = async || shop.get("admin finance", "/admin/payments?state=started").await.expect(200);
    let started = list().await;
    assert_eq!(started["payments"].as_array().map(Vec::len), Some(1));
    assert_eq!(started["payments"][0]["attempts"][0]["pay_no"], format!("{number}-1"));
    pay(&shop, &number).await;
    assert_eq!(list().await["payments"], json!([]));
    shop.get("admin finance", "/admin/payments?state=done").await.refused(422, "invalid_value");
    shop.get("admin finance", "/admin/payments").await.refused(422, "invalid_query");
    shop.get("admin warehouse", "/admin/payments?state=started").await.refused(403, "forbidden");
}
