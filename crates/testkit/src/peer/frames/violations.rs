//! What a receiver must refuse, byte by byte.

use bytes::Bytes;

use super::{BINARY, CLOSE, CONTINUATION, MAX_CONTROL_PAYLOAD, RSV1, RSV2, RSV3, RawFrame, Side, TEXT};

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
        frame("RSV1 without an extension", RawFrame::text("x").rsv(RSV1), 1002),
        frame("RSV2 set", RawFrame::text("x").rsv(RSV2), 1002),
        frame("RSV3 set", RawFrame::text("x").rsv(RSV3), 1002),
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

/// Every input that a receiver has to refuse once permessage-deflate is agreed upon, as sent by `sender`; all of
/// [`violations`] are refused as well, but for RSV1 on a message.
///
/// RFC 7692 names no close code for data that cannot be inflated; 1007 is what implementations send.
pub fn deflate_violations(sender: Side) -> Vec<Violation> {
    let list = |name, frames: Vec<RawFrame>, close_code| Violation {
        name,
        bytes: frames.into_iter().flat_map(|frame| frame.from_side(sender).encode()).collect(),
        close_code,
    };
    let frame = |name, frame, close_code| list(name, vec![frame], close_code);
    let mut twice_marked = RawFrame::text("x".repeat(100)).compressed().fragments(2);
    twice_marked[1].rsv = RSV1;
    let mut marked_late = RawFrame::text("xy").fragments(1);
    marked_late[1].rsv = RSV1;
    // A block of the reserved type.
    let nonsense = [0x07, 0xFF];
    vec![
        frame("RSV1 on a ping", RawFrame::ping("x").rsv(RSV1), 1002),
        frame("RSV1 on a close", RawFrame::close(1000, "").rsv(RSV1), 1002),
        frame("RSV2 on a compressed message", RawFrame::text("x").compressed().rsv(RSV1 | RSV2), 1002),
        list("RSV1 on a continuation of a compressed message", twice_marked, 1002),
        list("RSV1 on a continuation of a message that is not compressed", marked_late, 1002),
        frame("text that is no deflate data", RawFrame::new(TEXT, nonsense.to_vec()).rsv(RSV1), 1007),
        frame("bytes that are no deflate data", RawFrame::binary(nonsense.to_vec()).rsv(RSV1), 1007),
        frame("compressed text that is not UTF-8", RawFrame::new(TEXT, vec![0xC3, 0x28]).compressed(), 1007),
    ]
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
