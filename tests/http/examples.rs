//! The examples of `docs/examples`, run as they stand against the real binary.
//!
//! One whose tools are not installed is skipped with a line that says so, except for curl where the environment asks
//! for services.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::life::DESK;
use crate::process::{PAY_SECRET, Server, configure, verify};
use crate::support::SECRET;

/// Whether a program can be started.
fn is_there(program: &str) -> bool {
    let asked = Command::new("sh").args(["-c", "command -v \"$0\"", program]).stdout(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Whether curl and openssl are there; says so where they aren't, and fails where they must be.
pub(crate) fn has_curl() -> bool {
    let has_curl = is_there("curl") && is_there("openssl");
    if !has_curl {
        let must_be = std::env::var_os("STOCKADE_REQUIRE_SERVICES").is_some();
        assert!(!must_be, "curl and openssl are needed, and not installed");
        eprintln!("skipped: it needs curl and openssl");
    }
    has_curl
}

/// A command with what an example takes from its environment, and nothing else of ours but where programs are.
fn example(program: &str, url: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples")).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("STOCKADE_URL", url).env("STOCKADE_SECRET", std::str::from_utf8(SECRET).expect("text"));
    command.env("STOCKADE_PAY_SECRET", PAY_SECRET);
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs an example twice against a new server, then with a secret that is not the server's.
fn run(command: impl Fn(&str) -> Command) {
    let dir = tempfile::tempdir().expect("a directory");
    configure(dir.path());
    let server = Server::start(dir.path(), &[]);
    let url = format!("http://{}", server.addr);
    for runs in 1..=2 {
        let output = command(&url).output().expect("it starts");
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("# done: the life of order "), "{}", said(&output));
        // Every order was confirmed, refunded in full, and put back.
        let mut desk = server.client(DESK);
        let stock = desk.get("/admin/stock/1001").expect(200);
        assert_eq!(stock["pools"][0]["available"], json!(10 * runs), "{stock}");
        let orders = desk.get("/admin/order?member_id=1001").expect(200);
        assert_eq!(orders["orders"].as_array().map(Vec::len), Some(runs));
        assert_eq!(orders["orders"][0]["refunds"][0]["state"], "finished", "{orders}");
    }
    for name in ["STOCKADE_SECRET", "STOCKADE_PAY_SECRET"] {
        let output = command(&url).env(name, "some other secret of 32 bytes and more").output();
        let output = output.expect("it starts");
        assert!(!output.status.success() && said(&output).contains("is answered 401"), "{}", said(&output));
    }
    server.end();
    verify(dir.path());
}

#[test]
fn the_example_with_curl_runs() {
    if !has_curl() {
        return;
    }
    run(|url| {
        let mut command = example("sh", url);
        command.arg("curl/life.sh");
        command
    });
}

#[test]
fn the_example_in_php_runs() {
    if !is_there("php") {
        eprintln!("skipped: docs/examples/php needs php");
        return;
    }
    run(|url| {
        let mut command = example("php", url);
        command.arg("php/life.php");
        command
    });
}

#[test]
fn the_example_in_go_runs() {
    if !is_there("go") {
        eprintln!("skipped: docs/examples/go needs go");
        return;
    }
    // Its compiler keeps what it has built between runs, where ours does.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go");
    std::fs::create_dir_all(&cache).expect("it is made");
    let program = tempfile::tempdir().expect("a directory");
    let life = program.path().join("life");
    let built = example("go", "")
        .env("GOCACHE", &cache)
        .env("GOPATH", &cache)
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0")
        .args(["build", "-o"])
        .arg(&life)
        .arg("go/life.go")
        .output()
        .expect("it starts");
    assert!(built.status.success(), "{}", said(&built));
    run(|url| example(life.to_str().expect("text"), url));
}
