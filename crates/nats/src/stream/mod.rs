//! JetStream streams: one must exist, or is created.

mod creation;
#[cfg(test)]
mod tests;

use std::error::Error as _;

use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, RequestError, RequestErrorKind};
use async_nats::jetstream::stream::{Config, Stream};
use async_nats::jetstream::{Context, Error as Answer, ErrorCode};
use eventflux_core::{EventFluxError, Properties};

use crate::Connection;
use crate::connection::violation;
pub use creation::{Creation, Retention};

/// Longest name of a stream, in bytes: it is the name of a directory.
pub const MAX_NAME_BYTES: usize = 255;

const NO_JETSTREAM: &str = "JetStream is not enabled on the server, or not for this account";
const NO_ANSWER: &str = "nobody answers to questions about it";

/// A stream to publish to, or to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// Its name.
    pub name: String,
    /// How it is created when it does not exist; `None`: it must.
    pub create: Option<Creation>,
}

impl StreamConfig {
    /// Reads validated properties of [`STREAM`](crate::properties::STREAM); `default_subjects` are taken when none are
    /// named.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for a bad name or subject.
    pub fn from_properties(
        name: &str,
        properties: &Properties,
        default_subjects: &[String],
    ) -> Result<Self, EventFluxError> {
        check_name(name).map_err(|reason| EventFluxError::property("nats.stream", format!("'{name}': {reason}")))?;
        let create = match properties.flag("nats.stream.create")? {
            true => Some(Creation::from_properties(properties, default_subjects)?),
            false => None,
        };
        Ok(Self { name: name.to_owned(), create })
    }

    /// The stream: found, or created. Where it exists and differs from what is said, warns of it, in the name of `of`.
    ///
    /// # Errors
    /// [`EventFluxError::ConnectionUnavailable`]: not retryable when it does not exist and is not to be created or when
    /// JetStream is not there for this account, retryable when nobody answers.
    pub async fn ensure(&self, jetstream: &Context, of: &str) -> Result<Stream, EventFluxError> {
        if let Some(found) = self.find(jetstream, of).await? {
            return Ok(found);
        }
        let Some(creation) = &self.create else {
            let reason = "it does not exist: create it, or have it created with nats.stream.create='true'";
            return Err(self.unavailable(reason, false));
        };
        let error = match jetstream.create_stream(creation.config(&self.name)).await {
            Ok(created) => {
                log::info!("[{of}] created the stream {}", self.name);
                return Ok(created);
            }
            Err(error) => error,
        };
        if let CreateStreamErrorKind::JetStream(answer) = error.kind()
            && answer.error_code() == ErrorCode::STREAM_NAME_EXIST
            && let Some(found) = self.find(jetstream, of).await?
        {
            // Somebody else was quicker, and sees it differently.
            return Ok(found);
        }
        Err(match error.kind() {
            CreateStreamErrorKind::JetStream(answer) => self.refused("it cannot be created", &answer),
            CreateStreamErrorKind::TimedOut => self.unavailable(NO_ANSWER, true),
            CreateStreamErrorKind::JetStreamUnavailable => self.unavailable(NO_JETSTREAM, false),
            _ => self.unavailable(&format!("it cannot be created: {error}"), true),
        })
    }

    /// [`ensure`](Self::ensure), which does not wait for an answer where the server says that it does not permit the
    /// question.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure); retryable when it is not permitted, because permissions are given while servers run.
    pub async fn open(&self, connection: &Connection, of: &str) -> Result<Stream, EventFluxError> {
        let questions = ["INFO", "CREATE"].map(|question| format!("$JS.API.STREAM.{question}.{}", self.name));
        let not_permitted = violation::of_subject(connection.violations(), &questions);
        let jetstream = connection.jetstream();
        tokio::select! {
            biased;
            stream = self.ensure(&jetstream, of) => stream,
            violation = not_permitted => Err(self.unavailable(&violation.to_string(), true)),
        }
    }

    async fn find(&self, jetstream: &Context, of: &str) -> Result<Option<Stream>, EventFluxError> {
        let error = match jetstream.get_stream(&self.name).await {
            Ok(stream) => {
                self.warn_of_differences(&stream.cached_info().config, of);
                return Ok(Some(stream));
            }
            Err(error) => error,
        };
        match error.kind() {
            GetStreamErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            GetStreamErrorKind::JetStream(answer) => Err(self.refused("it cannot be used", &answer)),
            GetStreamErrorKind::Request => {
                let request = error.source().and_then(|source| source.downcast_ref::<RequestError>());
                Err(match request.map(RequestError::kind) {
                    Some(RequestErrorKind::NoResponders) => self.unavailable(NO_JETSTREAM, false),
                    Some(RequestErrorKind::TimedOut) => self.unavailable(NO_ANSWER, true),
                    _ => self.unavailable(&error.to_string(), true),
                })
            }
            GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => {
                Err(EventFluxError::property("nats.stream", "is not a name of a stream"))
            }
        }
    }

    fn warn_of_differences(&self, found: &Config, of: &str) {
        let Some(creation) = &self.create else { return };
        let differences = creation.differences(found);
        if !differences.is_empty() {
            let name = &self.name;
            log::warn!("[{of}] the stream {name} exists and is used as it is; it differs: {}", differences.join(", "));
        }
    }

    fn refused(&self, what: &str, answer: &Answer) -> EventFluxError {
        let code = answer.error_code();
        if [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT].contains(&code) {
            return self.unavailable(NO_JETSTREAM, false);
        }
        // A part of a cluster is away, a disk is full: what the server calls its own, passing trouble.
        let passes = matches!(answer.code(), 408 | 503) || code == ErrorCode::CLUSTER_NO_PEERS;
        self.unavailable(&format!("{what}: {answer}"), passes)
    }

    fn unavailable(&self, reason: &str, retryable: bool) -> EventFluxError {
        let (endpoint, reason) = (format!("stream {}", self.name), reason.to_owned());
        EventFluxError::ConnectionUnavailable { endpoint, reason, retryable }
    }
}

/// Whether a stream may be called so.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("a stream needs a name");
    }
    if name.len() > MAX_NAME_BYTES {
        return Err("the name of a stream cannot be longer than 255 bytes");
    }
    let is_bad = |character: char| {
        character.is_whitespace() || character.is_control() || matches!(character, '.' | '*' | '>' | '/' | '\\')
    };
    if name.contains(is_bad) {
        return Err("the name of a stream has no white space, control characters, dots, slashes, * and >");
    }
    Ok(())
}
