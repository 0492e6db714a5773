//! The naive calculation that quotes are compared with: 128 bits, one coupon and one unit after the other.

use super::*;

/// Shares by largest remainder: everything rounded down, then unit by unit to the largest remainder that has none yet.
pub(super) fn spread(amount: i128, weights: &[i128]) -> Vec<i128> {
    let weights: Vec<i128> =
        if weights.iter().any(|weight| *weight > 0) { weights.to_vec() } else { vec![1; weights.len()] };
    let total: i128 = weights.iter().sum();
    let mut shares: Vec<i128> = weights.iter().map(|weight| (amount * weight).div_euclid(total)).collect();
    let mut remainders: Vec<i128> =
        weights.iter().map(|weight| (amount * weight).rem_euclid(total)).collect();
    while shares.iter().sum::<i128>() < amount {
        let mut largest = 0;
        for at in 1..remainders.len() {
            if remainders[at] > remainders[largest] {
                largest = at;
            }
        }
        shares[largest] += 1;
        remainders[largest] = -1;
    }
    shares
}

fn minor(amount: Money) -> i128 {
    i128::from(amount.minor())
}

fn in_scope(terms: &CouponTerms, line: &PricedLine) -> bool {
    match &terms.scope {
        CouponScope::All => true,
        CouponScope::Products(products) => products.contains(&line.product),
        CouponScope::Skus(skus) => skus.contains(&line.sku),
    }
}

/// What each line costs after stackable coupons, or `None` where one of them can't be used.
fn nets(cart: &Cart<'_>) -> Option<Vec<i128>> {
    let amounts: Vec<i128> =
        cart.lines.iter().map(|line| minor(line.unit_price) * i128::from(line.quantity)).collect();
    let mut left = amounts.clone();
    let mut coupons = cart.coupons.to_vec();
    coupons.sort_by_key(|coupon| {
        let is_amount = matches!(coupon.terms.benefit, CouponBenefit::AmountOff(_));
        (is_amount, coupon.terms.id, coupon.id)
    });
    for HeldCoupon { terms, .. } in coupons {
        let scope: Vec<usize> =
            (0..cart.lines.len()).filter(|at| in_scope(terms, &cart.lines[*at])).collect();
        let before: i128 = scope.iter().map(|at| amounts[*at]).sum();
        let rest: Vec<i128> = scope.iter().map(|at| left[*at]).collect();
        let total: i128 = rest.iter().sum();
        let off = match terms.benefit {
            CouponBenefit::AmountOff(off) => minor(off).min(total),
            CouponBenefit::PercentOff { percent_bp, cap } => {
                let off = total * i128::from(percent_bp) / 10_000;
                cap.map_or(off, |cap| off.min(minor(cap)))
            }
        };
        if scope.is_empty() || before < minor(terms.threshold) || off == 0 {
            return None;
        }
        for (at, share) in scope.iter().zip(spread(off, &rest)) {
            left[*at] -= share;
        }
    }
    Some(left)
}

/// What each template charges for its lines: one step after the other, as a clerk would count.
fn freight(cart: &Cart<'_>, nets: &[i128], rules: &[FreightRule]) -> i128 {
    let mut fees = 0;
    for (id, rule) in rules.iter().enumerate() {
        let lines: Vec<usize> = (0..cart.lines.len())
            .filter(|at| cart.lines[*at].freight.is_some_and(|freight| freight.0 == id as u64))
            .collect();
        let goods: i128 = lines.iter().map(|at| nets[*at]).sum();
        let grams: i128 = lines
            .iter()
            .map(|at| i128::from(cart.lines[*at].weight_grams) * i128::from(cart.lines[*at].quantity))
            .sum();
        if lines.is_empty() || rule.free_from.is_some_and(|from| goods >= minor(from)) {
            continue;
        }
        match rule.charge {
            FreightCharge::Flat { fee } => fees += minor(fee),
            FreightCharge::WeightSteps { first_grams, first_fee, step_grams, step_fee } => {
                fees += minor(first_fee);
                let mut covered = i128::from(first_grams);
                while covered < grams {
                    covered += i128::from(step_grams);
                    fees += minor(step_fee);
                }
            }
        }
    }
    fees
}

/// What is paid for each line, and for freight; `None` where the order can't be priced. Template `n` has the `n`-th
/// rule.
pub(super) fn quote(cart: &Cart<'_>, rules: &[FreightRule]) -> Option<(Vec<i128>, i128)> {
    let nets = nets(cart)?;
    let freight = freight(cart, &nets, rules);
    let goods = nets.iter().sum::<i128>() + minor(cart.adjustment);
    let shares = if cart.adjustment == Money::ZERO { nets } else { spread_signed(goods, &nets)? };
    Some((shares, freight))
}

fn spread_signed(goods: i128, nets: &[i128]) -> Option<Vec<i128>> {
    (goods >= 0).then(|| spread(goods, nets))
}
