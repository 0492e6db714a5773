//! The book: all topics, changed by events alone (R7).
//!
//! Topics are there as long as they have a task. Books of disjoint topics can be put together, which is how recovery
//! replays topics side by side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::topic::{Record, Topic};
use super::{BodyParts, Bytes, DeadCause, PushedTask, TaskBody, TaskEvent, TaskId, TaskRef, TopicName};

/// Where a live task stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskState {
    /// Waiting to be due, or to be handed out.
    #[default]
    Pending,
    /// Handed out, to be acknowledged.
    Reserved {
        /// At and after this instant the reservation has lapsed, in ms since the Unix epoch.
        until_ms: u64,
    },
    /// A dead letter.
    Dead {
        /// Since when, in ms since the Unix epoch.
        at_ms: u64,
        /// How its last attempt ended.
        cause: DeadCause,
    },
}

/// A live task with everything that is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    /// Its sequence number.
    pub seq: u64,
    /// Its id.
    pub id: TaskId,
    /// What it carries.
    pub body: Bytes,
    /// When it is due, in ms since the Unix epoch.
    pub due_ms: u64,
    /// How long after that it expires, in ms; 0 for never.
    pub ready_ttl_ms: u64,
    /// How often it has been reserved.
    pub attempts: u16,
    /// How often it may be.
    pub attempts_max: u16,
    /// Where it stands.
    pub state: TaskState,
}

/// Figures of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicStats {
    /// Tasks that wait to be due, or to be handed out.
    pub pending: u64,
    /// Tasks that are handed out, to be acknowledged.
    pub reserved: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Size of all ids and bodies, in bytes.
    pub bytes: u64,
    /// When the first pending task is due, in ms since the Unix epoch.
    pub next_due_ms: Option<u64>,
}

/// All live tasks.
#[derive(Debug, Default)]
pub struct TaskBook {
    pub(super) topics: BTreeMap<TopicName, Topic>,
    /// The last sequence number given.
    last_seq: u64,
    tasks: u64,
    bytes: u64,
    /// Parts of a body whose task has not come yet. Of no account unless the next event takes them.
    unfinished: BodyParts,
    pub(super) seed: u64,
}

impl TaskBook {
    /// An empty book. The seed decides where ids lie in tables and nothing else.
    pub fn with_seed(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Number of live tasks, dead letters included.
    pub fn len(&self) -> u64 {
        self.tasks
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tasks == 0
    }

    /// Size of all ids and bodies, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The last sequence number given.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Number of topics.
    pub fn topics_len(&self) -> usize {
        self.topics.len()
    }

    /// The topics' names, ascending.
    pub fn topic_names(&self) -> impl Iterator<Item = &TopicName> {
        self.topics.keys()
    }

    /// Figures of a topic; all zero for one without tasks.
    pub fn stats(&self, topic: &TopicName) -> TopicStats {
        let Some(topic) = self.topics.get(topic) else { return TopicStats::default() };
        TopicStats {
            pending: topic.pending.len() as u64,
            reserved: topic.reserved.len() as u64,
            dead_letters: topic.dead.len() as u64,
            bytes: topic.bytes,
            next_due_ms: topic.next_due_ms(),
        }
    }

    /// The earliest instant at which something happens to a topic by itself, in ms since the Unix epoch.
    pub fn next_sweep_ms(&self, topic: &TopicName) -> Option<u64> {
        self.topics.get(topic).and_then(Topic::next_sweep_ms)
    }

    /// When the first pending task of a topic is due, in ms since the Unix epoch.
    pub fn next_due_ms(&self, topic: &TopicName) -> Option<u64> {
        self.topics.get(topic).and_then(Topic::next_due_ms)
    }

    /// Sum of the hashes of all live tasks (R7).
    pub fn state_hash(&self) -> u64 {
        self.topics.iter().fold(0, |sum, (name, topic)| sum.wrapping_add(topic.state_hash(name)))
    }

    /// All live tasks of a topic, in no order that means anything.
    pub fn views(&self, topic: &TopicName) -> impl Iterator<Item = TaskView> {
        self.topics.get(topic).into_iter().flat_map(Topic::views)
    }

    /// Applies an event. What it says about a task that is not there, or stands elsewhere, changes nothing: the auditor
    /// looks for that, and this must not fail.
    pub fn apply(&mut self, event: &TaskEvent) {
        let topic = event.topic();
        match event {
            TaskEvent::BodyPart { index, bytes, .. } => {
                return self.unfinished.take(*index, bytes);
            }
            TaskEvent::Pushed { tasks, .. } => self.enter(topic, tasks),
            TaskEvent::Popped { tasks, .. } | TaskEvent::Expired { tasks, .. } => {
                tasks.iter().for_each(|task| self.leave(topic, task));
            }
            TaskEvent::Removed { task, .. }
            | TaskEvent::Acked { task, .. }
            | TaskEvent::Discarded { task, .. } => self.leave(topic, task),
            TaskEvent::Rescheduled { task, due_ms, .. } | TaskEvent::Nacked { task, due_ms, .. } => {
                self.change(topic, task, TaskState::Pending, |record| record.due_ms = *due_ms);
            }
            TaskEvent::Reserved { tasks, until_ms, .. } => {
                let state = TaskState::Reserved { until_ms: *until_ms };
                for task in tasks {
                    self.change(topic, task, state, |record| {
                        record.attempts = record.attempts.saturating_add(1);
                    });
                }
            }
            TaskEvent::Extended { task, until_ms, .. } => {
                self.change(topic, task, TaskState::Reserved { until_ms: *until_ms }, |_record| {});
            }
            TaskEvent::Lapsed { task, .. } => self.change(topic, task, TaskState::Pending, |_record| {}),
            TaskEvent::DeadLettered { at_ms, task, cause, .. } => {
                self.change(topic, task, TaskState::Dead { at_ms: *at_ms, cause: *cause }, |_record| {});
            }
            TaskEvent::Requeued { task, due_ms, .. } => {
                self.change(topic, task, TaskState::Pending, |record| {
                    record.due_ms = *due_ms;
                    record.attempts = 0;
                });
            }
        }
        self.drop_unfinished();
    }

    /// Forgets parts of a body whose task did not make it into the journal.
    pub fn drop_unfinished(&mut self) {
        self.unfinished.forget();
    }

    /// Enters a task that the store has.
    pub(crate) fn restore(&mut self, name: &TopicName, view: &TaskView) {
        let (topic, seed) = (self.topics.entry(name.clone()).or_default(), self.seed);
        let before = topic.bytes;
        topic.restore(seed, view);
        self.bytes += topic.bytes - before;
        self.tasks += 1;
        self.last_seq = self.last_seq.max(view.seq);
    }

    /// Enters what the store has beside its tasks: the last sequence number, and parts of a body whose task stands
    /// behind the checkpoint.
    pub(crate) fn restore_rest(&mut self, last_seq: u64, unfinished: Vec<u8>) {
        self.last_seq = self.last_seq.max(last_seq);
        self.unfinished = unfinished.into();
    }

    /// Takes in a book of other topics, made with the same seed.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        debug_assert_eq!(self.seed, other.seed, "ids lie where their book's seed says");
        self.topics.append(&mut other.topics);
        self.last_seq = self.last_seq.max(other.last_seq);
        self.tasks += other.tasks;
        self.bytes += other.bytes;
    }

    fn enter(&mut self, name: &TopicName, pushed: &[PushedTask]) {
        let seed = self.seed;
        let topic = match self.topics.get_mut(name) {
            Some(topic) => topic,
            None => self.topics.entry(name.clone()).or_default(),
        };
        let bytes_before = topic.bytes;
        for task in pushed {
            let body = match &task.body {
                TaskBody::Inline(body) => &body.0[..],
                TaskBody::Parts(_len) => self.unfinished.as_slice(),
            };
            self.last_seq = self.last_seq.max(task.task.seq);
            self.tasks += u64::from(topic.insert_new(seed, task, body));
        }
        self.bytes += topic.bytes - bytes_before;
    }

    fn leave(&mut self, name: &TopicName, task: &TaskRef) {
        let seed = self.seed;
        let Some((topic, index)) = self.locate(name, task) else { return };
        let record = topic.remove(seed, index);
        let is_empty = topic.len() == 0;
        self.bytes -= record.bytes();
        self.tasks -= 1;
        if is_empty {
            self.topics.remove(name);
        }
    }

    fn change(
        &mut self,
        name: &TopicName,
        task: &TaskRef,
        state: TaskState,
        change: impl FnOnce(&mut Record),
    ) {
        if let Some((topic, index)) = self.locate(name, task) {
            topic.change(index, state, change);
        }
    }

    fn locate(&mut self, name: &TopicName, task: &TaskRef) -> Option<(&mut Topic, u32)> {
        let seed = self.seed;
        let topic = self.topics.get_mut(name)?;
        let index = topic.find(seed, task.id.as_str())?;
        (topic.record(index).seq == task.seq).then_some((topic, index))
    }
}
