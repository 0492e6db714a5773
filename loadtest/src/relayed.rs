//! The other system: what it makes of the relay's messages, and whether that is what the journal says.
//!
//! It reads messages as they come, tells repetitions by their position, and keeps a table of orders from messages alone.
//! Afterwards journal and store are read past it: every event that was chosen must have come, those of one order in
//! sequence, each once after repetitions are dropped, and the table must be the store's.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use stockade::audit::verify::{VerifyOptions, verify};
use stockade::domain::hash::mix64;
use stockade::domain::order::Order;
use stockade::{Event, OrderNo, OrderStatus};

use crate::Failure;
use crate::acked::Problems;
use crate::progress;

/// What is relayed: everything in an order's life, and its payments. Events of goods and stock are not chosen, so that
/// the choice is seen to work.
pub(crate) const CHOSEN: [&str; 9] = [
    "OrderCreated",
    "PaymentStarted",
    "PaymentReceived",
    "OrderPaid",
    "OrderShipped",
    "OrderReceived",
    "OrderClosed",
    "OrderRevived",
    "RefundRequired",
];
/// The version of the messages that is understood.
const SCHEMA: u64 = 1;
/// Positions beyond this are a mistake: no test has so many events.
const POSITION_MAX: u64 = 1 << 36;

/// What is needed of a message.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    schema: u64,
    position: u64,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    order_no: Option<Cow<'a, str>>,
    #[serde(borrow)]
    user_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    amount: Option<i64>,
    version: Option<u32>,
}

/// An order as the messages have told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    /// Position of the last message about it.
    last: u64,
    /// Events of its own so far.
    version: u32,
    status: Option<OrderStatus>,
    /// In minor units.
    amount: Option<i64>,
    member: Option<u64>,
}

/// Everything that has come.
#[derive(Debug, Default)]
pub(crate) struct Received {
    seen: Positions,
    table: HashMap<OrderNo, Row>,
    /// Messages, repetitions included.
    messages: u64,
    duplicates: u64,
    /// A sum over the content of all messages, each once, whatever their sequence.
    digest: u64,
    problems: Problems,
}

impl Received {
    /// Takes a message in.
    pub(crate) fn take(&mut self, body: &[u8]) {
        self.messages += 1;
        let envelope: Envelope<'_> = match serde_json::from_slice(body) {
            Ok(envelope) => envelope,
            // Its body may hold personal data, so only the parser's own words are repeated.
            Err(error) => return self.problems.add(|| format!("a message can't be read: {error}")),
        };
        if let Err(problem) = self.take_envelope(&envelope) {
            self.problems.add(|| format!("position {}: {problem}", envelope.position));
        }
    }

    fn take_envelope(&mut self, envelope: &Envelope<'_>) -> Result<(), String> {
        if envelope.schema != SCHEMA {
            return Err(format!("schema {}", envelope.schema));
        }
        if !self.seen.insert(envelope.position)? {
            self.duplicates += 1;
            return Ok(());
        }
        let order_no = envelope.order_no.as_deref().map(str::parse::<OrderNo>).transpose();
        let order_no = order_no.map_err(|error| error.to_string())?;
        self.digest = self.digest.wrapping_add(digest(envelope.position, &envelope.event, order_no));
        let Some(order_no) = order_no else { return Ok(()) };
        let row = self.table.entry(order_no).or_default();
        if row.last > envelope.position {
            return Err(format!("of order {order_no}, came after position {}", row.last));
        }
        row.last = envelope.position;
        if let Some(version) = envelope.version {
            if row.version.checked_add(1) != Some(version) {
                return Err(format!("version {version} of order {order_no} came after {}", row.version));
            }
            row.version = version;
        }
        if let Some(name) = envelope.status.as_deref() {
            row.status = Some(OrderStatus::from_name(name).ok_or_else(|| format!("status {name}"))?);
        }
        row.amount = envelope.amount.or(row.amount);
        if let Some(member) = envelope.user_id.as_deref() {
            row.member = Some(member.parse().map_err(|_| format!("user {member}"))?);
        }
        Ok(())
    }

    /// Messages, each counted once.
    pub(crate) fn distinct(&self) -> u64 {
        self.seen.count
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Orders in the table.
    pub(crate) fn orders(&self) -> u64 {
        self.table.len() as u64
    }

    /// What was wrong with the messages themselves.
    pub(crate) fn take_problems(&mut self) -> Problems {
        std::mem::take(&mut self.problems)
    }

    /// Holds an event of the journal against what has come.
    fn compare_event(&self, position: u64, event: &Event, wanted: &mut Wanted) {
        if !wanted.chosen.contains(&event.name()) {
            return;
        }
        wanted.events += 1;
        wanted.digest = wanted.digest.wrapping_add(digest(position, event.name(), order_of(event)));
        if !self.seen.contains(position) {
            wanted.missing += 1;
            wanted.problems.add(|| format!("position {position}, {}, never came", event.name()));
        }
    }

    /// Holds an order of the store against the table.
    fn compare_order(&self, order: &Order, wanted: &mut Wanted) {
        wanted.orders += 1;
        let (amount, member) = (order.pay_amount.minor(), order.member_id.0);
        let stored = (order.version, Some(order.status), Some(amount), Some(member));
        let row = self.table.get(&order.order_no);
        if row.map(|row| (row.version, row.status, row.amount, row.member)) != Some(stored) {
            let order_no = order.order_no;
            wanted.problems.add(|| format!("order {order_no}: stored {stored:?}, by its messages {row:?}"));
        }
    }

    /// What is left to say once all events and orders are compared.
    fn compare_totals(&self, wanted: &mut Wanted) {
        let (rows, orders) = (self.orders(), wanted.orders);
        if rows != orders {
            wanted.problems.add(|| format!("{orders} orders are stored, the messages tell of {rows}"));
        }
        if wanted.journal_first > 1 {
            // What is trimmed away can't be counted; the orders' versions say that none of theirs is missing.
            return;
        }
        let came = self.seen.count;
        let expected = wanted.events - wanted.missing;
        if came != expected {
            wanted.problems.add(|| format!("{came} events came, and {expected} of them were chosen"));
        } else if wanted.missing == 0 && self.digest != wanted.digest {
            wanted.problems.add(|| "messages name other events or orders than the journal".to_owned());
        }
    }
}

/// What the journal says should have come.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    chosen: Vec<&'static str>,
    digest: u64,
    /// First position that the journal still has.
    pub(crate) journal_first: u64,
    /// Events that were chosen.
    pub(crate) events: u64,
    pub(crate) missing: u64,
    /// Orders in the store.
    pub(crate) orders: u64,
    /// Rules that are broken in journal or store, and what differs between them and the messages.
    pub(crate) problems: Problems,
}

/// Audits a data directory that no engine has open any more, and holds each `Received` against it, which was to have
/// everything that is [`CHOSEN`].
pub(crate) fn audit(data: &Path, received: &[&Received]) -> Result<Vec<Wanted>, Failure> {
    let bar = progress::bar("audit", 0);
    let blank = || Wanted { chosen: CHOSEN.to_vec(), ..Wanted::default() };
    let wanted: Vec<_> = received.iter().map(|_| std::cell::RefCell::new(blank())).collect();
    let each = |compare: &dyn Fn(&Received, &mut Wanted)| {
        for (received, wanted) in received.iter().zip(&wanted) {
            compare(received, &mut wanted.borrow_mut());
        }
    };
    // Nobody else has the directory, so it needs no copy.
    let options = VerifyOptions::new()
        .in_place(true)
        .on_order(|order| each(&|received, wanted| received.compare_order(order, wanted)))
        .on_entry(|first, events| {
            bar.inc(events.len() as u64);
            each(&|_, wanted| {
                if wanted.journal_first == 0 {
                    wanted.journal_first = first.0;
                }
            });
            for (position, event) in (first.0..).zip(events) {
                each(&|received, wanted| received.compare_event(position, event, wanted));
            }
        });
    let report = verify(data, options)?;
    each(&|received, wanted| received.compare_totals(wanted));
    bar.finish_and_clear();
    let mut wanted: Vec<Wanted> = wanted.into_iter().map(std::cell::RefCell::into_inner).collect();
    if let Some(first) = wanted.first_mut() {
        report.violations.iter().for_each(|violation| first.problems.add(|| violation.to_string()));
    }
    Ok(wanted)
}

/// The order that a message about an event names.
fn order_of(event: &Event) -> Option<OrderNo> {
    match event {
        Event::PaymentReceived { order_no, .. } => Some(*order_no),
        event => event.order_version().map(|(order_no, _)| order_no),
    }
}

/// A number for what a message is about. Their sum is the same in any sequence.
fn digest(position: u64, event: &str, order_no: Option<OrderNo>) -> u64 {
    let mut sum = mix64(position);
    for byte in event.bytes() {
        sum = mix64(sum ^ u64::from(byte));
    }
    mix64(sum ^ order_no.map_or(0, OrderNo::get))
}

/// A set of positions, a bit each.
#[derive(Debug, Default)]
struct Positions {
    words: Vec<u64>,
    count: u64,
}

impl Positions {
    /// Whether it is new.
    fn insert(&mut self, position: u64) -> Result<bool, String> {
        if !(1..POSITION_MAX).contains(&position) {
            return Err("no position that an event can have".to_owned());
        }
        let (word, bit) = (position as usize / 64, 1_u64 << (position % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.count += u64::from(is_new);
        Ok(is_new)
    }

    fn contains(&self, position: u64) -> bool {
        let word = usize::try_from(position / 64).ok().and_then(|word| self.words.get(word));
        word.is_some_and(|word| word & (1 << (position % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(position: u64, event: &str, order_no: u64, status: &str) -> Vec<u8> {
        versioned(position, event, order_no, status, None)
    }

    fn versioned(position: u64, event: &str, order_no: u64, status: &str, version: Option<u32>) -> Vec<u8> {
        serde_json::json!({
            "version": version,
            "schema": 1, "position": position, "entry": position, "event": event, "order_no": order_no.to_string(),
            "user_id": "7", "status": status, "amount": 9_900, "payload": {},
        })
        .to_string()
        .into_bytes()
    }

    fn received(messages: &[Vec<u8>]) -> Received {
        let mut received = Received::default();
        messages.iter().for_each(|message| received.take(message));
        received
    }

    #[test]
    fn a_repetition_counts_once_and_changes_nothing() {
        let created = message(5, "OrderCreated", 77, "pending");
        let paid = message(9, "OrderPaid", 77, "paid");
        let received = received(&[created.clone(), paid.clone(), created, paid]);
        assert_eq!((received.messages(), received.duplicates(), received.distinct()), (4, 2, 2));
        assert_eq!(received.problems.total(), 0);
        let row = received.table.values().next().unwrap();
        assert_eq!((row.status, row.amount, row.member), (Some(OrderStatus::Paid), Some(9_900), Some(7)));
    }

    #[test]
    fn what_comes_out_of_sequence_is_a_problem_within_one_order_alone() {
        let first = message(5, "OrderCreated", 77, "pending");
        let later = message(9, "OrderPaid", 77, "paid");
        let other = message(7, "OrderCreated", 78, "pending");
        assert_eq!(received(&[later.clone(), first.clone()]).problems.total(), 1);
        assert_eq!(received(&[first, later, other]).problems.total(), 0);
    }

    #[test]
    fn every_version_of_an_order_must_come() {
        let [first, second, third] =
            [1, 2, 3].map(|version| versioned(u64::from(version), "OrderPaid", 77, "paid", Some(version)));
        assert_eq!(received(&[first.clone(), second.clone(), third.clone()]).problems.total(), 0);
        assert_eq!(received(&[first, third.clone()]).problems.total(), 1);
        assert_eq!(received(&[second, third]).problems.total(), 2);
    }

    #[test]
    fn what_is_no_message_is_a_problem() {
        let mut strange = message(5, "OrderCreated", 77, "pending");
        strange.truncate(20);
        let other_schema = br#"{"schema": 2, "position": 1, "event": "x"}"#.to_vec();
        let no_position = message(0, "OrderCreated", 77, "pending");
        let no_status = message(5, "OrderCreated", 77, "gone");
        for message in [strange, other_schema, no_position, no_status] {
            assert_eq!(received(&[message]).problems.total(), 1);
        }
    }

    fn created(order_no: u64, at_ms: u64) -> Event {
        let order_no = OrderNo::from_u64(order_no).unwrap();
        let step = stockade::domain::event::OrderStep { order_no, version: 2, at_ms };
        Event::OrderReceived { step }
    }

    #[test]
    fn what_is_missing_or_too_much_is_told() {
        let received = received(&[
            message(5, "OrderReceived", 77, "completed"),
            message(6, "OrderReceived", 78, "completed"),
        ]);
        let compare = |events: &[(u64, u64)]| {
            let mut wanted = Wanted { chosen: CHOSEN.to_vec(), orders: 2, ..Wanted::default() };
            for (position, order_no) in events {
                received.compare_event(*position, &created(*order_no, 0), &mut wanted);
            }
            received.compare_totals(&mut wanted);
            (wanted.events, wanted.missing, wanted.problems.total())
        };
        assert_eq!(compare(&[(5, 77), (6, 78)]), (2, 0, 0));
        assert_eq!(compare(&[(5, 77), (6, 78), (7, 79)]), (3, 1, 1));
        assert_eq!(compare(&[(5, 77)]), (1, 0, 1), "one came that nobody chose");
        assert_eq!(compare(&[(5, 77), (6, 79)]), (2, 0, 1), "a message names another order");
    }

    #[test]
    fn positions_are_told_apart() {
        let mut positions = Positions::default();
        for position in [1, 63, 64, 65, 1_000_000] {
            assert_eq!(positions.insert(position), Ok(true));
            assert_eq!(positions.insert(position), Ok(false));
            assert!(positions.contains(position) && !positions.contains(position + 10));
        }
        assert_eq!(positions.count, 5);
        assert!(positions.insert(0).is_err() && positions.insert(u64::MAX).is_err());
    }
}
