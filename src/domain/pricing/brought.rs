//! Prices that a trusted caller brings along: a shop that prices its orders elsewhere, with rules of its own.
//!
//! They take the place of the whole calculation. What is checked is that they fit the cart and add up; whether they are
//! right is the caller's affair, which is why their source is kept with the order.

use serde::{Deserialize, Serialize};

use super::check_not_negative;
use super::quote::{PricedLine, Quote, QuotedLine, check_lines};
use crate::domain::ids::SkuId;
use crate::domain::money::Money;
use crate::domain::reject::Reject;

/// Longest name of a source of prices, in bytes.
pub const BROUGHT_SOURCE_BYTES_MAX: usize = 64;

/// The prices of an order, by a trusted caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroughtPrices {
    /// Who made these prices; 1 to [`BROUGHT_SOURCE_BYTES_MAX`] bytes.
    pub source: Box<str>,
    /// The price of every line, in any order; each SKU of the cart once.
    pub lines: Vec<BroughtLine>,
    /// What shipping costs; not negative.
    pub freight: Money,
    /// What is to be paid: lines less discounts, and freight.
    pub pay_amount: Money,
}

/// The price of one line, by a trusted caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroughtLine {
    /// The SKU.
    pub sku: SkuId,
    /// Price of one unit; not negative.
    pub unit_price: Money,
    /// What is taken off the whole line; not negative, at most what the line costs.
    pub discount: Money,
}

impl BroughtPrices {
    /// Checks these prices against a cart and gives the quote that they make, its lines in the order of the cart's.
    ///
    /// Of the cart only SKUs and quantities count. Its SKUs are distinct, because lines of one SKU are summed before.
    ///
    /// # Errors
    /// [`Reject::FieldEmpty`] and [`Reject::FieldTooLong`] for the source; [`Reject::EmptyOrder`],
    /// [`Reject::TooManyLines`] and [`Reject::QuantityTooSmall`] for the cart; [`Reject::PriceMissing`] for a line
    /// without a price and [`Reject::PriceUnexpected`] for a price without a line; [`Reject::NegativePrice`],
    /// [`Reject::InvalidField`] and [`Reject::DiscountAboveAmount`] for what a price says; [`Reject::TotalMismatch`];
    /// [`Reject::AmountOverflow`].
    pub fn quote(&self, cart: &[PricedLine]) -> Result<Quote, Reject> {
        Reject::check_present("prices.source", self.source.len(), BROUGHT_SOURCE_BYTES_MAX)?;
        check_not_negative("prices.freight", self.freight)?;
        check_lines(cart.len())?;
        check_lines(self.lines.len())?;

        let prices = self.by_sku()?;
        let mut taken = vec![false; prices.len()];
        let mut lines = Vec::with_capacity(cart.len());
        for line in cart {
            let missing = Reject::PriceMissing { sku: line.sku };
            let at = prices.binary_search_by_key(&line.sku, |price| price.sku).map_err(|_| missing)?;
            // A price is for one line: its discount must not count twice.
            if std::mem::replace(&mut taken[at], true) {
                return Err(missing);
            }
            let BroughtLine { unit_price, discount, .. } = prices[at];
            lines.push(QuotedLine::new(line.sku, line.quantity, unit_price, discount)?);
        }
        if let Some((extra, _)) = prices.iter().zip(&taken).find(|(_, taken)| !**taken) {
            return Err(Reject::PriceUnexpected { sku: extra.sku });
        }
        let quote = Quote::of_lines(lines, self.freight, Vec::new())?;
        if quote.pay_amount != self.pay_amount {
            return Err(Reject::TotalMismatch { stated: self.pay_amount, computed: quote.pay_amount });
        }
        Ok(quote)
    }

    /// The prices by ascending SKU, each SKU once.
    fn by_sku(&self) -> Result<Vec<BroughtLine>, Reject> {
        let mut prices = self.lines.clone();
        prices.sort_by_key(|price| price.sku);
        match prices.windows(2).find(|pair| pair[0].sku == pair[1].sku) {
            Some(pair) => Err(Reject::PriceUnexpected { sku: pair[0].sku }),
            None => Ok(prices),
        }
    }
}
