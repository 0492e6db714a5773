//! `GET /api/coupons`: the member's coupons, with what they are worth.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::http::caller::Member;
use crate::http::json::{Id, OrderNumber, Params, instant};
use crate::http::problem::Problem;
use crate::http::state::App;
use crate::{
    CouponBenefit, CouponId, CouponScope, CouponState, CouponTerms, CouponView, OrderType, OrderTypes,
};

/// Most coupons in one answer.
const PAGE_LEN_MAX: usize = 100;

/// Which coupons.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CouponsParams {
    /// Only those that are `free`, `locked` or `used`.
    #[param(pattern = "^(free|locked|used)$", example = "free")]
    pub state: Option<String>,
    /// `next` of the page before.
    #[param(pattern = "^[0-9a-fA-F]{32}$")]
    pub cursor: Option<String>,
    /// Most coupons on the page, 1 to 100, which is the default.
    #[param(minimum = 1, maximum = 100)]
    pub size: Option<usize>,
}

/// A page of a member's coupons.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = MemberCoupons, example = json!({
    "coupons": [{"coupon_id": "0000000000000005a1b2c3d4e5f60718", "terms_id": "5", "state": "free",
        "valid_from": "2026-11-01T00:00:00.000Z", "valid_from_ms": 1_793_491_200_000_u64,
        "valid_until": "2026-12-01T00:00:00.000Z", "valid_until_ms": 1_796_083_200_000_u64}],
    "terms": [{"terms_id": "5", "title": "10.00 off", "amount_off": 1000, "threshold": 5000, "stackable": false,
        "order_types": ["normal"]}],
}))]
pub struct CouponsBody {
    /// The coupons that have not expired, and those that an open order has; by definition.
    pub coupons: Vec<CouponBody>,
    /// The definitions of these.
    pub terms: Vec<CouponTermsBody>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A coupon.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OwnCoupon)]
pub struct CouponBody {
    /// Its name, for an order: 32 hexadecimal digits.
    pub coupon_id: String,
    /// Its definition.
    pub terms_id: Id,
    /// `free`, `locked` by an order that is not paid, or `used` by one that is.
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

/// What coupons of a kind are worth.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = MemberCouponTerms)]
pub struct CouponTermsBody {
    /// The definition.
    pub terms_id: Id,
    /// What buyers read.
    pub title: String,
    /// What it takes off, in cents; absent for a percentage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_off: Option<i64>,
    /// The part that it takes off in basis points: 1000 is 10 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent_bp: Option<u16>,
    /// The most that a percentage takes off, in cents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cap: Option<i64>,
    /// The least amount of goods in scope, in cents.
    pub threshold: i64,
    /// The products that it is for, where it is for some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_ids: Option<Vec<Id>>,
    /// The SKUs that it is for, where it is for some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku_ids: Option<Vec<Id>>,
    /// Whether it can be used beside other stackable coupons.
    pub stackable: bool,
    /// The types of order that it is for.
    pub order_types: Vec<&'static str>,
}

impl From<&CouponView> for CouponBody {
    fn from(view: &CouponView) -> Self {
        let (state, order_no) = named(view.state);
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

fn named(state: CouponState) -> (&'static str, Option<OrderNumber>) {
    match state {
        CouponState::Free => ("free", None),
        CouponState::Locked(order_no) => ("locked", Some(order_no.into())),
        CouponState::Used(order_no) => ("used", Some(order_no.into())),
    }
}

impl From<CouponTerms> for CouponTermsBody {
    fn from(terms: CouponTerms) -> Self {
        let (amount_off, percent_bp, cap) = match terms.benefit {
            CouponBenefit::AmountOff(amount) => (Some(amount.minor()), None, None),
            CouponBenefit::PercentOff { percent_bp, cap } => {
                (None, Some(percent_bp), cap.map(|cap| cap.minor()))
            }
        };
        let (product_ids, sku_ids) = match terms.scope {
            CouponScope::All => (None, None),
            CouponScope::Products(ids) => (Some(ids.into_iter().map(Id::from).collect()), None),
            CouponScope::Skus(ids) => (None, Some(ids.into_iter().map(Id::from).collect())),
        };
        Self {
            terms_id: terms.id.into(),
            title: terms.title.into(),
            amount_off,
            percent_bp,
            cap,
            threshold: terms.threshold.minor(),
            product_ids,
            sku_ids,
            stackable: terms.stackable,
            order_types: names_of(terms.order_types),
        }
    }
}

fn names_of(types: OrderTypes) -> Vec<&'static str> {
    OrderType::ALL.into_iter().filter(|one| types.contains(*one)).map(OrderType::name).collect()
}

impl CouponsParams {
    fn after(&self) -> Result<Option<CouponId>, Problem> {
        let id = |text: &str| u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32);
        let after = self.cursor.as_deref().map(|text| id(text).ok_or_else(super::wrong_cursor));
        Ok(after.transpose()?.map(CouponId::new))
    }

    fn check_state(&self) -> Result<(), Problem> {
        match self.state.as_deref() {
            None | Some("free" | "locked" | "used") => Ok(()),
            Some(_) => Err(Problem::invalid(
                "state",
                "a coupon is free, locked or used",
                "优惠券状态应为 free、locked 或 used",
            )),
        }
    }
}

/// The member's coupons, with what they are worth.
///
/// Those that have not expired, used ones included, and those that an open order has.
#[utoipa::path(get, path = "/api/coupons", tag = "member", params(CouponsParams),
    responses((status = 200, description = "A page of them.", body = CouponsBody)))]
pub async fn list(
    State(app): State<App>,
    member: Member,
    Params(params): Params<CouponsParams>,
) -> Result<Json<CouponsBody>, Problem> {
    params.check_state()?;
    let len_max = super::page_len(params.size, PAGE_LEN_MAX, PAGE_LEN_MAX)?;
    let after = params.after()?;
    let mut views = app.engine().coupons_of(member.0).await?;
    views.sort_by_key(|view| view.coupon);
    let is_wanted = |view: &CouponView| {
        after.is_none_or(|after| view.coupon > after)
            && params.state.as_deref().is_none_or(|state| named(view.state).0 == state)
    };
    views.retain(is_wanted);
    let has_next = views.len() > len_max;
    views.truncate(len_max);
    let next = views.last().filter(|_| has_next).map(|view| view.coupon.to_string());
    // Coupons of one definition stand together.
    let mut kinds: Vec<_> = views.iter().map(|view| view.terms).collect();
    kinds.dedup();
    let terms = kinds.into_iter().filter_map(|terms| app.engine().coupon_terms(terms));
    Ok(Json(CouponsBody {
        coupons: views.iter().map(CouponBody::from).collect(),
        terms: terms.map(CouponTermsBody::from).collect(),
        next,
    }))
}
