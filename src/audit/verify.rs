//! Audits a data directory offline: finds its journal, reads it from the first frame, hands every entry to the
//! [`Auditor`].
//!
//! Opening a sled database writes to it, so the audit works on a copy unless told otherwise. While it copies, it
//! holds a shared lock on every file, which no running engine allows and no starting one gets past.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use super::{AuditReport, Auditor, VIOLATIONS_KEPT};
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::journal::{Journal, JournalError, Scan, SledJournal, SledJournalOptions, layout, scan};

/// Entries between two reports of progress.
const PROGRESS_ENTRIES: u64 = 4096;

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
    /// The journal was written by a newer version.
    #[error("the journal is of a newer release: {detail}; use the release that wrote it")]
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
    /// The journal can't be opened, for a reason that is not its own: a full disk, missing permissions.
    #[error("the journal can't be read: {detail}")]
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

/// Gives the entries of a journal, first to last.
pub trait EntrySource {
    /// The next entry: the position of its first event, and its events; `None` at the journal's end.
    ///
    /// # Errors
    /// [`VerifyError`] where the journal can't be read any further.
    fn next_entry(&mut self) -> Result<Option<(Position, Vec<Event>)>, VerifyError>;
}

/// What a running audit has done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Bytes copied to the scratch directory.
    Copied {
        /// So far.
        bytes: u64,
    },
    /// Events audited.
    Audited {
        /// So far.
        events: u64,
    },
}

/// Sees every entry: the position of its first event, and its events.
type EntryObserver<'a> = dyn FnMut(Position, &[Event]) + 'a;

/// How to audit.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    in_place: bool,
    scratch: Option<PathBuf>,
    violations_kept: Option<usize>,
    progress: Option<Box<dyn FnMut(Progress) + 'a>>,
    observer: Option<Box<EntryObserver<'a>>>,
}

impl<'a> VerifyOptions<'a> {
    /// A copy beside the data directory, the first [`VIOLATIONS_KEPT`] violations, no progress.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the data directory itself, without a copy. Opening writes to it.
    #[must_use]
    pub fn in_place(mut self, in_place: bool) -> Self {
        self.in_place = in_place;
        self
    }

    /// Makes the copy in this directory, which must exist, in place of the data directory's parent.
    #[must_use]
    pub fn scratch(mut self, dir: impl Into<PathBuf>) -> Self {
        self.scratch = Some(dir.into());
        self
    }

    /// Lists at most so many violations.
    #[must_use]
    pub fn violations_kept(mut self, violations_kept: usize) -> Self {
        self.violations_kept = Some(violations_kept);
        self
    }

    /// Calls back now and then.
    #[must_use]
    pub fn on_progress(mut self, progress: impl FnMut(Progress) + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Shows every entry to somebody else as well, who checks it against what only they know.
    #[must_use]
    pub fn on_entry(mut self, observer: impl FnMut(Position, &[Event]) + 'a) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    fn report(&mut self, progress: Progress) {
        if let Some(callback) = &mut self.progress {
            callback(progress);
        }
    }
}

/// Audits the journal of a data directory that no engine has open.
///
/// Needs free space for a copy unless it works in place; the copy is removed afterwards, also on an error.
///
/// # Errors
/// [`VerifyError`] where there is nothing to audit or it can't be read. Broken rules are no error: they are in the
/// report.
pub fn verify(data_dir: &Path, mut options: VerifyOptions<'_>) -> Result<AuditReport, VerifyError> {
    if !data_dir.is_dir() {
        return Err(VerifyError::Missing { dir: data_dir.to_owned() });
    }
    if data_dir.join(layout::BACKUP_MARKER_FILE).exists() {
        return Err(VerifyError::InterruptedBackup { dir: data_dir.to_owned() });
    }
    if !holds_journal(data_dir) {
        return Err(VerifyError::NoJournal { dir: data_dir.to_owned() });
    }
    if options.in_place {
        return verify_entries(&mut open_source(data_dir, data_dir)?, options);
    }
    let scratch = Scratch::copy_of(data_dir, &mut options)?;
    // Dropped before the scratch directory goes, whatever happens in between.
    let mut source = open_source(scratch.dir(), data_dir)?;
    verify_entries(&mut source, options)
}

/// Audits entries from any source; `options` about files are of no account here.
///
/// # Errors
/// What the source comes up with.
pub fn verify_entries(
    source: &mut dyn EntrySource,
    mut options: VerifyOptions<'_>,
) -> Result<AuditReport, VerifyError> {
    let mut auditor = Auditor::with_violations_kept(options.violations_kept.unwrap_or(VIOLATIONS_KEPT));
    let mut entries = 0_u64;
    while let Some((first, events)) = source.next_entry()? {
        auditor.entry(first, &events);
        if let Some(observer) = &mut options.observer {
            observer(first, &events);
        }
        entries += 1;
        if entries.is_multiple_of(PROGRESS_ENTRIES) {
            options.report(Progress::Audited { events: auditor.events() });
        }
    }
    options.report(Progress::Audited { events: auditor.events() });
    Ok(auditor.finish())
}

/// Whether there is anything of a journal in a data directory. Opening would make one where there is none.
fn holds_journal(data_dir: &Path) -> bool {
    [layout::FORMAT_FILE, layout::MARK_FILE, layout::JOURNAL_DIR]
        .iter()
        .any(|name| data_dir.join(name).exists())
}

/// Opens the journal in `dir`, which is `data_dir` or a copy of it. All that the audit knows about the journal's API
/// is here and in [`JournalEntries`].
fn open_source(dir: &Path, data_dir: &Path) -> Result<JournalEntries, VerifyError> {
    let names = Names { dir: dir.to_owned(), data_dir: data_dir.to_owned() };
    // The audit frees nothing and needs no reserve: it neither makes nor touches the ballast.
    let options = SledJournalOptions { ballast_bytes: 0, ..SledJournalOptions::default() };
    let (journal, report) = SledJournal::open(dir, options).map_err(|error| names.explain(&error))?;
    if report.created {
        return Err(VerifyError::NoJournal { dir: data_dir.to_owned() });
    }
    Ok(JournalEntries { scan: scan(journal.reader(), report.first), decoded: VecDeque::new(), names })
}

/// The entries of a journal, decoded frame by frame.
struct JournalEntries {
    scan: Scan,
    decoded: VecDeque<(Position, Vec<Event>)>,
    names: Names,
}

impl EntrySource for JournalEntries {
    fn next_entry(&mut self) -> Result<Option<(Position, Vec<Event>)>, VerifyError> {
        while self.decoded.is_empty() {
            let Some(frame) = self.scan.next() else { return Ok(None) };
            let frame = frame.map_err(|error| self.names.explain(&error))?;
            for entry in frame.entries() {
                let events: Result<Vec<Event>, JournalError> =
                    entry.events().map(|event| event.map(|(_, event)| event)).collect();
                let events = events.map_err(|error| self.names.explain(&error))?;
                self.decoded.push_back((entry.first, events));
            }
        }
        Ok(self.decoded.pop_front())
    }
}

/// What is read, and what the caller knows it by.
struct Names {
    dir: PathBuf,
    data_dir: PathBuf,
}

impl Names {
    /// Says what the journal says, in the audit's words and about the caller's directory.
    fn explain(&self, error: &JournalError) -> VerifyError {
        let dir = self.data_dir.clone();
        let told = |text: &str| text.replace(&*self.dir.to_string_lossy(), &self.data_dir.to_string_lossy());
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
}

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
struct Scratch(PathBuf);

impl Scratch {
    fn copy_of(data_dir: &Path, options: &mut VerifyOptions<'_>) -> Result<Self, VerifyError> {
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
            locked.push((lock_shared(&path, data_dir)?, path));
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

    fn dir(&self) -> &Path {
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

/// Opens a file with a shared lock, which fails while an engine has it locked for itself.
fn lock_shared(path: &Path, data_dir: &Path) -> Result<File, VerifyError> {
    let read = |source| VerifyError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(VerifyError::InUse { dir: data_dir.to_owned() }),
        Err(error) => Err(read(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::journal::{EntryBuffer, pack};

    struct Entries(VecDeque<(Position, Vec<Event>)>);

    impl EntrySource for Entries {
        fn next_entry(&mut self) -> Result<Option<(Position, Vec<Event>)>, VerifyError> {
            match self.0.pop_front() {
                Some((_, events)) if events.is_empty() => {
                    Err(VerifyError::Damaged { detail: "a frame's checksum is wrong".to_owned() })
                }
                next => Ok(next),
            }
        }
    }

    fn numbers(position: u64) -> (Position, Vec<Event>) {
        (Position(position), vec![Event::NumbersReserved { at_ms: 1, until_ms: position * 1_000 }])
    }

    #[test]
    fn entries_reach_the_auditor_and_the_observer() {
        let mut seen = Vec::new();
        let mut audited = 0;
        let options = VerifyOptions::new()
            .on_entry(|first, events| seen.push((first, events.len())))
            .on_progress(|progress| match progress {
                Progress::Audited { events } => audited = events,
                Progress::Copied { .. } => unreachable!("nothing is copied"),
            });
        let report = verify_entries(&mut Entries([numbers(1), numbers(2)].into()), options).unwrap();
        assert!(report.passed());
        assert_eq!((report.entries, report.last_position), (2, Position(2)));
        assert_eq!(seen, [(Position(1), 1), (Position(2), 1)]);
        assert_eq!(audited, 2);
    }

    #[test]
    fn an_unreadable_entry_ends_the_audit_with_its_error() {
        let damaged = (Position(2), Vec::new());
        let result = verify_entries(&mut Entries([numbers(1), damaged].into()), VerifyOptions::new());
        assert!(matches!(result, Err(VerifyError::Damaged { .. })));
    }

    #[test]
    fn a_missing_or_empty_directory_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let missing = verify(&dir.path().join("none"), VerifyOptions::new());
        assert!(matches!(missing, Err(VerifyError::Missing { .. })));
        let empty = verify(dir.path(), VerifyOptions::new());
        assert!(matches!(empty, Err(VerifyError::NoJournal { .. })));
    }

    #[test]
    fn the_copy_is_complete_and_goes_away() {
        let outer = tempfile::tempdir().unwrap();
        let data = outer.path().join("data");
        fs::create_dir_all(data.join("journal/blobs")).unwrap();
        fs::write(data.join("journal/db"), b"frames").unwrap();
        fs::write(data.join("mark"), b"slots").unwrap();
        fs::write(data.join(layout::BALLAST_FILE), b"nothing").unwrap();
        let scratch = Scratch::copy_of(&data, &mut VerifyOptions::new()).unwrap();
        let copy = scratch.dir().to_owned();
        assert_eq!(copy.parent(), Some(outer.path().canonicalize().unwrap().as_path()));
        assert_eq!(fs::read(copy.join("journal/db")).unwrap(), b"frames");
        assert_eq!(fs::read(copy.join("mark")).unwrap(), b"slots");
        assert!(!copy.join(layout::BALLAST_FILE).exists());
        drop(scratch);
        assert!(!copy.exists());
        assert!(data.join("mark").exists());
    }

    #[test]
    fn a_locked_file_means_in_use_and_leaves_no_copy() {
        let outer = tempfile::tempdir().unwrap();
        let data = outer.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join(layout::MARK_FILE), b"slots").unwrap();
        let owner = File::open(data.join(layout::MARK_FILE)).unwrap();
        rustix::fs::flock(&owner, FlockOperation::NonBlockingLockExclusive).unwrap();
        let result = verify(&data, VerifyOptions::new());
        assert!(matches!(result, Err(VerifyError::InUse { .. })));
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_scratch_directory_that_does_not_exist_is_named() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(layout::MARK_FILE), b"slots").unwrap();
        let options = VerifyOptions::new().scratch(data.path().join("none"));
        let error = verify(data.path(), options).unwrap_err();
        assert!(matches!(error, VerifyError::Scratch { .. }));
        assert!(error.to_string().contains("none"));
    }

    /// A data directory with a journal of one entry in each of `frames` frames.
    fn journal(dir: &Path, frames: u64) {
        let options = SledJournalOptions { ballast_bytes: 0, ..SledJournalOptions::default() };
        let (mut journal, _) = SledJournal::open(dir, options).unwrap();
        for position in 1..=frames {
            let mut buffer = EntryBuffer::new();
            let (first, events) = numbers(position);
            buffer.push(&events);
            journal.write(&pack(&buffer, first)).unwrap();
            journal.sync(first).unwrap();
        }
        journal.settle().unwrap();
    }

    #[test]
    fn a_journal_is_audited_on_a_copy_and_in_place() {
        let outer = tempfile::tempdir().unwrap();
        let data = outer.path().join("data");
        journal(&data, 3);
        for in_place in [false, true] {
            let report = verify(&data, VerifyOptions::new().in_place(in_place)).unwrap();
            assert!(report.passed(), "{:?}", report.violations);
            assert_eq!((report.entries, report.last_position), (3, Position(3)));
        }
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1, "the copy is gone");
    }

    #[test]
    fn a_damaged_a_newer_and_a_foreign_directory_are_told_apart() {
        let outer = tempfile::tempdir().unwrap();
        let data = outer.path().join("data");
        journal(&data, 3);
        fs::remove_file(data.join(layout::MARK_FILE)).unwrap();
        let damaged = verify(&data, VerifyOptions::new()).unwrap_err();
        assert!(matches!(damaged, VerifyError::Damaged { .. }), "{damaged}");
        assert!(damaged.to_string().contains(data.to_str().unwrap()), "{damaged}");
        fs::write(data.join(layout::FORMAT_FILE), "stockade data format 99\n").unwrap();
        let newer = verify(&data, VerifyOptions::new()).unwrap_err();
        assert!(matches!(newer, VerifyError::NewerFormat { .. }), "{newer}");
        fs::write(data.join(layout::FORMAT_FILE), "a thesis").unwrap();
        let foreign = verify(&data, VerifyOptions::new()).unwrap_err();
        assert!(matches!(foreign, VerifyError::NotADataDir { .. }), "{foreign}");
    }
}
