//! What the tests of the relay's sinks share: messages, and services that may or may not be there.

use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use stockade::relay::sinks;
use stockade::relay::{Message, Sink, SinkSpec};
use stockade::{OrderNo, Position};

/// The address of a service, or `None`, with a line that says so, where nothing answers there.
///
/// With `STOCKADE_REQUIRE_SERVICES=1` that is a failure: no test passes there by skipping what it needs.
pub(crate) fn service(name: &str, variable: &str, default: &str) -> Option<String> {
    let address = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    let reachable = address
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .is_some_and(|address| TcpStream::connect_timeout(&address, Duration::from_secs(2)).is_ok());
    if reachable {
        return Some(address);
    }
    let required = std::env::var("STOCKADE_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
    assert!(!required, "{name} must answer at {address} ({variable})");
    println!("skipped: no {name} answers at {address} ({variable})");
    None
}

/// A name of this test's own on a shared service.
pub(crate) fn unique(what: &str) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("stockade-test-{what}-{}-{}", std::process::id(), now.as_nanos())
}

pub(crate) fn message(position: u64) -> Arc<Message> {
    Arc::new(Message {
        position: Position(position),
        order_no: OrderNo::from_u64(position),
        event: "OrderPaid",
        at_ms: 1_794_398_400_000 + position,
        attempt: 0,
        body: format!(r#"{{"schema":1,"position":{position}}}"#).into(),
    })
}

pub(crate) fn open(spec: &SinkSpec) -> Arc<dyn Sink> {
    sinks::open(spec, "test").unwrap()
}

/// A wire between a sink and its service that can be cut, or go silent in one direction.
pub(crate) struct Wire {
    pub(crate) address: String,
    state: Arc<WireState>,
}

#[derive(Default)]
struct WireState {
    cuts: tokio::sync::Notify,
    is_silent: std::sync::atomic::AtomicBool,
}

impl Wire {
    /// A wire to a service.
    pub(crate) async fn to(service: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(WireState::default());
        let (service, shared) = (service.to_owned(), state.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = tokio::net::TcpStream::connect(&service).await else { continue };
                let shared = shared.clone();
                tokio::spawn(async move {
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::select! {
                        () = forward(near_in, far_out, None) => {}
                        () = forward(far_in, near_out, Some(&shared)) => {}
                        () = shared.cuts.notified() => {}
                    }
                });
            }
        });
        Self { address, state }
    }

    /// What the service says is held back, until the wire is cut.
    pub(crate) fn silence(&self) {
        self.state.is_silent.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    /// Cuts all connections. New ones are whole.
    pub(crate) fn cut(&self) {
        self.state.is_silent.store(false, std::sync::atomic::Ordering::SeqCst);
        self.state.cuts.notify_waiters();
    }
}

async fn forward(
    from: tokio::net::tcp::OwnedReadHalf,
    to: tokio::net::tcp::OwnedWriteHalf,
    state: Option<&WireState>,
) {
    let mut bytes = vec![0; 16 << 10];
    while from.readable().await.is_ok() {
        let len = match from.try_read(&mut bytes) {
            Ok(0) => return,
            Ok(len) => len,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_broken) => return,
        };
        if state.is_some_and(|state| state.is_silent.load(std::sync::atomic::Ordering::SeqCst)) {
            continue;
        }
        let mut written = 0;
        while written < len {
            if to.writable().await.is_err() {
                return;
            }
            match to.try_write(&bytes[written..len]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_broken) => return,
            }
        }
    }
}

/// A connection that breaks is [`Undelivered::Down`](stockade::relay::Undelivered::Down) for all that is on its way, and the
/// next delivery connects again.
pub(crate) async fn breaks_and_connects_again(sink: Arc<dyn Sink>, wire: &Wire) {
    use futures_util::future::join_all;
    use stockade::relay::Undelivered;

    let deliver = async |position| {
        tokio::time::timeout(Duration::from_secs(60), sink.deliver(message(position))).await.unwrap()
    };
    for round in 0..3 {
        assert_eq!(deliver(round * 1_000 + 1).await, Ok(()));
        wire.silence();
        let on_their_way: Vec<_> =
            (2..=200).map(|n| sink.deliver(message(round * 1_000 + n))).map(tokio::spawn).collect();
        // They are written, and nothing is confirmed.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(on_their_way.iter().all(|delivery| !delivery.is_finished()));
        wire.cut();
        let outcomes = tokio::time::timeout(Duration::from_secs(60), join_all(on_their_way)).await.unwrap();
        for outcome in outcomes {
            let outcome = outcome.unwrap();
            assert!(matches!(outcome, Err(Undelivered::Down(_))), "{outcome:?}");
        }
    }
    assert_eq!(deliver(9_999).await, Ok(()));
    sink.close().await;
}
