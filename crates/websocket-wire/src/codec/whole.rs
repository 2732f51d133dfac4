//! The common case without a detour: text and binary messages of one frame that have come completely. Everything else,
//! and everything that is wrong, is left to tungstenite.
//!
//! tungstenite is at rest between two messages, because [`super::Scanner`] passes on no more than a frame at a time.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::mask::mask;
use super::{Codec, Role};
use crate::{Batch, Disconnect, MessageKind};

const FIN_TEXT: u8 = 0x81;
const FIN_BINARY: u8 = 0x82;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;

/// Messages are copied together up to this size. Whoever keeps one of them keeps them all.
const MAX_BLOCK_BYTES: usize = 16 * 1024;

/// A whole message.
struct Frame {
    kind: MessageKind,
    compressed: bool,
    key: Option<[u8; 4]>,
    /// Where the payload lies; the frame ends with it.
    payload: Range<usize>,
}

impl Codec {
    /// Moves such messages from the start of `input` to `batch`, up to the first frame that is anything else.
    ///
    /// # Errors
    /// When a compressed one cannot be inflated.
    pub(super) fn take_whole(&mut self, input: &mut &[u8], batch: &mut Batch) -> Result<(), Disconnect> {
        while batch.has_room()
            && let Some(frame) = self.frame(input, 0)
        {
            if frame.compressed {
                self.inflate_whole(&frame, input, batch)?;
                *input = &input[frame.payload.end..];
            } else {
                let run = self.run(input, batch.room());
                if !self.take_run(&input[..run], batch) {
                    // Not UTF-8: tungstenite finds it, and what came before.
                    return Ok(());
                }
                *input = &input[run..];
            }
        }
        Ok(())
    }

    /// Where the uncompressed messages at the start of `input` end, at most so many.
    #[inline]
    fn run(&self, input: &[u8], count: usize) -> usize {
        let mut end = 0;
        for _ in 0..count {
            match self.frame(input, end) {
                Some(frame) if !frame.compressed && (end == 0 || frame.payload.end <= MAX_BLOCK_BYTES) => {
                    end = frame.payload.end;
                }
                _ => break,
            }
        }
        end
    }

    /// Moves all messages of `run` to `batch`; false when a text is not UTF-8, and then none is moved.
    fn take_run(&self, run: &[u8], batch: &mut Batch) -> bool {
        let mut block = BytesMut::from(run);
        let mut start = 0;
        while let Some(frame) = self.frame(run, start) {
            start = frame.payload.end;
            let payload = &mut block[frame.payload];
            if let Some(key) = frame.key {
                mask(payload, key);
            }
            if frame.kind == MessageKind::Text && std::str::from_utf8(payload).is_err() {
                return false;
            }
        }
        let block = block.freeze();
        start = 0;
        while let Some(frame) = self.frame(run, start) {
            start = frame.payload.end;
            push(batch, frame.kind, block.slice(frame.payload));
        }
        true
    }

    fn inflate_whole(&mut self, frame: &Frame, input: &[u8], batch: &mut Batch) -> Result<(), Disconnect> {
        let payload = &input[frame.payload.clone()];
        match frame.key {
            None => self.inflate(frame.kind, payload, batch),
            Some(key) => {
                let mut payload = payload.to_vec();
                mask(&mut payload, key);
                self.inflate(frame.kind, &payload, batch)
            }
        }
    }

    /// The frame at `start` if it is a whole message, allowed, and complete (RFC 6455 section 5.2).
    #[inline]
    fn frame(&self, input: &[u8], start: usize) -> Option<Frame> {
        let [first, second, rest @ ..] = input.get(start..)? else { return None };
        let kind = match first & !RSV1 {
            FIN_TEXT => MessageKind::Text,
            FIN_BINARY => MessageKind::Binary,
            _ => return None,
        };
        let (compressed, masked) = (first & RSV1 != 0, second & MASKED != 0);
        if compressed && self.deflate.is_none() || masked != (self.role == Role::Server) {
            return None;
        }
        let (length_bytes, length) = match (second & !MASKED, rest) {
            // 64 KiB and more do not come in one piece.
            (127, _) => return None,
            (126, [high, low, ..]) => (2, usize::from(u16::from_be_bytes([*high, *low]))),
            (126, _) => return None,
            (short, _) => (0, usize::from(short)),
        };
        let (key, key_bytes) = match masked {
            true => (Some(*rest.get(length_bytes..)?.first_chunk()?), 4),
            false => (None, 0),
        };
        let payload_start = start + 2 + length_bytes + key_bytes;
        let payload = payload_start..payload_start + length;
        let is_whole = length <= self.limits.max_message_bytes && payload.end <= input.len();
        is_whole.then_some(Frame { kind, compressed, key, payload })
    }
}

#[inline]
fn push(batch: &mut Batch, kind: MessageKind, message: Bytes) {
    match kind {
        MessageKind::Binary => batch.push_binary(message),
        _ => batch.push_text(message),
    }
}
