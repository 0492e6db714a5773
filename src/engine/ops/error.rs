//! What can go wrong with operations on a data directory.

use std::io;
use std::path::PathBuf;

use crate::engine::{BackupError, OpenError, StatementError};

/// Why an operation on a data directory failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpsError {
    /// No such directory, or one without data.
    #[error("there is no data directory at {}: check the path", dir.display())]
    Missing {
        /// The path that was given.
        dir: PathBuf,
    },
    /// An engine, or another tool, has it open.
    #[error("{} is in use: back it up with `stockade backup`, and work on the backup", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// An engine has it open, and can't be asked.
    #[error("{} is in use, and whoever has it open can't be asked: {why}", dir.display())]
    NoSocket {
        /// The directory.
        dir: PathBuf,
        /// Why, and what to do about it.
        why: String,
    },
    /// The conversation with the running engine broke off.
    #[error("the engine on {} did not answer: {why}", dir.display())]
    NoAnswer {
        /// The directory.
        dir: PathBuf,
        /// What happened.
        why: String,
    },
    /// What the running engine answered.
    #[error("the engine on {} answers: {message}", dir.display())]
    Refused {
        /// The directory.
        dir: PathBuf,
        /// Its words.
        message: String,
    },
    /// The engine keeps its data in memory.
    #[error("the engine has no data directory")]
    InMemory,
    /// Store or journal can't be opened or read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No backup was made.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There is no statement of that day.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The search index was not built anew.
    #[error("the search index was not built: {0}")]
    Index(String),
    /// A bill can't be read.
    #[error("the bill: {0}")]
    Bill(String),
    /// What was read can't be written to where it was to go.
    #[error("can't write the output: {0}")]
    Output(#[source] io::Error),
    /// No thread could be started.
    #[error("the work did not end: {0}")]
    Failed(String),
}

impl OpsError {
    /// Whether the data could be read: then what failed lies with the target or the output.
    pub fn is_about_the_target(&self) -> bool {
        match self {
            Self::Output(_) | Self::Refused { .. } | Self::Index(_) => true,
            Self::Backup(error) => !matches!(error, BackupError::Source(_) | BackupError::Trimmed { .. }),
            _ => false,
        }
    }
}
