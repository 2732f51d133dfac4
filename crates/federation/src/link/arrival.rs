//! What a link passes on to the pipeline.

use std::sync::Arc;

use bytes::Bytes;

use crate::Receipt;
use crate::envelope::{Content, Kind, Malformed};

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
    },
    /// No envelope: the message, and what is wrong with it.
    Malformed(Bytes, Box<Malformed>),
}
