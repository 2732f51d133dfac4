//! A pipeline in a process of its own, whose environment is its own too. The process is the test's own binary.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use eventflux_testkit::wait::eventually_some_blocking;

use super::support::{DEADLINE, Pipeline};

/// Says to the process that it is one.
const IS_PROCESS: &str = "EVENTFLUX_TEST_GATEWAY_PROCESS";

/// Stands before the line that is for us: the test harness writes to the same output.
const MARK: &str = "@@";

/// A stream that says nothing of how it is served but the protocol and a token.
const SQL: &str = "@sink(type='websocket', websocket.mode='server', websocket.protocol='analytics',
        websocket.auth.tokens='hunter2-token=demo', @map(type='json'))
    CREATE STREAM Events (n BIGINT);";

/// See the module. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    /// Where it serves.
    pub(super) url: String,
}

impl Process {
    #[track_caller]
    pub(super) fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "environment::a_process_of_its_own"])
            .env(IS_PROCESS, "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.into_iter().find_map(|line| line.split_once(MARK).map(|(_, url)| url.to_owned()));
        Self { child, url: url.unwrap_or_else(|| panic!("the process did not start with {environment:?}")) }
    }

    /// The memory it has in use, in bytes.
    #[track_caller]
    pub(super) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "started by other tests, as a process of its own"]
fn a_process_of_its_own() {
    if std::env::var_os(IS_PROCESS).is_none() {
        return;
    }
    let pipeline = Pipeline::start(SQL);
    let look = || pipeline.flux.status()[0].health.detail.clone().filter(|detail| detail.starts_with("ws://"));
    let url = eventually_some_blocking(DEADLINE, look);
    // Not by a macro, whose output the test harness would keep for itself.
    let mut output = std::io::stdout();
    writeln!(output, "{MARK}{}", url.replace("0.0.0.0", "127.0.0.1")).unwrap();
    output.flush().unwrap();
    // Until whoever started it goes.
    let _ = std::io::stdin().read(&mut [0; 1]);
}
