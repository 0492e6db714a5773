//! Ids: 64 bits, shown as decimal strings, since JavaScript's numbers end at 2^53.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// Largest integer that every JSON reader keeps exactly.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// An id as JSON has it: a string of decimal digits; an integer is taken, too, while it is safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub u64);

impl Id {
    /// An id from its decimal digits, 1 to 20 of them.
    pub fn from_digits(digits: &str) -> Option<Self> {
        let is_number = (1..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_number).map(Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id: a string of decimal digits, or an integer up to 9007199254740991")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
        Id::from_digits(text).ok_or_else(|| E::invalid_value(de::Unexpected::Other("another string"), &self))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Id, E> {
        if value <= SAFE_INTEGER_MAX {
            Ok(Id(value))
        } else {
            // It may have been rounded on its way here: then it names something else.
            Err(E::invalid_value(de::Unexpected::Unsigned(value), &self))
        }
    }
}

impl PartialSchema for Id {
    fn schema() -> RefOr<Schema> {
        let digits =
            ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).pattern(Some("^[0-9]{1,20}$"));
        let integer = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .minimum(Some(0))
            .maximum(Some(SAFE_INTEGER_MAX));
        let description =
            "An id of 64 bits, shown as a string of decimal digits; an integer is accepted while it is safe.";
        OneOfBuilder::new().item(digits).item(integer).description(Some(description)).into()
    }
}

impl ToSchema for Id {}

macro_rules! ids {
    ($($name:ident),*) => {$(
        impl From<Id> for crate::$name {
            fn from(id: Id) -> Self {
                Self(id.0)
            }
        }

        impl From<crate::$name> for Id {
            fn from(id: crate::$name) -> Self {
                Self(id.0)
            }
        }
    )*};
}

ids!(ActivityId, CouponTermsId, FreightId, MemberId, ProductId, SkuId, TeamId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_strings_of_digits_or_safe_integers() {
        let read = |json: &str| serde_json::from_str::<Id>(json).ok().map(|id| id.0);
        assert_eq!(read("\"18446744073709551615\""), Some(u64::MAX));
        assert_eq!(read("9007199254740991"), Some(SAFE_INTEGER_MAX));
        for wrong in
            ["9007199254740992", "\"18446744073709551616\"", "\"\"", "\"+1\"", "\"-1\"", "-1", "1.0", "1e3"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        for wrong in ["\"0x1\"", "\" 1\"", "null", "true", "[]", "\"000000000000000000001\""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(serde_json::to_string(&Id(7)).unwrap(), "\"7\"");
    }
}
