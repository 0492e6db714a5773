//! R13: after the first failed write or sync the engine is poisoned: nobody waits for ever, nothing acknowledged is
//! lost, what is durable can still be read, and a restart recovers.

use stockade::journal::MemoryJournal;
use stockade::{Caller, Health, OrderStatus, Page, Reject, Retry, ShutdownError};

use crate::support::*;

/// A shop with one durable order, and a journal whose next operation fails.
async fn failing(fail: impl FnOnce(&MemoryJournal, u64)) -> (Shop, stockade::Receipt) {
    failing_with(|config| config, fail).await
}

async fn failing_with(
    change: impl FnOnce(stockade::Config) -> stockade::Config,
    fail: impl FnOnce(&MemoryJournal, u64),
) -> (Shop, stockade::Receipt) {
    let shop = Shop::open_with(change).await;
    shop.stock_up(1, 100).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    shop.settle().await;
    let metrics = shop.metrics();
    assert_eq!(metrics.commits, metrics.syncs, "each commit was synced");
    fail(&shop.journal, metrics.commits + 1);
    (shop, receipt)
}

fn next_write(journal: &MemoryJournal, next: u64) {
    journal.fail_write_at(next);
}

fn next_sync(journal: &MemoryJournal, next: u64) {
    journal.fail_sync_at(next);
}

async fn poisoned(shop: &Shop) {
    until(|| matches!(shop.metrics().health, Health::Poisoned { .. })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_commands_in_flight_answer_outcome_unknown_and_later_ones_unavailable() {
    for fail in [next_write, next_sync] {
        let (shop, receipt) = failing(fail).await;
        let results = submit_together(&shop, (100..200).map(|member| one(member, 1, 1))).await;
        assert!(results.contains(&Err(Reject::OutcomeUnknown)), "{results:?}");
        let expected = |result: &Result<_, Reject>| {
            matches!(result, Err(Reject::OutcomeUnknown | Reject::Unavailable | Reject::SoldOut { .. }))
        };
        assert!(results.iter().all(expected), "{results:?}");
        poisoned(&shop).await;
        let Health::Poisoned { reason } = shop.metrics().health else { unreachable!() };
        assert!(reason.contains("injected fault"), "{reason}");

        assert_eq!(answered(shop.submit(one(300, 1, 1))).await, Err(Reject::Unavailable));
        assert_eq!(answered(shop.pay(payment(&receipt, "tx"))).await, Err(Reject::Unavailable));
        let cancel = shop.cancel(Caller::Operator, receipt.order_no);
        assert_eq!(answered(cancel).await, Err(Reject::Unavailable));
        assert_eq!(answered(shop.put_sku(sku(9))).await, Err(Reject::Unavailable));
        assert_eq!(answered(shop.adjust_stock(add_units(9, 1, 1))).await, Err(Reject::Unavailable));
        assert_eq!(shop.submit_batch(vec![one(300, 1, 1)]).await, [Err(Reject::Unavailable)]);
        assert_eq!(Reject::Unavailable.retry(), Retry::AfterRestart);
        assert!(matches!(answered(shop.shutdown()).await, Err(ShutdownError::Poisoned { .. })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_what_is_durable_can_still_be_read_and_what_is_not_is_unavailable() {
    for fail in [next_write, next_sync] {
        // Few credits, all of them lost with the commands in flight: reads must not depend on them.
        let (shop, receipt) = failing_with(|config| config.in_flight_max(4), fail).await;
        let lost = submit_together(&shop, (100..104).map(|member| one(member, 1, 1))).await;
        assert!(lost.iter().all(Result::is_err));
        poisoned(&shop).await;
        until(|| shop.metrics().in_flight == 0).await;
        for _ in 0..20 {
            let view = answered(shop.order(Caller::Operator, receipt.order_no)).await.unwrap();
            assert_eq!(view.status, OrderStatus::Pending);
            let page = answered(shop.orders_of(7, Page::default())).await.unwrap();
            assert_eq!(page.orders.len(), 1);
            // The lost orders may have moved these counters.
            assert_eq!(answered(shop.stock(key(1))).await, Err(Reject::Unavailable));
            let _any_answer = answered(shop.orders_of(100, Page::default())).await;
            let _any_answer = answered(shop.state_hash()).await;
            let unknown = stockade::OrderNo::compose(1, receipt.order_no.slot(), 0);
            assert!(answered(shop.order(Caller::Operator, unknown)).await.is_err());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_an_order_that_is_not_durable_is_not_shown() {
    let (shop, receipt) = failing(next_sync).await;
    assert_eq!(answered(shop.cancel(Caller::Operator, receipt.order_no)).await, Err(Reject::OutcomeUnknown));
    poisoned(&shop).await;
    let view = answered(shop.order(Caller::Operator, receipt.order_no)).await;
    assert_eq!(view, Err(Reject::Unavailable), "its cancellation may be lost or not");
    assert_eq!(answered(shop.orders_of(7, Page::default())).await, Err(Reject::Unavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_the_same_request_after_the_restart_gives_the_first_answer_or_places_the_order_once() {
    for (fail, survives) in [(next_write as fn(&_, _), false), (next_sync, false), (next_sync, true)] {
        let (shop, _) = failing(fail).await;
        let order = one(8, 1, 1);
        assert_eq!(answered(shop.submit(order.clone())).await, Err(Reject::OutcomeUnknown));
        poisoned(&shop).await;
        let left = if survives { shop.journal.after_process_crash() } else { shop.journal.after_power_cut() };
        let next = shop.reopen(left, |config| config).await.unwrap();
        assert_eq!(next.count("OrderCreated"), if survives { 2 } else { 1 });
        let receipt = next.submit(order.clone()).await.unwrap();
        assert_eq!(next.submit(order).await, Ok(receipt));
        assert_eq!(next.count("OrderCreated"), 2);
        audit(&next.journal);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_nothing_acknowledged_is_missing_after_a_crash_under_load() {
    for nth in 1..12 {
        for fails_at_sync in [true, false] {
            let shop = Shop::open().await;
            shop.stock_up(1, 60).await;
            let next = shop.metrics().commits + nth;
            if fails_at_sync {
                shop.journal.fail_sync_at(next);
            } else {
                shop.journal.fail_write_at(next);
            }
            let buyers = (0..100_u64).map(|buyer| {
                let engine = shop.engine.clone();
                async move {
                    let receipt = engine.submit(one(buyer, 1, 1)).await?;
                    let outcome = engine.pay(payment(&receipt, &buyer.to_string())).await;
                    Ok::<_, Reject>((buyer, receipt, outcome))
                }
            });
            let told = together(buyers.collect::<Vec<_>>()).await;
            let power_cut = shop.after_power_cut().await;
            let crash = shop.reopen(shop.journal.after_process_crash(), |config| config).await.unwrap();
            for next in [power_cut, crash] {
                for (buyer, receipt, outcome) in told.iter().flatten() {
                    assert_eq!(next.submit(one(*buyer, 1, 1)).await, Ok(*receipt));
                    if let Ok(outcome) = outcome {
                        assert_eq!(next.pay(payment(receipt, &buyer.to_string())).await, Ok(*outcome));
                        assert_eq!(next.status(receipt.order_no).await, OrderStatus::Paid);
                    }
                }
                next.settle().await;
                assert_eq!(audit(&next.journal).payments_unresolved, 0);
                assert_no_prefix_oversells(&next.journal);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_everybody_who_waits_for_another_is_answered() {
    for fail in [next_write, next_sync] {
        let shop = Shop::open().await;
        shop.stock_up_limited(1, 1_000, 1).await;
        shop.stock_up(2, 1_000).await;
        let receipt = shop.submit(one(7, 1, 2)).await.unwrap();
        fail(&shop.journal, shop.metrics().commits + 3);
        // Duplicates wait for their first, submissions for their member's limit, notifications for their payment.
        let mut tasks = Vec::new();
        for nth in 0..40_u64 {
            let engine = shop.engine.clone();
            tasks.push(tokio::spawn(async move {
                match nth % 4 {
                    0 => engine.submit(basket(8, 5, &[(1, 1), (2, 1)])).await.err(),
                    1 => engine.submit(one(9, u128::from(nth), 1)).await.err(),
                    2 => engine.pay(payment(&receipt, "tx")).await.err(),
                    _ => engine.submit_batch(vec![one(nth, 1, 2), one(nth, 2, 1)]).await[0].err(),
                }
            }));
        }
        for task in tasks {
            answered(task).await.unwrap();
        }
    }
}

#[tokio::test]
async fn r13_an_engine_that_fails_while_it_opens_says_so() {
    let shop = Shop::open().await;
    let left = shop.journal.after_power_cut();
    left.fail_sync_at(1);
    let opened = answered(shop.reopen(left, |config| config)).await;
    assert!(opened.is_err());
}

#[tokio::test]
async fn r13_after_an_orderly_shutdown_nothing_is_taken_and_nothing_is_lost() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    answered(shop.shutdown()).await.unwrap();
    answered(shop.shutdown()).await.unwrap();
    assert_eq!(shop.metrics().health, Health::Closed);
    assert_eq!(answered(shop.submit(one(8, 1, 1))).await, Err(Reject::Unavailable));
    assert_eq!(answered(shop.order(Caller::Operator, receipt.order_no)).await, Err(Reject::Unavailable));
    assert_eq!(answered(shop.stock(key(1))).await, Err(Reject::Unavailable));
    let next = shop.after_power_cut().await;
    assert_eq!(next.submit(one(7, 1, 1)).await, Ok(receipt));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r13_a_shutdown_answers_what_is_under_way() {
    let shop = Shop::open().await;
    shop.stock_up(1, 500).await;
    let buyers: Vec<_> = (0..200_u64)
        .map(|member| {
            let engine = shop.engine.clone();
            tokio::spawn(async move { engine.submit(one(member, 1, 1)).await })
        })
        .collect();
    answered(shop.shutdown()).await.unwrap();
    let mut placed = 0;
    for buyer in buyers {
        match answered(buyer).await.unwrap() {
            Ok(_) => placed += 1,
            Err(reject) => assert_eq!(reject, Reject::Unavailable),
        }
    }
    assert_eq!(audit(&shop.journal).orders.pending, placed);
}
