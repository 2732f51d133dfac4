//! A pipeline that listens in a process of its own, where memory and file descriptors can be counted.
//!
//! The process is the test's own binary. A file of tests that starts one has this test, which does the work:
//!
//! ```ignore
//! #[test]
//! #[ignore = "started by other tests, as a process of its own"]
//! fn a_process_of_its_own() {
//!     support::child::serve();
//! }
//! ```

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use eventflux_testkit::peer::ScriptedClient;
use eventflux_testkit::wait::eventually_blocking;

use super::raw::Raw;
use super::server::{Bystander, address_of, listening};
use super::{DEADLINE, Pipeline};

/// What the process listens with.
const PROPERTIES: &str = "EVENTFLUX_TEST_CHILD_PROPERTIES";

/// Stands before every line that is for us: the test harness writes to the same output.
const MARK: &str = "@@";

/// The process, with a bystander. Dropping it kills it.
pub struct Process {
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    pub address: SocketAddr,
    bystander: Option<Bystander>,
}

impl Process {
    /// Starts [`listening`] with these properties.
    #[track_caller]
    pub fn start(properties: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "a_process_of_its_own"])
            .env(PROPERTIES, properties)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pipes = Mutex::new((child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap())));
        let mut process = Self { child, pipes, address: ([127, 0, 0, 1], 0).into(), bystander: None };
        process.address = process.ask("address").parse().unwrap();
        let url = format!("ws://{}/in", process.address);
        process.bystander = Some(Bystander::connect(&url, &|url| ScriptedClient::connect(url).blocking()));
        process
    }

    /// A client that may send messages.
    #[track_caller]
    pub fn upgraded(&self) -> Raw {
        Raw::upgraded(self.address, "/in")
    }

    /// The process lives, and the bystander's messages arrive.
    #[track_caller]
    pub fn serves(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "the process has ended");
        self.bystander.as_ref().unwrap().is_served();
    }

    /// This number, sent by somebody else, reaches the bystander.
    #[track_caller]
    pub fn delivers(&self, number: u64) {
        self.bystander.as_ref().unwrap().receives(number);
    }

    /// The value of a metric of one stream.
    #[track_caller]
    pub fn metric(&self, name: &str, stream: &str) -> u64 {
        self.ask(&format!("metric {name} {stream}")).parse().unwrap()
    }

    /// How many connections it ended for this reason.
    #[track_caller]
    pub fn violations(&self, reason: &str) -> u64 {
        self.ask(&format!("violations {reason}")).parse().unwrap()
    }

    /// Nobody is connected at /in but the bystander and `others`.
    #[track_caller]
    pub fn wait_for_clients(&self, others: u64) {
        eventually_blocking(DEADLINE, || self.metric("eventflux_source_connections", "Fed") == others + 1);
    }

    /// How many lines with this text it has logged.
    #[track_caller]
    pub fn logged(&self, text: &str) -> usize {
        self.ask(&format!("logged {text}")).parse().unwrap()
    }

    /// The most memory it has ever had in use, in bytes.
    #[track_caller]
    pub fn peak_bytes(&self) -> u64 {
        self.status("VmHWM:") * 1024
    }

    /// The memory it has in use, in bytes.
    #[track_caller]
    pub fn resident_bytes(&self) -> u64 {
        self.status("VmRSS:") * 1024
    }

    /// Lets it open this many more file descriptors.
    #[track_caller]
    pub fn limit_descriptors(&self, more: usize) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count();
        allow_descriptors(self.child.id(), open + more);
    }

    fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap()
    }

    #[track_caller]
    fn ask(&self, question: &str) -> String {
        let mut pipes = self.pipes.lock().unwrap_or_else(PoisonError::into_inner);
        let (stdin, stdout) = &mut *pipes;
        writeln!(stdin, "{question}").unwrap();
        let mut line = String::new();
        while stdout.read_line(&mut line).unwrap() > 0 {
            if let Some((_, answer)) = line.trim().split_once(MARK) {
                return answer.to_owned();
            }
            line.clear();
        }
        panic!("the process has ended, asked for {question}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets this process hold as many connections as these tests open.
pub fn allow_many_connections() {
    const DESCRIPTORS: usize = 4096;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft = line.split_whitespace().next().unwrap();
    if soft.parse().is_ok_and(|soft: usize| soft < DESCRIPTORS) {
        allow_descriptors(std::process::id(), DESCRIPTORS);
    }
}

#[track_caller]
fn allow_descriptors(process: u32, count: usize) {
    let limit = format!("--nofile={count}:");
    let status = Command::new("prlimit").args(["--pid", &process.to_string(), &limit]).status();
    assert!(status.unwrap().success(), "prlimit {limit}");
}

/// The work of the process: answers questions until nobody asks any more.
pub fn serve() {
    let Ok(properties) = std::env::var(PROPERTIES) else { return };
    let pipeline = Pipeline::start(&listening(&properties));
    let mut output = std::io::stdout();
    for question in std::io::stdin().lines() {
        let question = question.unwrap();
        let answer = match question.split(' ').collect::<Vec<_>>()[..] {
            ["address"] => address_of(&pipeline.flux).to_string(),
            ["metric", name, stream] => pipeline.metric(name, stream).to_string(),
            ["violations", reason] => pipeline.counted("eventflux_websocket_violations_total", reason).to_string(),
            _ => pipeline.logged(question.strip_prefix("logged ").unwrap()).len().to_string(),
        };
        // Not by a macro, whose output the test harness would keep for itself.
        writeln!(output, "{MARK}{answer}").unwrap();
    }
}
