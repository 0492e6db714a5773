//! What callers do with orders later: attempts to pay, changes of price, packages, refunds of every kind.

use tokio::sync::oneshot;

use super::asks::{self, Ask, Wish};
use super::workload::Workload;
use super::world::World;
use crate::actors::order::{Action, CommandReply, CommandRequest, OrderItem, RefundOf, StepRequest};
use crate::domain::ids::{MemberId, OrderNo, PaymentId, RequestId, SkuId};
use crate::domain::money::Money;
use crate::domain::order::{OrderCommand, OrderStatus, RefundCommand};
use crate::domain::pricing::PriceChange;
use crate::domain::refund::{RefundBy, RefundState, RefundStep};
use crate::domain::request::{Caller, Personal, Shipment};

/// For how long after completion a refund may be applied for, in ms.
const WINDOW_MS: u64 = 1_000;

impl Workload {
    /// Somebody does something about an order that is placed.
    pub(super) fn care(&mut self, world: &mut World) {
        if world.random.percent(10) {
            return self.care_for_unmatched(world);
        }
        let Some((order_no, member)) = self.order_to_care_for(world) else { return };
        let caller = if world.random.percent(50) { Caller::Operator } else { Caller::Member(member) };
        if world.random.percent(60) {
            let command = self.refund_command(world, order_no);
            return self.send_refund(world, order_no, caller, command);
        }
        let random = &mut world.random;
        let sku = SkuId(random.between(1, 4));
        let (name, command) = match random.below(5) {
            0 => (
                "PaymentAttempted",
                OrderCommand::BeginPayment { channel: "wechat".into(), grace_ms: random.below(300) },
            ),
            1 => {
                let pay_amount = Money::from_minor(random.below(5) as i64);
                let change = PriceChange { pay_amount, freight: Money::from_minor(random.below(2) as i64) };
                ("PriceChanged", OrderCommand::ChangePrice { change })
            }
            2 => {
                let personal = Personal::Plain(vec![random.below(3) as u8].into());
                ("AddressChanged", OrderCommand::ChangeAddress { personal })
            }
            3 => {
                let lines = vec![(sku, random.between(1, 2) as u32)];
                ("PackageShipped", OrderCommand::ShipPackage { shipment: Shipment::default(), lines })
            }
            _ => ("OrderRemarked", OrderCommand::Remark { remark: "x".into(), flag: random.below(3) as u8 }),
        };
        let (sender, receiver) = oneshot::channel();
        let reply = match name {
            "PaymentAttempted" => {
                let (sender, receiver) = oneshot::channel();
                world.asks.push(Ask::Attempt { order_no, reply: receiver });
                CommandReply::Attempt(sender)
            }
            _ => {
                let visible = asks::visible(&world.committed, order_no, caller);
                let wish = Wish::Later(name);
                world.asks.push(Ask::Command { order_no, caller, wish, visible, reply: receiver });
                CommandReply::Receipt(sender)
            }
        };
        let request = CommandRequest { order_no, caller, action: Action::Later(command), reply };
        world.push_order(order_no.slot(), OrderItem::Command(Box::new(request)));
    }

    /// Mostly one that is paid.
    fn order_to_care_for(&self, world: &mut World) -> Option<(OrderNo, MemberId)> {
        if world.random.percent(30) {
            return self.known_order(world).map(|(order_no, member, _)| (order_no, member));
        }
        let is_paid = |status: &OrderStatus| !matches!(status, OrderStatus::Pending | OrderStatus::Cancelled);
        let orders = world.committed.orders.iter();
        let paid = orders.filter(|(_, order)| order.statuses.last().is_some_and(is_paid));
        let paid: Vec<_> = paid.map(|(order_no, order)| (*order_no, order.created.member_id)).collect();
        // Mostly one of a few, so that something comes of them.
        let len = if world.random.percent(70) { paid.len().min(3) } else { paid.len() };
        let index = world.random.index(len)?;
        paid.get(index).copied()
    }

    /// Ends every refund that is committed and unfinished; false if there are none.
    pub(super) fn end_refunds(&self, world: &mut World) -> bool {
        let unfinished: Vec<_> = world
            .committed
            .orders
            .iter()
            .flat_map(|(order_no, order)| {
                order.refunds.iter().map(|(ordinal, state)| (*order_no, *ordinal, *state))
            })
            .filter(|(_, _, state)| !state.is_over())
            .collect();
        let unmatched: Vec<_> = world
            .committed
            .unmatched
            .iter()
            .filter(|(_, state)| !state.is_over())
            .map(|(payment, _)| *payment)
            .collect();
        let finished = || RefundStep::Finished { provider_refund_id: "the end".into() };
        for (order_no, refund, state) in &unfinished {
            let command = match state {
                RefundState::Applied => RefundCommand::Reject { refund: *refund, note: "late".into() },
                _ => RefundCommand::Step { refund: *refund, step: finished() },
            };
            self.send_refund(world, *order_no, Caller::Operator, command);
        }
        for payment in &unmatched {
            self.send_unmatched(world, *payment, finished());
        }
        !unfinished.is_empty() || !unmatched.is_empty()
    }

    fn care_for_unmatched(&self, world: &mut World) {
        let Some(index) = world.random.index(world.committed.unmatched.len()) else { return };
        let payment = world.committed.unmatched.keys().nth(index).copied();
        let step = self.step(world);
        self.send_unmatched(world, payment.unwrap_or_default(), step);
    }

    fn step(&self, world: &mut World) -> RefundStep {
        match world.random.below(4) {
            0 => RefundStep::Requested,
            1 => RefundStep::Failed { reason: "no funds".into() },
            _ => RefundStep::Finished { provider_refund_id: world.random.below(2).to_string().into() },
        }
    }

    fn refund_command(&self, world: &mut World, order_no: OrderNo) -> RefundCommand {
        let order = world.appended.orders.get(&order_no).map(|order| order.created.clone());
        let random = &mut world.random;
        let refund = if random.percent(60) { 1 } else { random.between(2, 3) as u16 };
        let lines = order.map(|order| order.lines.units()).unwrap_or_default();
        let lines: Vec<(SkuId, u32)> = lines.iter().map(|unit| (unit.key.sku, unit.quantity)).collect();
        let choice = random.below(12);
        match choice {
            0..4 => {
                let all = random.percent(40);
                let some = random.percent(60);
                let wanted = match lines.first() {
                    _ if all => lines,
                    Some((sku, _)) if some => vec![(*sku, 1)],
                    _ => Vec::new(),
                };
                RefundCommand::Apply {
                    request_id: RequestId::new(u128::from(random.below(4))),
                    by: RefundBy::Operator,
                    reason: "no need".into(),
                    lines: wanted,
                    extra: Money::from_minor(random.below(3) as i64),
                    window_ms: WINDOW_MS,
                }
            }
            4 => RefundCommand::Withdraw { refund },
            5 => RefundCommand::Reject { refund, note: "used".into() },
            6..8 => {
                let restock = if random.percent(60) { lines } else { Vec::new() };
                RefundCommand::Approve { refund, restock }
            }
            _ => RefundCommand::Step { refund, step: self.step(world) },
        }
    }

    fn send_refund(&self, world: &mut World, order_no: OrderNo, caller: Caller, command: RefundCommand) {
        let of = match &command {
            RefundCommand::Apply { request_id, .. } => RefundOf::Request(*request_id),
            RefundCommand::Withdraw { refund }
            | RefundCommand::Approve { refund, .. }
            | RefundCommand::Reject { refund, .. }
            | RefundCommand::Step { refund, .. } => RefundOf::Ordinal(*refund),
        };
        let (sender, receiver) = oneshot::channel();
        world.asks.push(Ask::Refund { command: command.clone(), reply: receiver });
        let action = Action::Later(OrderCommand::AfterSale(command));
        let request = CommandRequest { order_no, caller, action, reply: CommandReply::Refund(of, sender) };
        world.push_order(order_no.slot(), OrderItem::Command(Box::new(request)));
    }

    fn send_unmatched(&self, world: &mut World, payment: PaymentId, step: RefundStep) {
        let (reply, receiver) = oneshot::channel();
        let command = RefundCommand::Step { refund: 0, step: step.clone() };
        world.asks.push(Ask::Refund { command, reply: receiver });
        world.push_order(
            payment.slot(),
            OrderItem::StepRefund(Box::new(StepRequest { payment, step, reply })),
        );
    }
}
