//! Frames at the byte level (RFC 6455 section 5.2, RFC 7692 section 6): writing and finding those of whole messages,
//! and compressing what is in them. What the counterpart and the floor need, no more: no fragments, no control frames.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::error::BenchError;
use crate::frame::{TEXT, unmask};

/// Level of all compression in this benchmark.
pub(super) const LEVEL: u32 = 1;

const FINAL: u8 = 0x80;
const COMPRESSED: u8 = 0x40;
const MASKED: u8 = 0x80;

/// What ends every flushed deflate block and is not sent (RFC 7692 section 7.2.1).
const FLUSH_TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];

/// Largest payload found, in bytes; far above any message of the benchmark.
const MAX_PAYLOAD_BYTES: usize = 64 * 1024;

/// Appends a text message in one frame; a client's when there is a `mask`.
pub(super) fn push_text(out: &mut Vec<u8>, payload: &[u8], compressed: bool, mask: Option<[u8; 4]>) {
    debug_assert!(payload.len() < MAX_PAYLOAD_BYTES);
    let masked = if mask.is_some() { MASKED } else { 0 };
    out.push(FINAL | if compressed { COMPRESSED } else { 0 } | TEXT);
    match payload.len() {
        short @ 0..=125 => out.push(masked | short as u8),
        long => {
            out.push(masked | 126);
            out.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    let Some(mask) = mask else { return out.extend_from_slice(payload) };
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    unmask(&mut out[start..], mask);
}

/// The header of a text message in one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Whether the payload is compressed.
    pub(super) compressed: bool,
    /// A client's masking key.
    pub(super) mask: Option<[u8; 4]>,
    /// Bytes before the payload.
    pub(super) header_bytes: usize,
    /// Bytes of the payload.
    pub(super) payload_bytes: usize,
}

impl Header {
    /// Reads the header at the start of `input`; `None` while it is incomplete.
    ///
    /// # Errors
    /// A frame that is not a whole text message of sensible size.
    #[inline]
    pub(super) fn read(input: &[u8]) -> Result<Option<Self>, BenchError> {
        let [first, second, rest @ ..] = input else { return Ok(None) };
        if first & !COMPRESSED != FINAL | TEXT {
            return Err(BenchError::Protocol(format!("a frame begins with {first:#04x}: no whole text message")));
        }
        let (length_bytes, payload_bytes) = match (second & !MASKED, rest) {
            (127, _) => return Err(BenchError::Protocol("a frame of 64 KiB or more".into())),
            (126, [high, low, ..]) => (2, usize::from(u16::from_be_bytes([*high, *low]))),
            (126, _) => return Ok(None),
            (short, _) => (0, usize::from(short)),
        };
        let mask = match (second & MASKED != 0, rest.get(length_bytes..length_bytes + 4)) {
            (false, _) => None,
            (true, Some(&[a, b, c, d])) => Some([a, b, c, d]),
            (true, _) => return Ok(None),
        };
        let header_bytes = 2 + length_bytes + if mask.is_some() { 4 } else { 0 };
        Ok(Some(Self { compressed: first & COMPRESSED != 0, mask, header_bytes, payload_bytes }))
    }

    /// Bytes of the whole frame.
    #[inline]
    pub(super) fn frame_bytes(&self) -> usize {
        self.header_bytes + self.payload_bytes
    }
}

/// Compresses messages, each with what came before it as its dictionary.
#[derive(Debug)]
pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Self {
        Self(Compress::new(Compression::new(LEVEL), false))
    }

    /// Puts one compressed message into `out`, replacing what is there.
    pub(super) fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<(), BenchError> {
        out.clear();
        // Deflate never grows a message by more than its block headers, and the flush adds five bytes.
        out.reserve(message.len() + 64);
        self.0.compress_vec(message, out, FlushCompress::Sync).map_err(|error| broken("compressing", &error))?;
        if !out.ends_with(&FLUSH_TAIL) {
            return Err(BenchError::Protocol("compressing: the flush is incomplete".into()));
        }
        out.truncate(out.len() - FLUSH_TAIL.len());
        Ok(())
    }
}

/// Undoes [`Deflater`].
#[derive(Debug)]
pub(super) struct Inflater(Decompress);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(Decompress::new(false))
    }

    /// Puts one inflated message into `out`, replacing what is there; at most `limit` bytes.
    pub(super) fn inflate(&mut self, payload: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), BenchError> {
        out.clear();
        out.reserve(limit);
        for part in [payload, &FLUSH_TAIL] {
            self.0.decompress_vec(part, out, FlushDecompress::Sync).map_err(|error| broken("inflating", &error))?;
        }
        Ok(())
    }
}

fn broken(doing: &str, error: &dyn std::error::Error) -> BenchError {
    BenchError::Protocol(format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_are_written() {
        for length in [0, 125, 126, 60_000] {
            for mask in [None, Some([1, 2, 3, 4])] {
                for compressed in [false, true] {
                    let mut frame = Vec::new();
                    push_text(&mut frame, &vec![b'x'; length], compressed, mask);
                    let header = Header::read(&frame).unwrap().unwrap();
                    assert_eq!((header.compressed, header.mask), (compressed, mask));
                    assert_eq!(header.payload_bytes, length);
                    assert_eq!(header.frame_bytes(), frame.len());
                    for end in 0..header.header_bytes {
                        assert_eq!(Header::read(&frame[..end]).unwrap(), None);
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_whole_text_message_is_refused() {
        for first in [0x01, 0x80, 0x82, 0x88, 0x89, 0xA1] {
            assert!(Header::read(&[first, 0]).is_err(), "{first:#04x}");
        }
        assert!(Header::read(&[0x81, 127]).is_err());
    }

    #[test]
    fn messages_survive_compression_and_shrink_once_the_dictionary_is_filled() {
        let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
        let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
        for message in super::super::messages::period() {
            deflater.compress(message.as_bytes(), &mut packed).unwrap();
            inflater.inflate(&packed, message.len() + 1, &mut unpacked).unwrap();
            assert_eq!(unpacked, message.as_bytes());
        }
        assert!(packed.len() < unpacked.len() / 2, "{} bytes", packed.len());
    }
}
