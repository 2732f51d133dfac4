//! `eventflux request` against running pipelines.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[path = "../support/mod.rs"]
mod support;

use std::fs;

use serde_json::Value;
use support::{Output, Running, eventflux};
use tempfile::TempDir;

/// Sends ten events and then nothing, remembers them, and doubles numbers for whoever asks.
const EDGE: &str = r#"
@source(type='generator', generator.rate='1000', generator.count='10', generator.template='{"n":${seq}}', @map(type='json'))
CREATE STREAM Numbers (n BIGINT);

@sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/edge',
      websocket.protocol='federation', websocket.history.events='100', @map(type='json'))
CREATE STREAM Sent (n BIGINT);
INSERT INTO Sent SELECT n FROM Numbers;

-- So that it goes on when the ten have been sent.
@source(type='generator', generator.rate='1', generator.template='{"n":0}', @map(type='json'))
CREATE STREAM Idle (n BIGINT);
@sink(type='blackhole')
CREATE STREAM Nowhere (n BIGINT);
INSERT INTO Nowhere SELECT n FROM Idle;
"#;

/// Answers what it is asked, to those who have a token.
const DOUBLER: &str = r#"
@source(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/ask',
        websocket.protocol='federation', websocket.accept='request', websocket.auth='token',
        websocket.auth.tokens='hunter2=operator', metadata.method='method', metadata.request='request',
        @map(type='json', json.path.number='$.params.number'))
CREATE STREAM Asked (number BIGINT, method STRING, request STRING);

@sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:0', websocket.path='/ask',
      websocket.protocol='federation', websocket.send='reply', websocket.reply='${request}',
      @map(type='json', exclude='request'))
CREATE STREAM Answered (twice BIGINT, request STRING);
INSERT INTO Answered SELECT number * 2 AS twice, request FROM Asked WHERE method = 'double';
"#;

struct Pipeline {
    running: Running,
    url: String,
    _folder: TempDir,
}

impl Pipeline {
    fn start(sql: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("pipeline.sql");
        fs::write(&file, sql).unwrap();
        let mut running = Running::start(&["run", "--no-progress", file.to_str().unwrap()], &[]);
        let line = running.expect_stderr("takes part in links at ");
        let (_, url) = line.split_once("links at ").unwrap();
        Self { running, url: url.trim().to_owned(), _folder: folder }
    }
}

fn edge() -> Pipeline {
    let pipeline = Pipeline::start(EDGE);
    // Those that are remembered, and then those that come: all ten have been sent.
    let output = eventflux(&["request", &pipeline.url, "replay", "--follow", "--count", "10"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    pipeline
}

#[track_caller]
fn json(output: &Output) -> Value {
    assert_eq!(output.code, Some(0), "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

#[test]
fn the_result_is_printed_indented_or_as_it_is() {
    let edge = edge();
    let output = eventflux(&["request", &edge.url, "status"]);
    assert_eq!(json(&output)["throughput"]["unit"], "msg/sec");
    assert!(output.stdout.starts_with("{\n  \"throughput\": {\n    "), "{}", output.stdout);
    let output = eventflux(&["request", &edge.url, "backpressure", "--json", "--param", "rate_limit=100"]);
    assert_eq!(output.stdout, "{\"current_rate\":0,\"adjusted_to\":100}\n");
}

#[test]
fn messages_are_followed_until_there_are_enough() {
    let edge = edge();
    let output = eventflux(&["request", &edge.url, "replay", r#"{"count":3}"#, "--follow", "--count", "3"]);
    assert_eq!((output.code, output.stdout.lines().count()), (Some(0), 3), "{output:?}");
    assert!(output.stdout.lines().all(|line| line.starts_with("{\"n\":")), "{output:?}");
    assert!(output.stderr.contains("\"messages_available\": 3"), "{output:?}");
}

#[test]
fn a_signal_ends_following_and_so_does_the_peer() {
    let mut edge = edge();
    let follow = ["request", edge.url.as_str(), "replay", "--follow"];
    let mut stopped = Running::start(&follow, &[]);
    stopped.expect_stdout("\"n\":");
    stopped.signal("INT");
    assert_eq!(stopped.finish().code, Some(0));
    let mut left = Running::start(&follow, &[]);
    left.expect_stdout("\"n\":");
    edge.running.signal_until_the_end("TERM");
    assert_eq!(left.finish().code, Some(3));
}

#[test]
fn a_pipeline_answers_those_it_lets_in() {
    let doubler = Pipeline::start(DOUBLER);
    let ask = |more: &[&str], environment: &[(&str, &str)]| {
        let arguments = [&["request", &doubler.url, "double", "--param", "number=21"], more].concat();
        Running::start(&arguments, environment).finish()
    };
    let token = [("OPERATOR_TOKEN", "hunter2")];
    assert_eq!(json(&ask(&["--bearer-env", "OPERATOR_TOKEN"], &token))["twice"], 42);
    assert_eq!(json(&ask(&["--header", "Authorization: Bearer ${env:OPERATOR_TOKEN}"], &token))["twice"], 42);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "hunter2\n").unwrap();
    assert_eq!(json(&ask(&["--bearer-file", file.to_str().unwrap()], &[]))["twice"], 42);
    let refused = ask(&["--header", "Authorization: Bearer hunter3"], &[]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("401") && !refused.stderr.contains("hunter"), "{refused:?}");
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let edge = edge();
    let url = edge.url.as_str();
    for (arguments, code, says) in [
        (&["request", url, "dance"][..], 1, "unknown_method"),
        (&["request", url, "replay", "--param", "count=-1"], 1, "invalid"),
        (&["request", url, "status", "[1]"], 2, "JSON object"),
        (&["request", url, "status", "--param", "hunter2"], 2, "KEY=VALUE"),
        (&["request", url, "status", "--header", "hunter2"], 2, "Name: value"),
        (&["request", url, "status", "--set", "websocket.mode=server"], 2, "websocket.mode"),
        (&["request", url, "status", "--bearer-env", "NOBODY_SETS_THIS"], 2, "NOBODY_SETS_THIS"),
        (&["request", url, "status", "--insecure"], 2, "wss://"),
        (&["request", "http://h/", "status"], 2, "ws://"),
        (&["request", url, "status", "--count", "3"], 2, "--follow"),
        (&["request", "ws://127.0.0.1:9/", "status"], 3, "ws://127.0.0.1:9/"),
    ] {
        let output = eventflux(arguments);
        assert_eq!(output.code, Some(code), "{arguments:?}: {output:?}");
        assert!(output.stderr.contains(says), "{arguments:?}: {output:?}");
        assert!(!output.stderr.contains("hunter2") && output.stdout.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let output = eventflux(&["request", "--help"]);
    for part in ["eventflux request ws://", "--follow", "Exit codes:", "  3    "] {
        assert!(output.stdout.contains(part), "{part}: {}", output.stdout);
    }
}
