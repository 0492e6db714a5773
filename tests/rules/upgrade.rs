//! Formats of the data directory: an older one is taken over, a newer one is refused with the release that is needed.

use std::fs;
use std::path::Path;

use stockade::journal::{JournalError, layout};
use stockade::runtime::clock::Clock;
use stockade::{Engine, OpenError, StateHash};

use crate::data_dir::close;
use crate::support::*;

fn format_of(path: &Path) -> String {
    fs::read_to_string(path.join(layout::FORMAT_FILE)).unwrap()
}

/// A directory as the releases before the store left it, and the state in it.
async fn of_format_1(path: &Path, clock: &Clock) -> StateHash {
    let engine = Engine::open(config_in(path, clock).store(false)).await.unwrap();
    engine.put_sku(sku(1)).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 50)).await.unwrap();
    for member in 0..10 {
        engine.submit(one(member, 1, 1)).await.unwrap();
    }
    let hash = engine.state_hash().await.unwrap();
    close(engine, path).await;
    fs::write(path.join(layout::FORMAT_FILE), "stockade data format 1\n").unwrap();
    fs::remove_file(path.join(layout::WRITTEN_BY_FILE)).unwrap();
    hash
}

#[tokio::test]
async fn a_directory_of_format_1_opens_with_all_it_has_and_becomes_format_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (clock, _time) = Clock::manual(START_MS);
    let before = of_format_1(&path, &clock).await;

    let engine = Engine::open(config_in(&path, &clock)).await.unwrap();
    assert_eq!(engine.state_hash().await.unwrap().hash, before.hash);
    assert_eq!(engine.inspect().await.unwrap().format, 2);
    close(engine, &path).await;
    assert_eq!(format_of(&path), "stockade data format 2\n");
    let written_by = fs::read_to_string(path.join(layout::WRITTEN_BY_FILE)).unwrap();
    assert_eq!(written_by, format!("stockade {}\n", env!("CARGO_PKG_VERSION")));
    let engine = Engine::open(config_in(&path, &clock)).await.unwrap();
    assert_eq!(engine.state_hash().await.unwrap().hash, before.hash, "from the store");
    close(engine, &path).await;
}

#[tokio::test]
async fn without_a_store_a_directory_stays_readable_for_older_releases() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (clock, _time) = Clock::manual(START_MS);
    of_format_1(&path, &clock).await;
    let engine = Engine::open(config_in(&path, &clock).store(false)).await.unwrap();
    engine.submit(one(77, 1, 1)).await.unwrap();
    close(engine, &path).await;
    assert_eq!(format_of(&path), "stockade data format 1\n");
}

#[tokio::test]
async fn the_format_is_upgraded_before_there_is_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (clock, _time) = Clock::manual(START_MS);
    of_format_1(&path, &clock).await;
    // Where the store would be, nothing can be made.
    fs::write(path.join(layout::STORE_DIR), "in the way").unwrap();
    let error = Engine::open(config_in(&path, &clock)).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(_)), "{error}");
    assert_eq!(format_of(&path), "stockade data format 2\n");
}

#[tokio::test]
async fn a_newer_directory_is_refused_with_the_release_that_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (clock, _time) = Clock::manual(START_MS);
    of_format_1(&path, &clock).await;
    fs::write(path.join(layout::FORMAT_FILE), "stockade data format 3\n").unwrap();
    fs::write(path.join(layout::WRITTEN_BY_FILE), "stockade 2.7.0\n").unwrap();
    let error = Engine::open(config_in(&path, &clock)).await.unwrap_err();
    assert!(matches!(error, OpenError::Journal(JournalError::NewerFormat { found: 3, supported: 2, .. })));
    let expected = "has format 3, written by stockade 2.7.0; this release reads formats up to 2";
    assert!(error.to_string().contains(expected), "{error}");
}
