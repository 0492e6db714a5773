//! How far a connection has come, and by when its client must go on.
//!
//! The parts of a connection note here what happens; [`connection`](super::connection) asks for the next deadline after
//! each of its steps. Waits for the client count, never those for the engine: a handler may take what time it needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;

use super::ServerLimits;
use crate::runtime::clock::Clock;

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It stayed without a request for `idle_timeout_ms`: the ordinary end of a kept-alive connection.
    Idle,
    /// The head of a request took longer than `header_timeout_ms`.
    SlowHead,
    /// The body of a request stood still for `idle_timeout_ms`, or took longer than `request_timeout_ms`.
    SlowBody,
    /// The client didn't read its answer: not at all for `idle_timeout_ms`, or not within `request_timeout_ms`.
    SlowReader,
}

impl Cut {
    /// All reasons, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Idle, Self::SlowHead, Self::SlowBody, Self::SlowReader];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::SlowHead => "slow_head",
            Self::SlowBody => "slow_body",
            Self::SlowReader => "slow_reader",
        }
    }
}

/// Nothing of the next request has come.
const IDLE: u8 = 0;
/// Its head is on its way.
const HEAD: u8 = 1;
/// It is with its handler; its body may still be on its way.
const SERVING: u8 = 2;
/// Its answer is on its way.
const ANSWERING: u8 = 3;
/// Its answer is complete, and perhaps not written.
const ANSWERED: u8 = 4;

/// "Not waiting", where a time is expected.
const NEVER: u64 = u64::MAX;

/// The pace of one connection. An extension of every request, so that a handler can say that it streams.
#[derive(Clone, Debug)]
pub struct Pace {
    shared: Arc<Shared>,
}

/// One task writes most of this, and handlers that read bodies in tasks of their own the rest; every value stands for
/// itself, so relaxed accesses suffice.
#[derive(Debug)]
struct Shared {
    clock: Clock,
    limits: ServerLimits,
    phase: AtomicU8,
    /// When the phase began.
    since_ms: AtomicU64,
    /// When the head of the request was complete.
    headed_ms: AtomicU64,
    /// When the last bytes came.
    read_ms: AtomicU64,
    /// Since when the handler waits for more of the body.
    body_wait_ms: AtomicU64,
    /// Since when the client has not taken a byte that is there for it.
    write_wait_ms: AtomicU64,
    streams: AtomicBool,
}

impl Pace {
    /// That of a connection just accepted: its first head is due.
    pub(super) fn new(clock: Clock, limits: ServerLimits) -> Self {
        let shared = Shared {
            clock,
            limits,
            phase: AtomicU8::new(HEAD),
            since_ms: AtomicU64::new(0),
            headed_ms: AtomicU64::new(0),
            read_ms: AtomicU64::new(0),
            body_wait_ms: AtomicU64::new(NEVER),
            write_wait_ms: AtomicU64::new(NEVER),
            streams: AtomicBool::new(false),
        };
        let pace = Self { shared: Arc::new(shared) };
        pace.enter(HEAD);
        pace
    }

    /// Says that the request and its answer are streams: `request_timeout_ms` no longer holds for them, while
    /// `idle_timeout_ms` does. Holds until the request's answer is complete.
    pub fn stream(&self) {
        self.shared.streams.store(true, Ordering::Relaxed);
    }

    /// Milliseconds since the server began, by the monotonic clock.
    pub(super) fn now_ms(&self) -> u64 {
        self.shared.clock.monotonic_ns() / 1_000_000
    }

    fn enter(&self, phase: u8) {
        self.shared.since_ms.store(self.now_ms(), Ordering::Relaxed);
        self.shared.phase.store(phase, Ordering::Relaxed);
    }

    fn phase(&self) -> u8 {
        self.shared.phase.load(Ordering::Relaxed)
    }

    /// Bytes came from the client.
    pub(super) fn has_read(&self) {
        self.shared.read_ms.store(self.now_ms(), Ordering::Relaxed);
        if self.phase() == IDLE {
            self.enter(HEAD);
        }
    }

    /// The client took bytes.
    pub(super) fn has_written(&self) {
        self.shared.write_wait_ms.store(NEVER, Ordering::Relaxed);
    }

    /// The client takes no bytes just now.
    pub(super) fn waits_to_write(&self) {
        wait_from(&self.shared.write_wait_ms, self.now_ms());
    }

    /// Everything that was there to write is written.
    pub(super) fn has_flushed(&self) {
        self.has_written();
        if self.phase() == ANSWERED {
            self.shared.streams.store(false, Ordering::Relaxed);
            self.enter(IDLE);
        }
    }

    /// The head of a request is complete: it goes to its handler.
    pub(super) fn has_head(&self) {
        self.shared.body_wait_ms.store(NEVER, Ordering::Relaxed);
        self.shared.streams.store(false, Ordering::Relaxed);
        self.shared.headed_ms.store(self.now_ms(), Ordering::Relaxed);
        self.enter(SERVING);
    }

    /// The handler waits for the body, or no longer.
    pub(super) fn waits_for_body(&self, waits: bool) {
        if waits {
            wait_from(&self.shared.body_wait_ms, self.now_ms());
        } else {
            self.shared.body_wait_ms.store(NEVER, Ordering::Relaxed);
        }
    }

    /// The handler has its answer; its body follows.
    pub(super) fn has_answer(&self) {
        self.enter(ANSWERING);
    }

    /// The answer's body is complete. What is left of it in buffers is written before the next request is read.
    pub(super) fn has_whole_answer(&self) {
        if self.phase() == ANSWERING {
            self.shared.phase.store(ANSWERED, Ordering::Relaxed);
        }
    }

    /// When the connection is to be cut unless its client goes on, by [`Pace::now_ms`], and why.
    pub(super) fn deadline(&self) -> Option<(u64, Cut)> {
        let Shared { limits, .. } = &*self.shared;
        let load = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let since_ms = load(&self.shared.since_ms);
        let phase = self.phase();
        match phase {
            IDLE => return Some((since_ms.saturating_add(limits.idle_timeout_ms), Cut::Idle)),
            HEAD => return Some((since_ms.saturating_add(limits.header_timeout_ms), Cut::SlowHead)),
            _ => {}
        }
        let streams = self.shared.streams.load(Ordering::Relaxed);
        let whole = |from_ms: u64| {
            if streams { NEVER } else { from_ms.saturating_add(limits.request_timeout_ms) }
        };
        let mut next: Option<(u64, Cut)> = None;
        let mut at = |at_ms: u64, cut| {
            if next.is_none_or(|(earliest_ms, _)| at_ms < earliest_ms) {
                next = Some((at_ms, cut));
            }
        };
        let body_wait_ms = load(&self.shared.body_wait_ms);
        if body_wait_ms != NEVER {
            let from_ms = body_wait_ms.max(load(&self.shared.read_ms));
            at(from_ms.saturating_add(limits.idle_timeout_ms), Cut::SlowBody);
            at(whole(load(&self.shared.headed_ms)), Cut::SlowBody);
        }
        let write_wait_ms = load(&self.shared.write_wait_ms);
        if write_wait_ms != NEVER {
            at(write_wait_ms.saturating_add(limits.idle_timeout_ms), Cut::SlowReader);
            if phase != SERVING {
                at(whole(since_ms), Cut::SlowReader);
            }
        }
        next
    }
}

/// Begins a wait unless it has begun.
fn wait_from(wait_ms: &AtomicU64, now_ms: u64) {
    // An error says that it has begun.
    let _ = wait_ms.compare_exchange(NEVER, now_ms, Ordering::Relaxed, Ordering::Relaxed);
}

/// Middleware for routes that stream: calls [`Pace::stream`] before the handler runs.
pub async fn stream(request: Request, next: Next) -> Response {
    if let Some(pace) = request.extensions().get::<Pace>() {
        pace.stream();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ServerLimits = ServerLimits {
        connections_max: 1,
        header_timeout_ms: 10,
        request_timeout_ms: 300,
        idle_timeout_ms: 60,
        head_bytes_max: 8_192,
        headers_max: 10,
        drain_ms_max: 0,
    };

    #[test]
    fn a_head_is_due_from_its_first_byte() {
        let (clock, time) = Clock::manual(0);
        let pace = Pace::new(clock, LIMITS);
        assert_eq!(pace.deadline(), Some((10, Cut::SlowHead)));
        time.advance(5);
        // More bytes of the same head buy no time.
        pace.has_read();
        assert_eq!(pace.deadline(), Some((10, Cut::SlowHead)));
        pace.has_head();
        pace.has_answer();
        pace.has_whole_answer();
        pace.has_flushed();
        assert_eq!(pace.deadline(), Some((65, Cut::Idle)));
        time.advance(20);
        pace.has_read();
        assert_eq!(pace.deadline(), Some((35, Cut::SlowHead)));
    }

    #[test]
    fn a_handler_that_waits_for_itself_has_no_deadline() {
        let (clock, time) = Clock::manual(0);
        let pace = Pace::new(clock, LIMITS);
        pace.has_head();
        time.advance(1_000_000);
        assert_eq!(pace.deadline(), None);
        pace.has_answer();
        assert_eq!(pace.deadline(), None, "nothing waits for the client");
    }

    #[test]
    fn a_body_is_cut_when_it_stands_still_and_when_it_takes_too_long() {
        let (clock, time) = Clock::manual(0);
        let pace = Pace::new(clock, LIMITS);
        pace.has_head();
        pace.waits_for_body(true);
        assert_eq!(pace.deadline(), Some((60, Cut::SlowBody)));
        for _ in 0..6 {
            time.advance(45);
            pace.has_read();
        }
        assert_eq!(pace.deadline(), Some((300, Cut::SlowBody)), "drop by drop is too slow");
        pace.stream();
        assert_eq!(pace.deadline(), Some((330, Cut::SlowBody)), "a stream may, as long as it flows");
        pace.waits_for_body(false);
        assert_eq!(pace.deadline(), None);
    }

    #[test]
    fn an_answer_is_cut_when_nobody_reads_it() {
        let (clock, time) = Clock::manual(0);
        let pace = Pace::new(clock, LIMITS);
        pace.has_head();
        pace.has_answer();
        pace.waits_to_write();
        assert_eq!(pace.deadline(), Some((60, Cut::SlowReader)));
        for _ in 0..6 {
            time.advance(45);
            pace.has_written();
            pace.waits_to_write();
        }
        assert_eq!(pace.deadline(), Some((300, Cut::SlowReader)));
        pace.stream();
        assert_eq!(pace.deadline(), Some((330, Cut::SlowReader)));
        pace.has_whole_answer();
        assert_eq!(pace.deadline(), Some((330, Cut::SlowReader)), "its end is still in buffers");
        pace.has_flushed();
        assert_eq!(pace.deadline(), Some((330, Cut::Idle)));
        pace.has_head();
        pace.waits_for_body(true);
        time.advance(50);
        pace.has_read();
        assert_eq!(pace.deadline(), Some((380, Cut::SlowBody)), "its idle time, within {:?}", LIMITS);
    }

    #[test]
    fn the_reasons_are_counted_apart() {
        for (index, cut) in Cut::ALL.into_iter().enumerate() {
            assert_eq!(cut as usize, index);
        }
    }
}
