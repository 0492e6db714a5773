//! Watching: `GET /metrics`, `/healthz`, `/readyz`, `/admin/refusals`, and what the log says of requests.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex, Once};

use axum::body::Body;
use axum::http::{Method, header};
use serde_json::{Value, json};
use stockade::http::App;
use stockade::http::config::HttpConfig;
use stockade::http::observe::health::Opening;
use stockade::http::observe::{Connections, ObserveConfig};
use stockade::journal::MemoryJournal;
use stockade::{Config, Durability, Engine, Health};
use tower::ServiceExt;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::support::{Answer, Shop, live, request};

const SUBMIT: &str = "/api/order/submit";

fn order(request_id: &str, quantity: u32) -> Value {
    json!({"request_id": request_id, "lines": [{"sku_id": "42", "quantity": quantity}]})
}

/// An exposition: types by family, values by name with labels.
#[derive(Debug, Default)]
struct Exposition {
    types: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads an exposition, and checks that it is one.
    #[track_caller]
    fn read(text: &str) -> Self {
        let mut exposition = Self::default();
        let mut lines = text.lines();
        let mut helped = BTreeSet::new();
        for line in &mut lines {
            if line == "# EOF" {
                break;
            }
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a name and a help");
                assert!(!help.trim().is_empty() && helped.insert(name), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert!(is_name(name) && helped.contains(name), "{line}");
                assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
                assert_eq!(exposition.types.insert(name.into(), kind.into()), None, "{line}: twice");
            } else {
                exposition.sample(line);
            }
        }
        assert!(text.ends_with("# EOF\n") && lines.next().is_none(), "nothing follows the end");
        exposition
    }

    #[track_caller]
    fn sample(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a series and a value");
        let (name, labels) = series
            .split_once('{')
            .map_or((series, None), |(name, rest)| (name, Some(rest.strip_suffix('}').expect("labels end"))));
        let is_of = |family: &&String, kind: &&String| {
            let suffixes: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(family.as_str()))
        };
        assert!(self.types.iter().any(|(family, kind)| is_of(&family, &kind)), "{line}: of no family");
        for label in labels.into_iter().flat_map(|labels| labels.split("\",")) {
            let (key, value) = label.split_once("=\"").expect("a label");
            let value = value.strip_suffix('"').unwrap_or(value);
            assert!(is_name(key) && !value.contains(['"', '\\', '\n']), "{line}");
        }
        let value = value.parse().expect("a number");
        assert_eq!(self.values.insert(series.into(), value), None, "{line}: twice");
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.values))
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

async fn metrics(shop: &Shop) -> Exposition {
    let answer = shop.get("service", "/metrics").await;
    assert_eq!(answer.status.as_u16(), 200);
    let kind = answer.headers[header::CONTENT_TYPE].to_str().expect("text");
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    Exposition::read(std::str::from_utf8(&answer.bytes).expect("text"))
}

#[tokio::test]
async fn metrics_are_for_services_and_operators() {
    let shop = Shop::empty().await;
    shop.get("", "/metrics").await.refused(401, "token_missing");
    shop.get("member 7", "/metrics").await.refused(403, "forbidden");
    assert_eq!(shop.get("admin auditor", "/metrics").await.status.as_u16(), 200);
}

#[tokio::test]
async fn counters_move_with_requests() {
    let shop = Shop::with_tea(2).await;
    let before = metrics(&shop).await;
    assert_eq!(before.value("stockade_orders_total{outcome=\"accepted\"}"), 0.0);
    assert_eq!(before.value("stockade_health{state=\"open\"}"), 1.0);
    assert_eq!(before.value("stockade_health{state=\"poisoned\"}"), 0.0);
    shop.post("member 7", SUBMIT, order("a", 1)).await.expect(201);
    shop.post("member 7", SUBMIT, order("a", 1)).await.expect(201);
    shop.post("member 7", SUBMIT, order("b", 2)).await.refused(409, "sold_out");
    shop.get("", "/nothing/here").await.refused(404, "no_such_path");
    let after = metrics(&shop).await;
    assert_eq!(after.value("stockade_orders_total{outcome=\"accepted\"}"), 1.0);
    assert_eq!(after.value("stockade_orders_total{outcome=\"duplicate\"}"), 1.0);
    assert_eq!(after.value("stockade_orders_total{outcome=\"sold_out\"}"), 1.0);
    assert_eq!(after.value("stockade_orders_open"), 1.0);
    let of = |class| format!("{{method=\"POST\",route=\"{SUBMIT}\",status=\"{class}\"}}");
    assert_eq!(after.value(&format!("stockade_http_requests_total{}", of("2xx"))), 2.0);
    assert_eq!(after.value(&format!("stockade_http_requests_total{}", of("4xx"))), 1.0);
    assert_eq!(after.value(&format!("stockade_http_request_seconds_count{}", of("2xx"))), 2.0);
    assert_eq!(after.value("stockade_http_refusals_total{code=\"sold_out\"}"), 1.0);
    assert_eq!(after.value("stockade_http_refusals_total{code=\"no_such_path\"}"), 1.0);
    // This very request.
    assert_eq!(after.value("stockade_http_in_flight"), 1.0);
    let commits = after.value("stockade_journal_commits_total");
    assert!(commits >= 2.0);
    assert_eq!(after.value("stockade_journal_commit_events_count"), commits);
    assert_eq!(after.value("stockade_journal_commit_events_bucket{le=\"+Inf\"}"), commits);
}

#[tokio::test]
async fn paths_that_somebody_makes_up_make_no_series() {
    let shop = Shop::empty().await;
    let ask = async || {
        shop.get("", "/nothing").await;
        shop.get("", "/api/stock/1").await;
        shop.get("member 7", "/admin/refusals").await;
        shop.post("member 7", SUBMIT, json!({"request_id": "a", "lines": []})).await;
    };
    // The metrics' own series are there from the second time on.
    metrics(&shop).await;
    ask().await;
    let before = metrics(&shop).await;
    for n in 0..200 {
        ask().await;
        shop.get("", &format!("/nothing/{n}?x={n}")).await;
        shop.get("", &format!("/api/stock/{n}")).await;
        shop.send(
            request(Method::from_bytes(format!("M{n}").as_bytes()).expect("a method"), "", SUBMIT)
                .header("x-request-id", format!("r{n}"))
                .body(Body::empty())
                .expect("a request"),
        )
        .await;
    }
    let after = metrics(&shop).await;
    let fresh: Vec<_> = after.values.keys().filter(|series| !before.values.contains_key(*series)).collect();
    assert!(
        fresh.iter().all(|series| series.contains("method_not_allowed")) && fresh.len() <= 1,
        "new series: {fresh:#?}"
    );
}

#[tokio::test]
async fn refusals_are_found_by_member_request_and_code() {
    let shop = Shop::with_tea(1).await;
    let submit = request(Method::POST, "member 7", SUBMIT)
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-request-id", "trace-1");
    let sold_out = submit.body(Body::from(order("order-1", 2).to_string())).expect("a request");
    shop.send(sold_out).await.refused(409, "sold_out");
    shop.post("member 8", SUBMIT, order("order-2", 2)).await.refused(409, "sold_out");
    let wrong = json!({"request_id": "order-3", "lines": [{"sku_id": "x", "quantity": 1}]});
    shop.post("member 7", SUBMIT, wrong).await.refused(422, "invalid_body");
    shop.post("", SUBMIT, order("order-4", 1)).await.refused(401, "token_missing");
    shop.post("member 7", SUBMIT, order("order-5", 1)).await.expect(201);

    let find = async |query: &str| {
        let page = shop.get("admin support", &format!("/admin/refusals{query}")).await.expect(200);
        page["refusals"].as_array().expect("a list").clone()
    };
    assert_eq!(find("").await.len(), 4);
    assert_eq!(find("?limit=1").await.len(), 1);
    assert_eq!(find("?member_id=9").await.len(), 0);
    let of_7 = find("?member_id=7").await;
    assert_eq!(of_7.len(), 2);
    assert_eq!(
        (&of_7[0]["code"], &of_7[0]["field"], &of_7[0]["status"]),
        (&json!("invalid_body"), &json!("lines[0].sku_id"), &json!(422)),
        "latest first"
    );
    for query in ["?request_id=trace-1", "?request_id=order-1", "?member_id=7&code=sold_out"] {
        let [found] = &find(query).await[..] else { panic!("{query}: {:?}", find(query).await) };
        assert_eq!(
            (&found["member_id"], &found["request_id"], &found["code"], &found["route"], &found["method"]),
            (&json!("7"), &json!("trace-1"), &json!("sold_out"), &json!(SUBMIT), &json!("POST"))
        );
        assert_eq!(found["detail"], "sku 42 is sold out");
    }
    assert_eq!(find("?request_id=order-5").await.len(), 0, "an order that was placed was not refused");

    let lines = json!({"member_id": "9", "request_id": "line-1", "lines": [{"sku_id": "42", "quantity": 1}]});
    let stream = request(Method::POST, "service", "/gateway/orders")
        .header(header::CONTENT_TYPE, "application/x-ndjson")
        .body(Body::from(format!("{lines}\n{{\n")));
    shop.send(stream.expect("a request")).await;
    let [line] = &find("?member_id=9").await[..] else { panic!("{:?}", find("").await) };
    assert_eq!((&line["code"], &line["route"]), (&json!("sold_out"), &json!("/gateway/orders")));
    assert_eq!(find("?request_id=line-1").await, std::slice::from_ref(line));
    let [wrong] = &find("?code=invalid_json").await[..] else { panic!("{:?}", find("").await) };
    assert_eq!(wrong["request_id"], line["request_id"], "both lines came with one request");

    for who in ["member 7", "service", "admin warehouse"] {
        shop.get(who, "/admin/refusals").await.refused(403, "forbidden");
    }
    assert_eq!(find("?member_id=7&code=forbidden").await.len(), 1, "whoever may not is known all the same");
    let ask = async |query: &str| shop.get("admin support", &format!("/admin/refusals?{query}")).await;
    assert_eq!(ask("limit=0").await.refused(422, "invalid_value")["field"], "limit");
    ask("limit=501").await.refused(422, "invalid_value");
    ask("member_id=x").await.refused(422, "invalid_query");
    ask("phone=1").await.refused(422, "invalid_query");
}

#[tokio::test]
async fn no_more_refusals_are_kept_than_may_be() {
    let config = ObserveConfig { refusals_kept: 8, ..ObserveConfig::default() };
    let shop = Shop::observed(config).await;
    for n in 0..30 {
        shop.post("member 7", SUBMIT, order(&format!("r{n}"), 1)).await.refused(422, "unknown_sku");
        shop.get("", "/nothing").await;
    }
    let page = shop.get("admin security", "/admin/refusals?limit=500").await.expect(200);
    let codes: Vec<_> = page["refusals"].as_array().expect("a list").iter().map(|it| &it["code"]).collect();
    assert_eq!(codes.iter().filter(|code| **code == "unknown_sku").count(), 8);
    assert_eq!(codes.len(), 9, "strangers have a place of their own");
}

#[tokio::test]
async fn readiness_says_why_not() {
    let shop = Shop::empty().await;
    assert_eq!(shop.get("", "/healthz").await.expect(200)["status"], "alive");
    assert_eq!(shop.get("", "/readyz").await.expect(200)["status"], "ready");
    shop.engine.shutdown().await.expect("it shuts down");
    let problem = shop.get("", "/readyz").await.refused(503, "closed");
    assert_eq!(problem["retryable"], true);
    let alive = shop.get("", "/healthz").await.expect(200);
    assert_eq!((&alive["status"], &alive["version"]), (&json!("alive"), &json!(env!("CARGO_PKG_VERSION"))));
    assert_eq!(metrics(&shop).await.value("stockade_health{state=\"closed\"}"), 1.0);
    let kept = shop.get("admin support", "/admin/refusals").await.expect(200);
    assert_eq!(kept["refusals"], json!([]), "probes say the same every second");
}

#[tokio::test]
async fn a_poisoned_engine_lives_is_not_ready_and_keeps_its_reason_to_itself() {
    let journal = MemoryJournal::new(1 << 20);
    let engine = Engine::open_on(Config::new("unused"), journal.clone()).await.expect("it opens");
    let shop = Shop::watched(engine, ObserveConfig::default());
    stockade::examples::stock_tea(&shop.engine, 2).await.expect("tea is on sale");
    journal.fail_write_at(shop.engine.metrics().commits + 1);
    shop.post("member 7", SUBMIT, order("a", 1)).await.refused(503, "outcome_unknown");
    while shop.engine.health() == Health::Open {
        tokio::task::yield_now().await;
    }
    let Health::Poisoned { reason } = shop.engine.health() else { panic!("{:?}", shop.engine.health()) };
    let answer = shop.get("", "/readyz").await;
    answer.refused(503, "poisoned");
    assert!(!String::from_utf8_lossy(&answer.bytes).contains(&reason), "{answer:?}");
    shop.get("", "/healthz").await.expect(200);
    assert_eq!(metrics(&shop).await.value("stockade_health{state=\"poisoned\"}"), 1.0);
}

#[tokio::test]
async fn before_the_engine_is_open_the_process_lives_and_is_not_ready() {
    let opening = Opening::default();
    let router = opening.router();
    let ask = async |path: &str| {
        let request = request(Method::GET, "", path).body(Body::empty()).expect("a request");
        Answer::of(router.clone().oneshot(request).await.expect("a router always answers")).await
    };
    assert_eq!(ask("/healthz").await.expect(200)["status"], "alive");
    ask("/readyz").await.refused(503, "recovering");
    ask("/api/time").await.refused(503, "recovering");
    let engine = Engine::open(Config::new("").durability(Durability::Memory)).await.expect("it opens");
    opening.open(stockade::http::router(App::new(engine, live(&HttpConfig::default()))).0);
    assert_eq!(ask("/readyz").await.expect(200)["status"], "ready");
    ask("/nothing").await.refused(404, "no_such_path");
}

#[tokio::test]
async fn a_servers_connections_are_shown() {
    let engine = Engine::open(Config::new("").durability(Durability::Memory)).await.expect("it opens");
    let shop = Shop::watched(engine, ObserveConfig::default());
    assert_eq!(metrics(&shop).await.value("stockade_http_connections"), 0.0);
    let read = || Connections { open: 3, accepted: 9, refused: 2, accept_errors: 1, cuts: vec![("idle", 4)] };
    shop.app.observer().connections_from(Box::new(read));
    let metrics = metrics(&shop).await;
    assert_eq!(metrics.value("stockade_http_connections"), 3.0);
    assert_eq!(metrics.value("stockade_http_connection_attempts_total{outcome=\"refused\"}"), 2.0);
    assert_eq!(metrics.value("stockade_http_connections_cut_total{cause=\"idle\"}"), 4.0);
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panics").clone()).expect("text")
    }

    /// Everything that this thread, and so this test, logs from now on is kept.
    ///
    /// Whether anybody listens to a line is remembered for all threads at once, so there is one subscriber for all of
    /// them, and each has its own log.
    fn listen() -> Self {
        static SUBSCRIBED: Once = Once::new();
        SUBSCRIBED.call_once(|| {
            let is_heard = dynamic_filter_fn(|_, _| HEARD.with_borrow(Option::is_some));
            let lines = tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_span_events(FmtSpan::FULL)
                .with_writer(|| HEARD.with_borrow(Option::clone).unwrap_or_default());
            tracing_subscriber::registry().with(lines.with_filter(is_heard)).init();
        });
        let log = Self::default();
        HEARD.set(Some(log.clone()));
        log
    }
}

thread_local! {
    /// The log of this thread's test.
    static HEARD: RefCell<Option<Log>> = const { RefCell::new(None) };
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_request_has_its_line_in_the_log() {
    let log = Log::listen();
    let shop = Shop::with_tea(1).await;
    let named =
        request(Method::GET, "member 7", "/admin/refusals?code=secret").header("x-request-id", "trace-7");
    let answer = shop.send(named.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.headers["x-request-id"], "trace-7");
    let text = log.text();
    let line = text.lines().find(|line| line.contains("trace-7") && line.contains("answered"));
    let line = line.unwrap_or_else(|| panic!("no line in {text}"));
    for part in ["INFO", "method=\"GET\"", "/admin/refusals\"", "status=403", "forbidden", "latency_us="] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!text.contains("code=secret"), "queries are not logged: {text}");
    shop.post("member 7", SUBMIT, order("a", 2)).await.refused(409, "sold_out");
    let text = log.text();
    let line = text.lines().find(|line| line.contains("sold_out") && line.contains("answered"));
    let line = line.unwrap_or_else(|| panic!("no line in {text}"));
    assert!(line.contains("DEBUG") && line.contains("role=\"member\""), "{line}");
}

#[tokio::test]
async fn a_storm_of_wrong_requests_is_no_storm_in_the_log() {
    let log = Log::listen();
    let (clock, _time) = stockade::runtime::clock::Clock::manual(1_800_000_000_000);
    let engine = Engine::open(Config::new("").durability(Durability::Memory).clock(clock)).await;
    let config = ObserveConfig { request_log_per_s_max: 3, ..ObserveConfig::default() };
    let shop = Shop::watched(engine.expect("it opens"), config);
    for _ in 0..20 {
        shop.get("member 7", "/admin/refusals").await.refused(403, "forbidden");
    }
    let lines = log.text().lines().filter(|line| line.contains("answered") && line.contains("INFO")).count();
    assert_eq!(lines, 3);
    assert_eq!(metrics(&shop).await.value("stockade_http_log_withheld_total"), 17.0);
}

#[tokio::test]
async fn what_is_somebodys_stays_out_of_logs_metrics_and_refusals() {
    const PHONE: &str = "13800138000";
    const ROAD: &str = "Changan-Road-1";
    let log = Log::listen();
    let shop = Shop::with_tea(2).await;
    let with = |key: &str, value: Value| {
        let mut order = order("a", 1);
        order[key] = value;
        order
    };
    let receiver = json!({"name": "Zhang San", "phone": PHONE, "address": ROAD});
    let bodies = [
        with("remark", json!(format!("{PHONE} {ROAD}"))),
        with("ext", receiver.clone()),
        with("receiver", receiver.clone()),
        with("phone", json!(PHONE)),
        with(PHONE, json!(1)),
        with(ROAD, json!(1)),
        with("lines", json!([{"sku_id": ROAD, "quantity": PHONE}])),
        with("lines", json!([{"sku_id": "42", "quantity": 1, PHONE: 1}])),
        with("coupons", json!([PHONE, ROAD])),
        with("order_type", json!(ROAD)),
        with("external_no", json!(format!("{ROAD}{}", "x".repeat(80)))),
        json!(PHONE),
    ];
    for (nth, mut body) in bodies.into_iter().enumerate() {
        if body.is_object() {
            body["request_id"] = json!(format!("r{nth}"));
        }
        shop.post("member 7", SUBMIT, body).await;
    }
    shop.get("member 7", &format!("/api/{ROAD}?phone={PHONE}")).await;
    shop.get("admin support", &format!("/admin/refusals?phone={PHONE}")).await;
    shop.get("admin support", &format!("/admin/refusals?member_id={ROAD}")).await;
    let broken = request(Method::POST, "member 7", SUBMIT).header(header::CONTENT_TYPE, "application/json");
    shop.send(broken.body(Body::from(format!("{{\"{PHONE}\": {ROAD}"))).expect("a request")).await;

    let metrics = shop.get("service", "/metrics").await.bytes;
    let refusals = shop.get("admin security", "/admin/refusals?limit=500").await;
    let kept = refusals.expect(200)["refusals"].as_array().expect("a list").len();
    assert!(kept >= 9, "only {kept} refusals: the orders were not refused as this test expects");
    let logged = log.text();
    assert!(logged.contains("invalid_body"), "the log says nothing of the orders");
    for (place, text) in [
        ("the log", logged),
        ("the metrics", String::from_utf8(metrics).expect("text")),
        ("the refusals", String::from_utf8(refusals.bytes).expect("text")),
    ] {
        for planted in [PHONE, ROAD, "Zhang San", "Changan"] {
            assert!(!text.contains(planted), "{planted} is in {place}: {text}");
        }
    }
}

/// The names of metrics in a text.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || char == '_';
    text.split(|char| !is_part(char))
        .filter(|word| word.starts_with("stockade_"))
        .map(str::to_owned)
        .collect()
}

/// The names that a family's series have.
fn series_of(family: &str, kind: &str) -> Vec<String> {
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "histogram" => &["_bucket", "_sum", "_count"],
        _ => &[""],
    };
    suffixes.iter().map(|suffix| format!("{family}{suffix}")).collect()
}

#[tokio::test]
async fn dashboard_and_alerts_show_what_there_is() {
    let dashboard = include_str!("../../docs/deploy/grafana-dashboard.json");
    let alerts = include_str!("../../docs/deploy/prometheus-alerts.yml");
    let operations = include_str!("../../docs/OPERATIONS.md");
    let shop = Shop::empty().await;
    let families = metrics(&shop).await.types;
    let series: BTreeSet<_> = families.iter().flat_map(|(family, kind)| series_of(family, kind)).collect();
    let unknown: Vec<_> = names_in(dashboard)
        .union(&names_in(alerts))
        .filter(|name| !series.contains(*name))
        .cloned()
        .collect();
    assert!(unknown.is_empty(), "no such metrics: {unknown:?}");
    let shown = names_in(dashboard);
    let hidden: Vec<_> = families
        .iter()
        .filter(|(family, kind)| !series_of(family, kind).iter().any(|name| shown.contains(name)))
        .collect();
    assert!(hidden.is_empty(), "no panel shows {hidden:?}");

    let dashboard: Value = serde_json::from_str(dashboard).expect("the dashboard is JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "panels have ids of their own");
    let names: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in names {
        assert!(operations.contains(&format!("| `{name}` |")), "docs/OPERATIONS.md says nothing of {name}");
        assert!(
            alerts.contains(&format!("runbook: \"OPERATIONS.md#alerts: {name}\"")),
            "{name} has no runbook"
        );
    }
}
