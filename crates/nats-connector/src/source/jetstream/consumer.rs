//! The durable consumer: found, or created; with its stream, and again when it is gone.

use std::time::Duration;

use async_nats::datetime::DateTime;
use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, Info, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::{ConsumerErrorKind, RetentionPolicy, Stream};
use eventflux_core::backoff::{Backoff, Growth};
use eventflux_core::health::ConnectionState;
use eventflux_core::{ConnectorContext, EventFluxError};
use eventflux_nats::Connection;
use tokio::sync::broadcast::error::RecvError;

use super::config::JetStreamConfig;
use super::pulls::EXPIRES;

/// First and longest pause between attempts.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

const CONSUMER: &str = "nats.consumer";

/// A consumer that can be pulled from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Consumer {
    /// How long the server waits for an acknowledgement.
    pub(super) ack_wait: Duration,
    /// Most messages of one pull.
    pub(super) messages: usize,
    /// Most bytes of one pull.
    pub(super) bytes: usize,
    /// How long a pull may wait.
    pub(super) expires: Duration,
    pub(super) position: Position,
}

/// How far a stream is acknowledged, by everybody who shares the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// When the stream was created: another one has other messages at the same sequences.
    created: DateTime,
    /// Every message up to this sequence.
    floor: u64,
}

/// Finds the consumer, or creates it, and tries again until it succeeds. `known`: how far it was when it was there last.
///
/// # Errors
/// [`EventFluxError::Configuration`] when there is one of that name that cannot be used.
pub(super) async fn open(
    config: JetStreamConfig,
    connection: Connection,
    context: ConnectorContext,
    known: Option<Position>,
) -> Result<Consumer, EventFluxError> {
    let mut pause = Backoff::new(RETRY.0, RETRY.1, Growth::Exponential);
    let health = &context.health;
    let before = Some(health.current()).filter(|health| health.state.is_healthy()).and_then(|health| health.detail);
    let mut last = None;
    loop {
        let error = match attempt(&config, &connection, &context.stream, known).await {
            Ok(consumer) => {
                if last.is_some() && connection.is_connected() {
                    health.pass(&[ConnectionState::Reconnecting], ConnectionState::Connected);
                    health.explain(ConnectionState::Connected, before);
                }
                return Ok(consumer);
            }
            Err(error @ EventFluxError::ConnectionUnavailable { .. }) => error.to_string(),
            Err(error) => return Err(error),
        };
        if connection.is_connected() {
            health.set(ConnectionState::Reconnecting, error.clone());
        }
        if last.as_ref() != Some(&error) {
            log::warn!("[{}] {error}; trying again", context.stream);
            last = Some(error);
        }
        tokio::time::sleep(pause.next_equal_jitter()).await;
    }
}

/// How far the consumer is now; `None` when nobody says so.
pub(super) async fn position(config: JetStreamConfig, connection: Connection) -> Option<Position> {
    let stream = connection.jetstream().get_stream(&config.stream.name).await.ok()?;
    let info = stream.consumer_info(&config.consumer).await.ok()?;
    Some(Position { created: stream.cached_info().created, floor: info.ack_floor.stream_sequence })
}

async fn attempt(
    config: &JetStreamConfig,
    connection: &Connection,
    of: &str,
    known: Option<Position>,
) -> Result<Consumer, EventFluxError> {
    let mut violations = connection.violations();
    let not_permitted = async {
        loop {
            match violations.recv().await {
                Ok(violation) if violation.subject.starts_with("$JS.API.CONSUMER.") => return violation,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    };
    let stream = config.stream.open(connection, of).await?;
    let info = tokio::select! {
        biased;
        info = find_or_create(config, &stream, of, known) => info?,
        violation = not_permitted => return Err(unavailable(config, &violation.to_string())),
    };
    let limit = |value: i64, ours: usize| {
        usize::try_from(value).ok().filter(|limit| *limit > 0).map_or(ours, |limit| limit.min(ours))
    };
    let theirs = &info.config;
    Ok(Consumer {
        ack_wait: theirs.ack_wait,
        messages: limit(theirs.max_batch, config.fetch_messages.min(config.max_ack_pending)),
        bytes: limit(theirs.max_bytes, config.fetch_bytes),
        expires: if theirs.max_expires.is_zero() { EXPIRES } else { EXPIRES.min(theirs.max_expires) },
        position: Position { created: stream.cached_info().created, floor: info.ack_floor.stream_sequence },
    })
}

async fn find_or_create(
    config: &JetStreamConfig,
    stream: &Stream,
    of: &str,
    known: Option<Position>,
) -> Result<Info, EventFluxError> {
    match stream.consumer_info(&config.consumer).await {
        Ok(info) => {
            check(config, &info.config)?;
            // Said once: it does not change while it is read.
            if known.is_none() {
                warn_of_differences(config, &info.config, of);
            }
            return Ok(info);
        }
        Err(error) => match error.kind() {
            ConsumerInfoErrorKind::NotFound => {}
            _ => return Err(unavailable(config, &error.to_string())),
        },
    }
    let deliver_policy = start(config, stream, known);
    let wanted = wanted(config, deliver_policy);
    match stream.create_consumer(wanted).await {
        Ok(created) => {
            log::info!("[{of}] created the consumer {} of the stream {}", config.consumer, config.stream.name);
            Ok(created.cached_info().clone())
        }
        Err(error) => Err(match error.kind() {
            ConsumerErrorKind::JetStream(answer) => unavailable(config, &format!("it cannot be created: {answer}")),
            _ => unavailable(config, &format!("it cannot be created: {error}")),
        }),
    }
}

fn wanted(config: &JetStreamConfig, deliver_policy: DeliverPolicy) -> pull::Config {
    // Servers want to be told of which subjects they are to send the last.
    let everything = if matches!(deliver_policy, DeliverPolicy::LastPerSubject) { ">" } else { "" };
    pull::Config {
        durable_name: Some(config.consumer.clone()),
        deliver_policy,
        ack_policy: AckPolicy::Explicit,
        ack_wait: config.ack_wait,
        // Without an end: what was delivered too often has to go to the error strategy, and not nowhere.
        max_deliver: -1,
        filter_subject: config.filter.clone().unwrap_or(everything.to_owned()),
        max_ack_pending: i64::try_from(config.max_ack_pending).unwrap_or(i64::MAX),
        ..pull::Config::default()
    }
}

/// Where one begins that does not exist: where the properties say, when it never did; behind what was acknowledged, when it
/// was deleted; and with everything, when its stream is another one than the one we knew.
fn start(config: &JetStreamConfig, stream: &Stream, known: Option<Position>) -> DeliverPolicy {
    let info = stream.cached_info();
    let is_queue = matches!(info.config.retention, RetentionPolicy::WorkQueue);
    match known {
        None => config.start,
        // A queue keeps nothing that was acknowledged.
        Some(_) if is_queue => DeliverPolicy::All,
        Some(known) if known.created == info.created => {
            DeliverPolicy::ByStartSequence { start_sequence: known.floor + 1 }
        }
        Some(_) => DeliverPolicy::All,
    }
}

/// Whether one that exists can be used at all.
fn check(config: &JetStreamConfig, found: &Config) -> Result<(), EventFluxError> {
    let error = |reason: String| {
        let error = EventFluxError::property(CONSUMER, reason);
        Err(error.with_hint("name another consumer, or delete this one"))
    };
    let name = &config.consumer;
    if found.deliver_subject.is_some() {
        return error(format!("the consumer {name} pushes its messages, and cannot be pulled from"));
    }
    if found.ack_policy != AckPolicy::Explicit {
        return error(format!("the consumer {name} does not wait for the acknowledgement of each message"));
    }
    let everything = |filter: &str| if filter == ">" { String::new() } else { filter.to_owned() };
    let (theirs, ours) = (everything(&found.filter_subject), everything(config.filter.as_deref().unwrap_or_default()));
    if theirs != ours {
        let shown = |filter: &str| if filter.is_empty() { "everything".to_owned() } else { filter.to_owned() };
        return error(format!(
            "the consumer {name} receives {}, and nats.subject says {}",
            shown(&theirs),
            shown(&ours)
        ));
    }
    Ok(())
}

fn warn_of_differences(config: &JetStreamConfig, found: &Config, of: &str) {
    let mut differences = Vec::new();
    if found.ack_wait != config.ack_wait {
        differences.push(format!("nats.ack.wait is {:?}, not {:?}", found.ack_wait, config.ack_wait));
    }
    if usize::try_from(found.max_ack_pending).ok() != Some(config.max_ack_pending) {
        let (theirs, ours) = (found.max_ack_pending, config.max_ack_pending);
        differences.push(format!("nats.max.ack.pending is {theirs}, not {ours}"));
    }
    if found.max_deliver > 0 {
        let deliveries = found.max_deliver;
        differences.push(format!("the server itself ends deliveries after {deliveries}, before nats.max.deliver may"));
    }
    if found.headers_only {
        differences.push("it leaves out payloads".to_owned());
    }
    if !differences.is_empty() {
        let name = &config.consumer;
        log::warn!("[{of}] the consumer {name} exists and is used as it is; it differs: {}", differences.join(", "));
    }
}

fn unavailable(config: &JetStreamConfig, reason: &str) -> EventFluxError {
    EventFluxError::ConnectionUnavailable {
        endpoint: format!("consumer {} of the stream {}", config.consumer, config.stream.name),
        reason: reason.to_owned(),
        retryable: true,
    }
}
