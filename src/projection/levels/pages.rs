//! What the tables are kept in: ordered keys, atomic durable commits. Two stores implement it: one on disk
//! ([`super::SledPages`]), one in memory for tests and simulation ([`super::MemoryPages`]).

use std::fmt;
use std::sync::Arc;

use super::StoreError;

/// A key with its page.
pub(crate) type KeyAndPage = (Box<[u8]>, PageBytes);

/// The writing side of a store.
pub(crate) trait PageStore: Send + 'static {
    /// Applies all puts and removes atomically; durable (power cut) on return. Pages are never empty.
    ///
    /// A crash may leave keys of a batch that was not applied with empty pages, but only such that were not there
    /// before or were to be removed: [`PageRead::get`] doesn't find them, the other methods do. So nothing may be read
    /// under such keys any more, and their like have to be removed at some time.
    ///
    /// # Errors
    /// After the first error it is unknown whether the batch was applied, and the owner writes no more.
    fn commit(&mut self, batch: PageBatch) -> Result<(), StoreError>;

    /// The reading side. It sees whole batches only.
    fn reader(&self) -> Arc<dyn PageRead>;
}

/// The reading side of a store.
pub(crate) trait PageRead: Send + Sync + 'static {
    /// The page under a key.
    ///
    /// # Errors
    /// What the store answers, for this method and the others.
    fn get(&self, key: &[u8]) -> Result<Option<PageBytes>, StoreError>;

    /// The entry with the greatest key in `low..=key`.
    fn floor(&self, low: &[u8], key: &[u8]) -> Result<Option<KeyAndPage>, StoreError>;

    /// Up to `len_max` entries, ascending, from `low` (included) to `high` (excluded).
    fn range(&self, low: &[u8], high: &[u8], len_max: usize) -> Result<Vec<KeyAndPage>, StoreError>;

    /// What the store takes up, in bytes.
    fn bytes_on_disk(&self) -> u64;
}

/// The bytes of a page, shared with the store's cache.
#[derive(Clone)]
pub(crate) struct PageBytes(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl PageBytes {
    /// Wraps what the store holds the bytes in.
    pub(crate) fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(bytes))
    }
}

impl AsRef<[u8]> for PageBytes {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for PageBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageBytes({} bytes)", self.as_ref().len())
    }
}

/// Changes that become visible and durable together. A key occurs once.
#[derive(Debug, Default)]
pub(crate) struct PageBatch {
    puts: Vec<(Box<[u8]>, Vec<u8>)>,
    removes: Vec<Box<[u8]>>,
    bytes: usize,
}

impl PageBatch {
    /// Stores a page.
    pub(crate) fn put(&mut self, key: impl Into<Box<[u8]>>, page: Vec<u8>) {
        let key = key.into();
        self.bytes += key.len() + page.len();
        self.puts.push((key, page));
    }

    /// Removes a page.
    pub(crate) fn remove(&mut self, key: impl Into<Box<[u8]>>) {
        self.removes.push(key.into());
    }

    /// Keys and pages to be stored, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.removes.is_empty()
    }

    /// Puts, then removes.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    pub(crate) fn into_parts(self) -> (Vec<(Box<[u8]>, Vec<u8>)>, Vec<Box<[u8]>>) {
        (self.puts, self.removes)
    }
}
