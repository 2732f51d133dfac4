//! Where an object is written, and what the errors of a store mean.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eventflux_core::{BoxFuture, EventFluxError, escape_control};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt};

use crate::directory;
use crate::location::Location;

/// How much of an answer an error shows, in characters.
const SHOWN_CHARS: usize = 300;

/// Takes objects.
pub(crate) trait Store: Send + Sync {
    /// Writes an object completely, or not at all; one of the same name is replaced.
    fn put<'a>(&'a self, key: &'a Path, body: Bytes) -> BoxFuture<'a, Result<(), EventFluxError>>;
}

/// A store of the library.
pub(crate) struct LibraryStore {
    store: Box<dyn ObjectStore>,
    /// What errors call it.
    place: String,
    /// What no error may show.
    secrets: Vec<String>,
    /// Whether it is a service that knows us by credentials.
    is_service: bool,
}

/// Opens the store at a place. A directory is made when it does not exist; nothing else is touched.
///
/// # Errors
/// [`EventFluxError::Configuration`], with the property to blame.
pub(crate) fn open(location: &Location, timeout: Duration) -> Result<Arc<dyn Store>, EventFluxError> {
    Ok(Arc::new(library(location, timeout)?))
}

/// Tries whether the place can be used. Leaves nothing behind.
///
/// # Errors
/// [`EventFluxError::ConnectionUnavailable`] when not.
pub(crate) async fn reach(location: Location, timeout: Duration) -> Result<(), EventFluxError> {
    let place = location.to_string();
    let unavailable = |reason: String, retryable| EventFluxError::ConnectionUnavailable {
        endpoint: place.clone(),
        reason,
        retryable,
    };
    match &location {
        Location::Directory { path, .. } => {
            directory::try_out(path).map_err(|error| unavailable(error.to_string(), false))
        }
        Location::S3(s3) => {
            let store = library(&location, timeout).map_err(|error| unavailable(error.to_string(), false))?;
            match tokio::time::timeout(timeout, store.look(&s3.prefix)).await {
                Ok(looked) => looked,
                Err(_) => Err(unavailable(format!("no answer within {timeout:?}"), true)),
            }
        }
    }
}

fn library(location: &Location, timeout: Duration) -> Result<LibraryStore, EventFluxError> {
    let place = location.to_string();
    match location {
        Location::Directory { path, sync } => {
            let store = Box::new(directory::open(path, *sync)?);
            Ok(LibraryStore { store, place, secrets: Vec::new(), is_service: false })
        }
        #[cfg(feature = "s3")]
        Location::S3(s3) => {
            let store = Box::new(crate::s3::open(s3, timeout)?);
            let secrets = s3.secret_access_key.iter().chain(&s3.session_token);
            let secrets = secrets.map(|secret| secret.expose().to_owned()).collect();
            Ok(LibraryStore { store, place, secrets, is_service: true })
        }
        #[cfg(not(feature = "s3"))]
        Location::S3(_) => {
            let _ = timeout;
            Err(EventFluxError::property(
                crate::properties::URL,
                "names a bucket of S3, which this build does not know",
            )
            .with_hint("build with the feature s3, as the released eventflux is, or write to a directory"))
        }
    }
}

impl LibraryStore {
    /// Asks for the first name below `prefix`.
    async fn look(&self, prefix: &str) -> Result<(), EventFluxError> {
        use futures_util::StreamExt;

        let prefix = Path::from(prefix);
        match self.store.list(Some(&prefix)).next().await {
            None | Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(self.unavailable(&error)),
        }
    }

    /// The error as one of the place. Every fault of a store may pass: somebody makes room, or gives a right back. What a
    /// service holds against our credentials, or a bucket that does not exist, needs a change of configuration.
    fn unavailable(&self, error: &Error) -> EventFluxError {
        let retryable = match error {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } | Error::NotFound { .. } => !self.is_service,
            _ => true,
        };
        EventFluxError::ConnectionUnavailable { endpoint: self.place.clone(), reason: self.reason(error), retryable }
    }

    fn reason(&self, error: &Error) -> String {
        let mut text = match error {
            // What the library says around it names the request, which nobody has made.
            _ if self.is_service => innermost(error).to_string(),
            Error::Generic { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret.as_str(), "***");
        }
        let shown: String = text.chars().take(SHOWN_CHARS).collect();
        escape_control(&shown).into_owned()
    }
}

fn innermost(error: &Error) -> &dyn std::error::Error {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost
}

impl Store for LibraryStore {
    fn put<'a>(&'a self, key: &'a Path, body: Bytes) -> BoxFuture<'a, Result<(), EventFluxError>> {
        Box::pin(async move {
            let put = self.store.put(key, body.into()).await;
            put.map(drop).map_err(|error| self.unavailable(&error))
        })
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn store(is_service: bool) -> LibraryStore {
        let secrets = vec!["hunter2".to_owned(), String::new()];
        LibraryStore { store: Box::new(InMemory::new()), place: "s3://b".to_owned(), secrets, is_service }
    }

    fn denied(text: &str) -> Error {
        Error::PermissionDenied { path: "k".to_owned(), source: text.to_owned().into() }
    }

    #[test]
    fn a_refusal_of_credentials_is_for_good_and_everything_else_may_pass() {
        let generic = Error::Generic { store: "S3", source: "status 503".into() };
        let error = store(true).unavailable(&generic);
        assert_eq!((error.is_retryable(), error.to_string()), (true, "s3://b: status 503".to_owned()));
        assert!(!store(true).unavailable(&denied("403")).to_string().contains("privileges"));
        assert!(!store(true).unavailable(&denied("403")).is_retryable());
        assert!(store(false).unavailable(&denied("read-only")).is_retryable());
    }

    #[test]
    fn what_a_server_answers_shows_no_secret_moves_no_cursor_and_is_short() {
        let answer = format!("you sent hunter2\n\u{1b}[2J{}", "x".repeat(1_000));
        let shown = store(true).unavailable(&denied(&answer)).to_string();
        assert!(shown.contains("you sent ***\\n\\u{1b}[2Jxxx"), "{shown}");
        assert!(shown.len() < 2 * SHOWN_CHARS, "{shown}");
    }
}
