//! What a session and its driver pass to each other.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use eventflux_core::Secret;

use crate::auth::Identity;
use crate::hub::SharedFraming;
use crate::{Pattern, dialects};

/// A connection that wants a session.
#[derive(Debug)]
pub struct Arrival {
    /// Where the client is, beyond proxies.
    pub address: IpAddr,
    /// Who the client is, when the handshake told; `None`: nobody yet.
    pub identity: Option<Authenticated>,
    /// How events are framed for it.
    pub framing: SharedFraming,
    /// Whether the driver wants events as texts, one by one, instead of framed.
    pub singly: bool,
    /// What connecting subscribes to, and where to go on.
    pub subscriptions: Vec<(Pattern, Option<dialects::Position>)>,
}

/// A client that is who it says.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// Who.
    pub identity: Identity,
    /// Until when.
    pub expires: Option<Instant>,
}

/// What a driver has to do for a session.
#[derive(Debug)]
pub enum Effect {
    /// Find out who the token stands for, and call [`Session::authenticated`](crate::Session::authenticated). Nothing is
    /// received meanwhile.
    Authenticate(Secret),
    /// Find out whether the client may subscribe to these, one by one, and call
    /// [`Session::authorized`](crate::Session::authorized). Nothing is received meanwhile.
    Authorize(Vec<Pattern>),
    /// Pass a message to the pipeline.
    Deliver(Inbound),
}

/// A message for the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// Its type.
    pub kind: String,
    /// The message.
    pub payload: Bytes,
    /// The channel it is about.
    pub channel: Option<String>,
    /// The client's name for it.
    pub correlation: Option<String>,
    /// Where an answer goes: what [`Address::Request`](crate::Address::Request) takes.
    pub request: Option<String>,
}

/// Whether a driver wants to know where events are in the histories of their channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placing {
    /// It does not.
    #[default]
    Unwanted,
    /// The framing writes it ([`Framed::number`](crate::Framed::number)), and the driver writes it where events come one by
    /// one. They do not wait for each other.
    Framed,
    /// The driver writes it: events come one by one. They do not wait for each other.
    Told,
}

/// What goes to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Messages as the connection's framing wrote them, complete.
    Framed(Bytes),
    /// One message.
    Message {
        /// Its text.
        text: Bytes,
        /// Whether it is no text.
        binary: bool,
        /// Of an event, where the driver asked for it: its channel, and its number in the channel's history.
        place: Option<(Arc<str>, u64)>,
    },
}

impl Outgoing {
    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Framed(bytes) | Self::Message { text: bytes, .. } => bytes.len(),
        }
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Inbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' of {} bytes", self.kind, self.payload.len())
    }
}
