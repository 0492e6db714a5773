//! `stockade inspect` and the control socket, on a running and on a stopped directory.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use stockade::journal::layout;
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{Caller, Config, Engine};

use crate::data_dir::close;
use crate::support::*;
use crate::verify_command::stockade;

/// Six orders: two cancelled, one paid, one shipped, two pending.
async fn shop(path: &Path, change: impl FnOnce(Config) -> Config) -> (Engine, Clock, ManualTime) {
    let (clock, time) = Clock::manual(START_MS);
    let engine = Engine::open(change(config_in(path, &clock).checkpoint_interval_ms(1))).await.unwrap();
    engine.put_sku(sku(1)).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 50)).await.unwrap();
    let mut receipts = Vec::new();
    for member in 0..6 {
        time.advance(10);
        receipts.push(engine.submit(one(member, 1, 1)).await.unwrap());
    }
    for receipt in &receipts[..2] {
        engine.cancel(Caller::Operator, receipt.order_no).await.unwrap();
    }
    for receipt in &receipts[2..4] {
        engine.pay(payment(receipt, &receipt.order_no.to_string())).await.unwrap();
    }
    engine.ship(receipts[3].order_no, Default::default()).await.unwrap();
    answered(async {
        while engine.metrics().stored < engine.metrics().appended {
            time.advance(1);
            tokio::task::yield_now().await;
        }
    })
    .await;
    (engine, clock, time)
}

fn inspect(path: &Path) -> (i32, serde_json::Value, String) {
    let (code, stdout, stderr) = stockade(&["inspect", "--json", "--data", path.to_str().unwrap()]);
    (code, serde_json::from_str(&stdout).unwrap_or_default(), stderr)
}

fn check_counts(report: &serde_json::Value) {
    let counts = [
        ("orders_placed", 6),
        ("orders_closed", 2),
        ("orders_pending", 2),
        ("orders_paid", 1),
        ("orders_shipped", 1),
        ("payments_pending", 0),
        ("format", 2),
    ];
    for (name, count) in counts {
        assert_eq!(report[name], count, "{name} of {report:#}");
    }
    assert_eq!(report["oldest_open"]["created_at_ms"], START_MS + 30);
    assert_eq!(report["store_position"], report["durable"]);
    assert_eq!(report["projections"][0]["lag_events"], 0);
    assert_eq!(report["written_by"], env!("CARGO_PKG_VERSION"));
    let tables = report["tables"].as_array().unwrap();
    assert!(tables.iter().any(|table| table["name"] == "closed orders" && table["entries"] == 2));
    assert!(report["journal_bytes"].as_u64() > Some(0) && report["store_bytes"].as_u64() > Some(0));
    assert!(report["free_bytes"].as_u64() > Some(0));
}

#[tokio::test]
async fn a_running_and_a_stopped_directory_show_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (engine, _clock, _time) = shop(&path, |config| config.control_socket(true)).await;
    let (code, running, stderr) = inspect(&path);
    assert_eq!(code, 0, "{stderr}");
    check_counts(&running);
    assert_eq!((&running["in_use"], &running["health"]), (&true.into(), &"open".into()));
    assert_eq!(engine.inspect().await.unwrap().orders_placed, Some(6));
    let (code, table, _) = stockade(&["inspect", "--data", path.to_str().unwrap()]);
    assert_eq!(code, 0);
    assert!(table.contains("yes, open") && table.contains("placed at 2027-01-15T08:00:00.030Z"), "{table}");

    close(engine, &path).await;
    let (code, stopped, stderr) = inspect(&path);
    assert_eq!(code, 0, "{stderr}");
    check_counts(&stopped);
    assert_eq!(stopped["in_use"], false);
    assert_eq!(stopped["journal_last"], stopped["durable"]);
}

#[tokio::test]
async fn a_directory_in_use_without_a_socket_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (engine, _clock, _time) = shop(&path, |config| config).await;
    let (code, _, stderr) = inspect(&path);
    assert_eq!(code, 2);
    assert!(stderr.contains("it has no control socket; switch it on"), "{stderr}");
    assert!(!path.join(layout::CONTROL_SOCKET).exists());
    close(engine, &path).await;
}

#[tokio::test]
async fn what_is_no_data_directory_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, stderr) = inspect(dir.path());
    assert_eq!(code, 2);
    assert!(stderr.contains("it has no FORMAT file"), "{stderr}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let (code, _, stderr) = inspect(&dir.path().join("nowhere"));
    assert_eq!(code, 2);
    assert!(stderr.contains("there is no data directory"), "{stderr}");
}

/// Sends a request by hand; gives the whole answer.
fn talk(socket: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    // The engine may have answered, and closed, before it has heard everything.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[tokio::test]
async fn the_socket_is_the_owners_replaces_a_stale_one_and_goes_with_the_engine() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let socket = path.join(layout::CONTROL_SOCKET);
    let (engine, clock, _time) = shop(&path, |config| config.control_socket(true)).await;
    let metadata = fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    close(engine, &path).await;
    assert!(!socket.exists());

    // What a killed engine leaves behind is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    // The store's database lets go of its file a moment after the directory is free.
    until(|| stockade(&["verify", "--data", path.to_str().unwrap()]).0 == 0).await;
    let engine = Engine::open(config_in(&path, &clock).control_socket(true)).await.unwrap();
    assert!(talk(&socket, b"inspect\n").ends_with("ok\n"));
    // Also an engine that is only dropped takes it along.
    drop(engine);
    until(|| !socket.exists()).await;
}

#[tokio::test]
async fn requests_are_bounded_and_few_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let socket = path.join(layout::CONTROL_SOCKET);
    let (engine, _clock, _time) = shop(&path, |config| config.control_socket(true)).await;
    assert!(talk(&socket, b"drop tables\n").starts_with("error an unknown request"));
    assert!(talk(&socket, b"backup here\n").starts_with("error the backup's path must be absolute"));
    assert!(talk(&socket, &[b'x'; 100_000]).starts_with("error a request is one line"));
    assert!(talk(&socket, b"inspect").starts_with("error a request is one line"));
    let idle: Vec<_> = (0..4).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    until(|| talk(&socket, b"inspect\n").starts_with("error too many connections")).await;
    drop(idle);
    until(|| talk(&socket, b"inspect\n").ends_with("ok\n")).await;
    close(engine, &path).await;
}

#[tokio::test]
async fn an_engine_whose_path_is_too_long_for_a_socket_goes_without() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a".repeat(100));
    let (engine, _clock, _time) = shop(&path, |config| config.control_socket(true)).await;
    assert!(!path.join(layout::CONTROL_SOCKET).exists());
    let (code, _, stderr) = inspect(&path);
    assert_eq!(code, 2);
    assert!(stderr.contains("its path is too long for a control socket"), "{stderr}");
    close(engine, &path).await;
}
