//! What queries show.

use crate::domain::event::StockUnits;
use crate::domain::ids::{MemberId, OrderNo, PaymentId, Position, SkuId, StockKey, TeamId};
use crate::domain::money::Money;
use crate::domain::order::{
    Attempt, CloseReason, Order, OrderHistory, OrderStatus, OrderTerms, OrderText, TimelineEntry,
};
use crate::domain::order_type::OrderType;
use crate::domain::refund::Refund;
use crate::domain::request::{Personal, Shipment};
use crate::engine::Inner;
use crate::engine::catalogue::Catalogue;

/// An order, as queries show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// Its number.
    pub order_no: OrderNo,
    /// Who buys.
    pub member_id: MemberId,
    /// What kind of sale.
    pub order_type: OrderType,
    /// Where it stands.
    pub status: OrderStatus,
    /// Why it is cancelled, if it is.
    pub close_reason: Option<CloseReason>,
    /// What is to be paid.
    pub pay_amount: Money,
    /// When it was placed, in ms since the Unix epoch.
    pub created_at_ms: u64,
    /// At and after this instant it can't be paid in the ordinary way, in ms since the Unix epoch.
    pub deadline_ms: u64,
    /// Number of its events so far.
    pub version: u32,
    /// Its lines, ascending by stock key.
    pub lines: Vec<LineView>,
    /// The payment that paid it.
    pub paid_by: Option<PaymentId>,
    /// Payments that were begun at providers; attempt 1 comes first.
    pub attempts: Vec<Attempt>,
    /// Money on its way back, by refund number.
    pub refunds: Vec<Refund>,
    /// How it travels, once all of it is shipped; the last package.
    pub shipment: Option<Shipment>,
    /// Packages that left one by one, oldest first. An order that is shipped as a whole has none of these.
    pub packages: Vec<PackageView>,
    /// What the shop noted.
    pub seller_remark: Option<Box<str>>,
    /// The shop's mark, 0 to 9.
    pub flag: u8,
    /// What its price rests on beside its lines: freight, discounts line by line, coupons.
    pub terms: Option<OrderTerms>,
    /// The team that it has a seat in.
    pub team: Option<TeamId>,
    /// Whether its team has formed; for orders of a team.
    pub team_formed: bool,
    /// What happened to it, oldest first.
    pub timeline: Vec<TimelineEntry>,
    /// Name, phone, address.
    pub personal: Option<Personal>,
    /// The buyer's remark.
    pub remark: Option<Box<str>>,
    /// The shop's own number.
    pub external_no: Option<Box<str>>,
    /// The shop's own fields.
    pub ext: Option<Box<[u8]>>,
}

/// One line of an order, with the title and code it was sold under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineView {
    /// The SKU.
    pub sku_id: SkuId,
    /// The stock its units come from.
    pub key: StockKey,
    /// Units.
    pub quantity: u32,
    /// Price of one unit.
    pub price: Money,
    /// The SKU's title when the order was placed; of an imported order the current one.
    pub title: String,
    /// The SKU's code when the order was placed; of an imported order the current one.
    pub code: String,
    /// The shop's own value for the line.
    pub ext: Option<Box<[u8]>>,
}

/// A package of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageView {
    /// How it travels.
    pub shipment: Shipment,
    /// What is in it.
    pub units: Vec<StockUnits>,
    /// When it left, in ms since the Unix epoch.
    pub at_ms: u64,
}

/// A page of a member's orders, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<OrderView>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<OrderNo>,
}

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only orders below this number: [`OrderPage::next`] of the page before.
    pub before: Option<OrderNo>,
    /// Most orders on the page, 1 to [`PAGE_LEN_MAX`].
    pub len_max: usize,
}

/// Most orders on one page.
pub const PAGE_LEN_MAX: usize = 100;

impl Default for Page {
    fn default() -> Self {
        Self { before: None, len_max: 20 }
    }
}

/// A hash over everything that events have said, reservations of order numbers and the operator log excepted, at one
/// position (R7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateHash {
    /// The position it was taken at.
    pub position: Position,
    /// The hash.
    pub hash: u64,
}

impl OrderView {
    /// Shows an order; titles come from the revisions that it was placed under. An imported order was placed under none:
    /// it shows what is current at the position `shown`.
    pub(crate) fn new(order: Order, catalogue: &Catalogue, shown: Position) -> Self {
        let refunds = order.refunds();
        let later = order.later().cloned().unwrap_or_default();
        let packages = later.packages.iter().map(|package| PackageView {
            shipment: package.shipment.clone(),
            units: order.stock_units(&package.lines),
            at_ms: package.at_ms,
        });
        let packages = packages.collect();
        let (seller_remark, flag) = later
            .note
            .map_or((None, 0), |note| (Some(note.remark).filter(|text| !text.is_empty()), note.flag));
        let team = order.team();
        let Order { extra, history, .. } = order;
        let terms = extra.terms.map(|terms| *terms);
        let OrderText { personal, remark, external_no, ext, line_ext } =
            extra.text.map(|text| *text).unwrap_or_default();
        let OrderHistory { paid_by, shipment, timeline, .. } =
            history.map(|history| *history).unwrap_or_default();
        let goods = order.lines.iter().filter(|line| !line.is_seat());
        let lines = goods.map(|line| {
            let sku = if line.is_imported() {
                catalogue.current(line.key.sku, shown)
            } else {
                catalogue.revision(line.key.sku, line.revision)
            };
            let (title, code) = sku.map(|sku| (sku.title.clone(), sku.code.clone())).unwrap_or_default();
            let ext = line_ext.iter().find(|(sku, _)| *sku == line.key.sku).map(|(_, ext)| ext.clone());
            LineView {
                sku_id: line.key.sku,
                key: line.key,
                quantity: line.quantity,
                price: line.price,
                title,
                code,
                ext,
            }
        });
        let created = TimelineEntry {
            event: "OrderCreated",
            at_ms: order.created_at_ms,
            position: order.created_position,
        };
        Self {
            order_no: order.order_no,
            member_id: order.member_id,
            order_type: order.order_type,
            status: order.status,
            close_reason: order.close_reason,
            pay_amount: order.pay_amount,
            created_at_ms: order.created_at_ms,
            deadline_ms: order.deadline_ms,
            version: order.version,
            lines: lines.collect(),
            paid_by,
            attempts: later.attempts,
            refunds,
            shipment,
            packages,
            seller_remark,
            flag,
            terms,
            team,
            team_formed: later.team_formed,
            timeline: std::iter::once(created).chain(timeline).collect(),
            personal,
            remark,
            external_no,
            ext,
        }
    }
}

impl Inner {
    /// Shows an order that is durable.
    pub(crate) fn show(&self, order: Order) -> OrderView {
        OrderView::new(order, &self.catalogue, self.journal.acknowledged())
    }
}
