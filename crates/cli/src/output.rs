//! Writing to standard output and standard error.
//!
//! A reader that went away (`eventflux connectors | head`) is no failure.

use std::io::{self, Write};

use crate::exit::Exit;

/// Prints the result of a command.
pub(crate) fn print(text: &str) -> Exit {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            print_error(&format!("cannot write to standard output: {error}"));
            Exit::PipelineFailed
        }
        _ => Exit::Success,
    }
}

/// Prints lines for the person at the terminal to standard error, above the progress line if there is one.
pub(crate) fn note(text: &str) {
    // There is nowhere left to report that standard error cannot be written.
    let _ = console::print_to_stderr(text.trim_end_matches('\n'));
}

/// Prints an error to standard error.
pub(crate) fn print_error(message: &str) {
    note(&format!("error: {}", escape_control(message)));
}

/// The text with each control character replaced by its escape sequence, so that data from elsewhere can neither forge
/// a line nor change the terminal.
pub(crate) fn escape_control(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if character.is_control() {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped.into()
}
