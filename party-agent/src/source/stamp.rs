//! Whether a file is still the one that was opened.

use std::fs::{File, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use coordinator::contract::Digest;

use super::SourceError;

/// A file's path with its size and time of change at the moment it was opened.
///
/// Types, categories and bounds were read from the file as it was. Running on another one could give a wrong
/// answer without any sign of it, so a changed file is refused.
#[derive(Clone, Debug)]
pub(super) struct FileStamp {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

impl FileStamp {
    pub(super) fn take(path: &Path) -> Result<Self, SourceError> {
        let metadata = std::fs::metadata(path).map_err(|e| unreadable(path, &e))?;
        if !metadata.is_file() {
            let advice = "name a file; a table is one file";
            return Err(SourceError::file(path, "this is not a file", advice));
        }
        Self::of(path, &metadata)
    }

    pub(super) fn is_unchanged(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|metadata| self.check(&metadata).is_ok())
    }

    /// Opens the file, if it is unchanged.
    pub(super) fn open(&self) -> Result<File, SourceError> {
        let file = File::open(&self.path).map_err(|e| unreadable(&self.path, &e))?;
        let metadata = file.metadata().map_err(|e| unreadable(&self.path, &e))?;
        self.check(&metadata)?;
        Ok(file)
    }

    /// SHA-256 of the file as it was when it was opened.
    pub(super) fn content(&self) -> Result<Digest, SourceError> {
        let mut file = self.open()?;
        let content = Digest::of_reader(&mut file).map_err(|e| unreadable(&self.path, &e))?;
        let metadata = file.metadata().map_err(|e| unreadable(&self.path, &e))?;
        self.check(&metadata)?;
        Ok(content)
    }

    pub(super) fn check(&self, metadata: &Metadata) -> Result<(), SourceError> {
        let now = Self::of(&self.path, metadata)?;
        if now.size == self.size && now.modified == self.modified {
            return Ok(());
        }
        let advice = "add the dataset again, so that its catalogue is published anew";
        Err(SourceError::file(
            &self.path,
            "the file has changed since it was opened",
            advice,
        ))
    }

    fn of(path: &Path, metadata: &Metadata) -> Result<Self, SourceError> {
        let modified = metadata.modified().map_err(|e| unreadable(path, &e))?;
        Ok(Self {
            path: path.to_owned(),
            size: metadata.len(),
            modified,
        })
    }
}

pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> SourceError {
    let advice = "check that it exists and that this process may read it";
    SourceError::file(path, format!("cannot be read: {error}"), advice)
}
