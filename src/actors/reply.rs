//! Answers on their way back to callers.
//!
//! An answer that is dropped unsent (its actor panicked, its journal failed) tells the caller `outcome_unknown`
//! by itself, so that nobody waits for ever (R13).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Notify, oneshot};

use super::promise::Pledge;
use crate::domain::ids::OrderNo;
use crate::domain::money::Money;
use crate::domain::order::{Order, OrderStatus, PayNo};
use crate::domain::refund::{RefundNo, RefundState};
use crate::domain::reject::Reject;

/// The answer to an accepted command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The order.
    pub order_no: OrderNo,
    /// Its status when the command was done.
    pub status: OrderStatus,
    /// What is to be paid.
    pub pay_amount: Money,
    /// At and after this instant it can't be paid in the ordinary way, in ms since the Unix epoch.
    pub deadline_ms: u64,
}

impl Receipt {
    /// A receipt of an order as it stands.
    pub(crate) fn of(order: &Order) -> Self {
        Self {
            order_no: order.order_no,
            status: order.status,
            pay_amount: order.pay_amount,
            deadline_ms: order.deadline_ms,
        }
    }

    /// The receipt that an order's submission got, whatever has become of the order and its price since.
    pub(crate) fn first_of(order: &Order) -> Self {
        let status = if order.was_paid_at_once() { OrderStatus::Paid } else { OrderStatus::Pending };
        Self {
            order_no: order.order_no,
            status,
            pay_amount: order.first_pay_amount(),
            deadline_ms: order.created_at_ms.saturating_add(u64::from(order.auto_close_ms)),
        }
    }
}

/// The answer to a payment that is begun at a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentAttempt {
    /// Its name, to be handed to the provider as the trade's number.
    pub pay_no: PayNo,
    /// What is to be paid.
    pub amount: Money,
    /// At and after this instant the order can't be paid in the ordinary way, in ms since the Unix epoch.
    pub deadline_ms: u64,
}

/// The answer to a command about a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefundReceipt {
    /// The refund.
    pub refund_no: RefundNo,
    /// Where it stands.
    pub state: RefundState,
    /// How much.
    pub amount: Money,
    /// The status of its order; `None` where the money is for no order.
    pub order_status: Option<OrderStatus>,
}

/// The outcome of a submission.
pub(crate) type SubmitResult = Result<Receipt, Reject>;

/// The results of a batch of submissions, filled in by whichever actor decides them.
#[derive(Debug)]
pub(crate) struct BatchReply {
    results: Box<[OnceLock<SubmitResult>]>,
    repeated: Box<[AtomicBool]>,
    remaining: AtomicU32,
    done: Notify,
}

impl BatchReply {
    /// A reply for `len` submissions, all of them open.
    pub(crate) fn new(len: u32) -> Arc<Self> {
        Arc::new(Self {
            results: (0..len).map(|_| OnceLock::new()).collect(),
            repeated: (0..len).map(|_| AtomicBool::new(false)).collect(),
            remaining: AtomicU32::new(len),
            done: Notify::new(),
        })
    }

    /// Fills in one result; the last one wakes the caller.
    pub(crate) fn fill(&self, index: u32, result: SubmitResult) {
        let filled = self.results[index as usize].set(result);
        debug_assert!(filled.is_ok(), "a submission has one answer");
        // AcqRel: the caller, who sees zero, must see every result.
        if self.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    /// Waits until every result is there.
    pub(crate) async fn wait(&self) -> Vec<SubmitResult> {
        while self.remaining.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        let unknown = Err(Reject::OutcomeUnknown);
        self.results.iter().map(|result| result.get().copied().unwrap_or(unknown)).collect()
    }

    /// Whether the result at an index is the answer to an earlier request. To be asked once all results are there.
    pub(crate) fn is_repeated(&self, index: usize) -> bool {
        // Ordered by `remaining`, like the result itself.
        self.repeated[index].load(Ordering::Relaxed)
    }
}

/// Whether an import changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It did.
    Imported,
    /// It was so already.
    Unchanged,
}

/// Where the answer to a submission goes.
#[derive(Debug)]
pub(crate) struct SubmitReply(Option<Destination>);

#[derive(Debug)]
enum Destination {
    One(oneshot::Sender<SubmitResult>),
    Batch { batch: Arc<BatchReply>, index: u32 },
    Promise(Arc<Pledge>),
}

impl SubmitReply {
    /// A reply to one caller.
    pub(crate) fn one(sender: oneshot::Sender<SubmitResult>) -> Self {
        Self(Some(Destination::One(sender)))
    }

    /// A reply into a batch, at an index.
    pub(crate) fn batch(batch: Arc<BatchReply>, index: u32) -> Self {
        Self(Some(Destination::Batch { batch, index }))
    }

    /// A reply to a submission whose caller was promised a number.
    pub(crate) fn promise(pledge: Arc<Pledge>) -> Self {
        Self(Some(Destination::Promise(pledge)))
    }

    /// The number that the order gets when it is placed, where one was promised.
    pub(crate) fn promised(&self) -> Option<OrderNo> {
        match &self.0 {
            Some(Destination::Promise(pledge)) => Some(pledge.order_no()),
            _ => None,
        }
    }

    /// Answers. A caller who has gone away is no concern of ours: the order stands.
    pub(crate) fn send(mut self, result: SubmitResult) {
        self.answer(result);
    }

    /// Notes that what is about to be sent is the answer to an earlier request.
    pub(crate) fn mark_repeated(&self) {
        if let Some(Destination::Batch { batch, index }) = &self.0 {
            batch.repeated[*index as usize].store(true, Ordering::Relaxed);
        }
    }

    fn answer(&mut self, result: SubmitResult) {
        match self.0.take() {
            Some(Destination::One(sender)) => drop(sender.send(result)),
            Some(Destination::Batch { batch, index }) => batch.fill(index, result),
            Some(Destination::Promise(pledge)) => pledge.finish(result),
            None => {}
        }
    }
}

impl Drop for SubmitReply {
    fn drop(&mut self) {
        self.answer(Err(Reject::OutcomeUnknown));
    }
}

/// Where the answer to any other command goes. Dropped unsent, it reads as `outcome_unknown` on the other side.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Reject>>;

/// An answer with its destination, to be sent now or once its facts are durable (R4).
pub(crate) enum Answer {
    /// To a submission.
    Submit(SubmitReply, SubmitResult),
    /// To anything else.
    Call(Box<dyn FnOnce() + Send>),
}

impl Answer {
    /// An answer to a command other than a submission.
    pub(crate) fn to<T: Send + 'static>(reply: Reply<T>, result: Result<T, Reject>) -> Self {
        Self::Call(Box::new(move || drop(reply.send(result))))
    }

    /// Sends it.
    pub(crate) fn send(self) {
        match self {
            Self::Submit(reply, result) => reply.send(result),
            Self::Call(call) => call(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_dropped_unsent_reads_as_outcome_unknown() {
        let (sender, receiver) = oneshot::channel();
        drop(SubmitReply::one(sender));
        assert_eq!(receiver.await.unwrap(), Err(Reject::OutcomeUnknown));

        let batch = BatchReply::new(2);
        SubmitReply::batch(Arc::clone(&batch), 1).send(Err(Reject::EmptyOrder));
        drop(SubmitReply::batch(Arc::clone(&batch), 0));
        assert_eq!(batch.wait().await, [Err(Reject::OutcomeUnknown), Err(Reject::EmptyOrder)]);
    }
}
