//! The catalogue in memory: every revision of every SKU, read by many, written by one at a time.

use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use hashbrown::{DefaultHashBuilder, HashSet};

use crate::domain::catalogue::Sku;
use crate::domain::event::Event;
use crate::domain::ids::{Position, ProductId, SkuId};
use crate::domain::order::Line;
use crate::domain::reject::Reject;
use crate::journal::EntryBuffer;
use crate::journal::{Acknowledge, JournalHandle};

/// One SKU: its revisions, the current one last. Revision `n` stands at index `n - 1`.
#[derive(Debug, Default)]
struct Revisions(Vec<(Arc<Sku>, Position)>);

impl Revisions {
    /// The latest revision that stands at or before a position, and its number.
    fn shown(&self, up_to: Position) -> Option<(u32, &Arc<Sku>)> {
        let index = self.0.iter().rposition(|(_, position)| *position <= up_to)?;
        Some((index as u32 + 1, &self.0[index].0))
    }
}

/// All SKUs.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    skus: DashMap<SkuId, Revisions, DefaultHashBuilder>,
    /// Held while a revision is appended and entered, so that the journal has them in the order of their numbers.
    writing: Mutex<()>,
}

impl Catalogue {
    /// Enters a recovered revision; they come in order.
    pub(crate) fn restore(&self, revision: u32, sku: Sku) {
        let mut revisions = self.skus.entry(sku.id).or_default();
        debug_assert_eq!(revisions.0.len() + 1, revision as usize);
        // What is recovered is durable.
        revisions.0.push((Arc::new(sku), Position(0)));
    }

    /// Appends a new revision and makes it current at once: orders priced from it stand after it in the journal
    /// (R5). A SKU equal to its current revision changes nothing. Gives the revision.
    pub(crate) fn put(
        &self,
        sku: Sku,
        now_ms: u64,
        journal: &JournalHandle,
        acknowledge: impl FnOnce(u32) -> Acknowledge,
    ) -> Result<(), Reject> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.skus.get(&sku.id).map(|revisions| {
            (revisions.0.len() as u32, revisions.0.last().is_some_and(|(current, _)| **current == sku))
        });
        let (latest, is_same) = known.unwrap_or((0, false));
        let mut entries = EntryBuffer::default();
        let revision = if is_same { latest } else { latest + 1 };
        if !is_same {
            entries.push(&[Event::SkuPut { at_ms: now_ms, revision, sku: Box::new(sku.clone()) }]);
        }
        let appended = journal.append(&mut entries, Some(acknowledge(revision)));
        let position = appended.map_err(|_poisoned| Reject::Unavailable)?;
        if !is_same {
            self.skus.entry(sku.id).or_default().0.push((Arc::new(sku), position));
        }
        Ok(())
    }

    /// Calls `price` with the current revision of a SKU.
    pub(crate) fn price(
        &self,
        sku: SkuId,
        price: &mut dyn FnMut(u32, &Sku) -> Result<Line, Reject>,
    ) -> Option<Result<Line, Reject>> {
        let revisions = self.skus.get(&sku)?;
        let (current, _) = revisions.0.last()?;
        Some(price(revisions.0.len() as u32, current))
    }

    /// One revision of a SKU.
    pub(crate) fn revision(&self, sku: SkuId, revision: u32) -> Option<Arc<Sku>> {
        let index = (revision as usize).checked_sub(1)?;
        self.skus.get(&sku)?.0.get(index).map(|(sku, _)| Arc::clone(sku))
    }

    /// The latest revision of a SKU that stands at or before a position.
    pub(crate) fn current(&self, sku: SkuId, up_to: Position) -> Option<Arc<Sku>> {
        self.skus.get(&sku)?.shown(up_to).map(|(_, sku)| Arc::clone(sku))
    }

    /// Its number.
    #[cfg(feature = "search")]
    pub(crate) fn current_revision(&self, sku: SkuId, up_to: Position) -> Option<u32> {
        self.skus.get(&sku)?.shown(up_to).map(|(revision, _)| revision)
    }

    /// The SKUs that belong to a product by their latest revision that stands at or before a position. Takes time in
    /// proportion to the number of SKUs.
    pub(crate) fn skus_of(&self, product: ProductId, up_to: Position) -> HashSet<SkuId> {
        let is_of =
            |revisions: &Revisions| revisions.shown(up_to).is_some_and(|(_, sku)| sku.product_id == product);
        self.skus.iter().filter(|entry| is_of(entry.value())).map(|entry| *entry.key()).collect()
    }

    /// The catalogue's part of the state hash.
    pub(crate) fn state_hash(&self) -> u64 {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let hash_all = |revisions: &Revisions| {
            (1..)
                .zip(&revisions.0)
                .fold(0_u64, |sum, (revision, (sku, _))| sum.wrapping_add(sku.record_hash(revision)))
        };
        self.skus.iter().fold(0, |sum, entry| sum.wrapping_add(hash_all(entry.value())))
    }
}
