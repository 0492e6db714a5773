//! Recent refusals: a small shared table that remembers why requests were refused lately.
//!
//! Refusals are not journaled. But a delayed duplicate of a refused request must not turn "sold out" into "sold"
//! behind its caller's back (R8), so they stick for a while, in bounded memory.

use std::fmt;
use std::num::NonZeroU8;
use std::sync::atomic::{AtomicU64, Ordering};

/// The part of a hash that a cell keeps; the lowest byte holds the code.
const FINGERPRINT: u64 = !0xff;

/// Cells of one set: a cache line.
const SET_LEN: usize = 8;

/// A fixed-size table from hash to code. Each hash belongs to one set of eight cells, which keeps its latest eight
/// refusals: in a table of `len` cells, one is still there after `len / 4` further refusals with a probability of
/// 99.9 %, and after `len` with 45 %.
///
/// **False matches.** The set's number is the lowest bits of the hash and the fingerprint its upper 56, and since there
/// are at least 256 sets the two cover all 64: a match is wrong only if two *whole* hashes are equal. For a look-up in
/// a full set of others, this has a probability of `len / 2^64`: 1 in 2^44 with a million cells.
///
/// **Races.** Two refusals that enter one set at the same instant may lose one entry of it, which is as if it had been
/// pushed out earlier.
///
/// **Cost.** One cache miss and plain atomic accesses; 8 bytes a cell.
pub struct RecentRefusals {
    cells: Box<[AtomicU64]>,
}

impl fmt::Debug for RecentRefusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecentRefusals").field("len", &self.cells.len()).finish()
    }
}

impl RecentRefusals {
    /// An empty table with so many cells.
    ///
    /// # Panics
    /// Unless `len` is a power of two and at least 2048.
    pub fn new(len: usize) -> Self {
        assert!(len.is_power_of_two() && len >= 2048, "{len} cells: a power of two from 2048 on is needed");
        Self { cells: (0..len).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Remembers that the request with this well-mixed hash was refused with `code`.
    pub fn remember(&self, hash: u64, code: NonZeroU8) {
        // Fingerprint and code are one word, so a reader never sees one without the other. Release and acquire, so
        // that whoever recalls a refusal also sees what led to it.
        let set = self.set(hash);
        let mut entering = (hash & FINGERPRINT) | u64::from(code.get());
        for cell in set {
            let pushed_out = cell.load(Ordering::Relaxed);
            cell.store(entering, Ordering::Release);
            // A hash that is there already only moves to the front.
            if pushed_out & FINGERPRINT == hash & FINGERPRINT || pushed_out == 0 {
                return;
            }
            entering = pushed_out;
        }
    }

    /// The code that this request was refused with, if that is remembered.
    pub fn recall(&self, hash: u64) -> Option<NonZeroU8> {
        let mut cells = self.set(hash).iter().map(|cell| cell.load(Ordering::Acquire));
        // An empty cell has code 0, also for a hash whose fingerprint is 0.
        cells
            .find(|cell| cell & FINGERPRINT == hash & FINGERPRINT)
            .and_then(|cell| NonZeroU8::new(cell as u8))
    }

    fn set(&self, hash: u64) -> &[AtomicU64] {
        let sets = self.cells.len() / SET_LEN;
        let first = (hash as usize & (sets - 1)) * SET_LEN;
        &self.cells[first..first + SET_LEN]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::hash::mix64;

    fn code(code: u8) -> NonZeroU8 {
        NonZeroU8::new(code).unwrap()
    }

    #[test]
    fn recalls_what_it_was_told_and_nothing_else() {
        let recent = RecentRefusals::new(2048);
        assert_eq!(recent.recall(0), None);
        recent.remember(0, code(9));
        assert_eq!(recent.recall(0), Some(code(9)));
        assert_eq!(recent.recall(1 << 8), None, "same set, another fingerprint");
        recent.remember(0, code(255));
        assert_eq!(recent.recall(0), Some(code(255)));
    }

    #[test]
    fn a_set_keeps_its_latest_eight() {
        let recent = RecentRefusals::new(2048);
        for nth in 1..=9 {
            recent.remember((nth << 8) | 7, code(nth as u8));
        }
        assert_eq!(recent.recall((1 << 8) | 7), None);
        for nth in 2..=9 {
            assert_eq!(recent.recall((nth << 8) | 7), Some(code(nth as u8)));
        }
        // Remembered again, the oldest becomes the newest.
        recent.remember((2 << 8) | 7, code(2));
        recent.remember((10 << 8) | 7, code(10));
        assert_eq!((recent.recall((2 << 8) | 7), recent.recall((3 << 8) | 7)), (Some(code(2)), None));
    }

    #[test]
    fn forgets_at_the_documented_rate() {
        let kept_after = |further: u64| {
            let recent = RecentRefusals::new(1 << 14);
            for value in 0..(1 << 14) + further {
                recent.remember(mix64(value), code(1));
            }
            let last = (1 << 14) - 1000..1 << 14;
            last.filter(|value| recent.recall(mix64(*value)).is_some()).count()
        };
        // Poisson: fewer than eight of n/8 expected arrivals in its set keep an entry.
        assert!(kept_after((1 << 14) / 4) >= 990);
        assert!((350..550).contains(&kept_after(1 << 14)));
    }
}
