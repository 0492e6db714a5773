//! Limits as a caller meets them: rates by address and member, requests in flight, the size of bodies.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, header};
use serde_json::json;
use stockade::http::config::HttpConfig;
use stockade::http::limits::Guard;
use stockade::http::server::Peer;
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{Config, Durability};
use tower::ServiceExt;

use crate::support::{Shop, live, request};

struct Limited {
    shop: Shop,
    router: Router,
    guard: Guard,
    time: ManualTime,
}

impl Limited {
    async fn new(change: impl FnOnce(&mut HttpConfig)) -> Self {
        let mut config = HttpConfig::default();
        config.server.refusal_delay_ms = 0;
        change(&mut config);
        let (clock, time) = Clock::manual(0);
        let live = live(&config).by_clock(&config, clock);
        let guard = live.guard().clone();
        let shop = Shop::under(Config::new("").durability(Durability::Memory), live).await;
        stockade::examples::stock_tea(&shop.engine, 100).await.expect("tea is on sale");
        let router = shop.router();
        Self { shop, router, guard, time }
    }

    async fn send(&self, peer: &str, request: axum::http::request::Builder, body: String) -> Response<Body> {
        let mut request: Request<Body> = request.body(body.into()).expect("a request");
        request.extensions_mut().insert(Peer(peer.parse::<IpAddr>().expect("an address")));
        self.router.clone().oneshot(request).await.expect("a router answers")
    }

    async fn submit(&self, peer: &str, member: u64, id: u64) -> Response<Body> {
        let order = json!({"request_id": format!("r-{id}"), "lines": [{"sku_id": "42", "quantity": 1}]});
        let request = request(Method::POST, &format!("member {member}"), "/api/order/submit");
        self.send(peer, request.header(header::CONTENT_TYPE, "application/json"), order.to_string()).await
    }
}

async fn code(response: Response<Body>) -> String {
    use http_body_util::BodyExt;
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&bytes).expect("a problem");
    problem["code"].as_str().expect("a code").to_owned()
}

#[tokio::test]
async fn a_member_that_asks_too_often_is_told_when_to_come_back() {
    let limited = Limited::new(|config| {
        config.limits.per_member_per_s = 1;
        config.limits.per_member_burst = 2;
    })
    .await;
    for id in 0..2 {
        assert_eq!(limited.submit("192.0.2.1", 7, id).await.status(), 201);
    }
    let refused = limited.submit("192.0.2.2", 7, 2).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()[header::RETRY_AFTER]),
        (429, &"1".parse().unwrap())
    );
    assert_eq!(code(refused).await, "rate_limited");
    assert_eq!(limited.submit("192.0.2.1", 8, 3).await.status(), 201, "another member is not concerned");
    limited.time.advance(1_000);
    assert_eq!(limited.submit("192.0.2.2", 7, 2).await.status(), 201);
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_refused_before_its_token_is_read() {
    let limited = Limited::new(|config| {
        config.limits.per_address_per_s = 1;
        config.limits.per_address_burst = 1;
        config.limits.exempt_networks = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    assert_eq!(limited.submit("192.0.2.1", 7, 0).await.status(), 201);
    let wrong = request(Method::GET, "", "/api/order/list");
    let refused = limited.send("192.0.2.1", wrong, String::new()).await;
    assert_eq!(refused.status(), 429);
    for id in 1..4 {
        assert_eq!(limited.submit("10.1.2.3", 7, id).await.status(), 201, "exempt");
    }
    let callback = request(Method::POST, "", "/callback/payment");
    let answer = limited.send("192.0.2.1", callback, String::new()).await;
    assert_ne!(answer.status(), 429, "money is not to be missed");
    let mut config = HttpConfig::default();
    config.limits.per_address_per_s = 0;
    limited.guard.replace(&config);
    assert_eq!(limited.submit("192.0.2.1", 7, 9).await.status(), 201, "limits are replaced while they hold");
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_told_apart_and_nobody_else_names_a_client() {
    let limited = Limited::new(|config| {
        config.limits.per_address_per_s = 1;
        config.limits.per_address_burst = 1;
        config.server.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    let ask = async |peer: &str, client: u32| {
        let client = std::net::Ipv4Addr::from(0xc633_0000 + client).to_string();
        let request = request(Method::GET, "", "/api/time").header("x-forwarded-for", client);
        limited.send(peer, request, String::new()).await.status().as_u16()
    };
    // Few enough that no nine of them share one of the table's sets of eight: of 10,000 some do in one run of 25.
    for client in 0..1_000 {
        assert_eq!(ask("10.0.0.1", client).await, 200, "client {client} has not asked yet");
    }
    assert_eq!(ask("10.0.0.2", 0).await, 429, "the same client, by another proxy");
    assert_eq!(ask("192.0.2.1", 10_000).await, 200);
    assert_eq!(ask("192.0.2.1", 10_001).await, 429, "a name of its own choice is no other address");
    assert_eq!(ask("10.0.0.1", 10_001).await, 200, "and takes nothing from whom it names");
}

#[tokio::test]
async fn beyond_the_requests_in_flight_there_is_room_for_what_is_vital_alone() {
    let limited = Arc::new(Limited::new(|config| config.server.in_flight_max = 0).await);
    let refused = limited.submit("192.0.2.1", 7, 0).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()[header::RETRY_AFTER]),
        (503, &"1".parse().unwrap())
    );
    assert_eq!(code(refused).await, "overloaded");
    let health = request(Method::GET, "", "/healthz");
    assert_ne!(limited.send("192.0.2.1", health, String::new()).await.status(), 503);
    assert_eq!(limited.guard.in_flight(), (0, 0), "what has ended is not in flight");
    assert_eq!(limited.shop.engine.orders_of(7, stockade::Page::default()).await.unwrap().orders.len(), 0);
}

#[tokio::test]
async fn a_body_larger_than_configured_is_refused() {
    let limited = Limited::new(|config| config.server.body_bytes_max = 1_024).await;
    let request = request(Method::POST, "member 7", "/api/order/submit");
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let refused = limited.send("192.0.2.1", request, "a".repeat(1_025)).await;
    assert_eq!(refused.status(), 413);
    assert_eq!(code(refused).await, "body_too_large");
}
