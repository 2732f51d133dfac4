//! Takes WebSocket frames off a stream of bytes that goes through them: where one ends says nothing about what is inside.

use eventflux_benches::error::BenchError;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;

/// Longest header of a frame that is not masked, in bytes.
const MAX_HEADER_BYTES: usize = 10;

/// Where in the stream of frames a connection is.
#[derive(Debug, Default)]
pub(super) struct Deframer {
    header: [u8; MAX_HEADER_BYTES],
    /// Bytes of the header that have come.
    held: usize,
    /// Bytes of the payload that have not come.
    left: u64,
    closed: bool,
}

impl Deframer {
    /// Moves the payloads in `bytes`, which follow those of the last call, to its beginning; how many bytes they are.
    ///
    /// # Errors
    /// When the bytes are no frames of data, in the order in which a server sends them.
    pub(super) fn strip(&mut self, bytes: &mut [u8]) -> Result<usize, BenchError> {
        let (mut at, mut kept) = (0, 0);
        while at < bytes.len() && !self.closed {
            if self.left == 0 {
                self.take_header_byte(bytes[at])?;
                at += 1;
                continue;
            }
            let length = (bytes.len() - at).min(usize::try_from(self.left).unwrap_or(usize::MAX));
            bytes.copy_within(at..at + length, kept);
            at += length;
            kept += length;
            self.left -= length as u64;
        }
        Ok(kept)
    }

    /// Whether the server has said goodbye; what came after that is left out.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn take_header_byte(&mut self, byte: u8) -> Result<(), BenchError> {
        self.header[self.held] = byte;
        self.held += 1;
        let [first, second, a, b, ..] = self.header;
        let length = match (self.held, second) {
            (0 | 1, _) => return Ok(()),
            (2.., 0..=125) => u64::from(second),
            (4.., 126) => u64::from(u16::from_be_bytes([a, b])),
            (MAX_HEADER_BYTES, 127) => self.header[2..].iter().fold(0, |length, byte| (length << 8) | u64::from(*byte)),
            (_, 126 | 127) => return Ok(()),
            _ => return Err(BenchError::Protocol("a server masks no frame".into())),
        };
        match first & 0x7f {
            CONTINUATION | TEXT | BINARY => {}
            CLOSE => self.closed = true,
            _ => return Err(BenchError::Protocol(format!("a frame that begins with {first:#04x} is not expected"))),
        }
        (self.held, self.left) = (0, length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames with these payloads.
    fn frames(payloads: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for payload in payloads {
            bytes.push(0x80 | BINARY);
            match payload.len() {
                length @ 0..=125 => bytes.push(length as u8),
                length @ 126..=0xffff => {
                    bytes.push(126);
                    bytes.extend((length as u16).to_be_bytes());
                }
                length => {
                    bytes.push(127);
                    bytes.extend((length as u64).to_be_bytes());
                }
            }
            bytes.extend_from_slice(payload);
        }
        bytes
    }

    #[test]
    fn payloads_are_found_wherever_the_stream_is_cut() {
        let payloads = [&b"ab"[..], b"", &[b'x'; 126], &[b'y'; 70_000], b"end"];
        let (bytes, inside) = (frames(&payloads), payloads.concat());
        for size in [1, 2, 3, 7, 1_000, bytes.len()] {
            let (mut deframer, mut found) = (Deframer::default(), Vec::new());
            for part in bytes.chunks(size) {
                let mut part = part.to_vec();
                let kept = deframer.strip(&mut part).unwrap();
                found.extend_from_slice(&part[..kept]);
            }
            assert!(found == inside, "in parts of {size}");
        }
    }

    #[test]
    fn a_goodbye_ends_the_stream() {
        let mut bytes = [frames(&[b"ab"]), vec![0x88, 2, 3, 232]].concat();
        let mut deframer = Deframer::default();
        assert_eq!((deframer.strip(&mut bytes).unwrap(), deframer.is_closed()), (2, true));
    }

    #[test]
    fn what_is_no_frame_of_a_server_is_refused() {
        for bytes in [[0x82, 0x81], [0xc2, 1], [0x89, 1]] {
            assert!(Deframer::default().strip(&mut bytes.clone()).is_err(), "{bytes:?}");
        }
    }
}
