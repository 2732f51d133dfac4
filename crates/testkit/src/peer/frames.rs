//! Frames byte by byte (RFC 6455, section 5.2), also those that no correct implementation would send.
//!
//! [`RawFrame`] builds and reads single frames; [`violations`] lists the malformed ones a receiver has to refuse, each
//! with the close code the RFC asks for. Reading checks nothing but the layout; what a frame may contain is checked in
//! the conversation.

use bytes::{Buf, Bytes, BytesMut};

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
    /// The three reserved bits, RSV1 being 4, RSV2 2 and RSV3 1.
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

    /// Sets the reserved bits (RSV1 is 4, RSV2 is 2, RSV3 is 1).
    pub fn rsv(mut self, bits: u8) -> Self {
        self.rsv = bits & 0x7;
        self
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

/// Something a receiver must refuse.
#[derive(Debug, Clone)]
pub struct Violation {
    /// What is wrong, in a few words.
    pub name: &'static str,
    /// The bytes to send, after the handshake.
    pub bytes: Vec<u8>,
    /// The close code the receiver should answer with.
    pub close_code: u16,
}

/// Every malformed input a receiver has to refuse, as sent by `sender`.
///
/// The close codes are those of RFC 6455, section 7.4.1: 1002 for broken framing, 1007 for text that is not UTF-8, 1009
/// for a length no receiver takes.
pub fn violations(sender: Side) -> Vec<Violation> {
    let frame =
        |name, frame: RawFrame, close_code| Violation { name, bytes: frame.from_side(sender).encode(), close_code };
    let mut all = vec![
        wrong_masking(sender),
        frame("RSV1 without an extension", RawFrame::text("x").rsv(4), 1002),
        frame("RSV2 set", RawFrame::text("x").rsv(2), 1002),
        frame("RSV3 set", RawFrame::text("x").rsv(1), 1002),
        frame("reserved data opcode", RawFrame::new(0x3, "x"), 1002),
        frame("reserved control opcode", RawFrame::new(0xB, "x"), 1002),
        frame("continuation of nothing", RawFrame::new(CONTINUATION, "x"), 1002),
        frame("fragmented ping", RawFrame::ping("x").not_final(), 1002),
        frame("ping longer than 125 bytes", RawFrame::ping(vec![b'x'; MAX_CONTROL_PAYLOAD + 1]), 1002),
        frame("text that is not UTF-8", RawFrame::new(TEXT, vec![0xC3, 0x28]), 1007),
        frame("text ending inside a character", RawFrame::new(TEXT, vec![b'a', 0xE2, 0x82]), 1007),
        frame("close with one byte", RawFrame::new(CLOSE, vec![3]), 1002),
        frame("close reason that is not UTF-8", RawFrame::new(CLOSE, vec![0x03, 0xE8, 0xFF]), 1007),
        frame("absurd declared length", RawFrame::new(BINARY, "x").declared_length(1 << 62), 1009),
    ];
    all.push(text_inside_text(sender));
    for (name, code) in
        [("close code 999", 999), ("close code 1005", 1005), ("close code 1006", 1006), ("close code 1015", 1015)]
    {
        all.push(frame(name, RawFrame::close(code, ""), 1002));
    }
    all
}

fn wrong_masking(sender: Side) -> Violation {
    let (name, frame) = match sender {
        Side::Client => ("unmasked frame from a client", RawFrame::text("x")),
        Side::Server => ("masked frame from a server", RawFrame::text("x").masked()),
    };
    Violation { name, bytes: frame.encode(), close_code: 1002 }
}

fn text_inside_text(sender: Side) -> Violation {
    let mut bytes = RawFrame::text("x").not_final().from_side(sender).encode();
    bytes.extend(RawFrame::text("y").from_side(sender).encode());
    Violation { name: "new message inside a fragmented one", bytes, close_code: 1002 }
}

/// The first `length` bytes of a text message that declares `declared` bytes: a frame that never ends.
pub fn partial_text(sender: Side, length: usize, declared: u64) -> Vec<u8> {
    RawFrame::new(TEXT, vec![b'x'; length]).declared_length(declared).from_side(sender).encode()
}

/// The opening fragment of a text message followed by `count` empty continuations: a message that never ends.
pub fn empty_continuations(sender: Side, count: usize) -> Vec<u8> {
    let mut bytes = RawFrame::text("x").not_final().from_side(sender).encode();
    let continuation = RawFrame::new(CONTINUATION, Bytes::new()).not_final().from_side(sender).encode();
    bytes.extend(continuation.repeat(count));
    bytes
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
