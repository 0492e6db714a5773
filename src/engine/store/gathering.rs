//! What a checkpoint asks the order actors for, and what their answers add up to.

use crate::actors::order::gather::{Gathered, Place};
use crate::actors::order::shell::owner_of;
use crate::domain::ids::{OrderNo, Position};
use crate::projection::store::{Checkpointer, Taken};

/// The touched orders of each of so many order actors, ascending.
pub(crate) fn by_owner(taken: &Taken, actors: usize) -> Vec<Vec<OrderNo>> {
    let mut touched = vec![Vec::new(); actors];
    for number in &taken.touched {
        touched[owner_of(number.slot(), actors)].push(*number);
    }
    touched
}

/// What a checkpoint's gathering adds up to.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    /// What was gathered includes nothing behind this position, which must be durable before it is stored.
    pub(crate) as_of: Position,
    /// Added to the sum of the closed orders' hashes.
    pub(crate) closed_sum: u64,
    /// Added to the number of closed orders.
    pub(crate) closed_count: i64,
}

impl Sums {
    /// Stages one answer.
    pub(crate) fn stage(&mut self, gathered: &Gathered, checkpointer: &mut Checkpointer) {
        let mut begin = 0;
        for order in &gathered.orders {
            let record = &gathered.bytes[begin..order.end];
            begin = order.end;
            match order.place {
                Place::Open { was_closed } => checkpointer.put_open(order.order_no, record, was_closed),
                Place::Closed { was_open } => checkpointer.put_closed(order.order_no, record, was_open),
            }
        }
        for limit in &gathered.limits {
            checkpointer.put_limit(limit.member, &limit.key, limit.used, gathered.as_of);
        }
        self.as_of = self.as_of.max(gathered.as_of);
        self.closed_sum = self.closed_sum.wrapping_add(gathered.closed_sum);
        self.closed_count += gathered.closed_count;
    }
}
