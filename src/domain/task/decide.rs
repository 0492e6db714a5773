//! Decisions: what follows from a command, as events and an outcome. Nothing here changes the book.
//!
//! Time is compared at the instant of the decision: at and after its `until_ms` a reservation has lapsed, and at and
//! after `due_ms + ready_ttl_ms` a pending task has expired, whether or not anything has noticed yet (R9). Of two due
//! tasks the one with the earlier due time comes first, of two with the same the one that was pushed first.

use hashbrown::HashSet;

use super::order::Place;
use super::topic::{Record, Topic};
use super::{
    AckOutcome, Bytes, DeadCause, DeadCursor, DeadLetter, DiscardOutcome, EVENT_BODY_BYTES_MAX,
    EVENT_TASKS_MAX, ExtendOutcome, NackOutcome, NewTask, PopOutcome, PushOutcome, PushedTask, RemoveOutcome,
    RequeueOutcome, RescheduleOutcome, ReservationId, ReserveOutcome, Reserved, Task, TaskBody, TaskBook,
    TaskEvent, TaskId, TaskRef, TaskState, TopicName,
};
use crate::domain::reject::Reject;

/// Most body bytes that one answer hands out, one more task not counted.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// What an event takes for a task beside id and body, in bytes.
const PUSHED_BYTES: usize = 48;

/// Events in order, and what the caller is told once they are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided<T> {
    /// The events, none where nothing changes. Each is one entry of the journal.
    pub events: Vec<TaskEvent>,
    /// The outcome.
    pub outcome: T,
}

/// How far a decision that may have to clear expired tasks away has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// All the way.
    Done(T),
    /// Only expired tasks were found so far, and there may be more: apply the events and ask again.
    More,
}

/// What a push may fill up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushLimits {
    /// Most topics.
    pub topics_max: usize,
    /// Most live tasks over all topics.
    pub tasks_max: u64,
    /// Most bytes of ids and bodies over all topics.
    pub bytes_max: u64,
    /// How often a task may be reserved that doesn't say so.
    pub attempts_max: u16,
}

/// How long a caller should wait before trying a full queue again, in ms.
const RETRY_AFTER_MS: u32 = 1_000;

fn full(bound: &'static str) -> Reject {
    Reject::Overloaded { bound, retry_after_ms: RETRY_AFTER_MS }
}

impl<T> Decided<T> {
    /// An outcome that changes nothing.
    pub fn unchanged(outcome: T) -> Self {
        Self { events: Vec::new(), outcome }
    }

    fn of(event: TaskEvent, outcome: T) -> Self {
        Self { events: vec![event], outcome }
    }
}

impl TaskBook {
    /// Tasks come in, each on its own: one whose id is taken hinders no other. A bound refuses all of them.
    ///
    /// # Errors
    /// [`Reject::Overloaded`] at a bound of `limits`.
    pub fn decide_push(
        &self,
        limits: &PushLimits,
        topic: &TopicName,
        tasks: Vec<NewTask>,
        now_ms: u64,
    ) -> Result<Decided<Vec<PushOutcome>>, Reject> {
        let bytes: usize = tasks.iter().map(NewTask::bytes).sum();
        let existing = self.topics.get(topic);
        if existing.is_none() && self.topics.len() >= limits.topics_max {
            return Err(full("task_topics_max"));
        }
        if self.len() + tasks.len() as u64 > limits.tasks_max {
            return Err(full("tasks_max"));
        }
        if self.bytes() + bytes as u64 > limits.bytes_max {
            return Err(full("task_bytes_max"));
        }
        let mut outcomes = Vec::with_capacity(tasks.len());
        let mut events = Pushes::new(topic, now_ms);
        let repeats = repeats_in(&tasks);
        for (place, task) in tasks.into_iter().enumerate() {
            let is_taken = existing.is_some_and(|topic| topic.find(self.seed, &task.id).is_some())
                || repeats.contains(&place);
            let id = if is_taken { None } else { TaskId::new(&task.id).ok() };
            let Some(id) = id else {
                outcomes.push(PushOutcome::DuplicateId);
                continue;
            };
            let due_ms = now_ms.saturating_add(task.delay_ms);
            let attempts_max = if task.attempts_max == 0 { limits.attempts_max } else { task.attempts_max };
            let seq = self.last_seq() + 1 + events.count;
            let (task, body) = (
                PushedTask {
                    task: TaskRef { seq, id },
                    due_ms,
                    ready_ttl_ms: task.ready_ttl_ms,
                    attempts_max,
                    body: TaskBody::Parts(0),
                },
                task.body,
            );
            events.push(task, body);
            outcomes.push(PushOutcome::Pushed { due_ms });
        }
        Ok(Decided { events: events.finish(), outcome: outcomes })
    }

    /// A task that was popped for a caller who had gone goes back as it was, behind those with the same due time. If
    /// its id was pushed again meanwhile, that task stands in its place.
    pub fn decide_return(&self, task: Task, now_ms: u64) -> Decided<()> {
        let Task { topic, id, body, due_ms, ready_ttl_ms, attempts_max, .. } = task;
        if self.topics.get(&topic).is_some_and(|topic| topic.find(self.seed, id.as_str()).is_some()) {
            return Decided::unchanged(());
        }
        let seq = self.last_seq() + 1;
        let pushed = PushedTask {
            task: TaskRef { seq, id },
            due_ms,
            ready_ttl_ms,
            attempts_max,
            body: TaskBody::Parts(0),
        };
        let mut events = Pushes::new(&topic, now_ms);
        events.push(pushed, body);
        Decided { events: events.finish(), outcome: () }
    }

    /// Hands out up to `len_max` due tasks for good.
    pub fn decide_pop(&self, name: &TopicName, len_max: usize, now_ms: u64) -> Decided<Step<PopOutcome>> {
        let Some(topic) = self.topics.get(name) else {
            return Decided::unchanged(Step::Done(PopOutcome::NotFound));
        };
        let found = Due::find(topic, name, len_max, now_ms);
        let mut events = found.expired_events(name, now_ms);
        let outcome = if found.tasks.is_empty() {
            found.nothing_due(topic, |next_due_ms| match next_due_ms {
                Some(next_due_ms) => PopOutcome::NotDue { next_due_ms },
                None => PopOutcome::NotFound,
            })
        } else {
            for refs in found.refs.chunks(EVENT_TASKS_MAX) {
                events.push(TaskEvent::Popped { topic: name.clone(), at_ms: now_ms, tasks: refs.to_vec() });
            }
            Step::Done(PopOutcome::Popped(found.tasks))
        };
        Decided { events, outcome }
    }

    /// Hands out up to `len_max` due tasks, to be acknowledged within `visibility_ms`.
    ///
    /// # Errors
    /// [`Reject::Overloaded`] where the topic could come to have more than `dead_max` dead letters: each reserved task
    /// may become one.
    pub fn decide_reserve(
        &self,
        name: &TopicName,
        len_max: usize,
        visibility_ms: u64,
        dead_max: usize,
        now_ms: u64,
    ) -> Result<Decided<Step<ReserveOutcome>>, Reject> {
        let Some(topic) = self.topics.get(name) else {
            return Ok(Decided::unchanged(Step::Done(ReserveOutcome::NotFound)));
        };
        let room = dead_max.saturating_sub(topic.dead.len() + topic.reserved.len());
        let found = Due::find(topic, name, len_max.min(room.max(1)), now_ms);
        let mut events = found.expired_events(name, now_ms);
        if found.tasks.is_empty() {
            let outcome = found.nothing_due(topic, |next_due_ms| match next_due_ms {
                Some(next_due_ms) => ReserveOutcome::NotDue { next_due_ms },
                None => ReserveOutcome::NotFound,
            });
            return Ok(Decided { events, outcome });
        }
        if room == 0 {
            return Err(full("task_dead_letters_max"));
        }
        let until_ms = now_ms.saturating_add(visibility_ms);
        for refs in found.refs.chunks(EVENT_TASKS_MAX) {
            let (topic, tasks) = (name.clone(), refs.to_vec());
            events.push(TaskEvent::Reserved { topic, at_ms: now_ms, until_ms, tasks });
        }
        let reserved = found.refs.iter().zip(found.tasks).map(|(task_ref, mut task)| {
            task.attempts = task.attempts.saturating_add(1);
            let reservation = ReservationId { seq: task_ref.seq, attempt: task.attempts };
            Reserved { task, reservation, until_ms }
        });
        let outcome = Step::Done(ReserveOutcome::Reserved(reserved.collect()));
        Ok(Decided { events, outcome })
    }

    /// A reserved task is done.
    pub fn decide_ack(
        &self,
        topic: &TopicName,
        id: &str,
        reservation: ReservationId,
        now_ms: u64,
    ) -> Decided<AckOutcome> {
        match self.find_reserved(topic, id, reservation, now_ms) {
            Found::Reserved(record) => {
                let (topic, task) = (topic.clone(), task_ref(record));
                Decided::of(TaskEvent::Acked { topic, at_ms: now_ms, task }, AckOutcome::Acked)
            }
            Found::Lapsed => Decided::unchanged(AckOutcome::Lapsed),
            Found::Nothing => Decided::unchanged(AckOutcome::NotFound),
        }
    }

    /// A reservation holds until `visibility_ms` from now.
    pub fn decide_extend(
        &self,
        topic: &TopicName,
        id: &str,
        reservation: ReservationId,
        visibility_ms: u64,
        now_ms: u64,
    ) -> Decided<ExtendOutcome> {
        match self.find_reserved(topic, id, reservation, now_ms) {
            Found::Reserved(record) => {
                let (topic, task) = (topic.clone(), task_ref(record));
                let until_ms = now_ms.saturating_add(visibility_ms);
                let event = TaskEvent::Extended { topic, at_ms: now_ms, task, until_ms };
                Decided::of(event, ExtendOutcome::Extended { until_ms })
            }
            Found::Lapsed => Decided::unchanged(ExtendOutcome::Lapsed),
            Found::Nothing => Decided::unchanged(ExtendOutcome::NotFound),
        }
    }

    /// A reserved task goes back, to be due `delay_ms` from now; its `ready_ttl_ms` counts from there.
    pub fn decide_nack(
        &self,
        topic: &TopicName,
        id: &str,
        reservation: ReservationId,
        delay_ms: u64,
        now_ms: u64,
    ) -> Decided<NackOutcome> {
        match self.find_reserved(topic, id, reservation, now_ms) {
            Found::Reserved(record) => {
                let (topic, task) = (topic.clone(), task_ref(record));
                if record.attempts >= record.attempts_max {
                    let cause = DeadCause::Nacked;
                    let event = TaskEvent::DeadLettered { topic, at_ms: now_ms, task, cause };
                    return Decided::of(event, NackOutcome::DeadLettered);
                }
                let due_ms = now_ms.saturating_add(delay_ms);
                let event = TaskEvent::Nacked { topic, at_ms: now_ms, task, due_ms };
                Decided::of(event, NackOutcome::Returned { due_ms })
            }
            Found::Lapsed => Decided::unchanged(NackOutcome::Lapsed),
            Found::Nothing => Decided::unchanged(NackOutcome::NotFound),
        }
    }

    /// A task is taken back, pending or reserved.
    pub fn decide_remove(&self, name: &TopicName, id: &str, now_ms: u64) -> Decided<RemoveOutcome> {
        let Some(record) = self.record(name, id) else {
            return Decided::unchanged(RemoveOutcome::NotFound);
        };
        let outcome = match record.state() {
            TaskState::Pending if record.expires_ms() <= now_ms => {
                return Decided::of(expired(name, record, now_ms), RemoveOutcome::Expired);
            }
            TaskState::Pending => RemoveOutcome::Removed,
            TaskState::Reserved { .. } => RemoveOutcome::RemovedReserved,
            TaskState::Dead { .. } => return Decided::unchanged(RemoveOutcome::DeadLetter),
        };
        let (topic, task) = (name.clone(), task_ref(record));
        Decided::of(TaskEvent::Removed { topic, at_ms: now_ms, task }, outcome)
    }

    /// A pending task is due `delay_ms` from now, due already or not; its `ready_ttl_ms` counts from there.
    pub fn decide_reschedule(
        &self,
        name: &TopicName,
        id: &str,
        delay_ms: u64,
        now_ms: u64,
    ) -> Decided<RescheduleOutcome> {
        let Some(record) = self.record(name, id) else {
            return Decided::unchanged(RescheduleOutcome::NotFound);
        };
        match record.state() {
            TaskState::Pending if record.expires_ms() <= now_ms => {
                Decided::of(expired(name, record, now_ms), RescheduleOutcome::Expired)
            }
            TaskState::Pending => {
                let (topic, task) = (name.clone(), task_ref(record));
                let due_ms = now_ms.saturating_add(delay_ms);
                let event = TaskEvent::Rescheduled { topic, at_ms: now_ms, task, due_ms };
                Decided::of(event, RescheduleOutcome::Rescheduled { due_ms })
            }
            TaskState::Reserved { .. } => Decided::unchanged(RescheduleOutcome::Reserved),
            TaskState::Dead { .. } => Decided::unchanged(RescheduleOutcome::DeadLetter),
        }
    }

    /// A dead letter is a pending task again, due `delay_ms` from now, with all its attempts.
    pub fn decide_requeue(
        &self,
        name: &TopicName,
        id: &str,
        delay_ms: u64,
        now_ms: u64,
    ) -> Decided<RequeueOutcome> {
        match self.record(name, id) {
            Some(record) if matches!(record.state(), TaskState::Dead { .. }) => {
                let (topic, task) = (name.clone(), task_ref(record));
                let due_ms = now_ms.saturating_add(delay_ms);
                let event = TaskEvent::Requeued { topic, at_ms: now_ms, task, due_ms };
                Decided::of(event, RequeueOutcome::Requeued { due_ms })
            }
            _ => Decided::unchanged(RequeueOutcome::NotFound),
        }
    }

    /// A dead letter is given up for good.
    pub fn decide_discard(&self, name: &TopicName, id: &str, now_ms: u64) -> Decided<DiscardOutcome> {
        match self.record(name, id) {
            Some(record) if matches!(record.state(), TaskState::Dead { .. }) => {
                let (topic, task) = (name.clone(), task_ref(record));
                let event = TaskEvent::Discarded { topic, at_ms: now_ms, task };
                Decided::of(event, DiscardOutcome::Discarded)
            }
            _ => Decided::unchanged(DiscardOutcome::NotFound),
        }
    }

    /// What happens to a topic by itself: reservations lapse, pending tasks expire. At most `steps_max` tasks; what is
    /// left is found by the next call.
    pub fn decide_sweep(&self, name: &TopicName, steps_max: usize, now_ms: u64) -> Vec<TaskEvent> {
        let Some(topic) = self.topics.get(name) else { return Vec::new() };
        let mut events = Vec::new();
        for place in topic.reserved.up_to(now_ms).take(steps_max) {
            let record = topic.record(place.index);
            let (topic, at_ms, task) = (name.clone(), now_ms, task_ref(record));
            events.push(if record.attempts >= record.attempts_max {
                TaskEvent::DeadLettered { topic, at_ms, task, cause: DeadCause::Lapsed }
            } else {
                TaskEvent::Lapsed { topic, at_ms, task }
            });
        }
        let steps_left = steps_max - events.len();
        let expired = topic.expiring.up_to(now_ms).take(steps_left);
        let refs: Vec<_> = expired.map(|place| task_ref(topic.record(place.index))).collect();
        for tasks in refs.chunks(EVENT_TASKS_MAX) {
            events.push(TaskEvent::Expired { topic: name.clone(), at_ms: now_ms, tasks: tasks.to_vec() });
        }
        events
    }

    /// Dead letters of a topic in the order in which they came, behind a cursor.
    pub fn dead_letters(
        &self,
        name: &TopicName,
        after: Option<DeadCursor>,
        len_max: usize,
    ) -> Vec<DeadLetter> {
        let Some(topic) = self.topics.get(name) else { return Vec::new() };
        // No task has the sequence number 0.
        let after = after.unwrap_or(DeadCursor { at_ms: 0, seq: 0 });
        let mut bytes = 0;
        let mut letters = Vec::new();
        for Place { at_ms, seq, index } in topic.dead.behind(after.at_ms, after.seq).take(len_max) {
            let record = topic.record(index);
            let TaskState::Dead { cause, .. } = record.state() else { continue };
            bytes += record.body_bytes();
            let cursor = DeadCursor { at_ms, seq };
            letters.push(DeadLetter { task: record.task(name), at_ms, cause, cursor });
            if bytes >= ANSWER_BYTES_MAX {
                break;
            }
        }
        letters
    }

    fn record(&self, name: &TopicName, id: &str) -> Option<&Record> {
        let topic = self.topics.get(name)?;
        topic.find(self.seed, id).map(|index| topic.record(index))
    }

    fn find_reserved(
        &self,
        name: &TopicName,
        id: &str,
        reservation: ReservationId,
        now_ms: u64,
    ) -> Found<'_> {
        match self.record(name, id) {
            // Another task of the same id.
            Some(record) if record.seq != reservation.seq => Found::Nothing,
            Some(record) => match record.state() {
                TaskState::Reserved { until_ms }
                    if until_ms > now_ms && record.attempts == reservation.attempt =>
                {
                    Found::Reserved(record)
                }
                _ => Found::Lapsed,
            },
            None => Found::Nothing,
        }
    }
}

/// What a reservation names.
enum Found<'b> {
    /// The task, reserved by it.
    Reserved(&'b Record),
    /// The task, not reserved by it any more.
    Lapsed,
    /// No task.
    Nothing,
}

/// Due tasks at the front of a topic.
struct Due {
    refs: Vec<TaskRef>,
    tasks: Vec<Task>,
    expired: Vec<TaskRef>,
}

impl Due {
    /// Looks at no more tasks than are handed out, and as many expired ones as one event takes.
    fn find(topic: &Topic, name: &TopicName, len_max: usize, now_ms: u64) -> Self {
        let mut due = Self { refs: Vec::new(), tasks: Vec::new(), expired: Vec::new() };
        let mut bytes = 0;
        for place in topic.pending.up_to(now_ms) {
            let record = topic.record(place.index);
            if record.expires_ms() <= now_ms {
                due.expired.push(task_ref(record));
            } else {
                due.refs.push(task_ref(record));
                due.tasks.push(record.task(name));
                bytes += record.body_bytes();
            }
            if due.tasks.len() >= len_max || due.expired.len() >= EVENT_TASKS_MAX || bytes >= ANSWER_BYTES_MAX
            {
                break;
            }
        }
        due
    }

    fn expired_events(&self, name: &TopicName, now_ms: u64) -> Vec<TaskEvent> {
        if self.expired.is_empty() {
            return Vec::new();
        }
        let (topic, tasks) = (name.clone(), self.expired.clone());
        vec![TaskEvent::Expired { topic, at_ms: now_ms, tasks }]
    }

    /// With nothing to hand out: the first task that isn't due, behind those that have expired.
    fn nothing_due<T>(&self, topic: &Topic, outcome: impl FnOnce(Option<u64>) -> T) -> Step<T> {
        if self.expired.len() >= EVENT_TASKS_MAX {
            return Step::More;
        }
        // All due tasks have expired, so the first one behind them is the next.
        let next = topic.pending.iter().nth(self.expired.len());
        Step::Done(outcome(next.map(|place| place.at_ms)))
    }
}

/// Tasks on their way into events.
struct Pushes<'t> {
    topic: &'t TopicName,
    at_ms: u64,
    events: Vec<TaskEvent>,
    tasks: Vec<PushedTask>,
    bytes: usize,
    count: u64,
}

impl<'t> Pushes<'t> {
    fn new(topic: &'t TopicName, at_ms: u64) -> Self {
        Self { topic, at_ms, events: Vec::new(), tasks: Vec::new(), bytes: 0, count: 0 }
    }

    fn push(&mut self, mut task: PushedTask, body: Box<[u8]>) {
        self.count += 1;
        if body.len() > EVENT_BODY_BYTES_MAX {
            self.close();
            for (index, part) in (0_u8..).zip(body.chunks(EVENT_BODY_BYTES_MAX)) {
                let (topic, at_ms, bytes) = (self.topic.clone(), self.at_ms, Bytes(part.into()));
                self.events.push(TaskEvent::BodyPart { topic, at_ms, index, bytes });
            }
            // Bodies have 64 KiB at most.
            task.body = TaskBody::Parts(body.len() as u32);
            self.tasks.push(task);
            self.close();
            return;
        }
        let bytes = PUSHED_BYTES + task.task.id.as_str().len() + body.len();
        if self.tasks.len() == EVENT_TASKS_MAX || self.bytes + bytes > EVENT_BODY_BYTES_MAX {
            self.close();
        }
        task.body = TaskBody::Inline(Bytes(body));
        self.bytes += bytes;
        self.tasks.push(task);
    }

    fn close(&mut self) {
        if !self.tasks.is_empty() {
            let (topic, tasks) = (self.topic.clone(), std::mem::take(&mut self.tasks));
            self.events.push(TaskEvent::Pushed { topic, at_ms: self.at_ms, tasks });
        }
        self.bytes = 0;
    }

    fn finish(mut self) -> Vec<TaskEvent> {
        self.close();
        self.events
    }
}

/// Places of tasks whose id stands further ahead in the same batch.
fn repeats_in(tasks: &[NewTask]) -> HashSet<usize> {
    if tasks.len() == 1 {
        return HashSet::new();
    }
    let mut seen = HashSet::with_capacity(tasks.len());
    let ids = tasks.iter().enumerate();
    ids.filter(|(_, task)| !seen.insert(task.id.as_str())).map(|(place, _)| place).collect()
}

fn task_ref(record: &Record) -> TaskRef {
    TaskRef { seq: record.seq, id: record.id() }
}

fn expired(name: &TopicName, record: &Record, now_ms: u64) -> TaskEvent {
    TaskEvent::Expired { topic: name.clone(), at_ms: now_ms, tasks: vec![task_ref(record)] }
}
