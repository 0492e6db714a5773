//! Coupons against a naive model: a member places, pays, closes and revives orders at random, and a list of who has what
//! says what must come of it.

use proptest::prelude::*;

use crate::domain::coupon::{Coupon, CouponChange, CouponEvent, CouponState, CouponStep};
use crate::domain::ids::{CouponId, MemberId, OrderNo, Slot};
use crate::domain::order::{CloseReason, OrderStatus};
use crate::domain::reject::Reject;

const MEMBER: MemberId = MemberId(7);
const ID: CouponId = CouponId::new((5 << 64) | 1);
const VALID_MS: std::ops::Range<u64> = 10..60;
const ORDERS: usize = 3;

/// What the member does with one of three orders.
#[derive(Clone, Copy, Debug)]
enum Act {
    Place(usize),
    Pay(usize),
    Close(usize),
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let order = 0..ORDERS;
    let act = prop_oneof![
        order.clone().prop_map(Act::Place),
        order.clone().prop_map(Act::Pay),
        order.prop_map(Act::Close),
        (0_u64..12).prop_map(Act::Wait),
    ];
    proptest::collection::vec(act, 0..40)
}

fn number(order: usize) -> OrderNo {
    OrderNo::compose(order as u64 + 1, Slot::of_member(MEMBER), 0)
}

/// Moves the coupon along with an order's status, as an order actor does.
fn move_along(coupon: &mut Coupon, changes: &[CouponChange], order: usize, now_ms: u64) -> Vec<CouponEvent> {
    let mut events = Vec::new();
    for change in changes {
        if let Some(event) = coupon.change(*change, ID, MEMBER, number(order), now_ms) {
            assert!(event.follows(Some(coupon)), "{event:?} after {coupon:?}");
            coupon.apply(&event);
            assert_eq!(*coupon, event.coupon());
            events.push(event);
        }
    }
    events
}

proptest! {
    #[test]
    fn a_coupon_is_in_one_order_at_a_time_and_never_lost(acts in acts()) {
        let mut coupon = Coupon::new(VALID_MS.start, VALID_MS.end);
        // The model: who has the coupon, and each order's status.
        let (mut holder, mut now_ms) = (None, 0_u64);
        let mut orders = [None; ORDERS];
        for act in acts {
            let free = holder.is_none() && VALID_MS.contains(&now_ms);
            let may_lock = coupon.check_lock(ID, now_ms).is_ok();
            prop_assert_eq!(may_lock, free, "{:?} at {}", coupon, now_ms);
            match act {
                Act::Wait(ms) => now_ms += ms,
                Act::Place(order) => {
                    if orders[order].is_none() && may_lock {
                        move_along(&mut coupon, &[CouponChange::Lock], order, now_ms);
                        (orders[order], holder) = (Some(OrderStatus::Pending), Some(order));
                    }
                }
                Act::Pay(order) => {
                    let before = orders[order];
                    let revives = before == Some(OrderStatus::Cancelled) && may_lock;
                    if before == Some(OrderStatus::Pending) || revives {
                        let changes = CouponChange::of(before.unwrap(), OrderStatus::Paid, None);
                        let events = move_along(&mut coupon, changes, order, now_ms);
                        prop_assert_eq!(events.len(), if revives { 2 } else { 1 });
                        (orders[order], holder) = (Some(OrderStatus::Paid), Some(order));
                    }
                }
                Act::Close(order) => {
                    let before = orders[order];
                    if matches!(before, Some(OrderStatus::Pending | OrderStatus::Paid)) {
                        let reason = Some(CloseReason::TeamFailed);
                        let changes = CouponChange::of(before.unwrap(), OrderStatus::Cancelled, reason);
                        let events = move_along(&mut coupon, changes, order, now_ms);
                        orders[order] = Some(OrderStatus::Cancelled);
                        let comes_back = now_ms < VALID_MS.end;
                        prop_assert_eq!(events.len(), usize::from(comes_back));
                        if comes_back {
                            holder = None;
                        }
                    }
                }
            }
            let state = match (holder, holder.and_then(|order| orders[order])) {
                (None, _) => CouponState::Free,
                (Some(order), Some(OrderStatus::Paid)) => CouponState::Used(number(order)),
                // Expired when its order was closed, it stays as it was.
                (Some(order), Some(OrderStatus::Cancelled)) => {
                    prop_assert!(now_ms >= VALID_MS.end);
                    prop_assert_ne!(coupon.state, CouponState::Free);
                    prop_assert!([CouponState::Locked(number(order)), CouponState::Used(number(order))]
                        .contains(&coupon.state));
                    coupon.state
                }
                (Some(order), _) => CouponState::Locked(number(order)),
            };
            prop_assert_eq!(coupon.state, state);
        }
    }
}

#[test]
fn a_coupon_says_why_it_can_not_be_used() {
    let (mut coupon, order_no) = (Coupon::new(10, 60), number(0));
    let early = Reject::CouponNotYetValid { coupon: ID, valid_from_ms: 10 };
    let expired = Reject::CouponExpired { coupon: ID, valid_until_ms: 60 };
    assert_eq!(coupon.check_lock(ID, 9), Err(early));
    assert_eq!((coupon.check_lock(ID, 10), coupon.check_lock(ID, 59)), (Ok(()), Ok(())));
    assert_eq!(coupon.check_lock(ID, 60), Err(expired));
    for (state, reject) in [
        (CouponState::Locked(order_no), Reject::CouponLocked { coupon: ID }),
        (CouponState::Used(order_no), Reject::CouponUsed { coupon: ID }),
    ] {
        coupon.state = state;
        assert_eq!(coupon.check_lock(ID, 20), Err(reject));
        assert_eq!(coupon.check_lock(ID, 60), Err(expired));
    }
}

#[test]
fn events_follow_only_where_they_can() {
    let step = CouponStep { at_ms: 20, coupon: ID, member: MEMBER, valid_from_ms: 10, valid_until_ms: 60 };
    let (own, other) = (number(0), number(1));
    let at = |state| Some(Coupon { state, ..Coupon::new(10, 60) });
    let states = [None, at(CouponState::Free), at(CouponState::Locked(own)), at(CouponState::Used(own))];
    let table = [
        (CouponEvent::Issued { step }, [true, false, false, false]),
        (CouponEvent::Locked { step, order_no: own }, [false, true, false, false]),
        (CouponEvent::Used { step, order_no: own }, [false, false, true, false]),
        (CouponEvent::Returned { step, order_no: own }, [false, false, true, true]),
        (CouponEvent::Locked { step, order_no: other }, [false, true, false, false]),
        (CouponEvent::Used { step, order_no: other }, [false; 4]),
        (CouponEvent::Returned { step, order_no: other }, [false; 4]),
    ];
    for (event, expected) in table {
        let found = states.map(|before| event.follows(before.as_ref()));
        assert_eq!(found, expected, "{event:?}");
    }
}

#[test]
fn every_part_of_a_coupon_counts_for_its_hash() {
    let coupon = Coupon::new(10, 60);
    let hashes = [
        coupon.record_hash(MEMBER, ID),
        coupon.record_hash(MemberId(8), ID),
        coupon.record_hash(MEMBER, CouponId::new(1)),
        Coupon::new(11, 60).record_hash(MEMBER, ID),
        Coupon::new(10, 61).record_hash(MEMBER, ID),
        Coupon { state: CouponState::Locked(number(0)), ..coupon }.record_hash(MEMBER, ID),
        Coupon { state: CouponState::Used(number(0)), ..coupon }.record_hash(MEMBER, ID),
        Coupon { state: CouponState::Used(number(1)), ..coupon }.record_hash(MEMBER, ID),
    ];
    let distinct: std::collections::BTreeSet<_> = hashes.into_iter().collect();
    assert_eq!(distinct.len(), hashes.len());
}

#[test]
fn a_paid_order_gives_its_coupons_back_only_where_its_team_failed() {
    let closed = |reason| CouponChange::of(OrderStatus::Paid, OrderStatus::Cancelled, Some(reason));
    assert_eq!(closed(CloseReason::TeamFailed), [CouponChange::Return]);
    assert_eq!(closed(CloseReason::Refunded), []);
    let shipped = CouponChange::of(OrderStatus::Shipped, OrderStatus::Cancelled, Some(CloseReason::Refunded));
    assert_eq!(shipped, []);
}
