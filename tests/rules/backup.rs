//! Backups: made while the engine goes on, consistent at one position, and known as interrupted until they are complete.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use stockade::audit::Auditor;
use stockade::journal::{Journal, JournalError, SledJournal, SledJournalOptions, layout, scan};
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{
    BackupError, BackupReport, Caller, Config, Durability, Engine, Health, OpenError, OrderStatus, OrderType,
    Position, Receipt,
};

use crate::data_dir::{SmallDisk, close};
use crate::support::*;
use crate::verify_command::stockade;

/// A data directory with an engine on it that checkpoints all the time.
struct OnDisk {
    _dir: tempfile::TempDir,
    root: PathBuf,
    engine: Engine,
    clock: Clock,
    time: ManualTime,
}

impl OnDisk {
    async fn open(change: impl FnOnce(Config) -> Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_path_buf();
        let (clock, time) = Clock::manual(START_MS);
        let config = config_in(&root.join("shop"), &clock).checkpoint_interval_ms(1).disk_free_min_bytes(0);
        let engine = Engine::open(change(config)).await.unwrap();
        engine.put_sku(sku(1)).await.unwrap();
        engine.adjust_stock(set_total(1, 1, 100_000)).await.unwrap();
        Self { _dir: dir, root, engine, clock, time }
    }

    fn data(&self) -> PathBuf {
        self.root.join("shop")
    }

    fn target(&self) -> PathBuf {
        self.root.join("backup")
    }

    /// An engine on a backup, with another number of order actors.
    async fn restore(&self, backup: &Path) -> Engine {
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

/// Buyers that order, cancel and pay until they are told to stop. Gives what was acknowledged so far.
struct Buyers {
    stop: Arc<AtomicBool>,
    placed: Arc<Mutex<Vec<Receipt>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Buyers {
    fn start(engine: &Engine) -> Self {
        let (stop, placed) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let buyer = |buyer: u64| {
            let (engine, stop, placed) = (engine.clone(), Arc::clone(&stop), Arc::clone(&placed));
            tokio::spawn(async move {
                for round in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let receipt = engine.submit(one(buyer, u128::from(round), 1)).await.unwrap();
                    placed.lock().unwrap().push(receipt);
                    match round % 3 {
                        0 => drop(engine.cancel(Caller::Operator, receipt.order_no).await.unwrap()),
                        1 => {
                            let id = format!("{buyer}-{round}");
                            engine.pay(payment(&receipt, &id)).await.unwrap();
                        }
                        _ => {}
                    }
                }
            })
        };
        let tasks = (0..8).map(buyer).collect();
        Self { stop, placed, tasks }
    }

    fn placed(&self) -> Vec<Receipt> {
        self.placed.lock().unwrap().clone()
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            answered(task).await.unwrap();
        }
    }
}

/// Backs up while buyers buy: what was acknowledged before each backup, and its report.
async fn back_up_under_load(shop: &OnDisk, backups: usize) -> Vec<(PathBuf, Vec<Receipt>, BackupReport)> {
    let buyers = Buyers::start(&shop.engine);
    let mut made = Vec::new();
    for index in 0..backups {
        until(|| buyers.placed().len() > 100 * (index + 1)).await;
        shop.time.advance(5);
        let placed = buyers.placed();
        let target = shop.root.join(format!("backup-{index}"));
        let report = answered(shop.engine.backup(&target)).await.unwrap();
        made.push((target, placed, report));
    }
    buyers.stop().await;
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_a_prefix_of_the_journal_that_passes_the_audit() {
    let shop = OnDisk::open(|config| config.journal_keep_min_bytes(u64::MAX)).await;
    let made = back_up_under_load(&shop, 3).await;
    let data = shop.data();
    answered(shop.engine.shutdown()).await.unwrap();
    let OnDisk { _dir, root: _, engine, clock, .. } = shop;
    close(engine, &data).await;

    let options = SledJournalOptions { ballast_bytes: 0, ..Default::default() };
    let (journal, _) = SledJournal::open(&data, options).unwrap();
    let mut whole = Vec::new();
    for frame in scan(journal.reader(), Position(1)) {
        for entry in frame.unwrap().entries() {
            let events: Vec<_> = entry.events().map(|event| event.unwrap().1).collect();
            whole.push(Entry { first: entry.first, events });
        }
    }
    for (target, placed, report) in made {
        let prefix: Vec<_> = whole.iter().filter(|entry| entry.first <= report.position).cloned().collect();
        let mut auditor = Auditor::new();
        prefix.iter().for_each(|entry| auditor.entry(entry.first, &entry.events));
        let audit = auditor.finish();
        assert!(audit.passed(), "{:#?}", audit.violations);
        assert_eq!(audit.last_position, report.position, "it ends between two decisions");

        let replayed = Engine::open_on(config(&clock), journal_of(&prefix)).await.unwrap();
        let restored = Engine::open(config_in(&target, &clock).order_actors(1)).await.unwrap();
        assert_eq!(
            restored.state_hash().await.unwrap().hash,
            replayed.state_hash().await.unwrap().hash,
            "backup up to {} with a store up to {}",
            report.position,
            report.stored
        );
        for receipt in placed {
            let found = restored.order(Caller::Operator, receipt.order_no).await;
            assert!(found.is_ok(), "{} was acknowledged before the backup", receipt.order_no);
        }
        assert_eq!(
            restored.stock(key(1)).await.unwrap(),
            replayed.stock(key(1)).await.unwrap(),
            "and so are the units"
        );
        close(restored, &target).await;
        answered(replayed.shutdown()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_journal_that_is_trimmed_all_the_time_has_everything() {
    // The clock runs much faster than the buyers, and no order is to time out.
    let slow = |config: Config| config.auto_close_ms(OrderType::Normal, u32::MAX);
    let shop = OnDisk::open(|config| slow(config).journal_keep_min_bytes(0).retain_closed_ms(1_000)).await;
    let ticking = Arc::new(AtomicBool::new(true));
    let (time, goes_on) = (shop.time.clone(), Arc::clone(&ticking));
    let ticker = std::thread::spawn(move || {
        while goes_on.load(Ordering::Relaxed) {
            time.advance(1);
            std::thread::yield_now();
        }
    });
    let made = back_up_under_load(&shop, 3).await;
    ticking.store(false, Ordering::Relaxed);
    ticker.join().unwrap();
    assert!(shop.engine.metrics().journal_first > Position(1), "nothing was trimmed");
    for (target, placed, _) in made {
        let restored = shop.restore(&target).await;
        for receipt in placed {
            let found = restored.order(Caller::Operator, receipt.order_no).await;
            assert!(found.is_ok(), "{} was acknowledged before the backup", receipt.order_no);
        }
        let stock = restored.stock(key(1)).await.unwrap();
        assert_eq!(stock.total, stock.available + stock.reserved + stock.sold, "{stock:?}");
        close(restored, &target).await;
    }
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
