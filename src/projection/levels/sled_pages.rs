//! The page store on a local disk: one sled tree.
//!
//! It takes the precautions of the journal's backend, which say what sled 0.34 leaves to its user: `fdatasync` on a
//! second descriptor after each flush, 16 MiB segments so that no value goes to a file that is never synced, files and
//! folders synced after open, guards against panics over damaged files, patience with a lock that is about to go.
//!
//! Sled keeps 16 pages or so in a leaf and writes all of them again whenever it splits or merges leaves. So a commit
//! first makes room: it inserts new keys without pages, and takes the pages from keys that are about to go. The leaves
//! are split and merged while they are small, and then each page is written about once. Small pages are not worth it.

use std::fs::{self, File};
use std::iter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::journal::{JournalError, open_database, sled_reads, sync_database, sync_dir};

use super::StoreError;
use super::pages::{KeyAndPage, PageBatch, PageBytes, PageRead, PageStore};

/// What a key has that a commit makes room for, or is about to remove.
const NO_PAGE: &[u8] = &[];
/// Writing a leaf of smaller pages again costs less than writing each of their keys twice, in bytes.
const ROOM_PAGE_BYTES_MIN: usize = 4 << 10;

/// The page store on sled.
#[derive(Debug)]
pub(crate) struct SledPages {
    tree: Arc<SledTree>,
    /// A descriptor of our own on the database's file, for `fdatasync`.
    db_file: File,
}

/// The reading side.
#[derive(Debug)]
struct SledTree {
    db: sled::Db,
    db_path: PathBuf,
}

impl SledPages {
    /// Opens the store in a folder, or creates both. On return everything found is durable.
    ///
    /// `cache_bytes` is the memory that the database's cache may take.
    ///
    /// # Errors
    /// [`StoreError::InUse`]; [`StoreError::Damaged`] or [`StoreError::Panicked`] over damaged files; what the file
    /// system answers.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let db = open_database(path, path, cache_bytes)?;
        let (db_file, db_path) = sync_database(path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_dir(parent.unwrap_or(Path::new(".")))?;
        Ok(Self { tree: Arc::new(SledTree { db, db_path }), db_file })
    }
}

impl SledPages {
    /// Leaves keys without pages, if a crash comes before the commit. None of them is one that must be there.
    fn make_room(&self, puts: &[(Box<[u8]>, Vec<u8>)], removes: &[Box<[u8]>]) -> Result<(), StoreError> {
        let db = &self.tree.db;
        let is_large = |page: &[u8]| page.len() >= ROOM_PAGE_BYTES_MIN;
        for (key, page) in puts {
            if is_large(page) && !db.contains_key(key).map_err(store("find a page"))? {
                db.insert(key, NO_PAGE).map_err(store("make room for a page"))?;
            }
        }
        for key in removes {
            if db.get(key).map_err(store("find a page"))?.is_some_and(|page| is_large(&page)) {
                db.insert(key, NO_PAGE).map_err(store("empty a page"))?;
            }
        }
        Ok(())
    }
}

impl PageStore for SledPages {
    fn commit(&mut self, batch: PageBatch) -> Result<(), StoreError> {
        let (puts, removes) = batch.into_parts();
        guarded("make room for pages", || self.make_room(&puts, &removes))?;
        let mut changes = sled::Batch::default();
        for (key, page) in puts {
            changes.insert(sled::IVec::from(key), sled::IVec::from(page));
        }
        for key in removes {
            changes.remove(sled::IVec::from(key));
        }
        guarded("commit pages", || {
            self.tree.db.apply_batch(changes).map_err(store("commit pages"))?;
            sled_reads::hand_garbage_on();
            self.tree.db.flush().map(|_| ()).map_err(store("flush pages"))
        })?;
        self.db_file.sync_data().map_err(|error| StoreError::io("fdatasync", &self.tree.db_path, error))
    }

    fn reader(&self) -> Arc<dyn PageRead> {
        Arc::clone(&self.tree) as Arc<dyn PageRead>
    }
}

impl PageRead for SledTree {
    fn get(&self, key: &[u8]) -> Result<Option<PageBytes>, StoreError> {
        guarded("read a page", || {
            let found = sled_reads::get(&self.db, key).map_err(store("read a page"))?;
            Ok(found.filter(|page| !page.is_empty()).map(PageBytes::new))
        })
    }

    fn floor(&self, low: &[u8], key: &[u8]) -> Result<Option<KeyAndPage>, StoreError> {
        guarded("find a page", || {
            let found = sled_reads::next(&self.db, &mut self.db.range(low..=key).rev());
            found.map(|found| found.map(owned)).map_err(store("find a page"))
        })
    }

    fn range(&self, low: &[u8], high: &[u8], len_max: usize) -> Result<Vec<KeyAndPage>, StoreError> {
        guarded("list pages", || {
            let mut pages = self.db.range(low..high).take(len_max);
            let next = || sled_reads::next(&self.db, &mut pages).transpose();
            iter::from_fn(next).map(|found| found.map(owned).map_err(store("list pages"))).collect()
        })
    }

    fn bytes_on_disk(&self) -> u64 {
        fs::metadata(&self.db_path).map_or(0, |metadata| metadata.len())
    }
}

fn owned((key, page): (sled::IVec, sled::IVec)) -> KeyAndPage {
    (Box::from(key.as_ref()), PageBytes::new(page))
}

/// Runs what may panic over damaged files.
fn guarded<T>(doing: &'static str, run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(JournalError::panicked(doing, &*panic).into()))
}

/// Sorts the database's errors.
fn store(doing: &'static str) -> impl Fn(sled::Error) -> StoreError {
    move |error| match error {
        sled::Error::Io(error) => StoreError::io(doing, Path::new("the table store"), error),
        sled::Error::Corruption { at, .. } => StoreError::damaged(format!(
            "its database found wrong bytes{}",
            at.map(|at| format!(" at {at:?}")).unwrap_or_default()
        )),
        error => StoreError::Store { doing, source: Box::new(error) },
    }
}
