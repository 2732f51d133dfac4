//! A child process of a run. None outlives its handle: dropping it kills the child's whole process
//! group.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::control::{Event, GO};
use crate::error::BenchError;

/// How long the end of a child's standard error is awaited after the child has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Lines of a child's standard error that are kept for an error message.
const KEPT_STDERR_LINES: usize = 12;

/// A running child, the leader of its own process group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    group: Pid,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Arc<Mutex<VecDeque<String>>>,
    /// Reads standard error to its end.
    keeper: JoinHandle<()>,
}

impl Process {
    /// Starts `command`; `name` is what messages call it.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(name: &str, mut command: Command) -> Result<Self, BenchError> {
        let mut child = command
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(BenchError::io(format!("starting {name}")))?;
        let (Some(group), Some(stdin), Some(stdout), Some(stderr)) = (
            child.id().and_then(|id| Pid::from_raw(id.cast_signed())),
            child.stdin.take(),
            child.stdout.take(),
            child.stderr.take(),
        ) else {
            return Err(BenchError::Protocol(format!("{name} ended at once")));
        };
        let (stderr, keeper) = keep_last_lines(stderr);
        Ok(Self { name: name.to_owned(), child, group, stdin, stdout: BufReader::new(stdout).lines(), stderr, keeper })
    }

    /// The process group, for measuring it.
    #[must_use]
    pub fn group(&self) -> Pid {
        self.group
    }

    /// The last lines of standard error.
    #[must_use]
    pub fn last_words(&self) -> String {
        let lines = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        Vec::from_iter(lines.iter().map(String::as_str)).join("\n")
    }

    /// The last lines of standard error of a process that has ended: waits until all of them are read, or for
    /// a second when a child of its own holds the pipe open.
    pub async fn final_words(&mut self) -> String {
        if !self.keeper.is_finished() {
            let _ = timeout(LAST_WORDS, &mut self.keeper).await;
        }
        self.last_words()
    }

    /// Opens the child's gate.
    ///
    /// # Errors
    /// When the child has gone.
    pub async fn go(&mut self) -> Result<(), BenchError> {
        self.stdin.write_all(GO.as_bytes()).await.map_err(BenchError::io(format!("commanding the {}", self.name)))
    }

    /// The next line of standard output.
    ///
    /// # Errors
    /// When the child ends; with its last words.
    pub async fn next_line(&mut self) -> Result<String, BenchError> {
        let line = self.stdout.next_line().await.map_err(BenchError::io(format!("listening to the {}", self.name)))?;
        let Some(line) = line else {
            let words = self.final_words().await;
            return Err(BenchError::Protocol(format!("the {} ended: {words}", self.name)));
        };
        Ok(line)
    }

    /// The next event of a feeder or collector.
    ///
    /// # Errors
    /// When the child reports a failure, ends, or does not speak the line protocol.
    pub async fn next_event(&mut self) -> Result<Event, BenchError> {
        let line = self.next_line().await?;
        match serde_json::from_str(&line) {
            Ok(Event::Failed { reason }) => Err(BenchError::Protocol(format!("{}: {reason}", self.name))),
            Ok(event) => Ok(event),
            Err(error) => Err(BenchError::Protocol(format!(
                "the {} said something that is no event ({error}): {line}",
                self.name
            ))),
        }
    }

    /// Reads standard output to its end and throws it away; for systems, which may print there.
    /// Returns when the process has ended.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn drain_until_exit(&mut self) -> Result<ExitStatus, BenchError> {
        while let Ok(Some(_)) = self.stdout.next_line().await {}
        self.wait().await
    }

    /// Interrupts the group (as Ctrl-C would), and kills it when it has not ended within `deadline`.
    /// Returns the status of an orderly end, `None` when it had to be killed.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn interrupt(&mut self, deadline: Duration) -> Result<Option<ExitStatus>, BenchError> {
        // An error means that the group has ended already.
        let _ = kill_process_group(self.group, Signal::INT);
        match timeout(deadline, self.drain_until_exit()).await {
            Ok(status) => status.map(Some),
            Err(_) => {
                let _ = kill_process_group(self.group, Signal::KILL);
                self.wait().await.map(|_| None)
            }
        }
    }

    async fn wait(&mut self) -> Result<ExitStatus, BenchError> {
        self.child.wait().await.map_err(BenchError::io(format!("waiting for {}", self.name)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Once the leader is reaped its number could belong to others; what it left behind is not
        // ours to guess.
        if self.child.id().is_some() {
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }
}

/// Does `work` unless the runner is interrupted (SIGINT) or told to end (SIGTERM); `None` then. The
/// processes that `work` holds are killed as it is dropped.
///
/// # Errors
/// When the signals cannot be watched.
pub async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Result<Option<T>, BenchError> {
    let mut interrupt = watch(SignalKind::interrupt())?;
    let mut terminate = watch(SignalKind::terminate())?;
    tokio::select! {
        result = work => Ok(Some(result)),
        _ = interrupt.recv() => Ok(None),
        _ = terminate.recv() => Ok(None),
    }
}

fn watch(kind: SignalKind) -> Result<tokio::signal::unix::Signal, BenchError> {
    signal(kind).map_err(BenchError::io("watching for signals"))
}

fn keep_last_lines(stderr: ChildStderr) -> (Arc<Mutex<VecDeque<String>>>, JoinHandle<()>) {
    let kept = Arc::new(Mutex::new(VecDeque::new()));
    let keeper = Arc::clone(&kept);
    let reader = tokio::spawn(async move {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut kept = keeper.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT_STDERR_LINES {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    });
    (kept, reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::test_kill_process_group;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn dropping_the_handle_kills_the_whole_group() {
        let mut process = Process::spawn("shell", shell("sleep 600 & echo started; wait")).unwrap();
        let group = process.group();
        process.stdout.next_line().await.unwrap().unwrap();
        drop(process);
        let gone = async {
            while test_kill_process_group(group).is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_interrupt_is_killed() {
        let script = "trap '' INT; echo started; while :; do sleep 0.05; done";
        let mut process = Process::spawn("shell", shell(script)).unwrap();
        process.stdout.next_line().await.unwrap().unwrap();
        let status = process.interrupt(Duration::from_millis(50)).await.unwrap();
        assert_eq!(status, None);
    }

    #[tokio::test]
    async fn last_words_are_the_end_of_standard_error() {
        let script = "for i in $(seq 100); do echo line $i >&2; done";
        let mut process = Process::spawn("shell", shell(script)).unwrap();
        process.drain_until_exit().await.unwrap();
        let heard = async {
            while !process.last_words().ends_with("line 100") {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), heard).await.unwrap();
        assert_eq!(process.last_words().lines().count(), KEPT_STDERR_LINES);
    }

    #[tokio::test]
    async fn a_child_that_speaks_no_events_is_an_error() {
        let mut process = Process::spawn("shell", shell("echo hello")).unwrap();
        let error = process.next_event().await.unwrap_err().to_string();
        assert!(error.contains("hello"), "{error}");
    }
}
