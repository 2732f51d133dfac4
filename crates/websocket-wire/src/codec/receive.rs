//! From received bytes to messages.

use std::io::ErrorKind;

use bytes::Bytes;
use tungstenite::Error;
use tungstenite::protocol::{Message as Received, WebSocketConfig, WebSocketContext};

use super::pipe::Pipe;
use super::{Codec, MAX_PONG_BYTES, Role, failure};
use crate::{Batch, Disconnect, Limits, MessageKind};

/// What tungstenite takes at a time while little comes. It keeps a buffer of this size.
pub(super) const IDLE_PIECE_BYTES: usize = 1024;

/// The same while much comes: each piece is an allocation.
pub(super) const BUSY_PIECE_BYTES: usize = 8 * 1024;

/// A connection is busy when so much comes at once.
const BUSY_BYTES: usize = 8 * 1024;

/// tungstenite's state of a connection between two messages.
pub(super) fn context(role: Role, limits: Limits, piece_bytes: usize) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(piece_bytes)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MAX_PONG_BYTES)
        .max_message_size(Some(limits.max_message_bytes))
        .max_frame_size(Some(limits.max_message_bytes));
    let role = match role {
        Role::Client => tungstenite::protocol::Role::Client,
        Role::Server => tungstenite::protocol::Role::Server,
    };
    WebSocketContext::new(role, Some(config))
}

impl Codec {
    pub(super) fn read(&mut self, input: &mut &[u8], batch: &mut Batch, is_last: bool) -> Result<(), Disconnect> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        let frames = batch.frames();
        self.has_buffered = false;
        if input.len() >= BUSY_BYTES && self.piece_bytes < BUSY_PIECE_BYTES && !self.is_closing {
            self.scanner.stop_between_messages(true);
        }
        while batch.has_room() {
            let mut pipe = Pipe {
                input,
                scanner: &mut self.scanner,
                output: &mut self.control,
                newest: Some(&mut self.newest_pong),
                is_last,
            };
            let result = self.context.read(&mut pipe);
            *input = pipe.input;
            let ended = match result {
                Ok(message) => self.take(message, batch).err(),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => match self.blocked() {
                    Blocked::GoOn => None,
                    Blocked::NeedsMore => return Ok(()),
                    Blocked::Violation(ended) => Some(ended),
                },
                Err(error) => Some(failure::received(error)),
            };
            if let Some(ended) = ended {
                self.ended = Some(ended.clone());
                return if batch.frames() > frames { Ok(()) } else { Err(ended) };
            }
        }
        self.has_buffered = true;
        Ok(())
    }

    /// Takes larger or smaller pieces from now on. Only between two messages, with nothing of the next one taken.
    pub(super) fn change_pieces(&mut self, piece_bytes: usize) {
        self.context = context(self.role, self.limits, piece_bytes);
        self.piece_bytes = piece_bytes;
        self.scanner.stop_between_messages(false);
    }

    fn blocked(&mut self) -> Blocked {
        if self.scanner.has_too_many_fragments() {
            let reason = format!("a message of more than {} fragments", self.limits.max_fragments);
            return Blocked::Violation(Disconnect::violation(1008, format!("{reason} (websocket.max.fragments)")));
        }
        if self.scanner.has_stopped() {
            self.change_pieces(BUSY_PIECE_BYTES);
            return Blocked::GoOn;
        }
        Blocked::NeedsMore
    }

    #[inline]
    fn take(&mut self, message: Received, batch: &mut Batch) -> Result<(), Disconnect> {
        match message {
            Received::Text(text) => {
                self.scanner.take_compressed();
                batch.push_text(text.into());
            }
            Received::Binary(bytes) => match self.scanner.take_compressed() {
                None => batch.push_binary(bytes),
                Some(kind) => self.inflate(kind, &bytes, batch)?,
            },
            Received::Close(frame) => {
                self.answer_close();
                return Err(failure::closed(frame));
            }
            control => batch.push_control(matches!(control, Received::Ping(_))),
        }
        Ok(())
    }

    fn inflate(&mut self, kind: MessageKind, payload: &Bytes, batch: &mut Batch) -> Result<(), Disconnect> {
        let Some(deflate) = &mut self.deflate else {
            return Err(Disconnect::violation(1002, "a compressed message without permessage-deflate"));
        };
        let inflated =
            deflate.inflate(payload, self.limits.max_message_bytes).map_err(|error| failure::inflated(&error))?;
        if kind == MessageKind::Text {
            std::str::from_utf8(&inflated).map_err(|_| Disconnect::violation(1007, "a text message is not UTF-8"))?;
            batch.push_text(inflated);
        } else {
            batch.push_binary(inflated);
        }
        Ok(())
    }

    /// tungstenite has the answer ready; it goes before anything that waits, and nothing follows it.
    fn answer_close(&mut self) {
        self.outbox.waiting.clear();
        self.is_closing = true;
        self.control.append(&mut self.newest_pong);
        let mut pipe = Pipe::to(&mut self.control, &mut self.scanner);
        // A server's state says "closed" from here on, which is no error.
        let _ = self.context.flush(&mut pipe);
    }
}

/// Why tungstenite got no bytes.
enum Blocked {
    /// To change something; there are more.
    GoOn,
    /// All were taken.
    NeedsMore,
    /// The next would break a rule.
    Violation(Disconnect),
}
