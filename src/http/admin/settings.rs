//! What the configuration says about the back office.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// Exports that run at a time. Each reads the store page by page and holds a page or two.
pub const EXPORTS_MAX: usize = 2;

/// Settings and bounds of the back office.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// The directory that backups are made in; without one, none are made over HTTP.
    pub backup_root: Option<PathBuf>,
    /// Room for exports.
    pub(crate) exports: Arc<Semaphore>,
}

impl AdminSettings {
    /// With backups below a directory.
    #[must_use]
    pub fn backup_root(mut self, root: impl Into<PathBuf>) -> Self {
        self.backup_root = Some(root.into());
        self
    }
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { backup_root: None, exports: Arc::new(Semaphore::new(EXPORTS_MAX)) }
    }
}
