//! Statements: random histories of payments against a naive count, and a bill against movements.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{CREATED_AT_MS, order_no};
use crate::domain::event::{Event, OrderStep};
use crate::domain::ids::{OrderNo, PaymentId, Position};
use crate::domain::money::Money;
use crate::domain::order::RefundReason;
use crate::domain::statement::{
    Account, AccountStatement, BillEntry, BillKind, Day, Difference, Due, Ledger, Movement, MovementKind,
    PaymentReceipt, Recall, Reconciler, Reconciliation, Standing, Totals, UtcOffset,
};

/// Forgets nothing that was booked, as the store does.
#[derive(Default)]
struct Shelf {
    receipts: BTreeMap<PaymentId, PaymentReceipt>,
    dues: BTreeMap<(OrderNo, u16), Due>,
}

impl Recall for Shelf {
    type Error = std::convert::Infallible;

    fn receipt(&self, payment: PaymentId) -> Result<Option<PaymentReceipt>, Self::Error> {
        Ok(self.receipts.get(&payment).cloned())
    }

    fn due(&self, order_no: OrderNo, number: u16) -> Result<Option<Due>, Self::Error> {
        Ok(self.dues.get(&(order_no, number)).copied())
    }

    fn last_due(&self, order_no: OrderNo) -> Result<u16, Self::Error> {
        let mut dues = self.dues.range((order_no, 1)..=(order_no, u16::MAX));
        Ok(dues.next_back().map_or(0, |((_, number), _)| *number))
    }
}

fn number(order: u64) -> OrderNo {
    OrderNo::from_u64(order_no().get() + order).unwrap()
}

fn received(order: u64, merchant: &str, transaction_id: &str, amount: i64, at_ms: u64) -> Event {
    Event::PaymentReceived {
        at_ms,
        payment: PaymentId::of("wechat", merchant, transaction_id),
        channel: "wechat".into(),
        merchant: merchant.into(),
        transaction_id: transaction_id.into(),
        order_no: number(order),
        amount: Money::from_minor(amount),
    }
}

fn step(order: u64, version: u32, at_ms: u64) -> OrderStep {
    OrderStep { order_no: number(order), version, at_ms }
}

/// Books events, forgetting what is stored after each `forget_every` of them.
fn book(events: &[Event], forget_every: usize) -> (Vec<Movement>, Shelf) {
    let mut ledger = Ledger::from_time(0);
    let mut shelf = Shelf::default();
    let mut movements: Vec<Movement> = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let booking = ledger.take(Position(index as u64 + 1), event, &shelf).unwrap();
        if let Some((order_no, number, due)) = booking.due {
            shelf.dues.insert((order_no, number), due);
        }
        if let Some(movement) = booking.movement {
            if movement.kind == MovementKind::Received {
                let Movement { account, transaction_id, order_no, amount, .. } = movement.clone();
                shelf
                    .receipts
                    .insert(movement.payment, PaymentReceipt { account, transaction_id, order_no, amount });
            }
            movements.push(movement);
        }
        if (index + 1) % forget_every == 0 {
            ledger.forget_stored();
        }
    }
    (movements, shelf)
}

/// A payment's fate in a random history.
#[derive(Clone, Copy, Debug)]
struct Fate {
    merchant: u8,
    amount: i64,
    /// 0 none yet, 1 paid, 2 paid late, 3 to refund as late, 4 to refund as unmatched.
    outcome: u8,
    /// In minutes, so that histories span days.
    gap_min: u16,
    /// How far the outcome's own time lies before the time of the event before it, in ms.
    early_ms: u8,
}

fn fate() -> impl Strategy<Value = Fate> {
    (0..3_u8, 1..100_000_i64, 0..5_u8, 0..600_u16, 0..20_u8).prop_map(
        |(merchant, amount, outcome, gap_min, early_ms)| Fate {
            merchant,
            amount,
            outcome,
            gap_min,
            early_ms,
        },
    )
}

fn events_of(fates: &[Fate]) -> Vec<Event> {
    let mut at_ms = CREATED_AT_MS;
    let mut events = Vec::new();
    for (order, fate) in (0..).zip(fates) {
        at_ms += u64::from(fate.gap_min) * 60_000;
        let (merchant, id) = (format!("m{}", fate.merchant), format!("t{order}"));
        let payment = PaymentId::of("wechat", &merchant, &id);
        events.push(received(order, &merchant, &id, fate.amount, at_ms));
        let at_ms = at_ms - u64::from(fate.early_ms);
        let paid = |version| Event::OrderPaid { step: step(order, version, at_ms), payment, units: vec![] };
        let refund = |reason| Event::RefundRequired {
            step: step(order, 2, at_ms),
            payment,
            amount: Money::from_minor(fate.amount),
            reason,
        };
        match fate.outcome {
            0 => {}
            1 => events.push(paid(2)),
            2 => {
                events.push(Event::OrderRevived { step: step(order, 3, at_ms), units: vec![] });
                events.push(paid(4));
            }
            3 => events.push(refund(RefundReason::SoldOut)),
            _ => events.push(refund(RefundReason::AlreadyPaid)),
        }
    }
    events
}

proptest! {
    #[test]
    fn days_are_chained_and_add_up_to_a_naive_count(
        fates in prop::collection::vec(fate(), 1..60),
        minutes in -720..=840_i32,
        forget_every in 1..20_usize,
    ) {
        let offset = UtcOffset::from_minutes(minutes).unwrap();
        let (movements, _) = book(&events_of(&fates), forget_every);
        prop_assert!(movements.is_sorted_by_key(|movement| (movement.booked_ms, movement.position)));
        for merchant in 0..3_u8 {
            let account = Account::new("wechat", &format!("m{merchant}"));
            let own: Vec<_> = movements.iter().filter(|movement| movement.account == account).collect();
            let (mut all, mut days) = (Totals::default(), Vec::new());
            let mut day = Day::of(CREATED_AT_MS, offset);
            let last = Day::of(movements.last().map_or(0, |movement| movement.booked_ms), offset);
            while day <= last {
                let (from_ms, until_ms) = day.bounds(offset);
                let before = all;
                for movement in own.iter().filter(|own| (from_ms..until_ms).contains(&own.booked_ms)) {
                    all.add(movement.kind, movement.amount);
                }
                days.push(AccountStatement::between(account.clone(), &before, &all));
                day = day.next();
            }
            let mut opening = Standing::default();
            for statement in &days {
                prop_assert_eq!(statement.opening, opening);
                let moved = statement.day.received.minor - statement.day.refunded.minor;
                prop_assert_eq!(opening.balance_minor + moved, statement.closing.balance_minor);
                opening = statement.closing;
            }
            let naive = |outcomes: &[u8]| -> i128 {
                let own = fates.iter().filter(|fate| fate.merchant == merchant);
                own.filter(|fate| outcomes.contains(&fate.outcome)).map(|fate| i128::from(fate.amount)).sum()
            };
            prop_assert_eq!(opening.balance_minor, naive(&[0, 1, 2, 3, 4]));
            prop_assert_eq!(opening.undecided.minor, naive(&[0]));
            prop_assert_eq!(opening.refunds_open.minor, naive(&[3, 4]));
            prop_assert_eq!(all.paid().minor, naive(&[1, 2]));
            prop_assert_eq!(all.late().minor, naive(&[2, 3]));
            prop_assert_eq!(all.unmatched.minor, naive(&[4]));
        }
    }

    #[test]
    fn what_is_forgotten_makes_no_difference(
        fates in prop::collection::vec(fate(), 1..40),
        forget_every in 1..20_usize,
    ) {
        let events = events_of(&fates);
        prop_assert_eq!(book(&events, forget_every).0, book(&events, usize::MAX).0);
    }
}

#[test]
fn an_event_that_stands_behind_a_later_one_is_booked_with_it() {
    let events = [received(0, "m", "a", 100, 5_000), received(1, "m", "b", 100, 4_990)];
    let (movements, _) = book(&events, 10);
    let times: Vec<_> = movements.iter().map(|movement| (movement.booked_ms, movement.at_ms)).collect();
    assert_eq!(times, [(5_000, 5_000), (5_000, 4_990)]);
}

#[test]
fn refunds_of_an_order_are_numbered_in_their_order() {
    let refund = |version, transaction_id: &str| Event::RefundRequired {
        step: step(0, version, 9),
        payment: PaymentId::of("wechat", "m", transaction_id),
        amount: Money::from_minor(100),
        reason: RefundReason::OrderCancelled,
    };
    let events =
        [received(0, "m", "a", 100, 5), received(0, "m", "b", 100, 6), refund(2, "a"), refund(3, "b")];
    for forget_every in 1..5 {
        let (_, shelf) = book(&events, forget_every);
        assert_eq!(shelf.dues.keys().map(|(_, number)| *number).collect::<Vec<_>>(), [1, 2]);
    }
}

#[test]
fn an_order_that_costs_nothing_moves_nothing() {
    let nothing = PaymentId::of("", "", "1");
    let events = [Event::OrderPaid { step: step(0, 2, 9), payment: nothing, units: vec![] }];
    assert_eq!(book(&events, 1).0, []);
}

fn entry(kind: BillKind, id: &str, amount: i64, line: u64) -> BillEntry {
    BillEntry { kind, id: id.into(), amount: Money::from_minor(amount), line }
}

#[test]
fn a_bill_is_compared_entry_by_entry() {
    let day = |at_ms: u64| 86_400_000 + at_ms;
    let events = [
        received(0, "m", "yesterday", 100, day(0) - 1_000),
        received(1, "m", "agrees", 100, day(5_000_000)),
        received(2, "m", "differs", 100, day(5_000_000)),
        received(3, "m", "not-in-the-bill", 100, day(5_000_000)),
        received(4, "m", "at-midnight", 100, day(86_399_000)),
    ];
    let (movements, _) = book(&events, 10);
    let compare = |margin_ms| {
        let mut reconciler = Reconciler::new(day(0), day(86_400_000), margin_ms);
        let bill = [
            entry(BillKind::Payment, "yesterday", 100, 2),
            entry(BillKind::Payment, "agrees", 100, 3),
            entry(BillKind::Payment, "agrees", 100, 4),
            entry(BillKind::Payment, "differs", 101, 5),
            entry(BillKind::Refund, "agrees", 100, 6),
        ];
        let mut found: Vec<Difference> =
            bill.into_iter().filter_map(|entry| reconciler.entry(entry)).collect();
        let (from_ms, until_ms) = reconciler.wanted_ms();
        let wanted = movements.iter().filter(|found| (from_ms..until_ms).contains(&found.booked_ms));
        found.extend(wanted.cloned().filter_map(|movement| reconciler.movement(movement)));
        let (missing, result) = reconciler.finish();
        found.extend(missing);
        (found.iter().map(Difference::name).collect::<Vec<_>>(), result)
    };
    let strict =
        ["counted_twice", "differs", "missing_there", "missing_there", "missing_here", "missing_here"];
    assert_eq!(compare(0), (strict.to_vec(), Reconciliation { matched: 1, wrong: 6, notes: 0 }));
    let lenient = ["counted_twice", "other_day", "differs", "missing_there", "near_midnight", "missing_here"];
    assert_eq!(compare(60_000), (lenient.to_vec(), Reconciliation { matched: 2, wrong: 4, notes: 2 }));
}
