//! One event of every kind, and an order that most of them are about.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::domain::activity::{Activity, ActivityItem, ActivityKind, TeamTerms};
use crate::domain::catalogue::Sku;
use crate::domain::coupon::{CouponEvent, CouponStep};
use crate::domain::event::{Event, OrderCreated, OrderStep, StockUnits};
use crate::domain::ids::{
    ActivityId, AdjustmentId, CouponId, CouponTermsId, FreightId, ImportId, LocationId, MemberId, OrderNo,
    PaymentId, Pool, Position, ProductId, RequestId, SkuId, Slot, StockKey, TeamId,
};
use crate::domain::money::Money;
use crate::domain::operator::OperatorAct;
use crate::domain::order::{
    CloseReason, Line, Lines, Order, OrderEvent, OrderExtra, OrderTerms, OrderText, RefundClosing,
    RefundReason, SpentCoupon,
};
use crate::domain::order_type::OrderType;
use crate::domain::pricing::{
    CouponBenefit, CouponScope, CouponTerms, FreightCharge, FreightRule, FreightTemplate, OrderTypes,
};
use crate::domain::refund::{RefundBy, RefundLine, RefundStep};
use crate::domain::reject::Reject;
use crate::domain::request::{Personal, Shipment, StockChange};
use crate::domain::setting::{Origin, SaleControl, Setting, SkuShipping};
use crate::domain::task::{Bytes, DeadCause, PushedTask, TaskBody, TaskEvent, TaskId, TaskRef, TopicName};
use crate::domain::team::TeamEvent;
use crate::journal::RecordedEvent;
use crate::personal::Receiver;
use crate::relay::message::{Lookup, Orders};

pub(super) const AT_MS: u64 = 1_794_398_400_000;
/// What must not be in a masked message.
pub(super) const PHONE: &str = "13812345678";
pub(super) const ADDRESS: &str = "科技园路 1 号 2 栋 301";
pub(super) const NAME: &str = "张三丰";

pub(super) fn order_no() -> OrderNo {
    OrderNo::compose(90_331_200_000, Slot::from_index(9).unwrap(), 3)
}

fn money(minor: i64) -> Money {
    Money::from_minor(minor)
}

pub(super) fn receiver() -> Personal {
    let receiver = Receiver {
        name: NAME.into(),
        phone: PHONE.into(),
        country: None,
        province: "广东省".into(),
        city: "深圳市".into(),
        district: "南山区".into(),
        address: ADDRESS.into(),
        postcode: Some("518000".into()),
    };
    receiver.to_personal().unwrap()
}

pub(super) fn sku(id: u64) -> Sku {
    Sku {
        id: SkuId(id),
        product_id: ProductId(id / 10),
        code: format!("TEA-{id}"),
        title: "Green tea, 50 g".into(),
        price: money(19_900),
        on_sale: true,
        limit_per_member: 2,
    }
}

fn coupon() -> CouponId {
    CouponId::of_issue(CouponTermsId(5), MemberId(7), RequestId::new(1))
}

/// An order of two SKUs with everything that an order may have.
pub(super) fn created() -> OrderCreated {
    let line = |sku, price| Line {
        key: StockKey::normal(SkuId(sku)),
        quantity: 2,
        price: money(price),
        revision: 1,
        limit_per_member: 0,
    };
    let text = OrderText {
        personal: Some(receiver()),
        remark: Some("送货前请打电话".into()),
        external_no: Some("WEB-1".into()),
        ext: Some(br#"{"channel":"app"}"#.as_slice().into()),
        line_ext: vec![(SkuId(42), br#"{"gift":true}"#.as_slice().into())],
    };
    let spent = SpentCoupon {
        coupon: coupon(),
        terms: CouponTermsId(5),
        amount: money(1_000),
        valid_until_ms: AT_MS + 86_400_000,
    };
    let terms = OrderTerms {
        freight: money(800),
        discounts: vec![money(600), money(400)],
        coupons: vec![spent],
        ..OrderTerms::default()
    };
    OrderCreated {
        order_no: order_no(),
        member_id: MemberId(7),
        request_id: RequestId::new(1 << 100),
        body_hash: 3,
        order_type: OrderType::Normal,
        at_ms: AT_MS,
        auto_close_ms: 1_800_000,
        pay_amount: money(59_600),
        lines: Lines::from_vec(vec![line(42, 19_900), line(57, 9_900)]),
        extra: OrderExtra { text: Some(Box::new(text)), terms: Some(Box::new(terms)) },
    }
}

pub(super) fn step(version: u32) -> OrderStep {
    OrderStep { order_no: order_no(), version, at_ms: AT_MS + u64::from(version) }
}

pub(super) fn later(version: u32, what: OrderEvent) -> Event {
    Event::Order { step: step(version), what: Box::new(what) }
}

pub(super) fn units() -> Vec<StockUnits> {
    vec![StockUnits { key: StockKey::normal(SkuId(42)), quantity: 2 }]
}

pub(super) fn payment() -> PaymentId {
    PaymentId::of("wechat", "shop-1", "4200001")
}

/// Events of orders, payments and coupons.
fn of_orders() -> Vec<Event> {
    let key = StockKey::normal(SkuId(42));
    let shipment = Shipment { carrier: "SF".into(), tracking_no: "SF1".into() };
    let (at_ms, payment) = (AT_MS, payment());
    let coupon = CouponStep {
        at_ms,
        coupon: coupon(),
        member: MemberId(7),
        valid_from_ms: AT_MS,
        valid_until_ms: AT_MS + 86_400_000,
    };
    let locked = |order_no| CouponEvent::Locked { step: coupon, order_no };
    vec![
        Event::OrderCreated(Box::new(created())),
        Event::PaymentStarted { step: step(2), deadline_ms: AT_MS + 3_600_000 },
        Event::PaymentReceived {
            at_ms,
            payment,
            channel: "wechat".into(),
            merchant: "shop-1".into(),
            transaction_id: "4200001".into(),
            order_no: order_no(),
            amount: money(59_600),
        },
        Event::OrderPaid { step: step(2), payment, units: units() },
        Event::OrderShipped { step: step(2), shipment: shipment.clone() },
        Event::OrderReceived { step: step(2) },
        Event::OrderClosed { step: step(2), reason: CloseReason::Timeout, units: units() },
        Event::OrderRevived { step: step(2), units: units() },
        Event::RefundRequired {
            step: step(2),
            payment,
            amount: money(59_600),
            reason: RefundReason::AlreadyPaid,
        },
        Event::PaymentUnmatched {
            at_ms,
            payment,
            order_no: OrderNo::default(),
            amount: money(500),
            order_ref: "WEB-9".into(),
            reason: RefundReason::UnknownOrder,
        },
        Event::UnmatchedRefund {
            at_ms,
            payment,
            what: RefundStep::Finished { provider_refund_id: "R-1".into() },
        },
        Event::Coupon(Box::new(CouponEvent::Issued { step: coupon })),
        Event::Coupon(Box::new(locked(order_no()))),
        Event::Coupon(Box::new(CouponEvent::Used { step: coupon, order_no: order_no() })),
        Event::Coupon(Box::new(CouponEvent::Returned { step: coupon, order_no: order_no() })),
        later(
            2,
            OrderEvent::PaymentAttempted { attempt: 1, channel: "wechat".into(), amount: money(59_600) },
        ),
        later(
            2,
            OrderEvent::PriceChanged {
                pay_amount: money(50_000),
                freight: money(0),
                adjustments: vec![money(-5_800), money(-3_000)],
            },
        ),
        later(2, OrderEvent::AddressChanged { personal: receiver() }),
        later(2, OrderEvent::PackageShipped { shipment, units: units() }),
        later(
            2,
            OrderEvent::RefundApplied {
                refund: 1,
                request_id: RequestId::new(9),
                by: RefundBy::Member,
                reason: "too bitter".into(),
                lines: vec![RefundLine { key, quantity: 1, amount: money(19_600) }],
                amount: money(19_600),
            },
        ),
        later(
            2,
            OrderEvent::RefundClosed { refund: 1, closing: RefundClosing::Rejected, note: "opened".into() },
        ),
        later(2, OrderEvent::RefundApproved { refund: 1, restock: units() }),
        later(2, OrderEvent::RefundRequested { refund: 1 }),
        later(2, OrderEvent::RefundFailed { refund: 1, reason: "the account is closed".into() }),
        later(
            2,
            OrderEvent::RefundFinished { refund: 1, provider_refund_id: "R-1".into(), restocked: units() },
        ),
        later(2, OrderEvent::OrderRemarked { remark: "call first".into(), flag: 3 }),
        later(2, OrderEvent::TradeCloseRequired { attempts: vec![1, 2] }),
        later(2, OrderEvent::TeamJoined {}),
        later(2, OrderEvent::UnitsReturned { units: units() }),
    ]
}

fn put(setting: Setting) -> Event {
    let origin = Origin { operator: "li".into(), reason: "the sale".into() };
    Event::SettingPut {
        at_ms: AT_MS,
        revision: 2,
        setting: Box::new(setting),
        origin: Some(Box::new(origin)),
    }
}

/// Events of goods, stock, settings, teams and operators.
fn of_the_shop() -> Vec<Event> {
    let at_ms = AT_MS;
    let sold =
        StockKey { pool: Pool::Seckill, activity: ActivityId(9), sku: SkuId(42), location: LocationId(0) };
    let activity = Activity {
        id: ActivityId(9),
        kind: ActivityKind::GroupBuy,
        title: "Noon session".into(),
        start_ms: AT_MS,
        end_ms: AT_MS + 7_200_000,
        items: vec![ActivityItem { sku_id: SkuId(42), price: money(9_900), limit_per_member: 1 }],
        team: Some(TeamTerms { size: 3, time_limit_ms: 86_400_000 }),
        auto_close_ms: Some(600_000),
        ended_at_ms: None,
    };
    let ended = Activity { ended_at_ms: Some(AT_MS + 1), team: None, ..activity.clone() };
    let terms = CouponTerms {
        id: CouponTermsId(5),
        title: "10 % off".into(),
        benefit: CouponBenefit::PercentOff { percent_bp: 1_000, cap: Some(money(5_000)) },
        threshold: money(9_900),
        scope: CouponScope::Products(vec![ProductId(4)]),
        valid_from_ms: AT_MS,
        valid_until_ms: AT_MS + 86_400_000,
        stackable: true,
        issue_max: 10_000,
        per_member_max: 1,
        order_types: OrderTypes::of(&[OrderType::Normal, OrderType::Seckill]),
    };
    let steps = FreightCharge::WeightSteps {
        first_grams: 1_000,
        first_fee: money(800),
        step_grams: 500,
        step_fee: money(200),
    };
    let rule = FreightRule { charge: steps, free_from: Some(money(9_900)) };
    let freight = FreightTemplate { id: FreightId(1), name: "parcel".into(), rule };
    let team = TeamId(order_no().get());
    let act = OperatorAct {
        at_ms,
        operator: "li".into(),
        reason: "asked by phone".into(),
        action: "order.ship".into(),
        target: order_no().to_string().into(),
        request: "req-1".into(),
    };
    vec![
        Event::NumbersReserved { at_ms, until_ms: 90_331_260_000 },
        Event::SkuPut { at_ms, revision: 1, sku: Box::new(sku(42)) },
        Event::StockAdjusted {
            at_ms,
            key: sold,
            adjustment_id: AdjustmentId(17),
            change: StockChange::Relative(100),
            delta: 100,
        },
        Event::LimitImported {
            at_ms,
            member_id: MemberId(7),
            key: StockKey::normal(SkuId(42)),
            used: 2,
            import_id: ImportId(3),
        },
        Event::StockTransferred {
            at_ms,
            transfer_id: AdjustmentId(18),
            from: StockKey::normal(SkuId(42)),
            to: sold,
            units: 50,
        },
        put(Setting::Activity(activity)),
        put(Setting::Activity(ended)),
        put(Setting::Control(SaleControl::MemberBlocked { member: MemberId(7), until_ms: AT_MS + 1 })),
        put(Setting::Coupon(terms)),
        put(Setting::Freight(freight)),
        put(Setting::Shipping(SkuShipping {
            sku_id: SkuId(42),
            weight_grams: 120,
            freight: Some(FreightId(1)),
        })),
        Event::Team(TeamEvent::Opened {
            at_ms,
            team,
            activity: ActivityId(9),
            size: 3,
            deadline_ms: AT_MS + 86_400_000,
        }),
        Event::Team(TeamEvent::Formed { at_ms, team }),
        Event::Team(TeamEvent::Failed { at_ms, team }),
        Event::OperatorActed(Box::new(act)),
    ]
}

/// Events of the delay queue's tasks.
fn of_tasks() -> Vec<Event> {
    let topic = || TopicName::new("reminders").unwrap();
    let task = || TaskRef { seq: 11, id: TaskId::new("order-42").unwrap() };
    let at_ms = AT_MS;
    let pushed = PushedTask {
        task: task(),
        due_ms: AT_MS + 1_000,
        ready_ttl_ms: 60_000,
        attempts_max: 5,
        body: TaskBody::Inline(Bytes(b"call 13812345678".as_slice().into())),
    };
    let tasks = || vec![task()];
    let (until_ms, due_ms) = (AT_MS + 30_000, AT_MS + 2_000);
    let events = vec![
        TaskEvent::BodyPart { topic: topic(), at_ms, index: 0, bytes: Bytes([0xff, 0].as_slice().into()) },
        TaskEvent::Pushed { topic: topic(), at_ms, tasks: vec![pushed] },
        TaskEvent::Popped { topic: topic(), at_ms, tasks: tasks() },
        TaskEvent::Removed { topic: topic(), at_ms, task: task() },
        TaskEvent::Rescheduled { topic: topic(), at_ms, task: task(), due_ms },
        TaskEvent::Reserved { topic: topic(), at_ms, until_ms, tasks: tasks() },
        TaskEvent::Acked { topic: topic(), at_ms, task: task() },
        TaskEvent::Nacked { topic: topic(), at_ms, task: task(), due_ms },
        TaskEvent::Lapsed { topic: topic(), at_ms, task: task() },
        TaskEvent::DeadLettered { topic: topic(), at_ms, task: task(), cause: DeadCause::Lapsed },
        TaskEvent::Expired { topic: topic(), at_ms, tasks: tasks() },
        TaskEvent::Requeued { topic: topic(), at_ms, task: task(), due_ms },
        TaskEvent::Discarded { topic: topic(), at_ms, task: task() },
        TaskEvent::Extended { topic: topic(), at_ms, task: task(), until_ms },
    ];
    events.into_iter().map(|event| Event::Task(Box::new(event))).collect()
}

/// One event of every kind. Those of an order follow its `OrderCreated` as its second.
pub(super) fn one_of_each() -> Vec<Event> {
    [of_orders(), of_the_shop(), of_tasks()].concat()
}

/// An event at a position, as an entry of its own.
pub(super) fn at(position: u64, event: Event) -> RecordedEvent {
    RecordedEvent { position: Position(position), entry: Position(position), event }
}

/// An engine's orders and goods, as a test has them, and how often it was asked.
#[derive(Default)]
pub(super) struct Shop {
    pub(super) orders: Mutex<HashMap<OrderNo, Order>>,
    pub(super) asked: Mutex<usize>,
    /// What it answers in place of orders.
    pub(super) refusal: Mutex<Option<Reject>>,
}

impl Shop {
    pub(super) fn put(&self, order: Order) {
        self.orders.lock().unwrap().insert(order.order_no, order);
    }
}

impl Orders for Shop {
    fn order(&self, order_no: OrderNo) -> Lookup<'_, Option<Order>> {
        *self.asked.lock().unwrap() += 1;
        let refusal = *self.refusal.lock().unwrap();
        let found = self.orders.lock().unwrap().get(&order_no).cloned();
        Box::pin(std::future::ready(refusal.map_or(Ok(found), Err)))
    }

    fn sku(&self, id: SkuId, _revision: u32) -> Option<Arc<Sku>> {
        (id.0 < 100).then(|| Arc::new(sku(id.0)))
    }
}
