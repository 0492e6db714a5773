//! What can go wrong with a command to the relay.

use crate::domain::ids::Position;

/// Why the relay refuses a command. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The engine is closed, and its relay with it.
    #[error("the relay is closed")]
    Off,
    /// The subscription does not run: it is paused, suspended, or has failed.
    #[error("subscription {name} does not run: {reason}")]
    Stopped {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
    /// There is no subscription of that name.
    #[error("there is no subscription {name}")]
    NotFound {
        /// The name.
        name: String,
    },
    /// There is a subscription of that name already, with other settings.
    #[error("there is a subscription {name} already, with other settings")]
    Exists {
        /// The name.
        name: String,
    },
    /// It comes from the configuration file, and is changed there.
    #[error("subscription {name} comes from the configuration, and is changed there")]
    Configured {
        /// The name.
        name: String,
    },
    /// A setting that can't be.
    #[error("{field}: {reason}")]
    Invalid {
        /// Which setting.
        field: String,
        /// Why.
        reason: String,
    },
    /// There are as many subscriptions as there may be.
    #[error("there are {max} subscriptions already")]
    TooMany {
        /// How many there may be.
        max: usize,
    },
    /// The journal no longer has that position.
    #[error("position {asked} is gone: the journal begins at {first}")]
    Trimmed {
        /// What was asked for.
        asked: Position,
        /// The first position that can be had.
        first: Position,
    },
    /// The position is not written yet.
    #[error("position {asked} is not written yet: the journal ends at {last}")]
    Ahead {
        /// What was asked for.
        asked: Position,
        /// The last durable position.
        last: Position,
    },
    /// Only a subscription that is pulled can be polled and acknowledged.
    #[error("subscription {name} has a sink of its own: it can't be polled")]
    NotPulled {
        /// The name.
        name: String,
    },
    /// Somebody else polls it at this moment.
    #[error("subscription {name} is being polled already")]
    Busy {
        /// The name.
        name: String,
    },
    /// There is no such dead letter.
    #[error("there is no dead letter at position {position}")]
    NoDeadLetter {
        /// The position.
        position: Position,
    },
    /// What the relay keeps can't be written. It has stopped; orders go on.
    #[error("the relay's storage: {0}")]
    Storage(String),
}
