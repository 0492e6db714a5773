//! The delay queue in the store: what events of tasks change there, and how a restart reads it.
//!
//! A task is written once, with its body, when it was pushed, and removed when it is gone. Where it stands afterwards
//! (reserved, due at another time, dead) is a small record of its own, so that a body of 64 KiB is not written again for
//! every reservation; which tasks have one is remembered here. One more record, under a key that no task has, holds the
//! last sequence number, the number of live tasks and the parts of a body whose task stands behind the checkpoint.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::reader::StoreReader;
use super::tables;
use crate::domain::ids::Slot;
use crate::domain::task::{
    BodyParts, Bytes, PushedTask, TaskBody, TaskEvent, TaskId, TaskRef, TaskState, TaskView, TopicName,
};
use crate::journal::{decode_record, encode_record};
use crate::projection::levels::{Levels, StoreError};

/// A task as it was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskRecord {
    pub(crate) topic: TopicName,
    pub(crate) id: TaskId,
    pub(crate) due_ms: u64,
    pub(crate) ready_ttl_ms: u64,
    pub(crate) attempts_max: u16,
    pub(crate) body: Bytes,
}

/// The same, borrowed: encoded alike.
#[derive(Serialize)]
struct TaskRecordRef<'e> {
    topic: &'e TopicName,
    id: &'e TaskId,
    due_ms: u64,
    ready_ttl_ms: u64,
    attempts_max: u16,
    body: &'e Bytes,
}

/// Where a task stands, if not as it was pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskStand {
    /// When it is due; `None` for as it was pushed, which not every event repeats.
    pub(crate) due_ms: Option<u64>,
    pub(crate) attempts: u16,
    pub(crate) state: TaskState,
}

/// What belongs to no task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskRest {
    /// The last sequence number given.
    pub(crate) last_seq: u64,
    /// Number of live tasks.
    pub(crate) live: u64,
    /// Parts of a body whose task stands behind the checkpoint.
    pub(crate) unfinished: Bytes,
}

impl TaskRecord {
    /// The live task, as it stands.
    pub(crate) fn view(self, seq: u64, stand: Option<TaskStand>) -> TaskView {
        let Self { id, due_ms, ready_ttl_ms, attempts_max, body, .. } = self;
        let TaskStand { due_ms: moved_ms, attempts, state } = stand.unwrap_or_default();
        let due_ms = moved_ms.unwrap_or(due_ms);
        TaskView { seq, id, body, due_ms, ready_ttl_ms, attempts, attempts_max, state }
    }
}

/// The checkpoint's part for tasks.
#[derive(Default)]
pub(super) struct TaskWriter {
    /// Where tasks with a record of their stand stand, by sequence number.
    stands: HashMap<u64, TaskStand>,
    last_seq: u64,
    live: u64,
    unfinished: BodyParts,
    /// Whether the record of the rest is not what is stored.
    rest_changed: bool,
    value: Vec<u8>,
}

impl TaskWriter {
    /// Reads what it has to remember.
    ///
    /// # Errors
    /// [`StoreError`] where the store can't be read.
    pub(super) fn open(reader: &StoreReader) -> Result<Self, StoreError> {
        let TaskRest { last_seq, live, unfinished } = reader.task_rest()?;
        let mut stands = HashMap::new();
        reader.scan_stands(|seq, stand| {
            stands.insert(seq, stand);
        })?;
        Ok(Self { stands, last_seq, live, unfinished: Vec::from(unfinished.0).into(), ..Self::default() })
    }

    /// Stages what an event changes.
    pub(super) fn take(&mut self, event: &TaskEvent, levels: &mut Levels) {
        let topic = event.topic();
        match event {
            TaskEvent::BodyPart { index, bytes, .. } => {
                self.unfinished.take(*index, bytes);
                self.rest_changed = true;
                return;
            }
            TaskEvent::Pushed { tasks, .. } => tasks.iter().for_each(|task| self.push(topic, task, levels)),
            TaskEvent::Popped { tasks, .. } | TaskEvent::Expired { tasks, .. } => {
                tasks.iter().for_each(|task| self.remove(topic, task, levels));
            }
            TaskEvent::Removed { task, .. }
            | TaskEvent::Acked { task, .. }
            | TaskEvent::Discarded { task, .. } => self.remove(topic, task, levels),
            TaskEvent::Rescheduled { task, due_ms, .. } | TaskEvent::Nacked { task, due_ms, .. } => {
                self.stand(topic, task, levels, |stand| TaskStand {
                    due_ms: Some(*due_ms),
                    state: TaskState::Pending,
                    ..stand
                });
            }
            TaskEvent::Reserved { tasks, until_ms, .. } => {
                let state = TaskState::Reserved { until_ms: *until_ms };
                for task in tasks {
                    self.stand(topic, task, levels, |stand| TaskStand {
                        attempts: stand.attempts.saturating_add(1),
                        state,
                        ..stand
                    });
                }
            }
            TaskEvent::Extended { task, until_ms, .. } => {
                let state = TaskState::Reserved { until_ms: *until_ms };
                self.stand(topic, task, levels, |stand| TaskStand { state, ..stand });
            }
            TaskEvent::Lapsed { task, .. } => {
                self.stand(topic, task, levels, |stand| TaskStand { state: TaskState::Pending, ..stand });
            }
            TaskEvent::DeadLettered { at_ms, task, cause, .. } => {
                let state = TaskState::Dead { at_ms: *at_ms, cause: *cause };
                self.stand(topic, task, levels, |stand| TaskStand { state, ..stand });
            }
            TaskEvent::Requeued { task, due_ms, .. } => {
                let requeued = TaskStand { due_ms: Some(*due_ms), ..TaskStand::default() };
                self.stand(topic, task, levels, |_dead| requeued);
            }
        }
        self.rest_changed |= self.unfinished.forget();
    }

    /// Stages the record of the rest, if it has changed.
    pub(super) fn commit(&mut self, levels: &mut Levels) {
        if !std::mem::take(&mut self.rest_changed) {
            return;
        }
        let unfinished = Bytes(self.unfinished.as_slice().into());
        self.value.clear();
        let rest = TaskRest { last_seq: self.last_seq, live: self.live, unfinished };
        encode_record(&rest, &mut self.value);
        levels.put(tables::TASKS, &tables::TASK_REST_KEY, &self.value);
    }

    fn push(&mut self, topic: &TopicName, pushed: &PushedTask, levels: &mut Levels) {
        self.last_seq = self.last_seq.max(pushed.task.seq);
        self.live += 1;
        self.rest_changed = true;
        let whole;
        let body = match &pushed.body {
            TaskBody::Inline(body) => body,
            TaskBody::Parts(_len) => {
                whole = Bytes(self.unfinished.as_slice().into());
                &whole
            }
        };
        let PushedTask { task, due_ms, ready_ttl_ms, attempts_max, .. } = pushed;
        let record = TaskRecordRef {
            topic,
            id: &task.id,
            due_ms: *due_ms,
            ready_ttl_ms: *ready_ttl_ms,
            attempts_max: *attempts_max,
            body,
        };
        self.value.clear();
        encode_record(&record, &mut self.value);
        levels.put(tables::TASKS, &tables::task_key(topic, pushed.task.seq), &self.value);
    }

    fn remove(&mut self, topic: &TopicName, task: &TaskRef, levels: &mut Levels) {
        let key = tables::task_key(topic, task.seq);
        levels.remove(tables::TASKS, &key);
        self.live = self.live.saturating_sub(1);
        self.rest_changed = true;
        if self.stands.remove(&task.seq).is_some() {
            levels.remove(tables::TASK_STANDS, &key);
        }
    }

    fn stand(
        &mut self,
        topic: &TopicName,
        task: &TaskRef,
        levels: &mut Levels,
        change: impl FnOnce(TaskStand) -> TaskStand,
    ) {
        let key = tables::task_key(topic, task.seq);
        let stand = self.stands.entry(task.seq).or_default();
        *stand = change(*stand);
        self.value.clear();
        encode_record(stand, &mut self.value);
        levels.put(tables::TASK_STANDS, &key, &self.value);
    }
}

impl StoreReader {
    /// Calls `each` with every live task of the topics of a slot.
    pub(crate) fn load_tasks(
        &self,
        slot: Slot,
        mut each: impl FnMut(&TopicName, &TaskView),
    ) -> Result<(), StoreError> {
        let snapshot = self.levels.snapshot();
        let (low, high) = (tables::slot_prefix(slot), tables::slot_end(slot));
        let mut tasks = snapshot.scan(tables::TASKS, &low, Some(&high));
        let mut stands = snapshot.scan(tables::TASK_STANDS, &low, Some(&high));
        // Both are in the order of their keys, and every stand has its task.
        let mut stand = next_stand(stands.next()?)?;
        while let Some((key, value)) = tasks.next()? {
            if key == tables::TASK_REST_KEY {
                continue;
            }
            let seq = tables::seq_of_task_key(key).ok_or_else(|| StoreError::damaged("a task's key"))?;
            let own = stand.take_if(|(at, _)| at[..] == *key).map(|(_, stand)| stand);
            let record: TaskRecord = decode("a task", value)?;
            let topic = record.topic.clone();
            each(&topic, &record.view(seq, own));
            if own.is_some() {
                stand = next_stand(stands.next()?)?;
            }
        }
        match stand {
            None => Ok(()),
            Some(_) => Err(StoreError::damaged("where a task stands that is not there")),
        }
    }

    /// What belongs to no task; of a store without tasks the default.
    pub(crate) fn task_rest(&self) -> Result<TaskRest, StoreError> {
        let found = self.levels.snapshot().get(tables::TASKS, &tables::TASK_REST_KEY)?;
        found.map_or(Ok(TaskRest::default()), |bytes| decode("the delay queue", &bytes))
    }

    /// Calls `each` with the sequence number of every task that does not stand as it was pushed.
    fn scan_stands(&self, mut each: impl FnMut(u64, TaskStand)) -> Result<(), StoreError> {
        let mut scan = self.levels.snapshot().scan(tables::TASK_STANDS, &[], None);
        while let Some((key, value)) = scan.next()? {
            let seq = tables::seq_of_task_key(key).ok_or_else(|| StoreError::damaged("a task's key"))?;
            each(seq, decode("where a task stands", value)?);
        }
        Ok(())
    }
}

/// A key with where its task stands, in memory of its own.
fn next_stand(next: Option<(&[u8], &[u8])>) -> Result<Option<(Vec<u8>, TaskStand)>, StoreError> {
    next.map(|(key, value)| Ok((key.to_vec(), decode("where a task stands", value)?))).transpose()
}

fn decode<'de, T: Deserialize<'de>>(what: &str, bytes: &'de [u8]) -> Result<T, StoreError> {
    decode_record(bytes).map_err(|error| StoreError::damaged(format!("{what}: {error}")))
}
