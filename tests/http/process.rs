//! `stockade serve` as a process under a configuration of a test's own, and a small client over real connections.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use hmac::{Hmac, Mac};
use serde_json::Value;

use crate::support;

/// Signs notifications of payments.
pub(crate) const PAY_SECRET: &str = "the payment provider's secret";
/// Long enough for anything that must happen on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Lays a configuration down: the tests' key, a payment provider named `pay`, no limits of rates, and a small engine.
pub(crate) fn configure(dir: &Path) {
    std::fs::write(dir.join("token.key"), support::SECRET).expect("it is written");
    std::fs::write(dir.join("pay.key"), PAY_SECRET).expect("it is written");
    configure_keys(dir, &[("a", "token.key")]);
}

/// Lays a configuration down with these keys: their ids and files.
pub(crate) fn configure_keys(dir: &Path, keys: &[(&str, &str)]) {
    let file = |name: &str| dir.join(name).display().to_string();
    let keys: String = keys
        .iter()
        .map(|(kid, name)| {
            format!("{{ kid = {kid:?}, alg = \"HS256\", secret = {{ file = {:?} }} }}, ", file(name))
        })
        .collect();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\
         [limits]\nper_member_per_s = 0\nper_address_per_s = 0\n\
         [auth]\nkeys = [{keys}]\n\
         [callback]\ngeneric = [{{ name = \"pay\", secrets = [{{ file = {:?} }}] }}]\n\
         [engine]\ndata_dir = {:?}\nballast_bytes = 0\nrequest_filter_bits = 1048576\nrefusals_kept = 65536\n",
        file("pay.key"),
        file("data"),
    );
    std::fs::write(dir.join("stockade.toml"), config).expect("it is written");
}

/// What a server has logged so far.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

/// A server, killed when it is dropped.
pub(crate) struct Server {
    process: Child,
    log: Arc<Log>,
    reading: Option<JoinHandle<()>>,
    /// Where it listens.
    pub(crate) addr: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already, in most tests.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts one on what [`configure`] laid down, and waits until it serves.
    pub(crate) fn start(dir: &Path, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
        command.args(["serve", "--config", "stockade.toml"]).args(args).env_clear().current_dir(dir);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let log = Arc::new(Log::default());
        let lines = BufReader::new(process.stderr.take().expect("it is piped"));
        let reading = std::thread::spawn({
            let log = log.clone();
            move || {
                for line in lines.lines() {
                    let mut text = log.text.lock().expect("no panic");
                    text.push_str(&line.expect("text"));
                    text.push('\n');
                    log.grown.notify_all();
                }
            }
        });
        let mut server = Self { process, log, reading: Some(reading), addr: String::new() };
        let line = server.wait_for_log(0, |line| line.contains("serving") && line.contains("127.0.0.1:"));
        let from = line.find("127.0.0.1:").expect("an address");
        let is_address = |char: char| char.is_ascii_digit() || char == '.' || char == ':';
        server.addr = line[from..].chars().take_while(|char| is_address(*char)).collect();
        server
    }

    /// A client with somebody's token, as [`support::token`] names them.
    pub(crate) fn client(&self, who: &str) -> Client {
        Client::new(&self.addr, if who.is_empty() { None } else { Some(support::token(who)) })
    }

    /// All that was logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text.lock().expect("no panic").clone()
    }

    /// Waits for a line of the log, behind so many bytes.
    pub(crate) fn wait_for_log(&self, from: usize, is_it: impl Fn(&str) -> bool) -> String {
        let text = self.log.text.lock().expect("no panic");
        let missing = |text: &mut String| !text[from..].lines().any(&is_it);
        let (text, waited) = self.log.grown.wait_timeout_while(text, PATIENCE, missing).expect("no panic");
        assert!(!waited.timed_out(), "the line doesn't come: {}", *text);
        text[from..].lines().find(|line| is_it(line)).expect("it is there").to_owned()
    }

    /// Has it read its configuration again, and waits until it says that it has, or with these words why not.
    pub(crate) fn reload(&self, said: &str) {
        let from = self.log().len();
        self.signal("-HUP");
        self.wait_for_log(from, |line| line.contains(said));
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill runs").success());
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }

    /// Ends it in order; checks that it says so, and gives its log.
    pub(crate) fn end(mut self) -> String {
        self.signal("-TERM");
        let status = self.process.wait().expect("it ends");
        self.reading.take().expect("it is taken once").join().expect("no panic");
        let log = self.log();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("ended: everything is on disk"), "{log}");
        log
    }
}

/// Audits the data that a server has left.
pub(crate) fn verify(dir: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    let output = command.args(["verify", "--in-place", "--data"]).arg(dir.join("data")).output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Who asks, over one connection after the other.
pub(crate) struct Client {
    addr: String,
    token: Option<String>,
    stream: Option<BufReader<TcpStream>>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Its body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON, where the status is this one.
    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}{}", self.head, self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Client {
    /// One with this value of `Authorization`, or without.
    pub(crate) fn new(addr: &str, token: Option<String>) -> Self {
        Self { addr: addr.to_owned(), token, stream: None }
    }

    /// Goes on over the same connection as somebody else.
    pub(crate) fn become_who(&mut self, who: &str) {
        self.token = Some(support::token(who));
    }

    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, &[], "").expect("an answer")
    }

    #[track_caller]
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, &[], &body.to_string()).expect("an answer")
    }

    #[track_caller]
    pub(crate) fn put(&mut self, path: &str, body: &Value) -> Reply {
        self.ask("PUT", path, &[], &body.to_string()).expect("an answer")
    }

    /// Says as the payment provider what this body says.
    pub(crate) fn notify(&mut self, body: &Value) -> io::Result<Reply> {
        let body = body.to_string();
        let (now_s, signature) = signed(&body);
        let headers = [("X-Stockade-Timestamp", &*now_s), ("X-Stockade-Signature", &*signature)];
        self.ask("POST", "/callback/payment", &headers, &body)
    }

    /// Sends a request, and gives its answer. After an error the next request goes over a new connection.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<Reply> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(&self.addr)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                BufReader::new(stream)
            }
        };
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n", body.len());
        if !body.is_empty() {
            request += "Content-Type: application/json\r\n";
        }
        if let Some(token) = &self.token {
            request += &format!("Authorization: {token}\r\n");
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request = request + "\r\n" + body;
        stream.get_mut().write_all(request.as_bytes())?;
        let reply = read(&mut stream)?;
        if !reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.stream = Some(stream);
        }
        Ok(reply)
    }
}

/// A time and what the provider's signature of this body at that time is.
fn signed(body: &str) -> (String, String) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time");
    let now_s = now.as_secs().to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(PAY_SECRET.as_bytes()).expect("any length");
    mac.update(format!("{now_s}.{body}").as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    (now_s, format!("v1={digits}"))
}

fn read(stream: &mut BufReader<TcpStream>) -> io::Result<Reply> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut reply = Reply { status: status.expect("a status"), head, body: Vec::new() };
    if let Some(length) = reply.header("content-length") {
        reply.body = vec![0; length.parse().expect("a length")];
        stream.read_exact(&mut reply.body)?;
    } else if reply.header("transfer-encoding").is_some() {
        while read_chunk(stream, &mut reply.body)? {}
    }
    Ok(reply)
}

/// Reads a chunk of a body; whether there may be another.
fn read_chunk(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> io::Result<bool> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let length = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
    let from = body.len();
    body.resize(from + length, 0);
    stream.read_exact(&mut body[from..])?;
    stream.read_exact(&mut [0; 2])?;
    Ok(length > 0)
}
