//! Promises: submissions that were answered with a number before anybody knew whether they become orders.
//!
//! The front door makes a promise, hands it to the order actor as the place where the answer goes, and shows it to
//! whoever asks for the outcome. The outcome comes in like any other answer, so not before it is durable (R4), and is
//! kept until the table is full and newer promises need the room. Nothing of this is journaled: after a restart the
//! order itself, or its absence, is the outcome.

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam::queue::SegQueue;
use dashmap::DashMap;
use tokio::sync::Notify;

use super::numbers::NumberLease;
use super::reply::SubmitResult;
use crate::domain::ids::{MemberId, OrderNo, Slot};
use crate::domain::reject::Reject;

/// How long a caller should wait before it tries again where there is no room for a promise, in ms.
const RETRY_AFTER_MS: u32 = 100;

/// One promise.
#[derive(Debug)]
pub(crate) struct Pledge {
    order_no: OrderNo,
    member_id: MemberId,
    outcome: OnceLock<SubmitResult>,
    done: Notify,
    waiters: AtomicU32,
    /// The finished promises of its table, in the order in which they finished.
    finished: Arc<SegQueue<OrderNo>>,
}

impl Pledge {
    /// The number that was promised.
    pub(crate) fn order_no(&self) -> OrderNo {
        self.order_no
    }

    /// Who submitted.
    pub(crate) fn member_id(&self) -> MemberId {
        self.member_id
    }

    /// What became of the submission, once that is known and durable.
    pub(crate) fn outcome(&self) -> Option<SubmitResult> {
        self.outcome.get().copied()
    }

    /// Tells what became of the submission.
    pub(crate) fn finish(&self, result: SubmitResult) {
        let is_first = self.outcome.set(result).is_ok();
        debug_assert!(is_first, "a submission has one answer");
        if is_first {
            self.finished.push(self.order_no);
            self.done.notify_waiters();
        }
    }

    /// Waits for the outcome; `None` at once where `waiters_max` callers do so already.
    pub(crate) async fn wait(&self, waiters_max: u32) -> Option<SubmitResult> {
        let _waiting = Waiting::among(&self.waiters, waiters_max)?;
        let mut done = pin!(self.done.notified());
        // Enlisted before the look, so the outcome can't slip in between.
        done.as_mut().enable();
        if self.outcome().is_none() {
            done.await;
        }
        self.outcome()
    }
}

/// A place among those who wait for one promise; given back also where the waiting future is dropped.
struct Waiting<'p>(&'p AtomicU32);

impl<'p> Waiting<'p> {
    fn among(waiters: &'p AtomicU32, waiters_max: u32) -> Option<Self> {
        let waiting = Self(waiters);
        (waiters.fetch_add(1, Ordering::Relaxed) < waiters_max).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All promises that are not finished, and the latest of those that are. Shared by all callers; a submission that
/// wants no promise doesn't come here.
pub(crate) struct Promises {
    by_number: DashMap<OrderNo, Arc<Pledge>>,
    len: AtomicUsize,
    len_max: usize,
    finished: Arc<SegQueue<OrderNo>>,
}

impl fmt::Debug for Promises {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promises").field("len", &self.len()).field("len_max", &self.len_max).finish()
    }
}

impl Promises {
    /// An empty table of at most so many promises.
    pub(crate) fn new(len_max: usize) -> Self {
        Self { by_number: DashMap::new(), len: AtomicUsize::new(0), len_max, finished: Arc::default() }
    }

    /// Promises there are, finished ones included.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Promises a number. In a full table the promise that has been finished for longest makes room.
    ///
    /// # Errors
    /// [`Reject::Overloaded`] where the table is full of unfinished promises (R12), or the reserved range of numbers is
    /// used up.
    pub(crate) fn make(
        &self,
        member_id: MemberId,
        lease: &NumberLease,
        now_ms: u64,
    ) -> Result<Arc<Pledge>, Reject> {
        if !self.find_room() {
            return Err(Reject::Overloaded { bound: "promises_max", retry_after_ms: RETRY_AFTER_MS });
        }
        let Some(order_no) = lease.promise(Slot::of_member(member_id), now_ms) else {
            self.len.fetch_sub(1, Ordering::Relaxed);
            return Err(Reject::Overloaded { bound: "order_numbers", retry_after_ms: RETRY_AFTER_MS });
        };
        let pledge = Arc::new(Pledge {
            order_no,
            member_id,
            outcome: OnceLock::new(),
            done: Notify::new(),
            waiters: AtomicU32::new(0),
            finished: Arc::clone(&self.finished),
        });
        self.by_number.insert(order_no, Arc::clone(&pledge));
        Ok(pledge)
    }

    /// The promise of a number, if it was promised and is still in the table.
    pub(crate) fn find(&self, order_no: OrderNo) -> Option<Arc<Pledge>> {
        self.by_number.get(&order_no).map(|pledge| Arc::clone(&pledge))
    }

    /// Counts one more promise, if need be in the place of a finished one.
    fn find_room(&self) -> bool {
        if self.len.fetch_add(1, Ordering::Relaxed) < self.len_max {
            return true;
        }
        // One more would be too many: either another one goes, or this one doesn't come.
        self.len.fetch_sub(1, Ordering::Relaxed);
        let Some(order_no) = self.finished.pop() else { return false };
        self.by_number.remove(&order_no);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actors::reply::SubmitReply;

    const MEMBER: MemberId = MemberId(7);

    fn lease() -> NumberLease {
        let lease = NumberLease::default();
        lease.extend_to(1_000);
        lease
    }

    #[test]
    fn a_full_table_forgets_what_finished_first_and_never_what_is_unfinished() {
        let (promises, lease) = (Promises::new(3), lease());
        let pledges: Vec<_> = (0..3).map(|_| promises.make(MEMBER, &lease, 0).unwrap()).collect();
        let full = Reject::Overloaded { bound: "promises_max", retry_after_ms: RETRY_AFTER_MS };
        assert_eq!(promises.make(MEMBER, &lease, 0).unwrap_err(), full);
        pledges[2].finish(Err(Reject::EmptyOrder));
        pledges[0].finish(Err(Reject::EmptyOrder));
        let known = |pledge: &Arc<Pledge>| promises.find(pledge.order_no()).is_some();
        assert!(pledges.iter().all(known), "a finished one stays until its place is needed");
        promises.make(MEMBER, &lease, 0).unwrap();
        assert_eq!(pledges.iter().map(known).collect::<Vec<_>>(), [true, true, false]);
        promises.make(MEMBER, &lease, 0).unwrap();
        assert_eq!(pledges.iter().map(known).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(promises.make(MEMBER, &lease, 0).unwrap_err(), full);
        assert_eq!(promises.len(), 3);
    }

    #[test]
    fn a_used_up_range_takes_no_place() {
        let promises = Promises::new(1);
        let refused = promises.make(MEMBER, &NumberLease::default(), 0).unwrap_err();
        assert!(matches!(refused, Reject::Overloaded { bound: "order_numbers", .. }));
        assert_eq!(promises.len(), 0);
        assert!(promises.make(MEMBER, &lease(), 0).is_ok());
    }

    #[tokio::test]
    async fn everybody_who_waits_hears_the_outcome_and_no_more_wait_than_may() {
        let pledge = Promises::new(1).make(MEMBER, &lease(), 0).unwrap();
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(pledge.wait(2))).collect();
        for wait in &mut waiting {
            let now = tokio::time::timeout(std::time::Duration::ZERO, wait).await;
            assert!(now.is_err(), "nothing is known yet");
        }
        assert_eq!(pledge.wait(2).await, None);
        drop(waiting.pop());
        let reply = SubmitReply::promise(Arc::clone(&pledge));
        assert_eq!(reply.promised(), Some(pledge.order_no()));
        reply.send(Err(Reject::EmptyOrder));
        for wait in waiting {
            assert_eq!(wait.await, Some(Err(Reject::EmptyOrder)));
        }
        assert_eq!(pledge.wait(2).await, Some(Err(Reject::EmptyOrder)));
    }

    #[test]
    fn a_promise_whose_answer_is_dropped_has_an_unknown_outcome() {
        let pledge = Promises::new(1).make(MEMBER, &lease(), 0).unwrap();
        drop(SubmitReply::promise(Arc::clone(&pledge)));
        assert_eq!(pledge.outcome(), Some(Err(Reject::OutcomeUnknown)));
    }

    #[test]
    fn a_reply_is_no_larger_for_promises() {
        assert_eq!(size_of::<SubmitReply>(), 16);
    }
}
