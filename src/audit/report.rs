//! What an audit comes to: counts, stock per key, and every rule that was found broken.

use std::fmt;

use serde::{Serialize, Serializer};

use super::tasks::TaskTally;
use super::teams::TeamTally;
use crate::domain::ids::{Position, StockKey};

/// How many violations a report lists unless told otherwise; all of them are counted.
pub const VIOLATIONS_KEPT: usize = 100;

/// What a violation offends against: a numbered rule of the design, or the form that every journal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// R1: no oversell; the counters of every stock key add up.
    NoOversell,
    /// R2: an order takes all of its lines or none, and its events agree on them.
    AllOrNothing,
    /// R5: a fact stands after the facts that it depends on.
    CausalPrefix,
    /// R6: one entry is one decision.
    OneDecision,
    /// R8: requests, payments and adjustments count once.
    Once,
    /// R9: never early, never late.
    Deadline,
    /// R10: money that has arrived is kept by one order or goes back, once.
    LateMoney,
    /// Positions follow each other without a gap.
    Positions,
    /// An order's versions follow each other without a gap.
    Versions,
    /// An order moves along its state machine only.
    Transitions,
    /// An order's times never decrease.
    Times,
    /// Order numbers are unique, of their member's slot, and from a reserved range.
    OrderNumbers,
    /// Members stay within their purchase limits.
    Limits,
    /// Catalogue revisions follow each other, and lines are sold on their terms.
    Catalogue,
    /// A coupon is in one order at a time, moves with it, and pays once.
    Coupons,
    /// The store agrees with itself and with the journal.
    Store,
    /// Tasks of the delay queue live once per id, and are handed out and done only when they can be.
    Tasks,
    /// Attempts, packages and refunds go their legal way, within what was paid and ordered.
    AfterSale,
    /// A team forms when all its members have paid, and only then do their orders go on.
    Teams,
}

impl Rule {
    /// The stable code, as the JSON report and the table show it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoOversell => "R1",
            Self::AllOrNothing => "R2",
            Self::CausalPrefix => "R5",
            Self::OneDecision => "R6",
            Self::Once => "R8",
            Self::Deadline => "R9",
            Self::LateMoney => "R10",
            Self::Positions => "positions",
            Self::Versions => "versions",
            Self::Transitions => "transitions",
            Self::Times => "times",
            Self::OrderNumbers => "order_numbers",
            Self::Limits => "limits",
            Self::Catalogue => "catalogue",
            Self::Coupons => "coupons",
            Self::Store => "store",
            Self::Tasks => "tasks",
            Self::AfterSale => "after_sale",
            Self::Teams => "teams",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The event that broke it; of a stored record its last event, or the checkpoint.
    pub position: Position,
    /// Which rule.
    pub rule: Rule,
    /// What is wrong, with the values.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at position {}: {}", self.rule, self.position, self.message)
    }
}

/// The audit's own count of one stock key, or the sum over all of them. Counters are signed, because the audit has
/// to be able to say how far below zero a broken journal takes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StockTally {
    /// All units there are, sold ones included.
    pub total: i64,
    /// Units that the next order could have.
    pub available: i64,
    /// Units of orders that are placed and not paid.
    pub reserved: i64,
    /// Units of orders that are paid.
    pub sold: i64,
    /// Units that were promised beyond what was there, at the worst moment.
    pub oversold_units: i64,
}

/// One stock key's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KeyTally {
    /// Which stock.
    #[serde(serialize_with = "as_text")]
    pub key: StockKey,
    /// Its units at the journal's end.
    #[serde(flatten)]
    pub units: StockTally,
}

/// Orders by where they stand at the journal's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OrderTally {
    /// All orders.
    pub total: u64,
    /// Placed and not paid.
    pub pending: u64,
    /// Paid and not shipped.
    pub paid: u64,
    /// On their way.
    pub shipped: u64,
    /// Received.
    pub completed: u64,
    /// Not paid in time.
    pub cancelled_timeout: u64,
    /// Cancelled by their member.
    pub cancelled_member: u64,
    /// Cancelled by the shop.
    pub cancelled_operator: u64,
    /// Paid back in full.
    pub cancelled_refunded: u64,
    /// Cancelled because their team did not form.
    pub cancelled_team_failed: u64,
    /// Some of their units are on their way.
    pub partially_shipped: u64,
}

impl OrderTally {
    /// Cancelled orders, whatever the reason.
    pub fn cancelled(&self) -> u64 {
        self.cancelled_timeout
            + self.cancelled_member
            + self.cancelled_operator
            + self.cancelled_refunded
            + self.cancelled_team_failed
    }

    /// Orders that keep what they were paid, or most of it.
    pub fn sold(&self) -> u64 {
        self.paid + self.partially_shipped + self.shipped + self.completed
    }
}

/// Coupons by where they stand at the journal's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CouponTally {
    /// All coupons that were issued.
    pub issued: u64,
    /// In no order, expired ones included.
    pub free: u64,
    /// In an order that is not paid; or expired when that was closed.
    pub locked: u64,
    /// Used.
    pub used: u64,
}

/// What was found in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StoreTally {
    /// The checkpoint: everything up to here is in the store.
    pub position: Position,
    /// Records read, over all tables.
    pub records: u64,
    /// Size of their pages, in bytes, superseded ones included.
    pub bytes: u64,
    /// Orders that a restart brings back into memory.
    pub open_orders: u64,
    /// Orders that are read when somebody asks, those in cold files included.
    pub closed_orders: u64,
    /// Of these, orders in cold files.
    pub archived_orders: u64,
    /// Open orders that are stored as they were after events behind the checkpoint.
    pub orders_ahead: u64,
    /// Payments whose outcome is known.
    pub payments: u64,
    /// Refunds of payments that are for no order.
    pub refunds_unmatched: u64,
    /// Outcomes whose payment is no longer kept: not a violation.
    pub payments_expired: u64,
    /// Purchase limits in use.
    pub limits: u64,
    /// Stock keys.
    pub stock_keys: u64,
    /// Live tasks of the delay queue.
    pub tasks: u64,
    /// Whether the journal still begins with the first event, so that the store was compared with a replay of it.
    pub compared_with_replay: bool,
}

/// What an audit comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Position of the journal's first event; 0 when there is none.
    pub first_position: Position,
    /// Position of its last event; 0 when there is none.
    pub last_position: Position,
    /// Decisions in the journal.
    pub entries: u64,
    /// Facts in the journal.
    pub events: u64,
    /// Orders by where they stand.
    pub orders: OrderTally,
    /// Orders that a late payment brought back.
    pub orders_revived: u64,
    /// Payments that arrived.
    pub payments_received: u64,
    /// Payments without an outcome at the journal's end. Not a violation: a restart resumes them.
    pub payments_unresolved: u64,
    /// Payments that must go back.
    pub refunds_required: u64,
    /// Tasks of the delay queue by what has become of them.
    pub tasks: TaskTally,
    /// Teams by how far they are.
    pub teams: TeamTally,
    /// Refunds that were applied for.
    pub refunds_applied: u64,
    /// Refunds of both kinds whose money has gone back.
    pub refunds_finished: u64,
    /// Payments that were for no order.
    pub payments_unmatched: u64,
    /// Coupons by where they stand.
    pub coupons: CouponTally,
    /// Units, summed over all stock keys.
    pub stock: StockTally,
    /// Units by stock key, ascending.
    pub stock_by_key: Vec<KeyTally>,
    /// The store, if there is one.
    pub store: Option<StoreTally>,
    /// Number of broken rules, those beyond the list included.
    pub violations_total: u64,
    /// The first broken rules that were found: the store's, then the journal's in order of position.
    pub violations: Vec<Violation>,
}

impl AuditReport {
    /// Whether no rule was broken.
    pub fn passed(&self) -> bool {
        self.violations_total == 0
    }

    /// Units sold beyond what was there, at the worst moment of each key.
    pub fn oversold_units(&self) -> u64 {
        self.stock.oversold_units.unsigned_abs()
    }

    /// The count of one stock key; all zero for a key that the journal doesn't name.
    pub fn stock_of(&self, key: &StockKey) -> StockTally {
        self.stock_by_key
            .binary_search_by_key(key, |tally| tally.key)
            .map_or_else(|_| StockTally::default(), |index| self.stock_by_key[index].units)
    }
}

/// Collects violations: counts all, keeps the first ones.
#[derive(Debug)]
pub(super) struct Findings {
    position: Position,
    kept_max: usize,
    kept: Vec<Violation>,
    total: u64,
}

impl Findings {
    pub(super) fn new(kept_max: usize) -> Self {
        Self { position: Position(0), kept_max, kept: Vec::new(), total: 0 }
    }

    /// What is found from now on concerns the event at this position.
    pub(super) fn at(&mut self, position: Position) {
        self.position = position;
    }

    /// Counts a violation; its message is only made if it is kept.
    pub(super) fn add(&mut self, rule: Rule, message: impl FnOnce() -> String) {
        self.total += 1;
        if self.kept.len() < self.kept_max {
            self.kept.push(Violation { position: self.position, rule, message: message() });
        }
    }

    /// Counts a violation unless the rule holds.
    pub(super) fn check(&mut self, holds: bool, rule: Rule, message: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, message);
        }
    }

    /// Takes over what was found elsewhere, before anything that is found from now on.
    pub(super) fn absorb(&mut self, other: Self) {
        self.total += other.total;
        let room = self.kept_max.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }

    pub(super) fn into_parts(self) -> (u64, Vec<Violation>) {
        (self.total, self.kept)
    }
}

fn as_text<S: Serializer>(key: &StockKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}
