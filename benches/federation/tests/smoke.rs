//! The federation benchmark itself works: every scenario runs, and it says what it leaves out. The figures of these small
//! debug runs mean nothing and are not looked at.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const BENCH: &str = env!("CARGO_BIN_EXE_link-bench");

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

/// Every system and scenario without a broker; a table of each, and nothing failed or wrong in it.
#[track_caller]
fn runs_clean(arguments: &[&str], titles: &[&str]) -> Output {
    let output = bench(&[arguments, &["--quick", "--nats=/nowhere"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(titles.iter().all(|title| text.contains(&format!("### {title}"))), "{text}");
    assert!(!text.contains("failed"), "{text}");
    output
}

#[test]
fn every_system_carries_all_messages_in_order() {
    let titles = ["One link, messages published one by one", "One link, 100 messages", "One link, 1,000 messages"];
    runs_clean(&["batch1", "batch100", "batch1000"], &titles);
}

#[test]
fn they_do_whichever_end_listens() {
    let output = runs_clean(&["batch100", "--sender-listens"], &["One link, 100 messages"]);
    let text = stderr(&output);
    assert!(text.contains("Skipped plain: a sink that listens waits only for receivers that acknowledge"), "{text}");
}

#[test]
fn cuts_and_a_receiver_that_takes_nothing_lose_nothing() {
    runs_clean(
        &["cuts", "memory", "brokers"],
        &["A link through a proxy", "A receiver that takes", "Links and a broker"],
    );
}

#[test]
fn pipelines_are_linked_and_answer() {
    runs_clean(
        &["requests", "end-to-end", &eventflux()],
        &["Requests, 100 a second", "From a generator to a blackhole"],
    );
}

#[test]
fn a_killed_benchmark_leaves_no_process_behind() {
    let mut runner = Command::new(BENCH)
        .args(["batch1", "--rows=link", "--messages=1000000000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until(|| children(runner.id()).len() == 2);
    let children = children(runner.id());
    runner.kill().unwrap();
    runner.wait().unwrap();
    wait_until(|| children.iter().all(|process| stat(*process).is_none_or(|(state, _)| state == "Z")));
}

#[test]
fn what_is_not_installed_is_skipped() {
    let output = bench(&["brokers", "--quick", "--nats=/nowhere", "--rows=jetstream"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("Skipped jetstream: there is no /nowhere") && text.contains("peers/install nats"), "{text}");
    assert!(text.contains("Skipped brokers: it has no rows here"), "{text}");
}

#[test]
fn a_pipeline_that_does_not_start_fails_the_benchmark() {
    let output = bench(&["requests", "--quick", "--rows=status", "--eventflux=/bin/false"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("ended: exit status: 1"), "{}", stderr(&output));
}

#[test]
fn a_size_of_nothing_is_refused() {
    let output = bench(&["--rounds=0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--rounds 0: give 1 or more"), "{}", stderr(&output));
}

/// The option that names the binary. A test of the workspace builds it; one of this package alone does not.
fn eventflux() -> String {
    let binary = Path::new(BENCH).with_file_name("eventflux");
    assert!(binary.is_file(), "there is no {}: run `cargo build -p eventflux` first", binary.display());
    format!("--eventflux={}", binary.display())
}

fn children(process: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(|pid| stat(*pid).is_some_and(|(_, parent)| parent == process)).collect()
}

/// State and parent of a process; `None` when it is gone.
fn stat(process: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn wait_until(condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "waited in vain");
        thread::sleep(Duration::from_millis(5));
    }
}
