//! A scenario file: what a shop sells and how its buyers behave, in TOML. Every field has a default; an unknown field or
//! a value out of range is an error that names it.
//!
//! Amounts are in minor units, times in ms, shares in percent. It says nothing of who does what: see [`super::plan`].

use std::path::Path;

use serde::Deserialize;

use crate::Failure;
use crate::cli::DurabilityArg;

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Script {
    /// What the report calls it.
    pub(crate) name: String,
    /// Decides who buys what and how they behave.
    pub(crate) seed: u64,
    /// `synced`, `buffered` or `memory`: when an order is acknowledged.
    pub(crate) durability: DurabilityArg,
    /// Number of order actors; 0 stands for one per core.
    pub(crate) order_actors: u64,
    /// Whether a store is kept beside the journal. Durability `memory` has none.
    pub(crate) store: bool,
    pub(crate) run: RunPart,
    pub(crate) shop: ShopPart,
    pub(crate) freight: FreightPart,
    /// Seckill sessions.
    pub(crate) session: Vec<ActivityPart>,
    /// Group-buy campaigns.
    pub(crate) campaign: Vec<ActivityPart>,
    /// Kinds of coupons.
    pub(crate) coupon: Vec<CouponPart>,
    pub(crate) mix: MixPart,
    pub(crate) payment: PaymentPart,
    pub(crate) aftercare: AftercarePart,
    pub(crate) refunds: RefundsPart,
    pub(crate) switches: SwitchesPart,
    pub(crate) delay: DelayPart,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            name: "unnamed".to_owned(),
            seed: 1,
            durability: DurabilityArg::Synced,
            order_actors: 0,
            store: true,
            run: RunPart::default(),
            shop: ShopPart::default(),
            freight: FreightPart::default(),
            session: Vec::new(),
            campaign: Vec::new(),
            coupon: Vec::new(),
            mix: MixPart::default(),
            payment: PaymentPart::default(),
            aftercare: AftercarePart::default(),
            refunds: RefundsPart::default(),
            switches: SwitchesPart::default(),
            delay: DelayPart::default(),
        }
    }
}

/// Declares a part of the file: its fields, each with its default.
macro_rules! part {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(crate) struct $name {
            $($(#[$doc])* pub(crate) $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}

part! {
    /// How much, and how fast.
    RunPart {
        /// Requests for an order; times `--scale`.
        orders: u64 = 100_000,
        /// No further request is sent after so many seconds; 0 stands for no such end.
        seconds: u64 = 0,
        /// Buyers in the shop at a time; each sends the next request when it is done with an order.
        buyers: u64 = 64,
        /// Requests a second, whatever the engine does, up to `buyers` at a time: a latency counts from when its request
        /// was due. 0: as fast as the buyers are.
        rate: u64 = 0,
    }
}

part! {
    /// What is sold every day.
    ShopPart {
        /// Members; times `--scale`.
        members: u64 = 100_000,
        /// SKUs that are sold.
        skus: u64 = 10,
        /// Lowest and highest price of a unit.
        price: [i64; 2] = [9_900, 9_900],
        /// Lowest and highest weight of a unit, in grams.
        weight_grams: [u32; 2] = [100, 100],
        /// Everyday units of each SKU; times `--scale`.
        stock: u64 = 1_000_000,
        /// Most everyday units of a SKU for each member; 0 stands for no limit.
        limit_per_member: u32 = 0,
        /// Unpaid orders close after so long.
        auto_close_ms: u32 = 1_500,
        /// What beginning a payment adds to that.
        payment_grace_ms: u64 = 500,
        /// Shipped orders count as received after so long.
        auto_confirm_ms: u64 = 864_000_000,
    }
}

part! {
    /// What carriage costs, by weight.
    FreightPart {
        /// Whether there is a charge at all.
        charged: bool = false,
        /// Up to this weight, in grams, only the first fee is charged.
        first_grams: u32 = 500,
        /// The first fee.
        first_fee: i64 = 800,
        /// Length of a further step, in grams.
        step_grams: u32 = 250,
        /// The fee of each further step.
        step_fee: i64 = 300,
        /// Goods for so much go free; 0: never.
        free_from: i64 = 0,
    }
}

part! {
    /// A session or campaign. It sells the first `skus` of the shop.
    ActivityPart {
        /// When it opens, from the run's begin.
        start_ms: u64 = 0,
        /// How long it lasts from then on.
        length_ms: u64 = 600_000,
        /// SKUs that it sells.
        skus: u64 = 1,
        /// Price of a unit.
        price: i64 = 4_900,
        /// Units of each SKU, moved over from the everyday stock; times `--scale`.
        stock: u64 = 1_000,
        /// Most units of a SKU for each member; 0 stands for no limit.
        limit_per_member: u32 = 1,
        /// Members that make a team; campaigns only.
        team_size: u32 = 3,
        /// How long a team has to form; campaigns only.
        team_ms: u64 = 1_500,
    }
}

part! {
    /// A kind of coupons: an amount off, or a part of the price.
    CouponPart {
        /// What is taken off, where `percent_bp` is 0.
        amount_off: i64 = 500,
        /// The part that is taken off, in hundredths of a percent.
        percent_bp: u16 = 0,
        /// The most that a part comes to; 0 stands for no bound.
        cap: i64 = 0,
        /// The least amount of goods.
        threshold: i64 = 0,
        /// Whether it can be used beside others.
        stackable: bool = false,
        /// Most coupons of this kind; times `--scale`.
        issue_max: u64 = 1_000_000,
        /// Most coupons of this kind for each member; 0 stands for no limit.
        per_member: u32 = 0,
    }
}

part! {
    /// What requests ask for.
    MixPart {
        /// Share of everyday orders. The three types make 100.
        normal: u8 = 100,
        /// Share of orders in sessions, spread evenly over them.
        seckill: u8 = 0,
        /// Share of orders in campaigns, spread evenly over them.
        group_buy: u8 = 0,
        /// Everyday orders have 1 to so many lines.
        lines_max: u64 = 1,
        /// Lines have 1 to so many units; orders in sessions and campaigns have one.
        quantity_max: u32 = 1,
        /// Share of requests that are sent twice.
        repeated: u8 = 0,
        /// Share of everyday orders that use a coupon, got just before; a tenth of them name it in a second order,
        /// which must not get it.
        coupons: u8 = 0,
        /// Share of orders in campaigns that open a team though there is one to join.
        opens: u8 = 20,
    }
}

part! {
    /// What becomes of an order that is placed. What is left of 100 pays in time, once, with the right amount.
    PaymentPart {
        /// Never pays.
        never: u8 = 0,
        /// Cancels.
        cancel: u8 = 0,
        /// Pays after its deadline.
        late: u8 = 0,
        /// Pays a wrong amount, and then never comes back.
        wrong_amount: u8 = 0,
        /// Pays twice, by two payments.
        twice: u8 = 0,
        /// Share of notifications that come twice.
        repeated: u8 = 0,
        /// Share of payers who begin the payment at the provider first.
        attempts: u8 = 0,
        /// Share of orders beside which money comes that names no order.
        unmatched: u8 = 0,
        /// Share of unpaid orders whose price the shop changes.
        price_changes: u8 = 0,
        /// Share of orders whose address changes.
        addresses: u8 = 0,
        /// Share of orders that the shop notes something about.
        remarks: u8 = 0,
    }
}

part! {
    /// What becomes of an order that is paid.
    AftercarePart {
        /// Share that ships as a whole.
        ships: u8 = 0,
        /// Share that ships in packages, unit by unit.
        packages: u8 = 0,
        /// Share of shipped orders whose buyer confirms.
        confirms: u8 = 0,
        /// Share that applies for a refund of one unit.
        partial_refunds: u8 = 0,
        /// Share that applies for a refund of everything.
        full_refunds: u8 = 0,
        /// Share of the applications that are taken back.
        withdraws: u8 = 0,
        /// Share of the applications that the shop refuses.
        rejects: u8 = 0,
        /// Share of approved refunds whose units go back on sale.
        restocks: u8 = 50,
    }
}

part! {
    /// Who works off the list of refunds.
    RefundsPart {
        /// Whether anybody does; otherwise they are counted at the end.
        worked: bool = true,
        /// Share of first requests at the provider that fail, and are made again.
        fails: u8 = 0,
    }
}

part! {
    /// The shop pauses a SKU now and then.
    SwitchesPart {
        /// How often; 0: never.
        every_ms: u64 = 0,
        /// For how long.
        paused_ms: u64 = 50,
    }
}

part! {
    /// Tasks of the delay queue, pushed, reserved and acknowledged alongside.
    DelayPart {
        /// Tasks a second; 0: none.
        rate: u64 = 0,
        /// They are due after 0 to so long.
        delay_ms_max: u64 = 200,
    }
}

impl Script {
    /// Reads a file.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let named = |error: String| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
        Self::parse(&text).map_err(|error| named(error).into())
    }

    /// Reads and checks a text; the error names the field.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let script: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        script.check()?;
        Ok(script)
    }

    /// Multiplies orders, members and units.
    pub(crate) fn scaled(mut self, percent: u64) -> Self {
        let scale = |value: &mut u64| *value = (value.saturating_mul(percent) / 100).max(1);
        scale(&mut self.run.orders);
        scale(&mut self.shop.members);
        scale(&mut self.shop.stock);
        self.session.iter_mut().chain(&mut self.campaign).for_each(|part| scale(&mut part.stock));
        self.coupon.iter_mut().for_each(|part| scale(&mut part.issue_max));
        self
    }

    fn check(&self) -> Result<(), String> {
        let Self { run, shop, freight, mix, payment, aftercare, refunds, .. } = self;
        range("order_actors", self.order_actors, 0, 256)?;
        range("run.orders", run.orders, 1, 100_000_000)?;
        range("run.seconds", run.seconds, 0, 86_400)?;
        range("run.buyers", run.buyers, 1, 100_000)?;
        range("run.rate", run.rate, 0, 10_000_000)?;
        range("shop.members", shop.members, 1, 1_000_000_000)?;
        range("shop.skus", shop.skus, 1, 10_000)?;
        range("shop.stock", shop.stock, 1, 1_000_000_000)?;
        range("shop.auto_close_ms", shop.auto_close_ms.into(), 1, 3_600_000)?;
        range("shop.payment_grace_ms", shop.payment_grace_ms, 0, 3_600_000)?;
        range("shop.auto_confirm_ms", shop.auto_confirm_ms, 1, 864_000_000)?;
        amounts("shop.price", &shop.price)?;
        pair("shop.price", shop.price[0] <= shop.price[1])?;
        pair("shop.weight_grams", shop.weight_grams[0] <= shop.weight_grams[1])?;
        amounts("freight.first_fee", &[freight.first_fee])?;
        amounts("freight.step_fee", &[freight.step_fee])?;
        amounts("freight.free_from", &[freight.free_from])?;
        range("freight.step_grams", freight.step_grams.into(), 1, 1_000_000)?;
        range("mix.lines_max", mix.lines_max, 1, shop.skus.min(100))?;
        range("mix.quantity_max", mix.quantity_max.into(), 1, 1_000)?;
        self.check_activities()?;
        self.check_coupons()?;
        percents(&[
            ("mix.repeated", mix.repeated),
            ("mix.coupons", mix.coupons),
            ("mix.opens", mix.opens),
            ("payment.repeated", payment.repeated),
            ("payment.attempts", payment.attempts),
            ("payment.unmatched", payment.unmatched),
            ("payment.price_changes", payment.price_changes),
            ("payment.addresses", payment.addresses),
            ("payment.remarks", payment.remarks),
            ("aftercare.confirms", aftercare.confirms),
            ("aftercare.restocks", aftercare.restocks),
            ("refunds.fails", refunds.fails),
        ])?;
        let types = [mix.normal, mix.seckill, mix.group_buy];
        if sum(&types) != 100 {
            return Err(format!("mix.normal, mix.seckill and mix.group_buy make {}, not 100", sum(&types)));
        }
        let ends = [payment.never, payment.cancel, payment.late, payment.wrong_amount, payment.twice];
        at_most_100("payment.never, cancel, late, wrong_amount and twice", &ends)?;
        at_most_100("aftercare.ships and packages", &[aftercare.ships, aftercare.packages])?;
        let refunds = [aftercare.partial_refunds, aftercare.full_refunds];
        at_most_100("aftercare.partial_refunds and full_refunds", &refunds)?;
        at_most_100("aftercare.withdraws and rejects", &[aftercare.withdraws, aftercare.rejects])?;
        range("switches.paused_ms", self.switches.paused_ms, 1, 60_000)?;
        range("delay.rate", self.delay.rate, 0, 1_000_000)?;
        range("delay.delay_ms_max", self.delay.delay_ms_max, 0, 60_000)
    }

    fn check_activities(&self) -> Result<(), String> {
        let Self { shop, mix, session, campaign, .. } = self;
        if mix.seckill > 0 && session.is_empty() {
            return Err("mix.seckill is above 0 and there is no [[session]]".to_owned());
        }
        if mix.group_buy > 0 && campaign.is_empty() {
            return Err("mix.group_buy is above 0 and there is no [[campaign]]".to_owned());
        }
        let named = session
            .iter()
            .map(|part| ("session", part))
            .chain(campaign.iter().map(|part| ("campaign", part)));
        let mut moved = 0_u64;
        for (kind, part) in named {
            range(&format!("{kind}.skus"), part.skus, 1, shop.skus.min(500))?;
            range(&format!("{kind}.start_ms"), part.start_ms, 0, 3_600_000)?;
            range(&format!("{kind}.length_ms"), part.length_ms, 1, 3_600_000)?;
            range(&format!("{kind}.stock"), part.stock, 1, 1_000_000_000)?;
            range(&format!("{kind}.team_size"), part.team_size.into(), 2, 100)?;
            range(&format!("{kind}.team_ms"), part.team_ms, 1, 3_600_000)?;
            amounts(&format!("{kind}.price"), &[part.price])?;
            moved += part.stock;
        }
        if moved > shop.stock {
            return Err(format!(
                "shop.stock is {}: sessions and campaigns take up to {moved} of it",
                shop.stock
            ));
        }
        Ok(())
    }

    fn check_coupons(&self) -> Result<(), String> {
        if self.mix.coupons > 0 && self.coupon.is_empty() {
            return Err("mix.coupons is above 0 and there is no [[coupon]]".to_owned());
        }
        for part in &self.coupon {
            range("coupon.percent_bp", part.percent_bp.into(), 0, 10_000)?;
            range("coupon.issue_max", part.issue_max, 1, 1_000_000_000)?;
            amounts("coupon.cap", &[part.cap])?;
            amounts("coupon.threshold", &[part.threshold])?;
            amounts("coupon.amount_off", &[part.amount_off])?;
        }
        Ok(())
    }
}

fn range(name: &str, value: u64, min: u64, max: u64) -> Result<(), String> {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(format!("{name} is {value}: it must be {min} to {max}"))
    }
}

fn pair(name: &str, is_in_order: bool) -> Result<(), String> {
    if is_in_order { Ok(()) } else { Err(format!("{name} must name the lower bound first")) }
}

/// Amounts from 0 to ten billion, so that no sum overflows.
fn amounts(name: &str, amounts: &[i64]) -> Result<(), String> {
    const AMOUNT_MAX: i64 = 10_000_000_000;
    match amounts.iter().find(|amount| !(0..=AMOUNT_MAX).contains(*amount)) {
        Some(amount) => Err(format!("{name} is {amount}: it must be 0 to {AMOUNT_MAX}")),
        None => Ok(()),
    }
}

fn percents(shares: &[(&str, u8)]) -> Result<(), String> {
    shares.iter().try_for_each(|(name, share)| range(name, (*share).into(), 0, 100))
}

fn at_most_100(names: &str, shares: &[u8]) -> Result<(), String> {
    match sum(shares) {
        0..=100 => Ok(()),
        sum => Err(format!("{names} make {sum}, which is more than 100")),
    }
}

fn sum(shares: &[u8]) -> u64 {
    shares.iter().map(|share| u64::from(*share)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        Script::parse(text).map_or_else(|error| error, |script| script.name)
    }

    #[test]
    fn the_scenarios_that_come_along_are_valid() {
        for name in ["normal", "seckill", "group-buy", "mixed"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{name}.toml"));
            assert_eq!(Script::load(&path).unwrap().name, name);
        }
    }

    #[test]
    fn everything_has_a_default() {
        assert_eq!(parsed(""), "unnamed");
    }

    #[test]
    fn an_error_names_the_field() {
        let named = [
            ("colour = 1", "colour"),
            ("[run]\nspeed = 1", "speed"),
            ("[run]\norders = -1", "orders"),
            ("durability = \"maybe\"", "maybe"),
            ("[run]\nbuyers = 0", "run.buyers is 0: it must be 1 to 100000"),
            ("[mix]\nnormal = 90", "mix.normal, mix.seckill and mix.group_buy make 90"),
            ("[mix]\nnormal = 0\nseckill = 100", "there is no [[session]]"),
            ("[mix]\ncoupons = 10", "there is no [[coupon]]"),
            ("[mix]\nlines_max = 11", "mix.lines_max is 11: it must be 1 to 10"),
            ("[payment]\nnever = 60\nlate = 60", "make 120, which is more than 100"),
            ("[payment]\nattempts = 101", "payment.attempts is 101"),
            ("[shop]\nprice = [5, 4]", "shop.price must name the lower bound first"),
            ("[[session]]\nstock = 2_000_000", "shop.stock is 1000000"),
            ("[[campaign]]\nteam_size = 1", "campaign.team_size is 1: it must be 2 to 100"),
        ];
        for (text, part) in named {
            let error = parsed(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_error_names_the_file() {
        let error = Script::load(Path::new("no/such.toml")).unwrap_err().to_string();
        assert!(error.starts_with("no/such.toml: "), "{error}");
    }

    #[test]
    fn a_scale_multiplies_orders_members_and_units() {
        let script = Script::parse("[run]\norders = 1000\n[shop]\nstock = 10").unwrap().scaled(250);
        assert_eq!((script.run.orders, script.shop.stock, script.run.buyers), (2_500, 25, 64));
    }
}
