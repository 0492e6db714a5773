//! An order as JSON, for its member and for the back office.
//!
//! Both read the same fields; the shop's own notes and positions in the journal are for the back office alone. Personal
//! data is masked unless the caller of this module says that its reader may have it whole: it decides nothing about that.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::schema::{AnyOfBuilder, Schema};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::refund::RefundBody;
use crate::domain::event::StockUnits;
use crate::http::json::{Id, OrderNumber, ext_value, instant};
use crate::personal::{MaskedPersonal, MaskedReceiver, OpaquePersonal, Receiver, StoredPersonal};
use crate::{
    Attempt, LineView, Money, OrderTerms, OrderView, PackageView, Personal, Shipment, SpentCoupon,
    TimelineEntry,
};

/// How personal data is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reveal {
    /// Masked.
    Masked,
    /// Whole.
    Whole,
}

/// An order.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Order, example = json!({
    "order_no": "380000000000000001", "member_id": "7", "order_type": "normal", "status": "paid",
    "amounts": {"goods_amount": 19900, "discount_amount": 0, "adjustment": 0, "freight": 800, "pay_amount": 20700},
    "created_at": "2026-11-11T12:00:00.000Z", "created_at_ms": 1_794_398_400_000_u64,
    "pay_before": "2026-11-11T12:30:00.000Z", "pay_before_ms": 1_794_400_200_000_u64, "version": 2,
    "lines": [{"sku_id": "42", "code": "TEA-50", "title": "Green tea, 50 g", "quantity": 1, "unit_price": 19900,
        "amount": 19900, "discount": 0, "adjustment": 0, "share": 19900}],
    "receiver": {"name": "张*", "phone": "138****5678", "province": "广东省", "city": "深圳市", "district": "南山区",
        "address": "***"},
    "timeline": [{"event": "OrderCreated", "at": "2026-11-11T12:00:00.000Z", "at_ms": 1_794_398_400_000_u64}],
}))]
pub struct OrderBody {
    /// Its number.
    pub order_no: OrderNumber,
    /// Who buys.
    pub member_id: Id,
    /// `normal`, `seckill` or `group_buy`.
    pub order_type: &'static str,
    /// `pending`, `paid`, `partially_shipped`, `shipped`, `completed` or `cancelled`.
    pub status: &'static str,
    /// Why it is cancelled: `timeout`, `member`, `operator`, `refunded` or `team_failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_reason: Option<&'static str>,
    /// The session or campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<Id>,
    /// What it comes to.
    pub amounts: AmountsBody,
    /// When it was placed.
    pub created_at: String,
    /// The same, in ms since the Unix epoch.
    pub created_at_ms: u64,
    /// At and after this instant it can't be paid in the ordinary way.
    pub pay_before: String,
    /// The same, in ms since the Unix epoch.
    pub pay_before_ms: u64,
    /// Number of its events so far.
    pub version: u32,
    /// Its lines.
    pub lines: Vec<OrderLineBody>,
    /// The coupons that it uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub coupons: Vec<SpentCouponBody>,
    /// The identity of the payment that paid it: 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_by: Option<String>,
    /// Payments that were begun at providers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<AttemptBody>,
    /// Money on its way back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<RefundBody>,
    /// How it travels, once all of it is shipped; the last package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipment: Option<ShipmentBody>,
    /// Packages that left one by one, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageBody>,
    /// The team that it has a seat in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<OrderTeamBody>,
    /// Who receives it; masked in lists and for most readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver: Option<ReceiverBody>,
    /// The buyer's remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// The shop's own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_no: Option<String>,
    /// The shop's own fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ext: Option<Value>,
    /// What the shop noted; in the back office only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller_remark: Option<String>,
    /// The shop's mark, 0 to 9; in the back office only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag: Option<u8>,
    /// Who made the prices, where they were brought along; in the back office only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_source: Option<String>,
    /// What happened to it, oldest first; not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelineBody>,
}

/// What an order comes to, in cents: `pay_amount = goods_amount - discount_amount + adjustment + freight`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Amounts)]
pub struct AmountsBody {
    /// Unit prices times quantities.
    pub goods_amount: i64,
    /// What coupons and discounts take off.
    pub discount_amount: i64,
    /// What the shop has changed about the goods' price since, negative where it is lower.
    pub adjustment: i64,
    /// What shipping costs.
    pub freight: i64,
    /// What is to be paid.
    pub pay_amount: i64,
}

/// A line of an order, as it was sold.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = OrderLine)]
pub struct OrderLineBody {
    /// The SKU.
    pub sku_id: Id,
    /// Its code.
    pub code: String,
    /// Its title.
    pub title: String,
    /// Units.
    pub quantity: u32,
    /// Price of one unit, in cents.
    pub unit_price: i64,
    /// Unit price times quantity.
    pub amount: i64,
    /// Its part of the discounts.
    pub discount: i64,
    /// Its part of the shop's change of the price.
    pub adjustment: i64,
    /// What is paid for it: `amount - discount + adjustment`.
    pub share: i64,
    /// The shop's own fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ext: Option<Value>,
}

/// A coupon that an order uses.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = SpentCoupon)]
pub struct SpentCouponBody {
    /// Which: 32 hexadecimal digits.
    pub coupon_id: String,
    /// Its definition.
    pub terms_id: Id,
    /// What it takes off, in cents.
    pub amount: i64,
}

/// A payment that was begun at a provider.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub struct AttemptBody {
    /// Its name, as the provider has it.
    pub pay_no: String,
    /// Payment channel.
    pub channel: String,
    /// What was to be paid by it, in cents.
    pub amount: i64,
    /// When it was begun.
    pub at: String,
    /// The same, in ms since the Unix epoch.
    pub at_ms: u64,
    /// Whether it must not be paid any more.
    #[serde(rename = "void")]
    pub is_void: bool,
}

/// How a parcel travels.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Shipment)]
pub struct ShipmentBody {
    /// The carrier.
    pub carrier: String,
    /// The carrier's number.
    pub tracking_no: String,
}

/// A package that left.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Package)]
pub struct PackageBody {
    /// The carrier.
    pub carrier: String,
    /// The carrier's number.
    pub tracking_no: String,
    /// What is in it.
    pub lines: Vec<UnitsBody>,
    /// When it left.
    pub at: String,
    /// The same, in ms since the Unix epoch.
    pub at_ms: u64,
}

/// Units of a SKU.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Units)]
pub struct UnitsBody {
    /// The SKU.
    pub sku_id: Id,
    /// How many.
    pub quantity: u32,
}

/// The team of an order.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = OrderTeam)]
pub struct OrderTeamBody {
    /// Which.
    pub team_id: Id,
    /// Whether it is complete.
    pub formed: bool,
}

/// Who receives an order's goods.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ReceiverBody {
    /// Whole.
    Whole(Box<Receiver>),
    /// Masked.
    Masked(MaskedReceiver),
    /// Something in a form that isn't read here, of which only the size is told.
    Opaque(OpaquePersonal),
}

/// Something that happened to an order.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = TimelineEntry)]
pub struct TimelineBody {
    /// Its stable name.
    pub event: &'static str,
    /// When.
    pub at: String,
    /// The same, in ms since the Unix epoch.
    pub at_ms: u64,
    /// Where it stands in the journal; in the back office only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

impl OrderBody {
    /// An order as its own member sees it.
    pub fn for_member(view: OrderView, reveal: Reveal) -> Self {
        let mut body = Self::for_desk(view, reveal);
        (body.seller_remark, body.flag, body.price_source) = (None, None, None);
        body.timeline.iter_mut().for_each(|entry| entry.position = None);
        body
    }

    /// An order as the back office sees it.
    pub fn for_desk(view: OrderView, reveal: Reveal) -> Self {
        let terms = view.terms.unwrap_or_default();
        let named = (terms.activity_id.0 != 0).then_some(terms.activity_id);
        let of_stock = || view.lines.iter().map(|line| line.key.activity).find(|activity| activity.0 != 0);
        let activity_id = named.or_else(of_stock);
        let lines: Vec<_> = view
            .lines
            .into_iter()
            .enumerate()
            .map(|(at, line)| OrderLineBody::new(line, at, &terms))
            .collect();
        let numbered = (1_u32..).zip(view.attempts);
        let order_no = view.order_no;
        Self {
            order_no: order_no.into(),
            member_id: view.member_id.into(),
            order_type: view.order_type.name(),
            status: view.status.name(),
            close_reason: view.close_reason.map(|reason| reason.name()),
            activity_id: activity_id.map(Id::from),
            amounts: AmountsBody::new(&lines, terms.freight, view.pay_amount),
            created_at: instant(view.created_at_ms),
            created_at_ms: view.created_at_ms,
            pay_before: instant(view.deadline_ms),
            pay_before_ms: view.deadline_ms,
            version: view.version,
            lines,
            coupons: terms.coupons.iter().map(SpentCouponBody::from).collect(),
            paid_by: view.paid_by.map(|payment| payment.to_string()),
            attempts: numbered
                .map(|(number, attempt)| AttemptBody::new(format!("{order_no}-{number}"), attempt))
                .collect(),
            refunds: view.refunds.into_iter().map(RefundBody::from).collect(),
            shipment: view.shipment.map(ShipmentBody::from),
            packages: view.packages.into_iter().map(PackageBody::from).collect(),
            team: view.team.map(|team| OrderTeamBody { team_id: team.into(), formed: view.team_formed }),
            receiver: view.personal.map(|personal| ReceiverBody::new(&personal, reveal)),
            remark: view.remark.map(Into::into),
            external_no: view.external_no.map(Into::into),
            ext: view.ext.map(|ext| ext_value(&ext)),
            seller_remark: view.seller_remark.map(Into::into),
            flag: Some(view.flag),
            price_source: terms.price_source.map(Into::into),
            timeline: view.timeline.into_iter().map(TimelineBody::from).collect(),
        }
    }

    /// The same in a list: without its timeline.
    #[must_use]
    pub fn in_list(mut self) -> Self {
        self.timeline.clear();
        self
    }
}

impl AmountsBody {
    fn new(lines: &[OrderLineBody], freight: Money, pay_amount: Money) -> Self {
        let sum = |part: fn(&OrderLineBody) -> i64| {
            lines.iter().fold(0_i64, |sum, line| sum.saturating_add(part(line)))
        };
        Self {
            goods_amount: sum(|line| line.amount),
            discount_amount: sum(|line| line.discount),
            adjustment: sum(|line| line.adjustment),
            freight: freight.minor(),
            pay_amount: pay_amount.minor(),
        }
    }
}

impl OrderLineBody {
    /// The line at a place of its order: the terms name lines by it. Seats stand behind all goods and are not shown, so
    /// that places of goods are the same with them and without.
    fn new(line: LineView, place: usize, terms: &OrderTerms) -> Self {
        let at = |amounts: &[Money]| amounts.get(place).map_or(0, |amount| amount.minor());
        let (discount, adjustment) = (at(&terms.discounts), at(&terms.adjustments));
        // It was checked when the order was placed that these don't overflow.
        let amount = line.price.minor().saturating_mul(i64::from(line.quantity));
        Self {
            sku_id: line.sku_id.into(),
            code: line.code,
            title: line.title,
            quantity: line.quantity,
            unit_price: line.price.minor(),
            amount,
            discount,
            adjustment,
            share: amount.saturating_sub(discount).saturating_add(adjustment),
            ext: line.ext.map(|ext| ext_value(&ext)),
        }
    }
}

impl From<&SpentCoupon> for SpentCouponBody {
    fn from(spent: &SpentCoupon) -> Self {
        let SpentCoupon { coupon, terms, amount, .. } = spent;
        Self { coupon_id: coupon.to_string(), terms_id: (*terms).into(), amount: amount.minor() }
    }
}

impl AttemptBody {
    fn new(pay_no: String, attempt: Attempt) -> Self {
        let Attempt { channel, amount, at_ms, is_void } = attempt;
        let at = instant(at_ms);
        Self { pay_no, channel: channel.into(), amount: amount.minor(), at, at_ms, is_void }
    }
}

impl From<Shipment> for ShipmentBody {
    fn from(shipment: Shipment) -> Self {
        Self { carrier: shipment.carrier.into(), tracking_no: shipment.tracking_no.into() }
    }
}

impl From<PackageView> for PackageBody {
    fn from(package: PackageView) -> Self {
        let PackageView { shipment, units, at_ms } = package;
        Self {
            carrier: shipment.carrier.into(),
            tracking_no: shipment.tracking_no.into(),
            lines: units.iter().map(UnitsBody::from).collect(),
            at: instant(at_ms),
            at_ms,
        }
    }
}

impl From<&StockUnits> for UnitsBody {
    fn from(units: &StockUnits) -> Self {
        Self { sku_id: units.key.sku.into(), quantity: units.quantity }
    }
}

/// Written out, because the derived form says that just one of the forms fits, and a masked receiver looks like a whole one.
impl PartialSchema for ReceiverBody {
    fn schema() -> RefOr<Schema> {
        let named = |name: Cow<'static, str>| Ref::from_schema_name(name.into_owned());
        let forms = [Receiver::name(), MaskedReceiver::name(), OpaquePersonal::name()].map(named);
        let any = forms.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item);
        any.description(Some("Who receives an order's goods: whole, masked, or only its size.")).into()
    }
}

impl ToSchema for ReceiverBody {
    fn name() -> Cow<'static, str> {
        "ShownReceiver".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Receiver::name().into(), Receiver::schema()));
        schemas.push((MaskedReceiver::name().into(), MaskedReceiver::schema()));
        schemas.push((OpaquePersonal::name().into(), OpaquePersonal::schema()));
    }
}

impl ReceiverBody {
    /// What is shown of an order's personal data.
    pub fn new(personal: &Personal, reveal: Reveal) -> Self {
        match (StoredPersonal::decode(personal), reveal) {
            (StoredPersonal::Receiver(receiver), Reveal::Whole) => Self::Whole(receiver),
            (stored, _) => match stored.masked() {
                MaskedPersonal::Receiver(receiver) => Self::Masked(receiver),
                MaskedPersonal::Opaque(opaque) => Self::Opaque(opaque),
            },
        }
    }
}

impl From<TimelineEntry> for TimelineBody {
    fn from(entry: TimelineEntry) -> Self {
        let TimelineEntry { event, at_ms, position } = entry;
        Self { event, at: instant(at_ms), at_ms, position: Some(position.0) }
    }
}
