//! Callers who wait for a task of a topic, in the order in which they came.

use std::collections::{BTreeMap, BTreeSet};

use super::handover::Handover;
use crate::actors::reply::{Answer, Reply};
use crate::domain::reject::Reject;
use crate::domain::task::{ReserveOutcome, TopicName};

/// Most callers waiting over all topics.
pub(super) const WAITERS_TOTAL_MAX: usize = 1 << 16;

/// What a caller waits for.
#[derive(Debug)]
pub(super) enum Want {
    /// A task for good.
    Pop { len_max: usize, reply: Reply<Handover> },
    /// A task to be acknowledged.
    Reserve { len_max: usize, visibility_ms: u64, reply: Reply<ReserveOutcome> },
}

impl Want {
    /// Whether the caller has gone away.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Pop { reply, .. } => reply.is_closed(),
            Self::Reserve { reply, .. } => reply.is_closed(),
        }
    }

    /// The answer that nothing was done.
    pub(super) fn refuse(self, reject: Reject) -> Answer {
        match self {
            Self::Pop { reply, .. } => Answer::to(reply, Err(reject)),
            Self::Reserve { reply, .. } => Answer::to(reply, Err(reject)),
        }
    }
}

/// Those who wait for one topic.
#[derive(Debug, Default)]
struct Queue {
    by_arrival: BTreeMap<u64, (u64, Want)>,
    by_until: BTreeSet<(u64, u64)>,
}

/// Those who wait.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    queues: BTreeMap<TopicName, Queue>,
    arrivals: u64,
    len: usize,
}

impl Waiters {
    /// How many wait over all topics.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many wait for a topic.
    pub(super) fn len_of(&self, topic: &TopicName) -> usize {
        self.queues.get(topic).map_or(0, |queue| queue.by_arrival.len())
    }

    /// When the first of a topic's waiters gives up, in ms since the Unix epoch.
    pub(super) fn next_until_ms(&self, topic: &TopicName) -> Option<u64> {
        self.queues.get(topic)?.by_until.first().map(|(until_ms, _)| *until_ms)
    }

    /// Somebody waits, behind those who wait already.
    pub(super) fn push(&mut self, topic: &TopicName, until_ms: u64, want: Want) {
        self.arrivals += 1;
        self.len += 1;
        let queue = self.queues.entry(topic.clone()).or_default();
        queue.by_until.insert((until_ms, self.arrivals));
        queue.by_arrival.insert(self.arrivals, (until_ms, want));
    }

    /// The first who waits for a topic, with its place.
    pub(super) fn first(&self, topic: &TopicName) -> Option<(u64, &Want)> {
        let (place, (_, want)) = self.queues.get(topic)?.by_arrival.first_key_value()?;
        Some((*place, want))
    }

    /// The first whose time is up, with its place.
    pub(super) fn first_late(&self, topic: &TopicName, now_ms: u64) -> Option<u64> {
        let first = self.queues.get(topic)?.by_until.first();
        first.filter(|(until_ms, _)| *until_ms <= now_ms).map(|(_, place)| *place)
    }

    /// Takes one out, with the instant at which it gives up.
    pub(super) fn take(&mut self, topic: &TopicName, place: u64) -> Option<(u64, Want)> {
        let queue = self.queues.get_mut(topic)?;
        let (until_ms, want) = queue.by_arrival.remove(&place)?;
        queue.by_until.remove(&(until_ms, place));
        self.len -= 1;
        if queue.by_arrival.is_empty() {
            self.queues.remove(topic);
        }
        Some((until_ms, want))
    }

    /// Puts back what was taken out and could not be served.
    pub(super) fn put_back(&mut self, topic: &TopicName, place: u64, until_ms: u64, want: Want) {
        self.len += 1;
        let queue = self.queues.entry(topic.clone()).or_default();
        queue.by_until.insert((until_ms, place));
        queue.by_arrival.insert(place, (until_ms, want));
    }

    /// Forgets those who have gone away. Takes time in proportion to those who wait: for when a bound is reached.
    pub(super) fn forget_gone(&mut self) {
        let mut left = 0;
        self.queues.retain(|_, queue| {
            let Queue { by_arrival, by_until } = queue;
            by_arrival.retain(|place, (until_ms, want)| {
                let stays = !want.is_gone();
                if !stays {
                    by_until.remove(&(*until_ms, *place));
                }
                stays
            });
            left += by_arrival.len();
            !by_arrival.is_empty()
        });
        self.len = left;
    }

    /// Takes all of them out.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Want> + use<> {
        self.len = 0;
        let queues = std::mem::take(&mut self.queues);
        queues.into_values().flat_map(|queue| queue.by_arrival.into_values()).map(|(_, want)| want)
    }
}
