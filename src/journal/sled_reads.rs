//! Reads from a sled database that leave no more in memory than its cache's capacity says.
//!
//! Sled 0.34 divides its cache into 256 parts, each with a queue of accesses, and looks at a part's size only when a block
//! of 64 accesses to it is full (its `lru.rs`). A leaf that is read once stays until 63 other accesses have come to the same
//! part: whoever reads through leaves of 16 pages of 32 KiB keeps 500 MB of them whatever the capacity, and whoever reads
//! leaves at random up to 8 GB. What is put out of the cache then is garbage of the thread that did it, and a thread keeps up
//! to 64 such things until it has more.
//!
//! So the leaf that a read had to fetch is asked for again as often as it takes for its part to look at its size, and the
//! thread hands its garbage on: some 20 µs beside the 100 µs and more that fetching a leaf takes. A leaf that was in memory
//! costs two looks at the clock.

use std::time::Duration;

use crossbeam::epoch;
use sled::IVec;

use crate::runtime::clock::Stopwatch;

/// Accesses that fill a block for certain.
const BLOCK_ACCESSES: usize = 65;
/// What takes at least so long has fetched a leaf, or the processor was given to somebody else, which does no harm. A leaf
/// that is fetched sooner is small.
const FETCH_TIME_MIN: Duration = Duration::from_micros(15);

/// A key and its value.
pub(crate) type Pair = (IVec, IVec);

/// The value of a key.
///
/// # Errors
/// The database's.
pub(crate) fn get(db: &sled::Db, key: &[u8]) -> sled::Result<Option<IVec>> {
    let watch = Stopwatch::start();
    let found = db.get(key);
    count_if_fetched(db, key, watch);
    found
}

/// The next pair of a range, or the next one backwards of a reversed range.
///
/// # Errors
/// The database's.
pub(crate) fn next(
    db: &sled::Db,
    range: &mut impl Iterator<Item = sled::Result<Pair>>,
) -> sled::Result<Option<Pair>> {
    let watch = Stopwatch::start();
    let found = range.next().transpose()?;
    if let Some((key, _value)) = &found {
        count_if_fetched(db, key, watch);
    }
    Ok(found)
}

fn count_if_fetched(db: &sled::Db, key: &[u8], watch: Stopwatch) {
    if watch.elapsed() < FETCH_TIME_MIN {
        return;
    }
    for _ in 0..BLOCK_ACCESSES {
        // The next read finds the same error.
        let _ = db.contains_key(key);
    }
    hand_garbage_on();
}

/// Lets others free what this thread has put out of the cache or replaced: to be called after writes, too, because leaves
/// that are written put others out.
pub(crate) fn hand_garbage_on() {
    epoch::pin().flush();
}
