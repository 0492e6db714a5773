//! What callers do: a few members after scarce units, with retries, late and doubled payments, and mistakes.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::asks::{self, Ask, PageAsk, SubmitAsk, SubmitWait, Wish};
use super::world::World;
use crate::actors::numbers::NumberLease;
use crate::actors::order::submit::{sticky_code, sticky_reject};
use crate::actors::order::{
    Action, Admitted, CommandReply, CommandRequest, OrderItem, PayRequest, Query, Recall,
};
use crate::actors::promise::Promises;
use crate::actors::reply::SubmitReply;
use crate::actors::stock::{Adjust, StockItem};
use crate::domain::catalogue::Sku;
use crate::domain::ids::{AdjustmentId, MemberId, OrderNo, RequestId, SkuId, Slot, StockKey};
use crate::domain::money::Money;
use crate::domain::order::{CloseReason, Lines};
use crate::domain::reject::Reject;
use crate::domain::request::{Caller, OrderLine, OrderRef, Payment, Shipment, StockChange, SubmitOrder};

const MEMBERS: u64 = 6;
const SKUS: u64 = 4;
/// External numbers in use, few enough to be used again.
const EXTERNALS: u64 = 16;
/// Callers who wait at one time; the front door's credits bound them.
const ASKS_MAX: usize = 60;

/// What callers remember of what they did.
#[derive(Default)]
pub(super) struct Workload {
    submitted: Vec<SubmitOrder>,
    paid: Vec<Payment>,
    adjusted: Vec<(StockKey, AdjustmentId, StockChange)>,
}

impl Workload {
    /// Fills the catalogue, and the stock of all SKUs but the last.
    pub(super) fn open_shop(&mut self, world: &mut World) {
        for id in 1..=SKUS {
            self.put_sku(world, SkuId(id));
        }
        for id in 1..SKUS {
            let units = world.random.between(1, 6) as i64;
            self.adjust(world, StockKey::normal(SkuId(id)), StockChange::Relative(units));
        }
    }

    /// One caller does something.
    pub(super) fn act(&mut self, world: &mut World) {
        if world.asks.len() >= ASKS_MAX {
            return;
        }
        match world.random.below(100) {
            0..33 => self.submit_new(world),
            33..46 => self.submit_again(world),
            46..62 => self.pay(world),
            62..70 => self.command(world),
            70..82 => {
                // Some at once, so that one order gets further than its first step.
                for _ in 0..world.random.between(1, 5) {
                    self.care(world);
                }
            }
            82..85 => self.adjust_some(world),
            85 => self.pester(world),
            86..98 => self.read(world),
            _ => {
                let sku = SkuId(world.random.between(1, SKUS));
                self.put_sku(world, sku);
            }
        }
    }

    /// Every request that was ever acknowledged is sent again.
    pub(super) fn repeat_everything(&mut self, world: &mut World) {
        for order in std::mem::take(&mut self.submitted) {
            if world.receipts.contains_key(&(order.member_id, order.request_id, order.body_hash())) {
                self.submit(world, order);
            }
        }
        for payment in std::mem::take(&mut self.paid) {
            self.notify(world, payment);
        }
    }

    fn put_sku(&mut self, world: &mut World, id: SkuId) {
        let sku = Sku {
            id,
            product_id: id.0.into(),
            code: "code".to_owned(),
            title: "title".to_owned(),
            price: Money::from_minor(world.random.below(4) as i64),
            on_sale: world.random.percent(95),
            limit_per_member: world.random.below(4) as u32,
        };
        world.put_sku(sku);
    }

    fn submit_new(&mut self, world: &mut World) {
        let request_id = RequestId::new(u128::from(world.random.next()));
        let member = MemberId(world.random.between(1, MEMBERS));
        let order = self.body(world, member, request_id);
        self.submitted.push(order.clone());
        self.submit(world, order);
    }

    fn body(&mut self, world: &mut World, member: MemberId, request_id: RequestId) -> SubmitOrder {
        let random = &mut world.random;
        let lines = if random.percent(60) { 1 } else { random.between(2, 3) };
        let mut order = SubmitOrder { request_id, member_id: member, ..SubmitOrder::default() };
        for _ in 0..lines {
            let quantity = if random.percent(70) { 1 } else { random.between(1, 3) as u32 };
            order.lines.push(OrderLine::new(random.between(1, SKUS), quantity));
        }
        if random.percent(20) {
            order.external_no = Some(format!("web-{}", random.below(EXTERNALS)).into());
        }
        if random.percent(8)
            && let Some(index) = random.index(world.committed.external.len())
        {
            // One that has been used before, perhaps long ago.
            order.external_no = world.committed.external.keys().nth(index).cloned();
        }
        order
    }

    fn submit_again(&mut self, world: &mut World) {
        let Some(index) = world.random.index(self.submitted.len()) else { return };
        // Mostly a recent one, which may be under way still.
        let recent = self.submitted.len() - 1 - (index % 4).min(self.submitted.len() - 1);
        let index = if world.random.percent(60) { recent } else { index };
        let mut order = self.submitted[index].clone();
        if world.random.percent(20) {
            order = self.body(world, order.member_id, order.request_id);
        }
        self.submit(world, order);
    }

    /// Everything at once about one old order, so that its questions to the store cross what changes it.
    fn pester(&mut self, world: &mut World) {
        let Some(index) = world.random.index(self.submitted.len()) else { return };
        let order = self.submitted[index].clone();
        let key = (order.member_id, order.request_id, order.body_hash());
        let Some(receipt) = world.receipts.get(&key).copied() else { return };
        self.submit(world, order);
        self.pay_order(world, receipt.order_no, receipt.pay_amount);
        let caller = Caller::Member(key.0);
        self.read_order(world, receipt.order_no, caller);
    }

    /// The front door, and the way in.
    fn submit(&mut self, world: &mut World, mut order: SubmitOrder) {
        let priced = order.price(None, 0, |sku, price| {
            let (revision, sku) = world.catalogue.get(&sku)?;
            Some(price(*revision, sku))
        });
        let (member, request) = (order.member_id, order.request_id);
        let shared = world.shared();
        let hash = shared.hasher.request(member, request);
        let body_hash = order.body_hash();
        let recalled = shared.refusals.recall(hash);
        let refusal = priced.as_ref().err().copied();
        if refusal.is_some() && !world.may_have_entered(hash) {
            return;
        }
        let no_lines = || Lines::from_vec(Vec::new());
        let lines = priced.as_ref().map_or_else(|_| no_lines(), |priced| priced.lines.clone());

        let mut follows = recalled.is_some();
        for ask in &mut world.asks {
            if let Ask::Submit(other, _) = ask
                && (other.member, other.request) == (member, request)
            {
                other.follows = true;
                follows = true;
            }
        }
        let mut alone = true;
        for ask in &mut world.asks {
            if let Ask::Submit(other, _) = ask
                && other.external_no == order.external_no
            {
                (other.alone, alone) = (false, false);
            }
        }
        let (reply, wait) = answer_to(world, member);
        let ask = SubmitAsk {
            member,
            request,
            body_hash,
            external_no: order.external_no.clone(),
            watch: world.watch_lines(member, &lines),
            follows,
            alone,
            refused: world.remembers_refusal(hash),
            placed: world.committed.requests.get(&(member, request)).copied(),
            refusal,
        };
        world.asks.push(Ask::Submit(Box::new(ask), wait));
        let priced = match priced {
            Ok(priced) => priced,
            // A SKU that went off sale, or whose revision a crash took back.
            Err(refusal) => {
                world.tally.recalls += 1;
                let (member_id, request_id, request_hash) = (member, request, hash);
                let recall = Recall { member_id, request_id, request_hash, body_hash, refusal };
                return world.push_order(Slot::of_member(member), OrderItem::Recall(Box::new(recall), reply));
            }
        };

        let is_sold_out =
            |key: &StockKey| world.process.stock.get(key).is_none_or(|seat| seat.gauge.is_sold_out());
        let sold_out = priced.lines.iter().find(|line| is_sold_out(&line.key));
        if let Some(line) = sold_out
            && !world.may_have_entered(hash)
        {
            let reject = Reject::SoldOut { sku: line.key.sku };
            let code = sticky_code(&reject, &priced.lines).expect("sold out sticks");
            assert_eq!(sticky_reject(code, &priced.lines), reject, "R8: a refusal is remembered as it was");
            shared.refusals.remember(hash, code);
            reply.send(Err(reject));
            return world.hear();
        }
        let admitted = Admitted {
            member_id: member,
            request_id: request,
            request_hash: hash,
            body_hash,
            pay_amount: priced.pay_amount,
            auto_close_ms: world.temper.auto_close_ms,
            deadline_ms: None,
            order_type: order.order_type,
            ends_at_ms: u64::MAX,
            team: None,
            extra: crate::domain::order::OrderExtra::of_text(order.take_text()),
            lines: priced.lines,
            reply,
        };
        world.entering.push(admitted);
    }

    /// An order that a caller knows of: from a receipt, by its external number, or made up.
    pub(super) fn known_order(&self, world: &mut World) -> Option<(OrderNo, MemberId, Money)> {
        let choice = world.random.below(100);
        if choice < 3 {
            // A number that nobody has, or that somebody gets soon.
            let member = MemberId(world.random.between(1, MEMBERS));
            let from_ms = world.committed.numbers_until_ms.saturating_sub(world.temper.lease_ahead_ms);
            let soon_ms = NumberLease::number_time(world.now_ms).max(from_ms) + world.random.below(3);
            let number = OrderNo::compose(soon_ms, Slot::of_member(member), 0);
            return Some((number, member, Money::from_minor(1)));
        }
        if choice < 15 {
            let number = format!("web-{}", world.random.below(EXTERNALS));
            let order_no = world.find_external(&number)?;
            let created = world.appended.orders.get(&order_no).map(|order| &order.created)?;
            return Some((order_no, created.member_id, created.pay_amount));
        }
        let len = world.receipts.len();
        let index = world.random.index(len)?;
        // Mostly one of the latest, since order numbers increase with time.
        let mut all: Vec<_> =
            world.receipts.iter().map(|((member, ..), receipt)| (*receipt, *member)).collect();
        all.sort_by_key(|(receipt, _)| receipt.order_no);
        let recent_to = if world.temper.store.is_some() { 45 } else { 75 };
        let index = if choice < recent_to { len - 1 - (index % 8).min(len - 1) } else { index };
        let (receipt, member) = all[index];
        Some((receipt.order_no, member, receipt.pay_amount))
    }

    fn pay(&mut self, world: &mut World) {
        if world.random.percent(30)
            && let Some(index) = world.random.index(self.paid.len())
        {
            let mut again = self.paid[index].clone();
            if world.random.percent(20)
                && let Some((order_no, _, amount)) = self.known_order(world)
            {
                (again.order, again.amount) = (OrderRef::Number(order_no), amount);
            }
            return self.notify(world, again);
        }
        let Some((order_no, _, amount)) = self.known_order(world) else { return };
        self.pay_order(world, order_no, amount);
    }

    fn pay_order(&mut self, world: &mut World, order_no: OrderNo, amount: Money) {
        let wrong = world.random.percent(5);
        let payment = Payment {
            order: OrderRef::Number(order_no),
            channel: "wechat".into(),
            merchant: "shop".into(),
            transaction_id: world.random.next().to_string().into(),
            amount: if wrong { Money::from_minor(amount.minor() + 1) } else { amount },
        };
        self.paid.push(payment.clone());
        self.notify(world, payment);
    }

    fn notify(&self, world: &mut World, payment: Payment) {
        let OrderRef::Number(order_no) = payment.order else { return };
        let id = payment.id().expect("its key is short");
        let (reply, receiver) = oneshot::channel();
        world.asks.push(Ask::Pay { id, order_no, amount: payment.amount, reply: receiver });
        let request = PayRequest { id, order_no, payment, is_unmatched: false, reply };
        world.push_order(order_no.slot(), OrderItem::Pay(Box::new(request)));
    }

    fn command(&self, world: &mut World) {
        let Some((order_no, member, _)) = self.known_order(world) else { return };
        let caller = match world.random.below(20) {
            0 => Caller::Member(MemberId(member.0 + 1)),
            1..8 => Caller::Operator,
            _ => Caller::Member(member),
        };
        let wish = match world.random.below(10) {
            0..3 => Wish::StartPayment,
            3..6 => Wish::Cancel(match caller {
                Caller::Member(_) => CloseReason::Member,
                Caller::Operator => CloseReason::Operator,
            }),
            6..8 => Wish::Ship,
            _ => Wish::Confirm,
        };
        let action = match wish {
            Wish::StartPayment => Action::StartPayment,
            Wish::Cancel(reason) => Action::Cancel(reason),
            Wish::Ship => Action::Ship(Shipment::default()),
            Wish::Confirm => Action::Confirm,
            Wish::Later(_) => return,
        };
        let (reply, receiver) = oneshot::channel();
        let visible = asks::visible(&world.committed, order_no, caller);
        world.asks.push(Ask::Command { order_no, caller, wish, visible, reply: receiver });
        let request = CommandRequest { order_no, caller, action, reply: CommandReply::Receipt(reply) };
        world.push_order(order_no.slot(), OrderItem::Command(Box::new(request)));
    }

    fn adjust_some(&mut self, world: &mut World) {
        if world.random.percent(30)
            && let Some(index) = world.random.index(self.adjusted.len())
        {
            let (key, id, change) = self.adjusted[index];
            let change = if world.random.percent(20) { StockChange::Relative(7) } else { change };
            return self.send_adjustment(world, key, id, change);
        }
        let key = StockKey::normal(SkuId(world.random.between(1, SKUS)));
        let change = match world.random.below(3) {
            0 => StockChange::Relative(world.random.between(1, 3) as i64),
            1 => StockChange::Relative(-(world.random.between(1, 2) as i64)),
            _ => StockChange::Absolute(world.random.below(12)),
        };
        self.adjust(world, key, change);
    }

    fn adjust(&mut self, world: &mut World, key: StockKey, change: StockChange) {
        let id = AdjustmentId(u128::from(world.random.next()));
        self.adjusted.push((key, id, change));
        self.send_adjustment(world, key, id, change);
    }

    fn send_adjustment(&self, world: &mut World, key: StockKey, id: AdjustmentId, change: StockChange) {
        let (reply, receiver) = oneshot::channel();
        world.asks.push(Ask::Adjust { key, id, change, reply: receiver });
        world.stock_seat(key).push(StockItem::Adjust(Box::new(Adjust { id, change, counted: 0, reply })));
    }

    fn read(&self, world: &mut World) {
        if world.random.percent(25) {
            let key = StockKey::normal(SkuId(world.random.between(1, SKUS)));
            let (reply, receiver) = oneshot::channel();
            world.asks.push(Ask::Stock { reply: receiver });
            return world.stock_seat(key).push(StockItem::Read(reply));
        }
        let Some((order_no, member, _)) = self.known_order(world) else { return };
        if world.random.percent(40) {
            let (reply, receiver) = oneshot::channel();
            let before = world.random.percent(50).then_some(order_no);
            let len_max = world.random.between(1, 6) as usize;
            let seen = world.committed.orders.iter().rev();
            let seen = seen
                .filter(|(number, order)| {
                    order.created.member_id == member && before.is_none_or(|before| **number < before)
                })
                .map(|(number, order)| (*number, order.version));
            let page = PageAsk { member, before, len_max, seen: seen.collect() };
            world.asks.push(Ask::Orders { page, reply: receiver });
            let query = Query::OrdersOf { member, before, len_max, reply };
            return world.push_order(Slot::of_member(member), OrderItem::Query(query));
        }
        let caller =
            if world.random.percent(10) { Caller::Member(MemberId(99)) } else { Caller::Member(member) };
        self.read_order(world, order_no, caller);
    }

    fn read_order(&self, world: &mut World, order_no: OrderNo, caller: Caller) {
        let seen = world.committed.orders.get(&order_no).map(|order| order.version);
        let seen = seen.filter(|_| asks::visible(&world.committed, order_no, caller));
        let (reply, receiver) = oneshot::channel();
        world.asks.push(Ask::Order { order_no, caller, seen, reply: receiver });
        world.push_order(order_no.slot(), OrderItem::Query(Query::Order { order_no, caller, reply }));
    }
}

/// Where the answer to a submission goes and comes in: some are asynchronous, and are promised a number.
fn answer_to(world: &mut World, member: MemberId) -> (SubmitReply, SubmitWait) {
    if world.random.percent(25)
        && let Ok(pledge) = Promises::new(1).make(member, &world.shared().lease, world.now_ms)
    {
        return (SubmitReply::promise(Arc::clone(&pledge)), SubmitWait::Promise(pledge));
    }
    let (sender, receiver) = oneshot::channel();
    (SubmitReply::one(sender), SubmitWait::Receipt(receiver))
}
