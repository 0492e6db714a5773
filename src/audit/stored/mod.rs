//! The audit of a store: adds up every record on its own, and gives the audit of the journal a state to start from.
//!
//! Open orders may be stored as they were *after* the checkpoint. Their timelines name the position of every event, so
//! each order is wound back to the checkpoint by its own timeline, and sums are compared there. What is ahead is kept
//! apart ([`Ahead`]) and compared when the journal gets there.
//!
//! It takes the decoded records from the store and no sums, and compares what they add up to with what the store says.

mod ahead;
mod compare;
mod order;

use hashbrown::{HashMap, HashSet};

use super::orders::{LineRecord, LineRecords, Standing};
use super::payments::Received;
use super::report::{Rule, StoreTally};
use super::stock::{Account, KeyIndex};
use super::verify::Progress;
use super::{Auditor, check_lines};
use crate::domain::hash::hash128;
use crate::domain::ids::{MemberId, OrderNo, PaymentId, Pool, Position, RequestId, Slot, StockKey};
use crate::domain::operator::OperatorAct;
use crate::domain::order::{Order, OrderStatus, PaymentResult, SettledPayment, payment_hash};
use crate::domain::refund::{RefundState, UnmatchedRefund};
use crate::domain::request::StockChange;
use crate::projection::store::{
    Contents, Head, Record, Shelf, StockEntry, StoreError, TaskRecord, TaskRest, TaskStand,
};

pub(super) use ahead::Ahead;
use ahead::LimitAhead;
pub(super) use compare::compare;

/// Records between two calls of the progress callback.
const PROGRESS_RECORDS: u64 = 4096;
/// A payment may be forgotten so much earlier, in ms: the clock may have gone on after the latest event.
const EXPIRY_SLACK_MS: u64 = 3_600_000;

/// How to audit a store.
pub(super) struct StoreOptions<'a> {
    /// Violations that are listed.
    pub(super) violations_kept: usize,
    /// For how long a payment is kept, in ms.
    pub(super) payment_window_ms: u64,
    /// Sees every stored order.
    pub(super) on_order: Option<&'a mut dyn FnMut(&Order)>,
    /// Hears now and then how many records were read.
    pub(super) on_progress: Option<&'a mut dyn FnMut(Progress)>,
}

/// What a store adds up to.
#[derive(Debug)]
pub(super) struct Stored {
    /// The checkpoint.
    pub(super) position: Position,
    /// An auditor that knows the state at the checkpoint, with what was found wrong.
    pub(super) auditor: Auditor,
    /// What the store has from behind the checkpoint.
    pub(super) ahead: Ahead,
    /// Counts.
    pub(super) tally: StoreTally,
}

impl Stored {
    /// Reads a whole store and adds it up.
    ///
    /// # Errors
    /// [`StoreError`] where it can't be read. Everything else is a finding.
    pub(super) fn audit(contents: &Contents, options: StoreOptions<'_>) -> Result<Self, StoreError> {
        let StoreOptions { violations_kept, payment_window_ms, mut on_order, mut on_progress } = options;
        let mut report = |records| {
            if let Some(on_progress) = &mut on_progress {
                on_progress(Progress::Stored { records });
            }
        };
        let mut audit = StoreAudit::new(contents.head()?, violations_kept);
        audit.tally.bytes = contents.bytes();
        contents.each(|record| {
            if let (Some(on_order), Record::Order { order, .. }) = (&mut on_order, &record) {
                on_order(order);
            }
            audit.record(record);
            if audit.tally.records.is_multiple_of(PROGRESS_RECORDS) {
                report(audit.tally.records);
            }
        })?;
        report(audit.tally.records);
        Ok(audit.finish(payment_window_ms))
    }
}

/// A store on the way through its tables.
struct StoreAudit {
    head: Head,
    auditor: Auditor,
    ahead: Ahead,
    tally: StoreTally,
    /// What the store says of each stock key.
    stock: Vec<(StockKey, StockEntry)>,
    /// Sum of the adjustments of each key; `None` where one of them was absolute, and their order counts.
    adjusted: HashMap<StockKey, Option<i128>>,
    closed_sum: u64,
    closed_orders: u64,
    latest_at_ms: u64,
    /// Orders without an entry by member so far.
    unlisted: HashSet<OrderNo>,
    /// Hashes of external numbers without an entry so far.
    unnamed: HashMap<u128, OrderNo>,
    /// Outcomes that orders tell of, and whether the payment was seen.
    outcomes: HashMap<PaymentId, (SettledPayment, bool)>,
    limits_seen: HashSet<(MemberId, KeyIndex)>,
    /// Where tasks stand, by sequence number, that have not been read yet.
    stands: HashMap<u64, TaskStand>,
    task_rest: TaskRest,
}

impl StoreAudit {
    fn new(head: Head, violations_kept: usize) -> Self {
        let mut auditor = Auditor::with_violations_kept(violations_kept);
        auditor.orders.reserve_numbers(head.numbers_until_ms);
        Self {
            tally: StoreTally { position: head.position, ..StoreTally::default() },
            head,
            auditor,
            ahead: Ahead::default(),
            stock: Vec::new(),
            adjusted: HashMap::new(),
            closed_sum: 0,
            closed_orders: 0,
            latest_at_ms: 0,
            unlisted: HashSet::new(),
            unnamed: HashMap::new(),
            outcomes: HashMap::new(),
            limits_seen: HashSet::new(),
            stands: HashMap::new(),
            task_rest: TaskRest::default(),
        }
    }

    fn record(&mut self, record: Record) {
        self.tally.records += 1;
        self.auditor.findings.at(self.head.position);
        let findings = &mut self.auditor.findings;
        match record {
            Record::Sku { id, revision, sku } => {
                findings.check(sku.id == id, Rule::Store, || format!("sku {} is stored as sku {id}", sku.id));
                self.auditor.catalogue.put(&sku, revision, findings);
            }
            Record::Team { team, record } => self.auditor.teams.know(team, &record),
            Record::Setting { key, revision, setting } => {
                findings.check(setting.key().to_bytes()[..] == key[..], Rule::Store, || {
                    format!("a setting is stored under the key {key:02x?}, which is not its own")
                });
                self.auditor.settings.know(&setting, revision);
            }
            Record::Stock { key, entry } => {
                self.tally.stock_keys += 1;
                self.auditor.stock.set_total(key, entry.total);
                self.stock.push((key, entry));
            }
            Record::Adjustment { key, id, change } => {
                findings.check(self.auditor.stock.find(&key).is_some(), Rule::Store, || {
                    format!("adjustment {id} is of stock {key}, which has no counters")
                });
                self.auditor.stock.know_adjustment(key, id);
                if let StockChange::Transfer { to, .. } = change {
                    self.adjusted.insert(to, None);
                }
                let sum = self.adjusted.entry(key).or_insert(Some(0));
                *sum = match change {
                    StockChange::Relative(delta) => sum.map(|sum| sum + i128::from(delta)),
                    // What they came to, or what else came or went, the table doesn't say.
                    StockChange::Absolute(_)
                    | StockChange::AvailableAt { .. }
                    | StockChange::Transfer { .. } => None,
                };
            }
            Record::Order { shelf, slot, order_no, order } => {
                self.auditor.teams.know_order(&order);
                self.order(shelf, slot, order_no, &order);
            }
            Record::Member { member, order_no, request } => self.member(member, order_no, request),
            Record::External { hash, order_no } => self.external(hash, order_no),
            Record::Payment { payment, settled } => self.payment(payment, settled),
            Record::Unmatched { payment, refund } => self.unmatched(payment, &refund),
            Record::Coupon { slot, member, id, coupon } => {
                self.check_slot(
                    slot,
                    Slot::of_member(member),
                    &format_args!("coupon {id} of member {member}"),
                );
                let Auditor { coupons, stock, .. } = &mut self.auditor;
                coupons.know(member, id, coupon);
                let key = stock.index_of(StockKey::coupons(id.terms()));
                stock.place(key, 1, Account::Sold);
            }
            Record::Limit { slot, member, key, used, as_of } => {
                self.check_slot(slot, Slot::of_member(member), &format_args!("a limit of member {member}"));
                self.limit(LimitAhead { as_of, member, key, used });
            }
            Record::Task { slot, hash, seq, task } => self.task(slot, hash, seq, *task),
            Record::TaskStand { seq, stand } => {
                let other = self.stands.insert(seq, stand);
                findings.check(other.is_none(), Rule::Store, || {
                    format!("where the task of number {seq} stands is stored twice")
                });
            }
            Record::TaskRest(rest) => self.task_rest = rest,
            Record::Act { position, act } => self.act(position, &act),
        }
    }

    fn order(&mut self, shelf: Shelf, slot: u16, order_no: OrderNo, order: &Order) {
        self.check_slot(slot, order_no.slot(), &format_args!("order {order_no}"));
        let stored = self.head.position;
        let Self { auditor, tally, .. } = self;
        let Auditor { findings, catalogue, stock, orders, limits, coupons, .. } = auditor;
        findings.at(order.last_position);
        findings.check(order.order_no == order_no, Rule::Store, || {
            format!("order {} is stored under the number {order_no}", order.order_no)
        });
        let is_closed = matches!(order.status, OrderStatus::Completed | OrderStatus::Cancelled);
        let is_at_rest = is_closed && !has_work(order);
        match shelf {
            Shelf::Open => {
                tally.open_orders += 1;
                findings.check(!is_at_rest || order.last_position > stored, Rule::Store, || {
                    format!("order {order_no} is {} and stands among the open orders", order.status)
                });
            }
            Shelf::Closed | Shelf::Archived => {
                tally.closed_orders += 1;
                tally.archived_orders += u64::from(shelf == Shelf::Archived);
                self.closed_orders += 1;
                self.closed_sum = self.closed_sum.wrapping_add(order.record_hash());
                findings.check(is_closed && order.last_position <= stored, Rule::Store, || {
                    let (status, last) = (order.status, order.last_position);
                    format!("order {order_no}, {status} at position {last}, stands among the closed orders")
                });
            }
        }
        check_lines(order_no, order.pay_amount, &order.lines, order.terms(), findings);
        let brings_prices = order.terms().is_some_and(|terms| terms.price_source.is_some());
        for line in order.lines.iter() {
            catalogue.check_line(line, order.order_type, brings_prices, findings);
        }
        let lines = LineRecords::from_lines(order.lines.iter().map(|line| LineRecord {
            key: stock.index_of(line.key),
            quantity: line.quantity,
            limit_per_member: line.limit_per_member,
        }));

        let life = order::live(order, lines, stored, findings);
        auditor.refunds_required += life.refunds;
        let [applied, finished] = life.applied_and_finished;
        auditor.refunds_applied += applied;
        auditor.refunds_finished += finished;
        orders.count_revived(life.revived);
        self.latest_at_ms = self.latest_at_ms.max(life.at_checkpoint.last_at_ms);
        let account = life.at_checkpoint.account();
        for line in life.at_checkpoint.lines.as_slice() {
            let restocked = life.at_checkpoint.later.as_ref();
            let restocked = restocked.map_or(0, |later| later.restocked(&stock.key(line.key)));
            stock.place(line.key, line.quantity.saturating_sub(restocked), account);
            if !matches!(life.at_checkpoint.standing, Standing::Cancelled(_)) {
                let LineRecord { key, quantity, limit_per_member } = *line;
                limits.take(order.member_id, key, quantity, limit_per_member, true, findings);
            }
        }
        for (payment, outcome) in life.outcomes {
            if let Some((other, _)) = self.outcomes.insert(payment, (outcome, false)) {
                let orders = (other.order_no, order_no);
                findings.add(Rule::LateMoney, || {
                    format!("payment {payment} has outcomes in orders {} and {}", orders.0, orders.1)
                });
            }
        }
        if let Some(record) = life.ahead {
            tally.orders_ahead += 1;
            self.ahead.add_order(order_no, order.last_position, record);
        }
        coupons.know_order(order_no, order.member_id, order.extra.coupons());
        orders.enter(order_no, order.request_id, life.at_checkpoint, findings);
        if shelf != Shelf::Archived {
            self.unlisted.insert(order_no);
        }
        if let Some(external_no) = order.external_no() {
            let other = self.unnamed.insert(hash128(external_no.as_bytes()), order_no);
            findings.check(other.is_none(), Rule::Once, || {
                format!("order {order_no} has the external number of another order, {external_no}")
            });
        }
    }

    fn act(&mut self, position: Position, act: &OperatorAct) {
        let stored = self.head.position;
        let Auditor { findings, acts, .. } = &mut self.auditor;
        findings.check(position <= stored, Rule::Store, || {
            format!("the act of an operator at position {position} stands behind the checkpoint at {stored}")
        });
        acts.take(position, act, findings);
        self.latest_at_ms = self.latest_at_ms.max(act.at_ms);
    }

    fn check_slot(&mut self, stored: u16, slot: Slot, what: &dyn std::fmt::Display) {
        let slot = slot.index();
        self.auditor.findings.check(usize::from(stored) == slot, Rule::OrderNumbers, || {
            format!("{what} is stored in slot {stored}, it belongs to slot {slot}")
        });
    }

    fn member(&mut self, member: MemberId, order_no: OrderNo, request: RequestId) {
        let Auditor { findings, orders, .. } = &mut self.auditor;
        let Some(order) = orders.get(order_no) else {
            findings.add(Rule::Store, || {
                format!("member {member} has an entry for order {order_no}, which is not stored")
            });
            return;
        };
        let owner = order.member;
        findings.check(owner == member, Rule::Store, || {
            format!("order {order_no} of member {owner} has an entry for member {member}")
        });
        findings.check(orders.placed_by(member, request) == Some(order_no), Rule::Store, || {
            format!("the entry of member {member} says that request {request} placed order {order_no}")
        });
        if owner == member {
            self.unlisted.remove(&order_no);
        }
    }

    fn external(&mut self, hash: u128, order_no: OrderNo) {
        let named = self.unnamed.remove(&hash);
        self.auditor.findings.check(named == Some(order_no), Rule::Store, || match named {
            Some(named) => format!("the external number of order {named} has an entry for order {order_no}"),
            None => format!(
                "order {order_no} has an entry for an external number {hash:032x} that is not its own"
            ),
        });
    }

    fn payment(&mut self, payment: PaymentId, settled: SettledPayment) {
        self.tally.payments += 1;
        let order_no = settled.order_no;
        let findings = &mut self.auditor.findings;
        match self.outcomes.get_mut(&payment) {
            None => findings.add(Rule::Store, || {
                format!(
                    "payment {payment} is stored with an outcome that its order {order_no} doesn't tell of"
                )
            }),
            Some((outcome, seen)) => {
                *seen = true;
                findings.check(*outcome == settled, Rule::Store, || {
                    format!("payment {payment} is stored as {settled:?}, its order says {outcome:?}")
                });
            }
        }
    }

    /// Money for no order: its refund tells the outcome that orders tell of for theirs.
    fn unmatched(&mut self, payment: PaymentId, refund: &UnmatchedRefund) {
        let Auditor { findings, unmatched, .. } = &mut self.auditor;
        findings.check(refund.payment == payment, Rule::Store, || {
            format!("the refund of payment {} is stored as that of payment {payment}", refund.payment)
        });
        unmatched.insert(payment, refund.state);
        self.auditor.refunds_required += 1;
        self.auditor.refunds_finished += u64::from(refund.state == RefundState::Finished);
        self.tally.refunds_unmatched += 1;
        let result = PaymentResult::RefundRequired(refund.reason);
        let order_no = refund.order_no;
        let outcome = SettledPayment { order_no, amount: refund.amount, result, at_ms: refund.since_ms };
        if let Some((other, _)) = self.outcomes.insert(payment, (outcome, false)) {
            let other = other.order_no;
            self.auditor.findings.add(Rule::LateMoney, || {
                format!("payment {payment} has an outcome in order {other}, and is for no order")
            });
        }
    }

    /// Compares a limit with the orders as of the checkpoint, or keeps it until the journal is as far as it is.
    fn limit(&mut self, limit: LimitAhead) {
        self.tally.limits += 1;
        if let Some(index) = self.auditor.stock.find(&limit.key) {
            self.limits_seen.insert((limit.member, index));
        }
        if limit.as_of > self.head.position {
            self.ahead.add_limit(limit);
        } else {
            limit.compare(&self.auditor.stock, &self.auditor.limits, &mut self.auditor.findings);
        }
    }

    fn task(&mut self, slot: u16, hash: u128, seq: u64, task: TaskRecord) {
        self.tally.tasks += 1;
        let topic = task.topic.clone();
        self.check_slot(slot, topic.slot(), &format_args!("a task of topic {topic}"));
        let stand = self.stands.remove(&seq);
        let Auditor { findings, tasks, .. } = &mut self.auditor;
        findings.check(topic.hash() == hash, Rule::Store, || {
            format!("task {} of topic {topic} is stored under another topic", task.id)
        });
        tasks.know(&topic, &task.view(seq, stand), findings);
    }

    fn finish_tasks(&mut self) {
        let Auditor { findings, tasks, .. } = &mut self.auditor;
        for seq in self.stands.keys() {
            findings.add(Rule::Store, || {
                format!("it is stored where the task of number {seq} stands, which is not stored")
            });
        }
        let (stored, counted) = (self.task_rest.live, self.tally.tasks);
        findings.check(stored == counted, Rule::Store, || {
            format!("the number of live tasks is stored as {stored}, its records come to {counted}")
        });
        tasks.know_rest(self.task_rest.last_seq, &self.task_rest.unfinished.0, findings);
    }

    fn finish(mut self, payment_window_ms: u64) -> Stored {
        self.auditor.findings.at(self.head.position);
        self.finish_tasks();
        self.finish_stock();
        self.finish_payments(payment_window_ms);
        let Auditor { findings, stock, limits, orders, coupons, .. } = &mut self.auditor;
        coupons.check_standing(orders, findings);
        for order_no in self.unlisted {
            findings.add(Rule::Store, || {
                let member = orders.get(order_no).map_or(MemberId(0), |order| order.member);
                format!("order {order_no} has no entry by its member {member}")
            });
        }
        for order_no in self.unnamed.values() {
            findings.add(Rule::Store, || format!("order {order_no} has no entry by its external number"));
        }
        for (member, key, units) in limits.iter() {
            findings.check(self.limits_seen.contains(&(member, key)), Rule::Store, || {
                let key = stock.key(key);
                format!(
                    "member {member} has {units} units of stock {key}, and the store no limit in use for it"
                )
            });
        }
        let head = &self.head;
        let counted = [
            ("the sum of the closed orders' hashes", head.closed_sum, self.closed_sum),
            ("the number of closed orders", head.closed_orders, self.closed_orders),
            ("the number of orders", head.orders, orders.len() as u64),
        ];
        for (what, stored, counted) in counted {
            findings.check(stored == counted, Rule::Store, || {
                format!("{what} is stored as {stored}, its records come to {counted}")
            });
        }
        findings.check(head.latest_at_ms >= self.latest_at_ms, Rule::Store, || {
            let (stored, found) = (head.latest_at_ms, self.latest_at_ms);
            format!("the time of the latest event is stored as {stored} ms, an order has one of {found} ms")
        });
        Stored { position: self.head.position, auditor: self.auditor, ahead: self.ahead, tally: self.tally }
    }

    /// The counters are what the orders come to.
    fn finish_stock(&mut self) {
        let Auditor { findings, stock, .. } = &mut self.auditor;
        // A team's seats come into being with it, and what is left of an activity flows to the everyday stock: the table
        // says nothing of either.
        let is_of_activity = |key: &StockKey| matches!(key.pool, Pool::Seckill | Pool::GroupBuy);
        let keys = self.stock.iter().map(|(key, _)| key);
        let flowing: HashSet<_> = keys.filter(|key| is_of_activity(key)).map(|key| key.sku).collect();
        for (key, entry) in &self.stock {
            let [_, reserved, sold] = stock.counters(key);
            let StockEntry { total, reserved: stored_reserved, sold: stored_sold } = *entry;
            let same = (i128::from(stored_reserved), i128::from(stored_sold)) == (reserved, sold);
            findings.check(same, Rule::Store, || {
                format!(
                    "stock {key} is stored with reserved {stored_reserved}, sold {stored_sold}; its orders have \
                     reserved {reserved}, sold {sold}"
                )
            });
            let adjusted = self.adjusted.get(key).copied().unwrap_or(Some(0));
            let adjusted = adjusted.filter(|_| key.pool != Pool::Seats && !flowing.contains(&key.sku));
            findings.check(adjusted.is_none_or(|sum| sum == i128::from(total)), Rule::Store, || {
                let sum = adjusted.unwrap_or_default();
                format!("stock {key} is stored with total {total}; its adjustments come to {sum}")
            });
        }
        let known: HashSet<StockKey> = self.stock.iter().map(|(key, _)| *key).collect();
        for key in stock.keys().filter(|key| !known.contains(key)) {
            findings.add(Rule::Store, || format!("stock {key} is named by records and has no counters"));
        }
        stock.check_all(findings);
    }

    /// Every outcome has its payment unless that has expired, and the sum is that of all of them.
    fn finish_payments(&mut self, payment_window_ms: u64) {
        let Auditor { findings, payments, orders, .. } = &mut self.auditor;
        let kept_since_ms =
            self.head.latest_at_ms.saturating_sub(payment_window_ms).saturating_add(EXPIRY_SLACK_MS);
        let mut sum = 0_u64;
        for (payment, (outcome, seen)) in self.outcomes.drain() {
            let SettledPayment { order_no, amount, result, at_ms } = outcome;
            sum = sum.wrapping_add(payment_hash(payment, order_no, amount, Some(result)));
            payments.know(payment, Received { order_no, amount, settled: true });
            if !seen && at_ms < kept_since_ms {
                self.tally.payments_expired += 1;
            } else {
                findings.check(seen, Rule::Store, || {
                    format!("payment {payment} of order {order_no} is not stored")
                });
            }
        }
        let stored = self.head.payments_sum;
        findings.check(sum == stored, Rule::Store, || {
            format!(
                "the sum of the payments' hashes is stored as {stored}, the orders' outcomes come to {sum}"
            )
        });
        for pending in &self.head.pending {
            let (payment, order_no) = (pending.payment, pending.order_no);
            findings.check(orders.get(order_no).is_some(), Rule::CausalPrefix, || {
                format!("payment {payment} is for order {order_no}, which is not stored")
            });
            findings.check(payments.get(payment).is_none(), Rule::Store, || {
                format!("payment {payment} of order {order_no} is stored as pending, and has an outcome")
            });
            payments.know(payment, Received { order_no, amount: pending.amount, settled: false });
        }
    }
}

/// Whether a refund of an order is unfinished, by what its record says.
fn has_work(order: &Order) -> bool {
    let over = order
        .later()
        .map_or(0, |later| later.progress.iter().filter(|progress| progress.state.is_over()).count());
    over < order.refunds_len()
}
