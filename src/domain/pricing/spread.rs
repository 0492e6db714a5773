//! Spreading one amount over several parts by largest remainder (Hamilton's method), exactly.
//!
//! Discounts and price changes are decided for a whole order and refunded by line, so every minor unit of them must
//! belong to one line. Rounding each line by itself would lose or invent units; here each part first gets its
//! proportional share rounded down, and the units left over go to the largest remainders, one each.
//!
//! The method is fair to the parts but not steady in the amount: with a larger amount one part's share may be smaller
//! (the Alabama paradox). So shares are calculated once and kept, never calculated anew and compared; refunds of some
//! units of a line follow their own formula, [`super::LineRefund`].

use super::{check_not_negative, narrow};
use crate::domain::money::Money;
use crate::domain::reject::Reject;

/// One of the parts that an amount is spread over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Its weight beside the others'; not negative.
    pub weight: Money,
    /// The most that it may get; not negative.
    pub cap: Money,
}

/// Spreads `amount` over weights: the shares, in the order of the weights, add up to `amount` exactly.
///
/// Each share is less than one unit away from `amount * weight / sum of weights`; a heavier part never gets less than
/// a lighter one, and one of weight zero gets nothing. Units that are left over for equal remainders go to the parts
/// that come first. Where every weight is zero, the parts count as equal. Where `amount` is no more than the sum of
/// the weights, no share is more than its weight.
///
/// # Errors
/// [`Reject::InvalidField`] for a negative amount or weight; [`Reject::DiscountAboveAmount`] for an amount above zero
/// and no parts.
pub fn spread(amount: Money, weights: &[Money]) -> Result<Vec<Money>, Reject> {
    let most = Money::from_minor(i64::MAX);
    let parts: Vec<Part> = weights.iter().map(|weight| Part { weight: *weight, cap: most }).collect();
    spread_capped(amount, &parts)
}

/// Like [`spread`], with a most for each part.
///
/// Parts whose share would exceed their cap get the cap, and what they can't take is spread over the others by the same
/// rule, over parts of weight zero only when there are no others. Where no cap binds the shares are those of
/// [`spread`].
///
/// # Errors
/// [`Reject::InvalidField`] for a negative amount, weight or cap; [`Reject::DiscountAboveAmount`] where the amount is
/// more than all caps together.
pub fn spread_capped(amount: Money, parts: &[Part]) -> Result<Vec<Money>, Reject> {
    check_not_negative("spread.amount", amount)?;
    for part in parts {
        check_not_negative("spread.weight", part.weight)?;
        check_not_negative("spread.cap", part.cap)?;
    }
    let room: i128 = parts.iter().map(|part| i128::from(part.cap.minor())).sum();
    let mut rest = i128::from(amount.minor());
    if rest > room {
        return Err(Reject::DiscountAboveAmount { discount: amount, amount: narrow(room)? });
    }

    // Each round either ends or fills at least one part, so there are at most as many rounds as parts. What is left is
    // never more than the room of the parts that are still open, so they can't all be filled with some of it left.
    let mut shares = vec![0_i128; parts.len()];
    let mut open: Vec<usize> = (0..parts.len()).collect();
    loop {
        let weights: Vec<i128> = open.iter().map(|at| i128::from(parts[*at].weight.minor())).collect();
        let proposed = largest_remainder(rest, weights);
        let mut still_open = Vec::with_capacity(open.len());
        for (at, share) in open.iter().zip(&proposed) {
            let cap = i128::from(parts[*at].cap.minor());
            shares[*at] = (*share).min(cap);
            if *share <= cap {
                still_open.push(*at);
            }
        }
        if still_open.len() == open.len() {
            return shares.into_iter().map(narrow).collect();
        }
        let full = open.iter().filter(|at| !still_open.contains(at)).map(|at| shares[*at]);
        rest -= full.sum::<i128>();
        open = still_open;
    }
}

/// The shares of `amount` by largest remainder. `amount` and the weights are below 2^63 and not negative, so a product
/// of two of them is below 2^126.
fn largest_remainder(amount: i128, mut weights: Vec<i128>) -> Vec<i128> {
    if weights.iter().all(|weight| *weight == 0) {
        weights.fill(1);
    }
    let total: i128 = weights.iter().sum();
    let mut shares: Vec<i128> = weights.iter().map(|weight| amount * weight / total).collect();
    let left = amount - shares.iter().sum::<i128>();
    if left > 0 {
        let mut order: Vec<usize> = (0..weights.len()).collect();
        // The sort is stable: parts with equal remainders stay in their order.
        order.sort_by_key(|at| std::cmp::Reverse(amount * weights[*at] % total));
        // Every remainder is less than one unit, so fewer units are left than there are parts with a remainder.
        for (at, _) in order.iter().zip(0..left) {
            shares[*at] += 1;
        }
    }
    shares
}
