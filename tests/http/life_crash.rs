//! What callers were promised holds after the process was killed in the middle of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use serde_json::{Value, json};

use crate::life::{DESK, number, stock};
use crate::process::{Client, PATIENCE, Server, configure, verify};

/// Connections of each kind that keep orders coming, and that look for them afterwards.
const CONNECTIONS: usize = 2;
/// How often the process is killed.
const KILLS: usize = 3;
/// Answers of each kind that there are at least before it is.
const ANSWERS_MIN: usize = 40;
/// Units of SKU 42.
const UNITS: u64 = 100_000;
const PRICE: i64 = 19_900;

/// What somebody knows about an order when the process dies. Each member sends one request.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    /// It was sent, and nothing came back.
    Nothing,
    /// 202 with this number.
    Promised(String),
    /// 201 with this number.
    Placed(String),
    /// 201 with this number, and the provider has told that it is paid, heard or not.
    Paid(String),
}

/// Orders by their members.
type Orders = BTreeMap<u64, Known>;

/// What a connection does.
#[derive(Clone, Copy)]
enum Kind {
    /// Orders without waiting, as fast as it can.
    Promises,
    /// Orders, and waits.
    Places,
    /// Orders, waits, and pays.
    Pays,
}

const KINDS: [Kind; 3] = [Kind::Promises, Kind::Places, Kind::Pays];

/// How many answers of each kind have come.
#[derive(Default)]
struct Progress {
    counts: Mutex<[usize; KINDS.len()]>,
    grown: Condvar,
}

impl Progress {
    fn count(&self, kind: Kind) {
        self.counts.lock().expect("no panic")[kind as usize] += 1;
        self.grown.notify_all();
    }

    fn wait(&self) {
        let counts = self.counts.lock().expect("no panic");
        let few = |counts: &mut [usize; KINDS.len()]| counts.iter().any(|count| *count < ANSWERS_MIN);
        let waited = self.grown.wait_timeout_while(counts, PATIENCE, few).expect("no panic").1;
        assert!(!waited.timed_out(), "answers don't come");
    }
}

fn order(member: u64) -> Value {
    json!({"request_id": format!("of-{member}"), "lines": [{"sku_id": "42", "quantity": 1}]})
}

fn paid(order_no: &str) -> Value {
    json!({"order_no": order_no, "channel": "demo", "merchant": "shop", "transaction_id": order_no,
        "amount": PRICE})
}

/// Sends orders until the connection breaks.
fn keep_ordering(addr: &str, kind: Kind, next_member: &AtomicU64, progress: &Progress) -> Orders {
    let mut orders = Orders::new();
    let mut client = Client::new(addr, None);
    loop {
        let member = next_member.fetch_add(1, Ordering::Relaxed);
        client.become_who(&format!("member {member}"));
        orders.insert(member, Known::Nothing);
        let (prefer, status): (&[_], _) = match kind {
            Kind::Promises => (&[("Prefer", "respond-async")], 202),
            Kind::Places | Kind::Pays => (&[], 201),
        };
        let Ok(reply) = client.ask("POST", "/api/order/submit", prefer, &order(member).to_string()) else {
            return orders;
        };
        let order_no = number(&reply.expect(status));
        let known = match kind {
            Kind::Promises => Known::Promised(order_no.clone()),
            Kind::Places => Known::Placed(order_no.clone()),
            Kind::Pays => Known::Paid(order_no.clone()),
        };
        orders.insert(member, known);
        if let Kind::Pays = kind {
            let Ok(reply) = client.notify(&paid(&order_no)) else { return orders };
            assert_eq!(reply.expect(200)["result"], "paid");
        }
        progress.count(kind);
    }
}

/// Checks what is known of an order after a restart, sends its request again, and gives its number.
fn check(client: &mut Client, member: u64, known: &Known) -> String {
    client.become_who(&format!("member {member}"));
    let mut before = None;
    match known {
        Known::Nothing => {}
        Known::Placed(order_no) | Known::Paid(order_no) => {
            client.get(&format!("/api/order/{order_no}")).expect(200);
            before = Some(order_no.clone());
        }
        Known::Promised(order_no) => {
            let result = client.get(&format!("/api/order/result?order_no={order_no}&wait_ms=30000"));
            let result = result.expect(200);
            match result["status"].as_str() {
                Some("created") => {
                    assert_eq!(number(&result["order"]), *order_no);
                    before = Some(order_no.clone());
                }
                Some("failed") => assert_eq!(result["error"]["code"], "not_recorded", "{result}"),
                _ => panic!("an order that nobody works at is under way: {result}"),
            }
        }
    }
    let again = number(&client.post("/api/order/submit", &order(member)).expect(201));
    if let Some(before) = before {
        assert_eq!(again, before, "the same request has the same order");
    }
    if matches!(known, Known::Paid(_)) {
        for _ in 0..2 {
            let told = client.notify(&paid(&again)).expect("an answer").expect(200);
            assert_eq!((&told["result"], &told["order_no"]), (&json!("paid"), &json!(again)));
        }
    }
    let list = client.get("/api/order/list?counts=true").expect(200);
    assert_eq!((&list["counts"]["total"], &list["counts"]["complete"]), (&json!(1), &json!(true)), "{list}");
    let status = if matches!(known, Known::Paid(_)) { "paid" } else { "pending" };
    assert_eq!((number(&list["orders"][0]), &list["orders"][0]["status"]), (again.clone(), &json!(status)));
    again
}

/// Checks all orders over several connections; gives their numbers.
fn check_all(addr: &str, orders: &Orders) -> Vec<String> {
    let all: Vec<_> = orders.iter().collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let checking: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let (mut client, mut numbers) = (Client::new(addr, None), Vec::new());
                    while let Some((member, known)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                        numbers.push(check(&mut client, **member, known));
                    }
                    numbers
                })
            })
            .collect();
        checking.into_iter().flat_map(|thread| thread.join().expect("all is as it was promised")).collect()
    })
}

/// Keeps orders coming until the process is killed; gives what their members know.
fn order_until_killed(dir: &Path, next_member: &Arc<AtomicU64>) -> Orders {
    let server = Server::start(dir, &[]);
    let progress = Arc::new(Progress::default());
    let ordering: Vec<_> = [KINDS; CONNECTIONS]
        .into_iter()
        .flatten()
        .map(|kind| {
            let (addr, next_member) = (server.addr.clone(), next_member.clone());
            let progress = progress.clone();
            std::thread::spawn(move || keep_ordering(&addr, kind, &next_member, &progress))
        })
        .collect();
    progress.wait();
    server.kill();
    ordering.into_iter().flat_map(|thread| thread.join().expect("every answer is as it must be")).collect()
}

#[test]
fn what_was_promised_holds_after_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    configure(dir.path());
    let server = Server::start(dir.path(), &[]);
    stock(&mut server.client(DESK), UNITS);
    server.end();
    let next_member = Arc::new(AtomicU64::new(1));
    let mut orders = Orders::new();
    let mut numbers = Vec::new();
    for _ in 0..KILLS {
        let of_this_run = order_until_killed(dir.path(), &next_member);
        let server = Server::start(dir.path(), &[]);
        numbers.extend(check_all(&server.addr, &of_this_run));
        orders.extend(of_this_run);
        adds_up(&server, &orders);
        server.kill();
    }
    let server = Server::start(dir.path(), &[]);
    adds_up(&server, &orders);
    let exported =
        server.client(DESK).post("/admin/order/export", &json!({"format": "jsonl", "columns": []}));
    let mut exported: Vec<_> = exported
        .text()
        .lines()
        .map(|line| number(&serde_json::from_str(line).expect("a line of JSON")))
        .collect();
    exported.sort();
    numbers.sort();
    assert_eq!(exported, numbers, "every order once, and no other");
    server.end();
    verify(dir.path());
}

/// Checks that the stock is what these orders have left, and that each payment counts once.
fn adds_up(server: &Server, orders: &Orders) {
    let of_paid = orders.values().filter(|known| matches!(known, Known::Paid(_))).count() as u64;
    let of_all = orders.len() as u64;
    let stock = server.client(DESK).get("/admin/stock/42").expect(200);
    let pool = &stock["pools"][0];
    let expected = [UNITS, UNITS - of_all, of_all - of_paid, of_paid];
    let found =
        ["total", "available", "reserved", "sold"].map(|name| pool[name].as_u64().unwrap_or(u64::MAX));
    assert_eq!(found, expected, "{pool}");
}
