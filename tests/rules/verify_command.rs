//! `stockade verify`: its exit codes tell a clean history from a broken one and from data that can't be read.

use std::path::Path;
use std::process::Command;

use stockade::journal::{
    Durability, EntryBuffer, JournalHandle, SledJournal, SledJournalOptions, WriterOptions,
};
use stockade::runtime::clock::Clock;
use stockade::{AdjustmentId, Engine, Event, SkuId, StockChange, StockKey};

use crate::support::*;

/// Runs the tool; gives its exit code, and what it said on standard output and on standard error.
pub(crate) fn stockade(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_stockade")).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs the command; gives its exit code, the JSON it printed, and what it said on standard error.
fn verify(data_dir: &Path) -> (i32, Option<serde_json::Value>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    let output = command.args(["verify", "--json", "--data"]).arg(data_dir).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let json = stdout.lines().last().map(|line| serde_json::from_str(line).unwrap());
    (output.status.code().unwrap(), json, String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn a_clean_history_exits_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (clock, _time) = Clock::manual(START_MS);
    let engine = Engine::open(config_in(&path, &clock)).await.unwrap();
    engine.put_sku(sku(1)).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 5)).await.unwrap();
    engine.submit(one(7, 1, 1)).await.unwrap();
    answered(engine.shutdown()).await.unwrap();
    drop(engine);

    let (code, json, stderr) = verify(&path);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(json.unwrap()["audit"], "pass");
}

#[test]
fn a_history_that_breaks_a_rule_exits_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (journal, _report) = SledJournal::open(&path, SledJournalOptions::default()).unwrap();
    let handle =
        JournalHandle::start(journal, WriterOptions::new(Durability::Synced, Box::new(|| 0))).unwrap();
    let key = StockKey::normal(SkuId(1));
    let adjust = |id: u128| Event::StockAdjusted {
        at_ms: START_MS,
        key,
        adjustment_id: AdjustmentId(id),
        change: StockChange::Relative(5),
        delta: 5,
    };
    let mut entries = EntryBuffer::new();
    // R8: the same adjustment, applied twice.
    entries.push(&[adjust(1)]);
    entries.push(&[adjust(1)]);
    handle.append(&mut entries, None).unwrap();
    handle.close().unwrap();
    drop(handle);

    let (code, json, stderr) = verify(&path);
    assert_eq!(code, 1, "{stderr}");
    assert_eq!(json.unwrap()["audit"], "fail");
}

#[test]
fn data_that_cannot_be_read_exits_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _json, stderr) = verify(&dir.path().join("nowhere"));
    assert_eq!(code, 2);
    assert!(stderr.contains("nowhere"), "the message names the directory: {stderr}");
}
