//! Taking over what another system has: once-only, all or nothing, on the terms agreed there, and back after a restart.

use stockade::runtime::clock::Clock;
use stockade::{
    Caller, Engine, Event, ImportId, ImportOutcome, ImportReceipt, ImportedLimit, ImportedLine,
    ImportedOrder, Money, OrderRef, OrderStatus, Payment, PaymentResult, Personal, RefundReason, Reject, Sku,
};

use crate::support::*;

/// How long after the start imported orders may be paid, in ms.
const DEADLINE_AFTER_MS: u64 = 600_000;
/// The price agreed in the other system.
const OLD_PRICE: i64 = 199;

fn line(sku: u64, quantity: u32) -> ImportedLine {
    ImportedLine { sku_id: sku.into(), quantity, price: Money::from_minor(OLD_PRICE), limit_per_member: 0 }
}

fn limited_line(sku: u64, quantity: u32, limit_per_member: u32) -> ImportedLine {
    ImportedLine { limit_per_member, ..line(sku, quantity) }
}

fn old_order(n: u64, member: u64, lines: Vec<ImportedLine>) -> ImportedOrder {
    ImportedOrder {
        external_no: format!("OLD-{n}").into(),
        member_id: member.into(),
        lines,
        deadline_ms: START_MS + DEADLINE_AFTER_MS,
        ..ImportedOrder::default()
    }
}

fn used_elsewhere(member: u64, sku: u64, used: u32) -> ImportedLimit {
    let (member_id, key) = (member.into(), key(sku));
    ImportedLimit { member_id, key, used, import_id: ImportId::from_name("cut-over") }
}

fn pay_old(n: u64, transaction_id: &str, amount: i64) -> Payment {
    Payment {
        order: OrderRef::External(format!("OLD-{n}").into()),
        channel: "wechat".into(),
        merchant: "shop-1".into(),
        transaction_id: transaction_id.into(),
        amount: Money::from_minor(amount),
    }
}

fn limited(limit: u32, bought: u32) -> Reject {
    Reject::LimitExceeded { sku: 1.into(), limit, bought }
}

/// What each order of a batch came to.
async fn outcomes(engine: &Engine, orders: Vec<ImportedOrder>) -> Vec<Result<ImportOutcome, Reject>> {
    let imports = answered(engine.import_orders(orders)).await.into_iter();
    imports.map(|import| import.map(|ImportReceipt { outcome, .. }| outcome)).collect()
}

#[tokio::test]
async fn r8_importing_an_order_twice_gives_the_first_receipt_and_changes_nothing() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    let order = old_order(1, 7, vec![line(1, 2)]);
    let receipt = shop.import_order(order.clone()).await.unwrap();
    assert_eq!(receipt.deadline_ms, START_MS + DEADLINE_AFTER_MS);
    assert_eq!(receipt.pay_amount, Money::from_minor(2 * OLD_PRICE));
    let (hash, events) = (shop.state_hash().await.unwrap().hash, shop.count("OrderCreated"));
    assert_eq!(shop.import_order(order.clone()).await, Ok(receipt));
    assert_eq!(outcomes(&shop, vec![order.clone()]).await, [Ok(ImportOutcome::Unchanged)]);
    assert_eq!((shop.state_hash().await.unwrap().hash, shop.count("OrderCreated")), (hash, events));

    let other = old_order(1, 7, vec![line(1, 1)]);
    assert_eq!(shop.import_order(other).await, Err(Reject::RequestIdReused));
    let other = ImportedOrder { member_id: 8.into(), ..order.clone() };
    assert_eq!(shop.import_order(other).await, Err(Reject::ExternalNoTaken));

    // Also when it has long been paid, its deadline has passed, and after a restart.
    shop.pay(pay_old(1, "t1", 2 * OLD_PRICE)).await.unwrap();
    shop.time.advance(2 * DEADLINE_AFTER_MS);
    assert_eq!(shop.import_order(order.clone()).await, Ok(receipt));
    let next = shop.after_power_cut().await;
    assert_eq!(next.import_order(order).await, Ok(receipt));
    audit(&next.journal);
}

#[tokio::test]
async fn r2_an_imported_order_reserves_every_line_or_none_and_may_be_imported_once_there_is_stock() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    shop.stock_up(2, 1).await;
    let order = old_order(1, 7, vec![line(2, 2), line(1, 3)]);
    assert_eq!(shop.import_order(order.clone()).await, Err(sold_out(2)));
    assert_eq!(shop.counters(1).await.available, 10);
    shop.adjust_stock(add_units(9, 2, 1)).await.unwrap();
    // No refusal of an import sticks.
    assert!(shop.import_order(order).await.is_ok());
    assert_eq!((shop.counters(1).await.reserved, shop.counters(2).await.reserved), (3, 2));
    assert_no_prefix_oversells(&shop.journal);
    audit(&shop.journal);
}

#[tokio::test]
async fn an_imported_order_keeps_its_terms_whatever_the_catalogue_says() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    shop.put_sku(Sku { on_sale: false, title: "Left over".into(), ..sku(1) }).await.unwrap();
    let order = ImportedOrder {
        personal: Some(Personal::Plain(b"Li".as_slice().into())),
        remark: Some("door 3".into()),
        ext: Some(b"{}".as_slice().into()),
        ..old_order(1, 7, vec![line(1, 1)])
    };
    let receipt = shop.import_order(order.clone()).await.unwrap();
    let view = shop.order(Caller::Operator, "OLD-1").await.unwrap();
    assert_eq!((view.order_no, view.lines[0].price), (receipt.order_no, Money::from_minor(OLD_PRICE)));
    assert_eq!((view.lines[0].title.as_str(), view.lines[0].code.as_str()), ("Left over", "SKU-1"));
    assert_eq!((view.personal, view.remark, view.ext), (order.personal, order.remark, order.ext));
    assert_eq!(
        shop.import_order(old_order(2, 7, vec![line(5, 1)])).await,
        Err(Reject::UnknownSku { sku: 5.into() })
    );
    audit(&shop.journal);
}

#[tokio::test]
async fn r9_an_imported_order_closes_at_its_deadline_and_one_that_is_overdue_only_if_allowed() {
    let shop = Shop::open().await;
    shop.stock_up(1, 10).await;
    let receipt = shop.import_order(old_order(1, 7, vec![line(1, 1)])).await.unwrap();
    shop.advance_to(receipt.deadline_ms - 1);
    shop.settle().await;
    assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Pending);
    shop.time.advance(1);
    shop.closed(receipt.order_no).await;

    let late = old_order(2, 7, vec![line(1, 1)]);
    assert_eq!(
        shop.import_order(late.clone()).await,
        Err(Reject::DeadlinePassed { deadline_ms: late.deadline_ms })
    );
    let late = shop.import_order(ImportedOrder { allow_overdue: true, ..late }).await.unwrap();
    assert_eq!(late.deadline_ms, shop.now_ms() + 1);
    shop.time.advance(1);
    shop.closed(late.order_no).await;
    assert_eq!(shop.counters(1).await.available, 10);
    audit(&shop.journal);
}

#[tokio::test]
async fn r10_a_payment_under_the_external_number_pays_and_a_late_one_brings_the_order_back() {
    let shop = Shop::open().await;
    shop.stock_up(1, 2).await;
    for n in 1..=2 {
        shop.import_order(old_order(n, n, vec![line(1, 1)])).await.unwrap();
    }
    assert_eq!(shop.pay(pay_old(1, "t1", OLD_PRICE)).await.unwrap().result, PaymentResult::Paid);
    shop.time.advance(DEADLINE_AFTER_MS);
    shop.event(|event| matches!(event, Event::OrderClosed { .. })).await;
    assert_eq!(shop.pay(pay_old(2, "t2", OLD_PRICE)).await.unwrap().result, PaymentResult::Paid);
    assert_eq!(shop.counters(1).await.sold, 2);
    audit(&shop.journal);
}

#[tokio::test]
async fn imported_units_count_towards_limits_without_being_refused_for_them() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 100, 2).await;
    let orders = (1..=3).map(|n| old_order(n, 7, vec![limited_line(1, 1, 2)])).collect();
    assert_eq!(outcomes(&shop, orders).await, [Ok(ImportOutcome::Imported); 3]);
    assert_eq!(shop.submit(one(7, 1, 1)).await, Err(limited(2, 3)));
    // A line without a limit counts towards none.
    shop.import_order(old_order(4, 8, vec![line(1, 5)])).await.unwrap();
    assert!(shop.submit(one(8, 1, 1)).await.is_ok());
    shop.cancel(Caller::Operator, "OLD-1").await.unwrap();
    shop.cancel(Caller::Operator, "OLD-2").await.unwrap();
    assert!(shop.submit(one(7, 2, 1)).await.is_ok());
    assert_eq!(shop.submit(one(7, 3, 1)).await, Err(limited(2, 2)));
    // Closed, its units are free for others; a late payment is weighed like any other.
    shop.time.advance(DEADLINE_AFTER_MS);
    shop.settle().await;
    shop.submit(basket(7, 4, &[(1, 2)])).await.unwrap();
    let late = shop.pay(pay_old(3, "t3", OLD_PRICE)).await.unwrap();
    assert_eq!(late.result, PaymentResult::RefundRequired(RefundReason::LimitExceeded));
    audit(&shop.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imports_beside_submits_of_one_member_leave_no_order_above_its_limit() {
    let shop = Shop::open_with(|config| config.waiters_max(1_000)).await;
    shop.stock_up_limited(1, 10_000, 3).await;
    for member in 0..20 {
        let engine = shop.engine.clone();
        let imports = tokio::spawn(async move {
            let order = |n| old_order(member * 100 + n, member, vec![limited_line(1, 1, 3)]);
            outcomes(&engine, (0..10).map(order).collect()).await
        });
        submit_together(&shop, (0..10).map(|request| one(member, request, 1))).await;
        assert!(answered(imports).await.unwrap().iter().all(Result::is_ok));
    }
    // The auditor counts along the journal.
    audit(&shop.journal);
}

#[tokio::test]
async fn limits_used_up_elsewhere_are_absolute_and_survive_a_restart() {
    let shop = Shop::open().await;
    shop.stock_up_limited(1, 100, 3).await;
    assert_eq!(shop.import_limit(used_elsewhere(7, 1, 2)).await, Ok(ImportOutcome::Imported));
    assert_eq!(shop.import_limit(used_elsewhere(7, 1, 2)).await, Ok(ImportOutcome::Unchanged));
    assert_eq!(shop.submit(basket(7, 1, &[(1, 2)])).await, Err(limited(3, 2)));
    let receipt = shop.submit(one(7, 2, 1)).await.unwrap();
    assert_eq!(shop.submit(one(7, 3, 1)).await, Err(limited(3, 3)));
    assert_eq!(shop.import_limit(used_elsewhere(7, 9, 2)).await, Err(Reject::UnknownSku { sku: 9.into() }));
    let hash = shop.state_hash().await.unwrap().hash;

    let next = shop.after_power_cut().await;
    assert_eq!(next.state_hash().await.unwrap().hash, hash, "R7");
    assert_eq!(next.submit(one(7, 4, 1)).await, Err(limited(3, 3)));
    next.cancel(Caller::Operator, receipt.order_no).await.unwrap();
    assert_eq!(next.import_limit(used_elsewhere(7, 1, 0)).await, Ok(ImportOutcome::Imported));
    assert!(next.submit(basket(7, 5, &[(1, 3)])).await.is_ok());
    assert_eq!(next.count("LimitImported"), 2);
    audit(&next.journal);
}

#[tokio::test]
async fn r7_imports_come_back_from_store_and_journal_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (clock, time) = Clock::manual(START_MS);
    let open = async || {
        let config = config_in(&path, &clock).checkpoint_interval_ms(1).retain_closed_ms(1_000);
        Engine::open(config).await.unwrap()
    };
    let engine = open().await;
    engine.put_sku(Sku { limit_per_member: 3, ..sku(1) }).await.unwrap();
    engine.adjust_stock(set_total(1, 1, 100)).await.unwrap();
    engine.import_limit(used_elsewhere(7, 1, 2)).await.unwrap();
    engine.import_limit(used_elsewhere(8, 1, 2)).await.unwrap();
    let orders: Vec<_> = (1..=40).map(|n| old_order(n, n, vec![limited_line(1, 1, 3)])).collect();
    let receipts = engine.import_orders(orders.clone()).await;
    for n in 1..=10 {
        engine.cancel(Caller::Operator, format!("OLD-{n}").as_str()).await.unwrap();
    }
    let is_stored = || engine.metrics().stored >= engine.metrics().appended;
    for _ in 0..2_000 {
        time.advance(10);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        if is_stored() && engine.metrics().evicted >= 10 {
            break;
        }
    }
    assert!(is_stored() && engine.metrics().evicted >= 10, "{:?}", engine.metrics());
    // What stands behind the checkpoint is replayed.
    engine.import_limit(used_elsewhere(8, 1, 0)).await.unwrap();
    // However long ago: the external number is the identity.
    time.advance(3 * 24 * 3_600_000);
    let overdue = orders.into_iter().map(|order| ImportedOrder { allow_overdue: true, ..order });
    for (first, again) in receipts.iter().zip(engine.import_orders(overdue.collect()).await) {
        let (first, again) = (first.as_ref().unwrap(), again.unwrap());
        assert_eq!((again.receipt, again.outcome), (first.receipt, ImportOutcome::Unchanged));
    }
    let hash = engine.state_hash().await.unwrap().hash;
    answered(engine.shutdown()).await.unwrap();
    drop(engine);

    let engine = open().await;
    assert_eq!(engine.state_hash().await.unwrap().hash, hash);
    assert_eq!(engine.submit(basket(7, 1, &[(1, 2)])).await, Err(limited(3, 2)));
    assert!(engine.submit(basket(8, 1, &[(1, 3)])).await.is_ok());
    answered(engine.shutdown()).await.unwrap();
}

#[test]
fn an_auditor_takes_no_terms_but_an_imports() {
    let line = stockade::domain::order::Line {
        key: key(1),
        quantity: 1,
        price: Money::from_minor(1),
        revision: 0,
        limit_per_member: 0,
    };
    let created = Event::OrderCreated(Box::new(stockade::domain::event::OrderCreated {
        order_no: stockade::OrderNo::compose(1, stockade::Slot::of_member(7.into()), 1),
        member_id: 7.into(),
        request_id: 1.into(),
        body_hash: 1,
        order_type: stockade::OrderType::Normal,
        at_ms: 1,
        auto_close_ms: 1,
        pay_amount: line.price,
        lines: stockade::domain::order::Lines::one(line),
        extra: Default::default(),
    }));
    let mut auditor = stockade::audit::Auditor::new();
    auditor.entry(1.into(), &[Event::NumbersReserved { at_ms: 0, until_ms: 10 }]);
    auditor.entry(2.into(), &[Event::SkuPut { at_ms: 0, revision: 1, sku: Box::new(sku(1)) }]);
    let delta = 1;
    let change = stockade::StockChange::Relative(delta);
    auditor.entry(
        3.into(),
        &[Event::StockAdjusted { at_ms: 0, key: key(1), adjustment_id: 1.into(), change, delta }],
    );
    auditor.entry(4.into(), &[created]);
    let report = auditor.finish();
    assert_eq!(report.violations_total, 1, "{:?}", report.violations);
    assert!(report.violations[0].to_string().contains("is no import"), "{:?}", report.violations);
}
