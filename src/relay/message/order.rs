//! An order as JSON: as it was placed, for `OrderCreated`, and as it stands, for snapshots. Fields are named as the back
//! office has them over HTTP.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Orders;
use super::form::{
    Goods, Minor, RefundLines, Shipped, ShownPersonal, Text, activity, ext, instant, named, optional,
    shipment,
};
use crate::domain::event::StockUnits;
use crate::domain::money::Money;
use crate::domain::order::{
    Attempt, Line, Order, OrderLater, OrderTerms, Package, SpentCoupon, TimelineEntry,
};
use crate::domain::refund::{Refund, RefundBy, RefundCause};
use crate::relay::spec::PersonalChoice;

/// An order with what is needed to show it.
pub(super) struct ShownOrder<'a> {
    pub(super) order: &'a Order,
    pub(super) orders: &'a dyn Orders,
    pub(super) personal: PersonalChoice,
}

impl Serialize for ShownOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.fields(&mut map)?;
        map.end()
    }
}

impl ShownOrder<'_> {
    /// Everything about the order, into a map that may have fields of its own.
    pub(super) fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let order = self.order;
        map.serialize_entry("order_no", &Text(order.order_no))?;
        map.serialize_entry("member_id", &Text(order.member_id))?;
        map.serialize_entry("order_type", order.order_type.name())?;
        map.serialize_entry("status", order.status.name())?;
        optional(map, "close_reason", order.close_reason.map(|reason| reason.name()))?;
        optional(map, "activity_id", order.activity().and_then(activity))?;
        map.serialize_entry("amounts", &Amounts(order))?;
        instant(map, named!("created_at"), order.created_at_ms)?;
        instant(map, named!("pay_before"), order.deadline_ms)?;
        map.serialize_entry("version", &order.version)?;
        map.serialize_entry("lines", &Lines(self))?;
        self.terms(map)?;
        self.text(map)?;
        self.life(map)
    }

    fn terms<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let terms = self.order.terms();
        let coupons = terms.map_or(&[][..], |terms| &terms.coupons);
        if !coupons.is_empty() {
            map.serialize_entry("coupons", &coupons.iter().map(SpentBody).collect::<Vec<_>>())?;
        }
        optional(map, "price_source", terms.and_then(|terms| terms.price_source.as_deref()))?;
        optional(map, "team", self.order.team().map(|_| TeamBody(self.order)))
    }

    fn text<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Some(text) = self.order.text() else { return Ok(()) };
        let personal = text.personal.as_ref().map(|personal| ShownPersonal(personal, self.personal));
        optional(map, "receiver", personal)?;
        optional(map, "remark", text.remark.as_deref())?;
        optional(map, "external_no", text.external_no.as_deref())?;
        optional(map, "ext", text.ext.as_deref().map(ext))
    }

    fn life<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Some(history) = self.order.history.as_deref() else { return Ok(()) };
        let list = |empty: bool| !empty;
        optional(map, "paid_by", history.paid_by.map(Text))?;
        if let Some(OrderLater { attempts, packages, note, .. }) = self.order.later() {
            let numbered = (1_u32..).zip(attempts);
            let attempts: Vec<_> = numbered.map(|(n, attempt)| AttemptBody(self.order, n, attempt)).collect();
            optional(map, "attempts", Some(attempts).filter(|shown| list(shown.is_empty())))?;
            let packages: Vec<_> = packages.iter().map(|package| PackageBody(self.order, package)).collect();
            optional(map, "packages", Some(packages).filter(|shown| list(shown.is_empty())))?;
            optional(map, "seller_remark", note.as_ref().map(|note| &*note.remark))?;
            optional(map, "flag", note.as_ref().map(|note| note.flag))?;
        }
        let refunds: Vec<_> = self.order.refunds().into_iter().map(RefundBody).collect();
        optional(map, "refunds", Some(refunds).filter(|shown| list(shown.is_empty())))?;
        optional(map, "shipment", history.shipment.as_ref().map(Shipped))?;
        let timeline: Vec<_> = history.timeline.iter().map(TimelineBody).collect();
        optional(map, "timeline", Some(timeline).filter(|shown| list(shown.is_empty())))
    }
}

/// Unit price times quantity: it was checked that this doesn't overflow when the order was placed.
fn cost(line: &Line) -> i64 {
    line.price.minor().saturating_mul(i64::from(line.quantity))
}

/// What a list of amounts by line says of one.
fn at(amounts: &[Money], place: usize) -> i64 {
    amounts.get(place).map_or(0, |amount| amount.minor())
}

struct Amounts<'a>(&'a Order);

impl Serialize for Amounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = OrderTerms::default();
        let terms = self.0.terms().unwrap_or(&none);
        let sum = |amounts: &mut dyn Iterator<Item = i64>| amounts.fold(0, i64::saturating_add);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("goods_amount", &sum(&mut self.0.lines.iter().map(cost)))?;
        map.serialize_entry("discount_amount", &sum(&mut terms.discounts.iter().map(|m| m.minor())))?;
        map.serialize_entry("adjustment", &sum(&mut terms.adjustments.iter().map(|m| m.minor())))?;
        map.serialize_entry("freight", &Minor(terms.freight))?;
        map.serialize_entry("pay_amount", &Minor(self.0.pay_amount))?;
        map.end()
    }
}

struct Lines<'a>(&'a ShownOrder<'a>);

impl Serialize for Lines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let lines = self.0.order.lines.iter().enumerate();
        let goods = lines.filter(|(_, line)| !line.is_seat());
        serializer.collect_seq(goods.map(|(place, line)| LineBody { of: self.0, place, line }))
    }
}

struct LineBody<'a> {
    of: &'a ShownOrder<'a>,
    place: usize,
    line: &'a Line,
}

impl Serialize for LineBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { of, place, line } = self;
        let none = OrderTerms::default();
        let terms = of.order.terms().unwrap_or(&none);
        let (discount, adjustment) = (at(&terms.discounts, *place), at(&terms.adjustments, *place));
        let sku = of.orders.sku(line.key.sku, line.revision);
        let texts = of.order.text().map_or(&[][..], |text| &text.line_ext);
        let own = texts.iter().find(|(sku, _)| *sku == line.key.sku);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("sku_id", &Text(line.key.sku))?;
        if let Some(sku) = &sku {
            map.serialize_entry("product_id", &Text(sku.product_id))?;
            map.serialize_entry("code", &sku.code)?;
            map.serialize_entry("title", &sku.title)?;
        }
        map.serialize_entry("quantity", &line.quantity)?;
        map.serialize_entry("unit_price", &Minor(line.price))?;
        map.serialize_entry("amount", &cost(line))?;
        map.serialize_entry("discount", &discount)?;
        map.serialize_entry("adjustment", &adjustment)?;
        map.serialize_entry("share", &cost(line).saturating_sub(discount).saturating_add(adjustment))?;
        optional(&mut map, "ext", own.map(|(_, bytes)| ext(bytes)))?;
        map.end()
    }
}

struct SpentBody<'a>(&'a SpentCoupon);

impl Serialize for SpentBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("coupon_id", &Text(self.0.coupon))?;
        map.serialize_entry("terms_id", &Text(self.0.terms))?;
        map.serialize_entry("amount", &Minor(self.0.amount))?;
        map.end()
    }
}

struct TeamBody<'a>(&'a Order);

impl Serialize for TeamBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        optional(&mut map, "team_id", self.0.team().map(Text))?;
        map.serialize_entry("formed", &self.0.has_joined_team())?;
        map.end()
    }
}

struct AttemptBody<'a>(&'a Order, u32, &'a Attempt);

impl Serialize for AttemptBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(order, number, attempt) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("pay_no", &format!("{}-{number}", order.order_no))?;
        map.serialize_entry("channel", &*attempt.channel)?;
        map.serialize_entry("amount", &Minor(attempt.amount))?;
        instant(&mut map, named!("at"), attempt.at_ms)?;
        map.serialize_entry("void", &attempt.is_void)?;
        map.end()
    }
}

struct PackageBody<'a>(&'a Order, &'a Package);

impl Serialize for PackageBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(order, package) = self;
        let units: Vec<StockUnits> = order.stock_units(&package.lines);
        let mut map = serializer.serialize_map(None)?;
        shipment(&mut map, &package.shipment)?;
        map.serialize_entry("lines", &Goods(&units))?;
        instant(&mut map, named!("at"), package.at_ms)?;
        map.end()
    }
}

struct RefundBody(Refund);

impl Serialize for RefundBody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let refund = &self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("refund_no", &Text(refund.refund_no))?;
        map.serialize_entry("state", refund.state.name())?;
        map.serialize_entry("amount", &Minor(refund.amount))?;
        instant(&mut map, named!("since"), refund.since_ms)?;
        map.serialize_entry("payment_id", &Text(refund.payment))?;
        match &refund.cause {
            RefundCause::Obligation(reason) => {
                map.serialize_entry("kind", "obligation")?;
                map.serialize_entry("reason", reason.name())?;
            }
            RefundCause::AfterSale { by, reason, lines, extra } => {
                map.serialize_entry("kind", "after_sale")?;
                map.serialize_entry("applied_by", applied_by(*by))?;
                map.serialize_entry("reason", &**reason)?;
                map.serialize_entry("lines", &RefundLines(lines))?;
                map.serialize_entry("extra", &Minor(*extra))?;
            }
        }
        map.serialize_entry("restock", &Goods(&refund.restock))?;
        optional(&mut map, "note", refund.note.as_deref())?;
        optional(&mut map, "provider_refund_id", refund.provider_refund_id.as_deref())?;
        map.end()
    }
}

/// Who applied for a refund.
pub(super) const fn applied_by(by: RefundBy) -> &'static str {
    match by {
        RefundBy::Member => "member",
        RefundBy::Operator => "operator",
    }
}

struct TimelineBody<'a>(&'a TimelineEntry);

impl Serialize for TimelineBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", self.0.event)?;
        instant(&mut map, named!("at"), self.0.at_ms)?;
        map.serialize_entry("position", &self.0.position.0)?;
        map.end()
    }
}
