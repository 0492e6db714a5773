//! What an event itself says. Every event has a place here: one that is new has to say what it tells.
//!
//! Left out are the hash of a request's body, by which texts of few possible values could be guessed, and the bodies of
//! the delay queue's tasks unless personal data is given out whole: nobody knows what is in them.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Orders;
use super::form::{
    Goods, Minor, Minors, RefundLines, ShownPersonal, Stock, Text, instant, named, optional, shipment,
    stock_key,
};
use super::order::{ShownOrder, applied_by};
use super::setting::put_setting;
use super::task::task_fields;
use crate::domain::coupon::CouponEvent;
use crate::domain::event::Event;
use crate::domain::ids::{ORDER_NO_EPOCH_MS, OrderNo};
use crate::domain::operator::OperatorAct;
use crate::domain::order::{Order, OrderEvent, RefundClosing};
use crate::domain::refund::{RefundNo, RefundStep};
use crate::domain::request::StockChange;
use crate::domain::team::TeamEvent;
use crate::journal::RecordedEvent;
use crate::relay::spec::PersonalChoice;

/// An event with what is needed to tell it.
pub(super) struct Payload<'a> {
    pub(super) recorded: &'a RecordedEvent,
    pub(super) orders: &'a dyn Orders,
    pub(super) personal: PersonalChoice,
}

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.fields(&mut map)?;
        map.end()
    }
}

impl Payload<'_> {
    fn fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        match &self.recorded.event {
            Event::NumbersReserved { until_ms, .. } => {
                instant(map, named!("until"), ORDER_NO_EPOCH_MS.saturating_add(*until_ms))
            }
            Event::SkuPut { revision, sku, .. } => {
                map.serialize_entry("revision", revision)?;
                map.serialize_entry("sku_id", &Text(sku.id))?;
                map.serialize_entry("product_id", &Text(sku.product_id))?;
                map.serialize_entry("code", &sku.code)?;
                map.serialize_entry("title", &sku.title)?;
                map.serialize_entry("price", &Minor(sku.price))?;
                map.serialize_entry("on_sale", &sku.on_sale)?;
                map.serialize_entry("limit_per_member", &sku.limit_per_member)
            }
            Event::StockAdjusted { key, adjustment_id, change, delta, .. } => {
                stock_key(map, key)?;
                map.serialize_entry("adjustment_id", &Text(adjustment_id))?;
                map.serialize_entry("change", &Change(change))?;
                map.serialize_entry("delta", delta)
            }
            Event::OrderCreated(created) => {
                map.serialize_entry("request_id", &Text(created.request_id))?;
                let order = Order::create((**created).clone(), self.recorded.position);
                ShownOrder { order: &order, orders: self.orders, personal: self.personal }.fields(map)
            }
            Event::PaymentStarted { deadline_ms, .. } => instant(map, named!("pay_before"), *deadline_ms),
            Event::PaymentReceived {
                payment, channel, merchant, transaction_id, order_no, amount, ..
            } => {
                map.serialize_entry("payment_id", &Text(payment))?;
                map.serialize_entry("channel", &**channel)?;
                map.serialize_entry("merchant", &**merchant)?;
                map.serialize_entry("transaction_id", &**transaction_id)?;
                optional(map, "order_no", named_order(*order_no))?;
                map.serialize_entry("amount", &Minor(*amount))
            }
            Event::OrderPaid { payment, units, .. } => {
                map.serialize_entry("payment_id", &Text(payment))?;
                map.serialize_entry("lines", &Goods(units))
            }
            Event::OrderShipped { shipment: how, .. } => shipment(map, how),
            Event::OrderReceived { .. } => Ok(()),
            Event::OrderClosed { reason, units, .. } => {
                map.serialize_entry("close_reason", reason.name())?;
                map.serialize_entry("lines", &Goods(units))
            }
            Event::OrderRevived { units, .. } => map.serialize_entry("lines", &Goods(units)),
            Event::RefundRequired { payment, amount, reason, .. } => {
                map.serialize_entry("payment_id", &Text(payment))?;
                map.serialize_entry("amount", &Minor(*amount))?;
                map.serialize_entry("reason", reason.name())
            }
            Event::LimitImported { member_id, key, used, import_id, .. } => {
                map.serialize_entry("member_id", &Text(member_id))?;
                stock_key(map, key)?;
                map.serialize_entry("used", used)?;
                map.serialize_entry("import_id", &Text(import_id))
            }
            Event::SettingPut { revision, setting, origin, .. } => {
                map.serialize_entry("revision", revision)?;
                put_setting(map, setting)?;
                optional(map, "operator", origin.as_ref().map(|origin| &*origin.operator))?;
                optional(map, "reason", origin.as_ref().map(|origin| &*origin.reason))
            }
            Event::StockTransferred { transfer_id, from, to, units, .. } => {
                map.serialize_entry("transfer_id", &Text(transfer_id))?;
                map.serialize_entry("from", &Stock(from))?;
                map.serialize_entry("to", &Stock(to))?;
                map.serialize_entry("units", units)
            }
            Event::Task(event) => task_fields(map, event, self.personal),
            Event::Order { step, what } => self.later(map, step.order_no, what),
            Event::PaymentUnmatched { payment, order_no, amount, order_ref, reason, .. } => {
                map.serialize_entry("refund_no", &Text(RefundNo::Payment(*payment)))?;
                map.serialize_entry("payment_id", &Text(payment))?;
                optional(map, "order_no", named_order(*order_no))?;
                map.serialize_entry("order_ref", &**order_ref)?;
                map.serialize_entry("amount", &Minor(*amount))?;
                map.serialize_entry("reason", reason.name())
            }
            Event::UnmatchedRefund { payment, what, .. } => {
                map.serialize_entry("refund_no", &Text(RefundNo::Payment(*payment)))?;
                map.serialize_entry("payment_id", &Text(payment))?;
                match what {
                    RefundStep::Requested => map.serialize_entry("state", "requested"),
                    RefundStep::Failed { reason } => {
                        map.serialize_entry("state", "failed")?;
                        map.serialize_entry("reason", &**reason)
                    }
                    RefundStep::Finished { provider_refund_id } => {
                        map.serialize_entry("state", "finished")?;
                        map.serialize_entry("provider_refund_id", &**provider_refund_id)
                    }
                }
            }
            Event::Team(event) => {
                map.serialize_entry("team_id", &Text(event.team()))?;
                match event {
                    TeamEvent::Opened { activity, size, deadline_ms, .. } => {
                        map.serialize_entry("activity_id", &Text(activity))?;
                        map.serialize_entry("size", size)?;
                        instant(map, named!("pay_before"), *deadline_ms)
                    }
                    TeamEvent::Formed { .. } | TeamEvent::Failed { .. } => Ok(()),
                }
            }
            Event::Coupon(event) => coupon(map, event),
            Event::OperatorActed(act) => {
                let OperatorAct { operator, reason, action, target, request, .. } = &**act;
                map.serialize_entry("operator", &**operator)?;
                map.serialize_entry("action", &**action)?;
                map.serialize_entry("target", &**target)?;
                map.serialize_entry("reason", &**reason)?;
                map.serialize_entry("request_id", &**request)
            }
        }
    }

    /// An event of an order's later life.
    fn later<M: SerializeMap>(
        &self,
        map: &mut M,
        order_no: OrderNo,
        what: &OrderEvent,
    ) -> Result<(), M::Error> {
        let refund_no = |ordinal: &u16| Text(RefundNo::Order { order_no, ordinal: *ordinal });
        match what {
            OrderEvent::PaymentAttempted { attempt, channel, amount } => {
                map.serialize_entry("pay_no", &format!("{order_no}-{attempt}"))?;
                map.serialize_entry("channel", &**channel)?;
                map.serialize_entry("amount", &Minor(*amount))
            }
            OrderEvent::PriceChanged { pay_amount, freight, adjustments } => {
                map.serialize_entry("pay_amount", &Minor(*pay_amount))?;
                map.serialize_entry("freight", &Minor(*freight))?;
                map.serialize_entry("adjustments", &Minors(adjustments))
            }
            OrderEvent::AddressChanged { personal } => {
                map.serialize_entry("receiver", &ShownPersonal(personal, self.personal))
            }
            OrderEvent::PackageShipped { shipment: how, units } => {
                shipment(map, how)?;
                map.serialize_entry("lines", &Goods(units))
            }
            OrderEvent::RefundApplied { refund, request_id, by, reason, lines, amount } => {
                map.serialize_entry("refund_no", &refund_no(refund))?;
                map.serialize_entry("request_id", &Text(request_id))?;
                map.serialize_entry("applied_by", applied_by(*by))?;
                map.serialize_entry("reason", &**reason)?;
                map.serialize_entry("lines", &RefundLines(lines))?;
                map.serialize_entry("amount", &Minor(*amount))
            }
            OrderEvent::RefundClosed { refund, closing, note } => {
                map.serialize_entry("refund_no", &refund_no(refund))?;
                let state = match closing {
                    RefundClosing::Withdrawn => "withdrawn",
                    RefundClosing::Rejected => "rejected",
                };
                map.serialize_entry("state", state)?;
                map.serialize_entry("note", &**note)
            }
            OrderEvent::RefundApproved { refund, restock } => {
                map.serialize_entry("refund_no", &refund_no(refund))?;
                map.serialize_entry("restock", &Goods(restock))
            }
            OrderEvent::RefundRequested { refund } => map.serialize_entry("refund_no", &refund_no(refund)),
            OrderEvent::RefundFailed { refund, reason } => {
                map.serialize_entry("refund_no", &refund_no(refund))?;
                map.serialize_entry("reason", &**reason)
            }
            OrderEvent::RefundFinished { refund, provider_refund_id, restocked } => {
                map.serialize_entry("refund_no", &refund_no(refund))?;
                map.serialize_entry("provider_refund_id", &**provider_refund_id)?;
                map.serialize_entry("restock", &Goods(restocked))
            }
            OrderEvent::OrderRemarked { remark, flag } => {
                map.serialize_entry("seller_remark", &**remark)?;
                map.serialize_entry("flag", flag)
            }
            OrderEvent::TradeCloseRequired { attempts } => {
                let names: Vec<_> = attempts.iter().map(|attempt| format!("{order_no}-{attempt}")).collect();
                map.serialize_entry("pay_nos", &names)
            }
            OrderEvent::TeamJoined {} => Ok(()),
            OrderEvent::UnitsReturned { units } => map.serialize_entry("lines", &Goods(units)),
        }
    }
}

/// An order number that a notification named, where it named one.
fn named_order(order_no: OrderNo) -> Option<Text<OrderNo>> {
    (order_no.get() != 0).then_some(Text(order_no))
}

fn coupon<M: SerializeMap>(map: &mut M, event: &CouponEvent) -> Result<(), M::Error> {
    let step = event.step();
    map.serialize_entry("coupon_id", &Text(step.coupon))?;
    map.serialize_entry("terms_id", &Text(step.coupon.terms()))?;
    map.serialize_entry("member_id", &Text(step.member))?;
    optional(map, "order_no", event.order_no().map(Text))?;
    let state = match event {
        CouponEvent::Issued { .. } | CouponEvent::Returned { .. } => "free",
        CouponEvent::Locked { .. } => "locked",
        CouponEvent::Used { .. } => "used",
    };
    map.serialize_entry("state", state)?;
    instant(map, named!("valid_from"), step.valid_from_ms)?;
    instant(map, named!("valid_until"), step.valid_until_ms)
}

/// A change of stock as it was asked for.
struct Change<'a>(&'a StockChange);

impl Serialize for Change<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            StockChange::Relative(units) => map.serialize_entry("relative", units)?,
            StockChange::Absolute(units) => map.serialize_entry("absolute", units)?,
            StockChange::AvailableAt { available, as_of } => {
                map.serialize_entry("available", available)?;
                map.serialize_entry("as_of", &as_of.0)?;
            }
            StockChange::Transfer { to, units } => {
                map.serialize_entry("transfer_to", &Stock(to))?;
                map.serialize_entry("units", units)?;
            }
        }
        map.end()
    }
}
