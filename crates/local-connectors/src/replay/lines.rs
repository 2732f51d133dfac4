//! Lines of a stream of bytes, in bounded memory and without a copy per line.

use std::io::{self, ErrorKind, Read};

use bytes::{Buf, Bytes, BytesMut};

/// Bytes asked for with one read.
pub(super) const READ_SIZE: usize = 64 << 10;
/// How much of a line that is too long is kept, to be shown.
pub(super) const EXCERPT_SIZE: usize = 1 << 10;
/// The byte order mark of UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its bytes, without the line break.
    Whole(Bytes),
    /// It is longer than allowed: its first bytes.
    TooLong(Bytes),
}

/// Splits what it reads into lines. Skips empty ones and a byte order mark; drops one `\r` before the `\n`.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    max_line_size: usize,
    buffer: BytesMut,
    /// Bytes of the buffer that are known to hold no line break.
    scanned: usize,
    /// Number of the last line, from 1.
    number: u64,
    at_end: bool,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R, max_line_size: usize) -> Self {
        Self { reader, max_line_size, buffer: BytesMut::new(), scanned: 0, number: 0, at_end: false }
    }

    /// Number of the line returned last, from 1; empty ones count.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The reader, to be positioned anew before [`Lines::rewound`].
    pub(super) fn reader(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Starts over after the reader was positioned at its start.
    pub(super) fn rewound(&mut self) {
        self.buffer.clear();
        self.scanned = 0;
        self.number = 0;
        self.at_end = false;
    }

    /// The next line that is not empty; `None` at the end.
    ///
    /// # Errors
    /// What the reader answers.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let found = memchr::memchr(b'\n', &self.buffer[self.scanned..]).map(|at| self.scanned + at);
            let end = match found {
                Some(end) => end,
                // The `\r` of a line break may already be there.
                None if self.buffer.len() > self.max_line_size + 1 => return self.skip_line().map(Some),
                None if self.fill()? => continue,
                None if self.buffer.is_empty() => return Ok(None),
                None => self.buffer.len(),
            };
            let mut line = self.buffer.split_to(end).freeze();
            self.buffer.advance(usize::from(found.is_some()));
            self.scanned = 0;
            self.number += 1;
            if self.number == 1 && line.starts_with(BOM) {
                line.advance(BOM.len());
            }
            if line.last() == Some(&b'\r') {
                line.truncate(line.len() - 1);
            }
            if line.len() > self.max_line_size {
                line.truncate(EXCERPT_SIZE);
                return Ok(Some(Line::TooLong(line)));
            }
            if !line.is_empty() {
                return Ok(Some(Line::Whole(line)));
            }
        }
    }

    /// Reads on, keeping nothing, until the line that is too long has ended.
    fn skip_line(&mut self) -> io::Result<Line> {
        let excerpt = Bytes::copy_from_slice(&self.buffer[..self.buffer.len().min(EXCERPT_SIZE)]);
        self.number += 1;
        self.buffer.clear();
        self.scanned = 0;
        while self.fill()? {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer) {
                self.buffer.advance(end + 1);
                self.scanned = 0;
                break;
            }
            self.buffer.clear();
            self.scanned = 0;
        }
        Ok(Line::TooLong(excerpt))
    }

    /// Reads once; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        let length = self.buffer.len();
        self.scanned = length;
        self.buffer.resize(length + READ_SIZE, 0);
        let read = loop {
            match self.reader.read(&mut self.buffer[length..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(length + read.as_ref().unwrap_or(&0));
        self.at_end = read? == 0;
        Ok(!self.at_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out `step` bytes with each read.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn lines(bytes: &[u8], max: usize, step: usize) -> Vec<String> {
        let mut lines = Lines::new(Dribble(bytes, step), max);
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push(match line {
                Line::Whole(line) => String::from_utf8(line.to_vec()).unwrap(),
                Line::TooLong(line) => format!("{}: too long: {}", lines.number(), line.len()),
            });
        }
        seen
    }

    #[test]
    fn lines_end_as_on_any_system_and_empty_ones_are_skipped() {
        for step in [1, 2, 3, 7, 1_000] {
            assert_eq!(lines(b"one\ntwo\r\n\n\r\n three ", 100, step), ["one", "two", " three "], "{step}");
            assert!(lines(b"", 100, step).is_empty());
            assert!(lines(b"\n\n", 100, step).is_empty());
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_line() {
        assert_eq!(lines(b"\xef\xbb\xbf{}\n{}\n", 100, 1), ["{}", "{}"]);
        assert_eq!(lines(b"\xef\xbb\xbf\n{}", 100, 1), ["{}"]);
    }

    #[test]
    fn a_line_of_the_largest_size_passes_and_one_more_byte_does_not() {
        for step in [1, 4, 1_000] {
            assert_eq!(
                lines(b"12345\r\n123456\n1\n123456", 5, step),
                ["12345", "2: too long: 6", "1", "4: too long: 6"],
                "{step}"
            );
        }
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let huge = vec![b'x'; 40 * READ_SIZE];
        let mut bytes = huge.clone();
        bytes.extend_from_slice(b"\nnext\n");
        let mut lines = Lines::new(&bytes[..], 1_000);
        let Some(Line::TooLong(excerpt)) = lines.next().unwrap() else { panic!("not refused") };
        assert_eq!(excerpt.len(), EXCERPT_SIZE);
        assert!(lines.buffer.capacity() <= 4 * READ_SIZE, "{}", lines.buffer.capacity());
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(Bytes::from_static(b"next"))));
        assert_eq!(lines.next().unwrap(), None);
    }

    #[test]
    fn a_line_longer_than_a_read_is_put_together() {
        let long = "x".repeat(3 * READ_SIZE + 5);
        let text = format!("{long}\n{long}");
        assert_eq!(lines(text.as_bytes(), 1 << 20, usize::MAX), [long.as_str(), &long]);
    }

    #[test]
    fn an_interrupted_read_is_repeated_and_a_failed_one_reported() {
        struct Failing(u32);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => Err(ErrorKind::Interrupted.into()),
                    2 => {
                        buffer[..2].copy_from_slice(b"a\n");
                        Ok(2)
                    }
                    _ => Err(io::Error::other("bad sector")),
                }
            }
        }
        let mut lines = Lines::new(Failing(0), 10);
        assert_eq!(lines.next().unwrap(), Some(Line::Whole(Bytes::from_static(b"a"))));
        assert_eq!(lines.next().unwrap_err().to_string(), "bad sector");
    }
}
