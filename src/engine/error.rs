//! Operational errors of the engine: what stops it from opening or closing.

use super::config::ConfigError;
use crate::actors::order::replay::ReplayError;
use crate::domain::ids::{Position, StockKey};
use crate::journal::JournalError;

/// Why an engine did not open. Nothing was changed, except that a fresh data directory may have been laid out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting outside its bounds.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The journal can't be opened or read.
    #[error(transparent)]
    Journal(JournalError),
    /// The journal holds events that don't follow from each other.
    #[error("{0}: keep the data directory as it is and run `stockade verify` on it")]
    Replay(ReplayError),
    /// The events of a stock key add up to a negative count.
    #[error(
        "the events of stock {key} add up to a negative count: run `stockade verify` on the data directory"
    )]
    Unbalanced {
        /// The key.
        key: StockKey,
    },
    /// The journal's beginning is gone, and there is no checkpoint that holds what it said.
    #[error(
        "the journal begins at position {first}: what came before it is gone, so its state can't be rebuilt"
    )]
    Trimmed {
        /// Its first position.
        first: Position,
    },
    /// An actor did not start.
    #[error("an actor did not start: {0}")]
    Actor(String),
    /// Opening ran outside a tokio runtime, or its blocking pool is shut down.
    #[error("the tokio runtime is shutting down")]
    Runtime,
}

/// Why a shutdown was not orderly. What was acknowledged is durable all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShutdownError {
    /// The engine was poisoned before; a restart recovers.
    #[error("the engine was poisoned: {reason}")]
    Poisoned {
        /// Why.
        reason: String,
    },
    /// The journal could not be closed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
