//! How the back office names an order: by its number, or by the shop's own number.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::http::json::{Id, Part};
use crate::{OrderNo, OrderRef};

/// Goes before the shop's own number.
const EXTERNAL: &str = "external:";
/// Longest external number that is looked for, in bytes; no order has a longer one.
const EXTERNAL_NO_BYTES_MAX: usize = 64;

/// An order: decimal digits, or `external:` and the shop's own number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OrderName(String);

impl OrderName {
    fn is_valid(text: &str) -> bool {
        match text.strip_prefix(EXTERNAL) {
            Some(external) => (1..=EXTERNAL_NO_BYTES_MAX).contains(&external.len()),
            None => Id::from_digits(text).and_then(|id| OrderNo::from_u64(id.0)).is_some(),
        }
    }

    /// As the engine finds it.
    pub fn order_ref(&self) -> OrderRef {
        match self.0.strip_prefix(EXTERNAL) {
            Some(external) => OrderRef::External(external.into()),
            // It was checked to be a number.
            None => OrderRef::Number(self.0.parse().unwrap_or_default()),
        }
    }
}

impl fmt::Display for OrderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Part for OrderName {
    fn from_text(text: &str) -> Option<Self> {
        Self::is_valid(text).then(|| Self(text.to_owned()))
    }
    const EXPECTED: &'static str =
        "an order number of decimal digits, or external: and the shop's own number,";
}

impl Serialize for OrderName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for OrderName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl Visitor<'_> for NameVisitor {
    type Value = OrderName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an order number as a string of digits, or external: and the shop's own number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OrderName, E> {
        let wrong = || E::invalid_value(de::Unexpected::Other("another string"), &self);
        OrderName::from_text(text).ok_or_else(wrong)
    }
}

impl PartialSchema for OrderName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .pattern(Some("^([0-9]{1,19}|external:.{1,64})$"))
            .description(Some("An order: its number, or `external:` and the shop's own number."))
            .examples(["380000000000000001", "external:T-1001"])
            .into()
    }
}

impl ToSchema for OrderName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_named_by_its_number_or_the_shops_own() {
        let name = |text| OrderName::from_text(text).map(|name| name.order_ref());
        assert_eq!(name("12"), Some(OrderRef::Number(OrderNo::from_u64(12).unwrap())));
        assert_eq!(name("external:T 1"), Some(OrderRef::External("T 1".into())));
        let long = format!("external:{}", "x".repeat(65));
        for wrong in ["", "T1", "-1", "+1", "9223372036854775808", "external:", &long] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
        assert!(serde_json::from_str::<OrderName>("12").is_err(), "numbers may have been rounded");
    }
}
