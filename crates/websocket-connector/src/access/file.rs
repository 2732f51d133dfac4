//! Lists and keys in files, taken up again when they change.

use std::fs::{self, File};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use eventflux_core::EventFluxError;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// Largest file, bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// How often a file is looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A file, the property that names it, and how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamedFile {
    property: &'static str,
    path: String,
}

/// What a file says: the newest good version of it.
pub(super) struct WatchedFile<T> {
    file: NamedFile,
    parse: fn(&str) -> Result<T, String>,
    look_interval: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    content: Arc<T>,
    /// Time of the last change and size; `None` when there is no file.
    stamp: Option<(SystemTime, u64)>,
    looked: Instant,
}

impl NamedFile {
    pub(super) fn new(property: &'static str, path: &str) -> Self {
        Self { property, path: path.to_owned() }
    }

    fn stamp(&self) -> Option<(SystemTime, u64)> {
        let metadata = fs::metadata(&self.path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    fn read<T>(&self, parse: fn(&str) -> Result<T, String>) -> Result<T, EventFluxError> {
        let error = |reason: String| EventFluxError::property(self.property, format!("'{}' {reason}", self.path));
        let text = self.text().map_err(|reason| error(format!("cannot be read: {reason}")))?;
        parse(&text).map_err(error)
    }

    fn text(&self) -> io::Result<String> {
        let mut text = String::new();
        File::open(&self.path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::other(format!("has more than {MAX_FILE_BYTES} bytes")));
        }
        Ok(text)
    }
}

impl<T: Send + Sync + 'static> WatchedFile<T> {
    /// Reads the file.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names property, file and reason.
    pub(super) fn open(file: NamedFile, parse: fn(&str) -> Result<T, String>) -> Result<Arc<Self>, EventFluxError> {
        // The stamp comes first: a change while the file is read then shows as a change.
        let stamp = file.stamp();
        let content = Arc::new(file.read(parse)?);
        let state = Mutex::new(State { content, stamp, looked: Instant::now() });
        Ok(Arc::new(Self { file, parse, look_interval: LOOK_INTERVAL, state }))
    }

    /// What the file said last, without a look at it.
    pub(super) fn known(&self) -> Arc<T> {
        self.lock().content.clone()
    }

    /// What the file says now, or said last when it was in order.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<T> {
        let content = {
            let mut state = self.lock();
            if state.looked.elapsed() < self.look_interval {
                return state.content.clone();
            }
            state.looked = Instant::now();
            state.content.clone()
        };
        let watched = self.clone();
        spawn_blocking(move || watched.look()).await.unwrap_or(content)
    }

    fn look(&self) -> Arc<T> {
        let stamp = self.file.stamp();
        let known = self.lock();
        if known.stamp == stamp {
            return known.content.clone();
        }
        drop(known);
        let read = self.file.read(self.parse);
        let mut state = self.lock();
        state.stamp = stamp;
        match read {
            Ok(content) => {
                state.content = Arc::new(content);
                log::info!("{}: '{}' has changed and is taken up", self.file.property, self.file.path);
            }
            Err(error) => log::error!("{error}; what it said before stays in force"),
        }
        state.content.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<u32, String> {
        text.trim().parse().map_err(|_| "holds no number".to_owned())
    }

    fn open(path: &std::path::Path) -> Result<Arc<WatchedFile<u32>>, EventFluxError> {
        let file = NamedFile::new("websocket.auth.tokens.file", path.to_str().unwrap());
        let mut watched = WatchedFile::open(file, number)?;
        Arc::get_mut(&mut watched).unwrap().look_interval = Duration::ZERO;
        Ok(watched)
    }

    #[tokio::test]
    async fn a_changed_file_is_taken_up_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "1").unwrap();
        let watched = open(&path).unwrap();
        assert_eq!(*watched.current().await, 1);
        for (text, expected) in [("22", 22), ("three", 22), ("4444", 4444)] {
            fs::write(&path, text).unwrap();
            assert_eq!(*watched.current().await, expected, "{text}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(*watched.current().await, 4444);
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_looked_at_once_a_second_at_most() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "1").unwrap();
        let file = NamedFile::new("websocket.auth.tokens.file", path.to_str().unwrap());
        let watched = WatchedFile::open(file, number).unwrap();
        fs::write(&path, "22").unwrap();
        assert_eq!(*watched.current().await, 1);
        tokio::time::advance(LOOK_INTERVAL).await;
        assert_eq!(*watched.current().await, 22);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let error = || open(&path).err().unwrap().to_string();
        assert!(error().starts_with("property 'websocket.auth.tokens.file': '/") && error().contains("No such file"));
        fs::write(&path, "x").unwrap();
        assert!(error().ends_with("file' holds no number"), "{}", error());
        fs::write(&path, vec![b'1'; MAX_FILE_BYTES as usize + 1]).unwrap();
        assert!(error().contains("has more than 4194304 bytes"), "{}", error());
    }
}
