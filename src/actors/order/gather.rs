//! What the store asks an order actor for: the orders that durable events touched, as they stand now.

use tokio::sync::oneshot;

use super::actor::OrderActor;
use crate::domain::ids::{MemberId, OrderNo, Position, StockKey};
use crate::journal::encode_record;

/// A request for orders. Taken before anything else of a round, when every position is final.
#[derive(Debug)]
pub(crate) struct Gather {
    /// Which orders.
    pub(crate) numbers: Vec<OrderNo>,
    /// The checkpoint takes in everything up to here.
    pub(crate) up_to: Position,
    /// Where they go.
    pub(crate) reply: oneshot::Sender<Gathered>,
}

/// Where the store keeps an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among those that a restart brings back into memory.
    Open {
        /// Whether it has been among the closed ones, and must be taken from there.
        was_closed: bool,
    },
    /// Among those that are read when somebody asks.
    Closed {
        /// Whether it has been among the open ones, and must be taken from there.
        was_open: bool,
    },
}

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GatheredOrder {
    /// Which.
    pub(crate) order_no: OrderNo,
    /// Where its record ends in [`Gathered::bytes`].
    pub(crate) end: usize,
    /// Where it belongs.
    pub(crate) place: Place,
}

/// A member's use of one purchase limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GatheredLimit {
    /// The member.
    pub(crate) member: MemberId,
    /// Which stock.
    pub(crate) key: StockKey,
    /// Units in orders that are placed and not cancelled.
    pub(crate) used: u32,
}

/// The orders that a [`Gather`] asked for.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Their records, one after the other.
    pub(crate) bytes: Vec<u8>,
    /// What is in `bytes`.
    pub(crate) orders: Vec<GatheredOrder>,
    /// The limits of their limited lines.
    pub(crate) limits: Vec<GatheredLimit>,
    /// Everything here includes what the actor has appended up to this position, and nothing behind it: it must be
    /// durable before any of it is stored.
    pub(crate) as_of: Position,
    /// What storing them adds to the sum of the closed orders' hashes.
    pub(crate) closed_sum: u64,
    /// What storing them adds to the number of closed orders.
    pub(crate) closed_count: i64,
}

impl OrderActor {
    /// Gives the orders as they stand, and notes where the store will have them.
    pub(super) fn gather(&mut self, gather: Gather) {
        let Gather { numbers, up_to, reply } = gather;
        let mut gathered = Gathered { as_of: self.last_appended, ..Gathered::default() };
        gathered.orders.reserve(numbers.len());
        gathered.bytes.reserve(numbers.len() * 128);
        for order_no in numbers {
            let Some(index) = self.find(order_no) else {
                debug_assert!(false, "an order leaves memory only after it is stored");
                continue;
            };
            let record = self.records.get_mut(index);
            let order = &record.order;
            debug_assert!(!order.last_position.is_provisional(), "gathered before the round's own events");
            // The closed ones are complete as of the checkpoint; what was closed behind it is among the open ones until
            // the next, so that a restart finds it in memory when it replays the events between.
            let place = if order.is_at_rest() && order.last_position <= up_to {
                let hash = order.record_hash();
                let before = self.stored_closed.insert(index, hash);
                gathered.closed_sum =
                    gathered.closed_sum.wrapping_add(hash.wrapping_sub(before.unwrap_or(0)));
                gathered.closed_count += i64::from(before.is_none());
                Place::Closed { was_open: std::mem::replace(&mut record.stored_open, false) }
            } else {
                let before = self.stored_closed.remove(&index);
                gathered.closed_sum = gathered.closed_sum.wrapping_sub(before.unwrap_or(0));
                gathered.closed_count -= i64::from(before.is_some());
                record.stored_open = true;
                Place::Open { was_closed: before.is_some() }
            };
            encode_record(order, &mut gathered.bytes);
            gathered.orders.push(GatheredOrder { order_no, end: gathered.bytes.len(), place });
            let limited = order.lines.iter().filter(|line| line.limit_per_member > 0);
            let state = self.slots[order_no.slot().index()].as_deref().expect("an order is its owner's");
            gathered.limits.extend(limited.map(|line| {
                let limit = state.limits.get(&(order.member_id, line.key)).copied().unwrap_or_default();
                GatheredLimit { member: order.member_id, key: line.key, used: limit.used }
            }));
        }
        // A checkpoint that has ended meanwhile asks again after the restart.
        let _ = reply.send(gathered);
    }
}
