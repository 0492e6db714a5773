//! The audit's own memory of coupons: issued once, in one order at a time, used at most once, given back only at a close;
//! and an order's coupons move in the same entry as the order, all of them, and no others.

use hashbrown::HashMap;

use super::orders::{OrderBook, Standing};
use super::report::{CouponTally, Findings, Rule};
use crate::domain::coupon::{Coupon, CouponEvent, CouponState, CouponStep};
use crate::domain::event::Event;
use crate::domain::ids::{CouponId, MemberId, OrderNo, Slot};
use crate::domain::order::{CloseReason, SpentCoupon};

/// Where a coupon moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Lock,
    Use,
    Return,
}

/// The coupons of one order.
#[derive(Debug)]
struct Spent {
    member: MemberId,
    coupons: Box<[CouponId]>,
}

/// All coupons that the journal has issued, and the orders that use some.
#[derive(Debug, Default)]
pub(super) struct CouponBook {
    coupons: HashMap<(MemberId, CouponId), Coupon>,
    orders: HashMap<OrderNo, Spent>,
}

impl CouponBook {
    /// Takes one entry: an order's coupons move as it does, and no others.
    pub(super) fn entry(&mut self, events: &[Event], findings: &mut Findings) {
        let created = events.iter().find_map(|event| match event {
            Event::OrderCreated(created) => Some(created),
            _ => None,
        });
        if let Some(created) = created {
            self.know_order(created.order_no, created.member_id, created.extra.coupons());
        }
        let has_coupons = matches!(events.last(), Some(Event::Coupon(_)));
        if !has_coupons && self.orders.is_empty() {
            return;
        }
        let order_no = events.iter().find_map(Event::order_version).map(|(order_no, _)| order_no);
        let expected = order_no.map_or_else(Vec::new, |order_no| self.expected(order_no, events));
        let mut found = Vec::new();
        for event in events {
            let Event::Coupon(event) = event else { continue };
            let CouponStep { member, coupon, .. } = *event.step();
            match **event {
                CouponEvent::Issued { .. } => {}
                CouponEvent::Locked { .. } => found.push((Move::Lock, member, coupon)),
                CouponEvent::Used { .. } => found.push((Move::Use, member, coupon)),
                CouponEvent::Returned { .. } => found.push((Move::Return, member, coupon)),
            }
            let is_own = event.order_no().is_none_or(|named| Some(named) == order_no);
            findings.check(is_own, Rule::Coupons, || {
                format!("{} of {coupon} names another order than the one that moves it", event.name())
            });
            self.event(event, findings);
        }
        findings.check(found == expected, Rule::Coupons, || {
            let order = order_no.map_or_else(|| "no order".to_owned(), |order_no| order_no.to_string());
            format!("order {order} moves the coupons {found:?}, expected {expected:?}")
        });
    }

    /// An order uses these coupons.
    pub(super) fn know_order(&mut self, order_no: OrderNo, member: MemberId, spent: &[SpentCoupon]) {
        if !spent.is_empty() {
            let coupons = spent.iter().map(|spent| spent.coupon).collect();
            self.orders.insert(order_no, Spent { member, coupons });
        }
    }

    /// A coupon stands as the store says.
    pub(super) fn know(&mut self, member: MemberId, id: CouponId, coupon: Coupon) {
        self.coupons.insert((member, id), coupon);
    }

    /// The coupon as it stands.
    pub(super) fn get(&self, member: MemberId, id: CouponId) -> Option<&Coupon> {
        self.coupons.get(&(member, id))
    }

    /// All coupons, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (MemberId, CouponId, &Coupon)> {
        self.coupons.iter().map(|((member, id), coupon)| (*member, *id, coupon))
    }

    /// Coupons by where they stand.
    pub(super) fn tally(&self) -> CouponTally {
        let mut tally = CouponTally { issued: self.coupons.len() as u64, ..CouponTally::default() };
        for coupon in self.coupons.values() {
            *match coupon.state {
                CouponState::Free => &mut tally.free,
                CouponState::Locked(_) => &mut tally.locked,
                CouponState::Used(_) => &mut tally.used,
            } += 1;
        }
        tally
    }

    /// Every coupon stands where its order does, and every order's coupons are there. For a state that was not made by
    /// events.
    pub(super) fn check_standing(&self, orders: &OrderBook, findings: &mut Findings) {
        for (member, id, coupon) in self.iter() {
            let (CouponState::Locked(order_no) | CouponState::Used(order_no)) = coupon.state else {
                continue;
            };
            let spent = self.orders.get(&order_no);
            let is_its = spent.is_some_and(|spent| spent.member == member && spent.coupons.contains(&id));
            findings.check(is_its, Rule::Store, || {
                format!("coupon {id} of member {member} is {:?}, which doesn't use it", coupon.state)
            });
        }
        for (order_no, Spent { member, coupons }) in &self.orders {
            let Some(standing) = orders.get(*order_no).map(|order| order.standing()) else { continue };
            for id in coupons {
                let state = self.get(*member, *id).map(|coupon| coupon.state);
                let fits = match standing {
                    Standing::Pending => state == Some(CouponState::Locked(*order_no)),
                    Standing::Paid | Standing::PartiallyShipped | Standing::Shipped | Standing::Completed => {
                        state == Some(CouponState::Used(*order_no))
                    }
                    // Given back, and perhaps in another order by now; or expired before it could be.
                    Standing::Cancelled(_) => state.is_some(),
                };
                findings.check(fits, Rule::Store, || {
                    format!("order {order_no} is {}, and its coupon {id} is {state:?}", standing.name())
                });
            }
        }
    }

    /// What becomes of an order's coupons by these events of it.
    fn expected(&self, order_no: OrderNo, events: &[Event]) -> Vec<(Move, MemberId, CouponId)> {
        let Some(Spent { member, coupons }) = self.orders.get(&order_no) else { return Vec::new() };
        let all = |to: Move| coupons.iter().map(move |id| (to, *member, *id));
        let has = |name: &str| events.iter().any(|event| event.name() == name);
        let (revived, paid) = (has("OrderRevived"), has("OrderPaid"));
        let closed = events.iter().find_map(|event| match event {
            // What was paid and refunded has used them.
            Event::OrderClosed { step, reason, .. } if *reason != CloseReason::Refunded => Some(step.at_ms),
            _ => None,
        });
        match closed {
            // Also of an order that was closed and revived by the same decision: it was never without them.
            Some(_) if paid => all(Move::Use).collect(),
            // Only what is still valid is given back.
            Some(at_ms) => all(Move::Return)
                .filter(|(_, member, id)| {
                    self.get(*member, *id).is_some_and(|coupon| at_ms < coupon.valid_until_ms)
                })
                .collect(),
            None => {
                let locks = (revived || has("OrderCreated")).then_some(Move::Lock);
                let uses = paid.then_some(Move::Use);
                locks.into_iter().chain(uses).flat_map(all).collect()
            }
        }
    }

    fn event(&mut self, event: &CouponEvent, findings: &mut Findings) {
        let CouponStep { at_ms, coupon: id, member, valid_from_ms, valid_until_ms } = *event.step();
        let before = self.coupons.get(&(member, id)).copied();
        let (state, follows) = match (event, before.map(|coupon| coupon.state)) {
            (CouponEvent::Issued { .. }, before) => (CouponState::Free, before.is_none()),
            (CouponEvent::Locked { order_no, .. }, before) => {
                (CouponState::Locked(*order_no), before == Some(CouponState::Free))
            }
            (CouponEvent::Used { order_no, .. }, before) => {
                (CouponState::Used(*order_no), before == Some(CouponState::Locked(*order_no)))
            }
            (CouponEvent::Returned { order_no, .. }, before) => {
                let had = [CouponState::Locked(*order_no), CouponState::Used(*order_no)];
                (CouponState::Free, before.is_some_and(|before| had.contains(&before)))
            }
        };
        findings.check(follows, Rule::Coupons, || {
            format!("{} of coupon {id} of member {member}, which is {before:?}", event.name())
        });
        let same = before.is_none_or(|before| {
            (before.valid_from_ms, before.valid_until_ms) == (valid_from_ms, valid_until_ms)
        });
        findings.check(same, Rule::Coupons, || {
            format!("{} of coupon {id} of member {member} changes its validity", event.name())
        });
        let in_time = match event {
            CouponEvent::Locked { .. } => (valid_from_ms..valid_until_ms).contains(&at_ms),
            CouponEvent::Issued { .. } | CouponEvent::Returned { .. } => at_ms < valid_until_ms,
            CouponEvent::Used { .. } => true,
        };
        findings.check(in_time, Rule::Coupons, || {
            format!(
                "{} of coupon {id} at {at_ms} ms: valid from {valid_from_ms} to {valid_until_ms}",
                event.name()
            )
        });
        let in_slot = event.order_no().is_none_or(|order_no| order_no.slot() == Slot::of_member(member));
        findings.check(in_slot, Rule::Coupons, || {
            format!("{} of coupon {id} names an order of another slot than member {member}'s", event.name())
        });
        self.know(member, id, Coupon { valid_from_ms, valid_until_ms, state });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{OrderCreated, OrderStep};
    use crate::domain::ids::{CouponTermsId, PaymentId, RequestId, SkuId, StockKey};
    use crate::domain::money::Money;
    use crate::domain::order::{Line, Lines, OrderExtra, OrderTerms};
    use crate::domain::order_type::OrderType;

    const MEMBER: MemberId = MemberId(7);
    const COUPON: CouponId = CouponId::new(5 << 64 | 1);
    const OTHER: CouponId = CouponId::new(5 << 64 | 2);
    const END_MS: u64 = 100;

    fn number(nth: u64) -> OrderNo {
        OrderNo::compose(nth, Slot::of_member(MEMBER), 0)
    }

    fn step(at_ms: u64, coupon: CouponId) -> CouponStep {
        CouponStep { at_ms, coupon, member: MEMBER, valid_from_ms: 10, valid_until_ms: END_MS }
    }

    fn issued(coupon: CouponId) -> Vec<Event> {
        vec![coupon_event(CouponEvent::Issued { step: step(1, coupon) })]
    }

    fn locked(nth: u64, at_ms: u64) -> Event {
        coupon_event(CouponEvent::Locked { step: step(at_ms, COUPON), order_no: number(nth) })
    }

    fn used(nth: u64, at_ms: u64) -> Event {
        coupon_event(CouponEvent::Used { step: step(at_ms, COUPON), order_no: number(nth) })
    }

    fn returned(nth: u64, at_ms: u64) -> Event {
        coupon_event(CouponEvent::Returned { step: step(at_ms, COUPON), order_no: number(nth) })
    }

    fn coupon_event(event: CouponEvent) -> Event {
        Event::Coupon(Box::new(event))
    }

    fn created(nth: u64, at_ms: u64) -> Event {
        let spent = SpentCoupon {
            coupon: COUPON,
            terms: CouponTermsId(5),
            amount: Money::ZERO,
            valid_until_ms: END_MS,
        };
        let key = StockKey::normal(SkuId(1));
        Event::OrderCreated(Box::new(OrderCreated {
            order_no: number(nth),
            member_id: MEMBER,
            request_id: RequestId::new(u128::from(nth)),
            body_hash: 0,
            order_type: OrderType::Normal,
            at_ms,
            auto_close_ms: 0,
            pay_amount: Money::ZERO,
            lines: Lines::one(Line {
                key,
                quantity: 1,
                price: Money::ZERO,
                revision: 1,
                limit_per_member: 0,
            }),
            extra: OrderExtra {
                text: None,
                terms: Some(Box::new(OrderTerms { coupons: vec![spent], ..OrderTerms::default() })),
            },
        }))
    }

    fn paid(nth: u64, at_ms: u64) -> Event {
        let payment = PaymentId::of("a", "b", "c");
        Event::OrderPaid { step: order_step(nth, at_ms), payment, units: Vec::new() }
    }

    fn revived(nth: u64, at_ms: u64) -> Event {
        Event::OrderRevived { step: order_step(nth, at_ms), units: Vec::new() }
    }

    fn closed(nth: u64, at_ms: u64) -> Event {
        let reason = CloseReason::Timeout;
        Event::OrderClosed { step: order_step(nth, at_ms), reason, units: Vec::new() }
    }

    fn order_step(nth: u64, at_ms: u64) -> OrderStep {
        OrderStep { order_no: number(nth), version: 2, at_ms }
    }

    fn placed(nth: u64, at_ms: u64) -> Vec<Event> {
        vec![created(nth, at_ms), locked(nth, at_ms)]
    }

    /// Violations in these entries.
    fn violations(entries: &[Vec<Event>]) -> u64 {
        let (mut book, mut findings) = (CouponBook::default(), Findings::new(10));
        entries.iter().for_each(|events| book.entry(events, &mut findings));
        findings.into_parts().0
    }

    #[test]
    fn coupons_that_move_with_their_orders_are_fine() {
        let lives = [
            vec![placed(1, 20), vec![paid(1, 200), used(1, 200)]],
            vec![placed(1, 20), vec![closed(1, 99), returned(1, 99)], placed(2, 99)],
            vec![placed(1, 20), vec![closed(1, 100)]],
            vec![placed(1, 20), vec![closed(1, 200), revived(1, 200), paid(1, 200), used(1, 200)]],
            vec![
                placed(1, 20),
                vec![closed(1, 30), returned(1, 30)],
                vec![revived(1, 40), paid(1, 40), locked(1, 40), used(1, 40)],
                vec![closed(1, 50), returned(1, 50)],
            ],
        ];
        for life in lives {
            let entries: Vec<_> = [issued(COUPON)].into_iter().chain(life).collect();
            assert_eq!(violations(&entries), 0, "{entries:?}");
        }
    }

    #[test]
    fn coupons_that_pay_twice_or_move_by_themselves_are_found() {
        let lives = [
            // Issued twice, never issued, locked by two orders.
            vec![issued(COUPON), issued(COUPON)],
            vec![placed(1, 20)],
            vec![issued(COUPON), placed(1, 20), placed(2, 20)],
            // Placed without its coupon, or with one that it doesn't name.
            vec![issued(COUPON), vec![created(1, 20)]],
            vec![issued(COUPON), issued(OTHER), {
                let step = step(20, OTHER);
                vec![created(1, 20), coupon_event(CouponEvent::Locked { step, order_no: number(1) })]
            }],
            // Too early, too late.
            vec![issued(COUPON), placed(1, 9)],
            vec![issued(COUPON), placed(1, END_MS)],
            // Paid without using it, used without being paid, used and locked again.
            vec![issued(COUPON), placed(1, 20), vec![paid(1, 30)]],
            vec![issued(COUPON), placed(1, 20), vec![used(1, 30)]],
            vec![issued(COUPON), placed(1, 20), vec![paid(1, 30), used(1, 30)], placed(2, 40)],
            // Kept at a close, given back too late, given back by another order.
            vec![issued(COUPON), placed(1, 20), vec![closed(1, 30)]],
            vec![issued(COUPON), placed(1, 20), vec![closed(1, END_MS), returned(1, END_MS)]],
            vec![issued(COUPON), placed(1, 20), vec![closed(1, 30), returned(2, 30)]],
        ];
        for life in lives {
            assert!(violations(&life) > 0, "{life:?}");
        }
    }
}
