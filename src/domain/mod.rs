//! The pure domain: ids, money, catalogue, stock, orders, events, rejects.
//!
//! Nothing here knows tokio, ractor, sled, a clock, randomness or I/O; a test checks it. Commands are decided by pure
//! functions of state, command and time; events are applied by functions that can't fail.

pub mod activity;
pub mod calendar;
pub mod catalogue;
pub mod coupon;
pub mod event;
pub mod hash;
pub mod ids;
pub mod import;
pub mod instant;
pub mod money;
pub mod operator;
pub mod order;
pub mod order_type;
pub mod payment;
pub mod pricing;
pub mod refund;
pub mod reject;
pub mod request;
pub mod search;
pub mod setting;
pub mod statement;
pub mod stock;
pub(crate) mod stock_delta;
pub mod task;
pub mod team;
pub(crate) mod text;
pub(crate) mod whole;

#[cfg(test)]
mod tests;
