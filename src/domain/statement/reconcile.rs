//! Comparing movements with a payment provider's bill.
//!
//! The bill's entries are held in memory, the movements pass by one after the other: memory is as large as the bill.

use std::collections::BTreeMap;

use super::movement::{Movement, MovementKind};
use crate::domain::money::Money;

/// Which way the money of a bill's entry went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BillKind {
    /// A buyer paid.
    Payment,
    /// A buyer was paid back.
    Refund,
}

impl BillKind {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
        }
    }
}

/// An entry of a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillEntry {
    /// Which way the money went.
    pub kind: BillKind,
    /// The provider's number: of the payment, or of the refund.
    pub id: Box<str>,
    /// How much, positive.
    pub amount: Money,
    /// Where it stands in the bill, for people: its line.
    pub line: u64,
}

/// A difference between the movements of a day and the bill, or something to know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The bill has it, the journal of this day has not.
    MissingHere(BillEntry),
    /// The journal has it, the bill has not.
    MissingThere(Movement),
    /// Both have it, with different amounts.
    Differs {
        /// What the journal has.
        here: Movement,
        /// What the bill has.
        there: BillEntry,
    },
    /// The bill has it more than once; this is a further one.
    CountedTwice {
        /// The line of the first one.
        first_line: u64,
        /// The further one.
        entry: BillEntry,
    },
    /// Booked in the margin beside the day, and in this bill: no difference, each has its own midnight.
    OtherDay(Movement),
    /// Booked on the day within the margin of its begin or end, and not in this bill: the neighbouring bill must have it.
    NearMidnight(Movement),
}

impl Difference {
    /// The stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MissingHere(_) => "missing_here",
            Self::MissingThere(_) => "missing_there",
            Self::Differs { .. } => "differs",
            Self::CountedTwice { .. } => "counted_twice",
            Self::OtherDay(_) => "other_day",
            Self::NearMidnight(_) => "near_midnight",
        }
    }

    /// Whether somebody has to look into it.
    pub const fn is_wrong(&self) -> bool {
        !matches!(self, Self::OtherDay(_) | Self::NearMidnight(_))
    }
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Movements and entries that agree.
    pub matched: u64,
    /// Differences that somebody has to look into.
    pub wrong: u64,
    /// What is only to be known.
    pub notes: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    entry: BillEntry,
    is_met: bool,
}

/// The day that a bill is for, and what counts as near its begin and end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from_ms: u64,
    until_ms: u64,
    margin_ms: u64,
}

/// Compares a bill with movements: first all entries, then all movements, then [`Reconciler::finish`].
#[derive(Clone, Debug)]
pub struct Reconciler {
    span: Span,
    entries: BTreeMap<(BillKind, Box<str>), Entry>,
    result: Reconciliation,
}

impl Reconciler {
    /// For the day from `from_ms` to `until_ms` (exclusive), in ms since the Unix epoch. Within `margin_ms` of begin and
    /// end, provider and journal may see another day.
    pub fn new(from_ms: u64, until_ms: u64, margin_ms: u64) -> Self {
        let span = Span { from_ms, until_ms, margin_ms };
        Self { span, entries: BTreeMap::new(), result: Reconciliation::default() }
    }

    /// From when to when (exclusive) it wants movements, in ms since the Unix epoch.
    pub fn wanted_ms(&self) -> (u64, u64) {
        let Span { from_ms, until_ms, margin_ms } = self.span;
        (from_ms.saturating_sub(margin_ms), until_ms.saturating_add(margin_ms))
    }

    /// Takes an entry of the bill.
    pub fn entry(&mut self, entry: BillEntry) -> Option<Difference> {
        let key = (entry.kind, entry.id.clone());
        if let Some(first) = self.entries.get(&key) {
            let first_line = first.entry.line;
            return Some(self.told(Difference::CountedTwice { first_line, entry }));
        }
        self.entries.insert(key, Entry { entry, is_met: false });
        None
    }

    /// Takes a movement of the account; those that are in no bill are passed over.
    pub fn movement(&mut self, movement: Movement) -> Option<Difference> {
        let key = match movement.kind {
            MovementKind::Received => (BillKind::Payment, movement.transaction_id.clone()),
            MovementKind::Refunded => (BillKind::Refund, movement.provider_refund_id.clone()),
            MovementKind::Paid
            | MovementKind::PaidLate
            | MovementKind::ToRefund(_)
            | MovementKind::RefundAgreed => return None,
        };
        let Span { from_ms, until_ms, margin_ms } = self.span;
        let is_inside = (from_ms..until_ms).contains(&movement.booked_ms);
        let is_near = movement.booked_ms < from_ms.saturating_add(margin_ms)
            || movement.booked_ms >= until_ms.saturating_sub(margin_ms);
        let difference = match self.entries.get_mut(&key) {
            None if !is_inside => return None,
            None if is_near => Difference::NearMidnight(movement),
            None => Difference::MissingThere(movement),
            Some(Entry { entry, is_met }) => {
                *is_met = true;
                if entry.amount != movement.amount {
                    Difference::Differs { here: movement, there: entry.clone() }
                } else {
                    self.result.matched += 1;
                    if is_inside {
                        return None;
                    }
                    Difference::OtherDay(movement)
                }
            }
        };
        Some(self.told(difference))
    }

    /// What the bill has and no movement met, in the bill's order, and what it all came to.
    pub fn finish(mut self) -> (Vec<Difference>, Reconciliation) {
        let entries = std::mem::take(&mut self.entries);
        let mut missing: Vec<_> =
            entries.into_values().filter(|entry| !entry.is_met).map(|entry| entry.entry).collect();
        missing.sort_unstable_by_key(|entry| entry.line);
        let missing = missing.into_iter().map(|entry| self.told(Difference::MissingHere(entry))).collect();
        (missing, self.result)
    }

    fn told(&mut self, difference: Difference) -> Difference {
        if difference.is_wrong() {
            self.result.wrong += 1;
        } else {
            self.result.notes += 1;
        }
        difference
    }
}
