//! The rows of the files, and what they become.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use stockade::{ImportedLine, ImportedOrder, Money, Personal, Sku};

/// An unsigned number, also as a string of digits, which is how some exports write ids of 64 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Number(pub(super) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from 0 on")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Number, E> {
                let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                let number = value.parse().ok().filter(|_| is_number).map(Number);
                number.ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
            }
        }

        deserializer.deserialize_any(NumberVisitor)
    }
}

impl Number {
    /// The number as a quantity of at most 32 bits.
    fn small(self, field: &str) -> Result<u32, String> {
        u32::try_from(self.0).map_err(|_| format!("{field} is {}: at most {} is allowed", self.0, u32::MAX))
    }

    /// The number as an amount in minor units.
    fn money(self, field: &str) -> Result<Money, String> {
        let minor = i64::try_from(self.0);
        let minor = minor.map_err(|_| format!("{field} is {}: at most {} is allowed", self.0, i64::MAX))?;
        Ok(Money::from_minor(minor))
    }
}

/// Yes or no, also as 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;

        impl Visitor<'_> for FlagVisitor {
            type Value = Flag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, 1 or 0")
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Flag, E> {
                Ok(Flag(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Flag, E> {
                match value {
                    0 => Ok(Flag(false)),
                    1 => Ok(Flag(true)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(value), &self)),
                }
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Flag, E> {
                match value.to_ascii_lowercase().as_str() {
                    "true" | "1" => Ok(Flag(true)),
                    "false" | "0" => Ok(Flag(false)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(value), &self)),
                }
            }
        }

        deserializer.deserialize_any(FlagVisitor)
    }
}

/// A SKU.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SkuRow {
    id: Number,
    product_id: Option<Number>,
    code: Option<String>,
    title: Option<String>,
    price: Number,
    on_sale: Option<Flag>,
    limit_per_member: Option<Number>,
}

impl SkuRow {
    pub(super) const COLUMNS: &'static [&'static str] =
        &["id", "product_id", "code", "title", "price", "on_sale", "limit_per_member"];

    pub(super) fn sku(self) -> Result<Sku, String> {
        Ok(Sku {
            id: self.id.0.into(),
            product_id: self.product_id.unwrap_or_default().0.into(),
            code: self.code.unwrap_or_default(),
            title: self.title.unwrap_or_default(),
            price: self.price.money("price")?,
            on_sale: self.on_sale.is_none_or(|flag| flag.0),
            limit_per_member: self.limit_per_member.unwrap_or_default().small("limit_per_member")?,
        })
    }
}

/// The stock of a SKU.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StockRow {
    pub(super) sku: Number,
    /// Units, those of the open orders included.
    pub(super) total: Number,
}

impl StockRow {
    pub(super) const COLUMNS: &'static [&'static str] = &["sku", "total"];
}

/// What a member has used up of a limit.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitRow {
    pub(super) member_id: Number,
    pub(super) sku: Number,
    /// Units.
    pub(super) used: u32,
}

impl LimitRow {
    pub(super) const COLUMNS: &'static [&'static str] = &["member_id", "sku", "used"];
}

/// A line of an order.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineRow {
    sku: Number,
    quantity: Number,
    price: Number,
    limit_per_member: Option<Number>,
}

impl LineRow {
    fn line(self) -> Result<ImportedLine, String> {
        Ok(ImportedLine {
            sku_id: self.sku.0.into(),
            quantity: self.quantity.small("quantity")?,
            price: self.price.money("price")?,
            limit_per_member: self.limit_per_member.unwrap_or_default().small("limit_per_member")?,
        })
    }
}

/// An order in JSON.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderRow {
    external_no: String,
    member_id: Number,
    deadline_ms: Number,
    lines: Vec<LineRow>,
    remark: Option<String>,
    personal: Option<serde_json::Value>,
    ext: Option<serde_json::Value>,
}

impl OrderRow {
    pub(super) fn order(self, allow_overdue: bool) -> Result<ImportedOrder, String> {
        Ok(ImportedOrder {
            external_no: self.external_no.into(),
            member_id: self.member_id.0.into(),
            lines: self.lines.into_iter().map(LineRow::line).collect::<Result<_, _>>()?,
            deadline_ms: self.deadline_ms.0,
            allow_overdue,
            personal: self.personal.map(|value| Personal::Plain(opaque(value))),
            remark: self.remark.map(Into::into),
            ext: self.ext.map(opaque),
        })
    }
}

/// One line of an order in CSV, with what goes for the whole order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderLineRow {
    pub(super) external_no: String,
    member_id: Number,
    deadline_ms: Number,
    sku: Number,
    quantity: Number,
    price: Number,
    limit_per_member: Option<Number>,
    remark: Option<String>,
    name: Option<String>,
    phone: Option<String>,
    address: Option<String>,
    personal: Option<String>,
    ext: Option<String>,
}

impl OrderLineRow {
    pub(super) const COLUMNS: &'static [&'static str] = &[
        "external_no",
        "member_id",
        "deadline_ms",
        "sku",
        "quantity",
        "price",
        "limit_per_member",
        "remark",
        "name",
        "phone",
        "address",
        "personal",
        "ext",
    ];

    /// The order whose lines these rows are; there is at least one.
    pub(super) fn order(rows: Vec<Self>, allow_overdue: bool) -> Result<ImportedOrder, String> {
        let lines = rows.iter().map(|row| {
            let Self { sku, quantity, price, limit_per_member, .. } = *row;
            LineRow { sku, quantity, price, limit_per_member }.line()
        });
        let lines = lines.collect::<Result<_, _>>()?;
        let mut rows = rows.into_iter();
        let Some(first) = rows.next() else { return Err("an order without rows".to_owned()) };
        if rows.any(|row| !row.is_same_order(&first)) {
            return Err(format!("the rows of order {} differ in more than their lines", first.external_no));
        }
        Ok(ImportedOrder {
            personal: first.personal()?,
            external_no: first.external_no.into(),
            member_id: first.member_id.0.into(),
            lines,
            deadline_ms: first.deadline_ms.0,
            allow_overdue,
            remark: first.remark.map(Into::into),
            ext: first.ext.map(|ext| ext.into_bytes().into()),
        })
    }

    fn is_same_order(&self, first: &Self) -> bool {
        let Self { sku, quantity, price, limit_per_member, .. } = first.clone();
        Self { sku, quantity, price, limit_per_member, ..self.clone() } == *first
    }

    /// As it stands in its column, or name, phone and address as a JSON object.
    fn personal(&self) -> Result<Option<Personal>, String> {
        let parts = [("name", &self.name), ("phone", &self.phone), ("address", &self.address)];
        let parts: serde_json::Map<_, _> = parts
            .into_iter()
            .filter_map(|(field, part)| Some((field.to_owned(), part.clone()?.into())))
            .collect();
        match (&self.personal, parts.is_empty()) {
            (Some(_), false) => {
                Err("personal data stands in `personal` and in columns of its own".to_owned())
            }
            (Some(personal), true) => Ok(Some(Personal::Plain(personal.as_bytes().into()))),
            (None, false) => Ok(Some(Personal::Plain(opaque(parts.into())))),
            (None, true) => Ok(None),
        }
    }
}

/// A string as its bytes, anything else as compact JSON.
fn opaque(value: serde_json::Value) -> Box<[u8]> {
    match value {
        serde_json::Value::String(text) => text.into_bytes().into(),
        value => value.to_string().into_bytes().into(),
    }
}
