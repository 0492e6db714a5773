//! How many requests are under way at a time.
//!
//! Past a point more requests at a time only make each of them slower, until all are too late. So beyond a bound they
//! are refused at once. What must get through in an overload has a reserve of its own: callbacks bring money, health
//! and administration are how somebody finds out and helps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a request is, as far as load control is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Anything of members and of the shop's servers.
    Ordinary,
    /// Callbacks of payment providers, health, metrics, administration: may use the reserve.
    Vital,
}

/// No room for another request: nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{in_flight_max} requests are under way, as many as may be; try again")]
pub struct Full {
    /// The bound that was reached.
    pub in_flight_max: usize,
}

impl Full {
    /// When to try again, in ms: requests end within moments.
    pub const RETRY_AFTER_MS: u64 = 1_000;
}

#[derive(Debug, Default)]
struct Counts {
    ordinary: AtomicUsize,
    reserved: AtomicUsize,
    ordinary_max: AtomicUsize,
    reserved_max: AtomicUsize,
}

/// Counts requests under way and bounds them; shared by all clones.
#[derive(Clone, Debug)]
pub struct InFlight {
    counts: Arc<Counts>,
}

impl InFlight {
    /// At most `in_flight_max` requests of any class, and `reserve` more that are vital.
    pub fn new(in_flight_max: usize, reserve: usize) -> Self {
        let this = Self { counts: Arc::default() };
        this.replace(in_flight_max, reserve);
        this
    }

    /// Sets other bounds. Requests under way go on; where they are more than that now, none begins until they are fewer.
    pub fn replace(&self, in_flight_max: usize, reserve: usize) {
        self.counts.ordinary_max.store(in_flight_max, Ordering::Relaxed);
        self.counts.reserved_max.store(reserve, Ordering::Relaxed);
    }

    /// Requests under way: those that count towards `in_flight_max`, and those in the reserve.
    pub fn now(&self) -> (usize, usize) {
        (self.counts.ordinary.load(Ordering::Relaxed), self.counts.reserved.load(Ordering::Relaxed))
    }

    /// Lets a request begin. It is under way until the permit is dropped.
    ///
    /// # Errors
    /// There is no room; for a vital one, not in the reserve either.
    pub fn enter(&self, class: Class) -> Result<Permit, Full> {
        let Counts { ordinary, reserved, ordinary_max, reserved_max } = &*self.counts;
        let permit = |reserved| Permit { counts: self.counts.clone(), reserved };
        if take(ordinary, ordinary_max) {
            Ok(permit(false))
        } else if class == Class::Vital && take(reserved, reserved_max) {
            Ok(permit(true))
        } else {
            Err(Full { in_flight_max: ordinary_max.load(Ordering::Relaxed) })
        }
    }
}

/// Counts one more unless the bound is reached.
fn take(count: &AtomicUsize, max: &AtomicUsize) -> bool {
    let max = max.load(Ordering::Relaxed);
    let more = |now: usize| (now < max).then_some(now + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// A request that is under way.
#[derive(Debug)]
#[must_use = "the request is under way only as long as its permit lives"]
pub struct Permit {
    counts: Arc<Counts>,
    reserved: bool,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let count = if self.reserved { &self.counts.reserved } else { &self.counts.ordinary };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overload_leaves_a_reserve_for_what_is_vital() {
        let in_flight = InFlight::new(2, 1);
        let ordinary = [Class::Ordinary; 2].map(|class| in_flight.enter(class).unwrap());
        assert_eq!(in_flight.enter(Class::Ordinary).unwrap_err(), Full { in_flight_max: 2 });
        let vital = in_flight.enter(Class::Vital).unwrap();
        assert!(in_flight.enter(Class::Vital).is_err(), "the reserve is bounded as well");
        assert_eq!(in_flight.now(), (2, 1));
        drop(ordinary);
        assert_eq!(in_flight.now(), (0, 1));
        let _again = in_flight.enter(Class::Vital).unwrap();
        assert_eq!(in_flight.now(), (1, 1), "the reserve is for when there is nothing else");
        drop(vital);
        assert_eq!(in_flight.now(), (1, 0));
    }

    #[test]
    fn other_bounds_hold_at_once() {
        let in_flight = InFlight::new(2, 0);
        let first = in_flight.enter(Class::Ordinary).unwrap();
        let second = in_flight.enter(Class::Ordinary).unwrap();
        in_flight.replace(1, 0);
        drop(first);
        assert!(in_flight.enter(Class::Ordinary).is_err());
        drop(second);
        assert!(in_flight.enter(Class::Ordinary).is_ok());
        in_flight.replace(2, 0);
        let _two = [(); 2].map(|()| in_flight.enter(Class::Ordinary).unwrap());
    }
}
