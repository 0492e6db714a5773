//! The example of a consumer, run as it stands: repeated messages and kills change nothing about its tables.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lapin::options::QueueDeleteOptions;
use lapin::{Connection, ConnectionProperties};
use serde_json::{Value, json};
use stockade::Position;
use stockade::relay::{Message, RabbitSpec, Secret, Sink, SinkSpec};

use crate::relay_sinks::{open, service, unique};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/rabbitmq-consumer")
}

/// A Python with what the example needs, made once and kept between runs; `None`, with a line that says so, where it can't be
/// had. With `STOCKADE_REQUIRE_SERVICES=1` that is a failure.
fn python() -> Option<PathBuf> {
    let missing = |what: &str, output: Option<Output>| {
        let required = std::env::var("STOCKADE_REQUIRE_SERVICES").is_ok_and(|value| value == "1");
        let said =
            output.map_or_else(String::new, |output| String::from_utf8_lossy(&output.stderr).into_owned());
        assert!(!required, "{what} is needed: {said}");
        println!("skipped: {what} is not to be had");
        None
    };
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rabbitmq-consumer");
    let python = venv.join("bin/python");
    let has_pika = || {
        let tried = Command::new(&python).args(["-c", "import pika"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    if has_pika() {
        return Some(python);
    }
    let _ = std::fs::remove_dir_all(&venv);
    match Command::new("python3").args(["-m", "venv"]).arg(&venv).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => return missing("python3 with venv", Some(output)),
        Err(_) => return missing("python3", None),
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    match pip.arg(folder().join("requirements.txt")).output() {
        Ok(output) if output.status.success() && has_pika() => Some(python),
        Ok(output) => missing("pika", Some(output)),
        Err(_) => missing("pip", None),
    }
}

/// The consumer, with a queue and tables of its own.
struct Consumer {
    python: PathBuf,
    url: String,
    queue: String,
    tables: tempfile::TempDir,
}

impl Consumer {
    fn command(&self, command: &str) -> Command {
        let mut program = Command::new(&self.python);
        program.arg(folder().join("consumer.py")).arg(command).env_clear();
        program.env("STOCKADE_AMQP_URL", &self.url).env("STOCKADE_QUEUE", &self.queue);
        program.env("STOCKADE_DB", self.tables.path().join("internal.db"));
        program
    }

    fn run(&self) -> Child {
        self.command("run").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn show(&self) -> Value {
        let output = self.command("show").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits until so many messages have been taken in.
    async fn has_seen(&self, len: u64) {
        let began = Instant::now();
        while self.show()["seen"].as_u64().unwrap() < len {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", self.show());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The `version`th message of an order: each order has three.
fn message(order: u64, version: u64) -> Arc<Message> {
    let position = (version - 1) * 1_000 + order;
    let (event, status) = [("OrderCreated", "pending"), ("OrderPaid", "paid"), ("OrderShipped", "shipped")]
        [usize::try_from(version - 1).unwrap()];
    let body = json!({
        "schema": 1, "position": position, "event": event, "order_no": order.to_string(), "version": version,
        "user_id": "7", "order_type": "normal", "status": status, "amount": order * 100, "external_no": null,
        "at_ms": position, "a_field_that_is_new": {},
    });
    Arc::new(Message {
        position: Position(position),
        order_no: None,
        event,
        at_ms: position,
        attempt: 0,
        body: body.to_string().into(),
    })
}

async fn send(sink: &Arc<dyn Sink>, messages: impl Iterator<Item = Arc<Message>>) {
    let outcomes = join_all(messages.map(|message| sink.deliver(message))).await;
    assert_eq!(outcomes.into_iter().find(Result::is_err), None);
}

const ORDERS: u64 = 900;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_keeps_its_tables_exactly_once() {
    let Some(address) = service("RabbitMQ", "STOCKADE_RABBITMQ", "127.0.0.1:5672") else { return };
    let Some(python) = python() else { return };
    let queue = unique("consumer");
    let spec = RabbitSpec {
        address: address.clone(),
        user: "guest".to_owned(),
        password: Secret("guest".to_owned()),
        vhost: "/".to_owned(),
        tls: false,
        tls_ca: None,
        exchange: String::new(),
        queue: Some(queue.clone()),
        routing_key: None,
        mirror: false,
    };
    let sink = open(&SinkSpec::Rabbitmq(spec));
    let url = format!("amqp://guest:guest@{address}/%2f");
    let tables = tempfile::tempdir().unwrap();
    let consumer = Consumer { python, url: url.clone(), queue: queue.clone(), tables };
    send(&sink, (1..=ORDERS).map(|order| message(order, 1))).await;
    let mut running = consumer.run();
    consumer.has_seen(1).await;
    // Killed in the middle, and everything comes again.
    running.kill().unwrap();
    running.wait().unwrap();
    send(&sink, (1..=ORDERS).map(|order| message(order, 1))).await;
    let mut running = consumer.run();
    send(&sink, (1..=ORDERS).flat_map(|order| [message(order, 2), message(order, 2)])).await;
    consumer.has_seen(ORDERS + ORDERS / 3).await;
    running.kill().unwrap();
    running.wait().unwrap();
    let mut running = consumer.run();
    send(&sink, (1..=ORDERS).map(|order| message(order, 3))).await;
    // Late and out of its sequence: it changes nothing that is newer.
    send(&sink, (1..=ORDERS).map(|order| message(order, 2))).await;
    consumer.has_seen(3 * ORDERS).await;
    let ended = Command::new("kill").arg(running.id().to_string()).status().unwrap();
    assert!(ended.success());
    assert!(running.wait().unwrap().success(), "it ends in good order");

    let shown = consumer.show();
    assert_eq!(shown["seen"], 3 * ORDERS);
    let each = json!({"OrderCreated": ORDERS, "OrderPaid": ORDERS, "OrderShipped": ORDERS});
    assert_eq!(shown["events"], each, "every event counts once");
    let orders = shown["orders"].as_array().unwrap();
    assert_eq!(orders.len() as u64, ORDERS);
    for row in orders {
        let order: u64 = row[0].as_str().unwrap().parse().unwrap();
        assert_eq!(*row, json!([order.to_string(), "7", "shipped", order * 100, 3]));
    }
    // A schema that it doesn't know stops it, and the message stays.
    let newer = Message { body: r#"{"schema":2,"position":9999}"#.into(), ..(*message(1, 3)).clone() };
    send(&sink, std::iter::once(Arc::new(newer))).await;
    let output = consumer.command("run").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    sink.close().await;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let left = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
    assert!(left >= 1, "what was not understood was not acknowledged");
}
