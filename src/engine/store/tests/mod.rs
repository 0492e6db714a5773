//! Engines with a store: what a failing store does to them, and what the audit makes of what they leave.

mod faults;
mod verify;

use std::time::Duration;

use crate::audit::AuditReport;
use crate::audit::verify::{Names, VerifyOptions, verify_parts};
use crate::domain::refund::{RefundNo, RefundStep};
use crate::domain::request::{Payment, SubmitOrder};
use crate::journal::{Journal, MemoryJournal};
use crate::projection::levels::{MemoryPages, PageStore};
use crate::projection::store::{Checkpointer, Contents};
use crate::runtime::clock::{Clock, ManualTime};
use crate::{Caller, Config, Engine, Metrics, Money, Receipt, Sku, StockAdjustment, StockChange, StockKey};

const START_MS: u64 = 1_800_000_000_000;
const RETAIN_MS: u64 = 1_000;
const LIMIT: u32 = 1_000;
/// Looks, 1 ms apart, until something must have happened.
const LOOKS_MAX: usize = 20_000;

/// A shop that makes a checkpoint every 10 ms of its clock, and lets the journal go at once.
fn config(clock: &Clock) -> Config {
    Config::new("unused")
        .clock(clock.clone())
        .order_actors(2)
        .recovery_grace_ms(0)
        .request_filter_bits(1 << 12)
        .refusals_kept(1 << 12)
        .ballast_bytes(0)
        .checkpoint_interval_ms(10)
        .retain_closed_ms(RETAIN_MS)
        .journal_keep_min_bytes(0)
}

/// SKU 1 without, SKU 2 with a purchase limit.
async fn stock(engine: &Engine) {
    for (id, limit_per_member) in [(1, 0), (2, LIMIT)] {
        let sku = Sku {
            id: id.into(),
            product_id: 1.into(),
            code: "TEA".into(),
            title: "Green tea".into(),
            price: Money::from_minor(250),
            on_sale: true,
            limit_per_member,
        };
        engine.put_sku(sku).await.unwrap();
        let key = StockKey::normal(id.into());
        let change = StockChange::Relative(10_000);
        engine.adjust_stock(StockAdjustment { id: 1.into(), key, change }).await.unwrap();
    }
}

/// The n-th request: of one of seven members, every fifth with an external number.
fn request(n: u64) -> SubmitOrder {
    SubmitOrder {
        external_no: n.is_multiple_of(5).then(|| external_no(n).into()),
        ..SubmitOrder::one_line(n % 7, u128::from(n), 1 + n % 2, 1)
    }
}

fn external_no(n: u64) -> String {
    format!("W-{n}")
}

fn payment(n: u64, receipt: &Receipt) -> Payment {
    Payment {
        order: receipt.order_no.into(),
        channel: "bank".into(),
        merchant: "shop".into(),
        transaction_id: n.to_string().into(),
        amount: receipt.pay_amount,
    }
}

/// Of four orders, one is received, one is cancelled and its money has gone back, one is paid, one stays open.
async fn live(engine: &Engine, n: u64) -> Receipt {
    let receipt = engine.submit(request(n)).await.unwrap();
    let order_no = receipt.order_no;
    match n % 4 {
        0 => {
            engine.start_payment(Caller::Operator, order_no).await.unwrap();
            engine.pay(payment(n, &receipt)).await.unwrap();
            engine.ship(order_no, Default::default()).await.unwrap();
            engine.confirm(Caller::Operator, order_no).await.unwrap();
        }
        1 => {
            engine.cancel(Caller::Operator, order_no).await.unwrap();
            engine.pay(payment(n, &receipt)).await.unwrap();
            let refund_no = RefundNo::Order { order_no, ordinal: 1 };
            let step = RefundStep::Finished { provider_refund_id: n.to_string().into() };
            engine.report_refund(refund_no, step).await.unwrap();
        }
        2 => drop(engine.pay(payment(n, &receipt)).await.unwrap()),
        _ => {}
    }
    receipt
}

/// Lets so many orders live, side by side, without moving the clock: no checkpoint begins by itself.
async fn trade(engine: &Engine, numbers: std::ops::Range<u64>) -> Vec<Receipt> {
    let tasks: Vec<_> = numbers
        .map(|n| {
            let engine = engine.clone();
            tokio::spawn(async move { live(&engine, n).await })
        })
        .collect();
    let mut receipts = Vec::new();
    for task in tasks {
        receipts.push(task.await.unwrap());
    }
    receipts
}

/// Moves the clock on until the metrics are as wanted.
async fn until(engine: &Engine, time: &ManualTime, wanted: impl Fn(&Metrics) -> bool) {
    for _ in 0..LOOKS_MAX {
        if wanted(&engine.metrics()) {
            return;
        }
        time.advance(10);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it doesn't happen: {:?}", engine.metrics());
}

/// Moves the clock on until the store has everything, or has failed.
async fn stored(engine: &Engine, time: &ManualTime) {
    until(engine, time, |metrics| metrics.stored == metrics.appended || metrics.store_failure.is_some())
        .await;
}

/// An engine on a journal and a store in memory.
async fn open(config: Config, journal: &MemoryJournal, pages: &MemoryPages) -> Engine {
    let pages: Box<dyn PageStore> = Box::new(pages.clone());
    Engine::open_with(config, journal.clone(), Some(pages), None).await.unwrap()
}

/// The audit of what is in memory.
fn audit(journal: &MemoryJournal, pages: &MemoryPages) -> AuditReport {
    let store = Checkpointer::open(Box::new(pages.clone()), None).unwrap();
    let contents = Contents::of(&store.reader());
    verify_parts(journal.reader(), Some(&contents), Names::default(), &mut VerifyOptions::new()).unwrap()
}
