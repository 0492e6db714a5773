//! The search index on a data directory: against the store, through crashes, with orders of every kind.

use std::collections::BTreeSet;
use std::path::Path;

use stockade::domain::search::{Expr, Sort, SortKey};
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{
    Caller, Config, DeskPage, DeskSequence, Engine, OrderFilter, OrderNo, OrderStatus, Search, SearchConfig,
    SearchMode, SearchSource,
};

use crate::support::*;

fn searched(path: &Path, clock: &Clock) -> Config {
    let search = SearchConfig { mode: SearchMode::On, refresh_ms: 10, ..SearchConfig::default() };
    config_in(path, clock).checkpoint_interval_ms(5).journal_keep_min_bytes(0).search(search)
}

/// Opens the directory, once an engine that was dropped has let go of it.
async fn open(path: &Path, clock: &Clock) -> Engine {
    answered(async {
        loop {
            match Engine::open(searched(path, clock)).await {
                Ok(engine) => return engine,
                Err(_in_use) => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

/// Moves the clock on until everything is stored and searchable.
async fn settled(engine: &Engine, time: &ManualTime) {
    answered(async {
        loop {
            let (metrics, figures) = (engine.metrics(), engine.search_figures());
            let is_there = figures.position == metrics.appended && metrics.stored == metrics.appended;
            if is_there && !figures.is_rebuilding && figures.failure.is_none() {
                return;
            }
            time.advance(5);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// All orders in a state, as the store has them.
async fn stored(engine: &Engine, status: OrderStatus) -> BTreeSet<OrderNo> {
    let filter = OrderFilter { statuses: vec![status], ..OrderFilter::default() };
    let mut numbers = BTreeSet::new();
    let mut page = DeskPage { sequence: DeskSequence::Any, len_max: 200, ..DeskPage::default() };
    loop {
        let answer = engine.find_orders(&filter, page).await.unwrap();
        numbers.extend(answer.orders.iter().map(|order| order.order_no));
        page.after = answer.next;
        if page.after.is_none() {
            return numbers;
        }
    }
}

/// The same from the index, page by page; each order once.
async fn found(engine: &Engine, status: OrderStatus) -> BTreeSet<OrderNo> {
    let sort = Sort { key: SortKey::Amount, descending: true };
    let mut search = Search { expr: Expr::Status(status), sort, len_max: 50, ..Search::default() };
    let mut numbers = BTreeSet::new();
    loop {
        let answer = engine.search(&search).await.unwrap();
        assert_eq!(answer.source, SearchSource::Index);
        for order in &answer.orders {
            assert!(numbers.insert(order.order_no), "{} comes twice", order.order_no);
        }
        search.after = answer.next;
        if search.after.is_none() {
            return numbers;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kills_the_index_has_each_order_once_as_the_store_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (clock, time) = Clock::manual(START_MS);
    let mut engine = open(&path, &clock).await;
    engine.put_sku(sku(1)).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 10_000)).await.unwrap();
    for round in 0..5_u64 {
        let orders = (0..60).map(|n| {
            let (engine, time) = (engine.clone(), time.clone());
            async move {
                let receipt = engine.submit(one(round * 60 + n, 1, 1)).await.unwrap();
                time.advance(1);
                if n % 3 == 0 {
                    engine.cancel(Caller::Operator, receipt.order_no).await.unwrap();
                } else if n % 3 == 1 {
                    engine.pay(payment(&receipt, &receipt.order_no.to_string())).await.unwrap();
                }
                tokio::time::sleep(std::time::Duration::from_millis(n % 7)).await;
            }
        });
        together(orders.collect::<Vec<_>>()).await;
        if round % 2 == 0 {
            // With whatever is under way.
            drop(engine);
            engine = open(&path, &clock).await;
        }
        settled(&engine, &time).await;
        for status in [OrderStatus::Pending, OrderStatus::Paid, OrderStatus::Cancelled] {
            let expected = stored(&engine, status).await;
            assert!(!expected.is_empty());
            assert_eq!(found(&engine, status).await, expected, "{status} in round {round}");
        }
        assert_eq!(engine.search_figures().documents, (round + 1) * 60);
    }
    assert_eq!(engine.search_figures().rebuilds, 0, "no kill costs a rebuild");
    crate::data_dir::close(engine, &path).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_ends_lets_go_of_its_directory_whatever_its_index_was_doing() {
    for mode in [SearchMode::Off, SearchMode::On] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop");
        let (clock, _time) = Clock::manual(START_MS);
        for round in 0..3_u64 {
            let search = SearchConfig { mode, refresh_ms: 10, ..SearchConfig::default() };
            let engine = Engine::open(searched(&path, &clock).search(search)).await.unwrap();
            engine.put_sku(sku(1)).await.unwrap();
            engine.adjust_stock(set_total(1, 1, 50)).await.unwrap();
            engine.submit(one(round, 1, 1)).await.unwrap();
            if round == 1 {
                // Without a word.
                drop(engine);
                crate::data_dir::freed(&path).await;
            } else {
                crate::data_dir::close(engine, &path).await;
            }
        }
    }
}
