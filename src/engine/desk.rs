//! The order desk: orders of all members by filters, for those who run the shop.
//!
//! It reads the store's checkpoint, on threads of its own, and never asks an order actor: a list may take as long as it
//! takes, and no order waits for it. Cold files are not looked through.

use super::Engine;
use super::search::stored::{Found, StoredPage};
use super::view::OrderView;
use crate::domain::ids::{ActivityId, MemberId, OrderNo, Position, ProductId, SkuId, TeamId};
use crate::domain::order::OrderStatus;
use crate::domain::order_type::OrderType;
use crate::domain::reject::Reject;
use crate::domain::search::{Expr, Span};
use crate::engine::store::readable;
use crate::projection::store::WalkOrder;

/// Most orders on one page of the desk.
pub const DESK_PAGE_LEN_MAX: usize = 200;

/// Which orders; an empty filter lets all of them pass. What is given must all be so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderFilter {
    /// Only of this member.
    pub member: Option<MemberId>,
    /// Only in one of these states; empty for all.
    pub statuses: Vec<OrderStatus>,
    /// Only of this type.
    pub order_type: Option<OrderType>,
    /// Only in this activity.
    pub activity: Option<ActivityId>,
    /// Only with a line of this SKU.
    pub sku: Option<SkuId>,
    /// Only with a line of a SKU that belongs to this product by its current revision.
    pub product: Option<ProductId>,
    /// Only in this team.
    pub team: Option<TeamId>,
    /// Only placed at or after this instant, in ms since the Unix epoch. An order's number tells when it was placed; one
    /// from right after a jump of the clock by more than a minute may be missed.
    pub created_from_ms: Option<u64>,
    /// Only placed before this instant, in ms since the Unix epoch. One from right after dozens of restarts in a row may be
    /// missed.
    pub created_until_ms: Option<u64>,
    /// Only paid at or after this instant, in ms since the Unix epoch.
    pub paid_from_ms: Option<u64>,
    /// Only paid before this instant, in ms since the Unix epoch.
    pub paid_until_ms: Option<u64>,
    /// Only with this mark of the shop's; 0 for orders without one.
    pub flag: Option<u8>,
    /// Only with, or only without, a refund that is neither finished nor come to nothing.
    pub has_open_refund: Option<bool>,
    /// Only pending orders with a payment begun at a provider that could still be paid.
    pub payment_started: bool,
}

/// What a filter asks for, as a search says it.
impl From<&OrderFilter> for Expr {
    fn from(filter: &OrderFilter) -> Self {
        let OrderFilter {
            member,
            statuses,
            order_type,
            activity,
            sku,
            product,
            team,
            created_from_ms,
            created_until_ms,
            paid_from_ms,
            paid_until_ms,
            flag,
            has_open_refund,
            payment_started,
        } = filter;
        let span = |from: &Option<u64>, until: &Option<u64>| {
            (from.is_some() || until.is_some()).then_some(Span { from: *from, until: *until })
        };
        let parts = [
            member.map(Self::Member),
            Self::of_statuses(statuses),
            order_type.map(Self::OrderType),
            activity.map(Self::Activity),
            sku.map(Self::Sku),
            product.map(Self::Product),
            team.map(Self::Team),
            span(created_from_ms, created_until_ms).map(Self::Created),
            span(paid_from_ms, paid_until_ms).map(Self::Paid),
            flag.map(Self::Flag),
            has_open_refund.map(Self::OpenRefund),
            payment_started.then_some(Self::PaymentStarted),
        ];
        Self::all_of(parts.into_iter().flatten())
    }
}

/// In which order a desk's pages come. In each of them, an order that was there when the listing began comes exactly once,
/// whatever arrives or changes meanwhile, as long as its state lets it pass when its page is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeskSequence {
    /// By number, and so by the millisecond: the newest first. New orders come before the first page and are not seen further on.
    #[default]
    NewestFirst,
    /// By number: the oldest first. New orders come at the end.
    OldestFirst,
    /// Members' orders together, in no order that means anything: the cheapest way to see all of them.
    Any,
}

/// Which page of the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeskPage {
    /// Only orders behind this one in the sequence: [`DeskAnswer::next`] of the page before.
    pub after: Option<OrderNo>,
    /// In which order.
    pub sequence: DeskSequence,
    /// Most orders on the page, 1 to [`DESK_PAGE_LEN_MAX`].
    pub len_max: usize,
}

impl Default for DeskPage {
    fn default() -> Self {
        Self { after: None, sequence: DeskSequence::NewestFirst, len_max: 50 }
    }
}

/// A page of orders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeskAnswer {
    /// The orders; fewer than asked for, perhaps none, where the page has looked at as many as it may.
    pub orders: Vec<OrderView>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<OrderNo>,
    /// Everything up to here is in it.
    pub as_of: Position,
    /// Orders that were looked at.
    pub scanned: u64,
}

impl Engine {
    /// A page of the orders of all members that a filter lets pass. What was acknowledged before the call is in it, unless
    /// the store is more than two seconds behind: [`DeskAnswer::as_of`] says up to where it goes.
    ///
    /// A page looks at 20,000 orders at most. Where few of them pass it is short, with [`DeskAnswer::next`] set. Orders
    /// in cold files are not found, those of [`Config::archive_after_ms`](crate::Config::archive_after_ms) ago.
    ///
    /// Orders come with everything, personal data included, as [`Engine::order`] shows them to an operator: what of it may
    /// be shown is the caller's to decide.
    ///
    /// # Errors
    /// [`Reject::NoStore`] in an engine without a store, [`Reject::Overloaded`] where many such questions are asked at
    /// once, or the engine's own state. A page length outside 1 to 200 is brought inside.
    ///
    /// ```
    /// # use stockade::{Config, DeskPage, Engine, OrderFilter, OrderStatus, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let engine = Engine::open(Config::new(dir.path().join("shop")).ballast_bytes(0)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// for member in 1..=3 {
    ///     engine.submit(SubmitOrder::one_line(member, 1001, 42, 1)).await?;
    /// }
    /// let unpaid = OrderFilter { statuses: vec![OrderStatus::Pending], ..OrderFilter::default() };
    /// let first = engine.find_orders(&unpaid, DeskPage { len_max: 2, ..DeskPage::default() }).await?;
    /// let rest = engine.find_orders(&unpaid, DeskPage { after: first.next, ..DeskPage::default() }).await?;
    /// assert_eq!((first.orders.len(), rest.orders.len(), rest.next), (2, 1, None));
    /// # engine.shutdown().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn find_orders(&self, filter: &OrderFilter, page: DeskPage) -> Result<DeskAnswer, Reject> {
        let inner = &self.inner;
        inner.check_readable()?;
        let reader = inner.store.as_ref().ok_or(Reject::NoStore)?.reader.clone();
        let wanted = inner.wanted(Expr::from(filter));
        let page = StoredPage {
            order: match page.sequence {
                DeskSequence::NewestFirst => WalkOrder::Descending,
                DeskSequence::OldestFirst => WalkOrder::Ascending,
                DeskSequence::Any => WalkOrder::BySlot,
            },
            after: page.after,
            len_max: page.len_max.clamp(1, DESK_PAGE_LEN_MAX),
            count: false,
        };
        let find = move || readable(wanted.find(&reader, &page));
        let Found { orders, next, counts: _, as_of, scanned } =
            inner.scans.run(inner.taken_in(), find).await?;
        let orders = orders.into_iter().map(|order| inner.show(order)).collect();
        Ok(DeskAnswer { orders, next, as_of, scanned })
    }
}
