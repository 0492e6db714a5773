//! Random later lives of one order against a naive model, which keeps plain sums and knows each rule as one sentence.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::order::{
    CloseReason, Decision, Order, OrderCommand, OrderEvent, OrderStatus, RefundCommand,
};
use crate::domain::pricing::PriceChange;
use crate::domain::refund::{RefundBy, RefundState, RefundStep};
use crate::domain::request::{Personal, Shipment};

const CONFIRM_MS: u64 = 500;
const WINDOW_MS: u64 = 300;
/// Units of the two lines of the order.
const ORDERED: [u32; 2] = [2, 1];

#[derive(Clone, Debug)]
struct ModelRefund {
    state: RefundState,
    amount: i64,
    units: [u32; 2],
    restock: [u32; 2],
    applied: bool,
}

impl ModelRefund {
    fn counts(&self) -> bool {
        self.applied && !matches!(self.state, RefundState::Withdrawn | RefundState::Rejected)
    }

    fn is_open(&self) -> bool {
        self.applied
            && !matches!(self.state, RefundState::Withdrawn | RefundState::Rejected | RefundState::Finished)
    }
}

/// What the rules speak of, kept from events alone.
#[derive(Debug)]
struct Model {
    status: OrderStatus,
    pay_amount: i64,
    deadline_ms: u64,
    shipped: [u32; 2],
    refunds: BTreeMap<u16, ModelRefund>,
    attempts: Vec<bool>,
    last_package_ms: u64,
    completed_ms: u64,
    /// Units on sale, reserved and sold, of each line.
    reserved: [i64; 2],
    sold: [i64; 2],
    money_in: i64,
    money_out: i64,
}

impl Model {
    fn new() -> Self {
        Self {
            status: OrderStatus::Pending,
            pay_amount: PAY_AMOUNT.minor(),
            deadline_ms: DEADLINE_MS,
            shipped: [0; 2],
            refunds: BTreeMap::new(),
            attempts: Vec::new(),
            last_package_ms: 0,
            completed_ms: 0,
            reserved: ORDERED.map(i64::from),
            sold: [0; 2],
            money_in: 0,
            money_out: 0,
        }
    }

    fn open_refund(&self) -> bool {
        self.refunds.values().any(ModelRefund::is_open)
    }

    fn counted(&self) -> i64 {
        self.refunds.values().filter(|refund| refund.counts()).map(|refund| refund.amount).sum()
    }

    fn units_counted(&self, line: usize) -> u32 {
        self.refunds.values().filter(|refund| refund.counts()).map(|refund| refund.units[line]).sum()
    }

    fn gone(&self, line: usize) -> u32 {
        let finished = self.refunds.values().filter(|refund| refund.state == RefundState::Finished);
        self.shipped[line] + finished.map(|refund| refund.units[line].max(refund.restock[line])).sum::<u32>()
    }

    /// Whether a command must be refused, as far as the model can tell in a sentence.
    fn refuses(&self, command: &OrderCommand, now_ms: u64) -> Option<bool> {
        let pending = self.status == OrderStatus::Pending;
        let overdue = now_ms >= self.deadline_ms;
        let shippable = matches!(self.status, OrderStatus::Paid | OrderStatus::PartiallyShipped);
        Some(match command {
            OrderCommand::BeginPayment { .. } => !pending || overdue || self.attempts.len() >= 16,
            OrderCommand::ChangePrice { .. } => return (!pending || overdue).then_some(true),
            OrderCommand::ChangeAddress { .. } => {
                !matches!(self.status, OrderStatus::Pending | OrderStatus::Paid)
            }
            OrderCommand::ShipPackage { lines, .. } => {
                let too_many = |(sku, units): &(SkuId, u32)| {
                    let line = sku.0 as usize - 1;
                    self.gone(line) + units > ORDERED[line]
                };
                !shippable || self.open_refund() || lines.iter().any(too_many)
            }
            OrderCommand::AfterSale(RefundCommand::Apply { lines, extra, .. }) => {
                let paid = matches!(
                    self.status,
                    OrderStatus::Paid | OrderStatus::PartiallyShipped | OrderStatus::Shipped
                );
                let in_time = self.status == OrderStatus::Completed && now_ms < self.completed_ms + WINDOW_MS;
                let too_many = lines.iter().any(|(sku, units)| {
                    let line = sku.0 as usize - 1;
                    self.units_counted(line) + units > ORDERED[line]
                });
                if !(paid || in_time) || too_many || (lines.is_empty() && extra.minor() == 0) {
                    return Some(true);
                }
                if lines.is_empty() {
                    return Some(self.counted() + extra.minor() > self.pay_amount);
                }
                return None;
            }
            OrderCommand::AfterSale(RefundCommand::Step { refund, step }) => {
                let Some(refund) = self.refunds.get(refund) else { return Some(true) };
                match (refund.state, step) {
                    (RefundState::Applied | RefundState::Withdrawn | RefundState::Rejected, _) => true,
                    (RefundState::Finished, RefundStep::Finished { .. }) => return None,
                    (state, _) => state == RefundState::Finished,
                }
            }
            OrderCommand::AfterSale(RefundCommand::Withdraw { refund }) => self
                .refunds
                .get(refund)
                .is_none_or(|refund| !matches!(refund.state, RefundState::Applied | RefundState::Withdrawn)),
            OrderCommand::Remark { .. } | OrderCommand::AutoConfirm { .. } => false,
            _ => return None,
        })
    }

    fn take(&mut self, event: &Event, now_ms: u64) {
        match event {
            Event::PaymentStarted { deadline_ms, .. } => self.deadline_ms = *deadline_ms,
            Event::OrderPaid { payment, .. } => {
                if *payment != PaymentId::of_nothing(order_no()) {
                    self.money_in += self.pay_amount;
                }
                self.status = OrderStatus::Paid;
                (self.sold, self.reserved) = (self.reserved, [0; 2]);
            }
            Event::OrderShipped { .. } => {
                assert!(!self.open_refund(), "shipped with a refund open");
                (self.status, self.last_package_ms) = (OrderStatus::Shipped, now_ms);
            }
            Event::OrderReceived { .. } => {
                (self.status, self.completed_ms) = (OrderStatus::Completed, now_ms);
            }
            Event::OrderClosed { reason: CloseReason::Refunded, units, .. } => {
                assert!(units.is_empty() && self.money_in >= self.pay_amount);
                let finished = self.refunds.values().filter(|refund| refund.applied);
                let finished = finished.filter(|refund| refund.state == RefundState::Finished);
                assert_eq!(finished.map(|refund| refund.amount).sum::<i64>(), self.pay_amount);
                self.status = OrderStatus::Cancelled;
            }
            Event::OrderClosed { .. } => (self.status, self.reserved) = (OrderStatus::Cancelled, [0; 2]),
            Event::OrderRevived { .. } => {
                (self.status, self.reserved) = (OrderStatus::Pending, ORDERED.map(i64::from));
            }
            Event::RefundRequired { amount, .. } => {
                self.money_in += amount.minor();
                let refund = ModelRefund {
                    state: RefundState::Required,
                    amount: amount.minor(),
                    units: [0; 2],
                    restock: [0; 2],
                    applied: false,
                };
                self.refunds.insert(self.refunds.len() as u16 + 1, refund);
            }
            Event::Order { what, .. } => self.live(what, now_ms),
            _ => {}
        }
    }

    fn live(&mut self, what: &OrderEvent, now_ms: u64) {
        let by_line = |units: &[crate::domain::event::StockUnits]| {
            let mut lines = [0; 2];
            units.iter().for_each(|unit| lines[unit.key.sku.0 as usize - 1] += unit.quantity);
            lines
        };
        match what {
            OrderEvent::PaymentAttempted { attempt, amount, .. } => {
                self.attempts.push(true);
                assert_eq!((usize::from(*attempt), amount.minor()), (self.attempts.len(), self.pay_amount));
            }
            OrderEvent::PriceChanged { pay_amount, freight, adjustments } => {
                let goods: i64 =
                    adjustments.iter().map(|amount| amount.minor()).sum::<i64>() + PAY_AMOUNT.minor();
                assert_eq!(goods + freight.minor(), pay_amount.minor(), "the parts make the whole");
                self.pay_amount = pay_amount.minor();
            }
            OrderEvent::TradeCloseRequired { attempts } => {
                let open = (1..).zip(&self.attempts).filter(|(_, open)| **open).map(|(number, _)| number);
                assert_eq!(*attempts, open.collect::<Vec<u16>>());
                self.attempts.iter_mut().for_each(|open| *open = false);
            }
            OrderEvent::PackageShipped { units, .. } => {
                let sent = by_line(units);
                for (line, sent) in sent.into_iter().enumerate() {
                    self.shipped[line] += sent;
                    assert!(sent == 0 || self.gone(line) <= ORDERED[line], "more shipped than ordered");
                }
                (self.status, self.last_package_ms) = (OrderStatus::PartiallyShipped, now_ms);
            }
            OrderEvent::RefundApplied { refund, lines, amount, .. } => {
                assert_eq!(usize::from(*refund), self.refunds.len() + 1, "one sequence of numbers");
                let mut units = [0; 2];
                lines.iter().for_each(|line| units[line.key.sku.0 as usize - 1] += line.quantity);
                let state = RefundState::Applied;
                let applied =
                    ModelRefund { state, amount: amount.minor(), units, restock: [0; 2], applied: true };
                self.refunds.insert(*refund, applied);
                assert!(self.counted() <= self.pay_amount, "refunds within what was paid");
                assert!((0..2).all(|line| self.units_counted(line) <= ORDERED[line]));
            }
            OrderEvent::RefundClosed { refund, closing, .. } => {
                self.of(*refund).state = match closing {
                    crate::domain::order::RefundClosing::Withdrawn => RefundState::Withdrawn,
                    crate::domain::order::RefundClosing::Rejected => RefundState::Rejected,
                };
            }
            OrderEvent::RefundApproved { refund, restock } => {
                let restock = by_line(restock);
                let refund = self.of(*refund);
                (refund.state, refund.restock) = (RefundState::Required, restock);
            }
            OrderEvent::RefundRequested { refund } => self.of(*refund).state = RefundState::Requested,
            OrderEvent::RefundFailed { refund, .. } => self.of(*refund).state = RefundState::Failed,
            OrderEvent::RefundFinished { refund, restocked, .. } => {
                let back = by_line(restocked);
                let refund = self.of(*refund);
                assert!(refund.state != RefundState::Finished && refund.restock == back);
                refund.state = RefundState::Finished;
                let amount = refund.amount;
                self.money_out += amount;
                for (sold, back) in self.sold.iter_mut().zip(back) {
                    *sold -= i64::from(back);
                    assert!(*sold >= 0, "more on sale again than was sold");
                }
                assert!(self.money_out <= self.money_in, "no more money goes back than came");
            }
            OrderEvent::AddressChanged { .. } => assert_eq!(self.shipped, [0; 2]),
            OrderEvent::OrderRemarked { .. }
            | OrderEvent::TeamJoined {}
            | OrderEvent::UnitsReturned { .. } => {}
        }
    }

    fn of(&mut self, refund: u16) -> &mut ModelRefund {
        self.refunds.get_mut(&refund).expect("a step is about a refund that there is")
    }
}

fn some_lines() -> impl Strategy<Value = Vec<(SkuId, u32)>> {
    prop_oneof![
        Just(vec![(SkuId(1), 1)]),
        Just(vec![(SkuId(1), 2)]),
        Just(vec![(SkuId(2), 1)]),
        Just(vec![(SkuId(1), 2), (SkuId(2), 1)]),
    ]
}

fn refund_command() -> impl Strategy<Value = RefundCommand> {
    let lines = || prop_oneof![1 => Just(Vec::new()), 2 => some_lines()];
    let apply = (0..20_u128, lines(), prop_oneof![2 => Just(0), 1 => 0..800_i64]);
    let apply = apply.prop_map(|(request, lines, extra)| RefundCommand::Apply {
        request_id: RequestId::new(request),
        by: RefundBy::Member,
        reason: "no need".into(),
        lines,
        extra: Money::from_minor(extra),
        window_ms: WINDOW_MS,
    });
    let step = prop_oneof![
        1 => Just(RefundStep::Requested),
        1 => Just(RefundStep::Failed { reason: "no".into() }),
        3 => (0..2_u8).prop_map(|id| RefundStep::Finished { provider_refund_id: id.to_string().into() }),
    ];
    prop_oneof![
        4 => apply,
        1 => (1..4_u16).prop_map(|refund| RefundCommand::Withdraw { refund }),
        1 => (1..4_u16).prop_map(|refund| RefundCommand::Reject { refund, note: "no".into() }),
        3 => (1..4_u16, lines()).prop_map(|(refund, restock)| RefundCommand::Approve { refund, restock }),
        4 => (1..4_u16, step).prop_map(|(refund, step)| RefundCommand::Step { refund, step }),
    ]
}

fn command() -> impl Strategy<Value = OrderCommand> {
    let pay = (1..6_u8, prop_oneof![6 => Just(None), 1 => (0..900_i64).prop_map(Some)]);
    prop_oneof![
        // The amount is what is to be paid unless something else stands here.
        3 => pay.prop_map(|(number, amount)| OrderCommand::ApplyPayment {
            payment: payment(number),
            amount: Money::from_minor(amount.unwrap_or(-1)),
        }),
        1 => (1..6_u8).prop_map(|number| OrderCommand::Revive { payment: payment(number) }),
        1 => Just(OrderCommand::Cancel { reason: CloseReason::Member }),
        1 => Just(OrderCommand::Expire),
        1 => Just(OrderCommand::Ship(Shipment::default())),
        1 => Just(OrderCommand::Confirm),
        2 => Just(OrderCommand::BeginPayment { channel: "wechat".into(), grace_ms: 100 }),
        2 => (0..900_i64, 0..20_i64).prop_map(|(pay_amount, freight)| OrderCommand::ChangePrice {
            change: PriceChange {
                pay_amount: Money::from_minor(pay_amount),
                freight: Money::from_minor(freight),
            },
        }),
        1 => (0..2_u8).prop_map(|byte| OrderCommand::ChangeAddress {
            personal: Personal::Plain(vec![byte].into()),
        }),
        3 => some_lines().prop_map(|lines| OrderCommand::ShipPackage { shipment: Shipment::default(), lines }),
        2 => Just(OrderCommand::AutoConfirm { after_ms: CONFIRM_MS }),
        1 => (0..3_u8).prop_map(|flag| OrderCommand::Remark { remark: "seen".into(), flag }),
        12 => refund_command().prop_map(OrderCommand::AfterSale),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_later_lives_keep_to_the_rules_and_replay_to_the_same_order(
        commands in prop::collection::vec((prop_oneof![4 => Just(0), 2 => 0..200_u64, 1 => 0..1_200_u64], command()), 1..60),
        pays in any::<bool>(),
    ) {
        let mut order = Order::create(created(), Position(1));
        let mut model = Model::new();
        let mut journal = Vec::new();
        let mut now_ms = CREATED_AT_MS;
        let first = pays.then_some((0, OrderCommand::ApplyPayment { payment: payment(9), amount: Money::from_minor(-1) }));
        for (wait_ms, mut command) in first.into_iter().chain(commands) {
            now_ms += wait_ms;
            if let OrderCommand::ApplyPayment { amount, .. } = &mut command && amount.is_negative() {
                *amount = order.pay_amount;
            }
            let decision = order.decide(&command, now_ms);
            // A repeated application has its first answer, whatever has become of the order.
            let repeated = match &command {
                OrderCommand::AfterSale(RefundCommand::Apply { request_id, .. }) => order.applied_as(*request_id).is_some(),
                _ => false,
            };
            if let Some(refuses) = model.refuses(&command, now_ms).filter(|_| !repeated) {
                prop_assert_eq!(decision.is_err(), refuses, "{:?} comes to {:?} for {:?}", command, decision, model);
            }
            if matches!(command, OrderCommand::AutoConfirm { .. }) {
                let due = model.status == OrderStatus::Shipped
                    && !model.open_refund()
                    && now_ms >= model.last_package_ms + CONFIRM_MS;
                prop_assert_eq!(matches!(decision, Ok(Decision::Events(_))), due, "R9: never early, never late");
            }
            let Ok(Decision::Events(entry)) = decision else { continue };
            for (event, index) in entry.iter().zip(0..) {
                model.take(event, now_ms);
                order.apply(event, Position::provisional(index));
            }
            order.settle_positions(Position(journal.len() as u64 + 2));
            journal.extend(entry);
            prop_assert_eq!(order.status, model.status);
            prop_assert_eq!(order.pay_amount.minor(), model.pay_amount);
            prop_assert_eq!(order.first_pay_amount(), PAY_AMOUNT);
            prop_assert_eq!(order.has_open_after_sale(), model.open_refund());
            let states: Vec<_> = order.refunds().into_iter().map(|refund| (refund.state, refund.amount.minor())).collect();
            let expected: Vec<_> = model.refunds.values().map(|refund| (refund.state, refund.amount)).collect();
            prop_assert_eq!(states, expected);
            let unfinished = model.refunds.values().any(|refund| !refund.state.is_over());
            prop_assert_eq!(order.has_unfinished_refund(), unfinished);
        }
        let mut replayed = Order::create(created(), Position(1));
        for (event, position) in journal.iter().zip(2..) {
            replayed.apply(event, Position(position));
        }
        prop_assert_eq!(&replayed, &order);
        prop_assert_eq!(replayed.record_hash(), order.record_hash());
    }
}
