//! The language that orders are searched in: what a query says, how its text is read, and whether an order is meant.
//!
//! Pure. The index answers queries fast, and the evaluation here says what the answer must be: the store's answers come
//! from it, and tests hold the index against it.

mod bounds;
mod canonical;
mod cursor;
mod eval;
mod expected;
mod parse;
mod reach;
mod scope;
#[cfg(test)]
mod tests;
mod text;
mod value;

use std::fmt;

pub use bounds::{EXPR_DEPTH_MAX, EXPR_LEN_MAX};
pub use cursor::{ParseSearchCursorError, SearchCursor};
pub use eval::Facts;
#[cfg(test)]
pub(crate) use expected::EXPECTED;
pub(crate) use expected::chinese;
pub use parse::{
    ParseContext, QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_PREFIXES_MAX, QUERY_TERMS_MAX, SyntaxError,
};
pub use reach::Reach;

use super::ids::{ActivityId, MemberId, OrderNo, ProductId, SkuId, TeamId};
use super::order::OrderStatus;
use super::order_type::OrderType;

/// What orders must be like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expr {
    /// Anything.
    #[default]
    All,
    /// All of these; anything where there are none.
    And(Vec<Expr>),
    /// At least one of these; nothing where there are none.
    Or(Vec<Expr>),
    /// Not this.
    Not(Box<Expr>),
    /// With these words.
    Text(TextTerm),
    /// This order.
    OrderNo(OrderNo),
    /// With this number of the shop's own.
    ExternalNo(Box<str>),
    /// Of this member.
    Member(MemberId),
    /// In this state.
    Status(OrderStatus),
    /// Of this type.
    OrderType(OrderType),
    /// With a line of this SKU.
    Sku(SkuId),
    /// With a line of a SKU that belongs to this product by its current revision.
    Product(ProductId),
    /// In this activity.
    Activity(ActivityId),
    /// In this team.
    Team(TeamId),
    /// Placed in this span, in ms since the Unix epoch.
    Created(Span<u64>),
    /// Paid in this span, in ms since the Unix epoch; an order that was never paid is in none.
    Paid(Span<u64>),
    /// With this much to be paid, in minor units.
    Amount(Span<i64>),
    /// With this mark of the shop's; 0 for orders without one.
    Flag(u8),
    /// With (true), or without, a refund that is neither finished nor come to nothing.
    OpenRefund(bool),
    /// Pending, with a payment begun at a provider that could still be paid.
    PaymentStarted,
}

/// From one value, included, to another, excluded. Both ends may be open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span<T> {
    /// The least that is in it.
    pub from: Option<T>,
    /// The least that is not in it any more.
    pub until: Option<T>,
}

impl<T: Copy + Ord> Span<T> {
    /// Whether a value is in it.
    pub fn holds(&self, value: T) -> bool {
        self.from.is_none_or(|from| value >= from) && self.until.is_none_or(|until| value < until)
    }
}

/// Words that are looked for. They may be somebody's name or phone number, so the `Debug` form doesn't have them.
#[derive(Clone, PartialEq, Eq)]
pub struct TextTerm {
    /// Where; everywhere without.
    pub field: Option<TextField>,
    /// The words, as they were typed.
    pub text: Box<str>,
    /// How.
    pub kind: TextKind,
}

impl fmt::Debug for TextTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, text: _, kind } = self;
        f.debug_struct("TextTerm").field("field", field).field("kind", kind).finish_non_exhaustive()
    }
}

/// Where words are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TextField {
    /// The titles of the lines.
    Title,
    /// The receiver's name.
    Receiver,
    /// The end of the receiver's phone number.
    Phone,
    /// The receiver's address, from the province down.
    Address,
    /// The buyer's remark.
    Remark,
    /// The shop's remark, which members don't see.
    Note,
}

impl TextField {
    /// Every field.
    pub const ALL: [Self; 6] =
        [Self::Title, Self::Receiver, Self::Phone, Self::Address, Self::Remark, Self::Note];
}

/// How words are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// All of them, anywhere in one field.
    Words,
    /// One after the other.
    Phrase,
    /// A word that begins so.
    Prefix,
}

/// What hits are sorted by; those with the same value by order number, in the same direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortKey {
    /// When the order was placed, by its number alone: a key is the number itself. So every order has its place for good,
    /// and the index and the store have the same sequence.
    #[default]
    Created,
    /// When it was paid; an order that was never paid counts as paid at 0.
    Paid,
    /// What is to be paid.
    Amount,
}

/// The sequence of hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sort {
    /// By what.
    pub key: SortKey,
    /// Greatest first.
    pub descending: bool,
}

impl Default for Sort {
    /// The newest first.
    fn default() -> Self {
        Self { key: SortKey::Created, descending: true }
    }
}

/// A place in a sequence: behind the hit with this key and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The last hit's sort key.
    pub key: i64,
    /// The last hit's order.
    pub order_no: OrderNo,
}
