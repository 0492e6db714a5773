//! Events: facts in the past tense, the only thing that is journaled.
//!
//! An event names every owner that it concerns (order, stock keys, payment) and carries what each of them needs,
//! so that owners replay side by side and no `apply` reads another owner's state (R7). These types are persisted:
//! fields and variants are only ever added in a new codec version; golden bytes in the journal's tests hold them.

use serde::{Deserialize, Serialize};

use super::catalogue::Sku;
use super::coupon::CouponEvent;
use super::ids::{AdjustmentId, ImportId, MemberId, OrderNo, PaymentId, RequestId, Slot, StockKey};
use super::money::Money;
use super::operator::OperatorAct;
use super::order::{CloseReason, Lines, OrderEvent, OrderExtra, RefundReason};
use super::order_type::OrderType;
use super::refund::RefundStep;
use super::request::{Shipment, StockChange};
use super::setting::{Origin, Setting};
use super::task::TaskEvent;
use super::team::TeamEvent;

/// Units of one stock key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockUnits {
    /// Which stock.
    pub key: StockKey,
    /// How many units.
    pub quantity: u32,
}

/// What every event after an order's first one begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderStep {
    /// The order.
    pub order_no: OrderNo,
    /// The order's version after this event: 2, 3, 4 …
    pub version: u32,
    /// Engine time, in ms since the Unix epoch.
    pub at_ms: u64,
}

/// An order was placed and its units are reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderCreated {
    /// The new order; its version is 1.
    pub order_no: OrderNo,
    /// Who buys.
    pub member_id: MemberId,
    /// The request that placed it.
    pub request_id: RequestId,
    /// Hash of the request's body, to tell a retry from a reused id.
    pub body_hash: u64,
    /// What kind of sale.
    pub order_type: OrderType,
    /// Engine time, in ms since the Unix epoch.
    pub at_ms: u64,
    /// How long it may stay unpaid, in ms from `at_ms`.
    pub auto_close_ms: u32,
    /// What is to be paid.
    pub pay_amount: Money,
    /// What is reserved: distinct stock keys, ascending.
    pub lines: Lines,
    /// What only some orders have.
    pub extra: OrderExtra,
}

/// A fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// Order numbers whose time is below `until_ms` may be given out; a restart starts above it.
    NumbersReserved {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// Exclusive bound of the time part of order numbers, in ms since [`super::ids::ORDER_NO_EPOCH_MS`].
        until_ms: u64,
    },
    /// A SKU got a new revision.
    SkuPut {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// 1 for a new SKU, then one more each time.
        revision: u32,
        /// The SKU as of this revision.
        sku: Box<Sku>,
    },
    /// A stock key's total changed.
    StockAdjusted {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// Which stock.
        key: StockKey,
        /// The operator's name for the adjustment.
        adjustment_id: AdjustmentId,
        /// As it was asked for.
        change: StockChange,
        /// What it came to, in units.
        delta: i64,
    },
    /// An order was placed.
    OrderCreated(Box<OrderCreated>),
    /// The member went to pay: the deadline moved, once.
    PaymentStarted {
        /// Order, version, time.
        step: OrderStep,
        /// The new deadline, in ms since the Unix epoch.
        deadline_ms: u64,
    },
    /// Money arrived; what became of it follows as `OrderPaid` or `RefundRequired` with the same payment.
    PaymentReceived {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The payment's identity.
        payment: PaymentId,
        /// Payment channel.
        channel: Box<str>,
        /// The shop's account with it.
        merchant: Box<str>,
        /// The channel's number for it.
        transaction_id: Box<str>,
        /// The order it is for.
        order_no: OrderNo,
        /// What was paid.
        amount: Money,
    },
    /// The order is paid: its reserved units are sold.
    OrderPaid {
        /// Order, version, time.
        step: OrderStep,
        /// By which payment.
        payment: PaymentId,
        /// The units sold.
        units: Vec<StockUnits>,
    },
    /// The parcel left.
    OrderShipped {
        /// Order, version, time.
        step: OrderStep,
        /// How it travels.
        shipment: Shipment,
    },
    /// The buyer has it: the order is completed.
    OrderReceived {
        /// Order, version, time.
        step: OrderStep,
    },
    /// The order was cancelled: its reserved units are available again.
    OrderClosed {
        /// Order, version, time.
        step: OrderStep,
        /// Why.
        reason: CloseReason,
        /// The units given back.
        units: Vec<StockUnits>,
    },
    /// A late payment brought a timed-out order back: its units are reserved again.
    OrderRevived {
        /// Order, version, time.
        step: OrderStep,
        /// The units reserved.
        units: Vec<StockUnits>,
    },
    /// Money that can't be kept must go back.
    RefundRequired {
        /// Order, version, time.
        step: OrderStep,
        /// Which payment.
        payment: PaymentId,
        /// How much.
        amount: Money,
        /// Why.
        reason: RefundReason,
    },
    /// A member has used up so much of a purchase limit by orders of another system that are not here. Absolute: it
    /// takes the place of what was said before.
    LimitImported {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The member.
        member_id: MemberId,
        /// Which stock.
        key: StockKey,
        /// How many units.
        used: u32,
        /// Which import said so.
        import_id: ImportId,
    },
    /// The shop has laid something down: an activity, a switch on its sales.
    SettingPut {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// 1 for a new setting, then one more each time.
        revision: u32,
        /// The setting as of this revision.
        setting: Box<Setting>,
        /// Who put it, and why, where that was said.
        origin: Option<Box<Origin>>,
    },
    /// Available units went from one stock key to another.
    StockTransferred {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// The operator's name for the transfer; 0 where the end of an activity made it.
        transfer_id: AdjustmentId,
        /// Where from.
        from: StockKey,
        /// Where to.
        to: StockKey,
        /// Units.
        units: u64,
    },
    /// Something happened to tasks of the delay queue.
    Task(Box<TaskEvent>),
    /// Something in an order's later life.
    Order {
        /// Order, version, time.
        step: OrderStep,
        /// What.
        what: Box<OrderEvent>,
    },
    /// Money arrived for no order that there is: it must go back. Stands behind its `PaymentReceived`, in one entry.
    PaymentUnmatched {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// Which payment.
        payment: PaymentId,
        /// The number that it named, of no order; 0 where it named none.
        order_no: OrderNo,
        /// How much.
        amount: Money,
        /// What the notification named as its order, cut to the bound of external numbers.
        order_ref: Box<str>,
        /// Why.
        reason: RefundReason,
    },
    /// The refund of such a payment went a step further.
    UnmatchedRefund {
        /// Engine time, in ms since the Unix epoch.
        at_ms: u64,
        /// Which payment.
        payment: PaymentId,
        /// What happened.
        what: RefundStep,
    },
    /// Something happened to a team.
    Team(TeamEvent),
    /// A coupon was issued, or moved along with its order.
    Coupon(Box<CouponEvent>),
    /// An operator asked for something; written before it is done.
    OperatorActed(Box<OperatorAct>),
}

/// The stable names of all events, in the order of [`Event`]'s variants, which is persisted. Events of tasks and coupons
/// have names of their own ([`TaskEvent::name`], [`CouponEvent::name`]) and stand in no order's timeline, so one place is
/// kept for all of each.
pub const EVENT_NAMES: [&str; 22] = [
    "NumbersReserved",
    "SkuPut",
    "StockAdjusted",
    "OrderCreated",
    "PaymentStarted",
    "PaymentReceived",
    "OrderPaid",
    "OrderShipped",
    "OrderReceived",
    "OrderClosed",
    "OrderRevived",
    "RefundRequired",
    "LimitImported",
    "SettingPut",
    "StockTransferred",
    "Task",
    // Stands for the variant only: such an event has the name of what it says.
    "Order",
    "PaymentUnmatched",
    "UnmatchedRefund",
    // Stands for the variant only.
    "Team",
    "Coupon",
    "OperatorActed",
];

impl Event {
    /// The event's stable name, as downstream systems know it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NumbersReserved { .. } => "NumbersReserved",
            Self::SkuPut { .. } => "SkuPut",
            Self::StockAdjusted { .. } => "StockAdjusted",
            Self::OrderCreated(_) => "OrderCreated",
            Self::PaymentStarted { .. } => "PaymentStarted",
            Self::PaymentReceived { .. } => "PaymentReceived",
            Self::OrderPaid { .. } => "OrderPaid",
            Self::OrderShipped { .. } => "OrderShipped",
            Self::OrderReceived { .. } => "OrderReceived",
            Self::OrderClosed { .. } => "OrderClosed",
            Self::OrderRevived { .. } => "OrderRevived",
            Self::RefundRequired { .. } => "RefundRequired",
            Self::LimitImported { .. } => "LimitImported",
            Self::SettingPut { setting, .. } => setting.event_name(),
            Self::StockTransferred { .. } => "StockTransferred",
            Self::Task(event) => event.name(),
            Self::Team(event) => event.name(),
            Self::Order { what, .. } => what.name(),
            Self::PaymentUnmatched { .. } => "PaymentUnmatched",
            Self::UnmatchedRefund { .. } => "UnmatchedRefund",
            Self::Coupon(event) => event.name(),
            Self::OperatorActed(_) => "OperatorActed",
        }
    }

    /// When it happened by the engine's clock, in ms since the Unix epoch.
    pub const fn at_ms(&self) -> u64 {
        match self {
            Self::NumbersReserved { at_ms, .. }
            | Self::SkuPut { at_ms, .. }
            | Self::StockAdjusted { at_ms, .. }
            | Self::PaymentReceived { at_ms, .. }
            | Self::LimitImported { at_ms, .. }
            | Self::SettingPut { at_ms, .. }
            | Self::StockTransferred { at_ms, .. }
            | Self::PaymentUnmatched { at_ms, .. }
            | Self::UnmatchedRefund { at_ms, .. } => *at_ms,
            Self::Task(event) => event.at_ms(),
            Self::Team(event) => event.at_ms(),
            Self::OrderCreated(created) => created.at_ms,
            Self::Coupon(event) => event.step().at_ms,
            Self::OperatorActed(act) => act.at_ms,
            Self::PaymentStarted { step, .. }
            | Self::OrderPaid { step, .. }
            | Self::OrderShipped { step, .. }
            | Self::OrderReceived { step }
            | Self::OrderClosed { step, .. }
            | Self::OrderRevived { step, .. }
            | Self::RefundRequired { step, .. }
            | Self::Order { step, .. } => step.at_ms,
        }
    }

    /// The order it belongs to and that order's version after it, if it is an order's event.
    pub const fn order_version(&self) -> Option<(OrderNo, u32)> {
        match self {
            Self::OrderCreated(created) => Some((created.order_no, 1)),
            Self::PaymentStarted { step, .. }
            | Self::OrderPaid { step, .. }
            | Self::OrderShipped { step, .. }
            | Self::OrderReceived { step }
            | Self::OrderClosed { step, .. }
            | Self::OrderRevived { step, .. }
            | Self::RefundRequired { step, .. }
            | Self::Order { step, .. } => Some((step.order_no, step.version)),
            Self::NumbersReserved { .. }
            | Self::SkuPut { .. }
            | Self::StockAdjusted { .. }
            | Self::PaymentReceived { .. }
            | Self::LimitImported { .. }
            | Self::SettingPut { .. }
            | Self::StockTransferred { .. }
            | Self::Task(_)
            | Self::Team(_)
            | Self::PaymentUnmatched { .. }
            | Self::UnmatchedRefund { .. }
            | Self::Coupon(_)
            | Self::OperatorActed(_) => None,
        }
    }

    /// What it adds to the available units of a stock key.
    pub fn available_change(&self, key: &StockKey) -> i64 {
        let sum = |units: &[StockUnits]| -> i64 {
            units.iter().filter(|units| units.key == *key).map(|units| i64::from(units.quantity)).sum()
        };
        match self {
            Self::StockAdjusted { key: adjusted, delta, .. } if adjusted == key => *delta,
            Self::StockTransferred { from, to, units, .. } if from == key || to == key => {
                let units = i64::try_from(*units).unwrap_or(i64::MAX);
                if to == key { units } else { -units }
            }
            Self::OrderCreated(created) => {
                let lines = created.lines.iter().filter(|line| line.key == *key);
                -lines.map(|line| i64::from(line.quantity)).sum::<i64>()
            }
            Self::OrderClosed { units, .. } => sum(units),
            Self::OrderRevived { units, .. } => -sum(units),
            Self::Order { what, .. } => sum(what.restocked()),
            Self::Team(TeamEvent::Opened { team, activity, size, .. })
                if *key == StockKey::seats(*activity, *team) =>
            {
                i64::from(*size)
            }
            Self::Coupon(event) => match **event {
                CouponEvent::Issued { step } if StockKey::coupons(step.coupon.terms()) == *key => -1,
                _ => 0,
            },
            _ => 0,
        }
    }

    /// The slot of the owner that decided it; replay spreads entries by it.
    pub fn slot(&self) -> Slot {
        match self {
            Self::NumbersReserved { .. }
            | Self::SkuPut { .. }
            | Self::SettingPut { .. }
            | Self::OperatorActed(_) => Slot::default(),
            Self::StockTransferred { from, .. } => from.slot(),
            Self::StockAdjusted { key, .. } => key.slot(),
            Self::PaymentReceived { payment, .. }
            | Self::PaymentUnmatched { payment, .. }
            | Self::UnmatchedRefund { payment, .. } => payment.slot(),
            Self::LimitImported { member_id, .. } => Slot::of_member(*member_id),
            Self::Task(event) => event.slot(),
            Self::Team(event) => event.slot(),
            Self::Coupon(event) => Slot::of_member(event.step().member),
            Self::OrderCreated(created) => created.order_no.slot(),
            Self::PaymentStarted { step, .. }
            | Self::OrderPaid { step, .. }
            | Self::OrderShipped { step, .. }
            | Self::OrderReceived { step }
            | Self::OrderClosed { step, .. }
            | Self::OrderRevived { step, .. }
            | Self::RefundRequired { step, .. }
            | Self::Order { step, .. } => step.order_no.slot(),
        }
    }
}
