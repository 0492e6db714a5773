//! What an order actor does about orders that have left memory, and about timers of those that ask their team.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::actor::{OrderActor, OrderEffects, OrderSettings, OrderShared};
use super::cold::{Load, Loaded, StoreView};
use super::slots::KeyHasher;
use super::{Action, Admitted, AppliedPayment, CommandReply, CommandRequest, OrderItem, Query};
use crate::actors::external::{Claim, ExternalIndex};
use crate::actors::numbers::NumberLease;
use crate::actors::reply::{Answer, Receipt, SubmitReply};
use crate::actors::team::TeamItem;
use crate::domain::coupon::{Coupon, CouponState};
use crate::domain::event::OrderCreated;
use crate::domain::ids::{CouponId, MemberId, OrderNo, Position, RequestId, SkuId, Slot, StockKey, TeamId};
use crate::domain::money::Money;
use crate::domain::order::{CloseReason, Line, Lines, Order, OrderStatus, OrderText};
use crate::domain::order_type::OrderType;
use crate::domain::reject::Reject;
use crate::domain::request::Caller;
use crate::runtime::recent::RecentRefusals;

const MEMBER: MemberId = MemberId(7);

fn actor() -> OrderActor {
    let shared = OrderShared {
        hasher: KeyHasher::new(1),
        refusals: RecentRefusals::new(2048),
        external: ExternalIndex::default(),
        lease: NumberLease::default(),
        teams: Default::default(),
        // It is still warming: everything may be in the store.
        store: Some(Arc::new(StoreView::new(Position(10), 512, 1))),
    };
    let settings = OrderSettings {
        payment_grace_ms: 0,
        expiry_in_flight_max: 10,
        waiters_max: 10,
        retain_closed_ms: 1_000,
        closed_hot_max: 10,
        auto_confirm_ms: 1_000,
    };
    OrderActor::new(settings, Arc::new(shared), 0, |_| true)
}

fn lines() -> Lines {
    let key = StockKey::normal(SkuId(1));
    Lines::one(Line { key, quantity: 1, price: Money::ZERO, revision: 1, limit_per_member: 0 })
}

fn text() -> Option<Box<OrderText>> {
    Some(Box::new(OrderText { external_no: Some("web-1".into()), ..OrderText::default() }))
}

fn order() -> Order {
    let created = OrderCreated {
        order_no: OrderNo::compose(5, Slot::of_member(MEMBER), 0),
        member_id: MEMBER,
        request_id: RequestId::new(1),
        body_hash: 3,
        order_type: OrderType::Normal,
        at_ms: 5,
        auto_close_ms: 10,
        pay_amount: Money::ZERO,
        lines: lines(),
        extra: Default::default(),
    };
    Order::create(created, Position(1))
}

fn round(actor: &mut OrderActor, item: OrderItem) -> OrderEffects {
    let mut effects = OrderEffects::default();
    actor.on_batch(&mut vec![item], 5, Position(10), &mut effects);
    effects
}

#[test]
fn a_full_page_asks_the_store_too_because_newer_orders_leave_before_older_ones() {
    let mut actor = actor();
    actor.restore_open(order());
    let (reply, _receiver) = oneshot::channel();
    let query = Query::OrdersOf { member: MEMBER, before: None, len_max: 1, reply };
    let effects = round(&mut actor, OrderItem::Query(query));
    assert!(matches!(effects.loads.as_slice(), [Load::OrdersOf { hot, .. }] if hot.len() == 1));
}

#[test]
fn a_retry_whose_external_number_is_busy_gets_its_first_answer_from_the_store() {
    let mut actor = actor();
    let shared = Arc::clone(&actor.shared);
    assert_eq!(shared.external.claim("web-1"), Claim::Granted, "somebody else asks the store for it");
    let (sender, mut receiver) = oneshot::channel();
    let admitted = Admitted {
        member_id: MEMBER,
        request_id: RequestId::new(1),
        request_hash: shared.hasher.request(MEMBER, RequestId::new(1)),
        body_hash: 3,
        pay_amount: Money::ZERO,
        auto_close_ms: 10,
        deadline_ms: None,
        order_type: OrderType::Normal,
        lines: lines(),
        ends_at_ms: u64::MAX,
        team: None,
        extra: crate::domain::order::OrderExtra::of_text(text()),
        reply: SubmitReply::one(sender),
    };
    let mut effects = round(&mut actor, OrderItem::Submit(admitted));
    let Some(Load::Recall { recall, reply }) = effects.loads.pop() else { panic!("the store is not asked") };
    assert_eq!(recall.refusal, Reject::ExternalNoBusy);

    let found = Ok(Some(order()));
    let effects = round(&mut actor, OrderItem::Loaded(Box::new(Loaded::Recall { recall, reply, found })));
    effects.answers.into_iter().for_each(Answer::send);
    assert_eq!(receiver.try_recv(), Ok(Ok(Receipt::first_of(&order()))));
}

#[test]
fn an_order_that_was_placed_while_the_store_was_asked_for_it_is_not_entered_twice() {
    let mut actor = actor();
    let order_no = order().order_no;
    let (reply, mut receiver) = oneshot::channel();
    let action = Action::Cancel(CloseReason::Operator);
    let command =
        CommandRequest { order_no, caller: Caller::Operator, action, reply: CommandReply::Receipt(reply) };
    let effects = round(&mut actor, OrderItem::Command(Box::new(command)));
    assert!(matches!(effects.loads.as_slice(), [Load::Order { .. }]));

    actor.restore_open(order());
    let loaded = Loaded::Order { order_no, found: Ok(Some(order())) };
    let effects = round(&mut actor, OrderItem::Loaded(Box::new(loaded)));
    assert_eq!(actor.counts().orders, 1);
    effects.durable_answers.into_iter().for_each(Answer::send);
    assert!(receiver.try_recv().is_ok_and(|answer| answer.is_ok()), "the command goes on");
}

const COUPON: CouponId = CouponId::new(1);

fn holds_coupon(actor: &mut OrderActor) -> bool {
    actor.slot(Slot::of_member(MEMBER)).wallets.get(&MEMBER).is_some_and(|wallet| !wallet.coupons.is_empty())
}

#[test]
fn an_expired_coupon_leaves_memory_and_still_counts_for_the_hash() {
    for (valid_until_ms, position, leaves) in [(5, 10, true), (6, 10, false), (5, 11, false)] {
        let mut actor = actor();
        actor.enter_coupon(MEMBER, COUPON, Coupon::new(0, valid_until_ms), Position(position));
        let before = actor.state_hash();
        // At 5 ms, with a store that has everything up to position 10.
        round(&mut actor, OrderItem::Tick);
        assert_eq!(holds_coupon(&mut actor), !leaves, "until {valid_until_ms}, at {position}");
        assert_eq!(actor.state_hash(), before);
    }
}

#[test]
fn an_expired_coupon_stays_while_an_open_order_has_it() {
    let mut actor = actor();
    let order = order();
    let coupon = Coupon { state: CouponState::Locked(order.order_no), ..Coupon::new(0, 1) };
    actor.restore_coupon(MEMBER, COUPON, coupon, u64::MAX);
    actor.restore_open(order);
    let before = actor.state_hash();
    round(&mut actor, OrderItem::Tick);
    assert!(holds_coupon(&mut actor));
    assert_eq!(actor.state_hash(), before);
}

#[test]
fn a_stored_coupon_that_no_event_can_be_about_only_counts_for_the_hash() {
    let mut actor = actor();
    let coupon = Coupon::new(0, 1);
    actor.restore_coupon(MEMBER, COUPON, coupon, 1 + 3_600_000);
    assert!(!holds_coupon(&mut actor));
    assert_eq!(actor.state_hash(), coupon.record_hash(MEMBER, COUPON));
    actor.restore_coupon(MEMBER, COUPON, coupon, 3_600_000);
    assert!(holds_coupon(&mut actor), "an event behind the checkpoint may be earlier than one before it");
}

/// An order that costs nothing and has a seat, whose payment waits for the team's answer, at 5 ms.
fn asking() -> (OrderActor, AppliedPayment) {
    let mut actor = actor();
    let mut order = order();
    order.extra.terms.get_or_insert_default().team_id = TeamId(1);
    let payment = AppliedPayment::of_nothing(&order);
    assert_eq!(order.deadline_ms, 15);
    actor.restore_open(order);
    actor.arm_timers(5, 0);
    let effects = round(&mut actor, OrderItem::ApplyPayment(payment));
    assert!(matches!(effects.teams.as_slice(), [TeamItem::BeginPayment { .. }]));
    (actor, payment)
}

fn written_at(actor: &mut OrderActor, item: OrderItem, now_ms: u64) -> u32 {
    let mut effects = OrderEffects::default();
    actor.on_batch(&mut vec![item], now_ms, Position(10), &mut effects);
    effects.entries.event_count()
}

#[test]
fn r10_a_timer_does_not_close_an_order_whose_payment_waits_for_its_team() {
    for (may_begin, status) in [(true, OrderStatus::Paid), (false, OrderStatus::Cancelled)] {
        let (mut actor, payment) = asking();
        assert_eq!(written_at(&mut actor, OrderItem::Tick, 100), 0, "its timer has fired");
        let says = OrderItem::TeamSays { payment, may_begin };
        assert!(written_at(&mut actor, says, 100) > 0);
        assert_eq!(actor.held().map(|order| order.status).collect::<Vec<_>>(), [status]);
    }
}

#[test]
fn r9_an_order_whose_timer_fired_meanwhile_is_closed_if_the_answer_leaves_it_unpaid() {
    let (mut actor, payment) = asking();
    assert_eq!(written_at(&mut actor, OrderItem::Tick, 100), 0);
    // It is for another amount, so that the order stays as it is.
    let payment = AppliedPayment { amount: Money::from_minor(7), ..payment };
    written_at(&mut actor, OrderItem::TeamSays { payment, may_begin: true }, 100);
    let order = actor.held().next().unwrap();
    assert_eq!((order.status, order.close_reason), (OrderStatus::Cancelled, Some(CloseReason::Timeout)));
}
