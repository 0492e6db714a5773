//! A search's answer from the index: how long it waits for it, and the hits as they stand now.

use std::sync::atomic::Ordering;

use futures_util::{StreamExt, TryStreamExt};

use super::answer::Asked;
use super::handle::Unusable;
use super::{OrderView, SearchAnswer, SearchCounts, SearchSource};
use crate::actors::order::Query;
use crate::domain::reject::Reject;
use crate::domain::request::Caller;
use crate::domain::search::Cursor;
use crate::engine::Engine;
use crate::engine::store::FRESH_WAIT_MAX;
use crate::projection::search::{HitsPage, IndexError};

/// Hits that are looked up at a time.
const LOOK_UPS_MAX: usize = 32;

impl Engine {
    /// The answer from the index, or why there is none from there.
    pub(super) async fn answer_of_index(
        &self,
        asked: &Asked<'_>,
    ) -> Result<Result<SearchAnswer, Unusable>, Reject> {
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
                inner.search.board().is_broken.store(true, Ordering::Release);
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
