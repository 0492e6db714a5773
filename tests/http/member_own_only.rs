//! Another member's things answer exactly as things that don't exist (R14).

use axum::http::header;
use serde_json::{Value, json};

use crate::support::{Answer, Shop};

/// An answer without what names the request that it is for.
fn nameless(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let mut body = answer.json();
    for place in ["/instance", "/error/instance"] {
        if let Some(instance) = body.pointer_mut(place) {
            *instance = Value::Null;
        }
    }
    let named = |name: &header::HeaderName| name != "x-request-id" && name != header::CONTENT_LENGTH;
    let headers = answer.headers.iter().filter(|(name, _)| named(name));
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = headers.map(|(name, value)| (name.to_string(), text(value)));
    (answer.status.as_u16(), headers.collect(), body)
}

#[tokio::test]
async fn anothers_order_answers_as_one_that_is_not_there() {
    let shop = Shop::empty().await;
    let own = stockade::examples::paid_order(&shop.engine).await.expect("it is paid");
    let application = json!({"request_id": "r", "amount": 5});
    let path = format!("/api/order/{own}/refund");
    shop.post("member 7", &path, application.clone()).await.expect(201);
    let before = shop.engine.state_hash().await.unwrap();

    // In the same slot, so that no part of the number tells them apart, and in another one.
    for nobodys in [own.get() ^ (1 << 30), 5] {
        let both = async |path: &str| {
            let theirs = shop.get("member 8", &path.replace("{}", &own.to_string())).await;
            let nothing = shop.get("member 8", &path.replace("{}", &nobodys.to_string())).await;
            assert_eq!(nameless(&theirs), nameless(&nothing), "{path}");
            theirs
        };
        both("/api/order/{}").await.refused(404, "order_not_found");
        both("/api/refund/{}-1").await.refused(404, "refund_not_found");

        let address = json!({"receiver": {"name": "a", "phone": "1", "address": "b"}});
        for (path, body, code) in [
            ("/api/order/{}/pay", json!({"channel": "wechat"}), "order_not_found"),
            ("/api/order/{}/cancel", json!({}), "order_not_found"),
            ("/api/order/{}/confirm", json!({}), "order_not_found"),
            ("/api/order/{}/address", address, "order_not_found"),
            ("/api/order/{}/refund", application.clone(), "order_not_found"),
            ("/api/refund/{}-1/withdraw", json!({}), "refund_not_found"),
        ] {
            let theirs = shop.post("member 8", &path.replace("{}", &own.to_string()), body.clone()).await;
            let nothing = shop.post("member 8", &path.replace("{}", &nobodys.to_string()), body).await;
            theirs.refused(404, code);
            assert_eq!(nameless(&theirs), nameless(&nothing), "{path}");
        }
    }
    assert_eq!(shop.engine.state_hash().await.unwrap(), before);
    let list = shop.get("member 8", "/api/order/list?counts=true").await.expect(200);
    assert_eq!((&list["orders"], &list["counts"]["total"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn anothers_result_answers_as_a_number_that_nobody_was_given() {
    let shop = Shop::with_tea(1).await;
    let order = json!({"request_id": "a", "lines": [{"sku_id": "42", "quantity": 1}]});
    let placed = shop.post("member 7", "/api/order/submit", order).await.expect(201);
    let number: u64 = placed["order_no"].as_str().unwrap().parse().unwrap();
    let mut asked = 0;
    for member in 8..10_000_u64 {
        let result = async |number| {
            shop.get(&format!("member {member}"), &format!("/api/order/result?order_no={number}")).await
        };
        let (theirs, nothing) = (result(number).await, result(number ^ (1 << 30)).await);
        assert_eq!(nameless(&theirs), nameless(&nothing));
        // Members of the same slot are asked about more: they could have the number.
        asked += u32::from(theirs.status == 200);
        if asked == 2 {
            return;
        }
    }
    panic!("no member shares the slot");
}
