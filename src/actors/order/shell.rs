//! The ractor shell of an order actor: drain, decide, announce what comes back to stock (R3), append, then perform
//! (R5).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::channel::Sender;
use crossbeam::utils::CachePadded;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::actor::{OrderActor, OrderCounts, OrderEffects, StockEffect};
use super::cold::Load;
use super::{HoldResult, OrderItem};
use crate::actors::answers::send_all;
use crate::actors::stock::registry::{Desk, StockCell, StockRegistry};
use crate::actors::stock::shell::StockRound;
use crate::actors::stock::{Holder, Moves, StockItem};
use crate::actors::team::TeamItem;
use crate::domain::ids::{Position, Slot, StockKey};
use crate::journal::{Acknowledge, EntryBuffer, JournalHandle};
use crate::runtime::clock::Clock;
use crate::runtime::credits::Credits;
use crate::runtime::inbox::{Bell, CloseOnPanic, Inbox};

/// Most items that one round takes. Small enough that a round's facts reach the journal soon, large enough that
/// its fixed costs vanish.
const ROUND_ITEMS_MAX: usize = 1024;

/// "No timer pending" in [`OrderBoard::next_deadline_ms`].
pub(crate) const NO_DEADLINE: u64 = u64::MAX;

/// What an order actor shows to the engine without being asked.
#[derive(Debug)]
pub(crate) struct OrderBoard {
    /// When its wheel wants to be looked at, or [`NO_DEADLINE`].
    pub(crate) next_deadline_ms: CachePadded<AtomicU64>,
    counts: [CachePadded<AtomicU64>; 12],
}

impl OrderBoard {
    /// A board of an actor that has done nothing yet.
    pub(crate) fn new() -> Self {
        Self { next_deadline_ms: CachePadded::new(AtomicU64::new(NO_DEADLINE)), counts: Default::default() }
    }

    /// Shows the counters.
    pub(crate) fn publish(&self, counts: OrderCounts) {
        let OrderCounts {
            orders,
            open,
            accepted,
            sold_out,
            limited,
            duplicates,
            expired,
            timers,
            collecting,
            evicted,
            expiry_lag_ms,
            refund_since_ms,
        } = counts;
        let values = [
            orders,
            open,
            accepted,
            sold_out,
            limited,
            duplicates,
            expired,
            timers,
            collecting,
            evicted,
            expiry_lag_ms,
            refund_since_ms,
        ];
        for (cell, value) in self.counts.iter().zip(values) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// The counters as last shown.
    pub(crate) fn counts(&self) -> OrderCounts {
        let [
            orders,
            open,
            accepted,
            sold_out,
            limited,
            duplicates,
            expired,
            timers,
            collecting,
            evicted,
            expiry_lag_ms,
            refund_since_ms,
        ] = std::array::from_fn(|index| self.counts[index].load(Ordering::Relaxed));
        OrderCounts {
            orders,
            open,
            accepted,
            sold_out,
            limited,
            duplicates,
            expired,
            timers,
            collecting,
            evicted,
            expiry_lag_ms,
            refund_since_ms,
        }
    }
}

/// What every order actor needs around it.
pub(crate) struct OrderWorld {
    /// All order actors' inboxes, by index.
    pub(crate) orders: Vec<Arc<Inbox<OrderItem>>>,
    /// The stock keys.
    pub(crate) stock: Arc<StockRegistry>,
    /// Where facts go.
    pub(crate) journal: JournalHandle,
    /// The engine's time.
    pub(crate) clock: Clock,
    /// Credits of the commands whose answers are sent here.
    pub(crate) credits: Arc<Credits>,
    /// Where the team actor's work comes in.
    pub(crate) teams: Arc<Inbox<TeamItem>>,
    /// Where questions to the store go. Without a store there are none.
    pub(crate) loads: Option<Sender<Load>>,
}

/// The order actor that owns a slot, of so many.
pub(crate) fn owner_of(slot: Slot, actors: usize) -> usize {
    slot.index() % actors
}

/// The ractor actor around an [`OrderActor`].
pub(crate) struct OrderShell {
    index: u16,
    world: Arc<OrderWorld>,
    board: Arc<OrderBoard>,
}

/// A stock key as the shell sees it: where its items go, and what this round adds up for it.
struct Port {
    cell: Arc<StockCell>,
    desk: Arc<Desk>,
    moves: Moves,
    wanted: Vec<(u32, u32)>,
    changed: bool,
}

/// The shell's state.
pub(crate) struct OrderShellState {
    actor: Box<OrderActor>,
    items: Vec<OrderItem>,
    effects: OrderEffects,
    ports: Vec<Port>,
    port_of: HashMap<StockKey, u32>,
    changed: Vec<u32>,
    /// For stock actors that have nothing to do but what this one sends.
    stock_round: StockRound,
}

impl OrderShell {
    /// The shell of the order actor with this index.
    pub(crate) fn new(index: u16, world: Arc<OrderWorld>, board: Arc<OrderBoard>) -> Self {
        Self { index, world, board }
    }

    fn inbox(&self) -> &Inbox<OrderItem> {
        &self.world.orders[usize::from(self.index)]
    }

    /// Appends, then performs (R5). With a poisoned journal the effects are dropped instead, and with them the answers
    /// that depend on the append, which tells the callers that the outcome is unknown.
    fn perform(&self, state: &mut OrderShellState) {
        let frees_units = self.announce_returns(state);
        let effects = &mut state.effects;
        let journal = &self.world.journal;
        let mut late = None;
        let mut routed_from = Position(0);
        if effects.entries.is_empty() && journal.acknowledged() >= journal.appended() {
            // Everything that could be shown is acknowledgeable already.
            effects.answers.append(&mut effects.durable_answers);
        }
        if !effects.entries.is_empty() || !effects.durable_answers.is_empty() {
            let answers = std::mem::take(&mut effects.durable_answers);
            let capacity = answers.len();
            let credits = Arc::clone(&self.world.credits);
            let mut acknowledge: Option<Acknowledge> = Some(Box::new(move || send_all(answers, &credits)));
            if frees_units {
                // Who hears of a cancellation must find its units: the answers go behind their release.
                late = acknowledge.take();
            }
            match journal.append(&mut effects.entries, acknowledge) {
                Ok(first) => {
                    state.actor.appended(first);
                    routed_from = first;
                }
                Err(_poisoned) => {
                    let OrderEffects { answers, loads, .. } = std::mem::take(effects);
                    self.ask_store(loads);
                    return send_all(answers, &self.world.credits);
                }
            }
            // The next round is likely to have as many.
            effects.durable_answers.reserve(capacity);
        }
        for item in state.effects.teams.drain(..) {
            // Its inbox is open as long as the engine runs.
            let _ = self.world.teams.push(item);
        }
        self.tell_stock(state);
        for (slot, mut item) in state.effects.routed.drain(..) {
            item.settle_position(routed_from);
            // An order actor's inbox is never closed while the engine runs.
            let _ = self.world.orders[owner_of(slot, self.world.orders.len())].push(item);
        }
        if late.is_some() {
            // Poisoned meanwhile, the journal drops the answers, which tells the callers.
            let _ = self.world.journal.append(&mut EntryBuffer::new(), late);
        }
        self.ask_store(state.effects.loads.drain(..));
        send_all(state.effects.answers.drain(..), &self.world.credits);
    }

    /// Hands questions to the store's readers.
    fn ask_store(&self, loads: impl IntoIterator<Item = Load>) {
        let Some(store) = &self.world.loads else { return };
        for load in loads {
            // Credits bound how many there are. Readers that are gone mean a closing engine: what waits is let go of.
            let _ = store.send(load);
        }
    }

    /// Shows the units of this round's closes and refunds as on their way back, before the journal, and so anybody, can
    /// know of them (R3). Gives whether there are any.
    fn announce_returns(&self, state: &mut OrderShellState) -> bool {
        let mut any = false;
        for place in 0..state.effects.stock.len() {
            let (key, quantity, what) = state.effects.stock[place];
            if matches!(what, StockEffect::Release | StockEffect::TakeBack) {
                any = true;
                if let Some(index) = self.port(state, key) {
                    state.ports[index as usize].cell.gauge.start_return(u64::from(quantity));
                }
            }
        }
        any
    }

    /// Tells each stock actor, in one or two messages, what this round has for it.
    fn tell_stock(&self, state: &mut OrderShellState) {
        let mut stock = std::mem::take(&mut state.effects.stock);
        for (key, quantity, what) in stock.drain(..) {
            if what == StockEffect::Open {
                self.world.stock.get_or_create(key);
            }
            let Some(index) = self.port(state, key) else {
                self.refuse(what);
                continue;
            };
            let port = &mut state.ports[index as usize];
            let units = u64::from(quantity);
            match what {
                StockEffect::Hold { collect } => port.wanted.push((collect, quantity)),
                StockEffect::Open => port.moves.open += units,
                StockEffect::Seize => port.moves.seize += units,
                StockEffect::Settle => port.moves.settle += units,
                StockEffect::GiveBack => port.moves.give_back += units,
                StockEffect::Release => port.moves.release += units,
                StockEffect::Sell => port.moves.sell += units,
                StockEffect::TakeBack => port.moves.take_back += units,
            }
            if !port.changed {
                port.changed = true;
                state.changed.push(index);
            }
        }
        state.effects.stock = stock;
        if state.changed.is_empty() {
            return;
        }
        let now_ms = self.world.clock.now_ms();
        let OrderShellState { ports, changed, stock_round, .. } = state;
        for index in changed.drain(..) {
            let port = &mut ports[index as usize];
            port.changed = false;
            // Moves first: what they give back may be what is wanted.
            let moves = std::mem::take(&mut port.moves);
            let moves = (moves != Moves::default()).then_some(StockItem::Move(moves));
            let hold = match port.wanted.as_slice() {
                [] => None,
                [(collect, quantity)] => {
                    let holder = Holder { actor: self.index, collect: *collect };
                    let quantity = *quantity;
                    port.wanted.clear();
                    Some(StockItem::Hold { holder, quantity })
                }
                _ => Some(StockItem::Holds { actor: self.index, wanted: std::mem::take(&mut port.wanted) }),
            };
            self.send(port, [moves, hold].into_iter().flatten(), stock_round, now_ms);
        }
        stock_round.send_held(&self.world.orders);
    }

    /// Sends items to a stock actor. One that has nothing else to do is served here, on its desk: waking it for one item
    /// costs more than the item, and in a wide catalogue most keys have just one. What comes meanwhile wakes it.
    fn send(
        &self,
        port: &mut Port,
        mut items: impl Iterator<Item = StockItem>,
        round: &mut StockRound,
        now_ms: u64,
    ) {
        while let Some(item) = items.next() {
            let inbox = &port.desk.inbox;
            match inbox.push_or_serve(item) {
                Ok(None) => {}
                Ok(Some(item)) => {
                    let _guard = CloseOnPanic(inbox);
                    round.items.push(item);
                    round.items.extend(&mut items);
                    round.run(&port.cell, &port.desk, self.world.stock.world(), now_ms);
                    inbox.finish(1);
                }
                Err(closed) => {
                    if let Some(desk) = self.world.stock.resend(&port.cell, &port.desk, closed.0) {
                        // The stock actor had gone to rest; another one listens now.
                        port.desk = desk;
                    }
                }
            }
        }
    }

    /// The port of a stock key; `None` where the key has never had stock.
    fn port(&self, state: &mut OrderShellState, key: StockKey) -> Option<u32> {
        match state.port_of.entry(key) {
            Entry::Occupied(occupied) => Some(*occupied.get()),
            Entry::Vacant(vacant) => {
                let cell = self.world.stock.get(&key)?;
                let desk = self.world.stock.desk(&cell);
                let index = state.ports.len() as u32;
                state.ports.push(Port {
                    cell,
                    desk,
                    moves: Moves::default(),
                    wanted: Vec::new(),
                    changed: false,
                });
                vacant.insert(index);
                Some(index)
            }
        }
    }

    /// A key that has never had stock has no units to hold, and can't have been promised any.
    fn refuse(&self, what: StockEffect) {
        if let StockEffect::Hold { collect } = what {
            let _ = self.inbox().push(OrderItem::Held(vec![HoldResult { collect, granted: false }]));
        }
    }
}

impl Actor for OrderShell {
    type Msg = Bell;
    type State = OrderShellState;
    type Arguments = Box<OrderActor>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Bell>,
        actor: Box<OrderActor>,
    ) -> Result<OrderShellState, ActorProcessingErr> {
        self.board.publish(actor.counts());
        self.board.next_deadline_ms.store(actor.next_deadline_ms().unwrap_or(NO_DEADLINE), Ordering::Relaxed);
        Ok(OrderShellState {
            actor,
            items: Vec::with_capacity(ROUND_ITEMS_MAX),
            effects: OrderEffects::default(),
            ports: Vec::new(),
            port_of: HashMap::new(),
            changed: Vec::new(),
            stock_round: StockRound::new(self.world.orders.len()),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Bell>,
        _bell: Bell,
        state: &mut OrderShellState,
    ) -> Result<(), ActorProcessingErr> {
        let _guard = CloseOnPanic(self.inbox());
        let drained = self.inbox().drain(&mut state.items, ROUND_ITEMS_MAX);
        let now_ms = self.world.clock.now_ms();
        let acknowledged = self.world.journal.acknowledged();
        state.actor.on_batch(&mut state.items, now_ms, acknowledged, &mut state.effects);
        // Before anybody can hear of an order: who then looks at the counters, or moves a manual clock, finds it here.
        let next_deadline_ms = state.actor.next_deadline_ms().unwrap_or(NO_DEADLINE);
        self.board.next_deadline_ms.store(next_deadline_ms, Ordering::Release);
        self.board.publish(state.actor.counts());
        self.perform(state);
        // Timers that are due beyond this round's share: the next round takes more, after the items that came
        // meanwhile. Held back by their bound, they wait for the ticker.
        let more_is_due = next_deadline_ms <= now_ms && state.actor.may_expire();
        let more_to_do = state.actor.has_more_to_do();
        if let Some(failure) = state.effects.failure.take() {
            return Err(failure.into());
        }
        let rung_again = self.inbox().finish(drained);
        if !rung_again && (more_is_due || more_to_do) {
            let _ = self.inbox().push(OrderItem::Tick);
        }
        if rung_again || more_is_due || more_to_do {
            // Without this a busy actor keeps its thread for the 128 messages of tokio's task budget, each of them a
            // whole round, while stock actors and callers wait.
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
