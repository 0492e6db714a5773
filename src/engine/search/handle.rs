//! Search as the engine holds it: the mode, the reader of the index that is in use, how far it is, and what is counted.
//!
//! It is there in every engine. Without the feature `search`, without a store or switched off, it has no index to ask.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::{SearchConfig, SearchFigures, SearchMode, SearchSource};
use crate::domain::ids::Position;
use crate::domain::reject::Reject;
use crate::engine::store::Scans;
use crate::engine::{Engine, Inner};

#[cfg(feature = "search")]
use super::projector::{Call, Follower};
#[cfg(feature = "search")]
use super::rebuild::{Reindex, ReindexError};
#[cfg(feature = "search")]
use crate::projection::search::IndexReader;

/// Notes of when the journal was how long, for telling the age of what is not searchable; and how far apart, in ms.
const NOTES_MAX: usize = 1_024;
const NOTE_EVERY_MS: u64 = 50;

/// Search as the engine holds it; cheap to clone.
#[derive(Clone)]
pub(crate) struct SearchHandle {
    shared: Arc<Shared>,
}

struct Shared {
    config: SearchConfig,
    mode: AtomicU8,
    max_lag_ms: AtomicU64,
    scans: Scans,
    answered: [AtomicU64; 2],
    board: SearchBoard,
    position: watch::Sender<Position>,
    notes: Mutex<VecDeque<(Position, u64)>>,
    #[cfg(feature = "search")]
    reader: std::sync::RwLock<Option<IndexReader>>,
    #[cfg(feature = "search")]
    follower: std::sync::OnceLock<Follower>,
}

/// What the projector shows of itself.
#[derive(Debug, Default)]
pub(crate) struct SearchBoard {
    pub(crate) commits: AtomicU64,
    pub(crate) indexed: AtomicU64,
    pub(crate) caught_up: AtomicU64,
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) is_rebuilding: AtomicBool,
    pub(crate) rebuilds: AtomicU64,
    /// A search of it has failed since it was last looked after.
    pub(crate) is_broken: AtomicBool,
    /// Everything up to here is wanted soon.
    pub(crate) wanted: AtomicU64,
    /// When what was put is to be committed, in ms; `u64::MAX` where there is nothing.
    pub(crate) commit_at_ms: AtomicU64,
    failure: Mutex<Option<String>>,
}

/// Why the index can't be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    /// It is not kept.
    Off,
    /// There is none yet.
    #[cfg(feature = "search")]
    Building,
    /// It is too far behind.
    #[cfg(feature = "search")]
    Behind {
        /// How far, in ms.
        lag_ms: u64,
    },
    /// It has failed.
    #[cfg(feature = "search")]
    Failed,
}

impl Unusable {
    /// What is said where the index alone may answer.
    pub(super) const fn reject(self) -> Reject {
        match self {
            // It is just being switched on.
            Self::Off => Reject::SearchBuilding,
            #[cfg(feature = "search")]
            Self::Building => Reject::SearchBuilding,
            #[cfg(feature = "search")]
            Self::Behind { lag_ms } => Reject::SearchBehind { lag_ms },
            #[cfg(feature = "search")]
            Self::Failed => Reject::SearchFailed,
        }
    }
}

impl SearchBoard {
    #[cfg(feature = "search")]
    fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Why there is no index, or that there is one again.
    pub(crate) fn set_failure(&self, failure: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

impl SearchHandle {
    /// Nothing is searchable yet.
    pub(crate) fn new(config: SearchConfig) -> Self {
        let board = SearchBoard { commit_at_ms: AtomicU64::new(u64::MAX), ..SearchBoard::default() };
        let mode = AtomicU8::new(config.mode as u8);
        let max_lag_ms = AtomicU64::new(config.max_lag_ms);
        Self {
            shared: Arc::new(Shared {
                config,
                mode,
                max_lag_ms,
                scans: Scans::new("searches"),
                answered: Default::default(),
                board,
                position: watch::Sender::new(Position(0)),
                notes: Mutex::default(),
                #[cfg(feature = "search")]
                reader: Default::default(),
                #[cfg(feature = "search")]
                follower: Default::default(),
            }),
        }
    }

    pub(crate) fn config(&self) -> &SearchConfig {
        &self.shared.config
    }

    /// The way in for searches.
    pub(crate) fn scans(&self) -> &Scans {
        &self.shared.scans
    }

    pub(crate) fn board(&self) -> &SearchBoard {
        &self.shared.board
    }

    pub(crate) fn mode(&self) -> SearchMode {
        match self.shared.mode.load(Ordering::Acquire) {
            mode if mode == SearchMode::On as u8 => SearchMode::On,
            mode if mode == SearchMode::Off as u8 => SearchMode::Off,
            _ => SearchMode::Fallback,
        }
    }

    /// Switches over. The index follows, or is left, in the background.
    pub(crate) fn set_mode(&self, mode: SearchMode) {
        self.shared.mode.store(mode as u8, Ordering::Release);
        #[cfg(feature = "search")]
        if let Some(follower) = self.follower() {
            follower.wake();
        }
    }

    /// How far the index may be behind, in ms.
    pub(crate) fn set_max_lag_ms(&self, max_lag_ms: u64) {
        self.shared.max_lag_ms.store(max_lag_ms, Ordering::Relaxed);
    }

    /// The mode as far as there can be an index.
    pub(crate) fn effective_mode(&self) -> SearchMode {
        if self.is_followed() { self.mode() } else { SearchMode::Off }
    }

    /// Counts an answer.
    pub(crate) fn note_answered(&self, source: SearchSource) {
        self.shared.answered[source as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Everything up to here is searchable.
    pub(crate) fn position(&self) -> Position {
        *self.shared.position.borrow()
    }

    pub(crate) fn watch_position(&self) -> watch::Receiver<Position> {
        self.shared.position.subscribe()
    }

    fn notes(&self) -> MutexGuard<'_, VecDeque<(Position, u64)>> {
        self.shared.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes how long the journal is.
    pub(crate) fn note_durable(&self, durable: Position, now_ms: u64) {
        let position = self.position();
        let mut notes = self.notes();
        // Only the last one at or before the index's position counts, and those behind it.
        while notes.get(1).is_some_and(|(noted, _)| *noted <= position) {
            notes.pop_front();
        }
        match notes.back_mut() {
            Some((noted, at_ms)) if *noted == durable => *at_ms = now_ms,
            Some((_, at_ms)) if now_ms < *at_ms + NOTE_EVERY_MS => {}
            _ => notes.push_back((durable, now_ms)),
        }
        if notes.len() > NOTES_MAX {
            // Every other one goes: a great age is known less exactly.
            let mut nth = 0_usize;
            notes.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
        }
    }

    /// Age of the oldest durable event that is not searchable, in ms; 0 where there is none.
    pub(crate) fn lag_ms(&self, durable: Position, now_ms: u64) -> u64 {
        let position = self.position();
        if position >= durable {
            return 0;
        }
        let notes = self.notes();
        let all_searchable = notes.iter().rev().find(|(noted, _)| *noted <= position);
        let since_ms = all_searchable.map_or_else(|| self.committed_at_ms(), |(_, at_ms)| *at_ms);
        now_ms.saturating_sub(since_ms)
    }

    /// The index's figures; the journal's part is left to the caller.
    fn figures(&self) -> SearchFigures {
        let Shared { board, answered, .. } = self.shared.as_ref();
        SearchFigures {
            is_on: self.is_followed(),
            position: self.position(),
            documents: self.documents(),
            commits: board.commits.load(Ordering::Relaxed),
            indexed: board.indexed.load(Ordering::Relaxed),
            caught_up: board.caught_up.load(Ordering::Relaxed),
            disk_bytes: board.disk_bytes.load(Ordering::Relaxed),
            is_rebuilding: board.is_rebuilding.load(Ordering::Relaxed),
            rebuilds: board.rebuilds.load(Ordering::Relaxed),
            answered: [answered[0].load(Ordering::Relaxed), answered[1].load(Ordering::Relaxed)],
            failure: board.failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..SearchFigures::default()
        }
    }
}

#[cfg(feature = "search")]
impl SearchHandle {
    /// Who keeps the index, once it has begun.
    pub(crate) fn follower(&self) -> Option<&Follower> {
        self.shared.follower.get()
    }

    pub(super) fn set_follower(&self, follower: Follower) {
        // There is one opening.
        let _ = self.shared.follower.set(follower);
    }

    /// Asks for another index.
    ///
    /// # Errors
    /// [`ReindexError::Off`] where nobody keeps one.
    pub(crate) fn ask_reindex(&self, reindex: Reindex) -> Result<(), ReindexError> {
        let follower = self.follower().ok_or(ReindexError::Off)?;
        follower.cast(Call::Reindex(reindex));
        Ok(())
    }

    /// Whether an index is kept, or being made.
    pub(crate) fn is_followed(&self) -> bool {
        self.mode() != SearchMode::Off && self.follower().is_some()
    }

    /// The reader, where the index may be asked now. `durable` is the journal's last durable position.
    pub(super) fn usable(&self, durable: Position, now_ms: u64) -> Result<IndexReader, Unusable> {
        if !self.is_followed() {
            return Err(Unusable::Off);
        }
        let has_failed = || self.shared.board.has_failed();
        let Some(reader) = self.reader() else {
            return Err(if has_failed() { Unusable::Failed } else { Unusable::Building });
        };
        let lag_ms = self.lag_ms(durable, now_ms);
        if lag_ms <= self.shared.max_lag_ms.load(Ordering::Relaxed) {
            return Ok(reader);
        }
        Err(if has_failed() { Unusable::Failed } else { Unusable::Behind { lag_ms } })
    }

    fn reader(&self) -> Option<IndexReader> {
        self.shared.reader.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another index in the place of the one that answers, or none.
    pub(super) fn show(&self, reader: Option<IndexReader>) {
        let position = reader.as_ref().map(IndexReader::position);
        *self.shared.reader.write().unwrap_or_else(PoisonError::into_inner) = reader;
        if let Some(position) = position {
            self.publish(position);
        }
    }

    /// Tells that everything up to here is searchable.
    pub(super) fn publish(&self, position: Position) {
        self.shared.position.send_replace(position);
    }

    fn documents(&self) -> u64 {
        self.reader().map_or(0, |reader| reader.documents())
    }

    fn committed_at_ms(&self) -> u64 {
        self.reader().map_or(0, |reader| reader.committed_at_ms())
    }
}

#[cfg(not(feature = "search"))]
impl SearchHandle {
    /// Without the feature nobody keeps an index.
    pub(crate) fn is_followed(&self) -> bool {
        false
    }

    fn documents(&self) -> u64 {
        0
    }

    fn committed_at_ms(&self) -> u64 {
        0
    }
}

impl Engine {
    /// Switches search over, without a restart. An index that is switched on again goes on where it stopped, or is built
    /// anew, in the background; one that is switched off lets go of its files and of the journal at once.
    ///
    /// In an engine without a store, or without the feature `search`, there is no index in any mode.
    pub fn set_search_mode(&self, mode: SearchMode) {
        self.inner.search.set_mode(mode);
    }

    /// The index's figures.
    pub fn search_figures(&self) -> SearchFigures {
        self.inner.search_figures()
    }

    /// Without the feature `search` there is no index.
    ///
    /// # Errors
    /// [`Reject::SearchOff`](crate::Reject::SearchOff).
    #[cfg(not(feature = "search"))]
    pub async fn reindex(
        &self,
        _progress: impl FnMut(super::ReindexProgress) + Send + 'static,
    ) -> Result<super::ReindexProgress, crate::Reject> {
        Err(crate::Reject::SearchOff)
    }
}

impl Inner {
    /// Waits until everything up to `position` is searchable. Where that doesn't come, it waits on: callers bound it.
    pub(crate) async fn searchable(&self, position: Position) {
        let durable = self.journal.watch_durable().wait_for(|durable| *durable >= position).await.is_ok();
        if let Some(store) = &self.store
            && durable
            && store.stored() < position
        {
            store.advance_to(position).await;
        }
        let mut searchable = self.search.watch_position();
        #[cfg(feature = "search")]
        if let Some(follower) = self.search.follower() {
            self.search.board().wanted.fetch_max(position.0, Ordering::AcqRel);
            follower.wake();
        }
        // The sender lives as long as the engine.
        let _ = searchable.wait_for(|searchable| *searchable >= position).await;
    }

    /// The index's figures.
    pub(crate) fn search_figures(&self) -> SearchFigures {
        let figures = self.search.figures();
        if !figures.is_on {
            return figures;
        }
        let now_ms = self.clock.now_ms();
        SearchFigures {
            lag_ms: self.search.lag_ms(self.journal.durable(), now_ms),
            lag_bytes: self.holds.bytes_behind(figures.position),
            ..figures
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_what_is_not_searchable_is_counted_from_when_all_was() {
        let handle = SearchHandle::new(SearchConfig::default());
        assert_eq!(handle.lag_ms(Position(0), 1_000), 0);
        handle.note_durable(Position(0), 1_000);
        handle.note_durable(Position(0), 5_000);
        assert_eq!(handle.lag_ms(Position(7), 5_010), 10, "it came after the journal was last seen empty");
        handle.note_durable(Position(7), 5_060);
        handle.note_durable(Position(9), 5_200);
        handle.shared.position.send_replace(Position(8));
        assert_eq!(handle.lag_ms(Position(9), 6_000), 940);
        handle.shared.position.send_replace(Position(9));
        assert_eq!(handle.lag_ms(Position(9), 6_000), 0);
        for n in 10..100_000 {
            handle.note_durable(Position(n), 6_000 + n * NOTE_EVERY_MS);
        }
        assert!(handle.notes().len() <= NOTES_MAX);
        assert!(handle.lag_ms(Position(100_000), 6_000 + 100_000 * NOTE_EVERY_MS) >= 99_000 * NOTE_EVERY_MS);
    }
}
