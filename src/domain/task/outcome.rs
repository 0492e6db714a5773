//! What callers hand over and what they are told. Every outcome has a name: nothing is a bare yes or no.

use std::fmt;
use std::str::FromStr;

use super::{DeadCause, TASK_BODY_BYTES_MAX, TASK_DELAY_MS_MAX, TASK_ID_BYTES_MAX, TaskId, TopicName};
use crate::domain::reject::Reject;

/// A task to be pushed.
///
/// ```
/// use stockade::NewTask;
/// let task = NewTask::new("order-42", "close it").delay_ms(30 * 60_000).ready_ttl_ms(60_000).attempts_max(5);
/// assert_eq!(task.id, "order-42");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Its id: 1 to [`TASK_ID_BYTES_MAX`] bytes, unique among the live tasks of its topic.
    pub id: String,
    /// What it carries: at most [`TASK_BODY_BYTES_MAX`] bytes.
    pub body: Box<[u8]>,
    /// How long until it is due, in ms, at most [`TASK_DELAY_MS_MAX`]; 0 for at once.
    pub delay_ms: u64,
    /// How long after it became due it expires, in ms, at most [`TASK_DELAY_MS_MAX`]; 0 for never.
    pub ready_ttl_ms: u64,
    /// How often it may be reserved before it is a dead letter; 0 for the configured default.
    pub attempts_max: u16,
}

impl NewTask {
    /// A task that is due at once, never expires, and has the default number of attempts.
    pub fn new(id: impl Into<String>, body: impl AsRef<[u8]>) -> Self {
        Self { id: id.into(), body: body.as_ref().into(), delay_ms: 0, ready_ttl_ms: 0, attempts_max: 0 }
    }

    /// How long until it is due, in ms.
    #[must_use]
    pub fn delay_ms(mut self, delay_ms: u64) -> Self {
        self.delay_ms = delay_ms;
        self
    }

    /// How long after it became due it expires, in ms; 0 for never.
    #[must_use]
    pub fn ready_ttl_ms(mut self, ready_ttl_ms: u64) -> Self {
        self.ready_ttl_ms = ready_ttl_ms;
        self
    }

    /// How often it may be reserved before it is a dead letter; 0 for the configured default.
    #[must_use]
    pub fn attempts_max(mut self, attempts_max: u16) -> Self {
        self.attempts_max = attempts_max;
        self
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`], [`Reject::FieldTooLong`], [`Reject::OutOfRange`].
    pub fn validate(&self) -> Result<(), Reject> {
        Reject::check_present("task id", self.id.len(), TASK_ID_BYTES_MAX)?;
        Reject::check_len("task body", self.body.len(), TASK_BODY_BYTES_MAX)?;
        Reject::check_range("delay_ms", self.delay_ms, 0, TASK_DELAY_MS_MAX)?;
        Reject::check_range("ready_ttl_ms", self.ready_ttl_ms, 0, TASK_DELAY_MS_MAX)
    }

    /// Memory that it takes on its way, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.id.len() + self.body.len()
    }
}

/// What became of one pushed task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// It is in.
    Pushed {
        /// When it is due, in ms since the Unix epoch.
        due_ms: u64,
    },
    /// A live task of the topic has its id, or one before it in the same batch: that one stays as it is.
    DuplicateId,
}

/// A task that was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its topic.
    pub topic: TopicName,
    /// Its id.
    pub id: TaskId,
    /// What it carries.
    pub body: Box<[u8]>,
    /// When it was due, in ms since the Unix epoch.
    pub due_ms: u64,
    /// How often it has been reserved, this time included.
    pub attempts: u16,
    /// Its bounds, so that it can go back as it was.
    pub(crate) ready_ttl_ms: u64,
    pub(crate) attempts_max: u16,
}

/// What `pop` and `bpop` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PopOutcome {
    /// The tasks that were due first, by due time, then in the order in which they were pushed. At least one.
    Popped(Vec<Task>),
    /// There are pending tasks, and none is due.
    NotDue {
        /// When the next one is, in ms since the Unix epoch.
        next_due_ms: u64,
    },
    /// There is no pending task.
    NotFound,
}

impl PopOutcome {
    /// The first task, if there is one.
    pub fn task(self) -> Option<Task> {
        self.tasks().into_iter().next()
    }

    /// The tasks, none where nothing was due.
    pub fn tasks(self) -> Vec<Task> {
        match self {
            Self::Popped(tasks) => tasks,
            Self::NotDue { .. } | Self::NotFound => Vec::new(),
        }
    }
}

/// Names one reservation of one task: the next one of the same task has another name.
///
/// Prints as `sequence-attempt`, and is read back from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReservationId {
    pub(crate) seq: u64,
    pub(crate) attempt: u16,
}

impl fmt::Display for ReservationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.seq, self.attempt)
    }
}

/// A string that names no reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reservation: expected two decimal integers with a dash between them")]
pub struct ParseReservationError;

impl FromStr for ReservationId {
    type Err = ParseReservationError;

    fn from_str(text: &str) -> Result<Self, ParseReservationError> {
        let (seq, attempt) = text.split_once('-').ok_or(ParseReservationError)?;
        let strict = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        match (seq.parse(), attempt.parse()) {
            (Ok(seq), Ok(attempt)) if strict => Ok(Self { seq, attempt }),
            _ => Err(ParseReservationError),
        }
    }
}

/// A task that is to be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// The task.
    pub task: Task,
    /// What to acknowledge it by.
    pub reservation: ReservationId,
    /// At and after this instant the reservation has lapsed, in ms since the Unix epoch.
    pub until_ms: u64,
}

/// What `reserve` and `breserve` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReserveOutcome {
    /// The tasks that were due first, as for [`PopOutcome::Popped`]. At least one.
    Reserved(Vec<Reserved>),
    /// There are pending tasks, and none is due.
    NotDue {
        /// When the next one is, in ms since the Unix epoch.
        next_due_ms: u64,
    },
    /// There is no pending task.
    NotFound,
}

impl ReserveOutcome {
    /// The reserved tasks, none where nothing was due.
    pub fn tasks(self) -> Vec<Reserved> {
        match self {
            Self::Reserved(tasks) => tasks,
            Self::NotDue { .. } | Self::NotFound => Vec::new(),
        }
    }
}

/// What `ack` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckOutcome {
    /// The task is done and gone.
    Acked,
    /// The reservation has lapsed: the task is pending, reserved by somebody else, or a dead letter.
    Lapsed,
    /// There is no such task, or not any more.
    NotFound,
}

/// What `extend` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtendOutcome {
    /// The reservation holds until another instant.
    Extended {
        /// At and after this instant it has lapsed, in ms since the Unix epoch.
        until_ms: u64,
    },
    /// The reservation has lapsed, as for [`AckOutcome::Lapsed`].
    Lapsed,
    /// There is no such task, or not any more.
    NotFound,
}

/// What `nack` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NackOutcome {
    /// The task is pending again.
    Returned {
        /// When it is due, in ms since the Unix epoch.
        due_ms: u64,
    },
    /// That was its last attempt: it is a dead letter.
    DeadLettered,
    /// The reservation has lapsed, as for [`AckOutcome::Lapsed`].
    Lapsed,
    /// There is no such task, or not any more.
    NotFound,
}

/// What `remove` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// It was pending, and is gone.
    Removed,
    /// It was reserved, and is gone: whoever is at work on it will find that it can't be acknowledged.
    RemovedReserved,
    /// It had expired before, and is gone as such.
    Expired,
    /// It is a dead letter, and stays one: discard it.
    DeadLetter,
    /// There is no such task, or not any more.
    NotFound,
}

/// What `reschedule` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RescheduleOutcome {
    /// It has another due time.
    Rescheduled {
        /// When it is due, in ms since the Unix epoch.
        due_ms: u64,
    },
    /// It is reserved, and stays as it is.
    Reserved,
    /// It had expired before, and is gone.
    Expired,
    /// It is a dead letter, and stays one: requeue it.
    DeadLetter,
    /// There is no such task, or not any more.
    NotFound,
}

/// A task whose attempts have all failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The task.
    pub task: Task,
    /// When it became a dead letter, in ms since the Unix epoch.
    pub at_ms: u64,
    /// How its last attempt ended.
    pub cause: DeadCause,
    /// Where a list goes on behind it.
    pub cursor: DeadCursor,
}

/// A place in a topic's list of dead letters, which is in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadCursor {
    pub(crate) at_ms: u64,
    pub(crate) seq: u64,
}

/// What requeueing a dead letter came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequeueOutcome {
    /// It is a pending task again, with all its attempts.
    Requeued {
        /// When it is due, in ms since the Unix epoch.
        due_ms: u64,
    },
    /// There is no such dead letter.
    NotFound,
}

/// What discarding a dead letter came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscardOutcome {
    /// It is gone.
    Discarded,
    /// There is no such dead letter.
    NotFound,
}

/// The stable codes of outcomes, as an adapter shows them.
macro_rules! codes {
    ($($outcome:ident { $($variant:pat => $code:literal),* $(,)? })*) => {
        $(
            impl $outcome {
                /// The stable code.
                pub const fn code(&self) -> &'static str {
                    match self {
                        $($variant => $code,)*
                    }
                }
            }
        )*
    };
}

codes! {
    PushOutcome { Self::Pushed { .. } => "pushed", Self::DuplicateId => "duplicate_id" }
    PopOutcome {
        Self::Popped(_) => "popped",
        Self::NotDue { .. } => "not_due",
        Self::NotFound => "not_found",
    }
    ReserveOutcome {
        Self::Reserved(_) => "reserved",
        Self::NotDue { .. } => "not_due",
        Self::NotFound => "not_found",
    }
    AckOutcome { Self::Acked => "acked", Self::Lapsed => "lapsed", Self::NotFound => "not_found" }
    ExtendOutcome {
        Self::Extended { .. } => "extended",
        Self::Lapsed => "lapsed",
        Self::NotFound => "not_found",
    }
    NackOutcome {
        Self::Returned { .. } => "returned",
        Self::DeadLettered => "dead_lettered",
        Self::Lapsed => "lapsed",
        Self::NotFound => "not_found",
    }
    RemoveOutcome {
        Self::Removed => "removed",
        Self::RemovedReserved => "removed_reserved",
        Self::Expired => "expired",
        Self::DeadLetter => "dead_letter",
        Self::NotFound => "not_found",
    }
    RescheduleOutcome {
        Self::Rescheduled { .. } => "rescheduled",
        Self::Reserved => "reserved",
        Self::Expired => "expired",
        Self::DeadLetter => "dead_letter",
        Self::NotFound => "not_found",
    }
    RequeueOutcome { Self::Requeued { .. } => "requeued", Self::NotFound => "not_found" }
    DiscardOutcome { Self::Discarded => "discarded", Self::NotFound => "not_found" }
}
