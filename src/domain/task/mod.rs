//! The delay queue's tasks: names, events, decisions and the book that holds them.
//!
//! A *task* is a body under an id that is unique among the live tasks of its *topic*. It is pending until it is due and
//! after, until somebody pops it (gone at once), or reserves it (gone when acknowledged, back when the reservation
//! lapses or is given up). A task that was reserved in vain as often as it may be becomes a *dead letter*, which lives
//! on until somebody requeues or discards it. A pending task with a `ready_ttl_ms` expires so long after it became due.
//!
//! ```text
//!            push                 due, pop ──▶ gone
//!   ────────────────▶ pending ───┤
//!                      ▲  │ │      due, reserve ──▶ reserved ── ack ──▶ gone
//!                      │  │ └ ttl ▶ gone             │   │
//!                      └──┼───────── nack, lapse ────┘   └ the last attempt ──▶ dead letter ── discard ──▶ gone
//!                         └ remove ▶ gone                                        │
//!                      ▲───────────────────────────────────────── requeue ───────┘
//! ```
//!
//! [`TaskBook`] decides without changing anything and applies events without failing; the actor in `actors::delay`
//! journals in between. Here is no clock, no waiting and no bound on callers: that is the actor's.

mod book;
mod bytes;
mod decide;
mod event;
mod order;
mod outcome;
mod parts;
mod slab;
mod topic;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hash::hash128;
use super::ids::Slot;
use super::reject::Reject;

pub use book::{TaskBook, TaskState, TaskView, TopicStats};
pub use bytes::Bytes;
pub use decide::{Decided, PushLimits, Step};
pub use event::{DeadCause, PushedTask, TaskBody, TaskEvent, TaskRef};
pub use outcome::{
    AckOutcome, DeadCursor, DeadLetter, DiscardOutcome, ExtendOutcome, NackOutcome, NewTask,
    ParseReservationError, PopOutcome, PushOutcome, RemoveOutcome, RequeueOutcome, RescheduleOutcome,
    ReservationId, ReserveOutcome, Reserved, Task,
};
pub(crate) use parts::BodyParts;

/// Longest topic name, in bytes.
pub const TOPIC_BYTES_MAX: usize = 64;
/// Longest task id, in bytes.
pub const TASK_ID_BYTES_MAX: usize = 64;
/// Largest body, in bytes.
pub const TASK_BODY_BYTES_MAX: usize = 64 << 10;
/// Furthest that a task may lie ahead, and longest `ready_ttl_ms`, in ms: ten years.
pub const TASK_DELAY_MS_MAX: u64 = 3_653 * 24 * 3_600_000;
/// Most tasks of one event; with ids of the greatest length its entry stays below 20 KiB.
pub(crate) const EVENT_TASKS_MAX: usize = 256;
/// Body bytes that stand in the event which pushes them, and bytes of one part of a larger body. An entry has at most
/// 32 KiB, and is never split over frames (R6).
pub(crate) const EVENT_BODY_BYTES_MAX: usize = 24 << 10;

/// A topic's name: 1 to [`TOPIC_BYTES_MAX`] bytes of text. Clones share it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`], [`Reject::FieldTooLong`].
    pub fn new(name: &str) -> Result<Self, Reject> {
        Reject::check_present("topic", name.len(), TOPIC_BYTES_MAX)?;
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A frozen hash of the name: part of stored keys.
    pub fn hash(&self) -> u128 {
        hash128(self.0.as_bytes())
    }

    /// The slot that stands for this topic wherever work is spread by slot (replay).
    pub fn slot(&self) -> Slot {
        Slot::of_hash((self.hash() >> 64) as u64)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for TopicName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TopicName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<str>::deserialize(deserializer).map(|name| Self(name.into()))
    }
}

/// A task's id: 1 to [`TASK_ID_BYTES_MAX`] bytes of text, unique among the live tasks of its topic.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(Box<str>);

impl TaskId {
    /// Checks an id.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`], [`Reject::FieldTooLong`].
    pub fn new(id: &str) -> Result<Self, Reject> {
        Reject::check_present("task id", id.len(), TASK_ID_BYTES_MAX)?;
        Ok(Self(id.into()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// An id that a record holds, and that was checked when it came in.
    pub(super) fn of_record(bytes: &[u8]) -> Self {
        Self(String::from_utf8_lossy(bytes).into())
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
