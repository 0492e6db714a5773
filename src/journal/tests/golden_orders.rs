//! Golden bytes of the events of an order's later life, and of money that is for no order.

use super::*;
use crate::domain::event::EVENT_NAMES;
use crate::domain::order::{ORDER_EVENT_NAMES, OrderEvent, RefundClosing};
use crate::domain::refund::{RefundBy, RefundLine, RefundStep};

fn one_of_each_later() -> Vec<OrderEvent> {
    let key = StockKey::normal(SkuId(1001));
    let units = vec![StockUnits { key, quantity: 2 }];
    let shipment = Shipment { carrier: "SF".into(), tracking_no: "1".into() };
    vec![
        OrderEvent::PaymentAttempted { attempt: 1, channel: "wechat".into(), amount: Money::from_minor(500) },
        OrderEvent::PriceChanged {
            pay_amount: Money::from_minor(500),
            freight: Money::from_minor(20),
            adjustments: vec![Money::from_minor(-5), Money::from_minor(300)],
        },
        OrderEvent::AddressChanged { personal: Personal::Plain(b"xyz".as_slice().into()) },
        OrderEvent::PackageShipped { shipment, units: units.clone() },
        OrderEvent::RefundApplied {
            refund: 1,
            request_id: RequestId::new(1 << 100),
            by: RefundBy::Operator,
            reason: "茶".into(),
            lines: vec![RefundLine { key, quantity: 2, amount: Money::from_minor(400) }],
            amount: Money::from_minor(420),
        },
        OrderEvent::RefundClosed { refund: 1, closing: RefundClosing::Rejected, note: "no".into() },
        OrderEvent::RefundApproved { refund: 1, restock: units.clone() },
        OrderEvent::RefundRequested { refund: 300 },
        OrderEvent::RefundFailed { refund: 1, reason: "no".into() },
        OrderEvent::RefundFinished { refund: 1, provider_refund_id: "r".into(), restocked: units.clone() },
        OrderEvent::OrderRemarked { remark: "r".into(), flag: 9 },
        OrderEvent::TradeCloseRequired { attempts: vec![1, 300] },
        OrderEvent::TeamJoined {},
        OrderEvent::UnitsReturned { units },
    ]
}

#[test]
fn the_events_of_a_later_life_have_golden_bytes() {
    let payment = PaymentId::of("wechat", "m1", "t1");
    let at_ms = AT_MS;
    let mut events: Vec<Event> = one_of_each_later()
        .into_iter()
        .map(|what| Event::Order { step: step(3), what: Box::new(what) })
        .collect();
    events.push(Event::PaymentUnmatched {
        at_ms,
        payment,
        order_no: order_no(5, 9),
        amount: Money::from_minor(500),
        order_ref: "WEB-1".into(),
        reason: RefundReason::UnknownOrder,
    });
    let steps = [
        RefundStep::Requested,
        RefundStep::Failed { reason: "no".into() },
        RefundStep::Finished { provider_refund_id: "r".into() },
    ];
    events.extend(steps.map(|what| Event::UnmatchedRefund { at_ms, payment, what }));
    let mut lines = String::new();
    for event in &events {
        let mut bytes = Vec::new();
        encode(event, &mut bytes);
        lines.push_str(&format!("{} {}\n", event.name(), hex(&bytes)));
        let mut rest = bytes.as_slice();
        assert_eq!(&decode(CODEC_VERSION, &mut rest).unwrap(), event);
        assert!(rest.is_empty());
        for len in 0..bytes.len() {
            assert!(decode(CODEC_VERSION, &mut &bytes[..len]).is_err(), "{} cut to {len}", event.name());
        }
    }
    assert_eq!(
        lines, EVENTS,
        "the bytes of events are persisted; a change needs a new codec version:\n{lines}"
    );
}

const EVENTS: &str = include_str!("golden_order_events.txt");

#[test]
fn names_of_a_later_life_stand_in_the_order_of_the_persisted_variants() {
    for (place, what) in one_of_each_later().into_iter().enumerate() {
        assert_eq!(ORDER_EVENT_NAMES[place], what.name());
        assert!(!EVENT_NAMES.contains(&what.name()), "a name stands for one event");
    }
    assert!(EVENT_NAMES.len() <= 64, "places from 64 on are those of a later life");
}

#[test]
fn the_largest_entries_of_a_later_life_stay_below_the_bound() {
    let key = |sku| StockKey {
        pool: Pool::GroupBuy,
        activity: ActivityId(u64::MAX),
        sku: SkuId(u64::MAX - sku),
        location: LocationId(u32::MAX),
    };
    let units: Vec<StockUnits> =
        (0..100).map(|sku| StockUnits { key: key(sku), quantity: u32::MAX }).collect();
    let line = |sku| RefundLine { key: key(sku), quantity: u32::MAX, amount: Money::from_minor(i64::MAX) };
    let long: Box<str> = "x".repeat(512).into();
    let shipment = Shipment { carrier: "x".repeat(64).into(), tracking_no: "x".repeat(64).into() };
    let event = |version, what| Event::Order { step: step(version), what: Box::new(what) };
    let applied = OrderEvent::RefundApplied {
        refund: u16::MAX,
        request_id: RequestId::new(u128::MAX),
        by: RefundBy::Operator,
        reason: long.clone(),
        lines: (0..100).map(line).collect(),
        amount: Money::from_minor(i64::MAX),
    };
    let priced = OrderEvent::PriceChanged {
        pay_amount: Money::from_minor(i64::MAX),
        freight: Money::from_minor(i64::MAX),
        adjustments: vec![Money::from_minor(i64::MIN); 100],
    };
    let finished =
        OrderEvent::RefundFinished { refund: 1, provider_refund_id: long, restocked: units.clone() };
    let paid =
        Event::OrderPaid { step: step(4), payment: PaymentId::of("a", "b", "c"), units: units.clone() };
    let entries = [
        vec![event(2, applied)],
        vec![event(2, priced), event(3, OrderEvent::TradeCloseRequired { attempts: vec![1; 16] }), paid],
        vec![
            event(2, OrderEvent::PackageShipped { shipment: shipment.clone(), units }),
            Event::OrderShipped { step: step(3), shipment },
        ],
        vec![event(2, finished)],
    ];
    for entry in entries {
        let mut buffer = EntryBuffer::new();
        buffer.push(&entry);
        assert!(buffer.bytes_len() < 24 * 1024, "{} has {} bytes", entry[0].name(), buffer.bytes_len());
    }
}
