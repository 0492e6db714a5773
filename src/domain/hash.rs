//! The frozen hashes: everything here is persisted or part of an order number, so it must never change.
//! In-memory tables use other, seeded hashes.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13 as Sip128};

/// Mixes 64 bits so that each input bit changes about half of the output bits: the finalizer of
/// splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
pub const fn mix64(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Kinds of records in the state hash, for [`RecordHasher::new`]. None may change: the hash of a state stays what it was,
/// and sums over orders and payments are persisted.
///
/// Two pairs came to share a number, each kind made without a look at the other. They stay so: another number would change
/// the hash of every state that has such records, and the shared one costs little. Two records would have to agree in
/// every word behind it to hash alike, and what those words mean and how many there are differs. A new kind takes a number
/// that no other has.
pub(crate) mod kinds {
    /// A SKU.
    pub(crate) const SKU: u64 = 1;
    /// Counters of a stock key.
    pub(crate) const STOCK: u64 = 2;
    /// An order.
    pub(crate) const ORDER: u64 = 3;
    /// A member's use of a purchase limit.
    pub(crate) const LIMIT: u64 = 4;
    /// A payment.
    pub(crate) const PAYMENT: u64 = 5;
    /// A member's use of a purchase limit, by orders of another system.
    pub(crate) const LIMIT_ELSEWHERE: u64 = 6;
    /// A refund of money that came for no order.
    pub(crate) const UNMATCHED_REFUND: u64 = 7;
    /// A setting; the same as [`UNMATCHED_REFUND`].
    pub(crate) const SETTING: u64 = 7;
    /// A team.
    pub(crate) const TEAM: u64 = 8;
    /// A member's coupon.
    pub(crate) const COUPON: u64 = 20;
    /// A task of the delay queue; the same as [`COUPON`].
    pub(crate) const TASK: u64 = 20;
}

/// SipHash-1-3 with 128 bits of output and the zero key.
pub fn hash128(bytes: &[u8]) -> u128 {
    let mut hasher = Sip128::new();
    hasher.write(bytes);
    hasher.finish128().as_u128()
}

/// Hashes one record for the state hash and request bodies: words are folded in one by one, in a fixed order.
///
/// Not keyed and not cryptographic: it detects differences, it doesn't withstand somebody who makes them up.
#[derive(Clone, Copy, Debug)]
pub struct RecordHasher(u64);

impl RecordHasher {
    /// Starts a record of the given kind, so that equal words in records of two kinds hash apart.
    pub const fn new(kind: u64) -> Self {
        Self(mix64(kind))
    }

    /// Folds in one word.
    #[must_use]
    pub const fn word(self, value: u64) -> Self {
        // Multiply-rotate keeps the order of words significant; the mixing makes each word count fully.
        Self(mix64(self.0.rotate_left(23) ^ value).wrapping_mul(0xff51_afd7_ed55_8ccd))
    }

    /// Folds in a byte string with its length.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut hash = self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = hash.word(u64::from_le_bytes(word));
        }
        hash
    }

    /// Folds in an optional byte string; absent and empty differ.
    #[must_use]
    pub fn optional_bytes(self, bytes: Option<&[u8]>) -> Self {
        match bytes {
            None => self.word(0),
            Some(bytes) => self.word(1).bytes(bytes),
        }
    }

    /// The record's hash.
    pub const fn finish(self) -> u64 {
        mix64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frozen_hashes_keep_their_golden_values() {
        // splitmix64 seeded with 0 yields this as its first output (the reference implementation's value).
        assert_eq!(mix64(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(hash128(b""), 0xb91c_5ed0_31fb_3303_2134_935d_61d9_b40d);
        assert_eq!(hash128(b"stockade"), 0x5f23_8426_7f71_525b_21af_ea5e_c276_4c7d);
        assert_eq!(RecordHasher::new(1).word(2).bytes(b"three").finish(), 0x8c28_4958_3a57_3de2);
    }

    #[test]
    fn word_order_and_absence_are_significant() {
        let hash = |words: [u64; 2]| RecordHasher::new(1).word(words[0]).word(words[1]).finish();
        assert_ne!(hash([1, 2]), hash([2, 1]));
        let optional = |bytes| RecordHasher::new(1).optional_bytes(bytes).finish();
        assert_ne!(optional(None), optional(Some(b"")));
    }
}
