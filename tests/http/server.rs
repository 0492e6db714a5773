//! The accept loop over real sockets: what a client may hold, and for how long; how serving ends.
//!
//! Times are short here, and no test measures one: each waits for what must happen.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Extension;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use axum::{Router, body::Body};
use stockade::http::server::{
    Cut, Peer, ServeReport, Server, ServerCounters, ServerLimits, ServerLimitsHandle, stream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

/// Long enough for anything that must happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Limits under which no test waits for long, and none of which is reached by chance.
fn limits() -> ServerLimits {
    ServerLimits {
        connections_max: 8,
        header_timeout_ms: 20_000,
        request_timeout_ms: 20_000,
        idle_timeout_ms: 20_000,
        drain_ms_max: 20_000,
        ..ServerLimits::default()
    }
}

struct Running {
    addr: SocketAddr,
    counters: Arc<ServerCounters>,
    limits: ServerLimitsHandle,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<ServeReport>,
}

impl Running {
    fn start(limits: ServerLimits, router: Router) -> Self {
        let server = Server::bind(([127, 0, 0, 1], 0).into(), limits).unwrap();
        let (addr, counters, limits) = (server.local_addr().unwrap(), server.counters(), server.limits());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(server.serve(router, async { stopped.await.unwrap() }).unwrap());
        Self { addr, counters, limits, stop, serving }
    }

    async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.addr).await.unwrap() }
    }
}

struct Client {
    stream: TcpStream,
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// All that comes until the server closes.
    async fn read_all(&mut self) -> String {
        let mut bytes = Vec::new();
        let end = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut bytes)).await;
        // A reset is an end as well.
        let _ = end.expect("the server closes the connection");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What comes until it contains this.
    async fn until(&mut self, text: &str) -> String {
        let mut bytes = Vec::new();
        let reading = async {
            while !String::from_utf8_lossy(&bytes).contains(text) {
                let mut buffer = [0; 1_024];
                let read = self.stream.read(&mut buffer).await.unwrap();
                assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
                bytes.extend_from_slice(&buffer[..read]);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the text comes");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async |Extension(Peer(peer)): Extension<Peer>| format!("hello {peer}")))
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn requests_are_answered_on_one_connection_and_know_their_peer() {
    let server = Running::start(limits(), hello());
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.send(GET).await;
        let answer = client.until("hello 127.0.0.1").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    client.send(&GET.repeat(2)).await;
    client.until("hello").await;
    assert_eq!((server.counters.open(), server.counters.accepted()), (1, 1));
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut() {
    let server = Running::start(ServerLimits { header_timeout_ms: 50, ..limits() }, hello());
    let (mut silent, mut slow) = (server.connect().await, server.connect().await);
    slow.send("GET / HTTP/1.1\r\nHost: a\r\nX-A:").await;
    assert_eq!((silent.read_all().await, slow.read_all().await), (String::new(), String::new()));
    assert_eq!(server.counters.cut(Cut::SlowHead), 2);
}

#[tokio::test]
async fn a_kept_connection_without_a_request_is_closed() {
    let server = Running::start(ServerLimits { idle_timeout_ms: 50, ..limits() }, hello());
    let mut client = server.connect().await;
    client.send(GET).await;
    let answer = client.read_all().await;
    assert!(answer.ends_with("hello 127.0.0.1"), "{answer}");
    assert_eq!(server.counters.cut(Cut::Idle), 1);
}

#[tokio::test]
async fn a_body_that_stands_still_is_cut_and_its_handler_with_it() {
    let router = Router::new().route("/", post(async |body: String| body));
    let server = Running::start(ServerLimits { idle_timeout_ms: 50, ..limits() }, router);
    let mut client = server.connect().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    assert_eq!(client.read_all().await, "");
    assert_eq!(server.counters.cut(Cut::SlowBody), 1);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = Running::start(limits(), hello());
    let mut client = server.connect().await;
    client.send(&format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "a".repeat(20_000))).await;
    let answer = client.read_all().await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

/// More than sockets buffer.
fn large() -> Router {
    Router::new()
        .route("/", get(async || Body::from(vec![b'a'; 64 << 20])))
        .route("/stream", get(async || Body::from(vec![b'a'; 64 << 20])).layer(from_fn(stream)))
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut() {
    for (path, timeouts) in [
        // No byte is taken: idle.
        ("/stream", ServerLimits { idle_timeout_ms: 50, ..limits() }),
        // Whatever is taken, the whole takes too long.
        ("/", ServerLimits { request_timeout_ms: 50, ..limits() }),
    ] {
        let server = Running::start(timeouts, large());
        let mut client = server.connect().await;
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        client.until("HTTP/1.1 200").await;
        let is_cut = async {
            while server.counters.cut(Cut::SlowReader) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, is_cut).await.expect("the reader is cut");
        assert!(client.read_all().await.len() < 64 << 20, "nobody got the whole");
    }
}

#[tokio::test]
async fn a_stream_may_take_longer_than_a_request() {
    let limits = ServerLimits { request_timeout_ms: 0, ..limits() };
    let server = Running::start(limits, large());
    let mut client = server.connect().await;
    client.send("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(client.read_all().await.len() > 64 << 20);
    assert_eq!(server.counters.cut(Cut::SlowReader), 0);
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let server = Running::start(ServerLimits { connections_max: 1, ..limits() }, hello());
    let mut first = server.connect().await;
    first.send(GET).await;
    first.until("hello").await;
    let mut second = server.connect().await;
    second.send(GET).await;
    let answer = second.read_all().await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: 1"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&problem["code"], &problem["retryable"]), (&"overloaded".into(), &true.into()));
    assert_eq!(server.counters.refused(), 1);

    // The first is served on, and limits can be raised meanwhile.
    first.send(GET).await;
    first.until("hello").await;
    server.limits.replace(ServerLimits { connections_max: 2, ..limits() });
    let mut third = server.connect().await;
    third.send(GET).await;
    third.until("hello").await;
}

/// A handler that says when it has begun, and waits until it may end.
fn held(begun: &Arc<Notify>, go_on: &Arc<Notify>) -> Router {
    let (begun, go_on) = (begun.clone(), go_on.clone());
    let handler = async move || {
        begun.notify_one();
        go_on.notified().await;
        "done"
    };
    hello().route("/held", get(handler))
}

#[tokio::test]
async fn the_end_waits_for_what_is_in_flight_and_greets_nobody_new() {
    let (begun, go_on) = (Arc::default(), Arc::default());
    let server = Running::start(limits(), held(&begun, &go_on));
    let mut idle = server.connect().await;
    idle.send(GET).await;
    idle.until("hello").await;
    let mut busy = server.connect().await;
    busy.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    begun.notified().await;
    server.stop.send(()).unwrap();
    // Who asks for nothing is told goodbye at once; then the socket is closed already.
    assert_eq!(idle.read_all().await, "");
    assert!(TcpStream::connect(server.addr).await.is_err());
    assert!(!server.serving.is_finished());
    go_on.notify_one();
    let answer = busy.read_all().await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(server.serving.await.unwrap(), ServeReport { finished: 2, aborted: 0 });
    assert_eq!(server.counters.open(), 0);
}

#[tokio::test]
async fn the_end_waits_no_longer_than_it_may() {
    let (begun, go_on) = (Arc::default(), Arc::default());
    let server = Running::start(ServerLimits { drain_ms_max: 20, ..limits() }, held(&begun, &go_on));
    let mut busy = server.connect().await;
    busy.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n").await;
    begun.notified().await;
    server.stop.send(()).unwrap();
    assert_eq!(busy.read_all().await, "");
    assert_eq!(server.serving.await.unwrap(), ServeReport { finished: 0, aborted: 1 });
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let server = Running::start(limits(), hello());
    let error = Server::bind(server.addr, limits()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}
