//! Payments: once per payment id over all orders (R8), and no late money lost (R10).
//!
//! A notification goes to the order's owner, who checks it; to the payment's owner, who records it once; back to
//! the order's owner, who applies it; and the outcome to the payment's owner, who answers everybody who asked.

use super::actor::{OrderActor, OrderEffects, StockEffect};
use super::cold::route_unmatched;
use super::collect::{Collect, Purpose};
use super::records::NONE;
use super::slots::PaymentRecord;
use super::{AppliedPayment, OrderItem, PayRequest, PaymentOutcome, PaymentResult};
use crate::actors::reply::Answer;
use crate::domain::event::Event;
use crate::domain::ids::{PaymentId, Position};
use crate::domain::order::{Decision, ORDER_PAYMENTS_MAX, OrderCommand, RefundReason};
use crate::domain::refund::UnmatchedRefund;
use crate::domain::reject::Reject;
use crate::domain::request::{EXTERNAL_NO_BYTES_MAX, OrderRef};
use crate::domain::text::cut;

impl OrderActor {
    /// Checks a notification against its order, before anything is recorded.
    pub(super) fn check_payment(&mut self, request: Box<PayRequest>, effects: &mut OrderEffects) {
        let order_no = request.order_no;
        let Some(index) = self.find(order_no) else {
            if let Some(OrderItem::Pay(request)) =
                self.wait_for_order(order_no, OrderItem::Pay(request), effects)
            {
                route_unmatched(request, effects);
            }
            return;
        };
        let order = &self.records.get(index).order;
        let reject = if order.payments_len() >= ORDER_PAYMENTS_MAX && !order.knows_payment(request.id) {
            Some(Reject::Overloaded { bound: "payments of one order", retry_after_ms: 60_000 })
        } else {
            None
        };
        match reject {
            Some(reject) => effects.durable_answers.push(Answer::to(request.reply, Err(reject))),
            None => effects.routed.push((request.id.slot(), OrderItem::ReceivePayment(request))),
        }
    }

    /// Records a payment once; a repeated notification gets the first one's outcome.
    pub(super) fn receive_payment(&mut self, request: PayRequest, now_ms: u64, effects: &mut OrderEffects) {
        let is_known = self.slot(request.id.slot()).payments.contains_key(&request.id);
        let request = if is_known { Some(request) } else { self.wait_for_payment(request, effects) };
        if let Some(request) = request {
            self.receive_known_payment(request, now_ms, effects);
        }
    }

    /// The same, once it is sure that a payment which is not in memory is a new one.
    pub(super) fn receive_known_payment(
        &mut self,
        request: PayRequest,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        let PayRequest { id, order_no, payment, is_unmatched, reply } = request;
        let waiters_max = self.settings.waiters_max;
        let slot = self.slot(id.slot());
        if let Some(known) = slot.payments.get_mut(&id) {
            // Money that named no order when it came has its answer, whatever it names now.
            let unknown = Some(PaymentResult::RefundRequired(RefundReason::UnknownOrder));
            let is_same = known.order_no == order_no || known.result == unknown;
            let order_no = known.order_no;
            if !is_same || known.amount != payment.amount {
                effects.durable_answers.push(Answer::to(reply, Err(Reject::PaymentIdReused)));
            } else if let Some(result) = known.result {
                let outcome = PaymentOutcome { order_no, result };
                effects.durable_answers.push(Answer::to(reply, Ok(outcome)));
            } else if known.waiting.len() < waiters_max {
                known.waiting.push(reply);
            } else {
                let reject = Reject::Overloaded { bound: "waiters_max", retry_after_ms: 10 };
                effects.answers.push(Answer::to(reply, Err(reject)));
            }
            return;
        }
        let amount = payment.amount;
        slot.payments.insert(id, PaymentRecord { order_no, amount, result: None, waiting: vec![reply] });
        let received = Event::PaymentReceived {
            at_ms: now_ms,
            payment: id,
            channel: payment.channel,
            merchant: payment.merchant,
            transaction_id: payment.transaction_id,
            order_no,
            amount,
        };
        if is_unmatched {
            return self.refund_unmatched(received, &payment.order, effects);
        }
        effects.entries.push(&[received]);
        let applied = AppliedPayment::new(id, order_no, amount);
        effects.routed.push((order_no.slot(), OrderItem::ApplyPayment(applied)));
    }

    /// Records money for an order that there is not, and that it must go back.
    fn refund_unmatched(&mut self, received: Event, order: &OrderRef, effects: &mut OrderEffects) {
        let Event::PaymentReceived { at_ms, payment, order_no, amount, .. } = received else { return };
        let (reason, order_ref) = (RefundReason::UnknownOrder, reference_of(order));
        let refund = UnmatchedRefund::required(payment, order_no, amount, at_ms, order_ref.clone(), reason);
        self.restore_unmatched(refund);
        let unmatched = Event::PaymentUnmatched { at_ms, payment, order_no, amount, order_ref, reason };
        effects.entries.push(&[received, unmatched]);
        let position = Position::provisional(effects.entries.event_count() - 1);
        let result = PaymentResult::RefundRequired(reason);
        effects.routed.push((payment.slot(), OrderItem::PaymentDone { payment, result, position }));
    }

    /// Applies a recorded payment to its order.
    pub(super) fn apply_payment(&mut self, payment: AppliedPayment, now_ms: u64, effects: &mut OrderEffects) {
        let Some(index) = self.find(payment.order_no) else {
            let waits = self.wait_for_order(payment.order_no, OrderItem::ApplyPayment(payment), effects);
            debug_assert!(waits.is_none(), "a payment is recorded only for an order that exists");
            return;
        };
        if self.records.get(index).reviving != NONE {
            return self.wait_for_revival(index, OrderItem::ApplyPayment(payment), effects);
        }
        if self.ask_team(index, payment, effects) {
            return;
        }
        let command = OrderCommand::ApplyPayment { payment: payment.payment, amount: payment.amount };
        match self.records.get(index).order.decide(&command, now_ms) {
            Ok(Decision::Events(events)) => {
                self.record(index, &events, effects);
                self.report_payment(index, payment, effects);
            }
            Ok(Decision::ReserveAgain) => self.begin_revival(index, payment, now_ms, effects),
            Ok(Decision::Unchanged) => self.report_payment(index, payment, effects),
            Err(reject) => debug_assert!(false, "money that is here is never refused: {reject}"),
        }
    }

    /// Notes a payment's outcome and answers everybody who waits for it.
    pub(super) fn finish_payment(
        &mut self,
        payment: PaymentId,
        result: PaymentResult,
        effects: &mut OrderEffects,
    ) {
        let Some(record) = self.slot(payment.slot()).payments.get_mut(&payment) else {
            debug_assert!(false, "an outcome belongs to a recorded payment");
            return;
        };
        record.result = Some(result);
        let outcome = PaymentOutcome { order_no: record.order_no, result };
        // Not `drain`: the list of a finished payment must not keep its memory.
        for reply in std::mem::take(&mut record.waiting) {
            effects.durable_answers.push(Answer::to(reply, Ok(outcome)));
        }
    }

    /// A late payment's units are held: the order comes back, paid (R10).
    pub(super) fn revive(&mut self, collect: u32, now_ms: u64, effects: &mut OrderEffects) {
        let Collect { purpose, limits_taken, .. } = self.collects.remove(collect);
        let Purpose::Revive { index, payment, lines, waiting } = purpose else {
            unreachable!("only a revival gets here")
        };
        let member = self.records.get(index).order.member_id;
        if limits_taken {
            // `record` counts the units as used; they stop being collected here.
            self.give_back_limits(member, &lines);
            let coupons = self.records.get(index).order.extra.coupons().to_vec();
            self.let_go_of_coupons(member, &coupons);
        }
        let command = OrderCommand::Revive { payment: payment.payment };
        match self.records.get(index).order.decide(&command, now_ms) {
            Ok(Decision::Events(events)) => self.record(index, &events, effects),
            Ok(Decision::Unchanged | Decision::ReserveAgain) | Err(_) => {
                let give_back =
                    |line: &crate::domain::order::Line| (line.key, line.quantity, StockEffect::GiveBack);
                effects.stock.extend(lines.iter().map(give_back));
            }
        }
        self.report_payment(index, payment, effects);
        self.end_revival(index, waiting, now_ms, effects);
        self.wake_member(member, now_ms, effects);
    }

    /// Money that can't be kept.
    pub(super) fn refund(
        &mut self,
        index: u32,
        payment: AppliedPayment,
        reason: RefundReason,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        let AppliedPayment { payment: id, amount, .. } = payment;
        let command = OrderCommand::Refund { payment: id, amount, reason };
        self.decide_and_record(index, &command, now_ms, effects);
        self.report_payment(index, payment, effects);
    }

    /// The order may take other commands again; those that waited come first.
    pub(super) fn end_revival(
        &mut self,
        index: u32,
        waiting: Vec<OrderItem>,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        self.records.get_mut(index).reviving = NONE;
        let mut waiting = waiting.into_iter();
        while let Some(item) = waiting.next() {
            self.on_item(item, now_ms, crate::domain::ids::Position(0), effects);
            let reviving = self.records.get(index).reviving;
            if reviving != NONE {
                // One of them began another revival, or asked its team: the rest wait for that one.
                return self.collects.get_mut(reviving).purpose.wait(waiting);
            }
        }
    }

    fn begin_revival(
        &mut self,
        index: u32,
        payment: AppliedPayment,
        now_ms: u64,
        effects: &mut OrderEffects,
    ) {
        let lines = self.records.get(index).order.lines.clone();
        let purpose = Purpose::Revive { index, payment, lines, waiting: Vec::new() };
        let collect = self.collects.insert(Collect::new(purpose));
        self.records.get_mut(index).reviving = collect;
        self.begin(collect, now_ms, effects);
    }

    fn report_payment(&mut self, index: u32, payment: AppliedPayment, effects: &mut OrderEffects) {
        self.end_team_payment(index, payment, effects);
        let order = &self.records.get(index).order;
        if payment.payment == PaymentId::of_nothing(order.order_no) {
            // Nobody recorded it, and nobody waits for what became of it.
            return;
        }
        let history = order.history.as_ref();
        let refund = history
            .and_then(|history| history.refunds.iter().find(|refund| refund.payment == payment.payment));
        let result = match refund {
            Some(refund) => PaymentResult::RefundRequired(refund.reason),
            None => PaymentResult::Paid,
        };
        let position = order.last_position;
        let done = OrderItem::PaymentDone { payment: payment.payment, result, position };
        effects.routed.push((payment.payment.slot(), done));
    }
}

/// What a notification named as its order, cut to the bound of external numbers: nothing longer can be one.
fn reference_of(order: &OrderRef) -> Box<str> {
    match order {
        OrderRef::Number(order_no) => order_no.to_string().into(),
        OrderRef::External(external_no) => cut(external_no, EXTERNAL_NO_BYTES_MAX).into(),
    }
}
