//! An engine by a manual clock on a journal in memory, and the few words that the tests are written in.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Deref;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use stockade::audit::{AuditReport, Auditor};
use stockade::domain::event::StockUnits;
use stockade::journal::{
    EncodedFrame, EntryBuffer, Journal, JournalError, JournalRead, MemoryJournal, TrimProgress, pack, scan,
};
use stockade::runtime::clock::{Clock, ManualTime};
use stockade::{
    AdjustmentId, Caller, Config, Engine, Event, Money, OpenError, OrderNo, OrderStatus, OrderType,
    OrderView, Payment, Position, Receipt, RefundFilter, RefundState, RefundStep, Reject, Sku, SkuId,
    StockAdjustment, StockChange, StockCounters, StockKey, SubmitOrder, TeamEvent,
};

/// Where every clock starts, in ms since the Unix epoch.
pub(crate) const START_MS: u64 = 1_800_000_000_000;
/// How long orders of the tests stay unpaid, in ms.
pub(crate) const AUTO_CLOSE_MS: u32 = 60_000;
/// How far a started payment moves the deadline, in ms.
pub(crate) const PAYMENT_GRACE_MS: u64 = 10_000;
/// What one unit costs.
pub(crate) const PRICE: i64 = 250;
/// Nothing in these tests takes longer, so waiting beyond it is a hang.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// An engine with everything that a test wants to turn and look at.
pub(crate) struct Shop {
    pub(crate) engine: Engine,
    pub(crate) journal: MemoryJournal,
    pub(crate) clock: Clock,
    pub(crate) time: ManualTime,
}

impl Deref for Shop {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// The configuration of the tests: two order actors, small tables, no grace after a restart.
pub(crate) fn config(clock: &Clock) -> Config {
    config_in(Path::new("unused"), clock)
}

/// The same on a data directory.
pub(crate) fn config_in(path: &Path, clock: &Clock) -> Config {
    Config::new(path)
        .clock(clock.clone())
        .order_actors(2)
        .auto_close_ms(OrderType::Normal, AUTO_CLOSE_MS)
        .payment_grace_ms(PAYMENT_GRACE_MS)
        .recovery_grace_ms(0)
        .request_filter_bits(1 << 16)
        .refusals_kept(1 << 12)
        .ballast_bytes(0)
}

pub(crate) fn new_journal() -> MemoryJournal {
    MemoryJournal::new(1 << 30)
}

impl Shop {
    /// A fresh shop.
    pub(crate) async fn open() -> Self {
        Self::open_with(|config| config).await
    }

    /// A fresh shop with another configuration.
    pub(crate) async fn open_with(change: impl FnOnce(Config) -> Config) -> Self {
        let (clock, time) = Clock::manual(START_MS);
        let journal = new_journal();
        let engine = Engine::open_on(change(config(&clock)), journal.clone()).await.unwrap();
        Self { engine, journal, clock, time }
    }

    /// A fresh shop whose journal stalls while its gate is closed.
    pub(crate) async fn open_gated(change: impl FnOnce(Config) -> Config) -> (Self, SyncGate) {
        let (clock, time) = Clock::manual(START_MS);
        let (journal, gate) = (new_journal(), SyncGate::default());
        let gated = GatedJournal { journal: journal.clone(), gate: gate.clone() };
        let engine = Engine::open_on(change(config(&clock)), gated).await.unwrap();
        (Self { engine, journal, clock, time }, gate)
    }

    /// A shop on what an earlier one left, by the same clock.
    pub(crate) async fn reopen(
        &self,
        journal: MemoryJournal,
        change: impl FnOnce(Config) -> Config,
    ) -> Result<Self, OpenError> {
        let (clock, time) = (self.clock.clone(), self.time.clone());
        let engine = Engine::open_on(change(config(&clock)), journal.clone()).await?;
        Ok(Self { engine, journal, clock, time })
    }

    /// The shop that comes back after a power cut at this moment.
    pub(crate) async fn after_power_cut(&self) -> Self {
        self.reopen(self.journal.after_power_cut(), |config| config).await.unwrap()
    }

    /// Puts a SKU on sale, without a limit, with so many units.
    pub(crate) async fn stock_up(&self, sku: u64, units: u64) {
        self.stock_up_limited(sku, units, 0).await;
    }

    /// Puts a SKU on sale, with a limit per member, with so many units.
    pub(crate) async fn stock_up_limited(&self, sku: u64, units: u64, limit_per_member: u32) {
        self.put_sku(Sku { limit_per_member, ..self::sku(sku) }).await.unwrap();
        self.adjust_stock(set_total(u128::from(sku), sku, units)).await.unwrap();
    }

    pub(crate) async fn counters(&self, sku: u64) -> StockCounters {
        self.stock(key(sku)).await.unwrap()
    }

    pub(crate) async fn view(&self, order_no: OrderNo) -> OrderView {
        self.order(Caller::Operator, order_no).await.unwrap()
    }

    pub(crate) async fn status(&self, order_no: OrderNo) -> OrderStatus {
        self.view(order_no).await.status
    }

    /// Moves the clock to an instant, in ms since the Unix epoch.
    pub(crate) fn advance_to(&self, at_ms: u64) {
        self.time.advance(at_ms - self.now_ms());
    }

    /// Waits for the order's timer to close it.
    pub(crate) async fn closed(&self, order_no: OrderNo) -> Event {
        self.event(|event| {
            matches!(event, Event::OrderClosed { .. })
                && event.order_version().is_some_and(|(number, _)| number == order_no)
        })
        .await
    }

    /// Waits for an event to become durable.
    pub(crate) async fn event(&self, wanted: impl Fn(&Event) -> bool) -> Event {
        answered(async {
            let mut events = self.subscribe(Position(1));
            loop {
                let recorded = events.next().await.unwrap().expect("the engine runs");
                if wanted(&recorded.event) {
                    return recorded.event;
                }
            }
        })
        .await
    }

    /// Lets every actor do some whole rounds, so that whatever is due has happened, and waits until it is durable.
    pub(crate) async fn settle(&self) {
        for _ in 0..4 {
            self.state_hash().await.unwrap();
        }
        until(|| self.metrics().durable == self.metrics().appended).await;
    }

    /// The durable journal, entry by entry.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        entries(&self.journal)
    }

    /// Everything that an order's events say, with the entry that each stands in.
    pub(crate) fn events_of(&self, order_no: OrderNo) -> Vec<(Position, &'static str)> {
        let mut found = Vec::new();
        for Entry { first, events } in self.entries() {
            let own = events
                .iter()
                .filter(|event| event.order_version().is_some_and(|(number, _version)| number == order_no));
            found.extend(own.map(|event| (first, event.name())));
        }
        found
    }

    /// How many events of this name are durable.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.entries().iter().flat_map(|entry| &entry.events).filter(|event| event.name() == name).count()
    }
}

/// One decision in the journal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) first: Position,
    pub(crate) events: Vec<Event>,
}

/// What a journal holds.
pub(crate) fn entries(journal: &MemoryJournal) -> Vec<Entry> {
    let reader: Arc<dyn JournalRead> = journal.reader();
    let first = reader.first();
    let mut entries = Vec::new();
    for frame in scan(reader, first) {
        for entry in frame.unwrap().entries() {
            let events = entry.events().map(|event| event.unwrap().1).collect();
            entries.push(Entry { first: entry.first, events });
        }
    }
    entries
}

/// A journal that holds these entries and nothing more, as a crash between two of them would leave it.
pub(crate) fn journal_of(entries: &[Entry]) -> MemoryJournal {
    let mut journal = new_journal();
    let mut last = Position(0);
    for Entry { first, events } in entries {
        let mut buffer = EntryBuffer::new();
        buffer.push(events);
        journal.write(&pack(&buffer, *first)).unwrap();
        last = Position(first.0 + events.len() as u64 - 1);
    }
    journal.sync(last).unwrap();
    // Counts its operations from here on.
    journal.after_power_cut()
}

/// Audits a journal, which must break no rule.
pub(crate) fn audit(journal: &MemoryJournal) -> AuditReport {
    let mut auditor = Auditor::new();
    for Entry { first, events } in entries(journal) {
        auditor.entry(first, &events);
    }
    let report = auditor.finish();
    assert!(report.passed(), "{:#?}", report.violations);
    report
}

/// Counts stock along the journal, apart from engine and auditor: no prefix may promise more units than there are.
pub(crate) fn assert_no_prefix_oversells(journal: &MemoryJournal) {
    /// Units of one key.
    #[derive(Debug, Default)]
    struct Count {
        total: i64,
        promised: i64,
    }
    let mut counts: BTreeMap<StockKey, Count> = BTreeMap::new();
    let mut position = 0;
    for Entry { events, .. } in entries(journal) {
        for event in events {
            position += 1;
            let mut promise = |units: &[StockUnits], sign: i64| {
                for StockUnits { key, quantity } in units {
                    counts.entry(*key).or_default().promised += sign * i64::from(*quantity);
                }
            };
            match &event {
                Event::StockAdjusted { key, delta, .. } => counts.entry(*key).or_default().total += delta,
                Event::StockTransferred { from, to, units, .. } => {
                    counts.entry(*from).or_default().total -= *units as i64;
                    counts.entry(*to).or_default().total += *units as i64;
                }
                Event::Team(TeamEvent::Opened { team, activity, size, .. }) => {
                    counts.entry(StockKey::seats(*activity, *team)).or_default().total += i64::from(*size);
                }
                Event::Order { what, .. } => promise(what.restocked(), -1),
                Event::OrderCreated(created) => promise(&created.lines.units(), 1),
                Event::OrderRevived { units, .. } => promise(units, 1),
                Event::OrderClosed { units, .. } => promise(units, -1),
                _ => {}
            }
            for (key, count) in &counts {
                assert!(
                    (0..=count.total).contains(&count.promised),
                    "after {} at position {position}: {key} has {count:?}",
                    event.name()
                );
            }
        }
    }
}

pub(crate) fn key(sku: u64) -> StockKey {
    StockKey::normal(SkuId(sku))
}

pub(crate) fn sku(id: u64) -> Sku {
    Sku {
        id: id.into(),
        product_id: 1.into(),
        code: format!("SKU-{id}"),
        title: format!("Article {id}"),
        price: Money::from_minor(PRICE),
        on_sale: true,
        limit_per_member: 0,
    }
}

pub(crate) fn set_total(id: u128, sku: u64, units: u64) -> StockAdjustment {
    StockAdjustment { id: AdjustmentId(id), key: key(sku), change: StockChange::Absolute(units) }
}

pub(crate) fn add_units(id: u128, sku: u64, units: i64) -> StockAdjustment {
    StockAdjustment { id: AdjustmentId(id), key: key(sku), change: StockChange::Relative(units) }
}

/// One unit of a SKU.
pub(crate) fn one(member: u64, request: u128, sku: u64) -> SubmitOrder {
    SubmitOrder::one_line(member, request, sku, 1)
}

/// Several lines: SKU and quantity.
pub(crate) fn basket(member: u64, request: u128, lines: &[(u64, u32)]) -> SubmitOrder {
    SubmitOrder {
        lines: lines.iter().map(|(sku, quantity)| stockade::OrderLine::new(*sku, *quantity)).collect(),
        ..one(member, request, 0)
    }
}

/// The provider's notification for an order.
pub(crate) fn payment(receipt: &Receipt, transaction_id: &str) -> Payment {
    Payment {
        order: receipt.order_no.into(),
        channel: "wechat".into(),
        merchant: "shop-1".into(),
        transaction_id: transaction_id.into(),
        amount: receipt.pay_amount,
    }
}

/// Pays back everything that is owed, so that nothing keeps its orders in memory.
pub(crate) async fn pay_back(engine: &Engine) {
    let owed = [RefundState::Required, RefundState::Requested, RefundState::Failed];
    let filter = RefundFilter { states: owed.to_vec(), ..RefundFilter::default() };
    for refund in engine.refunds(filter).await.unwrap().refunds {
        let step = RefundStep::Finished { provider_refund_id: refund.refund_no.to_string().into() };
        engine.report_refund(refund.refund_no, step).await.unwrap();
    }
}

pub(crate) fn sold_out(sku: u64) -> Reject {
    Reject::SoldOut { sku: SkuId(sku) }
}

/// Waits for something that must happen, and says so instead of hanging.
pub(crate) async fn answered<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(ANSWER_WITHIN, future).await.expect("an answer, not a hang")
}

/// Waits for a state that no event announces.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    answered(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Runs futures side by side and gives their results in order.
pub(crate) async fn together<T: Send + 'static>(
    futures: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        results.push(answered(task).await.unwrap());
    }
    results
}

/// Submits orders side by side.
pub(crate) async fn submit_together(
    engine: &Engine,
    orders: impl IntoIterator<Item = SubmitOrder>,
) -> Vec<Result<Receipt, Reject>> {
    let submit = |order| {
        let engine = engine.clone();
        async move { engine.submit(order).await }
    };
    together(orders.into_iter().map(submit).collect::<Vec<_>>()).await
}

/// Polls a future once.
pub(crate) fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Lets a journal's writer wait before it syncs.
#[derive(Clone, Default)]
pub(crate) struct SyncGate(Arc<(Mutex<bool>, Condvar)>);

impl SyncGate {
    pub(crate) fn close(&self) {
        *self.0.0.lock().unwrap() = true;
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = false;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut closed = self.0.0.lock().unwrap();
        while *closed {
            closed = self.0.1.wait(closed).unwrap();
        }
    }
}

/// A journal in memory whose syncs pass a gate.
struct GatedJournal {
    journal: MemoryJournal,
    gate: SyncGate,
}

impl Journal for GatedJournal {
    fn write(&mut self, frames: &[EncodedFrame]) -> Result<(), JournalError> {
        self.journal.write(frames)
    }

    fn sync(&mut self, last: Position) -> Result<(), JournalError> {
        self.gate.pass();
        self.journal.sync(last)
    }

    fn trim(&mut self, keep_from: Position) -> Result<TrimProgress, JournalError> {
        self.journal.trim(keep_from)
    }

    fn reader(&self) -> Arc<dyn JournalRead> {
        self.journal.reader()
    }
}

/// What a query means; days begin in UTC.
pub(crate) fn expr(query: &str) -> stockade::domain::search::Expr {
    use stockade::domain::search::{Expr, ParseContext};
    let context = ParseContext { now_ms: START_MS, offset: stockade::UtcOffset::UTC };
    Expr::parse(query, &context).unwrap()
}
