//! `stockade reindex`, on a running and on a stopped directory.

use std::fs;
use std::path::Path;

use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{Config, Engine, Search, SearchConfig, SearchMode, SearchSource, SubmitOrder};

use crate::data_dir::close;
use crate::support::*;
use crate::verify_command::stockade;

fn searched(config: Config) -> Config {
    config.search(SearchConfig { mode: SearchMode::On, refresh_ms: 10, ..SearchConfig::default() })
}

/// Twenty orders, all of them stored.
async fn shop(path: &Path, change: impl FnOnce(Config) -> Config) -> (Engine, Clock, ManualTime) {
    let (clock, time) = Clock::manual(START_MS);
    let engine = Engine::open(change(config_in(path, &clock).checkpoint_interval_ms(1))).await.unwrap();
    engine.put_sku(sku(1)).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 50)).await.unwrap();
    for member in 0..20 {
        engine.submit(SubmitOrder { remark: Some("ring twice".into()), ..one(member, 1, 1) }).await.unwrap();
    }
    settled(&engine, &time, |engine| engine.metrics().stored == engine.metrics().appended).await;
    (engine, clock, time)
}

/// Moves the clock on until it is so.
async fn settled(engine: &Engine, time: &ManualTime, holds: impl Fn(&Engine) -> bool) {
    answered(async {
        while !holds(engine) {
            time.advance(1);
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
}

fn is_up_to_date(engine: &Engine) -> bool {
    let figures = engine.search_figures();
    figures.position == engine.metrics().appended && !figures.is_rebuilding && figures.failure.is_none()
}

/// Runs the command beside the engine.
async fn reindex(path: &Path) -> (i32, String, String) {
    let path = path.to_str().unwrap().to_owned();
    answered(tokio::task::spawn_blocking(move || stockade(&["reindex", "--data", &path]))).await.unwrap()
}

/// How many orders a search for their remark finds in the index.
async fn found(engine: &Engine) -> u64 {
    let context =
        stockade::domain::search::ParseContext { now_ms: START_MS, offset: stockade::UtcOffset::UTC };
    let expr = stockade::domain::search::Expr::parse("remark:\"ring twice\"", &context).unwrap();
    let answer = engine.search(&Search { expr, count: true, ..Search::default() }).await.unwrap();
    assert_eq!(answer.source, SearchSource::Index);
    answer.counts.unwrap().total
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_engine_builds_its_index_anew_and_a_stopped_one_finds_it_built() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (engine, clock, time) = shop(&path, |config| searched(config).control_socket(true)).await;
    settled(&engine, &time, is_up_to_date).await;
    let (code, stdout, stderr) = reindex(&path).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("indexed 20 orders in "), "{stdout}");
    assert_eq!((engine.search_figures().rebuilds, found(&engine).await), (1, 20));
    close(engine, &path).await;

    // Damaged while nobody looked, and built anew before anybody does.
    for generation in fs::read_dir(path.join("search")).unwrap() {
        fs::write(generation.unwrap().path().join("meta.json"), b"?").unwrap();
    }
    let (code, stdout, stderr) = reindex(&path).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("indexed 20 orders in "), "{stdout}");
    assert_eq!(fs::read_dir(path.join("search")).unwrap().count(), 1);
    let engine = Engine::open(searched(config_in(&path, &clock))).await.unwrap();
    settled(&engine, &time, is_up_to_date).await;
    assert_eq!((engine.search_figures().rebuilds, found(&engine).await), (0, 20));
    close(engine, &path).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_index_can_be_built_it_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (engine, ..) = shop(&path, |config| config.control_socket(true)).await;
    let (code, _, stderr) = reindex(&path).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("search is off: switch it on first"), "{stderr}");
    close(engine, &path).await;
    let (engine, ..) = shop(&dir.path().join("deaf"), |config| config).await;
    let (code, _, stderr) = reindex(&dir.path().join("deaf")).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("it has no control socket"), "{stderr}");
    close(engine, &dir.path().join("deaf")).await;
    let (code, _, stderr) = reindex(&dir.path().join("nowhere")).await;
    assert_eq!(code, 2);
    assert!(stderr.contains("there is no data directory"), "{stderr}");

    // Without a store there is nothing to build it from.
    let bare = dir.path().join("bare");
    let (clock, _time) = Clock::manual(START_MS);
    let engine = Engine::open(config_in(&bare, &clock).store(false)).await.unwrap();
    close(engine, &bare).await;
    let (code, _, stderr) = reindex(&bare).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("there is no store"), "{stderr}");
}
