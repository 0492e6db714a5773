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

mod copy;
mod error;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Engine, Inner};
use crate::domain::ids::Position;
use crate::journal::{Holds, JournalHandle};
use crate::runtime::clock::Clock;

pub(super) use copy::{Source, Watch};

pub use error::BackupError;

/// How often it is looked whether what was acknowledged is durable.
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
struct Hold(Arc<Holds>);

/// The name that a backup keeps the journal under; there is one at a time.
const HOLDER: &str = "backup";

impl Hold {
    /// Keeps what is left of the journal.
    fn everything(holds: &Arc<Holds>) -> Self {
        holds.hold_all(HOLDER);
        Self(Arc::clone(holds))
    }

    /// Keeps it from here on. It can't come too late: everything that is left has been held since before.
    fn keep_from(&self, position: Position) {
        let _ = self.0.hold(HOLDER, position);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.release(HOLDER);
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
            source: Source {
                journal: inner.journal.reader(),
                store: store.map(|store| store.reader.clone()),
            },
            watch: Arc::new(watch),
            journal: inner.journal.clone(),
            // Everything stays until the snapshot says from where on it is needed.
            hold: Hold::everything(&inner.holds),
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
        // With `Buffered`, what was acknowledged becomes durable a little later; a poisoned journal syncs no more.
        while journal.durable() < until && !journal.poisoned() {
            watch.check_wanted()?;
            thread::sleep(DURABLE_POLL);
        }
        drop(journal);
        let result = source.copy(&watch, &|stored| hold.keep_from(stored), progress);
        // Whoever hears of the end finds the directory free and the next backup possible.
        drop((source, hold));
        let elapsed_ms = clock.monotonic_ns().saturating_sub(began_ns) / 1_000_000;
        drop(slot);
        result.map(|report| BackupReport { elapsed_ms, ..report })
    }
}
