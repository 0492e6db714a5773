//! What most orders don't have: texts of the shop's own, and terms beyond price times quantity.
//!
//! Both hang off pointers. On the disk the pair is one tag: 0 for neither, 1 for texts alone, as it was before there
//! were terms; so what older releases wrote reads as before, and an everyday order takes not one byte more.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::terms::{OrderTerms, SpentCoupon};
use super::text::OrderText;

/// The parts that only some orders have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderExtra {
    /// What is carried along unread.
    pub text: Option<Box<OrderText>>,
    /// What the order's price rests on beside its lines, and what it takes part in.
    pub terms: Option<Box<OrderTerms>>,
}

impl OrderExtra {
    /// The texts alone.
    pub const fn of_text(text: Option<Box<OrderText>>) -> Self {
        Self { text, terms: None }
    }

    /// The coupons in use.
    pub fn coupons(&self) -> &[SpentCoupon] {
        self.terms.as_deref().map_or(&[], |terms| &terms.coupons)
    }

    /// The shop's own number for the order.
    pub fn external_no(&self) -> Option<&str> {
        self.text.as_ref().and_then(|text| text.external_no.as_deref())
    }
}

/// The persisted form. The variants' order never changes.
#[derive(Serialize)]
enum StoredRef<'e> {
    None,
    Text(&'e OrderText),
    Terms(&'e OrderTerms),
    Both(&'e OrderText, &'e OrderTerms),
}

#[derive(Deserialize)]
enum Stored {
    None,
    Text(Box<OrderText>),
    Terms(Box<OrderTerms>),
    Both(Box<OrderText>, Box<OrderTerms>),
}

impl Serialize for OrderExtra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = match (self.text.as_deref(), self.terms.as_deref()) {
            (None, None) => StoredRef::None,
            (Some(text), None) => StoredRef::Text(text),
            (None, Some(terms)) => StoredRef::Terms(terms),
            (Some(text), Some(terms)) => StoredRef::Both(text, terms),
        };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OrderExtra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Stored::deserialize(deserializer)? {
            Stored::None => Self::default(),
            Stored::Text(text) => Self { text: Some(text), terms: None },
            Stored::Terms(terms) => Self { text: None, terms: Some(terms) },
            Stored::Both(text, terms) => Self { text: Some(text), terms: Some(terms) },
        })
    }
}
