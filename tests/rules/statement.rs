//! Statements: every movement of money once, on its day; days are chained, closed days never change.

use std::collections::BTreeMap;
use std::path::Path;

use stockade::journal::{DataDir, JournalError};
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{
    Account, AccountStatement, Caller, Config, Day, Engine, Money, Movement, MovementKind, OrderRef,
    OrderStatus, Payment, PaymentResult, Receipt, RefundFilter, RefundNo, RefundReason, RefundRequest,
    RefundStep, Statement, StatementError, Sum, Totals, UtcOffset,
};

use crate::support::*;
use crate::verify_command::stockade;

/// The clocks of the tests start at 2027-01-15T08:00:00Z, four in the afternoon in China.
const DAY: &str = "2027-01-15";
const HOUR_MS: u64 = 3_600_000;

pub(crate) fn china() -> UtcOffset {
    UtcOffset::from_minutes(480).unwrap()
}

pub(crate) fn day() -> Day {
    DAY.parse().unwrap()
}

/// An engine that stores all the time and keeps no journal that it needn't.
pub(crate) struct Till {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) time: ManualTime,
}

impl std::ops::Deref for Till {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Till {
    pub(crate) async fn open(path: &Path) -> Self {
        let (clock, time) = Clock::manual(START_MS);
        let till = Self::open_by(path, clock, time, |config| config).await;
        till.put_sku(sku(1)).await.unwrap();
        till.adjust_stock(set_total(1, 1, 1_000)).await.unwrap();
        till
    }

    async fn open_by(
        path: &Path,
        clock: Clock,
        time: ManualTime,
        change: impl FnOnce(Config) -> Config,
    ) -> Self {
        let config = config_in(path, &clock)
            .checkpoint_interval_ms(1)
            .retain_closed_ms(1_000)
            .journal_keep_min_bytes(0);
        let engine = Engine::open(change(config)).await.unwrap();
        Self { engine, clock, time }
    }

    /// Ends the engine, as a crash would or in order, and opens another one.
    async fn reopen(self, path: &Path, in_order: bool) -> Self {
        let (clock, time) = (self.clock.clone(), self.time.clone());
        self.end(path, in_order).await;
        Self::open_by(path, clock, time, |config| config).await
    }

    pub(crate) async fn end(self, path: &Path, in_order: bool) {
        if in_order {
            answered(self.engine.shutdown()).await.unwrap();
        }
        drop(self.engine);
        until(|| !matches!(DataDir::open(path), Err(JournalError::InUse { .. }))).await;
    }

    pub(crate) async fn place(&self, member: u64, request: u128) -> Receipt {
        self.submit(one(member, request, 1)).await.unwrap()
    }

    pub(crate) async fn paid(&self, member: u64, request: u128, transaction_id: &str) -> Receipt {
        let receipt = self.place(member, request).await;
        let outcome = self.pay(payment(&receipt, transaction_id)).await.unwrap();
        assert_eq!(outcome.result, PaymentResult::Paid);
        receipt
    }

    /// Moves the clock until something is so; each step is a tick.
    async fn tick_until(&self, holds: impl AsyncFn() -> bool) {
        answered(async {
            while !holds().await {
                self.time.advance(5);
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
    }

    /// Moves the clock to an instant at least, and waits until everything that is durable is stored.
    pub(crate) async fn go_to(&self, at_ms: u64) {
        self.time.advance(at_ms.saturating_sub(self.clock.now_ms()));
        self.tick_until(async || self.metrics().stored == self.metrics().appended).await;
    }

    /// The statement of a day, once the day is closed.
    async fn closed(&self, day: Day) -> Statement {
        let is_closed =
            async || !matches!(self.statement(day, china()).await, Err(StatementError::NotClosed { .. }));
        self.go_to(day.bounds(china()).1).await;
        self.tick_until(is_closed).await;
        let statement = self.statement(day, china()).await.unwrap();
        self.check_lines(&statement).await;
        statement
    }

    /// A statement's sums are those of its lines, counted apart.
    async fn check_lines(&self, statement: &Statement) {
        let mut lines: Vec<Movement> = Vec::new();
        let mut after = None;
        loop {
            let page = self.engine.movements(statement.day, china(), after, 2).await.unwrap();
            assert!(page.movements.len() <= 2);
            lines.extend(page.movements);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(lines.is_sorted_by_key(|line| line.position), "in the order of the journal, each once");
        for account in &statement.accounts {
            let mut day = Totals::default();
            for line in lines.iter().filter(|line| line.account == account.account) {
                assert!((statement.from_ms..statement.until_ms).contains(&line.booked_ms));
                day.add(line.kind, line.amount);
            }
            assert_eq!(day, account.day);
            let AccountStatement { opening, closing, .. } = account;
            let moved = opening.balance_minor + day.received.minor - day.refunded.minor;
            assert_eq!(moved, closing.balance_minor, "opening + received - refunded = closing");
        }
        assert_eq!(
            lines.len() as i64,
            statement.accounts.iter().map(|account| count(&account.day)).sum::<i64>()
        );
    }

    async fn lines(&self, day: Day) -> Vec<(MovementKind, String)> {
        let page = self.engine.movements(day, china(), None, 1_000).await.unwrap();
        page.movements.into_iter().map(|line| (line.kind, line.transaction_id.into())).collect()
    }
}

fn count(day: &Totals) -> i64 {
    day.received.count + day.paid().count + day.to_refund().count + day.refunded.count
}

fn statement_of(path: &Path, more: &[&str]) -> (i32, String, String) {
    let fixed = ["statement", "--data", path.to_str().unwrap(), "--zone", "+08:00", "--day", DAY];
    stockade(&[&fixed, more].concat())
}

/// A day with everything in it; two of its payments are to another merchant.
async fn trade(till: &Till) {
    till.paid(1, 1, "in-time").await;
    let twice = till.paid(2, 1, "first").await;
    let outcome = till.pay(payment(&twice, "second")).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::AlreadyPaid));

    let cancelled = till.place(3, 1).await;
    till.cancel(Caller::Operator, cancelled.order_no).await.unwrap();
    till.pay(payment(&cancelled, "cancelled")).await.unwrap();

    let other = till.place(4, 1).await;
    let payment_to = |transaction_id: &str, receipt| Payment {
        merchant: "shop-2".into(),
        ..payment(receipt, transaction_id)
    };
    till.pay(payment_to("elsewhere", &other)).await.unwrap();

    let (back, gone) = (till.place(5, 1).await, till.place(6, 1).await);
    till.time.advance(u64::from(AUTO_CLOSE_MS));
    let timed_out = async |receipt: &Receipt| {
        let order = till.order(Caller::Operator, receipt.order_no).await.unwrap();
        order.status == OrderStatus::Cancelled
    };
    till.tick_until(async || timed_out(&back).await && timed_out(&gone).await).await;
    till.pay(payment(&back, "late")).await.unwrap();
    let counters = till.stock(key(1)).await.unwrap();
    till.adjust_stock(add_units(2, 1, -(counters.available as i64))).await.unwrap();
    let outcome = till.pay(payment(&gone, "too-late")).await.unwrap();
    assert_eq!(outcome.result, PaymentResult::RefundRequired(RefundReason::SoldOut));
    till.adjust_stock(add_units(3, 1, 1_000)).await.unwrap();
}

#[tokio::test]
async fn a_day_has_every_payment_once_and_says_what_became_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let till = Till::open(dir.path()).await;
    trade(&till).await;
    let early = till.statement(day(), china()).await;
    assert!(matches!(early, Err(StatementError::NotClosed { .. })), "{early:?}");

    let statement = till.closed(day()).await;
    let accounts: Vec<_> = statement.accounts.iter().map(|account| &account.account).collect();
    assert_eq!(accounts, [&Account::new("wechat", "shop-1"), &Account::new("wechat", "shop-2")]);
    let main = &statement.accounts[0];
    let (day, closing) = (&main.day, &main.closing);
    let sums = [
        day.received,
        day.paid_in_time,
        day.paid_late,
        day.late_to_refund,
        day.unmatched,
        day.refunded,
        closing.undecided,
        closing.refunds_open,
    ];
    assert_eq!(sums.map(|sum| sum.count), [6, 2, 1, 1, 2, 0, 0, 3]);
    assert_eq!(sums.map(|sum| sum.minor), sums.map(|sum| i128::from(sum.count) * i128::from(PRICE)));
    assert_eq!((day.paid().count, day.late().count, closing.pending().count), (3, 2, 3));
    assert_eq!(statement.accounts[1].day.paid_in_time.count, 1);
    let lines = till.lines(statement.day).await;
    assert_eq!(lines.len(), 14);
    assert!(lines.contains(&(MovementKind::PaidLate, "late".into())));
    assert!(lines.contains(&(MovementKind::ToRefund(RefundReason::AlreadyPaid), "second".into())));
}

#[tokio::test]
async fn what_a_day_closes_with_the_next_one_opens_with() {
    let dir = tempfile::tempdir().unwrap();
    let till = Till::open(dir.path()).await;
    trade(&till).await;
    let first = till.closed(day()).await;
    till.paid(7, 1, "next-day").await;
    let quiet = day().next().next();
    let (second, third) = (till.closed(day().next()).await, till.closed(quiet).await);
    for (earlier, later) in [(&first, &second), (&second, &third)] {
        for (earlier, later) in earlier.accounts.iter().zip(&later.accounts) {
            assert_eq!(earlier.account, later.account);
            assert_eq!(earlier.closing, later.opening);
        }
    }
    assert_eq!(second.accounts[0].day.received.count, 1);
    assert_eq!(third.accounts[0].day, Totals::default(), "a day without movements still stands there");
    assert_eq!(third.accounts[0].opening, third.accounts[0].closing);
}

#[tokio::test]
async fn midnight_is_that_of_the_zone() {
    let dir = tempfile::tempdir().unwrap();
    let till = Till::open(dir.path()).await;
    let midnight_ms = day().bounds(china()).1;
    till.go_to(midnight_ms - 30_000).await;
    let (last, first) = (till.place(1, 1).await, till.place(2, 1).await);
    till.time.advance((midnight_ms - 1).checked_sub(till.now_ms()).expect("the waiting is short"));
    till.pay(payment(&last, "before")).await.unwrap();
    till.time.advance(1);
    till.pay(payment(&first, "after")).await.unwrap();

    let received = |lines: Vec<(MovementKind, String)>| -> Vec<String> {
        lines.into_iter().filter(|line| line.0 == MovementKind::Received).map(|line| line.1).collect()
    };
    till.closed(day()).await;
    assert_eq!(received(till.lines(day()).await), ["before"]);
    till.closed(day().next()).await;
    assert_eq!(received(till.lines(day().next()).await), ["after"]);
    // In UTC both are on one day. An odd offset is added up from the movements of the quarter of an hour.
    let utc = till.statement(day(), UtcOffset::UTC).await.unwrap();
    assert_eq!(utc.accounts[0].day.received.count, 2);
    let odd = UtcOffset::from_minutes(479).unwrap();
    let of_odd = till.statement(day(), odd).await.unwrap();
    assert_eq!(of_odd.accounts[0].day.received.count, 2, "midnight is a minute later there");
}

#[tokio::test]
async fn a_closed_day_never_changes_whatever_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let till = Till::open(&path).await;
    trade(&till).await;
    let statement = till.closed(day()).await;
    till.end(&path, true).await;
    let outputs = |path: &Path| {
        let forms: [&[&str]; 4] =
            [&[], &["--format", "json"], &["--lines", "--unit", "yuan"], &["--lines", "--format", "json"]];
        forms.map(|form| {
            let (code, stdout, stderr) = statement_of(path, form);
            assert_eq!(code, 0, "{stderr}");
            stdout
        })
    };
    let before = outputs(&path);

    let (clock, time) = Clock::manual(day().bounds(china()).1 + HOUR_MS);
    let mut till = Till::open_by(&path, clock, time, |config| config).await;
    for round in 0..8_u64 {
        for member in 100..110 {
            till.paid(member, u128::from(round) + 10, &format!("{round}-{member}")).await;
        }
        till.go_to(till.now_ms() + HOUR_MS).await;
        if round % 4 == 3 {
            // As a crash would, and in order.
            till = till.reopen(&path, round % 8 == 3).await;
        }
    }
    assert!(till.metrics().journal_first.0 > 1, "the journal of that day is gone");
    assert_eq!(till.statement(day(), china()).await.unwrap(), statement);
    let copy = dir.path().join("copy");
    till.backup(&copy).await.unwrap();
    assert_eq!(outputs(&copy), before, "byte for byte, from a backup");
    till.end(&path, false).await;
    assert_eq!(outputs(&path), before, "byte for byte");
}

#[tokio::test]
async fn money_that_came_before_a_crash_is_in_the_statement_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let (clock, time) = Clock::manual(START_MS);
    // No checkpoint while it runs.
    let rare = |config: Config| config.checkpoint_interval_ms(3_600_000);
    let till = Till::open_by(&path, clock, time, rare).await;
    till.put_sku(sku(1)).await.unwrap();
    till.adjust_stock(set_total(1, 1, 1_000)).await.unwrap();
    trade(&Till { engine: till.engine.clone(), clock: till.clock.clone(), time: till.time.clone() }).await;
    let till = till.reopen(&path, false).await;
    let statement = till.closed(day()).await;
    assert_eq!(statement.sum().1.received.count, 7);
    assert_eq!(statement.sum().1.paid().count, 4);
}

#[tokio::test]
async fn refunds_leave_the_account_they_came_to_on_the_day_they_are_finished() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop");
    let till = Till::open(&path).await;
    let paid = till.paid(1, 1, "kept").await;
    till.pay(payment(&paid, "twice")).await.unwrap();
    // For no order that there is.
    let stray = Payment { order: OrderRef::External("NONE".into()), ..payment(&paid, "stray") };
    till.pay(stray).await.unwrap();
    let request = RefundRequest { request_id: 1.into(), extra: Money::from_minor(70), ..Default::default() };
    let partly = till.apply_refund(Caller::Operator, paid.order_no, request).await.unwrap().refund_no;
    till.approve_refund(partly, Vec::new()).await.unwrap();
    let first = till.closed(day()).await;
    let (main, price) = (&first.accounts[0], i128::from(PRICE));
    assert_eq!((main.day.received.minor, main.day.unmatched.minor), (3 * price, 2 * price));
    assert_eq!((main.day.refund_agreed.minor, main.closing.undecided), (70, Sum::ZERO));
    assert_eq!((main.closing.refunds_open.minor, main.closing.refunds_open.count), (2 * price + 70, 3));

    // What came in, and what it is for, is only in the store by now; and again after a crash.
    let till = till.reopen(&path, true).await;
    let due = till.refunds(RefundFilter::default()).await.unwrap().refunds;
    assert_eq!(due.len(), 3);
    for (refund, id) in due.iter().zip(["r-1", "r-2", "r-3"]) {
        let finished = RefundStep::Finished { provider_refund_id: id.into() };
        till.report_refund(refund.refund_no, finished.clone()).await.unwrap();
        till.report_refund(refund.refund_no, finished).await.unwrap();
    }
    let till = till.reopen(&path, false).await;
    let second = till.closed(day().next()).await;
    let main = &second.accounts[0];
    assert_eq!(second.accounts.len(), 1, "all of it is the same account's");
    assert_eq!(main.opening, first.accounts[0].closing);
    assert_eq!((main.day.refunded.minor, main.day.refunded.count), (2 * price + 70, 3));
    assert_eq!((main.closing.balance_minor, main.closing.pending()), (price - 70, Sum::ZERO));

    let page = till.engine.movements(day().next(), china(), None, 10).await.unwrap();
    let lines: BTreeMap<_, _> = page
        .movements
        .iter()
        .map(|line| {
            (&*line.refund_no, (&*line.transaction_id, line.amount.minor(), &*line.provider_refund_id))
        })
        .collect();
    for (refund, id) in due.iter().zip(["r-1", "r-2", "r-3"]) {
        let of = if refund.refund_no == partly {
            "kept"
        } else if matches!(refund.refund_no, RefundNo::Payment(_)) {
            "stray"
        } else {
            "twice"
        };
        assert_eq!(lines[&*refund.refund_no.to_string()], (of, refund.amount.minor(), id));
    }
}
