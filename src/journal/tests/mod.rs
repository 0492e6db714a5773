//! Tests of the journal as a whole, and what they share.

mod damage;
mod frames;
mod golden;
mod golden_orders;
mod on_disk;
mod strace;
mod whole;
mod writer;

use std::sync::Arc;

use crate::domain::activity::{Activity, ActivityItem, ActivityKind, TeamTerms};
use crate::domain::catalogue::Sku;
use crate::domain::coupon::{CouponEvent, CouponStep};
use crate::domain::event::{Event, OrderCreated, OrderStep, StockUnits};
use crate::domain::ids::{
    ActivityId, AdjustmentId, CouponId, CouponTermsId, ImportId, LocationId, MemberId, OrderNo, PaymentId,
    Pool, Position, ProductId, RequestId, SkuId, Slot, StockKey, TeamId,
};
use crate::domain::money::Money;
use crate::domain::operator::OperatorAct;
use crate::domain::order::{CloseReason, Line, Lines, OrderTerms, OrderText, RefundReason, SpentCoupon};
use crate::domain::order_type::OrderType;
use crate::domain::request::{Personal, Shipment, StockChange};
use crate::domain::setting::{Origin, SaleControl, Setting};
use crate::domain::task::{Bytes, DeadCause, PushedTask, TaskBody, TaskEvent, TaskId, TaskRef, TopicName};
use crate::domain::team::TeamEvent;

use super::*;

/// The time of every event that doesn't say otherwise: in November 2025.
const AT_MS: u64 = 1_764_000_000_000;

/// An order number of that time.
fn order_no(slot: u16, sequence: u64) -> OrderNo {
    OrderNo::compose(59_932_800_000, Slot::from_index(slot).unwrap(), sequence)
}

fn step(version: u32) -> OrderStep {
    OrderStep { order_no: order_no(5, 9), version, at_ms: AT_MS }
}

/// A one-line order with long ids and realistic amounts.
fn one_line_order() -> OrderCreated {
    OrderCreated {
        order_no: order_no(1023, 4095),
        member_id: MemberId(u64::MAX - 1),
        request_id: RequestId::new(0xfedc_ba98_7654_3210_0123_4567_89ab_cdef),
        body_hash: 0x9e37_79b9_7f4a_7c15,
        order_type: OrderType::Normal,
        at_ms: AT_MS,
        auto_close_ms: 900_000,
        pay_amount: Money::from_minor(1_999_900),
        lines: Lines::one(Line {
            key: StockKey::normal(SkuId(u64::MAX - 2)),
            quantity: 1,
            price: Money::from_minor(1_999_900),
            revision: 300,
            limit_per_member: 2,
        }),
        extra: Default::default(),
    }
}

fn created(order: OrderCreated) -> Event {
    Event::OrderCreated(Box::new(order))
}

/// A small event that is told apart by its number.
fn numbered(number: u64) -> Event {
    Event::NumbersReserved { at_ms: AT_MS, until_ms: number }
}

/// One of every event, with every kind of field filled in.
fn one_of_each() -> Vec<Event> {
    let key =
        StockKey { pool: Pool::Seckill, activity: ActivityId(3), sku: SkuId(1001), location: LocationId(2) };
    let units = vec![StockUnits { key: StockKey::normal(SkuId(1001)), quantity: 2 }];
    let payment = PaymentId::of("wechat", "m1", "t1");
    let line = |sku| Line {
        key: StockKey::normal(SkuId(sku)),
        quantity: 2,
        price: Money::from_minor(500),
        revision: 1,
        limit_per_member: 0,
    };
    let full = OrderCreated {
        lines: Lines::from_vec(vec![line(1), line(2)]),
        extra: crate::domain::order::OrderExtra::of_text(Some(Box::new(OrderText {
            personal: Some(Personal::Sealed { key_version: 1, ciphertext: b"xyz".as_slice().into() }),
            remark: Some("快".into()),
            external_no: Some("A-1".into()),
            ext: Some(b"{}".as_slice().into()),
            line_ext: vec![(SkuId(1), b"red".as_slice().into())],
        }))),
        ..one_line_order()
    };
    vec![
        numbered(77),
        Event::SkuPut {
            at_ms: AT_MS,
            revision: 2,
            sku: Box::new(Sku {
                id: SkuId(1001),
                product_id: ProductId(7),
                code: "TEA-1".into(),
                title: "茶".into(),
                price: Money::from_minor(19_900),
                on_sale: true,
                limit_per_member: 2,
            }),
        },
        Event::StockAdjusted {
            at_ms: AT_MS,
            key,
            adjustment_id: AdjustmentId(1 << 100),
            change: StockChange::Relative(-5),
            delta: -5,
        },
        created(one_line_order()),
        created(full),
        Event::PaymentStarted { step: step(2), deadline_ms: AT_MS + 1 },
        Event::PaymentReceived {
            at_ms: AT_MS,
            payment,
            channel: "wechat".into(),
            merchant: "m1".into(),
            transaction_id: "t1".into(),
            order_no: order_no(5, 9),
            amount: Money::from_minor(1_000),
        },
        Event::OrderPaid { step: step(3), payment, units: units.clone() },
        Event::OrderShipped {
            step: step(4),
            shipment: Shipment { carrier: "SF".into(), tracking_no: "1".into() },
        },
        Event::OrderReceived { step: step(5) },
        Event::OrderClosed { step: step(2), reason: CloseReason::Timeout, units: units.clone() },
        Event::OrderRevived { step: step(3), units },
        Event::RefundRequired {
            step: step(4),
            payment,
            amount: Money::from_minor(1_000),
            reason: RefundReason::SoldOut,
        },
        Event::LimitImported {
            at_ms: AT_MS,
            member_id: MemberId(300),
            key: StockKey::normal(SkuId(1001)),
            used: 3,
            import_id: ImportId(1 << 100),
        },
        Event::SettingPut {
            at_ms: AT_MS,
            revision: 2,
            setting: Box::new(Setting::Activity(Activity {
                id: ActivityId(9),
                kind: ActivityKind::GroupBuy,
                title: "茶".into(),
                start_ms: AT_MS,
                end_ms: AT_MS + 1,
                items: vec![ActivityItem {
                    sku_id: SkuId(1001),
                    price: Money::from_minor(99),
                    limit_per_member: 1,
                }],
                team: Some(TeamTerms { size: 3, time_limit_ms: 60_000 }),
                auto_close_ms: Some(1_000),
                ended_at_ms: None,
            })),
            origin: Some(Box::new(Origin { operator: "wang".into(), reason: "new".into() })),
        },
        Event::SettingPut {
            at_ms: AT_MS,
            revision: 1,
            setting: Box::new(Setting::Control(SaleControl::SafetyStock { key, units: 300 })),
            origin: None,
        },
        Event::StockTransferred {
            at_ms: AT_MS,
            transfer_id: AdjustmentId(1 << 100),
            from: StockKey::normal(SkuId(1001)),
            to: key,
            units: 5,
        },
        Event::Team(TeamEvent::Opened {
            at_ms: AT_MS,
            team: TeamId(8),
            activity: ActivityId(9),
            size: 3,
            deadline_ms: AT_MS + 1,
        }),
        Event::Team(TeamEvent::Formed { at_ms: AT_MS, team: TeamId(8) }),
        Event::Team(TeamEvent::Failed { at_ms: AT_MS, team: TeamId(8) }),
        created(OrderCreated {
            extra: crate::domain::order::OrderExtra {
                text: None,
                terms: Some(Box::new(OrderTerms {
                    activity_id: ActivityId(9),
                    team_id: TeamId(8),
                    freight: Money::from_minor(800),
                    discounts: vec![Money::from_minor(100)],
                    adjustments: vec![Money::from_minor(-50)],
                    coupons: vec![SpentCoupon {
                        coupon: CouponId::new(1 << 100),
                        terms: CouponTermsId(7),
                        amount: Money::from_minor(100),
                        valid_until_ms: AT_MS,
                    }],
                    price_source: Some("erp".into()),
                })),
            },
            ..one_line_order()
        }),
    ]
    .into_iter()
    .chain(task_events().into_iter().map(|event| Event::Task(Box::new(event))))
    .chain(coupon_events().map(|event| Event::Coupon(Box::new(event))))
    .chain([Event::OperatorActed(Box::new(OperatorAct {
        at_ms: AT_MS,
        operator: "li".into(),
        reason: "茶".into(),
        action: "order.ship".into(),
        target: "300".into(),
        request: "r".into(),
    }))])
    .collect()
}

/// One of every event of coupons.
fn coupon_events() -> [CouponEvent; 4] {
    let step = CouponStep {
        at_ms: AT_MS,
        coupon: CouponId::new((7 << 64) | 300),
        member: MemberId(300),
        valid_from_ms: AT_MS,
        valid_until_ms: AT_MS + 1,
    };
    let order_no = order_no(5, 9);
    [
        CouponEvent::Issued { step },
        CouponEvent::Locked { step, order_no },
        CouponEvent::Used { step, order_no },
        CouponEvent::Returned { step, order_no },
    ]
}

/// One of every event of tasks.
fn task_events() -> Vec<TaskEvent> {
    let topic = || TopicName::new("mails").unwrap();
    let task = || TaskRef { seq: 300, id: TaskId::new("order-7").unwrap() };
    let (at_ms, due_ms, until_ms) = (AT_MS, AT_MS + 1, AT_MS + 2);
    let pushed =
        |attempts_max, body| PushedTask { task: task(), due_ms, ready_ttl_ms: 9, attempts_max, body };
    vec![
        TaskEvent::BodyPart { topic: topic(), at_ms, index: 1, bytes: Bytes(b"xyz".as_slice().into()) },
        TaskEvent::Pushed {
            topic: topic(),
            at_ms,
            tasks: vec![
                pushed(16, TaskBody::Inline(Bytes(b"xyz".as_slice().into()))),
                pushed(1, TaskBody::Parts(65_536)),
            ],
        },
        TaskEvent::Popped { topic: topic(), at_ms, tasks: vec![task()] },
        TaskEvent::Removed { topic: topic(), at_ms, task: task() },
        TaskEvent::Rescheduled { topic: topic(), at_ms, task: task(), due_ms },
        TaskEvent::Reserved { topic: topic(), at_ms, until_ms, tasks: vec![task()] },
        TaskEvent::Acked { topic: topic(), at_ms, task: task() },
        TaskEvent::Nacked { topic: topic(), at_ms, task: task(), due_ms },
        TaskEvent::Lapsed { topic: topic(), at_ms, task: task() },
        TaskEvent::DeadLettered { topic: topic(), at_ms, task: task(), cause: DeadCause::Lapsed },
        TaskEvent::Expired { topic: topic(), at_ms, tasks: vec![task()] },
        TaskEvent::Requeued { topic: topic(), at_ms, task: task(), due_ms },
        TaskEvent::Discarded { topic: topic(), at_ms, task: task() },
        TaskEvent::Extended { topic: topic(), at_ms, task: task(), until_ms },
    ]
}

/// Thirteen events: a number that some tests count positions by.
fn thirteen() -> Vec<Event> {
    let mut events = one_of_each();
    events.truncate(13);
    events
}

/// A buffer with one entry for each event.
fn buffer_of(events: &[Event]) -> EntryBuffer {
    let mut buffer = EntryBuffer::new();
    for event in events {
        buffer.push(std::slice::from_ref(event));
    }
    buffer
}

/// A buffer of small entries with at least `bytes` bytes.
fn buffer_of_bytes(bytes: usize) -> EntryBuffer {
    let mut buffer = EntryBuffer::new();
    let event = created(one_line_order());
    while buffer.bytes_len() < bytes {
        buffer.push(std::slice::from_ref(&event));
    }
    buffer
}

fn parse(frame: &EncodedFrame) -> Result<Frame, JournalError> {
    Frame::parse(frame.first(), Arc::new(frame.bytes().to_vec()))
}

/// All events of some frames with their positions.
fn events_of(frames: &[Frame]) -> Vec<(Position, Event)> {
    let entries = frames.iter().flat_map(Frame::entries);
    entries.flat_map(|entry| entry.events()).collect::<Result<_, _>>().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
