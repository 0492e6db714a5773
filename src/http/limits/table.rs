//! The bounded table of token buckets.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;

/// Buckets of one set: a key may be in any of them.
const WAYS: usize = 8;

/// A bucket: whose it is, and when it will be full again.
#[derive(Clone, Copy, Default)]
struct Bucket {
    /// A keyed hash; two keys share a bucket once in 2^64 pairs.
    owner: u64,
    full_at: Option<Nanos>,
}

type Set = Mutex<[Bucket; WAYS]>;

/// A set-associative table of a fixed size: a key's hash says which set of eight buckets is its own.
///
/// A key without a bucket takes the one of its set that is full again soonest, *as it is*: if that bucket is full, as it
/// mostly is, nobody loses anything; if it isn't, the newcomer inherits what was spent. So the table never grows, and
/// new keys can't mint tokens: through a set go at most eight times the quota, through the table at most the quota
/// times its size, whoever asks. The price is that, in a flood of more active keys than buckets, newcomers are
/// limited together. The hash is keyed anew for each table, so nobody can choose whose set to crowd.
pub(super) struct Table {
    sets: Box<[Set]>,
    hasher: RandomState,
}

impl Table {
    /// A table of at least `len_min` buckets.
    pub(super) fn new(len_min: usize) -> Self {
        let sets = Self::len_of(len_min) / WAYS;
        Self { sets: (0..sets).map(|_| Set::default()).collect(), hasher: RandomState::new() }
    }

    /// Buckets of a table that has at least so many.
    pub(super) fn len_of(len_min: usize) -> usize {
        len_min.max(1).next_multiple_of(WAYS)
    }
}

impl StateStore for Table {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, key: &u128, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let owner = self.hasher.hash_one(key);
        // The product's upper half spreads over any number of sets; it fits, being below their number.
        let index = ((u128::from(owner) * self.sets.len() as u128) >> 64) as usize;
        let mut set = self.sets[index].lock().unwrap_or_else(PoisonError::into_inner);
        let own = set.iter().position(|bucket| bucket.full_at.is_some() && bucket.owner == owner);
        let oldest = || (0..WAYS).min_by_key(|way| set[*way].full_at).unwrap_or(0);
        let way = own.unwrap_or_else(oldest);
        let (answer, full_at) = f(set[way].full_at)?;
        set[way] = Bucket { owner, full_at: Some(full_at) };
        Ok(answer)
    }
}
