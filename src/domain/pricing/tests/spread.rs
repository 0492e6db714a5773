//! [`spread`] and [`spread_capped`].

use super::*;

fn part(weight: i64, cap: i64) -> Part {
    Part { weight: money(weight), cap: money(cap) }
}

#[test]
fn what_is_left_over_goes_to_the_largest_remainders_and_then_by_line() {
    let cases: &[(i64, &[i64], &[i64])] = &[
        (100, &[1, 1, 1], &[34, 33, 33]),
        (101, &[1, 1, 1], &[34, 34, 33]),
        // Shares of 2.5, 4.9 and 2.6.
        (10, &[25, 49, 26], &[2, 5, 3]),
        // Both remainders are a half: the first line gets the unit.
        (2, &[1, 3], &[1, 1]),
        (2, &[3, 1], &[2, 0]),
        (1, &[0, 0, 5], &[0, 0, 1]),
        (0, &[3, 4], &[0, 0]),
        (7, &[9], &[7]),
        (5, &[0, 0, 0], &[2, 2, 1]),
        (0, &[], &[]),
    ];
    for (amount, weights, shares) in cases {
        assert_eq!(spread(money(*amount), &moneys(weights)), Ok(moneys(shares)), "{amount} over {weights:?}");
    }
}

#[test]
fn what_a_full_part_cannot_take_goes_to_the_others() {
    let cases: &[(i64, &[Part], &[i64])] = &[
        (100, &[part(90, 50), part(10, 60)], &[50, 50]),
        (100, &[part(80, 50), part(10, 60), part(10, 60)], &[50, 25, 25]),
        // The second round fills another part.
        (100, &[part(80, 10), part(15, 20), part(5, 90)], &[10, 20, 70]),
        (30, &[part(1, 10), part(1, 10), part(1, 10)], &[10, 10, 10]),
        // A cap that is just reached binds nobody: without the first part, the last would get both.
        (2, &[part(1, 0), part(2, 2), part(7, 2)], &[0, 1, 1]),
        // Parts of weight zero take only what nobody else can.
        (10, &[part(5, 4), part(0, 9), part(0, 9)], &[4, 3, 3]),
        (3, &[part(0, 0), part(0, 5)], &[0, 3]),
    ];
    for (amount, parts, shares) in cases {
        assert_eq!(spread_capped(money(*amount), parts), Ok(moneys(shares)), "{amount} over {parts:?}");
    }
}

#[test]
fn what_cannot_be_spread_is_refused() {
    let negative = |field| Err(Reject::InvalidField { field, expected: "zero or more" });
    assert_eq!(spread(money(-1), &moneys(&[1])), negative("spread.amount"));
    assert_eq!(spread(money(1), &moneys(&[1, -1])), negative("spread.weight"));
    assert_eq!(spread_capped(money(1), &[part(1, -1)]), negative("spread.cap"));
    let too_much = |discount, amount| {
        Err(Reject::DiscountAboveAmount { discount: money(discount), amount: money(amount) })
    };
    assert_eq!(spread_capped(money(8), &[part(1, 3), part(1, 4)]), too_much(8, 7));
    assert_eq!(spread(money(1), &[]), too_much(1, 0));
}

#[test]
fn a_hundred_of_the_largest_weights_share_the_largest_amount() {
    let shares = spread(money(i64::MAX), &moneys(&[i64::MAX; 100])).unwrap();
    assert_eq!(sum(shares.iter().copied()), Ok(money(i64::MAX)));
    assert!(shares.iter().all(|share| share.minor() - i64::MAX / 100 <= 1));
}

/// How far `share` is from its part of the amount, in units times the sum of the weights.
fn distance(share: Money, weight: i64, amount: i64, total: i128) -> i128 {
    (i128::from(share.minor()) * total - i128::from(amount) * i128::from(weight)).abs()
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn shares_add_up_and_each_is_within_a_unit_of_its_part(
        amount in any_amount(),
        weights in prop::collection::vec(any_amount(), 1..20),
    ) {
        let total: i128 = weights.iter().map(|weight| i128::from(*weight)).sum();
        let shares = spread(money(amount), &moneys(&weights)).unwrap();
        prop_assert_eq!(sum(shares.iter().copied()), Ok(money(amount)));
        prop_assert!(shares.iter().all(|share| !share.is_negative()));
        prop_assume!(total > 0);
        for (share, weight) in shares.iter().zip(&weights) {
            prop_assert!(distance(*share, *weight, amount, total) < total);
            // A discount that is at most the sum of the lines never exceeds a line.
            prop_assert!(i128::from(amount) > total || share.minor() <= *weight);
        }
        for (heavy, share) in weights.iter().zip(&shares) {
            for (light, less) in weights.iter().zip(&shares) {
                prop_assert!(heavy <= light || share >= less, "{} beside {}", share, less);
            }
        }
    }

    #[test]
    fn spreading_agrees_with_handing_out_unit_by_unit(
        amount in any_amount(),
        weights in prop::collection::vec(any_amount(), 1..12),
    ) {
        let wide: Vec<i128> = weights.iter().map(|weight| i128::from(*weight)).collect();
        let shares = spread(money(amount), &moneys(&weights)).unwrap();
        let shares: Vec<i128> = shares.iter().map(|share| i128::from(share.minor())).collect();
        prop_assert_eq!(shares, naive::spread(i128::from(amount), &wide));
    }

    /// The order of the lines decides only who gets a unit that is left over for equal remainders.
    #[test]
    fn permuted_lines_get_the_same_but_for_ties(
        amount in any_amount(),
        mut weighted in prop::collection::vec((any_amount(), 0_u32..1_000), 1..12),
    ) {
        let weights = |weighted: &[(i64, u32)]| {
            weighted.iter().map(|(weight, _)| money(*weight)).collect::<Vec<_>>()
        };
        let total = weighted.iter().map(|(weight, _)| i128::from(*weight)).sum::<i128>().max(1);
        let mut remainders: Vec<i128> =
            weighted.iter().map(|(weight, _)| i128::from(amount) * i128::from(*weight) % total).collect();
        remainders.sort_unstable();
        let ties = remainders.windows(2).any(|pair| pair[0] == pair[1]);

        // Numbered, so that equal weights can be told apart after they are moved.
        weighted.iter_mut().enumerate().for_each(|(at, (_, place))| *place = *place * 100 + at as u32);
        let before = spread(money(amount), &weights(&weighted)).unwrap();
        let mut moved: Vec<usize> = (0..weighted.len()).collect();
        moved.sort_by_key(|at| weighted[*at].1);
        let permuted: Vec<_> = moved.iter().map(|at| weighted[*at]).collect();
        let after = spread(money(amount), &weights(&permuted)).unwrap();
        for (to, from) in moved.iter().enumerate() {
            let change = (after[to].minor() - before[*from].minor()).abs();
            prop_assert!(change <= i64::from(ties), "changed by {}", change);
        }
    }

    #[test]
    fn capped_shares_add_up_below_their_caps(
        parts in prop::collection::vec((any_amount(), any_amount()), 1..12),
        percent in 0_i128..=100,
    ) {
        let parts: Vec<Part> = parts.iter().map(|(weight, cap)| part(*weight, *cap)).collect();
        let room: i128 = parts.iter().map(|part| i128::from(part.cap.minor())).sum();
        let amount = money(i64::try_from(room * percent / 100).unwrap_or(i64::MAX));
        let shares = spread_capped(amount, &parts).unwrap();
        prop_assert_eq!(sum(shares.iter().copied()), Ok(amount));
        let weights: Vec<Money> = parts.iter().map(|part| part.weight).collect();
        let free = spread(amount, &weights).unwrap();
        let binds = parts.iter().zip(&free).any(|(part, share)| *share > part.cap);
        for ((part, share), free) in parts.iter().zip(&shares).zip(&free) {
            prop_assert!(!share.is_negative() && *share <= part.cap);
            prop_assert!(binds || share == free);
            // Who isn't full gets no less because of the others' caps, but for rounding.
            prop_assert!(*share == part.cap || share.minor() + 1 >= free.minor());
        }
    }
}
