//! The files on disk behind a sink: opening, locking, rotating. What is written into them is the
//! [`writer`](super::writer)'s business, which knows them by the traits of this module only.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use eventflux_core::EventFluxError;

use super::claim::{Claim, rotated};
use super::config::{FileSinkConfig, Rotation, SyncMode};

/// An open file that only grows, unless it is cut.
pub(super) trait Medium: Send {
    /// Appends some of the bytes; returns how many.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Its size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts it to `size` bytes.
    fn cut(&mut self, size: u64) -> io::Result<()>;
    /// Waits until the disk has it.
    fn sync(&mut self) -> io::Result<()>;
}

/// Where the current file comes from.
pub(super) trait Store: Send {
    /// What it opens.
    type Medium: Medium;
    /// Opens the current file, or creates it.
    fn open(&mut self) -> io::Result<Opened<Self::Medium>>;
    /// Renames the current file, which is closed, so that the next one opened is new. Can be repeated after a failure.
    fn rotate(&mut self) -> io::Result<()>;
}

/// A file that was just opened.
#[derive(Debug)]
pub(super) struct Opened<M> {
    pub(super) medium: M,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Whether its last line has no line break: another program, or a crash, left it so.
    pub(super) unfinished: bool,
}

/// Files at a path.
#[derive(Debug)]
pub(super) struct PathStore {
    path: PathBuf,
    rotation: Option<Rotation>,
    sync: SyncMode,
    /// Held for its drop.
    _claim: Claim,
}

impl PathStore {
    /// Claims the path and opens the file; empties it, unless lines are to be added.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the path and the reason.
    pub(super) fn new(config: &FileSinkConfig) -> Result<(Self, Opened<File>), EventFluxError> {
        let shown = config.path.display();
        let wrong = |reason: String| EventFluxError::property("file.path", reason);
        let path = resolve(&config.path)?;
        let claim = Claim::new(&path, config.rotation).map_err(|taken| {
            wrong(format!("'{}' is written by another sink of this process", taken.display()))
                .with_hint("give each sink a file of its own, or send both streams into one with INSERT INTO")
        })?;
        let mut store = Self { path, rotation: config.rotation, sync: config.sync, _claim: claim };
        let cannot_write = |error: io::Error| wrong(format!("cannot write '{shown}': {error}"));
        let mut opened = store.open().map_err(cannot_write)?;
        if !config.append {
            opened.medium.set_len(0).map_err(cannot_write)?;
            opened.size = 0;
            opened.unfinished = false;
        }
        Ok((store, opened))
    }
}

impl PathStore {
    /// Waits until the disk has the names, where it has to have the contents.
    fn sync_directory(&self) -> io::Result<()> {
        match self.path.parent() {
            Some(directory) if self.sync == SyncMode::Batch && cfg!(unix) => File::open(directory)?.sync_all(),
            _ => Ok(()),
        }
    }
}

impl Store for PathStore {
    type Medium = File;

    fn open(&mut self) -> io::Result<Opened<File>> {
        let mut medium = OpenOptions::new().read(true).append(true).create(true).open(&self.path)?;
        match medium.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(ErrorKind::ResourceBusy, "another process writes it"));
            }
            // Some file systems have no locks.
            Err(TryLockError::Error(error)) => log::debug!("no lock on {}: {error}", self.path.display()),
        }
        self.sync_directory()?;
        let size = medium.metadata()?.len();
        let unfinished = size > 0 && last_byte(&mut medium, size)? != b'\n';
        Ok(Opened { medium, size, unfinished })
    }

    fn rotate(&mut self) -> io::Result<()> {
        let keep = self.rotation.map_or(0, |rotation| rotation.keep);
        for number in (0..keep).rev() {
            let (from, to) = (rotated(&self.path, number), rotated(&self.path, number + 1));
            match fs::rename(from, to) {
                // There are not that many yet, or an earlier try got further.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        Ok(())
    }
}

impl Medium for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn size(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }

    fn cut(&mut self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Whether the directory is there and the file, if it is, can be written.
///
/// # Errors
/// [`EventFluxError::Configuration`] that names the path and the reason.
pub(super) fn check(path: &Path) -> Result<(), EventFluxError> {
    let resolved = resolve(path)?;
    match OpenOptions::new().append(true).open(resolved) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let reason = format!("cannot write '{}': {error}", path.display());
            Err(EventFluxError::property("file.path", reason))
        }
        _ => Ok(()),
    }
}

/// The absolute path without links: two spellings of one file are one path.
fn resolve(path: &Path) -> Result<PathBuf, EventFluxError> {
    let wrong = |reason: String| EventFluxError::property("file.path", reason);
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let absolute = directory.canonicalize().map_err(|error| {
        wrong(format!("directory '{}' cannot be used: {error}", directory.display()))
            .with_hint("create it, or name another one")
    })?;
    let name = path.file_name().ok_or_else(|| wrong("names no file".to_owned()))?;
    let path = absolute.join(name);
    match fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => {
            let reason = format!("'{}' is no regular file", path.display());
            Err(wrong(reason).with_hint("name a file; for the terminal there is the log sink"))
        }
        Ok(_) => path.canonicalize().map_err(|error| wrong(format!("'{}': {error}", path.display()))),
        Err(_) => Ok(path),
    }
}

fn last_byte(file: &mut File, size: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.seek(SeekFrom::Start(size - 1))?;
    file.read_exact(&mut byte)?;
    Ok(byte[0])
}
