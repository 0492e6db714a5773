//! Why a data directory can't be audited, in the audit's words.

use std::io;
use std::path::PathBuf;

use crate::journal::JournalError;
use crate::projection::store::StoreError;

/// Why a data directory can't be audited. None of these says anything about the rules.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// No such directory.
    #[error("there is no data directory at {dir}: check the path", dir = .dir.display())]
    Missing {
        /// The path that was given.
        dir: PathBuf,
    },
    /// A directory without a journal in it.
    #[error("{dir} holds no journal: is it a data directory?", dir = .dir.display())]
    NoJournal {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process has the data directory open.
    #[error("{dir} is in use: stop the engine first, or verify a copy", dir = .dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Journal or store were written by a newer version.
    #[error("the data is of a newer release: {detail}; use the release that wrote it")]
    NewerFormat {
        /// What was found.
        detail: String,
    },
    /// The journal can't be read to its end.
    #[error("the journal is damaged: {detail}; restore the data directory from a backup")]
    Damaged {
        /// What was found.
        detail: String,
    },
    /// The store can't be read throughout.
    #[error("the store is damaged: {detail}; restore the data directory from a backup")]
    StoreDamaged {
        /// What was found.
        detail: String,
    },
    /// The directory holds a backup that was not finished.
    #[error("{dir} holds an interrupted backup, which is not complete: verify another one", dir = .dir.display())]
    InterruptedBackup {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory is somebody else's.
    #[error("{dir} is not a data directory: {why}", dir = .dir.display())]
    NotADataDir {
        /// The directory.
        dir: PathBuf,
        /// What gave it away.
        why: String,
    },
    /// Journal or store can't be opened, for a reason that is not their own: a full disk, missing permissions.
    #[error("the data can't be read: {detail}")]
    Unreadable {
        /// What happened.
        detail: String,
    },
    /// The operating system refused an operation on the data directory.
    #[error("can't read {path}", path = .path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The copy can't be made.
    #[error("can't copy the data to {path}: name another place, or verify in place", path = .path.display())]
    Scratch {
        /// Where the copy was to be.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What is read, and what the caller knows it by.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(super) dir: PathBuf,
    pub(super) data_dir: PathBuf,
}

impl Names {
    /// Says what the journal says, in the audit's words and about the caller's directory.
    pub(super) fn explain(&self, error: &JournalError) -> VerifyError {
        let dir = self.data_dir.clone();
        let told = |text: &str| self.told(text);
        match error {
            JournalError::InUse { .. } => VerifyError::InUse { dir },
            JournalError::NotADataDir { why, .. } => VerifyError::NotADataDir { dir, why: told(why) },
            JournalError::NewerFormat { found, supported, written_by, .. } => VerifyError::NewerFormat {
                detail: format!(
                    "data format {found}, written by stockade {written_by}; this release reads formats up to {supported}"
                ),
            },
            JournalError::InterruptedBackup { .. } => VerifyError::InterruptedBackup { dir },
            JournalError::UnknownCodec { .. } | JournalError::UnknownFrameFormat { .. } => {
                VerifyError::NewerFormat { detail: told(&error.to_string()) }
            }
            JournalError::Damaged { what } => VerifyError::Damaged { detail: told(what) },
            _ => VerifyError::Unreadable { detail: told(&error.to_string()) },
        }
    }

    /// The same for the store.
    pub(super) fn explain_store(&self, error: &StoreError) -> VerifyError {
        let detail = self.told(&error.to_string());
        match error {
            StoreError::InUse { .. } => VerifyError::InUse { dir: self.data_dir.clone() },
            StoreError::UnknownFormat { .. } => VerifyError::NewerFormat { detail },
            StoreError::Damaged { what } => VerifyError::StoreDamaged { detail: self.told(what) },
            StoreError::Panicked { .. } => VerifyError::StoreDamaged { detail },
            _ => VerifyError::Unreadable { detail },
        }
    }

    fn told(&self, text: &str) -> String {
        text.replace(&*self.dir.to_string_lossy(), &self.data_dir.to_string_lossy())
    }
}
