//! What actors run on: the batched inbox, in-flight credits, the clock, shared filters, the shutdown gate.
//!
//! Nothing here knows an order, a stock key or the journal. These are the only types that several threads change at
//! once; everything above them has one owner.

pub mod clock;
pub mod credits;
pub mod doorbell;
pub mod filter;
pub mod histogram;
pub mod inbox;
pub mod recent;
pub mod shutdown;
mod sync;
