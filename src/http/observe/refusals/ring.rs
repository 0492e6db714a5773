//! A ring that many write at once: the latest entries, each behind a lock of its own.
//!
//! A writer takes a number, which nobody else has, and with it a place. It waits only for a reader who looks at that very
//! place, or for a writer who was overtaken by a whole round. Rejected: one lock for a queue, for which all cores would
//! stand in line in the moment when everything is sold out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An entry with its number.
type Numbered<T> = Option<(u64, T)>;

/// The latest entries.
#[derive(Debug)]
pub(super) struct Ring<T> {
    places: Box<[Mutex<Numbered<T>>]>,
    next: AtomicU64,
}

impl<T: Clone> Ring<T> {
    /// Keeps so many, at least one.
    pub(super) fn new(len: usize) -> Self {
        Self { places: (0..len.max(1)).map(|_| Mutex::default()).collect(), next: AtomicU64::new(0) }
    }

    /// Puts an entry in the place of the oldest.
    pub(super) fn push(&self, entry: T) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut place = self.place(number);
        // Whoever was overtaken by a whole round brings an entry that is out of date.
        if place.as_ref().is_none_or(|(there, _)| *there < number) {
            let older = place.replace((number, entry));
            // What is freed is freed after the lock.
            drop(place);
            drop(older);
        }
    }

    /// The latest `len_max` that a test lets through, latest first.
    pub(super) fn latest(&self, len_max: usize, lets: impl Fn(&T) -> bool) -> Vec<T> {
        let next = self.next.load(Ordering::Relaxed);
        let numbers = (next.saturating_sub(self.places.len() as u64)..next).rev();
        let entries = numbers.filter_map(|number| {
            let place = self.place(number);
            // It may have been written over since, or not be written yet.
            place
                .as_ref()
                .filter(|(there, entry)| *there == number && lets(entry))
                .map(|(_, entry)| entry.clone())
        });
        entries.take(len_max).collect()
    }

    /// How many were pushed.
    pub(super) fn total(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    fn place(&self, number: u64) -> MutexGuard<'_, Numbered<T>> {
        let place = &self.places[(number % self.places.len() as u64) as usize];
        // An entry is replaced whole, also by somebody who panics.
        place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_stay_and_no_more() {
        let ring = Ring::new(3);
        assert_eq!(ring.latest(9, |_| true), [0; 0]);
        for entry in 0..10 {
            ring.push(entry);
        }
        assert_eq!(ring.latest(9, |_| true), [9, 8, 7]);
        assert_eq!(ring.latest(1, |entry| entry % 2 == 0), [8]);
        assert_eq!((ring.places.len(), ring.total()), (3, 10));
    }

    #[test]
    fn what_several_threads_push_is_there() {
        let ring = Ring::new(64);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let ring = &ring;
                scope.spawn(move || (0..1_000).for_each(|n| ring.push(thread * 1_000 + n)));
            }
        });
        let latest = ring.latest(100, |_| true);
        assert_eq!(latest.len(), 64);
        for thread in 0..4 {
            let own: Vec<_> = latest.iter().filter(|entry| **entry / 1_000 == thread).collect();
            assert!(own.is_sorted_by(|a, b| a > b), "latest first: {own:?}");
        }
    }
}
