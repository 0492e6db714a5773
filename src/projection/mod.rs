//! What is kept on disk beside the journal, derived from it and behind it.
//!
//! [`levels`] keeps tables; it knows nothing of orders. [`store`] is the checkpoint: which records there are, and which of
//! them belong to one position of the journal. [`search`] is the index that orders are searched in.

pub(crate) mod levels;
pub(crate) mod search;
pub(crate) mod store;
