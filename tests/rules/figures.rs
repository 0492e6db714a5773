//! The figures that an operator watches: sizes and times of commits, how late timers fire, how old refunds get.

use stockade::{Caller, Histogram, PaymentResult, RefundReason};

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_commit_and_sync_is_in_its_histograms() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1_000).await;
    let told = submit_together(&shop, (0..200).map(|member| one(member, 1, 1))).await;
    assert!(told.iter().all(Result::is_ok));
    shop.settle().await;
    let metrics = shop.metrics();
    let of_commits = [&metrics.commit_events, &metrics.commit_bytes];
    assert!(metrics.commits > 0 && of_commits.iter().all(|histogram| histogram.count == metrics.commits));
    let of_syncs = [&metrics.sync_us, &metrics.durable_us];
    assert!(metrics.syncs > 0 && of_syncs.iter().all(|histogram| histogram.count == metrics.syncs));
    assert_eq!(metrics.commit_events.sum, metrics.events);
    assert_eq!(metrics.commit_bytes.sum, metrics.journal_bytes);
    for Histogram { bounds, counts, count, .. } in of_commits.into_iter().chain(of_syncs) {
        assert_eq!(bounds.len(), counts.len());
        assert!(counts.is_sorted(), "cumulative: {counts:?}");
        assert!(counts.last().is_some_and(|last| last <= count));
    }
}

#[tokio::test]
async fn a_late_timer_shows_how_late_it_was() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    assert_eq!(shop.metrics().expiry_lag_ms, 0);
    shop.advance_to(receipt.deadline_ms + 250);
    shop.closed(receipt.order_no).await;
    assert_eq!(shop.metrics().expiry_lag_ms, 250);
}

#[tokio::test]
async fn the_oldest_refund_grows_older_until_it_is_paid_back() {
    let shop = Shop::open().await;
    shop.stock_up(1, 5).await;
    for member in [7, 8] {
        let receipt = shop.submit(one(member, 1, 1)).await.unwrap();
        shop.cancel(Caller::Operator, receipt.order_no).await.unwrap();
        let outcome = shop.pay(payment(&receipt, &member.to_string())).await.unwrap();
        assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::OrderCancelled));
        shop.time.advance(1_000);
    }
    assert_eq!(shop.metrics().refund_oldest_ms, 2_000);
    pay_back(&shop).await;
    assert_eq!(shop.metrics().refund_oldest_ms, 0);
}
