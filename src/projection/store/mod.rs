//! The store: the checkpoint of the journal, in a second database.
//!
//! ```text
//! durable frames ──▶ Checkpointer::take ── events: stock, catalogue, payments, members, external numbers
//!                          │ touched orders
//! order actors ── records ─▶ put_order, put_limit
//!                          └▶ commit: one atomic batch with the position, fdatasync
//! restart ◀── StoreReader::load_*        look-ups ◀── StoreReader
//! ```
//!
//! Open orders stand in a table of their own, so that a restart reads those and not all orders ever taken. The store
//! may hold an order as it is *after* the checkpoint's position: each record names its last event, and replay skips
//! what it includes. Closed orders, stock, payments and the catalogue are exactly those of the position.
//!
//! Closed orders of long ago move to cold files beside the database, where they are still found by number.

mod acts;
mod archive;
mod checkpoint;
mod cold_scan;
mod contents;
mod desk;
mod head;
mod ledger;
mod movements;
mod reader;
mod tables;
#[cfg(test)]
mod tampering;
mod tasks;

#[cfg(test)]
mod ledger_tests;
#[cfg(test)]
mod tests;

pub(crate) use archive::Archive;
pub(crate) use checkpoint::{Checkpointer, Taken};
pub(crate) use contents::{Contents, Record, Shelf};
pub(crate) use desk::{OrderWalk, WalkOrder};
pub(crate) use head::Head;
pub(crate) use reader::{StockEntry, StoreReader, scan_open};
#[cfg(test)]
pub(crate) use tampering::Tampering;
pub(crate) use tasks::{TaskRecord, TaskRest, TaskStand};

pub(crate) use super::levels::StoreError;
