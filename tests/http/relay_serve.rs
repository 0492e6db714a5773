//! The relay of `stockade serve`: subscriptions by configuration and by calls, over reloads, restarts and crashes.

use std::path::Path;

use serde_json::{Value, json};

use crate::life::{DESK, stock};
use crate::process::{Client, Server, configure};

const PASSWORD: &str = "hunter2-hunter2";
const LIST: &str = "/admin/relay/subscriptions";

fn with_relay(dir: &Path, section: &str) {
    configure(dir);
    let path = dir.join("stockade.toml");
    let config = std::fs::read_to_string(&path).expect("it is there");
    std::fs::write(&path, format!("{config}{section}")).expect("it is written");
}

fn place(server: &Server, name: &str) {
    let order = json!({"request_id": name, "lines": [{"sku_id": "42", "quantity": 1}]});
    server.client("member 7").post("/api/order/submit", &order).expect(201);
}

fn shown(desk: &mut Client, name: &str) -> Value {
    desk.get(&format!("{LIST}/{name}")).expect(200)
}

/// The positions of the messages that come when they are polled for, until there are so many.
fn polled(server: &Server, name: &str, len: usize) -> Vec<u64> {
    let mut poller = server.client(&format!("service relay:{name}"));
    let (mut positions, mut after) = (Vec::new(), String::new());
    while positions.len() < len {
        let answer = poller.get(&format!("/gateway/events/{name}?wait_ms=30000{after}")).expect(200);
        for message in answer["messages"].as_array().expect("a list") {
            positions.push(message["position"].as_u64().expect("a position"));
        }
        after = format!("&after={}", answer["next"].as_u64().expect("a message within half a minute"));
    }
    positions
}

#[test]
fn subscriptions_come_from_the_configuration_and_stay_over_reloads_and_restarts() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("rabbit.password"), PASSWORD).expect("it is written");
    let pull = "[relay.subscriptions.erp]\nevents = [\"OrderCreated\"]\nsink = { kind = \"pull\" }\n";
    // Nothing listens there.
    let rabbit = format!(
        "[relay.subscriptions.wms]\n[relay.subscriptions.wms.sink]\nkind = \"rabbitmq\"\naddress = \"127.0.0.1:1\"\n\
         user = \"shop\"\npassword = {{ file = {:?} }}\nexchange = \"orders\"\nqueue = \"wms\"\n",
        dir.path().join("rabbit.password")
    );
    with_relay(dir.path(), &format!("{pull}{rabbit}"));
    let server = Server::start(dir.path(), &["--log-level", "debug"]);
    let mut desk = server.client(DESK);
    stock(&mut desk, 100);
    let erp = shown(&mut desk, "erp");
    assert_eq!((&erp["configured"], &erp["state"]), (&json!(true), &json!("running")));
    let wms = shown(&mut desk, "wms");
    assert_eq!((&wms["has_secret"], &wms["spec"]["sink"]["password"]), (&json!(true), &Value::Null));
    // What comes from the configuration is changed there.
    let spec = json!({"spec": {"sink": {"kind": "pull"}, "in_flight_max": 3}});
    assert_eq!(desk.put(&format!("{LIST}/erp"), &spec).expect(409)["code"], "subscription_configured");
    // One more, made while it runs.
    let made = json!({"spec": {"events": ["OrderCreated"], "sink": {"kind": "pull"}}});
    desk.put(&format!("{LIST}/crm"), &made).expect(200);
    place(&server, "a");
    place(&server, "b");
    let first = polled(&server, "erp", 2);
    assert_eq!(polled(&server, "crm", 2), first);
    let mut poller = server.client("service relay:erp");
    poller.post("/gateway/events/erp/ack", &json!({"position": first[0]})).expect(200);

    // Another setting, and one subscription less.
    with_relay(dir.path(), &format!("{pull}in_flight_max = 9\n"));
    server.reload("was read again");
    let erp = shown(&mut desk, "erp");
    assert_eq!((&erp["spec"]["in_flight_max"], &erp["cursor"]), (&json!(9), &json!(first[0] + 1)));
    assert_eq!(shown(&mut desk, "wms")["state"], "paused", "what is left out is paused, not deleted");
    with_relay(dir.path(), &format!("{pull}in_flight_max = 0\n"));
    server.reload("not good");
    assert!(server.log().contains("relay.subscriptions.erp.in_flight_max: is 0"), "{}", server.log());
    let missing = "[relay.subscriptions.x]\nsink = { kind = \"webhook\", url = \"https://a.invalid/\", secret_file = \"/nonexistent/key\" }\n";
    with_relay(dir.path(), &format!("{pull}{missing}"));
    server.reload("the subscriptions are not good");
    assert_eq!(shown(&mut desk, "erp")["spec"]["in_flight_max"], 9, "the old ones stay in force");
    assert_eq!(desk.get(&format!("{LIST}/x")).status, 404);
    let log = server.end();
    assert!(!log.contains(PASSWORD));

    // Over an orderly end, and over a crash.
    with_relay(dir.path(), &format!("{pull}{rabbit}"));
    let server = Server::start(dir.path(), &[]);
    assert_eq!(polled(&server, "erp", 1), first[1..], "what was acknowledged doesn't come again");
    assert_eq!(polled(&server, "crm", 2), first, "what was not does");
    place(&server, "c");
    let all = polled(&server, "crm", 3);
    assert_eq!(all[..2], first);
    let mut poller = server.client("service relay:crm");
    poller.post("/gateway/events/crm/ack", &json!({"position": all[1]})).expect(200);
    server.kill();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(polled(&server, "crm", 1), all[2..]);
    assert_eq!(polled(&server, "erp", 2), all[1..]);
    assert_eq!(shown(&mut server.client(DESK), "wms")["state"], "down", "it was configured again");
    server.end();
}

#[test]
fn a_server_doesnt_start_without_a_secret_that_is_configured() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = "[relay.subscriptions.x]\nsink = { kind = \"webhook\", url = \"https://a.invalid/\", secret_file = \"/nonexistent/key\" }\n";
    with_relay(dir.path(), missing);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(["serve", "--config", "stockade.toml"]).env_clear().current_dir(dir.path());
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("relay.subscriptions.x.sink.secret") && said.contains("/nonexistent/key"),
        "{said}"
    );
}
