//! What is to be sent: messages that wait, and encoded bytes on their way to the socket.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

use super::buffers;
use crate::Message;

/// Encoded bytes collected before they are written.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// Largest frame sent; a longer payload goes out in fragments, so that control frames find a gap.
pub(super) const MAX_FRAME_BYTES: usize = 512 * 1024;

/// Payloads from here on are written from where they are instead of being copied together with others.
pub(super) const LARGE_BYTES: usize = 16 * 1024;

/// Room kept for waiting messages when there are none.
const SPARE_MESSAGES: usize = 64;

/// The next thing to encode.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A message.
    Message(Message),
    /// Encoded frames.
    Frames(Bytes),
    /// A message of which some fragments are sent.
    Rest {
        /// What is left.
        payload: Bytes,
    },
    /// A Close frame; nothing follows it.
    Close {
        /// The code.
        code: u16,
        /// At most 123 bytes.
        reason: String,
    },
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) waiting: VecDeque<Outgoing>,
    /// Encoded frames, written first: the chunk.
    encoded: Vec<u8>,
    /// How much of `encoded` is written.
    written: usize,
    /// The rest of a large payload whose header ends `encoded`.
    large: Bytes,
    /// Chunks the socket has taken completely.
    chunks: u64,
}

impl Outbox {
    /// Whether there is nothing encoded that is not written.
    #[inline]
    pub(super) fn is_written(&self) -> bool {
        self.encoded.is_empty() && self.large.is_empty()
    }

    /// Whether a frame may follow what is encoded.
    #[inline]
    pub(super) fn is_between_frames(&self) -> bool {
        self.large.is_empty()
    }

    /// Whether the chunk takes more. Part of it may be written already.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.encoded.len() < CHUNK_BYTES && self.is_between_frames()
    }

    /// Chunks the socket has taken completely.
    pub(super) fn chunks(&self) -> u64 {
        self.chunks
    }

    /// Where to encode.
    #[inline]
    pub(super) fn chunk(&mut self) -> &mut Vec<u8> {
        if self.encoded.capacity() == 0 {
            self.encoded = buffers::take_write_buffer();
        }
        &mut self.encoded
    }

    /// Ends the chunk with a payload that is written from where it is.
    pub(super) fn set_large(&mut self, payload: Bytes) {
        self.large = payload;
    }

    /// What to write next.
    #[inline]
    pub(super) fn unwritten(&self) -> [IoSlice<'_>; 2] {
        [IoSlice::new(&self.encoded[self.written..]), IoSlice::new(&self.large)]
    }

    /// So many bytes of it are written.
    #[inline]
    pub(super) fn advance(&mut self, count: usize) {
        let of_encoded = count.min(self.encoded.len() - self.written);
        self.written += of_encoded;
        self.large.advance(count - of_encoded);
        if self.written == self.encoded.len() && self.large.is_empty() {
            self.chunks += 1;
            self.written = 0;
            self.large = Bytes::new();
            buffers::give_write_buffer(std::mem::take(&mut self.encoded));
        }
    }

    /// Gives memory back that is not needed while nothing happens.
    pub(super) fn shrink(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > SPARE_MESSAGES {
            self.waiting = VecDeque::new();
        }
    }
}
