//! The order and its state machine: a pure `decide` that turns a command into events, and an `apply` that can't fail.

mod apply;
mod decide;
mod event;
mod extra;
mod hash;
mod history;
mod later;
mod lines;
mod position;
mod price;
mod refunds;
mod shipping;
mod status;
mod terms;
mod text;

use serde::{Deserialize, Serialize};

use super::event::OrderCreated;
use super::ids::{ActivityId, MemberId, OrderNo, PaymentId, Position, RequestId, TeamId};
use super::money::Money;
use super::order_type::OrderType;
pub use super::payment::{PaymentResult, SettledPayment, payment_hash};
use super::request::Shipment;

pub use decide::{Decision, OrderCommand};
pub use event::{ORDER_EVENT_NAMES, OrderEvent, RefundClosing};
pub use extra::OrderExtra;
pub use history::{OrderHistory, RefundDue, TimelineEntry};
pub use later::{
    AfterSale, Attempt, LineShare, LineUnits, ORDER_ATTEMPTS_MAX, ORDER_EVENTS_MAX, ORDER_PACKAGES_MAX,
    ORDER_REFUNDS_MAX, OrderLater, Package, ParsePayNoError, PayNo, RefundProgress, SellerNote,
};
pub use lines::{Line, Lines, SEAT_REVISION};
pub use price::PRICE_CHANGES_MAX;
pub use refunds::RefundCommand;
pub(crate) use shipping::FLAG_MAX;
pub use status::{CloseReason, OrderStatus, RefundReason};
pub use terms::{OrderTerms, SpentCoupon};
pub use text::OrderText;

/// Payments and refunds of one order from which on a further payment is refused, before its money is recorded. Payments
/// that were let in while the last ones were being applied may exceed it.
pub const ORDER_PAYMENTS_MAX: usize = 64;

/// An order. Millions are open at a time, so what most of them don't need hangs off a pointer.
///
/// The store keeps it in this form: fields are only ever added in a new version of the stored record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its number.
    pub order_no: OrderNo,
    /// Who buys.
    pub member_id: MemberId,
    /// The request that placed it.
    pub request_id: RequestId,
    /// Hash of that request's body.
    pub body_hash: u64,
    /// When it was placed, in ms since the Unix epoch.
    pub created_at_ms: u64,
    /// At and after this instant it can't be paid in the ordinary way (R9), in ms since the Unix epoch.
    pub deadline_ms: u64,
    /// What is to be paid.
    pub pay_amount: Money,
    /// Position of its first event.
    pub created_position: Position,
    /// Position of its last event.
    pub last_position: Position,
    /// What it is about.
    pub lines: Lines,
    /// What only some orders have.
    pub extra: OrderExtra,
    /// What happened to it since.
    #[serde(with = "history::stored")]
    pub history: Option<Box<OrderHistory>>,
    /// How long it might stay unpaid when it was placed, in ms.
    pub auto_close_ms: u32,
    /// Number of its events so far.
    pub version: u32,
    /// Where it stands.
    pub status: OrderStatus,
    /// Why it is cancelled, if it is.
    pub close_reason: Option<CloseReason>,
    /// What kind of sale.
    pub order_type: OrderType,
    /// Whether a started payment has extended the deadline.
    pub payment_started: bool,
}

impl Order {
    /// The order that its first event describes.
    pub fn create(event: OrderCreated, position: Position) -> Self {
        Self {
            order_no: event.order_no,
            member_id: event.member_id,
            request_id: event.request_id,
            body_hash: event.body_hash,
            created_at_ms: event.at_ms,
            deadline_ms: event.at_ms.saturating_add(u64::from(event.auto_close_ms)),
            pay_amount: event.pay_amount,
            created_position: position,
            last_position: position,
            lines: event.lines,
            extra: event.extra,
            history: None,
            auto_close_ms: event.auto_close_ms,
            version: 1,
            status: OrderStatus::Pending,
            close_reason: None,
            order_type: event.order_type,
            payment_started: false,
        }
    }

    /// Whether the deadline has passed (R9: at the deadline itself it has).
    pub fn is_overdue(&self, now_ms: u64) -> bool {
        now_ms >= self.deadline_ms
    }

    /// Whether its units count towards the member's purchase limits.
    pub fn counts_towards_limits(&self) -> bool {
        self.status != OrderStatus::Cancelled
    }

    /// The shop's own number for it.
    pub fn external_no(&self) -> Option<&str> {
        self.extra.external_no()
    }

    /// What it carries along unread.
    pub fn text(&self) -> Option<&OrderText> {
        self.extra.text.as_deref()
    }

    /// What its price rests on beside its lines, and what it takes part in.
    pub fn terms(&self) -> Option<&OrderTerms> {
        self.extra.terms.as_deref()
    }

    /// The team that it has a seat in.
    pub fn team(&self) -> Option<TeamId> {
        self.terms().map(|terms| terms.team_id).filter(|team| *team != TeamId(0))
    }

    /// The activity that it was placed in.
    pub fn activity(&self) -> Option<ActivityId> {
        let of_lines = || self.lines.iter().map(|line| line.key.activity).find(|id| *id != ActivityId(0));
        self.terms().map(|terms| terms.activity_id).filter(|id| *id != ActivityId(0)).or_else(of_lines)
    }

    /// When it was paid, in ms since the Unix epoch.
    pub fn paid_at_ms(&self) -> Option<u64> {
        let timeline = &self.history.as_ref()?.timeline;
        timeline.iter().find(|entry| entry.event == "OrderPaid").map(|entry| entry.at_ms)
    }

    /// Whether its team has formed.
    pub fn has_joined_team(&self) -> bool {
        self.later().is_some_and(|later| later.team_formed)
    }

    /// Whether money may still pay it, in time or late.
    pub fn may_still_be_paid(&self) -> bool {
        match self.status {
            OrderStatus::Pending => true,
            OrderStatus::Cancelled => self.close_reason == Some(CloseReason::Timeout),
            _ => false,
        }
    }

    /// How it travels, once shipped.
    pub fn shipment(&self) -> Option<&Shipment> {
        self.history.as_ref().and_then(|history| history.shipment.as_ref())
    }

    /// Number of payments that this order has taken or must return.
    pub fn payments_len(&self) -> usize {
        self.history
            .as_ref()
            .map_or(0, |history| history.refunds.len() + usize::from(history.paid_by.is_some()))
    }

    /// Whether it is completed or cancelled. Refunds may still be on their way.
    pub fn is_closed(&self) -> bool {
        matches!(self.status, OrderStatus::Completed | OrderStatus::Cancelled)
    }

    /// Whether nothing needs to be done about it any more: it is closed and no refund is unfinished. Only such orders
    /// leave memory, so that the work list of refunds is what order actors hold.
    pub fn is_at_rest(&self) -> bool {
        self.is_closed() && !self.has_unfinished_refund()
    }

    /// Whether this payment has had its outcome.
    pub fn knows_payment(&self, payment: PaymentId) -> bool {
        self.history.as_ref().is_some_and(|history| {
            history.paid_by == Some(payment) || history.refunds.iter().any(|refund| refund.payment == payment)
        })
    }
}
