//! The messages on the wire: an envelope with a type, an id, a time and a payload.
//!
//! As JSON text: `{"type":"data","id":"data-001","timestamp":1704844800000,"payload":{"value":23.5}}`.
//! MessagePack and CBOR have the same members in a map, and a JSON payload as a value of their own.
//!
//! Nothing here knows what a payload means, what a stream is or who the peer is.

use bytes::Bytes;

mod cbor;
mod data;
mod error;
mod id;
mod json;
mod limits;
mod map;
mod messagepack;
mod read;
#[cfg(test)]
mod tests;
mod to_json;
mod tokens;
mod transcode;
mod trusted;
mod write;

pub use data::DataWriter;
pub use error::{Malformed, Reason, Unwritable};
pub use id::MessageId;
pub use limits::{Limits, MAX_DEPTH, MAX_ID_BYTES};
pub use read::read;
pub use trusted::read_trusted;
pub use write::{EnvelopeRef, MAX_PAYLOAD_BYTES, check_json, write};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An event.
    Data,
    /// A question, to be answered with a reply of the same id.
    Request,
    /// The answer to the request of that id.
    Reply,
    /// First message of an end that agreed on a link.
    Hello,
    /// What has been taken, and what may follow; only on a link.
    Ack,
    /// Events that will not come; only on a link.
    Gap,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Data, Self::Request, Self::Reply, Self::Hello, Self::Ack, Self::Gap];

    /// What `type` says.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Request => "request",
            Self::Reply => "reply",
            Self::Hello => "hello",
            Self::Ack => "ack",
            Self::Gap => "gap",
        }
    }

    /// The one with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How envelopes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// JSON in text messages.
    #[default]
    Json,
    /// MessagePack in binary messages.
    MessagePack,
    /// CBOR (RFC 8949) in binary messages.
    Cbor,
}

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Content {
    /// JSON text.
    #[default]
    Json,
    /// Bytes: base64 text with `"encoding":"base64"` beside the payload in JSON, a byte string in the others.
    Binary,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What it is.
    pub kind: Kind,
    /// Its id, UTF-8.
    pub id: Bytes,
    /// Milliseconds since 1970-01-01T00:00:00Z, where it is told.
    pub timestamp: Option<u64>,
    /// JSON text, or bytes; shares the message's buffer where it can.
    pub payload: Bytes,
    /// Which of the two.
    pub content: Content,
    /// Whether it was sent before and is repeated on request.
    pub replayed: bool,
}
