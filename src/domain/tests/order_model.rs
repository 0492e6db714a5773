//! Random histories of one order against a small model that knows the state machine as two tables.

use proptest::prelude::*;

use super::*;
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::domain::order::{CloseReason, Decision, Order, OrderCommand, OrderStatus, RefundReason};
use crate::domain::request::Shipment;

/// Where an order stands, as far as a command's outcome depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Pending,
    Overdue,
    TimedOut,
    ByMember,
    ByOperator,
    Paid,
    Shipped,
    Completed,
}

/// The standing after an event, or `None` where the state machine has no such arrow.
fn arrow(from: Standing, event: &Event) -> Option<Standing> {
    use Standing::*;
    match (from, event) {
        (Pending, Event::PaymentStarted { .. }) => Some(Pending),
        (Pending, Event::OrderPaid { .. }) => Some(Paid),
        (Overdue, Event::OrderClosed { reason: CloseReason::Timeout, .. }) => Some(TimedOut),
        (Pending | Overdue, Event::OrderClosed { reason: CloseReason::Member, .. }) => Some(ByMember),
        (Pending | Overdue, Event::OrderClosed { reason: CloseReason::Operator, .. }) => Some(ByOperator),
        // What is revived is paid in the same entry, whatever its deadline says.
        (TimedOut, Event::OrderRevived { .. }) => Some(Pending),
        (Paid, Event::OrderShipped { .. }) => Some(Shipped),
        (Shipped, Event::OrderReceived { .. }) => Some(Completed),
        (_, Event::RefundRequired { .. }) => Some(from),
        _ => None,
    }
}

/// What a command comes to: the names of its events, or another answer.
fn expected(model: &Model, standing: Standing, command: &OrderCommand) -> &'static [&'static str] {
    use Standing::*;
    const REJECT: &[&str] = &["reject"];
    const UNCHANGED: &[&str] = &["unchanged"];
    match (command, standing) {
        (OrderCommand::StartPayment { .. }, Pending) if model.started => UNCHANGED,
        (OrderCommand::StartPayment { .. }, Pending) => &["PaymentStarted"],
        (OrderCommand::StartPayment { .. }, _) => REJECT,
        (
            OrderCommand::ApplyPayment { payment, .. }
            | OrderCommand::Revive { payment }
            | OrderCommand::Refund { payment, .. },
            _,
        ) if model.knows(*payment) => UNCHANGED,
        (OrderCommand::ApplyPayment { .. }, Pending) => &["OrderPaid"],
        (OrderCommand::ApplyPayment { .. }, Overdue) => &["OrderClosed", "OrderRevived", "OrderPaid"],
        (OrderCommand::ApplyPayment { .. }, TimedOut) => &["reserve again"],
        (OrderCommand::ApplyPayment { .. }, _) => &["RefundRequired"],
        (OrderCommand::Revive { .. }, TimedOut) => &["OrderRevived", "OrderPaid"],
        (OrderCommand::Revive { .. }, _) => REJECT,
        (OrderCommand::Refund { .. }, _) => &["RefundRequired"],
        (OrderCommand::Cancel { .. }, Pending | Overdue) => &["OrderClosed"],
        (OrderCommand::Cancel { reason: CloseReason::Member }, ByMember) => UNCHANGED,
        (OrderCommand::Cancel { reason: CloseReason::Operator }, ByOperator) => UNCHANGED,
        (OrderCommand::Cancel { .. }, _) => REJECT,
        (OrderCommand::Expire, Overdue) => &["OrderClosed"],
        (OrderCommand::Expire, _) => UNCHANGED,
        (OrderCommand::Ship(_), Paid) => &["OrderShipped"],
        (OrderCommand::Ship(shipment), Shipped) if model.shipment.as_ref() == Some(shipment) => UNCHANGED,
        (OrderCommand::Ship(_), _) => REJECT,
        (OrderCommand::Confirm, Shipped) => &["OrderReceived"],
        (OrderCommand::Confirm, Completed) => UNCHANGED,
        (OrderCommand::Confirm, _) => REJECT,
        (
            OrderCommand::BeginPayment { .. }
            | OrderCommand::ChangePrice { .. }
            | OrderCommand::ChangeAddress { .. }
            | OrderCommand::ShipPackage { .. }
            | OrderCommand::AutoConfirm { .. }
            | OrderCommand::Remark { .. }
            | OrderCommand::AfterSale(_)
            | OrderCommand::JoinTeam
            | OrderCommand::FailTeam,
            _,
        ) => unreachable!("an order's later life has a model of its own"),
    }
}

/// What the rules speak of, kept from events alone.
struct Model {
    standing: Standing,
    deadline_ms: u64,
    version: u32,
    started: bool,
    /// How often the order's units are reserved: once or not at all.
    reserved: u32,
    /// How often they are sold.
    sold: u32,
    paid_by: Option<PaymentId>,
    refunds: Vec<PaymentId>,
    shipment: Option<Shipment>,
}

impl Model {
    fn new() -> Self {
        Self {
            standing: Standing::Pending,
            deadline_ms: DEADLINE_MS,
            version: 1,
            started: false,
            reserved: 1,
            sold: 0,
            paid_by: None,
            refunds: Vec::new(),
            shipment: None,
        }
    }

    fn knows(&self, payment: PaymentId) -> bool {
        self.paid_by == Some(payment) || self.refunds.contains(&payment)
    }

    fn standing_at(&self, now_ms: u64) -> Standing {
        match self.standing {
            Standing::Pending if now_ms >= self.deadline_ms => Standing::Overdue,
            other => other,
        }
    }

    /// Takes in one entry and checks it against the rules.
    fn take(&mut self, entry: &[Event], now_ms: u64) {
        let mut from = self.standing_at(now_ms);
        let cancelled_by_hand = matches!(from, Standing::ByMember | Standing::ByOperator);
        for event in entry {
            self.version += 1;
            assert_eq!(event.order_version(), Some((order_no(), self.version)), "versions are contiguous");
            assert_eq!(event.at_ms(), now_ms);
            let to = arrow(from, event).unwrap_or_else(|| panic!("no arrow {} from {from:?}", event.name()));
            match event {
                Event::PaymentStarted { deadline_ms, .. } => {
                    assert!(!self.started, "the deadline is extended once");
                    self.started = true;
                    assert!(*deadline_ms >= self.deadline_ms);
                    self.deadline_ms = *deadline_ms;
                }
                Event::OrderClosed { units, .. } => {
                    assert_eq!(units, &created().lines.units(), "what was reserved is released");
                    assert_eq!(self.reserved, 1);
                    self.reserved = 0;
                }
                Event::OrderRevived { units, .. } => {
                    assert!(!cancelled_by_hand, "R10: revived after a cancellation");
                    assert_eq!(units, &created().lines.units());
                    assert_eq!(self.reserved, 0);
                    self.reserved = 1;
                    assert_eq!(entry.last().map(Event::name), Some("OrderPaid"), "revived only to be paid");
                }
                Event::OrderPaid { units, payment, .. } => {
                    let revived = entry.iter().any(|event| event.name() == "OrderRevived");
                    assert!(now_ms < self.deadline_ms || revived, "R9: paid at or after the deadline");
                    assert_eq!(units, &created().lines.units(), "what was reserved is sold");
                    assert_eq!(
                        (self.reserved, self.sold),
                        (1, 0),
                        "paid at most once, with its units reserved"
                    );
                    (self.reserved, self.sold) = (0, 1);
                    assert!(!self.knows(*payment), "a payment has one outcome");
                    self.paid_by = Some(*payment);
                }
                Event::RefundRequired { payment, amount, .. } => {
                    assert!(!self.knows(*payment), "a payment has one outcome");
                    assert_eq!(*amount, PAY_AMOUNT);
                    self.refunds.push(*payment);
                }
                Event::OrderShipped { shipment, .. } => self.shipment = Some(shipment.clone()),
                _ => {}
            }
            from = to;
        }
        self.standing = from;
    }
}

fn command() -> impl Strategy<Value = OrderCommand> {
    let payment = || (1..5_u8).prop_map(payment);
    let by_hand = || prop_oneof![Just(CloseReason::Member), Just(CloseReason::Operator)];
    let shipment = prop_oneof![
        Just(Shipment::default()),
        Just(Shipment { carrier: "sf".into(), tracking_no: "1".into() })
    ];
    let pay = |payment| OrderCommand::ApplyPayment { payment, amount: PAY_AMOUNT };
    let refuse =
        |payment| OrderCommand::Refund { payment, amount: PAY_AMOUNT, reason: RefundReason::SoldOut };
    prop_oneof![
        2 => (0..800_u64).prop_map(|grace_ms| OrderCommand::StartPayment { grace_ms }),
        4 => payment().prop_map(pay),
        2 => payment().prop_map(|payment| OrderCommand::Revive { payment }),
        1 => payment().prop_map(refuse),
        1 => by_hand().prop_map(|reason| OrderCommand::Cancel { reason }),
        2 => Just(OrderCommand::Expire),
        2 => shipment.prop_map(OrderCommand::Ship),
        2 => Just(OrderCommand::Confirm),
    ]
}

/// A command and how long after the one before it comes; often exactly at the deadline.
fn timed_command() -> impl Strategy<Value = (u64, OrderCommand)> {
    (prop_oneof![3 => Just(0), 3 => 0..200_u64, 1 => Just(u64::from(AUTO_CLOSE_MS))], command())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_commands_keep_to_the_state_machine_and_replay_to_the_same_order(
        commands in prop::collection::vec(timed_command(), 1..40),
    ) {
        let mut order = Order::create(created(), Position(1));
        let mut model = Model::new();
        let mut journal = Vec::new();
        let mut now_ms = CREATED_AT_MS;
        for (wait_ms, command) in commands {
            now_ms += wait_ms;
            let standing = model.standing_at(now_ms);
            let decision = order.decide(&command, now_ms);
            let outcome: Vec<&str> = match &decision {
                Ok(Decision::Events(entry)) => entry.iter().map(Event::name).collect(),
                Ok(Decision::ReserveAgain) => vec!["reserve again"],
                Ok(Decision::Unchanged) => vec!["unchanged"],
                Err(_) => vec!["reject"],
            };
            prop_assert_eq!(outcome, expected(&model, standing, &command), "{:?} when {:?}", command, standing);
            let Ok(Decision::Events(entry)) = decision else { continue };

            model.take(&entry, now_ms);
            // As an order actor does it: positions are settled once the entry is appended.
            for (event, index) in entry.iter().zip(0..) {
                order.apply(event, Position::provisional(index));
            }
            order.settle_positions(Position(journal.len() as u64 + 2));
            journal.extend(entry);
        }

        prop_assert_eq!(order.version, model.version);
        prop_assert_eq!(order.deadline_ms, model.deadline_ms);
        prop_assert_eq!(order.payments_len(), model.refunds.len() + model.sold as usize);
        prop_assert_eq!(order.counts_towards_limits(), model.reserved + model.sold == 1);
        prop_assert_eq!(order.status == OrderStatus::Cancelled, order.close_reason.is_some());

        let mut replayed = Order::create(created(), Position(1));
        for (event, position) in journal.iter().zip(2..) {
            replayed.apply(event, Position(position));
        }
        prop_assert_eq!(&replayed, &order);
        prop_assert_eq!(replayed.record_hash(), order.record_hash());
    }
}
