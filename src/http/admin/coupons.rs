//! Coupons: what kinds there are, giving them to members, and what a member has.

use axum::Json;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::desk::{Desk, Reason, Revision};
use crate::http::json::{Body, Id, Moment, OrderNumber, Parts, instant};
use crate::http::member::submit::request_id;
use crate::http::problem::Problem;
use crate::{
    CouponBenefit, CouponScope, CouponState, CouponTerms, CouponTermsId, CouponView, IssueOutcome, Money,
    OrderType, OrderTypes, Reject,
};

/// A kind of coupon, to be put as a whole.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "10.00 off from 99.00", "benefit": {"amount_off": 1000}, "threshold": 9900,
    "valid_from": "2026-11-11T00:00:00+08:00", "valid_until": "2026-11-12T00:00:00+08:00", "issue_max": 10000,
    "per_member_max": 1}))]
pub struct TermsBody {
    /// What buyers read; 1 to 256 bytes.
    pub title: String,
    /// What is taken off.
    pub benefit: BenefitBody,
    /// The least amount of goods in scope, before any coupon, in cents.
    #[serde(default)]
    pub threshold: i64,
    /// Which lines it is for; `all` without it.
    #[serde(default)]
    pub scope: ScopeBody,
    /// The first instant at which it is valid.
    pub valid_from: Moment,
    /// The first instant at which it is no longer valid; can't become later.
    pub valid_until: Moment,
    /// Whether it can be used beside other stackable coupons.
    #[serde(default)]
    pub stackable: bool,
    /// Most coupons of this kind that may ever be issued.
    #[schema(minimum = 1)]
    pub issue_max: u64,
    /// Most coupons of this kind that one member may be issued; 0 for no limit.
    #[serde(default)]
    pub per_member_max: u32,
    /// The types of order that it can be used for; all without it.
    pub order_types: Option<Vec<String>>,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// What a coupon takes off.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = CouponBenefit)]
pub enum BenefitBody {
    /// An amount, in cents.
    AmountOff(i64),
    /// A part of what the lines cost.
    PercentOff {
        /// In basis points: 1000 is 10 % off.
        percent_bp: u16,
        /// The most it takes off, in cents.
        #[serde(skip_serializing_if = "Option::is_none")]
        cap: Option<i64>,
    },
}

/// The lines that a coupon is for.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CouponScope)]
pub enum ScopeBody {
    /// Every line.
    #[default]
    All,
    /// Lines of these products, 1 to 1,000.
    Products(Vec<Id>),
    /// Lines of these SKUs, 1 to 1,000.
    Skus(Vec<Id>),
}

/// A kind of coupon as it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CouponTerms, example = json!({"terms_id": "5", "title": "10.00 off from 99.00", "benefit": {"amount_off": 1000}, "threshold":
    9900, "scope": "all", "valid_from": "2026-11-10T16:00:00.000Z", "valid_from_ms":
    1_794_326_400_000_u64, "valid_until": "2026-11-11T16:00:00.000Z", "valid_until_ms":
    1_794_412_800_000_u64, "stackable": false, "issue_max": 10000, "per_member_max": 1,
    "order_types": ["normal", "seckill", "group_buy"]}))]
pub struct TermsView {
    /// Its id.
    pub terms_id: Id,
    /// What buyers read.
    pub title: String,
    /// What is taken off.
    pub benefit: BenefitBody,
    /// The least amount of goods in scope, in cents.
    pub threshold: i64,
    /// Which lines it is for.
    pub scope: ScopeBody,
    /// The first instant at which it is valid.
    pub valid_from: String,
    /// The same, in ms since the Unix epoch.
    pub valid_from_ms: u64,
    /// The first instant at which it is no longer valid.
    pub valid_until: String,
    /// The same, in ms since the Unix epoch.
    pub valid_until_ms: u64,
    /// Whether it can be used beside other stackable coupons.
    pub stackable: bool,
    /// Most coupons that may ever be issued.
    pub issue_max: u64,
    /// Most coupons that one member may be issued; 0 for no limit.
    pub per_member_max: u32,
    /// The types of order that it can be used for.
    pub order_types: Vec<&'static str>,
}

impl TermsBody {
    /// # Errors
    /// A type of order that there is not.
    fn into_terms(self, id: CouponTermsId) -> Result<CouponTerms, Problem> {
        let money = Money::from_minor;
        let order_types = match self.order_types {
            None => OrderTypes::all(),
            Some(names) => {
                let types = names.iter().map(|name| name.parse()).collect::<Result<Vec<OrderType>, _>>();
                OrderTypes::of(&types.map_err(|reject| Problem::from(reject).field("order_types"))?)
            }
        };
        Ok(CouponTerms {
            id,
            title: self.title.into(),
            benefit: match self.benefit {
                BenefitBody::AmountOff(amount) => CouponBenefit::AmountOff(money(amount)),
                BenefitBody::PercentOff { percent_bp, cap } => {
                    CouponBenefit::PercentOff { percent_bp, cap: cap.map(money) }
                }
            },
            threshold: money(self.threshold),
            scope: match self.scope {
                ScopeBody::All => CouponScope::All,
                ScopeBody::Products(ids) => CouponScope::Products(distinct(ids)),
                ScopeBody::Skus(ids) => CouponScope::Skus(distinct(ids)),
            },
            valid_from_ms: self.valid_from.0,
            valid_until_ms: self.valid_until.0,
            stackable: self.stackable,
            issue_max: self.issue_max,
            per_member_max: self.per_member_max,
            order_types,
        })
    }
}

/// Ids in ascending order, each once, as the engine wants them.
fn distinct<T: From<Id> + Ord>(ids: Vec<Id>) -> Vec<T> {
    let mut ids: Vec<T> = ids.into_iter().map(T::from).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

impl From<CouponTerms> for TermsView {
    fn from(terms: CouponTerms) -> Self {
        let types = OrderType::ALL.into_iter().filter(|order_type| terms.order_types.contains(*order_type));
        Self {
            terms_id: terms.id.into(),
            title: terms.title.into(),
            benefit: match terms.benefit {
                CouponBenefit::AmountOff(amount) => BenefitBody::AmountOff(amount.minor()),
                CouponBenefit::PercentOff { percent_bp, cap } => {
                    BenefitBody::PercentOff { percent_bp, cap: cap.map(|cap| cap.minor()) }
                }
            },
            threshold: terms.threshold.minor(),
            scope: match terms.scope {
                CouponScope::All => ScopeBody::All,
                CouponScope::Products(ids) => ScopeBody::Products(ids.into_iter().map(Id::from).collect()),
                CouponScope::Skus(ids) => ScopeBody::Skus(ids.into_iter().map(Id::from).collect()),
            },
            valid_from: instant(terms.valid_from_ms),
            valid_from_ms: terms.valid_from_ms,
            valid_until: instant(terms.valid_until_ms),
            valid_until_ms: terms.valid_until_ms,
            stackable: terms.stackable,
            issue_max: terms.issue_max,
            per_member_max: terms.per_member_max,
            order_types: types.map(OrderType::name).collect(),
        }
    }
}

/// Shows a kind of coupon.
///
/// What it grants, on which conditions, and how many there may be.
#[utoipa::path(get, path = "/admin/coupon-terms/{id}", tag = "admin",
    operation_id = "admin_terms",
    params(("id" = Id, Path, description = "The kind.")),
    responses((status = 200, description = "As it stands.", body = TermsView)))]
pub async fn terms(desk: Desk, Parts(id): Parts<Id>) -> Result<Json<TermsView>, Problem> {
    match desk.engine().coupon_terms(id) {
        Some(terms) => Ok(Json(terms.into())),
        None => {
            let unknown = Problem::from(Reject::CouponTermsNotFound { terms: id.into() });
            Err(unknown.status(axum::http::StatusCode::NOT_FOUND))
        }
    }
}

/// Puts a kind of coupon.
///
/// Coupons that were issued keep their validity.
#[utoipa::path(put, path = "/admin/coupon-terms/{id}", tag = "admin",
    operation_id = "admin_put_terms", request_body = TermsBody,
    params(("id" = Id, Path, description = "The kind.")),
    responses((status = 200, description = "It is put, durably.", body = Revision)))]
pub async fn put_terms(
    desk: Desk,
    Parts(id): Parts<Id>,
    Body(body): Body<TermsBody>,
) -> Result<Json<Revision>, Problem> {
    let reason = body.reason.given()?.to_owned();
    let terms = body.into_terms(id.into())?;
    desk.acted("coupon_terms.put", id, &reason).await?;
    let revision = desk.engine().put_coupon_terms(terms, desk.origin(&reason)).await?;
    Ok(Json(Revision { revision }))
}

/// A coupon for a member.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"request_id": "apology-7", "member_id": "7", "terms_id": "5", "reason": "late parcel"}))]
pub struct IssueBody {
    /// Its name, where `Idempotency-Key` doesn't carry it: sent again, it gives the same coupon.
    pub request_id: Option<String>,
    /// Who gets it.
    pub member_id: Id,
    /// Its kind.
    pub terms_id: Id,
    /// Why, for the log.
    #[serde(default)]
    pub reason: Reason,
}

/// A coupon that was given.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"coupon_id": "0000000000000005a1b2c3d4e5f60718", "outcome": "issued"}))]
pub struct IssueView {
    /// The coupon: 32 hexadecimal digits.
    pub coupon_id: String,
    /// `issued`, or `unchanged` where this request had given it already.
    pub outcome: &'static str,
}

/// Gives a member a coupon, once for each name of a request.
///
/// Sent again under the same name it gives the same coupon.
#[utoipa::path(post, path = "/admin/coupons/issue", tag = "admin",
    operation_id = "admin_issue", request_body = IssueBody,
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "The issue's name.")),
    responses((status = 200, description = "The member has it, durably.", body = IssueView)))]
pub async fn issue(
    desk: Desk,
    headers: HeaderMap,
    Body(body): Body<IssueBody>,
) -> Result<Json<IssueView>, Problem> {
    let request = request_id(body.request_id.as_deref(), &headers)?;
    let target = format!("{} to {}", body.terms_id, body.member_id);
    desk.acted("coupon.issue", target, body.reason.given()?).await?;
    let receipt = desk.engine().issue_coupon(body.member_id, body.terms_id, request).await?;
    let outcome = match receipt.outcome {
        IssueOutcome::Issued => "issued",
        IssueOutcome::Unchanged => "unchanged",
    };
    Ok(Json(IssueView { coupon_id: receipt.coupon.to_string(), outcome }))
}

/// A member's coupon.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = HeldCoupon)]
pub struct HeldView {
    /// The coupon: 32 hexadecimal digits.
    pub coupon_id: String,
    /// Its kind.
    pub terms_id: Id,
    /// `free`, `locked` by an order that is not paid, or `used`.
    pub state: &'static str,
    /// The order that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_no: Option<OrderNumber>,
    /// The first instant at which it is valid.
    pub valid_from: String,
    /// The same, in ms since the Unix epoch.
    pub valid_from_ms: u64,
    /// The first instant at which it is no longer valid.
    pub valid_until: String,
    /// The same, in ms since the Unix epoch.
    pub valid_until_ms: u64,
}

impl From<CouponView> for HeldView {
    fn from(view: CouponView) -> Self {
        let (state, order_no) = match view.state {
            CouponState::Free => ("free", None),
            CouponState::Locked(order_no) => ("locked", Some(order_no.into())),
            CouponState::Used(order_no) => ("used", Some(order_no.into())),
        };
        Self {
            coupon_id: view.coupon.to_string(),
            terms_id: view.terms.into(),
            state,
            order_no,
            valid_from: instant(view.valid_from_ms),
            valid_from_ms: view.valid_from_ms,
            valid_until: instant(view.valid_until_ms),
            valid_until_ms: view.valid_until_ms,
        }
    }
}

/// What coupons a member has.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"coupons": [{"coupon_id": "0000000000000005a1b2c3d4e5f60718", "terms_id": "5", "state": "locked",
    "order_no": "380000000000000001", "valid_from": "2026-11-10T16:00:00.000Z", "valid_from_ms":
    1_794_326_400_000_u64, "valid_until": "2026-11-11T16:00:00.000Z", "valid_until_ms":
    1_794_412_800_000_u64}]}))]
pub struct HeldList {
    /// The coupons, ascending by kind; about 1,000 at most.
    pub coupons: Vec<HeldView>,
}

/// Lists a member's coupons that have not expired, and those that an open order has.
///
/// Used ones are shown until they expire.
#[utoipa::path(get, path = "/admin/coupons/{member_id}", tag = "admin",
    operation_id = "admin_coupons",
    params(("member_id" = Id, Path, description = "The member.")),
    responses((status = 200, description = "All of them.", body = HeldList)))]
pub async fn coupons(desk: Desk, Parts(member): Parts<Id>) -> Result<Json<HeldList>, Problem> {
    let coupons = desk.engine().coupons_of(member).await?;
    Ok(Json(HeldList { coupons: coupons.into_iter().map(HeldView::from).collect() }))
}
