//! The SKU catalogue: what is sold, at which price. Each change makes a new revision; an order names the
//! revision it was priced from, which is its snapshot of title, code and price without copying them.

use serde::{Deserialize, Serialize};

use super::hash::{RecordHasher, kinds};
use super::ids::{ProductId, SkuId};
use super::money::Money;
use super::reject::Reject;

/// Longest SKU code, in bytes.
pub const SKU_CODE_BYTES_MAX: usize = 64;
/// Longest SKU title, in bytes of UTF-8.
pub const SKU_TITLE_BYTES_MAX: usize = 512;

/// A sellable unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sku {
    /// Its id, the shop's own.
    pub id: SkuId,
    /// The product it belongs to.
    pub product_id: ProductId,
    /// The shop's article code; at most [`SKU_CODE_BYTES_MAX`] bytes.
    pub code: String,
    /// What buyers read; at most [`SKU_TITLE_BYTES_MAX`] bytes.
    pub title: String,
    /// Price of one unit; not negative.
    pub price: Money,
    /// Whether it can be ordered.
    pub on_sale: bool,
    /// Most units one member may have in orders that are not cancelled; 0 stands for no limit.
    ///
    /// Units count from the moment the limit is in force: orders placed while there was none are not counted.
    pub limit_per_member: u32,
}

impl Sku {
    /// Checks the bounds of every field.
    ///
    /// # Errors
    /// [`Reject::FieldTooLong`] or [`Reject::NegativePrice`].
    pub fn validate(&self) -> Result<(), Reject> {
        Reject::check_len("sku.code", self.code.len(), SKU_CODE_BYTES_MAX)?;
        Reject::check_len("sku.title", self.title.len(), SKU_TITLE_BYTES_MAX)?;
        if self.price.is_negative() {
            return Err(Reject::NegativePrice { sku: self.id });
        }
        Ok(())
    }

    /// This revision's part of the state hash.
    pub fn record_hash(&self, revision: u32) -> u64 {
        RecordHasher::new(kinds::SKU)
            .word(self.id.0)
            .word(u64::from(revision))
            .word(self.product_id.0)
            .bytes(self.code.as_bytes())
            .bytes(self.title.as_bytes())
            .word(self.price.minor() as u64)
            .word(u64::from(self.on_sale))
            .word(u64::from(self.limit_per_member))
            .finish()
    }
}
