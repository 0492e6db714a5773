//! A day's statement, account by account.

use super::day::{Day, UtcOffset};
use super::movement::Account;
use super::totals::{Sum, Totals};

/// How an account stands at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Money that came in and has not gone back, in minor units.
    pub balance_minor: i128,
    /// Of it, payments of which it is not decided yet what becomes of them.
    pub undecided: Sum,
    /// Of it, refunds that are due and not finished.
    pub refunds_open: Sum,
}

impl Standing {
    /// How an account stands after everything that ever happened to it.
    pub const fn after(all: &Totals) -> Self {
        let decided = all.paid().plus(all.late_to_refund).plus(all.unmatched);
        Self {
            balance_minor: all.received.minor - all.refunded.minor,
            undecided: all.received.minus(decided),
            refunds_open: all.to_refund().minus(all.refunded),
        }
    }

    /// What is not settled: payments without an outcome, refunds that are due.
    pub const fn pending(&self) -> Sum {
        self.undecided.plus(self.refunds_open)
    }
}

/// An account's day. `opening.balance + received − refunded = closing.balance`, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStatement {
    /// Which account.
    pub account: Account,
    /// How it stood when the day began: as the day before closed.
    pub opening: Standing,
    /// What happened on the day.
    pub day: Totals,
    /// How it stood when the day ended.
    pub closing: Standing,
}

impl AccountStatement {
    /// The day between two states of an account.
    pub fn between(account: Account, before: &Totals, after: &Totals) -> Self {
        Self {
            account,
            opening: Standing::after(before),
            day: after.since(*before),
            closing: Standing::after(after),
        }
    }
}

/// A day's statement: every account that had ever moved by its end, by channel and merchant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The day.
    pub day: Day,
    /// By which offset it begins and ends.
    pub offset: UtcOffset,
    /// Its first instant, in ms since the Unix epoch.
    pub from_ms: u64,
    /// The first instant behind it, in ms since the Unix epoch.
    pub until_ms: u64,
    /// The accounts, ascending.
    pub accounts: Vec<AccountStatement>,
}

impl Statement {
    /// All accounts together: opening and closing standings, and the day.
    pub fn sum(&self) -> (Standing, Totals, Standing) {
        let mut sum = (Standing::default(), Totals::default(), Standing::default());
        for account in &self.accounts {
            sum.0 = sum.0.plus(account.opening);
            sum.1 = sum.1.plus(account.day);
            sum.2 = sum.2.plus(account.closing);
        }
        sum
    }
}

impl Standing {
    const fn plus(self, other: Self) -> Self {
        Self {
            balance_minor: self.balance_minor + other.balance_minor,
            undecided: self.undecided.plus(other.undecided),
            refunds_open: self.refunds_open.plus(other.refunds_open),
        }
    }
}
