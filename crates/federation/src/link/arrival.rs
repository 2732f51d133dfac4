//! What a link passes on to the pipeline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::Receipt;
use crate::envelope::{Content, Envelope, Kind, Malformed};

/// Messages of one peer, in order.
#[derive(Debug)]
pub struct Arrived {
    /// The messages.
    pub arrivals: Vec<Arrival>,
    /// Goes with the events among them; there is none for a peer that does not want to know.
    pub receipt: Option<Receipt>,
}

/// One message.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// For the pipeline.
    Message {
        /// An event, a request, a reply, or a notice of a gap.
        kind: Kind,
        /// Its id, UTF-8.
        id: Bytes,
        /// JSON text, or bytes.
        payload: Bytes,
        /// Which of the two.
        content: Content,
        /// When the peer published it, in milliseconds since 1970-01-01T00:00:00Z.
        timestamp: Option<u64>,
        /// Of an event on a link: its stream at the peer.
        stream: Option<Arc<str>>,
        /// Whether it is repeated on request.
        replayed: bool,
        /// What else is known of a request or a reply; nothing of others.
        details: Option<Box<Details>>,
    },
    /// No envelope: the message, and what is wrong with it.
    Malformed(Bytes, Box<Malformed>),
}

/// What is known of a message that is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Details {
    /// Of a request.
    Request(RequestDetails),
    /// Of a reply.
    Reply(ReplyDetails),
}

/// What is known of a request of the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestDetails {
    /// What is asked for.
    pub method: String,
    /// Whether it has been answered here. What a pipeline says to it goes to nobody then.
    pub handled: bool,
    /// For [`Federation::reply`](crate::Federation::reply), where it has not been answered.
    pub handle: Option<String>,
}

/// What is known of a reply to a request of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyDetails {
    /// What was asked for.
    pub method: String,
    /// What the request brought with it.
    pub correlation: Option<Arc<str>>,
    /// As in [`Reply::status`](crate::Reply::status). Where the peer has not replied, the payload is an error in the form
    /// of one that a peer sends.
    pub status: &'static str,
    /// Since the request was sent.
    pub duration: Duration,
}

impl Arrival {
    pub(super) fn new(envelope: Envelope, stream: Option<Arc<str>>, details: Option<Details>) -> Self {
        let Envelope { kind, id, timestamp, payload, content, replayed } = envelope;
        let details = details.map(Box::new);
        Self::Message { kind, id, payload, content, timestamp, stream, replayed, details }
    }
}
