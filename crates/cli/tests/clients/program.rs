//! A running client program that takes commands: see `tests/clients/run/commands.mjs`.

use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::support::{DEADLINE, Running};

/// How long it may take to end.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A program in Node or a page in Chromium; it ends with the test.
pub(crate) struct Program {
    running: Running,
    commands: Option<ChildStdin>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut running = Running::spawn(command.stdin(Stdio::piped()));
        let commands = running.take_stdin();
        Self { running, commands }
    }

    /// Waits for the program to say something that contains `part`.
    pub(crate) fn expect(&mut self, part: &str) -> String {
        self.running.expect_stdout(part)
    }

    /// Waits until it has said so for `count` times.
    pub(crate) fn expect_times(&mut self, part: &str, count: usize) {
        for _ in 0..count {
            self.expect(part);
        }
    }

    /// The value of an expression in the program's scope.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        self.command(&json!({ "evaluate": expression }))
    }

    /// Waits until an expression in the page is true.
    pub(crate) fn until(&mut self, expression: &str) {
        self.command(&json!({ "until": expression }));
    }

    /// Types into an element of the page, and presses Enter.
    pub(crate) fn enter(&mut self, selector: &str, text: &str) {
        self.command(&json!({ "type": [selector, text] }));
    }

    fn command(&mut self, command: &Value) -> Value {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let deadline = Instant::now() + DEADLINE;
        loop {
            let line = self.running.expect_stderr("");
            if let Some(answer) = line.strip_prefix("answer ") {
                return serde_json::from_str(answer).unwrap();
            }
            assert!(!line.starts_with("failed "), "{command}: {line}");
            assert!(Instant::now() < deadline, "{command}: no answer");
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The end of its commands, upon which it ends what it started, a browser for one.
        self.commands = None;
        if !self.running.ends_within(LAST_WORDS) {
            eprintln!("a client program did not end by itself, and is killed");
        }
    }
}
