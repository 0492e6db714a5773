//! Order actors: each owns a range of slots, that is of members, with their orders, limits, request ids, payments and
//! timers.

pub(crate) mod actor;
pub(crate) mod cold;
mod collect;
mod command;
pub(crate) mod coupons;
mod evict;
mod expiry;
pub(crate) mod gather;
pub(crate) mod imports;
mod index;
mod limits;
mod payment;
mod query;
mod records;
pub(crate) mod replay;
pub(crate) mod shell;
pub(crate) mod slots;
pub(crate) mod submit;
mod team;
#[cfg(test)]
mod tests;
pub(crate) mod worklist;

use std::num::NonZeroU64;

use self::cold::Loaded;
use self::coupons::IssueRequest;
use self::gather::Gather;
use self::imports::LimitRequest;
use crate::actors::reply::{PaymentAttempt, Receipt, RefundReceipt, Reply, SubmitReply};
use crate::domain::coupon::Coupon;
use crate::domain::ids::{ActivityId, CouponId, MemberId, OrderNo, PaymentId, Position, RequestId};
use crate::domain::money::Money;
pub use crate::domain::order::PaymentResult;
use crate::domain::order::{CloseReason, Line, Lines, Order, OrderCommand, OrderExtra};
use crate::domain::order_type::OrderType;
use crate::domain::refund::{Refund, RefundNo, RefundState, RefundStep};
use crate::domain::reject::Reject;
use crate::domain::request::{Caller, Payment, Shipment};
use crate::domain::team::TeamState;

/// A submission that the front door let in: checked, priced, in canonical form.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// Who buys.
    pub(crate) member_id: MemberId,
    /// The client's name for the request.
    pub(crate) request_id: RequestId,
    /// Seeded hash of member and request id.
    pub(crate) request_hash: u64,
    /// Frozen hash of the request's body.
    pub(crate) body_hash: u64,
    /// What is to be paid.
    pub(crate) pay_amount: Money,
    /// How long the order may stay unpaid, in ms.
    pub(crate) auto_close_ms: u32,
    /// Its deadline, in ms since the Unix epoch, where that is settled already: then it takes the place of
    /// `auto_close_ms`.
    pub(crate) deadline_ms: Option<NonZeroU64>,
    /// The first instant at which its activity takes no orders any more, in ms since the Unix epoch; `u64::MAX` without
    /// one.
    pub(crate) ends_at_ms: u64,
    /// What kind of sale.
    pub(crate) order_type: OrderType,
    /// The team that it opens, if it opens one.
    pub(crate) team: Option<Box<TeamWish>>,
    /// What is wanted.
    pub(crate) lines: Lines,
    /// What only some orders have.
    pub(crate) extra: OrderExtra,
    /// Where the answer goes.
    pub(crate) reply: SubmitReply,
}

/// A team that an order is to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TeamWish {
    /// Its campaign.
    pub(crate) activity: ActivityId,
    /// Members that make it complete.
    pub(crate) size: u32,
    /// How long it has to form, in ms.
    pub(crate) time_limit_ms: u64,
    /// The end of its campaign, in ms since the Unix epoch.
    pub(crate) ends_at_ms: u64,
}

impl Admitted {
    /// Whether it is an order of another system, whose terms were agreed there.
    pub(crate) fn is_import(&self) -> bool {
        self.lines.iter().any(Line::is_imported)
    }
}

/// A submission that the front door would refuse for what it says, and whose request id may have an order: it was
/// fine when it came first, and the SKU has left since.
#[derive(Debug)]
pub(crate) struct Recall {
    /// Who buys.
    pub(crate) member_id: MemberId,
    /// The client's name for the request.
    pub(crate) request_id: RequestId,
    /// Seeded hash of member and request id.
    pub(crate) request_hash: u64,
    /// Frozen hash of the request's body.
    pub(crate) body_hash: u64,
    /// The answer where the request is not known.
    pub(crate) refusal: Reject,
}

/// The answer to one hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HoldResult {
    /// Which collecting order asked.
    pub(crate) collect: u32,
    /// Whether it got its units.
    pub(crate) granted: bool,
}

/// The answer to a payment notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentOutcome {
    /// The order it was for; 0 where it named none that there is by its external number.
    pub order_no: OrderNo,
    /// What became of it.
    pub result: PaymentResult,
}

/// Work for an order actor.
#[derive(Debug)]
pub(crate) enum OrderItem {
    /// One submission.
    Submit(Admitted),
    /// Many submissions.
    SubmitBatch(Vec<Admitted>),
    /// A submission that is refused unless its request id is known.
    Recall(Box<Recall>, SubmitReply),
    /// What a member has used up of a limit elsewhere.
    ImportLimit(Box<LimitRequest>),
    /// A coupon for a member.
    IssueCoupon(Box<IssueRequest>),
    /// Answers from one stock actor.
    Held(Vec<HoldResult>),
    /// A command to one order.
    Command(Box<CommandRequest>),
    /// A payment notification, at the order's owner, who checks it.
    Pay(Box<PayRequest>),
    /// A payment notification, at the payment's owner, who records it once.
    ReceivePayment(Box<PayRequest>),
    /// A recorded payment, at the order's owner, who applies it.
    ApplyPayment(AppliedPayment),
    /// The team's answer to a payment that asked whether it may begin.
    TeamSays {
        /// The payment.
        payment: AppliedPayment,
        /// Whether it may.
        may_begin: bool,
    },
    /// The team of an order has formed or failed.
    TeamSettled {
        /// The order.
        order_no: OrderNo,
        /// What became of its team.
        state: TeamState,
    },
    /// The outcome of a payment, at the payment's owner.
    PaymentDone {
        /// Which payment.
        payment: PaymentId,
        /// What became of it.
        result: PaymentResult,
        /// The outcome stands at or before it; provisional until the round that decided it is appended.
        position: Position,
    },
    /// The provider's side reports about the refund of a payment that is for no order, at the payment's owner.
    StepRefund(Box<StepRequest>),
    /// The store asks for orders.
    Gather(Gather),
    /// An answer of the store.
    Loaded(Box<Loaded>),
    /// A question.
    Query(Query),
    /// Time has passed.
    Tick,
    /// The engine is poisoned: let go of everybody who waits.
    Poisoned,
    /// Panics, to test what a bug would do.
    #[cfg(test)]
    Panic,
}

impl OrderItem {
    /// Makes a position in it final, given that of the first event of the round that routed it.
    pub(crate) fn settle_position(&mut self, first: Position) {
        if let Self::PaymentDone { position, .. } = self {
            position.settle(first);
        }
    }
}

/// A command to one order.
#[derive(Debug)]
pub(crate) struct CommandRequest {
    /// The order.
    pub(crate) order_no: OrderNo,
    /// On whose behalf.
    pub(crate) caller: Caller,
    /// What is to be done.
    pub(crate) action: Action,
    /// Where the answer goes.
    pub(crate) reply: CommandReply,
}

/// Where the answer to a command goes, and what it tells.
#[derive(Debug)]
pub(crate) enum CommandReply {
    /// The order.
    Receipt(Reply<Receipt>),
    /// The attempt to pay that was begun.
    Attempt(Reply<PaymentAttempt>),
    /// A refund.
    Refund(RefundOf, Reply<RefundReceipt>),
}

/// Which refund of its order an answer tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefundOf {
    /// The one that this request has applied for.
    Request(RequestId),
    /// The one with this number.
    Ordinal(u16),
}

/// A report about the refund of a payment that is for no order.
#[derive(Debug)]
pub(crate) struct StepRequest {
    /// The payment.
    pub(crate) payment: PaymentId,
    /// What is reported.
    pub(crate) step: RefundStep,
    /// Where the answer goes.
    pub(crate) reply: Reply<RefundReceipt>,
}

/// Where a page of the work list of refunds goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefundCursor {
    /// When the last refund of the page before came about, in ms since the Unix epoch.
    pub since_ms: u64,
    /// That refund.
    pub refund_no: RefundNo,
}

/// What is to be done with an order.
#[derive(Debug)]
pub(crate) enum Action {
    /// The member goes to pay.
    StartPayment,
    /// Cancel it.
    Cancel(CloseReason),
    /// The parcel leaves.
    Ship(Shipment),
    /// The buyer has it.
    Confirm,
    /// Something in its later life.
    Later(OrderCommand),
}

/// A payment notification.
#[derive(Debug)]
pub(crate) struct PayRequest {
    /// The payment's identity.
    pub(crate) id: PaymentId,
    /// The order.
    pub(crate) order_no: OrderNo,
    /// The notification.
    pub(crate) payment: Payment,
    /// Whether there is no such order.
    pub(crate) is_unmatched: bool,
    /// Where the answer goes.
    pub(crate) reply: Reply<PaymentOutcome>,
}

/// A recorded payment on its way to its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppliedPayment {
    /// Which payment.
    pub(crate) payment: PaymentId,
    /// The order.
    pub(crate) order_no: OrderNo,
    /// How much.
    pub(crate) amount: Money,
    /// Whether the order's team, where it has one, has let it begin.
    pub(crate) has_begun: bool,
}

impl AppliedPayment {
    /// A payment that was recorded.
    pub(crate) fn new(payment: PaymentId, order_no: OrderNo, amount: Money) -> Self {
        Self { payment, order_no, amount, has_begun: false }
    }

    /// What pays an order that costs nothing.
    pub(crate) fn of_nothing(order: &Order) -> Self {
        Self::new(PaymentId::of_nothing(order.order_no), order.order_no, Money::ZERO)
    }
}

/// A question to an order actor.
#[derive(Debug)]
pub(crate) enum Query {
    /// One order.
    Order {
        /// Which.
        order_no: OrderNo,
        /// Who asks.
        caller: Caller,
        /// Where the answer goes.
        reply: Reply<Order>,
    },
    /// A member's orders, newest first.
    OrdersOf {
        /// The member.
        member: MemberId,
        /// Only orders below this number.
        before: Option<OrderNo>,
        /// Most orders in the answer.
        len_max: usize,
        /// Where the answer goes.
        reply: Reply<Vec<Order>>,
    },
    /// Unfinished refunds, oldest first.
    Refunds {
        /// In which states.
        states: Vec<RefundState>,
        /// Only those behind this one.
        after: Option<RefundCursor>,
        /// Most refunds in the answer.
        len_max: usize,
        /// Where the answer goes.
        reply: Reply<Vec<Refund>>,
    },
    /// The refund of a payment that is for no order.
    UnmatchedRefund {
        /// The payment.
        payment: PaymentId,
        /// Where the answer goes.
        reply: Reply<Refund>,
    },
    /// A member's coupons.
    CouponsOf {
        /// The member.
        member: MemberId,
        /// Engine time, in ms since the Unix epoch.
        now_ms: u64,
        /// Where the answer goes.
        reply: Reply<Vec<(CouponId, Coupon)>>,
    },
    /// Whether everything that was sent before has been done, and what follows from it sent on.
    Flush {
        /// Where the answer goes.
        reply: Reply<()>,
    },
    /// The actor's part of the state hash.
    Hash {
        /// Where the answer goes.
        reply: Reply<u64>,
    },
}
