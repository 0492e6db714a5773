//! What happened to tasks of the delay queue.
//!
//! What a task carries is the shop's own, and nobody here knows what is in it. So its size is told, and its content only
//! where personal data is given out whole.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::form::{Text, instant, named, optional};
use crate::domain::task::{Bytes, DeadCause, PushedTask, TaskBody, TaskEvent, TaskRef};
use crate::relay::spec::PersonalChoice;

/// The fields of an event of tasks.
pub(super) fn task_fields<M: SerializeMap>(
    map: &mut M,
    event: &TaskEvent,
    personal: PersonalChoice,
) -> Result<(), M::Error> {
    map.serialize_entry("topic", &Text(event.topic()))?;
    match event {
        TaskEvent::BodyPart { index, bytes, .. } => {
            map.serialize_entry("index", index)?;
            body(map, bytes, personal)
        }
        TaskEvent::Pushed { tasks, .. } => {
            let tasks: Vec<_> = tasks.iter().map(|task| Pushed(task, personal)).collect();
            map.serialize_entry("tasks", &tasks)
        }
        TaskEvent::Popped { tasks, .. } | TaskEvent::Expired { tasks, .. } => names(map, tasks),
        TaskEvent::Reserved { until_ms, tasks, .. } => {
            instant(map, named!("until"), *until_ms)?;
            names(map, tasks)
        }
        TaskEvent::Removed { task, .. }
        | TaskEvent::Acked { task, .. }
        | TaskEvent::Lapsed { task, .. }
        | TaskEvent::Discarded { task, .. } => map.serialize_entry("task", &Named(task)),
        TaskEvent::Rescheduled { task, due_ms, .. }
        | TaskEvent::Nacked { task, due_ms, .. }
        | TaskEvent::Requeued { task, due_ms, .. } => {
            map.serialize_entry("task", &Named(task))?;
            instant(map, named!("due"), *due_ms)
        }
        TaskEvent::DeadLettered { task, cause, .. } => {
            map.serialize_entry("task", &Named(task))?;
            let cause = match cause {
                DeadCause::Nacked => "nacked",
                DeadCause::Lapsed => "lapsed",
            };
            map.serialize_entry("cause", cause)
        }
        TaskEvent::Extended { task, until_ms, .. } => {
            map.serialize_entry("task", &Named(task))?;
            instant(map, named!("until"), *until_ms)
        }
    }
}

fn names<M: SerializeMap>(map: &mut M, tasks: &[TaskRef]) -> Result<(), M::Error> {
    map.serialize_entry("tasks", &tasks.iter().map(Named).collect::<Vec<_>>())
}

fn name<M: SerializeMap>(map: &mut M, task: &TaskRef) -> Result<(), M::Error> {
    map.serialize_entry("seq", &task.seq)?;
    map.serialize_entry("id", task.id.as_str())
}

/// A body: how much, and what, as text or as hexadecimal digits, where the subscription may know it.
fn body<M: SerializeMap>(map: &mut M, bytes: &Bytes, personal: PersonalChoice) -> Result<(), M::Error> {
    map.serialize_entry("body_bytes", &bytes.0.len())?;
    match (personal, std::str::from_utf8(&bytes.0)) {
        (PersonalChoice::Masked, _) => Ok(()),
        (PersonalChoice::Whole, Ok(text)) => map.serialize_entry("body", text),
        (PersonalChoice::Whole, Err(_)) => map.serialize_entry("body_hex", &Hex(&bytes.0)),
    }
}

struct Hex<'a>(&'a [u8]);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct Named<'a>(&'a TaskRef);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        name(&mut map, self.0)?;
        map.end()
    }
}

struct Pushed<'a>(&'a PushedTask, PersonalChoice);

impl Serialize for Pushed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let PushedTask { task, due_ms, ready_ttl_ms, attempts_max, body: carried } = self.0;
        let mut map = serializer.serialize_map(None)?;
        name(&mut map, task)?;
        instant(&mut map, named!("due"), *due_ms)?;
        optional(&mut map, "ready_ttl_ms", (*ready_ttl_ms > 0).then_some(ready_ttl_ms))?;
        map.serialize_entry("attempts_max", attempts_max)?;
        match carried {
            TaskBody::Inline(bytes) => body(&mut map, bytes, self.1)?,
            // It came ahead, in `TaskBodyPart`s.
            TaskBody::Parts(len) => map.serialize_entry("body_bytes", len)?,
        }
        map.end()
    }
}
