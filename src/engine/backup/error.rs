//! Why there is no backup.

use std::path::PathBuf;

use crate::domain::ids::Position;

/// Why there is no backup. The engine is not affected by any of these.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is something in the target already. Nothing was touched.
    #[error("can't back up to {}: {why}; name an empty or a new directory", path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
        /// What is in it.
        why: String,
    },
    /// The target lies in the data directory itself.
    #[error("can't back up to {}: it lies in the data directory; name one outside, best on another disk", path.display())]
    InsideDataDir {
        /// The target.
        path: PathBuf,
    },
    /// Another backup of this engine is being made.
    #[error("another backup is being made: wait until it has ended")]
    AlreadyRunning,
    /// There is no room for it, or too little would be left for the engine. What was copied is removed again.
    #[error(
        "there is too little space for the backup at {}: {free_bytes} bytes are free, {needed_bytes} are needed, and \
         {reserve_bytes} must stay free; make room, or name another disk",
        path.display()
    )]
    DiskFull {
        /// The target.
        path: PathBuf,
        /// What is free there.
        free_bytes: u64,
        /// What the next step, or the backup as far as its size is known, needs.
        needed_bytes: u64,
        /// What has to stay free.
        reserve_bytes: u64,
    },
    /// The beginning of the journal is gone, and no store stands for it.
    #[error(
        "there is nothing to back up from: the journal begins at position {first}, and there is no store behind it"
    )]
    Trimmed {
        /// The first position there is.
        first: Position,
    },
    /// Store or journal can't be read.
    #[error("can't read what is to be backed up: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The target can't be written.
    #[error("can't write the backup to {}: {source}", path.display())]
    Target {
        /// The target.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine was shut down, or dropped, meanwhile. The target holds an interrupted backup.
    #[error(
        "the engine was shut down before the backup was complete: remove what is there, and back it up again"
    )]
    Closed,
    /// Nobody wanted it any more. The target holds an interrupted backup.
    #[error("the backup was given up: remove what is there of it")]
    Cancelled,
    /// The copy panicked, or no thread could be started for it. The target may hold an interrupted backup.
    #[error("the backup did not end: {0}")]
    Failed(String),
}
