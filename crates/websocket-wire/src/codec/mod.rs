//! RFC 6455 over bytes that come and go: sans-IO, around tungstenite's protocol state.
//!
//! tungstenite takes frames, masking and fragments apart, answers control frames, and keeps the state of the close
//! handshake. What stands
//! around it: below, [`scanner`] looks at the headers first (compressed messages, number of fragments); above, messages
//! are inflated and checked, and what is to be sent is encoded, many messages at a time.

mod buffers;
mod encode;
mod failure;
mod mask;
mod outbox;
mod pipe;
mod receive;
mod scanner;
mod whole;

use std::io::IoSlice;

use bytes::Bytes;
use tungstenite::protocol::WebSocketContext;

pub(crate) use self::buffers::with_read_buffer;
pub use self::encode::{encode_compressed_frame, encode_frame};
use self::mask::MaskingKeys;
use self::outbox::{Outbox, Outgoing};
use self::scanner::Scanner;
use crate::deflate::Deflate;
use crate::{Batch, Disconnect, Limits, Message};

/// Answers to pings that wait for a peer that does not read. Beyond, only the newest ping is answered, which
/// RFC 6455 section 5.5.3 allows.
const MAX_PONG_BYTES: usize = 4 * 1024;

/// Longest close reason (RFC 6455 section 5.5: 125 bytes with the code).
const MAX_REASON_BYTES: usize = 123;

/// Which end of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends masked frames.
    Client,
    /// Expects masked frames.
    Server,
}

/// The protocol state of one connection after its handshake: received bytes become messages, messages become bytes to
/// send. No I/O and no clock.
///
/// Pings are answered and a Close is replied to by itself; the answers are among the bytes to send.
#[derive(Debug)]
pub struct Codec {
    /// tungstenite's state, while it has any: between two frames it has none.
    context: Option<Box<WebSocketContext>>,
    scanner: Scanner,
    deflate: Option<Box<Deflate>>,
    role: Role,
    limits: Limits,
    outbox: Outbox,
    masking_keys: MaskingKeys,
    /// Encoded control frames, sent before anything that waits.
    control: Vec<u8>,
    /// The answer to the newest ping, sent after `control`, when that is full.
    newest_pong: Vec<u8>,
    /// Whether a full batch kept complete messages from being handed over.
    has_buffered: bool,
    /// Whether a Close of ours is sent or on its way.
    is_closing: bool,
    ended: Option<Disconnect>,
}

impl Codec {
    /// The state right after the handshake; `deflate` when it was agreed upon.
    #[must_use]
    pub fn new(role: Role, limits: Limits, deflate: Option<Deflate>) -> Self {
        Self {
            context: None,
            scanner: Scanner::new(deflate.is_some(), limits.max_fragments),
            deflate: deflate.map(Box::new),
            role,
            limits,
            outbox: Outbox::default(),
            masking_keys: MaskingKeys::default(),
            control: Vec::new(),
            newest_pong: Vec::new(),
            has_buffered: false,
            is_closing: false,
            ended: None,
        }
    }

    /// Takes received bytes and moves complete messages to `batch`. Stops early when the batch is full; then what is
    /// left of `input` comes again with the next call.
    ///
    /// # Errors
    /// How the connection ended; messages received before are handed over first.
    #[inline]
    pub fn receive(&mut self, input: &mut &[u8], batch: &mut Batch) -> Result<(), Disconnect> {
        self.read(input, batch, false)
    }

    /// The peer will send nothing more.
    #[must_use]
    pub fn end_of_stream(&mut self) -> Disconnect {
        let mut batch = Batch::default();
        match self.read(&mut &[][..], &mut batch, true) {
            Err(ended) => ended,
            // Not reached: at its end a stream gives no message.
            Ok(()) => Disconnect::Lost("the connection is closed".to_owned()),
        }
    }

    /// Reading from the stream failed.
    pub(crate) fn failed(&mut self, error: &std::io::Error) -> Disconnect {
        let ended = self.ended.get_or_insert_with(|| Disconnect::Lost(error.to_string()));
        ended.clone()
    }

    /// Whether [`Codec::receive`] has messages to hand over without further bytes.
    #[inline]
    #[must_use]
    pub fn has_buffered(&self) -> bool {
        self.has_buffered
    }

    /// Whether a message was begun and is not complete.
    #[inline]
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        self.scanner.is_mid_message()
    }

    /// How the connection ended, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<&Disconnect> {
        self.ended.as_ref()
    }

    /// Queues a message. Bounding what waits is the caller's. After a Close, the peer's or ours, nothing may follow
    /// (RFC 6455 section 5.5.1): then the message is dropped.
    #[inline]
    pub fn queue(&mut self, message: Message) {
        if self.is_closing {
            return;
        }
        // What may go at once is encoded at once, and the payload let go.
        if self.outbox.waiting.is_empty() && self.outbox.has_room() {
            self.encode_control();
            self.encode_message(message);
        } else {
            self.outbox.waiting.push_back(Outgoing::Message(message));
        }
    }

    /// Queues frames that are encoded already ([`encode_frame`]): whole messages of a server, in order. The bytes are
    /// shared with other connections, not copied, when they are many. After a Close they are dropped.
    #[inline]
    pub fn queue_frames(&mut self, frames: Bytes) {
        if self.is_closing {
            return;
        }
        if self.outbox.waiting.is_empty() && self.outbox.has_room() {
            self.encode_control();
            self.push_frames(frames);
        } else {
            self.outbox.waiting.push_back(Outgoing::Frames(frames));
        }
    }

    /// Queues a Close instead of everything that waits. A reason of more than 123 bytes is cut.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.outbox.waiting.clear();
        if self.is_closing {
            // A Close is on its way, the answer to the peer's for example; nothing else may follow.
            return;
        }
        self.is_closing = true;
        let mut ends = (0..=reason.len().min(MAX_REASON_BYTES)).rev();
        let end = ends.find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
        self.outbox.waiting.push_back(Outgoing::Close { code, reason: reason[..end].to_owned() });
    }

    /// Whether something is to be sent.
    #[inline]
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        !self.outbox.is_written() || !self.outbox.waiting.is_empty() || !self.control.is_empty()
    }

    /// The next bytes to send, both slices one after the other; empty when there is nothing. Of what waits, so much is
    /// encoded as is worth a system call.
    ///
    /// # Errors
    /// When the connection is over, so that nothing can be sent.
    pub fn unsent(&mut self) -> Result<[IoSlice<'_>; 2], Disconnect> {
        if self.outbox.has_room() {
            self.encode()?;
        }
        Ok(self.outbox.unwritten())
    }

    /// So many bytes of [`Codec::unsent`] are sent.
    #[inline]
    pub fn sent(&mut self, bytes: usize) {
        self.outbox.advance(bytes);
    }

    /// Chunks of at most a few hundred KiB that were sent completely. A number that stands still while something is
    /// unsent means a peer that does not read.
    #[must_use]
    pub fn chunks_sent(&self) -> u64 {
        self.outbox.chunks()
    }

    /// Gives memory back; for connections that have been idle for a while.
    pub fn shrink(&mut self) {
        self.outbox.shrink();
    }
}

#[cfg(test)]
mod tests;
