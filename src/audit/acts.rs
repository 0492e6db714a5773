//! What operators asked for: by position, as a hash, since nothing follows from it.

use hashbrown::HashMap;

use super::report::{Findings, Rule};
use crate::domain::ids::Position;
use crate::domain::operator::OperatorAct;

/// The acts there are.
#[derive(Debug, Default)]
pub(super) struct ActBook(HashMap<Position, u64>);

impl ActBook {
    /// Takes an act of the journal or of the store.
    pub(super) fn take(&mut self, at: Position, act: &OperatorAct, findings: &mut Findings) {
        findings.check(act.is_in_bounds(), Rule::OneDecision, || {
            format!("a field of the act of an operator at position {at} is empty or too long")
        });
        self.0.insert(at, act.record_hash());
    }

    /// Whether this very act stands at this position.
    pub(super) fn has(&self, at: Position, act: &OperatorAct) -> bool {
        self.0.get(&at) == Some(&act.record_hash())
    }

    /// Positions at which two of these differ.
    pub(super) fn differing(&self, other: &Self) -> Vec<Position> {
        let own = self.0.iter().filter(|(at, hash)| other.0.get(*at) != Some(*hash));
        let missing = other.0.iter().filter(|(at, _)| !self.0.contains_key(*at));
        let mut positions: Vec<Position> = own.chain(missing).map(|(at, _)| *at).collect();
        positions.sort_unstable();
        positions
    }
}
