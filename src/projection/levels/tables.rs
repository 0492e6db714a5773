//! The writer of the tables: staging, commits, merges, and the removal of what nobody needs any more.

use std::fmt;
use std::sync::Arc;

use super::manifest::{
    HEAD_KEY, MANIFEST_KEY, Manifest, PAGE_PREFIX, PAGES_END, Run, page_key, parse_page_key,
};
use super::merge::{BATCH_BYTES_MAX, Expired, Merge};
use super::page::RunWriter;
use super::pages::{PageBatch, PageRead, PageStore};
use super::snapshot::{LevelsReader, Shared, State};
use super::staging::Staging;
use super::{LevelsOptions, StoreError, TableId, TableSpec, VALUE_BYTES_MAX};

const KEY_BYTES_MAX: usize = 1_024;

/// Tables with one writer. Dropping it loses what is staged and nothing else.
pub(crate) struct Levels {
    pages: Box<dyn PageStore>,
    options: LevelsOptions,
    shared: Arc<Shared>,
    staging: Vec<Staging>,
    next_run: u64,
    merges: Vec<Merge>,
    retired: Vec<Retired>,
    /// A write failed.
    has_stopped: bool,
}

/// A run that the manifest doesn't name any more, or never did, with pages left in the store.
struct Retired {
    table: TableId,
    id: u64,
    /// Shared with the snapshots that may read it; `None` for what was found at open.
    run: Option<Arc<Run>>,
    /// No page is left before this key.
    from: Box<[u8]>,
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommitReport {
    /// Changes written, each key once.
    pub(crate) entries: u64,
    /// Keys and pages written to the store, manifest and head included, in bytes.
    pub(crate) bytes_written: u64,
    /// Pages of retired runs that were removed.
    pub(crate) pages_removed: u64,
}

/// What a step of merging did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MergeReport {
    /// Entries merged, each key once.
    pub(crate) entries: u64,
    /// Keys and pages written to the store, in bytes.
    pub(crate) bytes_written: u64,
    /// Pages of retired runs that were removed.
    pub(crate) pages_removed: u64,
    /// Whether there is more to merge or to remove now.
    pub(crate) more: bool,
}

impl Levels {
    /// Opens the tables. Pages of runs that a crash left unfinished are found here, and removed by the writes that
    /// follow, so that a large one doesn't hold up the start.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], [`StoreError::UnknownFormat`], and what the store answers.
    ///
    /// # Panics
    /// When specs or options are out of their bounds.
    pub(crate) fn open(
        pages: Box<dyn PageStore>,
        specs: &'static [TableSpec],
        options: LevelsOptions,
    ) -> Result<Self, StoreError> {
        check(specs, options);
        let reader = pages.reader();
        let (manifest, head) = match (reader.get(MANIFEST_KEY)?, reader.get(HEAD_KEY)?) {
            (None, None) => (Manifest::empty(specs), None),
            (Some(manifest), Some(head)) => {
                (Manifest::decode(manifest.as_ref(), specs)?, Some(Arc::from(head.as_ref())))
            }
            (None, Some(_)) => return Err(StoreError::damaged("it has a head, but no list of runs")),
            (Some(_), None) => return Err(StoreError::damaged("it has a list of runs, but no head")),
        };
        let retired = orphans(&*reader, &manifest)?;
        let next_run = retired.iter().map(|orphan| orphan.id + 1).fold(manifest.next_run, u64::max);
        Ok(Self {
            pages,
            options,
            staging: specs.iter().map(|table| Staging::new(table.key_len)).collect(),
            next_run,
            merges: Vec::new(),
            retired,
            has_stopped: false,
            shared: Arc::new(Shared::new(specs, reader, State { manifest, head })),
        })
    }

    /// The opaque bytes of the last commit, `None` before the first one.
    #[cfg(test)]
    pub(crate) fn head(&self) -> Option<Arc<[u8]>> {
        self.shared.state().head.clone()
    }

    /// Gives snapshots to other threads.
    pub(crate) fn reader(&self) -> LevelsReader {
        LevelsReader { shared: Arc::clone(&self.shared) }
    }

    /// Stages an entry for the next commit, in place of an earlier one with this key. The owner commits long before
    /// a table has 4 GiB staged.
    ///
    /// # Panics
    /// When the table is none of the specs, the key hasn't its table's length, or the value has more than
    /// [`VALUE_BYTES_MAX`] bytes.
    pub(crate) fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) {
        assert!(value.len() <= VALUE_BYTES_MAX, "a value of {} bytes is too long", value.len());
        self.stage(table, key, Some(value));
    }

    /// Stages the removal of a key, whether it is there or not.
    ///
    /// # Panics
    /// As [`Levels::put`].
    pub(crate) fn remove(&mut self, table: TableId, key: &[u8]) {
        self.stage(table, key, None);
    }

    /// Memory that staged changes take, in bytes. Each change of a key counts until the commit.
    #[cfg(test)]
    pub(crate) fn staged_bytes(&self) -> usize {
        self.staging.iter().map(Staging::bytes).sum()
    }

    /// Makes what is staged, and the head, durable and visible at once: all of it or, after a crash, nothing.
    ///
    /// Pages go to the store in batches of about 4 MiB; the last one carries manifest and head.
    ///
    /// # Errors
    /// What the store answers: then nothing is visible, what was staged is unusable, and the writer stops. It is
    /// [`StoreError::Stopped`] from then on.
    pub(crate) fn commit(&mut self, head: &[u8]) -> Result<CommitReport, StoreError> {
        self.guarded(|levels| levels.try_commit(head))
    }

    /// Merges until about `bytes_max` bytes were read, the smallest merges first, and removes some pages of retired
    /// runs. The head doesn't change, and no content does, except that entries which have `expired` and removals go
    /// for good when a merge includes the table's oldest run.
    ///
    /// # Errors
    /// As [`Levels::commit`]. Damaged inputs stop the writer too.
    pub(crate) fn merge_step(
        &mut self,
        bytes_max: usize,
        expired: Expired<'_>,
    ) -> Result<MergeReport, StoreError> {
        self.guarded(|levels| levels.try_merge_step(bytes_max, expired))
    }

    /// Runs of the level that has most of them: how far merging is behind.
    pub(crate) fn runs_max(&self) -> usize {
        let state = self.shared.state();
        let levels = state.manifest.runs.iter().flat_map(|runs| runs.chunk_by(|a, b| a.level == b.level));
        levels.map(<[_]>::len).max().unwrap_or(0)
    }

    fn guarded<T>(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.has_stopped {
            return Err(StoreError::Stopped);
        }
        let written = write(self);
        self.has_stopped = written.is_err();
        written
    }

    fn stage(&mut self, table: TableId, key: &[u8], value: Option<&[u8]>) {
        let index = self.shared.index_of(table);
        assert_eq!(key.len(), self.shared.specs[index].key_len, "a table's keys have one length");
        self.staging[index].push(key, value);
    }

    fn try_commit(&mut self, head: &[u8]) -> Result<CommitReport, StoreError> {
        let mut report = CommitReport::default();
        let mut batch = PageBatch::default();
        let mut manifest = self.shared.state().manifest.clone();
        for index in 0..self.staging.len() {
            if self.staging[index].is_empty() {
                continue;
            }
            let id = self.new_run();
            let mut writer = RunWriter::new(&self.shared.specs[index], id, 0, self.options.page_bytes);
            for (key, value) in self.staging[index].sorted() {
                writer.push(key, value, &mut batch);
                if batch.bytes() >= BATCH_BYTES_MAX {
                    report.bytes_written += batch.bytes() as u64;
                    self.pages.commit(std::mem::take(&mut batch))?;
                }
            }
            if let Some(run) = writer.finish(&mut batch) {
                report.entries += run.entries;
                manifest.runs[index].insert(0, Arc::new(run));
            }
        }
        report.pages_removed = self.remove_retired(&mut batch)?;
        manifest.next_run = self.next_run;
        batch.put(MANIFEST_KEY, manifest.encode());
        batch.put(HEAD_KEY, head.to_vec());
        report.bytes_written += batch.bytes() as u64;
        self.pages.commit(batch)?;
        self.shared.publish(State { manifest, head: Some(head.into()) });
        self.staging.iter_mut().for_each(Staging::clear);
        Ok(report)
    }

    fn try_merge_step(&mut self, bytes_max: usize, expired: Expired<'_>) -> Result<MergeReport, StoreError> {
        let mut report = MergeReport::default();
        let mut bytes_left = bytes_max.max(1);
        while bytes_left > 0 {
            let mut batch = PageBatch::default();
            let Some(at) = self.next_merge()? else { break };
            let piece = self.merges[at].work(bytes_left, expired, &mut batch)?;
            bytes_left = bytes_left.saturating_sub(piece.bytes);
            report.entries += piece.entries;
            let finished = piece.is_done.then(|| self.finish_merge(at, &mut batch));
            self.write(batch, &mut report)?;
            if let Some((state, inputs)) = finished {
                self.shared.publish(state);
                self.retired.extend(inputs.into_iter().map(Retired::of));
            }
        }
        // With nothing to merge this is all there is to do.
        if report.bytes_written == 0 {
            self.write(PageBatch::default(), &mut report)?;
        }
        report.more = !self.merges.is_empty() || self.waiting().is_some() || self.has_removable();
        Ok(report)
    }

    fn write(&mut self, mut batch: PageBatch, report: &mut MergeReport) -> Result<(), StoreError> {
        report.pages_removed += self.remove_retired(&mut batch)?;
        report.bytes_written += batch.bytes() as u64;
        if batch.is_empty() { Ok(()) } else { self.pages.commit(batch) }
    }

    /// The state after a merge, and what it retires; the switch is in the batch.
    fn finish_merge(&mut self, at: usize, batch: &mut PageBatch) -> (State, Vec<Arc<Run>>) {
        let state = self.shared.state();
        let mut manifest = state.manifest.clone();
        let inputs = self.merges.swap_remove(at).finish(&mut manifest, batch);
        manifest.next_run = self.next_run;
        batch.put(MANIFEST_KEY, manifest.encode());
        (State { manifest, head: state.head.clone() }, inputs)
    }

    /// The merge to go on with: of those under way and those that wait, one of the lowest level, because its runs
    /// come fastest.
    fn next_merge(&mut self) -> Result<Option<usize>, StoreError> {
        let running = (0..self.merges.len()).min_by_key(|at| self.merges[*at].level);
        let running_level = running.map(|at| self.merges[at].level);
        match self.waiting() {
            Some((table, level)) if running_level.is_none_or(|running| level < running) => {
                let id = self.new_run();
                let state = self.shared.state();
                let runs = &state.manifest.runs[table];
                let source = self.shared.source(table);
                self.merges.push(Merge::begin(source, table, runs, level, id, self.options.page_bytes)?);
                Ok(Some(self.merges.len() - 1))
            }
            _ => Ok(running),
        }
    }

    /// The table and the lowest level that has enough runs and no merge under way.
    fn waiting(&self) -> Option<(usize, u8)> {
        let state = self.shared.state();
        let tables = state.manifest.runs.iter().enumerate();
        let full = tables.flat_map(|(table, runs)| {
            let levels = runs.chunk_by(|a, b| a.level == b.level);
            let full = levels.filter(|level| level.len() >= self.options.fan_in);
            full.map(move |level| (table, level[0].level))
        });
        let is_free = |(table, level): &(usize, u8)| {
            !self.merges.iter().any(|merge| merge.table == *table && merge.level == *level)
        };
        full.filter(is_free).min_by_key(|(_, level)| *level)
    }

    fn new_run(&mut self) -> u64 {
        self.next_run += 1;
        self.next_run - 1
    }

    fn has_removable(&mut self) -> bool {
        self.retired.iter_mut().any(Retired::is_removable)
    }

    /// Adds some pages of retired runs that no snapshot uses to what the batch removes.
    fn remove_retired(&mut self, batch: &mut PageBatch) -> Result<u64, StoreError> {
        let mut left = self.options.removes_max;
        let mut at = 0;
        while at < self.retired.len() && left > 0 {
            let retired = &mut self.retired[at];
            if !retired.is_removable() {
                at += 1;
                continue;
            }
            let end = end_of(retired.table, retired.id);
            let found = self.shared.pages.range(&retired.from, &end, left)?;
            let is_all = found.len() < left;
            left -= found.len();
            if let Some((last, _)) = found.last() {
                retired.from = [last, [0].as_slice()].concat().into();
            }
            found.into_iter().for_each(|(key, _)| batch.remove(key));
            if is_all {
                self.retired.swap_remove(at);
            }
        }
        Ok((self.options.removes_max - left) as u64)
    }
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Levels")
            .field("options", &self.options)
            .field("merges", &self.merges.len())
            .field("retired", &self.retired.len())
            .field("has_stopped", &self.has_stopped)
            .finish_non_exhaustive()
    }
}

impl Retired {
    fn of(run: Arc<Run>) -> Self {
        Self { table: run.table, id: run.id, from: run.page_key(&run.min), run: Some(run) }
    }

    /// No snapshot can get hold of it again once there is none, because the manifest doesn't name it.
    fn is_removable(&mut self) -> bool {
        self.run.as_mut().is_none_or(|run| Arc::get_mut(run).is_some())
    }
}

/// The first key behind all pages of a run.
fn end_of(table: TableId, run: u64) -> Box<[u8]> {
    page_key(table, run + 1, &[])
}

/// Runs with pages in the store that the manifest doesn't name. Costs one search for each run.
fn orphans(pages: &dyn PageRead, manifest: &Manifest) -> Result<Vec<Retired>, StoreError> {
    let mut found = Vec::new();
    let mut from: Box<[u8]> = [PAGE_PREFIX].into();
    while let Some((key, _)) = pages.range(&from, PAGES_END, 1)?.pop() {
        let (table, id) = parse_page_key(&key)?;
        if id == u64::MAX {
            return Err(StoreError::damaged(format!("{key:02x?} is no key of a page")));
        }
        if !manifest.runs.iter().flatten().any(|run| run.table == table && run.id == id) {
            found.push(Retired { table, id, run: None, from: key });
        }
        from = end_of(table, id);
    }
    Ok(found)
}

fn check(specs: &[TableSpec], options: LevelsOptions) {
    for (index, table) in specs.iter().enumerate() {
        assert!(
            (1..=KEY_BYTES_MAX).contains(&table.key_len),
            "keys of table {} are out of bounds",
            table.name
        );
        assert!(specs[..index].iter().all(|other| other.id != table.id), "a table's number is its own");
    }
    assert!(options.fan_in >= 2 && options.removes_max > 0, "merges must make progress");
    assert!(options.page_bytes <= VALUE_BYTES_MAX, "pages are too large for the store");
}
