//! What a process of a run is told to do; travels from the runner as JSON.

use serde::{Deserialize, Serialize};

use crate::message::{ENVELOPE_BYTES, MESSAGE_BYTES};
use crate::system::System;

/// What a process is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// What carries the messages.
    pub(crate) system: System,
    /// Whether it sends or receives.
    pub(crate) end: End,
    /// Where to connect to; `None` for who listens.
    pub(crate) url: Option<String>,
    /// Messages.
    pub(crate) messages: u64,
    /// Messages that are published together.
    pub(crate) batch: usize,
    /// Properties of the source or sink, besides those of the system.
    pub(crate) properties: Vec<(String, String)>,
    /// For how long a receiver takes nothing at first, in milliseconds.
    pub(crate) stall_ms: u64,
    /// How often a receiver tells of its progress.
    pub(crate) parts: u64,
}

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// Publishes.
    Sender,
    /// Takes.
    Receiver,
}

/// What a process is to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Questions {
    /// Whom.
    pub(crate) url: String,
    /// What; `None` where there is nothing but a WebSocket library at both ends.
    pub(crate) method: Option<String>,
    /// The params of every request, a JSON object, or the message.
    pub(crate) params: String,
    /// How often.
    pub(crate) count: u64,
    /// How many in a second.
    pub(crate) per_second: u32,
}

impl Job {
    /// Bytes of each message that is published, so that those on the wire have [`MESSAGE_BYTES`].
    pub(crate) fn message_bytes(&self) -> usize {
        if self.system.has_envelopes() { MESSAGE_BYTES - ENVELOPE_BYTES } else { MESSAGE_BYTES }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_its_journey() {
        let job = Job {
            system: System::Link,
            end: End::Receiver,
            url: Some("ws://127.0.0.1:1/".into()),
            messages: 1,
            batch: 2,
            properties: vec![("a".into(), "b".into())],
            stall_ms: 3,
            parts: 4,
        };
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    }
}
