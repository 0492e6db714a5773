//! What an order carries along unread.

use serde::{Deserialize, Serialize};

use crate::domain::ids::SkuId;
use crate::domain::request::Personal;
use crate::domain::whole;

/// What an order carries along unread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderText {
    /// Name, phone, address; outside the state hash.
    pub personal: Option<Personal>,
    /// The buyer's remark.
    pub remark: Option<Box<str>>,
    /// The shop's own number.
    pub external_no: Option<Box<str>>,
    /// The shop's own fields.
    #[serde(with = "whole::optional")]
    pub ext: Option<Box<[u8]>>,
    /// The shop's own fields of single lines.
    pub line_ext: Vec<(SkuId, Box<[u8]>)>,
}

impl OrderText {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.personal.is_none() && !self.has_hashed_part()
    }

    /// Whether there is anything in it besides personal data.
    pub(super) fn has_hashed_part(&self) -> bool {
        self.remark.is_some() || self.external_no.is_some() || self.ext.is_some() || !self.line_ext.is_empty()
    }
}
