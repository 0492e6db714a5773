//! Where timers lie: a slab of entries that grows in pages, so that no operation ever copies the whole of it.
//!
//! An entry keeps its place from arm to fire or cancel. A free entry's generation is even, a live one's odd; both
//! transitions add one, so an id matches for exactly one life of its entry.

/// Names one armed timer; 8 bytes. It is good for one wheel, and stale once its timer has fired or was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerId {
    index: u32,
    generation: u32,
}

impl TimerId {
    /// The id of no timer: cancelling it gives `None`, on every wheel.
    pub const NONE: Self = Self { index: u32::MAX, generation: 0 };

    /// Whether this is [`TimerId::NONE`]. An id that has become stale is not.
    pub const fn is_none(self) -> bool {
        self.generation == 0
    }
}

impl Default for TimerId {
    fn default() -> Self {
        Self::NONE
    }
}

/// Entries in a page: 96 KiB for a `u32` payload. A page is allocated untouched and filled entry by entry.
pub(super) const PAGE_LEN: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 12;

/// Indices from here on never name an entry; the wheel uses them for the ends of its lists.
pub(super) const INDEX_END: u32 = u32::MAX - 0xffff;

/// End of the free list.
const NO_INDEX: u32 = u32::MAX;

/// One timer, or a free place: 24 bytes for a `u32` payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<T> {
    /// When it fires, in ms.
    pub(super) deadline_ms: u64,
    /// The timer before it in its slot, or the slot itself.
    pub(super) prev: u32,
    /// The timer after it in its slot, or the slot itself; for a free entry the next free one.
    pub(super) next: u32,
    /// Odd while armed.
    generation: u32,
    /// What the caller gets back.
    pub(super) item: T,
}

/// The entries and the list of the free ones.
#[derive(Debug)]
pub(super) struct Slab<T> {
    /// Each page has the capacity [`PAGE_LEN`] from the start, and all but the last are full. The vector of pages
    /// does double, but at 10 M entries it is 58 KiB.
    pages: Vec<Vec<Entry<T>>>,
    free_head: u32,
    len: usize,
}

impl<T: Copy> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { pages: Vec::new(), free_head: NO_INDEX, len: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes allocated; pages are kept until the slab is dropped.
    pub(super) fn memory_bytes(&self) -> usize {
        let entries: usize = self.pages.iter().map(Vec::capacity).sum();
        entries * size_of::<Entry<T>>() + self.pages.capacity() * size_of::<Vec<Entry<T>>>()
    }

    /// Stores a timer between two neighbours, which the caller links to it.
    ///
    /// # Panics
    /// When more than [`INDEX_END`] timers (about 4.29 billion, 100 GB) would be stored.
    pub(super) fn insert(&mut self, deadline_ms: u64, prev: u32, next: u32, item: T) -> TimerId {
        self.len += 1;
        let index = self.free_head;
        if index != NO_INDEX {
            let entry = self.entry_mut(index);
            let generation = entry.generation + 1;
            let free_next = entry.next;
            *entry = Entry { deadline_ms, prev, next, generation, item };
            self.free_head = free_next;
            return TimerId { index, generation };
        }
        let page_full = self.pages.last().is_none_or(|page| page.len() == PAGE_LEN);
        if page_full {
            self.pages.push(Vec::with_capacity(PAGE_LEN));
        }
        let page_index = self.pages.len() - 1;
        let page = &mut self.pages[page_index];
        let index = page_index * PAGE_LEN + page.len();
        assert!(index < INDEX_END as usize, "a wheel holds at most {INDEX_END} timers");
        page.push(Entry { deadline_ms, prev, next, generation: 1, item });
        TimerId { index: index as u32, generation: 1 }
    }

    /// The live entry that `id` names, if it is still the same timer.
    pub(super) fn get(&self, id: TimerId) -> Option<&Entry<T>> {
        let page = self.pages.get((id.index >> PAGE_BITS) as usize)?;
        let entry = page.get(id.index as usize % PAGE_LEN)?;
        // Ids are only made with odd generations, and a free entry's is even: equality means live.
        (entry.generation == id.generation).then_some(entry)
    }

    /// Frees a live entry that is no longer linked. One whose generations are used up, after 2³¹ timers, is
    /// retired rather than reused: a stale id never matches, and it costs an entry per two billion timers.
    pub(super) fn remove(&mut self, index: u32) {
        let free_head = self.free_head;
        let entry = self.entry_mut(index);
        debug_assert!(entry.generation % 2 == 1, "only a live entry can be freed");
        match entry.generation.checked_add(1) {
            Some(generation) => {
                entry.generation = generation;
                entry.next = free_head;
                self.free_head = index;
            }
            None => entry.generation = 0,
        }
        self.len -= 1;
    }

    pub(super) fn entry(&self, index: u32) -> &Entry<T> {
        &self.pages[(index >> PAGE_BITS) as usize][index as usize % PAGE_LEN]
    }

    pub(super) fn entry_mut(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.pages[(index >> PAGE_BITS) as usize][index as usize % PAGE_LEN]
    }
}

impl TimerId {
    pub(super) const fn index(self) -> u32 {
        self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_eight_bytes_and_an_entry_24() {
        assert_eq!(size_of::<TimerId>(), 8);
        assert_eq!(size_of::<Entry<u32>>(), 24);
    }

    #[test]
    fn a_freed_entry_is_reused_under_another_generation() {
        let mut slab = Slab::new();
        let first = slab.insert(1, 0, 0, 10_u32);
        slab.remove(first.index());
        assert!(slab.get(first).is_none());
        let second = slab.insert(2, 0, 0, 20);
        assert_eq!(first.index(), second.index());
        assert_ne!(first, second);
        assert!(slab.get(first).is_none());
        assert_eq!(slab.get(second).map(|entry| entry.item), Some(20));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn an_entry_whose_generations_are_used_up_is_retired() {
        let mut slab = Slab::new();
        let first = slab.insert(1, 0, 0, 10_u32);
        slab.remove(first.index());
        slab.entry_mut(first.index()).generation = u32::MAX - 1;
        let last = slab.insert(2, 0, 0, 20);
        assert_eq!(last, TimerId { index: first.index(), generation: u32::MAX });
        slab.remove(last.index());
        assert!(slab.get(last).is_none());
        let next = slab.insert(3, 0, 0, 30);
        assert_ne!(next.index(), first.index());
        assert!(slab.get(first).is_none() && slab.get(last).is_none());
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn none_matches_nothing() {
        let mut slab = Slab::new();
        assert!(slab.get(TimerId::NONE).is_none());
        let id = slab.insert(1, 0, 0, 10_u32);
        assert!(slab.get(TimerId::NONE).is_none());
        assert!(TimerId::NONE.is_none() && !id.is_none());
        assert_eq!(TimerId::default(), TimerId::NONE);
    }

    #[test]
    fn it_grows_a_page_at_a_time() {
        let mut slab = Slab::new();
        for item in 0..=PAGE_LEN as u32 {
            let id = slab.insert(0, 0, 0, item);
            assert_eq!(id.index(), item);
        }
        assert_eq!(slab.pages.len(), 2);
        assert!(slab.pages.iter().all(|page| page.capacity() == PAGE_LEN));
        assert!(slab.memory_bytes() >= 2 * PAGE_LEN * 24);
    }
}
