//! The asynchronous submit: an order number at once, the outcome for whoever asks for it later.
//!
//! A submission takes the same way through the front door and the order actors as [`Engine::submit`]; only its answer
//! goes into the table of promises (`src/actors/promise.rs`) instead of to a waiting caller. What is asked for and not
//! in the table (any more) is answered from the order itself, so promises need no journal and outlive a restart where
//! they became orders. How callers are told to come back, and over which protocol, is not decided here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::admission::Passed;
use super::{Engine, Inner};
use crate::actors::order::{OrderItem, Query};
use crate::actors::promise::Pledge;
use crate::actors::reply::{Receipt, SubmitReply};
use crate::domain::ids::{OrderNo, Slot};
use crate::domain::reject::Reject;
use crate::domain::request::{Caller, SubmitOrder};

/// Longest time for which [`Engine::submission`] waits, in ms.
pub const SUBMISSION_WAIT_MS_MAX: u32 = 30_000;

/// When to ask for an outcome on an idle engine, and on one whose credits are all taken, in ms.
const POLL_AFTER_MS_MIN: u64 = 50;
const POLL_AFTER_MS_MAX: u64 = 1_000;

/// The answer to an asynchronous submit: nothing is placed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The number that the order gets if it is placed. No other order ever has it.
    pub order_no: OrderNo,
    /// When to ask for the outcome, in ms from now: the busier the engine, the later.
    pub poll_after_ms: u32,
}

/// What has become of an asynchronous submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submission {
    /// It is not decided, or its order not durable.
    Processing {
        /// When to ask again, in ms from now.
        poll_after_ms: u32,
    },
    /// The order is placed, durably. Of a repeated request this is the first receipt, with the number of the first
    /// order.
    Created(Receipt),
    /// There is no order.
    Failed(Failure),
}

/// Why an asynchronous submit has no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was refused; after `outcome_unknown` the engine has failed, and its restart tells.
    Rejected(Reject),
    /// Nothing is known of it: a crash came before its order was durable, it was refused too long ago, or the number was
    /// never promised. Sending the same request again, under its request id, is safe: it places an order or gives the
    /// first answer.
    NotRecorded,
}

impl Engine {
    /// Takes an order in and answers at once, with a number that is promised to it: the outcome is asked for by
    /// [`Engine::submission`].
    ///
    /// The promise is that the number is never used again, and nothing more: the order may still be refused, and after
    /// a crash it may be unknown. A request that is sent again gets a new number, whose outcome is the first receipt
    /// with the *first* number; one that is refused already at the front door gets no number.
    ///
    /// Promised numbers increase for each member in the order of the promises. They don't compare with the numbers of
    /// [`Engine::submit`]: the order may be placed after one with a higher number.
    ///
    /// # Errors
    /// A [`Reject`] of the front door; nothing was changed and nothing promised. [`Reject::Overloaded`] where
    /// `promises_max` unfinished promises are under way.
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, Submission, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 1).await?;
    /// let promise = engine.submit_async(SubmitOrder::one_line(7, 1001, 42, 1))?;
    /// let outcome = engine.submission(Caller::Member(7.into()), promise.order_no, 1_000).await?;
    /// assert!(matches!(outcome, Submission::Created(receipt) if receipt.order_no == promise.order_no));
    /// # Ok(())
    /// # }
    /// ```
    pub fn submit_async(&self, order: SubmitOrder) -> Result<Promise, Reject> {
        let inner = &*self.inner;
        let passed = inner.let_in(&order)?;
        let made = inner.promises.make(order.member_id, &inner.shared.lease, inner.clock.now_ms());
        let pledge = made.inspect_err(|_overloaded| {
            inner.door.overloaded.fetch_add(1, Ordering::Relaxed);
            inner.credits.give_back(1);
        })?;
        let order_no = pledge.order_no();
        inner.send_submission(order, passed, SubmitReply::promise(pledge));
        Ok(Promise { order_no, poll_after_ms: inner.poll_after_ms() })
    }

    /// What has become of an asynchronous submit, by its promised number. Waits for the outcome for up to `wait_ms` ms
    /// of real time, at most [`SUBMISSION_WAIT_MS_MAX`]; at once with 0, and where `waiters_max` callers wait for this
    /// number already.
    ///
    /// It shows an order only once that is durable, also after a restart, and after the order has left memory; the
    /// number of an order that was placed by [`Engine::submit`] does as well. A refusal is shown as long as the table of
    /// promises has it: when it is full (`promises_max`), the promises that were finished first make room, and refused
    /// ones answer [`Failure::NotRecorded`] from then on. So does the promise of a repeated request, whose order
    /// has another number.
    ///
    /// # Errors
    /// [`Reject::OrderNotFound`] where the number can't be the member's, [`Reject::OutOfRange`] for too long a wait; the
    /// engine's own state. A number of another member who shares the slot answers exactly as one that nobody has:
    /// [`Failure::NotRecorded`] (R14).
    ///
    /// ```
    /// # use stockade::{Caller, Config, Durability, Engine, Failure, Reject, Submission, SubmitOrder};
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::open(Config::new("").durability(Durability::Memory)).await?;
    /// # stockade::examples::stock_tea(&engine, 1).await?;
    /// let mut order = SubmitOrder::one_line(7, 1001, 42, 1);
    /// engine.submit(order.clone()).await?;
    /// order.lines[0].quantity = 2;
    /// let promise = engine.submit_async(order)?;
    /// let outcome = engine.submission(Caller::Member(7.into()), promise.order_no, 1_000).await?;
    /// assert_eq!(outcome, Submission::Failed(Failure::Rejected(Reject::RequestIdReused)));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn submission(
        &self,
        caller: Caller,
        order_no: OrderNo,
        wait_ms: u32,
    ) -> Result<Submission, Reject> {
        if wait_ms > SUBMISSION_WAIT_MS_MAX {
            let (value, max) = (wait_ms.into(), SUBMISSION_WAIT_MS_MAX.into());
            return Err(Reject::OutOfRange { field: "wait_ms", value, min: 0, max });
        }
        self.inner.check_readable()?;
        if let Caller::Member(member) = caller
            && Slot::of_member(member) != order_no.slot()
        {
            return Err(Reject::OrderNotFound);
        }
        let own = |pledge: &Arc<Pledge>| caller.may_see(pledge.member_id());
        match self.inner.promises.find(order_no).filter(own) {
            Some(pledge) => Ok(self.outcome_of(&pledge, wait_ms).await),
            // Another member's promise is looked for among the orders like a number that was never promised.
            None => self.recorded(caller, order_no).await,
        }
    }

    /// The outcome of a promise, if it is there in time.
    async fn outcome_of(&self, pledge: &Pledge, wait_ms: u32) -> Submission {
        let mut outcome = pledge.outcome();
        if outcome.is_none() && wait_ms > 0 {
            let within = Duration::from_millis(wait_ms.into());
            let waited = pledge.wait(self.inner.settings.waiters_max);
            outcome = tokio::time::timeout(within, waited).await.unwrap_or(None);
        }
        match outcome {
            Some(Ok(receipt)) => Submission::Created(receipt),
            Some(Err(reject)) => Submission::Failed(Failure::Rejected(reject)),
            None => Submission::Processing { poll_after_ms: self.inner.poll_after_ms() },
        }
    }

    /// What the order with this number says, or that there is none.
    async fn recorded(&self, caller: Caller, order_no: OrderNo) -> Result<Submission, Reject> {
        match self.query(order_no.slot(), |reply| Query::Order { order_no, caller, reply }).await {
            Ok(order) => Ok(Submission::Created(Receipt::first_of(&order))),
            Err(Reject::OrderNotFound) => Ok(Submission::Failed(Failure::NotRecorded)),
            Err(reject) => Err(reject),
        }
    }
}

impl Inner {
    /// Checks a submission and takes its credit.
    #[inline]
    pub(super) fn let_in(&self, order: &SubmitOrder) -> Result<Passed, Reject> {
        self.check_open()?;
        let passed = self.check_submission(order)?;
        self.take_credits(1)?;
        self.check_still_open(1)?;
        Ok(passed)
    }

    /// Sends a submission that was let in to its order actor.
    #[inline]
    pub(super) fn send_submission(&self, order: SubmitOrder, passed: Passed, reply: SubmitReply) {
        let (member_id, item) = match passed {
            Passed::Place(checked) => {
                self.enter(&checked);
                let admitted = checked.admit(order, reply);
                (admitted.member_id, OrderItem::Submit(admitted))
            }
            Passed::Recall(recall) => (recall.member_id, OrderItem::Recall(Box::new(recall), reply)),
        };
        // A closed inbox gives the item back; dropping it answers.
        let _ = self.order_inbox(Slot::of_member(member_id)).push(item);
    }

    /// When a caller should ask for an outcome, in ms: later where more commands are under way, so that asking doesn't
    /// crowd out what is asked for.
    fn poll_after_ms(&self) -> u32 {
        let (in_use, max) = (self.credits.in_use(), self.credits.max().max(1));
        let added_ms = (POLL_AFTER_MS_MAX - POLL_AFTER_MS_MIN) * in_use.min(max) / max;
        (POLL_AFTER_MS_MIN + added_ms) as u32
    }
}
