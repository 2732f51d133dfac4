//! The gateway benchmark itself works: it measures EventFlux in every scenario, and says what it leaves out. The figures of
//! these small debug runs mean nothing and are not looked at.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

const BENCH: &str = env!("CARGO_BIN_EXE_gateway-bench");

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
fn eventflux_loses_nothing_in_any_scenario() {
    // A test of the workspace builds it; one of this package alone does not.
    let binary = Path::new(BENCH).with_file_name("eventflux");
    assert!(binary.is_file(), "there is no {}: run `cargo build -p eventflux` first", binary.display());
    let output = bench(&["--quick", "--programs=us", "--protocols=raw"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for title in [
        "### Fan-out to 20 subscribers",
        "### Fan-out to 2 subscribers",
        "### 20 messages/s to 20 subscribers",
        "### 64 idle connections",
        "### 20 messages/s to 19 subscribers besides frozen ones",
    ] {
        let table = text.split(title).nth(1).unwrap_or_else(|| panic!("{title} is not in\n{text}"));
        let table = table.split("###").next().unwrap_or_default();
        assert!(table.contains("| eventflux raw |"), "{text}");
        assert!(!table.contains('–') && !table.contains("failed"), "{text}");
    }
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
