//! Dead letters: how messages become some, and how they are delivered again.

use std::sync::Arc;

use super::{Changes, FETCHED_MAX, Item, Lane, Letter, Origin, Task, Work};
use crate::domain::ids::{OrderNo, Position};
use crate::relay::book::DeadRecord;
use crate::relay::error::RelayError;
use crate::relay::message::Message;
use crate::relay::names;

/// A message that becomes a dead letter.
pub(super) struct Grave {
    pub(super) message: Arc<Message>,
    pub(super) attempts: u32,
    pub(super) reason: String,
}

impl Task {
    /// Makes messages dead letters. False where there is no room for them: then the subscription is suspended, and they
    /// are not done with.
    pub(super) fn bury(&mut self, graves: Vec<Grave>) -> bool {
        let is_new = |grave: &&Grave| !self.dead.contains(grave.message.position, grave.message.order_no);
        let added = graves.iter().filter(is_new).count();
        let letters_max = self.spec.dead_letters_max as usize;
        if added > 0 && self.dead.len() + added > letters_max {
            for Grave { message, .. } in graves {
                self.dead.give_back(message.position, message.order_no);
            }
            self.suspend(format!("it has as many dead letters as it may, {letters_max}"), false);
            return false;
        }
        let at_ms = self.world.clock.now_ms();
        let mut changes = Changes::default();
        let mut letters = Vec::with_capacity(graves.len());
        let mut bytes = 0;
        for Grave { message, attempts, reason } in graves {
            let (position, order_no) = (message.position, message.order_no);
            let is_again = self.dead.contains(position, order_no);
            let record = DeadRecord {
                order_no,
                event: message.event.to_owned(),
                attempts,
                reason,
                at_ms,
                event_at_ms: message.at_ms,
                // Bodies have a few 100 KiB at most.
                body_bytes: message.body.len() as u32,
            };
            changes.letter(&self.name, position, &record, &message.body);
            if is_again {
                changes.requeued(&self.name, position, false);
                for waiting in self.dead.dead_again(order_no) {
                    changes.requeued(&self.name, waiting, false);
                }
            } else if self.dead.add(position, order_no) {
                changes.requeued(&self.name, position, true);
            }
            bytes += message.body.len();
            letters.push((position, order_no));
        }
        if letters.is_empty() {
            return true;
        }
        self.booking += letters.len();
        self.booking_bytes += bytes;
        let written = self.world.book.write(changes);
        self.work.push(Box::pin(async move { Work::Booked { letters, bytes, result: written.await } }));
        true
    }

    /// Fetches letters that are to be delivered again.
    pub(super) fn fetch_letters(&mut self) {
        while self.lanes.letters() + self.fetching < FETCHED_MAX {
            let Some((position, order_no)) = self.dead.take_offered() else { return };
            self.fetching += 1;
            let (world, name, epoch) = (Arc::clone(&self.world), self.name.clone(), self.epoch);
            let fetch = tokio::task::spawn_blocking(move || world.book.letter(&name, position));
            self.work.push(Box::pin(async move {
                let ended_early =
                    |_| Err(RelayError::Storage("reading a dead letter ended early".to_owned()));
                let result = fetch.await.unwrap_or_else(ended_early);
                Work::Fetched { position, order_no, epoch, result }
            }));
        }
    }

    /// A letter was fetched.
    pub(super) fn fetched(
        &mut self,
        (position, order_no): (Position, Option<OrderNo>),
        epoch: u64,
        result: Result<Option<(Letter, Vec<u8>)>, RelayError>,
    ) {
        if epoch != self.epoch || !self.is_running() {
            return self.dead.give_back(position, order_no);
        }
        let (letter, body) = match result {
            Ok(Some(found)) => found,
            // Thrown away meanwhile.
            Ok(None) => return self.dead.gone(position, order_no),
            Err(error) => return self.fail(error.to_string()),
        };
        let record = letter.record;
        let Some(event) = names::known(&record.event) else {
            return self.fail(format!("the dead letter at position {position} is of an unknown event"));
        };
        let message = Message {
            position,
            order_no,
            event,
            at_ms: record.event_at_ms,
            attempt: record.attempts,
            body: body.into(),
        };
        let lane = order_no.map_or(Lane::Letter(position), Lane::Order);
        let origin = Origin::Letter(record.attempts);
        self.lanes.push(lane, Item { message: Arc::new(message), origin, attempts: 0 });
    }
}
