//! Orders that are placed: looking at one, lists of them, and what their member may do.

use serde_json::{Value, json};
use stockade::runtime::clock::Clock;
use stockade::{
    Caller, Config, Durability, Money, OrderNo, Payment, Personal, PriceChange, ShipPackage, Shipment,
};

use crate::support::Shop;

const START_MS: u64 = 1_790_000_000_000;

/// Places an order of member 7 and gives its number.
async fn place(shop: &Shop, name: &str) -> OrderNo {
    let order = json!({"request_id": name, "lines": [{"sku_id": "42", "quantity": 1, "ext": {"gift": true}}],
        "remark": "ring twice", "external_no": format!("web-{name}"), "ext": {"from": "app"}});
    let receipt = shop.post("member 7", "/api/order/submit", order).await.expect(201);
    receipt["order_no"].as_str().and_then(|text| text.parse().ok()).expect("a receipt has a number")
}

async fn pay(shop: &Shop, order_no: OrderNo) {
    let view = shop.engine.order(Caller::Operator, order_no).await.expect("it is there");
    let payment = Payment {
        order: order_no.into(),
        channel: "wechat".into(),
        merchant: "shop-1".into(),
        transaction_id: order_no.to_string().into(),
        amount: view.pay_amount,
    };
    shop.engine.pay(payment).await.expect("it is taken");
}

async fn command(shop: &Shop, order_no: OrderNo, what: &str) -> crate::support::Answer {
    shop.post("member 7", &format!("/api/order/{order_no}/{what}"), json!({})).await
}

fn numbers(list: &Value) -> Vec<String> {
    let orders = list["orders"].as_array().expect("a list has orders").iter();
    orders.map(|order| order["order_no"].as_str().expect("an order has a number").to_owned()).collect()
}

#[tokio::test]
async fn an_order_is_shown_with_everything_its_page_needs() {
    let (clock, time) = Clock::manual(START_MS);
    let shop = Shop::with(Config::new("").durability(Durability::Memory).clock(clock)).await;
    stockade::examples::stock_tea(&shop.engine, 5).await.unwrap();
    let order_no = place(&shop, "a").await;
    shop.engine.remark_order(order_no, "a regular", 3).await.unwrap();
    let change = PriceChange { pay_amount: Money::from_minor(19_000), freight: Money::from_minor(800) };
    shop.engine.change_price(order_no, change).await.unwrap();
    time.advance(1_000);
    pay(&shop, order_no).await;
    let order = shop.get("member 7", &format!("/api/order/{order_no}")).await.expect(200);
    let is = |field: &str, value: Value| assert_eq!(order[field], value, "{field} of {order}");
    is("order_no", json!(order_no.to_string()));
    is("member_id", json!("7"));
    is("order_type", json!("normal"));
    is("status", json!("paid"));
    is("created_at", json!("2026-09-21T14:13:20.000Z"));
    is("created_at_ms", json!(START_MS));
    is("remark", json!("ring twice"));
    is("external_no", json!("web-a"));
    is("ext", json!({"from": "app"}));
    is(
        "amounts",
        json!({"goods_amount": 19_900, "discount_amount": 0, "adjustment": -1_700, "freight": 800,
            "pay_amount": 19_000}),
    );
    is(
        "lines",
        json!([{"sku_id": "42", "code": "TEA-50", "title": "Green tea, 50 g", "quantity": 1, "unit_price": 19_900,
            "amount": 19_900, "discount": 0, "adjustment": -1_700, "share": 18_200, "ext": {"gift": true}}]),
    );
    let events: Vec<_> = order["timeline"].as_array().unwrap().iter().map(|entry| &entry["event"]).collect();
    assert_eq!(events, ["OrderCreated", "OrderRemarked", "PriceChanged", "OrderPaid"]);
    assert_eq!(order["timeline"][3]["at_ms"], START_MS + 1_000);
    for shops_own in ["seller_remark", "flag", "price_source"] {
        assert!(order.get(shops_own).is_none(), "{shops_own} is the shop's own");
    }
    assert!(order["timeline"][0].get("position").is_none());
}

#[tokio::test]
async fn packages_show_how_they_travel_and_an_arrived_order_is_confirmed() {
    let shop = Shop::with_tea(5).await;
    let order_no = place(&shop, "a").await;
    command(&shop, order_no, "confirm").await.refused(409, "wrong_status");
    pay(&shop, order_no).await;
    let shipment = Shipment { carrier: "sf".into(), tracking_no: "SF1".into() };
    let package = ShipPackage { shipment, lines: vec![(42.into(), 1)] };
    shop.engine.ship_package(order_no, package).await.unwrap();
    let order = shop.get("member 7", &format!("/api/order/{order_no}")).await.expect(200);
    assert_eq!(order["shipment"], json!({"carrier": "sf", "tracking_no": "SF1"}));
    assert_eq!(order["packages"][0]["lines"], json!([{"sku_id": "42", "quantity": 1}]));

    let confirmed = command(&shop, order_no, "confirm").await.expect(200);
    assert_eq!(confirmed["status"], "completed");
    assert_eq!(command(&shop, order_no, "confirm").await.expect(200), confirmed);
    let address = json!({"receiver": {"name": "李四", "phone": "1", "address": "x"}});
    let path = format!("/api/order/{order_no}/address");
    shop.post("member 7", &path, address).await.refused(409, "wrong_status");
}

#[tokio::test]
async fn going_to_pay_gives_the_trade_a_number_and_moves_the_deadline_once() {
    let shop = Shop::with_tea(5).await;
    let order_no = place(&shop, "a").await;
    let path = format!("/api/order/{order_no}/pay");
    let placed = shop.engine.order(Caller::Operator, order_no).await.unwrap();
    let pay = async |body| shop.post("member 7", &path, body).await;
    let first = pay(json!({"channel": "wechat"})).await.expect(200);
    assert_eq!(first["pay_no"], format!("{order_no}-1"));
    assert_eq!(first["amount"], 19_900);
    assert!(first["pay_before_ms"].as_u64().unwrap() > placed.deadline_ms);
    let second = pay(json!({"channel": "alipay"})).await.expect(200);
    assert_eq!(second["pay_no"], format!("{order_no}-2"));
    assert_eq!(second["pay_before_ms"], first["pay_before_ms"]);
    pay(json!({"channel": ""})).await.refused(422, "field_empty");
    pay(json!({"channel": "x".repeat(65)})).await.refused(422, "field_too_long");

    let shown = shop.get("member 7", &format!("/api/order/{order_no}")).await.expect(200);
    let channels: Vec<_> = shown["attempts"].as_array().unwrap().iter().map(|a| &a["channel"]).collect();
    assert_eq!(channels, ["wechat", "alipay"]);
    command(&shop, order_no, "cancel").await.expect(200);
    pay(json!({"channel": "wechat"})).await.refused(409, "wrong_status");
}

#[tokio::test]
async fn an_overdue_order_is_not_paid_any_more() {
    let (clock, time) = Clock::manual(START_MS);
    let shop = Shop::with(Config::new("").durability(Durability::Memory).clock(clock)).await;
    stockade::examples::stock_tea(&shop.engine, 5).await.unwrap();
    let order_no = place(&shop, "a").await;
    let view = shop.engine.order(Caller::Operator, order_no).await.unwrap();
    time.advance(view.deadline_ms - START_MS);
    let answer =
        shop.post("member 7", &format!("/api/order/{order_no}/pay"), json!({"channel": "wechat"})).await;
    let problem = answer.expect(409);
    // It may be closed already.
    let code = problem["code"].as_str().unwrap();
    assert!(["order_overdue", "wrong_status"].contains(&code), "{problem}");
}

#[tokio::test]
async fn a_cancelled_order_gives_its_units_back() {
    let shop = Shop::with_tea(1).await;
    let order_no = place(&shop, "a").await;
    assert_eq!(shop.get("", "/api/stock/42").await.expect(200)["in_stock"], false);
    let cancelled = command(&shop, order_no, "cancel").await.expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(command(&shop, order_no, "cancel").await.expect(200), cancelled);
    assert_eq!(shop.get("", "/api/stock/42").await.expect(200)["available"], 1);
    let shown = shop.get("member 7", &format!("/api/order/{order_no}")).await.expect(200);
    assert_eq!(shown["close_reason"], "member");

    let paid = place(&shop, "b").await;
    pay(&shop, paid).await;
    command(&shop, paid, "cancel").await.refused(409, "wrong_status");
}

#[tokio::test]
async fn an_address_changes_while_nothing_has_left() {
    let shop = Shop::with_tea(1).await;
    let order_no = place(&shop, "a").await;
    let receiver = json!({"name": "李四", "phone": "13900000000", "province": "", "city": "北京市", "district": "",
        "address": "长安街 1 号"});
    let path = format!("/api/order/{order_no}/address");
    shop.post("member 7", &path, json!({"receiver": receiver})).await.expect(200);
    let shown = shop.get("member 7", &format!("/api/order/{order_no}")).await.expect(200);
    assert_eq!(shown["receiver"], receiver);
    let problem = shop.post("member 7", &path, json!({"receiver": {"name": "李四"}})).await;
    assert_eq!(problem.refused(422, "invalid_body")["field"], "receiver");
    shop.post("member 7", &path, json!({"receiver": receiver, "more": 1})).await.refused(422, "invalid_body");
    assert_eq!(shop.get("member 7", &format!("/api/order/{order_no}")).await.expect(200), shown);
}

#[tokio::test]
async fn personal_data_in_another_form_is_shown_by_its_size_alone() {
    let shop = Shop::with_tea(1).await;
    let order_no = place(&shop, "a").await;
    let personal = Personal::Plain(b"5 Tea Lane".as_slice().into());
    shop.engine.change_address(Caller::Operator, order_no, personal).await.unwrap();
    let shown = shop.get("member 7", &format!("/api/order/{order_no}")).await.expect(200);
    assert_eq!(shown["receiver"], json!({"opaque": true, "sealed": false, "bytes": 10}));
}

#[tokio::test]
async fn a_list_goes_by_status_type_time_and_external_number() {
    let (clock, time) = Clock::manual(START_MS);
    let shop = Shop::with(Config::new("").durability(Durability::Memory).clock(clock)).await;
    stockade::examples::stock_tea(&shop.engine, 10).await.unwrap();
    let mut placed = Vec::new();
    for name in ["a", "b", "c"] {
        placed.push(place(&shop, name).await);
        time.advance(1_000);
    }
    pay(&shop, placed[1]).await;
    command(&shop, placed[2], "cancel").await.expect(200);
    let other =
        json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": 1}], "external_no": "web-x"});
    shop.post("member 8", "/api/order/submit", other).await.expect(201);

    let list = async |query: &str| {
        let list = shop.get("member 7", &format!("/api/order/list?{query}")).await.expect(200);
        let numbers = numbers(&list);
        let at =
            |number: &String| placed.iter().position(|order_no| order_no.to_string() == *number).unwrap();
        numbers.iter().map(at).collect::<Vec<_>>()
    };
    assert_eq!(list("").await, [2, 1, 0]);
    assert_eq!(list("status=pending").await, [0]);
    assert_eq!(list("status=pending,cancelled").await, [2, 0]);
    assert_eq!(list("status=paid&status=cancelled").await, [2, 1]);
    assert_eq!(list("type=seckill").await, [] as [usize; 0]);
    assert_eq!(list("type=normal&status=paid").await, [1]);
    assert_eq!(list(&format!("created_from={}", START_MS + 1_000)).await, [2, 1]);
    assert_eq!(list("created_from=2026-09-21T14:13:21Z&created_until=2026-09-21T14:13:22Z").await, [1]);
    assert_eq!(list("external_no=web-b").await, [1]);
    assert_eq!(list("external_no=web-x").await, [] as [usize; 0], "it is another member's");
    assert_eq!(list("external_no=web-y").await, [] as [usize; 0]);

    let counts = shop.get("member 7", "/api/order/list?counts=true&status=paid").await.expect(200);
    let by_status = json!({"pending": 1, "paid": 1, "partially_shipped": 0, "shipped": 0, "completed": 0,
        "cancelled": 1});
    let by_type = json!({"normal": 3, "seckill": 0, "group_buy": 0});
    let expected = json!({"by_status": by_status, "by_type": by_type, "total": 3, "complete": true});
    assert_eq!(counts["counts"], expected);
    assert!(counts["orders"][0].get("timeline").is_none(), "a list shows no timelines");
}

#[tokio::test]
async fn a_list_is_paged_by_cursor_and_by_number_alike() {
    let shop = Shop::with_tea(10).await;
    for name in ["a", "b", "c", "d", "e"] {
        place(&shop, name).await;
    }
    let list =
        async |query: String| shop.get("member 7", &format!("/api/order/list?{query}")).await.expect(200);
    let all = numbers(&list(String::new()).await);
    assert_eq!(all.len(), 5);
    let (mut by_cursor, mut cursor) = (Vec::new(), String::new());
    for number in 1..=3 {
        let page = list(format!("size=2{cursor}")).await;
        assert_eq!(numbers(&page), numbers(&list(format!("size=2&page={number}")).await));
        by_cursor.extend(numbers(&page));
        cursor = page["next"].as_str().map(|next| format!("&cursor={next}")).unwrap_or_default();
        assert_eq!(cursor.is_empty(), number == 3);
    }
    assert_eq!(by_cursor, all);
    assert_eq!(numbers(&list("size=2&page=4".into()).await), [] as [&str; 0]);
    assert_eq!(numbers(&list("size=100&page=10".into()).await), [] as [&str; 0]);
}

#[tokio::test]
async fn a_list_says_what_is_wrong_with_its_query() {
    let shop = Shop::with_tea(1).await;
    for (query, field) in [
        ("size=0", "size"),
        ("size=101", "size"),
        ("size=x", "size"),
        ("size=99999999999999999999999", "size"),
        ("page=0", "page"),
        ("page=51", "page"),
        ("page=11&size=100", "page"),
        ("page=1&cursor=1", "page"),
        ("cursor=nonsense", "cursor"),
        ("cursor=", "cursor"),
        ("status=gone", "status"),
        ("status=%FF", "status"),
        ("status=", "status"),
        ("created_from=yesterday", "created_from"),
        ("created_until=2026-13-01", "created_until"),
        ("counts=perhaps", "counts"),
        ("size=1&size=2", "size"),
        ("limit=1", "query"),
        ("external_no=a&status=paid", "external_no"),
    ] {
        let answer = shop.get("member 7", &format!("/api/order/list?{query}")).await;
        assert_eq!(answer.refused(422, "invalid_value")["field"], field, "{query}");
    }
    shop.get("member 7", "/api/order/list?type=auction").await.refused(422, "unknown_order_type");
    shop.get("", "/api/order/list").await.refused(401, "token_missing");
}
