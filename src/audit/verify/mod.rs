//! Audits a data directory offline: adds up its store, reads its journal from the first frame on, hands every entry to
//! the [`Auditor`].
//!
//! Opening a sled database writes to it, so the audit works on a copy unless told otherwise. While it copies, it
//! holds a shared lock on every file, which no running engine allows and no starting one gets past.
//!
//! What is judged depends on what there is:
//!
//! | journal begins at | store | audit |
//! |---|---|---|
//! | 1 | none | the whole history |
//! | 1 | there is one | the whole history; the store on its own, and against the replay up to its checkpoint |
//! | later | there is one | the store on its own; the events behind its checkpoint from there on; those before it are looked for in it |
//! | later | none, or it doesn't reach the journal | a violation, and every frame is read all the same |

mod error;
mod scratch;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::report::Rule;
use super::stored::{StoreOptions, Stored, compare};
use super::{AuditReport, Auditor, VIOLATIONS_KEPT};
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::order::Order;
use crate::journal::{
    Journal, JournalError, JournalRead, Scan, SledJournal, SledJournalOptions, layout, scan,
};
use crate::projection::store::Contents;

pub(crate) use error::Names;
pub use error::VerifyError;
use scratch::Scratch;

/// Entries between two reports of progress.
const PROGRESS_ENTRIES: u64 = 4096;
/// For how long payments are kept unless told otherwise, in ms: the engine's own default, 180 days.
const PAYMENT_WINDOW_MS: u64 = 180 * 24 * 3_600_000;

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
    /// Records of the store added up.
    Stored {
        /// So far.
        records: u64,
    },
    /// Events audited.
    Audited {
        /// So far.
        events: u64,
    },
}

/// Sees every entry: the position of its first event, and its events.
type EntryObserver<'a> = dyn FnMut(Position, &[Event]) + 'a;
/// Sees every stored order.
type OrderObserver<'a> = dyn FnMut(&Order) + 'a;

/// How to audit.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    in_place: bool,
    scratch: Option<PathBuf>,
    violations_kept: Option<usize>,
    progress: Option<Box<dyn FnMut(Progress) + 'a>>,
    observer: Option<Box<EntryObserver<'a>>>,
    order_observer: Option<Box<OrderObserver<'a>>>,
    payment_window_ms: Option<u64>,
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

    /// Shows every order of the store to somebody else as well, before the journal's entries.
    #[must_use]
    pub fn on_order(mut self, observer: impl FnMut(&Order) + 'a) -> Self {
        self.order_observer = Some(Box::new(observer));
        self
    }

    /// For how long the engine keeps payments, in ms, if not for its default of 180 days: older ones may be missing.
    #[must_use]
    pub fn payment_window_ms(mut self, payment_window_ms: u64) -> Self {
        self.payment_window_ms = Some(payment_window_ms);
        self
    }

    fn violations_max(&self) -> usize {
        self.violations_kept.unwrap_or(VIOLATIONS_KEPT)
    }

    fn report(&mut self, progress: Progress) {
        if let Some(callback) = &mut self.progress {
            callback(progress);
        }
    }
}

/// Audits journal and store of a data directory that no engine has open.
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
        return verify_dir(data_dir, data_dir, options);
    }
    // Removed after everything in it is closed, whatever happens in between.
    let scratch = Scratch::copy_of(data_dir, &mut options)?;
    verify_dir(scratch.dir(), data_dir, options)
}

/// Audits entries from any source, from the first event on; `options` about files and stores are of no account here.
///
/// # Errors
/// What the source comes up with.
pub fn verify_entries(
    source: &mut dyn EntrySource,
    mut options: VerifyOptions<'_>,
) -> Result<AuditReport, VerifyError> {
    let auditor = Auditor::with_violations_kept(options.violations_max());
    Ok(read_all(auditor, None, source, &mut options)?.finish())
}

/// Audits what is in `dir`, which is `data_dir` or a copy of it.
fn verify_dir(
    dir: &Path,
    data_dir: &Path,
    mut options: VerifyOptions<'_>,
) -> Result<AuditReport, VerifyError> {
    let names = Names { dir: dir.to_owned(), data_dir: data_dir.to_owned() };
    let journal = open_journal(dir, &names)?;
    let store_dir = dir.join(layout::STORE_DIR);
    let contents =
        store_dir.is_dir().then(|| Contents::open(&store_dir, &dir.join(layout::ARCHIVE_DIR))).transpose();
    let contents = contents.map_err(|error| names.explain_store(&error))?;
    verify_parts(journal, contents.as_ref(), names, &mut options)
}

/// Audits a journal, and the store beside it if there is one.
pub(crate) fn verify_parts(
    journal: Arc<dyn JournalRead>,
    contents: Option<&Contents>,
    names: Names,
    options: &mut VerifyOptions<'_>,
) -> Result<AuditReport, VerifyError> {
    let stored = contents.map(|contents| Stored::audit(contents, store_options(options))).transpose();
    let stored = stored.map_err(|error| names.explain_store(&error))?;
    let (first, last) = (journal.first(), journal.last());
    let mut source = JournalEntries { scan: scan(journal, first), decoded: VecDeque::new(), names };
    verify_both(stored, first, last, &mut source, options)
}

fn store_options<'o>(options: &'o mut VerifyOptions<'_>) -> StoreOptions<'o> {
    let violations_kept = options.violations_max();
    let VerifyOptions { progress, order_observer, payment_window_ms, .. } = options;
    StoreOptions {
        violations_kept,
        payment_window_ms: payment_window_ms.unwrap_or(PAYMENT_WINDOW_MS),
        on_order: order_observer.as_mut().map(|observer| &mut **observer as &mut dyn FnMut(&Order)),
        on_progress: progress.as_mut().map(|progress| &mut **progress as &mut dyn FnMut(Progress)),
    }
}

/// Audits a journal of these positions, and a store beside it.
fn verify_both(
    stored: Option<Stored>,
    first: Position,
    last: Position,
    source: &mut dyn EntrySource,
    options: &mut VerifyOptions<'_>,
) -> Result<AuditReport, VerifyError> {
    let kept = options.violations_max();
    let Some(mut stored) = stored else {
        let auditor = Auditor::with_violations_kept(kept);
        return Ok(read_all(auditor, None, source, options)?.finish());
    };
    let position = stored.position;
    let findings = &mut stored.auditor.findings;
    findings.at(position);
    findings.check(position <= last, Rule::Store, || {
        format!("the store ends at position {position}, the journal already at position {last}")
    });
    findings.check(first.0 <= position.0 + 1, Rule::Store, || {
        format!("the store ends at position {position}, the journal begins at position {first}")
    });
    if first == Position(1) {
        // The journal alone is enough: it is replayed, and the store is compared with it.
        let (replay, expected) = Auditor::replay_beside(stored, kept);
        return Ok(read_all(replay, Some((position, expected)), source, options)?.finish());
    }
    if position > last || first.0 > position.0 + 1 {
        // Events that nothing leads up to can't be judged. They must be readable all the same.
        while next_entry(source, options)?.is_some() {}
        return Ok(Auditor::resume(stored, first).finish_unread(first, last));
    }
    Ok(read_all(Auditor::resume(stored, first), None, source, options)?.finish())
}

/// Hands every entry to the auditor. `expected` is what the state must be after a position.
fn read_all(
    mut auditor: Auditor,
    mut expected: Option<(Position, Auditor)>,
    source: &mut dyn EntrySource,
    options: &mut VerifyOptions<'_>,
) -> Result<Auditor, VerifyError> {
    let mut entries = 0_u64;
    while let Some((first, events)) = next_entry(source, options)? {
        if let Some((position, state)) = expected.take_if(|(position, _)| *position < first) {
            compare(&mut auditor, &state, position);
        }
        auditor.entry(first, &events);
        entries += 1;
        if entries.is_multiple_of(PROGRESS_ENTRIES) {
            options.report(Progress::Audited { events: auditor.events() });
        }
    }
    if let Some((position, state)) = expected {
        compare(&mut auditor, &state, position);
    }
    options.report(Progress::Audited { events: auditor.events() });
    Ok(auditor)
}

/// The next entry, after whoever else wants to see it has seen it.
fn next_entry(
    source: &mut dyn EntrySource,
    options: &mut VerifyOptions<'_>,
) -> Result<Option<(Position, Vec<Event>)>, VerifyError> {
    let next = source.next_entry()?;
    if let (Some(observer), Some((first, events))) = (&mut options.observer, &next) {
        observer(*first, events);
    }
    Ok(next)
}

/// Whether there is anything of a journal in a data directory. Opening would make one where there is none.
fn holds_journal(data_dir: &Path) -> bool {
    [layout::FORMAT_FILE, layout::MARK_FILE, layout::JOURNAL_DIR]
        .iter()
        .any(|name| data_dir.join(name).exists())
}

/// Opens the journal in `dir`. All that the audit knows about the journal's API is here and in [`JournalEntries`].
fn open_journal(dir: &Path, names: &Names) -> Result<Arc<dyn JournalRead>, VerifyError> {
    // The audit frees nothing and needs no reserve: it neither makes nor touches the ballast.
    let options = SledJournalOptions { ballast_bytes: 0, ..SledJournalOptions::default() };
    let (journal, report) = SledJournal::open(dir, options).map_err(|error| names.explain(&error))?;
    if report.created {
        return Err(VerifyError::NoJournal { dir: names.data_dir.clone() });
    }
    Ok(journal.reader())
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
