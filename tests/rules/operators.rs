//! The operator log: recorded before the act, found again in every state of the engine, kept for good.

use std::collections::BTreeSet;
use std::path::Path;

use stockade::{ActFilter, ActsPage, Caller, Engine, Event, NewAct, Position, RecordedAct, Reject, Shipment};

use crate::store::DiskShop;
use crate::support::*;
use crate::verify_command::stockade;

fn act(operator: &str, action: &str, target: &str) -> NewAct {
    NewAct {
        operator: operator.into(),
        reason: "the buyer called".into(),
        action: action.into(),
        target: target.into(),
        request: "r-1".into(),
    }
}

/// All acts that a filter lets pass, page by page.
async fn all(engine: &Engine, filter: &ActFilter, len_max: usize) -> Vec<RecordedAct> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = engine.acts(filter.clone(), ActsPage { before, len_max }).await.unwrap();
        assert!(page.acts.len() <= len_max);
        found.extend(page.acts);
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
}

/// Records acts of three operators, a second apart, with orders in between.
async fn record_some(engine: &Engine, time: &stockade::runtime::clock::ManualTime, from: u64, count: u64) {
    for n in from..from + count {
        time.advance(1_000);
        let action = if n.is_multiple_of(2) { "order.ship" } else { "order.reveal" };
        let position = engine
            .record_act(act(["li", "wang", "zhao"][n as usize % 3], action, &(n % 5).to_string()))
            .await
            .unwrap();
        assert!(position <= engine.metrics().durable, "it is durable when it is answered");
        engine.submit(one(n, 1, 1)).await.unwrap();
    }
}

/// Compares every filter with a scan over everything.
async fn check_filters(engine: &Engine, count: usize) {
    let everything = all(engine, &ActFilter::default(), 100).await;
    assert_eq!(everything.len(), count);
    assert!(everything.is_sorted_by(|a, b| a.position > b.position), "newest first");
    let times: Vec<u64> = everything.iter().map(|found| found.act.at_ms).collect();
    let instants = [None, Some(times[count - 1]), Some(times[count / 2]), Some(times[0]), Some(times[0] + 1)];
    for operator in [None, Some("li"), Some("wang"), Some("nobody")] {
        for action in [None, Some("order.reveal")] {
            for target in [None, Some("3")] {
                for (from_ms, until_ms) in
                    instants.iter().flat_map(|from| instants.map(|until| (*from, until)))
                {
                    let filter = ActFilter {
                        operator: operator.map(Into::into),
                        action: action.map(Into::into),
                        target: target.map(Into::into),
                        from_ms,
                        until_ms,
                    };
                    let wanted: Vec<_> = everything
                        .iter()
                        .filter(|found| {
                            let act = &found.act;
                            operator.is_none_or(|operator| operator == &*act.operator)
                                && action.is_none_or(|action| action == &*act.action)
                                && target.is_none_or(|target| target == &*act.target)
                                && from_ms.is_none_or(|from_ms| act.at_ms >= from_ms)
                                && until_ms.is_none_or(|until_ms| act.at_ms < until_ms)
                        })
                        .cloned()
                        .collect();
                    assert_eq!(all(engine, &filter, 7).await, wanted, "{filter:?}");
                }
            }
        }
    }
}

async fn open(path: &Path) -> DiskShop {
    let shop = DiskShop::open(path).await;
    shop.stock_up(1, 1_000, 0).await;
    shop
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_filter_gives_what_a_scan_gives_from_the_store_and_from_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let shop = open(dir.path()).await;
    record_some(&shop, &shop.time, 0, 30).await;
    check_filters(&shop, 30).await;
    shop.checkpoint().await;
    record_some(&shop, &shop.time, 30, 10).await;
    check_filters(&shop, 40).await;

    // Also from a journal alone.
    let alone = Shop::open().await;
    alone.stock_up(1, 1_000).await;
    record_some(&alone, &alone.time, 0, 30).await;
    check_filters(&alone, 30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acts_outlive_the_journal_crashes_and_backups_and_the_audit_knows_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let shop = open(&path).await;
    record_some(&shop, &shop.time, 0, 12).await;
    let before = all(&shop, &ActFilter::default(), 100).await;
    let shop = shop.reopen(&path, false, |config| config).await;
    assert_eq!(all(&shop, &ActFilter::default(), 5).await, before, "after a crash");

    // Until the journal no longer has the first of them.
    let mut member = 100;
    while shop.metrics().journal_first <= before.last().unwrap().position {
        shop.place(one(member, 1, 1)).await;
        member += 1;
        shop.checkpoint().await;
    }
    assert_eq!(all(&shop, &ActFilter::default(), 5).await, before, "after a trim");
    let copy = dir.path().join("copy");
    shop.backup(&copy).await.unwrap();
    let shop = shop.reopen(&path, true, |config| config).await;
    assert_eq!(all(&shop, &ActFilter::default(), 5).await, before, "after a restart");
    let hash = shop.hash().await;
    shop.record_act(act("li", "order.reveal", "1")).await.unwrap();
    assert_eq!(shop.hash().await, hash, "the log is no state");
    shop.end(&path, true).await;
    for path in [&path, &copy] {
        let (code, stdout, stderr) = stockade(&["verify", "--data", path.to_str().unwrap()]);
        assert_eq!(code, 0, "{stdout}{stderr}");
    }
}

#[tokio::test]
async fn an_act_is_recorded_before_the_command_and_bad_ones_change_nothing() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    let placed = shop.submit(one(1, 1, 1)).await.unwrap();
    shop.pay(payment(&placed, "t1")).await.unwrap();
    let target = placed.order_no.to_string();
    let position = shop.record_act(act("li", "order.ship", &target)).await.unwrap();
    shop.ship(placed.order_no, Shipment::default()).await.unwrap();
    let shipped = shop.view(placed.order_no).await.timeline.last().unwrap().position;
    assert!(position < shipped);

    let appended = shop.metrics().appended;
    assert_eq!(shop.record_act(act("", "a", "")).await, Err(Reject::FieldEmpty { field: "operator" }));
    assert_eq!(shop.record_act(act("li", "", "")).await, Err(Reject::FieldEmpty { field: "action" }));
    let long = shop.record_act(act("li", "a", &"x".repeat(129))).await;
    assert_eq!(long, Err(Reject::FieldTooLong { field: "target", len: 129, len_max: 128 }));
    assert_eq!(shop.metrics().appended, appended);

    let acts: BTreeSet<Position> = shop
        .entries()
        .iter()
        .filter(|entry| matches!(entry.events.as_slice(), [Event::OperatorActed(_)]))
        .map(|entry| entry.first)
        .collect();
    assert_eq!(acts, BTreeSet::from([position]));
    assert!(audit(&shop.journal).passed());
    assert!(shop.order(Caller::Operator, placed.order_no).await.is_ok());
}

#[tokio::test]
async fn a_page_passes_boundedly_many_events_and_says_where_to_go_on() {
    let shop = Shop::open().await;
    let first = shop.record_act(act("li", "order.ship", "1")).await.unwrap();
    // More events than one page passes, each in no time.
    let mut journal = entries(&shop.journal);
    let at_ms = shop.now_ms();
    let last = journal.last().unwrap();
    let next = last.first.0 + last.events.len() as u64;
    journal.extend((0..210_000).map(|n| Entry {
        first: Position(next + n),
        events: vec![Event::NumbersReserved { at_ms, until_ms: at_ms }],
    }));
    let shop = shop.reopen(journal_of(&journal), |config| config).await.unwrap();
    let page = shop.acts(ActFilter::default(), ActsPage::default()).await.unwrap();
    assert!(page.acts.is_empty() && page.next.is_some(), "{page:?}");
    let rest = shop.acts(ActFilter::default(), ActsPage { before: page.next, len_max: 1_000 }).await.unwrap();
    assert_eq!(rest.acts.iter().map(|act| act.position).collect::<Vec<_>>(), [first]);
    assert_eq!(rest.next, None);

    shop.shutdown().await.unwrap();
    let closed = shop.acts(ActFilter::default(), ActsPage::default()).await;
    assert_eq!(closed.err(), Some(Reject::Unavailable));
}
