//! Callers who wait for an answer, and what each answer has to be true to.
//!
//! **R3** is checked by a necessary condition that asks no actor. Units in no placed order are open: available, held,
//! or on their way back. They are counted from the appended entries, less what a stock actor has decided to take
//! away and not appended yet. What a stock actor has within reach is never below that, because a reservation reaches
//! it after its append and a return is announced before. So if it refused rightly, fewer units than asked for were
//! open at some instant since the submission. A retry may get the answer to an earlier request, so only requests that
//! came first are checked. Limits are checked likewise, by the most units that the member had since the submission.

use std::sync::Arc;

use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use super::facts::Facts;
use crate::actors::order::{PaymentOutcome, PaymentResult};
use crate::actors::promise::Pledge;
use crate::actors::reply::{PaymentAttempt, Receipt, RefundReceipt, SubmitResult};
use crate::domain::ids::{AdjustmentId, MemberId, OrderNo, PaymentId, RequestId, StockKey};
use crate::domain::money::Money;
use crate::domain::order::{CloseReason, Line, Lines, Order, OrderStatus, RefundCommand, RefundReason};
use crate::domain::refund::RefundNo;
use crate::domain::reject::Reject;
use crate::domain::request::{Caller, StockChange};
use crate::domain::stock::StockCounters;

/// The least units open and the most units used since somebody began to wait for lines.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    member: MemberId,
    lines: Lines,
    open_min: Vec<i64>,
    used_max: Vec<i64>,
}

impl Watch {
    /// Begins to watch.
    pub(super) fn new(member: MemberId, lines: Lines, facts: &Facts, cut: &dyn Fn(&StockKey) -> i64) -> Self {
        let len = lines.len();
        let mut watch = Self { member, lines, open_min: vec![i64::MAX; len], used_max: vec![i64::MIN; len] };
        watch.look(facts, cut);
        watch
    }

    /// Sees how things stand.
    pub(super) fn look(&mut self, facts: &Facts, cut: &dyn Fn(&StockKey) -> i64) {
        for (index, line) in self.lines.iter().enumerate() {
            let open = facts.open(&line.key) - cut(&line.key);
            self.open_min[index] = self.open_min[index].min(open);
            self.used_max[index] = self.used_max[index].max(facts.used(self.member, line.key));
        }
    }

    /// Whether a line that `which` chooses was short at some instant.
    pub(super) fn was_short(&self, which: impl Fn(&Line) -> bool) -> bool {
        let mut lines = self.lines.iter().zip(&self.open_min);
        lines.any(|(line, open)| which(line) && *open < i64::from(line.quantity))
    }

    /// Whether the limit of a line that `which` chooses was used up at some instant.
    pub(super) fn was_limited(&self, which: impl Fn(&Line) -> bool) -> bool {
        let limited = |(line, used): (&Line, &i64)| {
            let limit = i64::from(line.limit_per_member);
            which(line) && limit > 0 && used + i64::from(line.quantity) > limit
        };
        self.lines.iter().zip(&self.used_max).any(limited)
    }
}

/// What a submission asked for.
#[derive(Clone, Debug)]
pub(super) struct SubmitAsk {
    pub(super) member: MemberId,
    pub(super) request: RequestId,
    pub(super) body_hash: u64,
    pub(super) external_no: Option<Box<str>>,
    pub(super) watch: Watch,
    /// An earlier request of the same name was under way or refused, whose answer this one may get.
    pub(super) follows: bool,
    /// Nobody else with the same external number waited meanwhile.
    pub(super) alone: bool,
    /// An earlier request of the same name was refused, and that refusal is still remembered.
    pub(super) refused: bool,
    /// The order that the request had placed, committed, when it was sent.
    pub(super) placed: Option<OrderNo>,
    /// What the front door would have said, had the request not been known.
    pub(super) refusal: Option<Reject>,
}

/// Where the answer to a submission comes in.
#[derive(Debug)]
pub(super) enum SubmitWait {
    /// At a caller who waits for it.
    Receipt(Receiver<SubmitResult>),
    /// At a promise.
    Promise(Arc<Pledge>),
}

impl SubmitWait {
    /// The answer, if it has come.
    pub(super) fn try_recv(&mut self) -> Result<SubmitResult, TryRecvError> {
        match self {
            Self::Receipt(receiver) => receiver.try_recv(),
            Self::Promise(pledge) => pledge.outcome().ok_or(TryRecvError::Empty),
        }
    }
}

/// What a page of a member's orders has to show.
#[derive(Clone, Debug)]
pub(super) struct PageAsk {
    pub(super) member: MemberId,
    /// Only orders below this number.
    pub(super) before: Option<OrderNo>,
    pub(super) len_max: usize,
    /// The orders that were committed when the question was sent, newest first, with their versions.
    pub(super) seen: Vec<(OrderNo, u32)>,
}

/// What is to be done with an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    StartPayment,
    Cancel(CloseReason),
    Ship,
    Confirm,
    /// Something in its later life, by the name of the event.
    Later(&'static str),
}

/// What a caller waits for.
#[derive(Debug)]
pub(super) enum Ask {
    Submit(Box<SubmitAsk>, SubmitWait),
    Command {
        order_no: OrderNo,
        caller: Caller,
        wish: Wish,
        /// Whether the caller could see the order, committed, when the command was sent.
        visible: bool,
        reply: Receiver<Result<Receipt, Reject>>,
    },
    Pay {
        id: PaymentId,
        order_no: OrderNo,
        amount: Money,
        reply: Receiver<Result<PaymentOutcome, Reject>>,
    },
    Attempt {
        order_no: OrderNo,
        reply: Receiver<Result<PaymentAttempt, Reject>>,
    },
    Refund {
        command: RefundCommand,
        reply: Receiver<Result<RefundReceipt, Reject>>,
    },
    Adjust {
        key: StockKey,
        id: AdjustmentId,
        change: StockChange,
        reply: Receiver<Result<StockCounters, Reject>>,
    },
    Stock {
        reply: Receiver<Result<StockCounters, Reject>>,
    },
    Order {
        order_no: OrderNo,
        caller: Caller,
        /// The version that was committed when the question was sent, if the caller could see the order.
        seen: Option<u32>,
        reply: Receiver<Result<Order, Reject>>,
    },
    Orders {
        page: PageAsk,
        reply: Receiver<Result<Vec<Order>, Reject>>,
    },
}

/// Whether an order exists for a caller, by what is committed.
pub(super) fn visible(facts: &Facts, order_no: OrderNo, caller: Caller) -> bool {
    facts.orders.get(&order_no).is_some_and(|order| caller.may_see(order.created.member_id))
}

/// Checks the answer to a submission against what is committed. Gives nothing; a broken rule panics with its name.
pub(super) fn check_submit(ask: &SubmitAsk, answer: &SubmitResult, facts: &Facts) {
    let placed = facts.requests.get(&(ask.member, ask.request)).map(|number| &facts.orders[number]);
    if let Some(number) = ask.placed {
        let created = &facts.orders[&number].created;
        if created.body_hash == ask.body_hash {
            let first = answer.as_ref().is_ok_and(|receipt| receipt.order_no == number);
            assert!(first, "R8: a retry gets the first answer, {number}, not {answer:?}: {ask:?}");
        } else {
            assert_eq!(answer, &Err(Reject::RequestIdReused), "R8: another body is refused: {ask:?}");
        }
    }
    match answer {
        Ok(receipt) => {
            let Some(order) = placed else {
                panic!("R4: {receipt:?} was acknowledged and is not committed: {ask:?}")
            };
            let created = &order.created;
            assert_eq!(receipt.order_no, created.order_no, "R8: a request places one order: {ask:?}");
            assert_eq!(created.body_hash, ask.body_hash, "R8: the receipt is for another body: {ask:?}");
            assert_eq!(receipt.pay_amount, created.pay_amount, "R4: {ask:?}");
            assert_eq!(receipt.deadline_ms, created.at_ms + u64::from(created.auto_close_ms), "R8: {ask:?}");
            let is_free = created.pay_amount == Money::ZERO;
            let status = if is_free { OrderStatus::Paid } else { OrderStatus::Pending };
            assert_eq!(receipt.status, status, "R8: the first answer again: {ask:?}");
            assert!(!ask.refused, "R8: a refusal that is remembered sticks: {ask:?}");
        }
        Err(Reject::RequestIdReused) => {
            let reused = placed.is_some_and(|order| order.created.body_hash != ask.body_hash);
            assert!(reused, "R4: no committed order has this request id with another body: {ask:?}");
        }
        Err(Reject::SoldOut { sku }) => {
            let short = ask.watch.was_short(|line| line.key.sku == *sku);
            assert!(ask.follows || short, "R3: sku {sku} was never short: {ask:?}");
        }
        Err(Reject::LimitExceeded { sku, .. }) => {
            let limited = ask.watch.was_limited(|line| line.key.sku == *sku);
            assert!(ask.follows || limited, "limits: the limit of sku {sku} was never used up: {ask:?}");
        }
        Err(Reject::ExternalNoTaken) => {
            let taken = ask.external_no.as_ref().is_some_and(|number| facts.external.contains_key(number));
            // A retry that waits for the first answer gets it, whatever its own body says.
            assert!(ask.follows || taken, "R4: no committed order has this external number: {ask:?}");
        }
        Err(Reject::ExternalNoBusy) => {
            let busy = ask.external_no.is_some() && !ask.alone;
            assert!(busy, "R8: nobody else is claiming this external number: {ask:?}");
        }
        Err(Reject::Overloaded { bound: "waiters_max", .. }) => {}
        Err(reject) if ask.refusal == Some(*reject) => {}
        Err(reject) => panic!("R4: a submission is answered with {reject:?}: {ask:?}"),
    }
}

/// Checks the answer to a command.
pub(super) fn check_command(
    (order_no, caller, wish): (OrderNo, Caller, Wish),
    was_visible: bool,
    answer: &Result<Receipt, Reject>,
    facts: &Facts,
    now_ms: u64,
) {
    let order = facts.orders.get(&order_no);
    let was = |status| order.is_some_and(|order| order.statuses.contains(&status));
    let what = format!("{wish:?} of {order_no} by {caller:?} is answered with {answer:?}");
    match answer {
        Ok(receipt) => {
            assert!(visible(facts, order_no, caller), "R14: {what}");
            assert!(was(receipt.status), "R4: the status was never committed: {what}");
            let done = match wish {
                Wish::StartPayment => order.is_some_and(|order| order.payment_started),
                Wish::Cancel(reason) => order.is_some_and(|order| order.closed.contains(&reason)),
                Wish::Ship => was(OrderStatus::Shipped),
                Wish::Confirm => was(OrderStatus::Completed),
                // To change a price to what it is changes nothing.
                Wish::Later("PriceChanged") => true,
                Wish::Later(name) => order.is_some_and(|order| order.names.contains(name)),
            };
            let known = order.is_some_and(|order| order.pay_amounts.contains(&receipt.pay_amount));
            assert!(known, "R4: the amount was never committed: {what}");
            assert!(done, "R4: it was never committed: {what}");
        }
        Err(Reject::OrderNotFound) => assert!(!was_visible, "R4: {what}"),
        Err(Reject::WrongStatus { status, .. }) => {
            assert!(visible(facts, order_no, caller), "R14: {what}");
            assert!(was(*status), "R4: the status was never committed: {what}");
        }
        Err(Reject::OrderOverdue { .. }) => {
            let overdue = order.is_some_and(|order| now_ms >= order.deadline_ms);
            assert!(overdue, "R9: it is not overdue at {now_ms}: {what}");
        }
        Err(Reject::Overloaded { bound: "waiters_max", .. }) => {}
        Err(Reject::RefundOpen) => {
            assert!(order.is_some_and(|order| !order.refunds.is_empty()), "R4: {what}")
        }
        Err(
            Reject::TotalBelowFreight { .. }
            | Reject::UnitsExceeded { .. }
            | Reject::SkuNotInOrder { .. }
            | Reject::TooManyOfOneOrder { .. },
        ) => assert!(matches!(wish, Wish::Later(_)), "{what}"),
        Err(_) => panic!("R4: {what}"),
    }
}

/// Checks the answer to a payment that is begun.
pub(super) fn check_attempt(order_no: OrderNo, answer: &Result<PaymentAttempt, Reject>, facts: &Facts) {
    let order = facts.orders.get(&order_no);
    if let Ok(attempt) = answer {
        assert_eq!(attempt.pay_no.order_no, order_no);
        let known = order.is_some_and(|order| {
            order.names.contains("PaymentAttempted") && order.pay_amounts.contains(&attempt.amount)
        });
        assert!(known, "R4: {attempt:?} was never committed");
    }
}

/// Checks the answer to a command about a refund.
pub(super) fn check_refund_command(
    command: &RefundCommand,
    answer: &Result<RefundReceipt, Reject>,
    facts: &Facts,
) {
    let what = format!("{command:?} is answered with {answer:?}");
    match answer {
        Ok(receipt) => {
            let (known, committed) = match receipt.refund_no {
                RefundNo::Order { order_no, ordinal } => {
                    let order = facts.orders.get(&order_no);
                    (order.is_some(), order.and_then(|order| order.refunds.get(&ordinal)))
                }
                RefundNo::Payment(payment) => (true, facts.unmatched.get(&payment)),
            };
            assert!(known && committed.is_some(), "R4: {what}");
            // What is over stays as it is.
            assert!(!receipt.state.is_over() || committed.is_some_and(|state| state.is_over()), "R4: {what}");
        }
        Err(
            Reject::OrderNotFound
            | Reject::RefundNotFound
            | Reject::WrongStatus { .. }
            | Reject::WrongRefundState { .. }
            | Reject::RefundFinishedOtherwise
            | Reject::RefundExceedsPaid { .. }
            | Reject::UnitsExceeded { .. }
            | Reject::InvalidField { .. }
            | Reject::AfterSaleOver { .. }
            | Reject::RequestIdReused
            | Reject::TooManyOfOneOrder { .. }
            | Reject::Overloaded { bound: "waiters_max", .. },
        ) => {}
        Err(_) => panic!("R4: {what}"),
    }
}

/// Checks the answer to a payment notification.
pub(super) fn check_pay(
    (id, order_no, amount): (PaymentId, OrderNo, Money),
    answer: &Result<PaymentOutcome, Reject>,
    facts: &Facts,
) {
    let what = format!("payment {id} of {amount} for {order_no} is answered with {answer:?}");
    let known = facts.payments.get(&id);
    match answer {
        Ok(outcome) => {
            let committed = known.map(|payment| (payment.order_no, payment.result));
            assert_eq!(committed, Some((outcome.order_no, Some(outcome.result))), "R4: {what}");
            // Money that named no order at first has its answer, whatever it names now.
            let unknown = PaymentResult::RefundRequired(RefundReason::UnknownOrder);
            assert!(outcome.order_no == order_no || outcome.result == unknown, "R8: {what}");
        }
        Err(Reject::PaymentIdReused) => {
            let reused = known.is_some_and(|known| known.order_no != order_no || known.amount != amount);
            assert!(reused, "R4: {what}");
        }
        Err(Reject::Overloaded { .. }) => {}
        Err(_) => panic!("R4: {what}"),
    }
}

/// Checks the answer to an adjustment.
pub(super) fn check_adjust(
    (key, id, change): (StockKey, AdjustmentId, StockChange),
    answer: &Result<StockCounters, Reject>,
    facts: &Facts,
) {
    let known = facts.adjustments.get(&(key, id));
    let what = format!("adjustment {id} of {key} by {change:?} is answered with {answer:?}");
    match answer {
        Ok(counters) => {
            assert!(counters.balanced(), "R1: {what}");
            assert_eq!(known, Some(&change), "R4: {what}");
        }
        Err(Reject::AdjustmentIdReused) => {
            assert!(known.is_some_and(|known| *known != change), "R4: {what}");
        }
        Err(Reject::StockBelowZero { needed, available }) => assert!(needed > available, "R1: {what}"),
        Err(_) => panic!("R4: {what}"),
    }
}

/// Checks one order that was read; `seen` is the version that was committed before.
pub(super) fn check_read(order: &Order, caller: Caller, seen: u32, facts: &Facts) {
    assert!(order.version >= seen, "R4: a read shows less than what was acknowledged, {seen}: {order:?}");
    assert!(caller.may_see(order.member_id), "R14: {caller:?} sees {order:?}");
    let committed = facts.orders.get(&order.order_no);
    let shown = committed
        .is_some_and(|facts| facts.version >= order.version && facts.statuses.contains(&order.status));
    assert!(shown, "R4: a read shows what is not committed: {order:?}");
}

/// Checks a page of a member's orders: newest first, no gap, no duplicate, nothing of others.
pub(super) fn check_page(ask: &PageAsk, orders: &[Order], facts: &Facts) {
    let numbers: Vec<_> = orders.iter().map(|order| order.order_no).collect();
    assert!(numbers.len() <= ask.len_max, "R12: {} orders for {ask:?}", numbers.len());
    assert!(numbers.is_sorted_by(|a, b| a > b), "newest first, each once: {numbers:?} for {ask:?}");
    let is_below = |number: OrderNo| ask.before.is_none_or(|before| number < before);
    assert!(numbers.iter().all(|number| is_below(*number)), "{numbers:?} for {ask:?}");
    let is_full = numbers.len() == ask.len_max;
    for (number, _) in &ask.seen {
        // What comes behind a full page is for the next one.
        let is_behind = is_full && numbers.last().is_some_and(|last| number < last);
        assert!(is_behind || numbers.contains(number), "R4: {number} is missing in {numbers:?} for {ask:?}");
    }
    for order in orders {
        let seen = ask.seen.iter().find(|(number, _)| *number == order.order_no);
        check_read(order, Caller::Member(ask.member), seen.map_or(0, |(_, version)| *version), facts);
    }
}

/// Checks why late money goes back (R10).
pub(super) fn check_refund(watch: &Watch, result: PaymentResult) {
    match result {
        PaymentResult::RefundRequired(RefundReason::SoldOut) => {
            assert!(
                watch.was_short(|_| true),
                "R10: late money goes back though units were there: {watch:?}"
            );
        }
        PaymentResult::RefundRequired(RefundReason::LimitExceeded) => {
            assert!(watch.was_limited(|_| true), "R10: late money goes back within the limit: {watch:?}");
        }
        PaymentResult::Paid | PaymentResult::RefundRequired(_) => {}
    }
}
