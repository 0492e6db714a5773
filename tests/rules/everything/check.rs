//! What must hold once a seed has come to rest, by what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use stockade::{
    Caller, CloseReason, CouponState, Event, OrderStatus, OrderView, Page, PaymentId, PaymentResult, Refund,
    RefundCause, RefundNo, RefundReason, RefundState, StockChange, TeamEvent, TeamId, TeamState,
};

use super::{MEMBERS, SKUS, World, change, pools};
use crate::support::*;

/// Every deadline, and all that follows from one, is over by then.
const REST_MS: u64 = 400_000;

impl World {
    /// Lets everything fall due, and checks it.
    pub(super) async fn check(&mut self) {
        let adjustments = std::mem::take(&mut self.book.lock().unwrap().adjustments);
        let mut put_in: BTreeMap<u64, u64> = BTreeMap::new();
        for adjustment in adjustments {
            answered(self.shop.adjust_stock(adjustment)).await.unwrap();
            let StockChange::Relative(units) = adjustment.change else { continue };
            *put_in.entry(adjustment.key.sku.0).or_default() += units as u64;
        }
        for _ in 0..8 {
            self.shop.time.advance(REST_MS / 8);
            self.shop.settle().await;
        }
        let orders = self.rest().await;
        audit(&self.shop.journal);
        assert_no_prefix_oversells(&self.shop.journal);
        self.check_receipts(&orders);
        self.check_stock(&put_in).await;
        self.check_money(&orders).await;
        self.check_coupons(&orders).await;
        self.check_teams(&orders).await;
        self.check_replay().await;
        audit(&self.shop.journal);
    }

    async fn all_orders(&self) -> BTreeMap<u64, OrderView> {
        let mut found = BTreeMap::new();
        for member in 1..=MEMBERS {
            let mut before = None;
            loop {
                let page = self.shop.orders_of(member, Page { before, len_max: 100 }).await.unwrap();
                found.extend(page.orders.into_iter().map(|order| (order.order_no.get(), order)));
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
        }
        found
    }

    /// All orders, once none is pending and nothing more is written.
    async fn rest(&self) -> BTreeMap<u64, OrderView> {
        answered(async {
            loop {
                let before = self.shop.metrics().appended;
                self.shop.settle().await;
                let orders = self.all_orders().await;
                let pending = orders.values().any(|order| order.status == OrderStatus::Pending);
                if !pending && self.shop.metrics().appended == before {
                    return orders;
                }
            }
        })
        .await
    }

    fn check_receipts(&self, orders: &BTreeMap<u64, OrderView>) {
        let book = self.book.lock().unwrap();
        for (request, receipt) in &book.placed {
            let order = &orders[&receipt.order_no.get()];
            assert_eq!(order.member_id, request.member_id);
            let changed = order.timeline.iter().any(|entry| format!("{entry:?}").contains("PriceChanged"));
            assert!(changed || order.pay_amount == receipt.pay_amount, "{receipt:?}: {order:?}");
        }
        // Nothing was placed twice for one request.
        let requests: BTreeSet<_> = book.placed.iter().map(|(_, receipt)| receipt.order_no).collect();
        assert_eq!(requests.len(), book.placed.len());
    }

    async fn check_stock(&self, put_in: &BTreeMap<u64, u64>) {
        for sku in 1..=SKUS {
            let mut total = 0;
            for (index, pool) in pools(sku).into_iter().enumerate() {
                let counters = self.shop.stock(pool).await.unwrap();
                assert!(counters.balanced(), "{pool}: {counters:?}");
                assert_eq!((counters.held, counters.reserved), (0, 0), "{pool}: {counters:?}");
                assert!(index == 0 || counters.available == 0, "it is over: {pool}: {counters:?}");
                total += counters.total;
            }
            assert_eq!(total, put_in[&sku], "units of sku {sku}");
        }
    }

    async fn check_money(&self, orders: &BTreeMap<u64, OrderView>) {
        let mut owed: BTreeMap<PaymentId, Vec<&Refund>> = BTreeMap::new();
        let mut paid: BTreeMap<PaymentId, &OrderView> = BTreeMap::new();
        for order in orders.values() {
            for refund in &order.refunds {
                if matches!(refund.cause, RefundCause::Obligation(_)) {
                    owed.entry(refund.payment).or_default().push(refund);
                }
            }
            if let Some(payment) = order.paid_by {
                assert!(paid.insert(payment, order).is_none(), "{payment} paid two orders");
                let back = order.refunds.iter().filter(|refund| refund.payment == payment);
                let back: i64 =
                    back.filter(|refund| refund.state.counts()).map(|refund| refund.amount.minor()).sum();
                assert!((0..=order.pay_amount.minor()).contains(&back), "{back} of {order:#?}");
                if order.close_reason == Some(CloseReason::TeamFailed) {
                    assert_eq!(back, order.pay_amount.minor(), "all of it: {order:#?}");
                }
            }
        }
        let payments = self.book.lock().unwrap().payments.clone();
        for (payment, outcome) in payments {
            let again = answered(self.shop.pay(payment.clone())).await;
            assert_eq!(again.as_ref(), Ok(&outcome), "R8: {payment:?}");
            let id = payment.id().unwrap();
            let refunds = owed.get(&id).map_or(&[][..], Vec::as_slice);
            match outcome.result {
                PaymentResult::Paid => {
                    let order = paid.get(&id).unwrap_or_else(|| panic!("{payment:?} paid nothing"));
                    assert_eq!(order.order_no, outcome.order_no);
                    let failed = order.close_reason == Some(CloseReason::TeamFailed);
                    let gone = refunds.iter().map(|refund| &refund.cause).all(|cause| {
                        matches!(
                            cause,
                            RefundCause::Obligation(RefundReason::TeamFailed | RefundReason::TeamDissolved)
                        )
                    });
                    assert!(gone && (refunds.len() <= 1), "{payment:?}: {order:#?}");
                    assert!(
                        !failed || order.pay_amount.minor() == 0 || !order.refunds.is_empty(),
                        "{order:#?}"
                    );
                }
                PaymentResult::RefundRequired(RefundReason::UnknownOrder) => {
                    let refund = self.shop.refund(Caller::Operator, RefundNo::Payment(id)).await.unwrap();
                    assert_eq!((refund.amount, refunds.len()), (payment.amount, 0));
                }
                PaymentResult::RefundRequired(reason) => {
                    let cause = RefundCause::Obligation(reason);
                    assert!(!paid.contains_key(&id), "{payment:?} both pays and goes back");
                    let [refund] = refunds else { panic!("{payment:?} goes back by {refunds:#?}") };
                    assert_eq!((&refund.cause, refund.amount), (&cause, payment.amount));
                }
            }
        }
        // The work list holds what is unfinished, each once.
        let page = self.shop.refunds(Default::default()).await.unwrap();
        assert!(page.next.is_none());
        let listed: BTreeSet<_> = page.refunds.iter().map(|refund| refund.refund_no).collect();
        assert_eq!(listed.len(), page.refunds.len());
        for refund in orders.values().flat_map(|order| &order.refunds) {
            let is_open = RefundState::UNFINISHED.contains(&refund.state);
            assert_eq!(listed.contains(&refund.refund_no), is_open, "{refund:#?}");
        }
    }

    async fn check_coupons(&self, orders: &BTreeMap<u64, OrderView>) {
        let mut spent = BTreeSet::new();
        // A team that fails gives its members' coupons back.
        let keeps = |order: &&OrderView| {
            order.paid_by.is_some() && order.close_reason != Some(CloseReason::TeamFailed)
        };
        for order in orders.values().filter(keeps) {
            for coupon in order.terms.iter().flat_map(|terms| &terms.coupons) {
                assert!(spent.insert(coupon.coupon), "{} twice: {order:#?}", coupon.coupon);
            }
        }
        for member in 1..=MEMBERS {
            for view in self.shop.coupons_of(member).await.unwrap() {
                let is_used = matches!(view.state, CouponState::Used(_));
                assert!(!matches!(view.state, CouponState::Locked(_)), "at rest: {view:?}");
                assert_eq!(spent.contains(&view.coupon), is_used, "{view:?}");
                if let CouponState::Used(order_no) = view.state {
                    assert_eq!(orders[&order_no.get()].member_id.0, member);
                }
            }
        }
    }

    async fn check_teams(&self, orders: &BTreeMap<u64, OrderView>) {
        let mut teams: BTreeMap<TeamId, Vec<&OrderView>> = BTreeMap::new();
        for order in orders.values() {
            if let Some(team) = order.team {
                teams.entry(team).or_default().push(order);
            }
        }
        for (team, members) in teams {
            let view = self.shop.team(team).await.unwrap();
            assert_ne!(view.state, TeamState::Forming, "{team:?} at rest: {view:?} {members:#?}");
            let with_seat = members.iter().filter(|order| order.paid_by.is_some() && order.team_formed);
            if view.state == TeamState::Formed {
                assert_eq!(with_seat.count(), view.size as usize, "{view:?}: {members:#?}");
                let stray = members.iter().find(|order| order.paid_by.is_some() && !order.team_formed);
                assert!(stray.is_none(), "{view:?}: {stray:#?}");
            } else {
                assert_eq!(with_seat.count(), 0);
                for order in members {
                    assert_eq!(order.status, OrderStatus::Cancelled, "{view:?}: {order:#?}");
                }
            }
        }
        // Each team comes to one end.
        let mut ended = BTreeSet::new();
        for event in self.shop.entries().into_iter().flat_map(|entry| entry.events) {
            if let Event::Team(TeamEvent::Formed { team, .. } | TeamEvent::Failed { team, .. }) = event {
                assert!(ended.insert(team), "{team:?} ended twice");
            }
        }
    }

    async fn check_replay(&mut self) {
        self.shop.settle().await;
        let live = self.shop.state_hash().await.unwrap().hash;
        if self.dir.is_some() {
            self.reopen_dir().await;
            assert_eq!(self.shop.state_hash().await.unwrap().hash, live, "R7 with a store");
            return;
        }
        for actors in [1, 3] {
            let journal = self.shop.journal.after_power_cut();
            let next = self.shop.reopen(journal, |config| change(config).order_actors(actors)).await.unwrap();
            next.settle().await;
            assert_eq!(next.state_hash().await.unwrap().hash, live, "R7 with {actors} actors");
            self.shop = next;
        }
    }
}
