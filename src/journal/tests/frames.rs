//! Entries and frames: what goes in comes out, whatever the sizes, and nothing else is taken for a frame.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Events of random size and content: the remark makes orders anything from 80 bytes to 1 KiB.
fn event() -> impl Strategy<Value = Event> {
    let order = (any::<u64>(), any::<u128>(), 0_u16..1024, "\\PC{0,256}").prop_map(
        |(member, request, slot, remark)| {
            let text = (!remark.is_empty())
                .then(|| Box::new(OrderText { remark: Some(remark.into()), ..OrderText::default() }));
            created(OrderCreated {
                order_no: order_no(slot, member % 4096),
                member_id: MemberId(member),
                request_id: RequestId::new(request),
                extra: crate::domain::order::OrderExtra::of_text(text),
                ..one_line_order()
            })
        },
    );
    prop_oneof![order, any::<u64>().prop_map(numbered), (0..14_usize).prop_map(|i| one_of_each()[i].clone())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn entries_come_back_from_frames(entries in vec(vec(event(), 1..5), 1..600), first in 1_u64..1 << 60) {
        let mut buffer = EntryBuffer::new();
        for entry in &entries {
            buffer.push(entry);
        }
        let frames: Vec<Frame> =
            pack(&buffer, Position(first)).iter().map(|frame| parse(frame).unwrap()).collect();

        let mut next = first;
        let mut expected = entries.iter();
        for frame in &frames {
            prop_assert_eq!(frame.first(), Position(next));
            prop_assert!(frame.bytes().len() <= FRAME_BYTES_MAX);
            for entry in frame.entries() {
                let events = expected.next().unwrap();
                prop_assert_eq!(entry.first, Position(next));
                prop_assert_eq!(entry.slot, events[0].slot());
                let (positions, decoded): (Vec<_>, Vec<_>) = entry.events().map(Result::unwrap).unzip();
                prop_assert_eq!(&decoded, events);
                prop_assert_eq!(positions[0], entry.first);
                prop_assert_eq!(*positions.last().unwrap(), entry.last());
                next += events.len() as u64;
            }
            prop_assert_eq!(frame.last(), Position(next - 1));
        }
        prop_assert!(expected.next().is_none());
    }

    #[test]
    fn a_changed_byte_is_noticed(at in 0_usize..1 << 16, flip in 1_u8..=255) {
        let mut bytes = pack(&buffer_of(&one_of_each()), Position(7))[0].bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        let error = Frame::parse(Position(7), Arc::new(bytes)).unwrap_err();
        let expected = if at == 4 {
            matches!(error, JournalError::UnknownFrameFormat { .. })
        } else {
            matches!(error, JournalError::Damaged { .. })
        };
        prop_assert!(expected, "byte {}: {}", at, error);
    }
}

#[test]
fn frames_are_closed_at_their_target() {
    let frames = pack(&buffer_of_bytes(1 << 20), Position(1));
    let (last, full) = frames.split_last().unwrap();
    assert!(!full.is_empty());
    for frame in full {
        let bytes = frame.bytes().len();
        assert!((FRAME_BYTES_TARGET..FRAME_BYTES_TARGET + 20 * 1024).contains(&bytes), "{bytes} bytes");
    }
    assert!(last.bytes().len() <= FRAME_BYTES_MAX);
}

#[test]
fn large_entries_never_exceed_the_largest_frame() {
    let large = created(OrderCreated {
        extra: crate::domain::order::OrderExtra::of_text(Some(Box::new(OrderText {
            ext: Some(vec![0xff; 31 * 1024].into()),
            ..OrderText::default()
        }))),
        ..one_line_order()
    });
    let mut buffer = EntryBuffer::new();
    for _ in 0..40 {
        buffer.push(std::slice::from_ref(&large));
        buffer.push(&[numbered(1), numbered(2)]);
    }
    let frames = pack(&buffer, Position(1));
    assert!(frames.iter().all(|frame| frame.bytes().len() <= FRAME_BYTES_MAX));
    let frames: Vec<Frame> = frames.iter().map(|frame| parse(frame).unwrap()).collect();
    assert_eq!(events_of(&frames).len(), 120);
}

#[test]
fn a_placed_order_is_the_same_bytes_with_and_without_the_box() {
    let (mut boxed, mut bare) = (EntryBuffer::new(), EntryBuffer::new());
    boxed.push(&[created(one_line_order())]);
    bare.push_created(&one_line_order());
    let bytes =
        |buffer| pack(buffer, Position(1)).iter().map(|frame| frame.bytes().to_vec()).collect::<Vec<_>>();
    assert_eq!(bytes(&boxed), bytes(&bare));
    assert_eq!(boxed.event_count(), bare.event_count());
}

#[test]
fn a_newer_codec_is_told_from_damage() {
    let frame = &pack(&buffer_of(&[numbered(1)]), Position(9))[0];
    let mut bytes = frame.bytes().to_vec();
    bytes[5] = CODEC_VERSION + 1;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..22]), &bytes[26..]);
    bytes[22..26].copy_from_slice(&crc.to_le_bytes());
    let error = Frame::parse(Position(9), Arc::new(bytes)).unwrap_err();
    assert!(
        matches!(error, JournalError::UnknownCodec { position: Position(9), version: 2, supported: 1 }),
        "{error}"
    );
}

#[test]
fn a_frame_under_another_key_is_damage() {
    let frame = &pack(&buffer_of(&[numbered(1)]), Position(9))[0];
    let error = Frame::parse(Position(10), Arc::new(frame.bytes().to_vec())).unwrap_err();
    assert!(error.to_string().contains("begins at 9"), "{error}");
}

#[test]
fn a_frame_may_be_cut_nowhere() {
    let frame = &pack(&buffer_of(&one_of_each()), Position(1))[0];
    for len in 0..frame.bytes().len() {
        assert!(Frame::parse(Position(1), Arc::new(frame.bytes()[..len].to_vec())).is_err(), "cut to {len}");
    }
}

#[test]
#[should_panic(expected = "an entry needs an event")]
fn an_entry_without_events_is_a_bug() {
    EntryBuffer::new().push(&[]);
}
