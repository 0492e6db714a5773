//! Instants on the way in: RFC 3339, a date, or milliseconds since the Unix epoch.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::instant::parse_instant;

/// An instant in ms since the Unix epoch, however it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MomentVisitor)
    }
}

struct MomentVisitor;

impl Visitor<'_> for MomentVisitor {
    type Value = Moment;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instant: RFC 3339 like 2026-11-11T12:00:00Z, or ms since 1970")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Moment, E> {
        let wrong = |_text| E::invalid_value(de::Unexpected::Other("another string"), &self);
        parse_instant(text).map(Moment).map_err(wrong)
    }

    fn visit_u64<E: de::Error>(self, at_ms: u64) -> Result<Moment, E> {
        Ok(Moment(at_ms))
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .pattern(Some("^([0-9]{1,20}|[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].{1,60})?)$"))
            .examples(["2026-11-11T12:00:00.000Z"]);
        let integer = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .minimum(Some(0))
            .maximum(Some(u64::MAX));
        let description = "An instant: RFC 3339, a date (its midnight in UTC), or ms since the Unix epoch.";
        OneOfBuilder::new().item(text).item(integer).description(Some(description)).into()
    }
}

impl ToSchema for Moment {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_read_in_every_form_and_nothing_else_is() {
        for text in ["\"1970-01-01T00:00:01Z\"", "\"1970-01-01T08:00:01+08:00\"", "1000", "\"1000\""] {
            assert_eq!(serde_json::from_str::<Moment>(text).unwrap(), Moment(1_000), "{text}");
        }
        for wrong in ["\"soon\"", "-1", "1.5", "null", "true", "\"\"", "\"2026-13-01\""] {
            assert!(serde_json::from_str::<Moment>(wrong).is_err(), "{wrong}");
        }
    }
}
