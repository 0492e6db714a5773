//! Taking the documents of many orders away at once, because newer ones come in.
//!
//! The writer applies a deletion to every segment. One deletion for a whole batch looks at a segment's range of order
//! numbers first: numbers go by time, so that most segments have none of them, and need no look-up.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tantivy::query::{BitSetDocSet, ConstScorer, EnableScoring, Explanation, Query, Scorer, Weight};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocId, DocSet, Score, SegmentReader, TERMINATED, TantivyError, Term};

use super::schema::ORDER_NO;

/// The documents of some orders.
#[derive(Clone, Debug)]
pub(super) struct Replaced {
    field: Field,
    /// Ascending.
    numbers: Arc<[i64]>,
}

impl Replaced {
    /// Of orders by number.
    pub(super) fn new(field: Field, mut numbers: Vec<i64>) -> Self {
        numbers.sort_unstable();
        Self { field, numbers: numbers.into() }
    }

    /// The numbers that a segment may have.
    fn within(&self, range: RangeInclusive<i64>) -> &[i64] {
        let from = self.numbers.partition_point(|number| number < range.start());
        let to = self.numbers.partition_point(|number| number <= range.end());
        &self.numbers[from..to.max(from)]
    }

    fn docs(&self, reader: &SegmentReader) -> tantivy::Result<Vec<DocId>> {
        let column = reader.fast_fields().i64(ORDER_NO)?;
        let numbers = self.within(column.min_value()..=column.max_value());
        let mut docs = Vec::with_capacity(numbers.len());
        if !numbers.is_empty() {
            let inverted = reader.inverted_index(self.field)?;
            for number in numbers {
                let term = Term::from_field_i64(self.field, *number);
                let Some(mut found) = inverted.read_postings(&term, IndexRecordOption::Basic)? else {
                    continue;
                };
                while found.doc() != TERMINATED {
                    docs.push(found.doc());
                    found.advance();
                }
            }
        }
        docs.sort_unstable();
        Ok(docs)
    }
}

impl Query for Replaced {
    fn weight(&self, _scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for Replaced {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let mut docs = BitSet::with_max_value(reader.max_doc());
        for doc in self.docs(reader)? {
            docs.insert(doc);
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(docs), boost)))
    }

    fn for_each_no_score(
        &self,
        reader: &SegmentReader,
        callback: &mut dyn FnMut(&[DocId]),
    ) -> tantivy::Result<()> {
        callback(&self.docs(reader)?);
        Ok(())
    }

    fn explain(&self, _reader: &SegmentReader, _doc: DocId) -> tantivy::Result<Explanation> {
        Err(TantivyError::InvalidArgument("a deletion has no score".to_owned()))
    }
}
