//! Who works beside the buyers: the shop's side of refunds, its switches, and users of the delay queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stockade::domain::hash::mix64;
use stockade::{
    AckOutcome, NewTask, PushOutcome, Refund, RefundFilter, RefundNo, RefundState, RefundStep, Reject,
    ReserveOutcome, SaleControl,
};
use tokio::task::JoinSet;

use super::book::Book;
use super::sale::{Operation, Sale};
use crate::Failure;
use crate::acked::Problems;
use crate::plan::Random;
use crate::shop::patiently;

/// How often the list of refunds is looked at while it is empty.
const REFUNDS_POLL: Duration = Duration::from_millis(20);
/// Refunds that are worked on at a time.
const REFUNDS_AT_ONCE: usize = 64;
/// Longest time for the last refunds.
const WORK_OFF_MAX: Duration = Duration::from_secs(60);
/// How often tasks are pushed and reserved.
const TASKS_PACE: Duration = Duration::from_millis(10);
/// How long a reserved task stays so, in ms: far longer than its acknowledgement takes.
const VISIBILITY_MS: u64 = 60_000;
const TOPIC: &str = "scenario";
/// The stream of chance that chooses what is paused.
const SWITCH_STREAM: u64 = 1 << 41;

/// Works refunds off until told to stop and none is left that it could work on.
pub(crate) async fn work_refunds(sale: Arc<Sale>, stop: Arc<AtomicBool>) -> Result<Book, Failure> {
    let mut book = Book::default();
    if !sale.buyers.script.refunds.worked {
        return Ok(book);
    }
    let mut told_to_stop = None;
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        if stopping && told_to_stop.get_or_insert_with(Instant::now).elapsed() > WORK_OFF_MAX {
            book.problems.add(|| "the list of refunds does not get empty".to_owned());
            return Ok(book);
        }
        let states = vec![RefundState::Required, RefundState::Requested, RefundState::Failed];
        let list = || {
            let filter = RefundFilter { states: states.clone(), after: None, len_max: REFUNDS_AT_ONCE };
            sale.engine.refunds(filter)
        };
        let page = patiently(list).await?;
        if page.refunds.is_empty() {
            if stopping {
                return Ok(book);
            }
            tokio::time::sleep(REFUNDS_POLL).await;
            continue;
        }
        let mut steps = JoinSet::new();
        for refund in page.refunds {
            steps.spawn(work_refund(Arc::clone(&sale), refund));
        }
        while let Some(done) = steps.join_next().await {
            book.add(done?);
        }
    }
}

/// Takes one refund a step further: some fail at first, and are asked for again.
async fn work_refund(sale: Arc<Sale>, refund: Refund) -> Book {
    let mut book = Book::default();
    let name = refund.refund_no.to_string();
    let chance = name.bytes().fold(sale.buyers.script.seed, |hash, byte| mix64(hash ^ u64::from(byte)));
    let fails =
        refund.state == RefundState::Required && chance % 100 < u64::from(sale.buyers.script.refunds.fails);
    if refund.state != RefundState::Requested {
        report(&sale, refund.refund_no, RefundStep::Requested, chance, &mut book).await;
    }
    if fails {
        let failed = RefundStep::Failed { reason: "the provider is busy".into() };
        report(&sale, refund.refund_no, failed, chance, &mut book).await;
        return book;
    }
    let finished = RefundStep::Finished { provider_refund_id: format!("r{name}").into() };
    if report(&sale, refund.refund_no, finished, chance, &mut book).await {
        book.refunded.push((refund.refund_no, refund.amount));
    }
    book
}

async fn report(sale: &Sale, refund_no: RefundNo, step: RefundStep, client: u64, book: &mut Book) -> bool {
    let ask = || sale.engine.report_refund(refund_no, step.clone());
    match sale.timed(Operation::Refund, client, ask).await {
        Ok(_) => true,
        Err(reject) => {
            book.problems.add(|| format!("refund {refund_no}, {step:?}: {reject}"));
            false
        }
    }
}

/// Pauses a SKU now and then, until told to stop; none stays paused. Returns how often it did.
pub(crate) async fn turn_switches(sale: Arc<Sale>, stop: Arc<AtomicBool>) -> Result<u64, Failure> {
    let switches = sale.buyers.script.switches.clone();
    let mut random = Random::new(sale.buyers.script.seed, SWITCH_STREAM);
    let mut turns = 0;
    while switches.every_ms > 0 && !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(switches.every_ms)).await;
        let sku = (random.below(sale.buyers.script.shop.skus) + 1).into();
        for paused in [true, false] {
            patiently(|| sale.engine.control_sales(SaleControl::SkuPaused { sku, paused }, None)).await?;
            if paused {
                tokio::time::sleep(Duration::from_millis(switches.paused_ms)).await;
            }
        }
        turns += 1;
    }
    Ok(turns)
}

/// What the delay queue was asked and answered.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    pub(crate) pushed: u64,
    pub(crate) acked: u64,
    pub(crate) problems: Problems,
}

/// Pushes tasks at a rate until told to stop, reserves and acknowledges them meanwhile, and in the end all that are left.
pub(crate) async fn use_delay_queue(sale: Arc<Sale>, stop: Arc<AtomicBool>) -> Result<Tasks, Failure> {
    let mut tasks = Tasks::default();
    let part = sale.buyers.script.delay.clone();
    if part.rate == 0 {
        return Ok(tasks);
    }
    let queue = sale.engine.delay();
    // When each live task is due, by its number: none may be handed out before, and none twice.
    let mut due: BTreeMap<u64, u64> = BTreeMap::new();
    let began = Instant::now();
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        let planned = (began.elapsed().as_millis() as u64).saturating_mul(part.rate) / 1_000;
        while tasks.pushed < planned && !stopping {
            let n = tasks.pushed;
            let delay_ms = mix64(n) % (part.delay_ms_max + 1);
            let push = || queue.push(TOPIC, NewTask::new(n.to_string(), "remind").delay_ms(delay_ms));
            match patiently(push).await? {
                PushOutcome::Pushed { due_ms } => due.insert(n, due_ms),
                PushOutcome::DuplicateId => {
                    return Err(format!("task {n} was there before it was pushed").into());
                }
            };
            tasks.pushed += 1;
        }
        let found = patiently(|| queue.reserve(TOPIC, 256, VISIBILITY_MS)).await?;
        if stopping && due.is_empty() {
            if found != ReserveOutcome::NotFound {
                tasks.problems.add(|| "tasks are left of which nothing is known".to_owned());
            }
            return Ok(tasks);
        }
        for reserved in found.tasks() {
            let id = reserved.task.id.to_string();
            let is_due = id.parse().ok().and_then(|n: u64| due.remove(&n));
            if is_due.is_none_or(|due_ms| due_ms > sale.engine.now_ms()) {
                tasks.problems.add(|| format!("task {id} came early or twice"));
            }
            let ack = || queue.ack(TOPIC, &id, reserved.reservation);
            match patiently(ack).await {
                Ok(AckOutcome::Acked) => tasks.acked += 1,
                other => tasks.problems.add(|| format!("task {id} was not acknowledged: {other:?}")),
            }
        }
        tokio::time::sleep(TASKS_PACE).await;
    }
}

/// Refunds that are on the list, by state.
pub(crate) async fn refunds_left(sale: &Sale) -> Result<BTreeMap<&'static str, u64>, Reject> {
    let mut left: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut after = None;
    loop {
        let filter = || RefundFilter { after, ..RefundFilter::default() };
        let page = patiently(|| sale.engine.refunds(filter())).await?;
        for refund in &page.refunds {
            *left.entry(refund.state.name()).or_default() += 1;
        }
        after = page.next;
        if after.is_none() {
            return Ok(left);
        }
    }
}
