//! Keys of tokens are changed while requests run, and none of them fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;
use stockade::http::auth::Scopes;
use stockade::http::auth::mint::mint_hs256;
use stockade::http::auth::tokens::Role;

use crate::life::{DESK, stock};
use crate::process::{Client, PATIENCE, Server, configure, configure_keys};

const NEW_SECRET: &[u8] = b"another secret of thirty-two bytes, at least";
/// Requests that each step sees at least.
const REQUESTS_MIN: usize = 60;
/// Connections that requests come over.
const CONNECTIONS: u64 = 3;

fn new_token(member: u64) -> String {
    // Until the year 2100.
    let token =
        mint_hs256(NEW_SECRET, "b", &member.to_string(), Role::Member, Scopes::NONE, 4_102_444_800_000);
    format!("Bearer {token}")
}

/// Orders and reads until it is stopped, with the old token or the new one.
fn keep_asking(addr: &str, member: u64, is_new: &AtomicBool, stop: &AtomicBool, answered: &[AtomicUsize; 2]) {
    let mut old = Client::new(addr, Some(crate::support::token(&format!("member {member}"))));
    let mut new = Client::new(addr, Some(new_token(member)));
    for nth in 0.. {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let is_new = is_new.load(Ordering::Acquire);
        let client = if is_new { &mut new } else { &mut old };
        let order =
            json!({"request_id": format!("k{nth}"), "lines": [{"sku_id": "42", "quantity": 1}]}).to_string();
        let placed = client.ask("POST", "/api/order/submit", &[], &order).expect("an answer");
        assert_eq!(placed.status, 201, "{}", placed.text());
        let listed = client.ask("GET", "/api/order/list?size=1", &[], "").expect("an answer");
        assert_eq!(listed.status, 200, "{}", listed.text());
        answered[usize::from(is_new)].fetch_add(2, Ordering::AcqRel);
    }
}

/// Waits until so many more requests were answered.
fn wait_for_more(answered: &AtomicUsize) {
    let (begun, before) = (std::time::Instant::now(), answered.load(Ordering::Acquire));
    while answered.load(Ordering::Acquire) < before + REQUESTS_MIN {
        assert!(begun.elapsed() < PATIENCE, "requests are not answered");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_new_key_takes_over_and_no_request_fails() {
    let dir = tempfile::tempdir().expect("a directory");
    configure(dir.path());
    std::fs::write(dir.path().join("new.key"), NEW_SECRET).expect("it is written");
    let server = Server::start(dir.path(), &[]);
    stock(&mut server.client(DESK), 1_000_000);
    assert_eq!(Client::new(&server.addr, Some(new_token(1))).get("/api/order/list").status, 401);
    let (is_new, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let answered = [AtomicUsize::new(0), AtomicUsize::new(0)];
    std::thread::scope(|scope| {
        for member in 1..=CONNECTIONS {
            let (is_new, stop, answered, addr) = (&is_new, &stop, &answered, &server.addr);
            scope.spawn(move || keep_asking(addr, member, is_new, stop, answered));
        }
        // A panic of this closure ends the others, too.
        let _stop = StopAtTheEnd(&stop);
        wait_for_more(&answered[0]);
        configure_keys(dir.path(), &[("a", "token.key"), ("b", "new.key")]);
        server.reload("was read again");
        wait_for_more(&answered[0]);
        is_new.store(true, Ordering::Release);
        wait_for_more(&answered[1]);
        // Only then may the old one go: what began under it has been answered by now.
        configure_keys(dir.path(), &[("b", "new.key")]);
        server.reload("was read again");
        wait_for_more(&answered[1]);
    });
    let refused = server.client("member 1").get("/api/order/list");
    assert_eq!(refused.expect(401)["retryable"], false);
    // A configuration that can't be read takes no key away.
    configure_keys(dir.path(), &[("c", "absent.key")]);
    server.reload("the keys are not good");
    assert_eq!(Client::new(&server.addr, Some(new_token(1))).get("/api/order/list").status, 200);
    let log = server.end();
    for secret in [NEW_SECRET, crate::support::SECRET] {
        assert!(!log.contains(std::str::from_utf8(secret).expect("text")));
    }
}

/// Stops who asks when it is dropped.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
