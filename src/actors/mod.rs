//! The actors: who owns what, and in which order things happen.
//!
//! Each actor is a plain struct with `on_batch`: it drains items, decides with the domain's pure functions, and
//! leaves what is to be done in its effects. It does no I/O, awaits nothing and reads no clock. The *shell* around
//! it is the ractor actor: woken by its inbox's doorbell it drains, calls the struct, hands the entries to the
//! journal, and only then performs the effects (R5).
//!
//! No business rule lives here; they are the domain's.

pub(crate) mod activity;
pub(crate) mod delay;
pub(crate) mod external;
pub(crate) mod numbers;
pub(crate) mod order;
pub(crate) mod promise;
pub(crate) mod register;
pub(crate) mod reply;
pub(crate) mod stock;
pub(crate) mod supervisor;
pub(crate) mod team;

#[cfg(test)]
mod simulation;
