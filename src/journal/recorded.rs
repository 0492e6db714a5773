//! Single events with their places in the journal, for whoever follows it event by event.

use crate::domain::event::Event;
use crate::domain::ids::Position;

use super::{Frame, JournalError};

/// An event with its place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// Its position; the key to tell a repeated delivery by.
    pub position: Position,
    /// Position of the first event of its entry: events of one entry happened together.
    pub entry: Position,
    /// What happened.
    pub event: Event,
}

/// The events of frames from a position on, in order. Entries that lie before it are not decoded.
///
/// An event that can't be decoded is an error in its place: what follows it is not to be trusted.
pub(crate) fn events_from(
    frames: &[Frame],
    from: Position,
) -> impl Iterator<Item = Result<RecordedEvent, JournalError>> {
    let entries = frames.iter().flat_map(Frame::entries).filter(move |entry| entry.last() >= from);
    let events = entries.flat_map(|entry| {
        let recorded = move |(position, event)| RecordedEvent { position, entry: entry.first, event };
        entry.events().map(move |event| event.map(recorded))
    });
    // The first entry may begin before it.
    events.filter(move |event| !event.as_ref().is_ok_and(|recorded| recorded.position < from))
}
