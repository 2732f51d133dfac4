//! The messages one look at the socket brought.

use bytes::Bytes;

/// Largest number of frames taken before they are handed over.
pub(crate) const MAX_BATCH_FRAMES: usize = 1024;

/// Message bytes after which a batch is handed over; the last message may pass it.
pub(crate) const MAX_BATCH_BYTES: usize = 256 * 1024;

/// Received messages in order; reused, so that receiving allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Payloads of text and binary messages.
    pub(crate) messages: Vec<Bytes>,
    /// Indexes of the binary ones, ascending.
    pub(crate) binary: Vec<usize>,
    /// Pings received with them; already answered.
    pub(crate) pings: usize,
    frames: usize,
    bytes: usize,
}

impl Batch {
    /// Forgets all messages, keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.messages.clear();
        self.binary.clear();
        self.pings = 0;
        self.frames = 0;
        self.bytes = 0;
    }

    /// Takes message `index` out.
    pub(crate) fn remove(&mut self, index: usize) {
        self.messages.remove(index);
        self.binary.retain(|binary| *binary != index);
        self.binary.iter_mut().filter(|binary| **binary > index).for_each(|binary| *binary -= 1);
    }

    #[inline]
    pub(super) fn push_text(&mut self, message: Bytes) {
        self.frames += 1;
        self.bytes += message.len();
        self.messages.push(message);
    }

    #[inline]
    pub(super) fn push_binary(&mut self, message: Bytes) {
        self.binary.push(self.messages.len());
        self.push_text(message);
    }

    pub(super) fn push_control(&mut self, is_ping: bool) {
        self.frames += 1;
        self.pings += usize::from(is_ping);
    }

    /// Whether more is taken in.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.frames < MAX_BATCH_FRAMES && self.bytes < MAX_BATCH_BYTES
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
