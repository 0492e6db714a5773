//! A member's own list by filters, and what is in it: merged from memory and store, as the whole list is.
//!
//! Both go through the member's orders newest first, in bounded pieces, by the same question as [`Engine::orders_of`]. So
//! they agree with it, also about what is not in the store yet (R4).

use super::Engine;
use super::view::{OrderPage, PAGE_LEN_MAX, Page};
use crate::actors::order::Query;
use crate::domain::ids::{MemberId, OrderNo, Slot};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::order_type::OrderType;
use crate::domain::reject::Reject;
use crate::domain::search::{Expr, Span};

/// A member's orders that one call looks at.
const MEMBER_SCAN_MAX: usize = 10_000;
/// Orders that are asked for at a time.
const PIECE_LEN: usize = 256;

/// Which of a member's orders; an empty filter lets all of them pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberFilter {
    /// Only in one of these states; empty for all.
    pub statuses: Vec<OrderStatus>,
    /// Only of this type.
    pub order_type: Option<OrderType>,
    /// Only placed at or after this instant, in ms since the Unix epoch.
    pub created_from_ms: Option<u64>,
    /// Only placed before this instant, in ms since the Unix epoch.
    pub created_until_ms: Option<u64>,
}

impl MemberFilter {
    fn lets_pass(&self, order: &Order) -> bool {
        let Self { statuses, order_type, created_from_ms, created_until_ms } = self;
        (statuses.is_empty() || statuses.contains(&order.status))
            && order_type.is_none_or(|order_type| order.order_type == order_type)
            && created_from_ms.is_none_or(|from_ms| order.created_at_ms >= from_ms)
            && created_until_ms.is_none_or(|until_ms| order.created_at_ms < until_ms)
    }
}

/// What a filter asks for, as a search says it; of which member is the search's to say.
impl From<&MemberFilter> for Expr {
    fn from(filter: &MemberFilter) -> Self {
        let MemberFilter { statuses, order_type, created_from_ms, created_until_ms } = filter;
        let created = Span { from: *created_from_ms, until: *created_until_ms };
        let parts = [
            Self::of_statuses(statuses),
            order_type.map(Self::OrderType),
            (created != Span::default()).then_some(Self::Created(created)),
        ];
        Self::all_of(parts.into_iter().flatten())
    }
}

/// How many orders a member has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderCounts {
    /// By status, those with none left out.
    pub by_status: Vec<(OrderStatus, u64)>,
    /// By type, those with none left out.
    pub by_type: Vec<(OrderType, u64)>,
    /// All of them together.
    pub total: u64,
    /// Whether all were counted; false where the member has more than 10,000, of which the newest were.
    pub complete: bool,
}

impl OrderCounts {
    /// How many are in this state.
    pub fn of_status(&self, status: OrderStatus) -> u64 {
        self.by_status.iter().find(|(known, _)| *known == status).map_or(0, |(_, count)| *count)
    }

    /// How many are of this type.
    pub fn of_type(&self, order_type: OrderType) -> u64 {
        self.by_type.iter().find(|(known, _)| *known == order_type).map_or(0, |(_, count)| *count)
    }

    fn add(&mut self, order: &Order) {
        add_one(&mut self.by_status, order.status);
        add_one(&mut self.by_type, order.order_type);
        self.total += 1;
    }
}

fn add_one<T: PartialEq>(counts: &mut Vec<(T, u64)>, what: T) {
    match counts.iter_mut().find(|(known, _)| *known == what) {
        Some((_, count)) => *count += 1,
        None => counts.push((what, 1)),
    }
}

impl Engine {
    /// A page of those of a member's orders that a filter lets pass, newest first. One page looks at 10,000 orders at most:
    /// where few of them pass it may be short, with [`OrderPage::next`] set. As [`Engine::orders_of`], it doesn't show
    /// orders in cold files.
    ///
    /// # Errors
    /// The engine's own state. A page length outside 1 to 100 is brought inside.
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, MemberFilter, OrderStatus, Page, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// let first = engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// engine.submit(SubmitOrder::one_line(7, 1002, 42, 1)).await?;
    /// engine.cancel(Caller::Operator, first.order_no).await?;
    ///
    /// let unpaid = MemberFilter { statuses: vec![OrderStatus::Pending], ..MemberFilter::default() };
    /// let page = engine.orders_of_filtered(7, &unpaid, Page::default()).await?;
    /// assert_eq!(page.orders.len(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn orders_of_filtered(
        &self,
        member: impl Into<MemberId>,
        filter: &MemberFilter,
        page: Page,
    ) -> Result<OrderPage, Reject> {
        let len_max = page.len_max.clamp(1, PAGE_LEN_MAX);
        let mut orders: Vec<Order> = Vec::new();
        // The last order before the one that is looked at, which the next page begins behind.
        let mut passed = None;
        let mut next = None;
        let is_over = self
            .each_order_of(member.into(), page.before, |order| {
                let order_no = order.order_no;
                if filter.lets_pass(&order) {
                    if orders.len() == len_max {
                        next = passed;
                        return false;
                    }
                    orders.push(order);
                }
                passed = Some(order_no);
                true
            })
            .await?;
        let next = if is_over { next } else { next.or(passed) };
        Ok(OrderPage { orders: orders.into_iter().map(|order| self.inner.show(order)).collect(), next })
    }

    /// How many orders a member has, by status and by type: what [`Engine::orders_of`] would list, counted. Beyond the
    /// newest 10,000 it stops, and says so.
    ///
    /// # Errors
    /// The engine's own state.
    ///
    /// ```
    /// # use stockade::{Config, Durability, Engine, OrderStatus, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 10).await?;
    /// engine.submit(SubmitOrder::one_line(7, 1001, 42, 1)).await?;
    /// let counts = engine.count_orders_of(7).await?;
    /// assert_eq!((counts.of_status(OrderStatus::Pending), counts.total, counts.complete), (1, 1, true));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn count_orders_of(&self, member: impl Into<MemberId>) -> Result<OrderCounts, Reject> {
        let mut counts = OrderCounts::default();
        let is_over = self
            .each_order_of(member.into(), None, |order| {
                counts.add(&order);
                true
            })
            .await?;
        counts.complete = is_over;
        counts.by_status.sort_unstable_by_key(|(status, _)| *status as u8);
        counts.by_type.sort_unstable_by_key(|(order_type, _)| *order_type as u8);
        Ok(counts)
    }

    /// Calls `each` with a member's orders, newest first, until it says no. False where it came to the end of what one call
    /// looks at, and there are more.
    async fn each_order_of(
        &self,
        member: MemberId,
        mut before: Option<OrderNo>,
        mut each: impl FnMut(Order) -> bool,
    ) -> Result<bool, Reject> {
        let mut left = MEMBER_SCAN_MAX;
        loop {
            // One more than may be looked at tells whether there are more.
            let len_max = PIECE_LEN.min(left + 1);
            let query = |reply| Query::OrdersOf { member, before, len_max, reply };
            let orders = self.query(Slot::of_member(member), query).await?;
            let is_last = orders.len() < len_max;
            for order in orders {
                if left == 0 {
                    return Ok(false);
                }
                left -= 1;
                before = Some(order.order_no);
                if !each(order) {
                    return Ok(true);
                }
            }
            if is_last {
                return Ok(true);
            }
        }
    }
}
