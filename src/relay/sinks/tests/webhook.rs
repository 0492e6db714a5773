//! Webhooks against a server of the test's own: signatures, answers, redirects, slowness, private addresses.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tower_service::Service;

use crate::domain::ids::Position;
use crate::relay::message::Message;
use crate::relay::sink::{Sink, Undelivered};
use crate::relay::sinks::guard::GuardedResolver;
use crate::relay::sinks::webhook::{Resolver, Webhook, open, open_with, sign};
use crate::relay::spec::{Secret, WebhookSpec};

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn spec(url: String, timeout_ms: u64) -> WebhookSpec {
    WebhookSpec { url, secret: Secret(KEY.into()), timeout_ms, allow_private: true, tls_ca: None }
}

fn message(position: u64) -> Arc<Message> {
    Arc::new(Message {
        position: Position(position),
        order_no: None,
        event: "OrderPaid",
        at_ms: 1,
        attempt: 0,
        body: Bytes::from_static(b"{\"schema\":1}"),
    })
}

/// What a server has seen, and how many connections it took.
#[derive(Default)]
struct Seen {
    requests: Vec<(String, HeaderMap, Bytes)>,
    connections: usize,
}

/// A server that answers every request by `answer`, which gets the path. `None` is no answer at all.
async fn server(
    answer: impl Fn(&str) -> Option<Response<Full<Bytes>>> + Clone + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Seen>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let shared = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            shared.lock().unwrap().connections += 1;
            let (shared, answer) = (shared.clone(), answer.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let (shared, answer) = (shared.clone(), answer.clone());
                async move {
                    let path = request.uri().path().to_owned();
                    let headers = request.headers().clone();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    shared.lock().unwrap().requests.push((path.clone(), headers, body));
                    match answer(&path) {
                        Some(response) => Ok::<_, Infallible>(response),
                        None => std::future::pending().await,
                    }
                }
            });
            tokio::spawn(async move {
                // The client may leave at any time.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (address, seen)
}

fn status(code: u16) -> Option<Response<Full<Bytes>>> {
    Some(Response::builder().status(code).body(Full::default()).unwrap())
}

async fn deliver(sink: &dyn Sink, position: u64) -> Result<(), Undelivered> {
    tokio::time::timeout(Duration::from_secs(60), sink.deliver(message(position))).await.unwrap()
}

fn refused(outcome: Result<(), Undelivered>, part: &str) {
    match outcome {
        Err(Undelivered::Refused(reason)) => assert!(reason.contains(part), "{reason}"),
        other => panic!("{other:?}"),
    }
}

fn down(outcome: Result<(), Undelivered>, part: &str) {
    match outcome {
        Err(Undelivered::Down(reason)) => assert!(reason.contains(part), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_signature_is_frozen() {
    // As openssl gives it: printf '1794398400000.{"a":1}' | openssl dgst -sha256 -hmac 0123456789abcdef
    assert_eq!(sign(b"0123456789abcdef", "1794398400000", b"{\"a\":1}"), SIGNED);
}

const SIGNED: &str = "v1=8fedddd9576e7e763143079033a698527d7b19cfe22074cb2027c75b32c740ac";

#[tokio::test]
async fn messages_are_signed_and_one_connection_serves_many() {
    let (address, seen) = server(|_| status(204)).await;
    let sink = open(&spec(format!("http://{address}/hook"), 10_000)).unwrap();
    for position in 1..=20 {
        assert_eq!(deliver(&sink, position).await, Ok(()));
    }
    let seen = seen.lock().unwrap();
    assert_eq!((seen.requests.len(), seen.connections), (20, 1), "the connection is kept");
    for (position, (path, headers, body)) in (1..).zip(&seen.requests) {
        let header = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(path, "/hook");
        assert_eq!(header("stockade-position"), position.to_string());
        assert_eq!(header("stockade-event"), "OrderPaid");
        assert_eq!(header("content-type"), "application/json");
        let expected = sign(KEY.as_bytes(), header("stockade-timestamp"), body);
        assert_eq!(header("stockade-signature"), expected);
        assert_ne!(expected, sign(b"another key of 16+ bytes", header("stockade-timestamp"), body));
        assert_ne!(expected, sign(KEY.as_bytes(), "1", body));
    }
}

#[tokio::test]
async fn every_answer_has_its_meaning() {
    let (address, seen) = server(|path| match path {
        "/redirect" => Some(
            Response::builder().status(302).header("location", "/elsewhere").body(Full::default()).unwrap(),
        ),
        "/busy" => {
            Some(Response::builder().status(503).header("retry-after", "7").body(Full::default()).unwrap())
        }
        "/large" => Some(Response::new(Full::from(vec![b'x'; 1 << 20]))),
        other => status(other[1..].parse().unwrap()),
    })
    .await;
    let answered = async |path: &str| {
        let sink = open(&spec(format!("http://{address}{path}"), 10_000)).unwrap();
        deliver(&sink, 1).await
    };
    for code in [200, 201, 202, 204] {
        assert_eq!(answered(&format!("/{code}")).await, Ok(()), "{code}");
    }
    for code in [400, 401, 404, 409, 410, 500, 502, 504] {
        refused(answered(&format!("/{code}")).await, &code.to_string());
    }
    down(answered("/429").await, "429");
    down(answered("/busy").await, "answered 503, to be tried again after 7");
    refused(answered("/redirect").await, "redirects are not followed");
    assert_eq!(answered("/large").await, Ok(()), "what it says beyond its status is thrown away");
    assert!(seen.lock().unwrap().requests.iter().all(|(path, ..)| path != "/elsewhere"));
}

#[tokio::test]
async fn silence_is_refused_once_connected_and_down_before() {
    let (address, _) = server(|_| None).await;
    let sink = open(&spec(format!("http://{address}/"), 100)).unwrap();
    refused(deliver(&sink, 1).await, "no answer within 100ms");
    // Nothing listens there: refused by the machine, not by the other side.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let sink = open(&spec(format!("http://{free}/"), 1_000)).unwrap();
    down(deliver(&sink, 1).await, "refused");
    // It takes connections into its backlog, and speaks no TLS: no connection comes about.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let sink = open(&spec(format!("https://{address}/"), 200)).unwrap();
    down(deliver(&sink, 1).await, "no connection within 200ms");
}

/// A resolver that answers with the next of its lists each time, and the last one from then on.
#[derive(Clone)]
struct Rebinding(Arc<Mutex<Vec<Vec<SocketAddr>>>>);

impl Service<Name> for Rebinding {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = std::future::Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _name: Name) -> Self::Future {
        let mut lists = self.0.lock().unwrap();
        let next = if lists.len() > 1 { lists.remove(0) } else { lists[0].clone() };
        std::future::ready(Ok(next.into_iter()))
    }
}

impl Resolver for Rebinding {}

fn resolving(url: &str, allow_private: bool, lists: Vec<Vec<SocketAddr>>) -> Webhook<Rebinding> {
    let spec = WebhookSpec { allow_private, ..spec(url.to_owned(), 500) };
    open_with(&spec, Rebinding(Arc::new(Mutex::new(lists)))).unwrap()
}

#[tokio::test]
async fn a_name_that_resolves_to_a_private_address_is_never_connected_to() {
    let (local, seen) = server(|_| status(200)).await;
    // One public address among private ones is of no help, nor is a public one the first time.
    let public: SocketAddr = "203.0.114.1:9".parse().unwrap();
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), local.port());
    let metadata: SocketAddr = "169.254.169.254:80".parse().unwrap();
    for addresses in [vec![local], vec![public, local], vec![mapped], vec![metadata]] {
        let sink = resolving(&format!("https://erp.example.com:{}/", local.port()), false, vec![addresses]);
        down(deliver(&sink, 1).await, "erp.example.com resolves to a private address");
    }
    // What is connected to is what was checked: a name that means something else the next time is checked again.
    let lists = Rebinding(Arc::new(Mutex::new(vec![vec![public], vec![local]])));
    let mut guarded = GuardedResolver::new(lists, false);
    let name = || "erp.example.com".parse::<Name>().unwrap();
    assert_eq!(guarded.call(name()).await.unwrap().collect::<Vec<_>>(), [public]);
    assert!(guarded.call(name()).await.is_err());
    assert_eq!(seen.lock().unwrap().connections, 0, "nothing has reached the local server");

    let sink = resolving(&format!("http://erp.example.com:{}/", local.port()), true, vec![vec![local]]);
    assert_eq!(deliver(&sink, 1).await, Ok(()), "where it is allowed, it is");
    assert_eq!(seen.lock().unwrap().connections, 1);
}
