//! A bearer token in a file that somebody else renews.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eventflux_core::{EventFluxError, Secret};
use eventflux_websocket_wire::handshake::is_field_value;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::TOKEN_FILE;

/// How often the file is looked at while a connection shows its token.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Largest token, bytes; peers take no larger one in a request.
const MAX_TOKEN_BYTES: u64 = 16 * 1024;

/// The file, and what it said last when it was in order.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    known: Mutex<Secret>,
}

impl TokenFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] that names the file and what is wrong with it.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>, EventFluxError> {
        let known = read(path).map_err(|reason| EventFluxError::property(TOKEN_FILE, reason))?;
        Ok(Arc::new(Self { path: path.to_owned(), known: Mutex::new(known) }))
    }

    /// The token as it is now; the one before where the file is not in order.
    pub(crate) async fn current(&self) -> Secret {
        let path = self.path.clone();
        match spawn_blocking(move || read(&path)).await {
            Ok(Ok(token)) => *self.lock() = token,
            Ok(Err(reason)) => log::warn!("{TOKEN_FILE}: {reason}; the token before is shown"),
            // Only a panic ends it otherwise, and there is none in it.
            Err(_) => {}
        }
        self.known()
    }

    /// The token read last.
    pub(crate) fn known(&self) -> Secret {
        self.lock().clone()
    }

    /// Waits until the file has another token than `shown`.
    pub(crate) async fn other_than(&self, shown: &Secret) -> Secret {
        let mut is_bad = false;
        loop {
            sleep(LOOK_INTERVAL).await;
            let path = self.path.clone();
            match spawn_blocking(move || read(&path)).await {
                Ok(Ok(token)) if token != *shown => {
                    *self.lock() = token.clone();
                    return token;
                }
                // While it is being replaced it may be gone, or empty: said once.
                Ok(Err(reason)) if !is_bad => {
                    is_bad = true;
                    log::warn!("{TOKEN_FILE}: {reason}; the token before stays in force");
                }
                Ok(read) => is_bad = read.is_err(),
                Err(_) => {}
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Secret> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token, or what is wrong with the file: nothing of its contents.
fn read(path: &Path) -> Result<Secret, String> {
    let wrong = |reason: &str| format!("'{}' {reason}", path.display());
    let text = text(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(wrong("is empty"));
    }
    if token.len() as u64 > MAX_TOKEN_BYTES {
        return Err(wrong(&format!("has more than {MAX_TOKEN_BYTES} bytes")));
    }
    if !is_field_value(token) || token.contains(char::is_whitespace) {
        return Err(wrong("holds more than one token, or none"));
    }
    Ok(Secret::new(token))
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // White space around it is no part of the token.
    std::fs::File::open(path)?.take(2 * MAX_TOKEN_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn another_token_is_noticed_and_a_broken_file_is_not_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "one\n").unwrap();
        let file = TokenFile::open(&path).unwrap();
        assert_eq!(file.known(), Secret::new("one"));
        std::fs::write(&path, "").unwrap();
        assert_eq!(file.current().await, Secret::new("one"));
        let noticed = tokio::spawn({
            let file = file.clone();
            async move { file.other_than(&Secret::new("one")).await }
        });
        tokio::time::sleep(LOOK_INTERVAL * 3).await;
        assert!(!noticed.is_finished());
        std::fs::write(&path, " two ").unwrap();
        assert_eq!(noticed.await.unwrap(), Secret::new("two"));
        assert_eq!(file.known(), Secret::new("two"));
    }

    #[test]
    fn an_error_names_the_file_and_shows_nothing_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let error = || TokenFile::open(&path).unwrap_err().to_string();
        assert!(error().contains("auth.bearer_token_file") && error().contains("cannot be read"), "{}", error());
        for (text, reason) in
            [("  \n", "is empty"), ("hunter2 hunter3", "more than one"), ("hunter2\r\nX-A: 1", "more")]
        {
            std::fs::write(&path, text).unwrap();
            assert!(error().contains(reason) && !error().contains("hunter"), "{}", error());
        }
        std::fs::write(&path, "x".repeat(MAX_TOKEN_BYTES as usize + 1)).unwrap();
        assert!(error().contains("16384 bytes"), "{}", error());
    }
}
