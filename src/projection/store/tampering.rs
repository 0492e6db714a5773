//! Changing a store behind everybody's back, so that tests can show that it is noticed. The pages stay whole: only
//! somebody who adds up can tell.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::head::Head;
use super::reader::StockEntry;
use super::tables;
use super::tasks::TaskRecord;
use crate::domain::ids::{MemberId, OrderNo, PaymentId, Position, StockKey};
use crate::domain::operator::OperatorAct;
use crate::domain::order::{Order, SettledPayment};
use crate::domain::task::TopicName;
use crate::journal::{decode_record, encode_record};
use crate::projection::levels::{Levels, LevelsOptions, PageStore, TableId};

/// A store that is being tampered with.
pub(crate) struct Tampering {
    levels: Levels,
    head: Head,
}

impl Tampering {
    /// Opens a store that no engine has open.
    pub(crate) fn open(pages: Box<dyn PageStore>) -> Self {
        let levels = Levels::open(pages, tables::TABLES, LevelsOptions::default()).unwrap();
        let head = decode_record(&levels.head().expect("there is a checkpoint")).unwrap();
        Self { levels, head }
    }

    /// Changes the checkpoint's own record.
    pub(crate) fn head(&mut self, change: impl FnOnce(&mut Head)) -> &mut Self {
        change(&mut self.head);
        self
    }

    /// Changes a closed order, and leaves sums as they were.
    pub(crate) fn closed_order(&mut self, number: OrderNo, f: impl FnOnce(&mut Order)) -> &mut Self {
        self.change(tables::CLOSED, &tables::order_key(number), f)
    }

    /// Changes an open order.
    pub(crate) fn open_order(&mut self, number: OrderNo, f: impl FnOnce(&mut Order)) -> &mut Self {
        self.change(tables::OPEN, &tables::order_key(number), f)
    }

    /// Changes a stock key's counters.
    pub(crate) fn stock(&mut self, key: &StockKey, f: impl FnOnce(&mut StockEntry)) -> &mut Self {
        self.change(tables::STOCK, &tables::stock_key(key), f)
    }

    /// Changes a settled payment.
    pub(crate) fn payment(&mut self, id: PaymentId, f: impl FnOnce(&mut SettledPayment)) -> &mut Self {
        self.change(tables::PAYMENTS, &tables::payment_key(id), f)
    }

    /// Removes a settled payment.
    pub(crate) fn remove_payment(&mut self, id: PaymentId) -> &mut Self {
        self.levels.remove(tables::PAYMENTS, &tables::payment_key(id));
        self
    }

    /// Changes a member's use of a limit.
    pub(crate) fn limit(
        &mut self,
        member: MemberId,
        key: &StockKey,
        f: impl FnOnce(&mut (u32, Position)),
    ) -> &mut Self {
        self.change(tables::LIMITS, &tables::limit_key(member, key), f)
    }

    /// Removes an order's entry by member.
    pub(crate) fn remove_member(&mut self, member: MemberId, number: OrderNo) -> &mut Self {
        self.levels.remove(tables::MEMBERS, &tables::member_key(member, number));
        self
    }

    /// Adds an entry by member for an order that may not exist.
    pub(crate) fn add_member(&mut self, member: MemberId, number: OrderNo) -> &mut Self {
        self.levels.put(tables::MEMBERS, &tables::member_key(member, number), &[7; 16]);
        self
    }

    /// Removes an order's entry by external number.
    pub(crate) fn remove_external(&mut self, external_no: &str) -> &mut Self {
        let hash = crate::domain::hash::hash128(external_no.as_bytes());
        self.levels.remove(tables::EXTERNAL, &hash.to_be_bytes());
        self
    }

    /// Changes a task as it was pushed.
    pub(crate) fn task(&mut self, topic: &TopicName, seq: u64, f: impl FnOnce(&mut TaskRecord)) -> &mut Self {
        self.change(tables::TASKS, &tables::task_key(topic, seq), f)
    }

    /// Removes a task, and leaves where it stands.
    pub(crate) fn remove_task(&mut self, topic: &TopicName, seq: u64) -> &mut Self {
        self.levels.remove(tables::TASKS, &tables::task_key(topic, seq));
        self
    }

    /// Changes what an operator asked for.
    pub(crate) fn act(&mut self, at: Position, f: impl FnOnce(&mut OperatorAct)) -> &mut Self {
        self.change(tables::ACTS, &tables::act_key(at), f)
    }

    /// Removes what an operator asked for.
    pub(crate) fn remove_act(&mut self, at: Position) -> &mut Self {
        self.levels.remove(tables::ACTS, &tables::act_key(at));
        self
    }

    /// Makes all of it durable.
    pub(crate) fn commit(&mut self) {
        let mut head = Vec::new();
        encode_record(&self.head, &mut head);
        self.levels.commit(&head).unwrap();
    }

    fn change<T: Serialize + DeserializeOwned>(
        &mut self,
        table: TableId,
        key: &[u8],
        f: impl FnOnce(&mut T),
    ) -> &mut Self {
        let bytes = self.levels.reader().snapshot().get(table, key).unwrap().expect("there is a record");
        let mut value: T = decode_record(&bytes).unwrap();
        f(&mut value);
        let mut bytes = Vec::new();
        encode_record(&value, &mut bytes);
        self.levels.put(table, key, &bytes);
        self
    }
}
