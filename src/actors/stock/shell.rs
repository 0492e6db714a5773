//! The ractor shell of a stock actor, and a round of its work, which an order actor may do as well.

use std::sync::{Arc, OnceLock, Weak};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::StockItem;
use super::actor::StockEffects;
use super::registry::{Desk, StockCell, StockRegistry};
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

/// What a round of a stock actor needs, whoever does it; used again and again.
pub(crate) struct StockRound {
    /// What the round is to deal with.
    pub(crate) items: Vec<StockItem>,
    effects: StockEffects,
    /// Answers to holds, by order actor.
    held: Vec<Vec<HoldResult>>,
}

impl StockRound {
    /// For an engine with so many order actors.
    pub(crate) fn new(order_actors: usize) -> Self {
        let held = (0..order_actors).map(|_| Vec::new()).collect();
        Self { items: Vec::new(), effects: StockEffects::default(), held }
    }

    /// Decides, appends, then performs (R5), for the inbox's consumer. Answers to holds are left for
    /// [`StockRound::send_held`]. Returns whether somebody suggested going to rest.
    pub(crate) fn run(&mut self, cell: &StockCell, desk: &Desk, world: &StockWorld, now_ms: u64) -> bool {
        if let Some(actor) = &mut *desk.actor() {
            actor.on_batch(&mut self.items, now_ms, &cell.gauge, &mut self.effects);
        }
        self.perform(world);
        let rest = std::mem::take(&mut self.effects.rest);
        if !rest {
            cell.mark_busy();
        }
        rest
    }

    fn perform(&mut self, world: &StockWorld) {
        let Self { effects, held, .. } = self;
        let transfers = announce_transfers(effects, world);
        let StockWorld { journal, credits, .. } = world;
        let answers = (&mut effects.answers, &mut effects.durable_answers);
        if append(journal, credits, &mut effects.entries, answers, send_all).is_err() {
            let StockEffects { answers, .. } = std::mem::take(effects);
            return send_all(answers, credits);
        }
        for (cell, units) in transfers {
            if let Some(registry) = world.registry() {
                registry.send(&cell, StockItem::Receive { units });
            }
        }
        for (holder, granted) in effects.held.drain(..) {
            held[usize::from(holder.actor)].push(HoldResult { collect: holder.collect, granted });
        }
        send_all(effects.answers.drain(..), credits);
    }

    /// Tells the order actors whether they got what they asked for.
    pub(crate) fn send_held(&mut self, orders: &[Arc<Inbox<OrderItem>>]) {
        for (results, inbox) in self.held.iter_mut().zip(orders) {
            if !results.is_empty() {
                // An order actor's inbox is never closed while the engine runs.
                let _ = inbox.push(OrderItem::Held(std::mem::take(results)));
            }
        }
    }
}

/// Shows units that are about to leave for other keys as on their way there, so that nobody is told "sold out" there for
/// want of them (R3).
fn announce_transfers(effects: &mut StockEffects, world: &StockWorld) -> Vec<(Arc<StockCell>, u64)> {
    if effects.transfers.is_empty() {
        return Vec::new();
    }
    // Without a registry the engine is gone, and the journal with it.
    let Some(registry) = world.registry() else { return Vec::new() };
    let announce = |(key, units)| {
        let cell = registry.get_or_create(key);
        cell.gauge.start_return(units);
        (cell, units)
    };
    effects.transfers.drain(..).map(announce).collect()
}

impl StockWorld {
    fn registry(&self) -> Option<Arc<StockRegistry>> {
        self.registry.get().and_then(Weak::upgrade)
    }
}

/// The ractor actor around a [`StockActor`](super::actor::StockActor), which lies on its desk.
pub(crate) struct StockShell {
    cell: Arc<StockCell>,
    desk: Arc<Desk>,
    world: Arc<StockWorld>,
}

impl StockShell {
    /// A shell that listens to the desk's inbox.
    pub(crate) fn new(cell: Arc<StockCell>, desk: Arc<Desk>, world: Arc<StockWorld>) -> Self {
        Self { cell, desk, world }
    }
}

impl Actor for StockShell {
    type Msg = Bell;
    type State = StockRound;
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Bell>, (): ()) -> Result<StockRound, ActorProcessingErr> {
        Ok(StockRound::new(self.world.orders.len()))
    }

    async fn handle(
        &self,
        myself: ActorRef<Bell>,
        _bell: Bell,
        round: &mut StockRound,
    ) -> Result<(), ActorProcessingErr> {
        let Desk { inbox, .. } = &*self.desk;
        let _guard = CloseOnPanic(inbox);
        let drained = inbox.drain(&mut round.items, ROUND_ITEMS_MAX);
        let rest = round.run(&self.cell, &self.desk, &self.world, self.world.clock.now_ms());
        round.send_held(&self.world.orders);
        let ring_again = inbox.finish(drained);
        if ring_again {
            // A hot key must not keep its thread from the others.
            tokio::task::yield_now().await;
        }
        if rest && !ring_again && self.cell.rest(&self.desk) {
            myself.stop(None);
        }
        Ok(())
    }
}
