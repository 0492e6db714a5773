//! `stockade import`: files in, once; bad rows named; dry runs that change nothing; interruptions that can be resumed.

use std::path::{Path, PathBuf};
use std::process::Command;

use stockade::Engine;
use stockade::runtime::clock::Clock;

use crate::support::*;

/// Files of a shop, and the command on them.
struct Files {
    dir: tempfile::TempDir,
    args: Vec<String>,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), args: Vec::new() }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("shop")
    }

    /// Writes a file and names it in the command.
    fn with(mut self, option: &str, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        self.args.extend([format!("--{option}"), path.to_str().unwrap().to_owned()]);
        self
    }

    /// Runs the command; gives its exit code, the JSON it printed, and what it said on standard error.
    fn import(&self, more: &[&str]) -> (i32, serde_json::Value, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
        command.args(["import", "--json", "--data"]).arg(self.data()).args(&self.args).args(more);
        let output = command.output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let json =
            stdout.lines().last().map_or(serde_json::Value::Null, |line| serde_json::from_str(line).unwrap());
        (output.status.code().unwrap(), json, String::from_utf8(output.stderr).unwrap())
    }
}

/// read, imported, unchanged, refused
fn counts(json: &serde_json::Value, kind: &str) -> [u64; 4] {
    ["read", "imported", "unchanged", "refused"].map(|count| json[kind][count].as_u64().unwrap())
}

fn problems(json: &serde_json::Value) -> Vec<(u64, String)> {
    let problems = json["problems"].as_array().unwrap().iter();
    problems
        .map(|problem| (problem["line"].as_u64().unwrap(), problem["code"].as_str().unwrap().to_owned()))
        .collect()
}

/// A deadline that is ahead by the clock on the wall, which the command goes by.
fn soon_ms() -> u64 {
    Clock::system(1).now_ms() + 3_600_000
}

const CATALOGUE: &str = "id,product_id,code,title,price,on_sale,limit_per_member\n\
    1,1,TEA,\"Tea, green\",500,true,3\n2,1,CUP,Cup,900,0,\n";

fn audit_passes(data: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    let output = command.args(["verify", "--data"]).arg(data).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_command_imports_files_once_and_says_what_was_there() {
    let soon_ms = soon_ms();
    let orders = format!(
        "external_no,member_id,deadline_ms,sku,quantity,price,limit_per_member,name\n\
         A-1,7,{soon_ms},1,2,450,3,Li\nA-1,7,{soon_ms},2,1,900,,Li\nA-2,8,{soon_ms},1,1,500,3,\n"
    );
    let files = Files::new()
        .with("catalogue", "catalogue.csv", CATALOGUE)
        .with("stock", "stock.json", r#"[{"sku": 1, "total": 10}, {"sku": "2", "total": 5}]"#)
        .with("orders", "orders.csv", &orders)
        .with("limits", "limits.jsonl", "{\"member_id\": 8, \"sku\": 1, \"used\": 1}\n");
    let (code, json, stderr) = files.import(&["--dry-run"]);
    assert_eq!((code, counts(&json, "orders")), (0, [2, 2, 0, 0]), "{stderr}");
    assert!(!files.data().exists(), "a dry run makes no directory");

    let (code, json, stderr) = files.import(&[]);
    assert_eq!(code, 0, "{stderr} {json}");
    for (kind, expected) in [
        ("catalogue", [2, 2, 0, 0]),
        ("stock", [2, 2, 0, 0]),
        ("orders", [2, 2, 0, 0]),
        ("limits", [1, 1, 0, 0]),
    ] {
        assert_eq!(counts(&json, kind), expected, "{kind}");
    }
    assert_eq!(json["orders_imported"], serde_json::json!({"units": 4, "amount_minor": 2_300}));

    let (code, json, stderr) = files.import(&[]);
    assert_eq!(code, 0, "{stderr} {json}");
    for (kind, expected) in [
        ("catalogue", [2, 0, 2, 0]),
        ("stock", [2, 0, 2, 0]),
        ("orders", [2, 0, 2, 0]),
        ("limits", [1, 0, 1, 0]),
    ] {
        assert_eq!(counts(&json, kind), expected, "{kind}");
    }
    audit_passes(&files.data());
}

#[test]
fn bad_rows_are_named_and_import_nothing_while_others_go_on() {
    let soon_ms = soon_ms();
    let order = |no: &str, sku: u64, quantity: u64, deadline_ms: u64| {
        format!(
            r#"{{"external_no":"{no}","member_id":7,"deadline_ms":{deadline_ms},"lines":[{{"sku":{sku},"quantity":{quantity},"price":500}}]}}"#
        )
    };
    let orders = [
        order("A-1", 1, 1, soon_ms),
        "{\"external_no\": \"A-2\"}".to_owned(),
        order("A-3", 9, 1, soon_ms),
        order("A-4", 1, 1, 1_000),
        order("A-5", 1, 99, soon_ms),
        order("A-1", 1, 2, soon_ms),
        order("A-6", 1, 1, soon_ms),
        "{ not json".to_owned(),
    ];
    let files = Files::new()
        .with("catalogue", "catalogue.csv", CATALOGUE)
        .with("stock", "stock.csv", "sku,total\n1,10\n2\n")
        .with("orders", "orders.jsonl", &orders.join("\n"));
    let expected = [
        (3, "malformed"),
        (2, "malformed"),
        (3, "unknown_sku"),
        (4, "deadline_passed"),
        (5, "sold_out"),
        (6, "request_id_reused"),
        (8, "malformed"),
    ];
    let expected: Vec<_> = expected.iter().map(|(line, code)| (*line, (*code).to_owned())).collect();
    let (code, json, stderr) = files.import(&["--dry-run"]);
    assert_eq!((code, problems(&json)), (1, expected.clone()), "{stderr}");
    let (code, json, stderr) = files.import(&["--strict"]);
    assert_eq!((code, problems(&json)), (1, expected[..1].to_vec()), "{stderr}");
    let (code, json, _) = files.import(&[]);
    let mut found = problems(&json);
    // What can't be read is noticed before what is under way.
    found[1..].sort_unstable();
    assert_eq!((code, found), (1, expected));
    assert_eq!(counts(&json, "orders"), [8, 2, 0, 6]);
    assert_eq!(json["orders_imported"], serde_json::json!({"units": 2, "amount_minor": 1_000}));
    audit_passes(&files.data());
}

#[test]
fn a_bad_csv_row_spoils_the_order_that_it_belongs_to() {
    let soon_ms = soon_ms();
    let orders = format!(
        "external_no,member_id,deadline_ms,sku,quantity,price\n\
         A-1,7,{soon_ms},1,1,500\nA-1,7,{soon_ms},2,one,900\nA-2,7,{soon_ms},1,1,500\nA-2,8,{soon_ms},2,1,500\n\
         A-3,7,{soon_ms},1,1,500\n"
    );
    let files =
        Files::new().with("catalogue", "catalogue.csv", CATALOGUE).with("orders", "orders.csv", &orders);
    let (code, json, stderr) = files.import(&["--dry-run"]);
    assert_eq!(counts(&json, "orders"), [3, 1, 0, 2], "{stderr} {json}");
    assert_eq!((code, problems(&json)), (1, vec![(2, "malformed".to_owned()), (4, "malformed".to_owned())]));
}

#[tokio::test]
async fn a_command_that_cannot_run_exits_with_2() {
    let files = Files::new().with("catalogue", "catalogue.csv", "id,pirce\n1,500\n");
    let (code, _, stderr) = files.import(&[]);
    assert!(code == 2 && stderr.contains("`pirce` is not known"), "{stderr}");
    assert!(!files.data().exists());

    let files = Files::new().with("catalogue", "catalogue.csv", CATALOGUE);
    let (clock, _time) = Clock::manual(START_MS);
    let engine = Engine::open(config_in(&files.data(), &clock)).await.unwrap();
    let (code, _, stderr) = files.import(&[]);
    assert!(code == 2 && stderr.contains("in use"), "{stderr}");
    answered(engine.shutdown()).await.unwrap();
}

#[test]
fn an_interrupted_import_resumes() {
    let soon_ms = soon_ms();
    let order = |n: u64| {
        format!(
            "{{\"external_no\":\"A-{n}\",\"member_id\":{n},\"deadline_ms\":{soon_ms},\"lines\":[{{\"sku\":1,\"quantity\":1,\"price\":500}}]}}\n"
        )
    };
    const ORDERS: u64 = 20_000;
    let orders: String = (0..ORDERS).map(order).collect();
    let files = Files::new()
        .with("catalogue", "catalogue.csv", CATALOGUE)
        .with("stock", "stock.csv", "sku,total\n1,100000\n")
        .with("orders", "orders.jsonl", &orders);
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(["import", "--data"]).arg(files.data()).args(&files.args);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    // Wherever the kill falls, the second run must complete the work.
    std::thread::sleep(std::time::Duration::from_millis(700));
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, json, stderr) = files.import(&[]);
    assert_eq!(code, 0, "{stderr}");
    let [read, imported, unchanged, refused] = counts(&json, "orders");
    assert_eq!((read, imported + unchanged, refused), (ORDERS, ORDERS, 0));
    let (_, json, _) = files.import(&[]);
    assert_eq!(counts(&json, "orders"), [ORDERS, 0, ORDERS, 0]);
    audit_passes(&files.data());
}
