//! Coupons: what a kind of coupon grants and on which conditions, and what some coupons take off a cart.
//!
//! A coupon is an instance ([`HeldCoupon`]) of terms ([`CouponTerms`]) that many coupons share. Here it is decided
//! what a coupon is worth; that a member has it and uses it once, and that no more are issued than `issue_max`, is
//! decided where members and stock are kept.
//!
//! **Order.** A coupon that is not stackable stands alone. Stackable ones are applied percentages first, then amounts,
//! each kind by ascending terms id, then coupon id; each works on what the ones before it have left of the lines in its
//! scope. Percentages go first so that "10 % off" means the prices the buyer sees, and doesn't depend on which other
//! coupon lies beside it; an amount off is the same in either place.

use serde::{Deserialize, Serialize};

use super::{Part, add, check, check_not_negative, narrow, spread_capped, subtract, sum};
use crate::domain::ids::{CouponId, CouponTermsId, ProductId, SkuId};
use crate::domain::money::Money;
use crate::domain::order_type::OrderType;
use crate::domain::reject::Reject;

/// Most coupons of one order.
pub const COUPONS_PER_ORDER_MAX: usize = 8;
/// Most products or SKUs that the scope of a coupon may name.
pub const COUPON_SCOPE_LEN_MAX: usize = 1_000;
/// Longest title of a coupon, in bytes of UTF-8.
pub const COUPON_TITLE_BYTES_MAX: usize = 256;
/// The whole, in basis points (hundredths of a percent).
pub const PERCENT_BP_MAX: u16 = 10_000;

/// What the coupons of one kind grant, and on which conditions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CouponTerms {
    /// Their id, the shop's own.
    pub id: CouponTermsId,
    /// What buyers read; 1 to [`COUPON_TITLE_BYTES_MAX`] bytes.
    pub title: Box<str>,
    /// What is taken off.
    pub benefit: CouponBenefit,
    /// The least amount of goods in scope, before any coupon; not negative.
    pub threshold: Money,
    /// Which lines it is for.
    pub scope: CouponScope,
    /// The first instant at which it is valid, in ms since the Unix epoch.
    pub valid_from_ms: u64,
    /// The first instant at which it is no longer valid, in ms since the Unix epoch; after `valid_from_ms`.
    pub valid_until_ms: u64,
    /// Whether it can be used beside other stackable coupons.
    pub stackable: bool,
    /// Most coupons of this kind that may ever be issued.
    pub issue_max: u64,
    /// Most coupons of this kind that one member may be issued; 0 stands for no limit.
    pub per_member_max: u32,
    /// The types of order that it can be used for; at least one.
    pub order_types: OrderTypes,
}

/// What a coupon takes off the lines in its scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CouponBenefit {
    /// An amount above zero, or what the lines cost where that is less.
    AmountOff(Money),
    /// A part of what the lines cost, rounded down to a whole minor unit.
    PercentOff {
        /// The part in basis points, 1 to [`PERCENT_BP_MAX`]: 1000 is 10 % off.
        percent_bp: u16,
        /// The most it takes off, above zero.
        cap: Option<Money>,
    },
}

/// The lines that a coupon is for. Ids are ascending and distinct, 1 to [`COUPON_SCOPE_LEN_MAX`] of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CouponScope {
    /// Every line.
    All,
    /// Lines of these products.
    Products(Vec<ProductId>),
    /// Lines of these SKUs.
    Skus(Vec<SkuId>),
}

/// A set of order types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OrderTypes(u8);

impl OrderTypes {
    /// The set of these types.
    pub fn of(types: &[OrderType]) -> Self {
        Self(types.iter().fold(0, |bits, order_type| bits | Self::bit(*order_type)))
    }

    /// Every type.
    pub fn all() -> Self {
        Self::of(&OrderType::ALL)
    }

    /// Whether a type is in the set.
    pub const fn contains(self, order_type: OrderType) -> bool {
        self.0 & Self::bit(order_type) != 0
    }

    /// The bit of a type follows its place in the persisted order.
    const fn bit(order_type: OrderType) -> u8 {
        1 << order_type as u8
    }

    /// Whether it has a type, and none that doesn't exist: the bits may come from a journal.
    fn is_valid(self) -> bool {
        self.0 != 0 && self.0 & !Self::all().0 == 0
    }
}

impl CouponScope {
    /// Whether a line of this SKU and product is in scope.
    pub fn contains(&self, sku: SkuId, product: ProductId) -> bool {
        match self {
            Self::All => true,
            Self::Products(products) => products.binary_search(&product).is_ok(),
            Self::Skus(skus) => skus.binary_search(&sku).is_ok(),
        }
    }

    fn is_valid(&self) -> bool {
        fn ascend<T: Ord>(ids: &[T]) -> bool {
            (1..=COUPON_SCOPE_LEN_MAX).contains(&ids.len()) && ids.windows(2).all(|pair| pair[0] < pair[1])
        }
        match self {
            Self::All => true,
            Self::Products(products) => ascend(products),
            Self::Skus(skus) => ascend(skus),
        }
    }
}

impl CouponBenefit {
    fn validate(&self) -> Result<(), Reject> {
        match *self {
            Self::AmountOff(amount) => check(amount > Money::ZERO, "coupon.amount_off", "above zero"),
            Self::PercentOff { percent_bp, cap } => {
                let in_range = (1..=PERCENT_BP_MAX).contains(&percent_bp);
                check(in_range, "coupon.percent_bp", "1 to 10000 basis points")?;
                check(cap.is_none_or(|cap| cap > Money::ZERO), "coupon.cap", "above zero")
            }
        }
    }

    /// What it takes off lines that cost `amount` together; never more than that.
    fn discount(&self, amount: Money) -> Result<Money, Reject> {
        match *self {
            Self::AmountOff(off) => Ok(off.min(amount)),
            Self::PercentOff { percent_bp, cap } => {
                let off = i128::from(amount.minor()) * i128::from(percent_bp) / i128::from(PERCENT_BP_MAX);
                let off = narrow(off)?.min(amount);
                Ok(cap.map_or(off, |cap| off.min(cap)))
            }
        }
    }

    /// Percentages are applied before amounts; see the module.
    const fn rank(&self) -> u8 {
        match self {
            Self::PercentOff { .. } => 0,
            Self::AmountOff(_) => 1,
        }
    }
}

impl CouponTerms {
    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`] and [`Reject::FieldTooLong`] for the title, [`Reject::InvalidField`] for the others.
    pub fn validate(&self) -> Result<(), Reject> {
        Reject::check_present("coupon.title", self.title.len(), COUPON_TITLE_BYTES_MAX)?;
        self.benefit.validate()?;
        check_not_negative("coupon.threshold", self.threshold)?;
        check(self.scope.is_valid(), "coupon.scope", "1 to 1000 ids, ascending and distinct")?;
        check(self.valid_from_ms < self.valid_until_ms, "coupon.valid_until_ms", "after valid_from_ms")?;
        check(self.order_types.is_valid(), "coupon.order_types", "one or more of the order types")
    }
}

/// A coupon in a member's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldCoupon<'a> {
    /// Which one.
    pub id: CouponId,
    /// What it grants.
    pub terms: &'a CouponTerms,
}

/// What a coupon needs to know of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CouponLine {
    /// The SKU.
    pub sku: SkuId,
    /// Its product.
    pub product: ProductId,
    /// What the line costs before coupons; not negative.
    pub amount: Money,
}

/// What coupons are used on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CouponCart<'a> {
    /// The order's type.
    pub order_type: OrderType,
    /// The time at which the order is placed, in ms since the Unix epoch.
    pub now_ms: u64,
    /// The order's lines.
    pub lines: &'a [CouponLine],
}

/// What one coupon took off an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouponUse {
    /// The coupon.
    pub coupon: CouponId,
    /// Its terms.
    pub terms: CouponTermsId,
    /// What it took off; above zero.
    pub amount: Money,
    /// What of it fell to each line, in the order of the lines; zero for those out of scope.
    pub by_line: Vec<Money>,
}

impl HeldCoupon<'_> {
    /// Checks whether the coupon can be used on a cart, looked at alone, and gives the amount of goods in its scope.
    ///
    /// # Errors
    /// [`Reject::CouponNotYetValid`], [`Reject::CouponExpired`], [`Reject::CouponWrongOrderType`],
    /// [`Reject::CouponOutOfScope`], [`Reject::CouponBelowThreshold`]; [`Reject::AmountOverflow`].
    pub fn applies(&self, cart: &CouponCart<'_>) -> Result<Money, Reject> {
        let (coupon, terms) = (self.id, self.terms);
        if cart.now_ms < terms.valid_from_ms {
            return Err(Reject::CouponNotYetValid { coupon, valid_from_ms: terms.valid_from_ms });
        }
        if cart.now_ms >= terms.valid_until_ms {
            return Err(Reject::CouponExpired { coupon, valid_until_ms: terms.valid_until_ms });
        }
        if !terms.order_types.contains(cart.order_type) {
            return Err(Reject::CouponWrongOrderType { coupon, order_type: cart.order_type });
        }
        let mut in_scope = cart.lines.iter().filter(|line| self.covers(line)).peekable();
        if in_scope.peek().is_none() {
            return Err(Reject::CouponOutOfScope { coupon });
        }
        let amount = sum(in_scope.map(|line| line.amount))?;
        if amount < terms.threshold {
            return Err(Reject::CouponBelowThreshold { coupon, threshold: terms.threshold, amount });
        }
        Ok(amount)
    }

    fn covers(&self, line: &CouponLine) -> bool {
        self.terms.scope.contains(line.sku, line.product)
    }

    /// Takes the coupon off what is left of the lines.
    fn take_off(&self, lines: &[CouponLine], left: &mut [Money]) -> Result<CouponUse, Reject> {
        // What is left of a line is both its weight and the most that can still be taken off it.
        let parts: Vec<Part> = lines
            .iter()
            .zip(left.iter())
            .map(
                |(line, left)| {
                    if self.covers(line) { Part { weight: *left, cap: *left } } else { Part::default() }
                },
            )
            .collect();
        let amount = self.terms.benefit.discount(sum(parts.iter().map(|part| part.cap))?)?;
        if amount <= Money::ZERO {
            return Err(Reject::CouponWithoutEffect { coupon: self.id });
        }
        let by_line = spread_capped(amount, &parts)?;
        for (left, off) in left.iter_mut().zip(&by_line) {
            *left = subtract(*left, *off)?;
        }
        Ok(CouponUse { coupon: self.id, terms: self.terms.id, amount, by_line })
    }
}

/// What each of some coupons takes off a cart, in the order in which they are applied. The order in which they are
/// given makes no difference.
///
/// A coupon that would take off nothing is refused, because its buyer would lose it for nothing.
///
/// # Errors
/// [`Reject::TooManyCoupons`], [`Reject::CouponRepeated`], [`Reject::CouponNotStackable`], those of
/// [`HeldCoupon::applies`], [`Reject::CouponWithoutEffect`]. All conditions are checked before anything is taken off,
/// and thresholds are measured before any coupon.
pub fn coupon_uses(cart: &CouponCart<'_>, coupons: &[HeldCoupon<'_>]) -> Result<Vec<CouponUse>, Reject> {
    let mut ordered = coupons.to_vec();
    check_together(&mut ordered)?;
    for coupon in &ordered {
        coupon.applies(cart)?;
    }
    let mut left: Vec<Money> = cart.lines.iter().map(|line| line.amount).collect();
    ordered.iter().map(|coupon| coupon.take_off(cart.lines, &mut left)).collect()
}

/// Brings coupons into the order in which they are applied, and checks that they can be used together.
fn check_together(coupons: &mut [HeldCoupon<'_>]) -> Result<(), Reject> {
    if coupons.len() > COUPONS_PER_ORDER_MAX {
        return Err(Reject::TooManyCoupons { coupons: coupons.len(), coupons_max: COUPONS_PER_ORDER_MAX });
    }
    coupons.sort_by_key(|coupon| coupon.id);
    if let Some(pair) = coupons.windows(2).find(|pair| pair[0].id == pair[1].id) {
        return Err(Reject::CouponRepeated { coupon: pair[0].id });
    }
    coupons.sort_by_key(|coupon| (coupon.terms.benefit.rank(), coupon.terms.id, coupon.id));
    match coupons.iter().find(|coupon| !coupon.terms.stackable) {
        Some(alone) if coupons.len() > 1 => Err(Reject::CouponNotStackable { coupon: alone.id }),
        _ => Ok(()),
    }
}

impl CouponUse {
    /// Adds what coupons took off to what each line has already; one amount for each line.
    pub(super) fn add_up(uses: &[Self], lines: usize) -> Result<Vec<Money>, Reject> {
        let mut discounts = vec![Money::ZERO; lines];
        for used in uses {
            for (discount, off) in discounts.iter_mut().zip(&used.by_line) {
                *discount = add(*discount, *off)?;
            }
        }
        Ok(discounts)
    }
}
