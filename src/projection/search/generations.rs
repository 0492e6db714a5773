//! Which index counts: a folder for each generation, of which one is in use and the next may be in the making.
//!
//! A generation counts once it has been committed, with its position. That commit is what makes the next one take over,
//! also for a start after a crash: the newest that is complete is used, and everything else goes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::schema::SharedGoods;
use super::{Index, IndexError};

/// The folder of all generations.
#[derive(Clone, Debug)]
pub(crate) struct Generations {
    dir: PathBuf,
}

impl Generations {
    /// In this folder, which need not be there.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_path_buf() }
    }

    /// Opens the newest generation that is complete, and removes all others. `None` where there is none; `unusable` hears
    /// of those that can't be used.
    pub(crate) fn open(
        &self,
        goods: &SharedGoods,
        memory_bytes: usize,
        unusable: &mut dyn FnMut(IndexError),
    ) -> Option<(u64, Index)> {
        let numbers = self.numbers();
        let mut opened = None;
        for number in numbers.iter().rev() {
            match Index::open(&self.path(*number), goods.clone(), memory_bytes) {
                Ok(index) => {
                    opened = Some((*number, index));
                    break;
                }
                Err(error) => unusable(error),
            }
        }
        let kept = opened.as_ref().map(|(number, _)| *number);
        numbers.into_iter().filter(|number| Some(*number) != kept).for_each(|number| self.remove(number));
        opened
    }

    /// Makes a new generation, behind all that there are.
    ///
    /// # Errors
    /// [`IndexError::Storage`].
    pub(crate) fn create(
        &self,
        goods: &SharedGoods,
        memory_bytes: usize,
    ) -> Result<(u64, Index), IndexError> {
        let number = self.numbers().last().map_or(1, |last| last + 1);
        Index::create(&self.path(number), goods.clone(), memory_bytes).map(|index| (number, index))
    }

    /// Removes a generation. What can't be removed now goes at the next start.
    pub(crate) fn remove(&self, number: u64) {
        // A merge that is given up may still be writing a file there.
        let _ = fs::remove_dir_all(self.path(number));
    }

    /// Removes all but one.
    pub(crate) fn keep_only(&self, number: u64) {
        self.numbers().into_iter().filter(|other| *other != number).for_each(|other| self.remove(other));
    }

    /// Removes all of them.
    pub(crate) fn remove_all(&self) {
        self.numbers().into_iter().for_each(|number| self.remove(number));
    }

    /// Size of a generation on the disk, in bytes.
    pub(crate) fn bytes_on_disk(&self, number: u64) -> u64 {
        let size =
            |entry: io::Result<fs::DirEntry>| entry.and_then(|entry| entry.metadata()).map(|data| data.len());
        // Files come and go meanwhile.
        fs::read_dir(self.path(number))
            .map_or(0, |entries| entries.filter_map(|entry| size(entry).ok()).sum())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(number.to_string())
    }

    /// Ascending.
    fn numbers(&self) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(&self.dir) else { return Vec::new() };
        let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        let mut numbers: Vec<u64> = entries.filter_map(number).collect();
        numbers.sort_unstable();
        numbers
    }
}
