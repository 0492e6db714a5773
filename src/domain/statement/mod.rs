//! Statements: what a shop's finance department closes a day with, and compares with a payment provider's bill.
//!
//! Everything is derived from events alone, in two steps. The [`Ledger`] makes [`Movement`]s of them: money came in, it
//! paid an order, it has to go back, it has gone back. [`Totals`] add movements up, account by account, where an account
//! is a channel and a merchant. A [`Statement`] is the difference between the totals at a day's end and at its begin, so
//! the days are chained: what one closes with, the next opens with.
//!
//! **Which day a movement belongs to** is said by its *booking time*: the latest time of any event up to it in the
//! journal. Actors append side by side, so an event may stand a few milliseconds behind one that is later; booked by its
//! own time it could still come into a day that is closed. Booking times never decrease along the journal: once an event
//! with a time behind the day's end is there, nothing more can come into the day, and its statement never changes.
//!
//! Nothing here reads a store or a file.

mod day;
mod ledger;
mod movement;
mod reconcile;
mod report;
mod totals;

pub use day::{Day, ParseDayError, UtcOffset};
pub use ledger::{Booking, Due, Ledger, PaymentReceipt, Recall};
pub use movement::{Account, Movement, MovementKind};
pub use reconcile::{BillEntry, BillKind, Difference, Reconciler, Reconciliation};
pub use report::{AccountStatement, Standing, Statement};
pub use totals::{Sum, Totals};
