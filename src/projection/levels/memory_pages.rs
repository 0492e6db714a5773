//! A page store in memory: for tests, for simulation, and for what the relay keeps at the memory level. A clone is the
//! same store.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::StoreError;
use super::pages::{KeyAndPage, PageBatch, PageBytes, PageRead, PageStore};

/// A page store without a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryPages {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    pages: BTreeMap<Box<[u8]>, PageBytes>,
    commits: u64,
    searches: u64,
    bytes_written: u64,
    fail_commit: Option<u64>,
}

#[cfg(test)]
impl MemoryPages {
    /// Lets the `nth` commit fail, counted from 1 since the store was made; nothing of it is applied.
    pub(crate) fn fail_commit_at(&self, nth: u64) {
        self.lock().fail_commit = Some(nth);
    }

    /// What the last successful commit left, as a store of its own.
    pub(crate) fn after_crash(&self) -> Self {
        let pages = self.lock().pages.clone();
        Self { state: Arc::new(Mutex::new(State { pages, ..State::default() })) }
    }

    /// Commits since the store was made, the failed one included.
    pub(crate) fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// How often a page was searched for since the store was made.
    pub(crate) fn searches(&self) -> u64 {
        self.lock().searches
    }

    /// All keys, ascending.
    pub(crate) fn keys(&self) -> Vec<Box<[u8]>> {
        self.lock().pages.keys().cloned().collect()
    }

    /// Changes the store behind its user's back: replaces a page, or removes it.
    pub(crate) fn tamper(&self, key: &[u8], page: Option<Vec<u8>>) {
        let mut state = self.lock();
        match page {
            Some(page) => drop(state.pages.insert(key.into(), PageBytes::new(page))),
            None => drop(state.pages.remove(key)),
        }
    }
}

impl MemoryPages {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PageStore for MemoryPages {
    fn commit(&mut self, batch: PageBatch) -> Result<(), StoreError> {
        let mut state = self.lock();
        state.commits += 1;
        if state.fail_commit == Some(state.commits) {
            let fault = io::Error::other("injected fault");
            return Err(StoreError::io("commit to", "the store in memory".as_ref(), fault));
        }
        state.bytes_written += batch.bytes() as u64;
        let (puts, removes) = batch.into_parts();
        for (key, page) in puts {
            state.pages.insert(key, PageBytes::new(page));
        }
        for key in removes {
            state.pages.remove(&key);
        }
        Ok(())
    }

    fn reader(&self) -> Arc<dyn PageRead> {
        Arc::new(self.clone())
    }
}

impl PageRead for MemoryPages {
    fn get(&self, key: &[u8]) -> Result<Option<PageBytes>, StoreError> {
        Ok(self.lock().pages.get(key).cloned())
    }

    fn floor(&self, low: &[u8], key: &[u8]) -> Result<Option<KeyAndPage>, StoreError> {
        let mut state = self.lock();
        state.searches += 1;
        let mut range = state.pages.range::<[u8], _>((Bound::Included(low), Bound::Included(key)));
        Ok(range.next_back().map(|(key, page)| (key.clone(), page.clone())))
    }

    fn range(&self, low: &[u8], high: &[u8], len_max: usize) -> Result<Vec<KeyAndPage>, StoreError> {
        let state = self.lock();
        let range = state.pages.range::<[u8], _>((Bound::Included(low), Bound::Excluded(high)));
        Ok(range.take(len_max).map(|(key, page)| (key.clone(), page.clone())).collect())
    }

    fn bytes_on_disk(&self) -> u64 {
        self.lock().pages.iter().map(|(key, page)| (key.len() + page.as_ref().len()) as u64).sum()
    }
}
