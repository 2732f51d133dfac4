//! Records what is logged through the `log` crate, so that a test can assert that a secret never was and that a
//! warning was.
//!
//! A process has one logger, and `cargo test` runs the tests of a file in one process, on several threads; connectors
//! log from threads of their own. So a capture sees the lines of *all* tests that run at the same time:
//! - For absence, look for a text that only this test uses: a secret made up for it. Then other tests' lines do no harm.
//! - For presence, narrow the capture with [`LogCapture::containing`] to a marker that only this test's lines have (its
//!   port, its stream's name), or with [`LogCapture::of_this_thread`] when the code logs on the test's own thread.
//!
//! Trace lines are not recorded: libraries trace the bytes they move, secrets included, and that is not the connector's
//! doing.
//!
//! ```
//! use eventflux_testkit::log_capture::LogCapture;
//!
//! let logs = LogCapture::start();
//! log::warn!("ws://127.0.0.1:4711: certificate checks are off");
//! logs.containing(":4711").assert_logged(log::Level::Warn, "checks are off");
//! logs.assert_absent("hunter2");
//! ```

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::wait;

/// Most lines kept for all captures of the process; the oldest go first.
pub const MAX_LINES: usize = 100_000;

/// Longest part of a line that failed assertions print, characters.
const PRINTED_CHARACTERS: usize = 300;

/// Most lines that failed assertions print.
const PRINTED_LINES: usize = 20;

/// One logged line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The level.
    pub level: Level,
    /// The target, by default the module's path.
    pub target: String,
    /// The message.
    pub message: String,
    /// The thread it was logged on.
    pub thread: ThreadId,
    number: u64,
}

/// The lines logged since it was started, by anything in this process.
#[derive(Debug, Clone)]
pub struct LogCapture {
    first: u64,
    marker: Option<String>,
    thread: Option<ThreadId>,
    at_least: Level,
}

impl LogCapture {
    /// Starts to capture debug lines and more severe ones. The first capture of a process installs the logger.
    ///
    /// # Panics
    /// When the process has another logger already: a test that captures must not initialise `env_logger` or the like.
    pub fn start() -> Self {
        install();
        Self { first: lines().next, marker: None, thread: None, at_least: Level::Debug }
    }

    /// The same capture, narrowed to lines that contain `marker`.
    pub fn containing(&self, marker: impl Into<String>) -> Self {
        Self { marker: Some(marker.into()), ..self.clone() }
    }

    /// The same capture, narrowed to lines of the calling thread.
    pub fn of_this_thread(&self) -> Self {
        Self { thread: Some(thread::current().id()), ..self.clone() }
    }

    /// The same capture, narrowed to lines of this level and more severe ones.
    pub fn at_least(&self, level: Level) -> Self {
        Self { at_least: level, ..self.clone() }
    }

    /// The captured lines, oldest first.
    ///
    /// # Panics
    /// When lines of this capture have been pushed out by [`MAX_LINES`] later ones.
    #[track_caller]
    pub fn lines(&self) -> Vec<LogLine> {
        let buffer = lines();
        let oldest = buffer.lines.front().map_or(buffer.next, |line| line.number);
        assert!(oldest <= self.first, "more than {MAX_LINES} lines were logged since the capture started");
        buffer.lines.iter().filter(|line| self.covers(line)).cloned().collect()
    }

    /// Asserts that no captured line contains `text`, in its message or target.
    ///
    /// # Panics
    /// With the first such line. The text itself is not printed again: it may be a secret.
    #[track_caller]
    pub fn assert_absent(&self, text: &str) {
        let found = self.lines().into_iter().find(|line| line.message.contains(text) || line.target.contains(text));
        if let Some(line) = found {
            let shown = line.message.replace(text, "<the text>");
            panic!("a text that must not be logged was: {} {}: {}", line.level, line.target, cut(&shown));
        }
    }

    /// Asserts that a line of this level contains `text`.
    ///
    /// # Panics
    /// With what was logged instead.
    #[track_caller]
    pub fn assert_logged(&self, level: Level, text: &str) {
        assert!(self.has(level, text), "no {level} line contains {text:?}; there are: {}", self.print());
    }

    /// Waits, blocking the thread, until a line of this level contains `text`.
    ///
    /// # Panics
    /// When `deadline` has passed.
    #[track_caller]
    pub fn wait_for_blocking(&self, deadline: Duration, level: Level, text: &str) {
        wait::eventually_blocking(deadline, || self.has(level, text));
    }

    /// Waits until a line of this level contains `text`.
    ///
    /// # Panics
    /// When `deadline` has passed.
    #[track_caller]
    pub fn wait_for(&self, deadline: Duration, level: Level, text: &str) -> impl Future<Output = ()> {
        wait::eventually(deadline, move || self.has(level, text))
    }

    fn has(&self, level: Level, text: &str) -> bool {
        self.lines().iter().any(|line| line.level == level && line.message.contains(text))
    }

    fn covers(&self, line: &LogLine) -> bool {
        line.number >= self.first
            && line.level <= self.at_least
            && self.thread.is_none_or(|thread| thread == line.thread)
            && self.marker.as_ref().is_none_or(|marker| line.message.contains(marker))
    }

    fn print(&self) -> String {
        let lines = self.lines();
        let shown: Vec<String> = lines
            .iter()
            .rev()
            .take(PRINTED_LINES)
            .map(|line| format!("\n  {} {}: {}", line.level, line.target, cut(&line.message)))
            .collect();
        if shown.is_empty() { "none".to_owned() } else { shown.concat() }
    }
}

struct Lines {
    lines: VecDeque<LogLine>,
    next: u64,
}

static LINES: Mutex<Lines> = Mutex::new(Lines { lines: VecDeque::new(), next: 0 });

struct Recorder;

impl Log for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // Formatted before the lock is taken: an argument's Display may log itself.
        let (target, message) = (record.target().to_owned(), record.args().to_string());
        let mut buffer = lines();
        let number = buffer.next;
        buffer.next += 1;
        if buffer.lines.len() == MAX_LINES {
            buffer.lines.pop_front();
        }
        let thread = thread::current().id();
        buffer.lines.push_back(LogLine { level: record.level(), target, message, thread, number });
    }

    fn flush(&self) {}
}

fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let installed = log::set_logger(&Recorder);
        assert!(installed.is_ok(), "the process has a logger already; a test that captures logs must not start one");
        log::set_max_level(LevelFilter::Debug);
    });
}

fn lines() -> MutexGuard<'static, Lines> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(PRINTED_CHARACTERS).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn a_logged_secret_is_found_and_not_printed_again() {
        let logs = LogCapture::start();
        log::debug!("token=capture-s3cret-1");
        let panic = catch_unwind(|| logs.assert_absent("capture-s3cret-1")).unwrap_err();
        let message = panic.downcast::<String>().unwrap();
        assert!(message.contains("token=<the text>"), "{message}");
    }

    #[test]
    fn lines_from_before_the_capture_do_not_count() {
        LogCapture::start();
        log::info!("capture-before");
        LogCapture::start().assert_absent("capture-before");
    }

    #[test]
    fn a_capture_narrows_to_marker_level_and_thread() {
        let logs = LogCapture::start().containing("capture-narrow");
        thread::spawn(|| log::warn!("capture-narrow elsewhere")).join().unwrap();
        log::debug!("capture-narrow here");
        logs.assert_logged(Level::Warn, "elsewhere");
        assert_eq!(logs.lines().len(), 2);
        assert_eq!(logs.at_least(Level::Info).lines().len(), 1);
        assert_eq!(logs.of_this_thread().lines()[0].message, "capture-narrow here");
    }

    #[tokio::test]
    async fn a_line_logged_later_is_waited_for() {
        let logs = LogCapture::start().containing("capture-later");
        thread::spawn(|| log::error!("capture-later"));
        logs.wait_for(Duration::from_secs(5), Level::Error, "later").await;
    }

    #[test]
    #[should_panic(expected = "there are: none")]
    fn a_missing_line_says_what_was_logged_instead() {
        LogCapture::start().containing("capture-never").assert_logged(Level::Warn, "anything");
    }
}
