//! Personal data as the HTTP adapter writes it into an order, and as it is shown, searched and relayed: who receives the
//! goods, and where.
//!
//! The engine stores it as bytes that it never looks into. Here they are a versioned JSON object, so that they can be told
//! from what another program has stored. Answers show it masked; whole it is only given to who may see it. Nothing here
//! puts it into an error, a log or a `Debug` form: not even a value of the wrong type is repeated.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use serde_json::{Map, Value};
#[cfg(feature = "http")]
use utoipa::ToSchema;

use crate::domain::reject::Reject;
use crate::domain::request::{PERSONAL_BYTES_MAX, Personal};

/// Longest name, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest phone number, in bytes.
pub const PHONE_BYTES_MAX: usize = 32;
/// Longest country, province, city or district, in bytes of UTF-8.
pub const REGION_BYTES_MAX: usize = 96;
/// Longest detailed address, in bytes of UTF-8.
pub const ADDRESS_BYTES_MAX: usize = 768;
/// Longest postcode, in bytes.
pub const POSTCODE_BYTES_MAX: usize = 16;

/// Version of the stored form. Frozen for what is stored.
const FORMAT: u64 = 1;
/// What stands for a text that isn't shown.
const MASK: &str = "***";
/// Digits of a phone number that are shown first and last, and how many it must have for that.
const PHONE_SHOWN_FIRST: usize = 3;
const PHONE_SHOWN_LAST: usize = 4;
const PHONE_DIGITS_MIN: usize = 8;

/// Who receives an order's goods. Its `Debug` form reveals nothing.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(ToSchema))]
pub struct Receiver {
    /// Name; 1 to 128 bytes.
    #[cfg_attr(feature = "http", schema(min_length = 1, max_length = 128, example = "张三"))]
    pub name: String,
    /// Phone number; 1 to 32 bytes.
    #[cfg_attr(feature = "http", schema(min_length = 1, max_length = 32, example = "13812345678"))]
    pub phone: String,
    /// Country, where the shop delivers to more than one; at most 96 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "http", schema(max_length = 96))]
    pub country: Option<String>,
    /// Province or state; at most 96 bytes.
    #[cfg_attr(feature = "http", schema(value_type = Option<String>, max_length = 96, example = "广东省"))]
    pub province: String,
    /// City; at most 96 bytes.
    #[cfg_attr(feature = "http", schema(value_type = Option<String>, max_length = 96, example = "深圳市"))]
    pub city: String,
    /// District; at most 96 bytes. Empty where a city has none.
    #[cfg_attr(feature = "http", schema(value_type = Option<String>, max_length = 96, example = "南山区"))]
    pub district: String,
    /// Street, house, door; 1 to 768 bytes.
    #[cfg_attr(
        feature = "http",
        schema(min_length = 1, max_length = 768, example = "科技园路 1 号 2 栋 301")
    )]
    pub address: String,
    /// Postcode; at most 16 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "http", schema(max_length = 16))]
    pub postcode: Option<String>,
}

impl Receiver {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`], [`Reject::FieldTooLong`], or [`Reject::InvalidField`] for control characters, with fields
    /// named `receiver.…`; none repeats a value.
    pub fn validate(&self) -> Result<(), Reject> {
        Reject::check_present("receiver.name", self.name.trim().len(), NAME_BYTES_MAX)?;
        Reject::check_present("receiver.phone", self.phone.trim().len(), PHONE_BYTES_MAX)?;
        Reject::check_present("receiver.address", self.address.trim().len(), ADDRESS_BYTES_MAX)?;
        let fields: [(&'static str, &str, usize); 8] = [
            ("receiver.name", &self.name, NAME_BYTES_MAX),
            ("receiver.phone", &self.phone, PHONE_BYTES_MAX),
            ("receiver.country", self.country.as_deref().unwrap_or_default(), REGION_BYTES_MAX),
            ("receiver.province", &self.province, REGION_BYTES_MAX),
            ("receiver.city", &self.city, REGION_BYTES_MAX),
            ("receiver.district", &self.district, REGION_BYTES_MAX),
            ("receiver.address", &self.address, ADDRESS_BYTES_MAX),
            ("receiver.postcode", self.postcode.as_deref().unwrap_or_default(), POSTCODE_BYTES_MAX),
        ];
        for (field, text, len_max) in fields {
            Reject::check_len(field, text.len(), len_max)?;
            if text.contains(char::is_control) {
                return Err(Reject::InvalidField { field, expected: "text without control characters" });
            }
        }
        Ok(())
    }

    /// As the engine stores it.
    ///
    /// # Errors
    /// Those of [`Receiver::validate`]; [`Reject::FieldTooLong`] for `receiver` where it is more than
    /// [`PERSONAL_BYTES_MAX`] bytes in all, which only texts full of quotes and backslashes are.
    pub fn to_personal(&self) -> Result<Personal, Reject> {
        self.validate()?;
        let stored = Stored { v: FORMAT, receiver: self };
        let invalid = |_| Reject::InvalidField { field: "receiver", expected: "text" };
        let bytes = serde_json::to_vec(&stored).map_err(invalid)?;
        Reject::check_len("receiver", bytes.len(), PERSONAL_BYTES_MAX)?;
        Ok(Personal::Plain(bytes.into()))
    }

    /// As it is shown to who need not know it.
    pub fn masked(&self) -> MaskedReceiver {
        let region = |text: &String| if self.is_repeated_in(text) { MASK.to_owned() } else { text.clone() };
        MaskedReceiver {
            name: masked_name(&self.name),
            phone: masked_phone(&self.phone),
            country: self.country.as_ref().map(region),
            province: region(&self.province),
            city: region(&self.city),
            district: region(&self.district),
            address: MASK.to_owned(),
            postcode: self.postcode.as_ref().map(|_| MASK.to_owned()),
        }
    }

    /// Whether a text holds what is to be hidden: people paste a whole address into one field.
    fn is_repeated_in(&self, text: &str) -> bool {
        [&self.name, &self.phone, &self.address].iter().any(|part| text.contains(part.as_str()))
    }

    /// From a JSON object, naming fields and never values.
    fn from_json(value: Value) -> Result<Self, &'static str> {
        let Value::Object(mut fields) = value else { return Err("receiver must be an object") };
        let receiver = Self {
            name: text(&mut fields, "name")?.ok_or("receiver.name is missing")?,
            phone: text(&mut fields, "phone")?.ok_or("receiver.phone is missing")?,
            country: text(&mut fields, "country")?,
            province: text(&mut fields, "province")?.unwrap_or_default(),
            city: text(&mut fields, "city")?.unwrap_or_default(),
            district: text(&mut fields, "district")?.unwrap_or_default(),
            address: text(&mut fields, "address")?.ok_or("receiver.address is missing")?,
            postcode: text(&mut fields, "postcode")?,
        };
        if !fields.is_empty() {
            return Err(
                "receiver has a field that is not known: it has name, phone, country, province, city, \
                        district, address and postcode",
            );
        }
        Ok(receiver)
    }
}

/// Takes a text out of an object; `None` where it is absent or null.
fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, &'static str> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err("every field of receiver must be a string"),
    }
}

/// Written out, because the derived form would repeat a value of a wrong type in its message: a phone number that was
/// sent as a number.
impl<'de> Deserialize<'de> for Receiver {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(Value::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver(***)")
    }
}

/// The stored form.
#[derive(Serialize)]
struct Stored<'a> {
    v: u64,
    #[serde(flatten)]
    receiver: &'a Receiver,
}

/// Personal data of an order, as far as the adapter understands it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredPersonal {
    /// In this adapter's form.
    Receiver(Box<Receiver>),
    /// In another form, or encrypted.
    Opaque(OpaquePersonal),
}

impl StoredPersonal {
    /// Reads what an order has stored. Whatever it is, this gives an answer.
    pub fn decode(personal: &Personal) -> Self {
        let opaque = |bytes: &[u8], is_sealed| {
            Self::Opaque(OpaquePersonal { opaque: true, sealed: is_sealed, bytes: bytes.len() })
        };
        match personal {
            Personal::Sealed { ciphertext, .. } => opaque(ciphertext, true),
            Personal::Plain(bytes) => match decode_plain(bytes) {
                Some(receiver) => Self::Receiver(Box::new(receiver)),
                None => opaque(bytes, false),
            },
        }
    }

    /// As it is shown to who need not know it.
    pub fn masked(&self) -> MaskedPersonal {
        match self {
            Self::Receiver(receiver) => MaskedPersonal::Receiver(receiver.masked()),
            Self::Opaque(opaque) => MaskedPersonal::Opaque(*opaque),
        }
    }
}

/// The stored form as it is read. Its errors repeat values: none may leave this module.
#[derive(DeriveDeserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    v: u64,
    name: String,
    phone: String,
    country: Option<String>,
    province: Option<String>,
    city: Option<String>,
    district: Option<String>,
    address: String,
    postcode: Option<String>,
}

/// The receiver in stored bytes, if they are in this adapter's form and version.
fn decode_plain(bytes: &[u8]) -> Option<Receiver> {
    let reading: Reading = serde_json::from_slice(bytes).ok()?;
    (reading.v == FORMAT).then(|| Receiver {
        name: reading.name,
        phone: reading.phone,
        country: reading.country,
        province: reading.province.unwrap_or_default(),
        city: reading.city.unwrap_or_default(),
        district: reading.district.unwrap_or_default(),
        address: reading.address,
        postcode: reading.postcode,
    })
}

/// A receiver as it is shown to who need not know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(ToSchema))]
pub struct MaskedReceiver {
    /// The first character, and stars for up to two more.
    #[cfg_attr(feature = "http", schema(example = "张*"))]
    pub name: String,
    /// The first three and the last four digits, or the last two characters of a short one.
    #[cfg_attr(feature = "http", schema(example = "138****5678"))]
    pub phone: String,
    /// Country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Province or state.
    pub province: String,
    /// City.
    pub city: String,
    /// District.
    pub district: String,
    /// Always masked.
    #[cfg_attr(feature = "http", schema(example = "***"))]
    pub address: String,
    /// Always masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postcode: Option<String>,
}

/// Personal data in a form that this adapter doesn't read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, DeriveDeserialize)]
#[cfg_attr(feature = "http", derive(ToSchema))]
pub struct OpaquePersonal {
    /// Always true; tells it from a receiver.
    pub opaque: bool,
    /// Whether it is encrypted.
    pub sealed: bool,
    /// Its size, in bytes.
    pub bytes: usize,
}

/// Personal data as answers show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http", derive(ToSchema))]
#[serde(untagged)]
pub enum MaskedPersonal {
    /// A receiver, masked.
    Receiver(MaskedReceiver),
    /// Something else, of which only the size is told.
    Opaque(OpaquePersonal),
}

/// 张三 becomes 张*, John Smith becomes J**. A name of one character would be shown whole, and is hidden.
fn masked_name(name: &str) -> String {
    let further = name.chars().skip(1).take(2).count();
    match name.chars().next() {
        Some(first) if further > 0 => std::iter::once(first).chain("**".chars().take(further)).collect(),
        _ => "*".to_owned(),
    }
}

/// 13812345678 becomes 138****5678; of a number with fewer than eight digits all but the last two characters are hidden,
/// of one that has no more, all.
fn masked_phone(phone: &str) -> String {
    let digits = phone.chars().filter(char::is_ascii_digit).count();
    if digits < PHONE_DIGITS_MIN {
        let len = phone.chars().count();
        let hidden = if len > 2 { len - 2 } else { len };
        return phone.chars().enumerate().map(|(at, char)| if at < hidden { '*' } else { char }).collect();
    }
    let mut nth = 0;
    let shown = |char: char| match char {
        '0'..='9' => {
            nth += 1;
            let is_shown = nth <= PHONE_SHOWN_FIRST || nth > digits - PHONE_SHOWN_LAST;
            if is_shown { char } else { '*' }
        }
        '+' | '-' | ' ' | '(' | ')' => char,
        _ => '*',
    };
    phone.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receiver() -> Receiver {
        Receiver {
            name: "张三".into(),
            phone: "13812345678".into(),
            country: None,
            province: "广东省".into(),
            city: "深圳市".into(),
            district: "南山区".into(),
            address: "科技园路 1 号".into(),
            postcode: Some("518000".into()),
        }
    }

    #[test]
    fn names_and_phones_are_masked() {
        for (name, masked) in
            [("张三", "张*"), ("欧阳小明", "欧**"), ("John Smith", "J**"), ("李", "*"), ("", "*")]
        {
            assert_eq!(masked_name(name), masked, "{name}");
        }
        let phones = [
            ("13812345678", "138****5678"),
            ("+86 138-1234-5678", "+86 1**-****-5678"),
            ("12345678", "123*5678"),
            ("1234567", "*****67"),
            ("66", "**"),
            ("", ""),
        ];
        for (phone, masked) in phones {
            assert_eq!(masked_phone(phone), masked, "{phone}");
        }
    }

    #[test]
    fn a_masked_receiver_shows_the_region_alone() {
        let json = serde_json::to_value(receiver().masked()).unwrap();
        let expected = serde_json::json!({
            "name": "张*", "phone": "138****5678", "province": "广东省", "city": "深圳市", "district": "南山区",
            "address": "***", "postcode": "***",
        });
        assert_eq!(json, expected);
        let pasted = Receiver { city: "深圳市 张三 收".into(), ..receiver() };
        assert_eq!(pasted.masked().city, "***");
    }

    #[test]
    fn the_stored_form_is_frozen_and_reads_back() {
        let personal = receiver().to_personal().unwrap();
        let expected = r#"{"v":1,"name":"张三","phone":"13812345678","province":"广东省","city":"深圳市","district":"南山区","address":"科技园路 1 号","postcode":"518000"}"#;
        assert_eq!(personal, Personal::Plain(expected.as_bytes().into()));
        assert_eq!(StoredPersonal::decode(&personal), StoredPersonal::Receiver(Box::new(receiver())));
    }

    #[test]
    fn what_is_in_another_form_is_shown_by_its_size() {
        let newer = r#"{"v":2,"name":"张三","phone":"1","address":"x"}"#;
        let more = r#"{"v":1,"name":"张三","phone":"1","address":"x","mail":"a@b"}"#;
        for text in [newer, more, "张三 13812345678", "", "{}", "[1]", "5"] {
            let stored = StoredPersonal::decode(&Personal::Plain(text.as_bytes().into()));
            let opaque = OpaquePersonal { opaque: true, sealed: false, bytes: text.len() };
            assert_eq!(stored.masked(), MaskedPersonal::Opaque(opaque), "{text}");
        }
        let sealed = Personal::Sealed { key_version: 1, ciphertext: [7; 9].into() };
        let json = serde_json::to_string(&StoredPersonal::decode(&sealed).masked()).unwrap();
        assert_eq!(json, r#"{"opaque":true,"sealed":true,"bytes":9}"#);
    }

    #[test]
    fn bounds_are_checked_by_name() {
        let refused = |change: fn(&mut Receiver)| {
            let mut receiver = receiver();
            change(&mut receiver);
            receiver.to_personal().map(drop)
        };
        let empty = |field| Err(Reject::FieldEmpty { field });
        let long = |field, len, len_max| Err(Reject::FieldTooLong { field, len, len_max });
        assert_eq!(refused(|_| ()), Ok(()));
        assert_eq!(refused(|receiver| receiver.name.clear()), empty("receiver.name"));
        assert_eq!(refused(|receiver| receiver.phone = " ".into()), empty("receiver.phone"));
        assert_eq!(refused(|receiver| receiver.address.clear()), empty("receiver.address"));
        assert_eq!(refused(|receiver| receiver.name = "a".repeat(129)), long("receiver.name", 129, 128));
        assert_eq!(refused(|receiver| receiver.city = "a".repeat(97)), long("receiver.city", 97, 96));
        assert_eq!(refused(|receiver| receiver.address = "a".repeat(768)), Ok(()));
        let control =
            Reject::InvalidField { field: "receiver.district", expected: "text without control characters" };
        assert_eq!(refused(|receiver| receiver.district = "a\nb".into()), Err(control));
        let escaped = refused(|receiver| {
            receiver.address = "\"".repeat(768);
            receiver.province = "\"".repeat(96);
            receiver.city = "\"".repeat(96);
            receiver.district = "\"".repeat(96);
        });
        assert!(
            matches!(escaped, Err(Reject::FieldTooLong { field: "receiver", len_max: 2048, .. })),
            "{escaped:?}"
        );
    }

    #[test]
    fn errors_and_debug_repeat_no_value() {
        assert_eq!(format!("{:?}", receiver()), "Receiver(***)");
        let wrong = [
            r#""张三 13812345678""#,
            r#"{"name":"张三","phone":13812345678,"address":"x"}"#,
            r#"{"name":"张三","phone":["13812345678"],"address":"x"}"#,
            r#"{"name":"张三","address":"13812345678"}"#,
            r#"{"name":"张三","phone":"13812345678","address":"x","13812345678":1}"#,
        ];
        for json in wrong {
            let error = serde_json::from_str::<Receiver>(json).unwrap_err().to_string();
            assert!(!error.contains("13812345678") && !error.contains("张三"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn masked_output_never_holds_name_phone_or_detail(
            name in "[A-Za-z\u{4e00}-\u{4fff} ]{2,20}",
            phone in "[+]?[0-9]{5,14}(-[0-9]{1,4})?",
            address in "[a-z0-9\u{5000}-\u{5fff}]{4,40}",
            region in "[\u{6000}-\u{6fff}]{0,5}",
            pasted in 0..4_usize,
        ) {
            let whole = [&region, &name, &phone, &address][pasted];
            let receiver = Receiver {
                province: format!("{region}{whole}"),
                district: whole.clone(),
                name: name.clone(),
                phone: phone.clone(),
                address: address.clone(),
                ..receiver()
            };
            let masked = receiver.masked();
            let shown = [&masked.name, &masked.phone, &masked.province, &masked.city, &masked.district, &masked.address];
            for text in shown {
                for hidden in [&name, &phone, &address] {
                    prop_assert!(!text.contains(hidden.as_str()), "{text} holds {hidden}");
                }
            }
        }

        #[test]
        fn what_is_stored_reads_back(name in "\\PC{1,30}", phone in "[0-9]{1,20}", address in "\\PC{1,60}") {
            prop_assume!(!name.trim().is_empty() && !address.trim().is_empty());
            let receiver = Receiver { name, phone, address, ..receiver() };
            let personal = receiver.to_personal().unwrap();
            prop_assert_eq!(StoredPersonal::decode(&personal), StoredPersonal::Receiver(Box::new(receiver)));
        }

        #[test]
        fn any_stored_bytes_are_shown_without_their_content(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let personal = Personal::Plain(bytes.clone().into());
            let is_opaque = matches!(StoredPersonal::decode(&personal), StoredPersonal::Opaque(opaque) if opaque.bytes == bytes.len());
            prop_assert!(is_opaque);
        }
    }
}
