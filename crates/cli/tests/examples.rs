//! The files in `examples` do what they say: every one passes `check`, and those that need nothing else are run.
//!
//! The quickstart is run by the tests of the command line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod support;

use std::fs;

use support::{Running, eventflux, repository};

/// Examples that talk to somebody else; they are only checked.
const NEEDS_OTHERS: [&str; 4] =
    ["authenticate-then-subscribe.sql", "binance.sql", "combined-streams.sql", "udp-to-objects.sql"];

/// Examples that run on their own: what to set so that several tests can run at once, and what standard output shows.
const RUNS: [(&str, &[&str], &str); 5] = [
    ("compressed.sql", &["Served.websocket.listen=127.0.0.1:0"], "quantity"),
    ("dlq.sql", &[], "errorMessage"),
    ("fan-out.sql", &["Alerts.websocket.listen=127.0.0.1:0"], "price"),
    ("first.sql", &[], "fahrenheit"),
    ("nested.sql", &[], "city"),
];

/// Examples that wait for clients: the streams whose address to set, and what standard error says once they listen. What
/// clients get from those in `gateway` is in the tests of clients.
const SERVES: [(&str, &[&str], &str); 5] = [
    ("ingest.sql", &["Received", "Readings"], "/readings"),
    ("gateway/analytics.sql", &["Events", "Metrics"], "[Metrics] serves ws://127.0.0.1:"),
    ("gateway/channels.sql", &["Updates", "Requests", "Answers"], "[Requests] takes messages at ws://127.0.0.1:"),
    ("gateway/dashboard.sql", &["Trades"], "/trades"),
    ("gateway/events.sql", &["Events", "Commands"], "/api/v1/ws"),
];

/// Examples whose run is another test's; those in `nats` are run with a server of NATS.
const RUN_ELSEWHERE: [&str; 8] = [
    "quickstart.sql",
    "nats/events.sql",
    "nats/gateways.sql",
    "nats/orders.sql",
    "nats/peers.sql",
    "nats/quotes.sql",
    "nats/service.sql",
    "nats/trades.sql",
];

/// Folders with examples.
const FOLDERS: [&str; 3] = ["", "gateway/", "nats/"];

#[test]
fn every_example_passes_check() {
    let paths: Vec<_> = names().iter().map(|name| format!("examples/{name}")).collect();
    let mut arguments = vec!["check"];
    arguments.extend(paths.iter().map(String::as_str));
    let output = eventflux(&arguments);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(output.stderr, "", "a warning");
    let all_ok: String = paths.iter().map(|path| format!("{path}: ok\n")).collect();
    assert_eq!(output.stdout, all_ok);
}

#[test]
fn every_example_is_run_or_needs_somebody_else() {
    let run = || RUNS.iter().map(|(name, ..)| name).chain(SERVES.iter().map(|(name, ..)| name));
    let known = || NEEDS_OTHERS.iter().chain(&RUN_ELSEWHERE).chain(run());
    for name in names() {
        assert!(known().any(|known| *known == name), "{name} is in none of the lists of this test");
    }
    for name in known() {
        assert!(names().iter().any(|existing| existing == name), "{name} does not exist");
    }
}

#[test]
fn examples_that_need_nothing_else_show_something() {
    for (name, sets, shown) in RUNS {
        let file = format!("examples/{name}");
        let mut arguments = vec!["run", &*file];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        let mut running = Running::start(&arguments, &[]);
        running.expect_stdout(shown);
        running.signal("INT");
        let output = running.finish();
        assert_eq!(output.code, Some(0), "{name}: {output:?}");
    }
}

#[test]
fn examples_that_wait_for_clients_listen_and_end_when_asked() {
    for (name, streams, said) in SERVES {
        let file = format!("examples/{name}");
        let sets: Vec<_> = streams.iter().map(|stream| format!("{stream}.websocket.listen=127.0.0.1:0")).collect();
        let mut arguments = vec!["run", &*file];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        let mut running = Running::start(&arguments, &[]);
        running.expect_stderr(said);
        running.signal("TERM");
        let output = running.finish();
        assert_eq!(output.code, Some(0), "{name}: {output:?}");
    }
}

#[test]
fn every_example_says_how_to_run_it() {
    for name in names() {
        let text = fs::read_to_string(repository().join("examples").join(&name)).unwrap();
        assert!(text.starts_with("-- "), "{name} has no header");
        assert!(text.contains(&format!("run examples/{name}")), "{name} does not say how to run it");
    }
}

fn names() -> Vec<String> {
    let in_folder = |folder: &'static str| {
        let entries = fs::read_dir(repository().join("examples").join(folder)).unwrap();
        entries.map(move |entry| format!("{folder}{}", entry.unwrap().file_name().to_string_lossy()))
    };
    let mut names: Vec<_> = FOLDERS.into_iter().flat_map(in_folder).filter(|name| name.ends_with(".sql")).collect();
    names.sort();
    names
}
