//! Who the n-th buyer of a scenario is, what they ask for and how they go on: all of it follows from the seed.
//!
//! Which team a member joins, and what answers they get, depends on who is faster: that is not planned.

use stockade::{ActivityId, OrderLine, OrderType};

use super::file::{ActivityPart, Script};
use crate::plan::Random;

/// Campaigns are numbered from here, sessions from 1.
const CAMPAIGN_FIRST: u64 = 1_001;
/// Numbers of streams of chance that are not a buyer's.
const SKU_STREAM: u64 = 1 << 40;

/// What becomes of an order that is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Never,
    Cancel,
    Late,
    WrongAmount,
    Twice,
    InTime,
}

/// How a paid order travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shipping {
    No,
    Whole,
    Packages,
}

/// What a buyer wants back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantsBack {
    Nothing,
    OneUnit,
    Everything,
}

/// What becomes of an application for a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Withdrawn,
    Rejected,
    Approved,
}

/// The n-th buyer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Buyer {
    pub(crate) n: u64,
    pub(crate) member: u64,
    pub(crate) order_type: OrderType,
    pub(crate) activity: Option<ActivityId>,
    /// Distinct SKUs, ascending.
    pub(crate) lines: Vec<OrderLine>,
    /// Opens a team though there is one to join.
    pub(crate) opens: bool,
    /// The kind of coupon that is used, by its place in the file.
    pub(crate) coupon: Option<usize>,
    pub(crate) asks_twice: bool,
    pub(crate) ending: Ending,
    pub(crate) begins_payment: bool,
    pub(crate) notified_twice: bool,
    pub(crate) unmatched: bool,
    pub(crate) price_changes: bool,
    pub(crate) address_changes: bool,
    pub(crate) remarked: bool,
    pub(crate) shipping: Shipping,
    pub(crate) confirms: bool,
    pub(crate) wants_back: WantsBack,
    pub(crate) verdict: Verdict,
    pub(crate) restocks: bool,
}

/// The buyers of a scenario.
#[derive(Clone, Debug)]
pub(crate) struct Buyers {
    pub(crate) script: Script,
}

impl Buyers {
    /// The n-th buyer, the same each time.
    pub(crate) fn buyer(&self, n: u64) -> Buyer {
        let Script { shop, mix, payment, aftercare, session, campaign, .. } = &self.script;
        let mut random = Random::new(self.script.seed, n);
        let kind = pick(&mut random, &[mix.normal, mix.seckill]);
        let order_type = [OrderType::Normal, OrderType::Seckill, OrderType::GroupBuy][kind];
        let member = random.below(shop.members) + 1;
        let (activity, part) = match order_type {
            OrderType::Normal => (None, None),
            OrderType::Seckill => chosen(&mut random, session, 1),
            OrderType::GroupBuy => chosen(&mut random, campaign, CAMPAIGN_FIRST),
        };
        let lines = match part {
            Some(part) => vec![OrderLine::new(random.below(part.skus) + 1, 1)],
            None => self.basket(&mut random),
        };
        let ends = [payment.never, payment.cancel, payment.late, payment.wrong_amount, payment.twice];
        let ending =
            [Ending::Never, Ending::Cancel, Ending::Late, Ending::WrongAmount, Ending::Twice, Ending::InTime]
                [pick(&mut random, &ends)];
        let uses_coupon = chance(&mut random, mix.coupons) && order_type == OrderType::Normal;
        let kinds = self.script.coupon.len() as u64;
        let coupon = uses_coupon.then(|| random.below(kinds) as usize);
        let shipping = [Shipping::Whole, Shipping::Packages, Shipping::No]
            [pick(&mut random, &[aftercare.ships, aftercare.packages])];
        let wants_back = [WantsBack::OneUnit, WantsBack::Everything, WantsBack::Nothing]
            [pick(&mut random, &[aftercare.partial_refunds, aftercare.full_refunds])];
        let verdict = [Verdict::Withdrawn, Verdict::Rejected, Verdict::Approved]
            [pick(&mut random, &[aftercare.withdraws, aftercare.rejects])];
        Buyer {
            n,
            member,
            order_type,
            activity,
            lines,
            opens: chance(&mut random, mix.opens),
            coupon,
            asks_twice: chance(&mut random, mix.repeated),
            ending,
            begins_payment: chance(&mut random, payment.attempts),
            notified_twice: chance(&mut random, payment.repeated),
            unmatched: chance(&mut random, payment.unmatched),
            price_changes: chance(&mut random, payment.price_changes),
            address_changes: chance(&mut random, payment.addresses),
            remarked: chance(&mut random, payment.remarks),
            shipping,
            confirms: chance(&mut random, aftercare.confirms),
            wants_back,
            verdict,
            restocks: chance(&mut random, aftercare.restocks),
        }
    }

    /// Distinct SKUs of the shop, ascending.
    fn basket(&self, random: &mut Random) -> Vec<OrderLine> {
        let (skus, mix) = (self.script.shop.skus, &self.script.mix);
        let len = random.below(mix.lines_max) + 1;
        let first = random.below(skus);
        let mut ids: Vec<u64> = (0..len).map(|line| (first + line) % skus + 1).collect();
        ids.sort_unstable();
        let quantity_max = u64::from(mix.quantity_max);
        ids.into_iter().map(|id| OrderLine::new(id, random.below(quantity_max) as u32 + 1)).collect()
    }

    /// Price in minor units and weight in grams of a SKU.
    pub(crate) fn goods(&self, sku: u64) -> (i64, u32) {
        let shop = &self.script.shop;
        let mut random = Random::new(self.script.seed, SKU_STREAM + sku);
        let [low, high] = shop.price;
        let price = low + random.below(high.abs_diff(low) + 1) as i64;
        let [light, heavy] = shop.weight_grams;
        (price, light + random.below(u64::from(heavy - light) + 1) as u32)
    }

    /// All sessions and campaigns, with their ids.
    pub(crate) fn activities(&self) -> impl Iterator<Item = (OrderType, ActivityId, &ActivityPart)> {
        let Script { session, campaign, .. } = &self.script;
        let numbered = |first: u64| move |(index, part): (u64, _)| (ActivityId(first + index), part);
        let sessions = (0..).zip(session).map(numbered(1)).map(|(id, part)| (OrderType::Seckill, id, part));
        let campaigns = (0..).zip(campaign).map(numbered(CAMPAIGN_FIRST));
        sessions.chain(campaigns.map(|(id, part)| (OrderType::GroupBuy, id, part)))
    }
}

fn chosen<'a>(
    random: &mut Random,
    parts: &'a [ActivityPart],
    first: u64,
) -> (Option<ActivityId>, Option<&'a ActivityPart>) {
    let index = random.below(parts.len() as u64);
    (Some(ActivityId(first + index)), parts.get(index as usize))
}

/// The share that chance falls into; the number of shares where it falls into none.
fn pick(random: &mut Random, shares: &[u8]) -> usize {
    let mut at = random.below(100);
    for (index, share) in shares.iter().enumerate() {
        match at.checked_sub((*share).into()) {
            Some(rest) => at = rest,
            None => return index,
        }
    }
    shares.len()
}

fn chance(random: &mut Random, percent: u8) -> bool {
    random.below(100) < u64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buyers(seed: u64) -> Buyers {
        let text =
            "[mix]\nnormal = 60\nseckill = 40\nlines_max = 4\n[payment]\nnever = 30\n[[session]]\nskus = 2";
        Buyers { script: Script { seed, ..Script::parse(text).unwrap() } }
    }

    #[test]
    fn the_same_seed_gives_the_same_buyers() {
        let (one, two) = (buyers(1), buyers(2));
        assert!((0..100).all(|n| one.buyer(n) == one.buyer(n)));
        assert!((0..100).any(|n| one.buyer(n) != two.buyer(n)));
    }

    #[test]
    fn shares_are_kept_and_baskets_are_in_order() {
        let buyers = buyers(1);
        let all: Vec<_> = (0..10_000).map(|n| buyers.buyer(n)).collect();
        let sessions = all.iter().filter(|buyer| buyer.order_type == OrderType::Seckill).count();
        assert!((3_800..4_200).contains(&sessions), "{sessions}");
        let never = all.iter().filter(|buyer| buyer.ending == Ending::Never).count();
        assert!((2_800..3_200).contains(&never), "{never}");
        let is_in_order = |buyer: &Buyer| buyer.lines.windows(2).all(|pair| pair[0].sku_id < pair[1].sku_id);
        assert!(all.iter().all(is_in_order));
        assert!(all.iter().all(|buyer| buyer.activity.is_some() == (buyer.order_type == OrderType::Seckill)));
    }
}
