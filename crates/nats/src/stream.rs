//! JetStream streams: one must exist, or is created.

use std::error::Error as _;
use std::time::Duration;

use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, RequestError, RequestErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{Context, Error as Answer, ErrorCode};
use eventflux_core::{EventFluxError, Properties};

use crate::{Connection, subject};

/// Longest name of a stream, in bytes: it is the name of a directory.
pub const MAX_NAME_BYTES: usize = 255;

/// A stream to publish to, or to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// Its name.
    pub name: String,
    /// How it is created when it does not exist; `None`: it must.
    pub create: Option<Creation>,
}

/// How a stream is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The subjects it takes.
    pub subjects: Vec<String>,
    /// In memory instead of files.
    pub memory: bool,
    /// Servers that keep it.
    pub replicas: usize,
    /// Until when a message is kept.
    pub retention: Retention,
    /// Age at which messages are removed; `None`: any.
    pub max_age: Option<Duration>,
    /// Largest size in bytes.
    pub max_bytes: Option<u64>,
    /// Largest number of messages.
    pub max_messages: Option<u64>,
    /// Whether new messages are refused at a limit, instead of removing the oldest.
    pub discard_new: bool,
    /// How long the server knows a message's id.
    pub duplicate_window: Duration,
}

/// Until when a message is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// A limit is reached.
    Limits,
    /// Every consumer has acknowledged it.
    Interest,
    /// One consumer has acknowledged it.
    WorkQueue,
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
        check_name(name).map_err(|reason| EventFluxError::property("nats.stream", reason))?;
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
        let mut violations = connection.violations();
        let questions = ["INFO", "CREATE"].map(|question| format!("$JS.API.STREAM.{question}.{}", self.name));
        let not_permitted = async {
            loop {
                match violations.recv().await {
                    Ok(violation) if questions.contains(&violation.subject) => return violation,
                    Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
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

const NO_JETSTREAM: &str = "JetStream is not enabled on the server, or not for this account";
const NO_ANSWER: &str = "nobody answers to questions about it";

impl Creation {
    fn from_properties(properties: &Properties, default_subjects: &[String]) -> Result<Self, EventFluxError> {
        const SUBJECTS: &str = "nats.stream.subjects";
        let subjects = match properties.optional_text(SUBJECTS) {
            Some(text) => text.split(',').map(|subject| subject.trim().to_owned()).collect(),
            None => default_subjects.to_vec(),
        };
        for subject in &subjects {
            subject::check_pattern(subject).map_err(|reason| EventFluxError::property(SUBJECTS, reason))?;
        }
        let max_age = Some(properties.duration("nats.stream.max.age")?).filter(|age| !age.is_zero());
        Ok(Self {
            subjects,
            memory: properties.text("nats.stream.storage")? == "memory",
            replicas: properties.integer("nats.stream.replicas")?,
            retention: match properties.text("nats.stream.retention")? {
                "interest" => Retention::Interest,
                "workqueue" => Retention::WorkQueue,
                _ => Retention::Limits,
            },
            max_age,
            max_bytes: Some(properties.size("nats.stream.max.bytes")? as u64).filter(|bytes| *bytes > 0),
            max_messages: Some(properties.integer("nats.stream.max.messages")?).filter(|messages| *messages > 0),
            discard_new: properties.text("nats.stream.discard")? == "new",
            duplicate_window: duplicate_window(properties, max_age)?,
        })
    }

    fn config(&self, name: &str) -> Config {
        Config {
            name: name.to_owned(),
            subjects: self.subjects.clone(),
            storage: if self.memory { StorageType::Memory } else { StorageType::File },
            num_replicas: self.replicas,
            retention: match self.retention {
                Retention::Limits => RetentionPolicy::Limits,
                Retention::Interest => RetentionPolicy::Interest,
                Retention::WorkQueue => RetentionPolicy::WorkQueue,
            },
            max_age: self.max_age.unwrap_or_default(),
            max_bytes: limit(self.max_bytes),
            max_messages: limit(self.max_messages),
            max_messages_per_subject: -1,
            max_consumers: -1,
            max_message_size: -1,
            discard: if self.discard_new { DiscardPolicy::New } else { DiscardPolicy::Old },
            duplicate_window: self.duplicate_window,
            ..Config::default()
        }
    }

    /// What is different in `found`: the property, what it is, and what was said.
    fn differences(&self, found: &Config) -> Vec<String> {
        let wanted = self.config(&found.name);
        let sorted = |config: &Config| {
            let mut subjects = config.subjects.clone();
            subjects.sort();
            subjects.join(",")
        };
        let limit = |value: i64| if value > 0 { value.to_string() } else { "none".to_owned() };
        let of = |config: &Config| {
            [
                ("subjects", sorted(config)),
                ("storage", format!("{:?}", config.storage).to_lowercase()),
                ("replicas", config.num_replicas.to_string()),
                ("retention", format!("{:?}", config.retention).to_lowercase()),
                ("max.age", format!("{:?}", config.max_age)),
                ("max.bytes", limit(config.max_bytes)),
                ("max.messages", limit(config.max_messages)),
                ("discard", format!("{:?}", config.discard).to_lowercase()),
                ("duplicate.window", format!("{:?}", config.duplicate_window)),
            ]
        };
        let pairs = of(found).into_iter().zip(of(&wanted)).filter(|(found, wanted)| found != wanted);
        pairs.map(|((key, found), (_, wanted))| format!("nats.stream.{key} is {found}, not {wanted}")).collect()
    }
}

/// The server takes none that is longer than the age.
fn duplicate_window(properties: &Properties, max_age: Option<Duration>) -> Result<Duration, EventFluxError> {
    const KEY: &str = "nats.stream.duplicate.window";
    let window = properties.duration(KEY)?;
    if window.is_zero() {
        return Err(EventFluxError::property(KEY, "has to be more than nothing"));
    }
    match max_age {
        Some(age) if window > age && properties.is_given(KEY) => {
            let reason = format!("is longer than nats.stream.max.age, which is {age:?}");
            Err(EventFluxError::property(KEY, reason).with_hint("make nats.stream.max.age longer too"))
        }
        Some(age) => Ok(window.min(age)),
        None => Ok(window),
    }
}

fn limit(value: Option<u64>) -> i64 {
    value.map_or(-1, |value| i64::try_from(value).unwrap_or(i64::MAX))
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
