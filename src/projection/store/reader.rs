//! Reading the store: look-ups while the engine runs, and everything that a restart needs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::archive::Archive;
use super::cold_scan::ColdScan;
use super::head::Head;
use super::tables;
use crate::domain::catalogue::Sku;
use crate::domain::coupon::Coupon;
use crate::domain::ids::{
    AdjustmentId, CouponId, MemberId, OrderNo, PaymentId, Position, RequestId, Slot, StockKey, TeamId,
};
use crate::domain::order::{Order, SettledPayment};
use crate::domain::refund::UnmatchedRefund;
use crate::domain::request::StockChange;
use crate::domain::setting::Setting;
use crate::domain::team::TeamRecord;
use crate::journal::decode_record;
use crate::projection::levels::{Finder, LevelsReader, Snapshot, StoreError, TableId};

/// A stock key's counters as the events up to the checkpoint's position add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StockEntry {
    /// Units that there are.
    pub(crate) total: i64,
    /// Units of unpaid orders.
    pub(crate) reserved: i64,
    /// Units of paid orders.
    pub(crate) sold: i64,
}

/// A member's use of a purchase limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredLimit {
    /// The member.
    pub(crate) member: MemberId,
    /// Which stock.
    pub(crate) key: StockKey,
    /// Units in orders that are placed and not cancelled.
    pub(crate) used: u32,
    /// It includes everything up to here.
    pub(crate) as_of: Position,
}

/// The reading side of the store, for any number of threads.
#[derive(Clone)]
pub(crate) struct StoreReader {
    pub(super) levels: LevelsReader,
    archive: Option<Arc<Archive>>,
}

impl StoreReader {
    /// A reader of these tables and cold files.
    pub(crate) fn new(levels: LevelsReader, archive: Option<Arc<Archive>>) -> Self {
        Self { levels, archive }
    }

    /// The cold files, where there may be some.
    pub(crate) fn archive(&self) -> Option<&Arc<Archive>> {
        self.archive.as_ref()
    }

    /// Size on the disk, in bytes.
    pub(crate) fn bytes_on_disk(&self) -> u64 {
        self.levels.bytes_on_disk()
    }

    /// The last checkpoint's own record; of a fresh store the default.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(crate) fn head(&self) -> Result<Head, StoreError> {
        self.pinned().map(|(_snapshot, head)| head)
    }

    /// A state that stays the same while others write, with its checkpoint's own record.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(crate) fn pinned(&self) -> Result<(Snapshot, Head), StoreError> {
        let snapshot = self.levels.snapshot();
        let head = snapshot.head().map_or(Ok(Head::default()), |bytes| decode("the head", bytes))?;
        Ok((snapshot, head))
    }

    /// A closed order.
    ///
    /// # Errors
    /// [`StoreError`], as for every look-up here.
    pub(crate) fn order(&self, number: OrderNo) -> Result<Option<Order>, StoreError> {
        match closed_order(&self.levels.snapshot(), number)? {
            Some(order) => Ok(Some(order)),
            None => self.archived_order(number),
        }
    }

    /// The last checkpoint's position, and what was available of a stock key then.
    pub(crate) fn available(&self, key: &StockKey) -> Result<(Position, i64), StoreError> {
        let (snapshot, head) = self.pinned()?;
        let found = snapshot.get(tables::STOCK, &tables::stock_key(key))?;
        let StockEntry { total, reserved, sold } =
            found.map(|bytes| decode("stock", &bytes)).transpose()?.unwrap_or_default();
        Ok((head.position, total - reserved - sold))
    }

    /// An order that has moved to a cold file.
    fn archived_order(&self, number: OrderNo) -> Result<Option<Order>, StoreError> {
        let Some(archive) = &self.archive else { return Ok(None) };
        archive.find(number)?.map(|bytes| decode("an archived order", &bytes)).transpose()
    }

    /// An order as the store has it. One that was closed when somebody asked may be open again by now, because late
    /// money brought it back meanwhile.
    pub(crate) fn any_order(&self, number: OrderNo) -> Result<Option<Order>, StoreError> {
        match any_order(&self.levels.snapshot(), number)? {
            Some(order) => Ok(Some(order)),
            None => self.archived_order(number),
        }
    }

    /// Looks orders up in a snapshot.
    pub(crate) fn order_finder(&self, snapshot: &Snapshot) -> OrderFinder<'_> {
        OrderFinder {
            reader: self,
            closed: snapshot.finder(tables::CLOSED),
            open: snapshot.finder(tables::OPEN),
        }
    }

    /// The order that a member's request was placed as, not looking further back than `since_ms`, in ms since
    /// the epoch of order numbers.
    pub(crate) fn request(
        &self,
        member: MemberId,
        request: RequestId,
        since_ms: u64,
    ) -> Result<Option<Order>, StoreError> {
        let snapshot = self.levels.snapshot();
        let wanted = request.get().to_be_bytes();
        let mut orders = members_orders(&snapshot, member, None);
        while let Some((key, value)) = orders.next()? {
            let Some(number) = tables::number_of_member_key(key) else { continue };
            if number.time_ms() < since_ms {
                break;
            }
            if value == wanted {
                return any_order(&snapshot, number);
            }
        }
        Ok(None)
    }

    /// The order with an external number, by that number's hash.
    pub(crate) fn external(&self, external: u128) -> Result<Option<OrderNo>, StoreError> {
        let found = self.levels.snapshot().get(tables::EXTERNAL, &external.to_be_bytes())?;
        let number = |bytes: Vec<u8>| {
            let number = bytes.try_into().ok().and_then(|bytes| OrderNo::from_u64(u64::from_be_bytes(bytes)));
            number.ok_or_else(|| StoreError::damaged("an external number's order".to_owned()))
        };
        found.map(number).transpose()
    }

    /// A payment whose outcome is known.
    pub(crate) fn payment(&self, payment: PaymentId) -> Result<Option<SettledPayment>, StoreError> {
        let found = self.levels.snapshot().get(tables::PAYMENTS, &tables::payment_key(payment))?;
        found.map(|bytes| decode("a payment", &bytes)).transpose()
    }

    /// A member's use of some purchase limits, in the order asked; 0 for those that are not in use.
    pub(crate) fn limits(
        &self,
        member: MemberId,
        keys: &[StockKey],
    ) -> Result<Vec<(StockKey, u32)>, StoreError> {
        let snapshot = self.levels.snapshot();
        let used = |key: &StockKey| {
            let found = snapshot.get(tables::LIMITS, &tables::limit_key(member, key))?;
            let limit: Option<(u32, Position)> =
                found.map(|bytes| decode("a purchase limit", &bytes)).transpose()?;
            Ok((*key, limit.map_or(0, |(used, _as_of)| used)))
        };
        keys.iter().map(used).collect()
    }

    /// A page of a member's orders, newest first: `hot` are those in memory, newest first, `len_max` of them or all
    /// there are.
    pub(crate) fn orders_of(
        &self,
        member: MemberId,
        before: Option<OrderNo>,
        len_max: usize,
        hot: Vec<Order>,
    ) -> Result<Vec<Order>, StoreError> {
        let snapshot = self.levels.snapshot();
        let mut stored = members_orders(&snapshot, member, before);
        let mut hot = hot.into_iter().peekable();
        let mut orders = Vec::with_capacity(len_max.min(hot.len() + 16));
        while orders.len() < len_max {
            let Some((key, _)) = stored.next()? else { break };
            let Some(number) = tables::number_of_member_key(key) else { continue };
            while orders.len() < len_max
                && let Some(order) = hot.next_if(|order| order.order_no >= number)
            {
                orders.push(order);
            }
            if orders.last().is_some_and(|order: &Order| order.order_no == number) || orders.len() >= len_max
            {
                continue;
            }
            // One that isn't among the closed ones came in, or came back to life, after the others were read from memory.
            orders.extend(any_order(&snapshot, number)?);
        }
        let room = len_max - orders.len();
        orders.extend(hot.take(room));
        Ok(orders)
    }

    /// Calls `each` with every order of a slot that belongs into memory.
    pub(crate) fn load_open(&self, slot: Slot, mut each: impl FnMut(Order)) -> Result<(), StoreError> {
        self.load_slot(tables::OPEN, slot, |_key, value| {
            each(decode("an open order", value)?);
            Ok(())
        })
    }

    /// Calls `each` with every purchase limit in use of a slot's members.
    pub(crate) fn load_limits(
        &self,
        slot: Slot,
        mut each: impl FnMut(StoredLimit),
    ) -> Result<(), StoreError> {
        self.load_slot(tables::LIMITS, slot, |key, value| {
            let (used, as_of) = decode("a purchase limit", value)?;
            let limit = tables::limit_of_key(key);
            let (member, key) = limit.ok_or_else(|| StoreError::damaged("a limit's key".to_owned()))?;
            each(StoredLimit { member, key, used, as_of });
            Ok(())
        })
    }

    /// Calls `each` with what a slot's members have used up of purchase limits in other systems, in units.
    pub(crate) fn load_elsewhere(
        &self,
        slot: Slot,
        mut each: impl FnMut(MemberId, StockKey, u32),
    ) -> Result<(), StoreError> {
        self.load_slot(tables::ELSEWHERE, slot, |key, value| {
            let limit = tables::limit_of_key(key);
            let (member, key) = limit.ok_or_else(|| StoreError::damaged("a limit's key".to_owned()))?;
            each(member, key, decode("a limit used elsewhere", value)?);
            Ok(())
        })
    }

    /// Calls `each` with every refund of a payment that is for no order.
    pub(crate) fn load_unmatched(&self, mut each: impl FnMut(UnmatchedRefund)) -> Result<(), StoreError> {
        let snapshot = self.levels.snapshot();
        let mut scan = snapshot.scan(tables::UNMATCHED, &[], None);
        while let Some((_key, value)) = scan.next()? {
            each(decode("a refund of an unmatched payment", value)?);
        }
        Ok(())
    }

    /// The refund of a payment that is for no order.
    pub(crate) fn unmatched(&self, payment: PaymentId) -> Result<Option<UnmatchedRefund>, StoreError> {
        let found = self.levels.snapshot().get(tables::UNMATCHED, &tables::payment_key(payment))?;
        found.map(|bytes| decode("a refund of an unmatched payment", &bytes)).transpose()
    }

    /// Calls `each` with every coupon of a slot's members, as of the checkpoint.
    pub(crate) fn load_coupons(
        &self,
        slot: Slot,
        mut each: impl FnMut(MemberId, CouponId, Coupon),
    ) -> Result<(), StoreError> {
        self.load_slot(tables::COUPONS, slot, |key, value| {
            let found = tables::coupon_of_key(key);
            let (member, coupon) = found.ok_or_else(|| StoreError::damaged("a coupon's key".to_owned()))?;
            each(member, coupon, decode("a coupon", value)?);
            Ok(())
        })
    }

    /// Calls `each` with every stock key's counters.
    pub(crate) fn load_stock(&self, mut each: impl FnMut(StockKey, StockEntry)) -> Result<(), StoreError> {
        self.load(tables::STOCK, &[], None, |key, value| {
            let key = tables::stock_of_key(key);
            each(key.ok_or_else(|| StoreError::damaged("a stock key".to_owned()))?, decode("stock", value)?);
            Ok(())
        })
    }

    /// Calls `each` with every adjustment that was applied.
    pub(crate) fn load_adjustments(
        &self,
        mut each: impl FnMut(StockKey, AdjustmentId, StockChange),
    ) -> Result<(), StoreError> {
        self.load(tables::ADJUSTMENTS, &[], None, |key, value| {
            let found = tables::stock_of_key(key).zip(tables::adjustment_of_key(key));
            let (key, id) = found.ok_or_else(|| StoreError::damaged("an adjustment's key".to_owned()))?;
            each(key, id, decode("an adjustment", value)?);
            Ok(())
        })
    }

    /// Calls `each` with every catalogue revision, ascending.
    pub(crate) fn load_skus(&self, mut each: impl FnMut(u32, Sku)) -> Result<(), StoreError> {
        self.load(tables::SKUS, &[], None, |key, value| {
            let revision = tables::revision_of_key(key);
            let revision = revision.ok_or_else(|| StoreError::damaged("a revision's key".to_owned()))?;
            each(revision, decode("a catalogue revision", value)?);
            Ok(())
        })
    }

    /// Calls `each` with every team, ascending.
    pub(crate) fn load_teams(&self, mut each: impl FnMut(TeamId, TeamRecord)) -> Result<(), StoreError> {
        self.load(tables::TEAMS, &[], None, |key, value| {
            let team = key.try_into().map(u64::from_be_bytes);
            let team = team.map_err(|_| StoreError::damaged("a team's key".to_owned()))?;
            each(TeamId(team), decode("a team", value)?);
            Ok(())
        })
    }

    /// Calls `each` with the latest revision of every setting, ascending by key.
    pub(crate) fn load_settings(&self, mut each: impl FnMut(u32, Setting)) -> Result<(), StoreError> {
        self.load(tables::SETTINGS, &[], None, |_key, value| {
            let (revision, setting) = decode("a setting", value)?;
            each(revision, setting);
            Ok(())
        })
    }

    /// Calls `each` with every closed order, those in cold files among them, by slot and number, until it says no. One
    /// that came back from a cold file and is open again is given as it was then.
    pub(crate) fn scan_closed(&self, mut each: impl FnMut(Order) -> bool) -> Result<(), StoreError> {
        let archived = |record: &[u8]| decode("an archived order", record);
        // The files only then: what moves to one meanwhile is in both, and not lost between the two.
        let snapshot = self.levels.snapshot();
        let mut cold = ColdScan::new(self.archive.as_deref())?;
        let mut stored = snapshot.scan(tables::CLOSED, &[], None);
        while let Some((key, value)) = stored.next()? {
            while let Some((cold_key, record)) = cold.next_up_to(Some(key))? {
                // One that is in both has come back: the table is as new as the files, or newer.
                if cold_key[..] != *key && !each(archived(&record)?) {
                    return Ok(());
                }
            }
            if !each(decode("a closed order", value)?) {
                return Ok(());
            }
        }
        while let Some((_key, record)) = cold.next_up_to(None)? {
            if !each(archived(&record)?) {
                break;
            }
        }
        Ok(())
    }

    /// Calls `each` with member, request and number of every order, until it says no.
    pub(crate) fn scan_requests(
        &self,
        mut each: impl FnMut(MemberId, RequestId, OrderNo) -> bool,
    ) -> Result<(), StoreError> {
        let mut scan = self.levels.snapshot().scan(tables::MEMBERS, &[], None);
        while let Some((key, value)) = scan.next()? {
            let parts = tables::member_of_key(key).zip(tables::number_of_member_key(key));
            let request = value.try_into().ok().map(|bytes| RequestId::new(u128::from_be_bytes(bytes)));
            let Some(((member, number), request)) = parts.zip(request) else {
                return Err(StoreError::damaged("a member's order".to_owned()));
            };
            if !each(member, request, number) {
                break;
            }
        }
        Ok(())
    }

    /// Calls `payment` with every payment whose outcome is known, and `external` with the hash of every external
    /// number, until one of them says no.
    pub(crate) fn scan_names(
        &self,
        mut payment: impl FnMut(PaymentId) -> bool,
        mut external: impl FnMut(u128) -> bool,
    ) -> Result<(), StoreError> {
        let snapshot = self.levels.snapshot();
        let mut scan = snapshot.scan(tables::PAYMENTS, &[], None);
        while let Some((key, _)) = scan.next()? {
            let id = tables::payment_of_key(key);
            if !payment(id.ok_or_else(|| StoreError::damaged("a payment's key".to_owned()))?) {
                return Ok(());
            }
        }
        let mut scan = snapshot.scan(tables::EXTERNAL, &[], None);
        while let Some((key, _)) = scan.next()? {
            let key = key.try_into().map(u128::from_be_bytes);
            if !external(key.map_err(|_| StoreError::damaged("an external number's key".to_owned()))?) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn load_slot(
        &self,
        table: TableId,
        slot: Slot,
        each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.load(table, &tables::slot_prefix(slot), Some(&tables::slot_end(slot)), each)
    }

    fn load(
        &self,
        table: TableId,
        low: &[u8],
        high: Option<&[u8]>,
        mut each: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut scan = self.levels.snapshot().scan(table, low, high);
        while let Some((key, value)) = scan.next()? {
            each(key, value)?;
        }
        Ok(())
    }
}

fn members_orders(
    snapshot: &Snapshot,
    member: MemberId,
    before: Option<OrderNo>,
) -> crate::projection::levels::ScanBack {
    let low = tables::member_key(member, OrderNo::default());
    let above = OrderNo::from_u64(u64::MAX >> 1).unwrap_or_default();
    let high = tables::member_key(member, before.unwrap_or(above));
    snapshot.scan_back(tables::MEMBERS, &low, Some(&high))
}

/// Calls `each` with every order of a snapshot that belongs into memory, by slot and number, until it says no.
pub(crate) fn scan_open(snapshot: &Snapshot, mut each: impl FnMut(Order) -> bool) -> Result<(), StoreError> {
    let mut scan = snapshot.scan(tables::OPEN, &[], None);
    while let Some((_key, value)) = scan.next()? {
        if !each(decode("an open order", value)?) {
            break;
        }
    }
    Ok(())
}

/// Looks orders up as a snapshot, or a cold file, has them: cheaply where they come by slot and number, as they are stored.
pub(crate) struct OrderFinder<'a> {
    reader: &'a StoreReader,
    closed: Finder,
    open: Finder,
}

impl OrderFinder<'_> {
    /// One order.
    ///
    /// # Errors
    /// [`StoreError`], also where it is in neither.
    pub(crate) fn order(&mut self, number: OrderNo) -> Result<Order, StoreError> {
        let key = tables::order_key(number);
        if let Some(bytes) = self.closed.get(&key)? {
            return decode("a closed order", bytes);
        }
        if let Some(bytes) = self.open.get(&key)? {
            return decode("an open order", bytes);
        }
        let archived = self.reader.archived_order(number)?;
        archived.ok_or_else(|| StoreError::damaged(format!("order {number} is missing")))
    }
}

fn closed_order(snapshot: &Snapshot, number: OrderNo) -> Result<Option<Order>, StoreError> {
    let found = snapshot.get(tables::CLOSED, &tables::order_key(number))?;
    found.map(|bytes| decode("a closed order", &bytes)).transpose()
}

fn any_order(snapshot: &Snapshot, number: OrderNo) -> Result<Option<Order>, StoreError> {
    let closed = closed_order(snapshot, number)?;
    if closed.is_some() {
        return Ok(closed);
    }
    let found = snapshot.get(tables::OPEN, &tables::order_key(number))?;
    found.map(|bytes| decode("an open order", &bytes)).transpose()
}

fn decode<'de, T: Deserialize<'de>>(what: &str, bytes: &'de [u8]) -> Result<T, StoreError> {
    decode_record(bytes).map_err(|error| StoreError::damaged(format!("{what}: {error}")))
}
