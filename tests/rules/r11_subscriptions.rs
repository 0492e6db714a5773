//! R11: every durable event reaches every subscriber, in order, with its position; nothing that is not durable does.

use std::pin::pin;

use stockade::journal::JournalError;
use stockade::{Caller, Config, Durability, Position, SubscribeError};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r11_a_subscriber_gets_every_event_once_and_in_order_while_orders_come_in() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1_000).await;
    let mut events = shop.subscribe(Position(1));
    let follower = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(recorded) = events.next().await.unwrap() {
            seen.push(recorded);
        }
        seen
    });
    let buyers = (0..200_u64).map(|buyer| {
        let engine = shop.engine.clone();
        async move {
            let receipt = engine.submit(one(buyer, 1, 1)).await.unwrap();
            engine.cancel(Caller::Operator, receipt.order_no).await.unwrap();
        }
    });
    together(buyers.collect::<Vec<_>>()).await;
    answered(shop.shutdown()).await.unwrap();
    let journal = shop.journal.clone();
    // The stream ends with the engine.
    drop(shop);
    let seen = answered(follower).await.unwrap();
    let written: Vec<_> = entries(&journal).into_iter().flat_map(|entry| entry.events).collect();
    assert_eq!(seen.len(), written.len());
    for ((nth, recorded), event) in (1..).zip(&seen).zip(&written) {
        assert_eq!((recorded.position, &recorded.event), (Position(nth), event));
        assert!(recorded.entry <= recorded.position);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r11_a_subscriber_sees_nothing_before_it_is_synced() {
    for buffered in [true, false] {
        let durability =
            if buffered { Durability::Buffered { interval_ms: 60_000 } } else { Durability::Synced };
        let (shop, gate) = Shop::open_gated(|config: Config| config.durability(durability)).await;
        let synced = shop.journal.synced();
        gate.close();
        let mut events = shop.subscribe(Position(synced.0 + 1));
        let mut next = pin!(events.next());
        let written = shop.journal.written();
        let engine = shop.engine.clone();
        let put = tokio::spawn(async move { engine.put_sku(sku(1)).await });
        until(|| shop.journal.written() > written).await;
        for _ in 0..20 {
            assert!(poll_once(next.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        gate.open();
        // By the interval, where it is buffered.
        shop.time.advance(60_000);
        assert_eq!(answered(put).await.unwrap(), Ok(1));
        assert!(answered(next).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn r11_a_position_that_is_gone_is_a_typed_error() {
    let (clock, time) = stockade::runtime::clock::Clock::manual(START_MS);
    let journal = stockade::journal::MemoryJournal::new(2_000);
    let engine = stockade::Engine::open_on(config(&clock), journal.clone()).await.unwrap();
    let shop = Shop { engine, journal, clock, time };
    shop.stock_up(1, 1_000).await;
    for request in 0..100 {
        shop.submit(one(7, request, 1)).await.unwrap();
    }
    let error = shop.subscribe(Position(1)).next().await.unwrap_err();
    match error {
        SubscribeError::Journal(JournalError::PositionTrimmed { asked, first }) => {
            assert_eq!(asked, Position(1));
            assert!(shop.subscribe(first).next().await.unwrap().is_some(), "from there on it goes");
        }
        other => panic!("{other}"),
    }
}
