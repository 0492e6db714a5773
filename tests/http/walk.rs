//! Every route, asked by everybody: those who may are let in, all others are turned away. Driven by the table of routes,
//! so that a new one is walked, too.

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::{Router, http::Request};
use stockade::http::App;
use stockade::http::auth::access::{Access, ROUTES};
use stockade::http::auth::mint::mint_hs256;
use stockade::http::auth::principal::{Scope, Scopes};
use stockade::http::auth::tokens::Role;
use stockade::http::config::HttpConfig;
use stockade::http::context::around;
use stockade::{Config, Durability};
use tower::ServiceExt;

use crate::support::{Answer, Shop, live, request, token};

/// Everybody there is: nobody, a member, a service, an operator without scopes and one for each scope, a service that may poll
/// the relay's subscriptions.
fn callers() -> Vec<String> {
    let mut callers = vec![String::new(), "member 7".into(), "service".into(), "admin".into()];
    callers.extend(Scope::ALL.map(|scope| format!("admin {}", scope.name())));
    callers.push("service relay:*".into());
    callers
}

/// Whether a caller may, by the table, read once more and in other words than the server does.
fn may(caller: &str, access: &Access) -> bool {
    let mut words = caller.split(' ');
    match (access, words.next().unwrap_or_default()) {
        (Access::Public | Access::Signed, _) => true,
        (Access::Member, role) => role == "member",
        (Access::Service, role) => role == "service",
        (Access::Relay, role) => role == "service" && words.next() == Some("relay:*"),
        (Access::Metrics, role) => role == "service" || role == "admin",
        (Access::Admin(any_of), "admin") => {
            words.next().and_then(Scope::from_name).is_some_and(|scope| any_of.has(scope))
        }
        (Access::Admin(_), _) => false,
    }
}

/// A path of the router with something in its variable parts.
fn made_up(path: &str) -> String {
    let part = |part: &str| match part.trim_matches(['{', '}']) {
        "*rest" => "index.html".to_owned(),
        "topic" | "provider" => "mails".to_owned(),
        "refund_no" => "1-1".to_owned(),
        _ if part.starts_with('{') => "1".to_owned(),
        _ => part.to_owned(),
    };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

async fn ask(shop: &Shop, who: &str, method: &str, path: &str) -> Answer {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let request = request(method, who, &made_up(path)).header(header::CONTENT_TYPE, "application/json");
    shop.send(request.body(Body::from("{}")).expect("a request")).await
}

#[tokio::test]
async fn every_route_lets_in_who_may_and_nobody_else() {
    let shop = Shop::empty().await;
    let mut wrong = Vec::new();
    for (method, path, access) in ROUTES {
        for caller in callers() {
            let status = ask(&shop, &caller, method, path).await.status;
            let is_refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            let is_right = match (may(&caller, access), caller.as_str()) {
                // What else is wrong with a made-up request may be said.
                (true, _) => !is_refused && status != StatusCode::INTERNAL_SERVER_ERROR,
                (false, "") => status == StatusCode::UNAUTHORIZED,
                (false, _) => status == StatusCode::FORBIDDEN,
            };
            if !is_right {
                wrong.push(format!("{method} {path} answers {status} to {caller:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_token_that_is_not_good_opens_nothing_that_is_guarded() {
    let shop = Shop::empty().await;
    // 2020, and a key that is not the server's under a name that is, and under one that isn't.
    let expired = |role| token_of(b"a secret of thirty-two bytes, at least", "a", role, 1_577_836_800_000);
    let forged = |role| token_of(b"another secret of thirty-two bytes", "a", role, 4_102_444_800_000);
    let unknown = |role| token_of(b"another secret of thirty-two bytes", "b", role, 4_102_444_800_000);
    let mut tokens: Vec<_> = [Role::Member, Role::Service, Role::Admin]
        .into_iter()
        .flat_map(|role| [expired(role), forged(role), unknown(role)])
        .collect();
    let unsigned = token("admin operations").rsplit_once('.').map(|(signed, _)| format!("{signed}."));
    tokens.extend([unsigned.expect("a token has parts"), "Bearer".into(), "Basic YTph".into()]);
    for (method, path, access) in ROUTES {
        for token in &tokens {
            let status = ask(&shop, token, method, path).await.status;
            let is_turned_away = status == StatusCode::UNAUTHORIZED;
            let is_guarded = !matches!(access, Access::Public | Access::Signed);
            assert_eq!(is_turned_away, is_guarded, "{method} {path} answers {status}");
        }
    }
}

fn token_of(secret: &[u8], kid: &str, role: Role, exp_ms: u64) -> String {
    format!("Bearer {}", mint_hs256(secret, kid, "7", role, Scopes::ALL, exp_ms))
}

#[tokio::test]
async fn a_route_that_is_not_in_the_table_is_not_there() {
    let mut config = HttpConfig::default();
    (config.limits.per_member_per_s, config.limits.per_address_per_s) = (0, 0);
    let shop = Shop::under(Config::new("").durability(Durability::Memory), live(&config)).await;
    let app = App::new(shop.engine.clone(), live(&config));
    let forgotten = Router::new()
        .route("/admin/forgotten", get(async || "secrets"))
        .route("/api/time", get(async || "now").post(async || "another time"))
        .layer(from_fn_with_state(app.clone(), around))
        .with_state(app);
    for caller in callers() {
        let ask = async |method: Method, path: &str| {
            let request: Request<Body> =
                request(method, &caller, path).body(Body::empty()).expect("a request");
            forgotten.clone().oneshot(request).await.expect("a router answers").status()
        };
        assert_eq!(ask(Method::GET, "/admin/forgotten").await, StatusCode::NOT_FOUND, "{caller:?}");
        assert_eq!(ask(Method::POST, "/api/time").await, StatusCode::METHOD_NOT_ALLOWED, "{caller:?}");
        assert_eq!(ask(Method::GET, "/api/time").await, StatusCode::OK, "{caller:?}");
    }
}
