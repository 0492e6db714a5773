//! What is on the disk stays readable: golden bytes of every event, of an entry and of a frame, and the bounds that
//! the layout rests on.

use super::*;
use crate::domain::event::EVENT_NAMES;
use crate::domain::task::{
    NewTask, PushLimits, Step, TASK_BODY_BYTES_MAX, TASK_DELAY_MS_MAX, TOPIC_BYTES_MAX, TaskBook,
};

#[test]
fn every_event_has_golden_bytes() {
    let mut lines = String::new();
    for event in one_of_each() {
        let mut bytes = Vec::new();
        encode(&event, &mut bytes);
        lines.push_str(&format!("{} {}\n", event.name(), hex(&bytes)));
        let mut rest = bytes.as_slice();
        assert_eq!(decode(CODEC_VERSION, &mut rest).unwrap(), event);
        assert!(rest.is_empty());
    }
    assert_eq!(
        lines, EVENTS,
        "the bytes of events are persisted; a change needs a new codec version:\n{lines}"
    );
}

/// Name and bytes of the events of `one_of_each`.
const EVENTS: &str = include_str!("golden_events.txt");

#[test]
fn a_frame_has_golden_bytes() {
    let mut buffer = EntryBuffer::new();
    buffer.push(&[numbered(1)]);
    buffer.push(&[Event::OrderReceived { step: step(5) }, numbered(300)]);
    let frames = pack(&buffer, Position(42));
    assert_eq!(frames.len(), 1);
    assert_eq!(hex(frames[0].bytes()), FRAME);
}

/// Magic, versions, first position 42, 3 events, 54 bytes, checksum; then an entry of slot 0 with one event of 11
/// bytes, and one of slot 5 with two events of 20 and 13.
const FRAME: &str = concat!(
    "53544b46",
    "01",
    "01",
    "2a00000000000000",
    "03000000",
    "36000000",
    "6c2a5833",
    "0000010b00",
    "00fd00e897b69a01000001",
    "0500022100",
    "08fd095000007d117d0305fd00e897b69a010000",
    "00fd00e897b69a010000fb2c01",
);

#[test]
fn a_one_line_order_takes_at_most_96_bytes_with_its_entry_header() {
    let mut buffer = EntryBuffer::new();
    buffer.push(&[created(one_line_order())]);
    assert!(buffer.bytes_len() <= 96, "{} bytes", buffer.bytes_len());
}

#[test]
fn the_largest_entry_stays_well_below_the_bound() {
    let widest = |sku| StockKey {
        pool: Pool::GroupBuy,
        activity: ActivityId(u64::MAX),
        sku: SkuId(u64::MAX - sku),
        location: LocationId(u32::MAX),
    };
    let mut lines: Vec<Line> = (0..100)
        .map(|sku| Line {
            key: widest(sku),
            quantity: u32::MAX,
            price: Money::from_minor(i64::MAX),
            revision: u32::MAX,
            limit_per_member: u32::MAX,
        })
        .collect();
    lines.sort_unstable_by_key(|line| line.key);
    let order = OrderCreated {
        lines: Lines::from_vec(lines),
        pay_amount: Money::from_minor(i64::MAX),
        extra: crate::domain::order::OrderExtra::of_text(Some(Box::new(OrderText {
            personal: Some(Personal::Plain(vec![0xff; 2048].into())),
            remark: Some("x".repeat(1024).into()),
            external_no: Some("x".repeat(64).into()),
            ext: Some(vec![0xff; 4096].into()),
            line_ext: (0..16).map(|sku| (SkuId(u64::MAX - sku), vec![0xff; 512].into())).collect(),
        }))),
        ..one_line_order()
    };
    let units = order.lines.units();
    let mut buffer = EntryBuffer::new();
    buffer.push(&[created(order)]);
    assert!((20_000..24 * 1024).contains(&buffer.bytes_len()), "{} bytes", buffer.bytes_len());

    buffer.clear();
    buffer.push(&[
        Event::OrderClosed { step: step(2), reason: CloseReason::Timeout, units: units.clone() },
        Event::OrderRevived { step: step(3), units: units.clone() },
        Event::OrderPaid { step: step(4), payment: PaymentId::of("a", "b", "c"), units },
    ]);
    assert!(buffer.bytes_len() < 24 * 1024, "{} bytes", buffer.bytes_len());
}

#[test]
fn r6_every_event_of_tasks_fits_into_an_entry_and_large_bodies_come_back_whole() {
    let topic = TopicName::new(&"t".repeat(TOPIC_BYTES_MAX)).unwrap();
    let id = |n: usize| format!("{n:0>64}");
    let sizes = [0, 1, 24 << 10, (24 << 10) + 1, 48 << 10, TASK_BODY_BYTES_MAX, 10];
    let mut tasks: Vec<_> =
        sizes.iter().enumerate().map(|(n, len)| NewTask::new(id(n), vec![n as u8; *len])).collect();
    tasks.extend((100..1_000).map(|n| NewTask::new(id(n), "").delay_ms(1).ready_ttl_ms(TASK_DELAY_MS_MAX)));
    let limits =
        PushLimits { topics_max: 1, tasks_max: u64::MAX, bytes_max: u64::MAX, attempts_max: u16::MAX };
    let (mut book, mut buffer, mut entries) = (TaskBook::default(), EntryBuffer::new(), Vec::new());
    let mut take = |book: &mut TaskBook, events: Vec<TaskEvent>| {
        for event in events {
            book.apply(&event);
            buffer.clear();
            let name = event.name();
            buffer.push(&[Event::Task(Box::new(event))]);
            entries.push((name, buffer.bytes_len()));
        }
    };
    let decided = book.decide_push(&limits, &topic, tasks, AT_MS).unwrap();
    take(&mut book, decided.events);
    let decided = book.decide_pop(&topic, 10_000, AT_MS);
    take(&mut book, decided.events);
    let Step::Done(outcome) = decided.outcome else { panic!("they are due") };
    for ((n, len), task) in sizes.iter().enumerate().zip(outcome.tasks()) {
        assert_eq!((task.id.as_str(), &*task.body), (id(n).as_str(), &*vec![n as u8; *len]));
    }
    let decided = book.decide_reserve(&topic, 10_000, 5, usize::MAX, AT_MS + 1).unwrap();
    take(&mut book, decided.events);

    let of = |name| entries.iter().filter(|(found, _)| *found == name).count();
    assert_eq!((of("TaskBodyPart"), of("TaskReserved")), (2 + 2 + 3, 4));
    assert!(entries.iter().all(|(_, bytes)| *bytes < 30 << 10), "{entries:?}");
}

#[test]
fn an_unknown_codec_version_is_refused() {
    let error = decode(CODEC_VERSION + 1, &mut [0_u8; 8].as_slice()).unwrap_err();
    assert!(matches!(error, CodecError::UnknownVersion { version: 2 }), "{error}");
}

#[test]
fn event_names_stand_in_the_order_of_the_persisted_variants() {
    for event in one_of_each() {
        if matches!(event, Event::SettingPut { .. } | Event::Coupon(_)) {
            // Named by what is put; timelines of orders, which persist the place, never hold one.
            continue;
        }
        let mut bytes = Vec::new();
        encode(&event, &mut bytes);
        let name = match event {
            Event::Task(_) => "Task",
            Event::Team(_) => "Team",
            _ => event.name(),
        };
        assert_eq!(EVENT_NAMES[usize::from(bytes[0])], name);
    }
}

#[test]
fn an_event_that_a_newer_release_has_added_is_malformed() {
    let added = [EVENT_NAMES.len() as u8, 0, 0, 0, 0, 0, 0, 0];
    let result = decode(CODEC_VERSION, &mut added.as_slice());
    assert!(matches!(result, Err(CodecError::Malformed(_))), "{result:?}");
}

#[test]
fn a_cut_event_is_malformed() {
    for event in one_of_each() {
        let mut bytes = Vec::new();
        encode(&event, &mut bytes);
        for len in 0..bytes.len() {
            assert!(decode(CODEC_VERSION, &mut &bytes[..len]).is_err(), "{} cut to {len}", event.name());
        }
    }
}

#[test]
fn a_damaged_length_asks_for_no_memory() {
    let length = [[253].as_slice(), &(1_u64 << 62).to_le_bytes()].concat();
    // `PaymentReceived` with a channel of 2^62 bytes, and `OrderClosed` with as many units.
    for head in [[5, 1, 1, 1].as_slice(), &[9, 1, 1, 1, 0]] {
        let bytes = [head, &length, &[0; 64]].concat();
        let result = decode(CODEC_VERSION, &mut bytes.as_slice());
        assert!(matches!(result, Err(CodecError::Malformed(_))), "{result:?}");
    }
}

#[test]
fn bytes_left_over_behind_the_events_of_an_entry_are_damage() {
    let mut buffer = EntryBuffer::new();
    buffer.push(&[numbered(1), numbered(2)]);
    let mut frame = pack(&buffer, Position(1)).remove(0).bytes().to_vec();
    // Two events become one with the other one behind it; the counts and the checksum agree.
    frame[14] = 1;
    frame[FRAME_HEADER_BYTES + 2] = 1;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..22]), &frame[FRAME_HEADER_BYTES..]);
    frame[22..26].copy_from_slice(&crc.to_le_bytes());
    let frame = Frame::parse(Position(1), Arc::new(frame)).unwrap();
    let events: Vec<_> = frame.entries().flat_map(|entry| entry.events()).collect();
    assert!(matches!(events.as_slice(), [Err(JournalError::Damaged { .. })]), "{events:?}");
}
