//! The store's tables and their keys. Keys compare byte by byte in the order of what they stand for.

use crate::domain::ids::{
    AdjustmentId, CouponId, MemberId, OrderNo, PaymentId, Position, SkuId, Slot, StockKey,
};
use crate::domain::setting::SETTING_KEY_BYTES;
use crate::domain::task::TopicName;
use crate::projection::levels::{TableId, TableSpec};

/// Orders that a restart brings back into memory, by slot and number.
pub(crate) const OPEN: TableId = TableId(1);
/// Closed orders, by slot and number.
pub(crate) const CLOSED: TableId = TableId(2);
/// Every order's request, by member and order number.
pub(crate) const MEMBERS: TableId = TableId(3);
/// Order numbers by the hash of their external number.
pub(crate) const EXTERNAL: TableId = TableId(4);
/// Payments whose outcome is known.
pub(crate) const PAYMENTS: TableId = TableId(5);
/// Purchase limits in use, by slot, member and stock key.
pub(crate) const LIMITS: TableId = TableId(6);
/// Stock counters.
pub(crate) const STOCK: TableId = TableId(7);
/// Stock adjustments that were applied.
pub(crate) const ADJUSTMENTS: TableId = TableId(8);
/// Catalogue revisions.
pub(crate) const SKUS: TableId = TableId(9);
/// Units of purchase limits that members have used up in other systems, by slot, member and stock key.
pub(crate) const ELSEWHERE: TableId = TableId(10);

/// What the shop has laid down, by the setting's key.
pub(crate) const SETTINGS: TableId = TableId(11);
/// Tasks of the delay queue as they were pushed, by slot, topic and sequence number.
pub(crate) const TASKS: TableId = TableId(20);
/// Where tasks stand that don't stand as they were pushed.
pub(crate) const TASK_STANDS: TableId = TableId(21);
/// Refunds of payments that are for no order.
pub(crate) const UNMATCHED: TableId = TableId(12);

/// Teams, by number.
pub(crate) const TEAMS: TableId = TableId(13);
/// Movements of money, by booking time and position.
pub(crate) const MOVEMENTS: TableId = TableId(30);
/// What the movements of an account had come to after each quarter of an hour in which it had some.
pub(crate) const BALANCES: TableId = TableId(31);
/// Where a payment's first movement stands in [`MOVEMENTS`].
pub(crate) const RECEIPTS: TableId = TableId(32);
/// What paid an order, under number 0, and what of its money is to go back, by the refund's number.
pub(crate) const DUES: TableId = TableId(33);
/// The names of accounts by their hash; and from when on there are movements.
pub(crate) const ACCOUNTS: TableId = TableId(34);
/// Members' coupons, by slot, member and coupon.
pub(crate) const COUPONS: TableId = TableId(22);

/// What operators asked for, by position; kept for good.
pub(crate) const ACTS: TableId = TableId(23);

const STOCK_KEY_BYTES: usize = 21;
const TASK_KEY_BYTES: usize = 26;

/// The key in [`TASKS`] of what belongs to no task: none has the sequence number 0.
pub(crate) const TASK_REST_KEY: [u8; TASK_KEY_BYTES] = [0; TASK_KEY_BYTES];
/// Bytes of a coupon's key.
const COUPON_KEY_BYTES: usize = 26;

/// All tables.
pub(crate) const TABLES: &[TableSpec] = &[
    TableSpec { id: OPEN, name: "open orders", key_len: 10 },
    TableSpec { id: CLOSED, name: "closed orders", key_len: 10 },
    TableSpec { id: MEMBERS, name: "orders by member", key_len: 16 },
    TableSpec { id: EXTERNAL, name: "external numbers", key_len: 16 },
    TableSpec { id: PAYMENTS, name: "payments", key_len: 16 },
    TableSpec { id: LIMITS, name: "purchase limits", key_len: 10 + STOCK_KEY_BYTES },
    TableSpec { id: STOCK, name: "stock", key_len: STOCK_KEY_BYTES },
    TableSpec { id: ADJUSTMENTS, name: "stock adjustments", key_len: STOCK_KEY_BYTES + 16 },
    TableSpec { id: SKUS, name: "catalogue", key_len: 12 },
    TableSpec { id: ELSEWHERE, name: "limits used elsewhere", key_len: 10 + STOCK_KEY_BYTES },
    TableSpec { id: SETTINGS, name: "settings", key_len: SETTING_KEY_BYTES },
    TableSpec { id: TEAMS, name: "teams", key_len: 8 },
    TableSpec { id: MOVEMENTS, name: "movements of money", key_len: 16 },
    TableSpec { id: BALANCES, name: "balances", key_len: 24 },
    TableSpec { id: RECEIPTS, name: "receipts of payments", key_len: 16 },
    TableSpec { id: DUES, name: "refunds by order", key_len: 10 },
    TableSpec { id: ACCOUNTS, name: "accounts", key_len: 17 },
    TableSpec { id: TASKS, name: "tasks", key_len: TASK_KEY_BYTES },
    TableSpec { id: TASK_STANDS, name: "where tasks stand", key_len: TASK_KEY_BYTES },
    TableSpec { id: UNMATCHED, name: "refunds of unmatched payments", key_len: 16 },
    TableSpec { id: COUPONS, name: "coupons", key_len: COUPON_KEY_BYTES },
    TableSpec { id: ACTS, name: "acts of operators", key_len: 8 },
];

/// The first bytes of all keys of a slot.
pub(crate) fn slot_prefix(slot: Slot) -> [u8; 2] {
    (slot.index() as u16).to_be_bytes()
}

/// The exclusive end of a slot's keys in [`OPEN`], [`CLOSED`], [`LIMITS`], [`ELSEWHERE`] and [`COUPONS`], as a
/// prefix.
pub(crate) fn slot_end(slot: Slot) -> [u8; 2] {
    (slot.index() as u16 + 1).to_be_bytes()
}

/// The key of an order.
pub(crate) fn order_key(number: OrderNo) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&slot_prefix(number.slot()));
    key[2..].copy_from_slice(&number.get().to_be_bytes());
    key
}

/// The order number in a key of [`OPEN`] or [`CLOSED`].
pub(crate) fn number_of_order_key(key: &[u8]) -> Option<OrderNo> {
    OrderNo::from_u64(u64::from_be_bytes(key.get(2..10)?.try_into().ok()?))
}

/// The key of a member's order.
pub(crate) fn member_key(member: MemberId, number: OrderNo) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&member.0.to_be_bytes());
    key[8..].copy_from_slice(&number.get().to_be_bytes());
    key
}

/// The order number in a key of [`MEMBERS`].
pub(crate) fn number_of_member_key(key: &[u8]) -> Option<OrderNo> {
    OrderNo::from_u64(u64::from_be_bytes(key.get(8..16)?.try_into().ok()?))
}

/// The member in a key of [`MEMBERS`].
pub(crate) fn member_of_key(key: &[u8]) -> Option<MemberId> {
    Some(MemberId(u64::from_be_bytes(key.get(..8)?.try_into().ok()?)))
}

/// The key of a payment.
pub(crate) fn payment_key(payment: PaymentId) -> [u8; 16] {
    let [high, low] = payment.words();
    ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
}

/// The payment of a key.
pub(crate) fn payment_of_key(key: &[u8]) -> Option<PaymentId> {
    let value = u128::from_be_bytes(key.try_into().ok()?);
    Some(PaymentId::from_words([(value >> 64) as u64, value as u64]))
}

/// The key of a stock key.
pub(crate) fn stock_key(key: &StockKey) -> [u8; STOCK_KEY_BYTES] {
    let mut bytes = [0; STOCK_KEY_BYTES];
    bytes[0] = key.pool as u8;
    bytes[1..9].copy_from_slice(&key.activity.0.to_be_bytes());
    bytes[9..17].copy_from_slice(&key.sku.0.to_be_bytes());
    bytes[17..].copy_from_slice(&key.location.0.to_be_bytes());
    bytes
}

/// The stock key of the first bytes of a key.
pub(crate) fn stock_of_key(key: &[u8]) -> Option<StockKey> {
    let pool = crate::domain::ids::Pool::from_index(*key.first()?)?;
    let word = |at: usize| Some(u64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?));
    let location = u32::from_be_bytes(key.get(17..21)?.try_into().ok()?);
    Some(StockKey { pool, activity: word(1)?.into(), sku: word(9)?.into(), location: location.into() })
}

/// The key of an applied adjustment.
pub(crate) fn adjustment_key(key: &StockKey, adjustment: AdjustmentId) -> [u8; STOCK_KEY_BYTES + 16] {
    let mut bytes = [0; STOCK_KEY_BYTES + 16];
    bytes[..STOCK_KEY_BYTES].copy_from_slice(&stock_key(key));
    bytes[STOCK_KEY_BYTES..].copy_from_slice(&adjustment.0.to_be_bytes());
    bytes
}

/// The adjustment in a key of [`ADJUSTMENTS`].
pub(crate) fn adjustment_of_key(key: &[u8]) -> Option<AdjustmentId> {
    Some(AdjustmentId(u128::from_be_bytes(key.get(STOCK_KEY_BYTES..)?.try_into().ok()?)))
}

/// The key of a catalogue revision.
pub(crate) fn sku_key(sku: SkuId, revision: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&sku.0.to_be_bytes());
    key[8..].copy_from_slice(&revision.to_be_bytes());
    key
}

/// The revision in a key of [`SKUS`].
pub(crate) fn revision_of_key(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(8..12)?.try_into().ok()?))
}

/// The key of a member's use of a limit.
pub(crate) fn limit_key(member: MemberId, key: &StockKey) -> [u8; 10 + STOCK_KEY_BYTES] {
    let mut bytes = [0; 10 + STOCK_KEY_BYTES];
    bytes[..2].copy_from_slice(&slot_prefix(Slot::of_member(member)));
    bytes[2..10].copy_from_slice(&member.0.to_be_bytes());
    bytes[10..].copy_from_slice(&stock_key(key));
    bytes
}

/// Member and stock key of a key of [`LIMITS`] or [`ELSEWHERE`].
pub(crate) fn limit_of_key(key: &[u8]) -> Option<(MemberId, StockKey)> {
    let member = u64::from_be_bytes(key.get(2..10)?.try_into().ok()?);
    Some((MemberId(member), stock_of_key(key.get(10..)?)?))
}

/// The key under which [`ACCOUNTS`] says from when on there are movements.
pub(crate) const LEDGER_BEGIN_KEY: [u8; 17] = [0; 17];
/// The first byte of all other keys of [`ACCOUNTS`].
const ACCOUNT_TAG: u8 = 1;
/// How long a balance may be away from its neighbour, in ms. Every time zone's midnight is a multiple of it.
const BALANCE_STEP_MS: u64 = 900_000;

/// The key of a movement.
pub(crate) fn movement_key(booked_ms: u64, position: Position) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&booked_ms.to_be_bytes());
    key[8..].copy_from_slice(&position.0.to_be_bytes());
    key
}

/// Booking time and position of a key of [`MOVEMENTS`].
pub(crate) fn movement_of_key(key: &[u8]) -> Option<(u64, Position)> {
    let word = |at: usize| Some(u64::from_be_bytes(key.get(at..at + 8)?.try_into().ok()?));
    Some((word(0)?, Position(word(8)?)))
}

/// The key of an account's balance after the movements booked in the same step as `booked_ms`.
pub(crate) fn balance_key(account: u128, booked_ms: u64) -> [u8; 24] {
    let mut key = [0; 24];
    key[..16].copy_from_slice(&account.to_be_bytes());
    key[16..].copy_from_slice(&(booked_ms / BALANCE_STEP_MS).to_be_bytes());
    key
}

/// When the step began that an instant lies in, both in ms since the Unix epoch.
pub(crate) const fn balance_step_of(at_ms: u64) -> u64 {
    at_ms - at_ms % BALANCE_STEP_MS
}

/// The key of an order's payment (number 0), or of one of its refunds.
pub(crate) fn due_key(number: OrderNo, due: u16) -> [u8; 10] {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&number.get().to_be_bytes());
    key[8..].copy_from_slice(&due.to_be_bytes());
    key
}

/// The number of the refund in a key of [`DUES`].
pub(crate) fn due_of_key(key: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(key.get(8..10)?.try_into().ok()?))
}

/// The key of an account's name.
pub(crate) fn account_key(account: u128) -> [u8; 17] {
    let mut key = [0; 17];
    key[0] = ACCOUNT_TAG;
    key[1..].copy_from_slice(&account.to_be_bytes());
    key
}

/// The first bytes of all accounts' names.
pub(crate) const ACCOUNTS_PREFIX: [u8; 1] = [ACCOUNT_TAG];
/// The key of a task.
pub(crate) fn task_key(topic: &TopicName, seq: u64) -> [u8; TASK_KEY_BYTES] {
    let mut bytes = [0; TASK_KEY_BYTES];
    bytes[..2].copy_from_slice(&slot_prefix(topic.slot()));
    bytes[2..18].copy_from_slice(&topic.hash().to_be_bytes());
    bytes[18..].copy_from_slice(&seq.to_be_bytes());
    bytes
}

/// The sequence number in a key of [`TASKS`] or [`TASK_STANDS`].
pub(crate) fn seq_of_task_key(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(18..TASK_KEY_BYTES)?.try_into().ok()?))
}

/// The topic's hash in a key of [`TASKS`] or [`TASK_STANDS`].
pub(crate) fn topic_of_task_key(key: &[u8]) -> Option<u128> {
    Some(u128::from_be_bytes(key.get(2..18)?.try_into().ok()?))
}

/// The key of what an operator asked for.
pub(crate) fn act_key(position: Position) -> [u8; 8] {
    position.0.to_be_bytes()
}

/// The position of a key of [`ACTS`].
pub(crate) fn position_of_act_key(key: &[u8]) -> Option<Position> {
    Some(Position(u64::from_be_bytes(key.try_into().ok()?)))
}

/// The key of a member's coupon.
pub(crate) fn coupon_key(member: MemberId, coupon: CouponId) -> [u8; COUPON_KEY_BYTES] {
    let mut key = [0; COUPON_KEY_BYTES];
    key[..2].copy_from_slice(&slot_prefix(Slot::of_member(member)));
    key[2..10].copy_from_slice(&member.0.to_be_bytes());
    key[10..].copy_from_slice(&coupon.get().to_be_bytes());
    key
}

/// Member and coupon of a key of [`COUPONS`].
pub(crate) fn coupon_of_key(key: &[u8]) -> Option<(MemberId, CouponId)> {
    let member = u64::from_be_bytes(key.get(2..10)?.try_into().ok()?);
    let coupon = u128::from_be_bytes(key.get(10..26)?.try_into().ok()?);
    Some((MemberId(member), CouponId::new(coupon)))
}
