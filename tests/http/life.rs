//! The whole life of orders over HTTP: the real binary, a real port, a real directory.

use serde_json::{Value, json};
use stockade::{Day, UtcOffset};

use crate::process::{Client, PATIENCE, Reply, Server, configure, verify};

/// May do everything in the back office.
pub(crate) const DESK: &str = "admin support warehouse operations finance auditor security";

const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;

/// Puts goods on sale: SKU 42 at 199.00 and 43 at 59.00, so many units of each.
pub(crate) fn stock(desk: &mut Client, units: u64) {
    for (sku_id, code, price) in [(42, "TEA-50", 19_900), (43, "CUP-2", 5_900)] {
        let sku = json!({"product_id": "7", "code": code, "title": code, "price": price, "on_sale": true});
        desk.put(&format!("/admin/skus/{sku_id}"), &sku).expect(200);
        let delivery = json!({"request_id": "delivery", "sku_id": sku_id, "change": {"add": units},
            "reason": "delivery"});
        desk.post("/admin/stock/adjust", &delivery).expect(200);
    }
}

/// An order's number, in whatever has one.
#[track_caller]
pub(crate) fn number(answer: &Value) -> String {
    answer["order_no"].as_str().unwrap_or_else(|| panic!("no number in {answer}")).to_owned()
}

/// Counters of a pool of a SKU: total, available, reserved, sold.
fn counters(desk: &mut Client, sku_id: u64, pool: usize) -> [u64; 4] {
    let stock = desk.get(&format!("/admin/stock/{sku_id}")).expect(200);
    ["total", "available", "reserved", "sold"]
        .map(|name| stock["pools"][pool][name].as_u64().unwrap_or_else(|| panic!("no {name} in {stock}")))
}

fn paid(name: &str, value: &str, amount: i64) -> Value {
    let mut body = json!({"channel": "demo", "merchant": "shop", "transaction_id": format!("t-{value}"),
        "amount": amount});
    body[name] = json!(value);
    body
}

fn rows(reply: &Reply) -> Vec<Vec<String>> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = reply.body.strip_prefix("\u{feff}".as_bytes()).expect("a byte-order mark");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
    reader.records().map(|row| row.expect("a row").iter().map(str::to_owned).collect()).collect()
}

/// Puts a session on sale that runs, with ten units of SKU 42 at 99.00.
fn open_session(desk: &mut Client, now_ms: u64) {
    let session = json!({"kind": "seckill", "title": "Noon", "start": now_ms, "end": now_ms + HOUR_MS,
        "items": [{"sku_id": "42", "price": 9_900, "limit_per_member": 1}]});
    desk.put("/admin/activities/9", &session).expect(200);
    let transfer = json!({"request_id": "noon", "sku_id": "42", "to_activity_id": "9", "units": 10,
        "reason": "noon"});
    desk.post("/admin/stock/transfer", &transfer).expect(200);
}

#[test]
fn orders_live_from_the_preview_to_the_statement() {
    let dir = tempfile::tempdir().expect("a directory");
    configure(dir.path());
    let server = Server::start(dir.path(), &[]);
    let mut desk = server.client(DESK);
    let mut anybody = server.client("");
    stock(&mut desk, 100);
    let now_ms = anybody.get("/api/time").expect(200)["now_ms"].as_u64().expect("a time");
    open_session(&mut desk, now_ms);
    assert_eq!(anybody.get("/api/activities").expect(200)["activities"][0]["activity_id"], "9");

    // An order that is waited for, under the name that a header carries.
    let mut buyer = server.client("member 7");
    let lines = json!([{"sku_id": "42", "quantity": 1}, {"sku_id": "43", "quantity": 2}]);
    let preview = buyer.post("/api/order/preview", &json!({"lines": lines})).expect(200);
    assert_eq!(preview["expected_pay_amount"], 31_700);
    let order = json!({"lines": lines, "expected_pay_amount": 31_700, "external_no": "T-1"}).to_string();
    let submit = |buyer: &mut Client| {
        buyer.ask("POST", "/api/order/submit", &[("Idempotency-Key", "one")], &order).expect("an answer")
    };
    let receipt = submit(&mut buyer).expect(201);
    assert_eq!(submit(&mut buyer).expect(201), receipt, "the same request gets the same answer");
    let first = number(&receipt);

    // Orders of the session that are not waited for; only one for each member.
    let of_session = json!({"request_id": "two", "order_type": "seckill", "activity_id": "9",
        "lines": [{"sku_id": "42", "quantity": 1}]});
    let promise = buyer
        .ask("POST", "/api/order/submit", &[("Prefer", "respond-async")], &of_session.to_string())
        .expect("an answer");
    assert_eq!(promise.expect(202)["accepted"], false);
    let second = number(&promise.expect(202));
    let location = promise.header("location").expect("a place").to_owned();
    let result = buyer.get(&format!("{location}&wait_ms=30000")).expect(200);
    assert_eq!((&result["status"], number(&result["order"])), (&json!("created"), second.clone()));
    assert_eq!(result["order"]["pay_amount"], 9_900);
    let mut again = of_session.clone();
    again["request_id"] = json!("three");
    assert_eq!(buyer.post("/api/order/submit", &again).expect(409)["code"], "limit_exceeded");
    assert_eq!(counters(&mut desk, 42, 0), [90, 89, 1, 0]);
    assert_eq!(counters(&mut desk, 42, 1), [10, 9, 1, 0]);

    // Both are paid; the provider tells twice.
    let begun = buyer.post(&format!("/api/order/{first}/pay"), &json!({"channel": "demo"})).expect(200);
    let by_number = paid("pay_no", begun["pay_no"].as_str().expect("a number"), 31_700);
    for body in [&by_number, &paid("order_no", &second, 9_900)] {
        let told = anybody.notify(body).expect("an answer").expect(200);
        assert_eq!(told["result"], "paid");
        assert_eq!(anybody.notify(body).expect("an answer").expect(200), told);
    }
    let wrong = anybody.post("/callback/payment", &by_number);
    assert_eq!(wrong.expect(401)["code"], "missing_header");

    // Parcels, confirmation, and what goes back.
    for (order_no, tracking) in [(&first, "SF1"), (&second, "SF2")] {
        let parcel = json!({"carrier": "SF", "tracking_no": tracking});
        desk.post(&format!("/admin/order/{order_no}/ship"), &parcel).expect(200);
    }
    let confirmed = buyer.ask("POST", &format!("/api/order/{first}/confirm"), &[], "").expect("an answer");
    assert_eq!(confirmed.expect(200)["status"], "completed");
    let application = json!({"request_id": "r", "reason": "one is broken",
        "lines": [{"sku_id": "43", "quantity": 1}]});
    let applied = buyer.post(&format!("/api/order/{first}/refund"), &application).expect(201);
    let refund_no = applied["refund_no"].as_str().expect("a number").to_owned();
    assert_eq!(desk.get("/admin/refunds").expect(200)["refunds"][0]["refund_no"], json!(refund_no));
    let act = |desk: &mut Client, what: &str, body: Value| {
        desk.post(&format!("/admin/refunds/{refund_no}/{what}"), &body).expect(200)
    };
    act(&mut desk, "approve", json!({"restock": "none", "reason": "photos"}));
    act(&mut desk, "request", json!({}));
    let finished = act(&mut desk, "finish", json!({"provider_refund_id": "5030"}));
    assert_eq!((&finished["state"], &finished["amount"]), (&json!("finished"), &json!(5_900)));
    let shown = buyer.get(&format!("/api/refund/{refund_no}")).expect(200);
    assert_eq!((&shown["state"], &shown["provider_refund_id"]), (&json!("finished"), &json!("5030")));
    assert_eq!(counters(&mut desk, 43, 0), [100, 98, 0, 2]);

    exports(&mut desk, &first, &second);
    statement(&mut desk, &mut buyer);
    server.end();
    verify(dir.path());
}

fn exports(desk: &mut Client, first: &str, second: &str) {
    let columns = json!(["external_no", "status", "pay_amount", "refunded_amount", "units", "tracking_no"]);
    let expected = [
        [first, "T-1", "completed", "31700", "5900", "3", "SF1"],
        [second, "", "shipped", "9900", "0", "1", "SF2"],
    ];
    let csv = desk.post("/admin/order/export", &json!({"format": "csv", "columns": columns}));
    // An apostrophe keeps a spreadsheet from rounding a long number.
    let mut found = rows(&csv).split_off(1);
    for row in &mut found {
        row[0] = row[0].trim_start_matches('\'').to_owned();
    }
    assert_eq!(found, expected);
    let lines = desk.post("/admin/order/export", &json!({"format": "jsonl", "columns": columns}));
    assert_eq!(lines.status, 200);
    let found: Vec<Value> =
        lines.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(found.len(), 2);
    for (line, expected) in found.iter().zip(expected) {
        assert_eq!((&line["order_no"], &line["status"]), (&json!(expected[0]), &json!(expected[2])));
        assert_eq!(line["pay_amount_cents"].to_string(), expected[3]);
        assert_eq!(line["refunded_amount_cents"].to_string(), expected[4]);
    }
}

/// Takes the statement of a day that ends with the minute that runs, somewhere on earth, and checks its sums.
fn statement(desk: &mut Client, buyer: &mut Client) {
    let now_ms = buyer.get("/api/time").expect(200)["now_ms"].as_u64().expect("a time");
    let end_minute = now_ms / MINUTE_MS + 1;
    let of_day = i32::try_from(end_minute % (24 * 60)).expect("minutes of a day");
    let minutes = if of_day <= 12 * 60 { -of_day } else { 24 * 60 - of_day };
    let zone = UtcOffset::from_minutes(minutes).expect("half a day at most");
    let day = Day::of(now_ms, zone);
    let path = format!("/admin/statement?day={day}&zone={}", zone.to_string().replace('+', "%2B"));
    let begun = std::time::Instant::now();
    for nth in 0.. {
        let reply = desk.get(&path);
        if reply.status == 200 {
            let sum = &reply.expect(200)["sum"];
            assert_eq!(sum["received"], json!({"count": 2, "amount": 41_600}));
            assert_eq!(sum["refunded"], json!({"count": 1, "amount": 5_900}));
            assert_eq!((&sum["opening"], &sum["closing"]), (&json!(0), &json!(35_700)));
            return;
        }
        assert_eq!(reply.expect(409)["code"], "day_not_closed");
        assert!(begun.elapsed() < PATIENCE, "the day doesn't close");
        // An event behind the day's end closes it.
        let order = json!({"request_id": format!("s{nth}"), "lines": [{"sku_id": "43", "quantity": 1}]});
        buyer.post("/api/order/submit", &order).expect(201);
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
