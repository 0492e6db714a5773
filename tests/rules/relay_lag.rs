//! A subscription that falls too far behind lets the journal go; what it misses is on record. Positions that are gone, or not
//! there yet, are told apart.

use serde_json::json;
use stockade::Position;
use stockade::relay::{RelayError, Start, SubscriptionState};

use crate::relay_support::*;
use crate::support::*;

#[tokio::test]
async fn r12_past_its_bound_the_journal_goes_on_without_it_and_the_gap_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    let sink = FakeSink::default();
    let shop = Disk::open(path, &sink).await;
    let relay = shop.relay().unwrap();
    shop.stock_up(1, 100).await;
    relay.create(NAME, spec(json!({"lag_bytes_max": 1 << 20}))).await.unwrap();
    drained(&shop, &relay).await;
    relay.pause(NAME).await.unwrap();
    let cursor = relay.subscription(NAME).unwrap().cursor;

    // Within its bound nothing is lost.
    shop.fill(400_000).await;
    shop.until_moving(|_| relay.subscription(NAME).unwrap().lag_bytes > 300_000).await;
    assert_eq!(relay.subscription(NAME).unwrap().state, SubscriptionState::Paused);

    shop.fill(3 << 20).await;
    shop.until_moving(|_| is_suspended(&relay.subscription(NAME).unwrap().state)).await;
    let status = relay.subscription(NAME).unwrap();
    assert_eq!((status.lag_bytes, status.cursor, status.missing.len()), (0, cursor, 0));
    let trimmed = |shop: &Disk| shop.metrics().journal_first > cursor;
    for _ in 0..10 {
        shop.fill(200_000).await;
    }
    shop.until_moving(trimmed).await;
    let gone = relay.seek(NAME, Start::At(cursor)).await.unwrap_err();
    let RelayError::Trimmed { asked, first } = gone else { panic!("{gone}") };
    assert_eq!(asked, cursor);
    assert!(first > cursor);

    // A restart changes nothing about it.
    let by = shop.crash(path).await;
    let shop = Disk::open_by(path, &sink, by, |config| config).await;
    let relay = shop.relay().unwrap();
    let status = relay.subscription(NAME).unwrap();
    assert!(is_suspended(&status.state), "{status:?}");
    let taken = sink.taken_len();
    let order = shop.submit(one(1, 1, 1)).await.unwrap();
    assert_eq!(sink.taken_len(), taken);

    let status = relay.resume(NAME).await.unwrap();
    let [(from, to)] = status.missing[..] else { panic!("{status:?}") };
    assert_eq!((from, status.state), (cursor, SubscriptionState::Running));
    drained(&shop, &relay).await;
    assert_eq!(sink.of_order(order.order_no), ["OrderCreated"]);
    assert_eq!(sink.positions()[taken], to.0 + 1, "it goes on with the first that is left");
    let by = shop.crash(path).await;
    let shop = Disk::open_by(path, &sink, by, |config| config).await;
    assert_eq!(shop.relay().unwrap().subscription(NAME).unwrap().missing, [(from, to)]);
    shop.shut_down(path).await;
}

#[tokio::test]
async fn seeking_goes_back_and_forth_and_knows_its_bounds() {
    let sink = FakeSink::default();
    let (shop, relay) = shop_with(&sink).await;
    shop.stock_up(1, 100).await;
    for request in 1..=10 {
        shop.submit(one(1, request, 1)).await.unwrap();
    }
    relay.create(NAME, spec(json!({}))).await.unwrap();
    drained(&shop, &relay).await;
    shop.settle().await;
    let last = shop.metrics().durable;
    let all = sink.taken_len();

    relay.seek(NAME, Start::At(Position(last.0 - 4))).await.unwrap();
    drained(&shop, &relay).await;
    assert_eq!(sink.positions()[all..], [last.0 - 4, last.0 - 3, last.0 - 2, last.0 - 1, last.0]);
    relay.seek(NAME, Start::First).await.unwrap();
    drained(&shop, &relay).await;
    assert_eq!(sink.taken_len(), all + 5 + all);

    let ahead = relay.seek(NAME, Start::At(Position(last.0 + 2))).await.unwrap_err();
    assert_eq!(ahead, RelayError::Ahead { asked: Position(last.0 + 2), last });
    relay.seek(NAME, Start::At(Position(last.0 + 1))).await.unwrap();

    // A paused one stays paused, and skips what it was told to skip.
    relay.pause(NAME).await.unwrap();
    shop.submit(one(1, 11, 1)).await.unwrap();
    shop.settle().await;
    let status = relay.seek(NAME, Start::Next).await.unwrap();
    assert_eq!((status.state, status.lag_events), (SubscriptionState::Paused, 0));
    relay.resume(NAME).await.unwrap();
    let next = shop.submit(one(1, 12, 1)).await.unwrap();
    drained(&shop, &relay).await;
    assert_eq!(sink.of_order(next.order_no), ["OrderCreated"]);
    assert_eq!(sink.taken_len(), all + 5 + all + 1);
}

#[tokio::test]
async fn a_journal_in_memory_that_forgets_suspends_who_still_needed_it() {
    let sink = FakeSink::default();
    let handed_in = std::sync::Arc::new(sink.clone());
    let config = stockade::Config::new("")
        .durability(stockade::Durability::Memory)
        .memory_journal_bytes_max(100_000)
        .relay_sink(SINK, handed_in);
    let engine = stockade::Engine::open(config).await.unwrap();
    let relay = engine.relay().unwrap();
    relay.create(NAME, spec(json!({}))).await.unwrap();
    drained(&engine, &relay).await;
    relay.pause(NAME).await.unwrap();
    let cursor = relay.subscription(NAME).unwrap().cursor;
    for nth in 0..20 {
        let task = stockade::NewTask::new(format!("t{nth}"), vec![1; 30_000]);
        engine.delay().push("filler", task).await.unwrap();
    }
    reached(|| engine.metrics().durable == engine.metrics().appended).await;
    relay.resume(NAME).await.unwrap();
    in_state(&relay, is_suspended).await;
    let status = relay.resume(NAME).await.unwrap();
    let [(from, to)] = status.missing[..] else { panic!("{status:?}") };
    assert!(cursor <= from, "some was read ahead");
    drained(&engine, &relay).await;
    let last = engine.metrics().appended.0;
    let expected: Vec<_> = (1..from.0).chain(to.0 + 1..=last).collect();
    assert_eq!(sink.positions(), expected, "all but what is on record as missing");
    let gone = relay.seek(NAME, Start::At(cursor)).await.unwrap_err();
    assert!(matches!(gone, RelayError::Trimmed { .. }), "{gone}");
    engine.shutdown().await.unwrap();
}
