//! Order search: from the index where it is good, from the store where it is not.

mod answer;
#[cfg(feature = "search")]
mod catch_up;
#[cfg(feature = "search")]
pub(super) mod follow;
mod handle;
#[cfg(feature = "search")]
mod indexed;
#[cfg(feature = "search")]
mod projector;
#[cfg(feature = "search")]
mod rebuild;
pub(super) mod stored;
#[cfg(test)]
#[cfg(feature = "search")]
mod tests;

use crate::domain::ids::{MemberId, Position};
use crate::domain::search::{Expr, SearchCursor, Sort};
use crate::engine::{Engine, OrderView};

pub(crate) use handle::SearchHandle;
#[cfg(feature = "search")]
pub(crate) use rebuild::{Reindex, build_stopped};

/// Most orders on one page of a search.
pub const SEARCH_PAGE_LEN_MAX: usize = 200;

/// Where searches are answered from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SearchMode {
    /// From the index, which is kept; where it fails or is too far behind, filters are answered from the store.
    #[default]
    Fallback,
    /// From the index alone: where it fails or is too far behind, searches are refused.
    On,
    /// From the store. The index is not kept, and nothing is held for it.
    Off,
}

/// How order search is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchConfig {
    /// Where searches are answered from. Default: [`SearchMode::Fallback`] in the server; [`SearchMode::Off`] in an engine
    /// that is embedded.
    pub mode: SearchMode,
    /// How far the index may be behind before searches are answered from the store, or refused, in ms. Default: 10,000.
    pub max_lag_ms: u64,
    /// How often what was taken in becomes searchable, in ms, 10 to 10,000. Default: 200.
    pub refresh_ms: u64,
    /// Memory for documents that are not written yet, in bytes, 15 MiB to 4 GiB. Default: 64 MiB.
    pub memory_bytes: usize,
    /// Most bytes of journal that are kept for an index that is behind; beyond it the index lets go, and is built anew from
    /// the store. Default: 1 GiB.
    pub lag_bytes_max: u64,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            mode: SearchMode::Off,
            max_lag_ms: 10_000,
            refresh_ms: 200,
            memory_bytes: 64 << 20,
            lag_bytes_max: 1 << 30,
        }
    }
}

/// A search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Which orders.
    pub expr: Expr,
    /// In which sequence.
    pub sort: Sort,
    /// Only behind this place: [`SearchAnswer::next`] of the page before.
    pub after: Option<SearchCursor>,
    /// Most orders on the page, 1 to 200.
    pub len_max: usize,
    /// Whether to count all hits, by status and type.
    pub count: bool,
    /// Read your writes: wait until what was acknowledged before this call is searchable, two seconds at most for the index,
    /// and as long for the store where that one has to answer then.
    pub fresh: bool,
}

impl Default for Search {
    /// Any orders, the newest first, 50 on a page.
    fn default() -> Self {
        Self { expr: Expr::All, sort: Sort::default(), after: None, len_max: 50, count: false, fresh: false }
    }
}

impl Search {
    /// The same among a member's own orders, whatever it is for, and by what a member is shown: not by the shop's remark
    /// and mark.
    ///
    /// ```
    /// # use stockade::Search;
    /// # use stockade::domain::search::Expr;
    /// let all = Expr::Or(vec![Expr::Member(8.into()), Expr::All]);
    /// let own = Search::of_member(7, Search { expr: all, ..Search::default() });
    /// assert_eq!(own.expr.to_string(), "member:7 (member:8 OR amount:*)");
    /// ```
    #[must_use]
    pub fn of_member(member: impl Into<MemberId>, search: Self) -> Self {
        Self { expr: search.expr.of_member(member.into()), ..search }
    }
}

/// Where an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchSource {
    /// The search index.
    Index,
    /// The store.
    Store,
}

/// Numbers of hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchCounts {
    /// All of them.
    pub total: u64,
    /// By status, in the order of the variants.
    pub by_status: [u64; 6],
    /// By type, in the order of the variants.
    pub by_type: [u64; 3],
    /// Whether all hits were counted; false where the store has looked at as many orders as it may.
    pub complete: bool,
}

/// A page of hits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchAnswer {
    /// The orders: from the index as they stand now, from the store as they stood at `as_of`.
    pub orders: Vec<OrderView>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<SearchCursor>,
    /// How many hits there are, where that was asked for.
    pub counts: Option<SearchCounts>,
    /// Where the answer comes from.
    pub source: SearchSource,
    /// Everything up to this position is in it.
    pub as_of: Position,
}

/// How far an index is with being built anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReindexProgress {
    /// Orders that were taken in.
    pub orders: u64,
    /// About how many there are in all.
    pub orders_total: u64,
}

/// The index's figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchFigures {
    /// Whether there is an index that is kept.
    pub is_on: bool,
    /// Everything up to here is searchable.
    pub position: Position,
    /// Age of the oldest durable event that is not searchable, in ms.
    pub lag_ms: u64,
    /// Bytes of journal that are kept for it.
    pub lag_bytes: u64,
    /// Documents in it.
    pub documents: u64,
    /// Commits so far.
    pub commits: u64,
    /// Orders taken in so far.
    pub indexed: u64,
    /// How many of them were read from the store, because they were there before the index or it was far behind.
    pub caught_up: u64,
    /// Size on the disk, in bytes.
    pub disk_bytes: u64,
    /// Whether it is being built anew.
    pub is_rebuilding: bool,
    /// How often it was built anew so far.
    pub rebuilds: u64,
    /// Searches that were answered from the index, and from the store.
    pub answered: [u64; 2],
    /// Why it has stopped, if it has.
    pub failure: Option<String>,
}

impl Engine {
    /// Where searches are answered from; [`SearchMode::Off`] in an engine that can't keep an index.
    pub fn search_mode(&self) -> SearchMode {
        self.inner.search.effective_mode()
    }

    /// Changes how far the index may be behind before searches are answered from the store, or refused, in ms. A value
    /// outside 1 to 86,400,000 is brought inside.
    pub fn set_search_max_lag_ms(&self, max_lag_ms: u64) {
        self.inner.search.set_max_lag_ms(max_lag_ms.clamp(1, 86_400_000));
    }
}
