//! From waiting messages to bytes.

use bytes::Bytes;
use tungstenite::protocol::Message as Sent;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};

use super::outbox::{CHUNK_BYTES, LARGE_BYTES, MAX_FRAME_BYTES, Outgoing};
use super::pipe::Pipe;
use super::{Codec, Role, failure};
use crate::{Disconnect, Message, MessageKind};

impl Codec {
    /// Encodes control frames and then what waits, until there is enough to write.
    pub(super) fn encode(&mut self) -> Result<(), Disconnect> {
        let mut chunk = self.outbox.begin();
        chunk.append(&mut self.control);
        chunk.append(&mut self.newest_pong);
        (self.control, self.newest_pong) = (Vec::new(), Vec::new());
        let mut large = Bytes::new();
        while chunk.len() < CHUNK_BYTES && large.is_empty() {
            let Some(next) = self.outbox.waiting.pop_front() else { break };
            match next {
                Outgoing::Message(message) => large = self.encode_message(message, &mut chunk)?,
                Outgoing::Rest { payload } => large = self.encode_data(Data::Continue, false, payload, &mut chunk)?,
                Outgoing::Close { code, reason } => {
                    let frame = CloseFrame { code: code.into(), reason: reason.into() };
                    let mut pipe = Pipe::to(&mut chunk, &mut self.scanner);
                    self.context.close(&mut pipe, Some(frame)).map_err(|error| failure::lost(&error))?;
                }
            }
        }
        self.outbox.commit(chunk, large);
        Ok(())
    }

    fn encode_message(&mut self, message: Message, chunk: &mut Vec<u8>) -> Result<Bytes, Disconnect> {
        let opcode = match message.kind {
            MessageKind::Text => Data::Text,
            MessageKind::Binary => Data::Binary,
            MessageKind::Ping => {
                let header = FrameHeader { opcode: OpCode::Control(Control::Ping), ..FrameHeader::default() };
                return self.encode_frame(header, message.payload, chunk);
            }
        };
        let compressed = self.deflate.as_mut().and_then(|deflate| deflate.compress(&message));
        let is_compressed = compressed.is_some();
        self.encode_data(opcode, is_compressed, compressed.unwrap_or(message.payload), chunk)
    }

    /// One frame of a message; the rest of the payload, if it is too large for one, becomes the next to encode.
    #[inline]
    fn encode_data(
        &mut self,
        opcode: Data,
        rsv1: bool,
        mut payload: Bytes,
        chunk: &mut Vec<u8>,
    ) -> Result<Bytes, Disconnect> {
        let mut is_final = true;
        if payload.len() > MAX_FRAME_BYTES {
            let rest = payload.split_off(MAX_FRAME_BYTES);
            self.outbox.waiting.push_front(Outgoing::Rest { payload: rest });
            is_final = false;
        }
        let header = FrameHeader { is_final, rsv1, opcode: OpCode::Data(opcode), ..FrameHeader::default() };
        self.encode_frame(header, payload, chunk)
    }

    /// Returns the payload when it is to be written from where it is.
    #[inline]
    fn encode_frame(&mut self, header: FrameHeader, payload: Bytes, chunk: &mut Vec<u8>) -> Result<Bytes, Disconnect> {
        match self.role {
            Role::Server => {
                header.format(payload.len() as u64, chunk).map_err(|error| failure::lost(&error))?;
                if payload.len() >= LARGE_BYTES {
                    return Ok(payload);
                }
                chunk.extend_from_slice(&payload);
            }
            Role::Client => {
                let mut frame = Frame::message(payload, OpCode::Data(Data::Binary), header.is_final);
                *frame.header_mut() = header;
                let mut pipe = Pipe::to(chunk, &mut self.scanner);
                self.context.write(&mut pipe, Sent::Frame(frame)).map_err(|error| failure::lost(&error))?;
            }
        }
        Ok(Bytes::new())
    }
}
