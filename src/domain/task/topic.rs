//! One topic: its tasks, and the orders in which they are looked for.
//!
//! Memory of a pending task beside its id and body: 56 bytes of record, 10 to 20 in the table of ids, about 30 by due time,
//! and as much again by expiry if it has a `ready_ttl_ms`. The load test's `delay` scenario measures the sum.

use hashbrown::HashTable;

use super::order::{Order, Place};
use super::slab::Slab;
use super::{Bytes, DeadCause, PushedTask, Task, TaskId, TaskState, TaskView, TopicName};
use crate::domain::hash::{RecordHasher, kinds};

/// Where a task stands, as it lies in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Pending,
    Reserved,
    DeadNacked,
    DeadLapsed,
}

/// One live task.
#[derive(Debug)]
pub(super) struct Record {
    /// Id and body, one behind the other: one allocation for both.
    data: Box<[u8]>,
    pub(super) seq: u64,
    pub(super) due_ms: u64,
    /// Until when it is reserved, or since when it is dead.
    stand_ms: u64,
    ready_ttl_ms: u64,
    pub(super) attempts: u16,
    pub(super) attempts_max: u16,
    id_len: u8,
    stand: Stand,
}

impl Record {
    /// A pending task.
    fn new(pushed: &PushedTask, body: &[u8]) -> Self {
        let id = pushed.task.id.as_str().as_bytes();
        let mut data = Vec::with_capacity(id.len() + body.len());
        data.extend_from_slice(id);
        data.extend_from_slice(body);
        Self {
            data: data.into(),
            seq: pushed.task.seq,
            due_ms: pushed.due_ms,
            stand_ms: 0,
            ready_ttl_ms: pushed.ready_ttl_ms,
            attempts: 0,
            attempts_max: pushed.attempts_max,
            // Ids have 64 bytes at most.
            id_len: id.len() as u8,
            stand: Stand::Pending,
        }
    }

    fn id_bytes(&self) -> &[u8] {
        &self.data[..usize::from(self.id_len)]
    }

    fn body(&self) -> &[u8] {
        &self.data[usize::from(self.id_len)..]
    }

    pub(super) fn id(&self) -> TaskId {
        TaskId::of_record(self.id_bytes())
    }

    /// Size of id and body, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.data.len() as u64
    }

    /// Size of the body, in bytes.
    pub(super) fn body_bytes(&self) -> usize {
        self.body().len()
    }

    /// Where it stands.
    pub(super) fn state(&self) -> TaskState {
        match self.stand {
            Stand::Pending => TaskState::Pending,
            Stand::Reserved => TaskState::Reserved { until_ms: self.stand_ms },
            Stand::DeadNacked => TaskState::Dead { at_ms: self.stand_ms, cause: DeadCause::Nacked },
            Stand::DeadLapsed => TaskState::Dead { at_ms: self.stand_ms, cause: DeadCause::Lapsed },
        }
    }

    /// At and after this instant it is of no use, if it is pending; `u64::MAX` for never.
    pub(super) fn expires_ms(&self) -> u64 {
        if self.ready_ttl_ms == 0 { u64::MAX } else { self.due_ms.saturating_add(self.ready_ttl_ms) }
    }

    /// As it is handed out.
    pub(super) fn task(&self, topic: &TopicName) -> Task {
        Task {
            topic: topic.clone(),
            id: self.id(),
            body: self.body().into(),
            due_ms: self.due_ms,
            attempts: self.attempts,
            ready_ttl_ms: self.ready_ttl_ms,
            attempts_max: self.attempts_max,
        }
    }

    /// As the store keeps it.
    fn view(&self) -> TaskView {
        TaskView {
            seq: self.seq,
            id: self.id(),
            body: Bytes(self.body().into()),
            due_ms: self.due_ms,
            ready_ttl_ms: self.ready_ttl_ms,
            attempts: self.attempts,
            attempts_max: self.attempts_max,
            state: self.state(),
        }
    }

    fn of_view(view: &TaskView) -> Self {
        let mut data = Vec::with_capacity(view.id.as_str().len() + view.body.0.len());
        data.extend_from_slice(view.id.as_str().as_bytes());
        data.extend_from_slice(&view.body.0);
        let (stand, stand_ms) = stand_of(view.state);
        Self {
            data: data.into(),
            seq: view.seq,
            due_ms: view.due_ms,
            stand_ms,
            ready_ttl_ms: view.ready_ttl_ms,
            attempts: view.attempts,
            attempts_max: view.attempts_max,
            id_len: view.id.as_str().len() as u8,
            stand,
        }
    }

    fn hash(&self, topic: &TopicName) -> u64 {
        RecordHasher::new(kinds::TASK)
            .bytes(topic.as_str().as_bytes())
            .word(self.seq)
            .bytes(self.id_bytes())
            .bytes(self.body())
            .word(self.due_ms)
            .word(self.ready_ttl_ms)
            .word(u64::from(self.attempts) << 32 | u64::from(self.attempts_max) << 16 | self.stand as u64)
            .word(self.stand_ms)
            .finish()
    }
}

fn stand_of(state: TaskState) -> (Stand, u64) {
    match state {
        TaskState::Pending => (Stand::Pending, 0),
        TaskState::Reserved { until_ms } => (Stand::Reserved, until_ms),
        TaskState::Dead { at_ms, cause: DeadCause::Nacked } => (Stand::DeadNacked, at_ms),
        TaskState::Dead { at_ms, cause: DeadCause::Lapsed } => (Stand::DeadLapsed, at_ms),
    }
}

/// An entry of the table of ids. With the hash beside it the table grows without touching a record.
#[derive(Clone, Copy, Debug)]
struct IdEntry {
    hash: u32,
    index: u32,
}

/// Spreads the stored 32 bits over the 64 that the table wants.
const fn spread(hash: u32) -> u64 {
    (hash as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The live tasks of one topic.
#[derive(Debug, Default)]
pub(super) struct Topic {
    records: Slab<Record>,
    ids: HashTable<IdEntry>,
    /// Pending tasks by due time.
    pub(super) pending: Order,
    /// Pending tasks that expire, by when they do.
    pub(super) expiring: Order,
    /// Reserved tasks by when their reservation lapses.
    pub(super) reserved: Order,
    /// Dead letters by when they became so.
    pub(super) dead: Order,
    /// Size of all ids and bodies, in bytes.
    pub(super) bytes: u64,
}

impl Topic {
    /// Number of live tasks, dead letters included.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn record(&self, index: u32) -> &Record {
        self.records.get(index)
    }

    /// The live task with an id.
    pub(super) fn find(&self, seed: u64, id: &str) -> Option<u32> {
        let hash = hash_of(seed, id.as_bytes());
        let is_it =
            |entry: &IdEntry| entry.hash == hash && self.records.get(entry.index).id_bytes() == id.as_bytes();
        self.ids.find(spread(hash), is_it).map(|entry| entry.index)
    }

    /// Enters a task that was pushed, unless its id is taken; gives whether it was entered.
    pub(super) fn insert_new(&mut self, seed: u64, pushed: &PushedTask, body: &[u8]) -> bool {
        let is_new = self.find(seed, pushed.task.id.as_str()).is_none();
        if is_new {
            self.insert(seed, Record::new(pushed, body));
        }
        is_new
    }

    /// Enters a task.
    fn insert(&mut self, seed: u64, record: Record) {
        let hash = hash_of(seed, record.id_bytes());
        self.bytes += record.bytes();
        let index = self.records.insert(record);
        self.ids.insert_unique(spread(hash), IdEntry { hash, index }, |entry| spread(entry.hash));
        self.enlist(index);
    }

    /// Takes a task out for good.
    pub(super) fn remove(&mut self, seed: u64, index: u32) -> Record {
        self.unlist(index);
        let record = self.records.remove(index);
        let hash = hash_of(seed, record.id_bytes());
        if let Ok(entry) = self.ids.find_entry(spread(hash), |entry| entry.index == index) {
            entry.remove();
        }
        self.bytes -= record.bytes();
        record
    }

    /// Changes a task, and where it stands in the orders.
    pub(super) fn change(&mut self, index: u32, state: TaskState, change: impl FnOnce(&mut Record)) {
        self.unlist(index);
        let record = self.records.get_mut(index);
        (record.stand, record.stand_ms) = stand_of(state);
        change(record);
        self.enlist(index);
    }

    /// The earliest instant at which something happens by itself: a reservation lapses, a task expires.
    pub(super) fn next_sweep_ms(&self) -> Option<u64> {
        match (self.reserved.first_ms(), self.expiring.first_ms()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The due time of the first pending task.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.pending.first_ms()
    }

    /// Sum of the tasks' hashes.
    pub(super) fn state_hash(&self, name: &TopicName) -> u64 {
        self.records.iter().fold(0, |sum, record| sum.wrapping_add(record.hash(name)))
    }

    /// The tasks as the store keeps them, by index.
    pub(super) fn views(&self) -> impl Iterator<Item = TaskView> {
        self.records.iter().map(Record::view)
    }

    /// Enters a task that the store has.
    pub(super) fn restore(&mut self, seed: u64, view: &TaskView) {
        self.insert(seed, Record::of_view(view));
    }

    fn enlist(&mut self, index: u32) {
        let (place, expiry) = self.places(index);
        self.order_of(index).insert(place);
        if let Some(expiry) = expiry {
            self.expiring.insert(expiry);
        }
    }

    fn unlist(&mut self, index: u32) {
        let (place, expiry) = self.places(index);
        self.order_of(index).remove(place);
        if let Some(expiry) = expiry {
            self.expiring.remove(expiry);
        }
    }

    /// Where a task stands in its order, and where among those that expire, if it does.
    fn places(&self, index: u32) -> (Place, Option<Place>) {
        let record = self.records.get(index);
        let place = |at_ms| Place { at_ms, seq: record.seq, index };
        match record.stand {
            Stand::Pending => {
                let expiry = (record.ready_ttl_ms > 0).then(|| place(record.expires_ms()));
                (place(record.due_ms), expiry)
            }
            Stand::Reserved | Stand::DeadNacked | Stand::DeadLapsed => (place(record.stand_ms), None),
        }
    }

    fn order_of(&mut self, index: u32) -> &mut Order {
        match self.records.get(index).stand {
            Stand::Pending => &mut self.pending,
            Stand::Reserved => &mut self.reserved,
            Stand::DeadNacked | Stand::DeadLapsed => &mut self.dead,
        }
    }
}

/// Seeded, so that nobody can aim ids at one bucket.
fn hash_of(seed: u64, id: &[u8]) -> u32 {
    RecordHasher::new(seed).bytes(id).finish() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r12_a_record_takes_56_bytes_in_its_slab() {
        assert_eq!(size_of::<Option<Record>>(), 56);
        assert_eq!(size_of::<IdEntry>(), 8);
    }
}
