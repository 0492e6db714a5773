//! Noticing that something goes on no further.

use std::time::{Duration, Instant};

/// Watches something that is looked at again and again.
#[derive(Debug)]
pub(crate) struct Standstill<T> {
    last: Option<T>,
    since: Instant,
}

impl<T: PartialEq> Standstill<T> {
    /// Nothing is seen yet.
    pub(crate) fn new() -> Self {
        Self { last: None, since: Instant::now() }
    }

    /// Takes in how it looks now. Answers for how long it has looked like that.
    pub(crate) fn see(&mut self, seen: T) -> Duration {
        let seen = Some(seen);
        if self.last != seen {
            (self.last, self.since) = (seen, Instant::now());
        }
        self.since.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_goes_on() {
        let mut standstill = Standstill::new();
        standstill.since -= Duration::from_secs(9);
        assert!(standstill.see(1) < Duration::from_secs(9), "the first look is a change");
        standstill.since -= Duration::from_secs(9);
        assert!(standstill.see(1) >= Duration::from_secs(9));
        assert!(standstill.see(2) < Duration::from_secs(9));
    }
}
