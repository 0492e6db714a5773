//! How many lines the log gets in a second: a storm of refusals must not become a storm of writes.

use std::sync::atomic::{AtomicU64, Ordering};

/// So many in each second, and a count of those beyond.
#[derive(Debug)]
pub struct Budget {
    per_s_max: u32,
    /// The second, and how many of it are spent: 32 bits each.
    spent: AtomicU64,
    withheld: AtomicU64,
}

impl Budget {
    /// At most `per_s_max` in each second.
    pub const fn new(per_s_max: u32) -> Self {
        Self { per_s_max, spent: AtomicU64::new(0), withheld: AtomicU64::new(0) }
    }

    /// Whether one more fits into this second.
    pub fn take(&self, now_ms: u64) -> bool {
        let second = (now_ms / 1_000) << 32;
        let taken = self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| {
            // Whoever comes with a second that is over counts into the one that isn't.
            let spent = spent.max(second);
            ((spent as u32) < self.per_s_max).then_some(spent + 1)
        });
        if taken.is_err() {
            self.withheld.fetch_add(1, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    /// How many did not fit.
    pub fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_bound_and_the_next_one_its_own() {
        let budget = Budget::new(2);
        let taken: Vec<_> = [5_000, 5_999, 5_999, 4_000, 6_000].map(|now_ms| budget.take(now_ms)).into();
        assert_eq!(taken, [true, true, false, false, true]);
        assert_eq!(budget.withheld(), 2);
        assert!(!Budget::new(0).take(9_000));
    }
}
