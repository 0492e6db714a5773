//! What only orders with a later life have: attempts to pay, packages, refunds, notes.
//!
//! Stored beside the rest of an order's history, and only where there is something in it, so that what older releases
//! wrote keeps its bytes and its hash. Lines are named by their place in the order, to keep records small.

use serde::{Deserialize, Serialize};

use super::Order;
use crate::domain::event::StockUnits;
use crate::domain::hash::RecordHasher;
use crate::domain::ids::{OrderNo, RequestId};
use crate::domain::money::Money;
use crate::domain::refund::{RefundBy, RefundState};
use crate::domain::request::Shipment;

/// Most payments that one order may begin at providers.
pub const ORDER_ATTEMPTS_MAX: usize = 16;
/// Most packages of one order.
pub const ORDER_PACKAGES_MAX: usize = 32;
/// Most refunds that may be applied for of one order, those that came to nothing included.
pub const ORDER_REFUNDS_MAX: usize = 16;
/// Most events of one order from which on commands that could be repeated for ever are refused. What ends a refund, and
/// every payment, is still taken.
pub const ORDER_EVENTS_MAX: u32 = 500;

/// Names an attempt to pay. Shown as `"{order_no}-{attempt}"`, which providers take as a trade number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayNo {
    /// The order.
    pub order_no: OrderNo,
    /// Attempts of an order count from 1.
    pub attempt: u16,
}

impl std::fmt::Display for PayNo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.order_no, self.attempt)
    }
}

/// A string that is no payment number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a payment number: expected an order number, a dash and a number from 1")]
pub struct ParsePayNoError;

impl std::str::FromStr for PayNo {
    type Err = ParsePayNoError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (order_no, attempt) = crate::domain::refund::parse_numbered(text).ok_or(ParsePayNoError)?;
        Ok(Self { order_no, attempt })
    }
}

/// A payment that was begun at a provider. Its number is its place in the list, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Payment channel.
    pub channel: Box<str>,
    /// What was to be paid by it.
    pub amount: Money,
    /// When, in ms since the Unix epoch.
    pub at_ms: u64,
    /// Whether it must not be paid any more.
    pub is_void: bool,
}

/// Units of one line, which is named by its place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineUnits {
    /// The line's place.
    pub line: u8,
    /// Units.
    pub quantity: u32,
}

/// A package that left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// How it travels.
    pub shipment: Shipment,
    /// What is in it.
    pub lines: Vec<LineUnits>,
    /// When it left, in ms since the Unix epoch.
    pub at_ms: u64,
}

/// Units of one line that a refund is for, with their share of what was paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineShare {
    /// The line's place.
    pub line: u8,
    /// Units.
    pub quantity: u32,
    /// Their share.
    pub amount: Money,
}

/// A refund that somebody applied for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AfterSale {
    /// Its number among the order's refunds.
    pub ordinal: u16,
    /// The client's name for the application.
    pub request_id: RequestId,
    /// Who applied.
    pub by: RefundBy,
    /// Why.
    pub reason: Box<str>,
    /// What it is for.
    pub lines: Vec<LineShare>,
    /// What it comes to, lines included.
    pub amount: Money,
    /// When, in ms since the Unix epoch.
    pub at_ms: u64,
    /// What goes back on sale when it is finished, once that is decided.
    pub restock: Vec<LineUnits>,
}

/// How far a refund has come. One that is an obligation and was never touched has no such record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundProgress {
    /// Which refund.
    pub ordinal: u16,
    /// Where it stands.
    pub state: RefundState,
    /// The order's version after the last step: it finds the step in the timeline.
    pub version: u32,
    /// The shop's note, why it failed, or the provider's name for it, by state.
    pub note: Option<Box<str>>,
}

/// What the shop noted about an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SellerNote {
    /// The note.
    pub remark: Box<str>,
    /// A mark of the shop's, 0 to 9.
    pub flag: u8,
}

/// The later life of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLater {
    /// Payments begun at providers.
    pub attempts: Vec<Attempt>,
    /// What was to be paid before each change of price.
    pub prices: Vec<Money>,
    /// Packages that left one by one.
    pub packages: Vec<Package>,
    /// Refunds that somebody applied for, ascending.
    pub after_sale: Vec<AfterSale>,
    /// How far refunds of both kinds have come, ascending.
    pub progress: Vec<RefundProgress>,
    /// What the shop noted.
    pub note: Option<SellerNote>,
    /// Whether the order's team has formed.
    pub team_formed: bool,
}

impl OrderLater {
    /// Whether there is nothing in it, so that it isn't stored.
    pub fn is_empty(&self) -> bool {
        let Self { attempts, prices, packages, after_sale, progress, note, team_formed } = self;
        attempts.is_empty()
            && prices.is_empty()
            && packages.is_empty()
            && after_sale.is_empty()
            && progress.is_empty()
            && note.is_none()
            && !team_formed
    }

    /// How far a refund has come, if it was ever touched.
    pub(super) fn progress_of(&self, ordinal: u16) -> Option<&RefundProgress> {
        self.progress.iter().find(|progress| progress.ordinal == ordinal)
    }

    /// The refund that was applied for under this number.
    pub(super) fn after_sale_of(&self, ordinal: u16) -> Option<&AfterSale> {
        self.after_sale.iter().find(|refund| refund.ordinal == ordinal)
    }

    /// Folds everything into a record's hash.
    #[must_use]
    pub(super) fn fold_into(&self, hash: RecordHasher) -> RecordHasher {
        let mut hash = hash
            .word(self.attempts.len() as u64)
            .word(self.prices.len() as u64)
            .word(self.packages.len() as u64)
            .word(self.after_sale.len() as u64)
            .word(self.progress.len() as u64)
            .word(u64::from(self.team_formed));
        for attempt in &self.attempts {
            hash = hash
                .bytes(attempt.channel.as_bytes())
                .word(attempt.amount.minor() as u64)
                .word(attempt.at_ms)
                .word(u64::from(attempt.is_void));
        }
        for price in &self.prices {
            hash = hash.word(price.minor() as u64);
        }
        for package in &self.packages {
            let Shipment { carrier, tracking_no } = &package.shipment;
            hash = hash.bytes(carrier.as_bytes()).bytes(tracking_no.as_bytes()).word(package.at_ms);
            hash = fold_units(&package.lines, hash);
        }
        for refund in &self.after_sale {
            let [high, low] = refund.request_id.words();
            hash = hash
                .word(u64::from(refund.ordinal))
                .word(high)
                .word(low)
                .word(refund.by as u64)
                .bytes(refund.reason.as_bytes())
                .word(refund.amount.minor() as u64)
                .word(refund.at_ms)
                .word(refund.lines.len() as u64);
            for line in &refund.lines {
                hash = hash
                    .word(u64::from(line.line))
                    .word(u64::from(line.quantity))
                    .word(line.amount.minor() as u64);
            }
            hash = fold_units(&refund.restock, hash);
        }
        for progress in &self.progress {
            hash = hash
                .word(u64::from(progress.ordinal))
                .word(progress.state as u64)
                .word(u64::from(progress.version))
                .optional_bytes(progress.note.as_deref().map(str::as_bytes));
        }
        if let Some(note) = &self.note {
            hash = hash.bytes(note.remark.as_bytes()).word(u64::from(note.flag));
        }
        hash
    }
}

fn fold_units(units: &[LineUnits], hash: RecordHasher) -> RecordHasher {
    let hash = hash.word(units.len() as u64);
    units.iter().fold(hash, |hash, unit| hash.word(u64::from(unit.line)).word(u64::from(unit.quantity)))
}

impl Order {
    /// Its later life, if it has one.
    pub fn later(&self) -> Option<&OrderLater> {
        self.history.as_ref().and_then(|history| history.later.as_deref())
    }

    /// The shop's mark, 0 where it has none.
    pub fn flag(&self) -> u8 {
        self.later().and_then(|later| later.note.as_ref()).map_or(0, |note| note.flag)
    }

    /// Units as events name them.
    pub(crate) fn stock_units(&self, units: &[LineUnits]) -> Vec<StockUnits> {
        let lines = units.iter().filter_map(|unit| Some((self.lines.get(usize::from(unit.line))?, unit)));
        lines.map(|(line, unit)| StockUnits { key: line.key, quantity: unit.quantity }).collect()
    }

    /// Units as records name them. What isn't in the order is left out, which no event of this engine has.
    pub(super) fn line_units(&self, units: &[StockUnits]) -> Vec<LineUnits> {
        let place = |unit: &StockUnits| self.place_of(&unit.key);
        let named = units.iter().filter_map(|unit| Some((place(unit)?, unit.quantity)));
        named.map(|(line, quantity)| LineUnits { line, quantity }).collect()
    }

    /// The place of a line. An order has at most 100.
    pub(super) fn place_of(&self, key: &crate::domain::ids::StockKey) -> Option<u8> {
        let place = self.lines.binary_search_by_key(key, |line| line.key).ok()?;
        u8::try_from(place).ok()
    }

    /// Attempts to pay that could still be paid, ascending; none once the order is paid.
    pub(crate) fn open_attempts(&self) -> Vec<u16> {
        let attempts = self.later().map_or(&[][..], |later| &later.attempts);
        let numbered = (1..).zip(attempts);
        numbered.filter(|(_, attempt)| !attempt.is_void).map(|(number, _)| number).collect()
    }

    /// Units of each line that are on their way, or refunded before they were: they can't be shipped again.
    pub(super) fn gone(&self) -> Vec<u64> {
        let mut gone = vec![0_u64; self.lines.len()];
        let Some(later) = self.later() else { return gone };
        for unit in later.packages.iter().flat_map(|package| &package.lines) {
            if let Some(gone) = gone.get_mut(usize::from(unit.line)) {
                *gone += u64::from(unit.quantity);
            }
        }
        for refund in &later.after_sale {
            if later.progress_of(refund.ordinal).is_some_and(|at| at.state == RefundState::Finished) {
                for (line, gone) in (0..).zip(&mut gone) {
                    let refunded = refund.lines.iter().find(|share| share.line == line);
                    let restocked = refund.restock.iter().find(|unit| unit.line == line);
                    let units = refunded.map_or(0, |share| share.quantity);
                    *gone += u64::from(units.max(restocked.map_or(0, |unit| unit.quantity)));
                }
            }
        }
        gone
    }

    /// Units left to ship, by place.
    pub(super) fn left_to_ship(&self) -> Vec<LineUnits> {
        let places = (0_u8..).zip(self.lines.iter().zip(self.gone()));
        let left = places.map(|(line, (ordered, gone))| {
            // A seat in a team is no goods.
            let quantity = if ordered.is_seat() { 0 } else { u64::from(ordered.quantity) };
            let left = quantity.saturating_sub(gone);
            LineUnits { line, quantity: u32::try_from(left).unwrap_or(u32::MAX) }
        });
        left.filter(|unit| unit.quantity > 0).collect()
    }
}
