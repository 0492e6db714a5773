//! Walks through runs, one page of each in memory: [`RunCursor`] through one, [`Merged`] through several at once.
//!
//! A run is opened only when its entries are due: until then its least (or greatest) key, which the manifest names,
//! stands for it. Each page must name the one after it, in either direction, so a missing page is an error.

use std::cmp::Ordering;
use std::sync::Arc;

use super::manifest::Run;
use super::page::Page;
use super::pages::PageRead;
use super::{StoreError, TableSpec};

/// How many bytes of a key [`prefix_of`] takes.
pub(super) const PREFIX_BYTES: usize = size_of::<u128>();

/// The first bytes of a key as a number of the same order.
pub(super) fn prefix_of(key: &[u8]) -> u128 {
    let mut prefix = [0; PREFIX_BYTES];
    let len = key.len().min(PREFIX_BYTES);
    prefix[..len].copy_from_slice(&key[..len]);
    u128::from_be_bytes(prefix)
}

/// In which order entries come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

/// Where runs are read from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) pages: Arc<dyn PageRead>,
    pub(super) table: TableSpec,
}

impl Source {
    /// The page of a run that begins with `first`, which must be there.
    pub(super) fn page_at(&self, run: &Run, first: &[u8]) -> Result<Page, StoreError> {
        let key = run.page_key(first);
        let bytes = self.pages.get(&key)?.ok_or_else(|| run.damaged(&self.table, "a page is missing"))?;
        Page::parse(&self.table, run, &key, bytes)
    }

    /// The page of a run where `key` lies if the run has it; `key` must not be below the least one.
    pub(super) fn page_around(&self, run: &Run, key: &[u8]) -> Result<Page, StoreError> {
        let found = self.pages.floor(&run.page_key(&run.min), &run.page_key(key))?;
        let (found, bytes) = found.ok_or_else(|| run.damaged(&self.table, "a page is missing"))?;
        let page = Page::parse(&self.table, run, &found, bytes)?;
        let is_last = match page.next() {
            Some(next) => key < next,
            None => page.key(page.len() - 1) == &*run.max,
        };
        if is_last { Ok(page) } else { Err(run.damaged(&self.table, "a page is missing")) }
    }

    /// What the run says about a key: nothing, that it was removed, or its value.
    pub(super) fn find(&self, run: &Run, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, StoreError> {
        if key < &*run.min || key > &*run.max {
            return Ok(None);
        }
        let page = self.page_around(run, key)?;
        Ok(page.find(key).map(|value| value.map(<[u8]>::to_vec)))
    }
}

/// Stands on an entry of a run.
struct RunCursor {
    run: Arc<Run>,
    direction: Direction,
    /// `None` while it stands on the run's first entry in its direction, and that wasn't read yet.
    page: Option<Page>,
    index: usize,
}

impl RunCursor {
    /// Stands on the first entry in `low..high`, in its direction; `None` when the run has nothing there.
    fn open(
        source: &Source,
        run: &Arc<Run>,
        direction: Direction,
        low: &[u8],
        high: Option<&[u8]>,
    ) -> Result<Option<Self>, StoreError> {
        if low > &*run.max || high.is_some_and(|high| high <= &*run.min) {
            return Ok(None);
        }
        let mut cursor = Self { run: Arc::clone(run), direction, page: None, index: 0 };
        match (direction, high) {
            (Direction::Ascending, _) if low > &*run.min => cursor.seek_up(source, low)?,
            (Direction::Descending, Some(high)) if high <= &*run.max => cursor.seek_down(source, high)?,
            _ => {}
        }
        Ok(Some(cursor))
    }

    /// To the least entry at or above `low`. There is one, because `low` is not above the greatest.
    fn seek_up(&mut self, source: &Source, low: &[u8]) -> Result<(), StoreError> {
        let page = source.page_around(&self.run, low)?;
        self.index = page.lower_bound(low);
        self.page = Some(page);
        if self.page.as_ref().is_some_and(|page| self.index == page.len()) {
            self.index -= 1;
            self.step(source)?;
        }
        Ok(())
    }

    /// To the greatest entry below `high`. There is one, because `high` is above the least.
    fn seek_down(&mut self, source: &Source, high: &[u8]) -> Result<(), StoreError> {
        let page = source.page_around(&self.run, high)?;
        let index = page.lower_bound(high);
        self.page = Some(page);
        match index.checked_sub(1) {
            Some(index) => self.index = index,
            None => {
                self.index = 0;
                self.step(source)?;
            }
        }
        Ok(())
    }

    fn key(&self) -> &[u8] {
        match (&self.page, self.direction) {
            (Some(page), _) => page.key(self.index),
            (None, Direction::Ascending) => &self.run.min,
            (None, Direction::Descending) => &self.run.max,
        }
    }

    /// Reads the page that it stands on.
    fn load(&mut self, source: &Source) -> Result<(), StoreError> {
        if self.page.is_none() {
            let page = match self.direction {
                Direction::Ascending => source.page_at(&self.run, &self.run.min)?,
                Direction::Descending => source.page_around(&self.run, &self.run.max)?,
            };
            self.index = if self.direction == Direction::Ascending { 0 } else { page.len() - 1 };
            self.page = Some(page);
        }
        Ok(())
    }

    /// On to the next entry in its direction. Returns whether there is one.
    fn step(&mut self, source: &Source) -> Result<bool, StoreError> {
        self.load(source)?;
        let Some(page) = &self.page else { return Ok(false) };
        match self.direction {
            Direction::Ascending if self.index + 1 < page.len() => self.index += 1,
            Direction::Ascending => {
                let Some(next) = page.next() else {
                    return if page.key(self.index) == &*self.run.max {
                        Ok(false)
                    } else {
                        Err(self.run.damaged(&source.table, "the last page is missing"))
                    };
                };
                self.page = Some(source.page_at(&self.run, next)?);
                self.index = 0;
            }
            Direction::Descending if self.index > 0 => self.index -= 1,
            Direction::Descending => {
                let first = page.key(0);
                if first == &*self.run.min {
                    return Ok(false);
                }
                let before = source.page_around(&self.run, &predecessor(first))?;
                if before.next() != Some(first) {
                    return Err(self.run.damaged(&source.table, "a page is missing"));
                }
                self.index = before.len() - 1;
                self.page = Some(before);
            }
        }
        Ok(true)
    }
}

/// The greatest key of the same length below `key`, which must not be the least one of all.
fn predecessor(key: &[u8]) -> Vec<u8> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            break;
        }
    }
    key
}

/// What a run offers next.
#[derive(Clone, Copy)]
struct Offer {
    prefix: u128,
    /// Which cursor: newer runs come first.
    cursor: usize,
}

/// Several runs of a table as one. Of each key only the newest entry is seen, which may be a removal.
pub(super) struct Merged {
    source: Source,
    direction: Direction,
    cursors: Vec<RunCursor>,
    /// A binary heap with the next entry on top, of equal keys the newest.
    offers: Vec<Offer>,
    /// The key that all runs have to pass.
    passed: Vec<u8>,
    has_begun: bool,
}

impl Merged {
    /// Stands before the first entry in `low..high` of runs that are given newest first. Entries beyond the other end
    /// of the range are seen too: the caller stops there.
    pub(super) fn open(
        source: Source,
        runs: &[Arc<Run>],
        direction: Direction,
        low: &[u8],
        high: Option<&[u8]>,
    ) -> Result<Self, StoreError> {
        let mut cursors = Vec::with_capacity(runs.len());
        for run in runs {
            cursors.extend(RunCursor::open(&source, run, direction, low, high)?);
        }
        let offer = |(cursor, at): (usize, &RunCursor)| Offer { prefix: prefix_of(at.key()), cursor };
        let offers = cursors.iter().enumerate().map(offer).collect();
        let passed = vec![0; source.table.key_len];
        let mut merged = Self { source, direction, cursors, offers, passed, has_begun: false };
        for root in (0..merged.offers.len() / 2).rev() {
            merged.sift_down(root);
        }
        Ok(merged)
    }

    /// On to the next key. Returns whether there is one. Not to be called again after an error.
    pub(super) fn advance(&mut self) -> Result<bool, StoreError> {
        if self.has_begun {
            self.pass_top()?;
        }
        self.has_begun = true;
        let Some(top) = self.offers.first() else { return Ok(false) };
        self.cursors[top.cursor].load(&self.source)?;
        Ok(true)
    }

    /// The entry it stands on, after [`Merged::advance`] returned `true`; without a value for a removal.
    pub(super) fn entry(&self) -> Option<(&[u8], Option<&[u8]>)> {
        let cursor = &self.cursors[self.offers.first()?.cursor];
        let page = cursor.page.as_ref()?;
        Some((page.key(cursor.index), page.value(cursor.index)))
    }

    /// Moves all runs that stand on the top key.
    fn pass_top(&mut self) -> Result<(), StoreError> {
        let Some(passed) = self.offers.first().map(|top| top.prefix) else { return Ok(()) };
        let is_long = self.source.table.key_len > PREFIX_BYTES;
        if is_long {
            self.passed.copy_from_slice(self.cursors[self.offers[0].cursor].key());
        }
        while let Some(top) = self.offers.first_mut() {
            let cursor = &mut self.cursors[top.cursor];
            if top.prefix != passed || (is_long && cursor.key() != self.passed) {
                break;
            }
            if cursor.step(&self.source)? {
                top.prefix = prefix_of(cursor.key());
            } else {
                cursor.page = None;
                self.offers.swap_remove(0);
            }
            self.sift_down(0);
        }
        Ok(())
    }

    fn comes_before(&self, a: Offer, b: Offer) -> bool {
        let mut order = a.prefix.cmp(&b.prefix);
        if order == Ordering::Equal && self.source.table.key_len > PREFIX_BYTES {
            order = self.cursors[a.cursor].key().cmp(self.cursors[b.cursor].key());
        }
        if self.direction == Direction::Descending {
            order = order.reverse();
        }
        order.then(a.cursor.cmp(&b.cursor)) == Ordering::Less
    }

    fn sift_down(&mut self, mut root: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= self.offers.len() {
                return;
            }
            let right = child + 1;
            if right < self.offers.len() && self.comes_before(self.offers[right], self.offers[child]) {
                child = right;
            }
            if !self.comes_before(self.offers[child], self.offers[root]) {
                return;
            }
            self.offers.swap(root, child);
            root = child;
        }
    }
}
