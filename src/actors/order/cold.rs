//! Orders, payments and requests that have left memory: what is asked of the store, and what is done with its answers.
//!
//! An order actor never waits for the store. It hands a [`Load`] over, lets what needs the answer wait, and goes on;
//! the answer comes back as a [`Loaded`] item. Something that is not in memory when the question is asked has either
//! never been there or is in the store already, since nothing leaves before it is stored; so an answer can't be
//! overtaken by what it is about.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::actor::{OrderActor, OrderEffects};
use super::collect::{Collect, Purpose};
use super::imports::LimitRequest;
use super::limits::limited_keys;
use super::records::OrderRecord;
use super::slots::PaymentRecord;
use super::{OrderItem, PayRequest, Query, Recall};
use crate::actors::reply::{Answer, Receipt, Reply, SubmitReply};
use crate::domain::hash::{RecordHasher, hash128, mix64};
use crate::domain::ids::{MemberId, OrderNo, PaymentId, Position, RequestId, StockKey};
use crate::domain::order::{Order, SettledPayment};
use crate::domain::reject::Reject;
use crate::domain::request::Caller;
use crate::runtime::filter::RotatingFilter;

/// What the order actors know about the store.
#[derive(Debug)]
pub(crate) struct StoreView {
    stored: AtomicU64,
    /// Requests whose orders have left memory, for the idempotency window.
    requests: RotatingFilter,
    /// Payments and external numbers that have left memory. Never rotated: it only costs look-ups when it fills up.
    names: RotatingFilter,
    names_seed: u64,
    /// Set until both filters know what earlier runs have stored; everything may be in the store until then.
    warming: AtomicBool,
}

impl StoreView {
    /// A view of a store that has taken in everything up to `stored`. Filters have so many bits in each generation;
    /// the seed keeps others from aiming names at one word of them.
    pub(crate) fn new(stored: Position, filter_bits: u64, names_seed: u64) -> Self {
        Self {
            stored: AtomicU64::new(stored.0),
            requests: RotatingFilter::new(filter_bits),
            names: RotatingFilter::new(filter_bits),
            names_seed,
            warming: AtomicBool::new(true),
        }
    }

    /// Everything up to here is in the store.
    pub(crate) fn stored(&self) -> Position {
        Position(self.stored.load(Ordering::Acquire))
    }

    /// The store has taken in everything up to `position`.
    pub(crate) fn publish(&self, position: Position) {
        self.stored.store(position.0, Ordering::Release);
    }

    /// The filters know what earlier runs have stored.
    pub(crate) fn finish_warming(&self) {
        self.warming.store(false, Ordering::Release);
    }

    /// Whether the filters still have to be filled with what earlier runs have stored.
    pub(crate) fn is_warming(&self) -> bool {
        self.warming.load(Ordering::Acquire)
    }

    /// Forgets requests of the generation before the last.
    pub(crate) fn rotate_requests(&self) {
        self.requests.rotate();
    }

    /// A request's order is to be found in the store.
    pub(crate) fn add_request(&self, request_hash: u64) {
        self.requests.insert(request_hash);
    }

    /// A payment is to be found in the store.
    pub(crate) fn add_payment(&self, payment: PaymentId) {
        self.names.insert(self.payment_hash(payment));
    }

    /// A member's use of a limit is to be found in the store.
    pub(crate) fn add_limit(&self, member: MemberId, key: &StockKey) {
        self.names.insert(self.limit_hash(member, key));
    }

    /// An external number is to be found in the store.
    pub(crate) fn add_external(&self, external: u128) {
        self.names.insert(self.external_hash(external));
    }

    /// Whether a member's use of a limit may be in the store. Recovery has read all of them, so warming does not matter.
    pub(super) fn may_have_limit(&self, member: MemberId, key: &StockKey) -> bool {
        self.names.contains(self.limit_hash(member, key))
    }

    fn limit_hash(&self, member: MemberId, key: &StockKey) -> u64 {
        key.fold_into(RecordHasher::new(self.names_seed).word(member.0)).finish()
    }

    fn may_have_request(&self, request_hash: u64) -> bool {
        self.is_warming() || self.requests.contains(request_hash)
    }

    fn may_have_payment(&self, payment: PaymentId) -> bool {
        self.is_warming() || self.names.contains(self.payment_hash(payment))
    }

    fn may_have_external(&self, external_no: &str) -> bool {
        self.is_warming() || self.names.contains(self.external_hash(external_key(external_no)))
    }

    fn payment_hash(&self, payment: PaymentId) -> u64 {
        let [high, low] = payment.words();
        mix64(mix64(high ^ self.names_seed) ^ low)
    }

    fn external_hash(&self, external: u128) -> u64 {
        mix64(mix64((external >> 64) as u64 ^ self.names_seed.rotate_left(17)) ^ external as u64)
    }
}

/// What stands for an external number in the store and its filter: a frozen 128-bit hash.
pub(crate) fn external_key(external_no: &str) -> u128 {
    hash128(external_no.as_bytes())
}

/// What waits for a member's limits to come from the store.
#[derive(Debug)]
pub(crate) enum WaitsForLimits {
    /// An order that is back from the store itself.
    Order(Box<Order>),
    /// A figure of another system.
    Import(Box<LimitRequest>),
}

/// A question to the store.
#[derive(Debug)]
pub(crate) enum Load {
    /// An order that is to be changed.
    Order {
        /// Which.
        order_no: OrderNo,
    },
    /// An order to be shown; answered without its actor.
    ShowOrder {
        /// Which.
        order_no: OrderNo,
        /// Who asks.
        caller: Caller,
        /// Where the answer goes.
        reply: Reply<Order>,
    },
    /// A member's orders.
    OrdersOf {
        /// The member.
        member: MemberId,
        /// Only orders below this number.
        before: Option<OrderNo>,
        /// Most orders in the answer.
        len_max: usize,
        /// Those in memory, newest first, as many as fit.
        hot: Vec<Order>,
        /// Where the answer goes.
        reply: Reply<Vec<Order>>,
    },
    /// Whether a submission was placed before, and whether its external number is taken.
    Submission {
        /// Its collection.
        collect: u32,
        /// Who buys.
        member: MemberId,
        /// The client's name for the request.
        request: RequestId,
        /// The shop's number.
        external: Option<u128>,
        /// Limits of its lines that are not in memory.
        limits: Vec<StockKey>,
    },
    /// Limits that something waits for.
    Limits {
        /// What waits, see [`OrderActor::loading_limits`].
        ticket: u64,
        /// The member.
        member: MemberId,
        /// Which.
        keys: Vec<StockKey>,
    },
    /// Whether a submission that can't be placed was placed before.
    Recall {
        /// The submission.
        recall: Box<Recall>,
        /// Where the answer goes.
        reply: SubmitReply,
    },
    /// A payment.
    Payment {
        /// Which.
        payment: PaymentId,
    },
}

/// An answer of the store. [`Reject::Unavailable`] where it can't be read.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// To [`Load::Order`].
    Order {
        /// Which.
        order_no: OrderNo,
        /// The order, if there is one.
        found: Result<Option<Order>, Reject>,
    },
    /// To [`Load::OrdersOf`].
    OrdersOf {
        /// The orders, newest first.
        orders: Result<Vec<Order>, Reject>,
        /// Where the answer goes.
        reply: Reply<Vec<Order>>,
    },
    /// To [`Load::Submission`].
    Submission {
        /// Its collection.
        collect: u32,
        /// The order it was placed as, if it was.
        found: Result<Option<Order>, Reject>,
        /// Whether another order has the external number.
        external_taken: bool,
        /// The limits that were asked for, each with the units in use.
        limits: Result<Vec<(StockKey, u32)>, Reject>,
    },
    /// To [`Load::Limits`].
    Limits {
        /// What waits.
        ticket: u64,
        /// The limits, each with the units in use.
        limits: Result<Vec<(StockKey, u32)>, Reject>,
    },
    /// To [`Load::Recall`].
    Recall {
        /// The submission.
        recall: Box<Recall>,
        /// Where the answer goes.
        reply: SubmitReply,
        /// The order it was placed as, if it was.
        found: Result<Option<Order>, Reject>,
    },
    /// To [`Load::Payment`].
    Payment {
        /// Which.
        payment: PaymentId,
        /// The payment, if there is one.
        found: Result<Option<SettledPayment>, Reject>,
    },
}

impl OrderActor {
    /// Takes an answer of the store.
    pub(super) fn loaded(
        &mut self,
        loaded: Loaded,
        now_ms: u64,
        acknowledged: Position,
        effects: &mut OrderEffects,
    ) {
        match loaded {
            Loaded::Order { order_no, found } => {
                self.order_loaded(order_no, found, now_ms, acknowledged, effects)
            }
            Loaded::OrdersOf { orders, reply } => {
                let is_durable = orders
                    .as_ref()
                    .map_or(true, |orders| orders.iter().all(|order| order.last_position <= acknowledged));
                effects.show(Answer::to(reply, orders), is_durable);
            }
            Loaded::Submission { collect, found, external_taken, limits } => {
                let found = self.submission_limits_loaded(collect, limits).and(found);
                self.submission_loaded(collect, found, external_taken, now_ms, effects);
            }
            Loaded::Limits { ticket, limits } => {
                self.waited_limits_loaded(ticket, limits, now_ms, acknowledged, effects);
            }
            Loaded::Recall { recall, reply, found } => match found {
                Ok(Some(order)) => self.answer_again(&order, recall.body_hash, reply, effects),
                // Which order has its external number may not be durable yet.
                Ok(None) => effects.durable_answers.push(Answer::Submit(reply, Err(recall.refusal))),
                Err(reject) => effects.answers.push(Answer::Submit(reply, Err(reject))),
            },
            Loaded::Payment { payment, found } => self.payment_loaded(payment, found, now_ms, effects),
        }
    }

    /// Lets an item wait for its order, if that may be in the store; gives it back otherwise.
    pub(super) fn wait_for_order(
        &mut self,
        order_no: OrderNo,
        item: OrderItem,
        effects: &mut OrderEffects,
    ) -> Option<OrderItem> {
        if self.shared.store.is_none() {
            return Some(item);
        }
        let waiting = self.loading_orders.entry(order_no).or_insert_with(|| {
            effects.loads.push(Load::Order { order_no });
            Vec::new()
        });
        if waiting.len() < self.settings.waiters_max || matches!(item, OrderItem::ApplyPayment(_)) {
            waiting.push(item);
        } else {
            refuse(item, Reject::Overloaded { bound: "waiters_max", retry_after_ms: 10 }, effects);
        }
        None
    }

    /// Lets a notification wait for its payment, if that may be in the store; gives it back otherwise.
    pub(super) fn wait_for_payment(
        &mut self,
        request: PayRequest,
        effects: &mut OrderEffects,
    ) -> Option<PayRequest> {
        let Some(store) = &self.shared.store else { return Some(request) };
        let payment = request.id;
        if !self.loading_payments.contains_key(&payment) && !store.may_have_payment(payment) {
            return Some(request);
        }
        let waiting = self.loading_payments.entry(payment).or_insert_with(|| {
            effects.loads.push(Load::Payment { payment });
            Vec::new()
        });
        if waiting.len() < self.settings.waiters_max {
            waiting.push(request);
        } else {
            let reject = Reject::Overloaded { bound: "waiters_max", retry_after_ms: 10 };
            effects.answers.push(Answer::to(request.reply, Err(reject)));
        }
        None
    }

    /// Asks the store whether a collecting submission was placed before, whether its external number is taken, and for
    /// its limits. False where the store can't have any of that.
    pub(super) fn ask_for_submission(&mut self, collect: u32, effects: &mut OrderEffects) -> bool {
        let Some(store) = &self.shared.store else { return false };
        let Some(Collect { purpose: Purpose::Submit { admitted, .. }, .. }) = self.collects.get(collect)
        else {
            return false;
        };
        let external_no = admitted.extra.external_no();
        let external =
            external_no.filter(|external_no| store.may_have_external(external_no)).map(external_key);
        let needs_look = external.is_some() || store.may_have_request(admitted.request_hash);
        let (member, request) = (admitted.member_id, admitted.request_id);
        let keys = limited_keys(&admitted.lines);
        let limits = if keys.is_empty() { keys } else { self.ask_for_limits(member, keys) };
        if !needs_look && limits.is_empty() {
            return false;
        }
        if !limits.is_empty() {
            self.collects.get_mut(collect).asked_limits.clone_from(&limits);
        }
        effects.loads.push(Load::Submission { collect, member, request, external, limits });
        true
    }

    /// Lets something wait for limits that may be in the store; gives it back where none are.
    pub(super) fn wait_for_limits(
        &mut self,
        member: MemberId,
        keys: Vec<StockKey>,
        waiting: WaitsForLimits,
        effects: &mut OrderEffects,
    ) -> Option<WaitsForLimits> {
        let keys = if keys.is_empty() { keys } else { self.ask_for_limits(member, keys) };
        if keys.is_empty() {
            return Some(waiting);
        }
        self.limits_ticket += 1;
        let ticket = self.limits_ticket;
        effects.loads.push(Load::Limits { ticket, member, keys: keys.clone() });
        self.loading_limits.insert(ticket, (member, keys, waiting));
        None
    }

    /// Whether a request that is not in memory may be in the store.
    pub(super) fn may_be_stored(&self, request_hash: u64) -> bool {
        self.shared.store.as_ref().is_some_and(|store| store.may_have_request(request_hash))
    }

    /// Enters an order that comes back from the store.
    pub(super) fn enter_again(&mut self, order: Order) -> u32 {
        let hash = order.record_hash();
        let (member, request, is_closed) = (order.member_id, order.request_id, order.is_closed());
        let has_work = order.has_unfinished_refund();
        if let Some(external_no) = order.external_no() {
            self.shared.external.assign(external_no, order.order_no);
        }
        let index = self.records.push(OrderRecord::new(order));
        self.hold_limits(index);
        self.tables.index_order(index, false, &mut self.records);
        self.tables.restore_request(member, request, index);
        if !is_closed {
            self.counts.open += 1;
        }
        if has_work {
            self.list_refunds(index);
        }
        self.left_sum = self.left_sum.wrapping_sub(hash);
        self.stored_closed.insert(index, hash);
        index
    }

    /// The answer of a submission that was placed before, from the order as the store has it.
    fn answer_again(
        &mut self,
        order: &Order,
        body_hash: u64,
        reply: SubmitReply,
        effects: &mut OrderEffects,
    ) {
        self.counts.duplicates += 1;
        reply.mark_repeated();
        let result = if order.body_hash == body_hash {
            Ok(Receipt::first_of(order))
        } else {
            Err(Reject::RequestIdReused)
        };
        effects.answers.push(Answer::Submit(reply, result));
    }

    fn order_loaded(
        &mut self,
        order_no: OrderNo,
        found: Result<Option<Order>, Reject>,
        now_ms: u64,
        acknowledged: Position,
        effects: &mut OrderEffects,
    ) {
        let reject = match found {
            Ok(Some(order)) => {
                // Its limits come back with it.
                let (member, keys) = (order.member_id, limited_keys(&order.lines));
                let waiting = WaitsForLimits::Order(Box::new(order));
                if let Some(WaitsForLimits::Order(order)) =
                    self.wait_for_limits(member, keys, waiting, effects)
                {
                    self.order_is_back(*order, now_ms, acknowledged, effects);
                }
                return;
            }
            Ok(None) => Reject::OrderNotFound,
            Err(reject) => reject,
        };
        for item in self.loading_orders.remove(&order_no).unwrap_or_default() {
            refuse(item, reject, effects);
        }
    }

    fn order_is_back(
        &mut self,
        order: Order,
        now_ms: u64,
        acknowledged: Position,
        effects: &mut OrderEffects,
    ) {
        let waiting = self.loading_orders.remove(&order.order_no).unwrap_or_default();
        // Asked for before it was placed, by somebody who guessed its number, it may be in memory by now.
        if self.find(order.order_no).is_none() {
            let index = self.enter_again(order);
            self.note_closed(index, now_ms);
        }
        for item in waiting {
            self.on_item(item, now_ms, acknowledged, effects);
        }
    }

    fn submission_limits_loaded(
        &mut self,
        collect: u32,
        limits: Result<Vec<(StockKey, u32)>, Reject>,
    ) -> Result<(), Reject> {
        let Some(Collect { purpose: Purpose::Submit { admitted, .. }, .. }) = self.collects.get(collect)
        else {
            return Ok(());
        };
        let member = admitted.member_id;
        let asked = self.collects.get_mut(collect).asked_limits.clone();
        self.note_limits(member, &asked, limits)
    }

    fn note_limits(
        &mut self,
        member: MemberId,
        asked: &[StockKey],
        limits: Result<Vec<(StockKey, u32)>, Reject>,
    ) -> Result<(), Reject> {
        match limits {
            Ok(limits) => self.limits_loaded(member, &limits),
            Err(reject) => {
                self.limits_not_loaded(member, asked);
                return Err(reject);
            }
        }
        Ok(())
    }

    fn waited_limits_loaded(
        &mut self,
        ticket: u64,
        limits: Result<Vec<(StockKey, u32)>, Reject>,
        now_ms: u64,
        acknowledged: Position,
        effects: &mut OrderEffects,
    ) {
        let Some((member, keys, waiting)) = self.loading_limits.remove(&ticket) else { return };
        match (self.note_limits(member, &keys, limits), waiting) {
            (Ok(()), WaitsForLimits::Order(order)) => {
                // Those that were in memory when it asked may have left meanwhile.
                let all = limited_keys(&order.lines);
                match self.wait_for_limits(member, all, WaitsForLimits::Order(order), effects) {
                    Some(WaitsForLimits::Order(order)) => {
                        self.order_is_back(*order, now_ms, acknowledged, effects);
                    }
                    // What was loaded now stays for when the others come.
                    _ => return,
                }
            }
            (Ok(()), WaitsForLimits::Import(request)) => self.import_limit(*request, now_ms, effects),
            (Err(reject), WaitsForLimits::Order(order)) => {
                for item in self.loading_orders.remove(&order.order_no).unwrap_or_default() {
                    refuse(item, reject, effects);
                }
            }
            (Err(reject), WaitsForLimits::Import(request)) => {
                effects.answers.push(Answer::to(request.reply, Err(reject)));
            }
        }
        self.let_limits_leave(member, keys);
    }

    fn submission_loaded(
        &mut self,
        collect: u32,
        found: Result<Option<Order>, Reject>,
        external_taken: bool,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        let order = match found {
            Ok(Some(order)) => order,
            Ok(None) if external_taken => {
                return self.fail(collect, Reject::ExternalNoTaken, now_ms, effects);
            }
            Ok(None) if self.ask_for_limits_that_left(collect, effects) => return,
            Ok(None) => return self.begin_unless_refused(collect, now_ms, effects),
            Err(reject) => return self.fail(collect, reject, now_ms, effects),
        };
        let Collect { purpose, asked_limits, .. } = self.collects.remove(collect);
        let Purpose::Submit { admitted, retries } = purpose else {
            unreachable!("only a submission asks for itself")
        };
        self.let_limits_leave(admitted.member_id, asked_limits);
        self.tables.end_request(admitted.request_hash, collect);
        if let Some(external_no) = admitted.extra.external_no() {
            self.shared.external.give_back(external_no);
        }
        self.answer_again(&order, admitted.body_hash, admitted.reply, effects);
        for (reply, body_hash) in retries {
            self.answer_again(&order, body_hash, reply, effects);
        }
    }

    /// Asks for limits that were in memory when the submission first asked the store, and have left it while it waited:
    /// without them it would be weighed as the member's first. False where there are none.
    fn ask_for_limits_that_left(&mut self, collect: u32, effects: &mut OrderEffects) -> bool {
        let Some(Collect { purpose: Purpose::Submit { admitted, .. }, .. }) = self.collects.get(collect)
        else {
            return false;
        };
        let (member, request) = (admitted.member_id, admitted.request_id);
        let keys = limited_keys(&admitted.lines);
        let limits = if keys.is_empty() { keys } else { self.ask_for_limits(member, keys) };
        if limits.is_empty() {
            return false;
        }
        self.collects.get_mut(collect).asked_limits.clone_from(&limits);
        effects.loads.push(Load::Submission { collect, member, request, external: None, limits });
        true
    }

    fn payment_loaded(
        &mut self,
        payment: PaymentId,
        found: Result<Option<SettledPayment>, Reject>,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        let waiting = self.loading_payments.remove(&payment).unwrap_or_default();
        match found {
            Err(reject) => {
                for request in waiting {
                    effects.answers.push(Answer::to(request.reply, Err(reject)));
                }
                return;
            }
            Ok(None) => {}
            Ok(Some(SettledPayment { order_no, amount, result, .. })) => {
                let record = PaymentRecord { order_no, amount, result: Some(result), waiting: Vec::new() };
                self.left_sum = self.left_sum.wrapping_sub(record.record_hash(payment));
                self.slot(payment.slot()).payments.insert(payment, record);
                self.note_paid(payment, Position(0), now_ms);
            }
        }
        for request in waiting {
            self.receive_known_payment(request, now_ms, effects);
        }
    }
}

/// Sends a notification for an order that there is not to its payment's owner, who records it.
pub(super) fn route_unmatched(mut request: Box<PayRequest>, effects: &mut OrderEffects) {
    request.is_unmatched = true;
    effects.routed.push((request.id.slot(), OrderItem::ReceivePayment(request)));
}

/// Answers a waiting item that can't be done. Recorded money is not among what is refused: that its order can't be
/// read is a failure of the engine.
fn refuse(item: OrderItem, reject: Reject, effects: &mut OrderEffects) {
    match item {
        OrderItem::Command(request) => effects.answers.push(request.reply.refuse(reject)),
        // Money is never turned away for want of an order.
        OrderItem::Pay(request) if reject == Reject::OrderNotFound => route_unmatched(request, effects),
        OrderItem::Pay(request) => effects.answers.push(Answer::to(request.reply, Err(reject))),
        OrderItem::Query(Query::Order { reply, .. }) => effects.answers.push(Answer::to(reply, Err(reject))),
        _ => effects.failure = Some("the order of a recorded payment can't be read from the store"),
    }
}
