//! Identifiers: newtypes for everything that is named, and the two frozen mappings that the journal and
//! every later partitioning depend on: member to slot, and the layout of an order number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::hash::{self, RecordHasher};

/// Declares an integer newtype that prints as its number.
macro_rules! id {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }
    };
}

id!(
    /// A buyer, as the shop numbers them.
    MemberId(u64)
);
id!(
    /// A sellable unit.
    SkuId(u64)
);
id!(
    /// A group of SKUs.
    ProductId(u64)
);
id!(
    /// A seckill session or a group-buy campaign; 0 stands for "none".
    ActivityId(u64)
);
id!(
    /// A warehouse; 0 until warehouses exist.
    LocationId(u32)
);
id!(
    /// The sequence number of an event in the journal. The first event has position 1; 0 stands for "nothing yet".
    Position(u64)
);

/// Number of slots that members are spread over. Frozen: it is part of every order number.
pub const SLOTS: u16 = 1024;

/// One of the [`SLOTS`] ranges of members; the unit of ownership and of later partitioning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(u16);

impl Slot {
    /// The slot of a member. Frozen: the hash has golden values in the tests.
    pub fn of_member(member: MemberId) -> Self {
        Self::of_hash(hash::mix64(member.0))
    }

    /// The slot that a well-mixed 64-bit hash falls into (its upper ten bits).
    pub fn of_hash(hash: u64) -> Self {
        Self((hash >> 54) as u16)
    }

    /// A slot by its index; `None` unless `index < SLOTS`.
    pub fn from_index(index: u16) -> Option<Self> {
        (index < SLOTS).then_some(Self(index))
    }

    /// The slot's index, below [`SLOTS`].
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A client's name for one request, 16 bytes: a UUID, or [`RequestId::from_key`] of a longer key.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId([u64; 2]);

impl RequestId {
    /// A request id from its 128-bit value.
    pub const fn new(value: u128) -> Self {
        // Kept as two words so that records holding an id need no 16-byte alignment.
        Self([(value >> 64) as u64, value as u64])
    }

    /// A request id for a key of any length, by a frozen 128-bit hash.
    pub fn from_key(key: &[u8]) -> Self {
        Self::new(hash::hash128(key))
    }

    /// The 128-bit value.
    pub const fn get(self) -> u128 {
        ((self.0[0] as u128) << 64) | self.0[1] as u128
    }

    /// The two 64-bit halves, high first.
    pub const fn words(self) -> [u64; 2] {
        self.0
    }
}

impl From<u128> for RequestId {
    fn from(value: u128) -> Self {
        Self::new(value)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({:032x})", self.get())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.get())
    }
}

impl Serialize for RequestId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <[u64; 2]>::deserialize(deserializer).map(Self)
    }
}

id!(
    /// The operator's name for one stock adjustment, for once-only application per stock key.
    AdjustmentId(u128)
);
id!(
    /// The operator's name for one import from another system.
    ImportId(u128)
);
id!(
    /// What the coupons of one kind grant, and on which conditions.
    CouponTermsId(u64)
);
id!(
    /// A freight template.
    FreightId(u64)
);

id!(
    /// A team of a group-buy campaign: the number of the order that opened it; 0 stands for "none".
    TeamId(u64)
);

/// A coupon in a member's hands, 16 bytes: its definition, and a hash that tells it from others of that definition.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CouponId([u64; 2]);

impl CouponId {
    /// A coupon id from its 128-bit value.
    pub const fn new(value: u128) -> Self {
        // Kept as two words so that records holding an id need no 16-byte alignment.
        Self([(value >> 64) as u64, value as u64])
    }

    /// The id of the coupon that a member gets of a definition by the request with this key. Frozen: it is what makes
    /// an issue once-only.
    pub fn of_issue(terms: CouponTermsId, member: MemberId, request: RequestId) -> Self {
        let [high, low] = request.words();
        let hash = RecordHasher::new(terms.0).word(member.0).word(high).word(low).finish();
        Self([terms.0, hash])
    }

    /// The 128-bit value.
    pub const fn get(self) -> u128 {
        ((self.0[0] as u128) << 64) | self.0[1] as u128
    }

    /// Its definition.
    pub const fn terms(self) -> CouponTermsId {
        CouponTermsId(self.0[0])
    }

    /// The two 64-bit halves, high first.
    pub const fn words(self) -> [u64; 2] {
        self.0
    }
}

impl fmt::Debug for CouponId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CouponId({:032x})", self.get())
    }
}

impl fmt::Display for CouponId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.get())
    }
}

/// A payment's identity: a frozen 128-bit hash of `(channel, merchant, transaction id)`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PaymentId([u64; 2]);

impl PaymentId {
    /// The identity of a provider's transaction.
    pub fn of(channel: &str, merchant: &str, transaction_id: &str) -> Self {
        let mut bytes = Vec::with_capacity(channel.len() + merchant.len() + transaction_id.len() + 8);
        // Lengths first, so that ("ab", "c") and ("a", "bc") differ.
        bytes.extend_from_slice(&(channel.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(merchant.len() as u32).to_le_bytes());
        bytes.extend_from_slice(channel.as_bytes());
        bytes.extend_from_slice(merchant.as_bytes());
        bytes.extend_from_slice(transaction_id.as_bytes());
        let value = hash::hash128(&bytes);
        Self([(value >> 64) as u64, value as u64])
    }

    /// The slot whose order actor owns this payment's once-only record.
    pub fn slot(self) -> Slot {
        Slot::of_hash(self.0[0])
    }

    /// The two 64-bit halves, high first.
    pub const fn words(self) -> [u64; 2] {
        self.0
    }

    /// The identity with these halves, high first, as [`PaymentId::words`] gave them.
    pub(crate) const fn from_words(words: [u64; 2]) -> Self {
        Self(words)
    }
}

impl fmt::Debug for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PaymentId({:016x}{:016x})", self.0[0], self.0[1])
    }
}

impl fmt::Display for PaymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}

/// Milliseconds since the Unix epoch at 2024-01-01T00:00:00Z, where order numbers start counting.
pub const ORDER_NO_EPOCH_MS: u64 = 1_704_067_200_000;

/// Orders that one slot can number within one millisecond.
pub const ORDER_NO_SEQUENCE_LEN: u64 = 1 << 12;

/// Sequences from here on belong to numbers that are promised before their order is accepted: a quarter of all.
pub const ORDER_NO_PROMISED_FROM: u64 = ORDER_NO_SEQUENCE_LEN / 4 * 3;

/// An order number: `41 bits ms since 2024-01-01 | 10 bits slot | 12 bits sequence`, 63 bits in all.
///
/// Numbers are unique for good. Those of one slot increase within each of two sources: those given when an order is
/// placed, in the order of placing, and those promised beforehand (sequences from [`ORDER_NO_PROMISED_FROM`] on), in the
/// order of the promises. The slot is the member's, so a number alone finds its order actor.
/// JSON shows it as a decimal string, because 63 bits don't fit a double.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderNo(u64);

impl OrderNo {
    /// Puts a number together. `time_ms` counts from [`ORDER_NO_EPOCH_MS`] and has 41 bits (until 2093);
    /// `sequence` is below [`ORDER_NO_SEQUENCE_LEN`]. Higher bits are cut off.
    pub const fn compose(time_ms: u64, slot: Slot, sequence: u64) -> Self {
        Self(
            ((time_ms & ((1 << 41) - 1)) << 22)
                | ((slot.0 as u64) << 12)
                | (sequence & (ORDER_NO_SEQUENCE_LEN - 1)),
        )
    }

    /// An order number from its integer; `None` when bit 63 is set.
    pub const fn from_u64(value: u64) -> Option<Self> {
        if value >> 63 == 0 { Some(Self(value)) } else { None }
    }

    /// The number as an integer, below 2^63.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The slot of the member who placed the order.
    pub const fn slot(self) -> Slot {
        Slot(((self.0 >> 12) & 0x3ff) as u16)
    }

    /// Milliseconds since [`ORDER_NO_EPOCH_MS`]. Not the order's creation time: numbers may run ahead of the clock.
    pub const fn time_ms(self) -> u64 {
        self.0 >> 22
    }

    /// The sequence within slot and millisecond.
    pub const fn sequence(self) -> u64 {
        self.0 & (ORDER_NO_SEQUENCE_LEN - 1)
    }

    /// Whether it comes from the source of promised numbers. Numbers that were given before there were promises may
    /// look as if they did.
    pub(crate) const fn is_promised(self) -> bool {
        self.sequence() >= ORDER_NO_PROMISED_FROM
    }
}

impl fmt::Display for OrderNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A string that is not an order number: not decimal, or not below 2^63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an order number: expected a decimal integer below 2^63")]
pub struct ParseOrderNoError;

impl FromStr for OrderNo {
    type Err = ParseOrderNoError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `u64::from_str` would take a leading plus sign, which no order number is ever shown with.
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseOrderNoError);
        }
        text.parse().ok().and_then(Self::from_u64).ok_or(ParseOrderNoError)
    }
}

/// The pool that units belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Pool {
    /// Everyday stock.
    #[default]
    Normal,
    /// The stock of one seckill session.
    Seckill,
    /// The stock of one group-buy campaign.
    GroupBuy,
    /// The seats of one team; the key's SKU is the team's number.
    Seats,
    /// The total issue of one kind of coupon; the key's SKU is the definition's number.
    Coupons,
}

impl Pool {
    /// The pool with this persisted number.
    pub const fn from_index(index: u8) -> Option<Self> {
        match index {
            0 => Some(Self::Normal),
            1 => Some(Self::Seckill),
            2 => Some(Self::GroupBuy),
            3 => Some(Self::Seats),
            4 => Some(Self::Coupons),
            _ => None,
        }
    }
}

/// The identity of one scarce quantity. Orders collect their lines in ascending order of this key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StockKey {
    /// Which pool the units belong to.
    pub pool: Pool,
    /// The session or campaign; 0 in the normal pool.
    pub activity: ActivityId,
    /// The SKU.
    pub sku: SkuId,
    /// The warehouse; 0 until warehouses exist.
    pub location: LocationId,
}

impl StockKey {
    /// The everyday stock of a SKU.
    pub const fn normal(sku: SkuId) -> Self {
        Self { pool: Pool::Normal, activity: ActivityId(0), sku, location: LocationId(0) }
    }

    /// The seats of a campaign's team.
    pub const fn seats(activity: ActivityId, team: TeamId) -> Self {
        Self { pool: Pool::Seats, activity, sku: SkuId(team.0), location: LocationId(0) }
    }

    /// What may be issued of a kind of coupon.
    pub const fn coupons(terms: CouponTermsId) -> Self {
        Self { pool: Pool::Coupons, activity: ActivityId(0), sku: SkuId(terms.0), location: LocationId(0) }
    }

    /// Folds the key into a record's hash.
    #[must_use]
    pub const fn fold_into(&self, hash: RecordHasher) -> RecordHasher {
        hash.word(self.pool as u64).word(self.activity.0).word(self.sku.0).word(self.location.0 as u64)
    }

    /// The slot that stands for this key wherever work is spread by slot (replay).
    pub fn slot(&self) -> Slot {
        let words = self.sku.0 ^ self.activity.0.rotate_left(32) ^ (u64::from(self.location.0) << 8);
        Slot::of_hash(hash::mix64(words ^ self.pool as u64))
    }
}

impl fmt::Display for StockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pool = match self.pool {
            Pool::Normal => "normal",
            Pool::Seckill => "seckill",
            Pool::GroupBuy => "group_buy",
            Pool::Seats => "seats",
            Pool::Coupons => "coupons",
        };
        write!(f, "{pool}/{}/{}/{}", self.activity, self.sku, self.location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slot_hash_is_frozen() {
        let golden = [(0, 904), (1, 580), (2, 605), (42, 759), (1_000_000, 416), (u64::MAX, 915)];
        let actual = golden.map(|(member, _)| (member, Slot::of_member(MemberId(member)).index()));
        assert_eq!(
            actual, golden,
            "the member-to-slot hash is part of every order number and must never change"
        );
    }

    #[test]
    fn members_spread_evenly_over_slots() {
        let mut counts = vec![0_u32; usize::from(SLOTS)];
        for member in 0..1_024_000 {
            counts[Slot::of_member(MemberId(member)).index()] += 1;
        }
        // 1000 are expected in each; six standard deviations are 190.
        assert!(counts.iter().all(|count| (810..=1190).contains(count)));
    }

    #[test]
    fn an_order_number_gives_back_its_parts() {
        let slot = Slot::from_index(1023).unwrap();
        let number = OrderNo::compose((1 << 41) - 1, slot, 4095);
        assert_eq!((number.time_ms(), number.slot(), number.sequence()), ((1 << 41) - 1, slot, 4095));
        assert_eq!(number.get(), u64::MAX >> 1);
        assert_eq!(number.to_string().parse(), Ok(number));
    }

    #[test]
    fn order_numbers_parse_strictly() {
        for text in ["", "+1", "-1", "1x", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(text.parse::<OrderNo>(), Err(ParseOrderNoError), "{text}");
        }
    }

    #[test]
    fn payment_ids_depend_on_every_part() {
        let id = PaymentId::of("wechat", "m1", "t1");
        assert_ne!(id, PaymentId::of("wechat", "m1t", "1"));
        assert_ne!(id, PaymentId::of("alipay", "m1", "t1"));
        assert_eq!(id, PaymentId::of("wechat", "m1", "t1"));
    }
}
