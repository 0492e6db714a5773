//! Settings: what the shop lays down about its sales, each put as a whole and journaled.
//!
//! A setting has a key; what was put last under it holds. Order actors and stock actors never read one while they decide:
//! what an order rests on is copied into it when it is priced.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::activity::Activity;
use super::hash::{RecordHasher, kinds, mix64};
use super::ids::{ActivityId, CouponTermsId, FreightId, MemberId, Pool, SkuId, StockKey};
use super::pricing::{CouponTerms, FreightTemplate};
use super::reject::Reject;
use super::stock::STOCK_TOTAL_MAX;

/// Longest name of an operator, in bytes.
pub const OPERATOR_BYTES_MAX: usize = 64;
/// Longest reason for an operator's act, in bytes of UTF-8.
pub const OPERATOR_REASON_BYTES_MAX: usize = 512;

/// Who did something to the shop, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The operator's name; at most [`OPERATOR_BYTES_MAX`] bytes.
    pub operator: Box<str>,
    /// Why; at most [`OPERATOR_REASON_BYTES_MAX`] bytes.
    pub reason: Box<str>,
}

impl Origin {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Reject::FieldTooLong`].
    pub fn validate(&self) -> Result<(), Reject> {
        Reject::check_len("operator", self.operator.len(), OPERATOR_BYTES_MAX)?;
        Reject::check_len("reason", self.reason.len(), OPERATOR_REASON_BYTES_MAX)
    }
}

/// A switch on what may be sold. Payments, questions and refunds go on whatever these say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SaleControl {
    /// No submission at all is taken.
    AllPaused {
        /// Whether it is so.
        paused: bool,
    },
    /// No order with this SKU is taken.
    SkuPaused {
        /// The SKU.
        sku: SkuId,
        /// Whether it is so.
        paused: bool,
    },
    /// No order in this activity is taken.
    ActivityPaused {
        /// The activity.
        activity: ActivityId,
        /// Whether it is so.
        paused: bool,
    },
    /// No order of this member is taken.
    MemberBlocked {
        /// The member.
        member: MemberId,
        /// The first instant at which orders are taken again, in ms since the Unix epoch; 0 lifts the block.
        until_ms: u64,
    },
    /// So many available units of a stock key are kept back from sale.
    SafetyStock {
        /// The stock.
        key: StockKey,
        /// Units; 0 keeps back none.
        units: u64,
    },
}

/// Something that the shop lays down. The variants' order is persisted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Setting {
    /// A session or campaign.
    Activity(Activity),
    /// A switch on what may be sold.
    Control(SaleControl),
    /// What the coupons of one kind grant, and on which conditions.
    Coupon(CouponTerms),
    /// What carriage costs.
    Freight(FreightTemplate),
    /// How a SKU ships.
    Shipping(SkuShipping),
}

/// How a SKU ships.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SkuShipping {
    /// The SKU.
    pub sku_id: SkuId,
    /// What one unit weighs, in grams.
    pub weight_grams: u32,
    /// The template that it ships by; `None` ships free.
    pub freight: Option<FreightId>,
}

/// Under what a setting is kept. Ordered, so that lists and sums have an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SettingKey {
    kind: u8,
    words: [u64; 3],
}

/// Bytes of a setting's key in the store.
pub const SETTING_KEY_BYTES: usize = 25;

impl SettingKey {
    const fn of(kind: u8, word: u64) -> Self {
        Self { kind, words: [word, 0, 0] }
    }

    /// Of an activity.
    pub const fn activity(id: ActivityId) -> Self {
        Self::of(1, id.0)
    }

    /// Of the switch for all submissions.
    pub const fn all_paused() -> Self {
        Self::of(2, 0)
    }

    /// Of a SKU's switch.
    pub const fn sku_paused(sku: SkuId) -> Self {
        Self::of(3, sku.0)
    }

    /// Of an activity's switch.
    pub const fn activity_paused(id: ActivityId) -> Self {
        Self::of(4, id.0)
    }

    /// Of a member's block.
    pub const fn member_blocked(member: MemberId) -> Self {
        Self::of(5, member.0)
    }

    /// Of a stock key's safety stock.
    pub const fn safety_stock(key: &StockKey) -> Self {
        let pool_and_location = ((key.pool as u64) << 32) | key.location.0 as u64;
        Self { kind: 6, words: [pool_and_location, key.activity.0, key.sku.0] }
    }

    /// Of a kind of coupon.
    pub const fn coupon(id: CouponTermsId) -> Self {
        Self::of(7, id.0)
    }

    /// Of a freight template.
    pub const fn freight(id: FreightId) -> Self {
        Self::of(8, id.0)
    }

    /// Of how a SKU ships.
    pub const fn shipping(sku: SkuId) -> Self {
        Self::of(9, sku.0)
    }

    /// As bytes that compare in the order of the keys.
    pub fn to_bytes(self) -> [u8; SETTING_KEY_BYTES] {
        let mut bytes = [0; SETTING_KEY_BYTES];
        bytes[0] = self.kind;
        for (word, place) in self.words.iter().zip(bytes[1..].chunks_exact_mut(8)) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

impl Setting {
    /// Its key.
    pub fn key(&self) -> SettingKey {
        match self {
            Self::Activity(activity) => SettingKey::activity(activity.id),
            Self::Control(SaleControl::AllPaused { .. }) => SettingKey::all_paused(),
            Self::Control(SaleControl::SkuPaused { sku, .. }) => SettingKey::sku_paused(*sku),
            Self::Control(SaleControl::ActivityPaused { activity, .. }) => {
                SettingKey::activity_paused(*activity)
            }
            Self::Control(SaleControl::MemberBlocked { member, .. }) => SettingKey::member_blocked(*member),
            Self::Control(SaleControl::SafetyStock { key, .. }) => SettingKey::safety_stock(key),
            Self::Coupon(terms) => SettingKey::coupon(terms.id),
            Self::Freight(template) => SettingKey::freight(template.id),
            Self::Shipping(shipping) => SettingKey::shipping(shipping.sku_id),
        }
    }

    /// The activity that it is, if it is one.
    pub const fn as_activity(&self) -> Option<&Activity> {
        match self {
            Self::Activity(activity) => Some(activity),
            _ => None,
        }
    }

    /// The stable name of the event that puts it.
    pub const fn event_name(&self) -> &'static str {
        match self {
            Self::Activity(Activity { ended_at_ms: Some(_), .. }) => "ActivityEnded",
            Self::Activity(_) => "ActivityPut",
            Self::Control(_) => "SalesControlled",
            Self::Coupon(_) => "CouponPut",
            Self::Freight(_) => "FreightPut",
            Self::Shipping(_) => "ShippingPut",
        }
    }

    /// Checks every field, and brings lists into their order.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn validate(&mut self) -> Result<(), Reject> {
        match self {
            Self::Activity(activity) => activity.validate(),
            Self::Control(SaleControl::SafetyStock { key, .. }) if key.pool > Pool::GroupBuy => {
                Err(Reject::UnknownSku { sku: key.sku })
            }
            Self::Control(_) | Self::Shipping(_) => Ok(()),
            Self::Coupon(terms) => {
                if !(1..=STOCK_TOTAL_MAX).contains(&terms.issue_max) {
                    return Err(Reject::InvalidField { field: "coupon.issue_max", expected: "1 to 2^40" });
                }
                terms.validate()
            }
            Self::Freight(template) => template.validate(),
        }
    }

    /// Whether it may take the place of `before`, as of `now_ms`.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check_change(&self, before: Option<&Self>, now_ms: u64) -> Result<(), Reject> {
        match (before, self) {
            (Some(Self::Activity(before)), Self::Activity(next)) => before.check_change(next, now_ms),
            // Expired coupons leave memory. Could their kind be issued again, so could they, by the same requests.
            (Some(Self::Coupon(before)), Self::Coupon(next))
                if next.valid_until_ms > before.valid_until_ms =>
            {
                Err(Reject::InvalidField {
                    field: "coupon.valid_until_ms",
                    expected: "not later than before",
                })
            }
            _ => Ok(()),
        }
    }

    /// Its part of the state hash, as of this revision.
    pub fn record_hash(&self, revision: u32) -> u64 {
        let mut hasher = Folding(RecordHasher::new(kinds::SETTING).word(u64::from(revision)));
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// Feeds what `derive(Hash)` writes into a [`RecordHasher`]. Such hashes are compared within one process and never
/// persisted, so it doesn't matter that the standard library may change what it writes.
pub(crate) struct Folding(pub(crate) RecordHasher);

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.bytes(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = self.0.word(value);
    }

    fn finish(&self) -> u64 {
        mix64(self.0.finish())
    }
}
