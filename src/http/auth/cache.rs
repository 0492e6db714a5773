//! Verified tokens, remembered: a bounded table, so that a signature is verified once for each token.
//!
//! It belongs to one set of keys; whoever changes the keys begins with an empty table. It never gives a principal for a
//! token that it hasn't been given, byte for byte, and never one whose time is over.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::principal::Principal;
use super::tokens::{AuthError, Validity};

/// Entries of one set.
const SET_LEN: usize = 8;
/// Longest token that is remembered, in bytes; a token of a 4096-bit key has about 1,000. Longer ones are verified each
/// time, so that a full table of the default size has 16 MiB at most.
const CACHED_BYTES_MAX: usize = 2_048;

struct Entry {
    hash: u64,
    token: Box<str>,
    principal: Principal,
    validity: Validity,
}

/// A table of sets of eight. Each token belongs to one set by its keyed hash, which keeps the latest eight.
pub(super) struct Cache {
    sets: Box<[Mutex<Vec<Entry>>]>,
    state: RandomState,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("len_max", &(self.sets.len() * SET_LEN)).finish_non_exhaustive()
    }
}

impl Cache {
    /// An empty table for so many tokens, rounded down to whole sets of eight.
    pub(super) fn new(len_max: usize) -> Self {
        let sets = (0..len_max / SET_LEN).map(|_| Mutex::new(Vec::new())).collect();
        Self { sets, state: RandomState::new() }
    }

    /// Who a remembered token speaks for. `None` if it isn't remembered.
    ///
    /// # Errors
    /// [`AuthError::Expired`], and the token is forgotten; [`AuthError::NotYetValid`] if the clock went back.
    pub(super) fn find(
        &self,
        token: &str,
        now_ms: u64,
        leeway_ms: u64,
    ) -> Result<Option<Principal>, AuthError> {
        let hash = self.state.hash_one(token);
        let Some(mut set) = self.set(hash) else { return Ok(None) };
        // The whole token is compared, since a hash can be met twice. Comparing takes longer for a longer common
        // beginning, but only once the keyed hash is met: nobody can guess a token byte by byte that way.
        let Some(at) = set.iter().position(|entry| entry.hash == hash && *entry.token == *token) else {
            return Ok(None);
        };
        match set[at].validity.check(now_ms, leeway_ms) {
            Ok(()) => Ok(Some(set[at].principal.clone())),
            Err(error) => {
                set.remove(at);
                Err(error)
            }
        }
    }

    /// Remembers a token that was verified, in place of one that has expired, or of the set's oldest.
    pub(super) fn insert(
        &self,
        token: &str,
        principal: &Principal,
        validity: Validity,
        now_ms: u64,
        leeway_ms: u64,
    ) {
        if token.len() > CACHED_BYTES_MAX {
            return;
        }
        let hash = self.state.hash_one(token);
        let Some(mut set) = self.set(hash) else { return };
        // Two callers may have verified one token at the same time.
        set.retain(|entry| {
            let is_same = entry.hash == hash && *entry.token == *token;
            let is_over = entry.validity.is_over(now_ms, leeway_ms);
            !(is_same || is_over)
        });
        if set.len() >= SET_LEN {
            set.remove(0);
        }
        set.push(Entry { hash, token: token.into(), principal: principal.clone(), validity });
    }

    fn set(&self, hash: u64) -> Option<MutexGuard<'_, Vec<Entry>>> {
        let set = (u128::from(hash) * self.sets.len() as u128) >> 64;
        // A set is whole between any two of its changes, so one whose holder panicked is as good as any.
        self.sets.get(set as usize).map(|set| set.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.sets.iter().map(|set| set.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }
}
