//! The audit's own count of the delay queue's tasks: each is pushed once per live id, and handed out, done, expired or
//! dead only when it can be.
//!
//! Naive on purpose: one map by topic and id, no indexes, and of a body its length and a hash. It doesn't judge which of
//! two due tasks should have come first.

use std::collections::BTreeMap;

use serde::Serialize;

use super::report::{Findings, Rule};
use crate::domain::hash::hash128;
use crate::domain::task::{
    DeadCause, PushedTask, TaskBody, TaskEvent, TaskId, TaskRef, TaskState, TaskView, TopicName,
};

/// Tasks by what has become of them. What the audited journal does not have any more is not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskTally {
    /// Topics with live tasks.
    pub topics: u64,
    /// Live tasks that are not handed out.
    pub pending: u64,
    /// Live tasks that are handed out, to be acknowledged.
    pub reserved: u64,
    /// Live tasks whose attempts have all failed.
    pub dead_letters: u64,
    /// Tasks that came in.
    pub pushed: u64,
    /// Tasks that were handed out for good.
    pub popped: u64,
    /// Tasks that were acknowledged.
    pub acked: u64,
    /// Tasks that were taken back.
    pub removed: u64,
    /// Tasks that expired.
    pub expired: u64,
    /// Dead letters that were given up.
    pub discarded: u64,
}

/// A live task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TaskRecord {
    seq: u64,
    due_ms: u64,
    ready_ttl_ms: u64,
    attempts: u16,
    attempts_max: u16,
    body_hash: u128,
    body_len: usize,
    state: TaskState,
}

impl TaskRecord {
    fn expires_ms(&self) -> u64 {
        match self.ready_ttl_ms {
            0 => u64::MAX,
            ttl_ms => self.due_ms.saturating_add(ttl_ms),
        }
    }
}

/// All live tasks.
#[derive(Debug, Default)]
pub(super) struct TaskLedger {
    live: BTreeMap<(TopicName, TaskId), TaskRecord>,
    last_seq: u64,
    last_at_ms: u64,
    unfinished: Vec<u8>,
    tally: TaskTally,
}

impl TaskLedger {
    /// Enters a task that the store has.
    pub(super) fn know(&mut self, topic: &TopicName, view: &TaskView, findings: &mut Findings) {
        let record = TaskRecord {
            seq: view.seq,
            due_ms: view.due_ms,
            ready_ttl_ms: view.ready_ttl_ms,
            attempts: view.attempts,
            attempts_max: view.attempts_max,
            body_hash: hash128(&view.body.0),
            body_len: view.body.0.len(),
            state: view.state,
        };
        let other = self.live.insert((topic.clone(), view.id.clone()), record);
        findings.check(other.is_none(), Rule::Tasks, || {
            format!("task {} of topic {topic} is stored twice", view.id)
        });
    }

    /// What the store says about no task in particular.
    pub(super) fn know_rest(&mut self, last_seq: u64, unfinished: &[u8], findings: &mut Findings) {
        let seen = self.live.values().map(|record| record.seq).max().unwrap_or(0);
        findings.check(seen <= last_seq, Rule::Tasks, || {
            format!("the last sequence number is stored as {last_seq}, a task has {seen}")
        });
        self.last_seq = last_seq;
        self.unfinished = unfinished.to_vec();
    }

    /// The counts at the end.
    pub(super) fn tally(&self) -> TaskTally {
        let mut tally = self.tally;
        let mut topic = None;
        for ((name, _), record) in &self.live {
            if topic.replace(name) != Some(name) {
                tally.topics += 1;
            }
            match record.state {
                TaskState::Pending => tally.pending += 1,
                TaskState::Reserved { .. } => tally.reserved += 1,
                TaskState::Dead { .. } => tally.dead_letters += 1,
            }
        }
        tally
    }

    /// What differs from what a store comes to.
    pub(super) fn compare(&self, stored: &Self, mut differs: impl FnMut(&dyn std::fmt::Display)) {
        for ((topic, id), record) in &stored.live {
            if self.live.get(&(topic.clone(), id.clone())) != Some(record) {
                differs(&format_args!("task {id} of topic {topic}"));
            }
        }
        for (topic, id) in self.live.keys().filter(|key| !stored.live.contains_key(*key)) {
            differs(&format_args!("task {id} of topic {topic}, which is not stored"));
        }
        if self.last_seq != stored.last_seq {
            differs(&"the last sequence number of tasks");
        }
        if self.unfinished != stored.unfinished {
            differs(&"the parts of a body whose task has not come yet");
        }
    }

    /// Takes an event.
    pub(super) fn event(&mut self, event: &TaskEvent, findings: &mut Findings) {
        let (topic, at_ms) = (event.topic(), event.at_ms());
        findings.check(at_ms >= self.last_at_ms, Rule::Tasks, || {
            let last_at_ms = self.last_at_ms;
            format!("{} at {at_ms} ms stands behind an event of {last_at_ms} ms", event.name())
        });
        self.last_at_ms = self.last_at_ms.max(at_ms);
        if let TaskEvent::BodyPart { index, bytes, .. } = event {
            if *index == 0 {
                self.unfinished.clear();
            }
            self.unfinished.extend_from_slice(&bytes.0);
            return;
        }
        let unfinished = std::mem::take(&mut self.unfinished);
        let mut life = Life { ledger: self, topic, at_ms, name: event.name(), findings };
        match event {
            TaskEvent::BodyPart { .. } => {}
            TaskEvent::Pushed { tasks, .. } => tasks.iter().for_each(|task| life.push(task, &unfinished)),
            TaskEvent::Popped { tasks, .. } => tasks.iter().for_each(|task| life.pop(task)),
            TaskEvent::Reserved { tasks, until_ms, .. } => {
                tasks.iter().for_each(|task| life.reserve(task, *until_ms));
            }
            TaskEvent::Expired { tasks, .. } => tasks.iter().for_each(|task| life.expire(task)),
            TaskEvent::Removed { task, .. } => life.remove(task),
            TaskEvent::Rescheduled { task, due_ms, .. } => life.reschedule(task, *due_ms),
            TaskEvent::Acked { task, .. } => life.ack(task),
            TaskEvent::Nacked { task, due_ms, .. } => life.nack(task, *due_ms),
            TaskEvent::Lapsed { task, .. } => life.lapse(task),
            TaskEvent::DeadLettered { task, cause, .. } => life.die(task, *cause),
            TaskEvent::Requeued { task, due_ms, .. } => life.requeue(task, *due_ms),
            TaskEvent::Discarded { task, .. } => life.discard(task),
        }
    }
}

/// One event on its way through the ledger.
struct Life<'e> {
    ledger: &'e mut TaskLedger,
    topic: &'e TopicName,
    at_ms: u64,
    name: &'static str,
    findings: &'e mut Findings,
}

impl Life<'_> {
    fn push(&mut self, pushed: &PushedTask, unfinished: &[u8]) {
        let PushedTask { task, due_ms, ready_ttl_ms, attempts_max, body } = pushed;
        let body = match body {
            TaskBody::Inline(body) => &body.0[..],
            TaskBody::Parts(len) => {
                self.check(unfinished.len() == *len as usize, task, "comes with parts of another length");
                unfinished
            }
        };
        let record = TaskRecord {
            seq: task.seq,
            due_ms: *due_ms,
            ready_ttl_ms: *ready_ttl_ms,
            attempts: 0,
            attempts_max: *attempts_max,
            body_hash: hash128(body),
            body_len: body.len(),
            state: TaskState::Pending,
        };
        self.ledger.tally.pushed += 1;
        self.check(*attempts_max > 0, task, "may never be reserved");
        self.check(task.seq > self.ledger.last_seq, task, "has a sequence number that was given before");
        self.ledger.last_seq = self.ledger.last_seq.max(task.seq);
        let other = self.ledger.live.insert((self.topic.clone(), task.id.clone()), record);
        self.check(other.is_none(), task, "has the id of a live task");
    }

    fn pop(&mut self, task: &TaskRef) {
        self.ledger.tally.popped += 1;
        if let Some(record) = self.leave(task) {
            self.check_ready(task, &record);
        }
    }

    fn reserve(&mut self, task: &TaskRef, until_ms: u64) {
        let Some(mut record) = self.find(task) else { return };
        self.check_ready(task, &record);
        self.check(until_ms > self.at_ms, task, "is reserved for no time");
        record.attempts = record.attempts.saturating_add(1);
        self.check(record.attempts <= record.attempts_max, task, "is reserved more often than it may be");
        record.state = TaskState::Reserved { until_ms };
        self.put(task, record);
    }

    fn expire(&mut self, task: &TaskRef) {
        self.ledger.tally.expired += 1;
        if let Some(record) = self.leave(task) {
            let is_pending = record.state == TaskState::Pending;
            self.check(is_pending && record.expires_ms() <= self.at_ms, task, "had not expired");
        }
    }

    fn remove(&mut self, task: &TaskRef) {
        self.ledger.tally.removed += 1;
        if let Some(record) = self.leave(task) {
            let is_alive = match record.state {
                TaskState::Pending => record.expires_ms() > self.at_ms,
                TaskState::Reserved { .. } => true,
                TaskState::Dead { .. } => false,
            };
            self.check(is_alive, task, "had expired, or was a dead letter");
        }
    }

    fn reschedule(&mut self, task: &TaskRef, due_ms: u64) {
        let Some(mut record) = self.find(task) else { return };
        let is_alive = record.state == TaskState::Pending && record.expires_ms() > self.at_ms;
        self.check(is_alive, task, "was not pending, or had expired");
        self.check(due_ms >= self.at_ms, task, "is due in the past");
        record.due_ms = due_ms;
        self.put(task, record);
    }

    fn ack(&mut self, task: &TaskRef) {
        self.ledger.tally.acked += 1;
        if let Some(record) = self.leave(task) {
            self.check_held(task, &record);
        }
    }

    fn nack(&mut self, task: &TaskRef, due_ms: u64) {
        let Some(mut record) = self.find(task) else { return };
        self.check_held(task, &record);
        self.check(record.attempts < record.attempts_max, task, "has no attempt left");
        self.check(due_ms >= self.at_ms, task, "is due in the past");
        (record.state, record.due_ms) = (TaskState::Pending, due_ms);
        self.put(task, record);
    }

    fn lapse(&mut self, task: &TaskRef) {
        let Some(mut record) = self.find(task) else { return };
        self.check_lapsed(task, &record);
        self.check(record.attempts < record.attempts_max, task, "has no attempt left");
        record.state = TaskState::Pending;
        self.put(task, record);
    }

    fn die(&mut self, task: &TaskRef, cause: DeadCause) {
        let Some(mut record) = self.find(task) else { return };
        match cause {
            DeadCause::Nacked => self.check_held(task, &record),
            DeadCause::Lapsed => self.check_lapsed(task, &record),
        }
        self.check(record.attempts >= record.attempts_max, task, "has attempts left");
        record.state = TaskState::Dead { at_ms: self.at_ms, cause };
        self.put(task, record);
    }

    fn requeue(&mut self, task: &TaskRef, due_ms: u64) {
        let Some(mut record) = self.find(task) else { return };
        self.check(matches!(record.state, TaskState::Dead { .. }), task, "was no dead letter");
        (record.state, record.due_ms, record.attempts) = (TaskState::Pending, due_ms, 0);
        self.put(task, record);
    }

    fn discard(&mut self, task: &TaskRef) {
        self.ledger.tally.discarded += 1;
        if let Some(record) = self.leave(task) {
            self.check(matches!(record.state, TaskState::Dead { .. }), task, "was no dead letter");
        }
    }

    /// Handed out only when due and alive.
    fn check_ready(&mut self, task: &TaskRef, record: &TaskRecord) {
        self.check(record.state == TaskState::Pending, task, "was not pending");
        self.check(record.due_ms <= self.at_ms, task, "was not due");
        self.check(record.expires_ms() > self.at_ms, task, "had expired");
    }

    /// Reserved, and the reservation had not lapsed.
    fn check_held(&mut self, task: &TaskRef, record: &TaskRecord) {
        let is_held = matches!(record.state, TaskState::Reserved { until_ms } if until_ms > self.at_ms);
        self.check(is_held, task, "was not reserved, or the reservation had lapsed");
    }

    fn check_lapsed(&mut self, task: &TaskRef, record: &TaskRecord) {
        let has_lapsed = matches!(record.state, TaskState::Reserved { until_ms } if until_ms <= self.at_ms);
        self.check(has_lapsed, task, "was not reserved, or the reservation had not lapsed");
    }

    fn find(&mut self, task: &TaskRef) -> Option<TaskRecord> {
        let record = self.ledger.live.get(&(self.topic.clone(), task.id.clone())).copied();
        let found = record.filter(|record| record.seq == task.seq);
        self.check(found.is_some(), task, "does not live");
        found
    }

    fn put(&mut self, task: &TaskRef, record: TaskRecord) {
        self.ledger.live.insert((self.topic.clone(), task.id.clone()), record);
    }

    fn leave(&mut self, task: &TaskRef) -> Option<TaskRecord> {
        let record = self.find(task)?;
        self.ledger.live.remove(&(self.topic.clone(), task.id.clone()));
        Some(record)
    }

    fn check(&mut self, holds: bool, task: &TaskRef, what: &str) {
        let (name, topic) = (self.name, self.topic);
        self.findings.check(holds, Rule::Tasks, || {
            format!("{name}: task {} (number {}) of topic {topic} {what}", task.id, task.seq)
        });
    }
}
