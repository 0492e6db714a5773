//! Looking through stored orders: filters that are evaluated order by order, from one checkpoint.
//!
//! It reads on threads of its own and never asks an order actor: it may take as long as it takes, and no order waits for
//! it. Cold files are not looked through.

use std::collections::BTreeMap;

use hashbrown::HashSet;

use super::SearchCounts;
use crate::domain::ids::{ORDER_NO_EPOCH_MS, OrderNo, Position, ProductId, SLOTS, SkuId, Slot};
use crate::domain::order::Order;
use crate::domain::search::{Expr, Facts, Reach, TextTerm};
use crate::engine::Inner;
use crate::projection::levels::{Snapshot, StoreError};
use crate::projection::store::{OrderWalk, StoreReader, WalkOrder};

/// Orders that one page looks at, and one count.
const SCAN_MAX: u64 = 20_000;
/// The time in an order's number may be this far behind the time at which it was placed, in ms: after a jump of the clock,
/// until the next range of numbers is reserved.
const NUMBER_BEHIND_MS: u64 = 60_000;
/// And this far ahead, in ms: every opening begins behind the last range, so that 30 in a row may move it by ten minutes.
const NUMBER_AHEAD_MS: u64 = 600_000;
/// The latest time that a number has room for, in ms since the epoch of order numbers.
const TIME_MS_MAX: u64 = (1 << 41) - 1;

/// Filters with what they need of the catalogue.
pub(in crate::engine) struct Wanted {
    expr: Expr,
    goods: Goods,
    reach: Reach,
}

/// The SKUs of the products that are named.
struct Goods(BTreeMap<ProductId, HashSet<SkuId>>);

impl Facts for Goods {
    fn is_of(&self, sku: SkuId, product: ProductId) -> bool {
        self.0.get(&product).is_some_and(|skus| skus.contains(&sku))
    }

    fn has_words(&self, _order: &Order, _term: &TextTerm) -> bool {
        // Who asks for words is refused before: no order is cut into words one by one.
        debug_assert!(false, "words are not looked for in the store");
        false
    }
}

impl Inner {
    /// Filters as they can be asked. There are no words in them.
    pub(in crate::engine) fn wanted(&self, expr: Expr) -> Wanted {
        let up_to = self.journal.acknowledged();
        let products = expr.products();
        let goods = products.into_iter().map(|product| (product, self.catalogue.skus_of(product, up_to)));
        let goods = Goods(goods.collect());
        Wanted { reach: expr.reach(), goods, expr }
    }
}

/// Which page.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct StoredPage {
    pub(in crate::engine) order: WalkOrder,
    /// Only orders behind this one.
    pub(in crate::engine) after: Option<OrderNo>,
    pub(in crate::engine) len_max: usize,
    /// Whether to count all that pass, also those before the page.
    pub(in crate::engine) count: bool,
}

/// What was found.
pub(in crate::engine) struct Found {
    pub(in crate::engine) orders: Vec<Order>,
    /// Where the next page starts.
    pub(in crate::engine) next: Option<OrderNo>,
    pub(in crate::engine) counts: Option<SearchCounts>,
    pub(in crate::engine) as_of: Position,
    /// Orders that were looked at.
    pub(in crate::engine) scanned: u64,
}

impl Wanted {
    /// Looks up whose the shop's own numbers are, which are unique: so no order has to be looked at for them.
    pub(in crate::engine) fn resolve(
        &mut self,
        find: impl Fn(&str) -> Result<Option<OrderNo>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut failed = None;
        let expr = std::mem::take(&mut self.expr).map(&mut |leaf| match &leaf {
            Expr::ExternalNo(external_no) if failed.is_none() => match find(external_no) {
                Ok(Some(order_no)) => Expr::And(vec![Expr::OrderNo(order_no), leaf]),
                Ok(None) => Expr::Or(Vec::new()),
                Err(error) => {
                    failed = Some(error);
                    leaf
                }
            },
            _ => leaf,
        });
        self.reach = expr.reach();
        self.expr = expr;
        failed.map_or(Ok(()), Err)
    }

    /// Reads a page. Blocks.
    pub(in crate::engine) fn find(
        &self,
        reader: &StoreReader,
        page: &StoredPage,
    ) -> Result<Found, StoreError> {
        let (snapshot, head) = reader.pinned()?;
        let mut found =
            Found { orders: Vec::new(), next: None, counts: None, as_of: head.position, scanned: 0 };
        let mut passed = None;
        let walk = self.walk(page.order, page.after);
        self.go(&snapshot, &walk, |order| {
            if found.scanned == SCAN_MAX {
                found.next = passed;
                return false;
            }
            let order_no = order.order_no;
            found.scanned += 1;
            if self.expr.means(&order, &self.goods) {
                if found.orders.len() == page.len_max {
                    found.next = passed;
                    return false;
                }
                found.orders.push(order);
            }
            passed = Some(order_no);
            true
        })?;
        if page.count {
            found.counts = Some(self.count(&snapshot)?);
        }
        Ok(found)
    }

    /// Counts what passes. Blocks.
    fn count(&self, snapshot: &Snapshot) -> Result<SearchCounts, StoreError> {
        let mut counts = SearchCounts { complete: true, ..SearchCounts::default() };
        let mut scanned = 0;
        // The cheapest way through all of them.
        self.go(snapshot, &self.walk(WalkOrder::BySlot, None), |order| {
            if scanned == SCAN_MAX {
                counts.complete = false;
                return false;
            }
            scanned += 1;
            if self.expr.means(&order, &self.goods) {
                counts.total += 1;
                counts.by_status[order.status as usize] += 1;
                counts.by_type[order.order_type as usize] += 1;
            }
            true
        })?;
        Ok(counts)
    }

    fn go(
        &self,
        snapshot: &Snapshot,
        walk: &OrderWalk,
        each: impl FnMut(Order) -> bool,
    ) -> Result<(), StoreError> {
        if self.reach.is_nothing { Ok(()) } else { StoreReader::walk_orders(snapshot, walk, each) }
    }

    fn walk(&self, order: WalkOrder, after: Option<OrderNo>) -> OrderWalk {
        let Reach { numbers, created_ms, slot, open_only, is_nothing: _ } = self.reach;
        let time = |at_ms: u64| at_ms.saturating_sub(ORDER_NO_EPOCH_MS).min(TIME_MS_MAX);
        let from_ms = created_ms.0.saturating_sub(NUMBER_BEHIND_MS);
        let until_ms = created_ms.1.saturating_add(NUMBER_AHEAD_MS);
        let last_slot = Slot::from_index(SLOTS - 1).unwrap_or_default();
        let first = OrderNo::compose(time(from_ms), Slot::default(), 0);
        let last = OrderNo::compose(time(until_ms), last_slot, u64::MAX);
        let numbers = (
            OrderNo::from_u64(numbers.0).map_or(last, |number| number.max(first)),
            OrderNo::from_u64(numbers.1).map_or(last, |number| number.min(last)),
        );
        OrderWalk { order, after, numbers, slot, open_only }
    }
}
