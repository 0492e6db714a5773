//! Building an index anew from the store, while the old one goes on answering.
//!
//! A state of the store is pinned, and the journal held from its position on. All of its orders become documents, those in
//! cold files too; one commit with that position completes the new generation. What has happened meanwhile comes from the
//! journal, as for any index that is behind.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::catch_up::{Filled, Sources, Space, Stuck};
use super::handle::SearchBoard;
use super::{ReindexProgress, SearchConfig};
use crate::domain::ids::Position;
use crate::domain::order::Order;
use crate::domain::reject::Reject;
use crate::engine::Engine;
use crate::journal::{JournalRead, layout};
use crate::projection::search::{Generations, Goods};
use crate::projection::store::{StoreError, StoreReader};

/// Orders that go to the index at once, and between two looks at whether to go on.
const PUT_MAX: usize = 1_024;
/// Orders between two reports.
const REPORT_EVERY: u64 = 10 * PUT_MAX as u64;
/// Steps of catching up after the orders; the rest is the follower's.
const STEPS_MAX: usize = 64;

/// Where progress is told.
pub(crate) type Report = Box<dyn FnMut(ReindexProgress) + Send>;

/// Why an index was not built anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReindexError {
    /// Search is off, or there is no store to build it from.
    #[error("search is off: switch it on first")]
    Off,
    /// It is being built.
    #[error("the index is being built anew already")]
    Busy,
    /// The engine has been shut down.
    #[error("the engine has been shut down")]
    Closed,
    /// Something failed; the old index, if there was one, goes on.
    #[error("{0}")]
    Failed(String),
}

/// A rebuild that somebody asked for.
pub(crate) struct Reindex {
    /// Called now and then, on the rebuild's thread.
    pub(crate) report: Report,
    /// Called with the outcome.
    pub(crate) done: Box<dyn FnOnce(Result<ReindexProgress, ReindexError>) + Send>,
}

/// What a new generation is made with.
pub(super) struct Builder {
    pub(super) generations: Generations,
    pub(super) goods: Arc<dyn Goods>,
    pub(super) memory_bytes: usize,
    pub(super) sources: Sources,
    pub(super) space: Space,
    /// Pins what is needed of the journal; an error where it is no longer there.
    pub(super) hold_from: Box<dyn Fn(Position) -> Result<(), Stuck> + Send>,
    /// Whether to go on.
    pub(super) go_on: Box<dyn Fn() -> Result<(), Stuck> + Send>,
    /// Engine time, in ms.
    pub(super) now_ms: Box<dyn Fn() -> u64 + Send>,
}

impl Builder {
    /// Builds the next generation. Blocks. What is there of it after an error is removed.
    pub(super) fn build(
        &self,
        board: &SearchBoard,
        report: &mut Report,
    ) -> Result<(Filled, ReindexProgress), Stuck> {
        self.space.check()?;
        let (number, index) = self.generations.create(&self.goods, self.memory_bytes)?;
        let filled = self.fill(Filled::new(number, index), board, report);
        if filled.is_err() {
            self.generations.remove(number);
        }
        filled
    }

    fn fill(
        &self,
        mut filled: Filled,
        board: &SearchBoard,
        report: &mut Report,
    ) -> Result<(Filled, ReindexProgress), Stuck> {
        let source = |error: StoreError| Stuck::Source(error.to_string());
        let pinned = self.sources.store.pinned().map_err(source)?;
        let from = pinned.1.position;
        (self.hold_from)(Position(from.0 + 1))?;
        let mut progress = ReindexProgress { orders: 0, orders_total: pinned.1.orders };
        let mut orders: Vec<Order> = Vec::with_capacity(PUT_MAX);
        let mut put = |orders: &mut Vec<Order>, filled: &mut Filled| -> Result<(), Stuck> {
            (self.go_on)()?;
            self.space.check()?;
            // No order has a document yet.
            filled.index.put(orders, Position(0))?;
            progress.orders += orders.len() as u64;
            progress.orders_total = progress.orders_total.max(progress.orders);
            if progress.orders % REPORT_EVERY < orders.len() as u64 {
                report(progress);
            }
            orders.clear();
            Ok(())
        };
        let mut stuck = None;
        self.sources
            .store
            .every_order(&pinned, |order| {
                orders.push(order);
                if orders.len() == PUT_MAX
                    && let Err(why) = put(&mut orders, &mut filled)
                {
                    stuck = Some(why);
                }
                stuck.is_none()
            })
            .map_err(source)?;
        if let Some(why) = stuck {
            return Err(why);
        }
        put(&mut orders, &mut filled)?;
        drop(pinned);
        filled.position = from;
        filled.commit((self.now_ms)(), board)?;
        report(progress);
        self.approach(&mut filled, board)?;
        Ok((filled, progress))
    }

    /// Takes in most of what has happened meanwhile, so that whoever follows on has little left to do.
    fn approach(&self, filled: &mut Filled, board: &SearchBoard) -> Result<(), Stuck> {
        let stored = || {
            let head = self.sources.store.head().map_err(|error| Stuck::Source(error.to_string()))?;
            Ok::<_, Stuck>(head.position)
        };
        for _ in 0..STEPS_MAX {
            let to = stored()?;
            if filled.position >= to {
                break;
            }
            (self.go_on)()?;
            self.space.check()?;
            filled.catch_up(&self.sources, to, board)?;
        }
        if filled.committed < filled.position {
            filled.commit((self.now_ms)(), board)?;
        }
        Ok(())
    }
}

/// Builds the index of a directory that no engine has open, in the place of what is there. Blocks.
///
/// # Errors
/// [`Stuck`]; what was there before stays.
pub(crate) fn build_stopped(
    dir: &Path,
    goods: Arc<dyn Goods>,
    (journal, store): (Arc<dyn JournalRead>, StoreReader),
    now_ms: u64,
    mut report: Report,
) -> Result<ReindexProgress, Stuck> {
    let builder = Builder {
        generations: Generations::new(&dir.join(layout::SEARCH_DIR)),
        goods,
        memory_bytes: SearchConfig::default().memory_bytes,
        sources: Sources { journal, store },
        space: Space { dir: dir.to_path_buf(), disk_free_min_bytes: 0 },
        // Nobody trims it.
        hold_from: Box::new(|_from| Ok(())),
        go_on: Box::new(|| Ok(())),
        now_ms: Box::new(move || now_ms),
    };
    let (filled, progress) = builder.build(&SearchBoard::default(), &mut report)?;
    let number = filled.number;
    filled.index.close()?;
    builder.generations.keep_only(number);
    Ok(progress)
}

impl Engine {
    /// Builds the search index anew from the store, while the old one goes on answering. `progress` is called now and then,
    /// on a thread of its own. Takes the time of reading every order once, as much memory again as
    /// [`SearchConfig::memory_bytes`](crate::SearchConfig::memory_bytes), and twice the index's space on the disk until it
    /// is done.
    ///
    /// Dropping the future doesn't stop it; [`Engine::shutdown`] does.
    ///
    /// # Errors
    /// [`Reject::SearchOff`] where search is off or there is no store; [`Reject::Overloaded`] while it is being built anew
    /// already; [`Reject::Unavailable`] where it fails, which the log and [`Engine::search_figures`] tell more about. The
    /// old index goes on in any case.
    pub async fn reindex(
        &self,
        progress: impl FnMut(ReindexProgress) + Send + 'static,
    ) -> Result<ReindexProgress, Reject> {
        self.inner.check_readable()?;
        let (done, outcome) = oneshot::channel();
        let reindex = Reindex {
            report: Box::new(progress),
            done: Box::new(move |result| {
                // Whoever asked may have gone.
                let _ = done.send(result);
            }),
        };
        self.inner.search.ask_reindex(reindex).map_err(|_off| Reject::SearchOff)?;
        outcome.await.unwrap_or(Err(ReindexError::Closed)).map_err(|error| match error {
            ReindexError::Off => Reject::SearchOff,
            ReindexError::Busy => {
                Reject::Overloaded { bound: "rebuilds of the search index", retry_after_ms: 10_000 }
            }
            ReindexError::Closed | ReindexError::Failed(_) => Reject::Unavailable,
        })
    }
}
