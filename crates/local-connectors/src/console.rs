//! The terminal, shared by events, log lines and one status line.
//!
//! A status line stays at the bottom of the terminal while lines are printed above it. Everything that prints while a
//! pipeline runs has to go through here, else it ends up in the middle of the status line. Where standard error is no
//! terminal there is no status line, and where standard output is another device than standard error the two do not
//! wait for each other.
//!
//! Text is written as it is given: whoever passes data on escapes it first ([`eventflux_core::escape_control`]).

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, OnceLock, TryLockError};
use std::thread;
use std::time::Duration;

use crate::sync::lock;

/// Back to the first column, and erase the line.
const ERASE: &str = "\r\x1b[2K";
/// A status line that is too long must be cut, not wrapped: only one line can be erased again.
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";
/// Pause before the next try when a terminal or pipe in non-blocking mode is full.
const FULL_PAUSE: Duration = Duration::from_millis(2);

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What the two outputs are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Standard error is no terminal: no status line.
    Plain,
    /// Standard error is a terminal, standard output goes elsewhere.
    Terminal,
    /// Both are the same terminal.
    SharedTerminal,
}

impl Layout {
    /// The layout of this process.
    pub fn detect() -> Self {
        match (io::stderr().is_terminal(), io::stdout().is_terminal()) {
            (false, _) => Self::Plain,
            (true, true) if same_device() => Self::SharedTerminal,
            (true, _) => Self::Terminal,
        }
    }
}

/// Prints lines above a status line. Safe to use from several threads.
#[derive(Debug)]
pub struct Console<O = io::Stdout, E = io::Stderr> {
    layout: Layout,
    stdout: Mutex<O>,
    screen: Mutex<Screen<E>>,
    status: Mutex<Option<String>>,
}

#[derive(Debug)]
struct Screen<E> {
    stderr: E,
    /// Whether a status line is on the terminal now.
    drawn: bool,
}

impl Console {
    /// The console of this process.
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Console> = OnceLock::new();
        GLOBAL.get_or_init(|| Self::new(io::stdout(), io::stderr(), Layout::detect()))
    }
}

impl<O: Write, E: Write> Console<O, E> {
    /// A console that writes to these.
    pub fn new(stdout: O, stderr: E, layout: Layout) -> Self {
        Self {
            layout,
            stdout: Mutex::new(stdout),
            screen: Mutex::new(Screen { stderr, drawn: false }),
            status: Mutex::new(None),
        }
    }

    /// Whether a status line can be shown.
    pub fn has_status_line(&self) -> bool {
        self.layout != Layout::Plain
    }

    /// Prints a line for the person at the terminal, to standard error. The line break at its end is added when it is
    /// missing; there may be others inside.
    ///
    /// # Errors
    /// What standard error answers.
    pub fn line(&self, text: &str) -> io::Result<()> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        self.lines(Output::Stderr, &format!("{text}{end}"))
    }

    /// Prints whole lines, each with its line break, in one write and flushed. Blocks while the output is full.
    ///
    /// # Errors
    /// What the output answers, [`ErrorKind::BrokenPipe`] when its reader is gone; some of the lines may have been
    /// printed.
    pub fn lines(&self, output: Output, text: &str) -> io::Result<()> {
        match (output, self.layout) {
            (Output::Stdout, Layout::SharedTerminal) => self.above_status(|_| write(&mut *lock(&self.stdout), text)),
            (Output::Stdout, _) => write(&mut *lock(&self.stdout), text),
            (Output::Stderr, Layout::Plain) => write(&mut lock(&self.screen).stderr, text),
            (Output::Stderr, _) => self.above_status(|screen| write(&mut screen.stderr, text)),
        }
    }

    /// Shows, replaces or (`None`) removes the status line: one line, its line breaks become spaces. Does nothing
    /// without a terminal. While another thread prints, a new text appears when that thread is done.
    pub fn set_status(&self, status: Option<String>) {
        if !self.has_status_line() {
            return;
        }
        let status = status.map(|text| text.replace(['\n', '\r'], " "));
        let removes = status.is_none();
        *lock(&self.status) = status;
        let mut screen = match self.screen.try_lock() {
            Ok(screen) => screen,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // A removal has to be certain; a refresh must not wait for a terminal that is held (Ctrl-S).
            Err(TryLockError::WouldBlock) if removes => lock(&self.screen),
            Err(TryLockError::WouldBlock) => return,
        };
        // A status line that cannot be drawn is not worth an error.
        let _ = self.redraw(&mut screen);
    }

    fn above_status(&self, print: impl FnOnce(&mut Screen<E>) -> io::Result<()>) -> io::Result<()> {
        let mut screen = lock(&self.screen);
        if screen.drawn {
            write(&mut screen.stderr, ERASE)?;
            screen.drawn = false;
        }
        let printed = print(&mut screen);
        // The lines matter, the status line does not.
        let _ = self.redraw(&mut screen);
        printed
    }

    fn redraw(&self, screen: &mut MutexGuard<'_, Screen<E>>) -> io::Result<()> {
        let erase = if screen.drawn { ERASE } else { "" };
        let (text, drawn) = match &*lock(&self.status) {
            Some(status) => (format!("{erase}{WRAP_OFF}{status}{WRAP_ON}"), true),
            None => (erase.to_owned(), false),
        };
        screen.drawn = drawn;
        write(&mut screen.stderr, &text)
    }
}

fn write(output: &mut impl Write, text: &str) -> io::Result<()> {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match output.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            Err(error) => return Err(error),
        }
    }
    loop {
        match output.flush() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
            flushed => return flushed,
        }
    }
}

/// Whether standard output and standard error, both terminals, are the same one.
#[cfg(unix)]
fn same_device() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;

    let device = |fd: std::os::fd::BorrowedFd<'_>| {
        let file = std::fs::File::from(fd.try_clone_to_owned()?);
        file.metadata().map(|metadata| metadata.rdev())
    };
    match (device(io::stdout().as_fd()), device(io::stderr().as_fd())) {
        (Ok(stdout), Ok(stderr)) => stdout == stderr,
        // Two terminals of one process are nearly always one.
        _ => true,
    }
}

#[cfg(not(unix))]
fn same_device() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Both outputs of a console, in the order they were written.
    #[derive(Clone, Default)]
    struct Tape(Arc<Mutex<String>>);

    impl Tape {
        fn take(&self) -> String {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl Write for Tape {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn console(layout: Layout) -> (Console<Tape, Tape>, Tape, Tape) {
        let stdout = Tape::default();
        let stderr = if layout == Layout::SharedTerminal { stdout.clone() } else { Tape::default() };
        (Console::new(stdout.clone(), stderr.clone(), layout), stdout, stderr)
    }

    fn drawn(status: &str) -> String {
        format!("{WRAP_OFF}{status}{WRAP_ON}")
    }

    #[test]
    fn without_a_terminal_there_are_only_lines() {
        let (console, stdout, stderr) = console(Layout::Plain);
        console.set_status(Some("1/s".into()));
        console.line("note").unwrap();
        console.lines(Output::Stdout, "a\nb\n").unwrap();
        console.set_status(None);
        assert!(!console.has_status_line());
        assert_eq!((stdout.take(), stderr.take()), ("a\nb\n".to_owned(), "note\n".to_owned()));
    }

    #[test]
    fn lines_on_the_same_terminal_are_printed_above_the_status_line() {
        let (console, tape, _) = console(Layout::SharedTerminal);
        console.set_status(Some("1/s".into()));
        assert_eq!(tape.take(), drawn("1/s"));
        console.lines(Output::Stdout, "event\n").unwrap();
        assert_eq!(tape.take(), format!("{ERASE}event\n{}", drawn("1/s")));
        console.line("two\nlines\n").unwrap();
        assert_eq!(tape.take(), format!("{ERASE}two\nlines\n{}", drawn("1/s")));
    }

    #[test]
    fn a_new_status_replaces_the_old_one_and_none_removes_it() {
        let (console, tape, _) = console(Layout::SharedTerminal);
        console.set_status(Some("1/s".into()));
        console.set_status(Some("2/s\nforged".into()));
        assert_eq!(tape.take(), format!("{}{ERASE}{}", drawn("1/s"), drawn("2/s forged")));
        console.set_status(None);
        console.line("after").unwrap();
        assert_eq!(tape.take(), format!("{ERASE}after\n"));
    }

    #[test]
    fn output_that_goes_elsewhere_does_not_touch_the_status_line() {
        let (console, stdout, stderr) = console(Layout::Terminal);
        console.set_status(Some("1/s".into()));
        stderr.take();
        console.lines(Output::Stdout, "event\n").unwrap();
        assert_eq!((stdout.take(), stderr.take()), ("event\n".to_owned(), String::new()));
        console.line("note").unwrap();
        assert_eq!(stderr.take(), format!("{ERASE}note\n{}", drawn("1/s")));
    }

    #[test]
    fn a_refresh_does_not_wait_for_a_thread_that_prints() {
        let (console, tape, _) = console(Layout::SharedTerminal);
        let held = console.screen.lock().unwrap();
        console.set_status(Some("1/s".into()));
        assert_eq!(tape.take(), "");
        drop(held);
        console.line("note").unwrap();
        assert_eq!(tape.take(), format!("note\n{}", drawn("1/s")));
    }

    /// Full at first, interrupted then, and takes three bytes at a time.
    struct Moody(u32, Tape);

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 => Err(ErrorKind::WouldBlock.into()),
                2 => Err(ErrorKind::Interrupted.into()),
                _ => self.1.write(&bytes[..bytes.len().min(3)]),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_is_full_for_now_gets_every_byte() {
        let tape = Tape::default();
        let console = Console::new(Moody(0, tape.clone()), io::sink(), Layout::Plain);
        console.lines(Output::Stdout, "a longer line\n").unwrap();
        assert_eq!(tape.take(), "a longer line\n");
    }
}
