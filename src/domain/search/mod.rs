//! The language that orders are searched in: what a query says, how its text is read, and whether an order is meant.
//!
//! Pure. The index answers queries fast, and the evaluation here says what the answer must be: the store's answers come
//! from it, and tests hold the index against it.

use super::ids::{ActivityId, MemberId, OrderNo, ProductId, SkuId, TeamId};
use super::order::OrderStatus;
use super::order_type::OrderType;

/// What orders must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// Anything.
    All,
    /// All of these.
    And(Vec<Expr>),
    /// At least one of these.
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
}

/// From one value, included, to another, excluded. Both ends may be open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span<T> {
    /// The least that is in it.
    pub from: Option<T>,
    /// The least that is not in it any more.
    pub until: Option<T>,
}

/// Words that are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextTerm {
    /// Where; everywhere without.
    pub field: Option<TextField>,
    /// The words, as they were typed.
    pub text: Box<str>,
    /// How.
    pub kind: TextKind,
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
    /// The buyer's remark, and the shop's.
    Remark,
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
    /// When the order was placed.
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
