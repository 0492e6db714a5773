//! The price of a whole order: lines, coupons, adjustment, freight, and what is to be paid.
//!
//! The steps, in this order: line amounts; coupons off the lines; freight of what the goods then cost; the adjustment,
//! spread over the lines. An adjustment doesn't change the freight: it is a decision of a person about this order, made
//! with the freight in sight.

use serde::{Deserialize, Serialize};

use super::coupon::{CouponCart, CouponLine, CouponUse, HeldCoupon, coupon_uses};
use super::freight::{FreightLine, FreightRule, order_freight};
use super::{add, check_not_negative, spread, subtract, sum};
use crate::domain::ids::{FreightId, ProductId, SkuId};
use crate::domain::money::Money;
use crate::domain::order_type::OrderType;
use crate::domain::reject::Reject;
use crate::domain::request::ORDER_LINES_MAX;

/// A line whose unit price is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PricedLine {
    /// The SKU.
    pub sku: SkuId,
    /// Its product.
    pub product: ProductId,
    /// Price of one unit, by the rules of the order's type; not negative.
    pub unit_price: Money,
    /// Units, at least one.
    pub quantity: u32,
    /// What one unit weighs, in grams.
    pub weight_grams: u32,
    /// The template that it ships by; `None` ships free.
    pub freight: Option<FreightId>,
}

/// What is to be priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cart<'a> {
    /// The order's type.
    pub order_type: OrderType,
    /// The time at which the order is placed, in ms since the Unix epoch.
    pub now_ms: u64,
    /// The lines: 1 to [`ORDER_LINES_MAX`].
    pub lines: &'a [PricedLine],
    /// The coupons to be used, at most [`super::COUPONS_PER_ORDER_MAX`].
    pub coupons: &'a [HeldCoupon<'a>],
    /// What the shop adds to the price of the goods, or takes off where it is negative; zero for most orders.
    pub adjustment: Money,
}

/// What an order costs, line by line.
///
/// `pay_amount = goods_amount - discount_amount + adjustment + freight`, and the lines add up to each of these but the
/// freight; [`Quote::adds_up`] checks it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Unit prices times quantities.
    pub goods_amount: Money,
    /// What coupons, or the discounts that a trusted caller brought, take off.
    pub discount_amount: Money,
    /// What the shop added to the goods, or took off where it is negative.
    pub adjustment: Money,
    /// What shipping costs; in no line's share.
    pub freight: Money,
    /// What is to be paid; never negative.
    pub pay_amount: Money,
    /// The lines, in the order of the cart's.
    pub lines: Vec<QuotedLine>,
    /// What each coupon took off, in the order in which they were applied.
    pub coupons: Vec<CouponUse>,
}

/// A line's part of an order's price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotedLine {
    /// The SKU.
    pub sku: SkuId,
    /// Units.
    pub quantity: u32,
    /// Price of one unit.
    pub unit_price: Money,
    /// Unit price times quantity.
    pub amount: Money,
    /// Its part of the discounts; at most `amount`.
    pub discount: Money,
    /// Its part of the adjustment.
    pub adjustment: Money,
    /// What is paid for the line: `amount - discount + adjustment`; never negative.
    pub share: Money,
}

/// A change of an order's price by the shop, before it is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceChange {
    /// What is to be paid from now on, freight included; not negative.
    pub pay_amount: Money,
    /// What shipping costs from now on; not negative, at most `pay_amount`.
    pub freight: Money,
}

impl PricedLine {
    fn quoted(&self) -> Result<QuotedLine, Reject> {
        QuotedLine::new(self.sku, self.quantity, self.unit_price, Money::ZERO)
    }
}

impl QuotedLine {
    /// A line without adjustment.
    pub(super) fn new(sku: SkuId, quantity: u32, unit_price: Money, discount: Money) -> Result<Self, Reject> {
        if quantity == 0 {
            return Err(Reject::QuantityTooSmall { sku });
        }
        if unit_price.is_negative() {
            return Err(Reject::NegativePrice { sku });
        }
        let amount = unit_price.checked_mul(quantity).ok_or(Reject::AmountOverflow)?;
        let line = Self { sku, quantity, unit_price, amount, share: amount, ..Self::default() };
        line.discounted(discount)
    }

    fn discounted(self, discount: Money) -> Result<Self, Reject> {
        check_not_negative("line.discount", discount)?;
        if discount > self.amount {
            return Err(Reject::DiscountAboveAmount { discount, amount: self.amount });
        }
        Ok(Self { discount, share: subtract(self.amount, discount)?, ..self })
    }

    /// What the line costs before the adjustment.
    fn net(&self) -> Result<Money, Reject> {
        subtract(self.amount, self.discount)
    }
}

/// Checks that there are lines, and not too many.
pub(super) fn check_lines(lines: usize) -> Result<(), Reject> {
    match lines {
        0 => Err(Reject::EmptyOrder),
        1..=ORDER_LINES_MAX => Ok(()),
        _ => Err(Reject::TooManyLines { lines, lines_max: ORDER_LINES_MAX }),
    }
}

/// Prices an order. `rules` gives the rule of a freight template, and is asked once for each template.
///
/// # Errors
/// The first reject found: [`Reject::EmptyOrder`], [`Reject::TooManyLines`], [`Reject::QuantityTooSmall`] or
/// [`Reject::NegativePrice`] for the lines; those of [`coupon_uses`] and [`order_freight`];
/// [`Reject::DiscountAboveAmount`] for an adjustment that takes off more than the goods cost; and
/// [`Reject::AmountOverflow`].
pub fn quote(cart: &Cart<'_>, rules: impl Fn(FreightId) -> Option<FreightRule>) -> Result<Quote, Reject> {
    check_lines(cart.lines.len())?;
    let mut lines = cart.lines.iter().map(PricedLine::quoted).collect::<Result<Vec<_>, _>>()?;
    // Before any part of the sum is used: then no coupon's scope can overflow either.
    sum(lines.iter().map(|line| line.amount))?;

    let coupons = if cart.coupons.is_empty() { Vec::new() } else { take_coupons(cart, &mut lines)? };
    let freight = freight_of(cart.lines, &lines, rules)?;
    let quote = Quote::of_lines(lines, freight, coupons)?;
    if cart.adjustment == Money::ZERO {
        return Ok(quote);
    }
    let goods = subtract(quote.goods_amount, quote.discount_amount)?;
    let new_goods = add(goods, cart.adjustment)?;
    if new_goods.is_negative() {
        let discount = subtract(Money::ZERO, cart.adjustment)?;
        return Err(Reject::DiscountAboveAmount { discount, amount: goods });
    }
    quote.changed(PriceChange { pay_amount: add(new_goods, freight)?, freight })
}

fn take_coupons(cart: &Cart<'_>, lines: &mut [QuotedLine]) -> Result<Vec<CouponUse>, Reject> {
    let scoped = |(line, quoted): (&PricedLine, &QuotedLine)| CouponLine {
        sku: line.sku,
        product: line.product,
        amount: quoted.amount,
    };
    let coupon_lines: Vec<CouponLine> = cart.lines.iter().zip(lines.iter()).map(scoped).collect();
    let coupon_cart = CouponCart { order_type: cart.order_type, now_ms: cart.now_ms, lines: &coupon_lines };
    let uses = coupon_uses(&coupon_cart, cart.coupons)?;
    for (line, discount) in lines.iter_mut().zip(CouponUse::add_up(&uses, coupon_lines.len())?) {
        *line = line.discounted(discount)?;
    }
    Ok(uses)
}

fn freight_of(
    lines: &[PricedLine],
    quoted: &[QuotedLine],
    rules: impl Fn(FreightId) -> Option<FreightRule>,
) -> Result<Money, Reject> {
    let shipped = |(line, quoted): (&PricedLine, &QuotedLine)| FreightLine {
        freight: line.freight,
        goods_after_discount: quoted.share,
        // Two factors of 32 bits: it fits.
        weight_grams: u64::from(line.weight_grams) * u64::from(line.quantity),
    };
    let shipped: Vec<FreightLine> = lines.iter().zip(quoted).map(shipped).collect();
    order_freight(&shipped, rules)
}

impl Quote {
    /// The quote of some lines without adjustment.
    pub(super) fn of_lines(
        lines: Vec<QuotedLine>,
        freight: Money,
        coupons: Vec<CouponUse>,
    ) -> Result<Self, Reject> {
        let goods_amount = sum(lines.iter().map(|line| line.amount))?;
        let discount_amount = sum(lines.iter().map(|line| line.discount))?;
        let pay_amount = add(subtract(goods_amount, discount_amount)?, freight)?;
        let adjustment = Money::ZERO;
        Ok(Self { goods_amount, discount_amount, adjustment, freight, pay_amount, lines, coupons })
    }

    /// What the goods cost as they stand, without freight: the sum of the lines' shares.
    ///
    /// # Errors
    /// [`Reject::AmountOverflow`].
    pub fn goods_share(&self) -> Result<Money, Reject> {
        sum(self.lines.iter().map(|line| line.share))
    }

    /// This quote with another total: the lines' shares follow by largest remainder, weighted by what each costs after
    /// discounts, and the adjustments are the differences.
    ///
    /// Earlier adjustments are replaced, not added to: the same change gives the same shares whatever was changed
    /// before. Where coupons had taken off everything, a new price is spread over the lines equally.
    ///
    /// # Errors
    /// [`Reject::InvalidField`] for a negative amount; [`Reject::TotalBelowFreight`]; [`Reject::AmountOverflow`].
    pub fn changed(&self, change: PriceChange) -> Result<Self, Reject> {
        let PriceChange { pay_amount, freight } = change;
        check_not_negative("price_change.pay_amount", pay_amount)?;
        check_not_negative("price_change.freight", freight)?;
        let goods = subtract(pay_amount, freight)?;
        if goods.is_negative() {
            return Err(Reject::TotalBelowFreight { pay_amount, freight });
        }
        let nets = self.lines.iter().map(QuotedLine::net).collect::<Result<Vec<_>, _>>()?;
        let shares = spread(goods, &nets)?;
        let mut lines = self.lines.clone();
        for ((line, net), share) in lines.iter_mut().zip(&nets).zip(shares) {
            (line.share, line.adjustment) = (share, subtract(share, *net)?);
        }
        let adjustment = subtract(goods, sum(nets)?)?;
        Ok(Self { adjustment, freight, pay_amount, lines, ..self.clone() })
    }

    /// Whether every sum of the breakdown is what it should be; an auditor's check of a stored quote.
    pub fn adds_up(&self) -> bool {
        self.checked_up().unwrap_or(false)
    }

    fn checked_up(&self) -> Result<bool, Reject> {
        let total = |part: fn(&QuotedLine) -> Money| sum(self.lines.iter().map(part));
        let goods = add(subtract(self.goods_amount, self.discount_amount)?, self.adjustment)?;
        let totals = total(|line| line.amount)? == self.goods_amount
            && total(|line| line.discount)? == self.discount_amount
            && total(|line| line.adjustment)? == self.adjustment
            && total(|line| line.share)? == goods
            && add(goods, self.freight)? == self.pay_amount
            && !self.freight.is_negative();
        let mut lines = true;
        for line in &self.lines {
            lines &= line.unit_price.checked_mul(line.quantity) == Some(line.amount)
                && add(line.net()?, line.adjustment)? == line.share
                && !line.share.is_negative()
                && (Money::ZERO..=line.amount).contains(&line.discount);
        }
        Ok(totals && lines && self.coupons_add_up()?)
    }

    /// Each coupon's parts add up to it, and where there are coupons they are what the lines' discounts consist of.
    fn coupons_add_up(&self) -> Result<bool, Reject> {
        for used in &self.coupons {
            let negative = used.by_line.iter().any(|off| off.is_negative());
            if negative
                || used.by_line.len() != self.lines.len()
                || sum(used.by_line.iter().copied())? != used.amount
            {
                return Ok(false);
            }
        }
        let discounts = CouponUse::add_up(&self.coupons, self.lines.len())?;
        let agree = self.lines.iter().zip(discounts).all(|(line, discount)| line.discount == discount);
        Ok(self.coupons.is_empty() || agree)
    }
}
