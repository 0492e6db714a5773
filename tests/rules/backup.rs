//! Backups: made while the engine goes on, consistent at one position, and known as interrupted until they are complete.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use stockade::journal::{JournalError, layout};
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{
    BackupError, Caller, Config, Durability, Engine, Health, OpenError, OrderStatus, Position, Receipt,
};

use crate::data_dir::{SmallDisk, close};
use crate::support::*;
use crate::verify_command::stockade;

/// A data directory with an engine on it that checkpoints all the time.
pub(crate) struct OnDisk {
    pub(crate) _dir: tempfile::TempDir,
    pub(crate) root: PathBuf,
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) time: ManualTime,
}

impl OnDisk {
    pub(crate) async fn open(change: impl FnOnce(Config) -> Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_path_buf();
        let (clock, time) = Clock::manual(START_MS);
        let config = config_in(&root.join("shop"), &clock).checkpoint_interval_ms(1).disk_free_min_bytes(0);
        let engine = Engine::open(change(config)).await.unwrap();
        engine.put_sku(sku(1)).await.unwrap();
        engine.adjust_stock(set_total(1, 1, 100_000)).await.unwrap();
        Self { _dir: dir, root, engine, clock, time }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("shop")
    }

    fn target(&self) -> PathBuf {
        self.root.join("backup")
    }

    /// An engine on a backup, with another number of order actors.
    pub(crate) async fn restore(&self, backup: &Path) -> Engine {
        Engine::open(config_in(backup, &self.clock).order_actors(3)).await.unwrap()
    }

    /// Lets the clock tick until the store has everything.
    async fn stored(&self) {
        let engine = self.engine.clone();
        answered(async {
            while engine.metrics().stored < engine.metrics().appended {
                self.time.advance(1);
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Orders of every status, the closed ones out of memory.
    async fn trade(&self) -> Vec<Receipt> {
        let engine = &self.engine;
        let mut receipts = Vec::new();
        for member in 0..24 {
            let receipt = engine.submit(one(member, 1, 1)).await.unwrap();
            let number = receipt.order_no;
            if member % 4 < 2 {
                engine.pay(payment(&receipt, &format!("tx-{member}"))).await.unwrap();
            }
            if member % 4 == 1 {
                engine.ship(number, Default::default()).await.unwrap();
                engine.confirm(Caller::Operator, number).await.unwrap();
            }
            if member % 4 == 2 {
                engine.cancel(Caller::Operator, number).await.unwrap();
                engine.pay(payment(&receipt, &format!("late-{member}"))).await.unwrap();
            }
            receipts.push(receipt);
        }
        self.stored().await;
        self.time.advance(2_000);
        let engine = engine.clone();
        answered(async {
            while engine.metrics().evicted < 12 {
                self.time.advance(1);
                tokio::task::yield_now().await;
            }
        })
        .await;
        receipts
    }
}

/// A progress callback that stops at its first call until it is let go.
struct Pause {
    reached: mpsc::Receiver<()>,
    go_on: mpsc::Sender<()>,
}

fn paused() -> (Pause, impl FnMut(u64) + Send + 'static) {
    let (tell, reached) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let mut is_first = true;
    let progress = move |_bytes| {
        if std::mem::take(&mut is_first) {
            tell.send(()).unwrap();
            // An end without a word lets it go, too.
            let _ = wait.recv();
        }
    };
    (Pause { reached, go_on }, progress)
}

impl Pause {
    async fn reached(self) -> mpsc::Sender<()> {
        let Self { reached, go_on } = self;
        answered(tokio::task::spawn_blocking(move || reached.recv().unwrap())).await.unwrap();
        go_on
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_on_the_backup_has_the_same_state() {
    let shop =
        OnDisk::open(|config| config.retain_closed_ms(1_000).journal_keep_min_bytes(0).ballast_bytes(0))
            .await;
    let receipts = shop.trade().await;
    let before = shop.engine.state_hash().await.unwrap();
    let bytes_seen = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&bytes_seen);
    let progress = move |bytes| {
        seen.store(bytes as usize, Ordering::Relaxed);
    };
    let report = answered(shop.engine.backup_with(shop.target(), progress)).await.unwrap();
    assert_eq!(shop.engine.state_hash().await.unwrap().hash, before.hash, "nothing happened meanwhile");
    assert!(report.position >= before.position && report.stored <= report.position, "{report:?}");
    assert!(report.stored > Position(0) && report.events > 0, "{report:?}");
    assert_eq!(bytes_seen.load(Ordering::Relaxed) as u64, report.bytes);

    let restored = shop.restore(&shop.target()).await;
    assert_eq!(restored.state_hash().await.unwrap().hash, before.hash);
    for (member, receipt) in (0..).zip(&receipts) {
        let order = shop.engine.order(Caller::Operator, receipt.order_no).await;
        assert_eq!(restored.order(Caller::Operator, receipt.order_no).await, order);
        let again = restored.submit(one(member, 1, 1)).await.unwrap();
        assert_eq!(again.order_no, receipt.order_no, "a retry finds its order");
    }
    close(restored, &shop.target()).await;
    answered(shop.engine.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trimming_waits_for_a_backup_and_goes_on_after_it() {
    let shop = OnDisk::open(|config| config.journal_keep_min_bytes(0)).await;
    shop.stored().await;
    let (pause, progress) = paused();
    let (engine, target) = (shop.engine.clone(), shop.target());
    let backup = tokio::spawn(async move { engine.backup_with(target, progress).await });
    let go_on = pause.reached().await;
    let held = shop.engine.metrics().stored;
    for member in 0..20 {
        shop.engine.submit(one(member, 1, 1)).await.unwrap();
        shop.stored().await;
    }
    assert!(shop.engine.metrics().journal_first <= held, "{held} is still needed");
    let other = shop.engine.backup(shop.root.join("other")).await;
    assert!(matches!(other, Err(BackupError::AlreadyRunning)), "{other:?}");
    drop(go_on);
    let report = answered(backup).await.unwrap().unwrap();
    assert_eq!(report.stored, held);
    answered(async {
        let mut request = 2;
        while shop.engine.metrics().journal_first <= held {
            shop.engine.submit(one(1, request, 1)).await.unwrap();
            shop.stored().await;
            request += 1;
        }
    })
    .await;
    let restored = shop.restore(&shop.target()).await;
    close(restored, &shop.target()).await;
}

async fn refused_as_interrupted(path: &Path, clock: &Clock) {
    match Engine::open(config_in(path, clock)).await {
        Err(OpenError::Journal(error @ JournalError::InterruptedBackup { .. })) => {
            assert!(error.to_string().contains("interrupted backup"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    for command in ["verify", "inspect"] {
        let (code, _, stderr) = stockade(&[command, "--data", path.to_str().unwrap()]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("an interrupted backup"), "{command}: {stderr}");
    }
}

#[tokio::test]
async fn an_interrupted_backup_is_refused_by_everybody() {
    let shop = OnDisk::open(|config| config).await;
    let failed = shop.engine.backup_with(shop.target(), |_bytes| panic!("a test's fault")).await;
    assert!(matches!(failed, Err(BackupError::Failed(_))), "{failed:?}");
    assert!(!shop.target().join(layout::FORMAT_FILE).exists());
    refused_as_interrupted(&shop.target(), &shop.clock).await;
    let again = shop.engine.backup(shop.target()).await;
    assert!(matches!(again, Err(BackupError::NotEmpty { .. })), "{again:?}");
    assert!(again.unwrap_err().to_string().contains("an interrupted backup; remove that first"));

    // A copy that stopped before its last step counts as well.
    let other = shop.root.join("other");
    shop.engine.backup(&other).await.unwrap();
    std::fs::write(other.join(layout::BACKUP_MARKER_FILE), "").unwrap();
    refused_as_interrupted(&other, &shop.clock).await;
    std::fs::remove_file(other.join(layout::BACKUP_MARKER_FILE)).unwrap();
    std::fs::remove_file(other.join(layout::FORMAT_FILE)).unwrap();
    let error = Engine::open(config_in(&other, &shop.clock)).await.unwrap_err();
    assert!(matches!(error, OpenError::Journal(JournalError::Damaged { .. })), "{error}");

    assert!(shop.engine.submit(one(7, 1, 1)).await.is_ok(), "the engine goes on");
    answered(shop.engine.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_a_backup_and_waits_for_it() {
    let shop = OnDisk::open(|config| config).await;
    shop.stored().await;
    let (pause, progress) = paused();
    let (engine, target) = (shop.engine.clone(), shop.target());
    let backup = tokio::spawn(async move { engine.backup_with(target, progress).await });
    let go_on = pause.reached().await;
    let engine = shop.engine.clone();
    let shutdown = tokio::spawn(async move { engine.shutdown().await });
    until(|| shop.engine.metrics().health != Health::Open).await;
    drop(go_on);
    answered(shutdown).await.unwrap().unwrap();
    let ended = answered(backup).await.unwrap();
    assert!(matches!(ended, Err(BackupError::Closed)), "{ended:?}");
    refused_as_interrupted(&shop.target(), &shop.clock).await;
    let late = shop.engine.backup(shop.root.join("late")).await;
    assert!(matches!(late, Err(BackupError::Closed)), "{late:?}");
}

#[tokio::test]
async fn a_target_that_is_not_empty_or_lies_in_the_data_is_left_alone() {
    let shop = OnDisk::open(|config| config).await;
    std::fs::create_dir(shop.target()).unwrap();
    std::fs::write(shop.target().join("thesis.tex"), "draft").unwrap();
    let error = shop.engine.backup(shop.target()).await.unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty { .. }), "{error}");
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(std::fs::read_dir(shop.target()).unwrap().count(), 1);
    for inside in [shop.data(), shop.data().join("deep/down")] {
        let error = shop.engine.backup(&inside).await.unwrap_err();
        assert!(matches!(error, BackupError::InsideDataDir { .. }), "{error}");
    }
    let empty = shop.root.join("empty");
    std::fs::create_dir(&empty).unwrap();
    shop.engine.backup(&empty).await.unwrap();
    answered(shop.engine.shutdown()).await.unwrap();
}

#[tokio::test]
async fn without_a_store_the_journal_is_backed_up_from_its_first_event() {
    let shop = OnDisk::open(|config| config.store(false)).await;
    let receipt = shop.engine.submit(one(7, 1, 1)).await.unwrap();
    let report = shop.engine.backup(shop.target()).await.unwrap();
    assert_eq!((report.stored, report.events), (Position(0), report.position.0));
    let (code, _, stderr) = stockade(&["verify", "--data", shop.target().to_str().unwrap()]);
    assert_eq!(code, 0, "{stderr}");
    let restored = Engine::open(config_in(&shop.target(), &shop.clock)).await.unwrap();
    let order = restored.order(Caller::Operator, receipt.order_no).await.unwrap();
    assert_eq!(order.status, OrderStatus::Pending);
    close(restored, &shop.target()).await;
    answered(shop.engine.shutdown()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_and_not_synced_yet_is_waited_for() {
    let shop = OnDisk::open(|config| config.durability(Durability::Buffered { interval_ms: 1_000 })).await;
    let receipt = shop.engine.submit(one(7, 1, 1)).await.unwrap();
    let metrics = shop.engine.metrics();
    assert!(metrics.durable < metrics.acknowledged, "{metrics:?}");
    let (engine, target) = (shop.engine.clone(), shop.target());
    let backup = tokio::spawn(async move { engine.backup(target).await });
    answered(async {
        while !backup.is_finished() {
            shop.time.advance(100);
            tokio::task::yield_now().await;
        }
    })
    .await;
    let report = backup.await.unwrap().unwrap();
    assert!(report.position >= metrics.acknowledged, "{report:?}");
    let restored = Engine::open(config_in(&shop.target(), &shop.clock)).await.unwrap();
    assert!(restored.order(Caller::Operator, receipt.order_no).await.is_ok());
    // The other one is dropped: by a clock that stands still the last interval never ends.
    close(restored, &shop.target()).await;
}

#[tokio::test]
async fn an_engine_that_has_failed_can_be_backed_up() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.settle().await;
    shop.journal.fail_write_at(shop.metrics().commits + 1);
    assert!(shop.submit(one(8, 1, 1)).await.is_err());
    until(|| matches!(shop.metrics().health, Health::Poisoned { .. })).await;
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("backup");
    let report = answered(shop.engine.backup(&target)).await.unwrap();
    assert_eq!(report.position, shop.metrics().durable);
    let restored = Engine::open(config_in(&target, &shop.clock)).await.unwrap();
    assert!(restored.order(Caller::Operator, receipt.order_no).await.is_ok());
    close(restored, &target).await;
}

#[tokio::test]
async fn a_full_disk_ends_the_backup_gives_its_space_back_and_harms_nobody() {
    let shop = OnDisk::open(|config| config).await;
    for member in 0..600 {
        let ext = Some(vec![7; 4_000].into());
        shop.engine.submit(stockade::SubmitOrder { ext, ..one(member, 1, 1) }).await.unwrap();
    }
    shop.stored().await;
    // Too small to begin with, too small on the way, just large enough.
    let mut made = Vec::new();
    for size in ["1m", "3m", "4m", "5m", "6m", "8m", "12m", "24m"] {
        let Some(disk) = SmallDisk::mount(size) else { return };
        match shop.engine.backup(disk.path()).await {
            Ok(_) => made.push(size),
            Err(error) => {
                assert!(matches!(error, BackupError::DiskFull { .. }), "{size}: {error:?}");
                assert!(error.to_string().contains("too little space"), "{error}");
                let left = std::fs::read_dir(disk.path()).map_or(0, |entries| entries.count());
                assert_eq!(left, 0, "{size}: the space is free again");
            }
        }
        assert!(shop.engine.submit(one(7, size.len() as u128 + 7, 1)).await.is_ok());
    }
    assert!(!made.contains(&"1m") && made.contains(&"24m"), "{made:?}");
    answered(shop.engine.shutdown()).await.unwrap();

    // On the engine's own disk the reserve is the engine's.
    let reserved = OnDisk::open(|config| config).await;
    answered(reserved.engine.shutdown()).await.unwrap();
    let OnDisk { _dir, root, engine, clock, .. } = reserved;
    close(engine, &root.join("shop")).await;
    let config = config_in(&root.join("shop"), &clock).disk_free_min_bytes(u64::MAX);
    let engine = Engine::open(config).await.unwrap();
    let error = engine.backup(root.join("backup")).await.unwrap_err();
    assert!(matches!(error, BackupError::DiskFull { .. }), "{error:?}");
    answered(engine.shutdown()).await.unwrap();
}

#[tokio::test]
async fn the_command_asks_the_running_engine_or_copies_by_itself() {
    let shop = OnDisk::open(|config| config.control_socket(true)).await;
    let receipt = shop.engine.submit(one(7, 1, 1)).await.unwrap();
    let (data, target) = (shop.data(), shop.target());
    let back_up =
        |to: &Path| stockade(&["backup", "--data", data.to_str().unwrap(), "--to", to.to_str().unwrap()]);
    let (code, stdout, stderr) = back_up(&target);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("backed up to position "), "{stdout}");
    let (code, _, stderr) = back_up(&target);
    assert_eq!(code, 1, "the data is sound, the target is not");
    assert!(stderr.contains("not empty"), "{stderr}");
    let hash = shop.engine.state_hash().await.unwrap().hash;

    answered(shop.engine.shutdown()).await.unwrap();
    let OnDisk { _dir, root, engine, clock, .. } = shop;
    close(engine, &data).await;
    let other = root.join("other");
    let (code, _, stderr) = back_up(&other);
    assert_eq!(code, 0, "{stderr}");
    for backup in [target, other] {
        let restored = Engine::open(config_in(&backup, &clock)).await.unwrap();
        assert_eq!(restored.state_hash().await.unwrap().hash, hash);
        assert!(restored.order(Caller::Operator, receipt.order_no).await.is_ok());
        close(restored, &backup).await;
    }
    let (code, _, stderr) = stockade(&["backup", "--data", "/nowhere", "--to", "/nowhere/else"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("there is no data directory at /nowhere"), "{stderr}");
}
