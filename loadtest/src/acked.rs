//! The harness's own log of what the engine acknowledged, and its comparison with what the journal holds.
//!
//! Clients keep their acknowledgements in plain lists of their own ([`AckList`]), so that remembering costs the
//! measured path next to nothing. Afterwards [`Acknowledged`] reads every journaled event past them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use stockade::domain::event::Event;
use stockade::domain::order::{Lines, Order};
use stockade::{CloseReason, MemberId, OrderNo, OrderRef, PaymentId, RequestId, StockKey, TimelineEntry};

use crate::plan::Plan;
use crate::shop;

/// Problems that are described; all are counted.
const PROBLEMS_KEPT: usize = 20;

/// Something that the engine said about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    Placed,
    PaymentStarted,
    Paid,
    RefundRequired,
    Cancelled,
    TimedOut,
    Shipped,
    Received,
}

impl Fact {
    const ALL: [Self; 8] = [
        Self::Placed,
        Self::PaymentStarted,
        Self::Paid,
        Self::RefundRequired,
        Self::Cancelled,
        Self::TimedOut,
        Self::Shipped,
        Self::Received,
    ];

    /// One letter, for the protocol between processes.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Placed => 'O',
            Self::PaymentStarted => 'S',
            Self::Paid => 'P',
            Self::RefundRequired => 'R',
            Self::Cancelled => 'C',
            Self::TimedOut => 'T',
            Self::Shipped => 'H',
            Self::Received => 'D',
        }
    }

    /// The fact that a letter stands for.
    pub(crate) fn from_letter(letter: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fact| letter.chars().eq([fact.letter()]))
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }

    fn of_event(event: &Event) -> Option<Self> {
        match event {
            Event::OrderCreated(_) => Some(Self::Placed),
            Event::PaymentStarted { .. } => Some(Self::PaymentStarted),
            Event::OrderPaid { .. } => Some(Self::Paid),
            Event::RefundRequired { .. } => Some(Self::RefundRequired),
            Event::OrderClosed { reason: CloseReason::Timeout, .. } => Some(Self::TimedOut),
            Event::OrderClosed { .. } => Some(Self::Cancelled),
            Event::OrderShipped { .. } => Some(Self::Shipped),
            Event::OrderReceived { .. } => Some(Self::Received),
            Event::NumbersReserved { .. }
            | Event::SkuPut { .. }
            | Event::SettingPut { .. }
            | Event::StockTransferred { .. }
            | Event::StockAdjusted { .. }
            | Event::OrderRevived { .. }
            | Event::LimitImported { .. }
            | Event::Task(_)
            | Event::Team(_)
            | Event::Order { .. }
            | Event::PaymentUnmatched { .. }
            | Event::UnmatchedRefund { .. }
            | Event::Coupon(_)
            | Event::OperatorActed(_)
            | Event::PaymentReceived { .. } => None,
        }
    }
}

/// The facts that an order's timeline shows after it was placed.
pub(crate) fn shown(
    timeline: &[TimelineEntry],
    close_reason: Option<CloseReason>,
) -> impl Iterator<Item = Fact> {
    let last_revival = timeline.iter().rposition(|entry| entry.event == "OrderRevived");
    timeline.iter().enumerate().filter_map(move |(index, entry)| match entry.event {
        "PaymentStarted" => Some(Fact::PaymentStarted),
        "OrderPaid" => Some(Fact::Paid),
        "RefundRequired" => Some(Fact::RefundRequired),
        "OrderShipped" => Some(Fact::Shipped),
        "OrderReceived" => Some(Fact::Received),
        // What was revived had timed out: nothing else can be undone.
        "OrderClosed" if last_revival.is_some_and(|revival| revival > index) => Some(Fact::TimedOut),
        "OrderClosed" if close_reason == Some(CloseReason::Timeout) => Some(Fact::TimedOut),
        "OrderClosed" => Some(Fact::Cancelled),
        _ => None,
    })
}

/// One acknowledgement: a fact about the order of the n-th buyer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    pub(crate) order_no: OrderNo,
    pub(crate) n: u64,
    pub(crate) fact: Fact,
}

/// The acknowledgements of one client.
pub(crate) type AckList = Vec<Ack>;

/// What is known of one acknowledged order.
#[derive(Clone, Copy, Debug)]
struct Known {
    n: u64,
    acked: u8,
    seen: u8,
}

/// Problems: counted, the first ones described.
#[derive(Clone, Debug, Default)]
pub(crate) struct Problems {
    total: u64,
    kept: Vec<String>,
}

impl Problems {
    pub(crate) fn add(&mut self, message: impl FnOnce() -> String) {
        self.total += 1;
        if self.kept.len() < PROBLEMS_KEPT {
            self.kept.push(message());
        }
    }

    pub(crate) fn append(&mut self, other: Self) {
        self.total += other.total;
        self.kept.extend(other.kept);
        self.kept.truncate(PROBLEMS_KEPT);
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(crate) fn kept(&self) -> &[String] {
        &self.kept
    }
}

/// All acknowledgements of a run, against which the journal is read.
pub(crate) struct Acknowledged {
    plan: Plan,
    orders: HashMap<OrderNo, Known>,
    problems: Problems,
}

impl Acknowledged {
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan, orders: HashMap::new(), problems: Problems::default() }
    }

    /// Takes acknowledgements over.
    pub(crate) fn extend(&mut self, acks: impl IntoIterator<Item = Ack>) {
        for Ack { order_no, n, fact } in acks {
            match self.orders.entry(order_no) {
                Entry::Vacant(vacant) => {
                    vacant.insert(Known { n, acked: fact.bit(), seen: 0 });
                }
                Entry::Occupied(mut known) => {
                    let known = known.get_mut();
                    known.acked |= fact.bit();
                    if known.n != n {
                        let first = known.n;
                        self.problems.add(|| format!("order {order_no} was given to buyers {first} and {n}"));
                    }
                }
            }
        }
    }

    /// Whether there is nothing to look for.
    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }

    /// Reads an entry of the journal: marks what it shows, compares new orders with what their buyers asked for.
    pub(crate) fn read(&mut self, events: &[Event]) {
        for event in events {
            let Some(fact) = Fact::of_event(event) else { continue };
            let Some((order_no, _)) = event.order_version() else { continue };
            // An order that nobody was told about may be there after a crash.
            let Some(known) = self.orders.get_mut(&order_no) else { continue };
            known.seen |= fact.bit();
            let n = known.n;
            match event {
                Event::OrderCreated(created) => {
                    let asked = (created.member_id, created.request_id, &created.lines);
                    self.compare(order_no, n, asked);
                }
                Event::OrderPaid { payment, .. } | Event::RefundRequired { payment, .. } => {
                    self.compare_payment(order_no, n, *payment);
                }
                _ => {}
            }
        }
    }

    /// Reads an order of the store in the same way: what its timeline shows need not be in the journal any more.
    pub(crate) fn read_stored(&mut self, order: &Order) {
        let order_no = order.order_no;
        let Some(known) = self.orders.get_mut(&order_no) else { return };
        let n = known.n;
        known.seen |= Fact::Placed.bit();
        let history = order.history.as_deref();
        let timeline = history.map_or(&[][..], |history| &history.timeline);
        for fact in shown(timeline, order.close_reason) {
            known.seen |= fact.bit();
        }
        self.compare(order_no, n, (order.member_id, order.request_id, &order.lines));
        let refunds = history.into_iter().flat_map(|history| &history.refunds).map(|refund| refund.payment);
        for payment in history.and_then(|history| history.paid_by).into_iter().chain(refunds) {
            self.compare_payment(order_no, n, payment);
        }
    }

    /// What the engine shows of an order of buyer `n`: everything that was acknowledged must be there.
    pub(crate) fn compare_shown(&self, order_no: OrderNo, letters: &str, problems: &mut Problems) {
        let Some(known) = self.orders.get(&order_no).copied() else { return };
        for fact in Fact::ALL {
            if known.acked & fact.bit() != 0 && !letters.contains(fact.letter()) {
                let n = known.n;
                problems.add(|| {
                    format!("order {order_no} (buyer {n}) shows {letters}, {fact:?} was acknowledged")
                });
            }
        }
    }

    /// An order is what its buyer asked for.
    fn compare(
        &mut self,
        order_no: OrderNo,
        n: u64,
        (member, request, lines): (MemberId, RequestId, &Lines),
    ) {
        let asked = self.plan.order(n);
        let wanted = asked.lines.iter().map(|line| (StockKey::normal(line.sku_id), line.quantity));
        let mut wanted: Vec<_> = wanted.collect();
        wanted.sort_unstable();
        let same = member == asked.member_id
            && request == asked.request_id
            && lines.iter().map(|line| (line.key, line.quantity)).eq(wanted);
        if !same {
            self.problems.add(|| format!("order {order_no} is not what buyer {n} asked for"));
        }
    }

    fn compare_payment(&mut self, order_no: OrderNo, n: u64, payment: PaymentId) {
        let own = shop::payment(OrderRef::Number(order_no), n, stockade::Money::ZERO).id();
        if own != Ok(payment) {
            self.problems.add(|| format!("order {order_no} settles a payment not of buyer {n}"));
        }
    }

    /// How many acknowledgements journal and store lack, and what else is wrong. May be read past others then.
    pub(crate) fn finish(&mut self) -> (u64, Problems) {
        let mut problems = std::mem::take(&mut self.problems);
        let mut lost = 0;
        for (order_no, known) in &mut self.orders {
            let missing = known.acked & !known.seen;
            lost += u64::from(missing.count_ones());
            for fact in Fact::ALL {
                if missing & fact.bit() != 0 {
                    let n = known.n;
                    problems.add(|| {
                        format!("{fact:?} of order {order_no} (buyer {n}) was acknowledged and is lost")
                    });
                }
            }
            known.seen = 0;
        }
        (lost, problems)
    }
}

#[cfg(test)]
mod tests {
    use stockade::domain::event::{OrderCreated, OrderStep};
    use stockade::domain::order::{Line, Lines};
    use stockade::{MemberId, Money, OrderType, Slot};

    use super::*;
    use crate::plan::Baskets;

    const PLAN: Plan = Plan { seed: 3, skus: 4, baskets: Baskets::Plain { lines: 1 } };

    fn number(n: u64) -> OrderNo {
        OrderNo::compose(n, Slot::of_member(MemberId(n)), 0)
    }

    fn created(n: u64, quantity: u32) -> Event {
        let asked = PLAN.order(n);
        Event::OrderCreated(Box::new(OrderCreated {
            order_no: number(n),
            member_id: asked.member_id,
            request_id: asked.request_id,
            body_hash: 0,
            order_type: OrderType::Normal,
            at_ms: 0,
            auto_close_ms: 1,
            pay_amount: Money::ZERO,
            lines: Lines::one(Line {
                key: StockKey::normal(asked.lines[0].sku_id),
                quantity,
                price: Money::ZERO,
                revision: 1,
                limit_per_member: 0,
            }),
            extra: Default::default(),
        }))
    }

    fn closed(n: u64, reason: CloseReason) -> Event {
        let step = OrderStep { order_no: number(n), version: 2, at_ms: 1 };
        Event::OrderClosed { step, reason, units: Vec::new() }
    }

    fn acknowledged(acks: &[(u64, Fact)]) -> Acknowledged {
        let mut acknowledged = Acknowledged::new(PLAN);
        acknowledged.extend(acks.iter().map(|(n, fact)| Ack { order_no: number(*n), n: *n, fact: *fact }));
        acknowledged
    }

    #[test]
    fn what_was_acknowledged_and_is_there_is_not_lost() {
        let mut acknowledged = acknowledged(&[(1, Fact::Placed), (2, Fact::Placed), (2, Fact::Cancelled)]);
        acknowledged.read(&[created(1, 1)]);
        acknowledged.read(&[created(2, 1)]);
        acknowledged.read(&[created(3, 1)]);
        acknowledged.read(&[closed(2, CloseReason::Member)]);
        let (lost, problems) = acknowledged.finish();
        assert_eq!((lost, problems.total()), (0, 0), "{problems:?}");
    }

    #[test]
    fn a_lost_order_and_a_lost_close_are_found_each_time() {
        let mut acknowledged = acknowledged(&[(1, Fact::Placed), (2, Fact::Placed), (2, Fact::TimedOut)]);
        for _ in 0..2 {
            acknowledged.read(&[created(2, 1)]);
            // Closed by somebody else: the timeout that was seen is not there.
            acknowledged.read(&[closed(2, CloseReason::Member)]);
            assert_eq!(acknowledged.finish().0, 2);
        }
    }

    #[test]
    fn an_order_of_something_else_is_a_problem() {
        let mut acknowledged = acknowledged(&[(1, Fact::Placed)]);
        acknowledged.read(&[created(1, 2)]);
        let (lost, problems) = acknowledged.finish();
        assert_eq!((lost, problems.total()), (0, 1));
    }

    #[test]
    fn one_number_for_two_buyers_is_a_problem() {
        let mut acknowledged = Acknowledged::new(PLAN);
        acknowledged.extend([1, 2].map(|n| Ack { order_no: number(1), n, fact: Fact::Placed }));
        acknowledged.read(&[created(1, 1)]);
        assert_eq!(acknowledged.finish().1.total(), 1);
    }

    #[test]
    fn letters_stand_for_facts() {
        for fact in Fact::ALL {
            assert_eq!(Fact::from_letter(&fact.letter().to_string()), Some(fact));
        }
        assert_eq!(Fact::from_letter("x"), None);
    }
}
