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
use crate::domain::coupon::CouponEvent;
use crate::domain::event::{Event, OrderCreated, StockUnits};
use crate::domain::ids::{AdjustmentId, MemberId, OrderNo, PaymentId, Position, Slot, StockKey};
use crate::domain::money::Money;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::refund::{RefundState, UnmatchedRefund};
use crate::domain::request::StockChange;
use crate::domain::setting::Setting;
use crate::domain::stock::StockCounters;
use crate::domain::task::TaskBook;
use crate::domain::team::TeamEvent;

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
    /// Settings, in order.
    pub(crate) settings: Vec<(u32, Setting)>,
    /// What happened to teams, in order for each.
    pub(crate) teams: Vec<TeamEvent>,
    /// Exclusive end of the reserved order numbers.
    pub(crate) numbers_until_ms: u64,
    /// Time of the latest event, in ms since the Unix epoch.
    pub(crate) latest_at_ms: u64,
    /// Purchase limits that the store has as of a later position than its checkpoint's.
    pub(crate) limits_ahead: HashMap<(MemberId, StockKey), Position>,
    /// The delay queue's tasks, of topics in these slots.
    pub(crate) tasks: TaskBook,
}

/// Reads a closed order from the store.
pub(crate) type ReadClosed<'r> = dyn Fn(OrderNo) -> Result<Option<Order>, ColdError> + 'r;

/// Why the store could not be read.
pub(crate) type ColdError = Box<dyn std::error::Error + Send + Sync>;

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

/// Why the journal can't be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// An event can't have happened where it stands.
    #[error("the event {event} at position {position} does not follow from those before it")]
    Misplaced {
        /// Where it stands.
        position: Position,
        /// Its name.
        event: &'static str,
    },
    /// The order that an event is about can't be read.
    #[error("order {order_no} can't be read from the store")]
    Unreadable {
        /// The order.
        order_no: OrderNo,
        /// Why.
        #[source]
        source: ColdError,
    },
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
        closed: &ReadClosed<'_>,
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
            Event::Order { what, .. } => {
                self.replay_step(position, &event, closed, replayed)?;
                replayed.reserve(what.restocked(), 0, -1);
            }
            Event::PaymentUnmatched { at_ms, payment, order_no, amount, order_ref, reason } => {
                self.restore_outcome(*payment, PaymentResult::RefundRequired(*reason));
                self.restore_unmatched(UnmatchedRefund {
                    payment: *payment,
                    order_no: *order_no,
                    amount: *amount,
                    since_ms: *at_ms,
                    order_ref: order_ref.clone(),
                    reason: *reason,
                    state: RefundState::Required,
                    note: None,
                });
            }
            Event::UnmatchedRefund { payment, what, .. } => {
                if !self.apply_unmatched(*payment, what) {
                    return Err(ReplayError::Misplaced { position, event: event.name() });
                }
            }
            Event::PaymentReceived { payment, order_no, amount, .. } => {
                self.restore_payment(*payment, *order_no, *amount);
            }
            Event::OrderCreated(_) => {
                let Event::OrderCreated(created) = event else { return Ok(()) };
                return self.replay_created(position, *created, replayed);
            }
            Event::PaymentStarted { .. } | Event::OrderShipped { .. } | Event::OrderReceived { .. } => {
                self.replay_step(position, &event, closed, replayed)?;
            }
            Event::OrderPaid { payment, units, .. } => {
                self.replay_step(position, &event, closed, replayed)?;
                replayed.reserve(units, -1, 1);
                replayed.outcomes.push((*payment, PaymentResult::Paid));
            }
            Event::OrderClosed { units, .. } => {
                self.replay_step(position, &event, closed, replayed)?;
                replayed.reserve(units, -1, 0);
            }
            Event::OrderRevived { units, .. } => {
                self.replay_step(position, &event, closed, replayed)?;
                replayed.reserve(units, 1, 0);
            }
            Event::RefundRequired { payment, reason, .. } => {
                self.replay_step(position, &event, closed, replayed)?;
                if reason.is_outcome() {
                    replayed.outcomes.push((*payment, PaymentResult::RefundRequired(*reason)));
                }
            }
            Event::LimitImported { member_id, key, used, .. } => {
                self.restore_elsewhere(*member_id, *key, *used);
            }
            Event::SettingPut { revision, setting, .. } => {
                replayed.settings.push((*revision, Setting::clone(setting)));
            }
            Event::StockTransferred { transfer_id, from, to, units, .. } => {
                // Bounded by what a key may hold, so the conversion can't fail.
                let delta = i64::try_from(*units).unwrap_or(i64::MAX);
                replayed.stock.entry(*from).or_default().total -= delta;
                replayed.stock.entry(*to).or_default().total += delta;
                if *transfer_id != AdjustmentId(0) {
                    let change = StockChange::Transfer { to: *to, units: *units };
                    replayed.adjustments.push((*from, *transfer_id, change));
                }
            }
            Event::Team(event) => {
                if let TeamEvent::Opened { team, activity, size, .. } = event {
                    let seats = StockKey::seats(*activity, *team);
                    replayed.stock.entry(seats).or_default().total += i64::from(*size);
                }
                replayed.teams.push(*event);
            }
            Event::Task(event) => replayed.tasks.apply(event),
            Event::Coupon(coupon) => {
                if !self.replay_coupon(position, coupon) {
                    return Err(ReplayError::Misplaced { position, event: event.name() });
                }
                if let CouponEvent::Issued { step } = **coupon {
                    replayed.stock.entry(StockKey::coupons(step.coupon.terms())).or_default().sold += 1;
                }
            }
            // Nothing is decided from it, so nobody keeps it in memory.
            Event::OperatorActed(_) => {}
        }
        Ok(())
    }

    /// Notes a payment's outcome that another worker found.
    pub(crate) fn restore_outcome(&mut self, payment: PaymentId, result: PaymentResult) {
        if let Some(record) = self.slot(payment.slot()).payments.get_mut(&payment) {
            record.result = Some(result);
        }
    }

    /// Enters a payment without an outcome.
    pub(crate) fn restore_payment(&mut self, payment: PaymentId, order_no: OrderNo, amount: Money) {
        let record = PaymentRecord { order_no, amount, result: None, waiting: Vec::new() };
        self.slot(payment.slot()).payments.insert(payment, record);
    }

    /// Enters an order that the store has among the open ones; those of a slot come in the order of their numbers.
    pub(crate) fn restore_open(&mut self, order: Order) {
        if let Some(external_no) = order.external_no() {
            self.shared.external.assign(external_no, order.order_no);
        }
        let (member, request, is_at_rest) = (order.member_id, order.request_id, order.is_at_rest());
        let index = self.enter(order);
        self.tables.restore_request(member, request, index);
        self.hold_limits(index);
        self.records.get_mut(index).stored_open = true;
        if is_at_rest {
            self.note_closed(index, 0);
        }
    }

    /// Enters a member's use of a purchase limit.
    pub(crate) fn restore_limit(&mut self, member: MemberId, key: StockKey, used: u32) {
        if used > 0 {
            self.slot(Slot::of_member(member)).limits.entry((member, key)).or_default().used = used;
        }
    }

    /// What is in the store and not in memory adds so much to the state hash.
    pub(crate) fn restore_left_sum(&mut self, sum: u64) {
        self.left_sum = self.left_sum.wrapping_add(sum);
    }

    /// Finished payments and closed orders that recovery has found leave some time later.
    pub(crate) fn note_recovered(&mut self, last: Position, now_ms: u64) {
        self.recovered_up_to(last);
        self.let_all_limits_leave();
        let done: Vec<_> = self.slots.iter().flatten().flat_map(|slot| &slot.payments).collect();
        let mut done: Vec<_> = done
            .into_iter()
            .filter(|(_, record)| record.result.is_some())
            .map(|(payment, _)| *payment)
            .collect();
        // A hash table's order is not the run's.
        done.sort_unstable();
        for payment in done {
            self.note_paid(payment, last, now_ms);
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
            .map(|(payment, record)| AppliedPayment::new(*payment, record.order_no, record.amount))
            .collect();
        // A hash table's order is not the run's.
        unresolved.sort_by_key(|applied| applied.payment);
        unresolved
    }

    /// Arms the timers of all unpaid orders, and of shipped ones. Those that fell due while the engine was down wait `recovery_grace_ms`
    /// longer, so that their payments come first (R10).
    pub(crate) fn arm_timers(&mut self, now_ms: u64, recovery_grace_ms: u64) {
        for index in 0..self.records.index_end() {
            if !self.records.contains(index) {
                continue;
            }
            let auto_confirm_ms = self.settings.auto_confirm_ms;
            let record = self.records.get_mut(index);
            let deadline_ms = match record.order.status {
                OrderStatus::Pending => Some(record.order.deadline_ms),
                _ => record.order.confirm_due_ms(auto_confirm_ms),
            };
            let Some(deadline_ms) = deadline_ms else { continue };
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
        if !self.tables.may_give(created.order_no) {
            // Numbers of a slot increase, unless they were promised; one that doesn't was given twice.
            return Err(ReplayError::Misplaced { position, event: "OrderCreated" });
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
            state.limits.entry((order.member_id, line.key)).or_default().orders += 1;
            let ahead = replayed.limits_ahead.get(&(order.member_id, line.key));
            if ahead.is_some_and(|as_of| position <= *as_of) {
                continue;
            }
            state.limits.entry((order.member_id, line.key)).or_default().used += line.quantity;
        }
        Ok(())
    }

    fn replay_step(
        &mut self,
        position: Position,
        event: &Event,
        closed: &ReadClosed<'_>,
        replayed: &Replayed,
    ) -> Result<(), ReplayError> {
        let misplaced = || ReplayError::Misplaced { position, event: event.name() };
        let (order_no, version) = event.order_version().ok_or_else(misplaced)?;
        let index = match self.find(order_no) {
            Some(index) => index,
            None => {
                let read = closed(order_no);
                let order = read.map_err(|source| ReplayError::Unreadable { order_no, source })?;
                let index = self.enter_again(order.ok_or_else(misplaced)?);
                self.note_closed(index, 0);
                index
            }
        };
        let record = self.records.get_mut(index);
        debug_assert_eq!(record.reviving, NONE, "nothing is being decided during replay");
        if position <= record.order.last_position {
            // The store has it as it was after this event.
            return Ok(());
        }
        if record.order.version + 1 != version {
            return Err(misplaced());
        }
        let before = record.order.status;
        let (was_at_rest, had_work) = (record.order.is_at_rest(), record.order.has_unfinished_refund());
        if had_work {
            self.unlist_refunds(index);
        }
        let record = self.records.get_mut(index);
        record.order.apply(event, position);
        let after = record.order.status;
        let (is_at_rest, has_work) = (record.order.is_at_rest(), record.order.has_unfinished_refund());
        if has_work {
            self.list_refunds(index);
        }
        self.count_status(before, after);
        self.count_limits_where(index, before, after, |member, key| {
            replayed.limits_ahead.get(&(member, key)).is_none_or(|as_of| position > *as_of)
        });
        if is_at_rest && !was_at_rest {
            self.note_closed(index, event.at_ms());
        }
        Ok(())
    }
}
