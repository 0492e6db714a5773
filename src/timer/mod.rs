//! Timers: a pure hierarchical timing wheel, one for each actor that has deadlines.
//!
//! An order actor arms a timer when an order is created, cancels it when the order is paid or cancelled, and
//! turns what [`Wheel::advance`] reports into `Close` commands to itself. A timer that fires changes nothing by
//! itself: the deadline is a fact of the order, and wheels are rebuilt from the open orders on recovery.
//!
//! The algorithm is scheme 7 of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), with
//! three additions:
//!
//! - Six levels of 2048 slots cover all 64 bits, so there is no overflow list and no deadline is too far away.
//!   A bitmap of occupied slots finds the next work without visiting empty slots: idle time is free.
//! - Work is bounded for each call: a wave of a million expiries and a cascade of ten million timers both proceed
//!   in steps, and stay correct under the arms and cancels in between.
//! - Timers lie in a slab that grows in pages, 24 bytes for a `u32` payload, linked by index; ids carry a
//!   generation, so a stale id can't hit a later timer.
//!
//! The module has no clock: the caller says what time it is. It knows no orders and no runtime.

mod slab;
#[cfg(test)]
mod tests;
mod wheel;

pub use slab::TimerId;
pub use wheel::{Progress, STEPS_PER_ADVANCE, Wheel, Work};
