//! What the processes of a run tell the runner: JSON lines on standard output, as in [`crate::control`].

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::error::BenchError;
use crate::process::Process;

/// What a process tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Event {
    /// It accepts connections.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// So many connections are open, and it waits to be told to go on.
    Ready {
        /// Connections.
        connections: usize,
    },
    /// It has sent, or received, all messages.
    Done(Done),
    /// It could not do its part.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What a process did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// Messages sent or received, all of them whole.
    pub(super) messages: u64,
    /// Their bytes: of payloads in a system under test, of frames in a counterpart.
    pub(super) bytes: u64,
    /// Processor time of the whole process, in nanoseconds.
    pub(super) cpu_ns: u64,
    /// Wall time, in nanoseconds.
    pub(super) elapsed_ns: u64,
}

/// The next event of a process.
///
/// # Errors
/// When the process fails, ends, or says something else.
pub(super) async fn next(process: &mut Process) -> Result<Event, BenchError> {
    let line = process.next_line().await?;
    match serde_json::from_str(&line) {
        Ok(Event::Failed { reason }) => Err(BenchError::Protocol(reason)),
        Ok(event) => Ok(event),
        Err(error) => Err(BenchError::Protocol(format!("a process said something that is no event ({error}): {line}"))),
    }
}
