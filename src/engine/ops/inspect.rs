//! Inspecting and backing up, whether an engine runs on the directory or not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use tokio::sync::oneshot;

use super::stopped::Stopped;
use super::{InspectReport, OldestOrder, OpsError, ProjectionReport, TableReport, client};
use crate::domain::order::OrderStatus;
use crate::engine::backup::{BackupReport, Source, Watch};
use crate::engine::{Engine, Health, Inner, OpenError};
use crate::journal::{format_of, free_bytes, layout, written_by};
use crate::projection::store::{StoreReader, scan_open};
use crate::runtime::clock::{Clock, STEP_MAX_MS_DEFAULT};

/// Looks at a data directory: asks the engine that runs on it, or opens it.
///
/// Reads all open orders of the store once, and holds none of them.
///
/// # Errors
/// [`OpsError`]: no data directory, one that can't be read, an engine that can't be asked.
///
/// ```
/// # use stockade::{Config, Engine, ops};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let data = dir.path().join("shop");
/// let engine = Engine::open(Config::new(&data).ballast_bytes(0)).await?;
/// engine.shutdown().await?;
/// drop(engine);
/// # while let Err(ops::OpsError::NoSocket { .. }) = ops::inspect(&data) {}
/// let report = ops::inspect(&data)?;
/// assert!(!report.in_use && report.journal_last > 0);
/// # Ok(())
/// # }
/// ```
pub fn inspect(dir: &Path) -> Result<InspectReport, OpsError> {
    let stopped = match Stopped::open(dir) {
        Err(OpsError::InUse { dir }) => return client::inspect(&dir),
        opened => opened?,
    };
    let found = &stopped.found;
    let mut report = InspectReport {
        format: found.format,
        journal_first: found.first.0,
        journal_last: found.last.0,
        durable: found.marked_last.0,
        ..InspectReport::default()
    };
    look_at_disk(dir, &mut report);
    let now_ms = Clock::system(STEP_MAX_MS_DEFAULT).now_ms();
    look_at_store(stopped.store.as_ref(), now_ms, &mut report)?;
    Ok(report)
}

/// Backs a data directory up: lets the engine that runs on it do so, or copies it. `progress` gets the bytes copied so
/// far.
///
/// See [`Engine::backup`] for what a backup is. An engine that runs on the directory resolves `to` by its own working
/// directory, so this makes it absolute.
///
/// # Errors
/// [`OpsError`]: no data directory, one that can't be read, an engine that can't be asked or that refuses, a target that
/// can't be written.
///
/// ```
/// # use stockade::{Config, Engine, ops};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let (data, copy) = (dir.path().join("shop"), dir.path().join("copy"));
/// let config = Config::new(&data).control_socket(true).ballast_bytes(0);
/// let engine = Engine::open(config).await?;
/// let to = copy.clone();
/// let report = tokio::task::spawn_blocking(move || ops::backup(&data, &to, |_bytes| {})).await??;
/// assert_eq!(ops::inspect(&copy)?.journal_last, report.position.0);
/// # engine.shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub fn backup(dir: &Path, to: &Path, mut progress: impl FnMut(u64)) -> Result<BackupReport, OpsError> {
    let stopped = match Stopped::open(dir) {
        Err(OpsError::InUse { dir }) => return client::backup(&dir, to, &mut progress),
        opened => opened?,
    };
    let clock = Clock::system(STEP_MAX_MS_DEFAULT);
    let began_ns = clock.monotonic_ns();
    let watch = Arc::new(Watch::new(to, Some(dir), 0, None)?);
    let source = Source { journal: Arc::clone(&stopped.journal), store: stopped.store.clone() };
    let mut go_on = |bytes| {
        progress(bytes);
        true
    };
    let report = source.copy(&watch, &|_stored| {}, &mut go_on)?;
    Ok(BackupReport { elapsed_ms: clock.monotonic_ns().saturating_sub(began_ns) / 1_000_000, ..report })
}

impl Engine {
    /// What the engine's data directory holds: positions, counts, sizes, lags.
    ///
    /// Reads all open orders of the store once, on a thread of its own: a tool for people, not for polling. For that
    /// there is [`Engine::metrics`].
    ///
    /// # Errors
    /// [`OpsError::InMemory`], or a store that can't be read.
    ///
    /// ```
    /// # use stockade::{Config, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let engine = Engine::open(Config::new(dir.path().join("shop")).ballast_bytes(0)).await?;
    /// let report = engine.inspect().await?;
    /// assert_eq!((report.in_use, report.health.as_deref()), (true, Some("open")));
    /// # engine.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn inspect(&self) -> Result<InspectReport, OpsError> {
        let inner = Arc::clone(&self.inner);
        let (done, report) = oneshot::channel();
        let work = move || {
            let report = inspect_running(&inner);
            drop(inner);
            // Whoever asked may have gone.
            let _ = done.send(report);
        };
        let started = thread::Builder::new().name("inspect".to_owned()).spawn(work);
        started.map_err(|error| OpsError::Failed(error.to_string()))?;
        report.await.unwrap_or_else(|_gone| Err(OpsError::Failed("its thread ended".to_owned())))
    }
}

/// Looks at a running engine.
///
/// # Errors
/// As [`Engine::inspect`].
pub(super) fn inspect_running(inner: &Inner) -> Result<InspectReport, OpsError> {
    let Some(dir) = &inner.settings.data_dir else { return Err(OpsError::InMemory) };
    let metrics = inner.metrics();
    let mut report = InspectReport {
        in_use: true,
        health: Some(match metrics.health {
            Health::Open => "open".to_owned(),
            Health::Draining => "draining".to_owned(),
            Health::Closed => "closed".to_owned(),
            Health::Poisoned { reason } => format!("poisoned: {reason}"),
        }),
        format: format_of(dir).unwrap_or(layout::DATA_FORMAT),
        journal_first: metrics.journal_first.0,
        journal_last: metrics.appended.0,
        durable: metrics.durable.0,
        store_failure: metrics.store_failure,
        orders_in_memory: Some(metrics.orders),
        ..InspectReport::default()
    };
    look_at_disk(dir, &mut report);
    let store = inner.store.as_ref().map(|store| &store.reader);
    look_at_store(store, inner.clock.now_ms(), &mut report)?;
    Ok(report)
}

fn look_at_store(
    store: Option<&StoreReader>,
    now_ms: u64,
    report: &mut InspectReport,
) -> Result<(), OpenError> {
    let Some(store) = store else { return Ok(()) };
    let (snapshot, head) = store.pinned()?;
    let (mut pending, mut paid, mut shipped, mut closed) = (0, 0, 0, head.closed_orders);
    let mut oldest = None;
    scan_open(&snapshot, |order| {
        match order.status {
            OrderStatus::Pending => pending += 1,
            // Some units are still to be shipped.
            OrderStatus::Paid | OrderStatus::PartiallyShipped => paid += 1,
            OrderStatus::Shipped => shipped += 1,
            // Closed behind the store's position, or with an unfinished refund: it is among the open ones.
            OrderStatus::Completed | OrderStatus::Cancelled => {
                closed += 1;
                return true;
            }
        }
        let this = (order.created_at_ms, order.order_no);
        if oldest.is_none_or(|oldest| this < oldest) {
            oldest = Some(this);
        }
        true
    })?;
    report.store_position = Some(head.position.0);
    report.orders_placed = Some(head.orders);
    report.orders_closed = Some(closed);
    (report.orders_pending, report.orders_paid, report.orders_shipped) =
        (Some(pending), Some(paid), Some(shipped));
    report.payments_pending = Some(head.pending.len() as u64);
    report.oldest_open = oldest.map(|(created_at_ms, order_no)| OldestOrder {
        order_no: order_no.to_string(),
        created_at_ms,
        age_ms: now_ms.saturating_sub(created_at_ms),
    });
    let last = if report.in_use { report.durable } else { report.journal_last };
    report.projections = vec![ProjectionReport {
        name: "store".to_owned(),
        position: head.position.0,
        lag_events: last.saturating_sub(head.position.0),
    }];
    let table = |stats: crate::projection::levels::TableStats| TableReport {
        name: stats.name.to_owned(),
        runs: stats.runs,
        pages: stats.pages,
        entries: stats.entries,
        bytes: stats.bytes,
    };
    report.tables = snapshot.stats().into_iter().map(table).collect();
    let files = store.archive().map(|archive| archive.files()).unwrap_or_default();
    if !files.is_empty() {
        report.tables.push(TableReport {
            name: "cold files".to_owned(),
            runs: files.len() as u64,
            pages: 0,
            entries: files.iter().map(|file| file.orders()).sum(),
            bytes: files.iter().map(|file| file.bytes()).sum(),
        });
    }
    Ok(())
}

fn look_at_disk(dir: &Path, report: &mut InspectReport) {
    report.written_by = written_by(dir);
    report.journal_bytes = taken_bytes(&dir.join(layout::JOURNAL_DIR));
    report.store_bytes = taken_bytes(&dir.join(layout::STORE_DIR));
    report.ballast_bytes = taken_bytes(&dir.join(layout::BALLAST_FILE));
    report.free_bytes = free_bytes(dir).unwrap_or(0);
}

/// Blocks of a file, or of all files below a folder, in bytes. What goes away meanwhile counts for nothing.
fn taken_bytes(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    if !metadata.is_dir() {
        return metadata.blocks() * 512;
    }
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries.flatten().map(|entry| taken_bytes(&entry.path())).sum()
}
