//! The order actor's logic: what it owns, and how a round of work runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hashbrown::HashMap;

use super::cold::{Load, Loaded, StoreView, WaitsForLimits};
use super::collect::Collects;
use super::evict::{ClosedOrder, DonePayment};
use super::gather::Gather;
use super::records::{OrderRecord, Records};
use super::slots::{KeyHasher, SlotState, Tables};
use super::worklist::WorkList;
use super::{OrderItem, PayRequest, Query};
use crate::actors::external::ExternalIndex;
use crate::actors::numbers::NumberLease;
use crate::actors::reply::Answer;
use crate::actors::team::TeamItem;
use crate::actors::team::index::TeamIndex;
use crate::domain::coupon::CouponChange;
use crate::domain::event::Event;
use crate::domain::ids::{CouponId, MemberId, OrderNo, PaymentId, Position, SLOTS, Slot, StockKey};
use crate::domain::order::{Decision, Order, OrderCommand, OrderStatus};
use crate::domain::refund::UnmatchedRefund;
use crate::domain::reject::Reject;
use crate::journal::EntryBuffer;
use crate::runtime::recent::RecentRefusals;
use crate::timer::Wheel;

/// Most questions of the store that one round answers, so that new orders don't wait for all of them.
const GATHERS_PER_ROUND: usize = 8;

/// How an order actor behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderSettings {
    /// How far a started payment moves the deadline, in ms.
    pub(crate) payment_grace_ms: u64,
    /// Most closes by timer that are appended and not durable yet.
    pub(crate) expiry_in_flight_max: usize,
    /// Most callers that wait for one request, one order or one member's limit.
    pub(crate) waiters_max: usize,
    /// How long closed orders and finished payments stay in memory, in ms.
    pub(crate) retain_closed_ms: u64,
    /// Most closed orders that stay in memory for that long.
    pub(crate) closed_hot_max: usize,
    /// How long after its last package the buyer counts as having an order, in ms.
    pub(crate) auto_confirm_ms: u64,
}

/// What all order actors share.
pub(crate) struct OrderShared {
    /// Hashes the keys of in-memory tables.
    pub(crate) hasher: KeyHasher,
    /// Recent refusals, so that a delayed retry gets the first answer (R8).
    pub(crate) refusals: RecentRefusals,
    /// External numbers.
    pub(crate) external: ExternalIndex,
    /// The reserved range of order numbers.
    pub(crate) lease: NumberLease,
    /// Teams, as the front door knows them.
    pub(crate) teams: TeamIndex,
    /// The store, where there is one.
    pub(crate) store: Option<Arc<StoreView>>,
}

/// What a stock actor is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StockEffect {
    /// Ask for units on behalf of a collection.
    Hold {
        /// Which.
        collect: u32,
    },
    /// A team comes into being with so many seats.
    Open,
    /// Seats that came into being belong to the order that opened them.
    Seize,
    /// Held units belong to a placed order.
    Settle,
    /// Held units are not needed.
    GiveBack,
    /// Reserved units are free.
    Release,
    /// Reserved units are sold.
    Sell,
    /// Sold units are free: they were refunded, and go back on sale.
    TakeBack,
}

/// What a round leaves to be done, in this order: announce at the gauges what comes back to stock; append the entries;
/// tell the stock actors and other order actors; answer.
#[derive(Default)]
pub(crate) struct OrderEffects {
    /// Entries for the journal.
    pub(crate) entries: EntryBuffer,
    /// Messages to stock actors: key, units, what.
    pub(crate) stock: Vec<(StockKey, u32, StockEffect)>,
    /// Messages to the team actor.
    pub(crate) teams: Vec<TeamItem>,
    /// Messages to the owners of other slots.
    pub(crate) routed: Vec<(Slot, OrderItem)>,
    /// Answers that must wait until everything appended so far is durable (R4).
    pub(crate) durable_answers: Vec<Answer>,
    /// Answers that depend on nothing a crash could take back.
    pub(crate) answers: Vec<Answer>,
    /// Questions to the store.
    pub(crate) loads: Vec<Load>,
    /// What went wrong so badly that the engine must not go on (R13).
    pub(crate) failure: Option<&'static str>,
}

impl OrderEffects {
    /// Answers a question at once if what it shows is durable, and otherwise once it is (R4).
    pub(super) fn show(&mut self, answer: Answer, is_durable: bool) {
        if is_durable {
            self.answers.push(answer);
        } else {
            self.durable_answers.push(answer);
        }
    }
}

/// Counters of one order actor, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OrderCounts {
    /// Orders in memory.
    pub(crate) orders: u64,
    /// Orders that are neither completed nor cancelled.
    pub(crate) open: u64,
    /// Orders placed by this run.
    pub(crate) accepted: u64,
    /// Submissions refused as sold out, at the actor.
    pub(crate) sold_out: u64,
    /// Submissions refused for a limit.
    pub(crate) limited: u64,
    /// Retries that got the first answer.
    pub(crate) duplicates: u64,
    /// Orders closed by their timer.
    pub(crate) expired: u64,
    /// Timers pending.
    pub(crate) timers: u64,
    /// Orders that are collecting their lines.
    pub(crate) collecting: u64,
    /// Closed orders that left memory.
    pub(crate) evicted: u64,
    /// How late the latest of the timers that fired were, at most, in ms.
    pub(crate) expiry_lag_ms: u64,
    /// Since when the oldest refund is on the work list, in ms since the Unix epoch; 0 without one.
    pub(crate) refund_since_ms: u64,
}

/// The owner of a range of slots.
pub(crate) struct OrderActor {
    pub(super) settings: OrderSettings,
    pub(super) shared: Arc<OrderShared>,
    pub(super) tables: Tables,
    pub(super) slots: Vec<Option<Box<SlotState>>>,
    pub(super) records: Records,
    pub(super) collects: Collects,
    pub(super) wheel: Wheel<u32>,
    /// Orders changed in this round, whose positions are provisional until the append.
    pub(super) touched: Vec<u32>,
    /// Orders with an external number that were placed in this round.
    pub(super) named: Vec<u32>,
    /// Coupons changed in this round, whose positions are provisional until the append.
    pub(super) touched_coupons: Vec<(MemberId, CouponId)>,
    /// Coupons in memory, by the instant at which to look whether they can leave.
    pub(super) coupon_ends: BTreeSet<(u64, MemberId, CouponId)>,
    /// Closes by timer that may not be durable yet: the last position of each round's, and how many.
    pub(super) expiring: VecDeque<(Position, usize)>,
    pub(super) expired_in_round: usize,
    /// Closed orders that the store may have and memory still has, in the order of their closing.
    pub(super) closed: VecDeque<ClosedOrder>,
    /// Hash of every closed order in memory as the store has it, by index.
    pub(super) stored_closed: HashMap<u32, u64>,
    /// Payments in memory whose outcome is known, in the order in which it became known.
    pub(super) done_payments: VecDeque<DonePayment>,
    /// Refunds that somebody has to do something about.
    pub(super) work: WorkList,
    /// Refunds of payments that are for no order, finished ones included.
    pub(super) unmatched: BTreeMap<PaymentId, UnmatchedRefund>,
    pub(super) more_to_leave: bool,
    /// Sum of the hashes of everything that has left memory (R7).
    pub(super) left_sum: u64,
    /// Questions of the store that wait for a round.
    pub(super) gathers: VecDeque<Gather>,
    /// What waits for its order to come from the store.
    pub(super) loading_orders: HashMap<OrderNo, Vec<OrderItem>>,
    /// What waits for its payment to come from the store.
    pub(super) loading_payments: HashMap<PaymentId, Vec<PayRequest>>,
    /// What waits for a member's limits to come from the store, by ticket.
    pub(super) loading_limits: HashMap<u64, (MemberId, Vec<StockKey>, WaitsForLimits)>,
    pub(super) limits_ticket: u64,
    /// Position of the last order event that this actor has appended or recovered.
    pub(super) last_appended: Position,
    pub(super) fired: Vec<(u64, u32)>,
    pub(super) counts: OrderCounts,
    pub(super) poisoned: bool,
}

impl OrderActor {
    /// An owner of the slots for which `owns` says so, with nothing in them.
    pub(crate) fn new(
        settings: OrderSettings,
        shared: Arc<OrderShared>,
        now_ms: u64,
        owns: impl Fn(Slot) -> bool,
    ) -> Self {
        let slots =
            (0..SLOTS).filter_map(Slot::from_index).map(|slot| owns(slot).then(Box::default)).collect();
        Self {
            settings,
            tables: Tables::new(shared.hasher),
            shared,
            slots,
            records: Records::default(),
            collects: Collects::default(),
            wheel: Wheel::new(now_ms),
            touched: Vec::new(),
            named: Vec::new(),
            touched_coupons: Vec::new(),
            coupon_ends: BTreeSet::new(),
            expiring: VecDeque::new(),
            expired_in_round: 0,
            closed: VecDeque::new(),
            stored_closed: HashMap::new(),
            done_payments: VecDeque::new(),
            work: WorkList::default(),
            unmatched: BTreeMap::new(),
            more_to_leave: false,
            left_sum: 0,
            gathers: VecDeque::new(),
            loading_orders: HashMap::new(),
            loading_payments: HashMap::new(),
            loading_limits: HashMap::new(),
            limits_ticket: 0,
            last_appended: Position(0),
            fired: Vec::new(),
            counts: OrderCounts::default(),
            poisoned: false,
        }
    }

    /// Does one round of work. Everything up to `acknowledged` may be shown at once.
    pub(crate) fn on_batch(
        &mut self,
        items: &mut Vec<OrderItem>,
        now_ms: u64,
        acknowledged: Position,
        effects: &mut OrderEffects,
    ) {
        // First of all: every position in memory is final at this moment, and none is once the round has begun.
        for item in items.extract_if(.., |item| matches!(item, OrderItem::Gather(_))) {
            if let OrderItem::Gather(gather) = item {
                self.gathers.push_back(gather);
            }
        }
        for _ in 0..GATHERS_PER_ROUND {
            match self.gathers.pop_front() {
                Some(gather) if !self.poisoned => self.gather(gather),
                Some(_) => {}
                None => break,
            }
        }
        for item in items.drain(..) {
            match item {
                // What is durable can still be read (R13).
                OrderItem::Query(query) if self.poisoned => self.query(query, acknowledged, effects),
                OrderItem::Loaded(loaded) if self.poisoned && matches!(*loaded, Loaded::OrdersOf { .. }) => {
                    self.loaded(*loaded, now_ms, acknowledged, effects);
                }
                // Dropped, and so answered with `outcome_unknown`.
                _ if self.poisoned => {}
                item => self.on_item(item, now_ms, acknowledged, effects),
            }
        }
        if !self.poisoned {
            self.expire(now_ms, acknowledged, effects);
            self.leave(now_ms);
        }
    }

    pub(super) fn on_item(
        &mut self,
        item: OrderItem,
        now_ms: u64,
        acknowledged: Position,
        effects: &mut OrderEffects,
    ) {
        match item {
            OrderItem::Submit(admitted) => self.submit(admitted, now_ms, effects),
            OrderItem::SubmitBatch(batch) => {
                for admitted in &batch {
                    self.tables.warm(admitted.request_hash, admitted.member_id);
                }
                for admitted in batch {
                    self.submit(admitted, now_ms, effects);
                }
            }
            OrderItem::Recall(recall, reply) => self.recall(*recall, reply, effects),
            OrderItem::ImportLimit(request) => self.import_limit(*request, now_ms, effects),
            OrderItem::IssueCoupon(request) => self.issue_coupon(request, now_ms, effects),
            OrderItem::Held(results) => {
                self.warm_held(&results);
                for result in results {
                    self.on_held(result, now_ms, effects);
                }
            }
            OrderItem::Command(request) => self.command(request, now_ms, effects),
            OrderItem::Pay(request) => self.check_payment(request, effects),
            OrderItem::ReceivePayment(request) => self.receive_payment(*request, now_ms, effects),
            OrderItem::ApplyPayment(payment) => self.apply_payment(payment, now_ms, effects),
            OrderItem::TeamSays { payment, may_begin } => {
                self.team_says(payment, may_begin, now_ms, effects);
            }
            OrderItem::TeamSettled { order_no, state } => {
                self.team_settled(order_no, state, now_ms, effects);
            }
            OrderItem::PaymentDone { payment, result, position } => {
                self.finish_payment(payment, result, effects);
                self.note_paid(payment, position, now_ms);
            }
            OrderItem::StepRefund(request) => self.step_unmatched(*request, now_ms, effects),
            OrderItem::Loaded(loaded) => self.loaded(*loaded, now_ms, acknowledged, effects),
            OrderItem::Query(query) => self.query(query, acknowledged, effects),
            // Gathering comes before everything else.
            OrderItem::Tick | OrderItem::Gather(_) => {}
            OrderItem::Poisoned => {
                self.poisoned = true;
                self.collects.abandon();
                self.loading_orders.clear();
                self.loading_payments.clear();
                self.loading_limits.clear();
                for slot in self.slots.iter_mut().flatten() {
                    slot.payments.values_mut().for_each(|payment| payment.waiting.clear());
                }
            }
            #[cfg(test)]
            OrderItem::Panic => panic!("asked to panic"),
        }
    }

    /// The entries of the last round stand in the journal from `first` on.
    pub(crate) fn appended(&mut self, first: Position) {
        let mut last = Position(0);
        for index in self.touched.drain(..) {
            let order = &mut self.records.get_mut(index).order;
            order.settle_positions(first);
            last = last.max(order.last_position);
        }
        for index in self.named.drain(..) {
            // Not before the append: another actor that finds the number taken waits for what is appended (R4).
            let order = &self.records.get(index).order;
            if let Some(external_no) = order.external_no() {
                self.shared.external.assign(external_no, order.order_no);
            }
        }
        if !self.touched_coupons.is_empty() {
            self.settle_coupons(first);
        }
        self.last_appended = self.last_appended.max(last);
        let expired = std::mem::take(&mut self.expired_in_round);
        if expired > 0 {
            self.expiring.push_back((last, expired));
        }
    }

    /// The state is that of the whole journal, whose last position is `last`.
    pub(crate) fn recovered_up_to(&mut self, last: Position) {
        self.last_appended = last;
    }

    /// The counters as they stand.
    pub(crate) fn counts(&self) -> OrderCounts {
        OrderCounts {
            orders: self.records.len() as u64,
            timers: self.wheel.len() as u64,
            collecting: self.collects.len() as u64,
            refund_since_ms: self.work.oldest_since_ms().unwrap_or(0),
            ..self.counts
        }
    }

    /// The state of a slot.
    ///
    /// # Panics
    /// If another actor owns it: an item was sent to the wrong one.
    pub(super) fn slot(&mut self, slot: Slot) -> &mut SlotState {
        self.slots[slot.index()].as_deref_mut().expect("items go to the owner of their slot")
    }

    /// The index of an order.
    pub(super) fn find(&self, order_no: OrderNo) -> Option<u32> {
        self.tables.find_number(order_no)
    }

    /// Enters an order that has just been placed, or recovered, into the tables. Gives its index.
    pub(super) fn enter(&mut self, order: Order) -> u32 {
        if !order.is_closed() {
            self.counts.open += 1;
        }
        let has_work = order.has_unfinished_refund();
        let index = self.records.push(OrderRecord::new(order));
        self.tables.index_order(index, true, &mut self.records);
        if has_work {
            self.list_refunds(index);
        }
        index
    }

    /// Decides a command that nobody waits for, and records what it comes to; refused, it changes nothing.
    pub(super) fn decide_and_record(
        &mut self,
        index: u32,
        command: &OrderCommand,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        if let Ok(Decision::Events(events)) = self.records.get(index).order.decide(command, now_ms) {
            self.record(index, &events, effects);
        }
    }

    /// Journals what an order's command came to, applies it, and notes what follows from it.
    pub(super) fn record(&mut self, index: u32, events: &[Event], effects: &mut OrderEffects) {
        let had_work = self.records.get(index).order.has_unfinished_refund();
        if had_work {
            self.unlist_refunds(index);
        }
        let record = self.records.get_mut(index);
        let before = record.order.status;
        let before_deadline = record.order.deadline_ms;
        let first = effects.entries.event_count();
        for (nth, event) in (first..).zip(events) {
            record.order.apply(event, Position::provisional(nth));
        }
        let after = record.order.status;
        if record.order.extra.coupons().is_empty() {
            effects.entries.push(events);
        } else {
            let mut events = events.to_vec();
            let changes = CouponChange::of(before, after, record.order.close_reason);
            self.move_coupons(index, changes, now_ms_of(&events), first, &mut events);
            effects.entries.push(&events);
        }
        self.touched.push(index);

        let record = self.records.get_mut(index);
        let order = &record.order;
        let mut tell = |what| {
            effects.stock.extend(order.lines.iter().map(|line| (line.key, line.quantity, what)));
        };
        match (before, after) {
            (OrderStatus::Pending, OrderStatus::Cancelled) => tell(StockEffect::Release),
            (OrderStatus::Pending, OrderStatus::Paid) => tell(StockEffect::Sell),
            (OrderStatus::Cancelled, OrderStatus::Paid) => {
                tell(StockEffect::Settle);
                tell(StockEffect::Sell);
            }
            _ => {}
        }
        for event in events {
            if let Event::Order { what, .. } = event {
                let restocked = what.restocked().iter();
                effects.stock.extend(restocked.map(|unit| (unit.key, unit.quantity, StockEffect::TakeBack)));
            }
        }
        if order.extra.terms.is_some() {
            Self::report_membership(order, before, effects);
            Self::pay_with_nothing(order, events, effects);
        }
        let has_work = order.has_unfinished_refund();
        let (was_at_rest, is_at_rest) = (is_closed(before) && !had_work, is_closed(after) && !has_work);

        if before == OrderStatus::Pending && after != OrderStatus::Pending {
            self.wheel.cancel(record.timer);
        } else if after == OrderStatus::Pending && order.deadline_ms != before_deadline {
            self.wheel.cancel(record.timer);
            record.timer = self.wheel.arm(order.deadline_ms, index);
        }
        if before == OrderStatus::Shipped || after == OrderStatus::Shipped {
            self.arm_confirmation(index);
        }
        if has_work {
            self.list_refunds(index);
        }
        self.count_status(before, after);
        self.count_limits(index, before, after);
        if is_at_rest && !was_at_rest {
            self.note_closed(index, now_ms_of(events));
        }
    }

    /// The index of an order that `caller` may see.
    pub(super) fn find_for(
        &self,
        order_no: OrderNo,
        caller: crate::domain::request::Caller,
    ) -> Result<u32, Reject> {
        // R14: another member's order answers exactly as one that does not exist.
        self.find(order_no)
            .filter(|index| caller.may_see(self.records.get(*index).order.member_id))
            .ok_or(Reject::OrderNotFound)
    }

    pub(super) fn count_status(&mut self, before: OrderStatus, after: OrderStatus) {
        match (is_closed(before), is_closed(after)) {
            (false, true) => self.counts.open -= 1,
            (true, false) => self.counts.open += 1,
            (true, true) | (false, false) => {}
        }
    }

    fn query(&mut self, query: Query, acknowledged: Position, effects: &mut OrderEffects) {
        super::query::answer(self, query, acknowledged, effects);
    }
}

fn is_closed(status: OrderStatus) -> bool {
    matches!(status, OrderStatus::Completed | OrderStatus::Cancelled)
}

/// When the last of these happened, in ms since the Unix epoch.
fn now_ms_of(events: &[Event]) -> u64 {
    events.last().map_or(0, Event::at_ms)
}
