//! Bytes that are encoded in one piece: the same in the journal as those that went byte by byte.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::ids::SkuId;
use crate::domain::order::OrderText;
use crate::domain::request::Personal;
use crate::domain::task::Bytes;
use crate::journal::{decode_record, encode_record};

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record(value, &mut bytes);
    bytes
}

fn reads_as<T: Serialize + DeserializeOwned>(value: &impl Serialize) -> T {
    decode_record(&encoded(value)).unwrap()
}

/// As it was written byte by byte.
#[derive(Serialize, Deserialize)]
enum Slow {
    Plain(Box<[u8]>),
    Sealed { key_version: u32, ciphertext: Box<[u8]> },
}

#[derive(Serialize, Deserialize)]
struct SlowText {
    personal: Option<Slow>,
    remark: Option<Box<str>>,
    external_no: Option<Box<str>>,
    ext: Option<Box<[u8]>>,
    line_ext: Vec<(SkuId, Box<[u8]>)>,
}

#[test]
fn bytes_in_one_piece_are_what_they_were_byte_by_byte() {
    for len in [0, 1, 250, 251, 2_048, 1 << 16] {
        let bytes: Box<[u8]> = (0..len).map(|nth| (nth * 7 % 256) as u8).collect();
        let text = |personal, ext| OrderText { personal, ext, ..OrderText::default() };
        let slow =
            |personal, ext| SlowText { personal, remark: None, external_no: None, ext, line_ext: Vec::new() };
        let sealed = Personal::Sealed { key_version: 3, ciphertext: bytes.clone() };
        let slow_sealed = Slow::Sealed { key_version: 3, ciphertext: bytes.clone() };
        let pairs = [
            (text(None, None), slow(None, None)),
            (text(Some(Personal::Plain(bytes.clone())), None), slow(Some(Slow::Plain(bytes.clone())), None)),
            (text(Some(sealed), Some(bytes.clone())), slow(Some(slow_sealed), Some(bytes.clone()))),
        ];
        for (whole, slow) in pairs {
            assert_eq!(encoded(&whole), encoded(&slow), "{len} bytes");
            assert_eq!(reads_as::<OrderText>(&slow), whole);
        }
        let body = Bytes(bytes.clone());
        assert_eq!(encoded(&body), encoded(&bytes));
        assert_eq!(reads_as::<Bytes>(&bytes), body);
    }
}

#[test]
fn what_a_text_format_wrote_as_numbers_is_read() {
    let personal = Personal::Plain(Box::from([0, 7, 255]));
    let json = serde_json::to_string(&personal).unwrap();
    assert_eq!(json, r#"{"Plain":[0,7,255]}"#);
    assert_eq!(serde_json::from_str::<Personal>(&json).unwrap(), personal);
}

#[test]
fn a_length_beyond_the_end_is_an_error() {
    let mut bytes = encoded(&Personal::Plain(Box::from([7; 300])));
    bytes.truncate(100);
    assert!(decode_record::<Personal>(&bytes).is_err());
}
