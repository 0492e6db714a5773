//! An adapter in memory, and requests to it without a socket.

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use http_body_util::BodyExt;
use serde_json::Value;
use stockade::http::admin::settings::AdminSettings;
use stockade::http::auth::keys::{Key, Keys};
use stockade::http::auth::mint::{mint_hs256, mint_service_hs256};
use stockade::http::auth::principal::Scopes;
use stockade::http::auth::tokens::Role;
use stockade::http::config::HttpConfig;
use stockade::http::observe::ObserveConfig;
use stockade::http::secret::Secret;
use stockade::http::{App, Live};
use stockade::{Config, Durability, Engine};
use tower::ServiceExt;

/// An adapter with its engine.
pub(crate) struct Shop {
    pub(crate) engine: Engine,
    pub(crate) app: App,
    router: Router,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// A response with its whole body.
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("the body is whole").to_bytes().to_vec();
        Self { status: parts.status, headers: parts.headers, bytes }
    }

    /// Its body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.bytes)))
    }

    /// Its body as JSON, where the status is this one.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// Checks that it is a problem with this status and code.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        problem
    }
}

impl Shop {
    /// One with nothing to sell.
    pub(crate) async fn empty() -> Self {
        Self::with(Config::new("").durability(Durability::Memory)).await
    }

    /// One with so many units of SKU 42, green tea at 199.00.
    pub(crate) async fn with_tea(units: u32) -> Self {
        let shop = Self::empty().await;
        stockade::examples::stock_tea(&shop.engine, units).await.expect("tea is on sale");
        shop
    }

    /// One with an engine of one's own, and no limits of rates.
    pub(crate) async fn with(config: Config) -> Self {
        Self::with_settings(config, AdminSettings::default()).await
    }

    /// One with settings of the back office, too.
    pub(crate) async fn with_settings(config: Config, admin: AdminSettings) -> Self {
        let mut http = HttpConfig::default();
        (http.limits.per_member_per_s, http.limits.per_address_per_s) = (0, 0);
        Self::all(config, live(&http), admin).await
    }

    /// One with an engine and limits of one's own.
    pub(crate) async fn under(config: Config, live: Live) -> Self {
        Self::all(config, live, AdminSettings::default()).await
    }

    async fn all(config: Config, live: Live, admin: AdminSettings) -> Self {
        let engine = Engine::open(config).await.expect("the engine opens");
        Self::of(App::new(engine, live).with_admin(admin))
    }

    /// One with nothing to sell, that keeps of requests what is said here.
    pub(crate) async fn observed(config: ObserveConfig) -> Self {
        let engine = Engine::open(Config::new("").durability(Durability::Memory)).await;
        Self::watched(engine.expect("the engine opens"), config)
    }

    /// One with this engine.
    pub(crate) fn watched(engine: Engine, config: ObserveConfig) -> Self {
        let mut http = HttpConfig::default();
        (http.limits.per_member_per_s, http.limits.per_address_per_s) = (0, 0);
        Self::of(App::new(engine, live(&http)).observed(config))
    }

    fn of(app: App) -> Self {
        let engine = app.engine().clone();
        let (router, _) = stockade::http::router(app.clone());
        Self { engine, app, router }
    }

    /// Its routes.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// Sends a request.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.router.clone().oneshot(request).await.expect("a router always answers")).await
    }

    /// Asks for a path, as somebody.
    pub(crate) async fn get(&self, who: &str, path: &str) -> Answer {
        self.send(request(Method::GET, who, path).body(Body::empty()).expect("a request")).await
    }

    /// Sends JSON to a path, as somebody.
    pub(crate) async fn post(&self, who: &str, path: &str, body: Value) -> Answer {
        let request = request(Method::POST, who, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// Puts JSON at a path, as somebody.
    pub(crate) async fn put(&self, who: &str, path: &str, body: Value) -> Answer {
        let request = request(Method::PUT, who, path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }
}

/// Signs the tests' tokens.
pub(crate) const SECRET: &[u8] = b"a secret of thirty-two bytes, at least";

/// A configuration under which the tests' tokens are good.
pub(crate) fn live(config: &HttpConfig) -> Live {
    let key = Key::hs256("a", &Secret::new(SECRET).expect("a secret")).expect("a key");
    Live::with_keys(config, Keys::new(vec![key]).expect("keys")).expect("the configuration is good")
}

/// A request as somebody: `member 7`, `service`, `service relay:erp`, `admin support warehouse`, or nobody; or with another header.
pub(crate) fn request(method: Method, who: &str, path: &str) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(path);
    if who.is_empty() { request } else { request.header(header::AUTHORIZATION, token(who)) }
}

/// Until when the tests' tokens are good: the year 2100.
const UNTIL_MS: u64 = 4_102_444_800_000;

/// The value of the header for somebody.
pub(crate) fn token(who: &str) -> String {
    let mut words = who.split(' ');
    let (role, name) = match words.next().unwrap_or_default() {
        "member" => (Role::Member, words.next().unwrap_or_default()),
        "service" => {
            let relays: Vec<_> = words.filter_map(|word| word.strip_prefix("relay:")).collect();
            return format!("Bearer {}", mint_service_hs256(SECRET, "a", "app-1", &relays, UNTIL_MS));
        }
        "admin" => (Role::Admin, "anna"),
        _ => return who.to_owned(),
    };
    let names: Vec<_> = words.map(|word| format!("\"{word}\"")).collect();
    let scopes: Scopes = serde_json::from_str(&format!("[{}]", names.join(","))).expect("scopes");
    format!("Bearer {}", mint_hs256(SECRET, "a", name, role, scopes, UNTIL_MS))
}
