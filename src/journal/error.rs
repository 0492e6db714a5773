//! What can go wrong with the journal, apart from business rejects (there are none here) and bugs (assertions).
//!
//! Nothing in this module retries. A failed write, flush or sync poisons the writer (R13); a failed open leaves the
//! directory as it was.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::ids::Position;

/// An operational error of the journal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system refused an operation.
    #[error("can't {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb: `open`, `fsync`.
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
    #[error("the journal's database can't {doing}: {source}")]
    Store {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The database's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process, or another journal of this one, has the data directory open.
    #[error("the data directory {} is in use by another process; stop that one first", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
    /// A newer release wrote the data directory.
    #[error(
        "the data directory {} has format {found}, written by stockade {written_by}; this release reads formats up to \
         {supported}: use that release or a newer one",
        path.display()
    )]
    NewerFormat {
        /// The data directory.
        path: PathBuf,
        /// The format that its `FORMAT` file names.
        found: u32,
        /// The newest format that this release knows.
        supported: u32,
        /// The version of the release that wrote it, or that it is not known.
        written_by: String,
    },
    /// The directory holds a backup that was not finished. Nothing was touched.
    #[error(
        "{} holds an interrupted backup, which is not complete: use another one, or remove it and back up again",
        path.display()
    )]
    InterruptedBackup {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds something else, and nothing of it was touched.
    #[error("{} is not a stockade data directory: {why}; name an empty or a new directory", path.display())]
    NotADataDir {
        /// The directory.
        path: PathBuf,
        /// What gave it away.
        why: String,
    },
    /// Something that must be there is missing or changed; starting would lose acknowledged orders.
    #[error(
        "the journal is damaged: {what}; keep a copy of the data directory, then restore a backup or a replica, \
         because starting from what is left would lose acknowledged orders"
    )]
    Damaged {
        /// What is missing or wrong, with its positions.
        what: String,
    },
    /// The frames that hold a position were removed, because every projection was past it.
    #[error(
        "position {asked} was trimmed, the journal starts at {first}; begin there and rebuild what is before it"
    )]
    PositionTrimmed {
        /// The position asked for.
        asked: Position,
        /// The first position that can be read.
        first: Position,
    },
    /// A newer release encoded the events of a frame.
    #[error(
        "the frame at position {position} has codec version {version}, this release decodes versions up to {supported}; \
         use the release that wrote it"
    )]
    UnknownCodec {
        /// The first position of the frame.
        position: Position,
        /// Its codec version.
        version: u8,
        /// The newest version that this release decodes.
        supported: u8,
    },
    /// A newer release laid out the frame.
    #[error(
        "the frame at position {position} has frame format {version}, this release reads formats up to {supported}; \
         use the release that wrote it"
    )]
    UnknownFrameFormat {
        /// The position under which the frame is stored.
        position: Position,
        /// Its format version.
        version: u8,
        /// The newest format that this release reads.
        supported: u8,
    },
    /// The code below panicked; most often because its files are damaged.
    #[error(
        "panicked in order to {doing}: {message}; if it happens again on restart, treat the journal as damaged"
    )]
    Panicked {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The panic's message.
        message: String,
    },
    /// An earlier failure stopped the journal.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

impl JournalError {
    /// Whether the same call may simply be made again.
    ///
    /// Only of a directory in use: everything else needs a person, other code or a restart, and no error of a write
    /// is ever retried (R13).
    pub fn is_retry_safe(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }

    /// A file system error, told apart from a full disk.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { doing, path: path.to_path_buf() }
            }
            _ => Self::Io { doing, path: path.to_path_buf(), source },
        }
    }

    /// Damage, described by a clause without a full stop.
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    /// Turns what a caught panic carried into an error.
    pub(crate) fn panicked(doing: &'static str, payload: &(dyn std::any::Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        Self::Panicked { doing, message }
    }
}

/// The journal accepts nothing any more: a write, flush or sync failed, its thread panicked, or it was closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal accepts no more writes: {reason}; restart to recover")]
pub struct Poisoned {
    /// What happened first.
    pub reason: Arc<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = JournalError::io("write", Path::new("db"), io::ErrorKind::StorageFull.into());
        assert!(matches!(full, JournalError::DiskFull { .. }), "{full}");
        let other = JournalError::io("write", Path::new("db"), io::ErrorKind::PermissionDenied.into());
        assert!(matches!(other, JournalError::Io { .. }), "{other}");
    }

    #[test]
    fn only_a_directory_in_use_is_worth_a_retry() {
        assert!(JournalError::InUse { path: "data".into() }.is_retry_safe());
        assert!(!JournalError::damaged("a frame is missing").is_retry_safe());
    }
}
