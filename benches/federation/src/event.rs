//! What the processes of a run tell the runner: JSON lines on standard output.

use eventflux_benches::control::Latency;
use eventflux_benches::error::BenchError;
use eventflux_benches::process::Process;
use serde::{Deserialize, Serialize};

/// What a process tells. Times are nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// Connections are accepted there.
    Listening {
        /// A `ws://` URL.
        url: String,
    },
    /// Connected; waits to be told to go on.
    Ready,
    /// The sender begins.
    Started {
        /// When.
        at_ns: u64,
    },
    /// Another part of the messages has come.
    Progress {
        /// Messages so far.
        received: u64,
    },
    /// All messages have come.
    Received(Received),
    /// What is under way is as safe as it gets.
    Settled {
        /// When.
        at_ns: u64,
    },
    /// All requests have been answered.
    Answered {
        /// From the request to the reply.
        latency: Latency,
    },
    /// It could not do its part.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What a receiver got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Received {
    /// When the last message came.
    pub(crate) last_ns: u64,
    /// Messages.
    pub(crate) received: u64,
    /// Messages that were not the next one.
    pub(crate) misordered: u64,
    /// Messages that are none of ours.
    pub(crate) unknown: u64,
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
pub(crate) fn unexpected(event: &Event) -> BenchError {
    BenchError::Protocol(format!("not expected now: {event:?}"))
}
