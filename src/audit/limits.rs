//! The audit's own count of what members have of limited stock keys.

use hashbrown::HashMap;

use super::report::{Findings, Rule};
use super::stock::KeyIndex;
use crate::domain::ids::MemberId;

/// Units of limited lines in orders that are not cancelled, and of orders elsewhere, by member and stock key.
#[derive(Debug, Default)]
pub(super) struct LimitBook {
    units: HashMap<(MemberId, KeyIndex), u64>,
    /// Units of orders of other systems, as the last import said.
    elsewhere: HashMap<(MemberId, KeyIndex), u32>,
}

impl LimitBook {
    /// A member gets units of a line with this limit, the line's own (0: unlimited, not counted). `kept` says that
    /// the limit was not asked: the units never left the member, or were promised by another system.
    pub(super) fn take(
        &mut self,
        member: MemberId,
        key: KeyIndex,
        quantity: u32,
        limit: u32,
        kept: bool,
        findings: &mut Findings,
    ) {
        if limit == 0 {
            return;
        }
        let units = self.units.entry((member, key)).or_default();
        *units = units.saturating_add(u64::from(quantity));
        let elsewhere = self.elsewhere.get(&(member, key)).copied().unwrap_or(0);
        let units = units.saturating_add(u64::from(elsewhere));
        findings.check(kept || units <= u64::from(limit), Rule::Limits, || {
            format!("member {member} has {units} units of a line with limit {limit}")
        });
    }

    /// A member has so many units by orders of other systems, whatever was said before.
    pub(super) fn set_elsewhere(&mut self, member: MemberId, key: KeyIndex, units: u32) {
        if units == 0 {
            self.elsewhere.remove(&(member, key));
        } else {
            self.elsewhere.insert((member, key), units);
        }
    }

    /// A member's units go back.
    pub(super) fn give_back(&mut self, member: MemberId, key: KeyIndex, quantity: u32, limit: u32) {
        if limit == 0 {
            return;
        }
        if let Some(units) = self.units.get_mut(&(member, key)) {
            *units = units.saturating_sub(u64::from(quantity));
            if *units == 0 {
                self.units.remove(&(member, key));
            }
        }
    }

    /// Units that a member has of a stock key.
    pub(super) fn units(&self, member: MemberId, key: KeyIndex) -> u64 {
        self.units.get(&(member, key)).copied().unwrap_or_default()
    }

    /// All that is in use, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (MemberId, KeyIndex, u64)> {
        self.units.iter().map(|((member, key), units)| (*member, *key, *units))
    }
}
