//! Reading movements of money, and what they come to, from one checkpoint.

use serde::{Deserialize, Serialize};

use super::reader::StoreReader;
use super::tables;
use crate::domain::ids::{OrderNo, PaymentId, Position};
use crate::domain::money::Money;
use crate::domain::statement::{
    Account, AccountStatement, Day, Due, Movement, MovementKind, PaymentReceipt, Statement, Totals, UtcOffset,
};
use crate::journal::decode_record;
use crate::projection::levels::{Snapshot, StoreError};

/// From when on a store has movements. A store that an earlier release wrote begins in the middle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LedgerBegin {
    /// Events behind this position have their movements.
    pub(crate) position: Position,
    /// Nothing before this time, in ms since the Unix epoch, and not all at it.
    pub(crate) at_ms: u64,
}

impl LedgerBegin {
    /// The first instant from which on every movement is there, in ms since the Unix epoch.
    pub(crate) fn complete_from_ms(self) -> u64 {
        if self.position == Position(0) { 0 } else { self.at_ms.saturating_add(1) }
    }
}

/// A movement as it is stored; booking time and position stand in its key. Frozen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredMovement {
    /// How much earlier than the booking time its own is, in ms: hardly ever more than 0, which is one byte.
    early_ms: u64,
    kind: MovementKind,
    account: Account,
    transaction_id: Box<str>,
    payment: PaymentId,
    order_no: Option<OrderNo>,
    amount: Money,
    refund_no: Box<str>,
    provider_refund_id: Box<str>,
}

impl StoredMovement {
    pub(super) fn of(movement: &Movement) -> Self {
        Self {
            early_ms: movement.booked_ms.saturating_sub(movement.at_ms),
            kind: movement.kind,
            account: movement.account.clone(),
            transaction_id: movement.transaction_id.clone(),
            payment: movement.payment,
            order_no: movement.order_no,
            amount: movement.amount,
            refund_no: movement.refund_no.clone(),
            provider_refund_id: movement.provider_refund_id.clone(),
        }
    }
}

impl StoreReader {
    /// From when on there are movements; `None` in a store that has none yet.
    pub(crate) fn ledger_begin(&self) -> Result<Option<LedgerBegin>, StoreError> {
        ledger_begin(&self.levels.snapshot())
    }

    /// What a payment's receipt said.
    pub(super) fn payment_receipt(&self, payment: PaymentId) -> Result<Option<PaymentReceipt>, StoreError> {
        let snapshot = self.levels.snapshot();
        let Some(key) = snapshot.get(tables::RECEIPTS, &tables::payment_key(payment))? else {
            return Ok(None);
        };
        if key.len() != 16 {
            return Err(StoreError::damaged(format!("where payment {payment} was received")));
        }
        let Some(value) = snapshot.get(tables::MOVEMENTS, &key)? else {
            return Err(StoreError::damaged(format!("the movement by which payment {payment} was received")));
        };
        let Movement { account, transaction_id, order_no, amount, .. } = movement(&key, &value)?;
        Ok(Some(PaymentReceipt { account, transaction_id, order_no, amount }))
    }

    /// A refund of an order, or what paid it.
    pub(super) fn refund_due(&self, order_no: OrderNo, number: u16) -> Result<Option<Due>, StoreError> {
        let found = self.levels.snapshot().get(tables::DUES, &tables::due_key(order_no, number))?;
        found.map(|bytes| decode("a refund of an order", &bytes)).transpose()
    }

    /// The highest number of an order's refunds, 0 where it has none.
    pub(super) fn last_refund_due(&self, order_no: OrderNo) -> Result<u16, StoreError> {
        let (low, mut high) = (tables::due_key(order_no, 1), tables::due_key(order_no, u16::MAX).to_vec());
        // Behind the last number.
        high.push(0);
        let snapshot = self.levels.snapshot();
        let mut scan = snapshot.scan_back(tables::DUES, &low, Some(&high));
        let found = scan.next()?;
        found.map_or(Ok(0), |(key, _)| {
            tables::due_of_key(key).ok_or_else(|| StoreError::damaged("a refund's key"))
        })
    }

    /// What all movements of an account booked before an instant come to; `None` where it has none.
    pub(super) fn totals_before(&self, account: u128, at_ms: u64) -> Result<Option<Totals>, StoreError> {
        let snapshot = self.levels.snapshot();
        let low = tables::balance_key(account, 0);
        if at_ms == u64::MAX {
            let high = account.checked_add(1).map(u128::to_be_bytes);
            return totals(&snapshot, &low, high.as_ref().map(|high| &high[..]));
        }
        totals(&snapshot, &low, Some(&tables::balance_key(account, at_ms)))
    }

    /// Calls `each` with every movement booked from `from_ms` to `until_ms` (exclusive), in ms since the Unix epoch, that
    /// lies behind `after`, in the order of the journal, until it says no. Holds a page of each sorted run.
    pub(crate) fn movements(
        &self,
        from_ms: u64,
        until_ms: u64,
        after: Option<(u64, Position)>,
        each: impl FnMut(Movement) -> bool,
    ) -> Result<(), StoreError> {
        let from = match after {
            Some((booked_ms, position)) if booked_ms >= from_ms => {
                tables::movement_key(booked_ms, Position(position.0.saturating_add(1)))
            }
            _ => tables::movement_key(from_ms, Position(0)),
        };
        movements(&self.levels.snapshot(), &from, until_ms, each)
    }

    /// The statement of a day that is closed, from one checkpoint. Reads each account's balance at both ends.
    pub(crate) fn statement(&self, day: Day, offset: UtcOffset) -> Result<Statement, StoreError> {
        let snapshot = self.levels.snapshot();
        let (from_ms, until_ms) = day.bounds(offset);
        let mut names: Vec<Account> = Vec::new();
        let mut scan = snapshot.scan(tables::ACCOUNTS, &tables::ACCOUNTS_PREFIX, None);
        while let Some((_key, value)) = scan.next()? {
            names.push(decode("an account", value)?);
        }
        names.sort_unstable();
        let before = all_totals(&snapshot, &names, from_ms)?;
        let after = all_totals(&snapshot, &names, until_ms)?;
        let accounts = names
            .into_iter()
            .zip(before.iter().zip(&after))
            // One that moves later only must not show, or the statement would change.
            .filter(|(_, (_, after))| **after != Totals::default())
            .map(|(account, (before, after))| AccountStatement::between(account, before, after))
            .collect();
        Ok(Statement { day, offset, from_ms, until_ms, accounts })
    }
}

/// What the movements booked before an instant come to, account by account.
fn all_totals(snapshot: &Snapshot, accounts: &[Account], at_ms: u64) -> Result<Vec<Totals>, StoreError> {
    let mut sums = Vec::with_capacity(accounts.len());
    for account in accounts {
        let hash = account.hash();
        let (low, high) = (tables::balance_key(hash, 0), tables::balance_key(hash, at_ms));
        sums.push(totals(snapshot, &low, Some(&high))?.unwrap_or_default());
    }
    // The offset may have odd minutes: what was booked in the step that the instant lies in is added up.
    let step_ms = tables::balance_step_of(at_ms);
    movements(snapshot, &tables::movement_key(step_ms, Position(0)), at_ms, |movement| {
        if let Ok(index) = accounts.binary_search(&movement.account) {
            sums[index].add(movement.kind, movement.amount);
        }
        true
    })?;
    Ok(sums)
}

fn totals(snapshot: &Snapshot, low: &[u8], high: Option<&[u8]>) -> Result<Option<Totals>, StoreError> {
    let mut scan = snapshot.scan_back(tables::BALANCES, low, high);
    let found = scan.next()?;
    found.map(|(_key, value)| decode("a balance", value)).transpose()
}

fn ledger_begin(snapshot: &Snapshot) -> Result<Option<LedgerBegin>, StoreError> {
    let found = snapshot.get(tables::ACCOUNTS, &tables::LEDGER_BEGIN_KEY)?;
    found.map(|bytes| decode("the begin of movements", &bytes)).transpose()
}

fn movements(
    snapshot: &Snapshot,
    from: &[u8],
    until_ms: u64,
    mut each: impl FnMut(Movement) -> bool,
) -> Result<(), StoreError> {
    let until = tables::movement_key(until_ms, Position(0));
    let mut scan = snapshot.scan(tables::MOVEMENTS, from, Some(&until));
    while let Some((key, value)) = scan.next()? {
        if !each(movement(key, value)?) {
            break;
        }
    }
    Ok(())
}

fn movement(key: &[u8], value: &[u8]) -> Result<Movement, StoreError> {
    let (booked_ms, position) =
        tables::movement_of_key(key).ok_or_else(|| StoreError::damaged("a movement's key"))?;
    let stored: StoredMovement = decode("a movement", value)?;
    Ok(Movement {
        position,
        booked_ms,
        at_ms: booked_ms.saturating_sub(stored.early_ms),
        kind: stored.kind,
        account: stored.account,
        transaction_id: stored.transaction_id,
        payment: stored.payment,
        order_no: stored.order_no,
        amount: stored.amount,
        refund_no: stored.refund_no,
        provider_refund_id: stored.provider_refund_id,
    })
}

fn decode<'de, T: Deserialize<'de>>(what: &str, bytes: &'de [u8]) -> Result<T, StoreError> {
    decode_record(bytes).map_err(|error| StoreError::damaged(format!("{what}: {error}")))
}
