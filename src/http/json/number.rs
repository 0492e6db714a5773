//! Order numbers: ids of 63 bits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::Id;
use crate::OrderNo;

/// An order number as JSON has it: like an [`Id`], below 2^63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderNumber(pub OrderNo);

impl From<OrderNo> for OrderNumber {
    fn from(order_no: OrderNo) -> Self {
        Self(order_no)
    }
}

impl Serialize for OrderNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for OrderNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = Id::deserialize(deserializer)?;
        let order_no = OrderNo::from_u64(id.0);
        order_no.map(Self).ok_or_else(|| de::Error::custom("expected an order number: it is below 2^63"))
    }
}

impl PartialSchema for OrderNumber {
    fn schema() -> RefOr<Schema> {
        Id::schema()
    }
}

impl ToSchema for OrderNumber {}
