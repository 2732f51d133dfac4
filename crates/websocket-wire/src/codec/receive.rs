//! From received bytes to messages.

use std::io::ErrorKind;

use tungstenite::Error;
use tungstenite::protocol::{Message as Received, WebSocketConfig, WebSocketContext};

use super::pipe::Pipe;
use super::{Codec, MAX_PONG_BYTES, Role, failure};
use crate::{Batch, Disconnect, Limits, MessageKind};

/// What tungstenite takes at a time. Every connection has a buffer of this size.
const PIECE_BYTES: usize = 1024;

/// tungstenite's state; a new one when there is none.
pub(super) fn context(state: &mut Option<Box<WebSocketContext>>, role: Role, limits: Limits) -> &mut WebSocketContext {
    state.get_or_insert_with(|| Box::new(at_rest(role, limits)))
}

/// tungstenite's state between two frames.
fn at_rest(role: Role, limits: Limits) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(PIECE_BYTES)
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
        let result = self.read_frames(input, batch, is_last);
        let is_at_rest =
            !self.scanner.is_mid_message() && !self.is_closing && self.ended.is_none() && !self.has_buffered;
        if is_at_rest && self.context.is_some() {
            // Thousands of connections wait, and most of them are here.
            self.context = None;
        }
        result
    }

    fn read_frames(&mut self, input: &mut &[u8], batch: &mut Batch, is_last: bool) -> Result<(), Disconnect> {
        let frames = batch.frames();
        self.has_buffered = false;
        while batch.has_room() {
            if !self.scanner.is_mid_message() {
                if let Err(ended) = self.take_whole(input, batch) {
                    self.ended = Some(ended.clone());
                    return if batch.frames() > frames { Ok(()) } else { Err(ended) };
                }
                if !batch.has_room() {
                    break;
                }
                if input.is_empty() && !is_last {
                    return Ok(());
                }
            }
            let mut pipe = Pipe {
                input,
                scanner: &mut self.scanner,
                output: &mut self.control,
                newest: Some(&mut self.newest_pong),
                is_last,
            };
            let result = context(&mut self.context, self.role, self.limits).read(&mut pipe);
            *input = pipe.input;
            let ended = match result {
                Ok(message) => self.take(message, batch).err(),
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.scanner.has_too_many_fragments() {
                        return Ok(());
                    }
                    let reason = format!("a message of more than {} fragments", self.limits.max_fragments);
                    Some(Disconnect::violation(1008, format!("{reason} (websocket.max.fragments)")))
                }
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
            control => {
                let is_ping = matches!(control, Received::Ping(_));
                batch.push_control(is_ping);
                if is_ping {
                    self.answer_ping();
                }
            }
        }
        Ok(())
    }

    pub(super) fn inflate(&mut self, kind: MessageKind, payload: &[u8], batch: &mut Batch) -> Result<(), Disconnect> {
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

    /// tungstenite has the answer ready, and would keep it until it is called again.
    fn answer_ping(&mut self) {
        let (output, newest) = (&mut self.control, Some(&mut self.newest_pong));
        let mut pipe = Pipe { input: &[], scanner: &mut self.scanner, output, newest, is_last: false };
        // The pipe refuses nothing; and that a connection is closed is told by the next read.
        let _ = context(&mut self.context, self.role, self.limits).flush(&mut pipe);
    }

    /// tungstenite has the answer ready; it goes before anything that waits, and nothing follows it.
    fn answer_close(&mut self) {
        self.outbox.waiting.clear();
        self.is_closing = true;
        self.control.append(&mut self.newest_pong);
        let mut pipe = Pipe::to(&mut self.control, &mut self.scanner);
        // A server's state says "closed" from here on, which is no error.
        let _ = context(&mut self.context, self.role, self.limits).flush(&mut pipe);
    }
}
