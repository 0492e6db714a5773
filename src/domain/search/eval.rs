//! Whether an order is meant: what every answer is held against.

use std::collections::BTreeSet;

use super::{Expr, TextTerm};
use crate::domain::ids::{ProductId, SkuId};
use crate::domain::order::{Order, OrderStatus};

/// What an order alone doesn't tell.
pub trait Facts {
    /// Whether a SKU belongs to a product by its current revision.
    fn is_of(&self, sku: SkuId, product: ProductId) -> bool;

    /// Whether an order has these words.
    fn has_words(&self, order: &Order, term: &TextTerm) -> bool;
}

impl Expr {
    /// All of these; one alone is itself.
    pub fn all_of(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut parts: Vec<_> = parts.into_iter().filter(|part| *part != Self::All).collect();
        match parts.len() {
            0 => Self::All,
            1 => parts.remove(0),
            _ => Self::And(parts),
        }
    }

    /// In one of these states; `None` where none is named, which lets all of them pass.
    pub fn of_statuses(statuses: &[OrderStatus]) -> Option<Self> {
        match statuses {
            [] => None,
            [status] => Some(Self::Status(*status)),
            some => Some(Self::Or(some.iter().copied().map(Self::Status).collect())),
        }
    }

    /// Whether an order is meant.
    pub fn means(&self, order: &Order, facts: &impl Facts) -> bool {
        let has_sku =
            |is: &dyn Fn(SkuId) -> bool| order.lines.iter().any(|line| !line.is_seat() && is(line.key.sku));
        match self {
            Self::All => true,
            Self::And(parts) => parts.iter().all(|part| part.means(order, facts)),
            Self::Or(parts) => parts.iter().any(|part| part.means(order, facts)),
            Self::Not(part) => !part.means(order, facts),
            Self::Text(term) => facts.has_words(order, term),
            Self::OrderNo(order_no) => order.order_no == *order_no,
            Self::ExternalNo(external_no) => order.external_no() == Some(external_no),
            Self::Member(member) => order.member_id == *member,
            Self::Status(status) => order.status == *status,
            Self::OrderType(order_type) => order.order_type == *order_type,
            Self::Sku(sku) => has_sku(&|found| found == *sku),
            Self::Product(product) => has_sku(&|found| facts.is_of(found, *product)),
            Self::Activity(activity) => order.activity() == Some(*activity),
            Self::Team(team) => order.team() == Some(*team),
            Self::Created(span) => span.holds(order.created_at_ms),
            Self::Paid(span) => order.paid_at_ms().is_some_and(|paid_at_ms| span.holds(paid_at_ms)),
            Self::Amount(span) => span.holds(order.pay_amount.minor()),
            Self::Flag(flag) => order.flag() == *flag,
            Self::OpenRefund(is_open) => order.has_unfinished_refund() == *is_open,
            Self::PaymentStarted => order.status == OrderStatus::Pending && !order.open_attempts().is_empty(),
        }
    }

    /// Whether it asks for words, which only an index can find.
    pub fn has_words(&self) -> bool {
        self.any(&mut |part| matches!(part, Self::Text(_)))
    }

    /// Every product that it names.
    pub fn products(&self) -> BTreeSet<ProductId> {
        let mut products = BTreeSet::new();
        self.any(&mut |part| {
            products.extend(if let Self::Product(product) = part { Some(*product) } else { None });
            false
        });
        products
    }

    /// The same with every part that is no combination of others replaced.
    #[must_use]
    pub fn map(self, replace: &mut impl FnMut(Self) -> Self) -> Self {
        match self {
            Self::And(parts) => Self::And(parts.into_iter().map(|part| part.map(replace)).collect()),
            Self::Or(parts) => Self::Or(parts.into_iter().map(|part| part.map(replace)).collect()),
            Self::Not(part) => Self::Not(Box::new(part.map(replace))),
            leaf => replace(leaf),
        }
    }

    /// Whether `is` holds for any part that is no combination of others; asked one after the other until one says yes.
    fn any(&self, is: &mut impl FnMut(&Self) -> bool) -> bool {
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().any(|part| part.any(is)),
            Self::Not(part) => part.any(is),
            leaf => is(leaf),
        }
    }
}
