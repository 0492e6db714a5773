//! Order search of `stockade serve`: the switch on SIGHUP, and what the log says of queries.

use std::path::Path;

use serde_json::{Value, json};

use crate::life::{DESK, stock};
use crate::process::{Client, PATIENCE, Server, configure};
use crate::search::encoded;

/// In no other word of the log.
const NAME: &str = "张三丰";
const PHONE: &str = "13812345678";

fn with_search(dir: &Path, section: &str) {
    configure(dir);
    let path = dir.join("stockade.toml");
    let config = std::fs::read_to_string(&path).expect("it is there");
    std::fs::write(&path, format!("{config}[search]\n{section}")).expect("it is written");
}

fn place(buyer: &mut Client, name: &str) -> String {
    let receiver = json!({"name": NAME, "phone": PHONE, "province": "广东省", "address": "科技园路 1 号"});
    let order = json!({"request_id": name, "lines": [{"sku_id": "42", "quantity": 1}], "receiver": receiver});
    let receipt = buyer.post("/api/order/submit", &order).expect(201);
    receipt["order_no"].as_str().expect("a number").to_owned()
}

fn numbers(list: &Value) -> Vec<&str> {
    let orders = list["orders"].as_array().expect("a list");
    orders.iter().map(|order| order["order_no"].as_str().expect("a number")).collect()
}

#[test]
fn the_switch_is_put_by_a_hang_up_and_queries_stay_out_of_the_log() {
    let dir = tempfile::tempdir().expect("a directory");
    with_search(dir.path(), "refresh_ms = 10\n");
    let server = Server::start(dir.path(), &["--log-level", "debug"]);
    let mut desk = server.client(DESK);
    stock(&mut desk, 10);
    let number = place(&mut server.client("member 7"), "a");
    let words = format!("/admin/order?fresh=true&q={}", encoded(NAME));
    let phone = format!("/admin/order?fresh=true&q={}", encoded(&format!("phone:{}", &PHONE[5..])));
    let status = |desk: &mut Client| desk.get("/admin/search/status").expect(200);
    assert_eq!(status(&mut desk)["mode"], "fallback", "the default of a server with a store");
    // The first build of the index may still be under way.
    let deadline = std::time::Instant::now() + PATIENCE;
    while desk.get(&words).status != 200 {
        assert!(std::time::Instant::now() < deadline, "the index doesn't come");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for path in [&words, &phone] {
        let list = desk.get(path).expect(200);
        assert_eq!((numbers(&list), &list["source"]), (vec![&*number], &json!("index")));
    }

    with_search(dir.path(), "refresh_ms = 10\nmode = \"off\"\n");
    server.reload("was read again");
    assert_eq!(status(&mut desk)["mode"], "off");
    let refused = desk.get(&words).expect(501);
    assert_eq!(refused["code"], "search_words_unavailable");
    let list = desk.get("/admin/order?fresh=true&q=status%3Apending").expect(200);
    assert_eq!((numbers(&list), &list["source"]), (vec![&*number], &json!("store")));

    with_search(dir.path(), "refresh_ms = 10\nmode = \"sideways\"\n");
    server.reload("not good");
    assert_eq!(status(&mut desk)["mode"], "off", "a bad configuration changes nothing");
    with_search(dir.path(), "refresh_ms = 20\nmode = \"on\"\nmax_lag_ms = 5000\n");
    server.reload("was read again");
    assert_eq!(status(&mut desk)["mode"], "on");
    let deadline = std::time::Instant::now() + PATIENCE;
    while desk.get(&words).status != 200 {
        assert!(std::time::Instant::now() < deadline, "the index doesn't come back");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    desk.get(&format!("/admin/order?q={}", encoded(&format!("{NAME} status:lost")))).expect(422);
    let log = server.end();
    assert!(log.contains("key=\"search.refresh_ms\"") || log.contains("key=search.refresh_ms"), "{log}");
    for private in [NAME, &encoded(NAME), PHONE, &PHONE[5..]] {
        assert!(!log.contains(private), "{private} is in the log");
    }
}

#[test]
fn a_server_without_a_store_has_no_search_and_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    configure(dir.path());
    let path = dir.path().join("stockade.toml");
    let config = std::fs::read_to_string(&path).expect("it is there");
    std::fs::write(&path, format!("{config}store = false\n")).expect("it is written");
    let server = Server::start(dir.path(), &[]);
    let mut desk = server.client(DESK);
    assert_eq!(desk.get("/admin/search/status").expect(200)["mode"], "off");
    assert_eq!(desk.get("/admin/order?q=tea").status, 501);
    server.end();
}
