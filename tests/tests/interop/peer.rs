//! A running peer: a program or a page that says, line by line, what happens to it.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use eventflux_testkit::wait::POLL_INTERVAL;
use serde_json::Value;
use tempfile::TempDir;

/// How long a step may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a peer may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Messages that go over one wire.
pub(crate) const COUNT: usize = 2_000;
/// How often a message says the same, so that compression has something to do.
const REPEATED: usize = 32;
/// Different phrases at the end of messages, so that compression has something far away to refer to.
const PHRASES: u32 = 40;
/// Letters of a phrase.
const PHRASE_LETTERS: usize = 24;

/// The file where a program with files of its own complains.
pub(crate) const COMPLAINTS: &str = "complaints.txt";

/// Something that runs as a client of our server.
pub(crate) trait ClientProgram {
    /// Connects and sends [`COUNT`] messages, or connects and says what it receives.
    fn client(&self, role: Role, url: &str) -> Peer;

    /// More properties that our server needs to let it in.
    fn properties(&self) -> String {
        String::new()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Send,
    Collect,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Collect => "collect",
        }
    }
}

/// A running peer; it ends with the test.
pub(crate) struct Peer {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// What the child needs while it runs, and [`COMPLAINTS`].
    files: Option<TempDir>,
}

impl Peer {
    pub(crate) fn new(child: Child, lines: mpsc::Receiver<String>, files: Option<TempDir>) -> Self {
        Self { child, lines, files }
    }

    /// The next line the peer says, which has to begin with `prefix`, without it.
    #[track_caller]
    pub(crate) fn expect(&self, prefix: &str) -> String {
        let line = self
            .lines
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|error| panic!("no line that begins with '{prefix}': {error}"));
        line.strip_prefix(prefix).unwrap_or_else(|| panic!("expected '{prefix}', got '{line}'")).to_owned()
    }

    #[track_caller]
    pub(crate) fn expect_all_messages(&self) {
        for number in 1..=COUNT {
            let message: Value = serde_json::from_str(&self.expect("message ")).unwrap();
            assert_eq!(message["n"], number);
            assert_eq!(message["text"], text(number));
        }
    }

    /// Asks it to end, so that it ends what it started and removes what it wrote, and does not take no for an answer.
    fn end(&mut self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").arg(id).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        // It may have ended by itself.
        if !asked || !within(LAST_WORDS, || !matches!(self.child.try_wait(), Ok(None))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
        let Some(files) = &self.files else { return };
        if thread::panicking() {
            let complaints = fs::read_to_string(files.path().join(COMPLAINTS)).unwrap_or_default();
            // There is no desktop, which is no news.
            let news: Vec<&str> = complaints.lines().filter(|line| !line.contains("dbus")).collect();
            eprintln!("the browser complained:\n{}", news.join("\n"));
        }
        // What it started may outlive it by a moment, and write until then.
        within(LAST_WORDS, || fs::remove_dir_all(files.path()).is_ok());
    }
}

/// Whether `done` comes true in time.
fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !done() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
    true
}

/// The size of all messages together.
pub(crate) fn payload_bytes() -> u64 {
    (1..=COUNT).map(|number| format!("{{\"n\":{number},\"text\":\"{}\"}}", text(number)).len() as u64).sum()
}

/// What the peers write into a message.
fn text(number: usize) -> String {
    let mut parts = vec![format!("snowman \u{2603} number {number}"); REPEATED];
    parts.push(phrase(number as u32));
    parts.join(", ")
}

fn phrase(number: u32) -> String {
    let states = std::iter::successors(Some(number % PHRASES + 1), |state| Some(state * 75 % 65_537));
    states.skip(1).take(PHRASE_LETTERS).map(|state| char::from(b'a' + (state % 26) as u8)).collect()
}
