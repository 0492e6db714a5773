//! The index against orders that were made up.
