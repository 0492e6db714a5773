//! Which segments are merged, and when: merging makes queries and deletions fast, and takes what a core has from orders
//! and from the index itself. So it waits while the index is behind, until there are too many segments to wait any longer;
//! and since a merge can't be stopped once it has begun, it is done a few segments at a time, smallest first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tantivy::SegmentMeta;
use tantivy::indexer::{LogMergePolicy, MergeCandidate, MergePolicy};

/// Segments of about one size that are merged into one. Each costs every query and every deletion a look.
const MERGED_SEGMENTS: usize = 8;
/// Below this many documents segments count as of one size; above it a size reaches to eight times as many.
const SMALL_SEGMENT: u32 = 8_192;
const SIZE_LOG2: f64 = 3.0;
/// Segments with more documents than this are merged no further, until enough of those are deleted.
const SEGMENT_DOCUMENTS_MAX: usize = 2_000_000;
/// The part of a segment's documents that may be deleted before it is rewritten.
const DELETED_PART_MAX: f32 = 0.4;
/// With so many segments merging waits no longer.
const WAITING_SEGMENTS_MAX: usize = 64;

/// Merges by size, unless it is to wait.
#[derive(Debug)]
pub(super) struct Merging {
    by_size: LogMergePolicy,
    waits: Arc<AtomicBool>,
}

impl Merging {
    /// It waits while `waits` is set.
    pub(super) fn new(waits: Arc<AtomicBool>) -> Self {
        let mut by_size = LogMergePolicy::default();
        by_size.set_min_num_segments(MERGED_SEGMENTS);
        by_size.set_min_layer_size(SMALL_SEGMENT);
        by_size.set_level_log_size(SIZE_LOG2);
        by_size.set_max_docs_before_merge(SEGMENT_DOCUMENTS_MAX);
        by_size.set_del_docs_ratio_before_merge(DELETED_PART_MAX);
        Self { by_size, waits }
    }
}

impl MergePolicy for Merging {
    fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
        // Relaxed: it is asked again with the next commit.
        if self.waits.load(Ordering::Relaxed) && segments.len() < WAITING_SEGMENTS_MAX {
            return Vec::new();
        }
        // The end of a merge asks again. What is listed last is smallest.
        let level = self.by_size.compute_merge_candidates(segments).pop();
        let few = level.map(|MergeCandidate(level)| {
            let from = level.len().saturating_sub(MERGED_SEGMENTS);
            MergeCandidate(level[from..].to_vec())
        });
        few.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use tantivy::index::SegmentId;
    use tantivy::{Index, SegmentMeta};

    use super::*;

    fn segments(count: usize) -> Vec<SegmentMeta> {
        let (schema, _) = super::super::schema::Fields::new();
        let index = Index::create_in_ram(schema);
        (0..count).map(|_| index.new_segment_meta(SegmentId::generate_random(), 10_000)).collect()
    }

    #[test]
    fn merging_waits_while_the_index_is_behind_but_not_for_ever() {
        let waits = Arc::new(AtomicBool::new(false));
        let merging = Merging::new(Arc::clone(&waits));
        let merged = |count| {
            let candidates = merging.compute_merge_candidates(&segments(count));
            candidates.iter().map(|MergeCandidate(segments)| segments.len()).collect::<Vec<_>>()
        };
        assert!(merged(MERGED_SEGMENTS - 1).is_empty());
        assert_eq!(merged(MERGED_SEGMENTS), [MERGED_SEGMENTS]);
        assert_eq!(merged(5 * MERGED_SEGMENTS), [MERGED_SEGMENTS], "a few at a time");
        waits.store(true, Ordering::Relaxed);
        assert!(merged(MERGED_SEGMENTS).is_empty() && merged(WAITING_SEGMENTS_MAX - 1).is_empty());
        assert_eq!(merged(WAITING_SEGMENTS_MAX), [MERGED_SEGMENTS]);
        waits.store(false, Ordering::Relaxed);
        assert_eq!(merged(MERGED_SEGMENTS), [MERGED_SEGMENTS]);
    }
}
