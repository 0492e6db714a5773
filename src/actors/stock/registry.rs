//! The registry of stock keys: gauges for the front door, inboxes for the order actors, and the ledgers of keys
//! whose actor is at rest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use dashmap::DashMap;
use hashbrown::DefaultHashBuilder;
use ractor::{ActorCell, ActorRuntime};

use super::StockItem;
use super::actor::StockActor;
use super::gauge::Gauge;
use super::shell::{StockShell, StockWorld};
use crate::domain::ids::StockKey;
use crate::domain::stock::StockCounters;
use crate::runtime::inbox::Inbox;

/// One stock key: what outlives its actor.
pub(crate) struct StockCell {
    /// The key.
    pub(crate) key: StockKey,
    /// What the front door may know.
    pub(crate) gauge: Gauge,
    /// Whether the actor has had work since somebody last looked.
    busy: AtomicBool,
    presence: Mutex<Presence>,
}

/// Where an actor that is awake works.
pub(crate) struct Desk {
    /// What it listens to.
    pub(crate) inbox: Inbox<StockItem>,
    /// The ledger, for whoever is the inbox's consumer: the actor, or who served an item itself. Gone once the actor rests.
    actor: Mutex<Option<Box<StockActor>>>,
}

/// Whether a key's actor is awake.
enum Presence {
    /// The ledger lies on its desk.
    Awake(Arc<Desk>),
    /// No actor: the ledger lies here.
    Resting(Box<StockActor>),
}

impl Desk {
    /// The ledger, for the inbox's consumer.
    pub(crate) fn actor(&self) -> MutexGuard<'_, Option<Box<StockActor>>> {
        // Whoever panicked over it has closed the inbox.
        self.actor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All stock keys.
pub(crate) struct StockRegistry {
    cells: DashMap<StockKey, Arc<StockCell>, DefaultHashBuilder>,
    world: OnceLock<Arc<StockWorld>>,
    supervisor: ActorCell,
}

impl StockRegistry {
    /// An empty registry whose actors report to `supervisor`.
    pub(crate) fn new(supervisor: ActorCell) -> Self {
        Self { cells: DashMap::default(), world: OnceLock::new(), supervisor }
    }

    /// Sets what every stock actor needs around it; once, before the first activation.
    pub(crate) fn connect(self: &Arc<Self>, world: Arc<StockWorld>) {
        let _ = world.registry.set(Arc::downgrade(self));
        let first = self.world.set(world).is_ok();
        debug_assert!(first, "a registry is connected once");
    }

    /// Whether no stock actor's shell is left.
    pub(crate) fn has_no_shells(&self) -> bool {
        self.world.get().is_none_or(|world| Arc::strong_count(world) == 1)
    }

    /// Enters a recovered ledger.
    pub(crate) fn restore(&self, key: StockKey, actor: StockActor) {
        self.cells.insert(key, Self::cell(key, actor));
    }

    /// The cell of a key, if the key has ever had stock.
    pub(crate) fn get(&self, key: &StockKey) -> Option<Arc<StockCell>> {
        self.cells.get(key).map(|cell| Arc::clone(&cell))
    }

    /// Whether an order for this key can be refused at the door: see [`Gauge::is_sold_out`].
    pub(crate) fn is_sold_out(&self, key: &StockKey) -> bool {
        self.cells.get(key).is_none_or(|cell| cell.gauge.is_sold_out())
    }

    /// The cell of a key, made empty where there is none.
    pub(crate) fn get_or_create(&self, key: StockKey) -> Arc<StockCell> {
        let empty = || Self::cell(key, StockActor::new(key, StockCounters::default(), Default::default()));
        Arc::clone(&self.cells.entry(key).or_insert_with(empty))
    }

    /// The cells of all keys.
    pub(crate) fn all(&self) -> Vec<Arc<StockCell>> {
        self.cells.iter().map(|cell| Arc::clone(&cell)).collect()
    }

    /// The desk of a cell's actor, which is woken if it rests. Must be called within the runtime.
    pub(crate) fn desk(&self, cell: &Arc<StockCell>) -> Arc<Desk> {
        let mut presence = cell.lock();
        if let Presence::Awake(desk) = &*presence {
            return Arc::clone(desk);
        }
        let desk = Arc::new(Desk { inbox: Inbox::new(), actor: Mutex::new(None) });
        let Presence::Resting(actor) = std::mem::replace(&mut *presence, Presence::Awake(Arc::clone(&desk)))
        else {
            unreachable!("the lock is held and the actor was resting");
        };
        *desk.actor() = Some(actor);
        let world = self.world();
        let shell = StockShell::new(Arc::clone(cell), Arc::clone(&desk), Arc::clone(world));
        let spawned = ActorRuntime::spawn_linked_instant(None, shell, (), self.supervisor.clone());
        match spawned {
            Ok((actor_ref, _join)) => desk.inbox.bind(actor_ref),
            // Only a name that is taken makes a spawn fail, and these have none.
            Err(error) => {
                world.gate.poison(format!("stock actor {} did not start: {error}", cell.key));
            }
        }
        desk
    }

    /// Sends an item to a key's actor, waking it if it rests.
    pub(crate) fn send(&self, cell: &Arc<StockCell>, item: StockItem) {
        let desk = self.desk(cell);
        self.resend(cell, &desk, item);
    }

    /// Sends an item to a desk whose inbox may be closed; gives the one that took it. Without one the item is
    /// dropped: its actor has panicked, and the engine is poisoned; or the engine is shut down.
    pub(crate) fn resend(
        &self,
        cell: &Arc<StockCell>,
        desk: &Arc<Desk>,
        item: StockItem,
    ) -> Option<Arc<Desk>> {
        let mut desk = Arc::clone(desk);
        let mut item = item;
        while let Err(closed) = desk.inbox.push(item) {
            // An actor that went to rest has put its ledger back under the lock that `desk` takes. One whose
            // inbox is closed and that never rested has panicked, or was stopped with the engine.
            let next = self.desk(cell);
            if Arc::ptr_eq(&next, &desk) {
                return None;
            }
            (desk, item) = (next, closed.0);
        }
        Some(desk)
    }

    /// Stock keys whose actor is awake.
    pub(crate) fn awake(&self) -> u64 {
        self.cells.iter().filter(|cell| cell.is_awake()).count() as u64
    }

    /// What stock actors work with.
    pub(crate) fn world(&self) -> &Arc<StockWorld> {
        self.world.get().expect("the engine connects the registry before it takes commands")
    }

    fn cell(key: StockKey, actor: StockActor) -> Arc<StockCell> {
        let gauge = Gauge::default();
        actor.publish(&gauge);
        Arc::new(StockCell {
            key,
            gauge,
            busy: AtomicBool::new(false),
            presence: Mutex::new(Presence::Resting(Box::new(actor))),
        })
    }
}

impl StockCell {
    /// Puts the actor to rest if nothing is held or parked and its inbox is empty, atomically: a push that comes later
    /// finds the inbox closed.
    pub(crate) fn rest(&self, desk: &Desk) -> bool {
        // Under the lock, so that a producer who finds the inbox closed waits here until the ledger is back.
        let mut presence = self.lock();
        let mut actor = desk.actor();
        // Nobody serves an item now, or the inbox isn't idle.
        let is_quiet = actor.as_ref().is_some_and(|actor| actor.is_quiet(&self.gauge));
        if !is_quiet || !desk.inbox.close_if_idle() {
            return false;
        }
        if let Some(actor) = actor.take() {
            *presence = Presence::Resting(actor);
        }
        true
    }

    /// The actor had work.
    pub(crate) fn mark_busy(&self) {
        self.busy.store(true, Ordering::Relaxed);
    }

    /// Whether the actor has had work since this was last asked.
    pub(crate) fn was_busy(&self) -> bool {
        self.busy.swap(false, Ordering::Relaxed)
    }

    /// Lets go of everybody who waits for an actor that is gone.
    pub(crate) fn abandon(&self) {
        if let Presence::Awake(desk) = &*self.lock() {
            desk.inbox.close_and_clear();
        }
    }

    /// Whether an actor is awake.
    pub(crate) fn is_awake(&self) -> bool {
        matches!(&*self.lock(), Presence::Awake(_))
    }

    fn lock(&self) -> MutexGuard<'_, Presence> {
        // Nothing that can panic runs under this lock.
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
