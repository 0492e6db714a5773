//! Freight: templates by which the shop charges for shipping, and the freight of an order.
//!
//! A SKU names the template that it ships by; one that names none ships free. The lines of an order are grouped by
//! template, each group is charged by its template as one parcel, and the fees are added up: a template stands for a
//! way of shipping, and things that ship in different ways can't share a parcel.
//!
//! A template that is free from some amount on looks at the goods of its own group, after coupons. After coupons,
//! because free shipping is granted for what the buyer spends, and otherwise a coupon would buy it. Of its own group,
//! because otherwise a small expensive thing would carry the bulky ones beside it for nothing.

use serde::{Deserialize, Serialize};

use super::{add, check, check_not_negative, narrow};
use crate::domain::ids::FreightId;
use crate::domain::money::Money;
use crate::domain::reject::Reject;

/// Longest name of a freight template, in bytes of UTF-8.
pub const FREIGHT_NAME_BYTES_MAX: usize = 128;

/// A way of shipping, and what it costs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FreightTemplate {
    /// Its id, the shop's own.
    pub id: FreightId,
    /// What the shop calls it; 1 to [`FREIGHT_NAME_BYTES_MAX`] bytes.
    pub name: Box<str>,
    /// What it costs.
    pub rule: FreightRule,
}

/// What shipping by a template costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FreightRule {
    /// The charge.
    pub charge: FreightCharge,
    /// The amount of goods, after coupons, from which on nothing is charged; not negative. `None`: it is always
    /// charged.
    pub free_from: Option<Money>,
}

/// How a charge is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FreightCharge {
    /// The same for every parcel.
    Flat {
        /// The fee; not negative.
        fee: Money,
    },
    /// By weight.
    WeightSteps {
        /// Up to this weight, in grams, only the first fee is charged.
        first_grams: u32,
        /// The first fee; not negative.
        first_fee: Money,
        /// Length of a further step, in grams; at least 1.
        step_grams: u32,
        /// The fee for each further step, begun ones included; not negative.
        step_fee: Money,
    },
}

impl FreightTemplate {
    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`] and [`Reject::FieldTooLong`] for the name, [`Reject::InvalidField`] for the rule.
    pub fn validate(&self) -> Result<(), Reject> {
        Reject::check_present("freight.name", self.name.len(), FREIGHT_NAME_BYTES_MAX)?;
        self.rule.validate()
    }

    /// What one parcel costs; see [`FreightRule::fee`].
    ///
    /// # Errors
    /// [`Reject::AmountOverflow`].
    pub fn fee(&self, goods_after_discount: Money, weight_grams: u64) -> Result<Money, Reject> {
        self.rule.fee(goods_after_discount, weight_grams)
    }
}

impl FreightRule {
    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// [`Reject::InvalidField`].
    pub fn validate(&self) -> Result<(), Reject> {
        if let Some(free_from) = self.free_from {
            check_not_negative("freight.free_from", free_from)?;
        }
        match self.charge {
            FreightCharge::Flat { fee } => check_not_negative("freight.fee", fee),
            FreightCharge::WeightSteps { first_fee, step_grams, step_fee, .. } => {
                check_not_negative("freight.first_fee", first_fee)?;
                check_not_negative("freight.step_fee", step_fee)?;
                check(step_grams > 0, "freight.step_grams", "at least 1")
            }
        }
    }

    /// What one parcel costs whose goods, after coupons, cost `goods_after_discount` and weigh `weight_grams`.
    ///
    /// # Errors
    /// [`Reject::AmountOverflow`]; [`Reject::InvalidField`] for a step of zero grams, which no valid template has.
    pub fn fee(&self, goods_after_discount: Money, weight_grams: u64) -> Result<Money, Reject> {
        if self.free_from.is_some_and(|free_from| goods_after_discount >= free_from) {
            return Ok(Money::ZERO);
        }
        match self.charge {
            FreightCharge::Flat { fee } => Ok(fee),
            FreightCharge::WeightSteps { first_grams, first_fee, step_grams, step_fee } => {
                check(step_grams > 0, "freight.step_grams", "at least 1")?;
                let further_grams = weight_grams.saturating_sub(u64::from(first_grams));
                let steps = further_grams.div_ceil(u64::from(step_grams));
                // 64 bits times 63 bits, and one more: it fits.
                narrow(i128::from(steps) * i128::from(step_fee.minor()) + i128::from(first_fee.minor()))
            }
        }
    }
}

/// What the freight of a line depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreightLine {
    /// The template that it ships by; `None` ships free.
    pub freight: Option<FreightId>,
    /// What the line costs after coupons.
    pub goods_after_discount: Money,
    /// What all its units weigh, in grams.
    pub weight_grams: u64,
}

/// The freight of an order: the lines grouped by template, each group charged once, the fees added up.
///
/// `rules` gives the rule of a template, and is asked once for each template.
///
/// # Errors
/// [`Reject::UnknownFreight`] for a template without a rule; [`Reject::AmountOverflow`] where amounts, weights or fees
/// don't add up within 64 bits.
pub fn order_freight(
    lines: &[FreightLine],
    rules: impl Fn(FreightId) -> Option<FreightRule>,
) -> Result<Money, Reject> {
    let mut shipped: Vec<(FreightId, &FreightLine)> =
        lines.iter().filter_map(|line| line.freight.map(|freight| (freight, line))).collect();
    shipped.sort_by_key(|(freight, _)| *freight);

    let mut total = Money::ZERO;
    for group in shipped.chunk_by(|(left, _), (right, _)| left == right) {
        let (freight, _) = group[0];
        let rule = rules(freight).ok_or(Reject::UnknownFreight { freight })?;
        let (mut goods, mut weight_grams) = (Money::ZERO, 0_u64);
        for (_, line) in group {
            goods = add(goods, line.goods_after_discount)?;
            weight_grams = weight_grams.checked_add(line.weight_grams).ok_or(Reject::AmountOverflow)?;
        }
        total = add(total, rule.fee(goods, weight_grams)?)?;
    }
    Ok(total)
}
