//! Recovery: from store and journal to the state that wrote them.
//!
//! Each worker first loads its slots' open orders from the store. One thread reads the frames behind it; one worker per order actor goes through all of them, skips the entries of other owners by
//! their headers, and applies its own. What belongs to no order actor (stock, catalogue, payments' outcomes) is
//! summed up per worker and merged at the end.

use std::sync::Arc;
use std::thread;

use crossbeam::channel;
use hashbrown::HashMap;

use super::OpenError;
use super::catalogue::Catalogue;
use crate::actors::order::actor::{OrderActor, OrderSettings, OrderShared};
use crate::actors::order::replay::{ColdError, ReplayError, Replayed};
use crate::actors::order::shell::owner_of;
use crate::actors::register::Register;
use crate::actors::stock::actor::{Adjusted, StockActor};
use crate::domain::ids::{AdjustmentId, MemberId, Position, SLOTS, Slot, StockKey};
use crate::domain::stock::StockCounters;
use crate::domain::stock_delta::StockDelta;
use crate::domain::task::TaskBook;
use crate::domain::team::TeamBook;
use crate::journal::{Frame, JournalError, JournalRead, scan};
use crate::projection::levels::StoreError;
use crate::projection::store::{Head, StockEntry, StoreReader};

/// Frames on their way to one worker.
const FRAMES_AHEAD_MAX: usize = 64;

/// The state that store and journal describe.
pub(crate) struct Recovered {
    /// The order actors, without timers.
    pub(crate) orders: Vec<OrderActor>,
    /// The stock keys.
    pub(crate) stock: Vec<(StockKey, StockActor)>,
    /// The catalogue.
    pub(crate) catalogue: Catalogue,
    /// What the shop has laid down.
    pub(crate) register: Register,
    /// Teams, with their members as far as their orders are in memory.
    pub(crate) teams: TeamBook,
    /// The delay queue's tasks.
    pub(crate) tasks: TaskBook,
    /// Exclusive end of the order numbers that were reserved.
    pub(crate) numbers_until_ms: u64,
    /// Time of the latest event, in ms since the Unix epoch.
    pub(crate) latest_at_ms: u64,
    /// Events replayed.
    pub(crate) events: u64,
}

/// What recovery works from.
#[derive(Clone)]
pub(crate) struct Sources {
    /// The journal.
    pub(crate) journal: Arc<dyn JournalRead>,
    /// The store, if there is one.
    pub(crate) store: Option<StoreReader>,
}

/// How the order actors are made.
#[derive(Clone)]
pub(crate) struct Makings {
    /// How many.
    pub(crate) order_actors: usize,
    /// How they behave.
    pub(crate) settings: OrderSettings,
    /// What they share.
    pub(crate) shared: Arc<OrderShared>,
    /// Engine time, in ms since the Unix epoch.
    pub(crate) now_ms: u64,
}

impl Makings {
    /// All workers' books have one seed, so that they can be put together.
    fn task_book(&self) -> TaskBook {
        TaskBook::with_seed(self.shared.hasher.member(MemberId(u64::MAX)))
    }

    fn actor(&self, index: usize) -> OrderActor {
        let owns = |slot| owner_of(slot, self.order_actors) == index;
        OrderActor::new(self.settings, Arc::clone(&self.shared), self.now_ms, owns)
    }
}

/// Loads the store and replays the journal behind it. Blocks; takes as many threads as there are order actors, and one
/// more.
pub(crate) fn recover(sources: &Sources, makings: &Makings) -> Result<Recovered, OpenError> {
    let head = sources.store.as_ref().map(StoreReader::head).transpose()?.unwrap_or_default();
    if sources.store.is_none() && sources.journal.first() > Position(1) {
        return Err(OpenError::StoreNeeded { first: sources.journal.first() });
    }
    let next = check_contiguous(sources.journal.as_ref(), &head)?;
    let order_actors = makings.order_actors;
    let checkpoint = Checkpoint { store: sources.store.as_ref(), head };
    let results = thread::scope(|scope| {
        let mut senders = Vec::with_capacity(order_actors);
        let mut workers = Vec::with_capacity(order_actors);
        for index in 0..order_actors {
            let (sender, frames) = channel::bounded::<Arc<Frame>>(FRAMES_AHEAD_MAX);
            senders.push(sender);
            let checkpoint = &checkpoint;
            workers.push(scope.spawn(move || recover_actor(checkpoint, makings, index, frames)));
        }
        let read = feed(&sources.journal, next, &senders);
        drop(senders);
        let replayed: Result<Vec<_>, OpenError> = workers
            .into_iter()
            // A panic in a worker is a bug; it must not be mistaken for an empty journal.
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        // What the reader found wrong explains what the workers did.
        read.and(replayed)
    })?;
    let last = sources.journal.last().max(checkpoint.head.position);
    finish(&checkpoint, makings, results, last)
}

/// The store, and what it says about itself.
pub(crate) struct Checkpoint<'s> {
    /// The store, if there is one.
    pub(crate) store: Option<&'s StoreReader>,
    /// Its head; without a store the default.
    pub(crate) head: Head,
}

/// One order actor's part: what the store has of its slots, then its entries of the frames behind the store's position.
///
/// # Errors
/// [`OpenError`] where store or journal can't be read, or are not what this engine wrote.
pub(crate) fn recover_actor(
    checkpoint: &Checkpoint<'_>,
    makings: &Makings,
    index: usize,
    frames: impl IntoIterator<Item = Arc<Frame>>,
) -> Result<(OrderActor, Replayed), OpenError> {
    let mut replayed = Replayed { tasks: makings.task_book(), ..Replayed::default() };
    let mut actor = makings.actor(index);
    if let Some(store) = checkpoint.store {
        load(&mut actor, index, makings.order_actors, store, &checkpoint.head, &mut replayed)?;
    }
    replay(checkpoint, makings.order_actors, index, &mut actor, frames, &mut replayed)?;
    Ok((actor, replayed))
}

/// Puts the parts together. `last` is the last position of the journal.
///
/// # Errors
/// [`OpenError`] where the store can't be read, or the counters of a stock key don't add up.
pub(crate) fn finish(
    checkpoint: &Checkpoint<'_>,
    makings: &Makings,
    parts: Vec<(OrderActor, Replayed)>,
    last: Position,
) -> Result<Recovered, OpenError> {
    let mut recovered = merge(parts, makings.order_actors, checkpoint.store, &checkpoint.head)?;
    for actor in &mut recovered.orders {
        actor.note_recovered(last, makings.now_ms);
    }
    Ok(recovered)
}

/// The journal must go on where the store ends. Gives the position to go on from.
fn check_contiguous(journal: &dyn JournalRead, head: &Head) -> Result<Position, OpenError> {
    let (first, last, stored) = (journal.first(), journal.last(), head.position);
    let next = Position(stored.0 + 1);
    if last < stored {
        return Err(OpenError::StoreAhead { stored, last });
    }
    if first > next {
        return Err(OpenError::Gap { stored, first });
    }
    Ok(next)
}

/// Brings one order actor's part of the store into memory.
fn load(
    actor: &mut OrderActor,
    index: usize,
    order_actors: usize,
    store: &StoreReader,
    head: &Head,
    replayed: &mut Replayed,
) -> Result<(), OpenError> {
    let slots = (0..SLOTS).filter_map(Slot::from_index).filter(|slot| owner_of(*slot, order_actors) == index);
    for slot in slots {
        store.load_open(slot, |order| actor.restore_open(order))?;
        store.load_limits(slot, |limit| {
            actor.restore_limit(limit.member, limit.key, limit.used);
            if limit.as_of > head.position {
                replayed.limits_ahead.insert((limit.member, limit.key), limit.as_of);
            }
        })?;
        store.load_coupons(slot, |member, id, coupon| {
            actor.restore_coupon(member, id, coupon, head.latest_at_ms);
        })?;
        store.load_elsewhere(slot, |member, key, used| actor.restore_elsewhere(member, key, used))?;
        store.load_tasks(slot, |topic, task| replayed.tasks.restore(topic, task))?;
    }
    let rest = store.task_rest()?;
    replayed.tasks.restore_rest(rest.last_seq, rest.unfinished.0.into());
    store.load_unmatched(|refund| {
        if owner_of(refund.payment.slot(), order_actors) == index {
            actor.restore_unmatched(refund);
        }
    })?;
    for pending in &head.pending {
        if owner_of(pending.payment.slot(), order_actors) == index {
            actor.restore_payment(pending.payment, pending.order_no, pending.amount);
        }
    }
    if index == 0 {
        actor.restore_left_sum(head.closed_sum.wrapping_add(head.payments_sum));
    }
    Ok(())
}

/// Reads frames and gives each to every worker.
fn feed(
    reader: &Arc<dyn JournalRead>,
    first: Position,
    workers: &[channel::Sender<Arc<Frame>>],
) -> Result<(), OpenError> {
    for frame in scan(Arc::clone(reader), first) {
        let frame = Arc::new(frame?);
        for worker in workers {
            if worker.send(Arc::clone(&frame)).is_err() {
                // It has stopped with an error, which its result tells.
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Applies the entries of one order actor's slots that stand behind the store's position.
fn replay(
    checkpoint: &Checkpoint<'_>,
    order_actors: usize,
    index: usize,
    actor: &mut OrderActor,
    frames: impl IntoIterator<Item = Arc<Frame>>,
    replayed: &mut Replayed,
) -> Result<(), OpenError> {
    let closed = |number| match checkpoint.store {
        Some(store) => store.order(number).map_err(ColdError::from),
        None => Ok(None),
    };
    for frame in frames {
        for entry in frame.entries() {
            if owner_of(entry.slot, order_actors) != index {
                continue;
            }
            for event in entry.events() {
                let (position, event) = event?;
                if position > checkpoint.head.position {
                    actor.replay(position, event, &closed, replayed)?;
                }
            }
        }
    }
    Ok(())
}

fn merge(
    results: Vec<(OrderActor, Replayed)>,
    order_actors: usize,
    store: Option<&StoreReader>,
    head: &Head,
) -> Result<Recovered, OpenError> {
    let mut orders = Vec::with_capacity(order_actors);
    let mut deltas: HashMap<StockKey, StockDelta> = HashMap::new();
    let mut adjustments: HashMap<StockKey, HashMap<AdjustmentId, Adjusted>> = HashMap::new();
    let mut outcomes = Vec::new();
    let mut tasks: Option<TaskBook> = None;
    let (catalogue, register) = (Catalogue::default(), Register::default());
    let mut teams = TeamBook::default();
    let (mut numbers_until_ms, mut latest_at_ms, mut events) = (head.numbers_until_ms, head.latest_at_ms, 0);
    if let Some(store) = store {
        store.load_stock(|key, StockEntry { total, reserved, sold }| {
            deltas.insert(key, StockDelta { total, reserved, sold });
        })?;
        store.load_adjustments(|key, id, change| {
            adjustments.entry(key).or_default().insert(id, Adjusted { change });
        })?;
        store.load_skus(|revision, sku| catalogue.restore(revision, sku))?;
        store.load_settings(|revision, setting| register.restore(revision, setting))?;
        store.load_teams(|team, record| teams.restore(team, record))?;
    }
    for (actor, replayed) in results {
        orders.push(actor);
        events += replayed.events;
        numbers_until_ms = numbers_until_ms.max(replayed.numbers_until_ms);
        latest_at_ms = latest_at_ms.max(replayed.latest_at_ms);
        for (key, delta) in replayed.stock {
            deltas.entry(key).or_default().add(delta);
        }
        for (key, id, change) in replayed.adjustments {
            adjustments.entry(key).or_default().insert(id, Adjusted { change });
        }
        for (revision, sku) in replayed.skus {
            catalogue.restore(revision, sku);
        }
        for (revision, setting) in replayed.settings {
            register.restore(revision, setting);
        }
        replayed.teams.iter().for_each(|event| teams.apply(event));
        outcomes.extend(replayed.outcomes);
        match &mut tasks {
            Some(tasks) => tasks.absorb(replayed.tasks),
            None => tasks = Some(replayed.tasks),
        }
    }
    for (payment, result) in outcomes {
        orders[owner_of(payment.slot(), order_actors)].restore_outcome(payment, result);
    }
    let mut stock = deltas
        .into_iter()
        .map(|(key, delta)| {
            let counters = delta.counters().ok_or(OpenError::Unbalanced { key })?;
            let adjustments = adjustments.remove(&key).unwrap_or_default();
            Ok((key, StockActor::new(key, counters, adjustments)))
        })
        .collect::<Result<HashMap<_, _>, OpenError>>()?;
    for (key, units) in register.safety_stocks() {
        let empty = || StockActor::new(key, StockCounters::default(), HashMap::new());
        stock.entry(key).or_insert_with(empty).keep_back(units);
    }
    let stock = stock.into_iter().collect();
    let mut tasks = tasks.unwrap_or_default();
    // Their task did not make it into the journal, and no other may take them.
    tasks.drop_unfinished();
    for (team, order_no, what) in orders.iter().flat_map(OrderActor::team_members) {
        teams.restore_member(team, order_no, what);
    }
    Ok(Recovered { orders, stock, catalogue, register, teams, tasks, numbers_until_ms, latest_at_ms, events })
}

impl From<JournalError> for OpenError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl From<ReplayError> for OpenError {
    fn from(error: ReplayError) -> Self {
        Self::Replay(error)
    }
}

/// The slot that a frame's entry belongs to decides its worker, so the same rule must hold for events and actors.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_exactly_one_owner_whatever_their_number() {
        for actors in 1..=8 {
            for index in 0..SLOTS {
                let slot = Slot::from_index(index).unwrap();
                assert!(owner_of(slot, actors) < actors);
            }
        }
    }
}
