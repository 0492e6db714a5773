//! What an event does to an order. It can't fail: what the event says has happened.

use super::Order;
use super::event::{OrderEvent, RefundClosing};
use super::history::{OrderHistory, RefundDue, TimelineEntry};
use super::later::{AfterSale, Attempt, LineShare, OrderLater, Package, RefundProgress, SellerNote};
use super::status::OrderStatus;
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::refund::RefundState;

impl Order {
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
            Event::Order { step, what } => self.apply_later(what, step.at_ms),
            Event::NumbersReserved { .. }
            | Event::SkuPut { .. }
            | Event::StockAdjusted { .. }
            | Event::OrderCreated(_)
            | Event::PaymentReceived { .. }
            | Event::LimitImported { .. }
            | Event::SettingPut { .. }
            | Event::StockTransferred { .. }
            | Event::Task(_)
            | Event::Team(_)
            | Event::PaymentUnmatched { .. }
            | Event::UnmatchedRefund { .. }
            | Event::Coupon(_)
            | Event::OperatorActed(_) => return,
        }
        self.version += 1;
        self.last_position = position;
        let entry = TimelineEntry { event: event.name(), at_ms: event.at_ms(), position };
        self.history_mut().timeline.push(entry);
    }

    fn apply_later(&mut self, what: &OrderEvent, at_ms: u64) {
        match what {
            OrderEvent::PaymentAttempted { channel, amount, .. } => {
                let attempt = Attempt { channel: channel.clone(), amount: *amount, at_ms, is_void: false };
                self.later_mut().attempts.push(attempt);
            }
            OrderEvent::PriceChanged { pay_amount, freight, adjustments } => {
                let before = std::mem::replace(&mut self.pay_amount, *pay_amount);
                let terms = self.extra.terms.get_or_insert_default();
                terms.freight = *freight;
                terms.adjustments.clone_from(adjustments);
                self.later_mut().prices.push(before);
            }
            OrderEvent::AddressChanged { personal } => {
                self.extra.text.get_or_insert_default().personal = Some(personal.clone());
            }
            OrderEvent::PackageShipped { shipment, units } => {
                let package = Package { shipment: shipment.clone(), lines: self.line_units(units), at_ms };
                self.status = OrderStatus::PartiallyShipped;
                self.later_mut().packages.push(package);
            }
            OrderEvent::RefundApplied { refund, request_id, by, reason, lines, amount } => {
                let shares = lines.iter().filter_map(|line| {
                    let place = self.place_of(&line.key)?;
                    Some(LineShare { line: place, quantity: line.quantity, amount: line.amount })
                });
                let after_sale = AfterSale {
                    ordinal: *refund,
                    request_id: *request_id,
                    by: *by,
                    reason: reason.clone(),
                    lines: shares.collect(),
                    amount: *amount,
                    at_ms,
                    restock: Vec::new(),
                };
                self.later_mut().after_sale.push(after_sale);
                self.set_progress(*refund, RefundState::Applied, None);
            }
            OrderEvent::RefundClosed { refund, closing, note } => {
                let state = match closing {
                    RefundClosing::Withdrawn => RefundState::Withdrawn,
                    RefundClosing::Rejected => RefundState::Rejected,
                };
                self.set_progress(*refund, state, Some(note.clone()).filter(|note| !note.is_empty()));
            }
            OrderEvent::RefundApproved { refund, restock } => {
                let restock = self.line_units(restock);
                let after_sale = &mut self.later_mut().after_sale;
                if let Some(approved) = after_sale.iter_mut().find(|known| known.ordinal == *refund) {
                    approved.restock = restock;
                }
                self.set_progress(*refund, RefundState::Required, None);
            }
            OrderEvent::RefundRequested { refund } => {
                self.set_progress(*refund, RefundState::Requested, None);
            }
            OrderEvent::RefundFailed { refund, reason } => {
                self.set_progress(*refund, RefundState::Failed, Some(reason.clone()));
            }
            OrderEvent::RefundFinished { refund, provider_refund_id, .. } => {
                self.set_progress(*refund, RefundState::Finished, Some(provider_refund_id.clone()));
            }
            OrderEvent::OrderRemarked { remark, flag } => {
                self.later_mut().note = Some(SellerNote { remark: remark.clone(), flag: *flag });
            }
            OrderEvent::TradeCloseRequired { attempts } => {
                let known = (1_u16..).zip(&mut self.later_mut().attempts);
                known
                    .filter(|(number, _)| attempts.contains(number))
                    .for_each(|(_, known)| known.is_void = true);
            }
            OrderEvent::TeamJoined {} => self.later_mut().team_formed = true,
            OrderEvent::UnitsReturned { .. } => {}
        }
    }

    /// Notes how far a refund has come, by the event that is being applied.
    fn set_progress(&mut self, ordinal: u16, state: RefundState, note: Option<Box<str>>) {
        let version = self.version + 1;
        let progress = RefundProgress { ordinal, state, version, note };
        let known = &mut self.later_mut().progress;
        match known.binary_search_by_key(&ordinal, |known| known.ordinal) {
            Ok(place) => known[place] = progress,
            Err(place) => known.insert(place, progress),
        }
    }

    fn later_mut(&mut self) -> &mut OrderLater {
        self.history_mut().later.get_or_insert_default()
    }

    fn history_mut(&mut self) -> &mut OrderHistory {
        self.history.get_or_insert_default()
    }
}
