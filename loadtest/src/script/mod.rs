//! Scenarios from files: [`mod@file`] says what, [`plan`] who, [`sale`] is the shop, [`buyer`] and [`worker`] act, [`book`]
//! keeps what they were told, [`check`] and [`journal`] hold engine and journal to it.

pub(crate) mod book;
pub(crate) mod buyer;
pub(crate) mod check;
pub(crate) mod file;
pub(crate) mod journal;
pub(crate) mod plan;
pub(crate) mod sale;
pub(crate) mod worker;
