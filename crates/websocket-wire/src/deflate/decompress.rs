//! Inflation of messages (RFC 7692, section 7.2.2) with zlib-rs.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;
use zlib_rs::{Inflate, InflateFlush, Status};

use super::output::{self, Output};
use super::{MAX_WINDOW_BITS, TAIL};

/// The tail, and a byte that has to be left over when the message ends with it.
const TAIL_AND_ONE: [u8; TAIL.len() + 1] = [TAIL[0], TAIL[1], TAIL[2], TAIL[3], 0x00];

/// A received message that does not inflate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InflateError {
    /// It inflates to more than it may. Answered with close code 1009.
    #[error(
        "a compressed message inflates to more than {max_bytes} bytes; the sender has to split it, or the limit be raised"
    )]
    TooLarge {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// It is not, or not only, or not completely what RFC 7692 section 7.2.2 describes. Answered with close code 1007.
    #[error("a compressed message is damaged: it is not deflate data as RFC 7692 section 7.2 describes it")]
    Corrupt,
}

/// Inflates the messages of one direction, one after the other.
///
/// There is no window to choose. zlib-rs always has room for the largest, which inflates what any other made.
pub struct Decompressor {
    inflate: Inflate,
    context_takeover: bool,
}

impl Decompressor {
    /// The memory a decompressor costs at most, in bytes.
    pub const MEMORY_BYTES: usize = 47 * 1024;

    /// With a window that is kept between messages, or not.
    #[must_use]
    pub fn new(context_takeover: bool) -> Self {
        Self { inflate: Inflate::new(false, MAX_WINDOW_BITS), context_takeover }
    }

    /// The payload of a message, inflated.
    ///
    /// Memory is taken as the output grows, up to twice of it and never for more than `max_bytes`. Blocks of all kinds
    /// may make up a message, final ones (BFINAL) included; what follows one cannot refer to what was before it.
    ///
    /// # Errors
    /// [`InflateError::TooLarge`] at the first byte that passes `max_bytes`. [`InflateError::Corrupt`] for anything that
    /// is not a whole message, an empty payload included: even of an empty message the header of its block is left (RFC
    /// 7692 section 7.2.3.6). The connection cannot go on after an error: what was kept of earlier messages is forgotten.
    pub fn inflate(&mut self, payload: &[u8], max_bytes: usize) -> Result<Bytes, InflateError> {
        // Room for one byte too many tells a message of just the right size from a larger one.
        let inflated = output::collect(max_bytes.saturating_add(1), |output| {
            let too_large = InflateError::TooLarge { max_bytes };
            if self.run(payload, output, too_large)? { Ok(()) } else { self.run_tail(output) }
        });
        if !self.context_takeover || inflated.is_err() {
            self.reset();
        }
        inflated
    }

    /// Inflates all of `input`; whether it ended together with a final block, and then needs no tail.
    fn run(
        &mut self,
        mut input: &[u8],
        output: &mut Output<'_>,
        too_large: InflateError,
    ) -> Result<bool, InflateError> {
        loop {
            let (status, read) = self.step(input, output, InflateFlush::NoFlush)?;
            input = &input[read..];
            let is_full = output.is_full();
            if is_full && !output.grow() {
                return Err(too_large);
            }
            if status == Status::StreamEnd {
                self.reset();
                if input.is_empty() {
                    return Ok(true);
                }
            } else if !is_full && input.is_empty() {
                // Room that is left over says that there is nothing more to come.
                return Ok(false);
            } else if !is_full && read == 0 {
                return Err(InflateError::Corrupt);
            }
        }
    }

    /// Inflates the tail. Of a whole message it is the rest of an empty block, whose header is the message's end: it is
    /// read to its last byte, a block ends there, and nothing comes out. Anything else shows that the message is cut off
    /// or goes on behind its end.
    fn run_tail(&mut self, output: &mut Output<'_>) -> Result<(), InflateError> {
        let written = output.written().len();
        let (status, read) = self.step(&TAIL_AND_ONE, output, InflateFlush::Block)?;
        if read != TAIL.len() || output.written().len() != written {
            return Err(InflateError::Corrupt);
        }
        if status == Status::StreamEnd {
            self.reset();
        }
        Ok(())
    }

    /// Inflates what there is room for; also the number of bytes read.
    #[inline]
    fn step(
        &mut self,
        input: &[u8],
        output: &mut Output<'_>,
        flush: InflateFlush,
    ) -> Result<(Status, usize), InflateError> {
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(input, output.spare(), flush).map_err(|_| InflateError::Corrupt)?;
        output.advance((self.inflate.total_out() - written) as usize);
        Ok((status, (self.inflate.total_in() - read) as usize))
    }

    fn reset(&mut self) {
        self.inflate.reset(false);
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("context_takeover", &self.context_takeover).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Compressor;
    use super::*;

    const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    const ANY: usize = usize::MAX;

    /// A message of more than one block, some of which have BFINAL set.
    const FINAL_AND_MORE: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

    #[test]
    fn the_examples_of_rfc_7692_section_7_2_3_inflate_to_hello() {
        for (name, payload) in [
            ("7.2.3.1, one block", &HELLO[..]),
            ("7.2.3.3, no compression", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
            ("7.2.3.4, a final block", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
            ("7.2.3.5, two blocks", &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]),
        ] {
            let mut decompressor = Decompressor::new(true);
            for _ in 0..3 {
                assert_eq!(decompressor.inflate(payload, 5).unwrap(), "Hello", "{name}");
            }
        }
        assert_eq!(Decompressor::new(true).inflate(&[0x00], 0).unwrap(), "", "7.2.3.6, an empty message");
    }

    #[test]
    fn a_message_may_refer_to_the_one_before_only_with_context_takeover() {
        // Section 7.2.3.2.
        let again = [0xf2, 0x00, 0x11, 0x00, 0x00];
        let mut keeping = Decompressor::new(true);
        keeping.inflate(&HELLO, ANY).unwrap();
        assert_eq!(keeping.inflate(&again, ANY).unwrap(), "Hello");
        let mut forgetting = Decompressor::new(false);
        forgetting.inflate(&HELLO, ANY).unwrap();
        assert_eq!(forgetting.inflate(&again, ANY), Err(InflateError::Corrupt));
    }

    #[test]
    fn final_blocks_are_legal_anywhere_and_what_follows_stands_for_itself() {
        for (payload, expected) in [
            (FINAL_AND_MORE, "HelloHello"),
            (&FINAL_AND_MORE[..7], "Hello"),
            (&[0x01], ""),
            (&[0x03, 0x00], ""),
            (&[0x03, 0x00, 0x03, 0x00, 0x00], ""),
        ] {
            let mut decompressor = Decompressor::new(true);
            for _ in 0..3 {
                assert_eq!(decompressor.inflate(payload, ANY).unwrap(), expected, "{payload:02x?}");
            }
            assert_eq!(decompressor.inflate(&HELLO, ANY).unwrap(), "Hello", "after {payload:02x?}");
        }
    }

    #[test]
    fn whatever_is_cut_off_is_corrupt() {
        let text: Vec<u8> =
            (0..200).flat_map(|i: u32| format!("{{\"id\":{},\"side\":\"buy\"}}", i * i).into_bytes()).collect();
        for level in [1, 2, 6] {
            let whole = Compressor::new(15, level, true).compress(&text).unwrap();
            for end in 0..whole.len() {
                let inflated = Decompressor::new(true).inflate(&whole[..end], ANY);
                assert_eq!(inflated, Err(InflateError::Corrupt), "level {level}, {end} bytes of {}", whole.len());
            }
        }
    }

    #[test]
    fn what_is_no_deflate_data_or_goes_on_behind_its_end_is_corrupt() {
        for payload in [
            &b""[..],
            b"\xff",
            b"this is not deflate",
            // The tail would be the content of the last block.
            &[0x00, 0x04, 0x00, 0xfb, 0xff],
            // The tail was not cut off.
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00, 0x00, 0xff, 0xff],
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x2a],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x2a],
            // A distance beyond the first byte.
            &[0x02, 0x01, 0x00],
        ] {
            assert_eq!(Decompressor::new(true).inflate(payload, ANY), Err(InflateError::Corrupt), "{payload:02x?}");
        }
    }

    #[test]
    fn the_limit_is_exact() {
        for size in [1, 5, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 1 << 20] {
            let payload = Compressor::new(15, 6, false).compress(&vec![b'a'; size]).unwrap();
            let mut decompressor = Decompressor::new(true);
            assert_eq!(decompressor.inflate(&payload, size).unwrap().len(), size);
            let max_bytes = size - 1;
            assert_eq!(decompressor.inflate(&payload, max_bytes), Err(InflateError::TooLarge { max_bytes }), "{size}");
        }
    }

    #[test]
    fn nothing_of_a_failed_message_is_kept() {
        let mut decompressor = Decompressor::new(true);
        decompressor.inflate(&[HELLO.as_slice(), b"garbage"].concat(), ANY).unwrap_err();
        assert_eq!(decompressor.inflate(&HELLO, ANY).unwrap(), "Hello");
        decompressor.inflate(&HELLO, 3).unwrap_err();
        assert_eq!(decompressor.inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], ANY), Err(InflateError::Corrupt));
    }
}
