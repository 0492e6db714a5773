//! Parts of messages that many events share: numbers as text, instants, stock keys, units, personal data.

use std::fmt::Display;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use crate::domain::event::StockUnits;
use crate::domain::ids::{ActivityId, LocationId, Pool, StockKey};
use crate::domain::instant::rfc3339;
use crate::domain::money::Money;
use crate::domain::refund::RefundLine;
use crate::domain::request::{Personal, Shipment};
use crate::personal::StoredPersonal;
use crate::relay::spec::PersonalChoice;

/// Something as the text that it prints as: ids have 64 bits and more, which JSON's numbers don't.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A list of such texts.
pub(super) struct Texts<'a, T>(pub(super) &'a [T]);

impl<T: Display> Serialize for Texts<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Text))
    }
}

/// An amount in minor units.
pub(super) struct Minor(pub(super) Money);

impl Serialize for Minor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0.minor())
    }
}

/// A list of amounts.
pub(super) struct Minors<'a>(pub(super) &'a [Money]);

impl Serialize for Minors<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|amount| amount.minor()))
    }
}

/// An instant under two names: `name` as RFC 3339 has it, `name_ms` in ms since the Unix epoch.
pub(super) fn instant<M: SerializeMap>(
    map: &mut M,
    names: (&'static str, &'static str),
    at_ms: u64,
) -> Result<(), M::Error> {
    map.serialize_entry(names.0, &rfc3339(at_ms))?;
    map.serialize_entry(names.1, &at_ms)
}

/// The names of one instant for [`instant`].
macro_rules! named {
    ($name:literal) => {
        ($name, concat!($name, "_ms"))
    };
}
pub(super) use named;

/// A field that is left out where there is nothing.
pub(super) fn optional<M: SerializeMap, T: Serialize>(
    map: &mut M,
    name: &'static str,
    value: Option<T>,
) -> Result<(), M::Error> {
    value.map_or(Ok(()), |value| map.serialize_entry(name, &value))
}

/// An activity, where it is one.
pub(super) fn activity(id: ActivityId) -> Option<Text<ActivityId>> {
    (id != ActivityId(0)).then_some(Text(id))
}

/// The fields of a stock key: what is in stock goes by its own name in each pool.
pub(super) fn stock_key<M: SerializeMap>(map: &mut M, key: &StockKey) -> Result<(), M::Error> {
    let (pool, name) = match key.pool {
        Pool::Normal => ("normal", "sku_id"),
        Pool::Seckill => ("seckill", "sku_id"),
        Pool::GroupBuy => ("group_buy", "sku_id"),
        Pool::Seats => ("seats", "team_id"),
        Pool::Coupons => ("coupons", "terms_id"),
    };
    map.serialize_entry("pool", pool)?;
    map.serialize_entry(name, &Text(key.sku))?;
    optional(map, "activity_id", activity(key.activity))?;
    optional(map, "location_id", (key.location != LocationId(0)).then_some(Text(key.location)))
}

/// A stock key by itself.
pub(super) struct Stock<'a>(pub(super) &'a StockKey);

impl Serialize for Stock<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        stock_key(&mut map, self.0)?;
        map.end()
    }
}

struct Units<'a>(&'a StockUnits);

impl Serialize for Units<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        stock_key(&mut map, &self.0.key)?;
        map.serialize_entry("quantity", &self.0.quantity)?;
        map.end()
    }
}

/// Units of goods. Seats of teams are none.
pub(super) struct Goods<'a>(pub(super) &'a [StockUnits]);

impl Serialize for Goods<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().filter(|units| units.key.pool != Pool::Seats).map(Units))
    }
}

struct Refunded<'a>(&'a RefundLine);

impl Serialize for Refunded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        stock_key(&mut map, &self.0.key)?;
        map.serialize_entry("quantity", &self.0.quantity)?;
        map.serialize_entry("amount", &Minor(self.0.amount))?;
        map.end()
    }
}

/// The lines of a refund.
pub(super) struct RefundLines<'a>(pub(super) &'a [RefundLine]);

impl Serialize for RefundLines<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|line| seq.serialize_element(&Refunded(line)))?;
        seq.end()
    }
}

/// The fields of a shipment.
pub(super) fn shipment<M: SerializeMap>(map: &mut M, shipment: &Shipment) -> Result<(), M::Error> {
    map.serialize_entry("carrier", &*shipment.carrier)?;
    map.serialize_entry("tracking_no", &*shipment.tracking_no)
}

/// A shipment by itself.
pub(super) struct Shipped<'a>(pub(super) &'a Shipment);

impl Serialize for Shipped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        shipment(&mut map, self.0)?;
        map.end()
    }
}

/// Who receives an order's goods, as far as the subscription may know it.
pub(super) struct ShownPersonal<'a>(pub(super) &'a Personal, pub(super) PersonalChoice);

impl Serialize for ShownPersonal<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (StoredPersonal::decode(self.0), self.1) {
            (StoredPersonal::Receiver(receiver), PersonalChoice::Whole) => receiver.serialize(serializer),
            (stored, _) => stored.masked().serialize(serializer),
        }
    }
}

/// The shop's own value. What is no JSON is shown as text.
pub(super) fn ext(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}
