//! Everything that a store holds, record by record, for somebody who checks it without the engine.
//!
//! Nothing is added up and nothing is taken for granted here: keys and values are decoded apart, so that whoever reads
//! them can compare the two.

use std::path::Path;
use std::sync::Arc;

use hashbrown::HashSet;

use super::archive::Archive;
use super::head::Head;
use super::reader::StockEntry;
#[cfg(test)]
use super::reader::StoreReader;
use super::tables;
use super::tasks::{TaskRecord, TaskRest, TaskStand};
use crate::domain::catalogue::Sku;
use crate::domain::coupon::Coupon;
use crate::domain::ids::{
    AdjustmentId, CouponId, MemberId, OrderNo, PaymentId, Position, RequestId, SkuId, StockKey, TeamId,
};
use crate::domain::operator::OperatorAct;
use crate::domain::order::{Order, SettledPayment};
use crate::domain::refund::UnmatchedRefund;
use crate::domain::request::StockChange;
use crate::domain::setting::Setting;
use crate::domain::team::TeamRecord;
use crate::journal::decode_record;
use crate::projection::levels::{Levels, LevelsOptions, SledPages, Snapshot, StoreError, TableId, TableSpec};

/// Memory for the cache of a store that is read once, in bytes.
const CACHE_BYTES: u64 = 64 << 20;

/// Among which orders the store has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shelf {
    /// Those that a restart brings back into memory.
    Open,
    /// Those that are read when somebody asks.
    Closed,
    /// Those in cold files, which have no entry by member any more.
    Archived,
}

/// One record of a store: what its key says, and what its value says.
#[derive(Debug)]
pub(crate) enum Record {
    /// A catalogue revision.
    Sku {
        /// The key's SKU.
        id: SkuId,
        /// The key's revision.
        revision: u32,
        /// The SKU as of this revision.
        sku: Box<Sku>,
    },
    /// The counters of a stock key.
    Stock {
        /// Which stock.
        key: StockKey,
        /// Its counters.
        entry: StockEntry,
    },
    /// An adjustment of stock that was applied.
    Adjustment {
        /// Which stock.
        key: StockKey,
        /// Which adjustment.
        id: AdjustmentId,
        /// What it asked for.
        change: StockChange,
    },
    /// An order.
    Order {
        /// Among which orders it stands.
        shelf: Shelf,
        /// The slot in its key.
        slot: u16,
        /// The number in its key.
        order_no: OrderNo,
        /// The order.
        order: Box<Order>,
    },
    /// An order's entry by member.
    Member {
        /// The member.
        member: MemberId,
        /// The order.
        order_no: OrderNo,
        /// The request that placed it.
        request: RequestId,
    },
    /// An order's entry by external number.
    External {
        /// The hash of the external number.
        hash: u128,
        /// The order.
        order_no: OrderNo,
    },
    /// A payment whose outcome is known.
    Payment {
        /// Which.
        payment: PaymentId,
        /// What became of it.
        settled: SettledPayment,
    },
    /// Something that the shop has laid down.
    Setting {
        /// The key's bytes.
        key: Vec<u8>,
        /// Its revision.
        revision: u32,
        /// The setting.
        setting: Box<Setting>,
    },
    /// A refund of a payment that is for no order.
    Unmatched {
        /// The payment in its key.
        payment: PaymentId,
        /// The refund.
        refund: Box<UnmatchedRefund>,
    },
    /// A team.
    Team {
        /// Which.
        team: TeamId,
        /// What events say about it.
        record: TeamRecord,
    },
    /// A member's coupon.
    Coupon {
        /// The slot in its key.
        slot: u16,
        /// The member.
        member: MemberId,
        /// Which.
        id: CouponId,
        /// The coupon.
        coupon: Coupon,
    },
    /// A member's use of a purchase limit.
    Limit {
        /// The slot in its key.
        slot: u16,
        /// The member.
        member: MemberId,
        /// Which stock.
        key: StockKey,
        /// Units in orders that are placed and not cancelled.
        used: u32,
        /// It includes everything up to here.
        as_of: Position,
    },
    /// A task of the delay queue as it was pushed.
    Task {
        /// The slot in its key.
        slot: u16,
        /// The topic's hash in its key.
        hash: u128,
        /// The sequence number in its key.
        seq: u64,
        /// The task.
        task: Box<TaskRecord>,
    },
    /// Where a task stands, if not as it was pushed.
    TaskStand {
        /// The sequence number in its key.
        seq: u64,
        /// Where.
        stand: TaskStand,
    },
    /// What an operator asked for.
    Act {
        /// Where it stands in the journal.
        position: Position,
        /// The act.
        act: Box<OperatorAct>,
    },
    /// What the delay queue has beside its tasks.
    TaskRest(TaskRest),
}

/// In which order the tables are read: what others refer to comes first.
const ORDER: [TableId; 16] = [
    tables::SETTINGS,
    tables::TEAMS,
    tables::SKUS,
    tables::STOCK,
    tables::ADJUSTMENTS,
    tables::OPEN,
    tables::CLOSED,
    tables::MEMBERS,
    tables::EXTERNAL,
    tables::UNMATCHED,
    tables::PAYMENTS,
    tables::LIMITS,
    tables::TASK_STANDS,
    tables::TASKS,
    tables::COUPONS,
    tables::ACTS,
];

/// One checkpoint, as a whole.
pub(crate) struct Contents {
    snapshot: Snapshot,
    archive: Option<Arc<Archive>>,
}

impl Contents {
    /// What the last checkpoint of a running store left.
    #[cfg(test)]
    pub(crate) fn of(reader: &StoreReader) -> Self {
        Self { snapshot: reader.levels.snapshot(), archive: reader.archive().map(Arc::clone) }
    }

    /// Opens the store in a folder, which writes to it, and the cold files in another, which need not be there.
    ///
    /// # Errors
    /// [`StoreError`] where it can't be opened.
    pub(crate) fn open(dir: &Path, archive_dir: &Path) -> Result<Self, StoreError> {
        let archive = Some(Arc::new(Archive::open(archive_dir)?));
        let pages = SledPages::open(dir, CACHE_BYTES)?;
        let levels = Levels::open(Box::new(pages), tables::TABLES, LevelsOptions::default())?;
        Ok(Self { snapshot: levels.reader().snapshot(), archive })
    }

    /// The checkpoint's own record; of a store without one the default.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(crate) fn head(&self) -> Result<Head, StoreError> {
        self.snapshot.head().map_or_else(|| Ok(Head::default()), |bytes| decode("the head", bytes))
    }

    /// Size of all records' pages, in bytes, superseded ones included.
    pub(crate) fn bytes(&self) -> u64 {
        self.snapshot.stats().iter().map(|table| table.bytes).sum()
    }

    /// Calls `each` with every record, table by table: settings, catalogue, stock, adjustments, open orders, closed orders, those
    /// in cold files, entries by member, entries by external number, payments, limits, where tasks stand, tasks; each table by ascending key. Reads and checks
    /// in cold files, entries by member, entries by external number, payments, limits, coupons, acts of operators; each table by ascending key. Reads and checks
    /// every page of every table.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] at the first page or record that can't be read.
    pub(crate) fn each(&self, mut each: impl FnMut(Record)) -> Result<(), StoreError> {
        for table in ORDER {
            let mut scan = self.snapshot.scan(table, &[], None);
            while let Some((key, value)) = scan.next()? {
                each(record(table, key, value)?);
            }
            if table == tables::CLOSED {
                self.each_archived(&mut each)?;
            }
        }
        Ok(())
    }

    /// Calls `each` with every order of the cold files, as the latest of them says, that is not in the tables. One that
    /// has come back for late money is in both.
    fn each_archived(&self, each: &mut impl FnMut(Record)) -> Result<(), StoreError> {
        let files = self.archive.as_ref().map(|archive| archive.files()).unwrap_or_default();
        let mut seen: HashSet<OrderNo> = HashSet::new();
        for file in files.iter().rev() {
            file.scan(|key, value| {
                let Record::Order { slot, order_no, order, .. } = record(tables::CLOSED, key, value)? else {
                    return Ok(());
                };
                let is_stored = self.snapshot.get(tables::CLOSED, key)?.is_some()
                    || self.snapshot.get(tables::OPEN, key)?.is_some();
                if seen.insert(order_no) && !is_stored {
                    each(Record::Order { shelf: Shelf::Archived, slot, order_no, order });
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

fn record(table: TableId, key: &[u8], value: &[u8]) -> Result<Record, StoreError> {
    let name = tables::TABLES.iter().find(|spec| spec.id == table).map_or("?", |spec: &TableSpec| spec.name);
    let malformed = || StoreError::damaged(format!("the key {key:02x?} of table {name} stands for nothing"));
    let slot = || -> Option<u16> { Some(u16::from_be_bytes(key.get(..2)?.try_into().ok()?)) };
    let sku = || -> Option<u64> { Some(u64::from_be_bytes(key.get(..8)?.try_into().ok()?)) };
    let record = match table {
        tables::SKUS => Record::Sku {
            id: sku().ok_or_else(malformed)?.into(),
            revision: tables::revision_of_key(key).ok_or_else(malformed)?,
            sku: Box::new(decode(name, value)?),
        },
        tables::STOCK => Record::Stock {
            key: tables::stock_of_key(key).ok_or_else(malformed)?,
            entry: decode(name, value)?,
        },
        tables::ADJUSTMENTS => Record::Adjustment {
            key: tables::stock_of_key(key).ok_or_else(malformed)?,
            id: tables::adjustment_of_key(key).ok_or_else(malformed)?,
            change: decode(name, value)?,
        },
        tables::OPEN | tables::CLOSED => Record::Order {
            shelf: if table == tables::OPEN { Shelf::Open } else { Shelf::Closed },
            slot: slot().ok_or_else(malformed)?,
            order_no: tables::number_of_order_key(key).ok_or_else(malformed)?,
            order: Box::new(decode(name, value)?),
        },
        tables::MEMBERS => {
            let request = value.try_into().map_err(|_| malformed())?;
            Record::Member {
                member: tables::member_of_key(key).ok_or_else(malformed)?,
                order_no: tables::number_of_member_key(key).ok_or_else(malformed)?,
                request: RequestId::new(u128::from_be_bytes(request)),
            }
        }
        tables::EXTERNAL => {
            let hash = key.try_into().map_err(|_| malformed())?;
            let number = value.try_into().ok().and_then(|bytes| OrderNo::from_u64(u64::from_be_bytes(bytes)));
            Record::External { hash: u128::from_be_bytes(hash), order_no: number.ok_or_else(malformed)? }
        }
        tables::UNMATCHED => Record::Unmatched {
            payment: tables::payment_of_key(key).ok_or_else(malformed)?,
            refund: Box::new(decode(name, value)?),
        },
        tables::PAYMENTS => Record::Payment {
            payment: tables::payment_of_key(key).ok_or_else(malformed)?,
            settled: decode(name, value)?,
        },
        tables::TEAMS => Record::Team {
            team: TeamId(key.try_into().map(u64::from_be_bytes).map_err(|_| malformed())?),
            record: decode(name, value)?,
        },
        tables::SETTINGS => {
            let (revision, setting) = decode(name, value)?;
            Record::Setting { key: key.to_vec(), revision, setting: Box::new(setting) }
        }
        tables::TASK_STANDS => Record::TaskStand {
            seq: tables::seq_of_task_key(key).ok_or_else(malformed)?,
            stand: decode(name, value)?,
        },
        tables::TASKS if key == tables::TASK_REST_KEY => Record::TaskRest(decode(name, value)?),
        tables::TASKS => Record::Task {
            slot: slot().ok_or_else(malformed)?,
            hash: tables::topic_of_task_key(key).ok_or_else(malformed)?,
            seq: tables::seq_of_task_key(key).ok_or_else(malformed)?,
            task: Box::new(decode(name, value)?),
        },
        tables::ACTS => Record::Act {
            position: tables::position_of_act_key(key).ok_or_else(malformed)?,
            act: Box::new(decode(name, value)?),
        },
        tables::COUPONS => {
            let (member, id) = tables::coupon_of_key(key).ok_or_else(malformed)?;
            Record::Coupon { slot: slot().ok_or_else(malformed)?, member, id, coupon: decode(name, value)? }
        }
        _ => {
            let (member, stock) = tables::limit_of_key(key).ok_or_else(malformed)?;
            let (used, as_of) = decode(name, value)?;
            Record::Limit { slot: slot().ok_or_else(malformed)?, member, key: stock, used, as_of }
        }
    };
    Ok(record)
}

fn decode<'de, T: serde::Deserialize<'de>>(what: &str, bytes: &'de [u8]) -> Result<T, StoreError> {
    decode_record(bytes).map_err(|error| StoreError::damaged(format!("a record of {what}: {error}")))
}
