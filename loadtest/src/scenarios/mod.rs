//! The scenarios, one module each.

pub(crate) mod crash;
pub(crate) mod crash_child;
mod crash_kills;
pub(crate) mod delay;
pub(crate) mod http;
pub(crate) mod import;
pub(crate) mod memory;
pub(crate) mod openloop;
mod outgoing;
pub(crate) mod recovery;
pub(crate) mod refusals;
pub(crate) mod relay;
pub(crate) mod restart;
pub(crate) mod restart_child;
pub(crate) mod run;
pub(crate) mod search;
pub(crate) mod seckill;
pub(crate) mod soak;
pub(crate) mod stall;
pub(crate) mod throughput;
pub(crate) mod wave;
