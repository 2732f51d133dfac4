//! From messages to frames (RFC 6455 section 5.2).
//!
//! Data frames and pings are written here, many to a chunk and without a detour; tungstenite writes the answers to what
//! it receives, and Close.

use bytes::Bytes;
use tungstenite::protocol::frame::CloseFrame;

use super::mask::mask;
use super::outbox::{LARGE_BYTES, MAX_FRAME_BYTES, Outgoing};
use super::pipe::Pipe;
use super::{Codec, Role, failure, receive};
use crate::{Disconnect, Message, MessageKind};

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const PING: u8 = 0x9;

/// Longest header: two bytes, an extended length of eight, a masking key of four.
const MAX_HEADER_BYTES: usize = 14;

impl Codec {
    /// Encodes the answers to what was received and then what waits, as far as the chunk has room.
    pub(super) fn encode(&mut self) -> Result<(), Disconnect> {
        self.encode_control();
        while self.outbox.has_room() {
            let Some(next) = self.outbox.waiting.pop_front() else { break };
            match next {
                Outgoing::Message(message) => self.encode_message(message),
                Outgoing::Frames(frames) => self.push_frames(frames),
                Outgoing::Rest { payload } => self.encode_data(CONTINUATION, payload),
                Outgoing::Close { code, reason } => {
                    let frame = CloseFrame { code: code.into(), reason: reason.into() };
                    let mut pipe = Pipe::to(self.outbox.chunk(), &mut self.scanner);
                    let context = receive::context(&mut self.context, self.role, self.limits);
                    context.close(&mut pipe, Some(frame)).map_err(|error| failure::lost(&error))?;
                }
            }
        }
        Ok(())
    }

    /// Between two frames is a place for control frames.
    pub(super) fn encode_control(&mut self) {
        if !self.control.is_empty() && self.outbox.is_between_frames() {
            let chunk = self.outbox.chunk();
            chunk.append(&mut self.control);
            chunk.append(&mut self.newest_pong);
            (self.control, self.newest_pong) = (Vec::new(), Vec::new());
        }
    }

    /// Encodes a message, or its first frame. Only when the chunk has room.
    #[inline]
    pub(super) fn encode_message(&mut self, message: Message) {
        let opcode = opcode(message.kind);
        if opcode == PING {
            return self.encode_frame(FIN | PING, message.payload);
        }
        match self.deflate.as_mut().and_then(|deflate| deflate.compress(&message)) {
            Some(compressed) => self.encode_data(RSV1 | opcode, compressed),
            None => self.encode_data(opcode, message.payload),
        }
    }

    /// Frames that are encoded already.
    #[inline]
    pub(super) fn push_frames(&mut self, frames: Bytes) {
        let chunk = self.outbox.chunk();
        match frames.len() >= LARGE_BYTES {
            true => self.outbox.set_large(frames),
            false => chunk.extend_from_slice(&frames),
        }
    }

    /// One frame of a message; the rest of the payload, if it is too large for one, becomes the next to encode.
    #[inline]
    fn encode_data(&mut self, first: u8, mut payload: Bytes) {
        if payload.len() <= MAX_FRAME_BYTES {
            return self.encode_frame(FIN | first, payload);
        }
        let rest = payload.split_off(MAX_FRAME_BYTES);
        self.outbox.waiting.push_front(Outgoing::Rest { payload: rest });
        self.encode_frame(first, payload);
    }

    #[inline]
    fn encode_frame(&mut self, first: u8, payload: Bytes) {
        let chunk = self.outbox.chunk();
        match self.role {
            Role::Server if payload.len() >= LARGE_BYTES => {
                push_header(chunk, first, payload.len(), None);
                self.outbox.set_large(payload);
            }
            Role::Server => {
                push_header(chunk, first, payload.len(), None);
                chunk.extend_from_slice(&payload);
            }
            Role::Client => {
                let key = self.masking_keys.next();
                push_header(chunk, first, payload.len(), Some(key));
                let start = chunk.len();
                chunk.extend_from_slice(&payload);
                mask(&mut chunk[start..], key);
            }
        }
    }
}

/// Appends a message as a server sends it: one frame, or several of a large one, without a mask.
pub fn encode_frame(kind: MessageKind, payload: &[u8], out: &mut Vec<u8>) {
    encode_frames(opcode(kind), payload, out);
}

/// The same with a payload that is compressed: for connections that agreed on permessage-deflate.
pub fn encode_compressed_frame(kind: MessageKind, compressed: &[u8], out: &mut Vec<u8>) {
    encode_frames(RSV1 | opcode(kind), compressed, out);
}

fn encode_frames(mut first: u8, payload: &[u8], out: &mut Vec<u8>) {
    let (last, others) = match payload.len().checked_sub(1) {
        None => (payload, &payload[..0]),
        Some(end) => {
            let (others, last) = payload.split_at(end / MAX_FRAME_BYTES * MAX_FRAME_BYTES);
            (last, others)
        }
    };
    for frame in others.chunks(MAX_FRAME_BYTES) {
        push_header(out, first, frame.len(), None);
        out.extend_from_slice(frame);
        first = CONTINUATION;
    }
    push_header(out, FIN | first, last.len(), None);
    out.extend_from_slice(last);
}

fn opcode(kind: MessageKind) -> u8 {
    match kind {
        MessageKind::Text => TEXT,
        MessageKind::Binary => BINARY,
        MessageKind::Ping => PING,
    }
}

#[inline]
fn push_header(chunk: &mut Vec<u8>, first: u8, length: usize, key: Option<[u8; 4]>) {
    let masked = if key.is_some() { MASKED } else { 0 };
    let mut header = [0; MAX_HEADER_BYTES];
    header[0] = first;
    let mut end = 2;
    if length < 126 {
        header[1] = masked | length as u8;
    } else if let Ok(length) = u16::try_from(length) {
        header[1] = masked | 126;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        end = 4;
    } else {
        header[1] = masked | 127;
        header[2..10].copy_from_slice(&(length as u64).to_be_bytes());
        end = 10;
    }
    if let Some(key) = key {
        header[end..end + 4].copy_from_slice(&key);
        end += 4;
    }
    chunk.reserve(end + length.min(MAX_FRAME_BYTES));
    chunk.extend_from_slice(&header[..end]);
}
