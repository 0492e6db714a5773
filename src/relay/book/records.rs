//! Keys and records of the book. They are persisted: what a version means never changes.
//!
//! | key | record |
//! |---|---|
//! | `s`, name | a subscription, as JSON: settings grow |
//! | `c`, name | its cursor |
//! | `d`, name, 0, position | a dead letter |
//! | `e`, name, 0, position, part | a part of a dead letter's message, 64 KiB at most |
//! | `p`, name, 0, position | a letter is gone, and the cursor still before it |
//! | `r`, name, 0, position | a dead letter is to be delivered again |
//!
//! Positions are big endian, so letters stand in the order of the journal.

use serde::{Deserialize, Serialize};

use super::damaged;
use crate::domain::ids::{OrderNo, Position};
use crate::journal::{decode_record, encode_record};
use crate::relay::error::RelayError;
use crate::relay::spec::SubscriptionSpec;

/// The version of a subscription's record that this release writes.
const VERSION: u32 = 1;
/// Bytes of a message that stand under one key.
const PART_BYTES: usize = 64 << 10;

/// A subscription and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::relay) struct Stored {
    pub(in crate::relay) record: SubscriptionRecord,
    /// Everything before this position is done with.
    pub(in crate::relay) cursor: Position,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::relay) struct SubscriptionRecord {
    version: u32,
    pub(in crate::relay) spec: SubscriptionSpec,
    /// Whether it comes from the configuration.
    pub(in crate::relay) configured: bool,
    pub(in crate::relay) state: StoredState,
    /// Positions that it will never get, oldest first.
    #[serde(default)]
    pub(in crate::relay) missing: Vec<(Position, Position)>,
}

/// How a subscription stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(in crate::relay) enum StoredState {
    /// It runs.
    Running,
    /// It is paused.
    Paused {
        /// Because it has left the configuration.
        #[serde(default)]
        left: bool,
    },
    /// It waits for somebody to look after it.
    Suspended {
        /// Why.
        reason: String,
        /// Whether the journal is no longer kept for it.
        released: bool,
    },
}

impl SubscriptionRecord {
    /// A subscription that runs.
    pub(in crate::relay) fn new(spec: SubscriptionSpec, configured: bool) -> Self {
        Self { version: VERSION, spec, configured, state: StoredState::Running, missing: Vec::new() }
    }
}

/// A dead letter without its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::relay) struct DeadRecord {
    pub(in crate::relay) order_no: Option<OrderNo>,
    pub(in crate::relay) event: String,
    pub(in crate::relay) attempts: u32,
    pub(in crate::relay) reason: String,
    /// Since when it is dead, in ms since the Unix epoch.
    pub(in crate::relay) at_ms: u64,
    /// When the event happened, in ms since the Unix epoch.
    pub(in crate::relay) event_at_ms: u64,
    pub(in crate::relay) body_bytes: u32,
}

pub(super) fn subscription_key(name: &str) -> Vec<u8> {
    [b"s", name.as_bytes()].concat()
}

pub(super) fn cursor_key(name: &str) -> Vec<u8> {
    [b"c", name.as_bytes()].concat()
}

pub(super) fn subscription_range() -> (Vec<u8>, Vec<u8>) {
    (b"s".to_vec(), b"t".to_vec())
}

pub(super) fn name_of(key: &[u8]) -> Result<String, RelayError> {
    let name = key.get(1..).and_then(|name| std::str::from_utf8(name).ok());
    name.map(str::to_owned).ok_or_else(|| RelayError::Storage("a subscription's name is no text".to_owned()))
}

pub(super) fn head_key(name: &str, position: Position) -> Vec<u8> {
    letter_key(b'd', name, position)
}

pub(super) fn mark_key(name: &str, position: Position) -> Vec<u8> {
    letter_key(b'r', name, position)
}

pub(super) fn passed_key(name: &str, position: Position) -> Vec<u8> {
    letter_key(b'p', name, position)
}

pub(super) fn body_key(name: &str, position: Position, nth: u16) -> Vec<u8> {
    let mut key = letter_key(b'e', name, position);
    key.extend_from_slice(&nth.to_be_bytes());
    key
}

fn letter_key(kind: u8, name: &str, position: Position) -> Vec<u8> {
    [&[kind], name.as_bytes(), &[0], &position.0.to_be_bytes()].concat()
}

/// Where everything about a subscription's letters stands.
pub(super) fn letter_ranges(name: &str) -> [(Vec<u8>, Vec<u8>); 4] {
    let range = |kind: u8| {
        let at = |end: u8| [&[kind], name.as_bytes(), &[end]].concat();
        (at(0), at(1))
    };
    [range(b'd'), range(b'e'), range(b'p'), range(b'r')]
}

pub(super) fn position_of(name: &str, key: &[u8]) -> Result<Position, RelayError> {
    let bytes = key.get(name.len() + 2..).and_then(|bytes| bytes.try_into().ok());
    bytes.map(|bytes| Position(u64::from_be_bytes(bytes))).ok_or_else(|| damaged(name, "has a strange key"))
}

/// A message in parts.
pub(super) fn parts(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.chunks(PART_BYTES)
}

/// How many parts a message of so many bytes has.
pub(super) fn parts_len(body_bytes: usize) -> u16 {
    // A message has a few 100 KiB at most.
    u16::try_from(body_bytes.div_ceil(PART_BYTES)).unwrap_or(u16::MAX)
}

pub(super) fn encode_subscription(record: &SubscriptionRecord) -> Vec<u8> {
    serde_json::to_vec(record).expect("settings are plain data")
}

pub(super) fn decode_subscription(name: &str, bytes: &[u8]) -> Result<SubscriptionRecord, RelayError> {
    // What is wrong with it is told without what it says: it holds secrets.
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    match serde_json::from_slice::<Versioned>(bytes) {
        Ok(Versioned { version: VERSION }) => serde_json::from_slice(bytes)
            .map_err(|_malformed| damaged(name, "has a record that can't be read")),
        Ok(Versioned { version }) => {
            Err(damaged(name, &format!("has a record of version {version}, of a newer release")))
        }
        Err(_malformed) => Err(damaged(name, "has a record that can't be read")),
    }
}

pub(super) fn encode_cursor(cursor: Position) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    encode_record(&cursor, &mut bytes);
    bytes
}

pub(super) fn decode_cursor(name: &str, bytes: &[u8]) -> Result<Position, RelayError> {
    decode_record(bytes).map_err(|error| damaged(name, &format!("has a cursor that can't be read: {error}")))
}

pub(super) fn encode_head(letter: &DeadRecord) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    encode_record(letter, &mut bytes);
    bytes
}

pub(super) fn decode_head(name: &str, position: Position, bytes: &[u8]) -> Result<DeadRecord, RelayError> {
    decode_record(bytes).map_err(|error| {
        damaged(name, &format!("has a dead letter at position {position} that can't be read: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What other releases have written must be read for ever.
    #[test]
    fn records_have_their_golden_bytes() {
        let spec = serde_json::from_str(
            r#"{"sink":{"kind":"webhook","url":"https://a","secret":"k"},"events":["OrderPaid"]}"#,
        )
        .unwrap();
        let mut record = SubscriptionRecord::new(spec, false);
        record.state = StoredState::Suspended { reason: "r".into(), released: true };
        record.missing = vec![(Position(3), Position(5))];
        let golden = concat!(
            r#"{"version":1,"spec":{"events":["OrderPaid"],"start":"next","sink":{"kind":"webhook","url":"https://a","#,
            r#""secret":"k","timeout_ms":10000,"allow_private":false,"tls_ca":null},"retry":{"attempts_max":10,"#,
            r#""backoff_ms":100,"backoff_ms_max":30000},"in_flight_max":1024,"lag_bytes_max":4294967296,"#,
            r#""dead_letters_max":100000,"snapshot":false,"personal":"masked"},"configured":false,"#,
            r#""state":{"kind":"suspended","reason":"r","released":true},"missing":[[3,5]]}"#,
        );
        assert_eq!(String::from_utf8(encode_subscription(&record)).unwrap(), golden);
        assert_eq!(decode_subscription("a", golden.as_bytes()).unwrap(), record);

        assert_eq!(encode_cursor(Position(300)), [1, 251, 44, 1]);
        assert_eq!(decode_cursor("a", &[1, 251, 44, 1]).unwrap(), Position(300));

        let letter = DeadRecord {
            order_no: OrderNo::from_u64(9),
            event: "E".into(),
            attempts: 2,
            reason: "r".into(),
            at_ms: 6,
            event_at_ms: 5,
            body_bytes: 4,
        };
        let golden = [1, 1, 9, 1, 69, 2, 1, 114, 6, 5, 4];
        assert_eq!(encode_head(&letter), golden);
        assert_eq!(decode_head("a", Position(1), &golden).unwrap(), letter);
    }

    #[test]
    fn a_record_of_a_newer_release_is_refused_without_its_content() {
        let error = decode_subscription("a", br#"{"version":2,"secret":"hidden"}"#).unwrap_err().to_string();
        assert!(error.contains("version 2") && !error.contains("hidden"), "{error}");
        let error = decode_subscription("a", br#"{"version":1,"secret":"hidden"}"#).unwrap_err().to_string();
        assert!(!error.contains("hidden"), "{error}");
        assert!(decode_cursor("a", &[9, 1]).is_err());
    }

    #[test]
    fn keys_of_one_subscription_are_not_those_of_another() {
        for (name, other) in [("a", "a.b"), ("a", "ab"), ("a", "a-"), ("ab", "a"), ("a", "b")] {
            let (low, high) = letter_ranges(name)[0].clone();
            assert!((low..high).contains(&head_key(name, Position(u64::MAX))), "{name}");
            for position in [Position(0), Position(u64::MAX)] {
                let (low, high) = letter_ranges(name)[0].clone();
                assert!(!(low..high).contains(&head_key(other, position)), "{name} and {other}");
            }
        }
        let position = Position(77);
        assert_eq!(position_of("abc", &head_key("abc", position)).unwrap(), position);
        assert!(position_of("abc", b"dabc").is_err());
    }
}
