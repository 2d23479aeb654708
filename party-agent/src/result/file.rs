//! Files that are there completely or not at all, and for their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::ResultError;

/// Writes a file with mode 0600: complete and on disk, or not there. An existing one is replaced.
///
/// # Errors
/// [`ResultError::Write`]; what stood there before still does.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), ResultError> {
    let partial = Partial::write(path, bytes)?;
    partial.finish()?;
    sync_dir(path.parent())
}

/// Writes files into a directory, all or none.
pub(super) fn write_all(dir: &Path, files: &[(&str, &[u8])]) -> Result<(), ResultError> {
    let mut partials = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        partials.push(Partial::write(&dir.join(name), bytes)?);
    }
    // What can fail for want of space has been done by now; a rename needs none.
    for partial in partials {
        partial.finish()?;
    }
    sync_dir(Some(dir))
}

/// A complete file under a name of its own. It is removed unless it gets its final name.
struct Partial {
    at: PathBuf,
    path: PathBuf,
    is_finished: bool,
}

impl Partial {
    fn write(path: &Path, bytes: &[u8]) -> Result<Self, ResultError> {
        let failed = |source| ResultError::Write {
            path: path.to_owned(),
            source,
        };
        let name = path
            .file_name()
            .ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.partial", std::process::id()));
        let at = path.with_file_name(hidden);
        // One from a process of this number that was killed.
        match fs::remove_file(&at) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        let mut file = create(&at).map_err(failed)?;
        let partial = Self {
            at,
            path: path.to_owned(),
            is_finished: false,
        };
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        Ok(partial)
    }

    fn finish(mut self) -> Result<(), ResultError> {
        fs::rename(&self.at, &self.path).map_err(|source| ResultError::Write {
            path: self.path.clone(),
            source,
        })?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_finished {
            // Nothing more can be done if this fails: the error that led here is reported.
            fs::remove_file(&self.at).ok();
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a rename last through a power failure.
fn sync_dir(dir: Option<&Path>) -> Result<(), ResultError> {
    let dir = dir
        .filter(|d| !d.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let failed = |source| ResultError::Write {
        path: dir.to_owned(),
        source,
    };
    File::open(dir).and_then(|d| d.sync_all()).map_err(failed)
}
