//! Wiring the search projection actor into an engine that opens.

use std::path::Path;
use std::sync::Arc;

use super::catch_up::{Sources, Space};
use super::handle::SearchHandle;
use super::projector::{Follower, SearchWorld};
use crate::domain::catalogue::Sku;
use crate::domain::ids::{ProductId, SkuId};
use crate::engine::OpenError;
use crate::engine::catalogue::Catalogue;
use crate::engine::store::StoreHandle;
use crate::journal::{Holds, JournalHandle, layout};
use crate::projection::search::{Generations, Goods};

/// What the index knows of goods: the engine's catalogue.
struct Shelves {
    catalogue: Arc<Catalogue>,
    journal: JournalHandle,
}

impl Goods for Shelves {
    fn sku(&self, sku: SkuId, revision: u32) -> Option<Arc<Sku>> {
        self.catalogue.revision(sku, revision)
    }

    fn current(&self, sku: SkuId) -> Option<u32> {
        self.catalogue.current_revision(sku, self.journal.acknowledged())
    }

    fn skus_of(&self, product: ProductId) -> Vec<SkuId> {
        self.catalogue.skus_of(product, self.journal.acknowledged()).into_iter().collect()
    }
}

/// Starts the actor. Switched off, it waits to be switched on.
pub(crate) async fn start(
    handle: &SearchHandle,
    store: &StoreHandle,
    (journal, holds): (&JournalHandle, &Arc<Holds>),
    catalogue: &Arc<Catalogue>,
    (dir, disk_free_min_bytes): (&Path, u64),
) -> Result<(), OpenError> {
    let goods = Shelves { catalogue: Arc::clone(catalogue), journal: journal.clone() };
    let world = SearchWorld {
        handle: handle.clone(),
        sources: Sources { journal: journal.reader(), store: store.reader.clone() },
        view: Arc::clone(&store.world.view),
        tap: Arc::clone(&store.world.tap),
        holds: Arc::clone(holds),
        clock: store.world.clock.clone(),
        generations: Generations::new(&dir.join(layout::SEARCH_DIR)),
        goods: Arc::new(goods),
        space: Space { dir: dir.to_path_buf(), disk_free_min_bytes },
        signs: Default::default(),
    };
    Follower::start(world).await.map_err(OpenError::Actor)
}
