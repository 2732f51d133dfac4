//! Turns payloads into lines and prints them.

use std::io;

use eventflux_core::EncodedBatch;

use super::config::{LogSinkConfig, Target};
use crate::console::Console;
use crate::escape;

/// Lines are printed once they have this many bytes together.
const CHUNK_SIZE: usize = 64 << 10;
/// Target of the lines in the program's log.
const LOG_TARGET: &str = "eventflux::events";

/// Takes whole lines.
pub(super) trait Lines: Send {
    /// Prints them; each ends with a line break.
    fn print(&mut self, lines: &str) -> io::Result<()>;
}

impl Lines for Target {
    fn print(&mut self, lines: &str) -> io::Result<()> {
        match *self {
            Self::Console(output) => Console::global().lines(output, lines),
            Self::Log(level) => {
                for line in lines.lines() {
                    log::log!(target: LOG_TARGET, level, "{line}");
                }
                Ok(())
            }
        }
    }
}

/// Prints batches.
pub(super) struct Printer<L> {
    lines: L,
    prefix: String,
    every: u64,
    max_line_size: usize,
    /// Payloads so far.
    count: u64,
    buffer: String,
}

impl<L: Lines> Printer<L> {
    pub(super) fn new(config: &LogSinkConfig, lines: L) -> Self {
        Self {
            lines,
            prefix: config.prefix.clone(),
            every: config.every,
            max_line_size: config.max_line_size,
            count: 0,
            buffer: String::new(),
        }
    }

    /// Prints the batch: usually one write and one flush.
    ///
    /// # Errors
    /// The number of payloads that were printed before, and what the output answered. Of those behind, some may have
    /// been printed as well.
    pub(super) fn print(&mut self, batch: &EncodedBatch) -> Result<(), (usize, io::Error)> {
        let mut printed = 0;
        for (row, payload) in batch.iter().enumerate() {
            let shown = self.count.is_multiple_of(self.every);
            self.count = self.count.wrapping_add(1);
            if shown {
                self.buffer.push_str(&self.prefix);
                escape::append(&mut self.buffer, payload, self.max_line_size);
                self.buffer.push('\n');
            }
            if self.buffer.len() >= CHUNK_SIZE {
                self.flush().map_err(|error| (printed, error))?;
                printed = row + 1;
            }
        }
        self.flush().map_err(|error| (printed, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let printed = self.lines.print(&self.buffer);
        self.buffer.clear();
        printed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::batch;

    #[derive(Default)]
    struct Prints(Vec<String>);

    impl Lines for Prints {
        fn print(&mut self, lines: &str) -> io::Result<()> {
            if self.0.len() == 2 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.0.push(lines.to_owned());
            Ok(())
        }
    }

    fn printer(pairs: &[(&str, &str)]) -> Printer<Prints> {
        let config = LogSinkConfig::from_pairs(pairs.iter().copied()).unwrap();
        Printer::new(&config, Prints::default())
    }

    #[test]
    fn a_batch_is_one_print_with_a_line_for_each_payload() {
        let mut printer = printer(&[("log.prefix", "> ")]);
        printer.print(&batch(["a", "b\r\n\u{1b}[31mc", ""])).unwrap();
        assert_eq!(printer.lines.0, ["> a\n> b\\r\\n\\u{1b}[31mc\n> \n"]);
        printer.print(&batch([[0xff, 0x00]])).unwrap();
        assert_eq!(printer.lines.0[1], "> 0xff00\n");
    }

    #[test]
    fn one_of_so_many_is_printed_across_batches() {
        let mut printer = printer(&[("log.every", "3")]);
        printer.print(&batch(["0", "1"])).unwrap();
        printer.print(&batch(["2", "3", "4", "5", "6"])).unwrap();
        assert_eq!(printer.lines.0, ["0\n", "3\n6\n"]);
        printer.print(&batch(["7", "8"])).unwrap();
        assert_eq!(printer.lines.0.len(), 2, "nothing to show is no print");
    }

    #[test]
    fn a_long_payload_is_cut() {
        let mut printer = printer(&[("log.max.line.size", "3")]);
        printer.print(&batch(["abcdef"])).unwrap();
        assert_eq!(printer.lines.0, ["abc... (3 bytes more)\n"]);
    }

    #[test]
    fn an_output_that_fails_says_how_many_payloads_were_printed_before() {
        let mut printer = printer(&[("log.max.line.size", "32KiB")]);
        let large = "x".repeat(CHUNK_SIZE / 2);
        let (printed, error) = printer.print(&batch([&large; 7])).unwrap_err();
        assert_eq!((printed, error.kind()), (4, io::ErrorKind::BrokenPipe));
    }
}
