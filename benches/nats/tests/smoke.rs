//! The benchmark itself works: every scenario runs, and it says what it leaves out. The figures of these small debug runs mean
//! nothing and are not looked at.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const BENCH: &str = env!("CARGO_BIN_EXE_nats-bench");

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

/// A table of each of `scenarios` with these rows, and nothing failed or wrong in it.
#[track_caller]
fn runs_clean(scenarios: &[&str], titles: &[&str], rows: &[&str]) {
    let output = bench(&[scenarios, &["--quick", &eventflux()]].concat());
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    let text = stdout(&output);
    for title in titles {
        let table = text.split(&format!("### {title}")).nth(1).unwrap_or_else(|| panic!("{title} is not in\n{text}"));
        let table = table.split("###").next().unwrap_or_default();
        for row in rows {
            assert!(table.contains(&format!("| {row} ")), "{row} is not in\n{table}");
        }
        assert!(!table.contains("failed"), "{text}");
    }
}

#[test]
fn everything_that_is_published_is_stored_once() {
    runs_clean(
        &["store-memory", "store-file"],
        &["To a stream in memory", "To a stream on disk"],
        &["floor", "floor-ids", "eventflux", "eventflux-4"],
    );
}

#[test]
fn everything_that_is_published_reaches_all_clients_once() {
    runs_clean(
        &["fan-out", "latency"],
        &["From a subject to 20 clients", "20 messages/s from a subject to 20 clients"],
        &["nats-server", "nats-server-tcp", "raw", "channels"],
    );
}

#[test]
fn gateways_lose_nothing_with_a_backplane_and_without() {
    runs_clean(
        &["gateways-fan-out", "gateways-few", "gateways-latency"],
        &["20 clients of a gateway", "1 client of a gateway", "20 messages/s to 20 clients of a gateway"],
        &["one", "two", "one-memory", "embedded"],
    );
}

#[test]
fn a_killed_benchmark_leaves_no_process_behind() {
    let mut runner = Command::new(BENCH)
        .args(["fan-out", "--rows=nats-server", "--subscribers=10", "--saturated-seconds=600"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The server and the crowd.
    wait_until(|| children(runner.id()).len() == 2);
    let children = children(runner.id());
    runner.kill().unwrap();
    runner.wait().unwrap();
    wait_until(|| children.iter().all(|process| stat(*process).is_none_or(|(state, _)| state == "Z")));
}

#[test]
fn what_is_not_installed_is_skipped() {
    let output = bench(&["store-file", "--quick", "--nats=/nowhere", "--rows=floor"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("Skipped floor: there is no nats-server") && text.contains("peers/install nats"), "{text}");
    assert!(text.contains("Skipped store-file: it has no rows here"), "{text}");
}

#[test]
fn a_pipeline_that_does_not_start_fails_the_benchmark() {
    let output = bench(&["store-memory", "--quick", "--rows=eventflux", "--eventflux=/bin/false"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("ended: exit status: 1"), "{}", stderr(&output));
    assert!(stdout(&output).contains("failed"));
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
