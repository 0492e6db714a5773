//! Reading: a snapshot is the runs and the head of one commit, for as long as anybody holds it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::cursor::{Direction, Merged, Source};
use super::manifest::{HEAD_KEY, MANIFEST_KEY, Manifest, Run};
use super::merge::BATCH_BYTES_MAX;
use super::page::Page;
use super::pages::{PageBatch, PageRead, PageStore};
use super::{StoreError, TableId, TableSpec};

/// A key with its value.
pub(crate) type Entry<'a> = (&'a [u8], &'a [u8]);

/// What one commit, or one merge, left.
#[derive(Debug)]
pub(super) struct State {
    pub(super) manifest: Manifest,
    pub(super) head: Option<Arc<[u8]>>,
}

/// What the writer and its readers share.
pub(super) struct Shared {
    pub(super) specs: &'static [TableSpec],
    pub(super) pages: Arc<dyn PageRead>,
    state: RwLock<Arc<State>>,
}

impl Shared {
    pub(super) fn new(specs: &'static [TableSpec], pages: Arc<dyn PageRead>, state: State) -> Self {
        Self { specs, pages, state: RwLock::new(Arc::new(state)) }
    }

    pub(super) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn publish(&self, state: State) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
    }

    pub(super) fn source(&self, index: usize) -> Source {
        Source { pages: Arc::clone(&self.pages), table: self.specs[index] }
    }

    /// Where a table stands in the specs.
    pub(super) fn index_of(&self, table: TableId) -> usize {
        self.specs.iter().position(|spec| spec.id == table).expect("only tables of the specs are named")
    }
}

/// Gives snapshots. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LevelsReader {
    pub(super) shared: Arc<Shared>,
}

impl LevelsReader {
    /// What the last commit left. Costs a lock and a counter.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { state: self.shared.state(), shared: Arc::clone(&self.shared) }
    }

    /// What the store takes up, in bytes.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        self.shared.pages.bytes_on_disk()
    }
}

impl fmt::Debug for LevelsReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LevelsReader")
    }
}

/// All tables at one commit. Later commits and merges don't change it; the pages it needs stay as long as it lives,
/// and so does the disk space of runs that were merged meanwhile: don't keep it for long.
#[derive(Clone)]
pub(crate) struct Snapshot {
    shared: Arc<Shared>,
    state: Arc<State>,
}

/// Figures of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableStats {
    /// The table's name.
    pub(crate) name: &'static str,
    /// Its sorted runs: what a lookup may have to ask.
    pub(crate) runs: u64,
    /// Their pages.
    pub(crate) pages: u64,
    /// Their entries, with superseded ones and removals.
    pub(crate) entries: u64,
    /// Size of their pages, in bytes.
    pub(crate) bytes: u64,
}

impl Snapshot {
    /// The opaque bytes of the commit, `None` before the first one.
    pub(crate) fn head(&self) -> Option<&[u8]> {
        self.state.head.as_deref()
    }

    /// The value of a key. Asks the runs that may have it, the newest first; each costs a search in the store and
    /// the checksum of a page.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for missing or changed pages, and what the store answers.
    ///
    /// # Panics
    /// When the table is none of the specs, here and in the other methods.
    pub(crate) fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let index = self.shared.index_of(table);
        assert_eq!(key.len(), self.shared.specs[index].key_len, "a table's keys have one length");
        let source = self.shared.source(index);
        for run in self.runs(index) {
            if let Some(found) = source.find(run, key)? {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Looks keys of a table up, cheaply where they come about in sequence.
    pub(crate) fn finder(&self, table: TableId) -> Finder {
        let index = self.shared.index_of(table);
        let pages = self.runs(index).iter().map(|_run| None).collect();
        Finder { source: self.shared.source(index), state: Arc::clone(&self.state), index, pages }
    }

    /// All entries from `low` (included) to `high` (excluded, `None` for the end), ascending. The bounds may be of
    /// any length. Holds one page of each run that it has come to.
    pub(crate) fn scan(&self, table: TableId, low: &[u8], high: Option<&[u8]>) -> Scan {
        Scan { walk: self.walk(table, low, high, Direction::Ascending) }
    }

    /// The same entries, descending.
    pub(crate) fn scan_back(&self, table: TableId, low: &[u8], high: Option<&[u8]>) -> ScanBack {
        ScanBack { walk: self.walk(table, low, high, Direction::Descending) }
    }

    /// Figures of each table, in the order of the specs.
    pub(crate) fn stats(&self) -> Vec<TableStats> {
        let figures = |(index, table): (usize, &TableSpec)| {
            let sum = |of: fn(&Run) -> u64| self.runs(index).iter().map(|run| of(run)).sum();
            TableStats {
                name: table.name,
                runs: self.runs(index).len() as u64,
                pages: sum(|run| run.pages),
                entries: sum(|run| run.entries),
                bytes: sum(|run| run.bytes),
            }
        };
        self.shared.specs.iter().enumerate().map(figures).collect()
    }

    /// Copies this snapshot into an empty store, in batches of about 4 MiB, each page checked on the way. `progress`
    /// gets the bytes copied so far after each batch. Manifest and head come last, so an interrupted copy is empty
    /// when it is opened.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`], [`StoreError::Damaged`], and what both stores answer.
    pub(crate) fn copy_to(
        &self,
        target: &mut dyn PageStore,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), StoreError> {
        if !target.reader().range(&[], &[0xff], 1)?.is_empty() {
            return Err(StoreError::NotEmpty);
        }
        let mut copied = 0;
        let mut batch = PageBatch::default();
        for index in 0..self.shared.specs.len() {
            let source = self.shared.source(index);
            for run in self.runs(index) {
                copy_run(&source, run, |key, page| {
                    copied += page.len() as u64;
                    batch.put(key, page);
                    if batch.bytes() >= BATCH_BYTES_MAX {
                        target.commit(std::mem::take(&mut batch))?;
                        progress(copied);
                    }
                    Ok(())
                })?;
            }
        }
        if let Some(head) = self.head() {
            batch.put(MANIFEST_KEY, self.state.manifest.encode());
            batch.put(HEAD_KEY, head.to_vec());
        }
        target.commit(batch)?;
        progress(copied);
        Ok(())
    }

    fn runs(&self, index: usize) -> &[Arc<Run>] {
        &self.state.manifest.runs[index]
    }

    fn walk(&self, table: TableId, low: &[u8], high: Option<&[u8]>, direction: Direction) -> Walk {
        Walk {
            snapshot: self.clone(),
            table: self.shared.index_of(table),
            direction,
            low: low.into(),
            high: high.map(Box::from),
            merged: None,
            is_over: false,
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Snapshot").field(&self.state).finish()
    }
}

/// Looks up keys of one table in one snapshot. It keeps the last page of each run, so that among keys in sequence each
/// page is searched for, and its checksum computed, once.
pub(crate) struct Finder {
    source: Source,
    state: Arc<State>,
    /// Where the table stands in the specs.
    index: usize,
    /// One for each of the table's runs.
    pages: Vec<Option<Page>>,
}

impl Finder {
    /// The value of a key, as [`Snapshot::get`] has it.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<Option<&[u8]>, StoreError> {
        assert_eq!(key.len(), self.source.table.key_len, "a table's keys have one length");
        let runs = &self.state.manifest.runs[self.index];
        for (run, kept) in runs.iter().zip(&mut self.pages) {
            if key < &*run.min || key > &*run.max {
                continue;
            }
            let page = match kept.take_if(|page| page.is_around(key)) {
                Some(page) => page,
                None => self.source.page_around(run, key)?,
            };
            if let Some(found) = kept.insert(page).find(key) {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

fn copy_run(
    source: &Source,
    run: &Run,
    mut take: impl FnMut(Box<[u8]>, Vec<u8>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut next = Some(run.min.to_vec());
    let (mut pages, mut entries) = (0, 0);
    while let Some(first) = next {
        let page = source.page_at(run, &first)?;
        pages += 1;
        entries += page.len() as u64;
        next = page.next().map(<[u8]>::to_vec);
        take(run.page_key(&first), page.bytes().to_vec())?;
    }
    if (pages, entries) == (run.pages, run.entries) {
        Ok(())
    } else {
        Err(run.damaged(&source.table, "pages or entries are missing"))
    }
}

/// Entries in ascending order.
pub(crate) struct Scan {
    walk: Walk,
}

impl Scan {
    /// The next entry: key and value. Allocates nothing for an entry. After the end, or an error, it gives nothing
    /// more.
    ///
    /// # Errors
    /// As for [`Snapshot::get`].
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'_>>, StoreError> {
        self.walk.next()
    }
}

/// Entries in descending order.
pub(crate) struct ScanBack {
    walk: Walk,
}

impl ScanBack {
    /// The next entry, downwards. See [`Scan::next`].
    ///
    /// # Errors
    /// As for [`Snapshot::get`].
    pub(crate) fn next(&mut self) -> Result<Option<Entry<'_>>, StoreError> {
        self.walk.next()
    }
}

struct Walk {
    snapshot: Snapshot,
    table: usize,
    direction: Direction,
    low: Box<[u8]>,
    high: Option<Box<[u8]>>,
    merged: Option<Merged>,
    is_over: bool,
}

impl Walk {
    fn next(&mut self) -> Result<Option<Entry<'_>>, StoreError> {
        if self.is_over {
            return Ok(None);
        }
        // Whatever ends the walk early, it stays at its end.
        self.is_over = true;
        if !self.advance()? {
            return Ok(None);
        }
        self.is_over = false;
        let entry = self.merged.as_ref().and_then(Merged::entry);
        Ok(entry.and_then(|(key, value)| value.map(|value| (key, value))))
    }

    /// To the next entry in the range that is no removal.
    fn advance(&mut self) -> Result<bool, StoreError> {
        let (low, high) = (&*self.low, self.high.as_deref());
        let merged = match &mut self.merged {
            Some(merged) => merged,
            None => {
                if high.is_some_and(|high| high <= low) {
                    return Ok(false);
                }
                let source = self.snapshot.shared.source(self.table);
                let runs = self.snapshot.runs(self.table);
                self.merged.insert(Merged::open(source, runs, self.direction, low, high)?)
            }
        };
        while merged.advance()? {
            let Some((key, value)) = merged.entry() else { return Ok(false) };
            let is_beyond = match self.direction {
                Direction::Ascending => high.is_some_and(|high| key >= high),
                Direction::Descending => key < low,
            };
            if is_beyond {
                return Ok(false);
            }
            if value.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
