//! One search, from the question to its answer: which source it goes to, how long it waits for it, and what it shows.

use std::sync::Arc;

#[cfg(feature = "search")]
use futures_util::{StreamExt, TryStreamExt};

use super::handle::Unusable;
use super::stored::{Found, StoredPage};
#[cfg(feature = "search")]
use super::{OrderView, SearchCounts};
use super::{SEARCH_PAGE_LEN_MAX, Search, SearchAnswer, SearchMode, SearchSource};
#[cfg(feature = "search")]
use crate::actors::order::Query;
use crate::actors::order::cold::external_key;
use crate::domain::ids::Position;
use crate::domain::reject::Reject;
#[cfg(feature = "search")]
use crate::domain::request::Caller;
use crate::domain::search::{Cursor, SearchCursor, SortKey};
#[cfg(feature = "search")]
use crate::engine::store::FRESH_WAIT_MAX;
use crate::engine::store::readable;
use crate::engine::{Engine, Inner};
#[cfg(feature = "search")]
use crate::projection::search::{HitsPage, IndexError};
use crate::projection::store::WalkOrder;

/// Hits that are looked up at a time.
#[cfg(feature = "search")]
const LOOK_UPS_MAX: usize = 32;

impl Engine {
    /// A page of the orders that a search is for, of all members; [`Search::of_member`] makes it one of a member's own.
    ///
    /// From the index a page takes a few ms, whatever it is sorted by, and orders in cold files are found as well; they
    /// come as they stand now, so that one which has just changed may not be as it was looked for any more. From the
    /// store it looks at 20,000 orders at most: where few of them pass it is short, with [`SearchAnswer::next`] set, cold
    /// files are not looked through, and orders come as they stood at [`SearchAnswer::as_of`].
    ///
    /// Pages in the sequence of [`SortKey::Created`] are stable: every order that was there at the beginning comes
    /// exactly once, as long as it is looked for, whatever arrives or changes, also where the source changes in between.
    /// By other keys an order that moves may be missed or come twice.
    ///
    /// Orders come with everything, personal data included: what of it may be shown is the caller's to decide.
    ///
    /// # Errors
    /// [`Reject::SearchTooBroad`]; [`Reject::InvalidField`] for a cursor of another sort. Where the index is not used:
    /// [`Reject::SearchWordsUnavailable`] for words, [`Reject::SearchSortUnavailable`] for sorts but by creation; with
    /// [`SearchMode::On`] always [`Reject::SearchBuilding`], [`Reject::SearchBehind`] or [`Reject::SearchFailed`]. [`Reject::SearchBehind`] where a
    /// fresh answer is wanted and there is none within two seconds. [`Reject::NoStore`] in an engine without a store,
    /// [`Reject::Overloaded`] where many searches are under way, or the engine's own state. A page length outside 1 to
    /// 200 is brought inside.
    ///
    /// ```
    /// # use stockade::domain::search::{Expr, ParseContext};
    /// # use stockade::domain::statement::UtcOffset;
    /// # use stockade::{Config, Engine, Search, SearchSource, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let engine = Engine::open(Config::new(dir.path().join("shop")).ballast_bytes(0)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// # let context = ParseContext { now_ms: 1_800_000_000_000, offset: UtcOffset::UTC };
    /// for member in 1..=3 {
    ///     engine.submit(SubmitOrder::one_line(member, 1001, 42, 1)).await?;
    /// }
    /// let expr = Expr::parse("status:pending -member:2", &context)?;
    /// let answer = engine.search(&Search { expr, count: true, ..Search::default() }).await?;
    /// assert_eq!((answer.orders.len(), answer.source), (2, SearchSource::Store));
    /// assert_eq!(answer.counts.map(|counts| counts.total), Some(2));
    /// # engine.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn search(&self, search: &Search) -> Result<SearchAnswer, Reject> {
        let inner = &self.inner;
        inner.check_readable()?;
        search.expr.check()?;
        if search.after.is_some_and(|after| after.sort != search.sort) {
            return Err(Reject::InvalidField {
                field: "after",
                expected: "the cursor of a search with the same sort",
            });
        }
        let asked = Asked {
            search,
            len_max: search.len_max.clamp(1, SEARCH_PAGE_LEN_MAX),
            wanted: inner.journal.acknowledged(),
        };
        let answer = match self.from_index(&asked).await? {
            Ok(answer) => answer,
            Err(unusable) => inner.from_store(&asked, unusable).await?,
        };
        inner.search.note_answered(answer.source);
        Ok(answer)
    }
}

/// A search on its way.
struct Asked<'s> {
    search: &'s Search,
    len_max: usize,
    /// What was acknowledged before it, for a fresh answer.
    wanted: Position,
}

impl Asked<'_> {
    /// Where the next page starts behind a hit.
    fn next(&self, place: Cursor) -> SearchCursor {
        SearchCursor { sort: self.search.sort, place }
    }
}

#[cfg(feature = "search")]
impl Engine {
    /// The answer from the index, or why there is none from there.
    async fn from_index(&self, asked: &Asked<'_>) -> Result<Result<SearchAnswer, Unusable>, Reject> {
        let (inner, search) = (&self.inner, asked.search);
        let usable = || inner.search.usable(inner.journal.durable(), inner.clock.now_ms());
        let mut reader = match usable() {
            Ok(reader) => reader,
            Err(unusable) => return Ok(Err(unusable)),
        };
        if search.fresh && inner.search.position() < asked.wanted {
            if tokio::time::timeout(FRESH_WAIT_MAX, inner.searchable(asked.wanted)).await.is_err() {
                let lag_ms = inner.search.lag_ms(inner.journal.durable(), inner.clock.now_ms());
                return Ok(Err(Unusable::Behind { lag_ms }));
            }
            // It may have been built anew meanwhile.
            reader = match usable() {
                Ok(reader) => reader,
                Err(unusable) => return Ok(Err(unusable)),
            };
        }
        let (expr, page) = (
            search.expr.clone(),
            HitsPage {
                sort: search.sort,
                after: search.after.map(|after| after.place),
                len_max: asked.len_max,
                count: search.count,
            },
        );
        let hits = match inner.search.scans().run(async {}, move || Ok(reader.find(&expr, &page))).await? {
            Ok(hits) => hits,
            Err(IndexError::TooBroad(what)) => return Err(Reject::SearchTooBroad { what }),
            Err(failed) => {
                tracing::warn!(error = %failed, "a search of the index has failed");
                // Its follower builds another one.
                inner.search.board().is_broken.store(true, std::sync::atomic::Ordering::Release);
                return Ok(Err(Unusable::Failed));
            }
        };
        let last = hits.page.last().copied().filter(|_| hits.more);
        let counts = search.count.then(|| SearchCounts {
            total: hits.by_status.iter().sum(),
            by_status: hits.by_status,
            by_type: hits.by_type,
            complete: true,
        });
        Ok(Ok(SearchAnswer {
            orders: self.shown(hits.page).await?,
            next: last.map(|place| asked.next(place)),
            counts,
            source: SearchSource::Index,
            as_of: hits.as_of,
        }))
    }

    /// Hits as they stand now, wherever they are: in memory, stored, or cold.
    async fn shown(&self, hits: Vec<Cursor>) -> Result<Vec<OrderView>, Reject> {
        let shown = futures_util::stream::iter(hits).map(|Cursor { order_no, .. }| async move {
            let order = |reply| Query::Order { order_no, caller: Caller::Operator, reply };
            match self.query(order_no.slot(), order).await {
                Ok(order) => Ok(Some(self.inner.show(order))),
                // An index that knows more orders than there are is not worth a search.
                Err(Reject::OrderNotFound) => Ok(None),
                Err(reject) => Err(reject),
            }
        });
        let shown: Vec<Option<OrderView>> = shown.buffered(LOOK_UPS_MAX).try_collect().await?;
        Ok(shown.into_iter().flatten().collect())
    }
}

#[cfg(not(feature = "search"))]
impl Engine {
    async fn from_index(&self, _asked: &Asked<'_>) -> Result<Result<SearchAnswer, Unusable>, Reject> {
        Ok(Err(Unusable::Off))
    }
}

impl Inner {
    /// Whether the store may answer instead of the index.
    fn check_fallback(&self, search: &Search, unusable: Unusable) -> Result<(), Reject> {
        let is_off = unusable == Unusable::Off;
        #[cfg(feature = "search")]
        if self.search.effective_mode() == SearchMode::On {
            return Err(match unusable {
                // It is just being switched on.
                Unusable::Off | Unusable::Building => Reject::SearchBuilding,
                Unusable::Behind { lag_ms } => Reject::SearchBehind { lag_ms },
                Unusable::Failed => Reject::SearchFailed,
            });
        }
        if search.expr.has_words() {
            return Err(Reject::SearchWordsUnavailable { is_off });
        }
        if search.sort.key != SortKey::Created {
            return Err(Reject::SearchSortUnavailable { is_off });
        }
        Ok(())
    }

    /// The answer from the store.
    async fn from_store(&self, asked: &Asked<'_>, unusable: Unusable) -> Result<SearchAnswer, Reject> {
        let search = asked.search;
        self.check_fallback(search, unusable)?;
        let reader = self.store.as_ref().ok_or(Reject::NoStore)?.reader.clone();
        let shared = Arc::clone(&self.shared);
        let mut wanted = self.wanted(search.expr.clone());
        let page = StoredPage {
            order: if search.sort.descending { WalkOrder::Descending } else { WalkOrder::Ascending },
            after: search.after.map(|after| after.place.order_no),
            len_max: asked.len_max,
            count: search.count,
        };
        let mut find = move || {
            // In memory first: an order leaves it only once it is stored.
            wanted.resolve(|external_no| match shared.external.find(external_no) {
                Some(order_no) => Ok(Some(order_no)),
                None => reader.external(external_key(external_no)),
            })?;
            wanted.find(&reader, &page)
        };
        let found = self.search.scans().run(self.taken_in(), move || readable(find()));
        let Found { orders, next, counts, as_of, scanned: _ } = found.await?;
        if search.fresh && as_of < asked.wanted {
            return Err(Reject::SearchBehind { lag_ms: self.store_lag_ms() });
        }
        Ok(SearchAnswer {
            orders: orders.into_iter().map(|order| self.show(order)).collect(),
            next: next.map(|order_no| asked.next(Cursor { key: order_no.get() as i64, order_no })),
            counts,
            source: SearchSource::Store,
            as_of,
        })
    }
}
