//! The gateway benchmark itself works: it measures EventFlux in every scenario, and says what it leaves out. The figures of
//! these small debug runs mean nothing and are not looked at.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const BENCH: &str = env!("CARGO_BIN_EXE_gateway-bench");

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
fn eventflux_loses_nothing_in_any_scenario_and_protocol() {
    let output = bench(&["--quick", "--programs=us", &eventflux()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for (title, protocols) in [
        ("### Fan-out to 20 subscribers", &["raw", "channels", "analytics", "events"][..]),
        ("### Fan-out to 2 subscribers", &["raw", "channels", "analytics", "events"]),
        ("### 20 messages/s to 20 subscribers", &["raw", "channels", "analytics", "events"]),
        ("### 64 idle connections", &["raw", "channels", "analytics", "events"]),
        ("### Filters, one of them matching", &["analytics"]),
        ("### Patterns, one of them matching", &["events"]),
        ("### 20 messages/s to 19 subscribers besides frozen ones", &["raw", "channels", "analytics", "events"]),
    ] {
        let table = text.split(title).nth(1).unwrap_or_else(|| panic!("{title} is not in\n{text}"));
        let table = table.split("###").next().unwrap_or_default();
        for protocol in protocols {
            assert!(table.contains(&format!("| eventflux {protocol} ")), "{text}");
        }
        assert!(!table.contains('–') && !table.contains("failed"), "{text}");
    }
}

#[test]
fn a_killed_benchmark_leaves_no_process_behind() {
    let mut runner = Command::new(BENCH)
        .args(["latency", "--programs=us", "--protocols=raw", "--paced-seconds=600", &eventflux()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The crowd, a guard, and the gateway itself.
    wait_until(|| descendants(runner.id()).len() == 3);
    let descendants = descendants(runner.id());
    runner.kill().unwrap();
    runner.wait().unwrap();
    wait_until(|| descendants.iter().all(|process| stat(*process).is_none_or(|(state, _)| state == "Z")));
}

#[test]
fn a_program_that_is_not_installed_is_skipped() {
    let output = bench(&["latency", "--quick", "--programs=nats", "--peers=/nowhere"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("Skipped nats: there is no /nowhere/") && text.contains("peers/install nats"), "{text}");
    assert!(text.contains("Skipped latency: no program takes part"), "{text}");
}

#[test]
fn a_scenario_without_its_protocol_is_skipped() {
    let output = bench(&["filters", "--quick", "--protocols=raw"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(text.contains("Skipped filters") && text.contains("--protocols analytics"), "{text}");
}

#[test]
fn a_gateway_that_does_not_start_fails_the_benchmark_with_its_last_words() {
    let output = bench(&["fan-out-100", "--quick", "--programs=us", "--eventflux=/bin/false"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("eventflux raw: ended: exit status: 1"), "{}", stderr(&output));
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

fn descendants(process: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children: Vec<u32> = all.filter(|pid| stat(*pid).is_some_and(|(_, parent)| parent == process)).collect();
    let further: Vec<u32> = children.iter().flat_map(|child| descendants(*child)).collect();
    [children, further].concat()
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
