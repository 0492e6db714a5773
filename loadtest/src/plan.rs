//! The deterministic buyers: who the n-th buyer is, what they order and how they behave follow from a seed alone.
//! So a test needs to remember only numbers, and the audit can tell what every order should have been.

use stockade::{OrderLine, RequestId, SubmitOrder};

use crate::described;

/// Numbers from here on are the last buyers of a sale: one unit each, of the SKU that the number names, and they pay.
pub(crate) const SWEEP_FIRST: u64 = 1 << 62;

/// What a buyer does with an accepted order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Pays at once.
    Pay,
    /// Announces the payment first.
    StartAndPay,
    /// Cancels.
    Cancel,
    /// Never comes back.
    WalkAway,
}

/// What the buyers want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Baskets {
    /// So many lines of one unit each.
    Plain {
        /// Lines of each order.
        lines: u64,
    },
    /// One line of one unit each, by so many members who come again and again.
    Regulars {
        /// The n-th buyer is member n modulo this.
        members: u64,
    },
    /// One or two lines of one unit each, by so many members, with a receiver and now and then a remark ([`described`]).
    Described {
        /// The n-th buyer is member n modulo this.
        members: u64,
    },
    /// A flash sale: a fifth with 2 to 4 lines, mostly one unit each, some above the purchase limit, some members twice.
    Sale,
}

/// A seeded plan of all buyers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// SKUs 1 to `skus` are for sale.
    pub(crate) skus: u64,
    pub(crate) baskets: Baskets,
}

impl Plan {
    /// The request of the n-th buyer, the same each time.
    pub(crate) fn order(&self, n: u64) -> SubmitOrder {
        let mut random = Random::new(self.seed, n);
        let lines = match self.baskets {
            _ if n >= SWEEP_FIRST => vec![OrderLine::new(Self::sweep_sku(n), 1)],
            Baskets::Plain { lines } => {
                let first = random.below(self.skus);
                (0..lines).map(|line| OrderLine::new((first + line) % self.skus + 1, 1)).collect()
            }
            Baskets::Regulars { .. } => vec![OrderLine::new(random.below(self.skus) + 1, 1)],
            Baskets::Described { .. } => {
                let first = random.below(self.skus);
                (0..1 + random.below(2))
                    .map(|line| OrderLine::new((first + line) % self.skus + 1, 1))
                    .collect()
            }
            Baskets::Sale => self.sale_lines(&mut random),
        };
        let is_described = matches!(self.baskets, Baskets::Described { .. });
        SubmitOrder {
            request_id: request_id(self.seed, n),
            member_id: self.member(n).into(),
            lines,
            personal: if is_described { described::personal(self.seed, n) } else { None },
            remark: if is_described { described::remark(self.seed, n) } else { None },
            ..SubmitOrder::default()
        }
    }

    /// Who the n-th buyer is. Every fiftieth buyer of a sale is a member who has been there before.
    pub(crate) fn member(&self, n: u64) -> u64 {
        match self.baskets {
            _ if n >= SWEEP_FIRST => n,
            Baskets::Regulars { members } | Baskets::Described { members } => n % members,
            Baskets::Sale if n % 50 == 1 => n - 1,
            Baskets::Plain { .. } | Baskets::Sale => n,
        }
    }

    /// How the n-th buyer behaves once they have an order.
    pub(crate) fn conduct(&self, n: u64) -> Conduct {
        if n >= SWEEP_FIRST {
            return Conduct::Pay;
        }
        let mut random = Random::new(self.seed ^ 1, n);
        if let Baskets::Regulars { .. } | Baskets::Described { .. } = self.baskets {
            return match random.below(16) {
                0 => Conduct::WalkAway,
                1..3 => Conduct::Cancel,
                _ => Conduct::Pay,
            };
        }
        match random.below(100) {
            0..70 => Conduct::Pay,
            70..80 => Conduct::StartAndPay,
            80..90 => Conduct::Cancel,
            _ => Conduct::WalkAway,
        }
    }

    /// Which buyers send their request twice, and whether the second before the first is answered.
    pub(crate) fn retry(&self, n: u64) -> Option<bool> {
        match Random::new(self.seed ^ 2, n).below(40) {
            0 => Some(true),
            1 => Some(false),
            _ => None,
        }
    }

    /// Which payments are notified twice.
    pub(crate) fn pays_twice(&self, n: u64) -> bool {
        Random::new(self.seed ^ 3, n).below(30) == 0
    }

    /// The number of the `index`-th last buyer of a SKU.
    pub(crate) fn sweep(sku: u64, index: u64) -> u64 {
        SWEEP_FIRST | (sku << 40) | index
    }

    fn sweep_sku(n: u64) -> u64 {
        (n & !SWEEP_FIRST) >> 40
    }

    fn sale_lines(&self, random: &mut Random) -> Vec<OrderLine> {
        let lines = if random.below(5) == 0 { 2 + random.below(3) } else { 1 };
        let (first, stride) = (random.below(self.skus), 1 + random.below(self.skus / 4));
        let quantity = match random.below(100) {
            // Above the limit of two.
            0..2 => 3,
            2..20 => 2,
            _ => 1,
        };
        // A stride of at most a quarter of the SKUs keeps four lines distinct.
        (0..lines).map(|line| OrderLine::new((first + line * stride) % self.skus + 1, quantity)).collect()
    }
}

/// The request id of the n-th buyer.
pub(crate) fn request_id(seed: u64, n: u64) -> RequestId {
    RequestId::new((u128::from(seed) << 64) | u128::from(n))
}

/// splitmix64 from a seed and a stream: small, fast, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(stockade::domain::hash::mix64(seed).wrapping_add(stream.wrapping_mul(0xd134_2543_de82_ef95)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        let value = stockade::domain::hash::mix64(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        value
    }

    /// A number below `bound`, evenly enough for tests.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Puts a list into random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            let other = self.below(index as u64 + 1) as usize;
            items.swap(index, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn sale() -> Plan {
        Plan { seed: 7, skus: 10, baskets: Baskets::Sale }
    }

    #[test]
    fn the_same_seed_gives_the_same_buyers() {
        let other = Plan { seed: 8, ..sale() };
        assert!((0..100).all(|n| sale().order(n) == sale().order(n)));
        assert!((0..100).any(|n| sale().order(n).lines != other.order(n).lines));
    }

    #[test]
    fn a_fifth_of_a_sales_orders_has_two_to_four_distinct_lines() {
        let mut many = 0;
        for n in 0..10_000 {
            let order = sale().order(n);
            let skus: BTreeSet<_> = order.lines.iter().map(|line| line.sku_id.0).collect();
            assert_eq!(skus.len(), order.lines.len());
            assert!(skus.iter().all(|sku| (1..=10).contains(sku)) && (1..=4).contains(&skus.len()));
            many += u64::from(skus.len() > 1);
        }
        assert!((1_800..=2_200).contains(&many), "{many}");
    }

    #[test]
    fn a_fiftieth_of_a_sales_buyers_comes_twice() {
        let members: BTreeSet<_> = (0..1_000).map(|n| sale().order(n).member_id.0).collect();
        assert_eq!(members.len(), 980);
    }

    #[test]
    fn the_last_buyers_want_one_unit_of_their_sku() {
        let order = sale().order(Plan::sweep(9, 12_345));
        assert_eq!((order.lines[0].sku_id.0, order.lines[0].quantity, order.lines.len()), (9, 1, 1));
        assert_eq!(sale().conduct(Plan::sweep(9, 12_345)), Conduct::Pay);
    }

    #[test]
    fn every_conduct_occurs() {
        let mut counts = [0; 4];
        (0..10_000).for_each(|n| counts[sale().conduct(n) as usize] += 1);
        assert!(counts.iter().all(|count| *count > 800), "{counts:?}");
    }

    #[test]
    fn regulars_come_again_and_a_sixteenth_of_them_never_pays() {
        let plan = Plan { seed: 7, skus: 10, baskets: Baskets::Regulars { members: 100 } };
        let members: BTreeSet<_> = (0..1_000).map(|n| plan.order(n).member_id.0).collect();
        assert!(members.into_iter().eq(0..100));
        let mut counts = [0; 4];
        (0..16_000).for_each(|n| counts[plan.conduct(n) as usize] += 1);
        let [paid, started, cancelled, left] = counts;
        assert!((12_700..13_300).contains(&paid) && started == 0, "{counts:?}");
        assert!((1_850..2_150).contains(&cancelled) && (900..1_100).contains(&left), "{counts:?}");
        assert_eq!(plan.member(Plan::sweep(1, 5)), Plan::sweep(1, 5), "the last buyers are nobody else");
    }

    #[test]
    fn described_orders_have_one_or_two_lines_and_a_receiver() {
        let plan = Plan { seed: 7, skus: 50, baskets: Baskets::Described { members: 100 } };
        let orders: Vec<_> = (0..1_000).map(|n| plan.order(n)).collect();
        assert!(orders.iter().all(|order| order.personal.is_some()));
        let two = orders.iter().filter(|order| order.lines.len() == 2).count();
        assert!((400..600).contains(&two), "{two}");
    }

    #[test]
    fn shuffling_keeps_every_item() {
        let mut items: Vec<u32> = (0..1_000).collect();
        Random::new(1, 1).shuffle(&mut items);
        assert_ne!(items[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        items.sort_unstable();
        assert!(items.iter().copied().eq(0..1_000));
    }
}
