//! Handing popped tasks to a caller who may have gone away meanwhile.
//!
//! A popped task is gone from the queue as soon as that is journaled, and a caller's future may be dropped at any moment
//! until it has the answer in its hands. So the answer knows its way home: dropped before it was taken, wherever that
//! happens, it sends its tasks back to the actor, which pushes them again. What a crash takes between the two is lost:
//! that is what `reserve` is for.

use std::sync::Arc;

use super::DelayItem;
use crate::domain::task::PopOutcome;
use crate::runtime::inbox::Inbox;

/// The answer to a pop.
#[derive(Debug)]
pub(crate) struct Handover {
    outcome: Option<PopOutcome>,
    home: Arc<Inbox<DelayItem>>,
}

impl Handover {
    /// An answer that goes back to `home` unless it is taken.
    pub(crate) fn new(outcome: PopOutcome, home: Arc<Inbox<DelayItem>>) -> Self {
        Self { outcome: Some(outcome), home }
    }

    /// The caller has it.
    pub(crate) fn take(mut self) -> PopOutcome {
        self.outcome.take().unwrap_or(PopOutcome::NotFound)
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        if let Some(PopOutcome::Popped(tasks)) = self.outcome.take() {
            // A closed inbox means a closed engine, and there is nobody left to take them.
            let _ = self.home.push(DelayItem::Undelivered(tasks));
        }
    }
}
