//! What a scenario's buyers and workers were told: the harness's own log of acknowledgements, against which engine and
//! journal are checked at the end.

use std::collections::BTreeMap;

use stockade::{CouponId, Money, OrderNo, PaymentId, PaymentResult, Receipt, RefundNo, Reject, TeamId};

use crate::acked::Problems;

/// Answers that are no fault: the buyers bring them about, or are too slow.
const EXPECTED: [&str; 26] = [
    "sold_out",
    "limit_exceeded",
    "not_open_yet",
    "activity_over",
    "sku_paused",
    "team_full",
    "team_closed",
    "already_in_team",
    "team_not_formed",
    "order_overdue",
    "wrong_status",
    "refund_open",
    "wrong_refund_state",
    "refund_exceeds_paid",
    "units_exceeded",
    "after_sale_over",
    "coupons_exhausted",
    "coupons_all_issued",
    "coupon_maximum",
    "coupon_locked",
    "coupon_used",
    "coupon_not_found",
    "coupon_below_threshold",
    "coupon_without_effect",
    "coupon_expired",
    "coupon_terms_over",
];

/// An order that was acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct AckedOrder {
    pub(crate) order_no: OrderNo,
    pub(crate) n: u64,
    /// What it was placed for.
    pub(crate) placed: Money,
    /// What is to be paid, as last acknowledged.
    pub(crate) amount: Money,
    pub(crate) coupon: Option<CouponId>,
    /// The team that it was placed into.
    pub(crate) team: Option<TeamId>,
    pub(crate) cancelled: bool,
    pub(crate) shipped: bool,
    pub(crate) completed: bool,
}

impl AckedOrder {
    /// The n-th buyer's order, just placed.
    pub(crate) fn new(n: u64, receipt: &Receipt, coupon: Option<CouponId>, team: Option<TeamId>) -> Self {
        Self {
            order_no: receipt.order_no,
            n,
            placed: receipt.pay_amount,
            amount: receipt.pay_amount,
            coupon,
            team,
            cancelled: false,
            shipped: false,
            completed: false,
        }
    }
}

/// A payment that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AckedPayment {
    pub(crate) id: PaymentId,
    /// `None` where it named no order.
    pub(crate) order_no: Option<OrderNo>,
    pub(crate) amount: Money,
    pub(crate) result: PaymentResult,
}

/// All acknowledgements.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) orders: Vec<AckedOrder>,
    pub(crate) payments: Vec<AckedPayment>,
    /// Refunds that were reported as finished.
    pub(crate) refunded: Vec<(RefundNo, Money)>,
    /// Refusals, by what was asked and the code.
    pub(crate) rejects: BTreeMap<(&'static str, &'static str), u64>,
    /// Placed orders, by type.
    pub(crate) placed: BTreeMap<&'static str, u64>,
    /// Repeated requests that got the first answer.
    pub(crate) duplicates: u64,
    /// What the numbered session has answered since it opened, in ms from its start.
    pub(crate) openings: BTreeMap<u64, Opening>,
    pub(crate) problems: Problems,
}

/// How a session opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) first_order_ms: Option<u64>,
    pub(crate) last_order_ms: Option<u64>,
    pub(crate) first_sold_out_ms: Option<u64>,
}

impl Opening {
    fn add(&mut self, other: Self) {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        self.first_order_ms = least(self.first_order_ms, other.first_order_ms);
        self.last_order_ms = self.last_order_ms.max(other.last_order_ms);
        self.first_sold_out_ms = least(self.first_sold_out_ms, other.first_sold_out_ms);
    }
}

impl Book {
    /// Counts a refusal. One that nothing in the scenario accounts for is a problem.
    pub(crate) fn refuse(&mut self, what: &'static str, n: u64, reject: &Reject) {
        *self.rejects.entry((what, reject.code())).or_default() += 1;
        if !EXPECTED.contains(&reject.code()) {
            self.problems.add(|| format!("buyer {n} was refused to {what}: {reject}"));
        }
    }

    /// The value, if there is one; a refusal is counted.
    pub(crate) fn note<T>(&mut self, what: &'static str, n: u64, result: Result<T, Reject>) -> Option<T> {
        result.inspect_err(|reject| self.refuse(what, n, reject)).ok()
    }

    /// The time at which a session answered, from its start.
    pub(crate) fn note_opening(&mut self, session: u64, at_ms: u64, sold_out: bool) {
        let at = Some(at_ms);
        let opening = if sold_out {
            Opening { first_sold_out_ms: at, ..Opening::default() }
        } else {
            Opening { first_order_ms: at, last_order_ms: at, first_sold_out_ms: None }
        };
        self.openings.entry(session).or_default().add(opening);
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.orders.extend(other.orders);
        self.payments.extend(other.payments);
        self.refunded.extend(other.refunded);
        for (key, count) in other.rejects {
            *self.rejects.entry(key).or_default() += count;
        }
        for (key, count) in other.placed {
            *self.placed.entry(key).or_default() += count;
        }
        self.duplicates += other.duplicates;
        for (session, opening) in other.openings {
            self.openings.entry(session).or_default().add(opening);
        }
        self.problems.append(other.problems);
    }
}
