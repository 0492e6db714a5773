//! R5: a fact that depends on another stands after it in the journal, so whatever survives a crash is consistent.

use stockade::Caller;
use stockade::audit::Auditor;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_a_release_never_precedes_its_order_closed_in_the_journal() {
    let shop = Shop::open().await;
    const SKUS: u64 = 3;
    for sku in 0..SKUS {
        shop.stock_up(sku, 1).await;
    }
    // Four times as many buyers as units fight for each unit as it comes back: if a release ever went ahead of
    // its close, some buyer's order would stand in front of the close that made room for it.
    let buyers = (0..SKUS * 4).map(|buyer| {
        let engine = shop.engine.clone();
        async move {
            let mut bought = 0;
            for request in 0..150 {
                let Ok(receipt) = engine.submit(one(buyer, request, buyer % SKUS)).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                bought += 1;
                engine.cancel(Caller::Operator, receipt.order_no).await.unwrap();
            }
            bought
        }
    });
    let bought: u32 = together(buyers.collect::<Vec<_>>()).await.iter().sum();
    assert!(bought > 100, "only {bought} orders: the units hardly moved");
    assert_no_prefix_oversells(&shop.journal);
    audit(&shop.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_closes_by_timer_free_units_only_behind_their_order_closed() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    for round in 0..20_u128 {
        let placed = submit_together(&shop, (0..10).map(|buyer| one(buyer, round, 1))).await;
        assert!(placed.iter().all(Result::is_ok), "round {round}: {placed:?}");
        // New buyers come while the old orders are being closed.
        shop.time.advance(u64::from(AUTO_CLOSE_MS));
        let next = submit_together(&shop, (100..130).map(|buyer| one(buyer, round, 1))).await;
        shop.time.advance(u64::from(AUTO_CLOSE_MS));
        for receipt in placed.into_iter().chain(next).flatten() {
            shop.closed(receipt.order_no).await;
        }
    }
    assert_no_prefix_oversells(&shop.journal);
    audit(&shop.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r5_every_prefix_of_the_journal_is_consistent() {
    let shop = Shop::open().await;
    shop.stock_up(1, 15).await;
    let buyers = (0..60_u64).map(|buyer| {
        let engine = shop.engine.clone();
        async move {
            let Ok(receipt) = engine.submit(one(buyer, 1, 1)).await else { return };
            let pay = engine.pay(payment(&receipt, &buyer.to_string()));
            let cancel = engine.cancel(Caller::Operator, receipt.order_no);
            let (paid, _cancelled) = tokio::join!(pay, cancel);
            paid.unwrap();
        }
    });
    together(buyers.collect::<Vec<_>>()).await;
    let entries = shop.entries();
    assert!(entries.len() > 60, "{} entries", entries.len());
    for len in 0..=entries.len() {
        let mut auditor = Auditor::new();
        for entry in &entries[..len] {
            auditor.entry(entry.first, &entry.events);
        }
        let report = auditor.finish();
        assert!(report.passed(), "the first {len} entries: {:?}", report.violations);
    }
}

#[tokio::test]
async fn r5_an_engine_opens_on_every_prefix_and_completes_what_was_begun() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 2, 2).await;
    shop.stock_up(2, 2).await;
    let first = shop.submit(basket(7, 1, &[(1, 1), (2, 1)])).await.unwrap();
    let second = shop.submit(one(8, 1, 1)).await.unwrap();
    shop.start_payment(Caller::Operator, first.order_no).await.unwrap();
    shop.pay(payment(&first, "first")).await.unwrap();
    shop.pay(payment(&first, "again")).await.unwrap();
    shop.advance_to(second.deadline_ms);
    shop.closed(second.order_no).await;
    shop.pay(payment(&second, "late")).await.unwrap();
    let third = shop.submit(one(9, 1, 2)).await.unwrap();
    shop.cancel(Caller::Member(9.into()), third.order_no).await.unwrap();
    shop.pay(payment(&third, "too late")).await.unwrap();

    let entries = shop.entries();
    assert!(entries.len() >= 18, "{} entries", entries.len());
    for len in 0..=entries.len() {
        let next = shop.reopen(journal_of(&entries[..len]), |config| config).await.unwrap();
        next.settle().await;
        let report = audit(&next.journal);
        assert_eq!(report.payments_unresolved, 0, "after {len} entries");
        for (receipt, member, lines) in [(first, 7, &[(1, 1), (2, 1)][..]), (second, 8, &[(1, 1)])] {
            let known = next.order(Caller::Operator, receipt.order_no).await.is_ok();
            let retried = next.submit(basket(member, 1, lines)).await;
            assert!(!known || retried == Ok(receipt), "after {len} entries: {retried:?}");
        }
        assert_no_prefix_oversells(&next.journal);
    }
}
