//! How links behave: what everybody at one place says together.

use std::time::Duration;

use crate::envelope::{Encoding, Limits};

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub struct FederationConfig {
    /// What this end calls itself: a receiver that comes back under its name goes on where it was.
    pub name: String,
    /// Whether events are numbered and acknowledged.
    pub reliable: Reliable,
    /// How much may be on its way to us that we have not acknowledged.
    pub window: Window,
    /// Bytes of a message that we take at most. Senders are told, and pass over what is larger; `None`: they are not told.
    pub max_message_bytes: Option<u64>,
    /// Where a receiver begins that the other end does not know.
    pub start: Start,
    /// An acknowledgement waits so long for more to acknowledge, unless the window is half full.
    pub ack_delay: Duration,
    /// How envelopes are written.
    pub encoding: Encoding,
    /// Whether requests are answered and may be sent.
    pub control: bool,
    /// How long a reply is awaited.
    pub request_timeout: Duration,
    /// Requests under way in each direction of a connection.
    pub max_requests: usize,
    /// Limits of what is read.
    pub limits: Limits,
    /// Streams of peers whose positions are remembered.
    pub max_positions: usize,
    /// Bytes of replies and acknowledgements a peer may leave unread.
    pub max_control_bytes: usize,
    /// Bytes that replays of all connections together may have under way.
    pub replay_bytes: usize,
    /// Where a payload says of what type it is, for peers that announced types.
    pub type_path: String,
    /// Where a payload says to which region it belongs, for peers that announced one.
    pub region_path: String,
    /// Whether the receivers that connections lead to stand in for each other: what one has acknowledged is not sent to
    /// another.
    pub stand_ins: bool,
}

impl FederationConfig {
    /// Bytes of the params of a request to a peer, and of the pipeline's reply to one.
    #[must_use]
    pub fn max_request_bytes(&self) -> usize {
        // With what waits already and what is around it, it stays below what a peer may leave unread.
        self.max_control_bytes / 4
    }
}

/// Whether events are numbered and acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reliable {
    /// Where the peer can.
    #[default]
    Prefer,
    /// A peer that cannot is refused.
    Require,
    /// Never.
    Off,
}

/// How much may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Events.
    pub events: u64,
    /// Bytes of payloads.
    pub bytes: u64,
}

/// Where a receiver begins that is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// At the oldest event that is kept.
    #[default]
    Earliest,
    /// With what is published from now on.
    Latest,
}

impl Default for FederationConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            reliable: Reliable::Prefer,
            window: Window { events: 16_384, bytes: 4 << 20 },
            max_message_bytes: None,
            start: Start::Earliest,
            ack_delay: Duration::from_millis(20),
            encoding: Encoding::Json,
            control: true,
            request_timeout: Duration::from_secs(5),
            max_requests: 10,
            limits: Limits::default(),
            max_positions: 4_096,
            max_control_bytes: 1 << 20,
            replay_bytes: 64 << 20,
            type_path: "$.type".to_owned(),
            region_path: "$.region".to_owned(),
            stand_ins: false,
        }
    }
}
