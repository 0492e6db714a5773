//! Backups: a copy of store and journal that is consistent at one position, made while the engine goes on.
//!
//! ```text
//! hold trimming ─ pin a snapshot (position P) ─ copy its pages ─ copy the frames from P's on ─ fsync ─ FORMAT
//! ```
//!
//! The store may hold orders as they were *behind* P, but nothing that was not durable when P was committed. Frames are
//! copied up to what is durable after the snapshot was pinned, so the copy is what a power cut at that moment would have
//! left. The target has a marker from before the first write until after the last: an interrupted backup is known as
//! such and refused.
//!
//! The copy runs on a thread of its own, keeps away from the disk's reserve, and ends when the engine does.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::store::ProjectorWorld;
use super::{Engine, Inner};
use crate::domain::ids::Position;
use crate::journal::{
    EncodedFrame, Journal, JournalError, JournalHandle, JournalRead, SledJournal, layout, scan,
};
use crate::projection::levels::{PageBatch, PageRead, PageStore, SledPages, StoreError};
use crate::projection::store::StoreReader;
use crate::runtime::clock::Clock;
use crate::runtime::shutdown::{Gate, GateState};

/// Frames that are written and synced together, in bytes.
const STEP_BYTES: usize = 4 << 20;
/// Memory for the cache of the store's copy, in bytes.
const CACHE_BYTES: u64 = 32 << 20;
/// Space that a backup leaves free in any case: a database can't close without any.
const FREE_MIN_BYTES: u64 = 1 << 20;
/// How far a backup stays above the engine's own reserve where both are on one file system, in bytes.
const RESERVE_MARGIN_BYTES: u64 = 64 << 20;
const DURABLE_POLL: Duration = Duration::from_millis(1);

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// The last position in it. Everything that was acknowledged when the backup was asked for is at or before it.
    pub position: Position,
    /// The position of the store in it; 0 without one.
    pub stored: Position,
    /// Events in its journal: those that a start from it reads.
    pub events: u64,
    /// Bytes copied.
    pub bytes: u64,
    /// How long it took, in ms.
    pub elapsed_ms: u64,
}

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
        "there is too little space for the backup at {}: {free_bytes} bytes are free, {needed_bytes} more than the \
         {reserve_bytes} that must stay free are needed; make room, or name another disk",
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
    #[error("there is nothing to back up from: the journal begins at position {first}, and there is no store behind it")]
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
    #[error("the engine was shut down before the backup was complete: remove what is there, and back it up again")]
    Closed,
    /// Nobody wanted it any more. The target holds an interrupted backup.
    #[error("the backup was given up: remove what is there of it")]
    Cancelled,
    /// The copy panicked, or no thread could be started for it. The target may hold an interrupted backup.
    #[error("the backup did not end: {0}")]
    Failed(String),
}

impl Engine {
    /// Copies the engine's data to `to`, a directory that is absent or empty, while it goes on. The copy is a data
    /// directory that [`Engine::open`] takes, with everything that was acknowledged when this was called.
    ///
    /// It is complete and durable on return. What is there after a failure, a crash or a power cut is refused by
    /// everybody as an interrupted backup. Dropping the future doesn't stop the copy; [`Engine::shutdown`] does.
    ///
    /// Runs on a thread of its own. Reads the store and the journal behind it once, and holds trimming meanwhile; best
    /// written to another disk.
    ///
    /// # Errors
    /// [`BackupError`]; the engine goes on in any case.
    ///
    /// ```
    /// # use stockade::{Config, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let (data, copy) = (dir.path().join("shop"), dir.path().join("copy"));
    /// # let config = |path| Config::new(path).ballast_bytes(0);
    /// let engine = Engine::open(config(&data)).await?;
    /// stockade::examples::stock_tea(&engine, 10).await?;
    /// let report = engine.backup(&copy).await?;
    /// assert!(report.position >= engine.metrics().stored);
    ///
    /// let restored = Engine::open(config(&copy)).await?;
    /// assert_eq!(restored.state_hash().await?.hash, engine.state_hash().await?.hash);
    /// # restored.shutdown().await?;
    /// # engine.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<BackupReport, BackupError> {
        self.backup_with(to, |_bytes| {}).await
    }

    /// Like [`Engine::backup`]; `progress` gets the number of bytes copied so far every 4 MiB or so, on the backup's
    /// thread.
    ///
    /// # Errors
    /// [`BackupError`]. A panic of `progress` is a [`BackupError::Failed`].
    ///
    /// ```
    /// # use stockade::{Config, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let copy = dir.path().join("copy");
    /// # let engine = Engine::open(Config::new(dir.path().join("shop")).ballast_bytes(0)).await?;
    /// let report = engine.backup_with(&copy, |bytes| println!("{bytes} bytes copied")).await?;
    /// assert!(report.bytes > 0);
    /// # engine.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn backup_with(
        &self,
        to: impl AsRef<Path>,
        mut progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<BackupReport, BackupError> {
        let job = BackupJob::prepare(&self.inner, to.as_ref())?;
        let (done, report) = oneshot::channel();
        let work = move || {
            let result = job.run(&mut |bytes| {
                progress(bytes);
                true
            });
            // Whoever asked may have gone.
            let _ = done.send(result);
        };
        let started = thread::Builder::new().name("backup".to_owned()).spawn(work);
        started.map_err(|error| BackupError::Failed(error.to_string()))?;
        report.await.unwrap_or_else(|_gone| Err(BackupError::Failed("its thread ended".to_owned())))
    }
}

/// At most one backup at a time.
#[derive(Debug, Default)]
pub(crate) struct BackupSlot {
    taken: AtomicBool,
}

impl BackupSlot {
    /// Whether a backup is being made.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }
}

struct SlotTaken(Arc<BackupSlot>);

impl SlotTaken {
    fn take(slot: &Arc<BackupSlot>) -> Option<Self> {
        (!slot.taken.swap(true, Ordering::AcqRel)).then(|| Self(Arc::clone(slot)))
    }
}

impl Drop for SlotTaken {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Keeps the journal from being trimmed.
struct Hold(Option<Arc<ProjectorWorld>>);

impl Hold {
    fn place(&self, at: Position) {
        if let Some(world) = &self.0 {
            world.hold_trim(Some(at));
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(world) = &self.0 {
            world.hold_trim(None);
        }
    }
}

/// A backup of a running engine that is about to be made. It keeps nothing of the engine alive but its files.
pub(super) struct BackupJob {
    source: Source,
    watch: Arc<Watch>,
    journal: JournalHandle,
    hold: Hold,
    /// What it has to contain.
    until: Position,
    clock: Clock,
    slot: SlotTaken,
}

impl BackupJob {
    /// # Errors
    /// [`BackupError::AlreadyRunning`], [`BackupError::Closed`], [`BackupError::InsideDataDir`].
    pub(super) fn prepare(inner: &Inner, to: &Path) -> Result<Self, BackupError> {
        let slot = SlotTaken::take(&inner.backup).ok_or(BackupError::AlreadyRunning)?;
        let gate = Some(Arc::clone(&inner.gate));
        let settings = &inner.settings;
        let watch = Watch::new(to, settings.data_dir.as_deref(), settings.disk_free_min_bytes, gate)?;
        watch.check_wanted()?;
        let store = inner.store.as_ref();
        Ok(Self {
            source: Source { journal: inner.journal.reader(), store: store.map(|store| store.reader.clone()) },
            watch: Arc::new(watch),
            journal: inner.journal.clone(),
            hold: Hold(store.map(|store| Arc::clone(&store.world))),
            until: inner.journal.acknowledged(),
            clock: inner.clock.clone(),
            slot,
        })
    }

    /// Makes it, on this thread. `progress` gets the bytes copied so far and says whether to go on.
    ///
    /// # Errors
    /// [`BackupError`].
    pub(super) fn run(self, progress: &mut dyn FnMut(u64) -> bool) -> Result<BackupReport, BackupError> {
        let Self { source, watch, journal, hold, until, clock, slot } = self;
        let began_ns = clock.monotonic_ns();
        // Everything stays until the snapshot says from where on it is needed.
        hold.place(Position(0));
        // With `Buffered`, what was acknowledged becomes durable a little later; a poisoned journal syncs no more.
        while journal.durable() < until && !journal.poisoned() {
            watch.check_wanted()?;
            thread::sleep(DURABLE_POLL);
        }
        drop(journal);
        let result = source.copy(&watch, &|stored| hold.place(stored), progress);
        // Whoever hears of the end finds the directory free and the next backup possible.
        drop((source, hold));
        let elapsed_ms = clock.monotonic_ns().saturating_sub(began_ns) / 1_000_000;
        drop(slot);
        result.map(|report| BackupReport { elapsed_ms, ..report })
    }
}

/// What a backup may use, and when it has to stop.
#[derive(Debug)]
pub(super) struct Watch {
    to: PathBuf,
    reserve_bytes: u64,
    gate: Option<Arc<Gate>>,
    cancelled: AtomicBool,
}

impl Watch {
    /// `gate` is that of the running engine, if there is one.
    ///
    /// # Errors
    /// [`BackupError::InsideDataDir`], [`BackupError::Target`] for a path that can't be resolved.
    pub(super) fn new(
        to: &Path,
        data_dir: Option<&Path>,
        disk_free_min_bytes: u64,
        gate: Option<Arc<Gate>>,
    ) -> Result<Self, BackupError> {
        let unusable = |error: io::Error| BackupError::Target { path: to.to_path_buf(), source: error.into() };
        let absolute = std::path::absolute(to).map_err(unusable)?;
        let existing = absolute.ancestors().find(|path| path.exists()).unwrap_or(&absolute);
        let existing = existing.canonicalize().map_err(unusable)?;
        let mut reserve_bytes = FREE_MIN_BYTES;
        if let Some(data_dir) = data_dir.and_then(|dir| dir.canonicalize().ok()) {
            if existing.starts_with(&data_dir) {
                return Err(BackupError::InsideDataDir { path: to.to_path_buf() });
            }
            // On the engine's own disk a backup must not take what orders need.
            let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
            if gate.is_some() && device(&existing) == device(&data_dir) {
                reserve_bytes = disk_free_min_bytes.saturating_add(RESERVE_MARGIN_BYTES);
            }
        }
        Ok(Self { to: absolute, reserve_bytes, gate, cancelled: AtomicBool::new(false) })
    }

    /// Whether the backup is still wanted.
    fn check_wanted(&self) -> Result<(), BackupError> {
        if self.cancelled.load(Ordering::Acquire) {
            return Err(BackupError::Cancelled);
        }
        match self.gate.as_ref().map(|gate| gate.state()) {
            Some(GateState::Draining | GateState::Closed) => Err(BackupError::Closed),
            // What is durable in an engine that has failed is worth a backup more than ever.
            Some(GateState::Open | GateState::Poisoned) | None => Ok(()),
        }
    }

    /// Whether there is room for so many bytes, and they are still wanted.
    fn check(&self, needed_bytes: u64) -> Result<(), BackupError> {
        self.check_wanted()?;
        match self.free_bytes() {
            Some(free_bytes) if free_bytes < self.reserve_bytes.saturating_add(needed_bytes) => {
                Err(self.full(free_bytes, needed_bytes))
            }
            _ => Ok(()),
        }
    }

    fn full(&self, free_bytes: u64, needed_bytes: u64) -> BackupError {
        let (path, reserve_bytes) = (self.to.clone(), self.reserve_bytes);
        BackupError::DiskFull { path, free_bytes, needed_bytes, reserve_bytes }
    }

    fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.to).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// An error of the target. Databases don't always say that a disk is full, so it is looked at.
    fn target(&self, error: StoreError) -> BackupError {
        let free_bytes = self.free_bytes();
        match error {
            StoreError::DiskFull { .. } => self.full(free_bytes.unwrap_or(0), STEP_BYTES as u64),
            error => match free_bytes {
                Some(free_bytes) if free_bytes < FREE_MIN_BYTES => self.full(free_bytes, STEP_BYTES as u64),
                _ => BackupError::Target { path: self.to.clone(), source: Box::new(error) },
            },
        }
    }

    fn target_journal(&self, error: JournalError) -> BackupError {
        match error {
            JournalError::NotADataDir { path, why } => BackupError::NotEmpty { path, why },
            error => self.target(error.into()),
        }
    }
}

/// What is backed up.
pub(super) struct Source {
    /// The journal.
    pub(super) journal: Arc<dyn JournalRead>,
    /// The store, where there is one.
    pub(super) store: Option<StoreReader>,
}

impl Source {
    /// Copies it all. `pinned` is called with the position that the store's copy will have, from which on the journal
    /// is needed.
    ///
    /// # Errors
    /// [`BackupError`].
    pub(super) fn copy(
        &self,
        watch: &Arc<Watch>,
        pinned: &dyn Fn(Position),
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<BackupReport, BackupError> {
        // A progress callback may panic, and so may a database on a full disk.
        let copy = AssertUnwindSafe(|| self.copy_unguarded(watch, pinned, progress));
        let result = catch_unwind(copy).unwrap_or_else(|panic| {
            let error = JournalError::panicked("copy", &*panic);
            match watch.target(error.into()) {
                full @ BackupError::DiskFull { .. } => Err(full),
                error => Err(BackupError::Failed(error.to_string())),
            }
        });
        if matches!(result, Err(BackupError::DiskFull { .. })) {
            remove_remains(&watch.to);
        }
        result
    }

    fn copy_unguarded(
        &self,
        watch: &Arc<Watch>,
        pinned: &dyn Fn(Position),
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<BackupReport, BackupError> {
        let source = |error: StoreError| BackupError::Source(Box::new(error));
        let store = self.store.as_ref().map(StoreReader::pinned).transpose().map_err(source)?;
        let stored = store.as_ref().map_or(Position(0), |(_, head)| head.position);
        pinned(stored);
        // The frame that holds the store's own position comes along, so that the journal is never empty.
        let first = stored.max(Position(1));
        if self.journal.first() > first {
            return Err(BackupError::Trimmed { first: self.journal.first() });
        }
        let mut journal =
            SledJournal::begin_backup(&watch.to, first).map_err(|error| watch.target_journal(error))?;
        let mut bytes = 0;
        let mut copied = |so_far: u64| {
            if !progress(so_far) {
                watch.cancelled.store(true, Ordering::Release);
            }
        };
        if let Some((snapshot, _)) = store.filter(|(snapshot, _)| snapshot.head().is_some()) {
            watch.check(snapshot.stats().iter().map(|table| table.bytes).sum())?;
            let pages = SledPages::open(&watch.to.join(layout::STORE_DIR), CACHE_BYTES);
            let failure = Arc::new(Mutex::new(None));
            let mut pages = WatchedPages {
                pages: pages.map_err(|error| watch.target(error))?,
                watch: Arc::clone(watch),
                failure: Arc::clone(&failure),
            };
            let result = snapshot.copy_to(&mut pages, &mut |so_far| {
                bytes = so_far;
                copied(so_far);
            });
            let failure = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
            result.map_err(|error| failure.unwrap_or_else(|| source(error)))?;
        }

        let (mut position, mut events) = (stored, 0);
        let mut frames = Vec::new();
        let mut frames_bytes = 0;
        let mut write = |frames: &mut Vec<EncodedFrame>, frames_bytes: &mut usize| {
            let Some(last) = frames.last().map(EncodedFrame::last) else { return Ok(()) };
            watch.check(*frames_bytes as u64)?;
            let written = journal.write(frames).and_then(|()| journal.sync(last));
            written.map_err(|error| watch.target_journal(error))?;
            bytes += *frames_bytes as u64;
            frames.clear();
            *frames_bytes = 0;
            copied(bytes);
            Ok::<_, BackupError>(())
        };
        for frame in scan(Arc::clone(&self.journal), first) {
            let frame = frame.map_err(|error| BackupError::Source(Box::new(error)))?;
            position = frame.last();
            events += u64::from(frame.count());
            frames_bytes += frame.bytes().len();
            frames.push(EncodedFrame::copy_of(&frame));
            if frames_bytes >= STEP_BYTES {
                write(&mut frames, &mut frames_bytes)?;
            }
        }
        write(&mut frames, &mut frames_bytes)?;
        watch.check_wanted()?;
        journal.finish_backup().map_err(|error| watch.target_journal(error))?;
        Ok(BackupReport { position, stored, events, bytes, elapsed_ms: 0 })
    }
}

/// The store's copy: looks before each write whether there is room, and keeps what really went wrong.
struct WatchedPages {
    pages: SledPages,
    watch: Arc<Watch>,
    failure: Arc<Mutex<Option<BackupError>>>,
}

impl PageStore for WatchedPages {
    fn commit(&mut self, batch: PageBatch) -> Result<(), StoreError> {
        let committed = self
            .watch
            .check(batch.bytes() as u64)
            .and_then(|()| self.pages.commit(batch).map_err(|error| self.watch.target(error)));
        committed.map_err(|error| {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            StoreError::Stopped
        })
    }

    fn reader(&self) -> Arc<dyn PageRead> {
        self.pages.reader()
    }
}

/// Gives back the space that a backup took which had not enough of it; the marker goes last.
fn remove_remains(to: &Path) {
    if !to.join(layout::BACKUP_MARKER_FILE).exists() {
        return;
    }
    let remove = |name: &str, is_dir: bool| {
        let path = to.join(name);
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "can't remove what is left of a backup");
            }
            _ => {}
        }
    };
    remove(layout::STORE_DIR, true);
    remove(layout::JOURNAL_DIR, true);
    let files = [layout::MARK_FILE, layout::WRITTEN_BY_FILE, layout::LOCK_FILE, layout::BACKUP_MARKER_FILE];
    files.into_iter().for_each(|name| remove(name, false));
}
