//! Subscriptions: durable events by position, for projections and for embedders (R11).

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::watch;

use crate::domain::ids::Position;
use crate::journal::{CodecError, JournalError, JournalRead, RecordedEvent, events_from};

/// Most bytes of journal that one step reads ahead.
const READ_AHEAD_BYTES: usize = 256 * 1024;

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The journal can't be read at this position; [`JournalError::PositionTrimmed`] where it is gone.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event can't be decoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The tokio runtime is shutting down.
    #[error("the tokio runtime is shutting down")]
    Runtime,
}

/// A stream of durable events, in order, without gaps. It reads from the journal, so a slow reader costs nothing but
/// its own delay.
pub struct EventStream {
    reader: Arc<dyn JournalRead>,
    durable: watch::Receiver<Position>,
    ended: watch::Receiver<bool>,
    next: Position,
    ahead: VecDeque<RecordedEvent>,
}

impl EventStream {
    pub(crate) fn new(
        reader: Arc<dyn JournalRead>,
        durable: watch::Receiver<Position>,
        ended: watch::Receiver<bool>,
        from: Position,
    ) -> Self {
        Self { reader, durable, ended, next: Position(from.0.max(1)), ahead: VecDeque::new() }
    }

    /// The next event, once it is durable; `None` after the engine has closed and everything was delivered.
    ///
    /// Cancel safe: a dropped call loses no event.
    ///
    /// # Errors
    /// [`SubscribeError`]; the next call tries again from the same position.
    pub async fn next(&mut self) -> Result<Option<RecordedEvent>, SubscribeError> {
        loop {
            if let Some(recorded) = self.ahead.pop_front() {
                self.next = Position(recorded.position.0 + 1);
                return Ok(Some(recorded));
            }
            if self.durable.borrow_and_update().0 < self.next.0 {
                // An engine that is gone without a shutdown has dropped its side of `ended`.
                let has_ended = tokio::select! {
                    changed = self.durable.changed() => changed.is_err(),
                    _ended = self.ended.wait_for(|ended| *ended) => true,
                };
                if has_ended && self.durable.borrow().0 < self.next.0 {
                    return Ok(None);
                }
                continue;
            }
            let (reader, from) = (Arc::clone(&self.reader), self.next);
            let read = tokio::task::spawn_blocking(move || read(reader.as_ref(), from)).await;
            self.ahead = read.map_err(|_cancelled| SubscribeError::Runtime)??;
        }
    }

    /// The position of the next event.
    pub fn position(&self) -> Position {
        self.next
    }
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("next", &self.next).finish_non_exhaustive()
    }
}

fn read(reader: &dyn JournalRead, from: Position) -> Result<VecDeque<RecordedEvent>, JournalError> {
    events_from(&reader.read(from, READ_AHEAD_BYTES)?, from).collect()
}
