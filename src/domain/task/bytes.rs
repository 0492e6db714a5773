//! Opaque bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::whole;

/// Opaque bytes, encoded in one piece.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bytes(#[serde(with = "whole")] pub Box<[u8]>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
