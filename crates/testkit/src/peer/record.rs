//! What a peer saw, kept where tests can look at it and wait for it.

use std::{collections::HashSet, fmt, time::Instant};

use tokio::sync::watch;

use super::{MAX_RECORDED_MESSAGES, handshake::Handshake, message::Message};
use crate::wait::Wait;

/// Everything a peer has seen so far, over all its connections.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// TCP connections accepted.
    pub connections: usize,
    /// Connections open now.
    pub open: usize,
    /// WebSocket handshake requests, in order of arrival.
    pub handshakes: Vec<Handshake>,
    /// Messages, in order of arrival.
    pub messages: Vec<Received>,
    /// Pings received.
    pub pings: usize,
    /// Pongs received.
    pub pongs: usize,
    /// Close frames received, in order of arrival.
    pub closes: Vec<ReceivedClose>,
    /// How connections ended, in that order.
    pub endings: Vec<Ended>,
    /// TLS handshakes that failed, with the reason; their connections ran no script.
    pub tls_failures: Vec<String>,
}

impl Record {
    /// How many messages came compressed.
    pub fn compressed_messages(&self) -> usize {
        self.messages.iter().filter(|received| received.compressed_bytes.is_some()).count()
    }

    /// The messages one connection sent, in order. Connections are numbered from 0.
    pub fn messages_of(&self, connection: usize) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(move |received| received.connection == connection).map(|received| &received.message)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} connections ({} open), {} handshakes, {} messages",
            self.connections,
            self.open,
            self.handshakes.len(),
            self.messages.len()
        )?;
        if let Some(last) = self.messages.last() {
            write!(f, " (last: {:?})", last.message)?;
        }
        for close in &self.closes {
            write!(f, ", close {:?} {:?} on connection {}", close.code, close.reason, close.connection)?;
        }
        for ended in &self.endings {
            write!(f, ", connection {} ended: {}", ended.connection, ended.ending)?;
        }
        for failure in &self.tls_failures {
            write!(f, ", TLS failed: {failure}")?;
        }
        Ok(())
    }
}

/// A message and where it came from.
#[derive(Debug, Clone)]
pub struct Received {
    /// The connection, numbered from 0.
    pub connection: usize,
    /// When it was complete.
    pub at: Instant,
    /// The message, inflated when it came compressed.
    pub message: Message,
    /// The size of its payload as it came, when it came compressed.
    pub compressed_bytes: Option<usize>,
}

/// A close frame the other end sent, first or in answer to ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedClose {
    /// The connection, numbered from 0.
    pub connection: usize,
    /// The code; `None` for a close frame without one.
    pub code: Option<u16>,
    /// The reason, empty when there was none.
    pub reason: String,
}

/// The end of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The connection, numbered from 0.
    pub connection: usize,
    /// How it ended.
    pub ending: Ending,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The other end closed, or answered our close.
    Closed {
        /// Its code.
        code: Option<u16>,
        /// Its reason.
        reason: String,
    },
    /// The other end hung up (FIN) without a close frame.
    HungUp,
    /// The connection failed, by a reset for example.
    Failed(String),
    /// The other end broke RFC 6455, or RFC 7692 once permessage-deflate was agreed upon, in this way.
    Broken(String),
    /// The script, or the test, ended it without a close handshake.
    ByTest,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { code: Some(code), reason } => write!(f, "closed by the other end with {code} {reason:?}"),
            Self::Closed { code: None, .. } => f.write_str("closed by the other end without a code"),
            Self::HungUp => f.write_str("the other end hung up without a close frame"),
            Self::Failed(reason) => write!(f, "the connection failed: {reason}"),
            Self::Broken(reason) => write!(f, "the other end broke the protocol: {reason}"),
            Self::ByTest => f.write_str("ended by the test"),
        }
    }
}

/// The record with what only the peer itself needs, shared by all its connections.
#[derive(Default)]
pub(crate) struct Board {
    pub(crate) record: Record,
    pub(crate) signals: HashSet<String>,
    pub(crate) runs: Vec<Run>,
    /// A limit was passed; the test has to know.
    pub(crate) overflow: Option<String>,
}

/// Waits until `look` finds something in the record.
#[track_caller]
pub(crate) fn wait_for<T: Send + 'static>(
    board: &watch::Sender<Board>,
    what: impl Into<String>,
    mut look: impl FnMut(&Record) -> Option<T> + Send + 'static,
) -> Wait<T> {
    let mut changes = board.subscribe();
    let seen = board.clone();
    let found = async move {
        loop {
            if let Some(found) = look(&changes.borrow_and_update().record) {
                return Ok(found);
            }
            changes.changed().await.map_err(|_| "the peer was dropped".to_owned())?;
        }
    };
    Wait::new(what, found, move || seen.borrow().record.to_string())
}

/// A wait for something else than the record, with the record as what was seen.
#[track_caller]
pub(crate) fn progress<T: Send + 'static>(
    board: &watch::Sender<Board>,
    what: impl Into<String>,
    outcome: impl Future<Output = Result<T, String>> + Send + 'static,
) -> Wait<T> {
    let seen = board.clone();
    Wait::new(what, outcome, move || seen.borrow().record.to_string())
}

/// The script of one connection.
pub(crate) struct Run {
    pub(crate) connection: usize,
    pub(crate) script: usize,
    pub(crate) state: RunState,
}

pub(crate) enum RunState {
    /// At this step, which is described.
    Running(String),
    Done,
    Failed(String),
}

impl Board {
    /// A board on its own watch channel: writers modify, tests wait.
    pub(crate) fn channel() -> watch::Sender<Self> {
        watch::Sender::new(Self::default())
    }

    pub(crate) fn message(&mut self, connection: usize, message: &Message, compressed_bytes: Option<usize>) {
        if self.record.messages.len() == MAX_RECORDED_MESSAGES {
            self.overflow = Some(format!("a peer records {MAX_RECORDED_MESSAGES} messages at most; use a Collector"));
            return;
        }
        let received = Received { connection, at: Instant::now(), message: message.clone(), compressed_bytes };
        self.record.messages.push(received);
    }

    /// Notes how far a connection's script is. A failure stays, whatever comes after it.
    pub(crate) fn run_state(&mut self, connection: usize, state: RunState) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.connection == connection)
            && !matches!(run.state, RunState::Failed(_))
        {
            run.state = state;
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.runs.iter().any(|run| matches!(run.state, RunState::Running(_)))
    }

    /// Everything that has failed for good.
    pub(crate) fn failed(&self) -> Vec<String> {
        let failed = self.runs.iter().filter_map(|run| match &run.state {
            RunState::Failed(reason) => Some(format!("connection {}, script {}: {reason}", run.connection, run.script)),
            _ => None,
        });
        self.overflow.iter().cloned().chain(failed).collect()
    }

    /// Everything that went wrong, what never came to its end included, given how many scripts there are.
    pub(crate) fn failures(&self, scripts: usize) -> Vec<String> {
        let mut failures = self.failed();
        for run in &self.runs {
            if let RunState::Running(step) = &run.state {
                let place = format!("connection {}, script {}", run.connection, run.script);
                failures.push(format!("{place}: did not get past {step}"));
            }
        }
        let used = self.runs.iter().map(|run| run.script + 1).max().unwrap_or(0);
        if used < scripts {
            failures.push(format!("only {used} of {scripts} scripts were used: {}", self.record));
        }
        failures
    }
}
