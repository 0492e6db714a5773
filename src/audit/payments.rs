//! The audit's own list of payments: each arrives once (R8) and has exactly one outcome (R10).

use hashbrown::HashMap;

use super::report::{Findings, Rule};
use crate::domain::ids::{OrderNo, PaymentId};
use crate::domain::money::Money;

/// A payment that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) order_no: OrderNo,
    pub(super) amount: Money,
    pub(super) settled: bool,
}

/// What became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It paid its order.
    Paid,
    /// It must go back.
    Refund,
}

/// All payments that the journal has named so far.
#[derive(Debug, Default)]
pub(super) struct PaymentBook {
    received: HashMap<PaymentId, Received>,
    settled: u64,
}

impl PaymentBook {
    /// A payment arrived.
    pub(super) fn receive(
        &mut self,
        payment: PaymentId,
        order_no: OrderNo,
        amount: Money,
        findings: &mut Findings,
    ) {
        match self.received.entry(payment) {
            hashbrown::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(Received { order_no, amount, settled: false });
            }
            hashbrown::hash_map::Entry::Occupied(known) => findings.add(Rule::Once, || {
                format!(
                    "payment {payment} for order {order_no} was already received for order {}",
                    known.get().order_no
                )
            }),
        }
    }

    /// A payment has its outcome: `amount` is the order's when it paid, the refund's when it goes back.
    pub(super) fn settle(
        &mut self,
        payment: PaymentId,
        outcome: Outcome,
        order_no: OrderNo,
        amount: Option<Money>,
        findings: &mut Findings,
    ) {
        let Some(received) = self.received.get_mut(&payment) else {
            findings.add(Rule::LateMoney, || {
                format!("order {order_no} settles payment {payment}, which was not received")
            });
            return;
        };
        findings.check(received.order_no == order_no, Rule::LateMoney, || {
            format!(
                "payment {payment} was for order {} and is settled by order {order_no}",
                received.order_no
            )
        });
        findings.check(!received.settled, Rule::LateMoney, || {
            format!("payment {payment} of order {order_no} gets a second outcome")
        });
        if let Some(amount) = amount {
            findings.check(received.amount == amount, Rule::LateMoney, || {
                let what = match outcome {
                    Outcome::Paid => "the order's amount is",
                    Outcome::Refund => "the refund is of",
                };
                format!("payment {payment} brought {}, {what} {amount}", received.amount)
            });
        }
        if !received.settled {
            received.settled = true;
            self.settled += 1;
        }
    }

    /// Enters a payment that is known to have arrived.
    pub(super) fn know(&mut self, payment: PaymentId, received: Received) {
        if self.received.insert(payment, received).is_none() && received.settled {
            self.settled += 1;
        }
    }

    /// A payment that arrived.
    pub(super) fn get(&self, payment: PaymentId) -> Option<Received> {
        self.received.get(&payment).copied()
    }

    /// All payments, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PaymentId, Received)> {
        self.received.iter().map(|(payment, received)| (*payment, *received))
    }

    /// Number of payments that arrived.
    pub(super) fn len(&self) -> u64 {
        self.received.len() as u64
    }

    /// Number of payments without an outcome.
    pub(super) fn unresolved(&self) -> u64 {
        self.len() - self.settled
    }
}
