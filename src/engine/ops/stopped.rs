//! A data directory that no engine has open, opened to be read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::OpsError;
use crate::engine::OpenError;
use crate::journal::{
    Journal, JournalError, JournalRead, OpenReport, SledJournal, SledJournalOptions, layout,
};
use crate::projection::levels::SledPages;
use crate::projection::store::{Archive, Checkpointer, StoreReader};

/// Memory for the cache of each database, in bytes.
const CACHE_BYTES: u64 = 32 << 20;

/// The directory, which nobody else opens as long as this lives.
pub(super) struct Stopped {
    pub(super) journal: Arc<dyn JournalRead>,
    pub(super) found: OpenReport,
    pub(super) store: Option<StoreReader>,
}

impl Stopped {
    /// Opens what is there and lays out nothing.
    ///
    /// # Errors
    /// [`OpsError::Missing`], [`OpsError::InUse`], [`OpsError::Open`].
    pub(super) fn open(dir: &Path) -> Result<Self, OpsError> {
        if !dir.is_dir() {
            return Err(OpsError::Missing { dir: dir.to_path_buf() });
        }
        if !dir.join(layout::FORMAT_FILE).exists() && !dir.join(layout::BACKUP_MARKER_FILE).exists() {
            // Opening would make one.
            let why = format!("it has no {} file", layout::FORMAT_FILE);
            let error = JournalError::NotADataDir { path: dir.to_path_buf(), why };
            return Err(OpenError::from(error).into());
        }
        let options = SledJournalOptions { ballast_bytes: 0, cache_bytes: CACHE_BYTES };
        let (journal, found) = SledJournal::open(dir, options).map_err(|error| match error {
            JournalError::InUse { path } => OpsError::InUse { dir: path },
            error => OpenError::from(error).into(),
        })?;
        let store_dir: PathBuf = dir.join(layout::STORE_DIR);
        let open_store = || {
            let pages = SledPages::open(&store_dir, CACHE_BYTES)?;
            let archive = Archive::open(&dir.join(layout::ARCHIVE_DIR))?;
            Checkpointer::open(Box::new(pages), Some(Arc::new(archive))).map(|store| store.reader())
        };
        let store = store_dir.is_dir().then(open_store).transpose().map_err(OpenError::from)?;
        Ok(Self { journal: journal.reader(), found, store })
    }
}
