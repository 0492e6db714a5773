//! Used tickets: which request has used which nonce, until the ticket expires.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::format::NONCE_BYTES;
use crate::domain::ids::RequestId;

/// Expired entries that one call drops at most, so that no request waits for a crowd's expiry. More than the one that a
/// call adds, so that the table shrinks under load too.
const DROPPED_PER_CALL: usize = 64;
/// Width of a bucket of expiries, in ms.
const BUCKET_MS: u64 = 1_000;

type Nonce = [u8; NONCE_BYTES];

/// Why a ticket can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UseError {
    /// Another request has used it.
    ByAnother,
    /// The table is full of tickets that have not expired.
    Full,
}

/// A table from nonce to the request that used it. Bounded by what its caller says; it never forgets before a ticket has
/// expired, and may remember for some seconds longer.
#[derive(Default)]
pub(super) struct UsedTickets(Mutex<Table>);

#[derive(Default)]
struct Table {
    requests: HashMap<Nonce, RequestId>,
    /// Nonces by the end of the second that they expire in. With lives of at most a week these are few thousand buckets.
    expiries: BTreeMap<u64, Vec<Nonce>>,
}

impl fmt::Debug for UsedTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsedTickets").field("len", &self.len()).finish()
    }
}

impl UsedTickets {
    /// Uses a nonce up for a request, or finds that it has used it before.
    pub(super) fn enter(
        &self,
        nonce: Nonce,
        request: RequestId,
        expires_ms: u64,
        now_ms: u64,
        len_max: usize,
    ) -> Result<(), UseError> {
        let mut table = self.table();
        table.drop_expired(now_ms);
        match table.requests.get(&nonce) {
            Some(by) if *by == request => return Ok(()),
            Some(_) => return Err(UseError::ByAnother),
            None if table.requests.len() >= len_max => return Err(UseError::Full),
            None => {}
        }
        table.requests.insert(nonce, request);
        table.expiries.entry(expires_ms / BUCKET_MS + 1).or_default().push(nonce);
        Ok(())
    }

    /// How many are remembered.
    pub(super) fn len(&self) -> usize {
        self.table().requests.len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn drop_expired(&mut self, now_ms: u64) {
        for _ in 0..DROPPED_PER_CALL {
            let Some(mut bucket) = self.expiries.first_entry() else { return };
            // The whole second is over, so every ticket in it has expired.
            if *bucket.key() > now_ms / BUCKET_MS {
                return;
            }
            let nonce = bucket.get_mut().pop();
            if bucket.get().is_empty() {
                bucket.remove();
            }
            if let Some(nonce) = nonce {
                self.requests.remove(&nonce);
            }
        }
    }
}
