//! The ractor shell of a stock actor.

use std::sync::{Arc, OnceLock, Weak};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::StockItem;
use super::actor::{StockActor, StockEffects};
use super::registry::{StockCell, StockRegistry};
use crate::actors::answers::{append, send_all};
use crate::actors::order::{HoldResult, OrderItem};
use crate::journal::JournalHandle;
use crate::runtime::clock::Clock;
use crate::runtime::credits::Credits;
use crate::runtime::inbox::{Bell, CloseOnPanic, Inbox};
use crate::runtime::shutdown::Gate;

/// Most items that one round takes, so that a hot key doesn't keep its worker thread for long.
const ROUND_ITEMS_MAX: usize = 4096;

/// What every stock actor needs around it.
pub(crate) struct StockWorld {
    /// The order actors' inboxes, by index.
    pub(crate) orders: Vec<Arc<Inbox<OrderItem>>>,
    /// Where facts go.
    pub(crate) journal: JournalHandle,
    /// The engine's time.
    pub(crate) clock: Clock,
    /// Whether the engine runs.
    pub(crate) gate: Arc<Gate>,
    /// Credits of the commands whose answers are sent here.
    pub(crate) credits: Arc<Credits>,
    /// The other stock keys, where transfers go.
    pub(crate) registry: OnceLock<Weak<StockRegistry>>,
}

/// The ractor actor around a [`StockActor`].
pub(crate) struct StockShell {
    cell: Arc<StockCell>,
    inbox: Arc<Inbox<StockItem>>,
    world: Arc<StockWorld>,
}

/// The shell's state.
pub(crate) struct StockState {
    actor: Option<Box<StockActor>>,
    items: Vec<StockItem>,
    effects: StockEffects,
    held: Vec<Vec<HoldResult>>,
}

impl StockShell {
    /// A shell that listens to `inbox`.
    pub(crate) fn new(cell: Arc<StockCell>, inbox: Arc<Inbox<StockItem>>, world: Arc<StockWorld>) -> Self {
        Self { cell, inbox, world }
    }

    fn registry(&self) -> Option<Arc<StockRegistry>> {
        self.world.registry.get().and_then(Weak::upgrade)
    }

    /// Shows units that are about to leave for other keys as on their way there, so that nobody is told "sold out"
    /// there for want of them (R3).
    fn announce_transfers(&self, effects: &mut StockEffects) -> Vec<(Arc<StockCell>, u64)> {
        if effects.transfers.is_empty() {
            return Vec::new();
        }
        // Without a registry the engine is gone, and the journal with it.
        let Some(registry) = self.registry() else { return Vec::new() };
        let announce = |(key, units)| {
            let cell = registry.get_or_create(key);
            cell.gauge.start_return(units);
            (cell, units)
        };
        effects.transfers.drain(..).map(announce).collect()
    }

    /// Appends, then performs (R5).
    fn perform(&self, state: &mut StockState) {
        let StockState { effects, held, .. } = state;
        let transfers = self.announce_transfers(effects);
        let StockWorld { journal, credits, .. } = &*self.world;
        let answers = (&mut effects.answers, &mut effects.durable_answers);
        if append(journal, credits, &mut effects.entries, answers, send_all).is_err() {
            let StockEffects { answers, .. } = std::mem::take(effects);
            return send_all(answers, credits);
        }
        for (cell, units) in transfers {
            if let Some(registry) = self.registry() {
                registry.send(&cell, StockItem::Receive { units });
            }
        }
        for (holder, granted) in effects.held.drain(..) {
            held[usize::from(holder.actor)].push(HoldResult { collect: holder.collect, granted });
        }
        for (results, inbox) in held.iter_mut().zip(&self.world.orders) {
            if !results.is_empty() {
                // An order actor's inbox is never closed while the engine runs.
                let _ = inbox.push(OrderItem::Held(std::mem::take(results)));
            }
        }
        send_all(effects.answers.drain(..), credits);
    }
}

impl Actor for StockShell {
    type Msg = Bell;
    type State = StockState;
    type Arguments = Box<StockActor>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Bell>,
        actor: Box<StockActor>,
    ) -> Result<StockState, ActorProcessingErr> {
        Ok(StockState {
            actor: Some(actor),
            items: Vec::new(),
            effects: StockEffects::default(),
            held: self.world.orders.iter().map(|_| Vec::new()).collect(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Bell>,
        _bell: Bell,
        state: &mut StockState,
    ) -> Result<(), ActorProcessingErr> {
        let _guard = CloseOnPanic(&self.inbox);
        let drained = self.inbox.drain(&mut state.items, ROUND_ITEMS_MAX);
        if let Some(actor) = &mut state.actor {
            actor.on_batch(&mut state.items, self.world.clock.now_ms(), &self.cell.gauge, &mut state.effects);
        }
        self.perform(state);
        let ring_again = self.inbox.finish(drained);
        let rest = std::mem::take(&mut state.effects.rest);
        if ring_again {
            // A hot key must not keep its thread from the others.
            tokio::task::yield_now().await;
        }
        if !rest {
            self.cell.mark_busy();
        }
        if rest
            && !ring_again
            && state.actor.as_ref().is_some_and(|actor| actor.is_quiet(&self.cell.gauge))
            && self.cell.rest(&self.inbox, &mut state.actor)
        {
            myself.stop(None);
        }
        Ok(())
    }
}
