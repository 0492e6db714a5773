//! The order and its state machine: a pure `decide` that turns a command into events, and an `apply` that can't fail.

use std::fmt;
use std::ops::Deref;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::event::{EVENT_NAMES, Event, OrderCreated, OrderStep, StockUnits};
use super::hash::RecordHasher;
use super::ids::{MemberId, OrderNo, PaymentId, Position, RequestId, SkuId, StockKey};
use super::money::Money;
use super::order_type::OrderType;
pub use super::payment::{PaymentResult, SettledPayment, payment_hash};
use super::reject::Reject;
use super::request::{ORDER_LINES_MAX, Personal, Shipment};

/// Payments and refunds of one order from which on a further payment is refused, before its money is recorded. Payments
/// that were let in while the last ones were being applied may exceed it.
pub const ORDER_PAYMENTS_MAX: usize = 64;

/// Where an order stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderStatus {
    /// Placed, units reserved, not paid.
    #[default]
    Pending,
    /// Paid, units sold.
    Paid,
    /// On its way.
    Shipped,
    /// Received by the buyer.
    Completed,
    /// Closed without a sale; the close reason says why.
    Cancelled,
}

impl OrderStatus {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CloseReason {
    /// It was not paid in time.
    Timeout,
    /// The member cancelled it.
    Member,
    /// The shop cancelled it.
    Operator,
}

impl CloseReason {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Member => "member",
            Self::Operator => "operator",
        }
    }
}

/// Why a payment must go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RefundReason {
    /// The member or the shop had cancelled the order.
    OrderCancelled,
    /// The order had timed out and its units were gone.
    SoldOut,
    /// The order had timed out and the member's limit was used up since.
    LimitExceeded,
    /// Another payment had paid the order.
    AlreadyPaid,
}

impl RefundReason {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrderCancelled => "order_cancelled",
            Self::SoldOut => "sold_out",
            Self::LimitExceeded => "limit_exceeded",
            Self::AlreadyPaid => "already_paid",
        }
    }
}

/// One line of an order: so many units of one stock key, at the price of one catalogue revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which stock.
    pub key: StockKey,
    /// Units, at least one.
    pub quantity: u32,
    /// Price of one unit.
    pub price: Money,
    /// The catalogue revision that title, code and price come from.
    pub revision: u32,
    /// The purchase limit in force when the order was placed; 0 stands for none. Only limited lines are counted.
    pub limit_per_member: u32,
}

/// The lines of an order: one or more, distinct stock keys, ascending. One line, the commonest case, takes no
/// allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(Repr);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Repr {
    One(Line),
    Many(Box<[Line]>),
}

impl Lines {
    /// A single line.
    pub const fn one(line: Line) -> Self {
        Self(Repr::One(line))
    }

    /// Lines that are already distinct and ascending.
    pub fn from_vec(lines: Vec<Line>) -> Self {
        debug_assert!(lines.windows(2).all(|pair| pair[0].key < pair[1].key), "lines must ascend");
        match lines.as_slice() {
            [line] => Self::one(*line),
            _ => Self(Repr::Many(lines.into_boxed_slice())),
        }
    }

    /// The units that the order takes, line by line.
    pub fn units(&self) -> Vec<StockUnits> {
        self.iter().map(|line| StockUnits { key: line.key, quantity: line.quantity }).collect()
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        match &self.0 {
            Repr::One(line) => std::slice::from_ref(line),
            Repr::Many(lines) => lines,
        }
    }
}

impl Serialize for Lines {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Lines {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LinesVisitor;

        impl<'de> Visitor<'de> for LinesVisitor {
            type Value = Lines;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "1 to {ORDER_LINES_MAX} order lines")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Lines, A::Error> {
                let len = seq.size_hint().unwrap_or(0);
                let first = seq.next_element()?.ok_or_else(|| serde::de::Error::invalid_length(0, &self))?;
                if len <= 1 {
                    return Ok(Lines::one(first));
                }
                // A damaged length must not become a huge allocation.
                let mut lines = Vec::with_capacity(len.min(ORDER_LINES_MAX));
                lines.push(first);
                while let Some(line) = seq.next_element()? {
                    lines.push(line);
                }
                Ok(Lines::from_vec(lines))
            }
        }

        deserializer.deserialize_seq(LinesVisitor)
    }
}

/// What an order carries along unread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderText {
    /// Name, phone, address; outside the state hash.
    pub personal: Option<Personal>,
    /// The buyer's remark.
    pub remark: Option<Box<str>>,
    /// The shop's own number.
    pub external_no: Option<Box<str>>,
    /// The shop's own fields.
    pub ext: Option<Box<[u8]>>,
    /// The shop's own fields of single lines.
    pub line_ext: Vec<(SkuId, Box<[u8]>)>,
}

impl OrderText {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.personal.is_none() && !self.has_hashed_part()
    }

    /// Whether there is anything in it besides personal data.
    fn has_hashed_part(&self) -> bool {
        self.remark.is_some() || self.external_no.is_some() || self.ext.is_some() || !self.line_ext.is_empty()
    }
}

/// What happened to an order, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// The event's stable name.
    pub event: &'static str,
    /// Engine time, in ms since the Unix epoch.
    pub at_ms: u64,
    /// The event's position in the journal.
    pub position: Position,
}

/// Stored as the event's place in [`EVENT_NAMES`], the time and the position.
impl Serialize for TimelineEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let place = EVENT_NAMES.iter().position(|name| *name == self.event);
        let place = place.and_then(|place| u8::try_from(place).ok());
        let place =
            place.ok_or_else(|| serde::ser::Error::custom(format!("no event is called {}", self.event)))?;
        (place, self.at_ms, self.position).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TimelineEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (place, at_ms, position) = <(u8, u64, Position)>::deserialize(deserializer)?;
        let event = EVENT_NAMES.get(usize::from(place)).copied();
        let event = event
            .ok_or_else(|| serde::de::Error::custom(format!("there is no event with number {place}")))?;
        Ok(Self { event, at_ms, position })
    }
}

/// A payment that must go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundDue {
    /// Which payment.
    pub payment: PaymentId,
    /// How much.
    pub amount: Money,
    /// Why.
    pub reason: RefundReason,
}

/// The part of an order that a freshly placed one doesn't have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderHistory {
    /// The payment that paid it.
    pub paid_by: Option<PaymentId>,
    /// Payments that must go back.
    pub refunds: Vec<RefundDue>,
    /// How it travels, once shipped.
    pub shipment: Option<Shipment>,
    /// What happened after it was placed.
    pub timeline: Vec<TimelineEntry>,
}

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
    /// What it carries along unread.
    pub text: Option<Box<OrderText>>,
    /// What happened to it since.
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

/// A command to one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderCommand {
    /// The member goes to pay.
    StartPayment {
        /// How far the deadline moves, in ms.
        grace_ms: u64,
    },
    /// Money has arrived.
    ApplyPayment {
        /// Which payment.
        payment: PaymentId,
        /// How much.
        amount: Money,
    },
    /// The units of a timed-out order are held again, for this payment.
    Revive {
        /// Which payment.
        payment: PaymentId,
    },
    /// The units of a timed-out order could not be had again.
    Refund {
        /// Which payment.
        payment: PaymentId,
        /// How much.
        amount: Money,
        /// Why.
        reason: RefundReason,
    },
    /// The member or the shop cancels it.
    Cancel {
        /// Who, and so why.
        reason: CloseReason,
    },
    /// Its deadline has passed.
    Expire,
    /// The parcel leaves.
    Ship(Shipment),
    /// The buyer has it.
    Confirm,
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// These events, in one entry.
    Events(Vec<Event>),
    /// The order's units must be reserved again first; then [`OrderCommand::Revive`] or [`OrderCommand::Refund`].
    ReserveAgain,
    /// It is so already.
    Unchanged,
}

/// Marks a position that is still relative to the entry's batch, see [`Order::settle_positions`].
const PROVISIONAL: u64 = 1 << 63;

impl Position {
    /// The position of the event with this index in a batch that has not been appended yet.
    pub(crate) const fn provisional(index: u32) -> Self {
        Self(PROVISIONAL | index as u64)
    }

    /// Whether it is not final yet.
    pub(crate) const fn is_provisional(self) -> bool {
        self.0 & PROVISIONAL != 0
    }

    /// The final position, given that of the batch's first event.
    pub(crate) fn settle(&mut self, first: Position) {
        if self.0 & PROVISIONAL != 0 {
            self.0 = first.0 + (self.0 & !PROVISIONAL);
        }
    }
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
            text: event.text,
            history: None,
            auto_close_ms: event.auto_close_ms,
            version: 1,
            status: OrderStatus::Pending,
            close_reason: None,
            order_type: event.order_type,
            payment_started: false,
        }
    }

    /// What a command comes to, now.
    ///
    /// # Errors
    /// A reject where the order's status or deadline doesn't allow it.
    pub fn decide(&self, command: &OrderCommand, now_ms: u64) -> Result<Decision, Reject> {
        match command {
            OrderCommand::StartPayment { grace_ms } => self.decide_start_payment(*grace_ms, now_ms),
            OrderCommand::ApplyPayment { payment, amount } => {
                Ok(self.decide_payment(*payment, *amount, now_ms))
            }
            OrderCommand::Revive { payment } => self.decide_revive(*payment, now_ms),
            OrderCommand::Refund { payment, amount, reason } => {
                if self.knows_payment(*payment) {
                    return Ok(Decision::Unchanged);
                }
                Ok(self.refund(*payment, *amount, *reason, now_ms))
            }
            OrderCommand::Cancel { reason } => match self.status {
                OrderStatus::Pending => Ok(Decision::Events(vec![self.closed(*reason, now_ms)])),
                OrderStatus::Cancelled if self.close_reason == Some(*reason) => Ok(Decision::Unchanged),
                _ => Err(self.wrong_status()),
            },
            OrderCommand::Expire => {
                if self.status == OrderStatus::Pending && self.is_overdue(now_ms) {
                    Ok(Decision::Events(vec![self.closed(CloseReason::Timeout, now_ms)]))
                } else {
                    Ok(Decision::Unchanged)
                }
            }
            OrderCommand::Ship(shipment) => match self.status {
                OrderStatus::Paid => Ok(Decision::Events(vec![Event::OrderShipped {
                    step: self.step(1, now_ms),
                    shipment: shipment.clone(),
                }])),
                OrderStatus::Shipped if self.shipment() == Some(shipment) => Ok(Decision::Unchanged),
                _ => Err(self.wrong_status()),
            },
            OrderCommand::Confirm => match self.status {
                OrderStatus::Shipped => {
                    Ok(Decision::Events(vec![Event::OrderReceived { step: self.step(1, now_ms) }]))
                }
                OrderStatus::Completed => Ok(Decision::Unchanged),
                _ => Err(self.wrong_status()),
            },
        }
    }

    /// Applies one of this order's later events. Can't fail: what the event says has happened.
    pub fn apply(&mut self, event: &Event, position: Position) {
        match event {
            Event::PaymentStarted { deadline_ms, .. } => {
                self.payment_started = true;
                self.deadline_ms = *deadline_ms;
            }
            Event::OrderPaid { payment, .. } => {
                self.status = OrderStatus::Paid;
                self.history_mut().paid_by = Some(*payment);
            }
            Event::OrderShipped { shipment, .. } => {
                self.status = OrderStatus::Shipped;
                self.history_mut().shipment = Some(shipment.clone());
            }
            Event::OrderReceived { .. } => self.status = OrderStatus::Completed,
            Event::OrderClosed { reason, .. } => {
                self.status = OrderStatus::Cancelled;
                self.close_reason = Some(*reason);
            }
            Event::OrderRevived { .. } => {
                self.status = OrderStatus::Pending;
                self.close_reason = None;
            }
            Event::RefundRequired { payment, amount, reason, .. } => {
                let refund = RefundDue { payment: *payment, amount: *amount, reason: *reason };
                self.history_mut().refunds.push(refund);
            }
            Event::NumbersReserved { .. }
            | Event::SkuPut { .. }
            | Event::StockAdjusted { .. }
            | Event::OrderCreated(_)
            | Event::PaymentReceived { .. }
            | Event::LimitImported { .. }
            | Event::Task(_) => return,
        }
        self.version += 1;
        self.last_position = position;
        let entry = TimelineEntry { event: event.name(), at_ms: event.at_ms(), position };
        self.history_mut().timeline.push(entry);
    }

    /// Replaces the provisional positions of a batch that has been appended at `first`.
    pub(crate) fn settle_positions(&mut self, first: Position) {
        self.created_position.settle(first);
        self.last_position.settle(first);
        if let Some(history) = &mut self.history {
            for entry in history.timeline.iter_mut().rev() {
                if entry.position.0 & PROVISIONAL == 0 {
                    break;
                }
                entry.position.settle(first);
            }
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
        self.text.as_ref().and_then(|text| text.external_no.as_deref())
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

    /// This order's part of the state hash: everything that events say, personal data excepted (R7).
    pub fn record_hash(&self) -> u64 {
        let [request_high, request_low] = self.request_id.words();
        let mut hash = RecordHasher::new(3)
            .word(self.order_no.get())
            .word(self.member_id.0)
            .word(request_high)
            .word(request_low)
            .word(self.body_hash)
            .word(self.created_at_ms)
            .word(self.deadline_ms)
            .word(u64::from(self.auto_close_ms))
            .word(self.pay_amount.minor() as u64)
            .word(self.created_position.0)
            .word(self.last_position.0)
            .word(u64::from(self.version))
            .word(self.status as u64)
            .word(self.close_reason.map_or(0, |reason| 1 + reason as u64))
            .word(self.order_type as u64)
            .word(u64::from(self.payment_started));
        for line in self.lines.iter() {
            hash = line
                .key
                .fold_into(hash)
                .word(u64::from(line.quantity))
                .word(line.price.minor() as u64)
                .word(u64::from(line.revision))
                .word(u64::from(line.limit_per_member));
        }
        // Personal data counts for nothing, so its mere presence must not count either.
        if let Some(text) = self.text.as_deref().filter(|text| text.has_hashed_part()) {
            hash = hash
                .optional_bytes(text.remark.as_deref().map(str::as_bytes))
                .optional_bytes(text.external_no.as_deref().map(str::as_bytes))
                .optional_bytes(text.ext.as_deref());
            for (sku, ext) in &text.line_ext {
                hash = hash.word(sku.0).bytes(ext);
            }
        }
        if let Some(history) = &self.history {
            hash = hash.word(history.paid_by.map_or(0, |payment| payment.words()[0]));
            for refund in &history.refunds {
                let [high, low] = refund.payment.words();
                hash =
                    hash.word(high).word(low).word(refund.amount.minor() as u64).word(refund.reason as u64);
            }
            if let Some(shipment) = &history.shipment {
                hash = hash.bytes(shipment.carrier.as_bytes()).bytes(shipment.tracking_no.as_bytes());
            }
            for entry in &history.timeline {
                hash = hash.bytes(entry.event.as_bytes()).word(entry.at_ms).word(entry.position.0);
            }
        }
        hash.finish()
    }

    fn decide_start_payment(&self, grace_ms: u64, now_ms: u64) -> Result<Decision, Reject> {
        if self.status != OrderStatus::Pending {
            return Err(self.wrong_status());
        }
        if self.is_overdue(now_ms) {
            return Err(Reject::OrderOverdue { order_no: self.order_no });
        }
        if self.payment_started {
            return Ok(Decision::Unchanged);
        }
        Ok(Decision::Events(vec![Event::PaymentStarted {
            step: self.step(1, now_ms),
            deadline_ms: self.deadline_ms.saturating_add(grace_ms),
        }]))
    }

    /// R10: only a timeout is undone by late money, never a cancellation; whoever holds the units gives them back then.
    fn decide_revive(&self, payment: PaymentId, now_ms: u64) -> Result<Decision, Reject> {
        if self.knows_payment(payment) {
            return Ok(Decision::Unchanged);
        }
        if self.close_reason != Some(CloseReason::Timeout) {
            return Err(self.wrong_status());
        }
        Ok(Decision::Events(vec![
            Event::OrderRevived { step: self.step(1, now_ms), units: self.lines.units() },
            self.paid(2, payment, now_ms),
        ]))
    }

    /// R9 and R10: what becomes of money that has arrived.
    fn decide_payment(&self, payment: PaymentId, amount: Money, now_ms: u64) -> Decision {
        if self.knows_payment(payment) {
            return Decision::Unchanged;
        }
        match (self.status, self.close_reason) {
            (OrderStatus::Pending, _) if !self.is_overdue(now_ms) => {
                Decision::Events(vec![self.paid(1, payment, now_ms)])
            }
            // Overdue and not closed yet: nobody else can have its units, so the late money keeps them.
            (OrderStatus::Pending, _) => Decision::Events(vec![
                self.closed(CloseReason::Timeout, now_ms),
                Event::OrderRevived { step: self.step(2, now_ms), units: self.lines.units() },
                self.paid(3, payment, now_ms),
            ]),
            (OrderStatus::Cancelled, Some(CloseReason::Timeout)) => Decision::ReserveAgain,
            (OrderStatus::Cancelled, _) => self.refund(payment, amount, RefundReason::OrderCancelled, now_ms),
            (OrderStatus::Paid | OrderStatus::Shipped | OrderStatus::Completed, _) => {
                self.refund(payment, amount, RefundReason::AlreadyPaid, now_ms)
            }
        }
    }

    /// Whether this payment has had its outcome.
    pub fn knows_payment(&self, payment: PaymentId) -> bool {
        self.history.as_ref().is_some_and(|history| {
            history.paid_by == Some(payment) || history.refunds.iter().any(|refund| refund.payment == payment)
        })
    }

    fn closed(&self, reason: CloseReason, now_ms: u64) -> Event {
        Event::OrderClosed { step: self.step(1, now_ms), reason, units: self.lines.units() }
    }

    fn paid(&self, nth: u32, payment: PaymentId, now_ms: u64) -> Event {
        Event::OrderPaid { step: self.step(nth, now_ms), payment, units: self.lines.units() }
    }

    fn refund(&self, payment: PaymentId, amount: Money, reason: RefundReason, now_ms: u64) -> Decision {
        Decision::Events(vec![Event::RefundRequired { step: self.step(1, now_ms), payment, amount, reason }])
    }

    /// The step of the `nth` event from now, counting from 1.
    fn step(&self, nth: u32, now_ms: u64) -> OrderStep {
        OrderStep { order_no: self.order_no, version: self.version + nth, at_ms: now_ms }
    }

    fn wrong_status(&self) -> Reject {
        Reject::WrongStatus { order_no: self.order_no, status: self.status }
    }

    fn history_mut(&mut self) -> &mut OrderHistory {
        self.history.get_or_insert_default()
    }
}
