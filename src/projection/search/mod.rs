//! The search index: one document per order, in a tantivy index with its own position in the journal.
//!
//! ```text
//! orders ── document ──▶ writer ── commit with the position ──▶ segments
//! Expr ── compile ──▶ query ── find: one pass over columns ──▶ order numbers with sort keys, counts
//! ```
//!
//! [`index`] is one index in one directory, [`generations`] says which directory is the one that counts. [`titles`] has the
//! words of titles: documents only name the goods. Without the feature `search` only the questions and answers are here.

#[cfg(feature = "search")]
mod compile;
#[cfg(feature = "search")]
mod find;
#[cfg(feature = "search")]
mod generations;
#[cfg(feature = "search")]
mod index;
#[cfg(feature = "search")]
mod merging;
#[cfg(feature = "search")]
mod replaced;
#[cfg(feature = "search")]
mod schema;
#[cfg(test)]
#[cfg(feature = "search")]
mod tests;
#[cfg(feature = "search")]
mod titles;
#[cfg(feature = "search")]
mod without;
#[cfg(feature = "search")]
pub(crate) mod words;

use std::sync::Arc;

use crate::domain::catalogue::Sku;
use crate::domain::ids::{Position, ProductId, SkuId};
use crate::domain::search::{Cursor, Sort};

#[cfg(feature = "search")]
pub(crate) use generations::Generations;
#[cfg(feature = "search")]
pub(crate) use index::{Index, IndexReader};

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
    /// A SKU in a revision, from 1 on.
    fn sku(&self, sku: SkuId, revision: u32) -> Option<Arc<Sku>>;

    /// The current revision of a SKU, which an imported line stands for.
    fn current(&self, sku: SkuId) -> Option<u32>;

    /// The SKUs that belong to a product by their current revisions.
    fn skus_of(&self, product: ProductId) -> Vec<SkuId>;
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
