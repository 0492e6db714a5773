//! Where an export's orders come from: the store, a page at a time, no page before the one ahead is taken.

use std::future::Future;
use std::time::Duration;

use crate::{
    DESK_PAGE_LEN_MAX, DeskAnswer, DeskPage, DeskSequence, Engine, OrderFilter, OrderNo, OrderView, Reject,
    Retry,
};

/// How often a page is asked for anew while the store has too many questions.
const TRIES_MAX: u32 = 50;

/// Gives pages of orders, the oldest first.
pub trait Pages: Send + 'static {
    /// The next page, perhaps an empty one; `None` behind the last.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<OrderView>>, Reject>> + Send;
}

/// Pages from an engine's store.
#[derive(Debug)]
pub struct StorePages {
    engine: Engine,
    filter: OrderFilter,
    after: Option<OrderNo>,
    is_over: bool,
}

impl StorePages {
    /// The orders that a filter lets pass, behind one of them. Orders that are placed from now on don't come, so that an
    /// export in the middle of a sale has an end.
    pub fn new(engine: Engine, mut filter: OrderFilter, after: Option<OrderNo>) -> Self {
        let now_ms = engine.now_ms().saturating_add(1);
        filter.created_until_ms =
            Some(filter.created_until_ms.map_or(now_ms, |until_ms| until_ms.min(now_ms)));
        Self { engine, filter, after, is_over: false }
    }

    async fn ask(&self) -> Result<DeskAnswer, Reject> {
        let page =
            DeskPage { after: self.after, sequence: DeskSequence::OldestFirst, len_max: DESK_PAGE_LEN_MAX };
        let mut tries = 1;
        loop {
            match self.engine.find_orders(&self.filter, page).await {
                Err(reject @ Reject::Overloaded { .. }) if tries < TRIES_MAX => {
                    let wait_ms = match reject.retry() {
                        Retry::After { wait_ms } => wait_ms,
                        Retry::Never | Retry::AfterRestart => return Err(reject),
                    };
                    tries += 1;
                    tokio::time::sleep(Duration::from_millis(wait_ms.into())).await;
                }
                answer => return answer,
            }
        }
    }
}

impl Pages for StorePages {
    async fn next(&mut self) -> Result<Option<Vec<OrderView>>, Reject> {
        if self.is_over {
            return Ok(None);
        }
        let answer = self.ask().await?;
        self.is_over = answer.next.is_none();
        self.after = answer.next.or(self.after);
        Ok(Some(answer.orders))
    }
}
