//! Messages on their way out, and batches of messages that came in.

use std::sync::Arc;

use bytes::Bytes;

use crate::deflate::SharedDeflate;

/// Largest number of frames taken before they are handed over.
pub const MAX_BATCH_FRAMES: usize = 1024;

/// Message bytes after which a batch is handed over; the last message may pass it.
pub const MAX_BATCH_BYTES: usize = 256 * 1024;

/// What a payload is sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// A text message; the payload must be UTF-8.
    Text,
    /// A binary message.
    Binary,
    /// A ping; the payload must not exceed 125 bytes.
    Ping,
}

/// A message to be sent. The payload is shared, not copied, until it goes to the socket.
#[derive(Debug, Clone)]
pub struct Message {
    pub(crate) kind: MessageKind,
    pub(crate) payload: Bytes,
    pub(crate) shared: Option<Arc<SharedDeflate>>,
}

impl Message {
    /// A message of this kind.
    #[inline]
    #[must_use]
    pub fn new(kind: MessageKind, payload: Bytes) -> Self {
        Self { kind, payload, shared: None }
    }

    /// A text message; the payload must be UTF-8.
    #[must_use]
    pub fn text(payload: impl Into<Bytes>) -> Self {
        Self::new(MessageKind::Text, payload.into())
    }

    /// A binary message.
    #[must_use]
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self::new(MessageKind::Binary, payload.into())
    }

    /// An empty ping.
    #[must_use]
    pub fn ping() -> Self {
        Self::new(MessageKind::Ping, Bytes::new())
    }

    /// The same message for many connections: compressed once for all that agreed on the same parameters without
    /// context takeover. Clone it for each of them.
    #[must_use]
    pub fn for_many(self) -> Self {
        Self { shared: Some(Arc::default()), ..self }
    }

    /// What it is sent as.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The bytes to send.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }
}

/// Received messages in order; reused, so that receiving allocates nothing.
#[derive(Debug, Default)]
pub struct Batch {
    /// Payloads of text and binary messages.
    pub messages: Vec<Bytes>,
    /// Indexes of the binary ones, ascending.
    pub binary: Vec<usize>,
    /// Pings received with them; already answered.
    pub pings: usize,
    frames: usize,
    bytes: usize,
}

impl Batch {
    /// Forgets all messages, keeps the memory.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.binary.clear();
        self.pings = 0;
        self.frames = 0;
        self.bytes = 0;
    }

    /// Takes message `index` out.
    pub fn remove(&mut self, index: usize) {
        self.messages.remove(index);
        self.binary.retain(|binary| *binary != index);
        self.binary.iter_mut().filter(|binary| **binary > index).for_each(|binary| *binary -= 1);
    }

    /// Whether more is taken in.
    #[inline]
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.frames < MAX_BATCH_FRAMES && self.bytes < MAX_BATCH_BYTES
    }

    /// Frames there is room for, if they are small.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        if self.has_room() { MAX_BATCH_FRAMES - self.frames } else { 0 }
    }

    /// The messages, each with what it came as: text or binary.
    pub fn iter(&self) -> impl Iterator<Item = (MessageKind, &Bytes)> {
        let mut binary = self.binary.iter().copied().peekable();
        self.messages.iter().enumerate().map(move |(index, message)| {
            let is_binary = binary.next_if_eq(&index).is_some();
            (if is_binary { MessageKind::Binary } else { MessageKind::Text }, message)
        })
    }

    /// Whether nothing came, not even a control frame.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// Frames taken since it was cleared.
    #[inline]
    pub(crate) fn frames(&self) -> usize {
        self.frames
    }

    #[inline]
    pub(crate) fn push_text(&mut self, message: Bytes) {
        self.frames += 1;
        self.bytes += message.len();
        self.messages.push(message);
    }

    #[inline]
    pub(crate) fn push_binary(&mut self, message: Bytes) {
        self.binary.push(self.messages.len());
        self.push_text(message);
    }

    pub(crate) fn push_control(&mut self, is_ping: bool) {
        self.frames += 1;
        self.pings += usize::from(is_ping);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_message_leaves_the_binary_marks_on_the_right_messages() {
        let mut batch = Batch::default();
        batch.push_binary(Bytes::from_static(b"0"));
        batch.push_text(Bytes::from_static(b"1"));
        batch.push_binary(Bytes::from_static(b"2"));
        batch.remove(0);
        assert_eq!((batch.messages.len(), &batch.binary[..]), (2, &[1][..]));
        batch.remove(0);
        assert_eq!(&batch.binary[..], [0]);
    }

    #[test]
    fn a_batch_is_bounded_by_frames_and_by_bytes() {
        let mut batch = Batch::default();
        (0..MAX_BATCH_FRAMES).for_each(|_| batch.push_control(true));
        assert!(!batch.has_room());
        batch.clear();
        assert!(batch.has_room());
        batch.push_text(Bytes::from(vec![0; MAX_BATCH_BYTES]));
        assert!(!batch.has_room());
    }
}
