//! What the tests of the relay share: a sink that does as it is told and remembers, and the checks of R11 on what it saw.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use stockade::journal::{DataDir, JournalError};
use stockade::relay::{
    Delivery, Message, Sink, SubscriptionSpec, SubscriptionState, SubscriptionStatus, Undelivered,
};
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{Config, Engine, NewTask, OrderNo, Position, Relay, Sku};

use crate::support::*;

/// The name of the sink, and of the one subscription that most tests have.
pub(crate) const SINK: &str = "fake";
pub(crate) const NAME: &str = "erp";

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    /// After so many ms.
    TakeLater(u64),
    Refuse,
    RefuseLater(u64),
    Down,
    /// Never answers.
    Hang,
    Panic,
}

type Judge = Box<dyn FnMut(&Message) -> Verdict + Send>;

/// What a sink has seen.
#[derive(Default)]
struct Seen {
    judge: Option<Judge>,
    taken: Vec<Message>,
    offered: usize,
    in_flight: BTreeSet<u64>,
    in_flight_max: usize,
    orders: BTreeSet<OrderNo>,
    closed: usize,
}

/// A sink in memory.
#[derive(Clone, Default)]
pub(crate) struct FakeSink(Arc<Mutex<Seen>>);

impl FakeSink {
    /// One that judges each message anew.
    pub(crate) fn new(judge: impl FnMut(&Message) -> Verdict + Send + 'static) -> Self {
        let sink = Self::default();
        sink.judge(judge);
        sink
    }

    pub(crate) fn judge(&self, judge: impl FnMut(&Message) -> Verdict + Send + 'static) {
        self.seen().judge = Some(Box::new(judge));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }

    /// What it has taken, in order.
    pub(crate) fn taken(&self) -> Vec<Message> {
        self.seen().taken.clone()
    }

    pub(crate) fn taken_len(&self) -> usize {
        self.seen().taken.len()
    }

    /// The positions that it has taken, in order.
    pub(crate) fn positions(&self) -> Vec<u64> {
        self.seen().taken.iter().map(|message| message.position.0).collect()
    }

    /// The names of what it has taken of an order, in order.
    pub(crate) fn of_order(&self, order_no: OrderNo) -> Vec<&'static str> {
        let seen = self.seen();
        let own = seen.taken.iter().filter(|message| message.order_no == Some(order_no));
        own.map(|message| message.event).collect()
    }

    /// Messages that were handed to it, whatever became of them.
    pub(crate) fn offered(&self) -> usize {
        self.seen().offered
    }

    pub(crate) fn in_flight_max(&self) -> usize {
        self.seen().in_flight_max
    }

    pub(crate) fn closed(&self) -> usize {
        self.seen().closed
    }
}

impl Sink for FakeSink {
    fn deliver(&self, message: Arc<Message>) -> Delivery {
        let verdict = {
            let mut seen = self.seen();
            seen.offered += 1;
            // What was dropped on the way is not on its way any more; positions come again then.
            seen.in_flight.insert(message.position.0);
            seen.in_flight_max = seen.in_flight_max.max(seen.in_flight.len());
            if let Some(order_no) = message.order_no {
                assert!(seen.orders.insert(order_no), "two messages of order {order_no} at a time");
            }
            seen.judge.as_mut().map_or(Verdict::Take, |judge| judge(&message))
        };
        let sink = OnItsWay { sink: self.clone(), message };
        assert!(verdict != Verdict::Panic, "a sink that panics");
        Box::pin(async move {
            match verdict {
                Verdict::TakeLater(ms) | Verdict::RefuseLater(ms) => {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                Verdict::Hang => std::future::pending().await,
                Verdict::Take | Verdict::Refuse | Verdict::Down | Verdict::Panic => {}
            }
            match verdict {
                Verdict::Refuse | Verdict::RefuseLater(_) => Err(Undelivered::Refused("not today".into())),
                Verdict::Down => Err(Undelivered::Down("nobody there".into())),
                _ => {
                    sink.sink.seen().taken.push((*sink.message).clone());
                    Ok(())
                }
            }
        })
    }

    fn close(&self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        self.seen().closed += 1;
        Box::pin(async {})
    }
}

/// A message on its way, until it is answered or dropped.
struct OnItsWay {
    sink: FakeSink,
    message: Arc<Message>,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let mut seen = self.sink.seen();
        seen.in_flight.remove(&self.message.position.0);
        if let Some(order_no) = self.message.order_no {
            seen.orders.remove(&order_no);
        }
    }
}

/// Settings of a subscription to the sink, with quick retries; `more` takes the place of what it names.
pub(crate) fn spec(more: Value) -> SubscriptionSpec {
    let mut spec = json!({
        "sink": {"kind": "program", "sink": SINK},
        "retry": {"attempts_max": 3, "backoff_ms": 1, "backoff_ms_max": 4},
        "start": "first",
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(spec).unwrap()
}

/// Settings of a pulled subscription.
pub(crate) fn pulled(more: Value) -> SubscriptionSpec {
    let mut more = more;
    more["sink"] = json!({"kind": "pull"});
    spec(more)
}

/// A shop with the sink, and its relay.
pub(crate) async fn shop_with(sink: &FakeSink) -> (Shop, Relay) {
    let handed_in = Arc::new(sink.clone());
    let shop = Shop::open_with(|config| config.relay_sink(SINK, handed_in)).await;
    let relay = shop.relay().unwrap();
    (shop, relay)
}

/// A shop on a data directory.
pub(crate) struct Disk {
    pub(crate) engine: Engine,
    pub(crate) time: ManualTime,
    clock: Clock,
}

impl std::ops::Deref for Disk {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl Disk {
    pub(crate) async fn open(path: &Path, sink: &FakeSink) -> Self {
        let (clock, time) = Clock::manual(START_MS);
        Self::open_by(path, sink, (clock, time), |config| config).await
    }

    pub(crate) async fn open_by(
        path: &Path,
        sink: &FakeSink,
        (clock, time): (Clock, ManualTime),
        change: impl FnOnce(Config) -> Config,
    ) -> Self {
        let config = config_in(path, &clock).checkpoint_interval_ms(1).journal_keep_min_bytes(0);
        let config = config.relay_sink(SINK, Arc::new(sink.clone()));
        Self { engine: Engine::open(change(config)).await.unwrap(), time, clock }
    }

    pub(crate) async fn stock_up(&self, sku: u64, units: u64) {
        self.put_sku(Sku { limit_per_member: 0, ..crate::support::sku(sku) }).await.unwrap();
        self.adjust_stock(set_total(u128::from(sku), sku, units)).await.unwrap();
    }

    /// As after a crash: nothing is finished.
    pub(crate) async fn crash(self, path: &Path) -> (Clock, ManualTime) {
        let Self { engine, time, clock } = self;
        drop(engine);
        let_go(path).await;
        (clock, time)
    }

    pub(crate) async fn shut_down(self, path: &Path) -> (Clock, ManualTime) {
        answered(self.engine.shutdown()).await.unwrap();
        let Self { engine, time, clock } = self;
        drop(engine);
        let_go(path).await;
        (clock, time)
    }

    /// Writes about so many bytes of journal.
    pub(crate) async fn fill(&self, bytes: usize) {
        let body = vec![b'x'; 60_000];
        for nth in 0..bytes.div_ceil(body.len()) {
            let id = format!("filler-{}-{nth}", self.metrics().appended);
            let task = NewTask::new(id, &body);
            self.delay().push("filler", task).await.unwrap();
        }
    }

    /// Moves time, in small steps, until something is so.
    pub(crate) async fn until_moving(&self, holds: impl Fn(&Self) -> bool) {
        answered(async {
            while !holds(self) {
                self.time.advance(5);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

pub(crate) async fn let_go(path: &Path) {
    until(|| !matches!(DataDir::open(path), Err(JournalError::InUse { .. }))).await;
}

/// Waits, without spinning, for a state that nothing announces.
pub(crate) async fn reached(holds: impl Fn() -> bool) {
    answered(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Waits until a subscription has done with everything that is durable.
pub(crate) async fn drained(engine: &Engine, relay: &Relay) -> SubscriptionStatus {
    let is_drained = || {
        let status = relay.subscription(NAME).unwrap();
        status.cursor.0 > engine.metrics().appended.0 && status.in_flight == 0
    };
    reached(is_drained).await;
    relay.subscription(NAME).unwrap()
}

pub(crate) async fn in_state(
    relay: &Relay,
    wanted: impl Fn(&SubscriptionState) -> bool,
) -> SubscriptionStatus {
    reached(|| wanted(&relay.subscription(NAME).unwrap().state)).await;
    relay.subscription(NAME).unwrap()
}

pub(crate) fn is_suspended(state: &SubscriptionState) -> bool {
    matches!(state, SubscriptionState::Suspended { .. })
}

/// Every event of an engine, with its order, by position.
pub(crate) async fn journal(engine: &Engine) -> BTreeMap<u64, (&'static str, Option<OrderNo>)> {
    let last = engine.metrics().appended;
    let mut events = engine.subscribe(engine.metrics().journal_first.max(Position(1)));
    let mut found = BTreeMap::new();
    while events.position() <= last {
        let recorded = answered(events.next()).await.unwrap().unwrap();
        let order_no = stockade::relay::message::order_of(&recorded.event);
        found.insert(recorded.position.0, (recorded.event.name(), order_no));
    }
    found
}

/// R11 on what a sink has taken: all of the journal, in order per order number, and nothing else.
pub(crate) fn assert_complete(
    taken: &[Message],
    journal: &BTreeMap<u64, (&'static str, Option<OrderNo>)>,
    context: &str,
) {
    let mut first_time: BTreeMap<u64, &Message> = BTreeMap::new();
    let mut last_of: BTreeMap<OrderNo, u64> = BTreeMap::new();
    for message in taken {
        let position = message.position.0;
        let expected = journal.get(&position);
        assert_eq!(expected, Some(&(message.event, message.order_no)), "{context}: position {position}");
        if let Some(before) = first_time.insert(position, message) {
            assert_eq!(before.body, message.body, "{context}: a repeated message says the same");
            continue;
        }
        if let Some(order_no) = message.order_no {
            let last = last_of.insert(order_no, position).unwrap_or(0);
            assert!(last < position, "{context}: order {order_no} got {position} after {last}");
        }
    }
    let missing: Vec<_> = journal.keys().filter(|position| !first_time.contains_key(position)).collect();
    assert!(missing.is_empty(), "{context}: missing {missing:?}");
}

/// A small generator: the same seed gives the same numbers.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// Does something with an order, new or old; refusals are as good as anything.
pub(crate) async fn act(engine: &Engine, dice: &mut Dice, orders: &mut Vec<stockade::Receipt>) {
    use stockade::{Caller, Shipment};
    let request = u128::from(dice.roll(u64::MAX));
    if orders.is_empty() || dice.roll(3) == 0 {
        let placed = engine.submit(one(1 + dice.roll(9), request, 1)).await;
        orders.extend(placed);
        return;
    }
    let nth = dice.roll(orders.len() as u64) as usize;
    let order = orders[nth];
    match dice.roll(5) {
        0 => drop(engine.start_payment(Caller::Operator, order.order_no).await),
        1 => drop(engine.pay(payment(&order, &format!("t{request}"))).await),
        2 => drop(engine.cancel(Caller::Operator, order.order_no).await),
        3 => drop(engine.ship(order.order_no, Shipment::default()).await),
        _ => drop(engine.confirm(Caller::Operator, order.order_no).await),
    }
}
