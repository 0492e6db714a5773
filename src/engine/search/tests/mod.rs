//! Engines whose orders are searched: the index against the store, through restarts, crashes, gaps and rebuilds.

mod crash;
mod rebuild;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use super::{SearchConfig, SearchMode};
use crate::domain::order::OrderStatus;
use crate::domain::search::{Expr, Sort, SortKey};
use crate::journal::MemoryJournal;
use crate::projection::levels::{MemoryPages, PageStore};
use crate::projection::search::{Hits, HitsPage};
use crate::runtime::clock::{Clock, ManualTime};
use crate::{
    Caller, Config, Engine, Money, Payment, Sku, StockAdjustment, StockChange, StockKey, SubmitOrder,
};

const START_MS: u64 = 1_800_000_000_000;
/// Looks, 1 ms apart, until something must have happened.
const LOOKS_MAX: usize = 60_000;

/// A shop by a manual clock, on a journal and a store in memory, with its index in a directory.
struct Shop {
    engine: Engine,
    clock: Clock,
    time: ManualTime,
    journal: MemoryJournal,
    pages: MemoryPages,
}

fn config(clock: &Clock, mode: SearchMode) -> Config {
    Config::new("unused")
        .clock(clock.clone())
        .order_actors(2)
        .recovery_grace_ms(0)
        .request_filter_bits(1 << 12)
        .refusals_kept(1 << 12)
        .checkpoint_interval_ms(10)
        .retain_closed_ms(1_000)
        .journal_keep_min_bytes(0)
        .search(SearchConfig { mode, refresh_ms: 20, memory_bytes: 15 << 20, ..SearchConfig::default() })
}

impl Shop {
    /// A fresh one, with search on.
    async fn open(dir: &Path) -> Self {
        let (clock, time) = Clock::manual(START_MS);
        let (journal, pages) = (MemoryJournal::new(1 << 30), MemoryPages::default());
        let shop = Self::on(dir, (clock, time), journal, pages, SearchMode::On).await;
        let sku = Sku {
            id: 1.into(),
            product_id: 1.into(),
            code: "TEA".into(),
            title: "Green tea".into(),
            price: Money::from_minor(250),
            on_sale: true,
            limit_per_member: 0,
        };
        shop.engine.put_sku(sku).await.unwrap();
        let (key, change) = (StockKey::normal(1.into()), StockChange::Relative(1_000_000));
        shop.engine.adjust_stock(StockAdjustment { id: 1.into(), key, change }).await.unwrap();
        shop
    }

    async fn on(
        dir: &Path,
        (clock, time): (Clock, ManualTime),
        journal: MemoryJournal,
        pages: MemoryPages,
        mode: SearchMode,
    ) -> Self {
        let store: Box<dyn PageStore> = Box::new(pages.clone());
        let config = config(&clock, mode);
        let data_dir = Some(dir.to_path_buf());
        let engine = Engine::open_with(config, journal.clone(), Some(store), data_dir).await.unwrap();
        Self { engine, clock, time, journal, pages }
    }

    /// The shop that comes back after this one was dropped, or had its power cut.
    async fn crash(self, dir: &Path) -> Self {
        let Self { engine, clock, time, journal, pages } = self;
        drop(engine);
        let (journal, pages) = (journal.after_power_cut(), pages.after_crash());
        Self::on(dir, (clock, time), journal, pages, SearchMode::On).await
    }

    /// So many orders, side by side: of four one is paid, one cancelled, one shipped and received, one stays as it is.
    async fn trade(&self, numbers: std::ops::Range<u64>) {
        let tasks: Vec<_> = numbers
            .map(|n| {
                let engine = self.engine.clone();
                tokio::spawn(async move {
                    let receipt =
                        engine.submit(SubmitOrder::one_line(n % 7, u128::from(n), 1, 1)).await.unwrap();
                    let payment = Payment {
                        order: receipt.order_no.into(),
                        channel: "bank".into(),
                        merchant: "shop".into(),
                        transaction_id: n.to_string().into(),
                        amount: receipt.pay_amount,
                    };
                    match n % 4 {
                        0 => drop(engine.pay(payment).await.unwrap()),
                        1 => drop(engine.cancel(Caller::Operator, receipt.order_no).await.unwrap()),
                        2 => {
                            engine.pay(payment).await.unwrap();
                            engine.ship(receipt.order_no, Default::default()).await.unwrap();
                            engine.confirm(Caller::Operator, receipt.order_no).await.unwrap();
                        }
                        _ => {}
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// Moves the clock on until it is so.
    async fn until(&self, wanted: impl Fn(&Engine) -> bool) {
        for _ in 0..LOOKS_MAX {
            if wanted(&self.engine) {
                return;
            }
            self.time.advance(10);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("it doesn't happen: {:?} {:?}", self.engine.search_figures(), self.engine.metrics());
    }

    /// Moves the clock on until everything is stored and searchable.
    async fn settled(&self) {
        self.until(|engine| {
            let (metrics, figures) = (engine.metrics(), engine.search_figures());
            metrics.stored == metrics.appended
                && figures.position == metrics.appended
                && !figures.is_rebuilding
                && figures.failure.is_none()
        })
        .await;
    }

    fn find(&self, expr: &Expr) -> Option<Hits> {
        let sort = Sort { key: SortKey::Created, descending: false };
        let page = HitsPage { sort, after: None, len_max: 1_000_000, count: true };
        let inner = &self.engine.inner;
        let reader = inner.search.usable(inner.journal.durable(), inner.clock.now_ms()).ok()?;
        Some(reader.find(expr, &page).unwrap())
    }

    /// Compares the index with the store, order by order.
    fn check(&self, what: &str) {
        let store = self.engine.inner.store.as_ref().unwrap();
        let pinned = store.reader.pinned().unwrap();
        let mut stored: HashMap<OrderStatus, Vec<u64>> = HashMap::new();
        store
            .reader
            .every_order(&pinned, |order| {
                stored.entry(order.status).or_default().push(order.order_no.get());
                true
            })
            .unwrap();
        let all = self.find(&Expr::All).unwrap();
        assert_eq!(all.page.len(), stored.values().map(Vec::len).sum::<usize>(), "{what}");
        assert_eq!(all.page.len() as u64, self.engine.search_figures().documents, "{what}");
        for (status, mut expected) in stored {
            let mut found: Vec<u64> =
                self.find(&Expr::Status(status)).unwrap().page.iter().map(|hit| hit.order_no.get()).collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{what}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_follows_the_store_and_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path()).await;
    for round in 0..4 {
        shop.trade(round * 50..(round + 1) * 50).await;
        shop.settled().await;
        shop.check("while it runs");
    }
    let before = shop.engine.search_figures();
    assert!(before.is_on && before.commits >= 4 && before.indexed >= 200, "{before:?}");
    assert_eq!((before.documents, before.lag_ms, before.lag_bytes), (200, 0, 0));
    shop.trade(200..240).await;
    shop.engine.shutdown().await.unwrap();
    let Shop { engine, clock, time, journal, pages } = shop;
    drop(engine);
    let shop = Shop::on(dir.path(), (clock, time), journal, pages, SearchMode::On).await;
    shop.settled().await;
    shop.check("after a restart");
    let after = shop.engine.search_figures();
    assert_eq!(after.documents, 240);
    assert!(after.indexed < 40, "it was brought up to date at the end, and not built anew: {after:?}");
    shop.engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wanted_soon_is_searchable_without_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path()).await;
    shop.settled().await;
    shop.trade(0..20).await;
    let last = shop.engine.metrics().appended;
    let searchable = shop.engine.inner.searchable(last);
    tokio::time::timeout(Duration::from_secs(60), searchable).await.unwrap();
    assert!(shop.find(&Expr::All).unwrap().as_of >= last);
    shop.check("fresh");
    shop.engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_off_it_holds_nothing_and_switched_on_again_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path()).await;
    shop.trade(0..40).await;
    shop.settled().await;
    let holds = &shop.engine.inner.holds;
    assert!(holds.of("search").is_some());
    shop.engine.set_search_mode(SearchMode::Off);
    shop.until(|_| holds.of("search").is_none()).await;
    assert!(shop.find(&Expr::All).is_none() && !shop.engine.search_figures().is_on);
    // The journal goes on being trimmed meanwhile.
    for round in 1..4 {
        shop.trade(round * 40..(round + 1) * 40).await;
        shop.until(|engine| engine.metrics().stored == engine.metrics().appended).await;
    }
    shop.engine.set_search_mode(SearchMode::Fallback);
    shop.settled().await;
    shop.check("switched on again");
    assert!(holds.of("search").is_some());
    shop.engine.shutdown().await.unwrap();
}
