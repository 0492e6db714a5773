//! Coupons: issued once per request and never more than there are, in one order at a time, used once, given back by an
//! order that is closed.

use stockade::{
    Caller, CouponBenefit, CouponId, CouponScope, CouponState, CouponTerms, CouponView, Event, IssueOutcome,
    Money, OrderStatus, OrderTypes, PaymentResult, Pool, Receipt, RefundReason, Reject, StockKey,
    SubmitOrder,
};

use crate::support::*;

const SKU: u64 = 1;
const KIND: u64 = 5;
const OFF: i64 = 100;
const ENDS_MS: u64 = START_MS + 1_000_000;

fn terms() -> CouponTerms {
    CouponTerms {
        id: KIND.into(),
        title: "1.00 off".into(),
        benefit: CouponBenefit::AmountOff(Money::from_minor(OFF)),
        threshold: Money::ZERO,
        scope: CouponScope::All,
        valid_from_ms: START_MS,
        valid_until_ms: ENDS_MS,
        stackable: true,
        issue_max: 10,
        per_member_max: 0,
        order_types: OrderTypes::all(),
    }
}

/// A shop with so many units to sell, and coupons of one kind.
async fn shop(units: u64, terms: CouponTerms) -> Shop {
    let shop = Shop::open().await;
    shop.stock_up(SKU, units).await;
    shop.put_coupon_terms(terms, None).await.unwrap();
    shop
}

async fn issue(shop: &Shop, member: u64, request: u128) -> CouponId {
    shop.issue_coupon(member, KIND, request).await.unwrap().coupon
}

fn with(coupons: &[CouponId], member: u64, request: u128) -> SubmitOrder {
    SubmitOrder { coupons: coupons.to_vec(), ..one(member, request, SKU) }
}

async fn state_of(shop: &Shop, member: u64, coupon: CouponId) -> Option<CouponState> {
    let found: Vec<CouponView> = shop.coupons_of(member).await.unwrap();
    found.into_iter().find(|view| view.coupon == coupon).map(|view| view.state)
}

/// Coupons issued and left to be issued, by the stock counters.
async fn issued(shop: &Shop) -> (u64, u64) {
    let counters = shop.stock(StockKey::coupons(KIND.into())).await.unwrap();
    assert_eq!((counters.held, counters.reserved), (0, 0));
    (counters.sold, counters.available)
}

/// The names of the events of the entry that an order's event stands in.
fn entry_of(shop: &Shop, receipt: &Receipt, name: &str) -> Vec<&'static str> {
    let is_wanted = |event: &Event| {
        event.name() == name && event.order_version().is_some_and(|(number, _)| number == receipt.order_no)
    };
    let entry = shop.entries().into_iter().find(|entry| entry.events.iter().any(is_wanted));
    entry.unwrap().events.iter().map(Event::name).collect()
}

#[tokio::test]
async fn a_coupon_is_issued_once_per_request_also_after_a_restart_and_after_its_use() {
    let shop = shop(1, terms()).await;
    let first = shop.issue_coupon(7, KIND, 1).await.unwrap();
    assert_eq!(first.outcome, IssueOutcome::Issued);
    let again = shop.issue_coupon(7, KIND, 1).await.unwrap();
    assert_eq!((again.coupon, again.outcome), (first.coupon, IssueOutcome::Unchanged));
    assert_ne!(issue(&shop, 7, 2).await, first.coupon);
    assert_ne!(issue(&shop, 8, 1).await, first.coupon);
    assert_eq!(issued(&shop).await, (3, 7));

    let receipt = shop.submit(with(&[first.coupon], 7, 1)).await.unwrap();
    shop.pay(payment(&receipt, "t")).await.unwrap();
    let shop = shop.after_power_cut().await;
    let again = shop.issue_coupon(7, KIND, 1).await.unwrap();
    assert_eq!((again.coupon, again.outcome), (first.coupon, IssueOutcome::Unchanged));
    assert_eq!(issued(&shop).await, (3, 7));
    let report = audit(&shop.journal);
    assert_eq!((report.coupons.issued, report.coupons.free, report.coupons.used), (3, 2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_issues_never_exceed_the_total_and_use_it_up() {
    let shop = shop(1, CouponTerms { issue_max: 50, ..terms() }).await;
    let asks = (0..200_u64).map(|n| {
        let engine = shop.engine.clone();
        // Each request is sent twice.
        async move { engine.issue_coupon(n % 20, KIND, u128::from(n / 2 + 1000 * (n % 2))).await }
    });
    let answers = together(asks.collect::<Vec<_>>()).await;
    let granted = |outcome| {
        answers.iter().filter(|answer| answer.is_ok_and(|receipt| receipt.outcome == outcome)).count()
    };
    assert_eq!(granted(IssueOutcome::Issued), 50);
    let refused = Err(Reject::CouponsExhausted { terms: KIND.into() });
    assert!(answers.iter().all(|answer| answer.is_ok() || *answer == refused), "{answers:?}");
    shop.settle().await;
    assert_eq!(issued(&shop).await, (50, 0));
    assert_eq!(audit(&shop.journal).coupons.issued, 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_issues_never_exceed_a_members_maximum() {
    let shop = shop(1, CouponTerms { issue_max: 1_000, per_member_max: 3, ..terms() }).await;
    let asks = (0..40_u64).map(|n| {
        let engine = shop.engine.clone();
        async move { engine.issue_coupon(n % 2, KIND, u128::from(n)).await }
    });
    let answers = together(asks.collect::<Vec<_>>()).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 6);
    let refused = Err(Reject::CouponMaximum { terms: KIND.into(), coupons_max: 3 });
    assert!(answers.iter().all(|answer| answer.is_ok() || *answer == refused), "{answers:?}");
    shop.settle().await;
    assert_eq!(issued(&shop).await, (6, 994));
    audit(&shop.journal);
}

#[tokio::test]
async fn what_does_not_exist_or_is_over_is_not_issued() {
    let shop = shop(1, terms()).await;
    let unknown = Err(Reject::CouponTermsNotFound { terms: 6.into() });
    assert_eq!(shop.issue_coupon(7, 6, 1).await, unknown);
    shop.advance_to(ENDS_MS - 1);
    issue(&shop, 7, 1).await;
    shop.advance_to(ENDS_MS);
    let over = Err(Reject::CouponTermsOver { terms: KIND.into(), valid_until_ms: ENDS_MS });
    assert_eq!(shop.issue_coupon(7, KIND, 2).await, over);
    assert_eq!(shop.issue_coupon(7, KIND, 1).await, over, "nobody knows it any more");
    let later = CouponTerms { valid_until_ms: ENDS_MS + 1, ..terms() };
    assert!(
        matches!(shop.put_coupon_terms(later, None).await, Err(Reject::InvalidField { .. })),
        "or it could be issued twice"
    );
    assert_eq!(shop.coupons_of(7).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_coupon_is_locked_by_an_order_and_used_by_its_payment() {
    let shop = shop(5, terms()).await;
    let (first, second) = (issue(&shop, 7, 1).await, issue(&shop, 7, 2).await);
    let receipt = shop.submit(with(&[first, second], 7, 1)).await.unwrap();
    assert_eq!(receipt.pay_amount, Money::from_minor(PRICE - 2 * OFF));
    let locked = Some(CouponState::Locked(receipt.order_no));
    assert_eq!((state_of(&shop, 7, first).await, state_of(&shop, 7, second).await), (locked, locked));
    let created = ["OrderCreated", "CouponLocked", "CouponLocked"];
    assert_eq!(entry_of(&shop, &receipt, "OrderCreated"), created, "one decision");

    let refused = Err(Reject::CouponLocked { coupon: first });
    assert_eq!(shop.submit(with(&[first], 7, 2)).await, refused);
    assert_eq!(shop.submit(with(&[first, second], 7, 1)).await, Ok(receipt), "R8");
    shop.pay(payment(&receipt, "t")).await.unwrap();
    assert_eq!(entry_of(&shop, &receipt, "OrderPaid"), ["OrderPaid", "CouponUsed", "CouponUsed"]);
    assert_eq!(state_of(&shop, 7, first).await, Some(CouponState::Used(receipt.order_no)));
    assert_eq!(shop.submit(with(&[first], 7, 3)).await, Err(Reject::CouponUsed { coupon: first }));
    audit(&shop.journal);
}

#[tokio::test]
async fn nobody_uses_anothers_coupon_or_one_that_was_never_issued() {
    let shop = shop(5, terms()).await;
    let coupon = issue(&shop, 7, 1).await;
    let refused = Err(Reject::CouponNotFound { coupon });
    assert_eq!(shop.submit(with(&[coupon], 8, 1)).await, refused);
    let made_up = CouponId::of_issue(KIND.into(), 7.into(), 99.into());
    let refused = Err(Reject::CouponNotFound { coupon: made_up });
    assert_eq!(shop.submit(with(&[coupon, made_up], 7, 1)).await, refused);
    assert_eq!(state_of(&shop, 7, coupon).await, Some(CouponState::Free));
    assert_eq!(shop.counters(SKU).await.available, 5);
}

#[tokio::test]
async fn an_order_that_is_closed_gives_its_coupon_back_and_another_can_use_it() {
    let shop = shop(5, terms()).await;
    let coupon = issue(&shop, 7, 1).await;
    let cancelled = shop.submit(with(&[coupon], 7, 1)).await.unwrap();
    shop.cancel(Caller::Member(7.into()), cancelled.order_no).await.unwrap();
    assert_eq!(entry_of(&shop, &cancelled, "OrderClosed"), ["OrderClosed", "CouponReturned"]);
    assert_eq!(state_of(&shop, 7, coupon).await, Some(CouponState::Free));

    let timed_out = shop.submit(with(&[coupon], 7, 2)).await.unwrap();
    shop.advance_to(timed_out.deadline_ms);
    shop.closed(timed_out.order_no).await;
    let bought = shop.submit(with(&[coupon], 7, 3)).await.unwrap();
    shop.pay(payment(&bought, "t")).await.unwrap();
    assert_eq!(state_of(&shop, 7, coupon).await, Some(CouponState::Used(bought.order_no)));
    audit(&shop.journal);
}

#[tokio::test]
async fn an_expired_coupon_is_refused_and_not_given_back() {
    let shop = shop(5, CouponTerms { valid_until_ms: START_MS + 1_000, ..terms() }).await;
    let (first, second) = (issue(&shop, 7, 1).await, issue(&shop, 7, 2).await);
    let receipt = shop.submit(with(&[first], 7, 1)).await.unwrap();
    shop.advance_to(START_MS + 1_000);
    let expired = Err(Reject::CouponExpired { coupon: second, valid_until_ms: START_MS + 1_000 });
    assert_eq!(shop.submit(with(&[second], 7, 2)).await, expired);
    assert_eq!(state_of(&shop, 7, first).await, Some(CouponState::Locked(receipt.order_no)));
    assert_eq!(state_of(&shop, 7, second).await, None);
    shop.cancel(Caller::Operator, receipt.order_no).await.unwrap();
    assert_eq!(entry_of(&shop, &receipt, "OrderClosed"), ["OrderClosed"]);
    assert_eq!(state_of(&shop, 7, first).await, None);
    audit(&shop.journal);
}

#[tokio::test]
async fn an_order_is_paid_with_a_coupon_that_expires_before_its_deadline() {
    let shop = shop(5, CouponTerms { valid_until_ms: START_MS + 1_000, ..terms() }).await;
    let coupon = issue(&shop, 7, 1).await;
    let receipt = shop.submit(with(&[coupon], 7, 1)).await.unwrap();
    shop.advance_to(START_MS + 1_000);
    assert_eq!(shop.pay(payment(&receipt, "t")).await.unwrap().result, PaymentResult::Paid);
    assert_eq!(entry_of(&shop, &receipt, "OrderPaid"), ["OrderPaid", "CouponUsed"]);
    assert_eq!(audit(&shop.journal).coupons.used, 1);
}

#[tokio::test]
async fn r10_late_money_takes_the_coupon_again() {
    let shop = shop(5, terms()).await;
    let coupon = issue(&shop, 7, 1).await;
    let receipt = shop.submit(with(&[coupon], 7, 1)).await.unwrap();
    shop.advance_to(receipt.deadline_ms);
    shop.closed(receipt.order_no).await;
    let outcome = answered(shop.pay(payment(&receipt, "t"))).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::Paid);
    let entry = ["OrderRevived", "OrderPaid", "CouponLocked", "CouponUsed"];
    assert_eq!(entry_of(&shop, &receipt, "OrderPaid"), entry);
    audit(&shop.journal);
}

#[tokio::test]
async fn r10_late_money_goes_back_where_the_coupon_is_gone() {
    for is_paid in [false, true] {
        let shop = shop(5, terms()).await;
        let coupon = issue(&shop, 7, 1).await;
        let receipt = shop.submit(with(&[coupon], 7, 1)).await.unwrap();
        shop.advance_to(receipt.deadline_ms);
        shop.closed(receipt.order_no).await;
        let other = shop.submit(with(&[coupon], 7, 2)).await.unwrap();
        if is_paid {
            shop.pay(payment(&other, "t-1")).await.unwrap();
        }
        let outcome = answered(shop.pay(payment(&receipt, "t-2"))).await.unwrap();
        assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::CouponGone));
        assert_eq!(shop.status(receipt.order_no).await, OrderStatus::Cancelled);
        assert_eq!(audit(&shop.journal).refunds_required, 1);
    }
}

#[tokio::test]
async fn r10_late_money_goes_back_where_the_coupon_has_expired() {
    let shop =
        shop(5, CouponTerms { valid_until_ms: START_MS + u64::from(AUTO_CLOSE_MS) + 10, ..terms() }).await;
    let coupon = issue(&shop, 7, 1).await;
    let receipt = shop.submit(with(&[coupon], 7, 1)).await.unwrap();
    shop.advance_to(receipt.deadline_ms);
    shop.closed(receipt.order_no).await;
    shop.time.advance(10);
    let outcome = answered(shop.pay(payment(&receipt, "t"))).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::CouponGone));
    audit(&shop.journal);
}

#[tokio::test]
async fn r10_money_for_an_overdue_order_that_is_not_closed_yet_keeps_its_coupon() {
    let shop = shop(5, terms()).await;
    let coupon = issue(&shop, 7, 1).await;
    let receipt = shop.submit(with(&[coupon], 7, 1)).await.unwrap();
    let left = shop.journal.after_power_cut();
    shop.advance_to(receipt.deadline_ms);
    let next = shop.reopen(left, |config| config.recovery_grace_ms(60_000)).await.unwrap();
    assert_eq!(next.pay(payment(&receipt, "t")).await.unwrap().result, PaymentResult::Paid);
    let entry = ["OrderClosed", "OrderRevived", "OrderPaid", "CouponUsed"];
    assert_eq!(entry_of(&next, &receipt, "OrderPaid"), entry);
    audit(&next.journal);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_orders_with_one_coupon_exactly_one_gets_it() {
    let shop = shop(100, terms()).await;
    let coupon = issue(&shop, 7, 1).await;
    let orders = (0..20).map(|request| with(&[coupon], 7, request));
    let answers = submit_together(&shop, orders.collect::<Vec<_>>()).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let refused = Err(Reject::CouponLocked { coupon });
    assert!(answers.iter().all(|answer| answer.is_ok() || *answer == refused), "{answers:?}");
    assert_eq!(shop.counters(SKU).await.available, 99, "what the others held is back");
    audit(&shop.journal);
}

#[tokio::test]
async fn an_order_that_fails_leaves_its_coupon_to_the_one_that_waits_for_it() {
    let shop = shop(1, terms()).await;
    shop.stock_up(2, 5).await;
    let coupon = issue(&shop, 7, 1).await;
    // Both in one batch: the first is collecting when the second comes.
    let too_many = SubmitOrder { coupons: vec![coupon], ..basket(7, 1, &[(1, 2)]) };
    let second = SubmitOrder { coupons: vec![coupon], ..one(7, 2, 2) };
    let answers = answered(shop.submit_batch(vec![too_many, second])).await;
    assert_eq!(answers[0], Err(sold_out(1)));
    let receipt = answers[1].unwrap();
    assert_eq!(state_of(&shop, 7, coupon).await, Some(CouponState::Locked(receipt.order_no)));
    audit(&shop.journal);
}

/// Does everything that moves coupons.
async fn trade(shop: &Shop) -> [Receipt; 3] {
    let coupons = [issue(shop, 7, 1).await, issue(shop, 7, 2).await, issue(shop, 8, 1).await];
    let first = shop.submit(with(&coupons[..2], 7, 1)).await.unwrap();
    shop.cancel(Caller::Operator, first.order_no).await.unwrap();
    let second = shop.submit(with(&coupons[..1], 7, 2)).await.unwrap();
    shop.pay(payment(&second, "t-1")).await.unwrap();
    let third = shop.submit(with(&coupons[2..], 8, 3)).await.unwrap();
    shop.advance_to(third.deadline_ms);
    shop.closed(third.order_no).await;
    answered(shop.pay(payment(&third, "t-2"))).await.unwrap();
    let late = shop.submit(with(&coupons[1..2], 7, 4)).await.unwrap();
    shop.settle().await;
    [second, third, late]
}

#[tokio::test]
async fn every_prefix_opens_audits_and_hashes_like_the_run_that_wrote_it() {
    let shop = shop(10, terms()).await;
    let [_, _, pending] = trade(&shop).await;
    let live = shop.state_hash().await.unwrap().hash;
    let entries = shop.entries();
    for len in 0..=entries.len() {
        let journal = journal_of(&entries[..len]);
        audit(&journal);
        let next = shop.reopen(journal, |config| config.order_actors(1 + len % 3)).await.unwrap();
        next.settle().await;
        let hash = next.state_hash().await.unwrap().hash;
        if len == entries.len() {
            assert_eq!(hash, live, "R7");
        }
        // What the restart has done, a second one finds.
        let again = next.after_power_cut().await;
        assert_eq!(again.state_hash().await.unwrap().hash, hash, "after {len} entries");
        let report = audit(&next.journal);
        let sold = report.stock_of(&StockKey::coupons(KIND.into())).sold;
        assert_eq!(sold, report.coupons.issued as i64, "after {len} entries");
    }
    let next = shop.after_power_cut().await;
    let held = next.coupons_of(7).await.unwrap();
    let locked = held.iter().filter(|view| view.state == CouponState::Locked(pending.order_no)).count();
    assert_eq!((held.len(), locked), (2, 1));
}

#[tokio::test]
async fn r7_the_hash_tells_where_a_coupon_stands() {
    let shop = shop(10, terms()).await;
    let before = shop.state_hash().await.unwrap().hash;
    issue(&shop, 7, 1).await;
    assert_ne!(shop.state_hash().await.unwrap().hash, before);
    assert_eq!(StockKey::coupons(KIND.into()).pool, Pool::Coupons);
}
