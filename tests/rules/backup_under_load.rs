//! Backups while buyers buy: everything that was acknowledged, consistent at one position.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use stockade::audit::Auditor;
use stockade::journal::{Journal, SledJournal, SledJournalOptions, scan};
use stockade::{BackupReport, Caller, Config, Engine, OrderType, Position, Receipt};

use crate::backup::OnDisk;
use crate::data_dir::close;
use crate::support::*;

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
