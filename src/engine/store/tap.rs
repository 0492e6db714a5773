//! What a checkpoint took in, handed on to whoever makes something else of the same orders: the search index.
//!
//! The orders are at hand then, encoded and without a further look-up. Nobody waits for the follower: what it has no room
//! for is dropped, and it sees by the positions that there is a gap, which it fills from journal and store.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::actors::order::gather::{Gathered, GatheredLimit, GatheredOrder};
use crate::domain::ids::Position;

/// What waits for the follower, in bytes.
const TAP_BYTES_MAX: usize = 64 << 20;

/// The orders that one checkpoint touched, or several that follow one another.
#[derive(Debug)]
pub(crate) struct Touched {
    /// The position of the checkpoint before.
    pub(crate) from: Position,
    /// Its own, or the last one's.
    pub(crate) up_to: Position,
    /// The orders, as they were then or later. Those of a later checkpoint come later.
    pub(crate) gathered: Vec<Gathered>,
}

impl Touched {
    fn bytes(&self) -> usize {
        let of = |gathered: &Gathered| {
            gathered.bytes.capacity()
                + gathered.orders.capacity() * mem::size_of::<GatheredOrder>()
                + gathered.limits.capacity() * mem::size_of::<GatheredLimit>()
        };
        self.gathered.iter().map(of).sum()
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Touched>,
    bytes: usize,
}

/// Between the store's projector and its follower.
#[derive(Default)]
pub(crate) struct Tap {
    is_open: AtomicBool,
    queue: Mutex<Queue>,
    wake: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl Tap {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whom to wake, once.
    pub(crate) fn connect(&self, wake: Box<dyn Fn() + Send + Sync>) {
        // A second follower would take away from the first.
        let _ = self.wake.set(wake);
    }

    /// Whether anybody follows.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Begins to keep what is offered, or ends it and lets go of what waits.
    pub(crate) fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Release);
        if !is_open {
            *self.queue() = Queue::default();
        }
    }

    /// Hands a checkpoint's orders on, unless there is no room. The follower is woken in any case.
    pub(crate) fn offer(&self, touched: Touched) {
        if !self.is_open() {
            return;
        }
        let bytes = touched.bytes();
        {
            let mut queue = self.queue();
            if queue.bytes + bytes <= TAP_BYTES_MAX {
                queue.bytes += bytes;
                queue.waiting.push_back(touched);
            }
        }
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    /// All that waits without a gap, from the oldest on: whoever is behind has to do with an order only once.
    pub(crate) fn pop(&self) -> Option<Touched> {
        let mut queue = self.queue();
        let mut touched = queue.waiting.pop_front()?;
        while queue.waiting.front().is_some_and(|next| next.from == touched.up_to)
            && let Some(next) = queue.waiting.pop_front()
        {
            touched.up_to = next.up_to;
            touched.gathered.extend(next.gathered);
        }
        queue.bytes = queue.bytes.saturating_sub(touched.bytes());
        Some(touched)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn touched(from: u64, bytes: usize) -> Touched {
        let gathered = Gathered { bytes: Vec::with_capacity(bytes), ..Gathered::default() };
        Touched { from: Position(from), up_to: Position(from + 1), gathered: vec![gathered] }
    }

    #[test]
    fn r12_what_waits_is_bounded_in_bytes_and_the_follower_is_woken_all_the_same() {
        let tap = Tap::default();
        let woken = Arc::new(AtomicUsize::new(0));
        let wake = Arc::clone(&woken);
        tap.connect(Box::new(move || {
            wake.fetch_add(1, Ordering::Relaxed);
        }));
        tap.offer(touched(0, 10));
        assert!(tap.pop().is_none() && woken.load(Ordering::Relaxed) == 0, "nobody follows yet");
        tap.set_open(true);
        for from in 0..10 {
            tap.offer(touched(from, TAP_BYTES_MAX / 4));
        }
        let kept = tap.pop().unwrap();
        assert_eq!((kept.from, kept.up_to, kept.gathered.len()), (Position(0), Position(4), 4));
        assert!(tap.pop().is_none() && woken.load(Ordering::Relaxed) == 10);
        tap.offer(touched(10, TAP_BYTES_MAX));
        assert_eq!(tap.pop().map(|touched| touched.from), Some(Position(10)), "room is given back");
        for from in [11, 12, 14] {
            tap.offer(touched(from, 1));
        }
        let ends = || tap.pop().map(|touched| (touched.from.0, touched.up_to.0, touched.gathered.len()));
        assert_eq!((ends(), ends(), ends()), (Some((11, 13, 2)), Some((14, 15, 1)), None), "up to a gap");
        tap.offer(touched(15, 1));
        tap.set_open(false);
        assert!(tap.pop().is_none());
    }
}
