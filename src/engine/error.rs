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
    /// The store can't be opened or read.
    #[error("the store: {0}: restore a backup, or run `stockade verify` to see what is damaged")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Positions between store and journal are missing.
    #[error(
        "the store ends at position {stored} and the journal begins at position {first}: what is between them is gone, so \
         the state can't be rebuilt; restore a backup"
    )]
    Gap {
        /// The store's last position, 0 where there is no store.
        stored: Position,
        /// The journal's first position.
        first: Position,
    },
    /// The store knows positions that the journal does not have.
    #[error(
        "the store ends at position {stored}, but the journal already at position {last}: they don't belong together, or \
         the journal has lost its end; restore a backup"
    )]
    StoreAhead {
        /// The store's last position.
        stored: Position,
        /// The journal's last position.
        last: Position,
    },
    /// The store is switched off, but the journal does not begin with the first event.
    #[error("the store can't be switched off: the journal was trimmed up to position {first}")]
    StoreNeeded {
        /// The journal's first position.
        first: Position,
    },
    /// A subscription of the relay's configuration can't be.
    #[cfg(feature = "relay")]
    #[error("the relay's subscription {0}")]
    Relay(crate::relay::RelayError),
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
