//! What a source reads of a stream.

use std::time::Duration;

use async_nats::datetime;
use async_nats::jetstream::consumer::DeliverPolicy;
use eventflux_core::{EventFluxError, Properties};
use eventflux_nats::{StreamConfig, subject};

const SUBJECT: &str = "nats.subject";
const CONSUMER: &str = "nats.consumer";
const START_TIME: &str = "nats.start.time";
const ACK_WAIT: &str = "nats.ack.wait";
const FETCH_BYTES: &str = "nats.fetch.bytes";

/// Longest name of a consumer, in bytes: what a server takes.
const MAX_NAME_BYTES: usize = 255;

/// Shortest time for an acknowledgement: what says in time that a message is still being worked on needs a part of it.
const MIN_ACK_WAIT: Duration = Duration::from_millis(100);

/// What a source of JetStream reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JetStreamConfig {
    pub(super) stream: StreamConfig,
    /// Name of the durable consumer.
    pub(super) consumer: String,
    /// What it is to receive of the stream; `None`: everything.
    pub(super) filter: Option<String>,
    /// Where it begins when it does not exist.
    pub(super) start: DeliverPolicy,
    pub(super) ack_wait: Duration,
    pub(super) max_ack_pending: usize,
    /// How often a message is delivered; `None`: no end.
    pub(super) max_deliver: Option<i64>,
    pub(super) fetch_messages: usize,
    pub(super) fetch_bytes: usize,
}

impl JetStreamConfig {
    /// Reads validated properties.
    ///
    /// # Errors
    /// [`EventFluxError::Configuration`] for what the property table cannot express.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self, EventFluxError> {
        let filter = properties.optional_text(SUBJECT).map(|text| filter(text.trim())).transpose()?;
        let fetch_bytes = properties.size(FETCH_BYTES)?;
        if fetch_bytes == 0 {
            return Err(
                EventFluxError::property(FETCH_BYTES, "0 leaves no room for a message").with_hint("for example 4MiB")
            );
        }
        let ack_wait = properties.duration(ACK_WAIT)?;
        if ack_wait < MIN_ACK_WAIT {
            let error =
                EventFluxError::property(ACK_WAIT, format!("{ack_wait:?} is too short to acknowledge anything"));
            return Err(error.with_hint("at least 100ms"));
        }
        Ok(Self {
            stream: stream(properties, filter.as_ref())?,
            consumer: consumer(properties)?,
            filter,
            start: start(properties)?,
            ack_wait,
            max_ack_pending: properties.integer("nats.max.ack.pending")?,
            max_deliver: Some(properties.integer("nats.max.deliver")?).filter(|deliveries| *deliveries > 0),
            fetch_messages: properties.integer("nats.fetch.messages")?,
            fetch_bytes,
        })
    }
}

fn filter(text: &str) -> Result<String, EventFluxError> {
    if text.contains(',') {
        let error =
            EventFluxError::property(SUBJECT, format!("'{text}' is more than the one subject that nats.stream allows"));
        return Err(error.with_hint("use a wildcard, or one source for each"));
    }
    subject::check_pattern(text)
        .map_err(|reason| EventFluxError::property(SUBJECT, format!("'{text}' is no subject to receive: {reason}")))?;
    Ok(text.to_owned())
}

fn stream(properties: &Properties, filter: Option<&String>) -> Result<StreamConfig, EventFluxError> {
    const SUBJECTS: &str = "nats.stream.subjects";
    let subjects = filter.cloned().into_iter().collect::<Vec<_>>();
    if properties.flag("nats.stream.create")? && subjects.is_empty() && !properties.is_given(SUBJECTS) {
        let error =
            EventFluxError::property(SUBJECTS, "is required with nats.stream.create='true' and without nats.subject");
        return Err(error.with_hint("for example 'orders.>'"));
    }
    StreamConfig::from_properties(properties.text("nats.stream")?, properties, &subjects)
}

fn consumer(properties: &Properties) -> Result<String, EventFluxError> {
    if !properties.is_given(CONSUMER) {
        let error = EventFluxError::property(CONSUMER, "is required with nats.stream, but missing");
        return Err(error.with_hint("a name under which NATS knows how far it has been read; or partition.count"));
    }
    let name = properties.text(CONSUMER)?.trim();
    let is_bad = |character: char| {
        character.is_whitespace() || character.is_control() || matches!(character, '.' | '*' | '>' | '/' | '\\')
    };
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.contains(is_bad) {
        let error = EventFluxError::property(CONSUMER, format!("'{name}' is no name of a consumer"));
        return Err(error.with_hint("up to 255 bytes without white space, dots, slashes, * and >"));
    }
    Ok(name.to_owned())
}

/// Where a consumer begins that does not exist yet.
///
/// # Errors
/// [`EventFluxError::Configuration`] for what is no time.
pub(in crate::source) fn start(properties: &Properties) -> Result<DeliverPolicy, EventFluxError> {
    Ok(match properties.text("nats.start")? {
        "new" => DeliverPolicy::New,
        "last" => DeliverPolicy::Last,
        "last_per_subject" => DeliverPolicy::LastPerSubject,
        "sequence" => DeliverPolicy::ByStartSequence { start_sequence: properties.integer("nats.start.sequence")? },
        "time" => {
            let text = properties.text(START_TIME)?.trim();
            let start_time = datetime::parse_rfc3339(text).map_err(|_| {
                let error = EventFluxError::property(START_TIME, format!("'{text}' is no time as RFC 3339 writes it"));
                error.with_hint("for example 2026-01-31T00:00:00Z")
            })?;
            DeliverPolicy::ByStartTime { start_time }
        }
        _ => DeliverPolicy::All,
    })
}
