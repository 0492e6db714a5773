//! Commands to a placed order: start a payment, cancel, ship, confirm.

use super::actor::{OrderActor, OrderEffects};
use super::collect::Purpose;
use super::records::NONE;
use super::{Action, CommandRequest, OrderItem};
use crate::actors::reply::Answer;
use crate::domain::order::{Decision, OrderCommand};
use crate::domain::reject::Reject;

impl OrderActor {
    /// Does one command, or lets it wait while the order's units are being reserved again.
    pub(super) fn command(&mut self, request: Box<CommandRequest>, now_ms: u64, effects: &mut OrderEffects) {
        let index = match self.find_for(request.order_no, request.caller) {
            Ok(index) => index,
            Err(reject) => {
                let order_no = request.order_no;
                if self.find(order_no).is_some() {
                    return effects.answers.push(Answer::to(request.reply, Err(reject)));
                }
                let waits = self.wait_for_order(order_no, OrderItem::Command(request), effects);
                if let Some(OrderItem::Command(request)) = waits {
                    effects.answers.push(Answer::to(request.reply, Err(reject)));
                }
                return;
            }
        };
        if self.records.get(index).reviving != NONE {
            return self.wait_for_revival(index, OrderItem::Command(request), effects);
        }
        let CommandRequest { action, reply, .. } = *request;
        let command = match action {
            Action::StartPayment => OrderCommand::StartPayment { grace_ms: self.settings.payment_grace_ms },
            Action::Cancel(reason) => OrderCommand::Cancel { reason },
            Action::Ship(shipment) => OrderCommand::Ship(shipment),
            Action::Confirm => OrderCommand::Confirm,
        };
        let result = match self.records.get(index).order.decide(&command, now_ms) {
            Ok(Decision::Events(events)) => {
                self.record(index, &events, effects);
                Ok(self.receipt(index))
            }
            Ok(Decision::Unchanged | Decision::ReserveAgain) => Ok(self.receipt(index)),
            Err(reject) => Err(reject),
        };
        // A reject shows the order's status too, which may not be durable yet (R4).
        effects.durable_answers.push(Answer::to(reply, result));
    }

    /// Lets an item wait until the revival of its order is decided.
    pub(super) fn wait_for_revival(&mut self, index: u32, item: OrderItem, effects: &mut OrderEffects) {
        let collect = self.records.get(index).reviving;
        let waiters_max = self.settings.waiters_max;
        let Purpose::Revive { waiting, .. } = &mut self.collects.get_mut(collect).purpose else {
            unreachable!("an order names the collection that revives it")
        };
        match item {
            OrderItem::Command(request) if waiting.len() >= waiters_max => {
                let reject = Reject::Overloaded { bound: "waiters_max", retry_after_ms: 10 };
                effects.answers.push(Answer::to(request.reply, Err(reject)));
            }
            // Recorded money is never turned away. The credits of its notifications bound how much can wait here.
            item => waiting.push(item),
        }
    }
}
