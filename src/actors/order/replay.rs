//! Replay: an order actor's state from the journal, by the same `apply` that runs live (R7).
//!
//! Each event carries what its owners need, so replay reads no other owner's state: workers go through the journal
//! side by side, each taking the entries of its own slots, and what belongs elsewhere is summed up and handed over.

use hashbrown::HashMap;

use super::actor::OrderActor;
use super::records::NONE;
use super::slots::PaymentRecord;
use super::{AppliedPayment, PaymentResult};
use crate::domain::catalogue::Sku;
use crate::domain::event::{Event, OrderCreated, StockUnits};
use crate::domain::ids::{AdjustmentId, PaymentId, Position, StockKey};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::request::StockChange;
use crate::domain::stock::StockCounters;

/// What replayed events add to one stock key. Sums don't depend on the order of their parts, so every worker keeps
/// its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StockDelta {
    /// Units added to the total.
    pub(crate) total: i64,
    /// Units added to what is reserved.
    pub(crate) reserved: i64,
    /// Units added to what is sold.
    pub(crate) sold: i64,
}

/// What one worker found for owners other than its order actor.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// Events applied.
    pub(crate) events: u64,
    /// Stock, by key.
    pub(crate) stock: HashMap<StockKey, StockDelta>,
    /// Adjustments of stock.
    pub(crate) adjustments: Vec<(StockKey, AdjustmentId, StockChange)>,
    /// Outcomes of payments.
    pub(crate) outcomes: Vec<(PaymentId, PaymentResult)>,
    /// Catalogue revisions, in order.
    pub(crate) skus: Vec<(u32, Sku)>,
    /// Exclusive end of the reserved order numbers.
    pub(crate) numbers_until_ms: u64,
    /// Time of the latest event, in ms since the Unix epoch.
    pub(crate) latest_at_ms: u64,
}

impl StockDelta {
    /// Adds what another worker found.
    pub(crate) fn add(&mut self, other: Self) {
        self.total += other.total;
        self.reserved += other.reserved;
        self.sold += other.sold;
    }

    /// The counters that a key's whole history adds up to; `None` where one would be negative.
    pub(crate) fn counters(self) -> Option<StockCounters> {
        let units = |value: i64| u64::try_from(value).ok();
        Some(StockCounters {
            total: units(self.total)?,
            available: units(self.total - self.reserved - self.sold)?,
            held: 0,
            reserved: units(self.reserved)?,
            sold: units(self.sold)?,
        })
    }
}

impl Replayed {
    fn reserve(&mut self, units: &[StockUnits], reserved: i64, sold: i64) {
        for StockUnits { key, quantity } in units {
            let delta = self.stock.entry(*key).or_default();
            delta.reserved += reserved * i64::from(*quantity);
            delta.sold += sold * i64::from(*quantity);
        }
    }
}

/// An event that can't have happened where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event {event} at position {position} does not follow from those before it")]
pub struct ReplayError {
    /// Where it stands.
    pub position: Position,
    /// Its name.
    pub event: &'static str,
}

impl OrderActor {
    /// Applies one event of an entry that belongs to this actor's slots.
    ///
    /// # Errors
    /// If it names an order that doesn't exist, or not in the version before it: the journal is not one that this
    /// engine wrote.
    pub(crate) fn replay(
        &mut self,
        position: Position,
        event: Event,
        replayed: &mut Replayed,
    ) -> Result<(), ReplayError> {
        replayed.events += 1;
        replayed.latest_at_ms = replayed.latest_at_ms.max(event.at_ms());
        match &event {
            Event::NumbersReserved { until_ms, .. } => {
                replayed.numbers_until_ms = replayed.numbers_until_ms.max(*until_ms);
            }
            Event::SkuPut { revision, sku, .. } => replayed.skus.push((*revision, Sku::clone(sku))),
            Event::StockAdjusted { key, adjustment_id, change, delta, .. } => {
                replayed.stock.entry(*key).or_default().total += delta;
                replayed.adjustments.push((*key, *adjustment_id, *change));
            }
            Event::PaymentReceived { payment, order_no, amount, .. } => {
                let record =
                    PaymentRecord { order_no: *order_no, amount: *amount, result: None, waiting: Vec::new() };
                self.slot(payment.slot()).payments.insert(*payment, record);
            }
            Event::OrderCreated(_) => {
                let Event::OrderCreated(created) = event else { return Ok(()) };
                return self.replay_created(position, *created, replayed);
            }
            Event::PaymentStarted { .. } | Event::OrderShipped { .. } | Event::OrderReceived { .. } => {
                self.replay_step(position, &event)?;
            }
            Event::OrderPaid { payment, units, .. } => {
                self.replay_step(position, &event)?;
                replayed.reserve(units, -1, 1);
                replayed.outcomes.push((*payment, PaymentResult::Paid));
            }
            Event::OrderClosed { units, .. } => {
                self.replay_step(position, &event)?;
                replayed.reserve(units, -1, 0);
            }
            Event::OrderRevived { units, .. } => {
                self.replay_step(position, &event)?;
                replayed.reserve(units, 1, 0);
            }
            Event::RefundRequired { payment, reason, .. } => {
                self.replay_step(position, &event)?;
                replayed.outcomes.push((*payment, PaymentResult::RefundRequired(*reason)));
            }
        }
        Ok(())
    }

    /// Notes a payment's outcome that another worker found.
    pub(crate) fn restore_outcome(&mut self, payment: PaymentId, result: PaymentResult) {
        if let Some(record) = self.slot(payment.slot()).payments.get_mut(&payment) {
            record.result = Some(result);
        }
    }

    /// Payments that were recorded and have no outcome: recovery completes them.
    pub(crate) fn unresolved_payments(&self) -> Vec<AppliedPayment> {
        let mut unresolved: Vec<_> = self
            .slots
            .iter()
            .flatten()
            .flat_map(|slot| &slot.payments)
            .filter(|(_, record)| record.result.is_none())
            .map(|(payment, record)| AppliedPayment {
                payment: *payment,
                order_no: record.order_no,
                amount: record.amount,
            })
            .collect();
        // A hash table's order is not the run's.
        unresolved.sort_by_key(|applied| applied.payment);
        unresolved
    }

    /// Arms the timers of all unpaid orders. Those that fell due while the engine was down wait `recovery_grace_ms`
    /// longer, so that their payments come first (R10).
    pub(crate) fn arm_timers(&mut self, now_ms: u64, recovery_grace_ms: u64) {
        for index in 0..self.records.len() as u32 {
            let record = self.records.get_mut(index);
            if record.order.status != OrderStatus::Pending {
                continue;
            }
            let deadline_ms = record.order.deadline_ms;
            let due_ms =
                if deadline_ms <= now_ms { now_ms.saturating_add(recovery_grace_ms) } else { deadline_ms };
            record.timer = self.wheel.arm(due_ms, index);
        }
    }

    /// Seeded hashes of all requests that were accepted, for the front door's filter.
    pub(crate) fn request_hashes(&self) -> impl Iterator<Item = u64> + '_ {
        let hasher = self.shared.hasher;
        self.records
            .iter()
            .map(move |(_, record)| hasher.request(record.order.member_id, record.order.request_id))
    }

    fn replay_created(
        &mut self,
        position: Position,
        created: OrderCreated,
        replayed: &mut Replayed,
    ) -> Result<(), ReplayError> {
        if created.order_no <= self.tables.last_number(created.order_no.slot()) {
            // Numbers of a slot increase; one that doesn't was given twice.
            return Err(ReplayError { position, event: "OrderCreated" });
        }
        for line in created.lines.iter() {
            replayed.stock.entry(line.key).or_default().reserved += i64::from(line.quantity);
        }
        let order = Order::create(created, position);
        if let Some(external_no) = order.external_no() {
            self.shared.external.assign(external_no, order.order_no);
        }
        let slot = order.order_no.slot();
        let index = self.enter(order);
        let Self { slots, records, tables, .. } = self;
        let state = slots[slot.index()].as_deref_mut().expect("replay goes to the owner of its slot");
        let order = &records.get(index).order;
        tables.restore_request(order.member_id, order.request_id, index);
        for line in order.lines.iter().filter(|line| line.limit_per_member > 0) {
            state.limits.entry((order.member_id, line.key)).or_default().used += line.quantity;
        }
        Ok(())
    }

    fn replay_step(&mut self, position: Position, event: &Event) -> Result<(), ReplayError> {
        let misplaced = || ReplayError { position, event: event.name() };
        let (order_no, version) = event.order_version().ok_or_else(misplaced)?;
        let index = self.find(order_no).ok_or_else(misplaced)?;
        let record = self.records.get_mut(index);
        debug_assert_eq!(record.reviving, NONE, "nothing is being decided during replay");
        if record.order.version + 1 != version {
            return Err(misplaced());
        }
        let before = record.order.status;
        record.order.apply(event, position);
        let after = record.order.status;
        self.count_status(before, after);
        self.count_limits(index, before, after);
        Ok(())
    }
}
