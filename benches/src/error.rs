//! What can go wrong in a benchmark run.

use std::io;

use thiserror::Error;

/// A run, or one process of it, could not do its work.
#[derive(Debug, Error)]
pub enum BenchError {
    /// An operating system call failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, with the name of the thing.
        doing: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A peer broke the WebSocket protocol, or a child process the runner's line protocol.
    #[error("{0}")]
    Protocol(String),
    /// The system under test failed to start, connect, or keep running.
    #[error("{system}: {reason}{}", stderr_note(.stderr))]
    System {
        /// The name of the system.
        system: String,
        /// What happened.
        reason: String,
        /// The last lines it wrote to its standard error.
        stderr: String,
    },
    /// An option cannot be used as given; the text says which, why, and what to do.
    #[error("{0}")]
    Usage(String),
}

impl BenchError {
    /// Wraps an I/O error with what was being done; for `map_err`.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// Wraps an error of the WebSocket library with what was being done; for `map_err`.
    pub fn websocket(doing: &'static str) -> impl Fn(tokio_tungstenite::tungstenite::Error) -> Self {
        move |error| Self::Protocol(format!("{doing}: {error}"))
    }
}

fn stderr_note(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; its last words:\n{stderr}") }
}
