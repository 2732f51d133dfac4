//! Writing to standard output and standard error, by way of the console that also holds the progress line.
//!
//! A reader that went away (`eventflux connectors | head`) is no failure.

use std::env;
use std::io::{ErrorKind, IsTerminal, stderr};

use eventflux_core::escape_control;
use eventflux_local_connectors::console::{Console, Output};

use crate::exit::Exit;

/// Prints the result of a command to standard output.
pub(crate) fn print(text: &str) -> Exit {
    match Console::global().lines(Output::Stdout, text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            print_error(&format!("cannot write to standard output: {error}"));
            Exit::PipelineFailed
        }
        _ => Exit::Success,
    }
}

/// Prints one of many lines to standard output; how to end when nobody reads them any more.
pub(crate) fn print_next(line: &str) -> Result<(), Exit> {
    match Console::global().lines(Output::Stdout, line) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Exit::Success),
        Err(error) => {
            print_error(&format!("cannot write to standard output: {error}"));
            Err(Exit::PipelineFailed)
        }
    }
}

/// Prints lines for the person at the terminal to standard error; nothing when there is no text.
pub(crate) fn note(text: &str) {
    if !text.is_empty() {
        // Nowhere is left to report that standard error cannot be written.
        let _ = Console::global().line(text);
    }
}

/// Prints an error to standard error.
pub(crate) fn print_error(message: &str) {
    note(&format!("error: {}", escape_control(message)));
}

/// Shows, replaces or removes the progress line.
pub(crate) fn set_progress(line: Option<String>) {
    Console::global().set_status(line);
}

/// Whether a progress line can be shown.
pub(crate) fn has_progress_line() -> bool {
    Console::global().has_status_line()
}

/// Whether to write in colour to standard error.
pub(crate) fn has_color() -> bool {
    stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
