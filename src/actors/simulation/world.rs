//! The simulated world: it moves one actor by one stage, commits, crashes, and hears every answer.
//!
//! The order of things within a round is the shells' own, stage by stage: decide, announce what comes back to stock,
//! append, tell the stock actors, then route and answer. Between any two stages of one actor others may run.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::asks::{self, Ask, Watch};
use super::facts::Facts;
use super::log::{Acknowledge, Log};
use super::random::Random;
use super::seats::{Process, Stage, StockSeat};
use super::store::{StoreSeat, StoreTemper};
use super::tally::Tally;
use crate::actors::numbers::NumberLease;
use crate::actors::order::actor::{OrderEffects, OrderSettings, StockEffect};
use crate::actors::order::shell::owner_of;
use crate::actors::order::{Admitted, HoldResult, OrderItem};
use crate::actors::reply::{Answer, Receipt};
use crate::actors::stock::{Holder, Moves, StockItem};
use crate::audit::Auditor;
use crate::domain::catalogue::Sku;
use crate::domain::event::Event;
use crate::domain::ids::{
    MemberId, ORDER_NO_EPOCH_MS, PaymentId, Position, RequestId, SkuId, Slot, StockKey,
};
use crate::journal::EntryBuffer;
use crate::projection::levels::MemoryPages;

/// How one run behaves, drawn from its seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    pub(super) order_actors: usize,
    pub(super) settings: OrderSettings,
    pub(super) auto_close_ms: u32,
    pub(super) recovery_grace_ms: u64,
    /// Most items of one round.
    pub(super) round_items_max: u64,
    /// How far order numbers are reserved ahead, in ms.
    pub(super) lease_ahead_ms: u64,
    /// Most ms that time moves at once.
    pub(super) step_ms_max: u64,
    /// Most batches of one commit.
    pub(super) commit_batches_max: u64,
    /// How the store behaves, if there is one.
    pub(super) store: Option<StoreTemper>,
}

/// Everything.
pub(super) struct World {
    pub(super) random: Random,
    pub(super) temper: Temper,
    pub(super) now_ms: u64,
    pub(super) log: Log,
    /// What is appended: what truly happened so far.
    pub(super) appended: Facts,
    /// What is committed: what callers may know.
    pub(super) committed: Facts,
    pub(super) process: Process,
    pub(super) catalogue: BTreeMap<SkuId, (u32, Sku)>,
    /// Submissions that passed the front door and have not reached their actor.
    pub(super) entering: Vec<Admitted>,
    pub(super) asks: Vec<Ask>,
    /// Receipts that callers were given, by request and body.
    pub(super) receipts: BTreeMap<(MemberId, RequestId, u64), Receipt>,
    /// The refusal that each cell of the table of refusals has, by its request's hash; `None` where there were several.
    pub(super) refusals: BTreeMap<u64, Option<u64>>,
    /// Recorded payments without an outcome.
    pub(super) payments: BTreeMap<PaymentId, Watch>,
    pub(super) auditor: Auditor,
    pub(super) tally: Tally,
}

impl World {
    /// A fresh process over an empty journal.
    pub(super) fn new(mut random: Random, temper: Temper) -> Self {
        let now_ms = ORDER_NO_EPOCH_MS + random.below(1 << 30);
        let process = Process::recover(&[], temper.order_actors, temper.settings, random.next(), now_ms);
        let mut world = Self {
            random,
            temper,
            now_ms,
            log: Log::default(),
            appended: Facts::default(),
            committed: Facts::default(),
            process,
            catalogue: BTreeMap::new(),
            entering: Vec::new(),
            asks: Vec::new(),
            receipts: BTreeMap::new(),
            refusals: BTreeMap::new(),
            payments: BTreeMap::new(),
            auditor: Auditor::new(),
            tally: Tally::default(),
        };
        if temper.store.is_some() {
            world.process = world.recover_from_store(MemoryPages::default(), temper.order_actors);
        }
        world.reserve_first_numbers();
        world
    }

    /// Puts an item into the inbox of a slot's owner.
    pub(super) fn push_order(&mut self, slot: Slot, item: OrderItem) {
        let owner = owner_of(slot, self.process.orders.len());
        self.process.orders[owner].inbox.push_back(item);
    }

    /// Moves an order actor by one stage.
    pub(super) fn run_order(&mut self, index: usize) {
        let acknowledged = self.log.acknowledged();
        let seat = &mut self.process.orders[index];
        match seat.stage {
            Stage::Idle => {
                let take = self.random.between(1, self.temper.round_items_max) as usize;
                let mut items = seat.inbox.drain(..take.min(seat.inbox.len())).collect();
                seat.actor.on_batch(&mut items, self.now_ms, acknowledged, &mut seat.effects);
                seat.stage = Stage::Decided;
            }
            Stage::Decided => {
                for (key, quantity, what) in &seat.effects.stock {
                    if matches!(what, StockEffect::Release | StockEffect::TakeBack)
                        && let Some(stock) = self.process.stock.get(key)
                    {
                        stock.gauge.start_return(u64::from(*quantity));
                    }
                }
                seat.stage = Stage::Announced;
            }
            Stage::Announced => {
                let mut effects = std::mem::take(&mut seat.effects);
                seat.stage = Stage::Appended;
                if effects.entries.is_empty() && acknowledged >= self.log.appended() {
                    effects.answers.append(&mut effects.durable_answers);
                }
                if !effects.entries.is_empty() || !effects.durable_answers.is_empty() {
                    let answers = std::mem::take(&mut effects.durable_answers);
                    let first = self.append(&mut effects.entries, Some(Acknowledge::Answers(answers)));
                    self.process.orders[index].actor.appended(first);
                    effects.routed.iter_mut().for_each(|(_, item)| item.settle_position(first));
                }
                self.process.orders[index].effects = effects;
            }
            Stage::Appended => {
                seat.stage = Stage::Told;
                let stock = std::mem::take(&mut seat.effects.stock);
                self.tell_stock(index, stock);
            }
            Stage::Told => {
                let OrderEffects { routed, answers, loads, failure, .. } = std::mem::take(&mut seat.effects);
                assert_eq!(failure, None, "R13: nothing fails here");
                seat.stage = Stage::Idle;
                let more_to_do = seat.actor.has_more_to_do();
                let more_is_due = seat.actor.next_deadline_ms().is_some_and(|due_ms| due_ms <= self.now_ms);
                for (slot, item) in routed {
                    self.push_order(slot, item);
                }
                let seat = &mut self.process.orders[index];
                if seat.inbox.is_empty() && ((more_is_due && seat.actor.may_expire()) || more_to_do) {
                    seat.inbox.push_back(OrderItem::Tick);
                }
                match &mut self.process.store {
                    Some(store) => store.loads.extend(loads),
                    None => assert!(loads.is_empty(), "there is no store to ask: {loads:?}"),
                }
                answers.into_iter().for_each(Answer::send);
                self.hear();
            }
        }
    }

    /// Sends holds one by one, and everything else summed up per stock key.
    fn tell_stock(&mut self, index: usize, effects: Vec<(StockKey, u32, StockEffect)>) {
        let mut moves: BTreeMap<StockKey, Moves> = BTreeMap::new();
        for (key, quantity, what) in effects {
            let Some(stock) = self.process.stock.get_mut(&key) else {
                let StockEffect::Hold { collect } = what else {
                    panic!("R5: {what:?} of {key}, which has no stock")
                };
                let refused = OrderItem::Held(vec![HoldResult { collect, granted: false }]);
                self.process.orders[index].inbox.push_back(refused);
                continue;
            };
            let units = u64::from(quantity);
            match what {
                StockEffect::Hold { collect } => {
                    let holder = Holder { actor: index as u16, collect };
                    stock.push(StockItem::Hold { holder, quantity });
                }
                StockEffect::Settle => moves.entry(key).or_default().settle += units,
                StockEffect::GiveBack => moves.entry(key).or_default().give_back += units,
                StockEffect::Release => moves.entry(key).or_default().release += units,
                StockEffect::Sell => moves.entry(key).or_default().sell += units,
                StockEffect::Open => moves.entry(key).or_default().open += units,
                StockEffect::Seize => moves.entry(key).or_default().seize += units,
                StockEffect::TakeBack => moves.entry(key).or_default().take_back += units,
            }
        }
        for (key, moves) in moves {
            self.process.stock.get_mut(&key).expect("it was told above").push(StockItem::Move(moves));
        }
    }

    /// Moves a stock actor by one stage.
    pub(super) fn run_stock(&mut self, key: StockKey) {
        let Self { process, random, temper, now_ms, .. } = self;
        let seat = process.stock.get_mut(&key).expect("the key was chosen from those there are");
        match seat.stage {
            Stage::Idle => {
                let take = random.between(1, temper.round_items_max) as usize;
                let mut items: Vec<_> = seat.inbox.drain(..take.min(seat.inbox.len())).collect();
                seat.note_items(&items);
                seat.actor.on_batch(&mut items, *now_ms, &seat.gauge, &mut seat.effects);
                seat.check_turns();
                seat.stage = Stage::Announced;
                seat.cut = seat.cut_of_round();
                let moved = seat.moved;
                let allowed = self.appended.stock.get(&key).map(|facts| facts.ever).unwrap_or_default();
                assert!(
                    moved.iter().zip(allowed).all(|(moved, allowed)| *moved <= allowed),
                    "R5: {key} has settled, released, sold {moved:?} units, the journal says {allowed:?}"
                );
                self.look();
            }
            Stage::Decided | Stage::Announced => {
                let mut effects = std::mem::take(&mut seat.effects);
                seat.stage = Stage::Appended;
                if effects.entries.is_empty() && self.log.acknowledged() >= self.log.appended() {
                    effects.answers.append(&mut effects.durable_answers);
                }
                if !effects.entries.is_empty() || !effects.durable_answers.is_empty() {
                    let answers = std::mem::take(&mut effects.durable_answers);
                    self.append(&mut effects.entries, Some(Acknowledge::Answers(answers)));
                }
                let seat = self.process.stock.get_mut(&key).expect("it was there above");
                seat.effects = effects;
                seat.cut = 0;
            }
            Stage::Appended | Stage::Told => {
                let mut effects = std::mem::take(&mut seat.effects);
                seat.stage = Stage::Idle;
                if effects.rest && seat.inbox.is_empty() && seat.actor.is_quiet(&seat.gauge) {
                    seat.awake = false;
                }
                let mut held: BTreeMap<u16, Vec<HoldResult>> = BTreeMap::new();
                for (Holder { actor, collect }, granted) in effects.held.drain(..) {
                    held.entry(actor).or_default().push(HoldResult { collect, granted });
                }
                for (actor, results) in held {
                    self.process.orders[usize::from(actor)].inbox.push_back(OrderItem::Held(results));
                }
                effects.answers.into_iter().for_each(Answer::send);
                self.hear();
            }
        }
    }

    /// Appends entries, and notes what they say.
    pub(super) fn append(&mut self, entries: &mut EntryBuffer, acknowledge: Option<Acknowledge>) -> Position {
        let (first, range) = self.log.append(entries, acknowledge);
        for index in range {
            let entry = self.log.entries()[index].clone();
            self.appended.take(&entry);
            self.look();
            for event in &entry.events {
                self.follow(event);
            }
        }
        first
    }

    /// Counts an event, and follows payments from their record to their outcome (R10).
    fn follow(&mut self, event: &Event) {
        match event {
            Event::PaymentReceived { payment, .. } => self.watch_payment(*payment),
            Event::PaymentUnmatched { payment, .. } => {
                self.tally.unmatched += 1;
                self.payments.remove(payment);
            }
            Event::UnmatchedRefund { .. } => self.tally.unmatched_steps += 1,
            Event::Order { what, .. } => self.tally.count_later(what),
            Event::OrderPaid { step, payment, .. } if *payment == PaymentId::of_nothing(step.order_no) => {
                self.tally.paid_with_nothing += 1;
            }
            Event::OrderReceived { .. } => self.tally.received += 1,
            Event::OrderClosed { reason: crate::domain::order::CloseReason::Refunded, .. } => {
                self.tally.closed_refunded += 1;
            }
            Event::OrderPaid { payment, .. } => {
                self.tally.paid += 1;
                self.payments.remove(payment);
            }
            Event::RefundRequired { payment, reason, .. } => {
                self.tally.refunds += 1;
                let watch = self.payments.remove(payment).expect("a payment that has no outcome is watched");
                asks::check_refund(&watch, crate::actors::order::PaymentResult::RefundRequired(*reason));
            }
            Event::OrderCreated(_) => self.tally.placed += 1,
            Event::OrderRevived { .. } => self.tally.revived += 1,
            Event::OrderClosed { reason: crate::domain::order::CloseReason::Timeout, .. } => {
                self.tally.timeouts += 1;
            }
            _ => {}
        }
    }

    pub(super) fn watch_payment(&mut self, payment: PaymentId) {
        let order_no = self.appended.payments[&payment].order_no;
        // Money for an order that there is not goes back at once.
        let Some(order) = self.appended.orders.get(&order_no) else { return };
        let created = &order.created;
        let stock = &self.process.stock;
        let watch =
            Watch::new(created.member_id, created.lines.clone(), &self.appended, &|key| cut(stock, key));
        self.payments.insert(payment, watch);
    }

    /// Lets everybody who waits see how stock and limits stand.
    fn look(&mut self) {
        let Self { asks, payments, appended, process, .. } = self;
        let cut = |key: &StockKey| cut(&process.stock, key);
        for ask in asks {
            if let Ask::Submit(ask, _) = ask {
                ask.watch.look(appended, &cut);
            }
        }
        payments.values_mut().for_each(|watch| watch.look(appended, &cut));
    }

    /// Begins to watch a submission.
    pub(super) fn watch_lines(&self, member: MemberId, lines: &crate::domain::order::Lines) -> Watch {
        Watch::new(member, lines.clone(), &self.appended, &|key| cut(&self.process.stock, key))
    }

    /// Commits some of what is appended, then sends the answers that waited for it (R4).
    pub(super) fn commit(&mut self, batches_max: usize) {
        let (range, acknowledge) = self.log.commit(batches_max);
        self.committed_now(range);
        for acknowledge in acknowledge {
            match acknowledge {
                Acknowledge::Answers(answers) => answers.into_iter().for_each(Answer::send),
                Acknowledge::Numbers(until_ms) => {
                    self.process.shared.lease.extend_to(until_ms);
                    self.process.numbers_under_way = false;
                }
            }
        }
        self.hear();
    }

    pub(super) fn committed_now(&mut self, range: std::ops::Range<usize>) {
        for entry in &self.log.entries()[range] {
            self.committed.take(entry);
            self.auditor.entry(entry.first, &entry.events);
        }
    }

    /// What the ticker does: wakes actors whose timers are due, and renews the range of order numbers.
    pub(super) fn tick(&mut self) {
        // Now and then everybody is woken, so that what may leave memory does.
        let wakes_all = self.process.store.is_some() && self.random.percent(30);
        for seat in &mut self.process.orders {
            if wakes_all || seat.actor.next_deadline_ms().is_some_and(|due_ms| due_ms <= self.now_ms) {
                seat.inbox.push_back(OrderItem::Tick);
            }
        }
        let needed_ms = NumberLease::number_time(self.now_ms) + self.temper.lease_ahead_ms / 2;
        let until_ms = self.process.shared.lease.until_ms();
        if until_ms < needed_ms && !self.process.numbers_under_way {
            self.reserve_numbers(needed_ms.max(until_ms) + self.temper.lease_ahead_ms / 2);
        }
    }

    /// A caller puts a submission that passed the door into its actor's inbox.
    pub(super) fn enter(&mut self, index: usize) {
        let admitted = self.entering.swap_remove(index);
        self.process.filter.insert(admitted.request_hash);
        self.push_order(Slot::of_member(admitted.member_id), OrderItem::Submit(admitted));
    }

    /// Whether the front door must ask the order actor about a request.
    pub(super) fn may_have_entered(&self, request_hash: u64) -> bool {
        self.process.filter.contains(request_hash)
            || self.process.store.as_ref().is_some_and(StoreSeat::is_warming)
    }

    /// Puts a new revision of a SKU into the catalogue.
    pub(super) fn put_sku(&mut self, sku: Sku) {
        let revision = self.catalogue.get(&sku.id).map_or(0, |(revision, _)| *revision) + 1;
        let mut entries = EntryBuffer::new();
        entries.push(&[Event::SkuPut { at_ms: self.now_ms, revision, sku: Box::new(sku.clone()) }]);
        self.append(&mut entries, None);
        self.catalogue.insert(sku.id, (revision, sku));
    }

    /// Makes a stock key that has none yet.
    pub(super) fn stock_seat(&mut self, key: StockKey) -> &mut StockSeat {
        use crate::actors::stock::actor::StockActor;
        let empty = || StockSeat::new(StockActor::new(key, Default::default(), Default::default()));
        self.process.stock.entry(key).or_insert_with(empty)
    }

    /// Whether nothing at all is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.process.is_quiet() && self.entering.is_empty() && self.log.is_idle()
    }

    /// Suggests rest to a stock actor.
    pub(super) fn suggest_rest(&mut self, key: StockKey) {
        let seat = self.process.stock.get_mut(&key).expect("the key was chosen from those there are");
        if seat.awake {
            seat.push(StockItem::Rest);
        }
    }

    /// Shared by all order actors.
    pub(super) fn shared(&self) -> Arc<crate::actors::order::actor::OrderShared> {
        Arc::clone(&self.process.shared)
    }
}

fn cut(stock: &BTreeMap<StockKey, StockSeat>, key: &StockKey) -> i64 {
    stock.get(key).map_or(0, |seat| seat.cut)
}
