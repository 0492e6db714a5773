//! The audit's own stock ledger: plain signed counters that follow the events and are checked after each (R1).

use hashbrown::{HashMap, HashSet};

use super::report::{Findings, KeyTally, Rule, StockTally};
use crate::domain::event::StockUnits;
use crate::domain::ids::{AdjustmentId, StockKey};
use crate::domain::request::StockChange;

/// A stock key's place in the ledger. Orders keep these in place of keys, which are four times as large.
pub(super) type KeyIndex = u32;

/// Where units come from or go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Account {
    Available,
    Reserved,
    Sold,
}

/// The counters of one key. 128 bits can't overflow, whatever a broken journal says: positions have 64 bits and
/// each event moves at most 64.
#[derive(Clone, Copy, Debug)]
struct Row {
    key: StockKey,
    total: i128,
    available: i128,
    reserved: i128,
    sold: i128,
    deficit_max: i128,
}

/// All stock keys that the journal has named so far.
#[derive(Debug, Default)]
pub(super) struct StockLedger {
    index: HashMap<StockKey, KeyIndex>,
    rows: Vec<Row>,
    adjustments: HashSet<(AdjustmentId, KeyIndex)>,
}

impl StockLedger {
    /// The key's place; it gets one on first sight.
    pub(super) fn index_of(&mut self, key: StockKey) -> KeyIndex {
        let Self { index, rows, .. } = self;
        *index.entry(key).or_insert_with(|| {
            rows.push(Row { key, total: 0, available: 0, reserved: 0, sold: 0, deficit_max: 0 });
            (rows.len() - 1) as KeyIndex
        })
    }

    /// The key at a place.
    pub(super) fn key(&self, index: KeyIndex) -> StockKey {
        self.rows[index as usize].key
    }

    /// Moves units between two accounts and checks the key.
    pub(super) fn shift(
        &mut self,
        units: StockUnits,
        from: Account,
        to: Account,
        findings: &mut Findings,
    ) -> KeyIndex {
        let index = self.index_of(units.key);
        let row = &mut self.rows[index as usize];
        let quantity = i128::from(units.quantity);
        *row.account(from) -= quantity;
        *row.account(to) += quantity;
        row.check(findings);
        index
    }

    /// Changes a total and checks the key, the adjustment's arithmetic and that it is applied once (R8).
    pub(super) fn adjust(
        &mut self,
        key: StockKey,
        id: AdjustmentId,
        change: StockChange,
        delta: i64,
        findings: &mut Findings,
    ) {
        let index = self.index_of(key);
        findings.check(self.adjustments.insert((id, index)), Rule::Once, || {
            format!("adjustment {id} is applied to {key} a second time")
        });
        let row = &mut self.rows[index as usize];
        row.total += i128::from(delta);
        row.available += i128::from(delta);
        let total = row.total;
        match change {
            StockChange::Relative(asked) => findings.check(asked == delta, Rule::NoOversell, || {
                format!("adjustment {id} of {key} asked for {asked:+} units and made {delta:+}")
            }),
            StockChange::Absolute(asked) => {
                findings.check(i128::from(asked) == total, Rule::NoOversell, || {
                    format!("adjustment {id} of {key} asked for a total of {asked} and made it {total}")
                })
            }
            // What was available at a position in the past would have to be remembered for every position.
            StockChange::AvailableAt { .. } => {}
            StockChange::Transfer { .. } => findings.add(Rule::NoOversell, || {
                format!("adjustment {id} of {key} is a transfer, which has an event of its own")
            }),
        }
        row.check(findings);
    }

    /// A team came into being with so many seats.
    pub(super) fn open_seats(&mut self, key: StockKey, seats: u32, findings: &mut Findings) {
        let index = self.index_of(key);
        let row = &mut self.rows[index as usize];
        findings
            .check(row.total == 0, Rule::Once, || format!("the seats {key} come into being a second time"));
        row.total += i128::from(seats);
        row.available += i128::from(seats);
        row.check(findings);
    }

    /// Moves available units from one key to another, once per id (R8).
    pub(super) fn transfer(
        &mut self,
        id: AdjustmentId,
        from: StockKey,
        to: StockKey,
        units: u64,
        findings: &mut Findings,
    ) {
        let (from_index, to_index) = (self.index_of(from), self.index_of(to));
        // The end of an activity needs no id: it moves what is there.
        let is_first = id == AdjustmentId(0) || self.adjustments.insert((id, from_index));
        findings.check(is_first, Rule::Once, || format!("transfer {id} from {from} happens a second time"));
        findings.check(from != to && units > 0, Rule::NoOversell, || {
            format!("transfer {id} moves {units} units from {from} to {to}")
        });
        for (index, units) in [(from_index, -i128::from(units)), (to_index, i128::from(units))] {
            let row = &mut self.rows[index as usize];
            row.total += units;
            row.available += units;
            row.check(findings);
        }
    }

    /// Enters an adjustment that is known to have been applied.
    pub(super) fn know_adjustment(&mut self, key: StockKey, id: AdjustmentId) {
        let index = self.index_of(key);
        self.adjustments.insert((id, index));
    }

    /// Puts units into a key's total, all of them available.
    pub(super) fn set_total(&mut self, key: StockKey, total: i64) {
        let index = self.index_of(key);
        let row = &mut self.rows[index as usize];
        row.total = i128::from(total);
        row.available += i128::from(total);
    }

    /// Moves available units to where an order has them; [`StockLedger::check_all`] judges the result.
    pub(super) fn place(&mut self, index: KeyIndex, quantity: u32, to: Account) {
        let row = &mut self.rows[index as usize];
        row.available -= i128::from(quantity);
        *row.account(to) += i128::from(quantity);
    }

    /// Checks every key.
    pub(super) fn check_all(&mut self, findings: &mut Findings) {
        self.rows.iter_mut().for_each(|row| row.check(findings));
    }

    /// Total, reserved and sold of a key; all zero for one that was not named.
    pub(super) fn counters(&self, key: &StockKey) -> [i128; 3] {
        self.index.get(key).map_or([0; 3], |index| {
            let row = &self.rows[*index as usize];
            [row.total, row.reserved, row.sold]
        })
    }

    /// All keys, in the order of their first sight.
    pub(super) fn keys(&self) -> impl Iterator<Item = StockKey> {
        self.rows.iter().map(|row| row.key)
    }

    /// All adjustments, in no order.
    pub(super) fn adjustments(&self) -> impl Iterator<Item = (StockKey, AdjustmentId)> {
        self.adjustments.iter().map(|(id, index)| (self.key(*index), *id))
    }

    /// Whether an adjustment was applied.
    pub(super) fn knows_adjustment(&self, key: &StockKey, id: AdjustmentId) -> bool {
        self.index.get(key).is_some_and(|index| self.adjustments.contains(&(id, *index)))
    }

    /// The place of a key that was named.
    pub(super) fn find(&self, key: &StockKey) -> Option<KeyIndex> {
        self.index.get(key).copied()
    }

    /// The counts by key, ascending, and their sum.
    pub(super) fn tally(&self) -> (StockTally, Vec<KeyTally>) {
        let mut by_key: Vec<KeyTally> =
            self.rows.iter().map(|row| KeyTally { key: row.key, units: row.tally() }).collect();
        by_key.sort_unstable_by_key(|tally| tally.key);
        let sum = by_key.iter().fold(StockTally::default(), |sum, KeyTally { units, .. }| StockTally {
            total: sum.total.saturating_add(units.total),
            available: sum.available.saturating_add(units.available),
            reserved: sum.reserved.saturating_add(units.reserved),
            sold: sum.sold.saturating_add(units.sold),
            oversold_units: sum.oversold_units.saturating_add(units.oversold_units),
        });
        (sum, by_key)
    }
}

impl Row {
    fn account(&mut self, account: Account) -> &mut i128 {
        match account {
            Account::Available => &mut self.available,
            Account::Reserved => &mut self.reserved,
            Account::Sold => &mut self.sold,
        }
    }

    /// R1: nothing below zero, and the parts make the whole.
    fn check(&mut self, findings: &mut Findings) {
        let Self { key, total, available, reserved, sold, .. } = *self;
        self.deficit_max = self.deficit_max.max(-available);
        let holds = available >= 0 && reserved >= 0 && sold >= 0 && total == available + reserved + sold;
        findings.check(holds, Rule::NoOversell, || {
            format!("stock {key} has total {total}, available {available}, reserved {reserved}, sold {sold}")
        });
    }

    fn tally(&self) -> StockTally {
        StockTally {
            total: clamp(self.total),
            available: clamp(self.available),
            reserved: clamp(self.reserved),
            sold: clamp(self.sold),
            oversold_units: clamp(self.deficit_max),
        }
    }
}

/// Reports carry 64 bits, which every journal that passes fits.
fn clamp(units: i128) -> i64 {
    i64::try_from(units).unwrap_or(if units < 0 { i64::MIN } else { i64::MAX })
}
