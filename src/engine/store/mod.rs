//! The store in the running engine: who writes it, who reads it, and what is known of it.
//!
//! ```text
//! journal ── durable frames ──▶ projector ── Gather ──▶ order actors
//!                                   └ commit, publish the position, trim the journal behind it
//! order actors ── Load ──▶ readers ── Loaded ──▶ order actors
//! ```

mod board;
mod projector;
mod readers;
mod warm;

pub(super) use board::StoreBoard;
pub(super) use projector::{Projector, ProjectorWorld};
pub(super) use readers::{Readers, ReadersWorld};
pub(super) use warm::warm;
