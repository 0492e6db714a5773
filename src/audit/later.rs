//! The audit's own book-keeping of an order's later life: attempts, packages, refunds, each step in legal order, sums
//! within what was paid, units within what was ordered.

use std::collections::BTreeMap;

use super::orders::{OrderRecord, Standing};
use super::report::{Findings, Rule};
use crate::domain::event::{OrderStep, StockUnits};
use crate::domain::ids::StockKey;
use crate::domain::money::Money;
use crate::domain::order::{OrderEvent, RefundClosing};
use crate::domain::refund::RefundState;

/// One refund of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefundRecord {
    pub(super) state: RefundState,
    pub(super) amount: Money,
    /// Whether it is money that can't be kept; nobody applied for it.
    pub(super) is_obligation: bool,
    pub(super) units: BTreeMap<StockKey, u32>,
    pub(super) restock: BTreeMap<StockKey, u32>,
}

/// What the audit remembers of an order's later life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Later {
    pub(super) refunds: BTreeMap<u16, RefundRecord>,
    pub(super) shipped: BTreeMap<StockKey, u64>,
    /// Attempts to pay, and whether they are void.
    pub(super) attempts: Vec<bool>,
    pub(super) team_formed: bool,
}

impl Later {
    /// Sum over refunds that were applied for, in a state for which `counts` says so.
    fn sum(&self, counts: impl Fn(RefundState) -> bool) -> i128 {
        let refunds = self.refunds.values().filter(|refund| !refund.is_obligation && counts(refund.state));
        refunds.map(|refund| i128::from(refund.amount.minor())).sum()
    }

    fn has_open_after_sale(&self) -> bool {
        self.refunds.values().any(|refund| !refund.is_obligation && !refund.state.is_over())
    }

    /// Units of a line that are on sale again.
    pub(super) fn restocked(&self, key: &StockKey) -> u32 {
        let finished = self.refunds.values().filter(|refund| refund.state == RefundState::Finished);
        finished.filter_map(|refund| refund.restock.get(key)).fold(0, |sum, units| sum.saturating_add(*units))
    }

    /// The next refund is an obligation.
    pub(super) fn owe(&mut self, amount: Money) {
        let refund = RefundRecord {
            state: RefundState::Required,
            amount,
            is_obligation: true,
            units: BTreeMap::new(),
            restock: BTreeMap::new(),
        };
        self.refunds.insert(self.next_refund(), refund);
    }

    /// The number of the next refund.
    pub(super) fn next_refund(&self) -> u16 {
        self.refunds.last_key_value().map_or(0, |(number, _)| *number).saturating_add(1)
    }
}

/// Units by stock key, added up.
pub(super) fn by_key(units: &[StockUnits]) -> BTreeMap<StockKey, u32> {
    let mut sums: BTreeMap<StockKey, u32> = BTreeMap::new();
    for unit in units {
        let sum = sums.entry(unit.key).or_default();
        *sum = sum.saturating_add(unit.quantity);
    }
    sums
}

impl OrderRecord {
    /// An event of the order's later life. `ordered` gives the units of a line, 0 for a key that the order has not.
    pub(super) fn live_on(
        &mut self,
        step: &OrderStep,
        what: &OrderEvent,
        ordered: &dyn Fn(&StockKey) -> u32,
        findings: &mut Findings,
    ) {
        let order_no = step.order_no;
        let is_known = !self.later_unknown;
        let pending = self.standing == Standing::Pending;
        match what {
            OrderEvent::PaymentAttempted { attempt, amount, .. } => {
                self.expect(pending, step, "begins a payment", findings);
                let (expected, due) = (self.later_mut().attempts.len() + 1, self.pay_amount);
                findings.check(!is_known || usize::from(*attempt) == expected, Rule::AfterSale, || {
                    format!("order {order_no} begins payment {attempt}, expected {expected}")
                });
                findings.check(*amount == due, Rule::AfterSale, || {
                    format!("order {order_no} begins a payment of {amount}, it is to pay {due}")
                });
                self.later_mut().attempts.push(false);
            }
            OrderEvent::PriceChanged { pay_amount, freight, adjustments } => {
                self.expect(pending, step, "changes its price", findings);
                let lines = self.lines.as_slice().len();
                let fits = !freight.is_negative() && pay_amount >= freight && adjustments.len() == lines;
                findings.check(fits, Rule::AfterSale, || {
                    format!("order {order_no} is to pay {pay_amount}, of it {freight} for carriage, for {lines} lines")
                });
                self.pay_amount = *pay_amount;
            }
            OrderEvent::AddressChanged { .. } => {
                let unshipped = matches!(self.standing, Standing::Pending | Standing::Paid);
                self.expect(unshipped, step, "changes its address", findings);
            }
            OrderEvent::PackageShipped { units, .. } => self.send(step, units, ordered, findings),
            OrderEvent::RefundApplied { .. } => self.apply_for(step, what, ordered, findings),
            OrderEvent::RefundClosed { refund, closing, .. } => {
                let to = match closing {
                    RefundClosing::Withdrawn => RefundState::Withdrawn,
                    RefundClosing::Rejected => RefundState::Rejected,
                };
                self.refund_goes_on(step, *refund, &[RefundState::Applied], to, findings);
            }
            OrderEvent::RefundApproved { refund, restock } => {
                self.refund_goes_on(step, *refund, &[RefundState::Applied], RefundState::Required, findings);
                if let Some(known) = self.later_mut().refunds.get_mut(refund) {
                    known.restock = by_key(restock);
                }
                self.check_restock(step, ordered, findings);
            }
            OrderEvent::RefundRequested { refund } => {
                let from = [RefundState::Required, RefundState::Failed];
                self.refund_goes_on(step, *refund, &from, RefundState::Requested, findings);
            }
            OrderEvent::RefundFailed { refund, .. } => {
                let from = [RefundState::Required, RefundState::Requested];
                self.refund_goes_on(step, *refund, &from, RefundState::Failed, findings);
            }
            OrderEvent::RefundFinished { refund, restocked, provider_refund_id } => {
                let from = [RefundState::Required, RefundState::Requested, RefundState::Failed];
                self.refund_goes_on(step, *refund, &from, RefundState::Finished, findings);
                findings.check(!provider_refund_id.is_empty(), Rule::AfterSale, || {
                    format!("refund {refund} of order {order_no} is finished without the provider's id")
                });
                let agreed = self.later_mut().refunds.get(refund).map(|known| known.restock.clone());
                let same = agreed.is_some_and(|agreed| agreed == by_key(restocked));
                findings.check(!is_known || same, Rule::AfterSale, || {
                    format!("refund {refund} of order {order_no} restocks other units than were agreed on")
                });
            }
            OrderEvent::TradeCloseRequired { attempts } => {
                for attempt in attempts {
                    let known = usize::from(*attempt).checked_sub(1);
                    let known = known.and_then(|index| self.later_mut().attempts.get_mut(index));
                    let was_open = known.is_some_and(|is_void| !std::mem::replace(is_void, true));
                    findings.check(!is_known || was_open, Rule::AfterSale, || {
                        format!("order {order_no} closes attempt {attempt}, which is not open")
                    });
                }
            }
            OrderEvent::OrderRemarked { .. } => {}
            OrderEvent::TeamJoined {} => self.later_mut().team_formed = true,
            OrderEvent::UnitsReturned { .. } => {
                self.expect(self.standing == Standing::Paid, step, "returns its units", findings);
            }
        }
    }

    /// Its later life, from now on.
    pub(super) fn later_mut(&mut self) -> &mut Later {
        self.later.get_or_insert_default()
    }

    /// All that was paid has gone back.
    pub(super) fn close_refunded(&mut self, step: &OrderStep, units: &[StockUnits], findings: &mut Findings) {
        let paid = matches!(
            self.standing,
            Standing::Paid | Standing::PartiallyShipped | Standing::Shipped | Standing::Completed
        );
        self.expect(paid, step, "is closed as refunded", findings);
        let (order_no, due) = (step.order_no, i128::from(self.pay_amount.minor()));
        let finished = self.later_mut().sum(|state| state == RefundState::Finished);
        findings.check(self.later_unknown || finished == due, Rule::AfterSale, || {
            format!("order {order_no} is closed as refunded, {finished} of {due} has gone back")
        });
        findings.check(units.is_empty(), Rule::AllOrNothing, || {
            format!("order {order_no} is closed as refunded, and moves units that were sold")
        });
    }

    /// No refund that somebody applied for is open, where that matters.
    pub(super) fn check_no_refund_open(&mut self, step: &OrderStep, what: &str, findings: &mut Findings) {
        let open = self.later.as_ref().is_some_and(|later| later.has_open_after_sale());
        findings.check(self.later_unknown || !open, Rule::AfterSale, || {
            format!("order {} {what} while a refund is open", step.order_no)
        });
    }

    fn send(
        &mut self,
        step: &OrderStep,
        units: &[StockUnits],
        ordered: &dyn Fn(&StockKey) -> u32,
        findings: &mut Findings,
    ) {
        let order_no = step.order_no;
        let fits = matches!(self.standing, Standing::Paid | Standing::PartiallyShipped);
        self.expect(fits, step, "sends a package", findings);
        self.check_no_refund_open(step, "sends a package", findings);
        findings
            .check(!units.is_empty(), Rule::AfterSale, || format!("order {order_no} sends an empty package"));
        let is_known = !self.later_unknown;
        for (key, quantity) in by_key(units) {
            let later = self.later_mut();
            let sent = later.shipped.entry(key).or_default();
            *sent += u64::from(quantity);
            let finished = later.refunds.values().filter(|refund| refund.state == RefundState::Finished);
            let gone: u64 = finished
                .map(|refund| {
                    let part = |units: &BTreeMap<StockKey, u32>| units.get(&key).copied().unwrap_or(0);
                    u64::from(part(&refund.units).max(part(&refund.restock)))
                })
                .sum();
            let (sent, all) = (later.shipped.get(&key).copied().unwrap_or(0), u64::from(ordered(&key)));
            findings.check(!is_known || sent + gone <= all, Rule::AfterSale, || {
                format!("order {order_no} has sent {sent} and refunded {gone} of {all} units of {key}")
            });
        }
        self.standing = Standing::PartiallyShipped;
    }

    fn apply_for(
        &mut self,
        step: &OrderStep,
        what: &OrderEvent,
        ordered: &dyn Fn(&StockKey) -> u32,
        findings: &mut Findings,
    ) {
        let OrderEvent::RefundApplied { refund, lines, amount, .. } = what else { return };
        let order_no = step.order_no;
        let fits = matches!(
            self.standing,
            Standing::Paid | Standing::PartiallyShipped | Standing::Shipped | Standing::Completed
        );
        self.expect(fits, step, "is to be refunded", findings);
        let (is_known, due) = (!self.later_unknown, i128::from(self.pay_amount.minor()));
        let later = self.later_mut();
        let expected = later.next_refund();
        findings.check(!is_known || *refund == expected, Rule::AfterSale, || {
            format!("order {order_no} has refund {refund} applied for, expected {expected}")
        });
        let units: Vec<StockUnits> =
            lines.iter().map(|line| StockUnits { key: line.key, quantity: line.quantity }).collect();
        let shares: i128 = lines.iter().map(|line| i128::from(line.amount.minor())).sum();
        findings.check(
            shares <= i128::from(amount.minor()) && !amount.is_negative(),
            Rule::AfterSale,
            || format!("refund {refund} of order {order_no} is {amount}, its lines come to {shares}"),
        );
        let record = RefundRecord {
            state: RefundState::Applied,
            amount: *amount,
            is_obligation: false,
            units: by_key(&units),
            restock: BTreeMap::new(),
        };
        later.refunds.insert(*refund, record);
        let sum = later.sum(RefundState::counts);
        findings.check(!is_known || sum <= due, Rule::AfterSale, || {
            format!("the refunds of order {order_no} come to {sum}, paid was {due}")
        });
        for unit in units {
            let counted = later.refunds.values().filter(|refund| refund.state.counts());
            let sum: u64 =
                counted.filter_map(|refund| refund.units.get(&unit.key)).map(|units| u64::from(*units)).sum();
            let all = u64::from(ordered(&unit.key));
            findings.check(!is_known || sum <= all, Rule::AfterSale, || {
                format!("order {order_no} refunds {sum} of {all} units of {}", unit.key)
            });
        }
    }

    fn refund_goes_on(
        &mut self,
        step: &OrderStep,
        number: u16,
        from: &[RefundState],
        to: RefundState,
        findings: &mut Findings,
    ) {
        let (order_no, is_known) = (step.order_no, !self.later_unknown);
        let Some(refund) = self.later_mut().refunds.get_mut(&number) else {
            return findings.check(!is_known, Rule::AfterSale, || {
                format!("order {order_no} has no refund {number} to become {to}")
            });
        };
        let state = refund.state;
        findings.check(!is_known || from.contains(&state), Rule::AfterSale, || {
            format!("refund {number} of order {order_no} is {state} and becomes {to}")
        });
        refund.state = to;
    }

    fn check_restock(
        &mut self,
        step: &OrderStep,
        ordered: &dyn Fn(&StockKey) -> u32,
        findings: &mut Findings,
    ) {
        let (order_no, is_known) = (step.order_no, !self.later_unknown);
        let mut sums: BTreeMap<StockKey, u64> = BTreeMap::new();
        for refund in self.later_mut().refunds.values().filter(|refund| refund.state.counts()) {
            for (key, units) in &refund.restock {
                *sums.entry(*key).or_default() += u64::from(*units);
            }
        }
        for (key, sum) in sums {
            let all = u64::from(ordered(&key));
            findings.check(!is_known || sum <= all, Rule::AfterSale, || {
                format!("order {order_no} puts {sum} of {all} units of {key} back on sale")
            });
        }
    }
}
