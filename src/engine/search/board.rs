//! What is known of the search index: its projection actor writes it, searches and metrics read it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::{SearchConfig, SearchFigures, SearchMode, SearchSource};
use crate::domain::ids::Position;
#[cfg(feature = "search")]
use crate::projection::search::IndexReader;

/// Counters, gauges, and the reader of the index that is in use.
pub(crate) struct SearchBoard {
    /// Whether there could be an index: with the feature, and a store that it follows.
    has_index: bool,
    mode: watch::Sender<SearchMode>,
    max_lag_ms: AtomicU64,
    /// Everything up to here is searchable.
    position: watch::Sender<Position>,
    #[cfg(feature = "search")]
    reader: std::sync::RwLock<Option<IndexReader>>,
    /// Engine time of the latest event that is searchable, in ms since the Unix epoch.
    pub(crate) searchable_at_ms: AtomicU64,
    /// Engine time at which everything was searchable when somebody last looked and it was so.
    pub(crate) up_to_date_at_ms: AtomicU64,
    pub(crate) lag_bytes: AtomicU64,
    pub(crate) documents: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) indexed: AtomicU64,
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) is_rebuilding: AtomicBool,
    from_index: AtomicU64,
    from_store: AtomicU64,
    failure: Mutex<Option<String>>,
}

/// Why the index can't be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is not kept.
    Off,
    /// It is too far behind, or not there yet.
    Behind {
        /// How far, in ms.
        lag_ms: u64,
    },
    /// It has failed.
    Failed,
}

impl SearchBoard {
    /// A board without an index so far. `has_index` says whether there can be one; without it searches are answered as
    /// if it were switched off.
    pub(crate) fn new(config: &SearchConfig, has_index: bool, now_ms: u64) -> Self {
        Self {
            has_index: has_index && cfg!(feature = "search"),
            mode: watch::Sender::new(config.mode),
            max_lag_ms: config.max_lag_ms.into(),
            position: watch::Sender::new(Position(0)),
            #[cfg(feature = "search")]
            reader: Default::default(),
            searchable_at_ms: Default::default(),
            up_to_date_at_ms: now_ms.into(),
            lag_bytes: Default::default(),
            documents: Default::default(),
            commits: Default::default(),
            indexed: Default::default(),
            disk_bytes: Default::default(),
            is_rebuilding: Default::default(),
            from_index: Default::default(),
            from_store: Default::default(),
            failure: Mutex::default(),
        }
    }

    /// Where searches are answered from.
    pub(crate) fn mode(&self) -> SearchMode {
        if self.has_index { *self.mode.borrow() } else { SearchMode::Off }
    }

    /// The mode, for who has to act on a change.
    #[cfg(feature = "search")]
    pub(crate) fn watch_mode(&self) -> watch::Receiver<SearchMode> {
        self.mode.subscribe()
    }

    pub(crate) fn set_mode(&self, mode: SearchMode) {
        self.mode.send_replace(mode);
    }

    pub(crate) fn set_max_lag_ms(&self, max_lag_ms: u64) {
        self.max_lag_ms.store(max_lag_ms, Ordering::Relaxed);
    }

    /// Everything up to here is searchable.
    pub(crate) fn position(&self) -> Position {
        *self.position.borrow()
    }

    /// Waits until everything up to `position` is searchable. For ever, where the index doesn't get there.
    #[cfg(feature = "search")]
    pub(crate) async fn wait_for(&self, position: Position) {
        let mut searchable = self.position.subscribe();
        // The board outlives this wait.
        let _ = searchable.wait_for(|searchable| *searchable >= position).await;
    }

    /// Says up to where everything is searchable. Only after the reader finds it.
    #[cfg(feature = "search")]
    pub(crate) fn publish(&self, position: Position) {
        self.position.send_replace(position);
    }

    /// Searches go to this reader from here on, or nowhere.
    #[cfg(feature = "search")]
    pub(crate) fn set_reader(&self, reader: Option<IndexReader>) {
        *self.reader.write().unwrap_or_else(PoisonError::into_inner) = reader;
    }

    /// The reader, where the index may be asked now. `durable` is the journal's last durable position.
    #[cfg(feature = "search")]
    pub(crate) fn usable(&self, durable: Position, now_ms: u64) -> Result<IndexReader, Unusable> {
        if self.mode() == SearchMode::Off {
            return Err(Unusable::Off);
        }
        if self.failure().is_some() {
            return Err(Unusable::Failed);
        }
        let lag_ms = self.lag_ms(durable, now_ms);
        let reader = self.reader.read().unwrap_or_else(PoisonError::into_inner).clone();
        let is_near = lag_ms <= self.max_lag_ms.load(Ordering::Relaxed);
        reader.filter(|_| is_near).ok_or(Unusable::Behind { lag_ms })
    }

    /// Age of the oldest durable event that is not searchable, in ms. It is younger than the latest one that is, and than
    /// the last look that found nothing waiting.
    pub(crate) fn lag_ms(&self, durable: Position, now_ms: u64) -> u64 {
        if self.position() >= durable {
            return 0;
        }
        let searchable_at_ms = self.searchable_at_ms.load(Ordering::Relaxed);
        now_ms.saturating_sub(searchable_at_ms.max(self.up_to_date_at_ms.load(Ordering::Relaxed)))
    }

    /// Notes whether everything is searchable now.
    pub(crate) fn look(&self, durable: Position, now_ms: u64) {
        if self.position() >= durable {
            self.up_to_date_at_ms.store(now_ms, Ordering::Relaxed);
        }
    }

    /// The index has failed: searches don't use it until it is mended. Orders go on.
    #[cfg(feature = "search")]
    pub(crate) fn fail(&self, reason: String) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            tracing::error!(reason, "the search index has failed: it is not used until it is built anew");
            *failure = Some(reason);
        }
    }

    /// The index is whole again.
    #[cfg(feature = "search")]
    pub(crate) fn mend(&self) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why it has failed, if it has.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts an answer.
    pub(super) fn answered(&self, source: SearchSource) {
        let counter = match source {
            SearchSource::Index => &self.from_index,
            SearchSource::Store => &self.from_store,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything for the metrics.
    pub(super) fn figures(&self, durable: Position, now_ms: u64) -> SearchFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let is_on = self.mode() != SearchMode::Off;
        SearchFigures {
            is_on,
            position: self.position(),
            lag_ms: if is_on { self.lag_ms(durable, now_ms) } else { 0 },
            lag_bytes: read(&self.lag_bytes),
            documents: read(&self.documents),
            commits: read(&self.commits),
            indexed: read(&self.indexed),
            disk_bytes: read(&self.disk_bytes),
            is_rebuilding: self.is_rebuilding.load(Ordering::Relaxed),
            answered: [read(&self.from_index), read(&self.from_store)],
            failure: self.failure(),
        }
    }
}
