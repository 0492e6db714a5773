//! The copy that is audited: opening a database writes to it, and the original must stay as it is.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::{Progress, VerifyError, VerifyOptions};
use crate::journal::layout;

/// How often, and how long apart, a lock is tried again that a closing database may still hold.
const LOCK_RETRIES_MAX: u32 = 200;
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// All files below a directory.
fn files_below(dir: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| VerifyError::Read { path, source }
    };
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).map_err(read(&dir))? {
            let path = entry.map_err(read(&dir))?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.is_file() {
                // A socket that a killed engine left is nothing to copy.
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// A copy of a data directory that is removed on drop.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Copies all files but the ballast.
    pub(super) fn copy_of(data_dir: &Path, options: &mut VerifyOptions<'_>) -> Result<Self, VerifyError> {
        let canonical = data_dir
            .canonicalize()
            .map_err(|source| VerifyError::Read { path: data_dir.to_owned(), source })?;
        // The parent is on the data directory's file system unless that is a mount point, and it is outside the
        // copied tree.
        let parent = match &options.scratch {
            Some(dir) => dir.clone(),
            None => canonical.parent().unwrap_or(&canonical).to_owned(),
        };
        // Locked all at once and until the copy is complete: a journal is consistent over its files only.
        let mut locked = Vec::new();
        for path in files_below(&canonical)? {
            locked.push((lock_shared(&path, data_dir, || thread::sleep(LOCK_RETRY))?, path));
        }
        // Nothing is in it.
        locked.retain(|(_, path)| path.file_name().is_none_or(|name| name != layout::BALLAST_FILE));
        let scratch = Self::create(&parent)?;
        let mut bytes = 0;
        for (_, path) in &locked {
            let relative = path.strip_prefix(&canonical).unwrap_or(path);
            let target = scratch.0.join(relative);
            let failed = |source| VerifyError::Scratch { path: target.clone(), source };
            if let Some(dir) = target.parent() {
                fs::create_dir_all(dir).map_err(failed)?;
            }
            bytes += fs::copy(path, &target).map_err(failed)?;
            options.report(Progress::Copied { bytes });
        }
        Ok(scratch)
    }

    /// A fresh directory with a name that nobody else picks.
    fn create(parent: &Path) -> Result<Self, VerifyError> {
        let random = RandomState::new().hash_one(std::process::id());
        let path = parent.join(format!(".stockade-verify-{random:016x}"));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(source) => Err(VerifyError::Scratch { path, source }),
        }
    }

    /// Where it is.
    pub(super) fn dir(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "can't remove the copy");
        }
    }
}

/// Opens a file with a shared lock, which fails while an engine has it locked for itself. Calls `wait` before each
/// further try.
///
/// The background threads of a database that was closed in this process hold its lock for a moment more; a running
/// engine holds the directory's own lock too, and that is not tried twice.
pub(super) fn lock_shared(path: &Path, data_dir: &Path, mut wait: impl FnMut()) -> Result<File, VerifyError> {
    let read = |source| VerifyError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let is_engines = path.file_name().is_some_and(|name| name == layout::LOCK_FILE);
    let mut tries_left = if is_engines { 0 } else { LOCK_RETRIES_MAX };
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if tries_left > 0 => {
                tries_left -= 1;
                wait();
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(VerifyError::InUse { dir: data_dir.to_owned() });
            }
            Err(error) => return Err(read(error.into())),
        }
    }
}
