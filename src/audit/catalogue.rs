//! The audit's own memory of the catalogue: the terms of every revision, which the lines of orders must agree with.

use hashbrown::HashMap;

use super::report::{Findings, Rule};
use crate::domain::catalogue::Sku;
use crate::domain::ids::SkuId;
use crate::domain::money::Money;
use crate::domain::order::Line;
use crate::domain::order_type::OrderType;

/// What one revision sells at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terms {
    price: Money,
    limit_per_member: u32,
    on_sale: bool,
}

/// All revisions that the journal has named so far; a SKU's revision `n` is at index `n - 1`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CatalogueBook {
    revisions: HashMap<SkuId, Vec<Terms>>,
}

impl CatalogueBook {
    /// A SKU got a new revision.
    pub(super) fn put(&mut self, sku: &Sku, revision: u32, findings: &mut Findings) {
        let terms = self.revisions.entry(sku.id).or_default();
        let expected = terms.len() + 1;
        findings.check(revision as usize == expected, Rule::Catalogue, || {
            format!("sku {} gets revision {revision}, expected {expected}", sku.id)
        });
        terms.push(Terms { price: sku.price, limit_per_member: sku.limit_per_member, on_sale: sku.on_sale });
    }

    /// Whether a SKU has this revision.
    pub(super) fn has(&self, sku: SkuId, revision: u32) -> bool {
        self.revisions.get(&sku).is_some_and(|revisions| (1..=revisions.len()).contains(&(revision as usize)))
    }

    /// A line was sold: its revision stands before it, and an everyday order has that revision's terms,
    /// except for prices that a trusted caller brought along.
    pub(super) fn check_line(
        &self,
        line: &Line,
        order_type: OrderType,
        brings_prices: bool,
        findings: &mut Findings,
    ) {
        let sku = line.key.sku;
        if line.is_imported() {
            return self.check_imported_line(line, findings);
        }
        if line.is_seat() {
            // No goods: the teams' own book looks at it.
            return;
        }
        let terms = self
            .revisions
            .get(&sku)
            .and_then(|revisions| revisions.get((line.revision as usize).checked_sub(1)?));
        let Some(terms) = terms else {
            findings.add(Rule::CausalPrefix, || {
                format!("a line names revision {} of sku {sku}, which is not there yet", line.revision)
            });
            return;
        };
        if order_type != OrderType::Normal {
            return;
        }
        findings.check(
            terms.on_sale
                && (terms.price == line.price || brings_prices)
                && terms.limit_per_member == line.limit_per_member,
            Rule::Catalogue,
            || {
                format!(
                    "a line sells sku {sku} at {} with limit {}; its revision {} says {} with limit {}{}",
                    line.price,
                    line.limit_per_member,
                    line.revision,
                    terms.price,
                    terms.limit_per_member,
                    if terms.on_sale { "" } else { ", not on sale" },
                )
            },
        );
    }

    /// A line brings its own terms: all that the catalogue can say is whether there is such a SKU.
    fn check_imported_line(&self, line: &Line, findings: &mut Findings) {
        let sku = line.key.sku;
        findings.check(self.revisions.contains_key(&sku), Rule::CausalPrefix, || {
            format!("an imported line names sku {sku}, which is not there yet")
        });
        findings.check(!line.price.is_negative(), Rule::Catalogue, || {
            format!("an imported line sells sku {sku} at {}", line.price)
        });
    }
}
