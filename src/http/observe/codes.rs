//! Counters of refusals by code: a fixed table that codes are entered into when they first occur.
//!
//! Codes are texts of the program, so there are about two hundred of them; nothing that a caller sends becomes one. There
//! is no list of them to be kept up.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Places; a power of two, and more than twice as many as there are codes.
const PLACES: usize = 512;

#[derive(Debug, Default)]
struct Place {
    code: OnceLock<&'static str>,
    count: AtomicU64,
}

/// How often which code was answered. Counting takes no lock.
#[derive(Debug)]
pub struct Codes {
    places: Box<[Place]>,
    /// Counts of what found no place.
    others: AtomicU64,
}

impl Default for Codes {
    fn default() -> Self {
        Self { places: (0..PLACES).map(|_| Place::default()).collect(), others: AtomicU64::new(0) }
    }
}

impl Codes {
    /// Counts one.
    pub fn count(&self, code: &'static str) {
        let first = hash(code);
        let mut places = (0..PLACES).map(|step| &self.places[(first + step) % PLACES]);
        // One code may stand at several addresses, so texts are compared.
        let place = places.find(|place| *place.code.get_or_init(|| code) == code);
        place.map_or(&self.others, |place| &place.count).fetch_add(1, Ordering::Relaxed);
    }

    /// All that occurred, in no order; what found no place is `other`.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let others = self.others.load(Ordering::Relaxed);
        self.places
            .iter()
            .filter_map(|place| place.code.get().map(|code| (*code, place.count.load(Ordering::Relaxed))))
            .chain((others > 0).then_some(("other", others)))
    }
}

/// FNV-1a: codes are short, and nobody can choose them.
fn hash(code: &str) -> usize {
    let mixed = code.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (mixed ^ (mixed >> 32)) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn codes_are_counted_apart_by_all_threads() {
        let codes = Codes::default();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for n in 0..900 {
                        codes.count(["sold_out", "overloaded", "forbidden"][n % 3]);
                    }
                });
            }
        });
        let read: BTreeMap<_, _> = codes.read().collect();
        assert_eq!(read, [("forbidden", 600), ("overloaded", 600), ("sold_out", 600)].into());
    }

    #[test]
    fn more_codes_than_places_are_counted_together() {
        let codes = Codes::default();
        for n in 0..PLACES + 3 {
            codes.count(Box::leak(format!("code_{n}").into_boxed_str()));
        }
        let read: BTreeMap<_, _> = codes.read().collect();
        assert_eq!((read.len(), read["other"], read["code_0"]), (PLACES + 1, 3, 1));
    }
}
