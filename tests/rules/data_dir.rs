//! Data directories that can't be opened are refused with a typed error, and left as they are.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stockade::journal::{DataDir, JournalError, layout};
use stockade::runtime::clock::Clock;
use stockade::{Caller, Config, Engine, Health, OpenError, OrderStatus, Reject, Retry};

use crate::support::*;

fn config_at(path: &Path) -> Config {
    let (clock, _time) = Clock::manual(START_MS);
    config_in(path, &clock)
}

async fn stock_up(engine: &Engine) {
    engine.put_sku(sku(1)).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 50)).await.unwrap();
}

/// Ends an engine and waits until its directory is free.
pub(crate) async fn close(engine: Engine, path: &Path) {
    answered(engine.shutdown()).await.unwrap();
    drop(engine);
    freed(path).await;
}

/// Waits for the last task of an engine that was dropped: until then it holds the directory.
pub(crate) async fn freed(path: &Path) {
    until(|| !matches!(DataDir::open(path), Err(JournalError::InUse { .. }))).await;
}

/// A directory with an order in it, closed in order.
async fn traded(path: &Path) -> stockade::Receipt {
    let engine = Engine::open(config_at(path)).await.unwrap();
    stock_up(&engine).await;
    let receipt = engine.submit(one(7, 1, 1)).await.unwrap();
    for member in 100..120 {
        engine.submit(one(member, 1, 1)).await.unwrap();
    }
    close(engine, path).await;
    receipt
}

async fn refused(path: &Path) -> JournalError {
    match Engine::open(config_at(path)).await {
        Err(OpenError::Journal(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Every file below a folder with its content.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let receipt = traded(&path).await;
    let engine = Engine::open(config_at(&path)).await.unwrap();
    assert_eq!(engine.submit(one(7, 1, 1)).await, Ok(receipt));
    assert_eq!(engine.stock(key(1)).await.unwrap().reserved, 21);
    close(engine, &path).await;
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_its_owner_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let engine = Engine::open(config_at(&path)).await.unwrap();
    stock_up(&engine).await;
    let error = refused(&path).await;
    assert!(matches!(error, JournalError::InUse { .. }), "{error}");
    assert!(error.is_retry_safe());
    assert!(engine.submit(one(7, 1, 1)).await.is_ok());
    close(engine, &path).await;
    let engine = Engine::open(config_at(&path)).await.unwrap();
    close(engine, &path).await;
}

#[tokio::test]
async fn a_directory_of_a_newer_release_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    traded(&path).await;
    let newer = layout::DATA_FORMAT + 1;
    fs::write(path.join(layout::FORMAT_FILE), format!("{}{newer}\n", layout::FORMAT_PREFIX)).unwrap();
    let before = contents(&path);
    let error = refused(&path).await;
    assert!(matches!(error, JournalError::NewerFormat { found, .. } if found == newer), "{error}");
    assert!(contents(&path) == before, "nothing may be touched");
}

#[tokio::test]
async fn a_directory_of_somebody_else_is_refused_untouched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.tex"), "draft").unwrap();
    let before = contents(dir.path());
    let error = refused(dir.path()).await;
    assert!(matches!(error, JournalError::NotADataDir { .. }), "{error}");
    assert!(contents(dir.path()) == before);

    let file = dir.path().join("thesis.tex");
    let error = refused(&file).await;
    assert!(matches!(error, JournalError::NotADataDir { .. } | JournalError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_journal_that_lost_its_end_is_refused_as_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    traded(&path).await;
    // The database as it was before any order, beside the mark that knows better.
    let fresh = dir.path().join("fresh");
    let engine = Engine::open(config_at(&fresh)).await.unwrap();
    close(engine, &fresh).await;
    fs::remove_dir_all(path.join(layout::JOURNAL_DIR)).unwrap();
    fs::rename(fresh.join(layout::JOURNAL_DIR), path.join(layout::JOURNAL_DIR)).unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_journal_that_is_gone_is_refused_as_damaged_and_not_laid_out_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    traded(&path).await;
    fs::remove_dir_all(path.join(layout::JOURNAL_DIR)).unwrap();
    let error = refused(&path).await;
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn flipped_bytes_in_the_journals_file_never_pass_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    traded(&path).await;
    let db = path.join(layout::JOURNAL_DIR).join("db");
    let sound = fs::read(&db).unwrap();
    // An order's bytes, somewhere in the middle of what was written.
    let used = sound.iter().rposition(|byte| *byte != 0).unwrap();
    let mut noticed = 0;
    for tenth in 1..10 {
        let mut damaged = sound.clone();
        for byte in &mut damaged[used * tenth / 10..][..64] {
            *byte ^= 0xff;
        }
        fs::write(&db, &damaged).unwrap();
        match Engine::open(config_at(&path)).await {
            Err(OpenError::Journal(
                JournalError::Damaged { .. } | JournalError::Panicked { .. } | JournalError::Store { .. },
            )) => {
                noticed += 1;
            }
            Err(other) => panic!("{other}"),
            // What was flipped was no longer needed: then everything is there.
            Ok(engine) => {
                assert_eq!(engine.stock(key(1)).await.unwrap().reserved, 21);
                close(engine, &path).await;
            }
        }
        fs::write(&db, &sound).unwrap();
    }
    assert!(noticed > 0, "no flip was noticed");
}

#[tokio::test]
async fn below_the_disks_reserve_new_orders_are_refused_while_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let (clock, time) = Clock::manual(START_MS);
    let open = |reserve| Engine::open(config_in(&path, &clock).disk_free_min_bytes(reserve));
    let engine = open(0).await.unwrap();
    stock_up(&engine).await;
    let mut receipts = Vec::new();
    for member in 0..4 {
        receipts.push(engine.submit(one(member, 1, 1)).await.unwrap());
    }
    close(engine, &path).await;

    let engine = open(u64::MAX).await.unwrap();
    time.advance(500);
    until(|| engine.metrics().disk_is_low).await;
    let refused = engine.submit(one(9, 1, 1)).await;
    assert_eq!(refused, Err(Reject::DiskReserve));
    assert!(matches!(Reject::DiskReserve.retry(), Retry::After { .. }));
    assert_eq!(engine.submit_batch(vec![one(9, 2, 1)]).await, [Err(Reject::DiskReserve)]);
    assert_eq!(engine.submit(one(0, 1, 1)).await, Ok(receipts[0]), "a retry is no new order");
    assert!(engine.pay(payment(&receipts[0], "tx")).await.is_ok());
    assert!(engine.cancel(Caller::Operator, receipts[1].order_no).await.is_ok());
    assert!(engine.start_payment(Caller::Operator, receipts[2].order_no).await.is_ok());
    assert!(engine.adjust_stock(add_units(2, 1, 1)).await.is_ok());
    time.advance(u64::from(AUTO_CLOSE_MS));
    until(|| engine.metrics().expired == 1).await;
    let closed = engine.order(Caller::Operator, receipts[3].order_no).await.unwrap();
    assert_eq!(closed.status, OrderStatus::Cancelled);
    close(engine, &path).await;

    let engine = open(0).await.unwrap();
    assert!(engine.submit(one(9, 1, 1)).await.is_ok(), "a refusal for want of space never sticks");
    close(engine, &path).await;
}

/// A small file system of its own, unmounted at the end.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where the test may not mount.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir.path());
        let mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        mounted.then_some(Self(dir))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// Takes all the space that is left.
    fn fill(&self) -> PathBuf {
        let filler = self.0.path().join("filler");
        let mut file = fs::File::create(&filler).unwrap();
        let block = [0_u8; 4096];
        while file.write_all(&block).is_ok() {}
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: an engine that failed may hold its files a little longer.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_to_open_with_a_typed_error_and_opens_once_there_is_space() {
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let filler = disk.fill();
    let error = refused(&disk.path()).await;
    assert!(matches!(error, JournalError::DiskFull { .. } | JournalError::Store { .. }), "{error:?}");
    fs::remove_file(filler).unwrap();
    let engine = Engine::open(config_at(&disk.path())).await.unwrap();
    close(engine, &disk.path()).await;

    // A ballast that doesn't fit counts as a full disk, before anything is acknowledged.
    let other = disk.0.path().join("other");
    let (clock, _time) = Clock::manual(START_MS);
    match Engine::open(config_in(&other, &clock).ballast_bytes(64 << 20)).await {
        Err(OpenError::Journal(JournalError::DiskFull { .. })) => {}
        result => panic!("{result:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_stops_the_engine_and_takes_back_nothing() {
    let Some(disk) = SmallDisk::mount("64m") else { return };
    let engine = Engine::open(config_at(&disk.path()).disk_free_min_bytes(0)).await.unwrap();
    engine.put_sku(sku(1)).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 1 << 30)).await.unwrap();
    let order = |member| stockade::SubmitOrder { ext: Some(vec![7; 4_096].into()), ..one(member, 1, 1) };
    let mut receipts = vec![engine.submit(order(0)).await.unwrap()];
    let filler = disk.fill();
    let end = loop {
        match answered(engine.submit(order(receipts.len() as u64))).await {
            Ok(receipt) => receipts.push(receipt),
            Err(reject) => break reject,
        }
        assert!(receipts.len() < 100_000, "the disk never filled up");
    };
    assert_eq!(end, Reject::OutcomeUnknown);
    until(|| matches!(engine.metrics().health, Health::Poisoned { .. })).await;
    assert_eq!(answered(engine.submit(one(1 << 40, 1, 1))).await, Err(Reject::Unavailable));
    let view = answered(engine.order(Caller::Operator, receipts[0].order_no)).await;
    assert!(view.is_ok(), "what is durable can still be read");
    assert!(answered(engine.shutdown()).await.is_err());
    drop(engine);
    freed(&disk.path()).await;

    fs::remove_file(filler).unwrap();
    let engine = Engine::open(config_at(&disk.path()).disk_free_min_bytes(0)).await.unwrap();
    for (member, receipt) in (0..).zip(&receipts) {
        assert_eq!(engine.submit(order(member)).await, Ok(*receipt));
    }
    close(engine, &disk.path()).await;
}
