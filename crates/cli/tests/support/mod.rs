//! Running the binary from tests.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    // This crate's folder is two below the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// What a run of the binary left behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary at the root of the repository, to its end.
pub(crate) fn eventflux(arguments: &[&str]) -> Output {
    Running::start(arguments, &[]).finish()
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The binary while it runs; it is killed when the test ends before it.
pub(crate) struct Running {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

impl Running {
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eventflux"));
        command.args(arguments).envs(environment.iter().copied()).env_remove("RUST_LOG").stdin(Stdio::null());
        Self::spawn(&mut command)
    }

    /// Starts any program at the root of the repository.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.current_dir(repository()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = Lines::read(child.stdout.take().unwrap());
        let stderr = Lines::read(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Waits for a line on standard output that contains `part`.
    pub(crate) fn expect_stdout(&mut self, part: &str) -> String {
        self.stdout.expect(part)
    }

    /// Waits for a line on standard error that contains `part`.
    pub(crate) fn expect_stderr(&mut self, part: &str) -> String {
        self.stderr.expect(part)
    }

    /// What has come on standard output, without waiting.
    pub(crate) fn stdout_so_far(&mut self) -> &str {
        self.stdout.so_far()
    }

    /// What the program reads, if it was started with a pipe.
    pub(crate) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Whether it ends by itself within a while.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// Sends a signal by name: `INT`, `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// Sends a signal again and again until the process has ended.
    pub(crate) fn signal_until_the_end(&mut self, name: &str) {
        let deadline = Instant::now() + DEADLINE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "did not end");
            self.signal(name);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Output {
        let deadline = Instant::now() + DEADLINE;
        let stdout = self.stdout.all(deadline);
        let stderr = self.stderr.all(deadline);
        let code = self.child.wait().unwrap().code();
        Output { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a pipe, read by a thread.
struct Lines {
    lines: mpsc::Receiver<String>,
    seen: String,
}

impl Lines {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { lines, seen: String::new() }
    }

    fn expect(&mut self, part: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                    if line.contains(part) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with '{part}' ({error}); seen:\n{}", self.seen),
            }
        }
    }

    fn so_far(&mut self) -> &str {
        while let Ok(line) = self.lines.try_recv() {
            self.seen.push_str(&line);
            self.seen.push('\n');
        }
        &self.seen
    }

    fn all(&mut self, deadline: Instant) -> String {
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return std::mem::take(&mut self.seen),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("did not end; seen:\n{}", self.seen),
            }
        }
    }
}
