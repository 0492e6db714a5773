//! What is kept on disk beside the journal, derived from it and behind it.
//!
//! [`levels`] keeps tables; it knows nothing of orders. [`store`] is the checkpoint: which records there are, and which of
//! them belong to one position of the journal.

pub(crate) mod levels;
#[cfg(feature = "search")]
pub(crate) mod search;
pub(crate) mod store;
