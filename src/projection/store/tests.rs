//! Look-ups while orders move between the tables.

use std::sync::Arc;

use super::Checkpointer;
use crate::domain::event::{Event, OrderCreated};
use crate::domain::ids::{MemberId, OrderNo, Position, RequestId, SkuId, Slot, StockKey};
use crate::domain::money::Money;
use crate::domain::order::{Line, Lines, Order};
use crate::domain::order_type::OrderType;
use crate::journal::{EntryBuffer, Frame, encode_record, pack};
use crate::projection::levels::MemoryPages;

fn frames(first: Position, events: &[Event]) -> Vec<Frame> {
    let mut buffer = EntryBuffer::new();
    buffer.push(events);
    let parse = |frame: &crate::journal::EncodedFrame| {
        Frame::parse(frame.first(), Arc::new(frame.bytes().to_vec())).unwrap()
    };
    pack(&buffer, first).iter().map(parse).collect()
}

/// Late money may bring an order back to life between a question and the answer of the store. Not found, it would be
/// placed a second time.
#[test]
fn an_order_that_moved_back_among_the_open_ones_is_still_found() {
    let member = MemberId(7);
    let key = StockKey::normal(SkuId(1));
    let line = Line { key, quantity: 1, price: Money::ZERO, revision: 1, limit_per_member: 0 };
    let created = OrderCreated {
        order_no: OrderNo::compose(5, Slot::of_member(member), 0),
        member_id: member,
        request_id: RequestId::new(1),
        body_hash: 3,
        order_type: OrderType::Normal,
        at_ms: 5,
        auto_close_ms: 10,
        pay_amount: Money::ZERO,
        lines: Lines::one(line),
        text: None,
    };
    let order = Order::create(created.clone(), Position(1));
    let number = order.order_no;
    let mut record = Vec::new();
    encode_record(&order, &mut record);

    let mut store = Checkpointer::open(Box::new(MemoryPages::default())).unwrap();
    let taken = store.take(&frames(Position(1), &[Event::OrderCreated(Box::new(created))])).unwrap();
    assert_eq!((taken.up_to, taken.touched.as_slice()), (Position(1), [number].as_slice()));
    store.put_closed(number, &record, false);
    store.commit(&taken, 0, 1).unwrap();
    let reader = store.reader();
    assert_eq!(reader.order(number).unwrap().as_ref(), Some(&order));

    store.put_open(number, &record, true);
    store.commit(&taken, 0, -1).unwrap();
    assert_eq!(reader.order(number).unwrap(), None, "it is not among the closed ones");
    assert_eq!(reader.any_order(number).unwrap().as_ref(), Some(&order));
    assert_eq!(reader.request(member, RequestId::new(1), 0).unwrap().as_ref(), Some(&order));
    assert_eq!(reader.orders_of(member, None, 10, Vec::new()).unwrap(), [order]);
}
