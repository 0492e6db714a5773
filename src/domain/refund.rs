//! Refunds: money on its way back, what names it, and where it stands.
//!
//! There are two kinds with one work list. An *obligation* is money that can't be kept: a second payment, a wrong
//! amount, a payment for nothing. An *after-sale refund* is applied for and approved. Both are then required, asked of
//! the provider, and finished with the provider's refund id.
//!
//! Decisions about them are made in [`super::order`] and by [`UnmatchedRefund::decide`]; nothing here moves money.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::event::StockUnits;
use super::hash::{RecordHasher, kinds};
use super::ids::{OrderNo, PaymentId, StockKey};
use super::money::Money;
use super::order::RefundReason;
use super::reject::Reject;

/// Longest reason for an after-sale refund, in bytes of UTF-8.
pub const REFUND_REASON_BYTES_MAX: usize = 512;
/// Longest note of a rejection, and longest reason of a failure, in bytes of UTF-8.
pub const REFUND_NOTE_BYTES_MAX: usize = 512;
/// Longest refund id of a provider, in bytes.
pub const PROVIDER_REFUND_ID_BYTES_MAX: usize = 64;

/// Names a refund, and finds its owner without an index. Shown as `"{order_no}-{ordinal}"`, or `p` and the payment's 32
/// hexadecimal digits where the money is for no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RefundNo {
    /// A refund of an order.
    Order {
        /// The order.
        order_no: OrderNo,
        /// Its refunds count from 1, of both kinds, in the order in which they came about.
        ordinal: u16,
    },
    /// A refund of a payment that is for no order.
    Payment(PaymentId),
}

impl fmt::Display for RefundNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { order_no, ordinal } => write!(f, "{order_no}-{ordinal}"),
            Self::Payment(payment) => write!(f, "p{payment}"),
        }
    }
}

/// A string that is no refund number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a refund number: expected an order number, a dash and a number from 1, or p and 32 hex digits")]
pub struct ParseRefundNoError;

impl FromStr for RefundNo {
    type Err = ParseRefundNoError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(digits) = text.strip_prefix('p') {
            let is_hex = digits.len() == 32
                && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            let value = u128::from_str_radix(digits, 16).ok().filter(|_| is_hex).ok_or(ParseRefundNoError)?;
            return Ok(Self::Payment(PaymentId::from_words([(value >> 64) as u64, value as u64])));
        }
        let (order_no, ordinal) = parse_numbered(text).ok_or(ParseRefundNoError)?;
        Ok(Self::Order { order_no, ordinal })
    }
}

/// An order number, a dash, and a number from 1, as it is shown and no other way.
pub(super) fn parse_numbered(text: &str) -> Option<(OrderNo, u16)> {
    let (order_no, number) = text.split_once('-')?;
    let order_no = order_no.parse().ok()?;
    let canonical = !number.starts_with(['0', '+']);
    Some((order_no, number.parse().ok().filter(|_| canonical)?))
}

/// Where a refund stands. The variants' order is persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RefundState {
    /// Applied for; the shop has to decide.
    Applied,
    /// Taken back by whoever applied.
    Withdrawn,
    /// Refused by the shop.
    Rejected,
    /// The money must go back; nobody has asked the provider yet.
    Required,
    /// The provider has been asked.
    Requested,
    /// The provider has refused, or could not be reached; it can be asked again.
    Failed,
    /// The money has gone back.
    Finished,
}

impl RefundState {
    /// Those that somebody has to work on.
    pub const UNFINISHED: [Self; 4] = [Self::Applied, Self::Required, Self::Requested, Self::Failed];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Withdrawn => "withdrawn",
            Self::Rejected => "rejected",
            Self::Required => "required",
            Self::Requested => "requested",
            Self::Failed => "failed",
            Self::Finished => "finished",
        }
    }

    /// Whether nothing more can come of it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Withdrawn | Self::Rejected | Self::Finished)
    }

    /// Whether its money and its units count as given back, or about to be.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::Withdrawn | Self::Rejected)
    }

    /// The state after a step at the provider; `None` where it is so already.
    ///
    /// # Errors
    /// [`Reject::WrongRefundState`] where the state doesn't allow it.
    pub(super) const fn after(self, step: &RefundStep) -> Result<Option<Self>, Reject> {
        match (self, step) {
            (Self::Required | Self::Failed, RefundStep::Requested) => Ok(Some(Self::Requested)),
            (Self::Required | Self::Requested, RefundStep::Failed { .. }) => Ok(Some(Self::Failed)),
            // The provider may tell of the end before anybody has noted that it was asked.
            (Self::Required | Self::Requested | Self::Failed, RefundStep::Finished { .. }) => {
                Ok(Some(Self::Finished))
            }
            (Self::Requested, RefundStep::Requested) | (Self::Failed, RefundStep::Failed { .. }) => Ok(None),
            (Self::Applied | Self::Withdrawn | Self::Rejected | Self::Finished, _) => {
                Err(Reject::WrongRefundState { state: self })
            }
        }
    }
}

impl fmt::Display for RefundState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who applied for a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefundBy {
    /// The order's member.
    Member,
    /// The shop.
    Operator,
}

/// Units of one line that a refund is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundLine {
    /// The line's stock key.
    pub key: StockKey,
    /// Units, at least one.
    pub quantity: u32,
    /// Their share of what was paid.
    pub amount: Money,
}

/// What the provider's side reports about a refund.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefundStep {
    /// The provider was asked to pay back.
    Requested,
    /// That came to nothing.
    Failed {
        /// Why; at most [`REFUND_NOTE_BYTES_MAX`] bytes.
        reason: Box<str>,
    },
    /// The money has gone back.
    Finished {
        /// The provider's name for it; 1 to [`PROVIDER_REFUND_ID_BYTES_MAX`] bytes.
        provider_refund_id: Box<str>,
    },
}

impl RefundStep {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`], [`Reject::FieldTooLong`].
    pub fn validate(&self) -> Result<(), Reject> {
        match self {
            Self::Requested => Ok(()),
            Self::Failed { reason } => Reject::check_len("reason", reason.len(), REFUND_NOTE_BYTES_MAX),
            Self::Finished { provider_refund_id } => Reject::check_present(
                "provider_refund_id",
                provider_refund_id.len(),
                PROVIDER_REFUND_ID_BYTES_MAX,
            ),
        }
    }

    /// What is kept of it beside the state: why it failed, or the provider's refund id.
    pub(super) fn note(&self) -> Option<Box<str>> {
        match self {
            Self::Requested => None,
            Self::Failed { reason } => Some(reason.clone()),
            Self::Finished { provider_refund_id } => Some(provider_refund_id.clone()),
        }
    }
}

/// Why a refund came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefundCause {
    /// Money that can't be kept.
    Obligation(RefundReason),
    /// Somebody applied for it.
    AfterSale {
        /// Who.
        by: RefundBy,
        /// Why, in their words.
        reason: Box<str>,
        /// The units that it is for; none where it is for an amount alone.
        lines: Vec<RefundLine>,
        /// What it comes to beyond the lines' shares.
        extra: Money,
    },
}

/// A refund as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// Its name.
    pub refund_no: RefundNo,
    /// Where it stands.
    pub state: RefundState,
    /// How much.
    pub amount: Money,
    /// When it came about, in ms since the Unix epoch.
    pub since_ms: u64,
    /// The payment whose money goes back.
    pub payment: PaymentId,
    /// Why.
    pub cause: RefundCause,
    /// The units that go back on sale when it is finished, as the shop has decided.
    pub restock: Vec<StockUnits>,
    /// Why it was rejected, or failed last.
    pub note: Option<Box<str>>,
    /// The provider's name for it, once finished.
    pub provider_refund_id: Option<Box<str>>,
}

/// Money that came for no order, and must go back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnmatchedRefund {
    /// The payment.
    pub payment: PaymentId,
    /// The number that it named, of no order; 0 where it named none.
    pub order_no: OrderNo,
    /// How much.
    pub amount: Money,
    /// When it came, in ms since the Unix epoch.
    pub since_ms: u64,
    /// What the notification named as its order, cut to the bound of external numbers.
    pub order_ref: Box<str>,
    /// Why it must go back.
    pub reason: RefundReason,
    /// Where the refund stands.
    pub state: RefundState,
    /// Why it failed last, or the provider's name for it once finished.
    pub note: Option<Box<str>>,
}

impl UnmatchedRefund {
    /// The refund as it comes about: required, and nobody has asked the provider yet.
    pub(crate) fn required(
        payment: PaymentId,
        order_no: OrderNo,
        amount: Money,
        since_ms: u64,
        order_ref: Box<str>,
        reason: RefundReason,
    ) -> Self {
        let state = RefundState::Required;
        Self { payment, order_no, amount, since_ms, order_ref, reason, state, note: None }
    }

    /// Whether a step changes anything.
    ///
    /// # Errors
    /// As for a refund of an order: [`Reject::WrongRefundState`], [`Reject::RefundFinishedOtherwise`].
    pub fn decide(&self, step: &RefundStep) -> Result<bool, Reject> {
        decide_step(self.state, self.note.as_deref(), step)
    }

    /// Takes a step that [`UnmatchedRefund::decide`] allowed.
    pub fn apply(&mut self, step: &RefundStep) {
        if let Ok(Some(next)) = self.state.after(step) {
            self.state = next;
            self.note = step.note();
        }
    }

    /// This refund's part of the state hash (R7).
    pub fn record_hash(&self) -> u64 {
        let [high, low] = self.payment.words();
        RecordHasher::new(kinds::UNMATCHED_REFUND)
            .word(high)
            .word(low)
            .word(self.order_no.get())
            .word(self.amount.minor() as u64)
            .word(self.since_ms)
            .bytes(self.order_ref.as_bytes())
            .word(self.reason as u64)
            .word(self.state as u64)
            .optional_bytes(self.note.as_deref().map(str::as_bytes))
            .finish()
    }

    /// As it is shown.
    pub fn show(&self) -> Refund {
        let finished = self.state == RefundState::Finished;
        Refund {
            refund_no: RefundNo::Payment(self.payment),
            state: self.state,
            amount: self.amount,
            since_ms: self.since_ms,
            payment: self.payment,
            cause: RefundCause::Obligation(self.reason),
            restock: Vec::new(),
            note: self.note.clone().filter(|_| !finished),
            provider_refund_id: self.note.clone().filter(|_| finished),
        }
    }
}

/// Whether a step changes a refund with this state and note.
///
/// # Errors
/// [`Reject::WrongRefundState`]; [`Reject::RefundFinishedOtherwise`] where it is finished with another provider's id.
pub(super) fn decide_step(state: RefundState, note: Option<&str>, step: &RefundStep) -> Result<bool, Reject> {
    match (state, step) {
        (RefundState::Finished, RefundStep::Finished { provider_refund_id }) => {
            if note == Some(provider_refund_id) { Ok(false) } else { Err(Reject::RefundFinishedOtherwise) }
        }
        _ => Ok(state.after(step)?.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Slot;

    #[test]
    fn a_refund_number_reads_back_as_it_is_shown_and_no_other_way() {
        let order_no = OrderNo::compose(5, Slot::from_index(9).unwrap(), 3);
        let payment = PaymentId::of("wechat", "m", "t");
        for refund_no in [RefundNo::Order { order_no, ordinal: 12 }, RefundNo::Payment(payment)] {
            assert_eq!(refund_no.to_string().parse(), Ok(refund_no));
        }
        assert_eq!(RefundNo::Payment(payment).to_string(), format!("p{payment}"));
        for wrong in ["", "1", "1-", "-1", "1-0", "1-01", "1-+1", "1-65536", "p1", "P", "1-1-1", "x-1"] {
            assert_eq!(wrong.parse::<RefundNo>(), Err(ParseRefundNoError), "{wrong}");
        }
        let upper = format!("p{}", payment.to_string().to_uppercase());
        assert!(upper.parse::<RefundNo>().is_err() || upper == format!("p{payment}"));
    }

    #[test]
    fn a_refund_fails_is_asked_again_and_finishes_once() {
        let (payment, amount) = (PaymentId::of("a", "b", "c"), Money::from_minor(5));
        let (order_no, reason) = (OrderNo::default(), RefundReason::UnknownOrder);
        let mut refund = UnmatchedRefund::required(payment, order_no, amount, 1, "X".into(), reason);
        let failed = RefundStep::Failed { reason: "no funds".into() };
        let finished = |id: &str| RefundStep::Finished { provider_refund_id: id.into() };
        let mut hashes = vec![refund.record_hash()];
        for step in [RefundStep::Requested, failed.clone(), RefundStep::Requested, finished("r1")] {
            assert_eq!(refund.decide(&step), Ok(true), "{step:?}");
            refund.apply(&step);
            hashes.push(refund.record_hash());
        }
        assert_eq!(refund.decide(&finished("r1")), Ok(false));
        assert_eq!(refund.decide(&finished("r2")), Err(Reject::RefundFinishedOtherwise));
        let over = Reject::WrongRefundState { state: RefundState::Finished };
        assert_eq!(refund.decide(&failed), Err(over));
        assert_eq!(refund.show().provider_refund_id.as_deref(), Some("r1"));
        hashes.dedup();
        assert_eq!(hashes.len(), 5);
    }
}
