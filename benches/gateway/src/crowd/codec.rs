//! Messages on the wire, both ways: WebSocket frames (RFC 6455 section 5) and the text protocol of NATS. Only headers are
//! looked at.

use eventflux_benches::error::BenchError;
use memchr::memchr;

use crate::job::{CHANNEL, Language};

const OPCODE_TEXT: u8 = 1;
const OPCODE_BINARY: u8 = 2;
const OPCODE_CLOSE: u8 = 8;
const OPCODE_PING: u8 = 9;
const OPCODE_PONG: u8 = 10;

/// Clients mask what they send; any key will do.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What publishing to NATS takes around a payload, at most.
const MAX_COMMAND_BYTES: usize = 64;

/// Longest line of NATS before a message, in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// What a gateway sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A message.
    Message(&'a [u8]),
    /// Something that wants the same payload back, or just an answer.
    Ping(&'a [u8]),
    /// A goodbye, with its code and reason.
    Close(&'a [u8]),
    /// Something without meaning here.
    Other,
}

/// The first item of `bytes` and how many of them it takes; `None` when it has not come completely.
///
/// # Errors
/// When the bytes are not of that language.
#[inline]
pub(super) fn next(language: Language, bytes: &[u8]) -> Result<Option<(Item<'_>, usize)>, BenchError> {
    match language {
        Language::WebSocket(_) => next_frame(bytes),
        // Frames have been taken off.
        Language::Nats | Language::NatsWebSocket => next_line(bytes),
    }
}

/// Appends a message to publish.
pub(super) fn write_message(language: Language, into: &mut Vec<u8>, payload: &[u8]) {
    match language {
        Language::WebSocket(_) => write_frame(into, OPCODE_TEXT, payload),
        Language::Nats => {
            into.extend_from_slice(format!("PUB {CHANNEL} {}\r\n", payload.len()).as_bytes());
            into.extend_from_slice(payload);
            into.extend_from_slice(b"\r\n");
        }
        Language::NatsWebSocket => {
            let mut line = Vec::with_capacity(payload.len() + MAX_COMMAND_BYTES);
            write_message(Language::Nats, &mut line, payload);
            write_frame(into, OPCODE_BINARY, &line);
        }
    }
}

/// The answer to a ping.
pub(super) fn pong(language: Language, payload: &[u8]) -> Vec<u8> {
    match language {
        Language::WebSocket(_) => {
            let mut frame = Vec::new();
            write_frame(&mut frame, OPCODE_PONG, payload);
            frame
        }
        Language::Nats => b"PONG\r\n".to_vec(),
        Language::NatsWebSocket => framed(b"PONG\r\n"),
    }
}

/// Bytes in a frame of a client.
pub(super) fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(&mut frame, OPCODE_BINARY, bytes);
    frame
}

#[inline]
fn next_frame(bytes: &[u8]) -> Result<Option<(Item<'_>, usize)>, BenchError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let (length, header) = match (second, rest) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as usize, 10),
        (126 | 127, _) => return Ok(None),
        (length, _) => (usize::from(*length), 2),
    };
    let end = header + length;
    let Some(payload) = bytes.get(header..end) else { return Ok(None) };
    // The last frame of a message, no extension.
    let item = match first ^ 0x80 {
        OPCODE_TEXT | OPCODE_BINARY => Item::Message(payload),
        OPCODE_PING => Item::Ping(payload),
        OPCODE_PONG => Item::Other,
        OPCODE_CLOSE => Item::Close(payload),
        _ => return Err(BenchError::Protocol(format!("a frame that begins with {first:#04x} is not expected"))),
    };
    Ok(Some((item, end)))
}

fn write_frame(into: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    into.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => into.push(0x80 | length),
        (_, Ok(length)) => {
            into.push(0x80 | 126);
            into.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            into.push(0x80 | 127);
            into.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    into.extend_from_slice(&MASK);
    into.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// `MSG subject sid bytes`, `PING`, `PONG`, `INFO ...`, `+OK`, `-ERR ...`.
fn next_line(bytes: &[u8]) -> Result<Option<(Item<'_>, usize)>, BenchError> {
    let Some(end) = memchr(b'\n', bytes) else {
        let too_long = bytes.len() > MAX_LINE_BYTES;
        return if too_long { Err(BenchError::Protocol("no line of NATS".into())) } else { Ok(None) };
    };
    let (line, after) = (bytes[..end].trim_ascii_end(), end + 1);
    if let Some(header) = line.strip_prefix(b"MSG ") {
        let length = header.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        let length = length.iter().fold(0, |length: usize, digit| length * 10 + usize::from(digit.wrapping_sub(b'0')));
        // The line's end behind the payload belongs to the message.
        let complete = bytes.len() >= after + length + 2;
        return Ok(complete.then(|| (Item::Message(&bytes[after..after + length]), after + length + 2)));
    }
    match line {
        b"PING" => Ok(Some((Item::Ping(&[]), after))),
        line if line.starts_with(b"-ERR") => {
            Err(BenchError::Protocol(format!("NATS says {}", String::from_utf8_lossy(line))))
        }
        _ => Ok(Some((Item::Other, after))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Protocol;

    const WEBSOCKET: Language = Language::WebSocket(Protocol::Raw);

    /// What a server would send: the same frame, unmasked.
    fn from_server(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..=125 => frame.push(length as u8),
            length @ 126..=0xffff => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    fn items(language: Language, mut bytes: &[u8]) -> Vec<Item<'_>> {
        let mut items = Vec::new();
        while let Some((item, length)) = next(language, bytes).unwrap() {
            items.push(item);
            bytes = &bytes[length..];
        }
        items
    }

    #[test]
    fn frames_of_every_size_are_found_when_they_are_complete() {
        for size in [0, 125, 126, 200, 65_535, 65_536] {
            let payload = vec![b'x'; size];
            let frame = from_server(OPCODE_TEXT, &payload);
            assert_eq!(next(WEBSOCKET, &frame).unwrap(), Some((Item::Message(&payload), frame.len())), "{size}");
            for cut in [0, 1, 2, 3, frame.len() - 1] {
                assert_eq!(next(WEBSOCKET, &frame[..cut.min(frame.len() - 1)]).unwrap(), None, "{size}, {cut}");
            }
        }
    }

    #[test]
    fn control_frames_are_told_from_messages() {
        let mut bytes = from_server(OPCODE_PING, b"p");
        bytes.extend(from_server(OPCODE_BINARY, b"b"));
        bytes.extend(from_server(OPCODE_PONG, b""));
        bytes.extend(from_server(OPCODE_CLOSE, &[3, 232]));
        assert_eq!(
            items(WEBSOCKET, &bytes),
            [Item::Ping(b"p"), Item::Message(b"b"), Item::Other, Item::Close(&[3, 232])]
        );
    }

    #[test]
    fn fragments_and_extensions_are_refused() {
        for first in [0x01, 0xc1, 0x80] {
            assert!(next(WEBSOCKET, &[first, 0]).is_err(), "{first:#x}");
        }
    }

    #[test]
    fn a_published_frame_is_the_payload_masked() {
        let mut frame = Vec::new();
        write_message(WEBSOCKET, &mut frame, &[b'x'; 200]);
        assert_eq!(frame[..4], [0x81, 0x80 | 126, 0, 200]);
        let payload: Vec<u8> =
            frame[8..].iter().zip(frame[4..8].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(payload, [b'x'; 200]);
    }

    #[test]
    fn lines_of_nats_are_found_when_they_are_complete() {
        let bytes = b"INFO {}\r\nPONG\r\nMSG bench 1 5\r\nab\r\nc\r\nPING\r\n";
        assert_eq!(
            items(Language::Nats, bytes),
            [Item::Other, Item::Other, Item::Message(b"ab\r\nc"), Item::Ping(&[])]
        );
        for cut in 0..7 {
            assert_eq!(
                items(Language::Nats, &bytes[..bytes.len() - 6 - cut]).len(),
                if cut == 0 { 3 } else { 2 },
                "{cut}"
            );
        }
        assert!(next(Language::Nats, b"-ERR 'Slow Consumer'\r\n").is_err());
    }

    #[test]
    fn publishing_to_nats_names_the_channel_and_the_size() {
        let mut bytes = Vec::new();
        write_message(Language::Nats, &mut bytes, b"hello");
        assert_eq!(bytes, b"PUB bench 5\r\nhello\r\n");
    }
}
