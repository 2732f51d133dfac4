//! Consumers at the server: one for each partition that is held, without acknowledgement, which it forgets by itself.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, pull};
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind, Stream};
use eventflux_core::EventFluxError;

use super::config::PartitionsConfig;

/// After this time without a pull the server removes a consumer.
const INACTIVE: Duration = Duration::from_secs(60);

/// How long the server may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A consumer that can be pulled from.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) name: String,
    /// The first sequence it may send: later than asked for where messages were removed.
    pub(super) first: u64,
    /// Messages it has to send.
    pub(super) pending: u64,
}

/// A consumer of one partition, from `next` on.
///
/// # Errors
/// [`EventFluxError::ConnectionUnavailable`], not retryable when the stream is gone.
pub(super) async fn open(stream: &Stream, filter: String, next: u64) -> Result<Opened, EventFluxError> {
    // The server counts from 1.
    let policy = DeliverPolicy::ByStartSequence { start_sequence: next.max(1) };
    let consumer = create(stream, filter, policy).await?;
    let info = consumer.cached_info();
    Ok(Opened { name: info.name.clone(), first: behind(info.delivered.stream_sequence), pending: info.num_pending })
}

/// The first sequence that a consumer of all partitions would send.
///
/// # Errors
/// As [`open`]; not retryable when the stream has no such subjects.
pub(super) async fn first(
    stream: &Stream,
    config: &PartitionsConfig,
    policy: DeliverPolicy,
) -> Result<u64, EventFluxError> {
    let consumer = create(stream, config.filter_of_all(), policy).await?;
    let info = consumer.cached_info();
    let first = behind(info.delivered.stream_sequence);
    // The server forgets it otherwise.
    let _ = tokio::time::timeout(TIMEOUT, stream.delete_consumer(&info.name)).await;
    Ok(first)
}

/// Says goodbye to a consumer.
pub(super) async fn close(stream: Stream, name: String) {
    let _ = tokio::time::timeout(TIMEOUT, stream.delete_consumer(&name)).await;
}

async fn create(
    stream: &Stream,
    filter: String,
    policy: DeliverPolicy,
) -> Result<Consumer<pull::Config>, EventFluxError> {
    let name = &stream.cached_info().config.name;
    let unavailable = |reason: String, retryable| {
        let endpoint = format!("stream {name}");
        EventFluxError::ConnectionUnavailable { endpoint, reason, retryable }
    };
    let created = stream.create_consumer(pull::Config {
        description: Some("EventFlux: a partition".to_owned()),
        deliver_policy: policy,
        ack_policy: AckPolicy::None,
        filter_subject: filter.clone(),
        inactive_threshold: INACTIVE,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    });
    match tokio::time::timeout(TIMEOUT, created).await {
        Err(_) => Err(unavailable("nobody answers when a consumer is to be created".to_owned(), true)),
        Ok(Ok(consumer)) => Ok(consumer),
        Ok(Err(error)) => {
            let reason = format!("a consumer of {filter} cannot be created: {error}");
            Err(unavailable(reason, !is_final(&error)))
        }
    }
}

fn is_final(error: &ConsumerError) -> bool {
    let ConsumerErrorKind::JetStream(answer) = error.kind() else { return false };
    // 400: asked wrongly; that the stream is gone is not final, because it may come back.
    answer.code() == 400 && answer.error_code() != ErrorCode::STREAM_NOT_FOUND
}

/// The sequence behind one; there is none before the first.
fn behind(sequence: u64) -> u64 {
    sequence.wrapping_add(1).max(1)
}
