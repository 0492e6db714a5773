//! The actors of one incarnation of the process, each at a seat that stands in for its ractor shell: an inbox, and the
//! stages of a round, any of which another actor's may follow.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

use super::log::{Entry, decode};
use super::store::StoreSeat;
use super::world::World;
use crate::actors::external::ExternalIndex;
use crate::actors::numbers::NumberLease;
use crate::actors::order::OrderItem;
use crate::actors::order::actor::{OrderActor, OrderEffects, OrderSettings, OrderShared};
use crate::actors::order::cold::StoreView;
use crate::actors::order::replay::Replayed;
use crate::actors::order::shell::owner_of;
use crate::actors::order::slots::KeyHasher;
use crate::actors::stock::actor::{Adjusted, StockActor, StockEffects};
use crate::actors::stock::gauge::Gauge;
use crate::actors::stock::{Holder, StockItem};
use crate::domain::event::Event;
use crate::domain::ids::{AdjustmentId, Position, StockKey};
use crate::domain::stock_delta::StockDelta;
use crate::engine::recovery::{Checkpoint, Makings, Recovered, finish, recover_actor};
use crate::projection::levels::MemoryPages;
use crate::projection::store::Checkpointer;
use crate::runtime::filter::RotatingFilter;
use crate::runtime::recent::RecentRefusals;

/// Cells of the table of recent refusals.
pub(super) const REFUSALS_KEPT: usize = 1 << 12;

/// How far an actor's round has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No round under way.
    Idle,
    /// Decided: what comes back to stock is to be announced.
    Decided,
    /// Announced: the entries are to be appended.
    Announced,
    /// Appended: stock actors are to be told.
    Appended,
    /// Told: the rest is to be sent.
    Told,
}

/// An order actor and its surroundings.
pub(super) struct OrderSeat {
    pub(super) actor: OrderActor,
    pub(super) inbox: VecDeque<OrderItem>,
    pub(super) effects: OrderEffects,
    pub(super) stage: Stage,
}

impl OrderSeat {
    /// Whether there is something to do.
    pub(super) fn is_busy(&self) -> bool {
        self.stage != Stage::Idle || !self.inbox.is_empty()
    }
}

/// A stock actor and its surroundings.
pub(super) struct StockSeat {
    pub(super) actor: StockActor,
    pub(super) gauge: Gauge,
    pub(super) inbox: VecDeque<StockItem>,
    pub(super) effects: StockEffects,
    pub(super) stage: Stage,
    /// Whether the actor runs. One at rest is only its ledger.
    pub(super) awake: bool,
    /// Units that a decided and not yet appended adjustment takes away.
    pub(super) cut: i64,
    /// Units ever settled, released, sold, taken back here.
    pub(super) moved: [u64; 4],
    /// Holders who have no answer yet, in order of arrival.
    pub(super) waiting: Vec<Holder>,
}

impl StockSeat {
    /// An actor at rest.
    pub(super) fn new(actor: StockActor) -> Self {
        let gauge = Gauge::default();
        actor.publish(&gauge);
        Self {
            actor,
            gauge,
            inbox: VecDeque::new(),
            effects: StockEffects::default(),
            stage: Stage::Idle,
            awake: false,
            cut: 0,
            moved: [0; 4],
            waiting: Vec::new(),
        }
    }

    /// Sends an item, waking the actor if it rests.
    pub(super) fn push(&mut self, item: StockItem) {
        self.awake = true;
        self.inbox.push_back(item);
    }

    /// Whether there is something to do.
    pub(super) fn is_busy(&self) -> bool {
        self.stage != Stage::Idle || !self.inbox.is_empty()
    }

    /// Notes what a round is about to take.
    pub(super) fn note_items(&mut self, items: &[StockItem]) {
        for item in items {
            match item {
                StockItem::Hold { holder, .. } => self.waiting.push(*holder),
                StockItem::Move(moves) => {
                    let moves = [moves.settle, moves.release, moves.sell, moves.take_back];
                    for (sum, units) in self.moved.iter_mut().zip(moves) {
                        *sum += units;
                    }
                }
                _ => {}
            }
        }
    }

    /// Whoever gets units is the first of those who wait (R3).
    pub(super) fn check_turns(&mut self) {
        for (holder, granted) in &self.effects.held {
            let place = self.waiting.iter().position(|waiting| waiting == holder);
            let place = place.unwrap_or_else(|| panic!("R3: {holder:?} is answered without having asked"));
            assert!(!granted || place == 0, "R3: {holder:?} overtakes {:?}", self.waiting);
            self.waiting.remove(place);
        }
    }

    /// Units that this round's adjustments take away.
    pub(super) fn cut_of_round(&self) -> i64 {
        let entries = decode(&self.effects.entries, Position(1));
        let deltas = entries.iter().flat_map(|entry| &entry.events).map(|event| match event {
            Event::StockAdjusted { delta, .. } => (-delta).max(0),
            _ => 0,
        });
        deltas.sum()
    }
}

/// Everything that a crash takes away.
pub(super) struct Process {
    pub(super) shared: Arc<OrderShared>,
    pub(super) filter: RotatingFilter,
    pub(super) orders: Vec<OrderSeat>,
    pub(super) stock: BTreeMap<StockKey, StockSeat>,
    /// A reservation of order numbers waits to be committed.
    pub(super) numbers_under_way: bool,
    pub(super) store: Option<StoreSeat>,
}

impl Process {
    /// The process that recovers these entries with so many order actors, without a store, its timers not armed yet.
    pub(super) fn recover(
        entries: &[Entry],
        order_actors: usize,
        settings: OrderSettings,
        hash_seed: u64,
        now_ms: u64,
    ) -> Self {
        let shared = Arc::new(OrderShared {
            hasher: KeyHasher::new(hash_seed),
            refusals: RecentRefusals::new(REFUSALS_KEPT),
            external: ExternalIndex::default(),
            lease: NumberLease::default(),
            teams: Default::default(),
            store: None,
        });
        let mut actors = Vec::new();
        let mut replayed = Vec::new();
        for index in 0..order_actors {
            let owns = |slot| owner_of(slot, order_actors) == index;
            let mut actor = OrderActor::new(settings, Arc::clone(&shared), now_ms, owns);
            let mut found = Replayed::default();
            for entry in entries.iter().filter(|entry| owns(entry.slot)) {
                for (nth, event) in (0..).zip(&entry.events) {
                    let position = Position(entry.first.0 + nth);
                    let result = actor.replay(position, event.clone(), &|_| Ok(None), &mut found);
                    assert!(result.is_ok(), "R7: what was written can be replayed: {result:?}");
                }
            }
            actors.push(actor);
            replayed.push(found);
        }
        let stock = merge(&mut actors, replayed);
        Self::seated(shared, actors, stock)
    }

    fn seated(
        shared: Arc<OrderShared>,
        actors: Vec<OrderActor>,
        stock: BTreeMap<StockKey, StockSeat>,
    ) -> Self {
        let filter = RotatingFilter::new(1 << 13);
        for actor in &actors {
            actor.request_hashes().for_each(|hash| filter.insert(hash));
        }
        let seat = |actor| OrderSeat {
            actor,
            inbox: VecDeque::new(),
            effects: OrderEffects::default(),
            stage: Stage::Idle,
        };
        let orders = actors.into_iter().map(seat).collect();
        Self { shared, filter, orders, stock, numbers_under_way: false, store: None }
    }

    /// The state hash, meaningful with nothing under way.
    pub(super) fn state_hash(&self) -> u64 {
        let orders = self.orders.iter().map(|seat| seat.actor.state_hash());
        let stock = self.stock.values().map(|seat| seat.actor.state_hash());
        orders.chain(stock).fold(0, u64::wrapping_add)
    }

    /// Whether nobody has anything to do.
    pub(super) fn is_quiet(&self) -> bool {
        !self.orders.iter().any(OrderSeat::is_busy)
            && !self.stock.values().any(StockSeat::is_busy)
            && self.store.as_ref().is_none_or(|store| store.loads.is_empty())
    }
}

impl World {
    /// The process that recovers from these pages and the journal behind them, with so many order actors.
    pub(super) fn recover_from_store(&mut self, pages: MemoryPages, order_actors: usize) -> Process {
        let temper = self.temper.store.expect("a run with a store says how it behaves");
        if self.random.percent(temper.fail_percent) {
            pages.fail_commit_at(self.random.between(1, 20));
        }
        let seed = self.random.next();
        let checkpointer = Checkpointer::open(Box::new(pages.clone()), None).expect("a store can be opened");
        let reader = checkpointer.reader();
        let head = reader.head().expect("the head can be read");
        let (stored, last) = (head.position, self.log.acknowledged());
        assert!(stored <= last, "R11: the store is at {stored}, the journal ends at {last}");
        let next = Position(stored.0 + 1);
        assert!(self.log.first() <= next, "R7: {next} is trimmed");

        let view = Arc::new(StoreView::new(stored, temper.filter_bits, seed));
        let shared = Arc::new(OrderShared {
            hasher: KeyHasher::new(seed),
            refusals: RecentRefusals::new(REFUSALS_KEPT),
            external: ExternalIndex::default(),
            lease: NumberLease::default(),
            teams: Default::default(),
            store: Some(Arc::clone(&view)),
        });
        let makings = Makings {
            order_actors,
            settings: self.temper.settings,
            shared: Arc::clone(&shared),
            now_ms: self.now_ms,
        };
        let checkpoint = Checkpoint { store: Some(&reader), head };
        let frames = self.log.frames(&mut self.random, next, u64::MAX);
        let frames: Vec<_> = frames.into_iter().map(Arc::new).collect();
        let mut parts = Vec::new();
        for index in 0..order_actors {
            let part = recover_actor(&checkpoint, &makings, index, frames.iter().cloned());
            let part = part.expect("R7: what was written can be recovered");
            self.tally.limits_ahead += part.1.limits_ahead.len() as u64;
            parts.push(part);
        }
        let Recovered { orders, stock, catalogue, numbers_until_ms, latest_at_ms, .. } =
            finish(&checkpoint, &makings, parts, last).expect("R7: the parts fit together");
        let facts = &self.committed;
        assert_eq!(numbers_until_ms, facts.numbers_until_ms, "R8: reserved order numbers");
        assert_eq!(latest_at_ms, facts.latest_at_ms, "R9: engine time goes on from its latest event");
        assert_eq!(catalogue.state_hash(), facts.catalogue_hash, "R7: the catalogue");
        let stock = stock.into_iter().map(|(key, actor)| (key, StockSeat::new(actor))).collect();
        let mut process = Process::seated(shared, orders, stock);
        process.store = Some(StoreSeat::new(pages, checkpointer, view));
        process
    }
}

/// Hands over what the workers found for other owners, and gives the stock actors.
fn merge(actors: &mut [OrderActor], replayed: Vec<Replayed>) -> BTreeMap<StockKey, StockSeat> {
    let mut deltas: BTreeMap<StockKey, StockDelta> = BTreeMap::new();
    let mut adjustments: BTreeMap<StockKey, HashMap<AdjustmentId, Adjusted>> = BTreeMap::new();
    let count = actors.len();
    for found in replayed {
        for (key, delta) in found.stock {
            deltas.entry(key).or_default().add(delta);
        }
        for (key, id, change) in found.adjustments {
            adjustments.entry(key).or_default().insert(id, Adjusted { change });
        }
        for (payment, result) in found.outcomes {
            actors[owner_of(payment.slot(), count)].restore_outcome(payment, result);
        }
    }
    let seat = |(key, delta): (StockKey, StockDelta)| {
        let counters = delta.counters().expect("R1: recovered counters are not negative");
        let adjustments = adjustments.remove(&key).unwrap_or_default();
        (key, StockSeat::new(StockActor::new(key, counters, adjustments)))
    };
    deltas.into_iter().map(seat).collect()
}
