//! What a store has from behind its checkpoint: compared with the journal when the audit gets there.

use hashbrown::HashMap;

use crate::audit::limits::LimitBook;
use crate::audit::orders::{OrderBook, OrderRecord};
use crate::audit::report::{Findings, Rule};
use crate::audit::stock::StockLedger;
use crate::domain::ids::{MemberId, OrderNo, Position, StockKey};

/// A member's use of a limit that includes events behind the checkpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct LimitAhead {
    pub(super) as_of: Position,
    pub(super) member: MemberId,
    pub(super) key: StockKey,
    pub(super) used: u32,
}

impl LimitAhead {
    /// Compares it with what the orders come to at the same position.
    pub(super) fn compare(self, stock: &StockLedger, limits: &LimitBook, findings: &mut Findings) {
        let Self { as_of, member, key, used } = self;
        let units = stock.find(&key).map_or(0, |index| limits.units(member, index));
        findings.check(units == u64::from(used), Rule::Store, || {
            format!(
                "member {member} is stored with {used} units of stock {key} in use as of position {as_of}, the orders \
                 have {units}"
            )
        });
    }
}

/// Everything that is ahead.
#[derive(Debug, Default)]
pub(in crate::audit) struct Ahead {
    /// Orders by number: the position of their last event, and what it leaves them as.
    orders: HashMap<OrderNo, (Position, OrderRecord)>,
    /// Limits; sorted once all are there, the first to come last.
    limits: Vec<LimitAhead>,
    is_sorted: bool,
}

impl Ahead {
    pub(super) fn add_order(&mut self, order_no: OrderNo, last: Position, record: OrderRecord) {
        self.orders.insert(order_no, (last, record));
    }

    pub(super) fn add_limit(&mut self, limit: LimitAhead) {
        self.limits.push(limit);
    }

    /// Everything before `next` has been audited: limits that end there must agree.
    pub(in crate::audit) fn before(
        &mut self,
        next: Position,
        stock: &StockLedger,
        limits: &LimitBook,
        findings: &mut Findings,
    ) {
        if !self.is_sorted {
            self.limits.sort_unstable_by_key(|limit| std::cmp::Reverse(limit.as_of));
            self.is_sorted = true;
        }
        while let Some(limit) = self.limits.pop_if(|limit| limit.as_of < next) {
            findings.at(limit.as_of);
            limit.compare(stock, limits, findings);
        }
    }

    /// An order has got an event: if it is the last one that the store knows of, the two must agree.
    pub(in crate::audit) fn after(
        &mut self,
        at: Position,
        order_no: OrderNo,
        orders: &OrderBook,
        findings: &mut Findings,
    ) {
        let Some((last, stored)) = self.orders.get(&order_no) else { return };
        let Some(audited) = orders.get(order_no) else { return };
        if audited.version < stored.version {
            return;
        }
        findings.check(*last == at && audited.agrees_with(stored), Rule::Store, || {
            let (lived, is) = (audited.standing.name(), stored.standing.name());
            let (version, stored) = (audited.version, stored.version);
            format!(
                "order {order_no} is stored as {is} in version {stored} of position {last}, the journal leaves it \
                 {lived} in version {version} of position {at}"
            )
        });
        self.orders.remove(&order_no);
    }

    /// The journal has ended at `last`: what is left is ahead of it, too.
    pub(in crate::audit) fn finish(
        &mut self,
        last: Position,
        stock: &StockLedger,
        limits: &LimitBook,
        findings: &mut Findings,
    ) {
        self.before(Position(last.0.saturating_add(1)), stock, limits, findings);
        for (order_no, (stored, record)) in self.orders.drain() {
            findings.at(stored);
            findings.add(Rule::Store, || {
                let version = record.version;
                format!(
                    "order {order_no} is stored in version {version} of position {stored}, which the journal, ending at \
                     position {last}, doesn't have"
                )
            });
        }
        for LimitAhead { as_of, member, key, .. } in self.limits.drain(..) {
            findings.at(as_of);
            findings.add(Rule::Store, || {
                format!(
                    "a limit of member {member} on stock {key} is stored as of position {as_of}, the journal ends at \
                     position {last}"
                )
            });
        }
    }
}
