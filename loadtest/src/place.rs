//! Where a test keeps its data.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::Failure;

/// A data directory: the caller's, which stays, or a temporary one, which goes when this is dropped.
pub(crate) struct Place {
    path: PathBuf,
    _temporary: Option<TempDir>,
}

impl Place {
    /// The directory named, which must be empty or absent, or a fresh temporary one.
    pub(crate) fn new(named: Option<&Path>) -> Result<Self, Failure> {
        let Some(named) = named else {
            let temporary = tempfile::Builder::new().prefix("stockade-loadtest-").tempdir()?;
            let path = temporary.path().join("data");
            std::fs::create_dir(&path)?;
            return Ok(Self { path, _temporary: Some(temporary) });
        };
        std::fs::create_dir_all(named)?;
        if std::fs::read_dir(named)?.next().is_some() {
            return Err(format!("{} is not empty: name another directory", named.display()).into());
        }
        Ok(Self { path: named.to_owned(), _temporary: None })
    }

    /// The directory named, which has data in it already.
    pub(crate) fn existing(named: &Path) -> Result<Self, Failure> {
        if !named.is_dir() {
            return Err(format!("{} is no directory", named.display()).into());
        }
        Ok(Self { path: named.to_owned(), _temporary: None })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Place::new(Some(dir.path())).is_ok());
        std::fs::write(dir.path().join("x"), "").unwrap();
        assert!(Place::new(Some(dir.path())).is_err());
    }

    #[test]
    fn a_temporary_directory_goes_away() {
        let place = Place::new(None).unwrap();
        let path = place.path().to_owned();
        assert!(path.is_dir());
        drop(place);
        assert!(!path.exists());
    }
}
