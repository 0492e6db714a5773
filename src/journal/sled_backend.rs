//! The journal on a local disk: one sled tree, one key for each frame, and everything that sled leaves to its user.
//!
//! What sled 0.34 does not do, and what is done about it here:
//!
//! | sled | here |
//! |---|---|
//! | `flush` doesn't reach the disk's write cache | `fdatasync` on a second descriptor of its file |
//! | values above a quarter of a segment go to files that are never synced | 16 MiB segments, frames of 128 KiB at most: even a rewritten leaf of 17 stays below |
//! | its folder and `conf` are never synced | every file and folder is, after open |
//! | a lost tail goes unnoticed | the mark |
//! | damage may panic | open and reads are guarded |
//! | background threads hold its lock for a moment after it is closed | open tries again for a while |

use std::fs::{File, OpenOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::domain::ids::Position;

use super::data_dir::{self, DataDir, layout};
use super::frame::{EncodedFrame, Frame};
use super::mark::{Mark, Marked};
use super::sled_reads;
use super::{Journal, JournalError, JournalRead, TrimProgress};

/// Segment size of the database, in bytes. Fixed for the life of a data directory.
const SEGMENT_BYTES: usize = 16 << 20;
/// Frames removed in one step of trimming: at most 4 MiB of them.
const TRIM_FRAMES_MAX: usize = 32;
/// The mark is fsynced at least once in so many commits.
const MARK_SYNC_COMMITS: u32 = 64;
/// Memory for the database's cache while a backup is written, in bytes.
const BACKUP_CACHE_BYTES: u64 = 16 << 20;
/// How often, and how long apart, open tries to get the lock that a closing database still holds.
const LOCK_ATTEMPTS: u32 = 200;
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// How the journal uses disk and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SledJournalOptions {
    /// Memory for the database's cache, in bytes. Only recovery and slow readers profit from it.
    pub cache_bytes: u64,
    /// Size of the ballast, in bytes; 0 for none.
    pub ballast_bytes: u64,
}

impl Default for SledJournalOptions {
    /// 64 MiB of cache, 64 MiB of ballast.
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, ballast_bytes: 64 << 20 }
    }
}

/// What open found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// Whether the data directory was created.
    pub created: bool,
    /// The first position there is.
    pub first: Position,
    /// The last position there is, 0 for none. Above `marked_last` after a crash between write and acknowledgement.
    pub last: Position,
    /// The last position that had to be there.
    pub marked_last: Position,
    /// Size of the ballast, in bytes: 0 after somebody deleted it to free space.
    pub ballast_bytes: u64,
    /// The format of the data directory: below [`layout::DATA_FORMAT`] where an older release created it.
    pub format: u32,
}

/// The journal on sled.
#[derive(Debug)]
pub struct SledJournal {
    frames: Arc<SledFrames>,
    /// A descriptor of our own on the database's file, for `fdatasync`.
    db_file: File,
    db_path: PathBuf,
    mark: Mark,
    marked: Marked,
    commits_since_mark_sync: u32,
    /// No frame is left before this position, so that a trim need not wade through leaves that others emptied.
    swept_to: Position,
}

/// What the writing and the reading side share. Fields are dropped in order: the lock goes last.
#[derive(Debug)]
struct SledFrames {
    db: sled::Db,
    first: AtomicU64,
    last: AtomicU64,
    data_dir: DataDir,
}

impl SledJournal {
    /// Opens the journal in a data directory, or creates both. On return everything found is durable.
    ///
    /// The first and the last frame are compared with the mark here. Frames in between are checked when they are read:
    /// [`super::scan`] goes through them once, for recovery and for the check alike. A missing or changed frame
    /// behind the mark is damage too, because after a power cut the mark may lag behind what was acknowledged.
    ///
    /// # Errors
    /// [`JournalError::InUse`], [`JournalError::NotADataDir`], [`JournalError::NewerFormat`];
    /// [`JournalError::Damaged`] where the mark, or positions that it names, are missing; [`JournalError::DiskFull`].
    pub fn open(path: &Path, options: SledJournalOptions) -> Result<(Self, OpenReport), JournalError> {
        let mut data_dir = DataDir::open(path)?;
        let created = data_dir.is_fresh();
        let mark_path = data_dir.join(layout::MARK_FILE);
        // A directory that never got its format acknowledged nothing: its mark may be missing, or cut off.
        let marked = match Mark::open(&mark_path) {
            Err(JournalError::Damaged { .. }) | Ok(None) if created => None,
            Ok(None) => {
                return Err(JournalError::damaged(format!(
                    "{} is missing, so nobody knows which positions were acknowledged",
                    mark_path.display()
                )));
            }
            Ok(Some((_, marked))) if created && marked.last > Position(0) => {
                return Err(JournalError::damaged(format!(
                    "{} has a mark up to position {}, but no {} file",
                    path.display(),
                    marked.last,
                    layout::FORMAT_FILE
                )));
            }
            other => other?,
        };

        let journal_path = data_dir.join(layout::JOURNAL_DIR);
        let db = open_database(&journal_path, path, options.cache_bytes)?;
        let (db_file, db_path) = sync_database(&journal_path)?;
        let (mark, marked) = match marked {
            Some(found) => found,
            None => {
                if guarded("read the first frame", || Ok(db.first().map_err(store("read"))?.is_some()))? {
                    return Err(JournalError::damaged(format!(
                        "{} holds frames, but neither mark nor {} is there",
                        journal_path.display(),
                        layout::FORMAT_FILE
                    )));
                }
                let marked = Marked { first: Position(1), last: Position(0) };
                (Mark::create(&mark_path, marked)?, marked)
            }
        };
        let last = guarded("read the first and the last frame", || check_ends(&db, marked))?;
        let ballast_bytes = data_dir.ensure_ballast(options.ballast_bytes)?;
        if created {
            data_dir.finish_creation()?;
        }

        let report = OpenReport {
            created,
            first: marked.first,
            last,
            marked_last: marked.last,
            ballast_bytes,
            format: data_dir.format(),
        };
        let frames =
            SledFrames { db, first: AtomicU64::new(marked.first.0), last: AtomicU64::new(last.0), data_dir };
        Ok((Self::new(frames, (db_file, db_path), mark, marked), report))
    }

    /// Begins the journal of a backup in `to`, which must be absent or empty. Its first frame is the one that contains
    /// `first`; what was before it is in the backup's store. Until [`SledJournal::finish_backup`] nobody opens it.
    ///
    /// # Errors
    /// [`JournalError::NotADataDir`] where `to` holds something, [`JournalError::DiskFull`], and what the file system
    /// answers.
    pub(crate) fn begin_backup(to: &Path, first: Position) -> Result<Self, JournalError> {
        let data_dir = DataDir::begin_backup(to)?;
        let journal_path = data_dir.join(layout::JOURNAL_DIR);
        let db = open_database(&journal_path, to, BACKUP_CACHE_BYTES)?;
        let database = sync_database(&journal_path)?;
        let marked = Marked { first, last: Position(first.0.saturating_sub(1)) };
        let mark = Mark::create(&data_dir.join(layout::MARK_FILE), marked)?;
        let (first, last) = (AtomicU64::new(marked.first.0), AtomicU64::new(marked.last.0));
        Ok(Self::new(SledFrames { db, first, last, data_dir }, database, mark, marked))
    }

    /// Makes a backup durable as a whole, with everything else that is in its directory, and then a data directory.
    ///
    /// # Errors
    /// What the file system answers; the backup counts as interrupted then.
    ///
    /// # Panics
    /// While there are readers.
    pub(crate) fn finish_backup(mut self) -> Result<(), JournalError> {
        self.flush()?;
        self.fdatasync()?;
        self.settle()?;
        let frames = Arc::into_inner(self.frames).expect("nobody reads a backup that is being made");
        let SledFrames { db, mut data_dir, .. } = frames;
        // Closing writes, too.
        guarded("close the backup's database", move || {
            drop(db);
            Ok(())
        })?;
        data_dir::sync_tree(data_dir.path())?;
        data_dir.finish_backup()
    }

    /// Gives the data directory this release's format, durably; an older release refuses it from then on. To be called
    /// before anything is written into it that an older release can't read.
    ///
    /// # Errors
    /// What the file system answers.
    pub(crate) fn upgrade_format(&mut self) -> Result<(), JournalError> {
        self.frames.data_dir.write_format()
    }

    fn new(frames: SledFrames, (db_file, db_path): (File, PathBuf), mark: Mark, marked: Marked) -> Self {
        Self {
            frames: Arc::new(frames),
            db_file,
            db_path,
            mark,
            marked,
            commits_since_mark_sync: 0,
            swept_to: Position(0),
        }
    }

    /// `flush` hands everything to the system, which a crash of the process doesn't take back.
    fn flush(&self) -> Result<(), JournalError> {
        self.frames.db.flush().map(|_| ()).map_err(store("flush"))
    }

    fn fdatasync(&self) -> Result<(), JournalError> {
        self.db_file.sync_data().map_err(|error| JournalError::io("fdatasync", &self.db_path, error))
    }
}

impl Journal for SledJournal {
    fn write(&mut self, frames: &[EncodedFrame]) -> Result<(), JournalError> {
        for frame in frames {
            let before = self
                .frames
                .db
                .insert(key_of(frame.first()), sled::IVec::from(frame.bytes()))
                .map_err(store("insert a frame"))?;
            if before.is_some() {
                return Err(JournalError::damaged(format!(
                    "a frame at position {} was there already",
                    frame.first()
                )));
            }
        }
        sled_reads::hand_garbage_on();
        self.flush()
    }

    fn sync(&mut self, last: Position) -> Result<(), JournalError> {
        self.fdatasync()?;
        // Only now: a mark that names what is not on the disk yet would turn a power cut into damage.
        self.marked.last = last;
        self.mark.write(self.marked)?;
        self.commits_since_mark_sync += 1;
        if self.commits_since_mark_sync >= MARK_SYNC_COMMITS {
            self.settle()?;
        }
        self.frames.last.store(last.0, Ordering::Release);
        Ok(())
    }

    fn trim(&mut self, keep_from: Position) -> Result<TrimProgress, JournalError> {
        let mut keys = Vec::with_capacity(TRIM_FRAMES_MAX + 1);
        if keep_from < self.swept_to {
            return Ok(TrimProgress::default());
        }
        let range = key_of(self.swept_to)..=key_of(keep_from);
        for key in self.frames.db.range(range).keys().take(TRIM_FRAMES_MAX + 1) {
            keys.push(key.map_err(store("list frames"))?);
        }
        // A frame lies wholly before `keep_from` when its successor begins at or before it. So the last key found
        // stays, and with it the last frame of all.
        let Some(kept) = keys.pop().filter(|_| !keys.is_empty()) else {
            return Ok(TrimProgress::default());
        };
        let first = position_of(&kept)?;
        self.marked.first = self.marked.first.max(first);
        self.mark.write(self.marked)?;
        self.mark.sync()?;
        self.frames.first.store(self.marked.first.0, Ordering::Release);
        for key in &keys {
            self.frames.db.remove(key).map_err(store("remove a frame"))?;
        }
        self.flush()?;
        self.fdatasync()?;
        self.swept_to = first;
        Ok(TrimProgress { frames: keys.len() as u32, more: keys.len() == TRIM_FRAMES_MAX })
    }

    fn settle(&mut self) -> Result<(), JournalError> {
        self.commits_since_mark_sync = 0;
        self.mark.sync()
    }

    fn reader(&self) -> Arc<dyn JournalRead> {
        Arc::clone(&self.frames) as Arc<dyn JournalRead>
    }
}

impl JournalRead for SledFrames {
    fn read(&self, from: Position, bytes_max: usize) -> Result<Vec<Frame>, JournalError> {
        let read = guarded("read frames", || self.read_unguarded(from, bytes_max));
        let first = self.first();
        if read.is_err() && from < first {
            // Trimmed while it was being read.
            return Err(JournalError::PositionTrimmed { asked: from, first });
        }
        read
    }

    fn first(&self) -> Position {
        Position(self.first.load(Ordering::Acquire))
    }

    fn last(&self) -> Position {
        Position(self.last.load(Ordering::Acquire))
    }

    fn bytes_on_disk(&self) -> u64 {
        self.db.size_on_disk().unwrap_or(0)
    }
}

impl SledFrames {
    fn read_unguarded(&self, from: Position, bytes_max: usize) -> Result<Vec<Frame>, JournalError> {
        let (first, last) = (self.first(), self.last());
        if from < first {
            return Err(JournalError::PositionTrimmed { asked: from, first });
        }
        let mut frames = Vec::new();
        if from > last {
            return Ok(frames);
        }
        let mut before = self.db.range(..key_of(Position(from.0 + 1))).rev();
        let start = sled_reads::next(&self.db, &mut before).map_err(store("read a frame"))?;
        let (start, _) = start.ok_or_else(|| missing(from, last))?;
        let mut next = from;
        let mut bytes = 0;
        let mut pairs = self.db.range(start..);
        while let Some((key, value)) =
            sled_reads::next(&self.db, &mut pairs).map_err(store("read a frame"))?
        {
            bytes += value.len();
            let frame = Frame::parse(position_of(&key)?, Arc::new(value))?;
            // The first frame may begin before `from`; after it, each begins where the one before ended.
            if frame.last() < next || frame.first() > next || (!frames.is_empty() && frame.first() != next) {
                return Err(missing(next, Position(frame.first().0.saturating_sub(1)).max(next)));
            }
            next = Position(frame.last().0 + 1);
            frames.push(frame);
            if next > last || bytes >= bytes_max {
                return Ok(frames);
            }
        }
        Err(missing(next, last))
    }
}

/// Makes durable what opening a database has written. Gives a descriptor of our own on its file.
pub(crate) fn sync_database(journal_path: &Path) -> Result<(File, PathBuf), JournalError> {
    data_dir::sync_tree(journal_path)?;
    let path = journal_path.join("db");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .and_then(|file| file.sync_data().map(|()| file))
        .map_err(|error| JournalError::io("fdatasync", &path, error))?;
    Ok((file, path))
}

/// Opens a database, trying again while a closing one in this process still holds its lock. `locked` is what is named as
/// in use.
pub(crate) fn open_database(path: &Path, locked: &Path, cache_bytes: u64) -> Result<sled::Db, JournalError> {
    let config = || {
        sled::Config::new()
            .path(path)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(cache_bytes)
            .mode(sled::Mode::HighThroughput)
            .flush_every_ms(None)
    };
    for _ in 0..LOCK_ATTEMPTS {
        match guarded("open its database", || Ok(config().open()))? {
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                thread::sleep(LOCK_RETRY);
            }
            opened => return opened.map_err(store("open")),
        }
    }
    Err(JournalError::InUse { path: locked.to_path_buf() })
}

/// Compares the first and the last frame with the mark; returns the last position there is.
fn check_ends(db: &sled::Db, marked: Marked) -> Result<Position, JournalError> {
    let frame = |(key, value): (sled::IVec, sled::IVec)| Frame::parse(position_of(&key)?, Arc::new(value));
    let Some(last) = db.last().map_err(store("read the last frame"))? else {
        return match marked.last {
            Position(0) => Ok(Position(0)),
            last => Err(missing(marked.first, last)),
        };
    };
    let last = frame(last)?.last();
    if last < marked.last {
        return Err(missing(Position(last.0 + 1), marked.last));
    }
    let first = db.get_lt(key_of(Position(marked.first.0 + 1))).map_err(store("read the first frame"))?;
    match first.map(frame).transpose()? {
        Some(first) if first.last() >= marked.first => Ok(last),
        _ => Err(missing(marked.first, marked.first)),
    }
}

fn key_of(position: Position) -> [u8; 8] {
    position.0.to_be_bytes()
}

fn position_of(key: &[u8]) -> Result<Position, JournalError> {
    let bytes =
        key.try_into().map_err(|_| JournalError::damaged(format!("a key has {} bytes", key.len())))?;
    Ok(Position(u64::from_be_bytes(bytes)))
}

fn missing(first: Position, last: Position) -> JournalError {
    JournalError::damaged(format!("positions {first} to {last} are missing"))
}

/// Runs what may panic over damaged files.
fn guarded<T>(doing: &'static str, run: impl FnOnce() -> Result<T, JournalError>) -> Result<T, JournalError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(JournalError::panicked(doing, &*panic)))
}

/// Sorts the database's errors.
fn store(doing: &'static str) -> impl Fn(sled::Error) -> JournalError {
    move |error| match error {
        sled::Error::Io(error) => JournalError::io(doing, Path::new(layout::JOURNAL_DIR), error),
        sled::Error::Corruption { at, .. } => JournalError::damaged(format!(
            "its database found wrong bytes{}",
            at.map(|at| format!(" at {at:?}")).unwrap_or_default()
        )),
        error => JournalError::Store { doing, source: Box::new(error) },
    }
}
