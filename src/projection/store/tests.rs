//! A checkpoint writes each record once, and what it writes never changes its form.

use super::checkpoint::Checkpointer;
use super::tables;
use super::{TaskRecord, TaskRest, TaskStand};
use crate::domain::event::{Event, OrderCreated, OrderStep, StockUnits};
use crate::domain::ids::{MemberId, OrderNo, PaymentId, Position, SkuId, Slot, StockKey};
use crate::domain::money::Money;
use crate::domain::order::{
    CloseReason, Line, Lines, Order, OrderText, PaymentResult, RefundReason, SettledPayment,
};
use crate::domain::order_type::OrderType;
use crate::domain::request::Shipment;
use crate::domain::task::{
    Bytes, DeadCause, NewTask, PushLimits, ReservationId, TaskBook, TaskEvent, TaskId, TaskState, TopicName,
};
use crate::journal::{EntryBuffer, Frame, FrameBytes, decode_record, encode_record, pack};
use crate::projection::levels::MemoryPages;

const AT_MS: u64 = 1_800_000_000_000;
const MEMBER: MemberId = MemberId(7);

fn number(sequence: u64) -> OrderNo {
    OrderNo::compose(AT_MS - crate::domain::ids::ORDER_NO_EPOCH_MS, Slot::of_member(MEMBER), sequence)
}

fn key() -> StockKey {
    StockKey::normal(SkuId(42))
}

fn created(sequence: u64) -> OrderCreated {
    OrderCreated {
        order_no: number(sequence),
        member_id: MEMBER,
        request_id: u128::from(sequence + 1).into(),
        body_hash: 5,
        order_type: OrderType::Normal,
        at_ms: AT_MS,
        auto_close_ms: 60_000,
        pay_amount: Money::from_minor(250),
        lines: Lines::one(Line {
            key: key(),
            quantity: 2,
            price: Money::from_minor(125),
            revision: 1,
            limit_per_member: 3,
        }),
        extra: crate::domain::order::OrderExtra::of_text(Some(Box::new(OrderText {
            external_no: Some("WEB-1".into()),
            ..OrderText::default()
        }))),
    }
}

fn step(sequence: u64, version: u32) -> OrderStep {
    OrderStep { order_no: number(sequence), version, at_ms: AT_MS + u64::from(version) }
}

pub(super) fn payment() -> PaymentId {
    PaymentId::of("wechat", "shop-1", "t-1")
}

/// An order's whole life.
pub(super) fn life(sequence: u64) -> Vec<Event> {
    let units = vec![StockUnits { key: key(), quantity: 2 }];
    vec![
        Event::OrderCreated(Box::new(created(sequence))),
        Event::PaymentReceived {
            at_ms: AT_MS,
            payment: payment(),
            channel: "wechat".into(),
            merchant: "shop-1".into(),
            transaction_id: "t-1".into(),
            order_no: number(sequence),
            amount: Money::from_minor(250),
        },
        Event::OrderPaid { step: step(sequence, 2), payment: payment(), units },
        Event::OrderShipped { step: step(sequence, 3), shipment: Shipment::default() },
        Event::OrderReceived { step: step(sequence, 4) },
    ]
}

fn order_of(events: &[Event]) -> Order {
    let mut order = Order::create(created(0), Position(1));
    for (position, event) in (1..).zip(events).skip(1) {
        if event.order_version().is_some() {
            order.apply(event, Position(position));
        }
    }
    order
}

pub(super) fn frames(events: &[Event], first: Position) -> Vec<Frame> {
    let mut entries = EntryBuffer::new();
    for event in events {
        entries.push(std::slice::from_ref(event));
    }
    let bytes =
        |frame: &crate::journal::EncodedFrame| -> FrameBytes { std::sync::Arc::new(frame.bytes().to_vec()) };
    pack(&entries, first).iter().map(|frame| Frame::parse(frame.first(), bytes(frame)).unwrap()).collect()
}

fn record(order: &Order) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record(order, &mut bytes);
    bytes
}

#[test]
fn an_order_that_was_placed_paid_and_closed_between_two_checkpoints_is_written_once() {
    let pages = MemoryPages::default();
    let mut store = Checkpointer::open(Box::new(pages.clone()), None).unwrap();
    let events = life(0);
    let taken = store.take(&frames(&events, Position(1))).unwrap();
    assert_eq!((taken.up_to, taken.events), (Position(5), 5));
    assert_eq!(taken.touched, [number(0)], "five events, one order");
    let order = order_of(&events);
    store.put_closed(order.order_no, &record(&order), false);
    let report = store.commit(&taken, order.record_hash(), 1).unwrap();
    // The order, its member's entry, its external number, its payment, the stock key. Of its money: two movements, the
    // balance, where the receipt stands, what paid the order, the account's name, and from when on there are movements.
    assert_eq!(report.entries, 5 + 7);

    for store in [store, Checkpointer::open(Box::new(pages.after_crash()), None).unwrap()] {
        let reader = store.reader();
        let head = reader.head().unwrap();
        assert_eq!((head.position, head.orders, head.closed_orders), (Position(5), 1, 1));
        assert_eq!(head.closed_sum, order.record_hash());
        assert!(head.pending.is_empty());
        assert_eq!(reader.order(number(0)).unwrap().as_ref(), Some(&order));
        assert_eq!(reader.request(MEMBER, 1.into(), 0).unwrap().as_ref(), Some(&order));
        assert_eq!(reader.request(MEMBER, 2.into(), 0).unwrap(), None);
        assert_eq!(reader.payment(payment()).unwrap().unwrap().result, PaymentResult::Paid);
        let mut stock = Vec::new();
        reader.load_stock(|key, entry| stock.push((key, entry.total, entry.reserved, entry.sold))).unwrap();
        assert_eq!(stock, [(key(), 0, 0, 2)]);
    }
}

#[test]
fn frames_that_do_not_continue_the_store_are_refused() {
    let mut store = Checkpointer::open(Box::new(MemoryPages::default()), None).unwrap();
    let error = store.take(&frames(&life(0), Position(3))).unwrap_err();
    assert!(error.to_string().contains("from position 0 to 3"), "{error}");
}

#[test]
fn a_payment_without_an_outcome_is_in_the_head() {
    let mut store = Checkpointer::open(Box::new(MemoryPages::default()), None).unwrap();
    let events = life(0);
    let taken = store.take(&frames(&events[..2], Position(1))).unwrap();
    store.put_open(number(0), &record(&order_of(&events[..1])), false);
    store.commit(&taken, 0, 0).unwrap();
    let head = store.reader().head().unwrap();
    assert_eq!(head.pending.iter().map(|pending| pending.payment).collect::<Vec<_>>(), [payment()]);
    assert_eq!(store.reader().payment(payment()).unwrap(), None);
    let taken = store.take(&frames(&events[2..], Position(3))).unwrap();
    store.commit(&taken, 0, 0).unwrap();
    assert!(store.reader().head().unwrap().pending.is_empty());
}

/// Late money may bring an order back to life between a question and the answer of the store. Not found, it would be
/// placed a second time.
#[test]
fn an_order_that_moved_back_among_the_open_ones_is_still_found() {
    let mut store = Checkpointer::open(Box::new(MemoryPages::default()), None).unwrap();
    let events = life(0);
    let order = order_of(&events[..1]);
    let taken = store.take(&frames(&events[..1], Position(1))).unwrap();
    store.put_closed(order.order_no, &record(&order), false);
    store.commit(&taken, 0, 1).unwrap();
    let reader = store.reader();
    assert_eq!(reader.order(order.order_no).unwrap().as_ref(), Some(&order));

    store.put_open(order.order_no, &record(&order), true);
    store.commit(&taken, 0, -1).unwrap();
    assert_eq!(reader.order(order.order_no).unwrap(), None, "it is not among the closed ones");
    assert_eq!(reader.any_order(order.order_no).unwrap().as_ref(), Some(&order));
    assert_eq!(reader.request(MEMBER, 1.into(), 0).unwrap().as_ref(), Some(&order));
    assert_eq!(reader.orders_of(MEMBER, None, 10, Vec::new()).unwrap(), [order]);
}

#[test]
fn stored_records_keep_their_golden_bytes() {
    let mut order = order_of(&life(0));
    order.close_reason = Some(CloseReason::Timeout);
    let history = order.history.get_or_insert_default();
    let amount = Money::from_minor(250);
    history.refunds.push(crate::domain::order::RefundDue {
        payment: payment(),
        amount,
        reason: RefundReason::SoldOut,
    });
    let bytes = record(&order);
    assert_eq!(decode_record::<Order>(&bytes).unwrap(), order);
    assert_eq!(hex(&bytes), GOLDEN_ORDER);
    let settled = SettledPayment { order_no: number(0), amount, result: PaymentResult::Paid, at_ms: AT_MS };
    let mut bytes = Vec::new();
    encode_record(&settled, &mut bytes);
    assert_eq!(hex(&bytes), GOLDEN_PAYMENT);
    assert_eq!(hex(&tables::order_key(number(3))), GOLDEN_ORDER_KEY);
    assert_eq!(hex(&tables::limit_key(MEMBER, &key())), GOLDEN_LIMIT_KEY);
    assert_eq!(tables::limit_of_key(&tables::limit_key(MEMBER, &key())), Some((MEMBER, key())));
}

/// Where an order has a later life, its record says so by a tag of its own; where it has none, nothing has changed.
#[test]
fn stored_orders_with_a_later_life_keep_their_golden_bytes() {
    use crate::domain::order::{
        AfterSale, Attempt, LineShare, LineUnits, OrderLater, Package, RefundProgress, SellerNote,
    };
    use crate::domain::refund::{RefundBy, RefundState};
    let mut order = order_of(&life(0));
    assert_eq!(order.record_hash(), GOLDEN_HASH);
    let plain = record(&order);
    let lines = vec![LineUnits { line: 0, quantity: 1 }];
    let amount = Money::from_minor(125);
    let history = order.history.get_or_insert_default();
    history.later = Some(Box::default());
    assert_eq!(record(&order), plain, "nothing is stored of nothing");
    assert_eq!(order.record_hash(), GOLDEN_HASH, "and it doesn't count");
    order.history.get_or_insert_default().later = Some(Box::new(OrderLater {
        attempts: vec![Attempt { channel: "wechat".into(), amount, at_ms: AT_MS, is_void: true }],
        prices: vec![amount],
        packages: vec![Package { shipment: Shipment::default(), lines: lines.clone(), at_ms: AT_MS }],
        after_sale: vec![AfterSale {
            ordinal: 1,
            request_id: 9.into(),
            by: RefundBy::Member,
            reason: "no".into(),
            lines: vec![LineShare { line: 0, quantity: 1, amount }],
            amount,
            at_ms: AT_MS,
            restock: lines,
        }],
        progress: vec![RefundProgress {
            ordinal: 1,
            state: RefundState::Failed,
            version: 9,
            note: Some("why".into()),
        }],
        note: Some(SellerNote { remark: "r".into(), flag: 3 }),
        team_formed: true,
    }));
    order.apply(
        &Event::Order { step: step(0, 5), what: Box::new(crate::domain::order::OrderEvent::TeamJoined {}) },
        Position(9),
    );
    let bytes = record(&order);
    assert_eq!(decode_record::<Order>(&bytes).unwrap(), order);
    assert_eq!(hex(&bytes), GOLDEN_LATER);
    assert_eq!(order.record_hash(), GOLDEN_LATER_HASH);
}

/// The delay queue's records: a task with its body, where one stands, and what belongs to no task.
#[test]
fn stored_tasks_keep_their_golden_bytes() {
    let topic = TopicName::new("mails").unwrap();
    let task = TaskRecord {
        topic: topic.clone(),
        id: TaskId::new("order-7").unwrap(),
        due_ms: AT_MS,
        ready_ttl_ms: 9,
        attempts_max: 16,
        body: Bytes(b"xyz".as_slice().into()),
    };
    let stand = |state| TaskStand { due_ms: Some(AT_MS), attempts: 2, state };
    let dead = TaskState::Dead { at_ms: AT_MS, cause: DeadCause::Lapsed };
    let rest = TaskRest { last_seq: 300, live: 2, unfinished: Bytes(b"xyz".as_slice().into()) };
    let mut found = vec![encoded(&task), encoded(&TaskStand::default())];
    found.extend([stand(TaskState::Reserved { until_ms: AT_MS }), stand(dead)].iter().map(encoded));
    found.extend([encoded(&rest), hex(&tables::task_key(&topic, 300))]);
    assert_eq!(found, GOLDEN_TASKS, "{found:#?}");
}

const GOLDEN_TASKS: [&str; 6] = [
    "01056d61696c73076f726465722d37fd00505c18a301000009100378797a",
    "01000000",
    "0101fd00505c18a30100000201fd00505c18a3010000",
    "0101fd00505c18a30100000202fd00505c18a301000001",
    "01fb2c01020378797a",
    "019364c5fd519e4e9b2beb8a466b71742177000000000000012c",
];

fn encoded<T: serde::Serialize>(value: &T) -> String {
    let mut bytes = Vec::new();
    encode_record(value, &mut bytes);
    hex(&bytes)
}

/// All tasks that a store brings back, in a book.
fn book_of(store: &Checkpointer) -> TaskBook {
    let (reader, mut book) = (store.reader(), TaskBook::default());
    for slot in (0..crate::domain::ids::SLOTS).filter_map(Slot::from_index) {
        reader.load_tasks(slot, |topic, view| book.restore(topic, view)).unwrap();
    }
    let rest = reader.task_rest().unwrap();
    book.restore_rest(rest.last_seq, rest.unfinished.0.into());
    book
}

/// A checkpoint may end anywhere: also between the parts of a large body, and between a task and what becomes of it.
#[test]
fn r7_tasks_are_the_same_wherever_a_checkpoint_ends() {
    let (topic, limits) = (
        TopicName::new("mails").unwrap(),
        PushLimits { topics_max: 9, tasks_max: 99, bytes_max: 1 << 30, attempts_max: 1 },
    );
    let (mut book, mut events) = (TaskBook::default(), Vec::new());
    let mut apply = |book: &mut TaskBook, decided: Vec<TaskEvent>| {
        for event in decided {
            book.apply(&event);
            events.push(Event::Task(Box::new(event)));
        }
    };
    let large = NewTask::new("large", vec![1; 60_000]).attempts_max(3);
    let tasks =
        vec![large, NewTask::new("a", "a"), NewTask::new("b", "b"), NewTask::new("c", "c").delay_ms(9)];
    let decided = book.decide_push(&limits, &topic, tasks, AT_MS).unwrap();
    apply(&mut book, decided.events);
    let decided = book.decide_reserve(&topic, 3, 10, 99, AT_MS).unwrap();
    apply(&mut book, decided.events);
    let decided = book.decide_reschedule(&topic, "c", 99, AT_MS + 1);
    apply(&mut book, decided.events);
    let extended = ReservationId { seq: 1, attempt: 1 };
    let decided = book.decide_extend(&topic, "large", extended, 9, AT_MS + 2);
    apply(&mut book, decided.events);
    let decided = book.decide_sweep(&topic, 99, AT_MS + 11);
    apply(&mut book, decided);
    let decided = book.decide_requeue(&topic, "a", 5, AT_MS + 11);
    apply(&mut book, decided.events);
    let decided = book.decide_pop(&topic, 1, AT_MS + 12);
    apply(&mut book, decided.events);
    let decided = book.decide_push(&limits, &topic, vec![NewTask::new("large", vec![2; 60_000])], AT_MS + 13);
    apply(&mut book, decided.unwrap().events);
    assert!(events.len() > 14, "{}", events.len());

    for cut in 0..=events.len() {
        let pages = MemoryPages::default();
        let mut store = Checkpointer::open(Box::new(pages.clone()), None).unwrap();
        let (head, tail) = events.split_at(cut);
        let taken = store.take(&frames(head, Position(1))).unwrap();
        store.commit(&taken, 0, 0).unwrap();

        let mut store = Checkpointer::open(Box::new(pages.after_crash()), None).unwrap();
        let mut recovered = book_of(&store);
        for event in tail {
            let Event::Task(event) = event else { continue };
            recovered.apply(event);
        }
        assert_eq!(recovered.state_hash(), book.state_hash(), "store up to {cut}, then the journal");
        assert_eq!(recovered.last_seq(), book.last_seq());

        let taken = store.take(&frames(tail, Position(cut as u64 + 1))).unwrap();
        store.commit(&taken, 0, 0).unwrap();
        let stored = book_of(&store);
        assert_eq!(stored.state_hash(), book.state_hash(), "two checkpoints, the first up to {cut}");
        assert_eq!(
            (stored.len(), stored.bytes(), stored.last_seq()),
            (book.len(), book.bytes(), book.last_seq())
        );
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const GOLDEN_ORDER: &str = concat!(
    "01fd00f018009782950507000105fd00505c18a3010000fd603a5d18a3010000fbf40101050100002a0002fa01030100",
    "0001055745422d3100000101fda3e583cb73a0dc3afdbd0d5f30478b660e01fda3e583cb73a0dc3afdbd0d5f30478b66",
    "0efbf401010100000306fd02505c18a30100000307fd03505c18a30100000408fd04505c18a301000005fb60ea040301",
    "000000",
);
const GOLDEN_HASH: u64 = 0xda4c_90a4_cf7d_dc2f;
const GOLDEN_LATER: &str = concat!(
    "01fd00f018009782950507000105fd00505c18a3010000fd603a5d18a3010000fbf40101090100002a0002fa01030100",
    "0001055745422d3100000201fda3e583cb73a0dc3afdbd0d5f30478b660e000100000406fd02505c18a30100000307fd",
    "03505c18a30100000408fd04505c18a3010000054cfd05505c18a3010000090106776563686174fafd00505c18a30100",
    "000101fa010000010001fd00505c18a30100000101000900026e6f010001fafafd00505c18a301000001000101010509",
    "01037768790101720301fb60ea0503000000",
);
const GOLDEN_LATER_HASH: u64 = 0x44e6_693b_5a2d_85ce;
const GOLDEN_PAYMENT: &str = "01fd00f0180097829505fbf40100fd00505c18a3010000";
const GOLDEN_ORDER_KEY: &str = "018f059582970018f003";
const GOLDEN_LIMIT_KEY: &str = "018f0000000000000007000000000000000000000000000000002a00000000";
