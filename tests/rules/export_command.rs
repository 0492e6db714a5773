//! `stockade export`: every order once, as it stands, safe to open.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use stockade::runtime::clock::Clock;
use stockade::{Caller, Engine, OrderNo, SubmitOrder};

use crate::data_dir::close;
use crate::support::*;
use crate::verify_command::stockade;

/// Forty orders, some of them long closed and out of memory, and what each is.
async fn shop(path: &Path, with_store: bool) -> BTreeMap<OrderNo, &'static str> {
    let (clock, time) = Clock::manual(START_MS);
    let config = config_in(path, &clock).checkpoint_interval_ms(1).retain_closed_ms(1_000).store(with_store);
    let engine = Engine::open(config).await.unwrap();
    engine.put_sku(stockade::Sku { title: "@tea, \"green\"".to_owned(), ..sku(1) }).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 500)).await.unwrap();
    let mut orders = BTreeMap::new();
    let mut cancelled = Vec::new();
    for member in 0..40 {
        let remark = (member == 0).then(|| "=HYPERLINK(\"http://x\")".into());
        let external_no = Some(format!("WEB,{member}").into());
        let order = SubmitOrder { remark, external_no, ..one(member, 1, 1) };
        let receipt = engine.submit(order).await.unwrap();
        let status = match member % 4 {
            0 => "pending",
            1 => {
                engine.pay(payment(&receipt, &member.to_string())).await.unwrap();
                "paid"
            }
            2 => {
                engine.cancel(Caller::Operator, receipt.order_no).await.unwrap();
                cancelled.push(receipt);
                "cancelled"
            }
            _ => {
                engine.pay(payment(&receipt, &member.to_string())).await.unwrap();
                engine.ship(receipt.order_no, Default::default()).await.unwrap();
                engine.confirm(Caller::Operator, receipt.order_no).await.unwrap();
                "completed"
            }
        };
        orders.insert(receipt.order_no, status);
    }
    if with_store {
        time.advance(2_000);
        answered(async {
            while engine.metrics().evicted < 20 {
                time.advance(1);
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    // One that has left memory comes back, so that the store and the journal's end both have it.
    engine.pay(payment(&cancelled[0], "late")).await.unwrap();
    orders.insert(engine.submit(one(99, 1, 1)).await.unwrap().order_no, "pending");
    close_at_once(engine, path).await;
    orders
}

/// Ends an engine as a crash would, so that the journal has an end that the store doesn't.
async fn close_at_once(engine: Engine, path: &Path) {
    drop(engine);
    until(|| {
        let opened = stockade::journal::DataDir::open(path);
        !matches!(opened, Err(stockade::journal::JournalError::InUse { .. }))
    })
    .await;
}

fn export(path: &Path, more: &[&str]) -> (i32, String, String) {
    stockade(&[&["export", "--data", path.to_str().unwrap()], more].concat())
}

fn rows(csv: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    reader.deserialize().map(|row| row.unwrap()).collect()
}

#[tokio::test]
async fn every_order_is_exported_once_as_it_stands() {
    for with_store in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop");
        let orders = shop(&path, with_store).await;

        let (code, csv, stderr) = export(&path, &["--format", "csv"]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.starts_with("41 of 41 orders, as of position "), "{stderr}");
        let rows = rows(&csv);
        assert_eq!(rows.len(), orders.len());
        let statuses: BTreeMap<OrderNo, &str> =
            rows.iter().map(|row| (row["order_no"].parse().unwrap(), &*row["status"])).collect();
        assert_eq!(statuses, orders);
        for row in &rows {
            assert_eq!(row["pay_amount_minor"], PRICE.to_string());
            assert_eq!(row["titles"], "'@tea, \"green\"");
            assert!(row["created_at"].starts_with("2027-01-15T08:00:0"), "{row:?}");
            if row["member_id"] == "0" {
                assert_eq!(row["remark"], "'=HYPERLINK(\"http://x\")");
            }
        }
        let to_refund: Vec<_> = rows.iter().filter(|row| row["refund_due_minor"] != "0").collect();
        assert_eq!(to_refund.len(), 1, "the late payment at the journal's end");
        assert_eq!(to_refund[0]["status"], "cancelled");

        let (code, jsonl, stderr) = export(&path, &["--format", "jsonl"]);
        assert_eq!(code, 0, "{stderr}");
        let numbers: BTreeSet<OrderNo> = jsonl
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|order| order["order_no"].as_str().unwrap().parse().unwrap())
            .collect();
        assert!(numbers.iter().eq(orders.keys()), "the same orders, numbers as text");
    }
}

#[tokio::test]
async fn orders_in_cold_files_are_exported_like_all_others() {
    const ARCHIVE_AFTER_MS: u64 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (clock, time) = Clock::manual(START_MS);
    let config = config_in(&path, &clock)
        .checkpoint_interval_ms(1)
        .retain_closed_ms(1_000)
        .idempotency_window_ms(ARCHIVE_AFTER_MS)
        .archive_after_ms(ARCHIVE_AFTER_MS);
    let engine = Engine::open(config).await.unwrap();
    engine.put_sku(sku(1)).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 500)).await.unwrap();
    let mut orders = BTreeMap::new();
    let place = async |member: u64| engine.submit(one(member, 1, 1)).await.unwrap();
    let archived = async |count: u64| {
        time.advance(ARCHIVE_AFTER_MS);
        answered(async {
            while engine.metrics().archived < count {
                time.advance(1);
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    // Two files: what is in the second was placed later, by the same members' slots.
    for round in 0..2 {
        for member in 0..10 {
            let receipt = place(100 * round + member).await;
            engine.pay(payment(&receipt, &format!("{round}-{member}"))).await.unwrap();
            engine.ship(receipt.order_no, Default::default()).await.unwrap();
            engine.confirm(Caller::Operator, receipt.order_no).await.unwrap();
            orders.insert(receipt.order_no, "completed");
        }
        let cancelled = place(100 * round + 10).await;
        engine.cancel(Caller::Operator, cancelled.order_no).await.unwrap();
        orders.insert(cancelled.order_no, "cancelled");
        archived(11 * (round + 1)).await;
        if round == 1 {
            // Money for one in a file brings it back into memory: it is there as it was, and as it stands.
            engine.pay(payment(&cancelled, "late")).await.unwrap();
        }
    }
    let closed = place(500).await;
    engine.cancel(Caller::Operator, closed.order_no).await.unwrap();
    orders.insert(closed.order_no, "cancelled");
    orders.insert(place(501).await.order_no, "pending");
    close(engine, &path).await;

    let (code, csv, stderr) = export(&path, &["--format", "csv"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.starts_with("24 of 24 orders, as of position "), "{stderr}");
    let all = rows(&csv);
    assert_eq!(all.len(), 24, "each once");
    let statuses: BTreeMap<OrderNo, &str> =
        all.iter().map(|row| (row["order_no"].parse().unwrap(), &*row["status"])).collect();
    assert_eq!(statuses, orders);
    let to_refund = all.iter().filter(|row| row["refund_due_minor"] == PRICE.to_string()).count();
    assert_eq!(to_refund, 1, "as it stands, not as it was when it moved to its file");
    let (_, csv, stderr) = export(&path, &["--format", "csv", "--status", "completed"]);
    assert_eq!(rows(&csv).len(), 20, "{stderr}");
    let since = (START_MS + ARCHIVE_AFTER_MS).to_string();
    let (_, csv, stderr) = export(&path, &["--format", "csv", "--since", &since]);
    assert_eq!(rows(&csv).len(), 13, "{stderr}");
}

#[tokio::test]
async fn filters_choose_and_a_file_appears_only_when_it_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let orders = shop(&path, true).await;
    let (code, csv, stderr) = export(&path, &["--format", "csv", "--status", "completed"]);
    assert_eq!(code, 0, "{stderr}");
    assert_eq!(rows(&csv).len(), 10);
    let (_, csv, _) = export(&path, &["--format", "csv", "--until", "2027-01-15T09:00:00+01:00"]);
    assert_eq!(csv.lines().count(), 1, "the header stands alone: {csv}");
    let since = (START_MS + 1_000).to_string();
    let (_, csv, _) = export(&path, &["--format", "csv", "--since", &since]);
    assert_eq!(rows(&csv).len(), 1, "the order placed last");
    let (code, _, stderr) = export(&path, &["--format", "csv", "--since", "yesterday"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("`yesterday` is no instant"), "{stderr}");

    let out = dir.path().join("orders.jsonl");
    let (code, stdout, stderr) = export(&path, &["--format", "jsonl", "--out", out.to_str().unwrap()]);
    assert_eq!((code, &*stdout), (0, ""), "{stderr}");
    assert_eq!(std::fs::read_to_string(&out).unwrap().lines().count(), orders.len());
    let nowhere = dir.path().join("no/such/place");
    let (code, _, stderr) = export(&path, &["--format", "csv", "--out", nowhere.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(stderr.contains("no/such/place.part"), "{stderr}");
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_its_backup_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (clock, _time) = Clock::manual(START_MS);
    let engine = Engine::open(config_in(&path, &clock).disk_free_min_bytes(0)).await.unwrap();
    engine.put_sku(sku(1)).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 5)).await.unwrap();
    engine.submit(one(7, 1, 1)).await.unwrap();
    let (code, stdout, stderr) = export(&path, &["--format", "csv"]);
    assert_eq!((code, &*stdout), (2, ""));
    assert!(stderr.contains("is in use: back it up with `stockade backup`"), "{stderr}");
    let copy = dir.path().join("copy");
    engine.backup(&copy).await.unwrap();
    let (code, csv, stderr) = export(&copy, &["--format", "csv"]);
    assert_eq!((code, rows(&csv).len()), (0, 1), "{stderr}");
    close(engine, &path).await;
}
