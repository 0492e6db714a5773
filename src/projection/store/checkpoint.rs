//! Making a checkpoint: what durable events say goes in at once, what they touched is asked of the order actors.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::archive::Archive;
use super::head::{Head, PendingPayment};
use super::ledger::LedgerWriter;
use super::reader::{StockEntry, StoreReader};
use super::tables;
use super::tasks::TaskWriter;
use crate::domain::coupon::CouponEvent;
use crate::domain::event::{Event, StockUnits};
use crate::domain::hash::hash128;
use crate::domain::ids::{
    AdjustmentId, MemberId, ORDER_NO_EPOCH_MS, OrderNo, PaymentId, Position, SLOTS, Slot, StockKey, TeamId,
};
use crate::domain::money::Money;
use crate::domain::order::{Order, PaymentResult, SettledPayment, payment_hash};
use crate::domain::refund::{RefundState, UnmatchedRefund};
use crate::domain::request::StockChange;
use crate::domain::team::{TeamEvent, TeamRecord, TeamState};
use crate::journal::{Frame, decode_record, encode_record};
use crate::projection::levels::{
    CommitReport, Levels, LevelsOptions, MergeReport, PageStore, StoreError, TableId,
};

/// What a run of frames came to.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// The last position taken in.
    pub(crate) up_to: Position,
    /// Orders that the events touched, ascending, each once.
    pub(crate) touched: Vec<OrderNo>,
    /// Events taken in.
    pub(crate) events: u64,
}

/// The single writer of the store.
pub(crate) struct Checkpointer {
    levels: Levels,
    head: Head,
    stock: HashMap<StockKey, StockEntry>,
    changed_stock: HashSet<StockKey>,
    /// Teams that are forming.
    teams: HashMap<TeamId, TeamRecord>,
    pending: HashMap<PaymentId, (OrderNo, Money)>,
    ledger: LedgerWriter,
    tasks: TaskWriter,
    /// Refunds of unmatched payments that are taken in and not committed.
    changed_unmatched: HashMap<PaymentId, UnmatchedRefund>,
    value: Vec<u8>,
    expire_payments_before_ms: u64,
    archive: Option<Arc<Archive>>,
    /// The slot that archiving goes on with.
    archive_slot: u16,
}

/// What a step of archiving did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Archived {
    /// Orders that moved to a cold file.
    pub(crate) orders: u64,
    /// Whether slots are left to look at.
    pub(crate) more: bool,
}

impl Checkpointer {
    /// Opens the store on its pages, and on its cold files where it may have some.
    ///
    /// # Errors
    /// [`StoreError`] where they can't be read.
    pub(crate) fn open(pages: Box<dyn PageStore>, archive: Option<Arc<Archive>>) -> Result<Self, StoreError> {
        let mut levels = Levels::open(pages, tables::TABLES, LevelsOptions::default())?;
        let reader = StoreReader::new(levels.reader(), archive.clone());
        let head = reader.head()?;
        let mut stock = HashMap::new();
        reader.load_stock(|key, entry| {
            stock.insert(key, entry);
        })?;
        let mut teams = HashMap::new();
        reader.load_teams(|team, record| {
            if record.state == TeamState::Forming {
                teams.insert(team, record);
            }
        })?;
        let pending =
            head.pending.iter().map(|payment| (payment.payment, (payment.order_no, payment.amount)));
        let ledger = LedgerWriter::open(&reader, &head, &mut levels)?;
        Ok(Self {
            ledger,
            pending: pending.collect(),
            levels,
            head,
            stock,
            changed_stock: HashSet::new(),
            teams,
            tasks: TaskWriter::open(&reader)?,
            changed_unmatched: HashMap::new(),
            value: Vec::new(),
            expire_payments_before_ms: 0,
            archive,
            archive_slot: 0,
        })
    }

    /// Everything up to here is stored.
    pub(crate) fn position(&self) -> Position {
        self.head.position
    }

    /// Time of the latest event that is stored or taken in, in ms since the Unix epoch.
    pub(crate) fn latest_at_ms(&self) -> u64 {
        self.head.latest_at_ms
    }

    /// The reading side.
    pub(crate) fn reader(&self) -> StoreReader {
        StoreReader::new(self.levels.reader(), self.archive.clone())
    }

    /// Takes in frames that continue the store's position.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where an event can't be decoded, or doesn't continue the store.
    pub(crate) fn take(&mut self, frames: &[Frame]) -> Result<Taken, StoreError> {
        let mut taken = Taken { up_to: self.head.position, ..Taken::default() };
        for frame in frames {
            for entry in frame.entries() {
                for event in entry.events() {
                    let (position, event) = event.map_err(|error| damaged(format!("an event: {error}")))?;
                    if position <= self.head.position {
                        continue;
                    }
                    if position.0 != taken.up_to.0 + 1 {
                        let up_to = taken.up_to;
                        return Err(damaged(format!("the journal goes from position {up_to} to {position}")));
                    }
                    taken.up_to = position;
                    taken.events += 1;
                    if let Some((order_no, _)) = event.order_version() {
                        taken.touched.push(order_no);
                    }
                    self.ledger.take(position, &event, &mut self.levels)?;
                    self.take_event(position, &event)?;
                }
            }
        }
        taken.touched.sort_unstable();
        taken.touched.dedup();
        Ok(taken)
    }

    /// Puts an order where a restart brings it back into memory.
    pub(crate) fn put_open(&mut self, number: OrderNo, record: &[u8], was_closed: bool) {
        let key = tables::order_key(number);
        self.levels.put(tables::OPEN, &key, record);
        if was_closed {
            self.levels.remove(tables::CLOSED, &key);
        }
    }

    /// Puts an order that is closed as of the checkpoint's position.
    pub(crate) fn put_closed(&mut self, number: OrderNo, record: &[u8], was_open: bool) {
        let key = tables::order_key(number);
        self.levels.put(tables::CLOSED, &key, record);
        if was_open {
            self.levels.remove(tables::OPEN, &key);
        }
    }

    /// Puts a member's use of a purchase limit, which includes everything up to `as_of`.
    pub(crate) fn put_limit(&mut self, member: MemberId, key: &StockKey, used: u32, as_of: Position) {
        let key = tables::limit_key(member, key);
        self.value.clear();
        encode_record(&(used, as_of), &mut self.value);
        // Kept at zero too: replay must know that later events are in it already.
        self.levels.put(tables::LIMITS, &key, &self.value);
    }

    /// Makes what was taken and put durable, in one atomic batch.
    ///
    /// # Errors
    /// [`StoreError`]; the store stays as it was, and nothing more may be asked of it.
    pub(crate) fn commit(
        &mut self,
        taken: &Taken,
        closed_sum: u64,
        closed_orders: i64,
    ) -> Result<CommitReport, StoreError> {
        for key in self.changed_stock.drain() {
            let entry = self.stock.get(&key).copied().unwrap_or_default();
            self.value.clear();
            encode_record(&entry, &mut self.value);
            self.levels.put(tables::STOCK, &tables::stock_key(&key), &self.value);
        }
        self.ledger.put_balances(&mut self.levels);
        self.tasks.commit(&mut self.levels);
        self.changed_unmatched.clear();
        let head = &mut self.head;
        head.position = taken.up_to;
        head.closed_sum = head.closed_sum.wrapping_add(closed_sum);
        head.closed_orders = head.closed_orders.saturating_add_signed(closed_orders);
        head.pending.clear();
        head.pending.extend(self.pending.iter().map(|(payment, (order_no, amount))| PendingPayment {
            payment: *payment,
            order_no: *order_no,
            amount: *amount,
        }));
        head.pending.sort_unstable_by_key(|pending| pending.payment);
        self.value.clear();
        encode_record(&self.head, &mut self.value);
        let report = self.levels.commit(&self.value)?;
        self.ledger.forget_stored();
        Ok(report)
    }

    /// Payments that were settled before this time need not be kept any longer, in ms since the Unix epoch.
    pub(crate) fn expire_payments_before(&mut self, at_ms: u64) {
        self.expire_payments_before_ms = at_ms;
    }

    /// Runs of the table and level that has most of them: look-ups read each of them.
    pub(crate) fn runs_max(&self) -> usize {
        self.levels.runs_max()
    }

    /// Does a bounded piece of the tables' merging.
    ///
    /// # Errors
    /// [`StoreError`]; nothing more may be asked of the store.
    pub(crate) fn merge(&mut self, bytes_max: usize) -> Result<MergeReport, StoreError> {
        let before_ms = self.expire_payments_before_ms;
        let expired = |table: TableId, _key: &[u8], value: &[u8]| {
            table == tables::PAYMENTS
                && decode_record::<SettledPayment>(value).is_ok_and(|payment| payment.at_ms < before_ms)
        };
        self.levels.merge_step(bytes_max, &expired)
    }

    /// Moves closed orders that nothing has happened to since `before_ms`, in ms since the Unix epoch, to a cold file:
    /// about `bytes_max` bytes of them, slot by slot. Called between two checkpoints.
    ///
    /// The file is durable and checked before the database lets go of what is in it; after a crash in between, the
    /// orders are in both, and are written again. Their external numbers stay known, their members' lists forget them.
    ///
    /// # Errors
    /// [`StoreError`]; nothing more may be asked of the store then, except where the file could not be written.
    pub(crate) fn archive(&mut self, before_ms: u64, bytes_max: usize) -> Result<Archived, StoreError> {
        let Some(archive) = self.archive.clone() else { return Ok(Archived::default()) };
        let snapshot = self.levels.reader().snapshot();
        let number_before_ms = before_ms.saturating_sub(ORDER_NO_EPOCH_MS);
        let (mut found, mut members, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < bytes_max
            && let Some(slot) = Slot::from_index(self.archive_slot)
        {
            // What was closed before then was placed before then.
            let high = tables::order_key(OrderNo::compose(number_before_ms, slot, 0));
            let mut scan = snapshot.scan(tables::CLOSED, &tables::slot_prefix(slot), Some(&high));
            while let Some((key, record)) = scan.next()? {
                let order: Order =
                    decode_record(record).map_err(|error| damaged(format!("a closed order: {error}")))?;
                let last = order.history.as_ref().and_then(|history| history.timeline.last());
                if last.map_or(order.created_at_ms, |last| last.at_ms) < before_ms {
                    bytes += record.len();
                    members.push(tables::member_key(order.member_id, order.order_no));
                    found.push((tables::order_key(order.order_no), record.to_vec()));
                    debug_assert_eq!(found.last().map(|(key, _)| &key[..]), Some(key));
                }
            }
            self.archive_slot += 1;
        }
        let more = usize::from(self.archive_slot) < usize::from(SLOTS);
        if !more {
            self.archive_slot = 0;
        }
        if !found.is_empty() {
            archive.add(&found)?;
            for ((key, _), member) in found.iter().zip(&members) {
                self.levels.remove(tables::CLOSED, key);
                self.levels.remove(tables::MEMBERS, member);
            }
            self.value.clear();
            encode_record(&self.head, &mut self.value);
            self.levels.commit(&self.value)?;
        }
        Ok(Archived { orders: found.len() as u64, more })
    }

    fn take_event(&mut self, position: Position, event: &Event) -> Result<(), StoreError> {
        self.head.latest_at_ms = self.head.latest_at_ms.max(event.at_ms());
        match event {
            Event::NumbersReserved { until_ms, .. } => {
                self.head.numbers_until_ms = self.head.numbers_until_ms.max(*until_ms);
            }
            Event::SkuPut { revision, sku, .. } => {
                self.value.clear();
                encode_record(sku.as_ref(), &mut self.value);
                self.levels.put(tables::SKUS, &tables::sku_key(sku.id, *revision), &self.value);
            }
            Event::StockAdjusted { key, adjustment_id, change, delta, .. } => {
                self.stock_of(key).total += delta;
                self.value.clear();
                encode_record(change, &mut self.value);
                let key = tables::adjustment_key(key, *adjustment_id);
                self.levels.put(tables::ADJUSTMENTS, &key, &self.value);
            }
            Event::OrderCreated(created) => {
                self.head.orders += 1;
                let request = created.request_id.get().to_be_bytes();
                let key = tables::member_key(created.member_id, created.order_no);
                self.levels.put(tables::MEMBERS, &key, &request);
                if let Some(external_no) = created.extra.external_no() {
                    let key = hash128(external_no.as_bytes()).to_be_bytes();
                    self.levels.put(tables::EXTERNAL, &key, &created.order_no.get().to_be_bytes());
                }
                for line in created.lines.iter() {
                    self.stock_of(&line.key).reserved += i64::from(line.quantity);
                }
            }
            Event::Order { what, .. } => self.reserve(what.restocked(), 0, -1),
            Event::PaymentUnmatched { at_ms, payment, order_no, amount, order_ref, reason } => {
                self.settle(*payment, PaymentResult::RefundRequired(*reason), *at_ms)?;
                self.put_unmatched(UnmatchedRefund {
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
                let known = match self.changed_unmatched.remove(payment) {
                    Some(known) => Some(known),
                    None => self.reader().unmatched(*payment)?,
                };
                let Some(mut refund) = known else {
                    return Err(damaged(format!("a refund of payment {payment}, which is for an order")));
                };
                refund.apply(what);
                self.put_unmatched(refund);
            }
            Event::PaymentReceived { payment, order_no, amount, .. } => {
                self.pending.insert(*payment, (*order_no, *amount));
            }
            Event::OrderPaid { step, payment, units } => {
                self.reserve(units, -1, 1);
                // An order that costs nothing is paid without money.
                if *payment != PaymentId::of_nothing(step.order_no) {
                    self.settle(*payment, PaymentResult::Paid, step.at_ms)?;
                }
            }
            Event::OrderClosed { units, .. } => self.reserve(units, -1, 0),
            Event::OrderRevived { units, .. } => self.reserve(units, 1, 0),
            Event::RefundRequired { step, payment, reason, .. } if reason.is_outcome() => {
                self.settle(*payment, PaymentResult::RefundRequired(*reason), step.at_ms)?;
            }
            Event::LimitImported { member_id, key, used, .. } => {
                // The whole figure stands in the event: nothing has to be asked of the order actors.
                let key = tables::limit_key(*member_id, key);
                if *used == 0 {
                    self.levels.remove(tables::ELSEWHERE, &key);
                } else {
                    self.value.clear();
                    encode_record(used, &mut self.value);
                    self.levels.put(tables::ELSEWHERE, &key, &self.value);
                }
            }
            Event::SettingPut { revision, setting, .. } => {
                self.value.clear();
                encode_record(&(*revision, setting.as_ref()), &mut self.value);
                self.levels.put(tables::SETTINGS, &setting.key().to_bytes(), &self.value);
            }
            Event::StockTransferred { transfer_id, from, to, units, .. } => {
                let delta = i64::try_from(*units).unwrap_or(i64::MAX);
                self.stock_of(from).total -= delta;
                self.stock_of(to).total += delta;
                if *transfer_id != AdjustmentId(0) {
                    self.value.clear();
                    encode_record(&StockChange::Transfer { to: *to, units: *units }, &mut self.value);
                    let key = tables::adjustment_key(from, *transfer_id);
                    self.levels.put(tables::ADJUSTMENTS, &key, &self.value);
                }
            }
            Event::Task(event) => self.tasks.take(event, &mut self.levels),
            Event::Coupon(event) => {
                // Every event says all of the coupon: nothing has to be asked of the order actors.
                let step = event.step();
                self.value.clear();
                encode_record(&event.coupon(), &mut self.value);
                self.levels.put(tables::COUPONS, &tables::coupon_key(step.member, step.coupon), &self.value);
                if matches!(**event, CouponEvent::Issued { .. }) {
                    self.stock_of(&StockKey::coupons(step.coupon.terms())).sold += 1;
                }
            }
            Event::Team(event) => self.take_team(event),
            Event::OperatorActed(act) => {
                self.value.clear();
                encode_record(act.as_ref(), &mut self.value);
                self.levels.put(tables::ACTS, &tables::act_key(position), &self.value);
            }
            Event::RefundRequired { .. }
            | Event::PaymentStarted { .. }
            | Event::OrderShipped { .. }
            | Event::OrderReceived { .. } => {}
        }
        Ok(())
    }

    fn put_unmatched(&mut self, refund: UnmatchedRefund) {
        self.value.clear();
        encode_record(&refund, &mut self.value);
        self.levels.put(tables::UNMATCHED, &tables::payment_key(refund.payment), &self.value);
        self.changed_unmatched.insert(refund.payment, refund);
    }

    fn take_team(&mut self, event: &TeamEvent) {
        let team = event.team();
        if let TeamEvent::Opened { activity, size, .. } = event {
            self.stock_of(&StockKey::seats(*activity, team)).total += i64::from(*size);
        }
        // An event that doesn't follow is the auditor's to find.
        if let Some(record) = TeamRecord::after(self.teams.get(&team).copied(), event) {
            self.value.clear();
            encode_record(&record, &mut self.value);
            self.levels.put(tables::TEAMS, &team.0.to_be_bytes(), &self.value);
            if record.state == TeamState::Forming {
                self.teams.insert(team, record);
            } else {
                self.teams.remove(&team);
            }
        }
    }

    fn stock_of(&mut self, key: &StockKey) -> &mut StockEntry {
        self.changed_stock.insert(*key);
        self.stock.entry(*key).or_default()
    }

    fn reserve(&mut self, units: &[StockUnits], reserved: i64, sold: i64) {
        for StockUnits { key, quantity } in units {
            let entry = self.stock_of(key);
            entry.reserved += reserved * i64::from(*quantity);
            entry.sold += sold * i64::from(*quantity);
        }
    }

    /// A payment's outcome is known.
    fn settle(&mut self, payment: PaymentId, result: PaymentResult, at_ms: u64) -> Result<(), StoreError> {
        let (order_no, amount) = match self.pending.remove(&payment) {
            Some(pending) => pending,
            None => {
                // It had an outcome, and gets another one.
                let known = self.reader().payment(payment)?;
                let Some(known) = known else {
                    return Err(damaged(format!(
                        "the outcome of payment {payment:?}, which was not received"
                    )));
                };
                let hash = payment_hash(payment, known.order_no, known.amount, Some(known.result));
                self.head.payments_sum = self.head.payments_sum.wrapping_sub(hash);
                (known.order_no, known.amount)
            }
        };
        let hash = payment_hash(payment, order_no, amount, Some(result));
        self.head.payments_sum = self.head.payments_sum.wrapping_add(hash);
        self.value.clear();
        encode_record(&SettledPayment { order_no, amount, result, at_ms }, &mut self.value);
        self.levels.put(tables::PAYMENTS, &tables::payment_key(payment), &self.value);
        Ok(())
    }
}

fn damaged(what: String) -> StoreError {
    StoreError::damaged(what)
}
