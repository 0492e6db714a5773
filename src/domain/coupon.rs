//! A coupon in a member's hands: free, locked by an order that is not paid yet, or used by one that is; and the facts
//! that move it from one to the other.
//!
//! Its member's order actor owns it. An order locks its coupons when it is placed, uses them when it is paid, and gives
//! those back that are still valid when it is closed, each in the same entry as the order's own event: a coupon follows
//! its order's status and is never ahead of it. What a coupon is worth is decided by [`super::pricing`].

use serde::{Deserialize, Serialize};

use super::hash::{RecordHasher, kinds};
use super::ids::{CouponId, CouponTermsId, MemberId, OrderNo};
use super::order::{CloseReason, OrderStatus};
use super::reject::Reject;

/// Most coupons of one member, of all kinds, that have not expired.
pub const COUPONS_PER_MEMBER_MAX: usize = 1_000;

/// Where a coupon stands. The variants' order is persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CouponState {
    /// It can be used, within its validity.
    Free,
    /// An order that is not paid yet has it; or had it when it was closed after the coupon's validity.
    Locked(OrderNo),
    /// A paid order has used it.
    Used(OrderNo),
}

/// A member's coupon. The store keeps it in this form, without its member, who stands in the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coupon {
    /// The first instant at which it is valid, in ms since the Unix epoch.
    pub valid_from_ms: u64,
    /// The first instant at which it is no longer valid, in ms since the Unix epoch.
    pub valid_until_ms: u64,
    /// Where it stands.
    pub state: CouponState,
}

/// What every event of a coupon says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponStep {
    /// Engine time, in ms since the Unix epoch.
    pub at_ms: u64,
    /// The coupon, which names its definition.
    pub coupon: CouponId,
    /// Whose it is.
    pub member: MemberId,
    /// The first instant at which it is valid, in ms since the Unix epoch.
    pub valid_from_ms: u64,
    /// The first instant at which it is no longer valid, in ms since the Unix epoch.
    pub valid_until_ms: u64,
}

/// A fact about one coupon. The variants' order is persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CouponEvent {
    /// A member got it: one unit of its definition's total is used up.
    Issued {
        /// Coupon, member, time.
        step: CouponStep,
    },
    /// An order that was placed, or that late money brought back, has it.
    Locked {
        /// Coupon, member, time.
        step: CouponStep,
        /// The order.
        order_no: OrderNo,
    },
    /// Its order is paid.
    Used {
        /// Coupon, member, time.
        step: CouponStep,
        /// The order.
        order_no: OrderNo,
    },
    /// Its order was closed within its validity.
    Returned {
        /// Coupon, member, time.
        step: CouponStep,
        /// The order.
        order_no: OrderNo,
    },
}

/// What becomes of an order's coupons when its status changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CouponChange {
    /// The order takes them.
    Lock,
    /// The order uses them up.
    Use,
    /// The order gives back those that are still valid.
    Return,
}

impl CouponEvent {
    /// The stable name, as downstream systems know it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Issued { .. } => "CouponIssued",
            Self::Locked { .. } => "CouponLocked",
            Self::Used { .. } => "CouponUsed",
            Self::Returned { .. } => "CouponReturned",
        }
    }

    /// Coupon, member, time.
    pub const fn step(&self) -> &CouponStep {
        match self {
            Self::Issued { step }
            | Self::Locked { step, .. }
            | Self::Used { step, .. }
            | Self::Returned { step, .. } => step,
        }
    }

    /// The order whose change it follows; an issue follows none.
    pub const fn order_no(&self) -> Option<OrderNo> {
        match self {
            Self::Issued { .. } => None,
            Self::Locked { order_no, .. } | Self::Used { order_no, .. } | Self::Returned { order_no, .. } => {
                Some(*order_no)
            }
        }
    }

    /// The coupon as it is after this event: every event says all of it.
    pub const fn coupon(&self) -> Coupon {
        let step = self.step();
        let state = match self {
            Self::Issued { .. } | Self::Returned { .. } => CouponState::Free,
            Self::Locked { order_no, .. } => CouponState::Locked(*order_no),
            Self::Used { order_no, .. } => CouponState::Used(*order_no),
        };
        Coupon { valid_from_ms: step.valid_from_ms, valid_until_ms: step.valid_until_ms, state }
    }

    /// Whether it can follow where its coupon is `before`; `None` stands for a coupon that was not issued.
    pub fn follows(&self, before: Option<&Coupon>) -> bool {
        let state = before.map(|coupon| coupon.state);
        match self {
            Self::Issued { .. } => state.is_none(),
            Self::Locked { .. } => state == Some(CouponState::Free),
            Self::Used { order_no, .. } => state == Some(CouponState::Locked(*order_no)),
            Self::Returned { order_no, .. } => {
                let taken = [CouponState::Locked(*order_no), CouponState::Used(*order_no)];
                state.is_some_and(|state| taken.contains(&state))
            }
        }
    }
}

impl CouponChange {
    /// What an order's change of status does to its coupons, in this order. One that was closed, revived and paid in one
    /// decision was never without them: it goes from pending to paid. What was paid and refunded has used them.
    pub const fn of(
        before: OrderStatus,
        after: OrderStatus,
        close_reason: Option<CloseReason>,
    ) -> &'static [Self] {
        match (before, after) {
            (OrderStatus::Pending, OrderStatus::Paid) => &[Self::Use],
            (OrderStatus::Pending, OrderStatus::Cancelled) => &[Self::Return],
            // Nobody could have had the goods.
            (OrderStatus::Paid, OrderStatus::Cancelled)
                if matches!(close_reason, Some(CloseReason::TeamFailed)) =>
            {
                &[Self::Return]
            }
            // Late money brings back an order that had given back its coupons.
            (OrderStatus::Cancelled, OrderStatus::Paid) => &[Self::Lock, Self::Use],
            _ => &[],
        }
    }
}

impl Coupon {
    /// A coupon that was just issued.
    pub const fn new(valid_from_ms: u64, valid_until_ms: u64) -> Self {
        Self { valid_from_ms, valid_until_ms, state: CouponState::Free }
    }

    /// Whether it has not expired.
    pub const fn is_unexpired(&self, now_ms: u64) -> bool {
        now_ms < self.valid_until_ms
    }

    /// Whether an order may take it now. `coupon` is its id.
    ///
    /// # Errors
    /// [`Reject::CouponNotYetValid`], [`Reject::CouponExpired`], [`Reject::CouponLocked`], [`Reject::CouponUsed`].
    pub const fn check_lock(&self, coupon: CouponId, now_ms: u64) -> Result<(), Reject> {
        if !self.is_unexpired(now_ms) {
            return Err(Reject::CouponExpired { coupon, valid_until_ms: self.valid_until_ms });
        }
        match self.state {
            CouponState::Locked(_) => Err(Reject::CouponLocked { coupon }),
            CouponState::Used(_) => Err(Reject::CouponUsed { coupon }),
            CouponState::Free if now_ms < self.valid_from_ms => {
                Err(Reject::CouponNotYetValid { coupon, valid_from_ms: self.valid_from_ms })
            }
            CouponState::Free => Ok(()),
        }
    }

    /// What a change of its order comes to; `None` where an expired coupon is not given back.
    pub const fn change(
        &self,
        change: CouponChange,
        coupon: CouponId,
        member: MemberId,
        order_no: OrderNo,
        at_ms: u64,
    ) -> Option<CouponEvent> {
        let Self { valid_from_ms, valid_until_ms, .. } = *self;
        let step = CouponStep { at_ms, coupon, member, valid_from_ms, valid_until_ms };
        match change {
            CouponChange::Lock => Some(CouponEvent::Locked { step, order_no }),
            CouponChange::Use => Some(CouponEvent::Used { step, order_no }),
            CouponChange::Return if self.is_unexpired(at_ms) => {
                Some(CouponEvent::Returned { step, order_no })
            }
            CouponChange::Return => None,
        }
    }

    /// Applies one of its events after its issue. Can't fail: what the event says has happened.
    pub const fn apply(&mut self, event: &CouponEvent) {
        *self = event.coupon();
    }

    /// Its part of the state hash (R7).
    pub fn record_hash(&self, member: MemberId, coupon: CouponId) -> u64 {
        let [high, low] = coupon.words();
        let hash = RecordHasher::new(kinds::COUPON).word(member.0).word(high).word(low);
        let hash = hash.word(self.valid_from_ms).word(self.valid_until_ms);
        let (state, order_no) = match self.state {
            CouponState::Free => (0, 0),
            CouponState::Locked(order_no) => (1, order_no.get()),
            CouponState::Used(order_no) => (2, order_no.get()),
        };
        hash.word(state).word(order_no).finish()
    }
}

impl CouponId {
    /// The least and the greatest id of a definition's coupons.
    pub(crate) const fn range_of(terms: CouponTermsId) -> (Self, Self) {
        let first = (terms.0 as u128) << 64;
        (Self::new(first), Self::new(first | u64::MAX as u128))
    }
}

impl Reject {
    /// Whether it says that an order can't have a coupon.
    pub(crate) const fn is_about_coupon(&self) -> bool {
        matches!(
            self,
            Self::CouponNotFound { .. }
                | Self::CouponLocked { .. }
                | Self::CouponUsed { .. }
                | Self::CouponNotYetValid { .. }
                | Self::CouponExpired { .. }
        )
    }
}
