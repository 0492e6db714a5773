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
            TaskEvent::Extended { task, until_ms, .. } => life.extend(task, *until_ms),
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

    fn extend(&mut self, task: &TaskRef, until_ms: u64) {
        let Some(mut record) = self.find(task) else { return };
        self.check_held(task, &record);
        self.check(until_ms > self.at_ms, task, "is reserved for no time");
        record.state = TaskState::Reserved { until_ms };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{AuditReport, Auditor};
    use crate::domain::event::Event;
    use crate::domain::ids::Position;
    use crate::domain::task::Bytes;

    const DUE_MS: u64 = 100;

    fn topic() -> TopicName {
        TopicName::new("mails").unwrap()
    }

    fn task(seq: u64) -> TaskRef {
        TaskRef { seq, id: TaskId::new("a").unwrap() }
    }

    fn push(seq: u64, at_ms: u64) -> TaskEvent {
        let body = TaskBody::Inline(Bytes(b"xyz".as_slice().into()));
        let pushed = PushedTask { task: task(seq), due_ms: DUE_MS, ready_ttl_ms: 50, attempts_max: 2, body };
        TaskEvent::Pushed { topic: topic(), at_ms, tasks: vec![pushed] }
    }

    fn pop(seq: u64, at_ms: u64) -> TaskEvent {
        TaskEvent::Popped { topic: topic(), at_ms, tasks: vec![task(seq)] }
    }

    fn reserve(at_ms: u64, until_ms: u64) -> TaskEvent {
        TaskEvent::Reserved { topic: topic(), at_ms, until_ms, tasks: vec![task(1)] }
    }

    fn expire(at_ms: u64) -> TaskEvent {
        TaskEvent::Expired { topic: topic(), at_ms, tasks: vec![task(1)] }
    }

    fn audit(events: Vec<TaskEvent>) -> AuditReport {
        let mut auditor = Auditor::new();
        for (at, event) in (1..).zip(events) {
            auditor.entry(Position(at), &[Event::Task(Box::new(event))]);
        }
        auditor.finish()
    }

    #[test]
    fn a_life_by_the_rules_passes_and_is_counted() {
        let (topic, task) = (topic, || task(1));
        let report = audit(vec![
            push(1, 0),
            reserve(100, 110),
            TaskEvent::Nacked { topic: topic(), at_ms: 105, task: task(), due_ms: 106 },
            reserve(106, 120),
            TaskEvent::DeadLettered { topic: topic(), at_ms: 120, task: task(), cause: DeadCause::Lapsed },
            TaskEvent::Requeued { topic: topic(), at_ms: 130, task: task(), due_ms: 140 },
            TaskEvent::Rescheduled { topic: topic(), at_ms: 131, task: task(), due_ms: 150 },
            reserve(150, 160),
            TaskEvent::Lapsed { topic: topic(), at_ms: 160, task: task() },
            reserve(161, 170),
            TaskEvent::Extended { topic: topic(), at_ms: 165, task: task(), until_ms: 180 },
            TaskEvent::Acked { topic: topic(), at_ms: 179, task: task() },
            push(2, 179),
        ]);
        assert!(report.passed(), "{:?}", report.violations);
        let TaskTally { topics, pending, pushed, acked, .. } = report.tasks;
        assert_eq!((topics, pending, pushed, acked), (1, 1, 2, 1));
    }

    #[test]
    fn whatever_can_not_have_happened_is_found() {
        let (topic, task) = (topic, || task(1));
        let ack = |at_ms| TaskEvent::Acked { topic: topic(), at_ms, task: task() };
        let lapse = |at_ms| TaskEvent::Lapsed { topic: topic(), at_ms, task: task() };
        let nack = |at_ms, due_ms| TaskEvent::Nacked { topic: topic(), at_ms, task: task(), due_ms };
        let extend = |at_ms| TaskEvent::Extended { topic: topic(), at_ms, task: task(), until_ms: 200 };
        let die = |at_ms, cause| TaskEvent::DeadLettered { topic: topic(), at_ms, task: task(), cause };
        let part = TaskEvent::BodyPart { topic: topic(), at_ms: 0, index: 0, bytes: Bytes::default() };
        let mut of_parts = push(1, 0);
        if let TaskEvent::Pushed { tasks, .. } = &mut of_parts {
            tasks[0].body = TaskBody::Parts(5);
        }
        let cases = [
            (vec![push(1, 0), push(2, 0)], "has the id of a live task"),
            (vec![push(2, 0), pop(2, 100), push(1, 100)], "has a sequence number that was given before"),
            (vec![push(1, 0), push(2, 0), pop(1, 100)], "does not live"),
            (vec![pop(1, 100)], "does not live"),
            (vec![push(1, 0), pop(1, 99)], "was not due"),
            (vec![push(1, 0), pop(1, 150)], "had expired"),
            (vec![push(1, 0), expire(149)], "had not expired"),
            (vec![push(1, 0), reserve(100, 110), pop(1, 105)], "was not pending"),
            (vec![push(1, 0), reserve(100, 100)], "is reserved for no time"),
            (vec![push(1, 0), ack(100)], "was not reserved"),
            (vec![push(1, 0), reserve(100, 110), ack(110)], "the reservation had lapsed"),
            (vec![push(1, 0), reserve(100, 110), extend(110)], "the reservation had lapsed"),
            (vec![push(1, 0), reserve(100, 110), extend(105), lapse(110)], "had not lapsed"),
            (vec![push(1, 0), reserve(100, 110), lapse(109)], "the reservation had not lapsed"),
            (vec![push(1, 0), reserve(100, 110), nack(110, 111)], "the reservation had lapsed"),
            (vec![push(1, 0), reserve(100, 110), nack(105, 104)], "is due in the past"),
            (vec![push(1, 0), reserve(100, 110), die(105, DeadCause::Nacked)], "has attempts left"),
            (
                vec![
                    push(1, 0),
                    reserve(100, 110),
                    nack(101, 101),
                    reserve(101, 110),
                    nack(102, 102),
                    reserve(102, 110),
                ],
                "is reserved more often than it may be",
            ),
            (
                vec![push(1, 0), TaskEvent::Discarded { topic: topic(), at_ms: 1, task: task() }],
                "was no dead letter",
            ),
            (
                vec![push(1, 0), TaskEvent::Requeued { topic: topic(), at_ms: 1, task: task(), due_ms: 1 }],
                "was no dead letter",
            ),
            (
                vec![push(1, 0), TaskEvent::Removed { topic: topic(), at_ms: 150, task: task() }],
                "had expired",
            ),
            (vec![part, of_parts], "comes with parts of another length"),
            (vec![push(1, 5), pop(1, 4)], "stands behind an event of 5 ms"),
        ];
        for (events, said) in cases {
            let report = audit(events.clone());
            let found = report
                .violations
                .iter()
                .any(|violation| violation.rule == Rule::Tasks && violation.message.contains(said));
            assert!(found, "{said} is not among {:?} for {events:?}", report.violations);
        }
    }
}
