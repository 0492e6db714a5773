//! The data directory: one owner at a time, a format that is checked before anything is touched, and a ballast that
//! can be deleted when the disk is full.
//!
//! A directory gets its `FORMAT` file last, when everything else in it is durable. Without one it is either fresh, or
//! its creation was interrupted and is begun again, or it belongs to somebody else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation};

use super::JournalError;

/// The names inside a data directory.
pub mod layout {
    /// Names the format of the directory.
    pub const FORMAT_FILE: &str = "FORMAT";
    /// Locked by the process that has the directory open.
    pub const LOCK_FILE: &str = "LOCK";
    /// The journal's database.
    pub const JOURNAL_DIR: &str = "journal";
    /// The checkpoint's database.
    pub const STORE_DIR: &str = "store";
    /// Cold files: closed orders of long ago.
    pub const ARCHIVE_DIR: &str = "archive";
    /// The search index.
    pub const SEARCH_DIR: &str = "search";
    /// Which positions must be found again.
    pub const MARK_FILE: &str = "mark";
    /// Takes up space that can be freed in need.
    pub const BALLAST_FILE: &str = "ballast";
    /// The format that this release writes, and the newest that it reads.
    pub const DATA_FORMAT: u32 = 1;
    /// What `FORMAT` begins with; the number follows.
    pub const FORMAT_PREFIX: &str = "stockade data format ";
    /// `FORMAT` while it is being written.
    pub(super) const FORMAT_FILE_NEW: &str = "FORMAT.new";
}

/// Everything that may be in a directory whose creation was interrupted; `lost+found` is a mount point's own.
const OWN_NAMES: [&str; 10] = [
    layout::FORMAT_FILE,
    layout::FORMAT_FILE_NEW,
    layout::LOCK_FILE,
    layout::JOURNAL_DIR,
    layout::STORE_DIR,
    layout::ARCHIVE_DIR,
    layout::SEARCH_DIR,
    layout::MARK_FILE,
    layout::BALLAST_FILE,
    "lost+found",
];

/// A data directory that this process owns for as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    fresh: bool,
    /// The lock goes with the descriptor.
    _lock: File,
}

impl DataDir {
    /// Creates the directory where there is none, checks its format and locks it.
    ///
    /// # Errors
    /// [`JournalError::NotADataDir`], [`JournalError::NewerFormat`], [`JournalError::InUse`], each before anything
    /// was changed; otherwise what the file system answers.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let created = !path.exists();
        if created {
            fs::create_dir_all(path).map_err(|error| JournalError::io("create", path, error))?;
            sync_dir(
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
            )?;
        }
        check_format(path)?;
        let lock_path = path.join(layout::LOCK_FILE);
        let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|error| JournalError::io("create", &lock_path, error))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            if error == rustix::io::Errno::WOULDBLOCK {
                JournalError::InUse { path: path.to_path_buf() }
            } else {
                JournalError::io("lock", &lock_path, error.into())
            }
        })?;
        // Another process may have finished its creation meanwhile.
        let fresh = !check_format(path)?;
        Ok(Self { path: path.to_path_buf(), fresh, _lock: lock })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it, by one of the names of [`layout`].
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the directory has no format yet: its creation has to be finished.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Makes what the directory holds durable, and then gives it its format.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn finish_creation(&mut self) -> Result<(), JournalError> {
        sync_dir(&self.path)?;
        let (new, path) = (self.join(layout::FORMAT_FILE_NEW), self.join(layout::FORMAT_FILE));
        let write = |file: &mut File| {
            writeln!(file, "{}{}", layout::FORMAT_PREFIX, layout::DATA_FORMAT)?;
            file.sync_all()
        };
        File::create(&new)
            .and_then(|mut file| write(&mut file))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| JournalError::io("write", &path, error))?;
        sync_dir(&self.path)?;
        self.fresh = false;
        Ok(())
    }

    /// Makes sure that the ballast takes up `bytes`. Returns how many it takes up.
    ///
    /// In a fresh directory it must succeed. Later a missing ballast means that somebody needed the space: it comes
    /// back only once four times as much is free.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn ensure_ballast(&self, bytes: u64) -> Result<u64, JournalError> {
        let path = self.join(layout::BALLAST_FILE);
        let existing = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if bytes == 0 || existing >= bytes {
            return Ok(existing);
        }
        if !self.fresh && self.free_bytes()? < bytes.saturating_mul(4) {
            tracing::warn!(path = %path.display(), "too little space is free to bring the ballast back");
            return Ok(existing);
        }
        let file = File::create(&path).map_err(|error| JournalError::io("create", &path, error))?;
        preallocate(&file, bytes)
            .and_then(|()| file.sync_all())
            .map_err(|error| JournalError::io("preallocate", &path, error))?;
        sync_dir(&self.path)?;
        Ok(bytes)
    }

    /// Space on this file system that an ordinary user may still take, in bytes.
    ///
    /// # Errors
    /// What the file system answers.
    pub fn free_bytes(&self) -> Result<u64, JournalError> {
        let stat = rustix::fs::statvfs(&self.path)
            .map_err(|error| JournalError::io("ask the free space of", &self.path, error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Whether the directory has a format that this release reads (`true`) or none yet (`false`).
fn check_format(dir: &Path) -> Result<bool, JournalError> {
    let not_ours = |why: String| JournalError::NotADataDir { path: dir.to_path_buf(), why };
    let path = dir.join(layout::FORMAT_FILE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for entry in fs::read_dir(dir).map_err(|error| JournalError::io("list", dir, error))? {
                let name = entry.map_err(|error| JournalError::io("list", dir, error))?.file_name();
                if !OWN_NAMES.iter().any(|own| name == *own) {
                    return Err(not_ours(format!("it has no FORMAT file, but {}", name.display())));
                }
            }
            return Ok(false);
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(not_ours("it is a file".to_owned()));
        }
        Err(error) => return Err(JournalError::io("read", &path, error)),
    };
    let found = str::from_utf8(&text)
        .ok()
        .and_then(|text| text.trim_end().strip_prefix(layout::FORMAT_PREFIX))
        .and_then(|number| number.parse::<u32>().ok())
        .filter(|format| *format > 0)
        .ok_or_else(|| {
            not_ours(format!(
                "its FORMAT file doesn't read `{}` and a number",
                layout::FORMAT_PREFIX.trim_end()
            ))
        })?;
    if found > layout::DATA_FORMAT {
        return Err(JournalError::NewerFormat {
            path: dir.to_path_buf(),
            found,
            supported: layout::DATA_FORMAT,
        });
    }
    Ok(true)
}

/// Makes the entries of a folder survive a power cut.
pub(crate) fn sync_dir(path: &Path) -> Result<(), JournalError> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| JournalError::io("fsync the folder", path, error))
}

/// Makes all files in a folder and in the folders below it survive a power cut, and their names too.
pub(crate) fn sync_tree(path: &Path) -> Result<(), JournalError> {
    let listed = fs::read_dir(path).map_err(|error| JournalError::io("list", path, error))?;
    for entry in listed {
        let entry = entry.map_err(|error| JournalError::io("list", path, error))?;
        let (path, kind) = (entry.path(), entry.file_type());
        if kind.map_err(|error| JournalError::io("list", &path, error))?.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|error| JournalError::io("fsync", &path, error))?;
        }
    }
    sync_dir(path)
}

/// Gives a new file blocks of its own.
fn preallocate(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            // File systems without preallocation get the bytes themselves.
            io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut &*file).map(|_| ())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.tex"), "x").unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert!(matches!(&error, JournalError::NotADataDir { .. }), "{error}");
        assert!(error.to_string().contains("thesis.tex"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing may be left behind");
    }

    #[test]
    fn formats_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let format = dir.path().join(layout::FORMAT_FILE);
        for garbage in ["", "stockade", "stockade data format x", "stockade data format 0", "\u{fffd}"] {
            fs::write(&format, garbage).unwrap();
            let error = DataDir::open(dir.path()).unwrap_err();
            assert!(matches!(&error, JournalError::NotADataDir { .. }), "{garbage:?}: {error}");
        }
        fs::write(&format, "stockade data format 2\n").unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, JournalError::NewerFormat { found: 2, supported: 1, .. }), "{error}");
        assert!(!dir.path().join(layout::LOCK_FILE).exists());
        fs::write(&format, "stockade data format 1\n").unwrap();
        assert!(!DataDir::open(dir.path()).unwrap().is_fresh());
    }

    #[test]
    fn only_one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let mut owned = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(JournalError::InUse { .. })));
        assert!(owned.is_fresh());
        owned.finish_creation().unwrap();
        drop(owned);
        assert!(!DataDir::open(&path).unwrap().is_fresh());
    }

    #[test]
    fn the_ballast_takes_up_real_space_and_can_be_given_away() {
        let dir = tempfile::tempdir().unwrap();
        let owned = DataDir::open(dir.path()).unwrap();
        assert_eq!(owned.ensure_ballast(1 << 20).unwrap(), 1 << 20);
        let metadata = fs::metadata(owned.join(layout::BALLAST_FILE)).unwrap();
        assert_eq!(metadata.len(), 1 << 20);
        assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) * 512 >= 1 << 20);
        fs::remove_file(owned.join(layout::BALLAST_FILE)).unwrap();
        assert_eq!(owned.ensure_ballast(0).unwrap(), 0);
    }
}
