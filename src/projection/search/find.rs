//! Running a query: the first hits behind a cursor, and counts of all of them, in one pass over columns.
//!
//! Whoever asks without counts doesn't look into segments that can't have a hit on the page: they know the least and the
//! greatest of their sort keys.

use std::collections::BinaryHeap;

use tantivy::columnar::{ColumnIndex, ColumnValues};
use tantivy::query::{EnableScoring, Query};
use tantivy::{COLLECT_BLOCK_BUFFER_LEN, DocId, Searcher, SegmentReader};

use std::sync::Arc;

use super::schema::{AMOUNT, KIND, KINDS, ORDER_NO, PAID, TYPES};
use super::{Hits, HitsPage};
use crate::domain::ids::OrderNo;
use crate::domain::search::{Cursor, SortKey};

/// A hit's place in the sequence: the lesser comes first, whatever the direction.
type Rank = (i64, u64);

/// How ranks are made: for a descending sequence by complement, which turns every order around.
#[derive(Clone, Copy)]
struct Ranking {
    descending: bool,
}

impl Ranking {
    fn key(self, key: i64) -> i64 {
        if self.descending { !key } else { key }
    }

    fn number(self, number: u64) -> u64 {
        if self.descending { !number } else { number }
    }

    fn cursor(self, (key, number): Rank) -> Cursor {
        let order_no = OrderNo::from_u64(self.number(number)).unwrap_or_default();
        Cursor { key: self.key(key), order_no }
    }
}

/// What is read of a segment.
struct Columns<'s> {
    segment: &'s SegmentReader,
    key: Arc<dyn ColumnValues<i64>>,
    order_no: Arc<dyn ColumnValues<i64>>,
    kind: Option<Arc<dyn ColumnValues<u64>>>,
    /// The least and the greatest key of all its documents, as ranks have them.
    keys: (i64, i64),
}

impl<'s> Columns<'s> {
    fn open(segment: &'s SegmentReader, page: &HitsPage, ranking: Ranking) -> tantivy::Result<Self> {
        let columns = segment.fast_fields();
        let key = columns.i64(match page.sort.key {
            // Its number is its place.
            SortKey::Created => ORDER_NO,
            SortKey::Paid => PAID,
            SortKey::Amount => AMOUNT,
        })?;
        let (least, greatest) = (ranking.key(key.min_value()), ranking.key(key.max_value()));
        let kind = if page.count { Some(full(columns.u64(KIND)?)) } else { None };
        Ok(Self {
            segment,
            key: full(key),
            order_no: full(columns.i64(ORDER_NO)?),
            kind,
            keys: (least.min(greatest), least.max(greatest)),
        })
    }
}

/// Every document has one value of each of these columns.
fn full<T: Copy + PartialOrd + Default + Send + Sync + std::fmt::Debug + 'static>(
    column: tantivy::columnar::Column<T>,
) -> Arc<dyn ColumnValues<T>> {
    match column.index {
        ColumnIndex::Full => column.values,
        _ => column.first_or_default_col(T::default()),
    }
}

/// The first ranks behind a place, so many at most.
struct First {
    after: Option<Rank>,
    len_max: usize,
    /// The last on top.
    ranks: BinaryHeap<Rank>,
}

impl First {
    /// The greatest key that could still come in.
    fn key_max(&self) -> i64 {
        match self.ranks.peek() {
            Some((key, _)) if self.ranks.len() == self.len_max => *key,
            _ => i64::MAX,
        }
    }

    fn key_min(&self) -> i64 {
        self.after.map_or(i64::MIN, |(key, _)| key)
    }

    fn offer(&mut self, rank: Rank) {
        if self.after.is_some_and(|after| rank <= after) {
            return;
        }
        if self.ranks.len() < self.len_max {
            self.ranks.push(rank);
        } else if self.ranks.peek().is_some_and(|last| rank < *last) {
            self.ranks.pop();
            self.ranks.push(rank);
        }
    }
}

/// Runs a query. `as_of` is left to the caller.
pub(super) fn find(searcher: &Searcher, query: &dyn Query, page: &HitsPage) -> tantivy::Result<Hits> {
    let ranking = Ranking { descending: page.sort.descending };
    let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
    let readers = searcher.segment_readers().iter().filter(|segment| segment.num_docs() > 0);
    let mut segments =
        readers.map(|segment| Columns::open(segment, page, ranking)).collect::<tantivy::Result<Vec<_>>>()?;
    // Where the first ones may be, first: the others are skipped then, or have nothing to offer.
    segments.sort_by_key(|segment| segment.keys.0);
    let mut first = First {
        after: page.after.map(|after| (ranking.key(after.key), ranking.number(after.order_no.get()))),
        // One more than the page, to know whether there are more.
        len_max: page.len_max + 1,
        ranks: BinaryHeap::new(),
    };
    let mut kinds = [0_u64; KINDS];
    for columns in &segments {
        let is_beside = columns.keys.0 > first.key_max() || columns.keys.1 < first.key_min();
        if is_beside && !page.count {
            continue;
        }
        let mut block = Block::default();
        weight.for_each_no_score(columns.segment, &mut |docs| {
            let docs = block.alive(columns.segment, docs);
            if let Some(kind) = &columns.kind {
                let values = &mut block.kinds[..docs];
                kind.get_vals(&block.docs[..docs], values);
                for kind in values {
                    if let Some(count) = kinds.get_mut(*kind as usize) {
                        *count += 1;
                    }
                }
            }
            if is_beside {
                return;
            }
            let keys = &mut block.keys[..docs];
            columns.key.get_vals(&block.docs[..docs], keys);
            let (mut key_min, mut key_max) = (first.key_min(), first.key_max());
            for (key, doc) in keys.iter().zip(&block.docs) {
                let key = ranking.key(*key);
                if key_min <= key && key <= key_max {
                    first.offer((key, ranking.number(columns.order_no.get_val(*doc) as u64)));
                    (key_min, key_max) = (first.key_min(), first.key_max());
                }
            }
        })?;
    }
    let mut ranks = first.ranks.into_sorted_vec();
    let more = ranks.len() > page.len_max;
    ranks.truncate(page.len_max);
    let mut hits =
        Hits { page: ranks.into_iter().map(|rank| ranking.cursor(rank)).collect(), more, ..Hits::default() };
    for (kind, count) in (0_u64..).zip(kinds) {
        hits.by_status[(kind / TYPES) as usize] += count;
        hits.by_type[(kind % TYPES) as usize] += count;
    }
    Ok(hits)
}

/// What is read of a block of documents.
struct Block {
    docs: [DocId; COLLECT_BLOCK_BUFFER_LEN],
    keys: [i64; COLLECT_BLOCK_BUFFER_LEN],
    kinds: [u64; COLLECT_BLOCK_BUFFER_LEN],
}

impl Default for Block {
    fn default() -> Self {
        Self {
            docs: [0; COLLECT_BLOCK_BUFFER_LEN],
            keys: [0; COLLECT_BLOCK_BUFFER_LEN],
            kinds: [0; COLLECT_BLOCK_BUFFER_LEN],
        }
    }
}

impl Block {
    /// Keeps those that are not deleted, and says how many.
    fn alive(&mut self, segment: &SegmentReader, docs: &[DocId]) -> usize {
        let Some(alive) = segment.alive_bitset() else {
            self.docs[..docs.len()].copy_from_slice(docs);
            return docs.len();
        };
        let mut len = 0;
        for doc in docs {
            self.docs[len] = *doc;
            len += usize::from(alive.is_alive(*doc));
        }
        len
    }
}
