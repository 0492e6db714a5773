//! A store whose writes fail: it stops, is told of, and nothing that was acknowledged depends on it.

use super::*;
use crate::journal::MemoryJournal;
use crate::projection::levels::MemoryPages;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_checkpoint_stops_the_store_and_nothing_else() {
    let (clock, time) = Clock::manual(START_MS);
    let (journal, pages) = (MemoryJournal::new(1 << 30), MemoryPages::default());
    let engine = open(config(&clock), &journal, &pages).await;
    stock(&engine).await;
    let early = trade(&engine, 0..40).await;
    stored(&engine, &time).await;
    // 20 of 40 are completed or cancelled: they leave.
    until(&engine, &time, |metrics| metrics.evicted == 20).await;
    trade(&engine, 40..80).await;
    stored(&engine, &time).await;
    until(&engine, &time, |metrics| metrics.evicted == 40).await;
    stored(&engine, &time).await;

    pages.fail_commit_at(pages.commits() + 1);
    trade(&engine, 80..120).await;
    until(&engine, &time, |metrics| metrics.store_failure.is_some()).await;
    let failed = engine.metrics();
    let failure = failed.store_failure.clone().unwrap();
    assert!(failure.contains("injected fault"), "{failure}");
    assert_eq!(failed.health, crate::Health::Open);
    assert!(failed.journal_first.0 > 1, "it was trimmed before");

    trade(&engine, 120..160).await;
    time.advance(60 * RETAIN_MS);
    trade(&engine, 160..200).await;
    for _ in 0..4 {
        engine.state_hash().await.unwrap();
    }
    let after = engine.metrics();
    assert_eq!(after.accepted, 200);
    assert_eq!((after.stored, after.checkpoints), (failed.stored, failed.checkpoints));
    assert_eq!(after.journal_first, failed.journal_first, "nothing is trimmed any more");
    assert_eq!((after.evicted, after.orders), (40, 160), "nothing leaves any more");
    // What has left before is still there.
    assert_eq!(engine.submit(request(0)).await.unwrap(), early[0]);
    assert_eq!(engine.order(Caller::Operator, early[1].order_no).await.unwrap().refunds.len(), 1);

    let before = engine.state_hash().await.unwrap();
    let (journal, pages) = (journal.after_power_cut(), pages.after_crash());
    drop(engine);
    let report = audit(&journal, &pages);
    assert!(report.passed(), "{:#?}", report.violations);
    assert_eq!((report.orders.total, report.store.unwrap().position), (200, failed.stored));

    let engine = open(config(&clock).order_actors(3), &journal, &pages).await;
    assert_eq!(engine.state_hash().await.unwrap().hash, before.hash);
    assert_eq!(engine.metrics().store_failure, None);
    assert_eq!(engine.submit(request(1)).await.unwrap(), early[1]);
    stored(&engine, &time).await;
    assert!(engine.metrics().stored > after.appended, "the store goes on where it was");
    engine.shutdown().await.unwrap();
    let report = audit(&journal, &pages);
    assert!(report.passed(), "{:#?}", report.violations);
}

/// Whichever write to the store fails, what it had before and the journal give the state that was. Checkpoints of a few
/// events store orders as they are after later ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_write_fails_store_and_journal_recover_the_same_state() {
    let mut ahead = 0;
    for nth in 1..=20 {
        let (clock, time) = Clock::manual(START_MS);
        let (journal, pages) = (MemoryJournal::new(1 << 30), MemoryPages::default());
        pages.fail_commit_at(nth);
        let engine = open(config(&clock).checkpoint_events_max(4), &journal, &pages).await;
        stock(&engine).await;
        for round in 0..4 {
            trade(&engine, round * 20..(round + 1) * 20).await;
            stored(&engine, &time).await;
        }
        time.advance(2 * RETAIN_MS);
        trade(&engine, 80..100).await;
        until(&engine, &time, |metrics| metrics.store_failure.is_some()).await;
        let before = engine.state_hash().await.unwrap();
        let (journal, pages) = (journal.after_power_cut(), pages.after_crash());
        drop(engine);

        let report = audit(&journal, &pages);
        assert!(report.passed(), "after write {nth}: {:#?}", report.violations);
        assert_eq!(report.orders.total, 100);
        ahead += report.store.unwrap().orders_ahead;
        let engine = open(config(&clock).order_actors(1 + nth as usize % 3), &journal, &pages).await;
        assert_eq!(engine.state_hash().await.unwrap().hash, before.hash, "after write {nth}");
        engine.shutdown().await.unwrap();
        let report = audit(&journal, &pages);
        assert!(report.passed(), "after write {nth} and a restart: {:#?}", report.violations);
    }
    assert!(ahead > 0, "some orders were stored ahead of their checkpoint");
}
