//! Building anew: asked for, or because what is there can't be used.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::Reject;

/// The folders of generations.
fn generations(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("search")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_takes_over_while_orders_arrive_and_the_old_index_answers() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path()).await;
    shop.trade(0..400).await;
    shop.settled().await;
    assert_eq!(generations(dir.path()), ["1"]);
    let reports = Arc::new(AtomicU64::new(0));
    let reported = Arc::clone(&reports);
    let progress = move |progress: crate::ReindexProgress| {
        reported.store(progress.orders, Ordering::Relaxed);
    };
    let rebuilding = shop.engine.reindex(progress);
    let trading = async {
        for round in 10..16 {
            shop.trade(round * 40..(round + 1) * 40).await;
            shop.time.advance(30);
            assert!(shop.find(&Expr::All).unwrap().page.len() >= 400, "the old one answers");
        }
    };
    let (outcome, ()) = tokio::join!(rebuilding, trading);
    let outcome = outcome.unwrap();
    assert!(outcome.orders >= 400 && outcome.orders_total >= outcome.orders, "{outcome:?}");
    assert_eq!(reports.load(Ordering::Relaxed), outcome.orders);
    shop.settled().await;
    shop.check("after the rebuild");
    assert_eq!(shop.engine.search_figures().documents, 640);
    assert_eq!(generations(dir.path()), ["2"]);
    shop.trade(640..680).await;
    shop.settled().await;
    shop.check("it follows");
    shop.engine.shutdown().await.unwrap();
    let gone = shop.engine.reindex(|_| {}).await;
    assert_eq!(gone, Err(Reject::Unavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn there_is_one_rebuild_at_a_time_and_none_without_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path()).await;
    shop.trade(0..40).await;
    shop.settled().await;
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (go_on, gate) = std::sync::mpsc::channel::<()>();
    let engine = shop.engine.clone();
    let first = tokio::spawn(async move {
        let progress = move |_| {
            let _ = begun.send(());
            // Until the test has asked a second time.
            let _ = gate.recv();
        };
        engine.reindex(progress).await
    });
    let waiting = tokio::task::spawn_blocking(move || has_begun.recv());
    waiting.await.unwrap().unwrap();
    let second = shop.engine.reindex(|_| {}).await;
    assert!(matches!(second, Err(Reject::Overloaded { .. })), "{second:?}");
    drop(go_on);
    assert_eq!(first.await.unwrap().unwrap().orders, 40);
    shop.engine.set_search_mode(SearchMode::Off);
    assert_eq!(shop.engine.reindex(|_| {}).await, Err(Reject::SearchOff));
    shop.engine.shutdown().await.unwrap();
}

/// Restarts a shop after something was done to its index.
async fn restarted(shop: Shop, dir: &Path, tamper: impl FnOnce()) -> Shop {
    shop.engine.shutdown().await.unwrap();
    let Shop { engine, clock, time, journal, pages } = shop;
    drop(engine);
    tamper();
    Shop::on(dir, (clock, time), journal, pages, SearchMode::On).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_damaged_lost_or_ahead_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let mut shop = Shop::open(path).await;
    shop.trade(0..60).await;
    shop.settled().await;
    let search = path.join("search");
    shop = restarted(shop, path, || fs::write(search.join("1/meta.json"), b"not an index").unwrap()).await;
    shop.settled().await;
    shop.check("damaged");
    shop = restarted(shop, path, || fs::remove_dir_all(&search).unwrap()).await;
    shop.settled().await;
    shop.check("lost");

    // Back to an older state of journal and store, with the index of the newer one.
    let (journal, pages) = (shop.journal.after_power_cut(), shop.pages.after_crash());
    shop.trade(60..120).await;
    shop.settled().await;
    shop.engine.shutdown().await.unwrap();
    let Shop { engine, clock, time, .. } = shop;
    drop(engine);
    let shop = Shop::on(path, (clock, time), journal, pages, SearchMode::On).await;
    shop.settled().await;
    shop.check("ahead");
    assert_eq!(shop.engine.search_figures().documents, 60);
    shop.engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r12_an_index_whose_journal_was_let_go_of_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path()).await;
    shop.trade(0..60).await;
    shop.settled().await;
    shop.engine.inner.holds.release("search");
    shop.trade(60..120).await;
    // It notices with the next checkpoint, and is there again when another one was built.
    shop.until(|engine| engine.search_figures().rebuilds == 1).await;
    assert_eq!(generations(dir.path()).len(), 1);
    shop.settled().await;
    shop.check("built anew");
    assert!(shop.engine.inner.holds.of("search").is_some());
    shop.engine.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_in_which_a_search_failed_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let shop = Shop::open(dir.path()).await;
    shop.trade(0..40).await;
    shop.settled().await;
    shop.engine.inner.search.board().is_broken.store(true, Ordering::Release);
    shop.until(|engine| engine.search_figures().rebuilds == 1).await;
    shop.settled().await;
    shop.check("built anew");
    shop.engine.shutdown().await.unwrap();
}
