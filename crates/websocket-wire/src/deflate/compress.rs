//! Compression of messages (RFC 7692, section 7.2.1) with zlib-rs.

use std::fmt;

use bytes::Bytes;
use zlib_rs::{Deflate, DeflateError, DeflateFlush};

use super::output::{self, Output};
use super::{MAX_WINDOW_BITS, MIN_COMPRESSOR_WINDOW_BITS, TAIL};

/// An empty message: the header of an empty block, which the receiver's tail completes (RFC 7692 section 7.2.3.6).
const EMPTY: Bytes = Bytes::from_static(&[0x00]);

/// zlib's `memLevel`: symbols per block, and with them two buffers. The default of 8 costs 84 KiB more per context for
/// 0.3% less output from level 2 on, and for none at level 1.
const MEMORY_LEVEL: i32 = 6;

/// What a context costs whatever its window: a hash table of 128 KiB, buffers of 28 KiB and the state itself.
const FIXED_BYTES: usize = 160 * 1024;

/// Compresses the messages of one direction, one after the other.
pub struct Compressor {
    deflate: Deflate,
    window_bits: u8,
    level: u32,
    context_takeover: bool,
}

impl Compressor {
    /// With a window of 2 to the power of `window_bits` bytes, kept between messages or not. A `level` outside 1 to 9
    /// counts as the nearest.
    ///
    /// # Panics
    /// When `window_bits` is not 9 to 15: there is no compressor for a window of 8 bits.
    #[must_use]
    pub fn new(window_bits: u8, level: u32, context_takeover: bool) -> Self {
        assert!(
            (MIN_COMPRESSOR_WINDOW_BITS..=MAX_WINDOW_BITS).contains(&window_bits),
            "a compressor with a window of {window_bits} bits"
        );
        let config = zlib_rs::DeflateConfig {
            level: level.clamp(1, 9) as i32,
            // Negative for deflate without a header around it.
            window_bits: -i32::from(window_bits),
            mem_level: MEMORY_LEVEL,
            ..zlib_rs::DeflateConfig::default()
        };
        Self { deflate: Deflate::new_with_config(config), window_bits, level, context_takeover }
    }

    /// The compressed form of a message's payload. It may be larger than the payload.
    ///
    /// `None` when zlib refuses, which nothing a caller does can bring about. The message can go as it is: the context
    /// has forgotten everything, and needs nothing that the peer did not see.
    #[must_use]
    pub fn compress(&mut self, payload: &[u8]) -> Option<Bytes> {
        // A second flush without input gives nothing at all.
        if payload.is_empty() {
            return Some(EMPTY);
        }
        let compressed = output::collect(usize::MAX, |output| self.run(payload, output));
        if !self.context_takeover || compressed.is_err() {
            self.reset();
        }
        compressed.ok()
    }

    /// Forgets all messages so far. The peer's window may still have them; it needs to know nothing about it.
    pub fn reset(&mut self) {
        self.deflate.reset();
    }

    /// The memory a compressor with this window costs at most, in bytes.
    #[must_use]
    pub const fn memory_bytes(window_bits: u8) -> usize {
        // Twice the window, so that it has to be moved only now and then, and two bytes of hash chain for each of its.
        FIXED_BYTES + (4 << window_bits)
    }

    /// Whether it was made with these.
    pub(super) fn is_of(&self, window_bits: u8, level: u32) -> bool {
        (self.window_bits, self.level) == (window_bits, level)
    }

    fn run(&mut self, mut input: &[u8], output: &mut Output<'_>) -> Result<(), DeflateError> {
        loop {
            let (read, written) = (self.deflate.total_in(), self.deflate.total_out());
            self.deflate.compress(input, output.spare(), DeflateFlush::SyncFlush)?;
            input = &input[(self.deflate.total_in() - read) as usize..];
            output.advance((self.deflate.total_out() - written) as usize);
            if output.is_full() {
                output.grow();
            } else if input.is_empty() {
                // Room that is left over says that the flush is complete.
                break;
            }
        }
        if !output.written().ends_with(&TAIL) {
            return Err(DeflateError::DataError);
        }
        output.cut(TAIL.len());
        Ok(())
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor")
            .field("window_bits", &self.window_bits)
            .field("level", &self.level)
            .field("context_takeover", &self.context_takeover)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"the same words, the same words, the same words";

    /// All of `messages`, as one deflate stream, inflated by a second implementation.
    fn inflated_by_miniz(messages: &[Bytes]) -> Vec<u8> {
        let mut stream: Vec<u8> = messages.iter().flat_map(|message| [message, &TAIL[..]].concat()).collect();
        stream.extend_from_slice(&[0x03, 0x00]);
        miniz_oxide::inflate::decompress_to_vec(&stream).unwrap()
    }

    #[test]
    fn hello_is_what_rfc_7692_section_7_2_3_says() {
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let shared = [0xf2, 0x00, 0x11, 0x00, 0x00];
        for level in [1, 6, 9] {
            let mut keeping = Compressor::new(15, level, true);
            assert_eq!(keeping.compress(b"Hello").unwrap()[..], hello, "section 7.2.3.1, level {level}");
            let mut forgetting = Compressor::new(15, level, false);
            for _ in 0..3 {
                assert_eq!(forgetting.compress(b"Hello").unwrap()[..], hello, "section 7.2.3.2, level {level}");
            }
        }
        let mut keeping = Compressor::new(15, 6, true);
        assert_eq!(keeping.compress(b"Hello").unwrap()[..], hello);
        assert_eq!(keeping.compress(b"Hello").unwrap()[..], shared, "section 7.2.3.2");
    }

    #[test]
    fn an_empty_message_is_one_zero_byte_however_often_it_is_sent() {
        for context_takeover in [true, false] {
            let mut compressor = Compressor::new(15, 1, context_takeover);
            for payload in [&b""[..], b"", TEXT, b"", b""] {
                let compressed = compressor.compress(payload).unwrap();
                assert_eq!(compressed[..] == [0x00], payload.is_empty());
            }
        }
    }

    #[test]
    fn a_kept_context_makes_the_second_message_smaller_and_a_reset_undoes_it() {
        let mut compressor = Compressor::new(15, 6, true);
        let first = compressor.compress(TEXT).unwrap();
        let second = compressor.compress(TEXT).unwrap();
        assert!(second.len() < first.len() / 2, "{} after {}", second.len(), first.len());
        compressor.reset();
        assert_eq!(compressor.compress(TEXT).unwrap(), first);
    }

    #[test]
    fn messages_of_any_size_are_read_by_another_implementation() {
        for level in [0, 1, 2, 3, 6, 9, 10] {
            for window_bits in [9, 12, 15] {
                let mut compressor = Compressor::new(window_bits, level, true);
                let words = [TEXT.to_vec(), TEXT.repeat(2000), noise(100_000), b"x".to_vec(), noise(20_000)];
                let compressed: Vec<Bytes> = words.iter().map(|word| compressor.compress(word).unwrap()).collect();
                assert!(inflated_by_miniz(&compressed) == words.concat(), "level {level}, window {window_bits}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "a window of 8 bits")]
    fn there_is_no_compressor_with_a_window_of_8_bits() {
        let _ = Compressor::new(8, 1, true);
    }

    /// Bytes that do not compress.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..count).map(|_| next()).collect()
    }
}
