//! The benchmark itself works: it measures, it notices what is wrong, and it leaves nothing behind. The
//! figures of these small debug runs mean nothing and are not looked at.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const BENCH: &str = env!("CARGO_BIN_EXE_pipeline-bench");

/// Longest wait for something that should happen at once.
const DEADLINE: Duration = Duration::from_secs(30);

fn bench(arguments: &[&str]) -> Output {
    Command::new(BENCH).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_programs_written_by_hand_lose_nothing_at_full_speed_and_paced() {
    let output = bench(&[
        "--messages=5000",
        "--rounds=2",
        "--paced=500",
        "--paced-seconds=1",
        "--systems=relay,handwritten,handwritten-serde",
        "--format=markdown",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for expected in ["### Throughput: 5000 messages", "### Latency at 500 messages/s", "| relay ", "| handwritten "] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn a_system_that_neither_filters_nor_casts_fails_the_benchmark() {
    let relay = format!("--command=careless={BENCH} role relay {{feed}} {{out}}");
    let output = bench(&["--messages=5000", "--rounds=1", "--only=throughput", "--systems=relay", &relay]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("careless") && text.contains("NOT CLEAN"), "{text}");
    assert!(text.contains("unexpected, ") && !text.contains(" 0 wrong"), "{text}");
}

#[test]
fn a_system_that_ends_early_is_reported_with_its_last_words() {
    let output = bench(&[
        "--messages=5000",
        "--rounds=1",
        "--only=throughput",
        "--systems=relay",
        "--command=broken=echo no such file >&2; exit 3 # {feed} {out}",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("broken: ended while connecting"), "{text}");
    assert!(text.contains("no such file"), "{text}");
}

#[test]
fn without_its_binary_eventflux_is_skipped_and_the_others_run() {
    let output = bench(&[
        "--messages=5000",
        "--rounds=1",
        "--only=throughput",
        "--systems=relay,eventflux",
        "--eventflux=/nowhere/eventflux",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("Skipped eventflux"));
    assert!(stdout(&output).contains("relay"));
}

#[test]
fn unknown_systems_are_named_with_the_known_ones() {
    let output = bench(&["--systems=relai"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("relai") && text.contains("handwritten"), "{text}");
}

#[test]
fn an_interrupted_benchmark_leaves_no_process_behind() {
    assert_leaves_nothing_behind(Signal::INT, Some(130));
}

#[test]
fn a_killed_benchmark_leaves_no_process_behind() {
    assert_leaves_nothing_behind(Signal::KILL, None);
}

fn assert_leaves_nothing_behind(signal: Signal, exit_code: Option<i32>) {
    let mut runner = Command::new(BENCH)
        .args(["--messages=80000000", "--rounds=1", "--only=throughput"])
        .args(["--systems=relay"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Feeder, collector and system.
    wait_until(|| children_of(&runner).len() == 3);
    let children = children_of(&runner);
    let pid = Pid::from_child(&runner);
    kill_process(pid, signal).unwrap();
    assert_eq!(runner.wait().unwrap().code(), exit_code);
    wait_until(|| children.iter().all(|child| !is_alive(child)));
}

fn children_of(parent: &Child) -> Vec<String> {
    let parent = parent.id().to_string();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|pid| stat(pid).is_some_and(|[_, ppid]| ppid == parent))
        .collect()
}

/// A zombie that nobody reaps is not alive.
fn is_alive(pid: &str) -> bool {
    stat(pid).is_some_and(|[state, _]| state != "Z")
}

/// State and parent of a process; `None` when it is gone.
fn stat(pid: &str) -> Option<[String; 2]> {
    let text = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some([fields.next()?.to_owned(), fields.next()?.to_owned()])
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain");
        std::thread::sleep(Duration::from_millis(5));
    }
}
