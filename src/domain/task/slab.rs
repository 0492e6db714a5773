//! Where a topic's records lie: a slab that grows in pages, so that no operation ever copies the whole of it.

/// Places in a page. The first page grows like any vector, so that a topic with a few tasks stays small.
const PAGE_LEN: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 10;

/// Records by index. An index is good until its record is taken out.
#[derive(Debug)]
pub(super) struct Slab<T> {
    pages: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Puts a record in; gives its index.
    pub(super) fn insert(&mut self, record: T) -> u32 {
        if let Some(index) = self.free.pop() {
            *self.place(index) = Some(record);
            return index;
        }
        match self.pages.last() {
            None => self.pages.push(Vec::new()),
            Some(page) if page.len() == PAGE_LEN => self.pages.push(Vec::with_capacity(PAGE_LEN)),
            Some(_) => {}
        }
        let page_index = self.pages.len() - 1;
        let page = &mut self.pages[page_index];
        page.push(Some(record));
        // Bounded by the number of tasks, which is far below 2^32.
        (page_index * PAGE_LEN + page.len() - 1) as u32
    }

    /// The record at an index.
    ///
    /// # Panics
    /// If there is none: an index in some other table outlived its record, which is a bug.
    pub(super) fn get(&self, index: u32) -> &T {
        let page = &self.pages[index as usize >> PAGE_BITS];
        page[index as usize & (PAGE_LEN - 1)].as_ref().expect("indexed records are there")
    }

    /// The record at an index, to be changed.
    ///
    /// # Panics
    /// As [`Slab::get`].
    pub(super) fn get_mut(&mut self, index: u32) -> &mut T {
        self.place(index).as_mut().expect("indexed records are there")
    }

    /// Takes a record out.
    ///
    /// # Panics
    /// As [`Slab::get`].
    pub(super) fn remove(&mut self, index: u32) -> T {
        let record = self.place(index).take().expect("indexed records are there");
        self.free.push(index);
        record
    }

    /// All records, by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flatten().filter_map(Option::as_ref)
    }

    fn place(&mut self, index: u32) -> &mut Option<T> {
        &mut self.pages[index as usize >> PAGE_BITS][index as usize & (PAGE_LEN - 1)]
    }
}
