//! Building the search index anew, whether an engine runs on the directory or not.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::stopped::Stopped;
use super::{OpsError, client};
use crate::domain::catalogue::Sku;
use crate::domain::event::Event;
use crate::domain::ids::{Position, ProductId, SkuId};
use crate::engine::ReindexProgress;
use crate::engine::search::build_stopped;
use crate::journal::{JournalRead, events_from};
use crate::projection::search::Goods;
use crate::projection::store::StoreReader;
use crate::runtime::clock::{Clock, STEP_MAX_MS_DEFAULT};

/// Journal read at a time, in bytes.
const READ_BYTES: usize = 1 << 20;

/// Builds a data directory's search index anew: lets the engine that runs on it do so while it goes on, or does it itself.
/// `progress` is called now and then. The new index takes over when it is complete; what is there after an interruption
/// goes with the next start.
///
/// On a stopped directory the index is as new as the store: the engine takes in the rest when it starts. It needs as much
/// space on the disk as the old one has, and leaves 64 MiB.
///
/// # Errors
/// [`OpsError`]: no data directory, one that can't be read, an engine that can't be asked or that refuses, an index that
/// can't be written.
///
/// ```
/// # use stockade::{Config, Engine, ops};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let data = dir.path().join("shop");
/// let engine = Engine::open(Config::new(&data).ballast_bytes(0)).await?;
/// # stockade::examples::stock_tea(&engine, 10).await?;
/// engine.submit(stockade::SubmitOrder::one_line(7, 1001, 42, 1)).await?;
/// engine.shutdown().await?;
/// drop(engine);
/// # while let Err(ops::OpsError::NoSocket { .. }) = ops::inspect(&data) {}
/// let report = ops::reindex(&data, |progress| println!("{} orders", progress.orders))?;
/// assert_eq!(report.orders, 1);
/// # Ok(())
/// # }
/// ```
pub fn reindex(
    dir: &Path,
    mut progress: impl FnMut(ReindexProgress) + Send + 'static,
) -> Result<ReindexProgress, OpsError> {
    let stopped = match Stopped::open(dir) {
        Err(OpsError::InUse { dir }) => return client::reindex(&dir, &mut progress),
        opened => opened?,
    };
    let no_store = || OpsError::Index("there is no store to build it from".to_owned());
    let store = stopped.store.clone().ok_or_else(no_store)?;
    let goods = Arc::new(Shelf::of(&store, stopped.journal.as_ref())?);
    let now_ms = Clock::system(STEP_MAX_MS_DEFAULT).now_ms();
    let sources = (Arc::clone(&stopped.journal), store);
    let built = build_stopped(dir, goods, sources, now_ms, Box::new(progress));
    built.map_err(|error| OpsError::Index(error.to_string()))
}

/// Every revision of every SKU of a stopped directory.
#[derive(Default)]
struct Shelf {
    /// Revision `n` at index `n - 1`.
    skus: HashMap<SkuId, Vec<Arc<Sku>>>,
}

impl Shelf {
    /// Those of the store, and of the journal behind it.
    fn of(store: &StoreReader, journal: &dyn JournalRead) -> Result<Self, OpsError> {
        let failed = |error: &dyn std::fmt::Display| OpsError::Index(error.to_string());
        let mut shelf = Self::default();
        let stored = store.head().map_err(|error| failed(&error))?.position;
        store.load_skus(|_revision, sku| shelf.add(sku)).map_err(|error| failed(&error))?;
        let mut next = Position(stored.0 + 1);
        while next <= journal.last() {
            let frames = journal.read(next, READ_BYTES).map_err(|error| failed(&error))?;
            for recorded in events_from(&frames, next) {
                if let Event::SkuPut { sku, .. } = recorded.map_err(|error| failed(&error))?.event {
                    shelf.add(*sku);
                }
            }
            let Some(last) = frames.last() else { break };
            next = Position(last.last().0 + 1);
        }
        Ok(shelf)
    }

    /// The next revision of a SKU.
    fn add(&mut self, sku: Sku) {
        self.skus.entry(sku.id).or_default().push(Arc::new(sku));
    }
}

impl Goods for Shelf {
    fn sku(&self, sku: SkuId, revision: u32) -> Option<Arc<Sku>> {
        let index = (revision as usize).checked_sub(1)?;
        self.skus.get(&sku)?.get(index).cloned()
    }

    fn current(&self, sku: SkuId) -> Option<u32> {
        self.skus.get(&sku).map(|revisions| revisions.len() as u32)
    }

    fn skus_of(&self, product: ProductId) -> Vec<SkuId> {
        let is_of = |revisions: &Vec<Arc<Sku>>| revisions.last().is_some_and(|sku| sku.product_id == product);
        self.skus.iter().filter(|(_, revisions)| is_of(revisions)).map(|(sku, _)| *sku).collect()
    }
}
