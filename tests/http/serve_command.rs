//! `stockade serve`, as a process: its start, its end, and what a signal does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

const ORDER: &str = r#"{"request_id": "demo-1", "lines": [{"sku_id": "42", "quantity": 1}]}"#;

/// A server for a demonstration, killed when it is dropped.
struct Demo {
    process: Child,
    out: BufReader<ChildStdout>,
    addr: String,
    token: String,
    pay_secret: String,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Gone already, in most tests.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.arg("serve").args(args).env_clear().current_dir(dir);
    command
}

impl Demo {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let all = [&["--demo", "--listen", "127.0.0.1:0"], args].concat();
        let mut command = command(dir, &all);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut out = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut line_with = |begins: &str| loop {
            let mut line = String::new();
            assert_ne!(out.read_line(&mut line).expect("it writes"), 0, "it ended before {begins}");
            if let Some(rest) = line.trim_end().strip_prefix(begins) {
                return rest.to_owned();
            }
        };
        let addr = line_with("Stockade demo at http://").split(',').next().unwrap_or_default().to_owned();
        let (token, pay_secret) = (line_with("TOKEN="), line_with("PAY_SECRET="));
        Self { process, out, addr, token, pay_secret }
    }

    /// Sends a request over a connection of its own; gives head and body.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let token = format!("Authorization: Bearer {}\r\nContent-Type: application/json\r\n", self.token);
        self.ask_with(method, path, &token, body)
    }

    fn ask_with(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        // It is printed a moment before it listens.
        let mut stream = loop {
            match TcpStream::connect(&self.addr) {
                Ok(stream) => break stream,
                Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    fn order(&self) -> String {
        let answer = self.ask("POST", "/api/order/submit", ORDER);
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        answer.split("\r\n\r\n").nth(1).expect("a body").to_owned()
    }

    /// Says as the payment provider that an order is paid.
    fn pay(&self, order_no: &str) -> String {
        use hmac::{Hmac, Mac};
        let body = format!(
            r#"{{"order_no": "{order_no}", "channel": "demo", "merchant": "shop", "transaction_id": "{order_no}", "amount": 16900}}"#
        );
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(self.pay_secret.as_bytes()).expect("any length");
        mac.update(format!("{now}.{body}").as_bytes());
        let signature: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = format!("X-Stockade-Timestamp: {now}\r\nX-Stockade-Signature: v1={signature}\r\n");
        self.ask_with("POST", "/callback/payment/demo", &headers, &body)
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill runs").success());
    }

    /// Waits for its end; gives its exit code and its log.
    fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        let mut err = self.process.stderr.take().expect("it is piped");
        err.read_to_string(&mut log).expect("text");
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("text");
        (self.process.wait().expect("it ends").code(), log)
    }
}

#[test]
fn the_demo_sells_ends_in_order_and_goes_on_where_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let demo = Demo::start(dir.path(), &[]);
    let receipt = demo.order();
    demo.signal("-TERM");
    let (code, log) = demo.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("ended: everything is on disk"), "{log}");
    assert!(dir.path().join("stockade-demo").is_dir());

    let demo = Demo::start(dir.path(), &["--log-format", "json"]);
    assert_eq!(demo.order(), receipt, "the same request gets the same answer after a restart");
    let receipt: serde_json::Value = serde_json::from_str(&receipt).expect("a receipt");
    let paid = demo.pay(receipt["order_no"].as_str().expect("a number"));
    assert!(paid.starts_with("HTTP/1.1 20"), "{paid}");
    demo.signal("-INT");
    let (code, log) = demo.end();
    assert_eq!(code, Some(0), "{log}");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("each line is JSON");
    }
}

#[test]
fn the_commands_that_the_demo_prints_do_what_they_say() {
    if !crate::examples::has_curl() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = command(dir.path(), &["--demo", "--listen", "127.0.0.1:0"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut out = BufReader::new(process.stdout.take().expect("it is piped"));
    let mut printed = String::new();
    while !printed.contains("/api/order/list") {
        assert_ne!(out.read_line(&mut printed).expect("it writes"), 0, "it ended after {printed}");
    }
    let mut demo =
        Demo { process, out, addr: String::new(), token: String::new(), pay_secret: String::new() };
    demo.addr = printed.split("http://").nth(1).and_then(|rest| rest.split(',').next()).expect("one").into();
    // It is printed a moment before it listens.
    demo.ask_with("GET", "/healthz", "", "");
    let commands = &printed[printed.find("TOKEN=").expect("a token")..];
    let said = || {
        let output = Command::new("sh").args(["-euc", commands]).env_remove("http_proxy").output();
        String::from_utf8(output.expect("it runs").stdout).expect("text")
    };
    for expected in ["shipped", "already"] {
        let said = said();
        let order_no = said.split('"').nth(3).expect("a number").to_owned();
        assert!(order_no.len() > 10 && order_no.bytes().all(|byte| byte.is_ascii_digit()), "{said}");
        assert!(said.contains("HTTP/1.1 200") && said.contains(r#""result":"paid""#), "{said}");
        assert!(said.contains(&format!(r#""outcome":"{expected}""#)), "{said}");
        let list = &said[said.rfind(r#"{"orders":"#).expect("a list")..];
        let list: serde_json::Value = serde_json::from_str(list).expect("a list");
        let orders = list["orders"].as_array().expect("a list");
        assert_eq!(orders.len(), 2, "one of every day, and one of the session: {list}");
        let shipped = orders.iter().find(|order| order["order_no"] == *order_no).expect("the first");
        assert_eq!(shipped["status"], "shipped");
    }
    demo.signal("-TERM");
    assert_eq!(demo.process.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_hang_up_takes_good_limits_and_no_bad_ones() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("stockade.toml");
    std::fs::write(&config, "[limits]\nper_address_per_s = 0\n").expect("it is written");
    let mut demo = Demo::start(dir.path(), &["--config", "stockade.toml"]);
    demo.order();
    let mut log = BufReader::new(demo.process.stderr.take().expect("it is piped"));
    let mut until = |part: &str| loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).expect("text"), 0, "it ended before {part}");
        if line.contains(part) {
            return line;
        }
    };
    std::fs::write(&config, "[limits]\nper_member_burst = 0\n").expect("it is written");
    demo.signal("-HUP");
    assert!(until("not good").contains("limits.per_member_burst is 0"));
    demo.order();
    std::fs::write(&config, "[limits]\nper_member_per_s = 1\nper_member_burst = 1\n[engine]\ntick_ms = 9\n")
        .expect("it is written");
    demo.signal("-HUP");
    assert!(until("after a restart").contains("engine.tick_ms"));
    until("was read again");
    let answers = (0..5).map(|_| demo.ask("POST", "/api/order/submit", ORDER)).collect::<Vec<_>>();
    assert!(answers.iter().any(|answer| answer.starts_with("HTTP/1.1 429")), "{answers:?}");
}

fn fails(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command(dir, args).output().expect("it runs");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn what_keeps_it_from_starting_is_said_clearly() {
    let dir = tempfile::tempdir().expect("a directory");
    let (code, said) = fails(dir.path(), &[]);
    assert!(code == Some(2) && said.contains("no key is configured") && said.contains("--demo"), "{said}");
    let (code, said) = fails(dir.path(), &["--demo", "--listen", "0.0.0.0:0"]);
    assert!(code == Some(2) && said.contains("not on 0.0.0.0:0"), "{said}");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let (code, said) = fails(dir.path(), &["--demo", "--listen", &addr]);
    assert!(code == Some(1) && said.contains(&addr) && said.contains("in use"), "{said}");
    std::fs::write(dir.path().join("file"), "").expect("it is written");
    let (code, said) = fails(dir.path(), &["--demo", "--listen", "127.0.0.1:0", "--data", "file/data"]);
    assert!(code == Some(1) && said.contains("file/data"), "{said}");
    let (code, said) = fails(dir.path(), &["--demo", "--log-level", "lou=d=er"]);
    assert!(code == Some(2) && said.contains("--log-level: log.level"), "{said}");
}
