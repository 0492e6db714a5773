//! The events of an order's later life: payments under way, changes of price and address, packages, refunds.
//!
//! They stand in the journal as [`Event::Order`](crate::domain::event::Event::Order), behind the order's step. Persisted:
//! variants are only ever added at the end, and a name's place in [`ORDER_EVENT_NAMES`] never changes.

use serde::{Deserialize, Serialize};

use crate::domain::event::StockUnits;
use crate::domain::ids::RequestId;
use crate::domain::money::Money;
use crate::domain::refund::{RefundBy, RefundLine};
use crate::domain::request::{Personal, Shipment};

/// Why a refund that was applied for came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefundClosing {
    /// Whoever applied took it back.
    Withdrawn,
    /// The shop refused.
    Rejected,
}

/// A fact about an order that has been placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderEvent {
    /// A payment was begun at a provider.
    PaymentAttempted {
        /// Attempts of an order count from 1.
        attempt: u16,
        /// Payment channel.
        channel: Box<str>,
        /// What is to be paid by it.
        amount: Money,
    },
    /// The shop changed what is to be paid.
    PriceChanged {
        /// What is to be paid now, carriage included.
        pay_amount: Money,
        /// What carriage costs now.
        freight: Money,
        /// What the shop has changed about each line's price in all, in the order of the lines.
        adjustments: Vec<Money>,
    },
    /// The parcel goes to another address.
    AddressChanged {
        /// Name, phone, address.
        personal: Personal,
    },
    /// A package with some of the units left.
    PackageShipped {
        /// How it travels.
        shipment: Shipment,
        /// What is in it, ascending by stock key.
        units: Vec<StockUnits>,
    },
    /// Somebody applied for a refund.
    RefundApplied {
        /// Refunds of an order count from 1, obligations included.
        refund: u16,
        /// The client's name for the application.
        request_id: RequestId,
        /// Who applied.
        by: RefundBy,
        /// Why.
        reason: Box<str>,
        /// The units that it is for, ascending by stock key, each line with its share of what was paid.
        lines: Vec<RefundLine>,
        /// What it comes to, lines included.
        amount: Money,
    },
    /// A refund that was applied for came to nothing.
    RefundClosed {
        /// Which.
        refund: u16,
        /// Why.
        closing: RefundClosing,
        /// The shop's note.
        note: Box<str>,
    },
    /// The shop agreed to a refund: the money must go back.
    RefundApproved {
        /// Which.
        refund: u16,
        /// The units that go back on sale when it is finished, ascending by stock key.
        restock: Vec<StockUnits>,
    },
    /// The provider was asked to pay back.
    RefundRequested {
        /// Which.
        refund: u16,
    },
    /// Paying back came to nothing; it can be tried again.
    RefundFailed {
        /// Which.
        refund: u16,
        /// Why.
        reason: Box<str>,
    },
    /// The money has gone back.
    RefundFinished {
        /// Which.
        refund: u16,
        /// The provider's name for it.
        provider_refund_id: Box<str>,
        /// The units that are on sale again.
        restocked: Vec<StockUnits>,
    },
    /// The shop noted something.
    OrderRemarked {
        /// The note.
        remark: Box<str>,
        /// A mark of the shop's, 0 to 9.
        flag: u8,
    },
    /// Payments begun at a provider must not be paid any more: whoever talks to the provider closes them there.
    TradeCloseRequired {
        /// Which attempts, ascending.
        attempts: Vec<u16>,
    },
    /// The team that the order belongs to has formed.
    TeamJoined {},
    /// Sold units are on sale again, because the sale came to nothing.
    UnitsReturned {
        /// The units, ascending by stock key.
        units: Vec<StockUnits>,
    },
}

/// The stable names of these events, in the order of the variants, which is persisted.
pub const ORDER_EVENT_NAMES: [&str; 14] = [
    "PaymentAttempted",
    "PriceChanged",
    "AddressChanged",
    "PackageShipped",
    "RefundApplied",
    "RefundClosed",
    "RefundApproved",
    "RefundRequested",
    "RefundFailed",
    "RefundFinished",
    "OrderRemarked",
    "TradeCloseRequired",
    "TeamJoined",
    "UnitsReturned",
];

impl OrderEvent {
    /// The event's stable name, as downstream systems know it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PaymentAttempted { .. } => "PaymentAttempted",
            Self::PriceChanged { .. } => "PriceChanged",
            Self::AddressChanged { .. } => "AddressChanged",
            Self::PackageShipped { .. } => "PackageShipped",
            Self::RefundApplied { .. } => "RefundApplied",
            Self::RefundClosed { .. } => "RefundClosed",
            Self::RefundApproved { .. } => "RefundApproved",
            Self::RefundRequested { .. } => "RefundRequested",
            Self::RefundFailed { .. } => "RefundFailed",
            Self::RefundFinished { .. } => "RefundFinished",
            Self::OrderRemarked { .. } => "OrderRemarked",
            Self::TradeCloseRequired { .. } => "TradeCloseRequired",
            Self::TeamJoined {} => "TeamJoined",
            Self::UnitsReturned { .. } => "UnitsReturned",
        }
    }

    /// Units that it puts back on sale.
    pub fn restocked(&self) -> &[StockUnits] {
        match self {
            Self::RefundFinished { restocked, .. } => restocked,
            Self::UnitsReturned { units } => units,
            _ => &[],
        }
    }
}
