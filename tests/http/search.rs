//! Order search over HTTP: by words, filters and sequences; a member's own; what can't be read; the index's status.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::{Method, header};
use serde_json::{Value, json};
use stockade::{Config, SearchConfig, SearchMode};

use crate::admin_goods::{OPERATIONS, acts};
use crate::admin_orders::{is_hidden, order, pay};
use crate::process::PATIENCE;
use crate::support::{Shop, request};

/// Everything in it has more than one byte.
const NAME: &str = "张三丰";

/// A shop that is searched in this mode, and its directory.
async fn searched(mode: SearchMode) -> (Shop, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let search = SearchConfig { mode, refresh_ms: 10, ..SearchConfig::default() };
    let shop = Shop::with(Config::new(dir.path().join("shop")).ballast_bytes(0).search(search)).await;
    stockade::examples::stock_tea(&shop.engine, 1_000).await.expect("tea is on sale");
    if mode != SearchMode::Off {
        // The first, empty index is being built.
        wait_for("the index", async || {
            (shop.get(OPERATIONS, "/admin/order?q=tea").await.status == 200).then_some(())
        })
        .await;
    }
    (shop, dir)
}

/// Text as a query string may have it.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded + &char::from(byte).to_string()
        } else {
            encoded + &format!("%{byte:02X}")
        }
    })
}

/// Asks again until the answer is there.
async fn wait_for<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answer = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{what} doesn't come"))
}

fn numbers(list: &Value) -> Vec<String> {
    let orders = list["orders"].as_array().expect("a list");
    orders.iter().map(|order| order["order_no"].as_str().expect("a number").to_owned()).collect()
}

async fn ask(shop: &Shop, who: &str, path: &str, q: &str, more: &str) -> Value {
    let path = format!("{path}?fresh=true&q={}{more}", encoded(q));
    shop.get(who, &path).await.expect(200)
}

#[tokio::test]
async fn orders_are_found_by_words_and_shown_masked() {
    let (shop, _dir) = searched(SearchMode::On).await;
    let first = order(&shop, 7, "a").await;
    let second = order(&shop, 8, "b").await;
    let both: BTreeSet<_> = [first.clone(), second.clone()].into();
    for q in
        [NAME, "三丰", "phone:5678", "科技园", "green", "tea -pot", "receiver:张三丰 title:tea", "“科技园”"]
    {
        let list = ask(&shop, "admin support", "/admin/order", q, "&counts=true").await;
        assert_eq!(numbers(&list).into_iter().collect::<BTreeSet<_>>(), both, "{q}");
        assert_eq!((&list["source"], &list["counts"]["total"]), (&json!("index"), &json!(2)), "{q}");
        assert!(is_hidden(&list.to_string()), "{q}");
    }
    for q in ["李四", "phone:8765", "coffee", "张三丰 member:9"] {
        let list = ask(&shop, "admin support", "/admin/order", q, "").await;
        assert_eq!((numbers(&list).len(), &list["next"]), (0, &Value::Null), "{q}");
    }
    let one = ask(&shop, "admin support", "/admin/order", NAME, "&member_id=8").await;
    assert_eq!(numbers(&one), [second], "filters and words must both hold");
    let whole = ask(&shop, "admin support security", "/admin/order", NAME, "&reveal=true").await;
    assert!(!is_hidden(&whole.to_string()));
    assert_eq!(acts(&shop, "order.reveal").await.len(), 1);
    let refused = shop.get("admin support", &format!("/admin/order?reveal=true&q={}", encoded(NAME))).await;
    refused.refused(403, "forbidden");
}

#[tokio::test]
async fn pages_of_every_sequence_hold_while_orders_arrive() {
    let (shop, _dir) = searched(SearchMode::Fallback).await;
    let mut all = BTreeSet::new();
    for n in 0..7 {
        let number = order(&shop, n, "a").await;
        if n % 2 == 0 {
            pay(&shop, &number).await;
        }
        all.insert(number);
    }
    for sort in ["newest", "oldest", "paid_newest", "paid_oldest", "amount_highest", "amount_lowest"] {
        let path = format!("&sort={sort}&limit=3&counts=true&created_until=2100-01-01");
        let mut list = ask(&shop, "admin auditor", "/admin/order", "type:normal", &path).await;
        let mut found = numbers(&list);
        let total = list["counts"]["total"].as_u64().expect("a count");
        assert_eq!(total, list["counts"]["by_type"]["normal"].as_u64().expect("a count"));
        let mut pages = 1;
        while let Some(next) = list["next"].as_str().map(str::to_owned) {
            // Whoever comes now is somewhere else, or found as well; nobody is lost or found twice.
            order(&shop, 100 + pages, sort).await;
            let path = format!("&sort={sort}&limit=3&created_until=2100-01-01&after={next}");
            list = ask(&shop, "admin auditor", "/admin/order", "type:normal", &path).await;
            found.extend(numbers(&list));
            pages += 1;
            assert!(pages < 60, "it ends");
        }
        let distinct: BTreeSet<_> = found.iter().cloned().collect();
        assert_eq!(distinct.len(), found.len(), "{sort}: an order comes twice");
        assert!(all.is_subset(&distinct), "{sort}: an order is missing");
        all.extend(distinct);
    }
    let list = ask(&shop, "admin auditor", "/admin/order", "", "&limit=2").await;
    let next = list["next"].as_str().expect("there is more").to_owned();
    let other = shop.get("admin auditor", &format!("/admin/order?q=&sort=paid_newest&after={next}")).await;
    assert_eq!(other.status, 422, "a cursor belongs to its sequence");
    for wrong in ["x", "1", &next[..next.len() - 1]] {
        let refused = shop.get("admin auditor", &format!("/admin/order?q=&after={wrong}")).await;
        assert_eq!(refused.refused(422, "invalid_value")["field"], "after");
    }
}

#[tokio::test]
async fn a_member_searches_their_own_whatever_they_ask() {
    let (shop, _dir) = searched(SearchMode::On).await;
    let own = order(&shop, 7, "a").await;
    let other = order(&shop, 8, "b").await;
    for q in ["tea", "张三丰", "status:pending", "", "created:2020-01-01.."] {
        let list = ask(&shop, "member 7", "/api/order/list", q, "&counts=true").await;
        assert_eq!(numbers(&list), [own.as_str()], "{q}");
        assert_eq!((&list["source"], &list["counts"]["total"]), (&json!("index"), &json!(1)), "{q}");
        assert!(is_hidden(&list.to_string()), "{q}");
    }
    for q in [
        "member:8",
        "-member:7",
        "NOT member:7",
        "member:7 OR member:8",
        "(tea OR member:8) OR -tea",
        "external:T-8-b",
        &format!("order:{other}"),
        &other,
        "-tea OR NOT (member:7)",
        "张三丰 OR phone:5678",
        "amount:0.. OR member:8",
    ] {
        let list = ask(&shop, "member 7", "/api/order/list", q, "&counts=true&sort=amount_lowest").await;
        let found = numbers(&list);
        assert!(found.iter().all(|number| *number == own), "{q} found {found:?}");
        assert!(!list.to_string().contains(&other), "{q}");
        assert_eq!(list["counts"]["total"], found.len(), "{q} counts no others'");
    }
    // What only the shop sees is not searched for them.
    let path = format!("/admin/order/{own}/remark");
    shop.post("admin support", &path, json!({"remark": "troublemaker", "flag": 3})).await.expect(200);
    for q in ["troublemaker", "note:troublemaker", "flag:3"] {
        assert_eq!(numbers(&ask(&shop, "member 7", "/api/order/list", q, "").await).len(), 0, "{q}");
        assert_eq!(numbers(&ask(&shop, "admin support", "/admin/order", q, "").await), [own.as_str()], "{q}");
    }
    for wrong in
        ["q=tea&page=1", "sort=oldest&external_no=T-7-a", "q=tea&q=tea", "sort=up", "q=tea&zone=x", "zone=x"]
    {
        assert_eq!(shop.get("member 7", &format!("/api/order/list?{wrong}")).await.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn a_query_that_cant_be_read_is_refused_at_its_place_and_not_repeated() {
    let (shop, _dir) = searched(SearchMode::Off).await;
    let cases = [
        ("张三丰 status:lost", 11),
        ("张三丰 (tea", 8),
        ("tea 张三丰 colour:red", 8),
        ("\"张三丰", 0),
        ("member:张三丰", 7),
        ("张三丰 amount:1.5", 11),
    ];
    for (q, at) in cases {
        for (who, path) in [("admin support", "/admin/order"), ("member 7", "/api/order/list")] {
            let problem = shop.get(who, &format!("{path}?q={}", encoded(q))).await;
            let text = String::from_utf8(problem.bytes.clone()).expect("text");
            assert!(!text.contains(NAME), "{text}");
            let problem = problem.refused(422, "search_syntax");
            assert_eq!((&problem["at"], &problem["field"]), (&json!(at), &json!("q")), "{q}: {problem}");
            let expected = problem["expected"].as_str().expect("what could stand there");
            assert!(problem["detail"].as_str().expect("words").contains(expected), "{problem}");
        }
        let chinese = request(Method::GET, "admin support", &format!("/admin/order?q={}", encoded(q)));
        let chinese = chinese.header(header::ACCEPT_LANGUAGE, "zh-CN").body(axum::body::Body::empty());
        let chinese = shop.send(chinese.expect("a request")).await.refused(422, "search_syntax");
        let expected = chinese["expected"].as_str().expect("what could stand there");
        assert!(!expected.is_ascii() && chinese["detail"].as_str().expect("words").contains(expected));
        assert_eq!(chinese["at"], at);
    }
    let long = encoded(&"茶 ".repeat(600));
    shop.get("admin support", &format!("/admin/order?q={long}")).await.refused(422, "search_syntax");
    let kept = shop.get("admin support", "/admin/refusals?limit=500&code=search_syntax").await;
    let kept = String::from_utf8(kept.bytes).expect("text");
    assert!(kept.contains("search_syntax") && !kept.contains(NAME), "{kept}");
    let metrics = String::from_utf8(shop.get("service", "/metrics").await.bytes).expect("text");
    assert!(!metrics.contains(NAME));
}

#[tokio::test]
async fn without_an_index_the_store_answers_filters_and_says_so() {
    let (shop, _dir) = searched(SearchMode::Off).await;
    let first = order(&shop, 7, "a").await;
    let second = order(&shop, 8, "b").await;
    pay(&shop, &second).await;
    let list =
        ask(&shop, "admin support", "/admin/order", "status:paid OR member:7", "&sort=oldest&counts=true")
            .await;
    assert_eq!(numbers(&list), [first.clone(), second]);
    assert_eq!((&list["source"], &list["counts"]["by_status"]["paid"]), (&json!("store"), &json!(1)));
    let own = ask(&shop, "member 7", "/api/order/list", "status:pending", "").await;
    assert_eq!((numbers(&own), &own["source"]), (vec![first], &json!("store")));
    for (query, code) in
        [("q=tea", "search_words_unavailable"), ("sort=paid_newest", "search_sort_unavailable")]
    {
        for (who, path) in [("admin support", "/admin/order"), ("member 7", "/api/order/list")] {
            shop.get(who, &format!("{path}?{query}")).await.refused(501, code);
        }
    }
    let status = shop.get(OPERATIONS, "/admin/search/status").await.expect(200);
    assert_eq!((&status["mode"], &status["is_on"]), (&json!("off"), &json!(false)));
    assert!(status["answered"]["store"].as_u64().expect("a count") >= 2, "{status}");

    // The same engine, switched over while it runs.
    shop.engine.set_search_mode(SearchMode::On);
    let path = format!("/admin/order?fresh=true&q={}", encoded(NAME));
    let list = wait_for("the index", async || {
        let answer = shop.get("admin support", &path).await;
        (answer.status == 200).then(|| answer.json())
    });
    let list = list.await;
    assert_eq!((numbers(&list).len(), &list["source"]), (2, &json!("index")));
    shop.engine.set_search_mode(SearchMode::Off);
    shop.get("admin support", &path).await.refused(501, "search_words_unavailable");
}

#[tokio::test]
async fn the_index_is_built_anew_in_the_background_and_recorded() {
    let (shop, _dir) = searched(SearchMode::Fallback).await;
    let number = order(&shop, 7, "a").await;
    assert_eq!(numbers(&ask(&shop, "admin support", "/admin/order", NAME, "").await), [number.as_str()]);
    let begun = shop.post(OPERATIONS, "/admin/search/reindex", json!({"reason": "other words"})).await;
    assert_eq!(begun.expect(202), json!({"rebuilding": true}));
    assert_eq!(begun.headers["location"], "/admin/search/status");
    let recorded = acts(&shop, "search.reindex").await;
    assert_eq!((recorded.len(), &recorded[0]["reason"]), (1, &json!("other words")));
    let done = wait_for("the new index", async || {
        let status = shop.get("admin auditor", "/admin/search/status").await.expect(200);
        (status["rebuilding"] == false && status["progress"]["orders"] == 1).then_some(status)
    });
    let done = done.await;
    assert_eq!(
        (&done["mode"], &done["documents"], &done["failure"]),
        (&json!("fallback"), &json!(1), &Value::Null)
    );
    assert_eq!(numbers(&ask(&shop, "admin support", "/admin/order", NAME, "").await), [number.as_str()]);
    shop.post("admin auditor", "/admin/search/reindex", json!({})).await.refused(403, "forbidden");
    let off = searched(SearchMode::Off).await.0;
    off.post(OPERATIONS, "/admin/search/reindex", json!({})).await.refused(409, "search_off");
}

#[tokio::test]
async fn plain_lists_stay_as_they_are() {
    let (shop, _dir) = searched(SearchMode::On).await;
    let number = order(&shop, 7, "a").await;
    let list = shop.get("admin support", "/admin/order?member_id=7").await.expect(200);
    assert_eq!((numbers(&list), &list["source"]), (vec![number.clone()], &json!("store")));
    let own = shop.get("member 7", "/api/order/list?counts=true").await.expect(200);
    assert_eq!((numbers(&own), &own["source"], &own["as_of"]), (vec![number], &Value::Null, &Value::Null));
    shop.get("admin support", "/admin/order?after=1nd-0-0-0").await.refused(422, "invalid_value");
}
