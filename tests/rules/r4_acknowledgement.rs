//! R4: nothing leaves the engine that a crash could take back.

use std::pin::pin;

use stockade::journal::Operation;
use stockade::{
    Activity, ActivityItem, Caller, Config, CouponBenefit, CouponScope, CouponTerms, Durability, Money,
    OrderStatus, OrderTypes, Page, Receipt, Reject, SaleControl, Shipment,
};

use crate::support::*;

fn session_of(sku: u64) -> Activity {
    Activity {
        title: "Tea".into(),
        start_ms: START_MS + 10_000,
        end_ms: START_MS + 20_000,
        items: vec![ActivityItem { sku_id: sku.into(), price: Money::from_minor(99), limit_per_member: 1 }],
        ..Activity::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_an_order_is_not_acknowledged_before_its_sync() {
    let (shop, gate) = Shop::open_gated(|config| config).await;
    shop.stock_up(1, 5).await;
    gate.close();
    let before = shop.journal.written();
    let mut submit = pin!(shop.submit(one(7, 1, 1)));
    assert!(poll_once(submit.as_mut()).is_pending());
    until(|| shop.journal.written() > before).await;
    assert!(poll_once(submit.as_mut()).is_pending(), "written is not yet durable");
    gate.open();
    let receipt = answered(submit).await.unwrap();
    assert!(shop.view(receipt.order_no).await.timeline[0].position <= shop.journal.synced());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_a_read_waits_until_what_it_shows_is_durable() {
    let (shop, gate) = Shop::open_gated(|config| config).await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    gate.close();
    let before = shop.journal.written();
    let mut cancel = pin!(shop.cancel(Caller::Operator, receipt.order_no));
    assert!(poll_once(cancel.as_mut()).is_pending());
    until(|| shop.journal.written() > before).await;
    let mut order = pin!(shop.order(Caller::Operator, receipt.order_no));
    let mut page = pin!(shop.orders_of(7, Page::default()));
    let mut stock = pin!(shop.stock(key(1)));
    let mut retry = pin!(shop.submit(one(7, 1, 1)));
    for _ in 0..50 {
        assert!(poll_once(order.as_mut()).is_pending(), "it would show a cancellation that may be lost");
        assert!(poll_once(page.as_mut()).is_pending());
        assert!(poll_once(stock.as_mut()).is_pending());
        assert!(poll_once(retry.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(answered(order).await.unwrap().status, OrderStatus::Cancelled);
    assert_eq!(answered(page).await.unwrap().orders[0].status, OrderStatus::Cancelled);
    assert!(answered(stock).await.unwrap().balanced());
    assert_eq!(answered(retry).await, Ok(receipt));
    assert!(answered(cancel).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_a_setting_is_not_shown_before_it_is_durable() {
    let (shop, gate) = Shop::open_gated(|config| config).await;
    shop.stock_up(1, 5).await;
    let activity = |id: u64| Activity { id: id.into(), ..session_of(1) };
    shop.put_activity(activity(1)).await.unwrap();
    gate.close();
    let before = shop.journal.written();
    let mut put = pin!(shop.put_activity(activity(2)));
    let mut control = pin!(shop.control_sales(SaleControl::AllPaused { paused: true }, None));
    assert!(poll_once(put.as_mut()).is_pending());
    assert!(poll_once(control.as_mut()).is_pending());
    until(|| shop.journal.written() > before).await;
    let ids = || shop.activities().iter().map(|activity| activity.id.0).collect::<Vec<_>>();
    assert!(shop.activity(2).is_none(), "a crash would take it back");
    assert_eq!(ids(), [1]);
    assert_eq!(shop.sale_controls(), []);
    gate.open();
    assert_eq!(answered(put).await, Ok(1));
    assert_eq!(answered(control).await, Ok(1));
    assert_eq!(shop.activity(2).map(|activity| activity.id.0), Some(2));
    assert_eq!(ids(), [1, 2]);
    assert_eq!(shop.sale_controls(), [SaleControl::AllPaused { paused: true }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_a_setting_is_shown_as_it_was_while_its_change_is_not_durable() {
    let (shop, gate) = Shop::open_gated(|config| config).await;
    shop.stock_up(1, 5).await;
    let activity = |title: &str| Activity { id: 1.into(), title: title.to_owned(), ..session_of(1) };
    let coupon = |threshold| CouponTerms {
        id: 5.into(),
        title: "off".into(),
        benefit: CouponBenefit::AmountOff(Money::from_minor(5)),
        threshold: Money::from_minor(threshold),
        scope: CouponScope::All,
        valid_from_ms: START_MS,
        valid_until_ms: START_MS + 100_000,
        stackable: true,
        issue_max: 10,
        per_member_max: 0,
        order_types: OrderTypes::all(),
    };
    let paused = |paused| SaleControl::AllPaused { paused };
    shop.put_activity(activity("before")).await.unwrap();
    shop.put_coupon_terms(coupon(10), None).await.unwrap();
    shop.control_sales(paused(false), None).await.unwrap();
    let shown = || {
        let title = shop.activity(1).map(|activity| activity.title);
        let titles: Vec<_> = shop.activities().into_iter().map(|activity| activity.title).collect();
        assert_eq!(title.iter().collect::<Vec<_>>(), titles.iter().collect::<Vec<_>>());
        (title, shop.coupon_terms(5).map(|terms| terms.threshold), shop.sale_controls())
    };
    let before = (Some("before".to_owned()), Some(Money::from_minor(10)), vec![paused(false)]);
    assert_eq!(shown(), before);
    gate.close();
    let written = shop.journal.written();
    // Two changes of one activity: neither is durable, and the first is not what was before the second.
    let mut puts = [pin!(shop.put_activity(activity("between"))), pin!(shop.put_activity(activity("after")))];
    let mut terms = pin!(shop.put_coupon_terms(coupon(20), None));
    let mut control = pin!(shop.control_sales(paused(true), None));
    for put in &mut puts {
        assert!(poll_once(put.as_mut()).is_pending());
    }
    assert!(poll_once(terms.as_mut()).is_pending());
    assert!(poll_once(control.as_mut()).is_pending());
    until(|| shop.journal.written() > written).await;
    assert_eq!(shown(), before, "a crash would take the changes back");
    let refused = shop.submit(one(7, 1, 1)).await;
    assert_eq!(refused, Err(Reject::SalesPaused), "the front door goes by them at once");
    gate.open();
    for (put, revision) in puts.into_iter().zip([2, 3]) {
        assert_eq!(answered(put).await, Ok(revision));
    }
    assert_eq!(answered(terms).await, Ok(2));
    assert_eq!(answered(control).await, Ok(2));
    assert_eq!(shown(), (Some("after".to_owned()), Some(Money::from_minor(20)), vec![paused(true)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_every_acknowledged_order_is_synced_when_its_caller_hears_of_it() {
    let shop = Shop::open().await;
    shop.stock_up(1, 1_000).await;
    let buyers = (0..200_u64).map(|buyer| {
        let (engine, journal) = (shop.engine.clone(), shop.journal.clone());
        async move {
            let receipt = engine.submit(one(buyer, 1, 1)).await.unwrap();
            let synced = journal.synced();
            (receipt.order_no, synced)
        }
    });
    for (order_no, synced) in together(buyers.collect::<Vec<_>>()).await {
        let position = shop.view(order_no).await.timeline[0].position;
        assert!(position <= synced, "{order_no} at {position}, synced up to {synced}");
    }
}

#[tokio::test]
async fn r4_a_read_beside_a_change_shows_positions_that_stand_in_the_journal() {
    let shop = Shop::open().await;
    shop.stock_up(1, 50).await;
    for request in 0..20 {
        let receipt = shop.submit(one(7, request, 1)).await.unwrap();
        // All of these are in the inbox before the actor's next round.
        let (_cancelled, view, page) = tokio::join!(
            shop.cancel(Caller::Operator, receipt.order_no),
            shop.order(Caller::Operator, receipt.order_no),
            shop.orders_of(7, Page { before: None, len_max: 1 }),
        );
        for view in [view.unwrap(), page.unwrap().orders[0].clone()] {
            assert_eq!(view.timeline.len(), 2);
            for entry in view.timeline {
                assert!(entry.position <= shop.journal.synced(), "{entry:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_each_commit_is_written_then_synced_before_anything_is_acknowledged() {
    let shop = Shop::open().await;
    shop.stock_up(1, 200).await;
    shop.journal.record_operations();
    let buyers = (0..100_u64).map(|buyer| {
        let (engine, journal) = (shop.engine.clone(), shop.journal.clone());
        async move {
            let receipt = engine.submit(one(buyer, 1, 1)).await.unwrap();
            (receipt.order_no, journal.operations().len())
        }
    });
    let told = together(buyers.collect::<Vec<_>>()).await;
    let operations = shop.journal.operations();
    for (order_no, operations_before) in told {
        let position = shop.view(order_no).await.timeline[0].position;
        let before = &operations[..operations_before];
        let written = before.iter().position(
            |operation| matches!(operation, Operation::Write { first, last } if (*first..=*last).contains(&position)),
        );
        let written = written.expect("its frame was written before the acknowledgement");
        let synced = before[written..]
            .iter()
            .any(|operation| matches!(operation, Operation::Sync { last } if *last >= position));
        assert!(synced, "{order_no} was acknowledged before the sync that follows its write");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_buffered_answers_survive_a_crash_of_the_process() {
    let buffered = |config: Config| config.durability(Durability::Buffered { interval_ms: 60_000 });
    let shop = Shop::open_with(buffered).await;
    // The first sync is a manual minute away.
    shop.stock_up(1, 50).await;
    let mut receipts = Vec::new();
    for member in 0..20 {
        receipts.push(shop.submit(one(member, 1, 1)).await.unwrap());
    }
    assert_eq!(shop.journal.synced().0, 0, "nothing was synced yet");
    let crash = shop.reopen(shop.journal.after_process_crash(), buffered).await.unwrap();
    for (member, receipt) in (0..).zip(&receipts) {
        assert_eq!(crash.submit(one(member, 1, 1)).await, Ok(*receipt));
    }
    let cut = shop.reopen(shop.journal.after_power_cut(), buffered).await.unwrap();
    assert!(cut.sku(1).is_none(), "a power cut takes back what the interval brought");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r4_buffered_answers_are_synced_by_an_orderly_shutdown() {
    let shop =
        Shop::open_with(|config| config.durability(Durability::Buffered { interval_ms: 60_000 })).await;
    shop.stock_up(1, 5).await;
    let receipt = shop.submit(one(7, 1, 1)).await.unwrap();
    answered(shop.shutdown()).await.unwrap();
    assert_eq!(shop.after_power_cut().await.submit(one(7, 1, 1)).await, Ok(receipt));
}

/// What the callers of [`trade`] were told.
#[derive(Default)]
struct Told {
    placed: Vec<(stockade::SubmitOrder, Receipt)>,
    statuses: Vec<(stockade::OrderNo, OrderStatus)>,
    paid: Vec<(stockade::Payment, stockade::PaymentOutcome)>,
}

/// A day at the shop, command by command, until one is not answered. Some cancel, pay, ship, time out, pay late.
async fn trade(shop: &Shop) -> (Told, Result<(), Reject>) {
    let mut told = Told::default();
    let end = trade_until_failure(shop, &mut told).await;
    (told, end)
}

async fn trade_until_failure(shop: &Shop, told: &mut Told) -> Result<(), Reject> {
    for sku in [1, 2] {
        shop.put_sku(sku_with_limit(sku)).await?;
        shop.adjust_stock(set_total(1, sku, 6)).await?;
    }
    for round in 0..3_u64 {
        for member in 0..4_u64 {
            let request = u128::from(round);
            let order = basket(member, request, if member == 0 { &[(1, 1), (2, 1)] } else { &[(1, 1)] });
            let receipt = match shop.submit(order.clone()).await {
                Err(Reject::SoldOut { .. } | Reject::LimitExceeded { .. }) => continue,
                answer => answer?,
            };
            told.placed.push((order, receipt));
            match member {
                0 => {
                    shop.start_payment(Caller::Operator, receipt.order_no).await?;
                    let payment = payment(&receipt, &format!("{member}-{round}"));
                    let outcome = shop.pay(payment.clone()).await?;
                    told.paid.push((payment, outcome));
                    shop.ship(receipt.order_no, Shipment::default()).await?;
                    told.statuses.push((receipt.order_no, OrderStatus::Shipped));
                }
                1 => {
                    shop.cancel(Caller::Operator, receipt.order_no).await?;
                    told.statuses.push((receipt.order_no, OrderStatus::Cancelled));
                }
                _ => {}
            }
        }
        // Those of members 2 and 3 time out; the money of member 2 comes late.
        shop.time.advance(u64::from(AUTO_CLOSE_MS));
        let late: Vec<_> = told.placed.iter().filter(|(order, _)| order.member_id.0 == 2).cloned().collect();
        for (order, receipt) in late {
            let payment = payment(&receipt, &format!("late-{}", order.request_id));
            let outcome = shop.pay(payment.clone()).await?;
            told.paid.push((payment, outcome));
        }
    }
    Ok(())
}

fn sku_with_limit(id: u64) -> stockade::Sku {
    stockade::Sku { limit_per_member: 3, ..sku(id) }
}

/// Everything that was told is there, and is told again.
async fn check_told(shop: &Shop, told: &Told, what: &str) {
    for (order, receipt) in &told.placed {
        let view = shop.view(receipt.order_no).await;
        assert_eq!(view.member_id, order.member_id, "{what}");
        assert_eq!(shop.submit(order.clone()).await, Ok(*receipt), "{what}");
    }
    for (order_no, status) in &told.statuses {
        assert_eq!(shop.status(*order_no).await, *status, "{what}: order {order_no}");
    }
    for (payment, outcome) in &told.paid {
        assert_eq!(shop.pay(payment.clone()).await, Ok(*outcome), "{what}");
    }
}

/// Lets the `nth` write or sync fail for every `nth` that the trading does, cuts the power, and looks.
async fn crash_at_every(fail_at: impl Fn(&stockade::journal::MemoryJournal, u64), what: &str) {
    let mut crashes = 0;
    for nth in 2.. {
        let shop = Shop::open().await;
        fail_at(&shop.journal, nth);
        let (told, end) = answered(trade(&shop)).await;
        let what = format!("{what} {nth}");
        if end.is_err() {
            assert!(matches!(end, Err(Reject::OutcomeUnknown | Reject::Unavailable)), "{what}: {end:?}");
            crashes += 1;
        }
        let left = shop.journal.after_power_cut();
        audit(&left);
        assert_no_prefix_oversells(&left);
        // What is left is read twice, and must come to the same.
        let first = shop.reopen(left.after_power_cut(), |config| config).await.unwrap();
        let second = shop.reopen(left.after_power_cut(), |config| config.order_actors(3)).await.unwrap();
        check_told(&first, &told, &what).await;
        check_told(&second, &told, &what).await;
        first.settle().await;
        second.settle().await;
        audit(&first.journal);
        audit(&second.journal);
        if end.is_ok() {
            break;
        }
    }
    assert!(crashes > 25, "the trading came to {crashes} operations only");
}

#[tokio::test]
async fn r4_a_power_cut_at_any_sync_takes_back_nothing_that_was_acknowledged() {
    crash_at_every(|journal, nth| journal.fail_sync_at(nth), "sync").await;
}

#[tokio::test]
async fn r4_a_crash_at_any_write_takes_back_nothing_that_was_acknowledged() {
    crash_at_every(|journal, nth| journal.fail_write_at(nth), "write").await;
}
