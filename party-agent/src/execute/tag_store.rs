//! Sorted runs of tags on this holder's disk, for intersections that are larger than memory.
//!
//! All runs of a store are one file, which nobody else may read and which has no name any more once
//! it is open: whatever ends the run, a kill too, the file is gone with it. So an intersection that
//! was interrupted starts anew, with a fresh key and a fresh order. Nothing of it may be kept:
//! tags under one key from two runs would tell a peer which items changed in between.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use protocols::psi::tags::{Entry, RUN_ENTRIES, StoreError, TagStore};

/// Entries that are turned into bytes at a time.
const BUFFER_ENTRIES: usize = 1 << 12;

/// Runs of tags in a file without a name.
pub struct FileStore {
    file: File,
    /// Where each run begins, in entries; and the end of the last one.
    starts: Vec<u64>,
    run_entries: usize,
}

impl FileStore {
    /// An empty store in this directory, which is on the disk that has room for it.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(dir: &Path) -> io::Result<Self> {
        Self::with_runs_of(dir, RUN_ENTRIES)
    }

    /// The same with runs of other lengths: shorter ones take less memory, and more reads.
    ///
    /// # Errors
    /// What the system says.
    pub fn with_runs_of(dir: &Path, run_entries: usize) -> io::Result<Self> {
        let mut number = 0;
        loop {
            let path = dir.join(format!(".tags-{}-{number}", std::process::id()));
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o600);
            match options.open(&path) {
                Ok(file) => {
                    fs::remove_file(&path)?;
                    return Ok(Self {
                        file,
                        starts: vec![0],
                        run_entries: run_entries.max(1),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&mut self, entries: &[Entry]) -> io::Result<()> {
        let mut at = *self.starts.last().unwrap_or(&0);
        let mut buffer = Vec::with_capacity(BUFFER_ENTRIES * Entry::BYTES);
        for entries in entries.chunks(BUFFER_ENTRIES) {
            buffer.clear();
            entries.iter().for_each(|e| buffer.extend(e.to_bytes()));
            self.file.write_all_at(&buffer, at * Entry::BYTES as u64)?;
            at += entries.len() as u64;
        }
        self.starts.push(at);
        Ok(())
    }

    fn read_at(&self, first: u64, n_entries: usize) -> io::Result<Vec<Entry>> {
        let mut bytes = vec![0; n_entries * Entry::BYTES];
        self.file
            .read_exact_at(&mut bytes, first * Entry::BYTES as u64)?;
        let (entries, _) = bytes.as_chunks();
        Ok(entries.iter().map(Entry::from_bytes).collect())
    }
}

/// The holder hears why a disk failed from its own log; peers hear that it did.
fn failed(error: &io::Error) -> StoreError {
    tracing::warn!(kind = %error.kind(), "the file of an intersection's tags failed");
    StoreError
}

impl TagStore for FileStore {
    fn run_entries(&self) -> usize {
        self.run_entries
    }

    fn keep(&mut self, run: usize, entries: Vec<Entry>) -> Result<(), StoreError> {
        if run + 1 != self.starts.len() {
            return Err(StoreError);
        }
        self.write(&entries).map_err(|error| failed(&error))
    }

    fn read(&mut self, run: usize, entries: Range<usize>) -> Result<Vec<Entry>, StoreError> {
        let start = self.starts.get(run).ok_or(StoreError)? + entries.start as u64;
        self.read_at(start, entries.len())
            .map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn entries(n: u64) -> Vec<Entry> {
        let entry = |i: u64| Entry {
            tag: u128::from(i) << 70 | 5,
            position: i * i,
        };
        (0..n).map(entry).collect()
    }

    #[test]
    fn runs_come_back_and_leave_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut store = FileStore::create(dir.path()).expect("a file");
        let mut other = FileStore::create(dir.path()).expect("another file");
        let mode = store.file.metadata().expect("of the file").mode();
        assert_eq!(mode & 0o777, 0o600);
        for (run, n) in [0, 1, BUFFER_ENTRIES as u64, 10_000]
            .into_iter()
            .enumerate()
        {
            store.keep(run, entries(n)).expect("room on the disk");
            other.keep(run, entries(3)).expect("room on the disk");
        }
        assert!(store.read(3, 0..10_000).expect("a run") == entries(10_000));
        assert!(store.read(3, 17..9_000).expect("a part") == entries(10_000)[17..9_000]);
        assert!(store.read(1, 0..1).expect("a run") == entries(1));
        assert!(store.read(0, 0..0).expect("an empty run").is_empty());
        assert!(other.read(3, 0..3).expect("a run") == entries(3));
        assert!(store.keep(7, entries(1)).is_err(), "runs come in order");
        assert!(store.read(4, 0..1).is_err(), "there is no such run");
        assert!(store.read(3, 9_999..10_001).is_err(), "there is no more");
        let left = fs::read_dir(dir.path()).expect("the directory").count();
        assert_eq!(left, 0, "files have no names");
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(FileStore::create(&dir.path().join("none")).is_err());
    }
}
