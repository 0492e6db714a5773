//! Reading the operator log, newest first, from one checkpoint.

use super::reader::StoreReader;
use super::tables;
use crate::domain::ids::Position;
use crate::domain::operator::OperatorAct;
use crate::journal::decode_record;
use crate::projection::levels::{Snapshot, StoreError};

impl StoreReader {
    /// Calls `each` with the acts before a position, newest first, until it says no.
    pub(crate) fn acts_before(
        snapshot: &Snapshot,
        before: Position,
        mut each: impl FnMut(Position, OperatorAct) -> bool,
    ) -> Result<(), StoreError> {
        let mut scan = snapshot.scan_back(tables::ACTS, &[], Some(&tables::act_key(before)));
        while let Some((key, value)) = scan.next()? {
            let position = tables::position_of_act_key(key);
            let position = position.ok_or_else(|| StoreError::damaged("an act's key"))?;
            let act = decode_record(value)
                .map_err(|error| StoreError::damaged(format!("the act at position {position}: {error}")))?;
            if !each(position, act) {
                break;
            }
        }
        Ok(())
    }
}
