//! What can go wrong with the tables. Nothing here is retried: after a failed write the writer stops (R13).

use std::io;
use std::path::{Path, PathBuf};

use crate::journal::JournalError;

/// An operational error of the table store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum StoreError {
    /// The file system refused an operation.
    #[error("can't {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The disk, or the quota, is full.
    #[error(
        "can't {doing} {}: no space left; free some, or delete the file `ballast` in the data directory, then restart",
        path.display()
    )]
    DiskFull {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
    },
    /// The embedded database refused an operation.
    #[error("the table store can't {doing}: {source}")]
    Store {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The database's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process, or another store of this one, has the files open.
    #[error("the table store {} is in use by another process; stop that one first", path.display())]
    InUse {
        /// The store's folder.
        path: PathBuf,
    },
    /// Something that must be there is missing or changed.
    #[error("the table store is damaged: {what}; keep a copy of it, then restore a backup or rebuild it")]
    Damaged {
        /// What is missing or wrong, with its table and run.
        what: String,
    },
    /// A newer release wrote this.
    #[error(
        "{what} has format {version}, this release reads formats up to {supported}; use the release that wrote it"
    )]
    UnknownFormat {
        /// Which part of the store.
        what: String,
        /// Its format version.
        version: u8,
        /// The newest format that this release reads.
        supported: u8,
    },
    /// A copy needs an empty target.
    #[error("the target of the copy is not empty; name an empty one")]
    NotEmpty,
    /// The database panicked; most often because its files are damaged.
    #[error(
        "panicked in order to {doing}: {message}; if it happens again on restart, treat the table store as damaged"
    )]
    Panicked {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The panic's message.
        message: String,
    },
    /// An earlier write failed.
    #[error("the table store accepts no more writes, because an earlier one failed; restart to recover")]
    Stopped,
}

impl StoreError {
    /// A file system error, told apart from a full disk.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        JournalError::io(doing, path, source).into()
    }

    /// Damage, described by a clause without a full stop.
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

impl From<JournalError> for StoreError {
    /// For what the journal's helpers for files and panics return.
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Io { doing, path, source } => Self::Io { doing, path, source },
            JournalError::DiskFull { doing, path } => Self::DiskFull { doing, path },
            JournalError::Panicked { doing, message } => Self::Panicked { doing, message },
            JournalError::InUse { path } => Self::InUse { path },
            error @ JournalError::Damaged { .. } => Self::damaged(error.to_string()),
            other => Self::Store { doing: "use its files", source: Box::new(other) },
        }
    }
}
