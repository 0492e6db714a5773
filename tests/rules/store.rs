//! The store: closed orders leave memory and answer as before, restarts are store plus tail, the journal is trimmed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use stockade::journal::{DataDir, JournalError, layout};
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{
    Activity, ActivityItem, ActivityKind, AdjustmentId, Caller, Config, Engine, Money, OpenError, OrderNo,
    OrderRef, OrderStatus, OrderType, OrderView, Page, Payment, PaymentResult, Position, Receipt,
    RefundFilter, RefundReason, RefundRequest, RefundState, RefundStep, Reject, ShipPackage, Shipment,
    StockAdjustment, StockChange, SubmitOrder, SubscribeError, TeamChoice, TeamTerms,
};

use crate::support::*;

/// How long closed orders stay in memory, in ms.
const RETAIN_MS: u64 = 1_000;
/// How far time moves at once while a test waits, in ms.
const STEP_MS: u64 = 5;
/// Waiting never moves time further than this, in ms: no order falls due by it.
const WAIT_MS_MAX: u64 = 20_000;

/// An engine on a data directory, by a manual clock.
pub(crate) struct DiskShop {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) time: ManualTime,
}

impl std::ops::Deref for DiskShop {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl DiskShop {
    pub(crate) async fn open(path: &Path) -> Self {
        let (clock, time) = Clock::manual(START_MS);
        Self::open_by(path, clock, time, |config| config).await.unwrap()
    }

    pub(crate) async fn open_by(
        path: &Path,
        clock: Clock,
        time: ManualTime,
        change: impl FnOnce(Config) -> Config,
    ) -> Result<Self, OpenError> {
        let config = config_in(path, &clock)
            .checkpoint_interval_ms(1)
            .retain_closed_ms(RETAIN_MS)
            .journal_keep_min_bytes(0);
        let engine = Engine::open(change(config)).await?;
        Ok(Self { engine, clock, time })
    }

    pub(crate) async fn stock_up(&self, sku: u64, units: u64, limit_per_member: u32) {
        self.put_sku(stockade::Sku { limit_per_member, ..sku_of(sku) }).await.unwrap();
        self.adjust_stock(set_total(u128::from(sku), sku, units)).await.unwrap();
    }

    /// Lets the store take in everything that is durable.
    pub(crate) async fn checkpoint(&self) {
        let last = self.metrics().appended;
        self.wait_until(|shop| shop.metrics().stored >= last).await;
    }

    /// Moves time, slowly, until something is so. Checkpoints take real time, on a busy machine much of it: once time has
    /// moved far enough it stands still, and the test goes on waiting.
    pub(crate) async fn wait_until(&self, holds: impl Fn(&Self) -> bool) {
        let started_ms = self.clock.now_ms();
        answered(async {
            while !holds(self) {
                if self.clock.now_ms() - started_ms < WAIT_MS_MAX {
                    self.time.advance(STEP_MS);
                }
                for _ in 0..200 {
                    tokio::task::yield_now().await;
                }
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
        })
        .await;
    }

    /// Lets everything that is closed leave memory.
    async fn let_leave(&self, in_memory: u64) {
        self.checkpoint().await;
        self.time.advance(RETAIN_MS);
        self.wait_until(|shop| shop.metrics().orders <= in_memory).await;
    }

    pub(crate) async fn place(&self, order: SubmitOrder) -> Receipt {
        self.submit(order).await.unwrap()
    }

    pub(crate) async fn paid(&self, order: SubmitOrder, transaction_id: &str) -> Receipt {
        let receipt = self.place(order).await;
        let outcome = self.pay(payment(&receipt, transaction_id)).await.unwrap();
        assert_eq!(outcome.result, PaymentResult::Paid);
        receipt
    }

    async fn completed(&self, order: SubmitOrder, transaction_id: &str) -> Receipt {
        let receipt = self.paid(order, transaction_id).await;
        self.ship(receipt.order_no, Shipment::default()).await.unwrap();
        self.confirm(Caller::Operator, receipt.order_no).await.unwrap();
        receipt
    }

    async fn view(&self, order_no: OrderNo) -> OrderView {
        self.order(Caller::Operator, order_no).await.unwrap()
    }

    pub(crate) async fn hash(&self) -> u64 {
        self.state_hash().await.unwrap().hash
    }

    /// Ends the engine and opens another one on the same directory and clock.
    pub(crate) async fn reopen(
        self,
        path: &Path,
        in_order: bool,
        change: impl FnOnce(Config) -> Config,
    ) -> Self {
        let (clock, time) = self.end(path, in_order).await;
        Self::open_by(path, clock, time, change).await.unwrap()
    }

    pub(crate) async fn end(self, path: &Path, in_order: bool) -> (Clock, ManualTime) {
        if in_order {
            answered(self.engine.shutdown()).await.unwrap();
        }
        let Self { engine, clock, time } = self;
        drop(engine);
        until(|| !matches!(DataDir::open(path), Err(JournalError::InUse { .. }))).await;
        (clock, time)
    }
}

fn sku_of(id: u64) -> stockade::Sku {
    sku(id)
}

/// Some of everything: completed, cancelled, timed out, paid, shipped and open orders, refunds, limits.
async fn trade(shop: &DiskShop, members: std::ops::Range<u64>) {
    for member in members {
        let request = u128::from(member) << 8;
        let mut order = one(member, request, 1);
        order.external_no = Some(format!("WEB-{member}").into());
        shop.completed(order, &format!("done-{member}")).await;
        let cancelled = shop.place(basket(member, request + 1, &[(1, 2), (2, 1)])).await;
        shop.cancel(Caller::Member(member.into()), cancelled.order_no).await.unwrap();
        // Money for a cancelled order goes back.
        let outcome = shop.pay(payment(&cancelled, &format!("late-{member}"))).await.unwrap();
        assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::OrderCancelled));
        pay_back(shop).await;
        shop.paid(one(member, request + 2, 2), &format!("paid-{member}")).await;
        shop.place(one(member, request + 3, 2)).await;
    }
}

#[tokio::test]
async fn closed_orders_leave_memory_and_answer_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 1_000, 0).await;
    shop.stock_up(2, 1_000, 5).await;
    trade(&shop, 1..6).await;
    let before: Vec<_> = shop.orders_of(3, Page { before: None, len_max: 10 }).await.unwrap().orders;
    let (hash, completed, cancelled) = (shop.hash().await, &before[3], &before[2]);
    assert_eq!((completed.status, cancelled.status), (OrderStatus::Completed, OrderStatus::Cancelled));

    // Two of four orders a member are closed.
    shop.let_leave(10).await;
    let metrics = shop.metrics();
    assert_eq!((metrics.orders, metrics.evicted, metrics.store_failure), (10, 10, None));
    assert_eq!(shop.hash().await, hash, "what has left memory still counts");

    assert_eq!(&shop.view(completed.order_no).await, completed);
    let found = shop.order_by_external_no(Caller::Operator, "WEB-3").await.unwrap();
    assert_eq!(&found, completed);
    let stranger = shop.order(Caller::Member(4.into()), completed.order_no).await;
    assert_eq!(stranger, Err(Reject::OrderNotFound), "R14");
    let nobody =
        shop.order(Caller::Operator, OrderNo::from_u64(completed.order_no.get() + 4000).unwrap()).await;
    assert_eq!(nobody, Err(Reject::OrderNotFound));
    assert_eq!(shop.orders_of(3, Page { before: None, len_max: 10 }).await.unwrap().orders, before);

    // Page by page, newest first, across memory and store.
    let mut paged = Vec::new();
    let mut cursor = None;
    loop {
        let page = shop.orders_of(3, Page { before: cursor, len_max: 1 }).await.unwrap();
        let Some(last) = page.orders.last() else { break };
        cursor = Some(last.order_no);
        paged.extend(page.orders);
    }
    assert_eq!(paged, before);
    answered(shop.shutdown()).await.unwrap();
}

#[tokio::test]
async fn r8_requests_payments_and_numbers_of_orders_that_left_memory_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 2, 0).await;
    let mut order = one(7, 70, 1);
    order.external_no = Some("WEB-7".into());
    let receipt = shop.completed(order.clone(), "t-7").await;
    let second = shop.paid(one(8, 80, 1), "t-8").await;
    shop.let_leave(1).await;

    assert_eq!(shop.submit(order.clone()).await, Ok(receipt), "also with the stock gone");
    assert_eq!(shop.submit(basket(7, 70, &[(1, 2)])).await, Err(Reject::RequestIdReused));
    assert_eq!(shop.submit(one(9, 90, 1)).await, Err(sold_out(1)));
    shop.adjust_stock(add_units(9, 1, 5)).await.unwrap();
    let mut other = one(9, 91, 1);
    other.external_no = Some("WEB-7".into());
    assert_eq!(shop.submit(other).await, Err(Reject::ExternalNoTaken));

    let repeated = shop.pay(payment(&receipt, "t-7")).await.unwrap();
    assert_eq!((repeated.order_no, repeated.result), (receipt.order_no, PaymentResult::Paid));
    assert_eq!(shop.pay(payment(&second, "t-7")).await, Err(Reject::PaymentIdReused));
    let twice = shop.pay(payment(&receipt, "t-7b")).await.unwrap();
    assert_eq!(twice.result, PaymentResult::RefundRequired(RefundReason::AlreadyPaid));

    // What a command changed goes to the store again, and leaves again, once the money is back.
    pay_back(&shop).await;
    shop.let_leave(1).await;
    let again = shop.pay(payment(&receipt, "t-7b")).await.unwrap();
    assert_eq!(again.result, PaymentResult::RefundRequired(RefundReason::AlreadyPaid));
    assert_eq!(shop.view(receipt.order_no).await.refunds.len(), 1, "exactly once");
    answered(shop.shutdown()).await.unwrap();
}

#[tokio::test]
async fn r10_late_money_revives_an_order_that_has_left_memory() {
    let dir = tempfile::tempdir().unwrap();
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 1, 1).await;
    let receipt = shop.place(one(7, 1, 1)).await;
    shop.time.advance(u64::from(AUTO_CLOSE_MS));
    until(|| shop.metrics().expired == 1).await;
    shop.let_leave(0).await;
    let outcome = shop.pay(payment(&receipt, "late")).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::Paid);
    assert_eq!(shop.view(receipt.order_no).await.status, OrderStatus::Paid);
    assert_eq!(shop.stock(key(1)).await.unwrap().sold, 1);
    shop.adjust_stock(add_units(9, 1, 1)).await.unwrap();
    assert!(matches!(shop.submit(one(7, 2, 1)).await, Err(Reject::LimitExceeded { .. })));
    let hash = shop.hash().await;
    let shop = shop.reopen(dir.path(), false, |config| config).await;
    assert_eq!(shop.hash().await, hash);
    assert_eq!(shop.view(receipt.order_no).await.status, OrderStatus::Paid);
    answered(shop.shutdown()).await.unwrap();
}

#[tokio::test]
async fn r7_store_plus_tail_equals_life_with_any_number_of_order_actors() {
    let dir = tempfile::tempdir().unwrap();
    let mut shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 1_000, 0).await;
    shop.stock_up(2, 1_000, 5).await;
    for round in 0_u64..6 {
        trade(&shop, round * 10..round * 10 + 4).await;
        if round % 2 == 0 {
            shop.let_leave(shop.metrics().open_orders).await;
        }
        // A tail that the store has not taken in, about orders that it has.
        trade(&shop, round * 10 + 4..round * 10 + 6).await;
        let late = shop.pay(payment(&first_of(&shop, round * 10).await, "once-more")).await;
        assert!(matches!(late, Ok(_) | Err(Reject::PaymentIdReused)), "{late:?}");
        let (hash, stock) = (shop.hash().await, shop.stock(key(2)).await.unwrap());
        let in_order = round % 3 == 0;
        shop = shop.reopen(dir.path(), in_order, |config| config.order_actors(1 + round as usize % 3)).await;
        assert_eq!(shop.hash().await, hash, "round {round}");
        assert_eq!(shop.stock(key(2)).await.unwrap(), stock);
        if in_order {
            assert!(shop.metrics().recovered_events <= 1, "an orderly end leaves nothing to replay");
        }
    }
    answered(shop.shutdown()).await.unwrap();
}

async fn first_of(shop: &DiskShop, member: u64) -> Receipt {
    let mut order = one(member, u128::from(member) << 8, 1);
    order.external_no = Some(format!("WEB-{member}").into());
    shop.place(order).await
}

#[tokio::test]
async fn the_journal_is_trimmed_behind_the_store_and_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 100_000, 0).await;
    for member in 1..40 {
        shop.completed(one(member, 1, 1), &format!("t-{member}")).await;
        shop.checkpoint().await;
    }
    until(|| shop.metrics().journal_first > Position(1)).await;
    let metrics = shop.metrics();
    assert!(metrics.journal_first <= metrics.stored, "{metrics:?}");
    let lost = shop.subscribe(Position(1)).next().await;
    assert!(
        matches!(lost, Err(SubscribeError::Journal(JournalError::PositionTrimmed { .. }))),
        "a reader of what is gone is told so: {lost:?}"
    );
    let hash = shop.hash().await;
    let shop = shop.reopen(dir.path(), false, |config| config).await;
    assert_eq!(shop.hash().await, hash);

    // Without its store the journal is not enough any more.
    let (clock, time) = shop.end(dir.path(), true).await;
    let without =
        DiskShop::open_by(dir.path(), clock.clone(), time.clone(), |config| config.store(false)).await;
    assert!(matches!(without.err(), Some(OpenError::StoreNeeded { .. })));
    let (store, elsewhere) = (dir.path().join(layout::STORE_DIR), dir.path().with_extension("store"));
    fs::rename(&store, &elsewhere).unwrap();
    let gap = DiskShop::open_by(dir.path(), clock.clone(), time.clone(), |config| config).await;
    assert!(matches!(gap.err(), Some(OpenError::Gap { stored: Position(0), .. })));
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&elsewhere, &store).unwrap();
    let shop = DiskShop::open_by(dir.path(), clock, time, |config| config).await.unwrap();
    assert_eq!(shop.hash().await, hash);
    answered(shop.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_store_that_is_ahead_of_its_journal_is_refused() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 100, 0).await;
    let fresh = DiskShop::open(other.path()).await;
    let (clock, time) = fresh.end(other.path(), true).await;
    shop.completed(one(1, 1, 1), "t-1").await;
    shop.end(dir.path(), true).await;
    fs::remove_dir_all(other.path().join(layout::STORE_DIR)).unwrap();
    fs::rename(dir.path().join(layout::STORE_DIR), other.path().join(layout::STORE_DIR)).unwrap();
    let opened = DiskShop::open_by(other.path(), clock, time, |config| config).await;
    assert!(matches!(opened.err(), Some(OpenError::StoreAhead { .. })));
}

#[tokio::test]
async fn a_directory_without_a_store_gets_one() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, time) = Clock::manual(START_MS);
    let shop = DiskShop::open_by(dir.path(), clock, time, |config| config.store(false)).await.unwrap();
    shop.stock_up(1, 100, 0).await;
    shop.stock_up(2, 100, 5).await;
    trade(&shop, 1..4).await;
    let (hash, orders) = (shop.hash().await, shop.metrics().orders);
    let shop = shop.reopen(dir.path(), true, |config| config).await;
    assert_eq!((shop.hash().await, shop.metrics().orders), (hash, orders));
    shop.let_leave(shop.metrics().open_orders).await;
    assert_eq!(shop.hash().await, hash);
    let shop = shop.reopen(dir.path(), false, |config| config).await;
    assert_eq!(shop.hash().await, hash);
    answered(shop.shutdown()).await.unwrap();
}

#[tokio::test]
async fn r12_closed_orders_in_memory_are_bounded_however_long_they_are_retained() {
    let dir = tempfile::tempdir().unwrap();
    let (clock, time) = Clock::manual(START_MS);
    let change = |config: Config| config.retain_closed_ms(3_600_000).idempotency_hot_max(4);
    let shop = DiskShop::open_by(dir.path(), clock, time, change).await.unwrap();
    shop.stock_up(1, 1_000, 0).await;
    for member in 1..40 {
        let receipt = shop.place(one(member, 1, 1)).await;
        shop.cancel(Caller::Operator, receipt.order_no).await.unwrap();
    }
    shop.let_leave(4).await;
    assert_eq!(
        shop.order(Caller::Operator, OrderRef::from(OrderNo::default())).await,
        Err(Reject::OrderNotFound)
    );
    answered(shop.shutdown()).await.unwrap();
}

#[tokio::test]
async fn limits_are_exact_across_the_store_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut shop = DiskShop::open(dir.path()).await;
    shop.stock_up(1, 1_000, 3).await;
    for (round, in_order) in [(0, true), (1, false), (2, true)] {
        let receipt = shop.completed(one(7, round, 1), &format!("t-{round}")).await;
        let cancelled = shop.place(one(8, round, 1)).await;
        shop.cancel(Caller::Operator, cancelled.order_no).await.unwrap();
        if round == 1 {
            shop.let_leave(0).await;
        }
        let hash = shop.hash().await;
        shop = shop.reopen(dir.path(), in_order, |config| config).await;
        assert_eq!(shop.hash().await, hash);
        assert_eq!(shop.view(receipt.order_no).await.status, OrderStatus::Completed);
    }
    assert!(matches!(shop.submit(one(7, 9, 1)).await, Err(Reject::LimitExceeded { bought: 3, .. })));
    shop.place(basket(8, 9, &[(1, 3)])).await;
    answered(shop.shutdown()).await.unwrap();
}

#[tokio::test]
async fn old_orders_move_to_cold_files_and_are_still_found_by_number() {
    const ARCHIVE_AFTER_MS: u64 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let (clock, time) = Clock::manual(START_MS);
    let change =
        |config: Config| config.idempotency_window_ms(ARCHIVE_AFTER_MS).archive_after_ms(ARCHIVE_AFTER_MS);
    let shop = DiskShop::open_by(dir.path(), clock, time, change).await.unwrap();
    shop.stock_up(1, 100, 0).await;
    let mut order = one(7, 1, 1);
    order.external_no = Some("WEB-7".into());
    let old = shop.completed(order, "t-1").await;
    let open = shop.paid(one(7, 2, 1), "t-2").await;
    let view = shop.view(old.order_no).await;
    let hash = shop.hash().await;
    shop.let_leave(1).await;
    shop.time.advance(ARCHIVE_AFTER_MS);
    let young = shop.completed(one(7, 3, 1), "t-3").await;
    let young_hash = shop.hash().await;
    assert_ne!(young_hash, hash);
    shop.wait_until(|shop| shop.metrics().archived == 1).await;

    assert_eq!(shop.view(old.order_no).await, view);
    assert_eq!(shop.order_by_external_no(Caller::Operator, "WEB-7").await.unwrap(), view);
    let listed = shop.orders_of(7, Page { before: None, len_max: 10 }).await.unwrap().orders;
    assert_eq!(
        listed.iter().map(|order| order.order_no).collect::<Vec<_>>(),
        [young.order_no, open.order_no]
    );
    assert_eq!(shop.hash().await, young_hash);

    // Money for it is not lost (R10), and the order comes out of its file for it.
    let outcome = shop.pay(payment(&old, "very-late")).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::AlreadyPaid));
    let changed = shop.hash().await;
    let shop = shop.reopen(dir.path(), false, change).await;
    assert_eq!(shop.hash().await, changed);
    assert_eq!(shop.view(old.order_no).await.refunds.len(), 1);
    answered(shop.shutdown()).await.unwrap();
}

/// The audit of a directory that no engine has open.
fn verified(path: &Path) -> stockade::audit::AuditReport {
    let options = stockade::audit::verify::VerifyOptions::new().in_place(true);
    let report = stockade::audit::verify::verify(path, options).unwrap();
    assert!(report.passed(), "{:#?}", report.violations);
    report
}

#[tokio::test]
async fn orders_leave_memory_once_their_refunds_are_over_and_come_back_for_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let shop = DiskShop::open(&path).await;
    shop.stock_up(1, 100, 5).await;
    let completed = shop.completed(one(7, 1, 1), "t-7").await;
    let cancelled = shop.place(one(8, 1, 1)).await;
    shop.cancel(Caller::Operator, cancelled.order_no).await.unwrap();
    shop.pay(payment(&cancelled, "t-8")).await.unwrap();
    let lost = Payment { order: "nobody".into(), ..payment(&cancelled, "lost") };
    shop.pay(lost).await.unwrap();
    shop.let_leave(1).await;
    let list = shop.refunds(RefundFilter::default()).await.unwrap().refunds;
    assert_eq!(list.len(), 2, "what is owed keeps its order in memory");

    // The completed one has left, and comes back for its refund.
    let request =
        RefundRequest { request_id: 1.into(), lines: vec![(1.into(), 1)], ..RefundRequest::default() };
    let member = Caller::Member(7.into());
    let applied = shop.apply_refund(member, completed.order_no, request.clone()).await.unwrap();
    shop.checkpoint().await;
    assert_eq!(shop.metrics().orders, 2);
    let hash = shop.hash().await;
    let shop = shop.reopen(&path, false, |config| config.order_actors(3)).await;
    assert_eq!(shop.hash().await, hash);
    let list = shop.refunds(RefundFilter::default()).await.unwrap().refunds;
    assert_eq!(list.len(), 3, "the list is what it was");
    shop.approve_refund(applied.refund_no, vec![(1.into(), 1)]).await.unwrap();
    pay_back(&shop).await;
    assert_eq!(shop.view(completed.order_no).await.status, OrderStatus::Cancelled);
    assert_eq!(shop.stock(key(1)).await.unwrap().available, 100);
    let hash = shop.hash().await;
    shop.let_leave(0).await;
    assert_eq!(shop.hash().await, hash, "what has left memory still counts");
    let again = shop.apply_refund(member, completed.order_no, request).await.unwrap();
    assert_eq!((again.refund_no, again.state), (applied.refund_no, RefundState::Finished), "R8");

    let shop = shop.reopen(&path, true, |config| config).await;
    assert_eq!(shop.hash().await, hash);
    for refund in list {
        let step = RefundStep::Finished { provider_refund_id: refund.refund_no.to_string().into() };
        let finished = shop.report_refund(refund.refund_no, step).await.unwrap();
        assert_eq!(finished.state, RefundState::Finished, "reported again, whatever has left memory");
    }
    assert_eq!(shop.hash().await, hash);
    shop.end(&path, true).await;
    let report = verified(&path);
    assert_eq!((report.refunds_finished, report.payments_unmatched), (3, 1));
    assert_eq!((report.orders.cancelled_refunded, report.stock.sold), (1, 0));
}

#[tokio::test]
async fn stores_of_orders_amid_their_later_life_pass_the_audit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let mut shop = DiskShop::open(&path).await;
    shop.stock_up(1, 100, 0).await;
    let mut finished = 0;
    for round in 0..12_u64 {
        // Every round ends further along, and every other with a crash.
        let receipt = shop.paid(basket(round, 1, &[(1, 3)]), &format!("t-{round}")).await;
        let package = |units| ShipPackage { shipment: Shipment::default(), lines: vec![(1.into(), units)] };
        let request = |id: u128| RefundRequest {
            request_id: id.into(),
            lines: vec![(1.into(), 1)],
            ..RefundRequest::default()
        };
        if round >= 1 {
            shop.ship_package(receipt.order_no, package(1)).await.unwrap();
        }
        if round >= 2 {
            let applied = shop.apply_refund(Caller::Operator, receipt.order_no, request(1)).await.unwrap();
            if round >= 4 {
                shop.approve_refund(applied.refund_no, vec![(1.into(), 1)]).await.unwrap();
            }
            if round >= 6 {
                pay_back(&shop).await;
                finished += 1;
            }
        }
        if round >= 8 {
            shop.ship_package(receipt.order_no, package(1)).await.unwrap();
            assert_eq!(shop.view(receipt.order_no).await.status, OrderStatus::Shipped);
        }
        if round % 3 == 0 {
            shop.checkpoint().await;
        }
        shop.remark_order(receipt.order_no, "seen", 1).await.unwrap();
        let hash = shop.hash().await;
        let (clock, time) = shop.end(&path, round % 2 == 0).await;
        verified(&path);
        shop = DiskShop::open_by(&path, clock, time, |config| config).await.unwrap();
        assert_eq!(shop.hash().await, hash, "round {round}");
    }
    assert!(finished > 0);
    answered(shop.shutdown()).await.unwrap();
}

#[tokio::test]
async fn stores_of_sessions_and_of_teams_that_failed_pass_the_audit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let shop = DiskShop::open(&path).await;
    shop.put_sku(sku_of(1)).await.unwrap();
    let (key, change) = (key(1), StockChange::Relative(100));
    shop.adjust_stock(StockAdjustment { id: 1.into(), key, change }).await.unwrap();
    let item = ActivityItem { sku_id: 1.into(), price: Money::from_minor(99), limit_per_member: 0 };
    let session = Activity {
        id: 5.into(),
        start_ms: START_MS,
        end_ms: START_MS + 1_000_000,
        items: vec![item],
        ..Activity::default()
    };
    let team = Some(TeamTerms { size: 2, time_limit_ms: 500_000 });
    let campaign = Activity { id: 6.into(), kind: ActivityKind::GroupBuy, team, ..session.clone() };
    for (id, activity) in [(2_u64, &session), (3, &campaign)] {
        shop.put_activity(activity.clone()).await.unwrap();
        let to = activity.stock_key(1.into());
        shop.transfer_stock(AdjustmentId(id.into()), key, to, 20).await.unwrap();
    }
    let opens = SubmitOrder {
        order_type: OrderType::GroupBuy,
        activity_id: Some(campaign.id),
        team: TeamChoice::Open,
        ..one(1, 1, 1)
    };
    // Paid: when the team fails, its money and its units go back.
    let opened = shop.paid(opens, "t-1").await;
    shop.checkpoint().await;
    shop.end_activity(campaign.id, None).await.unwrap();
    shop.end_activity(session.id, None).await.unwrap();
    answered(async {
        while shop.view(opened.order_no).await.status != OrderStatus::Cancelled {
            tokio::task::yield_now().await;
        }
        while shop.stock(key).await.unwrap().available < 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let view = shop.view(opened.order_no).await;
    assert_eq!(view.refunds.len(), 1, "the team has failed, the money goes back");
    shop.checkpoint().await;
    shop.end(&path, true).await;
    assert_eq!(verified(&path).teams.failed, 1);
}
