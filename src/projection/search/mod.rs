//! The search index: one document per order, in a tantivy index with its own position in the journal.

use std::path::Path;

use crate::domain::catalogue::Sku;
use crate::domain::ids::{Position, SkuId};
use crate::domain::order::Order;
use crate::domain::search::{Cursor, Expr, Sort};

/// Why the index can't do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexError {
    /// A query that would take too long.
    #[error("{0}")]
    TooBroad(&'static str),
    /// Its files are damaged, or the disk fails.
    #[error("the search index: {0}")]
    Storage(String),
}

/// What an index needs to know of goods to describe an order.
pub(crate) trait Goods: Send + Sync + 'static {
    /// A SKU in the revision that a line names; the current one for revision 0, an imported line's.
    fn sku(&self, sku: SkuId, revision: u32) -> Option<std::sync::Arc<Sku>>;
}

/// Which hits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HitsPage {
    /// In which sequence.
    pub(crate) sort: Sort,
    /// Only behind this one.
    pub(crate) after: Option<Cursor>,
    /// Most of them.
    pub(crate) len_max: usize,
    /// Whether all hits are counted, those before the page included.
    pub(crate) count: bool,
}

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hits {
    /// The hits of the page, in sequence.
    pub(crate) page: Vec<Cursor>,
    /// Whether there are hits behind the page.
    pub(crate) more: bool,
    /// All hits, by [`OrderStatus`](crate::domain::order::OrderStatus) in the order of its variants.
    pub(crate) by_status: [u64; 6],
    /// All hits, by [`OrderType`](crate::domain::order_type::OrderType) in the order of its variants.
    pub(crate) by_type: [u64; 3],
    /// Everything up to here is in it.
    pub(crate) as_of: Position,
}

/// The reading side, for any number of threads.
#[derive(Clone)]
pub(crate) struct IndexReader {}

impl IndexReader {
    /// Blocks.
    pub(crate) fn find(&self, _expr: &Expr, _page: &HitsPage) -> Result<Hits, IndexError> {
        unimplemented!()
    }

    /// Everything up to here is searchable.
    pub(crate) fn position(&self) -> Position {
        unimplemented!()
    }
}

/// The writing side; there is one.
pub(crate) struct Index {}

impl Index {
    /// Opens the index in a directory, or makes a new one, whose position is 0.
    pub(crate) fn open(_dir: &Path, _goods: std::sync::Arc<dyn Goods>) -> Result<Self, IndexError> {
        unimplemented!()
    }

    /// A reader of it.
    pub(crate) fn reader(&self) -> IndexReader {
        unimplemented!()
    }

    /// Takes orders in as they stand. `since` is the position up to which earlier batches went: an order created behind it
    /// has no document yet.
    pub(crate) fn put(&mut self, _orders: &[Order], _since: Position) -> Result<(), IndexError> {
        unimplemented!()
    }

    /// Makes what was put durable and searchable, with the position that it goes up to.
    pub(crate) fn commit(&mut self, _up_to: Position) -> Result<(), IndexError> {
        unimplemented!()
    }
}
