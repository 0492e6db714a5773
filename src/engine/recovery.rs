//! Recovery: from the journal to the state that wrote it.
//!
//! One thread reads frames; one worker per order actor goes through all of them, skips the entries of other owners by
//! their headers, and applies its own. What belongs to no order actor (stock, catalogue, payments' outcomes) is
//! summed up per worker and merged at the end.

use std::sync::Arc;
use std::thread;

use crossbeam::channel;
use hashbrown::HashMap;

use super::OpenError;
use super::catalogue::Catalogue;
use crate::actors::order::actor::{OrderActor, OrderSettings, OrderShared};
use crate::actors::order::replay::{ReplayError, Replayed, StockDelta};
use crate::actors::order::shell::owner_of;
use crate::actors::stock::actor::{Adjusted, StockActor};
use crate::domain::ids::{AdjustmentId, StockKey};
use crate::journal::{Frame, JournalError, JournalRead, scan};

/// Frames on their way to one worker.
const FRAMES_AHEAD_MAX: usize = 64;

/// The state that the journal describes.
pub(crate) struct Recovered {
    /// The order actors, without timers.
    pub(crate) orders: Vec<OrderActor>,
    /// The stock keys.
    pub(crate) stock: Vec<(StockKey, StockActor)>,
    /// The catalogue.
    pub(crate) catalogue: Catalogue,
    /// Exclusive end of the order numbers that were reserved.
    pub(crate) numbers_until_ms: u64,
    /// Time of the latest event, in ms since the Unix epoch.
    pub(crate) latest_at_ms: u64,
    /// Events read.
    pub(crate) events: u64,
}

/// Reads the whole journal. Blocks; takes as many threads as there are order actors, and one more.
pub(crate) fn recover(
    reader: &Arc<dyn JournalRead>,
    order_actors: usize,
    settings: OrderSettings,
    shared: &Arc<OrderShared>,
    now_ms: u64,
) -> Result<Recovered, OpenError> {
    let new_actor = |index: usize| {
        OrderActor::new(settings, Arc::clone(shared), now_ms, |slot| owner_of(slot, order_actors) == index)
    };
    let first = reader.first();
    if first.0 > 1 {
        return Err(OpenError::Trimmed { first });
    }
    if reader.last() < first {
        return Ok(Recovered {
            orders: (0..order_actors).map(new_actor).collect(),
            stock: Vec::new(),
            catalogue: Catalogue::default(),
            numbers_until_ms: 0,
            latest_at_ms: 0,
            events: 0,
        });
    }

    let results = thread::scope(|scope| {
        let mut senders = Vec::with_capacity(order_actors);
        let mut workers = Vec::with_capacity(order_actors);
        for index in 0..order_actors {
            let (sender, frames) = channel::bounded::<Arc<Frame>>(FRAMES_AHEAD_MAX);
            senders.push(sender);
            let actor = new_actor(index);
            workers.push(scope.spawn(move || replay(actor, index, order_actors, &frames)));
        }
        let read = feed(reader, first, &senders);
        drop(senders);
        let replayed: Result<Vec<_>, OpenError> = workers
            .into_iter()
            // A panic in a worker is a bug; it must not be mistaken for an empty journal.
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        // What the reader found wrong explains what the workers did.
        read.and(replayed)
    })?;
    merge(results, order_actors)
}

/// Reads frames and gives each to every worker.
fn feed(
    reader: &Arc<dyn JournalRead>,
    first: crate::domain::ids::Position,
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

/// Applies the entries of one order actor's slots.
fn replay(
    mut actor: OrderActor,
    index: usize,
    order_actors: usize,
    frames: &channel::Receiver<Arc<Frame>>,
) -> Result<(OrderActor, Replayed), OpenError> {
    let mut replayed = Replayed::default();
    for frame in frames {
        for entry in frame.entries() {
            if owner_of(entry.slot, order_actors) != index {
                continue;
            }
            for event in entry.events() {
                let (position, event) = event?;
                actor.replay(position, event, &mut replayed)?;
            }
        }
    }
    Ok((actor, replayed))
}

fn merge(results: Vec<(OrderActor, Replayed)>, order_actors: usize) -> Result<Recovered, OpenError> {
    let mut orders = Vec::with_capacity(order_actors);
    let mut deltas: HashMap<StockKey, StockDelta> = HashMap::new();
    let mut adjustments: HashMap<StockKey, HashMap<AdjustmentId, Adjusted>> = HashMap::new();
    let mut outcomes = Vec::new();
    let catalogue = Catalogue::default();
    let (mut numbers_until_ms, mut latest_at_ms, mut events) = (0, 0, 0);
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
        outcomes.extend(replayed.outcomes);
    }
    for (payment, result) in outcomes {
        orders[owner_of(payment.slot(), order_actors)].restore_outcome(payment, result);
    }
    let stock = deltas
        .into_iter()
        .map(|(key, delta)| {
            let counters = delta.counters().ok_or(OpenError::Unbalanced { key })?;
            let adjustments = adjustments.remove(&key).unwrap_or_default();
            Ok((key, StockActor::new(key, counters, adjustments)))
        })
        .collect::<Result<_, OpenError>>()?;
    Ok(Recovered { orders, stock, catalogue, numbers_until_ms, latest_at_ms, events })
}

impl From<JournalError> for OpenError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
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
    use crate::domain::ids::Slot;

    #[test]
    fn every_slot_has_exactly_one_owner_whatever_their_number() {
        for actors in 1..=8 {
            for index in 0..crate::domain::ids::SLOTS {
                let slot = Slot::from_index(index).unwrap();
                assert!(owner_of(slot, actors) < actors);
            }
        }
    }
}
