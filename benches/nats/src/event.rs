//! What a process that publishes tells the runner: JSON lines on standard output.

use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// What comes before the run is published; it waits to be told to go on.
    Ready,
    /// It begins.
    Started {
        /// When, in nanoseconds of `CLOCK_MONOTONIC`.
        at_ns: u64,
    },
    /// It could not do its part.
    Failed {
        /// Why.
        reason: String,
    },
}

/// The next event of a process.
///
/// # Errors
/// When it fails, ends, or says something else.
pub(crate) async fn next(process: &mut Process) -> Result<Event, BenchError> {
    let line = process.next_line().await?;
    match serde_json::from_str(&line) {
        Ok(Event::Failed { reason }) => Err(BenchError::Protocol(reason)),
        Ok(event) => Ok(event),
        Err(error) => Err(BenchError::Protocol(format!("a process said something that is no event ({error}): {line}"))),
    }
}

/// What it says of an event that does not belong there.
pub(crate) fn unexpected(event: &impl std::fmt::Debug) -> BenchError {
    BenchError::Protocol(format!("not expected now: {event:?}"))
}
