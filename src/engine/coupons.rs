//! Giving members coupons, and showing what they have. Definitions are put by [`super::pricing`]; orders name coupons.

use super::{Engine, Inner};
use crate::actors::order::coupons::{IssueOutcome, IssueRequest};
use crate::actors::order::{OrderItem, Query};
use crate::actors::reply::Reply;
use crate::domain::coupon::CouponState;
use crate::domain::ids::{CouponId, CouponTermsId, MemberId, RequestId, Slot};
use crate::domain::reject::Reject;
use crate::domain::setting::{Setting, SettingKey};

/// The answer to a request for a coupon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IssueReceipt {
    /// The coupon, the same however often it is asked for.
    pub coupon: CouponId,
    /// Whether this request issued it.
    pub outcome: IssueOutcome,
}

/// A member's coupon, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CouponView {
    /// The coupon.
    pub coupon: CouponId,
    /// Its definition.
    pub terms: CouponTermsId,
    /// The first instant at which it is valid, in ms since the Unix epoch.
    pub valid_from_ms: u64,
    /// The first instant at which it is no longer valid, in ms since the Unix epoch.
    pub valid_until_ms: u64,
    /// Where it stands.
    pub state: CouponState,
}

impl Engine {
    /// Gives a member a coupon, and answers once that is durable. Asked for again by the same member with the same request
    /// id it gives the same coupon and changes nothing, also after a restart and after the coupon was used, until the
    /// definition's validity has ended.
    ///
    /// No more than the definition's `issue_max` are ever issued, and to one member no more than its `per_member_max`, nor
    /// more than [`COUPONS_PER_MEMBER_MAX`](crate::domain::coupon::COUPONS_PER_MEMBER_MAX) of all kinds that have not
    /// expired. A coupon may be issued before its validity begins.
    ///
    /// # Errors
    /// [`Reject::CouponTermsNotFound`], [`Reject::CouponTermsOver`], [`Reject::CouponsExhausted`],
    /// [`Reject::CouponMaximum`], or the engine's own state.
    ///
    /// ```
    /// # use stockade::{
    /// #     Config, CouponBenefit, CouponScope, CouponState, CouponTerms, Durability, Engine, IssueOutcome, Money,
    /// #     OrderTypes, SubmitOrder,
    /// # };
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let ten_off = CouponTerms {
    ///     id: 5.into(),
    ///     title: "10.00 off".into(),
    ///     benefit: CouponBenefit::AmountOff(Money::from_minor(1_000)),
    ///     threshold: Money::ZERO,
    ///     scope: CouponScope::All,
    ///     valid_from_ms: engine.now_ms(),
    ///     valid_until_ms: engine.now_ms() + 86_400_000,
    ///     stackable: false,
    ///     issue_max: 100,
    ///     per_member_max: 1,
    ///     order_types: OrderTypes::all(),
    /// };
    /// engine.put_coupon_terms(ten_off, None).await?;
    ///
    /// let issued = engine.issue_coupon(7, 5, 2001).await?;
    /// let again = engine.issue_coupon(7, 5, 2001).await?;
    /// assert_eq!((again.coupon, again.outcome), (issued.coupon, IssueOutcome::Unchanged));
    ///
    /// let full = engine.submit(SubmitOrder::one_line(8, 1001, 42, 1)).await?;
    /// let order = SubmitOrder { coupons: vec![issued.coupon], ..SubmitOrder::one_line(7, 1001, 42, 1) };
    /// let placed = engine.submit(order).await?;
    /// assert_eq!(placed.pay_amount.minor(), full.pay_amount.minor() - 1_000);
    /// let coupons = engine.coupons_of(7).await?;
    /// assert_eq!(coupons[0].state, CouponState::Locked(placed.order_no));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn issue_coupon(
        &self,
        member: impl Into<MemberId>,
        terms: impl Into<CouponTermsId>,
        request: impl Into<RequestId>,
    ) -> Result<IssueReceipt, Reject> {
        let (member, terms) = (member.into(), terms.into());
        let coupon = CouponId::of_issue(terms, member, request.into());
        let outcome = self
            .call(|inner, reply| {
                let request = inner.issue_request(member, coupon, reply)?;
                let _ = inner.order_inbox(Slot::of_member(member)).push(OrderItem::IssueCoupon(request));
                Ok(())
            })
            .await?;
        Ok(IssueReceipt { coupon, outcome })
    }

    /// A member's coupons that have not expired, and those that an open order has: ascending by definition, at most
    /// [`COUPONS_PER_MEMBER_MAX`](crate::domain::coupon::COUPONS_PER_MEMBER_MAX) and those in open orders. Used ones are
    /// shown until they expire.
    ///
    /// # Errors
    /// The engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// assert_eq!(engine.coupons_of(7).await?, []);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn coupons_of(&self, member: impl Into<MemberId>) -> Result<Vec<CouponView>, Reject> {
        let (member, now_ms) = (member.into(), self.now_ms());
        let query = |reply| Query::CouponsOf { member, now_ms, reply };
        let coupons = self.query(Slot::of_member(member), query).await?;
        let view = |(coupon, found): (CouponId, crate::domain::coupon::Coupon)| CouponView {
            coupon,
            terms: coupon.terms(),
            valid_from_ms: found.valid_from_ms,
            valid_until_ms: found.valid_until_ms,
            state: found.state,
        };
        Ok(coupons.into_iter().map(view).collect())
    }
}

impl Inner {
    /// Copies what the issue needs of the definition; the credit is given back where there is none.
    fn issue_request(
        &self,
        member: MemberId,
        coupon: CouponId,
        reply: Reply<IssueOutcome>,
    ) -> Result<Box<IssueRequest>, Reject> {
        let terms = coupon.terms();
        let kept = self.register.get(&SettingKey::coupon(terms));
        let request = match kept.as_ref().map(|kept| &*kept.setting) {
            Some(Setting::Coupon(found)) if self.clock.now_ms() >= found.valid_until_ms => {
                Err(Reject::CouponTermsOver { terms, valid_until_ms: found.valid_until_ms })
            }
            Some(Setting::Coupon(_)) if self.bound_reached().is_some() => {
                Err(self.bound_reached().unwrap_or(Reject::Unavailable))
            }
            Some(Setting::Coupon(found)) => Ok(Box::new(IssueRequest {
                member,
                coupon,
                valid_from_ms: found.valid_from_ms,
                valid_until_ms: found.valid_until_ms,
                per_member_max: found.per_member_max,
                reply,
            })),
            _ => Err(Reject::CouponTermsNotFound { terms }),
        };
        request.inspect_err(|_refused| self.credits.give_back(1))
    }
}
