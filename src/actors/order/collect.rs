//! Collections: orders on their way, that are gathering their lines from the stock actors.

use super::coupons::IssueRequest;
use super::records::NONE;
use super::{Admitted, AppliedPayment, OrderItem};
use crate::actors::reply::SubmitReply;
use crate::domain::ids::StockKey;
use crate::domain::order::Lines;

/// Why lines are being collected.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// To place an order.
    Submit {
        /// The submission.
        admitted: Admitted,
        /// Retries that wait for the same answer, each with its body's hash.
        retries: Vec<(SubmitReply, u64)>,
    },
    /// To bring a timed-out order back, because its payment came late (R10).
    Revive {
        /// The order's index.
        index: u32,
        /// The payment.
        payment: AppliedPayment,
        /// Its lines.
        lines: Lines,
        /// Commands to the same order that wait meanwhile.
        waiting: Vec<OrderItem>,
    },
    /// To hear from the order's team whether a payment may begin; nothing is collected.
    AskTeam {
        /// The order's lines.
        lines: Lines,
        /// Commands to the same order that wait meanwhile.
        waiting: Vec<OrderItem>,
    },
    /// To give a member a coupon.
    Issue {
        /// The request.
        request: Box<IssueRequest>,
        /// One unit of the definition's total.
        lines: Lines,
    },
}

impl Purpose {
    /// Lets more commands to its order wait for it.
    pub(crate) fn wait(&mut self, items: impl IntoIterator<Item = OrderItem>) {
        match self {
            Self::Revive { waiting, .. } | Self::AskTeam { waiting, .. } => waiting.extend(items),
            Self::Submit { .. } | Self::Issue { .. } => {
                debug_assert!(false, "what is no placed order takes no commands");
            }
        }
    }
}

/// One collection.
#[derive(Debug)]
pub(crate) struct Collect {
    /// Why.
    pub(crate) purpose: Purpose,
    /// Lines that are held already; the next one to ask for.
    pub(crate) held: u32,
    /// Whether the member's limits and coupons are taken.
    pub(crate) limits_taken: bool,
    /// Limits that the store was asked for on its behalf.
    pub(crate) asked_limits: Vec<StockKey>,
}

impl Collect {
    /// One that has nothing yet.
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self { purpose, held: 0, limits_taken: false, asked_limits: Vec::new() }
    }
}

impl Collect {
    /// Whether the limits count its units and have no say in it: it was accepted elsewhere.
    pub(crate) fn is_exempt(&self) -> bool {
        match &self.purpose {
            Purpose::Submit { admitted, .. } => admitted.is_import(),
            Purpose::Revive { .. } | Purpose::AskTeam { .. } | Purpose::Issue { .. } => false,
        }
    }

    /// The wanted lines.
    pub(crate) fn lines(&self) -> &Lines {
        match &self.purpose {
            Purpose::Submit { admitted, .. } => &admitted.lines,
            Purpose::Revive { lines, .. } | Purpose::AskTeam { lines, .. } | Purpose::Issue { lines, .. } => {
                lines
            }
        }
    }
}

/// The collections of one actor, by index. An index is used again only after its collection has ended, and a
/// collection ends only with no hold unanswered, so a late answer can't reach the wrong one.
#[derive(Debug, Default)]
pub(crate) struct Collects {
    entries: Vec<Option<Collect>>,
    free: Vec<u32>,
}

impl Collects {
    /// Adds one.
    pub(crate) fn insert(&mut self, collect: Collect) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.entries[index as usize] = Some(collect);
                index
            }
            None => {
                let index = self.entries.len() as u32;
                // The front door's credits bound how many there can be.
                assert!(index < NONE >> 1, "more collections than credits");
                self.entries.push(Some(collect));
                index
            }
        }
    }

    /// The collection at an index.
    pub(crate) fn get(&self, index: u32) -> Option<&Collect> {
        self.entries.get(index as usize)?.as_ref()
    }

    /// The collection at an index, to be changed.
    ///
    /// # Panics
    /// If it has ended: an answer came twice.
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut Collect {
        self.entries[index as usize].as_mut().expect("a hold is answered once, while its collection lives")
    }

    /// Ends a collection.
    ///
    /// # Panics
    /// If it has ended already.
    pub(crate) fn remove(&mut self, index: u32) -> Collect {
        let collect = self.entries[index as usize].take().expect("a collection ends once");
        self.free.push(index);
        collect
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Lets go of all of them, which answers everybody who waits with `outcome_unknown`.
    pub(crate) fn abandon(&mut self) {
        self.entries.iter_mut().for_each(|entry| *entry = None);
    }
}
