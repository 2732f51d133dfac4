//! Where partitions begin that nobody has worked on, and which stream that is said of.

use std::error::Error;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::stream::{RetentionPolicy, Stream};
use async_nats::jetstream::{self, ErrorCode};
use eventflux_core::EventFluxError;
use eventflux_nats::leases::Origin;

use super::config::{PartitionsConfig, retention_error};
use super::consumers;

/// A stream that keeps messages until a limit is reached.
///
/// # Errors
/// [`EventFluxError::Configuration`] for another one.
pub(super) fn check(stream: &Stream) -> Result<(), EventFluxError> {
    match stream.cached_info().config.retention {
        RetentionPolicy::Limits => Ok(()),
        RetentionPolicy::Interest => Err(retention_error("nats.stream", "interest")),
        RetentionPolicy::WorkQueue => Err(retention_error("nats.stream", "workqueue")),
    }
}

/// The same place for all partitions: it is stored with those that nobody has worked on.
///
/// # Errors
/// [`EventFluxError::ConnectionUnavailable`], not retryable when the stream does not take the subjects.
pub(super) async fn resolve(stream: &Stream, config: &PartitionsConfig) -> Result<Origin, EventFluxError> {
    let info = stream.cached_info();
    let (created, first) = (info.created.unix_timestamp_nanos(), info.state.first_sequence.max(1));
    let first = match config.start {
        // What was removed is not missing.
        DeliverPolicy::ByStartSequence { start_sequence } => start_sequence.max(first),
        // The server knows. A consumer also shows whether the stream has such subjects.
        policy => consumers::first(stream, config, policy).await?,
    };
    Ok(Origin { epoch: u64::try_from(created).unwrap_or_default(), first, gone: 0 })
}

/// Whether the stream was deleted, or replaced by another one. Who does not know says no.
pub(super) async fn is_another(stream: &Stream) -> bool {
    match stream.get_info().await {
        Ok(info) => info.created != stream.cached_info().created,
        Err(error) => is_gone(&error),
    }
}

fn is_gone(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(answer) = error.downcast_ref::<jetstream::Error>() {
            return answer.error_code() == ErrorCode::STREAM_NOT_FOUND;
        }
        cause = error.source();
    }
    false
}
