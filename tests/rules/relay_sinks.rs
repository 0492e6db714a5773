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
