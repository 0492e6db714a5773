//! The doorbell: decides who wakes an inbox's consumer, in one atomic word.
//!
//! Producers *announce* an item before they push it; whoever raises the count from zero rings. The consumer
//! subtracts what it drained; while something is left it rings itself. So as long as the count is above zero
//! there is exactly one ring on its way or one consumer at work: no wake-up is lost, and none is sent twice.
//!
//! The rejected alternative is a flag that the consumer clears before it drains. It needs a sequentially
//! consistent fence on both sides and still can't say whether an inbox is empty, which closing it depends on.
//!
//! The protocol is apart from the queue so that `tests/models.rs` can check every interleaving of it.

use super::sync::{AtomicU64, Ordering};

/// No more announcements are accepted.
const CLOSED: u64 = 1 << 63;
/// There is nobody to wake yet: announcements only count.
const MUTED: u64 = 1 << 62;
/// The rest of the word: items announced and not yet drained.
const PENDING: u64 = MUTED - 1;

/// What a producer has to do after it announced an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Announce {
    /// Push the item, then ring.
    Ring,
    /// Push the item; somebody else rings.
    Quiet,
    /// Keep the item: the inbox is closed and nothing was announced.
    Closed,
}

/// The count of pending items and whether the inbox is closed. All methods are lock-free; only the one consumer may
/// call [`Doorbell::finish`].
#[derive(Debug)]
pub struct Doorbell {
    state: AtomicU64,
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::muted()
    }
}

impl Doorbell {
    /// An open doorbell that nobody listens to yet: producers are not told to ring before [`Doorbell::unmute`].
    pub fn muted() -> Self {
        Self { state: AtomicU64::new(MUTED) }
    }

    /// Somebody listens from now on. Returns whether the caller must ring, for items announced before.
    ///
    /// Everything that happened before this call is visible to a producer that is told to ring afterwards.
    #[must_use]
    pub fn unmute(&self) -> bool {
        self.state.fetch_and(!MUTED, Ordering::AcqRel) & PENDING > 0
    }

    /// Announces one item, *before* it is pushed. One atomic read-modify-write, a second one when closed.
    pub fn announce(&self) -> Announce {
        let before = self.state.fetch_add(1, Ordering::AcqRel);
        if before & CLOSED != 0 {
            // For a moment the count is too high. That does no harm: a closed doorbell is never told to ring, and
            // the consumer of a closed inbox finds nothing and gives up.
            self.state.fetch_sub(1, Ordering::AcqRel);
            return Announce::Closed;
        }
        if before == 0 { Announce::Ring } else { Announce::Quiet }
    }

    /// The consumer has drained that many items. Returns whether more are pending, so that it must ring itself again.
    ///
    /// `drained` is never above what was announced: an item is announced before the consumer can see it.
    #[must_use]
    pub fn finish(&self, drained: u64) -> bool {
        let before = self.state.fetch_sub(drained, Ordering::AcqRel) & PENDING;
        debug_assert!(before >= drained, "{drained} items drained, {before} announced");
        before > drained
    }

    /// Closes the doorbell if nothing is pending; returns whether it is closed now.
    ///
    /// A producer that races with it either announces first, and it stays open, or is told [`Announce::Closed`].
    pub fn close_if_idle(&self) -> bool {
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            if state & CLOSED != 0 {
                return true;
            }
            if state & PENDING != 0 {
                return false;
            }
            match self.state.compare_exchange_weak(state, state | CLOSED, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return true,
                Err(actual) => state = actual,
            }
        }
    }

    /// Closes the doorbell, whatever is pending: those items were announced and are still to be drained.
    pub fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// Items announced and not yet drained; some of them may not be pushed yet.
    pub fn pending(&self) -> u64 {
        self.state.load(Ordering::Acquire) & PENDING
    }
}
