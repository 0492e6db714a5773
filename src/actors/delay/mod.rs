//! The delay queue's actor: one owner of all topics, so that a task's whole life is one order of events.
//!
//! What a task is and what may happen to it is the domain's ([`crate::domain::task`]). Here are the callers: those who
//! are answered, those who wait for a task to become due, and those who have gone away.

pub(crate) mod actor;
pub(crate) mod handover;
pub(crate) mod shell;
pub(crate) mod timer;
mod waiters;

use handover::Handover;

use crate::actors::reply::Reply;
use crate::domain::task::{
    AckOutcome, DeadCursor, DeadLetter, DiscardOutcome, ExtendOutcome, NackOutcome, NewTask, PushLimits,
    PushOutcome, RemoveOutcome, RequeueOutcome, RescheduleOutcome, ReservationId, ReserveOutcome, Task,
    TopicName, TopicStats,
};

/// How the actor behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DelaySettings {
    /// What a push may fill up.
    pub(crate) limits: PushLimits,
    /// Most callers waiting for a task of one topic.
    pub(crate) waiters_max: usize,
    /// Most dead letters of one topic.
    pub(crate) dead_letters_max: usize,
}

/// A command or question about one topic.
#[derive(Debug)]
pub(crate) struct DelayRequest {
    /// Credits that go back with its answer.
    pub(crate) credits: u64,
    /// Which topic.
    pub(crate) topic: TopicName,
    /// What is asked for.
    pub(crate) command: DelayCommand,
}

/// What is asked for. Fields are checked before they come here.
#[derive(Debug)]
pub(crate) enum DelayCommand {
    /// Tasks come in.
    Push { tasks: Vec<NewTask>, reply: Reply<Vec<PushOutcome>> },
    /// Due tasks are handed out for good.
    Pop { len_max: usize, wait: Wait, reply: Reply<Handover> },
    /// Due tasks are handed out, to be acknowledged.
    Reserve { len_max: usize, visibility_ms: u64, wait: Wait, reply: Reply<ReserveOutcome> },
    /// A reserved task is done.
    Ack { id: Box<str>, reservation: ReservationId, reply: Reply<AckOutcome> },
    /// A reservation holds for longer.
    Extend { id: Box<str>, reservation: ReservationId, visibility_ms: u64, reply: Reply<ExtendOutcome> },
    /// A reserved task goes back.
    Nack { id: Box<str>, reservation: ReservationId, delay_ms: u64, reply: Reply<NackOutcome> },
    /// A task is taken back.
    Remove { id: Box<str>, reply: Reply<RemoveOutcome> },
    /// A pending task is due at another time.
    Reschedule { id: Box<str>, delay_ms: u64, reply: Reply<RescheduleOutcome> },
    /// A dead letter becomes a pending task.
    Requeue { id: Box<str>, delay_ms: u64, reply: Reply<RequeueOutcome> },
    /// A dead letter is given up.
    Discard { id: Box<str>, reply: Reply<DiscardOutcome> },
    /// Asks for dead letters.
    DeadLetters { after: Option<DeadCursor>, len_max: usize, reply: Reply<Vec<DeadLetter>> },
    /// Asks for a topic's figures.
    Stats { reply: Reply<TopicStats> },
}

/// How long a caller waits for a task to become due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// Until this instant, in ms since the Unix epoch.
    Until(u64),
}

/// Work for the actor.
#[derive(Debug)]
pub(crate) enum DelayItem {
    /// A command or question.
    Request(Box<DelayRequest>),
    /// Tasks that were popped for a caller who had gone.
    Undelivered(Vec<Task>),
    /// Something may be due.
    Tick,
    /// Asks for all topics with their figures.
    Topics(Reply<Vec<(TopicName, TopicStats)>>),
    /// Asks for the queue's part of the state hash.
    Hash(Reply<u64>),
    /// The engine takes nothing new, or has failed: nobody waits any longer.
    Drain,
    /// Panics, to test what a bug would do.
    #[cfg(test)]
    Panic,
}
