//! WebSocket frames at the byte level (RFC 6455 section 5.2), for the two ends of a benchmark.
//!
//! Only what those ends need: writing unmasked server frames, and finding whole client frames in a
//! buffer. No fragmentation, no extensions: a system under test that uses them is reported as an error
//! rather than measured wrongly.

use std::ops::Range;

use crate::error::BenchError;

/// Opcode of a text frame.
pub const TEXT: u8 = 0x1;
/// Opcode of a binary frame.
pub const BINARY: u8 = 0x2;
/// Opcode of a close frame.
pub const CLOSE: u8 = 0x8;
/// Opcode of a ping frame.
pub const PING: u8 = 0x9;
/// Opcode of a pong frame.
pub const PONG: u8 = 0xA;

/// Largest client frame accepted, in bytes of payload; far above any message of the benchmark.
pub const MAX_CLIENT_PAYLOAD_BYTES: u64 = 1024 * 1024;

const FINAL_FRAGMENT: u8 = 0x80;
const MASKED: u8 = 0x80;
const MASK_BYTES: usize = 4;

/// A complete client frame found in a buffer. The payload is still masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFrame {
    /// The frame's opcode.
    pub opcode: u8,
    /// The masking key.
    pub mask: [u8; MASK_BYTES],
    /// Where the payload lies in the buffer that was scanned; its end is the frame's end.
    pub payload: Range<usize>,
}

/// Appends one unmasked, final frame.
pub fn push_server_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(FINAL_FRAGMENT | opcode);
    // Each arm's guard bounds the length below the width it is written in.
    match payload.len() {
        length @ 0..=125 => out.push(length as u8),
        length @ 126..=0xFFFF => {
            out.push(126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Finds the frame at the start of `buffer`; `None` while it is incomplete.
///
/// # Errors
/// An unmasked, fragmented, extended (RSV bits) or oversized frame.
pub fn next_client_frame(buffer: &[u8]) -> Result<Option<ClientFrame>, BenchError> {
    let [first, second, rest @ ..] = buffer else {
        return Ok(None);
    };
    let opcode = first & 0x0F;
    if first & 0xF0 != FINAL_FRAGMENT || opcode == 0 {
        return Err(broken("sent a fragmented or compressed frame"));
    }
    if second & MASKED == 0 {
        return Err(broken("sent an unmasked frame"));
    }
    let (length, length_bytes) = match second & 0x7F {
        126 => match rest {
            [a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 8),
            None => return Ok(None),
        },
        short => (u64::from(short), 0),
    };
    if length > MAX_CLIENT_PAYLOAD_BYTES {
        return Err(broken("sent a frame of more than 1 MiB"));
    }
    let mask_start = 2 + length_bytes;
    let start = mask_start + MASK_BYTES;
    let payload = start..start + length as usize;
    if buffer.len() < payload.end {
        return Ok(None);
    }
    let mut mask = [0; MASK_BYTES];
    mask.copy_from_slice(&buffer[mask_start..start]);
    Ok(Some(ClientFrame { opcode, mask, payload }))
}

/// Applies the masking key in place (RFC 6455 section 5.3); twice is the identity.
pub fn unmask(payload: &mut [u8], mask: [u8; MASK_BYTES]) {
    let narrow = u32::from_ne_bytes(mask);
    let wide = u64::from(narrow) << 32 | u64::from(narrow);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

fn broken(what: &str) -> BenchError {
    BenchError::Protocol(format!("the system under test {what}, which the benchmark does not read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0xA1, 0x02, 0xF3, 0x44];
        let mut frame = Vec::new();
        frame.push(FINAL_FRAGMENT | opcode);
        match payload.len() {
            short @ 0..=125 => frame.push(MASKED | short as u8),
            medium @ 126..=0xFFFF => {
                frame.push(MASKED | 126);
                frame.extend_from_slice(&(medium as u16).to_be_bytes());
            }
            long => {
                frame.push(MASKED | 127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&mask);
        let start = frame.len();
        frame.extend_from_slice(payload);
        unmask(&mut frame[start..], mask);
        frame
    }

    #[test]
    fn finds_frames_of_every_length_encoding() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let mut bytes = client_frame(TEXT, &payload);
            let frame = next_client_frame(&bytes).unwrap().unwrap();
            assert_eq!(frame.opcode, TEXT);
            assert_eq!(frame.payload.end, bytes.len());
            unmask(&mut bytes[frame.payload.clone()], frame.mask);
            assert_eq!(bytes[frame.payload], payload);
        }
    }

    #[test]
    fn waits_for_every_missing_byte() {
        let bytes = client_frame(BINARY, &[7; 300]);
        for end in 0..bytes.len() {
            assert_eq!(next_client_frame(&bytes[..end]).unwrap(), None);
        }
    }

    #[test]
    fn refuses_what_it_would_measure_wrongly() {
        let unmasked = [0x81, 0x01, b'x'];
        let first_fragment = [0x01, 0x80, 0, 0, 0, 0];
        let continuation = [0x80, 0x80, 0, 0, 0, 0];
        let compressed = [0xC1, 0x80, 0, 0, 0, 0];
        let huge = [0x81, 0xFF, 0x7F, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for bytes in [&unmasked[..], &first_fragment, &continuation, &compressed, &huge] {
            assert!(next_client_frame(bytes).is_err());
        }
    }

    #[test]
    fn server_frames_use_the_shortest_length() {
        for (length, header) in [(125, 2), (126, 4), (65_536, 10)] {
            let mut out = Vec::new();
            push_server_frame(&mut out, TEXT, &vec![b'a'; length]);
            assert_eq!(out.len(), length + header);
        }
    }
}
