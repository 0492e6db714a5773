//! R11 over crashes and restarts: what was not confirmed comes again, and nothing is missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use stockade::journal::layout;
use stockade::relay::SubscriptionState;

use crate::relay_support::*;
use crate::support::*;

#[tokio::test]
async fn r11_after_many_crashes_nothing_is_missing_and_only_what_was_unconfirmed_comes_again() {
    for seed in 1..=3 {
        let context = format!("seed {seed}");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let mut dice = Dice::new(seed);
        let mut moods = Dice::new(seed + 100);
        let sink = FakeSink::new(move |_| match moods.roll(8) {
            0 => Verdict::Refuse,
            1 => Verdict::Down,
            2..=4 => Verdict::TakeLater(moods.roll(5)),
            _ => Verdict::Take,
        });
        let mut shop = Disk::open(path, &sink).await;
        shop.stock_up(1, 10_000).await;
        let retry = json!({"attempts_max": 1_000, "backoff_ms": 1, "backoff_ms_max": 2});
        let made = spec(json!({"in_flight_max": 16, "retry": retry}));
        shop.relay().unwrap().create(NAME, made).await.unwrap();
        let mut orders = Vec::new();
        let mut events = journal(&shop).await;
        for _ in 0..8 {
            for _ in 0..dice.roll(60) {
                act(&shop, &mut dice, &mut orders).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(dice.roll(150))).await;
            // Trimmed or not: what was seen before counts, too.
            events.extend(journal(&shop).await);
            let by = shop.crash(path).await;
            shop = Disk::open_by(path, &sink, by, |config| config).await;
        }
        let relay = shop.relay().unwrap();
        let status = drained(&shop, &relay).await;
        assert_eq!(status.state, SubscriptionState::Running, "{context}");
        assert_eq!(status.missing, [], "{context}");
        events.extend(journal(&shop).await);
        assert_complete(&sink.taken(), &events, &context);
        shop.shut_down(path).await;
    }
}

#[tokio::test]
async fn after_a_shutdown_nothing_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    let sink = FakeSink::new(|_| Verdict::TakeLater(1));
    let mut shop = Disk::open(dir.path(), &sink).await;
    shop.stock_up(1, 10_000).await;
    shop.relay().unwrap().create(NAME, spec(json!({}))).await.unwrap();
    let mut events = journal(&shop).await;
    for round in 0..3_u128 {
        for request in 1..=20 {
            shop.submit(one(1, round * 100 + request, 1)).await.unwrap();
        }
        events.extend(journal(&shop).await);
        let by = shop.shut_down(dir.path()).await;
        shop = Disk::open_by(dir.path(), &sink, by, |config| config).await;
    }
    drained(&shop, &shop.relay().unwrap()).await;
    events.extend(journal(&shop).await);
    assert_complete(&sink.taken(), &events, "after three restarts");
    assert_eq!(sink.taken_len(), events.len(), "each once");
    shop.shut_down(dir.path()).await;
}

#[tokio::test]
async fn the_journal_keeps_what_a_subscription_needs_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let allowed = Arc::new(AtomicU64::new(0));
    let sink = {
        let allowed = Arc::clone(&allowed);
        FakeSink::new(move |message| {
            if message.position.0 <= allowed.load(Ordering::Relaxed) { Verdict::Take } else { Verdict::Down }
        })
    };
    let shop = Disk::open(dir.path(), &sink).await;
    let relay = shop.relay().unwrap();
    shop.stock_up(1, 10).await;
    relay.create(NAME, spec(json!({}))).await.unwrap();
    allowed.store(2, Ordering::Relaxed);
    reached(|| sink.taken_len() >= 2).await;
    for _ in 0..20 {
        shop.fill(500_000).await;
        let stored = shop.metrics().appended;
        shop.until_moving(|shop| shop.metrics().stored >= stored).await;
    }
    assert!(shop.metrics().journal_first.0 <= 3, "{:?}", shop.metrics().journal_first);
    allowed.store(u64::MAX, Ordering::Relaxed);
    drained(&shop, &relay).await;
    // The next checkpoints trim what is delivered.
    shop.fill(60_000).await;
    shop.until_moving(|shop| {
        shop.time.advance(500);
        shop.metrics().journal_first.0 > 50
    })
    .await;
    shop.shut_down(dir.path()).await;
}

#[tokio::test]
async fn an_engine_without_subscriptions_has_no_folder_for_them_and_one_with_them_shows_it_to_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let sink = FakeSink::default();
    let folder = dir.path().join(layout::RELAY_DIR);
    let shop = Disk::open(dir.path(), &sink).await;
    assert_eq!(shop.relay().unwrap().subscriptions().len(), 0);
    assert!(!folder.exists());
    shop.relay().unwrap().create(NAME, spec(json!({}))).await.unwrap();
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let relay = shop.relay().unwrap();
    shop.shut_down(dir.path()).await;
    assert_eq!(relay.subscription(NAME).unwrap_err(), stockade::relay::RelayError::Off);
    assert_eq!(relay.subscriptions(), []);
}

#[tokio::test]
async fn a_book_that_cannot_be_read_stops_no_orders_and_gives_up_no_journal() {
    let dir = tempfile::tempdir().unwrap();
    let sink = FakeSink::default();
    let folder = dir.path().join(layout::RELAY_DIR);
    let shop = Disk::open(dir.path(), &sink).await;
    let by = shop.shut_down(dir.path()).await;
    std::fs::write(&folder, b"a file in its place").unwrap();
    let shop = Disk::open_by(dir.path(), &sink, by, |config| config).await;
    shop.stock_up(1, 10).await;
    shop.submit(one(1, 1, 1)).await.unwrap();
    let error = shop.relay().unwrap().create(NAME, spec(json!({}))).await.unwrap_err();
    assert!(matches!(error, stockade::relay::RelayError::Storage(_)), "{error}");
    let first = shop.metrics().journal_first;
    for _ in 0..10 {
        shop.fill(500_000).await;
        let stored = shop.metrics().appended;
        shop.until_moving(|shop| shop.metrics().stored >= stored).await;
    }
    assert_eq!(shop.metrics().journal_first, first);
    shop.shut_down(dir.path()).await;
}
