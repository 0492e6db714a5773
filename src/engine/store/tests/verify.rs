//! The audit of directories with a store: clean ones pass, whole and trimmed, and whatever is changed in a store is
//! noticed, whether there is a whole journal to compare it with or not.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::audit::Rule;
use crate::audit::verify::verify;
use crate::domain::ids::{MemberId, OrderNo, Position};
use crate::domain::order::PaymentResult;
use crate::domain::task::{Bytes, TopicName};
use crate::journal::layout;
use crate::projection::levels::SledPages;
use crate::projection::store::Tampering;
use crate::{NewAct, NewTask};

/// What an engine has left.
struct Left {
    _temporary: TempDir,
    data: PathBuf,
    receipts: Vec<Receipt>,
}

impl Left {
    fn audit(&self) -> AuditReport {
        verify(&self.data, VerifyOptions::new().in_place(true)).unwrap()
    }

    fn tamper(&self, change: impl FnOnce(&mut Tampering)) {
        let pages = SledPages::open(&self.data.join(layout::STORE_DIR), 1 << 20).unwrap();
        let mut tampering = Tampering::open(Box::new(pages));
        change(&mut tampering);
        tampering.commit();
    }
}

/// The audit has found something, and says this.
#[track_caller]
fn finds(report: &AuditReport, what: &str, said: &str) {
    assert!(!report.passed(), "{what}: nothing was found, but {said} was expected");
    let found = report.violations.iter().any(|violation| violation.message.contains(said));
    assert!(found, "{what}: {said} is not among {:#?}", report.violations);
}

/// The same in memory.
async fn leave_in_memory(is_trimmed: bool) -> (MemoryJournal, MemoryPages, Vec<Receipt>) {
    let (clock, time) = Clock::manual(START_MS);
    let (journal, pages) = (MemoryJournal::new(1 << 30), MemoryPages::default());
    let keep_bytes = if is_trimmed { 0 } else { u64::MAX };
    let engine = open(config(&clock).journal_keep_min_bytes(keep_bytes), &journal, &pages).await;
    let receipts = fill(&engine, &time, is_trimmed).await;
    let left = (journal.after_power_cut(), pages.after_crash(), receipts);
    engine.shutdown().await.unwrap();
    left
}

/// Forty orders that are stored, and twenty more that are in the journal alone.
async fn fill(engine: &Engine, time: &ManualTime, is_trimmed: bool) -> Vec<Receipt> {
    stock(engine).await;
    fill_queue(engine).await;
    let mut receipts = Vec::new();
    for round in 0..4 {
        receipts.extend(trade(engine, round * 10..(round + 1) * 10).await);
        stored(engine, time).await;
    }
    if is_trimmed {
        until(engine, time, |metrics| metrics.journal_first.0 > 1).await;
        stored(engine, time).await;
    }
    receipts.extend(trade(engine, 40..60).await);
    engine.state_hash().await.unwrap();
    receipts
}

/// Three tasks of an hour's delay; the first has been reserved and given back.
async fn fill_queue(engine: &Engine) {
    let queue = engine.delay();
    queue.push("mails", NewTask::new("a", "a")).await.unwrap();
    let reserved = queue.reserve("mails", 1, 1_000).await.unwrap().tasks().remove(0);
    queue.nack("mails", "a", reserved.reservation, 3_600_000).await.unwrap();
    let tasks = ["b", "c"].map(|id| NewTask::new(id, id).delay_ms(3_600_000)).to_vec();
    queue.push_batch("mails", tasks).await.unwrap();
}

/// A change of the store that the audit finds, and what it says of it.
type Tampered = (for<'t> fn(&'t mut Tampering, &TopicName) -> &'t mut Tampering, &'static str);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_changed_in_a_stored_task_is_noticed() {
    let topic = TopicName::new("mails").unwrap();
    let always: &[Tampered] = &[
        (|store, topic| store.remove_task(topic, 1), "the task of number 1 stands, which is not stored"),
        (|store, topic| store.remove_task(topic, 2), "the number of live tasks is stored as 3"),
        (
            |store, topic| store.task(topic, 2, |task| task.topic = TopicName::new("x").unwrap()),
            "is stored under another topic",
        ),
    ];
    let against_a_replay: &[Tampered] = &[
        (|store, topic| store.task(topic, 2, |task| task.body = Bytes::default()), "differ in task b"),
        (|store, topic| store.task(topic, 3, |task| task.due_ms += 1), "differ in task c"),
    ];
    for is_trimmed in [false, true] {
        let cases = if is_trimmed { always.to_vec() } else { [always, against_a_replay].concat() };
        for (change, said) in cases {
            let left = leave(is_trimmed).await;
            left.tamper(|store| {
                change(store, &topic);
            });
            finds(&left.audit(), &format!("trimmed: {is_trimmed}"), said);
        }
    }
}

/// An operator's record that says something else, or is gone: found while the journal has it, and where it breaks its
/// bounds or the store's end also afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_changed_in_the_operator_log_is_noticed() {
    let (clock, time) = Clock::manual(START_MS);
    let (journal, pages) = (MemoryJournal::new(1 << 30), MemoryPages::default());
    let engine = open(config(&clock).journal_keep_min_bytes(u64::MAX), &journal, &pages).await;
    stock(&engine).await;
    let act = NewAct { operator: "li".into(), action: "order.ship".into(), ..NewAct::default() };
    let at = engine.record_act(act).await.unwrap();
    stored(&engine, &time).await;
    let (journal, pages) = (journal.after_power_cut(), pages.after_crash());
    engine.shutdown().await.unwrap();
    assert!(audit(&journal, &pages).passed());

    type Change = fn(&mut Tampering, Position);
    let said = format!("the act of an operator at position {at}");
    let changes: [(&str, Change, &str); 3] = [
        (
            "it names another",
            |store, at| {
                store.act(at, |act| act.operator = "wang".into());
            },
            &said,
        ),
        (
            "it is gone",
            |store, at| {
                store.remove_act(at);
            },
            &said,
        ),
        (
            "it names nobody",
            |store, at| {
                store.act(at, |act| act.operator = "".into());
            },
            "is empty or too long",
        ),
    ];
    for (what, change, said) in changes {
        let changed = pages.after_crash();
        let mut store = Tampering::open(Box::new(changed.clone()));
        change(&mut store, at);
        store.commit();
        finds(&audit(&journal, &changed), what, said);
    }
}

/// The directory after forty orders have been stored, and twenty more are in the journal alone: copied from under a
/// running engine, which does nothing at that moment.
async fn leave(is_trimmed: bool) -> Left {
    let temporary = tempfile::tempdir().unwrap();
    let original = temporary.path().join("shop");
    let (clock, time) = Clock::manual(START_MS);
    let keep_bytes = if is_trimmed { 0 } else { u64::MAX };
    let config = Config { data_dir: original.clone(), ..config(&clock) };
    let engine = Engine::open(config.journal_keep_min_bytes(keep_bytes)).await.unwrap();
    let receipts = fill(&engine, &time, is_trimmed).await;
    let data = temporary.path().join("copy");
    copy(&original, &data);
    engine.shutdown().await.unwrap();
    Left { _temporary: temporary, data, receipts }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_directory_passes_whole_and_trimmed() {
    for is_trimmed in [false, true] {
        let left = leave(is_trimmed).await;
        let report = left.audit();
        assert!(report.passed(), "{:#?}", report.violations);
        let store = report.store.unwrap();
        assert_eq!(store.compared_with_replay, !is_trimmed);
        assert_eq!(report.first_position.0 > 1, is_trimmed);
        // A checkpoint that was due already may take in some of the last twenty.
        assert!((40..60).contains(&(store.open_orders + store.closed_orders)), "{store:?}");
        assert_eq!(report.orders.total, 60);
        assert!(store.position < report.last_position, "some of it stands in the journal alone");
        let orders = (report.orders.completed, report.orders.cancelled(), report.orders.paid);
        assert_eq!(orders, (15, 15, 15));
        assert_eq!((report.payments_received, report.refunds_required), (45, 15));
        assert_eq!(report.stock.sold, 30);
        assert_eq!((report.tasks.pending, store.tasks), (3, 3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn observers_see_stored_orders_and_entries() {
    let left = leave(true).await;
    let (mut orders, mut entries) = (0, 0);
    let options = VerifyOptions::new().in_place(true);
    let options = options.on_order(|_| orders += 1).on_entry(|_, _| entries += 1);
    let report = verify(&left.data, options).unwrap();
    assert!((40..60).contains(&orders), "{orders}");
    assert_eq!(entries, report.entries);
}

/// Every change of the store, whether there is something to compare it with or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_changed_in_the_store_is_found() {
    type Change = fn(&[Receipt], &mut Tampering);
    let changes: &[(&str, Change, &str)] = &[
        (
            "a closed order's amount",
            |receipts, store| {
                store.closed_order(receipts[0].order_no, |order| order.pay_amount = Money::from_minor(1));
            },
            "the sum of the closed orders' hashes",
        ),
        (
            "a closed order's quantity",
            |receipts, store| {
                store.closed_order(receipts[0].order_no, |order| order.version += 1);
            },
            "its timeline ends with version",
        ),
        (
            "an open order's status",
            |receipts, store| {
                let status = crate::OrderStatus::Shipped;
                store.open_order(receipts[2].order_no, |order| order.status = status);
            },
            "its timeline leaves it paid",
        ),
        (
            "a counter",
            |_, store| {
                store.stock(&StockKey::normal(1.into()), |entry| entry.sold += 1);
            },
            "stock normal/0/1/0 is stored with reserved",
        ),
        (
            "a total",
            |_, store| {
                store.stock(&StockKey::normal(1.into()), |entry| entry.total += 1);
            },
            "its adjustments come to 10000",
        ),
        (
            "a member's entry is gone",
            |receipts, store| {
                store.remove_member(MemberId(3), receipts[3].order_no);
            },
            "has no entry by its member 3",
        ),
        (
            "a member has one too many",
            |_, store| {
                store.add_member(MemberId(3), OrderNo::from_u64(77).unwrap());
            },
            "order 77, which is not stored",
        ),
        (
            "an external number is gone",
            |_, store| {
                store.remove_external(&external_no(5));
            },
            "has no entry by its external number",
        ),
        (
            "a payment's outcome",
            |receipts, store| {
                let id = payment(0, &receipts[0]).id().unwrap();
                let reason = crate::RefundReason::SoldOut;
                store.payment(id, |payment| payment.result = PaymentResult::RefundRequired(reason));
            },
            "its order says",
        ),
        (
            "a payment is gone",
            |receipts, store| {
                let id = payment(0, &receipts[0]).id().unwrap();
                store.remove_payment(id);
            },
            "is not stored",
        ),
        (
            "the sum of the payments",
            |_, store| {
                store.head(|head| head.payments_sum ^= 1);
            },
            "the sum of the payments' hashes",
        ),
        (
            "a limit in use",
            |_, store| {
                store.limit(MemberId(3), &StockKey::normal(2.into()), |(used, _)| *used += 1);
            },
            "member 3 is stored with",
        ),
        (
            "the number of orders",
            |_, store| {
                store.head(|head| head.orders += 1);
            },
            "the number of orders is stored as ",
        ),
        (
            "the store is ahead of the journal",
            |_, store| {
                store.head(|head| head.position = Position(head.position.0 + 10_000));
            },
            "the journal already at position",
        ),
        (
            "the store has forgotten its end",
            |_, store| {
                store.head(|head| head.position = Position(head.position.0 - 1));
            },
            "",
        ),
    ];
    for is_trimmed in [false, true] {
        let (journal, pages, receipts) = leave_in_memory(is_trimmed).await;
        let report = audit(&journal, &pages);
        assert!(report.passed(), "{:#?}", report.violations);
        for (what, change, said) in changes {
            let changed = pages.after_crash();
            let mut store = Tampering::open(Box::new(changed.clone()));
            change(&receipts, &mut store);
            store.commit();
            finds(&audit(&journal, &changed), what, said);
        }
    }
}

/// A journal that was put back from an older copy, with the mark that belongs to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_has_lost_its_end_is_found() {
    let temporary = tempfile::tempdir().unwrap();
    let data = temporary.path().join("shop");
    let (clock, time) = Clock::manual(START_MS);
    let config = Config { data_dir: data.clone(), ..config(&clock) };
    let engine = Engine::open(config).await.unwrap();
    stock(&engine).await;
    let mut receipts = trade(&engine, 0..20).await;
    stored(&engine, &time).await;
    trade(&engine, 20..24).await;
    stored(&engine, &time).await;
    let older = temporary.path().join("older");
    copy(&data, &older);
    receipts.extend(trade(&engine, 24..40).await);
    engine.shutdown().await.unwrap();
    drop(engine);

    let left = Left { _temporary: temporary, data: data.clone(), receipts };
    let wait = || {
        (0..1_000).find_map(|_| {
            std::thread::sleep(Duration::from_millis(5));
            verify(&data, VerifyOptions::new()).ok()
        })
    };
    assert!(wait().is_some_and(|report| report.passed()));
    fs::remove_dir_all(data.join(layout::JOURNAL_DIR)).unwrap();
    copy(&older.join(layout::JOURNAL_DIR), &data.join(layout::JOURNAL_DIR));
    fs::copy(older.join(layout::MARK_FILE), data.join(layout::MARK_FILE)).unwrap();
    finds(&left.audit(), "the directory", "the journal already at position");
    let report = left.audit();
    assert!(report.violations.iter().all(|violation| violation.rule == Rule::Store), "{report:#?}");
}

/// Without its store a trimmed journal can't be audited, and that is a violation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trimmed_journal_without_its_store_does_not_pass() {
    let left = leave(true).await;
    fs::remove_dir_all(left.data.join(layout::STORE_DIR)).unwrap();
    finds(&left.audit(), "the directory", "expected 1");
    assert_eq!(left.audit().store, None);
    // An empty store is no better.
    fs::create_dir(left.data.join(layout::STORE_DIR)).unwrap();
    finds(&left.audit(), "the directory", "the store ends at position 0, the journal begins at position");
}

/// A payment that is older than payments are kept may be missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_payment_may_be_missing() {
    let left = leave(true).await;
    let id = payment(0, &left.receipts[0]).id().unwrap();
    left.tamper(|store| {
        store.remove_payment(id).head(|head| head.latest_at_ms += 10 * 24 * 3_600_000);
    });
    finds(&left.audit(), "the directory", "is not stored");
    let options = VerifyOptions::new().in_place(true).payment_window_ms(9 * 24 * 3_600_000);
    let report = verify(&left.data, options).unwrap();
    assert!(report.passed(), "{:#?}", report.violations);
    assert_eq!(report.store.unwrap().payments_expired, 1);
}
