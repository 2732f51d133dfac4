//! The wire benchmark itself works: every system delivers every message in every scenario, and a failure is told. The
//! figures of these small debug runs mean nothing and are not looked at.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

const BENCH: &str = env!("CARGO_BIN_EXE_wire-bench");

/// Systems in each scenario that exchanges messages or holds connections, compressed or not.
const SYSTEMS: [&str; 6] = ["floor", "eventflux", "tokio-tungstenite", "fastwebsockets", "tokio-websockets", "yawc"];

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
fn every_system_delivers_every_message_in_every_scenario() {
    let output = bench(&["--quick", "--format=markdown"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(!text.contains('–'), "a figure is missing in\n{text}");
    let tables: Vec<&str> = text.split("\n### ").skip(1).collect();
    assert_eq!(tables.len(), 9, "{text}");
    for table in tables {
        let rows: Vec<&str> = table.lines().filter_map(|line| line.split('|').nth(1).map(str::trim)).collect();
        let expected: &[&str] = match table {
            idle if idle.contains("compression used") => &["eventflux", "yawc"],
            deflate if deflate.contains("permessage-deflate") => &["floor", "eventflux", "yawc"],
            _ => &SYSTEMS,
        };
        // The heading and the rule come first.
        assert_eq!(rows[2..], *expected, "{table}");
    }
}

#[test]
fn a_run_that_cannot_be_made_fails_the_benchmark_and_says_why() {
    // More open files than any machine allows.
    let output = bench(&["--only=idle", "--systems=floor", "--connections=4000000000"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("floor FAILED") && text.contains("--connections"), "{text}");
}

#[test]
fn a_size_of_nothing_is_refused() {
    let output = bench(&["--messages=0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--messages"), "{}", stderr(&output));
}
