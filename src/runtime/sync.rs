//! The atomics that the doorbell is built on. The model checker's test compiles the doorbell a second time,
//! beside a module of this name that gives it the checker's atomics.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};
