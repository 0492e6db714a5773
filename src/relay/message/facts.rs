//! What messages say about an order beyond their event: whose it is, what it is about, what it costs, how it stands.
//!
//! Facts are those *at a position*: after the events up to it and before those behind. They are kept up to date by the
//! events as they come, and where an order isn't known they are worked out from the order as it stands now, whose
//! timeline says what came when.

use std::collections::HashMap;
use std::sync::Arc;

use super::Orders;
use crate::domain::event::{Event, OrderCreated};
use crate::domain::ids::{MemberId, OrderNo, Position, ProductId, SkuId};
use crate::domain::money::Money;
use crate::domain::order::{Line, Order, OrderEvent, OrderStatus};
use crate::domain::order_type::OrderType;

/// Orders and order lines, counted together, that are remembered for one subscription: about 16 MiB.
const WEIGHT_MAX: usize = 1 << 16;

/// What is known of an order at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) member: MemberId,
    pub(super) order_type: OrderType,
    /// Distinct, ascending.
    pub(super) products: Arc<[ProductId]>,
    /// Distinct, ascending.
    pub(super) skus: Arc<[SkuId]>,
    pub(super) external_no: Option<Arc<str>>,
    /// What is to be paid.
    pub(super) amount: Money,
    pub(super) status: OrderStatus,
    pub(super) version: u32,
}

impl Facts {
    /// An order as its first event has it.
    pub(super) fn created(created: &OrderCreated, orders: &dyn Orders) -> Self {
        let (products, skus) = goods(&created.lines, orders);
        Self {
            member: created.member_id,
            order_type: created.order_type,
            products,
            skus,
            external_no: created.extra.external_no().map(Arc::from),
            amount: created.pay_amount,
            status: OrderStatus::Pending,
            version: 1,
        }
    }

    /// An order as it was after the events up to `position`; `None` where it was placed behind it.
    pub(super) fn at(position: Position, order: &Order, orders: &dyn Orders) -> Option<Self> {
        if order.created_position > position {
            return None;
        }
        let timeline = order.history.as_deref().map_or(&[][..], |history| &history.timeline);
        let passed = timeline.partition_point(|entry| entry.position <= position);
        let passed = &timeline[..passed];
        let status =
            passed.iter().fold(OrderStatus::Pending, |status, entry| status_after(status, entry.event));
        // What was to be paid before each change of price is kept, in their order.
        let changes = passed.iter().filter(|entry| entry.event == "PriceChanged").count();
        let before = order.later().and_then(|later| later.prices.get(changes)).copied();
        let (products, skus) = goods(&order.lines, orders);
        Some(Self {
            member: order.member_id,
            order_type: order.order_type,
            products,
            skus,
            external_no: order.external_no().map(Arc::from),
            amount: before.unwrap_or(order.pay_amount),
            status,
            version: u32::try_from(passed.len()).unwrap_or(u32::MAX).saturating_add(1),
        })
    }

    /// Takes one of the order's later events.
    pub(super) fn apply(&mut self, event: &Event, version: u32) {
        self.status = status_after(self.status, event.name());
        if let Event::Order { what, .. } = event
            && let OrderEvent::PriceChanged { pay_amount, .. } = &**what
        {
            self.amount = *pay_amount;
        }
        self.version = version;
    }

    fn weight(&self) -> usize {
        1 + self.skus.len()
    }
}

/// The status that an order of this status has after an event, by the event's stable name.
fn status_after(before: OrderStatus, event: &str) -> OrderStatus {
    match event {
        "OrderCreated" | "OrderRevived" => OrderStatus::Pending,
        "OrderPaid" => OrderStatus::Paid,
        "PackageShipped" => OrderStatus::PartiallyShipped,
        "OrderShipped" => OrderStatus::Shipped,
        "OrderReceived" => OrderStatus::Completed,
        "OrderClosed" => OrderStatus::Cancelled,
        _ => before,
    }
}

/// The products and SKUs of an order's lines. Seats are no goods.
fn goods(lines: &[Line], orders: &dyn Orders) -> (Arc<[ProductId]>, Arc<[SkuId]>) {
    let goods = || lines.iter().filter(|line| !line.is_seat());
    let mut products: Vec<_> = goods()
        .filter_map(|line| orders.sku(line.key.sku, line.revision).map(|sku| sku.product_id))
        .collect();
    let mut skus: Vec<_> = goods().map(|line| line.key.sku).collect();
    products.sort_unstable();
    products.dedup();
    skus.sort_unstable();
    skus.dedup();
    (products.into(), skus.into())
}

/// Facts of the orders that were met last, bounded. Two halves: what is looked at moves to the young one, and when that is
/// full the old one goes.
#[derive(Debug, Default)]
pub(super) struct Known {
    young: HashMap<OrderNo, Facts>,
    young_weight: usize,
    old: HashMap<OrderNo, Facts>,
}

impl Known {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn insert(&mut self, order_no: OrderNo, facts: Facts) {
        self.old.remove(&order_no);
        if self.young_weight >= WEIGHT_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_weight = 0;
        }
        self.young_weight += facts.weight();
        if let Some(before) = self.young.insert(order_no, facts) {
            self.young_weight -= before.weight();
        }
    }

    pub(super) fn get_mut(&mut self, order_no: OrderNo) -> Option<&mut Facts> {
        if let Some(facts) = self.old.remove(&order_no) {
            self.insert(order_no, facts);
        }
        self.young.get_mut(&order_no)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_last_is_in_it() {
        let mut known = Known::default();
        let facts = |n: u64| Facts {
            member: MemberId(n),
            order_type: OrderType::Normal,
            products: Arc::new([]),
            skus: Arc::new([SkuId(1)]),
            external_no: None,
            amount: Money::ZERO,
            status: OrderStatus::Pending,
            version: 1,
        };
        let number = |n| OrderNo::from_u64(n).unwrap();
        let len_max = WEIGHT_MAX / 2;
        for n in 1..=4 * len_max as u64 {
            known.insert(number(n), facts(n));
            assert!(known.get_mut(number(1)).is_some(), "what is used again and again stays: {n}");
            assert!(known.len() <= len_max + 2, "{} orders at {n}", known.len());
        }
        let last = 4 * len_max as u64;
        assert_eq!(known.get_mut(number(last)).map(|facts| facts.member), Some(MemberId(last)));
        assert!(known.get_mut(number(2)).is_none());
    }
}
