//! A merge under way: all runs of one level of a table become one run, a bounded piece at a time.

use std::sync::Arc;

use super::cursor::{Direction, Merged, Source};
use super::manifest::{Manifest, Run};
use super::page::RunWriter;
use super::pages::PageBatch;
use super::{StoreError, TableId};

/// About how many bytes of pages go to the store at once. The store reuses disk space on the strength of what isn't
/// synced yet, so it is synced at least so often.
pub(super) const BATCH_BYTES_MAX: usize = 4 << 20;
/// Runs that one merge takes at most: those that wait are the newest, and each costs a page of memory.
const INPUTS_MAX: usize = 64;

/// Whether an entry may be forgotten.
pub(super) type Expired<'a> = &'a dyn Fn(TableId, &[u8], &[u8]) -> bool;

/// One merge. Merges of different levels go on side by side, so that a large one doesn't hold up small ones.
pub(super) struct Merge {
    /// Where the table stands in the specs.
    pub(super) table: usize,
    pub(super) level: u8,
    table_id: TableId,
    inputs: Vec<Arc<Run>>,
    /// Nothing older is left, so what it doesn't write is gone.
    has_oldest: bool,
    merged: Merged,
    writer: RunWriter,
}

/// What one piece of a merge did.
pub(super) struct Piece {
    /// Entries read, in bytes.
    pub(super) bytes: usize,
    pub(super) entries: u64,
    pub(super) is_done: bool,
}

impl Merge {
    /// Begins to merge the oldest runs of a level. Runs that the level gets later are newer than all of them.
    pub(super) fn begin(
        source: Source,
        table: usize,
        runs: &[Arc<Run>],
        level: u8,
        id: u64,
        page_bytes: usize,
    ) -> Result<Self, StoreError> {
        let start = runs.partition_point(|run| run.level < level);
        let end = runs.partition_point(|run| run.level <= level);
        let inputs = runs[start.max(end.saturating_sub(INPUTS_MAX))..end].to_vec();
        let spec = source.table;
        Ok(Self {
            table,
            level,
            table_id: spec.id,
            has_oldest: end == runs.len(),
            merged: Merged::open(source, &inputs, Direction::Ascending, &[], None)?,
            inputs,
            writer: RunWriter::new(&spec, id, level, page_bytes),
        })
    }

    /// Merges until about `bytes_max` bytes were read or the batch is full. Pages that are full go to the batch.
    pub(super) fn work(
        &mut self,
        bytes_max: usize,
        expired: Expired<'_>,
        batch: &mut PageBatch,
    ) -> Result<Piece, StoreError> {
        let mut piece = Piece { bytes: 0, entries: 0, is_done: false };
        while piece.bytes < bytes_max && batch.bytes() < BATCH_BYTES_MAX {
            if !self.merged.advance()? {
                piece.is_done = true;
                break;
            }
            let Some((key, value)) = self.merged.entry() else { continue };
            piece.bytes += key.len() + value.map_or(0, <[u8]>::len);
            piece.entries += 1;
            let is_gone = self.has_oldest && value.is_none_or(|value| expired(self.table_id, key, value));
            if !is_gone {
                self.writer.push(key, value, batch);
            }
        }
        Ok(piece)
    }

    /// Puts the result in the place of what was merged. Returns the runs that are retired.
    ///
    /// The result goes to the next level, unless less than half is left of a table's oldest runs: then it stays, so
    /// that the next entries to expire needn't wait for a level that never fills.
    pub(super) fn finish(self, manifest: &mut Manifest, batch: &mut PageBatch) -> Vec<Arc<Run>> {
        let read: u64 = self.inputs.iter().map(|run| run.entries).sum();
        let runs = &mut manifest.runs[self.table];
        let is_input = |run: &Arc<Run>| self.inputs.iter().any(|input| input.id == run.id);
        let start = runs.iter().position(is_input).unwrap_or(runs.len());
        let end = start + self.inputs.len();
        assert!(runs[start..end].iter().all(is_input), "the runs of a merge stay next to each other");
        let result = self.writer.finish(batch).map(|mut run| {
            let stays = self.has_oldest && run.entries * 2 < read;
            run.level = if stays { self.level } else { self.level.saturating_add(1) };
            Arc::new(run)
        });
        runs.splice(start..end, result);
        self.inputs
    }
}
