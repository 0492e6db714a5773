//! What is kept on disk beside the journal, derived from it and behind it.
//!
//! [`levels`] is the table store that projections write to. It knows nothing of orders: which records there are, and
//! which of them belong to one position of the journal, is up to its user.

// Its user, the store projection, is not wired in yet.
#![allow(dead_code, unused_imports)]

pub(crate) mod levels;
