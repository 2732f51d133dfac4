//! The stream tungstenite reads from and writes to: bytes that are there already, and a buffer.

use std::io::{self, ErrorKind, Read, Write};

use super::MAX_PONG_BYTES;
use super::scanner::Scanner;

/// Bytes in, bytes out, nothing ever waited for.
pub(super) struct Pipe<'input, 'state> {
    /// What was received and not read.
    pub(super) input: &'input [u8],
    pub(super) scanner: &'state mut Scanner,
    pub(super) output: &'state mut Vec<u8>,
    /// Where the newest frame goes, in place of the one before, once `output` has [`MAX_PONG_BYTES`]. `None`: all frames
    /// go to `output`.
    pub(super) newest: Option<&'state mut Vec<u8>>,
    /// Whether the peer sends no more after `input`.
    pub(super) is_last: bool,
}

impl<'state> Pipe<'static, 'state> {
    /// Nothing to read, and room for everything written.
    pub(super) fn to(output: &'state mut Vec<u8>, scanner: &'state mut Scanner) -> Self {
        Self { input: &[], scanner, output, newest: None, is_last: false }
    }
}

impl Read for Pipe<'_, '_> {
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.len().min(buffer.len());
        if count == 0 {
            return if self.is_last { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let here = &mut buffer[..count];
        here.copy_from_slice(&self.input[..count]);
        let passed = self.scanner.scan(here);
        self.input = &self.input[passed..];
        if passed == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(passed) }
    }
}

impl Write for Pipe<'_, '_> {
    /// Takes a whole frame: tungstenite keeps none back, since none is ever refused.
    #[inline]
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        match &mut self.newest {
            Some(newest) if self.output.len() >= MAX_PONG_BYTES => {
                newest.clear();
                newest.extend_from_slice(frame);
            }
            _ => self.output.extend_from_slice(frame),
        }
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
