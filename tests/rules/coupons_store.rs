//! Coupons across store and restarts: exact, whatever has been stored, trimmed and left memory.

use std::path::Path;

use stockade::audit::AuditReport;
use stockade::audit::verify::{VerifyOptions, verify};
use stockade::{
    Caller, CouponBenefit, CouponId, CouponScope, CouponState, CouponTerms, IssueOutcome, Money, OrderTypes,
    PaymentResult, Position, RefundReason, Reject, StockKey, SubmitOrder,
};

use crate::store::DiskShop;
use crate::support::*;

/// Kinds of coupons that end soon, and late.
const SHORT: u64 = 1;
const LONG: u64 = 2;
const SHORT_END_MS: u64 = START_MS + 30_000;

fn terms(kind: u64, valid_until_ms: u64) -> CouponTerms {
    CouponTerms {
        id: kind.into(),
        title: "off".into(),
        benefit: CouponBenefit::AmountOff(Money::from_minor(10)),
        threshold: Money::ZERO,
        scope: CouponScope::All,
        valid_from_ms: START_MS,
        valid_until_ms,
        stackable: true,
        issue_max: 10_000,
        per_member_max: 0,
        order_types: OrderTypes::all(),
    }
}

async fn open(path: &Path) -> DiskShop {
    let shop = DiskShop::open(path).await;
    shop.stock_up(1, 100_000, 0).await;
    shop.put_coupon_terms(terms(SHORT, SHORT_END_MS), None).await.unwrap();
    shop.put_coupon_terms(terms(LONG, START_MS + 100_000_000), None).await.unwrap();
    shop
}

async fn issue(shop: &DiskShop, member: u64, kind: u64, request: u128) -> CouponId {
    shop.issue_coupon(member, kind, request).await.unwrap().coupon
}

fn with(coupon: CouponId, member: u64, request: u128) -> SubmitOrder {
    SubmitOrder { coupons: vec![coupon], ..one(member, request, 1) }
}

/// Coupons that are free, locked, used and given back.
async fn trade(shop: &DiskShop, member: u64, kind: u64) {
    let mut coupons = Vec::new();
    for request in 0..4 {
        coupons.push(issue(shop, member, kind, request).await);
    }
    shop.paid(with(coupons[0], member, 1), &format!("t-{member}")).await;
    shop.place(with(coupons[1], member, 2)).await;
    let cancelled = shop.place(with(coupons[2], member, 3)).await;
    shop.cancel(Caller::Member(member.into()), cancelled.order_no).await.unwrap();
}

/// Ends the shop, and audits what is on the disk.
async fn audited(shop: DiskShop, path: &Path) -> AuditReport {
    shop.end(path, true).await;
    let report = verify(path, VerifyOptions::new()).unwrap();
    assert!(report.passed(), "{:#?}", report.violations);
    report
}

#[tokio::test]
async fn r7_store_plus_tail_has_every_coupon_where_it_stood() {
    let dir = tempfile::tempdir().unwrap();
    let mut shop = open(dir.path()).await;
    for round in 0_u64..4 {
        trade(&shop, 10 * round, LONG).await;
        trade(&shop, 10 * round + 1, SHORT).await;
        shop.checkpoint().await;
        // A tail that the store has not taken in, about coupons that it has.
        let issued = shop.coupons_of(10 * round).await.unwrap();
        let free = issued.iter().find(|view| view.state == CouponState::Free).unwrap().coupon;
        shop.place(with(free, 10 * round, 10)).await;
        let (hash, before) = (shop.hash().await, shop.coupons_of(10 * round).await.unwrap());
        let in_order = round % 2 == 0;
        shop = shop.reopen(dir.path(), in_order, |config| config.order_actors(1 + round as usize % 3)).await;
        assert_eq!(shop.hash().await, hash, "round {round}");
        assert_eq!(shop.coupons_of(10 * round).await.unwrap(), before);
        let again = shop.issue_coupon(10 * round, LONG, 0).await.unwrap();
        assert_eq!(again.outcome, IssueOutcome::Unchanged);
    }
    let report = audited(shop, dir.path()).await;
    assert_eq!((report.coupons.issued, report.coupons.used, report.coupons.locked), (32, 8, 12));
}

#[tokio::test]
async fn a_trimmed_journal_and_its_store_are_audited_together() {
    let dir = tempfile::tempdir().unwrap();
    let shop = open(dir.path()).await;
    for member in 1..30 {
        trade(&shop, member, LONG).await;
        shop.checkpoint().await;
    }
    until(|| shop.metrics().journal_first > Position(1)).await;
    let hash = shop.hash().await;
    let shop = shop.reopen(dir.path(), false, |config| config).await;
    assert_eq!(shop.hash().await, hash);
    let sold = shop.stock(StockKey::coupons(LONG.into())).await.unwrap().sold;
    assert_eq!(sold, 29 * 4);
    trade(&shop, 30, LONG).await;
    let report = audited(shop, dir.path()).await;
    assert_eq!(report.coupons.issued, 30 * 4);
}

#[tokio::test]
async fn expired_coupons_leave_memory_and_still_count() {
    let dir = tempfile::tempdir().unwrap();
    let shop = open(dir.path()).await;
    let (kept, lost) = (issue(&shop, 7, SHORT, 1).await, issue(&shop, 7, SHORT, 2).await);
    let locked = shop.place(with(kept, 7, 1)).await;
    let hash = shop.hash().await;
    shop.time.advance(SHORT_END_MS - shop.clock.now_ms());
    shop.checkpoint().await;
    shop.time.advance(2_000);
    shop.checkpoint().await;
    assert_eq!(shop.hash().await, hash, "what has left memory still counts");
    let shown = shop.coupons_of(7).await.unwrap();
    assert_eq!(shown.iter().map(|view| view.coupon).collect::<Vec<_>>(), [kept]);
    let expired = Err(Reject::CouponExpired { coupon: lost, valid_until_ms: SHORT_END_MS });
    assert_eq!(shop.submit(with(lost, 7, 2)).await, expired);

    let shop = shop.reopen(dir.path(), false, |config| config).await;
    assert_eq!(shop.hash().await, hash);
    let outcome = shop.pay(payment(&locked, "t")).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::Paid, "its coupon is still there");
    let hash = shop.hash().await;
    shop.checkpoint().await;
    let shop = shop.reopen(dir.path(), true, |config| config.order_actors(3)).await;
    assert_eq!(shop.hash().await, hash);
    let report = audited(shop, dir.path()).await;
    assert_eq!((report.coupons.issued, report.coupons.used, report.coupons.free), (2, 1, 1));
}

#[tokio::test]
async fn r10_late_money_for_an_order_that_left_memory_finds_its_coupon_gone() {
    let dir = tempfile::tempdir().unwrap();
    let shop = open(dir.path()).await;
    let coupon = issue(&shop, 7, LONG, 1).await;
    let late = shop.place(with(coupon, 7, 1)).await;
    shop.time.advance(late.deadline_ms - shop.clock.now_ms());
    shop.wait_until(|shop| shop.metrics().open_orders == 0).await;
    shop.checkpoint().await;
    shop.time.advance(2_000);
    shop.wait_until(|shop| shop.metrics().orders == 0).await;
    shop.place(with(coupon, 7, 2)).await;
    let outcome = answered(shop.pay(payment(&late, "t"))).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::CouponGone));
    audited(shop, dir.path()).await;
}
