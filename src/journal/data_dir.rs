//! The data directory: one owner at a time, a format that is checked before anything is touched, and a ballast that
//! can be deleted when the disk is full.
//!
//! A directory gets its `FORMAT` file last, when everything else in it is durable. Without one it is either fresh, or
//! its creation was interrupted and is begun again, or it belongs to somebody else. A backup has a marker from its
//! beginning until it is complete, so that an interrupted one is known as such.
//!
//! | format | what is new in it |
//! |---|---|
//! | 1 | the journal alone, from its first event |
//! | 2 | `store/`, and a journal that may begin behind it |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

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
    /// The relay's subscriptions, cursors and dead letters.
    pub const RELAY_DIR: &str = "relay";
    /// Which positions must be found again.
    pub const MARK_FILE: &str = "mark";
    /// Takes up space that can be freed in need.
    pub const BALLAST_FILE: &str = "ballast";
    /// Names the release that wrote `FORMAT`, for messages.
    pub const WRITTEN_BY_FILE: &str = "WRITTEN_BY";
    /// In a backup from its beginning until it is complete.
    pub const BACKUP_MARKER_FILE: &str = "BACKUP-INCOMPLETE";
    /// The socket of a running engine, where it has one.
    pub const CONTROL_SOCKET: &str = "control";
    /// The format that this release writes, and the newest that it reads.
    pub const DATA_FORMAT: u32 = 2;
    /// What `FORMAT` begins with; the number follows.
    pub const FORMAT_PREFIX: &str = "stockade data format ";
    /// What `WRITTEN_BY` begins with; the version follows.
    pub(super) const WRITTEN_BY_PREFIX: &str = "stockade ";
    /// `FORMAT` while it is being written.
    pub(super) const FORMAT_FILE_NEW: &str = "FORMAT.new";
    /// `WRITTEN_BY` while it is being written.
    pub(super) const WRITTEN_BY_FILE_NEW: &str = "WRITTEN_BY.new";
}

/// Attempts to lock a directory, and how long lies between them.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_RETRY: Duration = Duration::from_millis(10);
/// Everything that may be in a directory whose creation was interrupted; `lost+found` is a mount point's own.
const OWN_NAMES: [&str; 14] = [
    layout::FORMAT_FILE,
    layout::FORMAT_FILE_NEW,
    layout::WRITTEN_BY_FILE,
    layout::WRITTEN_BY_FILE_NEW,
    layout::CONTROL_SOCKET,
    layout::LOCK_FILE,
    layout::JOURNAL_DIR,
    layout::STORE_DIR,
    layout::ARCHIVE_DIR,
    layout::SEARCH_DIR,
    layout::RELAY_DIR,
    layout::MARK_FILE,
    layout::BALLAST_FILE,
    "lost+found",
];

/// A data directory that this process owns for as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    fresh: bool,
    format: u32,
    /// The lock goes with the descriptor.
    _lock: File,
}

impl DataDir {
    /// Creates the directory where there is none, checks its format and locks it.
    ///
    /// # Errors
    /// [`JournalError::NotADataDir`], [`JournalError::InterruptedBackup`], [`JournalError::NewerFormat`],
    /// [`JournalError::InUse`], each before anything was changed; otherwise what the file system answers.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let created = !path.exists();
        if created {
            create_dir(path)?;
        }
        check_format(path)?;
        let lock = lock(path)?;
        // Another process may have finished its creation meanwhile.
        let format = check_format(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            fresh: format.is_none(),
            format: format.unwrap_or(layout::DATA_FORMAT),
            _lock: lock,
        })
    }

    /// Begins a backup in a directory that is absent or empty: with the marker first, so that whatever happens from
    /// here on, nobody takes it for a data directory.
    ///
    /// # Errors
    /// [`JournalError::NotADataDir`] where there is something in it already, before anything was changed; otherwise what
    /// the file system answers.
    pub(crate) fn begin_backup(path: &Path) -> Result<Self, JournalError> {
        create_dir(path)?;
        let not_empty = |why: String| Err(JournalError::NotADataDir { path: path.to_path_buf(), why });
        if path.join(layout::BACKUP_MARKER_FILE).exists() {
            return not_empty("it holds an interrupted backup; remove that first".to_owned());
        }
        for entry in fs::read_dir(path).map_err(|error| JournalError::io("list", path, error))? {
            let name = entry.map_err(|error| JournalError::io("list", path, error))?.file_name();
            if name != "lost+found" {
                return not_empty(format!("it is not empty, there is {}", name.display()));
            }
        }
        let marker = path.join(layout::BACKUP_MARKER_FILE);
        // New, so that of two backups into one directory only one begins.
        let write = |mut file: File| {
            writeln!(file, "this backup is not complete; a complete one has no such file")?;
            file.sync_all()
        };
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&marker)
            .and_then(write)
            .map_err(|error| JournalError::io("write", &marker, error))?;
        sync_dir(path)?;
        let lock = lock(path)?;
        Ok(Self { path: path.to_path_buf(), fresh: true, format: layout::DATA_FORMAT, _lock: lock })
    }

    /// A backup has everything: it gets its format, and then it loses its marker.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn finish_backup(&mut self) -> Result<(), JournalError> {
        self.finish_creation()?;
        let marker = self.join(layout::BACKUP_MARKER_FILE);
        fs::remove_file(&marker).map_err(|error| JournalError::io("remove", &marker, error))?;
        sync_dir(&self.path)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its format; of a fresh one the format that it will get.
    pub fn format(&self) -> u32 {
        self.format
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
        self.write_format()?;
        self.fresh = false;
        Ok(())
    }

    /// Durably gives the directory this release's format, and says which release that is. From here on an older
    /// release refuses it.
    ///
    /// # Errors
    /// What the file system answers.
    pub(super) fn write_format(&self) -> Result<(), JournalError> {
        let written_by = format!("{}{}\n", layout::WRITTEN_BY_PREFIX, env!("CARGO_PKG_VERSION"));
        self.replace(layout::WRITTEN_BY_FILE_NEW, layout::WRITTEN_BY_FILE, &written_by)?;
        // Whoever is refused for the format finds out who wrote it.
        let format = format!("{}{}\n", layout::FORMAT_PREFIX, layout::DATA_FORMAT);
        self.replace(layout::FORMAT_FILE_NEW, layout::FORMAT_FILE, &format)
    }

    /// Writes a small file durably, whole or not at all.
    fn replace(&self, new: &str, name: &str, text: &str) -> Result<(), JournalError> {
        let (new, path) = (self.join(new), self.join(name));
        File::create(&new)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| JournalError::io("write", &path, error))?;
        sync_dir(&self.path)
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
        free_bytes(&self.path).map_err(|error| JournalError::io("ask the free space of", &self.path, error))
    }
}

/// Space on a path's file system that an ordinary user may still take, in bytes.
///
/// # Errors
/// What the file system answers.
pub(crate) fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The release that wrote a directory's format, as its `WRITTEN_BY` file says: a version, or why it isn't known.
pub(crate) fn written_by(dir: &Path) -> Option<String> {
    let text = fs::read_to_string(dir.join(layout::WRITTEN_BY_FILE)).ok()?;
    let version = text.trim_end().strip_prefix(layout::WRITTEN_BY_PREFIX)?;
    // It goes into messages: nothing but a version.
    let is_version = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+');
    (version.len() <= 64 && version.bytes().all(is_version)).then(|| version.to_owned())
}

/// A directory's format, where it has one that this release reads.
pub(crate) fn format_of(dir: &Path) -> Option<u32> {
    check_format(dir).ok().flatten()
}

/// Creates a directory where there is none, durably.
fn create_dir(path: &Path) -> Result<(), JournalError> {
    fs::create_dir_all(path).map_err(|error| JournalError::io("create", path, error))?;
    sync_dir(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// Takes a directory for this process. A lock that was just let go of may be held for a moment longer, by a child that this
/// process has forked and that has not become its own program yet.
fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(layout::LOCK_FILE);
    let lock = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let lock = lock.map_err(|error| JournalError::io("create", &path, error))?;
    for attempt in 1.. {
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) if attempt < LOCK_ATTEMPTS => thread::sleep(LOCK_RETRY),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(JournalError::InUse { path: dir.to_path_buf() });
            }
            Err(error) => return Err(JournalError::io("lock", &path, error.into())),
        }
    }
    Ok(lock)
}

/// The directory's format, if this release reads it, or `None` where it has none yet.
fn check_format(dir: &Path) -> Result<Option<u32>, JournalError> {
    let not_ours = |why: String| JournalError::NotADataDir { path: dir.to_path_buf(), why };
    if dir.join(layout::BACKUP_MARKER_FILE).exists() {
        return Err(JournalError::InterruptedBackup { path: dir.to_path_buf() });
    }
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
            return Ok(None);
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
            written_by: written_by(dir).unwrap_or_else(|| "of an unknown version".to_owned()),
        });
    }
    Ok(Some(found))
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
        fs::write(&format, "stockade data format 3\n").unwrap();
        let error = DataDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, JournalError::NewerFormat { found: 3, supported: 2, .. }), "{error}");
        assert!(!dir.path().join(layout::LOCK_FILE).exists());
        for format_number in 1..=2 {
            fs::write(&format, format!("stockade data format {format_number}\n")).unwrap();
            let owned = DataDir::open(dir.path()).unwrap();
            assert_eq!((owned.is_fresh(), owned.format()), (false, format_number));
        }
    }

    #[test]
    fn a_newer_format_names_the_release_that_wrote_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(layout::FORMAT_FILE), "stockade data format 3\n").unwrap();
        let message = || DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(message().contains("written by stockade of an unknown version"), "{}", message());
        fs::write(dir.path().join(layout::WRITTEN_BY_FILE), "stockade 9.1.0\n").unwrap();
        let expected = "written by stockade 9.1.0; this release reads formats up to 2";
        assert!(message().contains(expected), "{}", message());
        fs::write(dir.path().join(layout::WRITTEN_BY_FILE), "stockade \u{1b}[31m").unwrap();
        assert!(message().contains("of an unknown version"), "{}", message());
    }

    #[test]
    fn a_backup_is_no_data_directory_before_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup");
        let mut backup = DataDir::begin_backup(&path).unwrap();
        let interrupted = |error| matches!(error, JournalError::InterruptedBackup { .. });
        assert!(interrupted(DataDir::open(&path).unwrap_err()));
        assert!(matches!(DataDir::begin_backup(&path), Err(JournalError::NotADataDir { .. })));
        backup.finish_creation().unwrap();
        assert!(interrupted(DataDir::open(&path).unwrap_err()), "also with a format");
        backup.finish_backup().unwrap();
        drop(backup);
        assert_eq!(DataDir::open(&path).unwrap().format(), layout::DATA_FORMAT);
    }

    #[test]
    fn a_lock_that_a_forked_child_still_holds_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let owned = DataDir::open(&path).unwrap();
        let of_child = owned._lock.try_clone().unwrap();
        drop(owned);
        let child = thread::spawn(move || {
            thread::sleep(3 * LOCK_RETRY);
            drop(of_child);
        });
        assert!(DataDir::open(&path).is_ok());
        child.join().unwrap();
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
