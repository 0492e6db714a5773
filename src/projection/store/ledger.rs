//! The part of a checkpoint that is about money: movements, what they come to, and what later movements refer to.
//!
//! The pure [`Ledger`] says what an event comes to; this writes it down. Everything comes from events alone, so two
//! checkpoints of the same events hold the same bytes here, however they were cut.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::head::Head;
use super::movements::{LedgerBegin, StoredMovement};
use super::reader::StoreReader;
use super::tables;
use crate::domain::event::Event;
use crate::domain::ids::{OrderNo, PaymentId, Position};
use crate::domain::statement::{
    Account, Booking, Due, Ledger, Movement, MovementKind, PaymentReceipt, Recall, Totals,
};
use crate::journal::encode_record;
use crate::projection::levels::{Levels, StoreError};

/// Accounts whose totals are kept in memory between two checkpoints; beyond it they are read again.
const TOTALS_KEPT_MAX: usize = 4_096;

/// Writes movements.
pub(super) struct LedgerWriter {
    ledger: Ledger,
    reader: StoreReader,
    totals: HashMap<u128, Totals>,
    /// Balances that have changed since the last commit.
    changed: BTreeMap<[u8; 24], Totals>,
    value: Vec<u8>,
}

impl Recall for StoreReader {
    type Error = StoreError;

    fn receipt(&self, payment: PaymentId) -> Result<Option<PaymentReceipt>, StoreError> {
        self.payment_receipt(payment)
    }

    fn due(&self, order_no: OrderNo, number: u16) -> Result<Option<Due>, StoreError> {
        self.refund_due(order_no, number)
    }

    fn last_due(&self, order_no: OrderNo) -> Result<u16, StoreError> {
        self.last_refund_due(order_no)
    }
}

impl LedgerWriter {
    /// Goes on where the store ends. In a store without movements it begins there, and notes so with the next commit.
    ///
    /// # Errors
    /// [`StoreError`] where it can't be read.
    pub(super) fn open(reader: &StoreReader, head: &Head, levels: &mut Levels) -> Result<Self, StoreError> {
        let mut writer = Self {
            ledger: Ledger::from_time(head.latest_at_ms),
            reader: reader.clone(),
            totals: HashMap::new(),
            changed: BTreeMap::new(),
            value: Vec::new(),
        };
        if reader.ledger_begin()?.is_none() {
            let begin = LedgerBegin { position: head.position, at_ms: head.latest_at_ms };
            writer.put(levels, tables::ACCOUNTS, &tables::LEDGER_BEGIN_KEY, &begin);
        }
        for pending in &head.pending {
            // Of one that came in before there were movements the account is not known any more.
            let unknown = || PaymentReceipt {
                order_no: Some(pending.order_no),
                amount: pending.amount,
                ..PaymentReceipt::default()
            };
            let receipt = reader.payment_receipt(pending.payment)?;
            writer.ledger.know(pending.payment, receipt.unwrap_or_else(unknown));
        }
        Ok(writer)
    }

    /// Takes in the next event.
    ///
    /// # Errors
    /// [`StoreError`] where what it refers to can't be read.
    pub(super) fn take(
        &mut self,
        position: Position,
        event: &Event,
        levels: &mut Levels,
    ) -> Result<(), StoreError> {
        let Booking { movement, due } = self.ledger.take(position, event, &self.reader)?;
        if let Some((order_no, number, due)) = due {
            self.put(levels, tables::DUES, &tables::due_key(order_no, number), &due);
        }
        match movement {
            Some(movement) => self.book(&movement, levels),
            None => Ok(()),
        }
    }

    /// Stages what has changed since the last commit.
    pub(super) fn put_balances(&mut self, levels: &mut Levels) {
        for (key, totals) in std::mem::take(&mut self.changed) {
            self.put(levels, tables::BALANCES, &key, &totals);
        }
    }

    /// Forgets what the store can tell by now.
    pub(super) fn forget_stored(&mut self) {
        self.ledger.forget_stored();
        if self.totals.len() > TOTALS_KEPT_MAX {
            self.totals.clear();
        }
    }

    fn book(&mut self, movement: &Movement, levels: &mut Levels) -> Result<(), StoreError> {
        let key = tables::movement_key(movement.booked_ms, movement.position);
        self.put(levels, tables::MOVEMENTS, &key, &StoredMovement::of(movement));
        if movement.kind == MovementKind::Received {
            levels.put(tables::RECEIPTS, &tables::payment_key(movement.payment), &key);
        }
        let account = movement.account.hash();
        if !self.totals.contains_key(&account) {
            let stored = self.reader.totals_before(account, u64::MAX)?;
            if stored.is_none() {
                self.put_account(account, &movement.account, levels);
            }
            self.totals.insert(account, stored.unwrap_or_default());
        }
        if let Some(totals) = self.totals.get_mut(&account) {
            totals.add(movement.kind, movement.amount);
            self.changed.insert(tables::balance_key(account, movement.booked_ms), *totals);
        }
        Ok(())
    }

    fn put_account(&mut self, hash: u128, account: &Account, levels: &mut Levels) {
        self.put(levels, tables::ACCOUNTS, &tables::account_key(hash), account);
    }

    fn put<T: serde::Serialize>(
        &mut self,
        levels: &mut Levels,
        table: crate::projection::levels::TableId,
        key: &[u8],
        value: &T,
    ) {
        self.value.clear();
        encode_record(value, &mut self.value);
        levels.put(table, key, &self.value);
    }
}
