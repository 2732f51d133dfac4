//! Frames byte by byte (RFC 6455, section 5.2), also those that no correct implementation would send.
//!
//! [`RawFrame`] builds and reads single frames; [`violations`] lists the malformed ones a receiver has to refuse, each
//! with the close code the RFC asks for, and [`deflate_violations`] those of a connection with permessage-deflate.
//! Reading checks nothing but the layout; what a frame may contain is checked in the conversation.

use bytes::{Buf, Bytes, BytesMut};

use super::deflate;

mod violations;

pub use violations::{Violation, deflate_violations, empty_continuations, partial_text, violations};

/// Continuation of a fragmented message.
pub const CONTINUATION: u8 = 0x0;
/// Text message.
pub const TEXT: u8 = 0x1;
/// Binary message.
pub const BINARY: u8 = 0x2;
/// Close.
pub const CLOSE: u8 = 0x8;
/// Ping.
pub const PING: u8 = 0x9;
/// Pong.
pub const PONG: u8 = 0xA;

/// The first reserved bit: permessage-deflate sets it on the first frame of a compressed message.
pub const RSV1: u8 = 0b100;
/// The second reserved bit.
pub const RSV2: u8 = 0b010;
/// The third reserved bit.
pub const RSV3: u8 = 0b001;

/// Longest payload of a control frame, bytes.
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// The mask of frames built with [`RawFrame::masked`].
const TEST_MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Which end of a connection sends: clients must mask their frames, servers must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The end that accepted the connection.
    Server,
    /// The end that opened the connection.
    Client,
}

impl Side {
    /// The other end.
    pub fn opposite(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }
}

/// One frame, as wrong as the test wants it.
///
/// ```
/// use eventflux_testkit::peer::RawFrame;
///
/// // The unmasked "Hello" of RFC 6455, section 5.7.
/// assert_eq!(RawFrame::text("Hello").encode(), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// The three reserved bits: [`RSV1`], [`RSV2`] and [`RSV3`].
    pub rsv: u8,
    /// The operation code, 0 to 15.
    pub opcode: u8,
    /// The masking key; `None` for an unmasked frame.
    pub mask: Option<[u8; 4]>,
    /// The length to declare, when it is not the payload's.
    pub declared_length: Option<u64>,
    /// The payload, unmasked.
    pub payload: Bytes,
}

impl RawFrame {
    /// A final, unmasked frame.
    pub fn new(opcode: u8, payload: impl Into<Bytes>) -> Self {
        Self { fin: true, rsv: 0, opcode, mask: None, declared_length: None, payload: payload.into() }
    }

    /// A whole text message.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(TEXT, text.into())
    }

    /// A whole binary message.
    pub fn binary(payload: impl Into<Bytes>) -> Self {
        Self::new(BINARY, payload)
    }

    /// A ping.
    pub fn ping(payload: impl Into<Bytes>) -> Self {
        Self::new(PING, payload)
    }

    /// A pong.
    pub fn pong(payload: impl Into<Bytes>) -> Self {
        Self::new(PONG, payload)
    }

    /// A close frame with any code, also those that must not be sent.
    pub fn close(code: u16, reason: &str) -> Self {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        Self::new(CLOSE, payload)
    }

    /// Clears the final bit: more frames of the message follow.
    pub fn not_final(mut self) -> Self {
        self.fin = false;
        self
    }

    /// Sets the reserved bits: [`RSV1`], [`RSV2`], [`RSV3`], or several of them.
    pub fn rsv(mut self, bits: u8) -> Self {
        self.rsv = bits & 0x7;
        self
    }

    /// Compresses the payload and sets RSV1, whether that was agreed upon or not. Refers to no earlier message, so it
    /// may stand anywhere. Before [`masked`](Self::masked) or after makes no difference.
    pub fn compressed(mut self) -> Self {
        self.payload = deflate::compress(&self.payload);
        self.rsv(RSV1)
    }

    /// The same message in fragments of at most this many payload bytes; the first keeps the opcode and the reserved
    /// bits, the last says that it is the last.
    ///
    /// # Panics
    /// When `payload_bytes` is 0.
    pub fn fragments(self, payload_bytes: usize) -> Vec<Self> {
        let count = self.payload.len().div_ceil(payload_bytes).max(1);
        let fragment = |index: usize| {
            let start = index * payload_bytes;
            let end = start.saturating_add(payload_bytes).min(self.payload.len());
            let (opcode, rsv) = if index == 0 { (self.opcode, self.rsv) } else { (CONTINUATION, 0) };
            Self { fin: index + 1 == count, opcode, rsv, payload: self.payload.slice(start..end), ..self.clone() }
        };
        (0..count).map(fragment).collect()
    }

    /// Masks the frame, as clients must.
    pub fn masked(mut self) -> Self {
        self.mask = Some(TEST_MASK);
        self
    }

    /// Masks the frame when `side` is the client.
    pub fn from_side(self, side: Side) -> Self {
        if side == Side::Client { self.masked() } else { self }
    }

    /// Declares this payload length in the header, whatever the payload is.
    pub fn declared_length(mut self, bytes: u64) -> Self {
        self.declared_length = Some(bytes);
        self
    }

    /// The frame as it goes over the wire.
    pub fn encode(&self) -> Vec<u8> {
        let length = self.declared_length.unwrap_or(self.payload.len() as u64);
        let mut out = Vec::with_capacity(self.payload.len() + 14);
        out.push(u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode & 0xF);
        let mask_bit = u8::from(self.mask.is_some()) << 7;
        match length {
            0..=125 => out.push(mask_bit | length as u8),
            126..=0xFFFF => {
                out.push(mask_bit | 126);
                out.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                out.push(mask_bit | 127);
                out.extend_from_slice(&length.to_be_bytes());
            }
        }
        match self.mask {
            None => out.extend_from_slice(&self.payload),
            Some(mask) => {
                out.extend_from_slice(&mask);
                out.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
            }
        }
        out
    }

    /// Takes one frame off the front of `input`; `None` while it is incomplete, and `input` is left alone then.
    ///
    /// # Errors
    /// The declared length, when it is above `max_payload` bytes.
    pub fn decode(input: &mut BytesMut, max_payload: usize) -> Result<Option<Self>, u64> {
        let Some((mut frame, header_length, length)) = Self::decode_header(input) else {
            return Ok(None);
        };
        if length > max_payload as u64 {
            return Err(length);
        }
        // Bounded by `max_payload` above, so it fits.
        let length = length as usize;
        if input.len() < header_length + length {
            return Ok(None);
        }
        input.advance(header_length);
        let mut payload = input.split_to(length);
        if let Some(mask) = frame.mask {
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, key)| *byte ^= key);
        }
        frame.payload = payload.freeze();
        Ok(Some(frame))
    }

    /// The frame without payload, the header's length in bytes, and the declared payload length.
    fn decode_header(input: &[u8]) -> Option<(Self, usize, u64)> {
        let (first, second) = (*input.first()?, *input.get(1)?);
        let (length, mut header_length) = match second & 0x7F {
            126 => (u64::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)), 4),
            127 => (u64::from_be_bytes(input.get(2..10)?.try_into().ok()?), 10),
            short => (u64::from(short), 2),
        };
        let mut mask = None;
        if second & 0x80 != 0 {
            mask = Some(input.get(header_length..header_length + 4)?.try_into().ok()?);
            header_length += 4;
        }
        let frame = Self {
            fin: first & 0x80 != 0,
            rsv: first >> 4 & 0x7,
            opcode: first & 0xF,
            mask,
            declared_length: None,
            payload: Bytes::new(),
        };
        Some((frame, header_length, length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_6455_section_5_7_are_encoded_as_printed() {
        let masked = RawFrame::text("Hello").masked().encode();
        assert_eq!(masked, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        assert_eq!(RawFrame::text("Hel").not_final().encode(), [0x01, 0x03, 0x48, 0x65, 0x6c]);
        assert_eq!(RawFrame::binary(vec![0; 256]).encode()[..4], [0x82, 0x7E, 0x01, 0x00]);
        assert_eq!(RawFrame::binary(vec![0; 65536]).encode()[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn decoding_gives_back_what_was_encoded_at_every_length_boundary() {
        for length in [0, 1, 125, 126, 127, 65535, 65536] {
            for frame in [RawFrame::binary(vec![7; length]), RawFrame::binary(vec![7; length]).masked().rsv(5)] {
                let mut wire = BytesMut::from(&frame.encode()[..]);
                wire.extend_from_slice(b"next");
                assert_eq!(RawFrame::decode(&mut wire, 1 << 20), Ok(Some(frame)));
                assert_eq!(&wire[..], b"next");
            }
        }
    }

    #[test]
    fn fragments_are_the_message_in_pieces() {
        let [first, second, last] = &RawFrame::text("Hello").rsv(RSV1).fragments(2)[..] else { panic!("not three") };
        assert_eq!((first.fin, first.opcode, first.rsv, &first.payload[..]), (false, TEXT, RSV1, &b"He"[..]));
        assert_eq!((second.fin, second.opcode, second.rsv, &second.payload[..]), (false, CONTINUATION, 0, &b"ll"[..]));
        assert_eq!((last.fin, last.opcode, last.rsv, &last.payload[..]), (true, CONTINUATION, 0, &b"o"[..]));
        assert_eq!(RawFrame::text("").fragments(2), [RawFrame::text("")]);
    }

    #[test]
    fn an_incomplete_frame_is_left_alone() {
        let whole = RawFrame::text("Hello").masked().encode();
        for cut in 0..whole.len() {
            let mut wire = BytesMut::from(&whole[..cut]);
            assert_eq!(RawFrame::decode(&mut wire, 100), Ok(None));
            assert_eq!(wire.len(), cut);
        }
    }

    #[test]
    fn a_declared_length_above_the_limit_is_refused_before_its_bytes_arrive() {
        let mut wire = BytesMut::from(&partial_text(Side::Server, 1, 1 << 40)[..]);
        assert_eq!(RawFrame::decode(&mut wire, 1 << 20), Err(1 << 40));
    }
}
