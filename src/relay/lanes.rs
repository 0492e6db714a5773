//! Lanes: what must be delivered one after the other, and how far a subscription is.
//!
//! An order's messages share a lane: the next one goes when the one before it is confirmed or dead (R11). Events without
//! an order go by what they are about. Lanes know nothing of sinks, time or storage.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::message::Message;
use crate::domain::event::Event;
use crate::domain::ids::{MemberId, OrderNo, PaymentId, Position, StockKey, TeamId};

/// What messages are delivered one after the other for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    Order(OrderNo),
    Stock(StockKey),
    Payment(PaymentId),
    Team(TeamId),
    Member(MemberId),
    /// A dead letter without an order.
    Letter(Position),
    /// Everything else.
    Common,
}

impl Lane {
    /// The lane of an event that has no order.
    pub(super) fn without_order(event: &Event) -> Self {
        match event {
            Event::StockAdjusted { key, .. } | Event::StockTransferred { from: key, .. } => Self::Stock(*key),
            Event::PaymentReceived { payment, .. }
            | Event::PaymentUnmatched { payment, .. }
            | Event::UnmatchedRefund { payment, .. } => Self::Payment(*payment),
            Event::LimitImported { member_id, .. } => Self::Member(*member_id),
            Event::Coupon(coupon) => Self::Member(coupon.step().member),
            Event::Team(team) => Self::Team(team.team()),
            Event::NumbersReserved { .. }
            | Event::SkuPut { .. }
            | Event::SettingPut { .. }
            | Event::Task(_)
            | Event::OperatorActed(_) => Self::Common,
            // An order's events have one.
            Event::OrderCreated(_)
            | Event::PaymentStarted { .. }
            | Event::OrderPaid { .. }
            | Event::OrderShipped { .. }
            | Event::OrderReceived { .. }
            | Event::OrderClosed { .. }
            | Event::OrderRevived { .. }
            | Event::RefundRequired { .. }
            | Event::Order { .. } => Self::Common,
        }
    }
}

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// From the journal: the cursor waits for it.
    Journal,
    /// From the dead letters, for another try; it was tried so often before.
    Letter(u32),
}

/// A message in its lane.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) message: Arc<Message>,
    pub(super) origin: Origin,
    /// Times that it was refused.
    pub(super) attempts: u32,
}

impl Item {
    /// Messages of the journal and letters may have one position.
    fn key(&self) -> (Position, bool) {
        (self.message.position, self.origin == Origin::Journal)
    }
}

/// One lane: the first of its messages is ready, on its way, or waits to be tried again.
#[derive(Debug)]
struct Queue {
    front: Item,
    rest: VecDeque<Item>,
}

/// All lanes that have messages.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<Lane, Queue>,
    /// Lanes whose first message may go, by its position: the oldest go first, so that the cursor moves.
    ready: BTreeMap<(Position, bool), Lane>,
    len: usize,
    letters: usize,
    bytes: usize,
}

impl Lanes {
    /// Letters among the messages.
    pub(super) fn letters(&self) -> usize {
        self.letters
    }

    /// Messages in all lanes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Size of their bodies, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Puts a message at the end of its lane.
    pub(super) fn push(&mut self, lane: Lane, item: Item) {
        self.len += 1;
        self.letters += usize::from(item.origin != Origin::Journal);
        self.bytes += item.message.body.len();
        match self.lanes.entry(lane) {
            Entry::Occupied(queue) => queue.into_mut().rest.push_back(item),
            Entry::Vacant(place) => {
                self.ready.insert(item.key(), lane);
                place.insert(Queue { front: item, rest: VecDeque::new() });
            }
        }
    }

    /// The oldest message that may go; its lane waits from here on.
    pub(super) fn take_ready(&mut self) -> Option<(Lane, Arc<Message>, Origin)> {
        let (_position, lane) = self.ready.pop_first()?;
        let front = &self.lanes.get(&lane)?.front;
        Some((lane, Arc::clone(&front.message), front.origin))
    }

    /// The lane's first message may go again.
    pub(super) fn again(&mut self, lane: Lane) {
        if let Some(queue) = self.lanes.get(&lane) {
            self.ready.insert(queue.front.key(), lane);
        }
    }

    /// The lane's first message was refused: it has one attempt more. Gives how many; the lane waits.
    pub(super) fn refused(&mut self, lane: Lane) -> u32 {
        let Some(queue) = self.lanes.get_mut(&lane) else { return 0 };
        let front = &mut queue.front;
        front.attempts += 1;
        let before = if let Origin::Letter(before) = front.origin { before } else { 0 };
        let attempt = before.saturating_add(front.attempts);
        front.message = Arc::new(Message { attempt, ..(*front.message).clone() });
        front.attempts
    }

    /// The lane's first message is done with; the next one may go.
    pub(super) fn done(&mut self, lane: Lane) -> Option<Item> {
        let queue = self.lanes.get_mut(&lane)?;
        let done = match queue.rest.pop_front() {
            Some(next) => {
                self.ready.insert(next.key(), lane);
                std::mem::replace(&mut queue.front, next)
            }
            None => self.lanes.remove(&lane)?.front,
        };
        self.forget(&done);
        Some(done)
    }

    /// Takes out the lane with all its messages, oldest first.
    pub(super) fn take(&mut self, lane: Lane) -> Vec<Item> {
        let Some(Queue { front, rest }) = self.lanes.remove(&lane) else { return Vec::new() };
        self.ready.remove(&front.key());
        let items: Vec<_> = std::iter::once(front).chain(rest).collect();
        items.iter().for_each(|item| self.forget(item));
        items
    }

    /// Takes out everything. Gives the letters among it.
    pub(super) fn clear(&mut self) -> Vec<Item> {
        let lanes = std::mem::take(self).lanes;
        let items = lanes.into_values().flat_map(|queue| std::iter::once(queue.front).chain(queue.rest));
        items.filter(|item| item.origin != Origin::Journal).collect()
    }

    fn forget(&mut self, item: &Item) {
        self.len -= 1;
        self.letters -= usize::from(item.origin != Origin::Journal);
        self.bytes -= item.message.body.len();
    }
}

/// How far a subscription is: the end of the prefix that is done.
#[derive(Debug)]
pub(super) struct Progress {
    /// Everything before it was read.
    read_to: Position,
    /// What was read and is not done, with when it happened, in ms since the Unix epoch.
    pending: BTreeMap<Position, u64>,
}

impl Progress {
    /// Progress that begins at a cursor.
    pub(super) fn new(cursor: Position) -> Self {
        Self { read_to: cursor, pending: BTreeMap::new() }
    }

    /// Everything before this position is done with.
    pub(super) fn cursor(&self) -> Position {
        self.pending.first_key_value().map_or(self.read_to, |(position, _)| *position)
    }

    /// When the oldest event happened that is read and not done, in ms since the Unix epoch.
    pub(super) fn oldest_at_ms(&self) -> Option<u64> {
        self.pending.first_key_value().map(|(_, at_ms)| *at_ms)
    }

    /// A message was read.
    pub(super) fn read(&mut self, position: Position, at_ms: u64) {
        self.pending.insert(position, at_ms);
    }

    /// Everything before `position` was read; what was not named in between is done.
    pub(super) fn read_to(&mut self, position: Position) {
        self.read_to = self.read_to.max(position);
    }

    /// A message is done with.
    pub(super) fn done(&mut self, position: Position) {
        self.pending.remove(&position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(position: u64) -> Item {
        let message = Message {
            position: Position(position),
            order_no: None,
            event: "OrderPaid",
            at_ms: position,
            attempt: 0,
            body: bytes::Bytes::from_static(b"{}"),
        };
        Item { message: Arc::new(message), origin: Origin::Journal, attempts: 0 }
    }

    fn lane(number: u64) -> Lane {
        Lane::Member(MemberId(number))
    }

    fn ready(lanes: &mut Lanes) -> Option<u64> {
        lanes.take_ready().map(|(_, message, _)| message.position.0)
    }

    #[test]
    fn a_lane_gives_one_message_at_a_time_and_others_go_on() {
        let mut lanes = Lanes::default();
        for (number, position) in [(1, 1), (1, 2), (2, 3), (1, 4)] {
            lanes.push(lane(number), item(position));
        }
        assert_eq!((ready(&mut lanes), ready(&mut lanes), ready(&mut lanes)), (Some(1), Some(3), None));
        assert_eq!(lanes.refused(lane(1)), 1);
        assert_eq!(ready(&mut lanes), None, "a refused message waits");
        assert_eq!(lanes.done(lane(2)).unwrap().message.position.0, 3);
        lanes.again(lane(1));
        let (_, message, _) = lanes.take_ready().unwrap();
        assert_eq!((message.position.0, message.attempt), (1, 1));
        lanes.done(lane(1));
        assert_eq!(ready(&mut lanes), Some(2));
        let rest = lanes.take(lane(1));
        assert_eq!(rest.iter().map(|item| item.message.position.0).collect::<Vec<_>>(), [2, 4]);
        assert_eq!((lanes.len(), lanes.bytes(), ready(&mut lanes)), (0, 0, None));
    }

    #[test]
    fn the_cursor_is_the_end_of_what_is_done_without_a_gap() {
        let mut progress = Progress::new(Position(5));
        assert_eq!(progress.cursor(), Position(5));
        progress.read(Position(6), 60);
        progress.read(Position(8), 80);
        progress.read_to(Position(10));
        assert_eq!((progress.cursor(), progress.oldest_at_ms()), (Position(6), Some(60)));
        progress.done(Position(8));
        assert_eq!(progress.cursor(), Position(6));
        progress.done(Position(6));
        assert_eq!((progress.cursor(), progress.oldest_at_ms()), (Position(10), None));
    }
}
