//! What happens to tasks, as it is journaled. These types are persisted: variants are only ever added at the end.
//!
//! An event names its tasks by their id and by their *sequence number*, which increases over all topics and is never
//! given twice: an id may come again, a number does not. Everything that replay and the store need stands in the event.
//!
//! **Large bodies.** A body may have 64 KiB, an entry of the journal 32 KiB, and an entry is never split (R6). So a body
//! above [`super::EVENT_BODY_BYTES_MAX`] goes ahead of its task in [`TaskEvent::BodyPart`]s, entries of their own that say
//! nothing about any task. The one [`TaskEvent::Pushed`] behind them is the decision, and takes them all. One actor
//! writes all events of tasks, and it hands both over together, so nothing else about tasks stands in between; after a
//! crash in between, parts without their task are dropped by whatever event of a task comes next. Larger entries would
//! have been the alternative: they would change the journal's format and the arithmetic of its frames for everybody.

use serde::{Deserialize, Serialize};

use super::{Bytes, TaskId, TopicName};
use crate::domain::ids::Slot;

/// Names one task for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRef {
    /// Its sequence number.
    pub seq: u64,
    /// Its id.
    pub id: TaskId,
}

/// Where a task's body is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskBody {
    /// Here.
    Inline(Bytes),
    /// In the parts before this event: so many bytes altogether.
    Parts(u32),
}

/// A task as it was pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedTask {
    /// Sequence number and id.
    pub task: TaskRef,
    /// When it is due, in ms since the Unix epoch.
    pub due_ms: u64,
    /// How long after it is due it expires, in ms; 0 for never.
    pub ready_ttl_ms: u64,
    /// How often it may be reserved.
    pub attempts_max: u16,
    /// What it carries.
    pub body: TaskBody,
}

/// Why a task became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeadCause {
    /// Its last reservation was given up.
    Nacked,
    /// Its last reservation lapsed.
    Lapsed,
}

/// Something that happened to tasks of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskEvent {
    /// A part of a body that is too large for one entry; means nothing without the `Pushed` behind it.
    BodyPart {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// 0, 1, 2 …: the first part begins a body.
        index: u8,
        /// The part.
        bytes: Bytes,
    },
    /// Tasks came in.
    Pushed {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The tasks, ascending by sequence number.
        tasks: Vec<PushedTask>,
    },
    /// Due tasks were handed out for good.
    Popped {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The tasks, in order.
        tasks: Vec<TaskRef>,
    },
    /// A task was taken back before it was done.
    Removed {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The task.
        task: TaskRef,
    },
    /// A pending task is due at another time.
    Rescheduled {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The task.
        task: TaskRef,
        /// When it is due now, in ms since the Unix epoch.
        due_ms: u64,
    },
    /// Due tasks were handed out, to be acknowledged; that is one attempt more for each.
    Reserved {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// At and after this instant the reservation has lapsed, in ms since the Unix epoch.
        until_ms: u64,
        /// The tasks, in order.
        tasks: Vec<TaskRef>,
    },
    /// A reserved task is done.
    Acked {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The task.
        task: TaskRef,
    },
    /// A reserved task was given back.
    Nacked {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The task.
        task: TaskRef,
        /// When it is due again, in ms since the Unix epoch.
        due_ms: u64,
    },
    /// A reservation was not acknowledged in time: the task is pending again, due as before.
    Lapsed {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The task.
        task: TaskRef,
    },
    /// A task's last attempt failed.
    DeadLettered {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The task.
        task: TaskRef,
        /// How.
        cause: DeadCause,
    },
    /// Pending tasks were of no use any more.
    Expired {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The tasks, in order.
        tasks: Vec<TaskRef>,
    },
    /// A dead letter is a pending task again, with all its attempts.
    Requeued {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The task.
        task: TaskRef,
        /// When it is due, in ms since the Unix epoch.
        due_ms: u64,
    },
    /// A dead letter was given up for good.
    Discarded {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The task.
        task: TaskRef,
    },
    /// A reservation holds for longer, or for less long; that is no further attempt.
    Extended {
        /// Which topic.
        topic: TopicName,
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The task.
        task: TaskRef,
        /// At and after this instant the reservation has lapsed, in ms since the Unix epoch.
        until_ms: u64,
    },
}

/// Topic and time of any event.
macro_rules! common {
    ($event:expr, $topic:pat, $at_ms:pat => $value:expr) => {
        match $event {
            TaskEvent::BodyPart { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Pushed { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Popped { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Removed { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Rescheduled { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Reserved { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Acked { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Nacked { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Lapsed { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::DeadLettered { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Expired { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Requeued { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Discarded { topic: $topic, at_ms: $at_ms, .. }
            | TaskEvent::Extended { topic: $topic, at_ms: $at_ms, .. } => $value,
        }
    };
}

impl TaskEvent {
    /// The event's stable name, as downstream systems know it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::BodyPart { .. } => "TaskBodyPart",
            Self::Pushed { .. } => "TaskPushed",
            Self::Popped { .. } => "TaskPopped",
            Self::Removed { .. } => "TaskRemoved",
            Self::Rescheduled { .. } => "TaskRescheduled",
            Self::Reserved { .. } => "TaskReserved",
            Self::Acked { .. } => "TaskAcked",
            Self::Nacked { .. } => "TaskNacked",
            Self::Lapsed { .. } => "TaskLapsed",
            Self::DeadLettered { .. } => "TaskDeadLettered",
            Self::Expired { .. } => "TaskExpired",
            Self::Requeued { .. } => "TaskRequeued",
            Self::Discarded { .. } => "TaskDiscarded",
            Self::Extended { .. } => "TaskExtended",
        }
    }

    /// Which topic.
    pub const fn topic(&self) -> &TopicName {
        common!(self, topic, _ => topic)
    }

    /// When it happened by the engine's clock, in ms since the Unix epoch.
    pub const fn at_ms(&self) -> u64 {
        common!(self, _, at_ms => *at_ms)
    }

    /// The slot of its topic.
    pub fn slot(&self) -> Slot {
        self.topic().slot()
    }
}
