//! Compressed payloads (RFC 7692, section 7.2), made and read with flate2 alone, so that what is tested is not tested
//! with itself. What was agreed upon is read in `extensions`.

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{MAX_MESSAGE_BYTES, message::Broken};

/// The largest window, as its base-two logarithm: 32 KiB.
pub const MAX_WINDOW_BITS: u8 = 15;

/// The smallest window, as its base-two logarithm: 256 bytes.
pub const MIN_WINDOW_BITS: u8 = 8;

/// What ends a sync flush. It is cut off each message, and given back before it is inflated.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// An empty message: the header of an empty block, which the tail completes (section 7.2.3.6).
const EMPTY: [u8; 1] = [0x00];

/// Room made for output at a time, bytes.
const OUTPUT_CHUNK_BYTES: usize = 16 << 10;

/// The payload of one compressed message, which refers to no other and may use the largest window.
///
/// ```
/// use eventflux_testkit::peer::deflate;
///
/// // RFC 7692, section 7.2.3.1.
/// assert_eq!(deflate::compress("Hello")[..], [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
/// ```
pub fn compress(payload: impl AsRef<[u8]>) -> Bytes {
    Deflater::new(MAX_WINDOW_BITS, false).compress(payload)
}

/// [`compress`], but ending with a final block (BFINAL set), which is unusual and allowed (section 7.2.3.4).
pub fn compress_with_final_block(payload: impl AsRef<[u8]>) -> Bytes {
    let mut compressor = Compress::new(Compression::default(), false);
    let mut output = run(&mut compressor, payload.as_ref(), FlushCompress::Finish);
    // The block that the tail completes.
    output.extend_from_slice(&EMPTY);
    output.into()
}

/// One direction's compression, from message to message.
#[derive(Debug)]
pub struct Deflater {
    compressor: Compress,
    context_takeover: bool,
}

impl Deflater {
    /// With a window of two to the power of `window_bits` bytes, kept between messages or not.
    ///
    /// # Panics
    /// When `window_bits` is not between [`MIN_WINDOW_BITS`] and [`MAX_WINDOW_BITS`].
    pub fn new(window_bits: u8, context_takeover: bool) -> Self {
        assert!((MIN_WINDOW_BITS..=MAX_WINDOW_BITS).contains(&window_bits), "a window of {window_bits} bits");
        // flate2 has no window of 8 bits. Stored blocks refer to nothing, and so fit into any window.
        let level = if window_bits == MIN_WINDOW_BITS { Compression::none() } else { Compression::default() };
        let compressor = Compress::new_with_window_bits(level, false, window_bits.max(MIN_WINDOW_BITS + 1));
        Self { compressor, context_takeover }
    }

    /// The payload of the next message, compressed. RSV1 on the first frame says so: [`RawFrame::rsv`] with 4.
    ///
    /// [`RawFrame::rsv`]: super::RawFrame::rsv
    pub fn compress(&mut self, payload: impl AsRef<[u8]>) -> Bytes {
        let payload = payload.as_ref();
        // A second flush without input gives nothing at all.
        if payload.is_empty() {
            return Bytes::from_static(&EMPTY);
        }
        let mut output = run(&mut self.compressor, payload, FlushCompress::Sync);
        if !self.context_takeover {
            self.compressor.reset();
        }
        assert!(output.ends_with(&TAIL), "a sync flush ends with {TAIL:02x?}");
        output.truncate(output.len() - TAIL.len());
        output.into()
    }
}

fn run(compressor: &mut Compress, payload: &[u8], flush: FlushCompress) -> Vec<u8> {
    let (mut output, start) = (Vec::new(), compressor.total_in());
    loop {
        output.reserve(OUTPUT_CHUNK_BYTES);
        let taken = (compressor.total_in() - start) as usize;
        let status = compressor.compress_vec(&payload[taken..], &mut output, flush);
        let status = status.unwrap_or_else(|error| panic!("testkit could not compress: {error}"));
        // Room that is left over says that there is nothing more to come.
        if status == Status::StreamEnd || output.len() < output.capacity() {
            return output;
        }
    }
}

/// The other direction's decompression. A sender that refers to an earlier message against the agreement is noticed; one
/// that uses a larger window is not, because zlib-rs always keeps the largest.
#[derive(Debug)]
pub(super) struct Inflater {
    decompressor: Decompress,
    context_takeover: bool,
}

impl Inflater {
    pub(super) fn new(context_takeover: bool) -> Self {
        Self { decompressor: Decompress::new(false), context_takeover }
    }

    /// The payload of the next message, inflated.
    pub(super) fn inflate(&mut self, compressed: &[u8]) -> Result<Vec<u8>, Broken> {
        let input = [compressed, &TAIL].concat();
        let (mut rest, mut output, mut chunk) = (&input[..], Vec::new(), vec![0; OUTPUT_CHUNK_BYTES]);
        loop {
            let (read, written) = (self.decompressor.total_in(), self.decompressor.total_out());
            let status = self.decompressor.decompress(rest, &mut chunk, FlushDecompress::Sync);
            let status = status.map_err(|error| Broken::new(1007, format!("data that is not deflate: {error}")))?;
            let read = (self.decompressor.total_in() - read) as usize;
            let written = (self.decompressor.total_out() - written) as usize;
            rest = &rest[read..];
            output.extend_from_slice(&chunk[..written]);
            if output.len() > MAX_MESSAGE_BYTES {
                let reason = format!("a message that inflates to more than {MAX_MESSAGE_BYTES} bytes");
                return Err(Broken::new(1009, reason));
            }
            if status == Status::StreamEnd {
                // A final block; what follows stands for itself.
                self.decompressor.reset(false);
            } else if written < chunk.len() && (rest.is_empty() || read == 0) {
                break;
            }
        }
        if !self.context_takeover {
            self.decompressor.reset(false);
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "the same words, the same words, the same words";

    #[test]
    fn the_examples_of_rfc_7692_section_7_2_3_inflate_to_hello() {
        for (name, payload) in [
            ("one block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..]),
            ("no compression", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
            ("a final block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
            ("two blocks", &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]),
        ] {
            assert_eq!(Inflater::new(true).inflate(payload).unwrap(), b"Hello", "{name}");
        }
    }

    #[test]
    fn messages_come_back_as_they_were_at_every_window_with_and_without_takeover() {
        for window_bits in MIN_WINDOW_BITS..=MAX_WINDOW_BITS {
            for takeover in [true, false] {
                let (mut deflater, mut inflater) = (Deflater::new(window_bits, takeover), Inflater::new(takeover));
                for message in [TEXT, "", "", TEXT, &TEXT.repeat(500), "x"] {
                    let compressed = deflater.compress(message);
                    assert_eq!(inflater.inflate(&compressed).unwrap(), message.as_bytes(), "{window_bits} {takeover}");
                }
            }
        }
    }

    #[test]
    fn the_context_makes_the_second_message_smaller_when_it_is_kept() {
        let sizes = |takeover| {
            let mut deflater = Deflater::new(15, takeover);
            [TEXT, TEXT].map(|message| deflater.compress(message).len())
        };
        let ([first, kept], [_, dropped]) = (sizes(true), sizes(false));
        assert!(kept < first / 2, "{kept} after {first}");
        assert_eq!(dropped, first);
    }

    #[test]
    fn a_message_that_ends_with_a_final_block_does_not_disturb_the_next() {
        let mut inflater = Inflater::new(true);
        assert_eq!(inflater.inflate(&compress_with_final_block(TEXT)).unwrap(), TEXT.as_bytes());
        assert_eq!(inflater.inflate(&compress("next")).unwrap(), b"next");
    }

    #[test]
    fn a_sender_that_keeps_its_context_against_the_agreement_is_noticed() {
        let mut keeping = Deflater::new(15, true);
        let mut inflater = Inflater::new(false);
        inflater.inflate(&keeping.compress(TEXT)).unwrap();
        assert_eq!(inflater.inflate(&keeping.compress(TEXT)).unwrap_err().code, 1007);
    }

    #[test]
    fn nonsense_and_bombs_are_refused_with_their_codes() {
        assert_eq!(Inflater::new(true).inflate(&[0x07, 0xFF]).unwrap_err().code, 1007);
        let bomb = compress(vec![0; MAX_MESSAGE_BYTES + 1]);
        assert_eq!(Inflater::new(true).inflate(&bomb).unwrap_err().code, 1009);
    }
}
