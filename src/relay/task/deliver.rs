//! Handing messages to the sink, and what becomes of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use tokio::time::sleep;

use super::letters::Grave;
use super::{Changes, Lane, Origin, Task, Work, behind, cut};
use crate::relay::sink::{Delivery, Undelivered};

/// A delivery on its way.
pub(super) struct UnderWay {
    delivery: Delivery,
    lane: Lane,
    wave: u64,
    /// Looks at the subscription before it was begun.
    looks: u64,
}

impl UnderWay {
    pub(super) fn looks(&self) -> u64 {
        self.looks
    }
}

/// A delivery that has ended.
pub(super) struct Delivered {
    lane: Lane,
    wave: u64,
    result: Result<(), Undelivered>,
}

impl Future for UnderWay {
    type Output = Delivered;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Delivered> {
        let (lane, wave) = (self.lane, self.wave);
        self.delivery.as_mut().poll(context).map(|result| Delivered { lane, wave, result })
    }
}

impl Task {
    /// Hands over as many messages as may be on their way.
    pub(super) fn launch(&mut self) {
        self.fetch_letters();
        if self.waiting.is_some() || self.probing {
            return;
        }
        while self.deliveries.len() < self.window.len(self.spec.in_flight_max) {
            let Some((lane, message, origin)) = self.lanes.take_ready() else { break };
            if origin != Origin::Journal && !self.dead.contains(message.position, message.order_no) {
                // Thrown away meanwhile.
                self.lanes.done(lane);
                continue;
            }
            let sink = match &self.sink {
                Some(sink) => sink,
                None => match self.world.sink(&self.name, &self.spec.sink) {
                    Ok(Some(sink)) => self.sink.insert(sink),
                    Ok(None) => return self.lanes.again(lane),
                    Err(error) => {
                        self.lanes.again(lane);
                        return self.went_down(self.wave, error.to_string());
                    }
                },
            };
            let delivery = sink.deliver(message);
            self.deliveries.push(UnderWay { delivery, lane, wave: self.wave, looks: self.looks });
            if self.failures > 0 {
                // One message shows whether it is there again.
                self.probing = true;
                break;
            }
        }
    }

    /// A delivery has ended.
    pub(super) fn delivered(&mut self, delivered: Delivered) {
        let Delivered { lane, wave, result } = delivered;
        match result {
            Ok(()) => {
                self.answered(wave);
                self.window.answered(false);
                let Some(item) = self.lanes.done(lane) else { return };
                let message = item.message;
                if item.origin == Origin::Journal {
                    self.progress.done(message.position);
                } else {
                    let mut changes = Changes::default();
                    self.take_out(&mut changes, message.position, message.body.len());
                    let written = self.world.book.write(changes);
                    let (position, order_no) = (message.position, message.order_no);
                    self.work.push(Box::pin(async move {
                        Work::Removed { position, order_no, result: written.await }
                    }));
                }
                self.board.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err(Undelivered::Refused(reason)) => {
                self.answered(wave);
                self.window.answered(true);
                let attempts = self.lanes.refused(lane);
                if attempts >= self.spec.retry.attempts_max {
                    return self.give_up(lane, cut(reason));
                }
                self.board.retried.fetch_add(1, Ordering::Relaxed);
                let wait = self.jitter.backoff(&self.spec, attempts);
                let epoch = self.epoch;
                self.work.push(Box::pin(async move {
                    sleep(wait).await;
                    Work::Again { lane, epoch }
                }));
            }
            Err(Undelivered::Down(reason)) => {
                self.board.retried.fetch_add(1, Ordering::Relaxed);
                self.lanes.again(lane);
                self.went_down(wave, reason);
            }
        }
    }

    /// The sink has answered a message of this wave: it is there.
    fn answered(&mut self, wave: u64) {
        if self.failures == 0 || wave != self.wave {
            return;
        }
        (self.failures, self.probing, self.waiting) = (0, false, None);
        self.board.standing().down = None;
        tracing::info!(subscription = self.name, "a relay subscription's sink is there again");
    }

    /// The sink can't be reached: everything waits.
    pub(super) fn went_down(&mut self, wave: u64, reason: String) {
        if wave != self.wave {
            // Known already.
            return;
        }
        self.wave += 1;
        self.failures = self.failures.saturating_add(1);
        self.probing = false;
        let wait = self.jitter.backoff(&self.spec, self.failures);
        self.waiting = Some(Box::pin(sleep(wait)));
        let reason = cut(reason);
        let mut standing = self.board.standing();
        if standing.down.is_none() {
            tracing::warn!(subscription = self.name, reason, "a relay subscription's sink can't be reached");
        }
        let since_ms = standing.down.as_ref().map_or_else(|| self.world.clock.now_ms(), |(_, since)| *since);
        standing.down = Some((reason, since_ms));
    }

    /// The lane's first message was refused too often: it becomes a dead letter, and with it what stands behind it.
    fn give_up(&mut self, lane: Lane, reason: String) {
        let items = self.lanes.take(lane);
        let first = items.first().map_or(0, |item| item.message.position.0);
        let mut graves = Vec::with_capacity(items.len());
        for (nth, item) in items.into_iter().enumerate() {
            let message = item.message;
            let before = if let Origin::Letter(before) = item.origin { before } else { 0 };
            let grave = if nth == 0 {
                Grave { message, attempts: before.saturating_add(item.attempts), reason: reason.clone() }
            } else if message.order_no.is_some() {
                Grave { message, attempts: before, reason: behind(first.into()) }
            } else {
                // Only an order's messages need each other.
                self.lanes.push(lane, super::Item { message, ..item });
                continue;
            };
            if item.origin == Origin::Journal
                || self.dead.contains(grave.message.position, grave.message.order_no)
            {
                graves.push(grave);
            }
        }
        self.bury(graves);
    }
}
