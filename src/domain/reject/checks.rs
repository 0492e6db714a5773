//! Rejects that many checks make alike: lengths, ranges, what is sold out or limited by the kind of its stock key.

use super::Reject;
use crate::domain::ids::{CouponTermsId, Pool, StockKey, TeamId};

impl Reject {
    /// Not enough units of a stock key.
    pub(crate) fn sold_out(key: &StockKey) -> Self {
        match key.pool {
            Pool::Seats => Self::TeamFull { team: TeamId(key.sku.0) },
            Pool::Coupons => Self::CouponsExhausted { terms: CouponTermsId(key.sku.0) },
            Pool::Normal | Pool::Seckill | Pool::GroupBuy => Self::SoldOut { sku: key.sku },
        }
    }

    /// A member's limit of a stock key.
    pub(crate) fn limit_exceeded(key: &StockKey, limit: u32, bought: u32) -> Self {
        match key.pool {
            Pool::Seats => Self::AlreadyInTeam { team: TeamId(key.sku.0) },
            _ => Self::LimitExceeded { sku: key.sku, limit, bought },
        }
    }

    /// Checks a field's length in bytes against its bound.
    ///
    /// # Errors
    /// [`Reject::FieldTooLong`].
    pub(crate) const fn check_len(field: &'static str, len: usize, len_max: usize) -> Result<(), Self> {
        if len > len_max { Err(Self::FieldTooLong { field, len, len_max }) } else { Ok(()) }
    }

    /// Checks a number against its bounds.
    ///
    /// # Errors
    /// [`Reject::OutOfRange`].
    pub(crate) const fn check_range(field: &'static str, value: u64, min: u64, max: u64) -> Result<(), Self> {
        if min <= value && value <= max { Ok(()) } else { Err(Self::OutOfRange { field, value, min, max }) }
    }

    /// Checks a field that needs at least one and at most `len_max` bytes.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`] or [`Reject::FieldTooLong`].
    pub(crate) const fn check_present(field: &'static str, len: usize, len_max: usize) -> Result<(), Self> {
        if len == 0 { Err(Self::FieldEmpty { field }) } else { Self::check_len(field, len, len_max) }
    }
}
