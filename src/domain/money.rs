//! Money in minor units (分, cents), checked, never a float.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An amount in minor units of the shop's one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of minor units.
    pub const fn from_minor(minor_units: i64) -> Self {
        Self(minor_units)
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i64 {
        self.0
    }

    /// The sum, or `None` on overflow.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// This price for `quantity` units, or `None` on overflow.
    pub const fn checked_mul(self, quantity: u32) -> Option<Self> {
        match self.0.checked_mul(quantity as i64) {
            Some(product) => Some(Self(product)),
            None => None,
        }
    }

    /// Whether the amount is below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", magnitude / 100, magnitude % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_checked_at_both_ends() {
        let most = Money::from_minor(i64::MAX);
        assert_eq!(most.checked_add(Money::from_minor(1)), None);
        assert_eq!(most.checked_mul(2), None);
        assert_eq!(Money::from_minor(i64::MIN).checked_mul(2), None);
        assert_eq!(Money::from_minor(19_900).checked_mul(3), Some(Money::from_minor(59_700)));
    }

    #[test]
    fn prints_two_decimals_and_the_sign() {
        assert_eq!(Money::from_minor(5).to_string(), "0.05");
        assert_eq!(Money::from_minor(-12_345).to_string(), "-123.45");
        assert_eq!(Money::from_minor(i64::MIN).to_string(), "-92233720368547758.08");
    }
}
