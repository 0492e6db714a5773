//! The copy itself: what may be taken for it, and when it has to stop.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{BackupError, BackupReport};
use crate::domain::ids::Position;
use crate::journal::{
    EncodedFrame, Journal, JournalError, JournalRead, SledJournal, free_bytes, layout, scan,
};
use crate::projection::levels::{PageBatch, PageRead, PageStore, SledPages, StoreError};
use crate::projection::store::StoreReader;
use crate::runtime::shutdown::{Gate, GateState};

/// Frames that are written and synced together, in bytes.
const STEP_BYTES: usize = 4 << 20;
/// Memory for the cache of the store's copy, in bytes.
const CACHE_BYTES: u64 = 32 << 20;
/// Space that a backup leaves free in any case: a database can't close without any.
const FREE_MIN_BYTES: u64 = 1 << 20;
/// How far a backup stays above the engine's own reserve where both are on one file system, in bytes.
const RESERVE_MARGIN_BYTES: u64 = 64 << 20;

/// What a backup may use, and when it has to stop.
#[derive(Debug)]
pub(crate) struct Watch {
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
    pub(crate) fn new(
        to: &Path,
        data_dir: Option<&Path>,
        disk_free_min_bytes: u64,
        gate: Option<Arc<Gate>>,
    ) -> Result<Self, BackupError> {
        let unusable =
            |error: io::Error| BackupError::Target { path: to.to_path_buf(), source: error.into() };
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
    pub(super) fn check_wanted(&self) -> Result<(), BackupError> {
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
        free_bytes(&self.to).ok()
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
pub(crate) struct Source {
    /// The journal.
    pub(crate) journal: Arc<dyn JournalRead>,
    /// The store, where there is one.
    pub(crate) store: Option<StoreReader>,
}

impl Source {
    /// Copies it all. `pinned` is called with the position that the store's copy will have, from which on the journal
    /// is needed.
    ///
    /// # Errors
    /// [`BackupError`].
    pub(crate) fn copy(
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

        // An order leaves the store only after its cold file is there, so these hold whatever the snapshot lacks.
        for file in self
            .store
            .as_ref()
            .and_then(StoreReader::archive)
            .map(|archive| archive.files())
            .unwrap_or_default()
        {
            watch.check(file.bytes())?;
            file.copy_to(&watch.to.join(layout::ARCHIVE_DIR)).map_err(|error| watch.target(error))?;
            bytes += file.bytes();
            copied(bytes);
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
    remove(layout::ARCHIVE_DIR, true);
    remove(layout::JOURNAL_DIR, true);
    let files = [layout::MARK_FILE, layout::WRITTEN_BY_FILE, layout::LOCK_FILE, layout::BACKUP_MARKER_FILE];
    files.into_iter().for_each(|name| remove(name, false));
}
