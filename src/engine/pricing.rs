//! What an order costs: the front door's calculation, and a preview of it that reserves nothing.

use super::{Engine, Inner};
use crate::domain::activity::Activity;
use crate::domain::ids::{AdjustmentId, CouponId, CouponTermsId, Position, StockKey};
use crate::domain::money::Money;
use crate::domain::order::{Line, Lines, OrderTerms, SpentCoupon};
use crate::domain::pricing::{
    self, COUPONS_PER_ORDER_MAX, Cart, CouponTerms, FreightTemplate, HeldCoupon, PricedLine, Quote,
};
use crate::domain::reject::Reject;
use crate::domain::request::{PricedOrder, StockChange, SubmitOrder};
use crate::domain::setting::{Origin, Setting, SettingKey, SkuShipping};

/// What [`Engine::submit`] would charge at this moment, and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The price, line by line; lines of one SKU summed, ascending by stock key.
    pub quote: Quote,
    /// What each line would take its units from, and how many an order can have there, in the order of the quote's lines.
    pub stock: Vec<(StockKey, u64)>,
}

impl Preview {
    /// Whether every line could be had at this moment.
    pub fn is_available(&self) -> bool {
        self.stock
            .iter()
            .zip(&self.quote.lines)
            .all(|((_, available), line)| *available >= u64::from(line.quantity))
    }
}

impl Engine {
    /// What [`Engine::submit`] would charge for this order at this moment, with what is available. Reserves nothing, and
    /// promises nothing: send its `pay_amount` along as [`SubmitOrder::expected_pay_amount`] to be told if it changed.
    /// Whether the member may use the coupons, and has not reached a limit, is decided when the order is placed.
    ///
    /// # Errors
    /// What [`Engine::submit`] would refuse the order for without asking an actor.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, Money, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let order = SubmitOrder::one_line(7, 1001, 42, 2);
    /// let preview = engine.preview(&order).await?;
    /// assert_eq!(preview.quote.pay_amount, Money::from_minor(39_800));
    /// assert!(preview.is_available());
    ///
    /// let expected_pay_amount = Some(preview.quote.pay_amount);
    /// engine.submit(SubmitOrder { expected_pay_amount, ..order }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn preview(&self, order: &SubmitOrder) -> Result<Preview, Reject> {
        let (quote, keys) = {
            let inner = &*self.inner;
            inner.check_open()?;
            let found = order.activity_id.and_then(|id| inner.register.activity(id));
            let activity = found.as_deref().and_then(Setting::as_activity);
            let now_ms = inner.clock.now_ms();
            let base = inner.price_lines(order, activity, now_ms)?;
            let keys: Vec<_> = base.lines.iter().map(|line| line.key).collect();
            (inner.quote(order, &base.lines, now_ms)?, keys)
        };
        let mut stock = Vec::with_capacity(keys.len());
        for key in keys {
            stock.push((key, self.stock(key).await?.available.saturating_sub(self.kept_back(key))));
        }
        Ok(Preview { quote, stock })
    }

    /// Puts a definition of coupons, or changes it. Coupons that members hold are worth what it says when they are used;
    /// their validity is that of their issue. `issue_max` is what may be issued in all. Returns its revision, once it is
    /// durable.
    ///
    /// # Errors
    /// What [`CouponTerms::validate`] finds, [`Reject::StockBelowZero`] for an `issue_max` below what was issued, or the
    /// engine's own state.
    pub async fn put_coupon_terms(&self, terms: CouponTerms, origin: Option<Origin>) -> Result<u32, Reject> {
        let mut setting = Setting::Coupon(terms.clone());
        setting.validate()?;
        let revision = self.put_setting(setting.key(), origin, |_| Ok(setting)).await?;
        // Sent again after a crash in between, the definition is unchanged and its issue is set all the same.
        let id = AdjustmentId::of_coupon_terms(terms.id, revision);
        let change = StockChange::Absolute(terms.issue_max);
        self.adjust(id, StockKey::coupons(terms.id), change, 0).await?;
        Ok(revision)
    }

    /// A definition of coupons as it stands. A change is shown once it is durable, until then what was before it.
    pub fn coupon_terms(&self, id: impl Into<CouponTermsId>) -> Option<CouponTerms> {
        match self.durable_setting(SettingKey::coupon(id.into()))? {
            Setting::Coupon(terms) => Some(terms),
            _ => None,
        }
    }

    /// Puts a freight template, or changes it; it holds for orders placed from then on. Returns its revision, once it is
    /// durable.
    ///
    /// # Errors
    /// What [`FreightTemplate::validate`] finds, or the engine's own state.
    pub async fn put_freight(
        &self,
        template: FreightTemplate,
        origin: Option<Origin>,
    ) -> Result<u32, Reject> {
        let mut setting = Setting::Freight(template);
        setting.validate()?;
        self.put_setting(setting.key(), origin, |_| Ok(setting)).await
    }

    /// Says how a SKU ships: what it weighs, and by which template. Returns the revision, once it is durable. A SKU that
    /// nothing was said about weighs nothing and ships free.
    ///
    /// # Errors
    /// [`Reject::UnknownSku`], [`Reject::UnknownFreight`], or the engine's own state.
    pub async fn put_shipping(&self, shipping: SkuShipping, origin: Option<Origin>) -> Result<u32, Reject> {
        let inner = &self.inner;
        if !inner.knows_sku(shipping.sku_id) {
            return Err(Reject::UnknownSku { sku: shipping.sku_id });
        }
        if let Some(freight) = shipping.freight.filter(|freight| inner.register.freight(*freight).is_none()) {
            return Err(Reject::UnknownFreight { freight });
        }
        let setting = Setting::Shipping(shipping);
        self.put_setting(setting.key(), origin, |_| Ok(setting)).await
    }

    /// A setting as it last was durable (R4).
    pub(super) fn durable_setting(&self, key: SettingKey) -> Option<Setting> {
        let kept = self.inner.register.shown(&key, &self.inner.journal)?;
        Some(Setting::clone(&kept.setting))
    }
}

impl Inner {
    /// Prices an order: its lines, and whatever else its price rests on. An everyday order of a shop without freight
    /// takes the short way.
    pub(super) fn price(
        &self,
        order: &SubmitOrder,
        activity: Option<&Activity>,
        now_ms: u64,
    ) -> Result<PricedOrder, Reject> {
        let mut priced = self.price_lines(order, activity, now_ms)?;
        if !order.is_plain() || self.register.has_freight() {
            let quote = self.quote(order, &priced.lines, now_ms)?;
            self.take_quote(&mut priced, order, &quote);
        }
        match order.expected_pay_amount {
            Some(expected) if expected != priced.pay_amount => {
                Err(Reject::PriceChanged { expected, actual: priced.pay_amount })
            }
            _ => Ok(priced),
        }
    }

    fn price_lines(
        &self,
        order: &SubmitOrder,
        activity: Option<&Activity>,
        now_ms: u64,
    ) -> Result<PricedOrder, Reject> {
        let priced = order.price(activity, now_ms, |sku, price| self.catalogue.price(sku, price))?;
        self.register.check_controls(order.member_id, order.activity_id, &priced.lines, now_ms)?;
        Ok(priced)
    }

    /// The whole calculation.
    fn quote(&self, order: &SubmitOrder, lines: &[Line], now_ms: u64) -> Result<Quote, Reject> {
        let cart: Vec<_> = lines.iter().map(|line| self.cart_line(line)).collect();
        if let Some(prices) = &order.prices {
            if !order.coupons.is_empty() {
                return Err(Reject::InvalidField {
                    field: "coupons",
                    expected: "absent where prices are given",
                });
            }
            return prices.quote(&cart);
        }
        if order.coupons.len() > COUPONS_PER_ORDER_MAX {
            return Err(Reject::TooManyCoupons {
                coupons: order.coupons.len(),
                coupons_max: COUPONS_PER_ORDER_MAX,
            });
        }
        let terms = order.coupons.iter().map(|id| self.terms_of(*id)).collect::<Result<Vec<_>, _>>()?;
        let coupons: Vec<_> =
            order.coupons.iter().zip(&terms).map(|(id, terms)| HeldCoupon { id: *id, terms }).collect();
        let cart = Cart {
            order_type: order.order_type,
            now_ms,
            lines: &cart,
            coupons: &coupons,
            adjustment: Money::ZERO,
        };
        pricing::quote(&cart, |freight| self.register.freight(freight))
    }

    fn cart_line(&self, line: &Line) -> PricedLine {
        let sku = line.key.sku;
        let SkuShipping { weight_grams, freight, .. } = self.register.shipping(sku);
        // Every priced line's SKU is in the catalogue.
        let product = self.catalogue.current(sku, Position(u64::MAX)).map(|sku| sku.product_id);
        PricedLine {
            sku,
            product: product.unwrap_or_default(),
            unit_price: line.price,
            quantity: line.quantity,
            weight_grams,
            freight,
        }
    }

    fn terms_of(&self, coupon: CouponId) -> Result<CouponTerms, Reject> {
        let terms = coupon.terms();
        match self.register.get(&SettingKey::coupon(terms)).map(|kept| Setting::clone(&kept.setting)) {
            Some(Setting::Coupon(terms)) => Ok(terms),
            _ => Err(Reject::CouponTermsNotFound { terms }),
        }
    }

    /// Makes a quote the order's price.
    fn take_quote(&self, priced: &mut PricedOrder, order: &SubmitOrder, quote: &Quote) {
        priced.pay_amount = quote.pay_amount;
        let source = order.prices.as_ref().map(|prices| prices.source.clone());
        if source.is_some() {
            let brought =
                |(line, quoted): (&Line, &pricing::QuotedLine)| Line { price: quoted.unit_price, ..*line };
            priced.lines = Lines::from_vec(priced.lines.iter().zip(&quote.lines).map(brought).collect());
        }
        let has_discounts = quote.lines.iter().any(|line| line.discount != Money::ZERO);
        if !has_discounts && quote.freight == Money::ZERO && source.is_none() {
            return;
        }
        let coupons = quote.coupons.iter().map(|used| SpentCoupon {
            coupon: used.coupon,
            terms: used.terms,
            amount: used.amount,
            valid_until_ms: self.terms_of(used.coupon).map_or(0, |terms| terms.valid_until_ms),
        });
        let terms = OrderTerms {
            activity_id: order.activity_id.unwrap_or_default(),
            freight: quote.freight,
            discounts: if has_discounts {
                quote.lines.iter().map(|line| line.discount).collect()
            } else {
                Vec::new()
            },
            coupons: coupons.collect(),
            price_source: source,
            ..OrderTerms::default()
        };
        priced.terms = Some(Box::new(terms));
    }
}
