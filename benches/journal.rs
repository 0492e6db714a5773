//! What a commit costs on this machine's disk: frames written, synced and marked through the sled backend. And how
//! fast recovery gets the events back.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stockade::domain::event::{Event, OrderCreated, OrderStep};
use stockade::domain::hash::mix64;
use stockade::domain::ids::{MemberId, OrderNo, Position, RequestId, SkuId, Slot, StockKey};
use stockade::domain::money::Money;
use stockade::domain::order::{Line, Lines};
use stockade::domain::order_type::OrderType;
use stockade::journal::{self, EntryBuffer, Journal, SledJournal, SledJournalOptions};

/// A buffer of at least this many bytes.
fn entries(bytes: usize) -> EntryBuffer {
    let mut buffer = EntryBuffer::new();
    while buffer.bytes_len() < bytes {
        let sequence = u64::from(buffer.event_count());
        let order_no = OrderNo::compose(60_000_000_000 + sequence, Slot::default(), sequence);
        let step = OrderStep { order_no, version: 2, at_ms: 1_764_000_000_000 + sequence };
        buffer.push(&[Event::OrderReceived { step }]);
    }
    buffer
}

fn commits(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = SledJournalOptions { ballast_bytes: 0, ..SledJournalOptions::default() };
    let (mut journal, _) = SledJournal::open(dir.path(), options).expect("a fresh directory opens");
    let mut next = Position(1);
    let mut commits = 0_u64;
    let mut group = c.benchmark_group("commit");
    for (name, bytes) in [("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)] {
        let buffer = entries(bytes);
        group.throughput(Throughput::Bytes(buffer.bytes_len() as u64));
        group.bench_function(format!("write and sync/{name}"), |b| {
            b.iter(|| {
                let frames = journal::pack(&buffer, next);
                next.0 += u64::from(buffer.event_count());
                journal.write(&frames).expect("the disk takes it");
                journal.sync(Position(next.0 - 1)).expect("the disk takes it");
                // Keeps some 100 MB, as the engine does between checkpoints.
                commits += 1;
                if commits.is_multiple_of(256) && next.0 > 4_000_000 {
                    while journal.trim(Position(next.0 - 4_000_000)).expect("the disk takes it").more {}
                }
            });
        });
    }
    group.finish();
}

/// What recovery does before it applies anything: read every frame once, check it, decode its events.
fn recovery(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = SledJournalOptions { ballast_bytes: 0, ..SledJournalOptions::default() };
    let (mut journal, _) = SledJournal::open(dir.path(), options).expect("a fresh directory opens");
    let mut buffer = EntryBuffer::new();
    let mut next = Position(1);
    for seed in 0..500_000 {
        buffer.push(&[order(seed)]);
        if buffer.bytes_len() > 4 << 20 {
            journal.write(&journal::pack(&buffer, next)).expect("the disk takes it");
            next.0 += u64::from(buffer.event_count());
            journal.sync(Position(next.0 - 1)).expect("the disk takes it");
            buffer.clear();
        }
    }
    let mut group = c.benchmark_group("recovery");
    group.sample_size(10);
    group.throughput(Throughput::Elements(next.0 - 1));
    group.bench_function("scan", |b| {
        b.iter(|| {
            journal::scan(journal.reader(), Position(1))
                .map(|frame| frame.map_or(0, |f| f.count()))
                .sum::<u32>()
        });
    });
    group.bench_function("scan and decode", |b| {
        b.iter(|| {
            let mut sum = 0;
            for frame in journal::scan(journal.reader(), Position(1)) {
                let frame = frame.expect("it was just written");
                for event in frame.entries().flat_map(|entry| entry.events()) {
                    sum ^= event.expect("it was just written").1.at_ms();
                }
            }
            sum
        });
    });
    group.finish();
}

/// A one-line order with long ids.
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
            key: StockKey::normal(SkuId(1 + seed % 1000)),
            quantity: 1,
            price: Money::from_minor(19_900),
            revision: 1,
            limit_per_member: 2,
        }),
        extra: Default::default(),
    }))
}

criterion_group!(benches, commits, recovery);
criterion_main!(benches);
