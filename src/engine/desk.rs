//! The order desk: orders of all members by filters, for those who run the shop.
//!
//! It reads the store's checkpoint, on threads of its own, and never asks an order actor: a list may take as long as it
//! takes, and no order waits for it. Cold files are not looked through.

use hashbrown::HashSet;

use super::view::OrderView;
use super::{Engine, Inner};
use crate::domain::ids::{
    ActivityId, MemberId, ORDER_NO_EPOCH_MS, OrderNo, Position, ProductId, SLOTS, SkuId, Slot, TeamId,
};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::order_type::OrderType;
use crate::domain::reject::Reject;
use crate::engine::store::readable;
use crate::projection::levels::StoreError;
use crate::projection::store::{OrderWalk, StoreReader, WalkOrder};

/// Most orders on one page of the desk.
pub const DESK_PAGE_LEN_MAX: usize = 200;
/// Orders that one page looks at.
const DESK_SCAN_MAX: u64 = 20_000;
/// The time in an order's number may be this far away from the time at which it was placed, in ms.
const NUMBER_SLACK_MS: u64 = 60_000;

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
    /// Only placed before this instant, in ms since the Unix epoch; as `created_from_ms`.
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

/// In which order a desk's pages come. In each of them, an order that was there when the listing began comes exactly once,
/// whatever arrives or changes meanwhile, as long as its state lets it pass when its page is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeskSequence {
    /// By number, and so by time: the newest first. New orders come before the first page and are not seen further on.
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
    /// assert_eq!(first.orders[0].member_id, 3.into(), "the newest first");
    ///
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
        let wanted = inner.wanted(filter);
        let found = inner.scans.run(inner.taken_in(), move || readable(find(&reader, &wanted, page))).await?;
        let Found { orders, next, as_of, scanned } = found;
        let orders = orders.into_iter().map(|order| inner.show(order)).collect();
        Ok(DeskAnswer { orders, next, as_of, scanned })
    }
}

impl Inner {
    /// A filter with what it needs of the catalogue.
    fn wanted(&self, filter: &OrderFilter) -> Wanted {
        let skus = filter.product.map(|product| self.catalogue.skus_of(product, self.journal.acknowledged()));
        Wanted { filter: filter.clone(), skus }
    }
}

/// A filter that can be asked.
struct Wanted {
    filter: OrderFilter,
    /// The SKUs of the product that is wanted.
    skus: Option<HashSet<SkuId>>,
}

impl Wanted {
    fn lets_pass(&self, order: &Order) -> bool {
        let OrderFilter {
            member,
            statuses,
            order_type,
            activity,
            sku,
            product: _,
            team,
            created_from_ms,
            created_until_ms,
            paid_from_ms,
            paid_until_ms,
            flag,
            has_open_refund,
            payment_started,
        } = &self.filter;
        let has_sku =
            |is: &dyn Fn(SkuId) -> bool| order.lines.iter().any(|line| !line.is_seat() && is(line.key.sku));
        member.is_none_or(|member| order.member_id == member)
            && (statuses.is_empty() || statuses.contains(&order.status))
            && order_type.is_none_or(|order_type| order.order_type == order_type)
            && activity.is_none_or(|activity| order.activity() == Some(activity))
            && sku.is_none_or(|sku| has_sku(&|found| found == sku))
            && self.skus.as_ref().is_none_or(|skus| has_sku(&|found| skus.contains(&found)))
            && team.is_none_or(|team| order.team() == Some(team))
            && is_within(Some(order.created_at_ms), *created_from_ms, *created_until_ms)
            && is_within(order.paid_at_ms(), *paid_from_ms, *paid_until_ms)
            && flag.is_none_or(|flag| order.flag() == flag)
            && has_open_refund.is_none_or(|open| order.has_unfinished_refund() == open)
            && (!payment_started
                || (order.status == OrderStatus::Pending && !order.open_attempts().is_empty()))
    }

    /// Whether no order at rest can pass.
    fn is_open_only(&self) -> bool {
        let OrderFilter { statuses, has_open_refund, payment_started, .. } = &self.filter;
        let is_closed =
            |status: &OrderStatus| matches!(status, OrderStatus::Completed | OrderStatus::Cancelled);
        *payment_started
            || *has_open_refund == Some(true)
            || (!statuses.is_empty() && !statuses.iter().any(is_closed))
    }

    /// The least and the greatest number that an order may have which passes.
    fn numbers(&self) -> (OrderNo, OrderNo) {
        let time = |at_ms: u64| at_ms.saturating_sub(ORDER_NO_EPOCH_MS).min(TIME_MS_MAX);
        let from_ms = self.filter.created_from_ms.unwrap_or(0).saturating_sub(NUMBER_SLACK_MS);
        let until_ms = self.filter.created_until_ms.unwrap_or(u64::MAX).saturating_add(NUMBER_SLACK_MS);
        (
            OrderNo::compose(time(from_ms), Slot::default(), 0),
            OrderNo::compose(time(until_ms), Slot::from_index(SLOTS - 1).unwrap_or_default(), u64::MAX),
        )
    }
}

/// The latest time that a number has room for, in ms since the epoch of order numbers.
const TIME_MS_MAX: u64 = (1 << 41) - 1;

fn is_within(at_ms: Option<u64>, from_ms: Option<u64>, until_ms: Option<u64>) -> bool {
    from_ms.is_none_or(|from_ms| at_ms.is_some_and(|at_ms| at_ms >= from_ms))
        && until_ms.is_none_or(|until_ms| at_ms.is_some_and(|at_ms| at_ms < until_ms))
}

/// What a walk has found.
struct Found {
    orders: Vec<Order>,
    next: Option<OrderNo>,
    as_of: Position,
    scanned: u64,
}

/// Reads a page. Blocks.
fn find(reader: &StoreReader, wanted: &Wanted, page: DeskPage) -> Result<Found, StoreError> {
    let len_max = page.len_max.clamp(1, DESK_PAGE_LEN_MAX);
    let (snapshot, head) = reader.pinned()?;
    let walk = OrderWalk {
        order: match page.sequence {
            DeskSequence::NewestFirst => WalkOrder::Descending,
            DeskSequence::OldestFirst => WalkOrder::Ascending,
            DeskSequence::Any => WalkOrder::BySlot,
        },
        after: page.after,
        numbers: wanted.numbers(),
        slot: wanted.filter.member.map(Slot::of_member),
        open_only: wanted.is_open_only(),
    };
    let mut found = Found { orders: Vec::new(), next: None, as_of: head.position, scanned: 0 };
    let mut passed = None;
    StoreReader::walk_orders(&snapshot, &walk, |order| {
        if found.scanned == DESK_SCAN_MAX {
            found.next = passed;
            return false;
        }
        let order_no = order.order_no;
        found.scanned += 1;
        if wanted.lets_pass(&order) {
            if found.orders.len() == len_max {
                found.next = passed;
                return false;
            }
            found.orders.push(order);
        }
        passed = Some(order_no);
        true
    })?;
    Ok(found)
}
