//! Encoding and decoding of the commonest event, a one-line `OrderCreated`: variable-length integers, which the
//! journal uses, against fixed-length ones; and a whole frame, as recovery reads it.

use std::hint::black_box;
use std::sync::Arc;

use bincode::{DefaultOptions, Options};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stockade::domain::event::{Event, OrderCreated};
use stockade::domain::hash::mix64;
use stockade::domain::ids::{MemberId, OrderNo, Position, RequestId, SkuId, Slot, StockKey};
use stockade::domain::money::Money;
use stockade::domain::order::{Line, Lines};
use stockade::domain::order_type::OrderType;
use stockade::journal::{self, ENTRY_HEADER_BYTES, EntryBuffer, FRAME_BYTES_TARGET, Frame};

/// An order with well-mixed ids, which are the long ones.
fn order(seed: u64) -> Event {
    let member_id = MemberId(mix64(seed));
    Event::OrderCreated(Box::new(OrderCreated {
        order_no: OrderNo::compose(60_000_000_000 + seed, Slot::of_member(member_id), seed),
        member_id,
        request_id: RequestId::new((u128::from(mix64(!seed)) << 64) | u128::from(mix64(seed ^ 1))),
        body_hash: mix64(seed ^ 2),
        order_type: OrderType::Normal,
        at_ms: 1_764_000_000_000 + seed,
        auto_close_ms: 900_000,
        pay_amount: Money::from_minor(19_900),
        lines: Lines::one(Line {
            key: StockKey::normal(SkuId(mix64(seed ^ 3))),
            quantity: 1,
            price: Money::from_minor(19_900),
            revision: 3,
            limit_per_member: 2,
        }),
        extra: Default::default(),
    }))
}

fn one_event(c: &mut Criterion) {
    let event = order(7);
    let fixint = DefaultOptions::new().with_fixint_encoding();
    let mut varint_bytes = Vec::new();
    journal::encode(&event, &mut varint_bytes);
    let mut fixint_bytes = Vec::new();
    fixint.serialize_into(&mut fixint_bytes, &event).expect("memory takes any event");
    println!(
        "one-line OrderCreated: varint {} bytes, fixint {} bytes, and {ENTRY_HEADER_BYTES} of entry header",
        varint_bytes.len(),
        fixint_bytes.len(),
    );

    let mut group = c.benchmark_group("order_created");
    let mut out = Vec::with_capacity(256);
    group.bench_function("encode/varint", |b| {
        b.iter(|| {
            out.clear();
            journal::encode(black_box(&event), &mut out);
            out.len()
        });
    });
    group.bench_function("encode/fixint", |b| {
        b.iter(|| {
            out.clear();
            fixint.serialize_into(&mut out, black_box(&event)).is_ok()
        });
    });
    group.bench_function("decode/varint", |b| {
        b.iter(|| journal::decode(journal::CODEC_VERSION, &mut black_box(varint_bytes.as_slice())));
    });
    group.bench_function("decode/fixint", |b| {
        b.iter(|| fixint.deserialize::<Event>(black_box(&fixint_bytes)));
    });
    group.finish();
}

fn frames(c: &mut Criterion) {
    let orders: Vec<Event> = (0..4096).map(order).collect();
    let mut buffer = EntryBuffer::new();
    let mut group = c.benchmark_group("entries");
    group.throughput(Throughput::Elements(1));
    let mut next = 0;
    group.bench_function("push", |b| {
        b.iter(|| {
            if buffer.bytes_len() > 1 << 20 {
                buffer.clear();
            }
            next = (next + 1) % orders.len();
            buffer.push(&orders[next..=next]);
        });
    });
    group.finish();

    buffer.clear();
    for order in &orders {
        buffer.push(std::slice::from_ref(order));
    }
    let frame = &journal::pack(&buffer, Position(1))[0];
    assert!(frame.bytes().len() >= FRAME_BYTES_TARGET);
    let bytes = Arc::new(frame.bytes().to_vec());
    let mut group = c.benchmark_group("frame");
    group.throughput(Throughput::Elements(u64::from(frame.count())));
    group.bench_function("parse", |b| b.iter(|| Frame::parse(Position(1), bytes.clone())));
    group.bench_function("parse and decode", |b| {
        b.iter(|| {
            let frame = Frame::parse(Position(1), bytes.clone()).expect("it was just packed");
            frame
                .entries()
                .flat_map(|entry| entry.events())
                .map(|event| event.map_or(0, |(position, event)| position.0 ^ event.at_ms()))
                .fold(0, |sum, value| sum ^ value)
        });
    });
    group.finish();
}

criterion_group!(benches, one_event, frames);
criterion_main!(benches);
