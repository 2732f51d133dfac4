//! How the listener treats its clients, and when it is there.

use std::io::Write;
use std::net::{TcpListener, TcpStream};

use serde_json::json;

use super::http::{ask, connect, get, read_to_the_end};
use super::support::{Running, eventflux};
use super::{Observed, address, endless};

/// What the listener allows.
const MAX_CONNECTIONS: usize = 64;

#[test]
fn what_is_not_understood_is_answered_with_what_is() {
    let observed = Observed::run(&[&endless("type='blackhole'")], &[]);
    let host = observed.address;
    let request = |head: &str, more: &str| ask(host, &format!("{head} HTTP/1.1\r\nHost: {host}\r\n{more}"));
    let post = request("POST /metrics", "Content-Length: 11\r\n\r\nhello world");
    assert_eq!((post.status, &*post.headers["allow"]), (405, "GET, HEAD"));
    let missing = request("GET /nothing", "\r\n");
    assert_eq!((missing.status, &missing.json()["paths"]), (404, &json!(["/metrics", "/health", "/ready", "/stats"])));
    assert_eq!(request("GET /health", "Content-Length: 2\r\n\r\n{}").status, 413);
    assert_eq!(request("GET /health", &format!("X: {}\r\n\r\n", "x".repeat(64 * 1024))).status, 431);
    assert_eq!(request("GET /health", &"X: y\r\n".repeat(1000)).status, 431);
    assert_eq!(ask(host, "GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 403);
    let head = request("HEAD /health", "\r\n");
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_ne!(head.headers["content-length"], "0");
}

#[test]
fn clients_that_say_nothing_are_hung_up_on_and_do_not_keep_others_out() {
    let observed = Observed::run(&[&endless("type='blackhole'")], &[]);
    let mut silent: Vec<_> = (0..MAX_CONNECTIONS).map(|_| connect(observed.address)).collect();
    silent[0].write_all(b"GET /health HT").unwrap();
    // It waits until the first of them are closed.
    assert_eq!(observed.get("/health").status, 200);
    for stream in silent {
        assert_eq!(read_to_the_end(stream), "");
    }
    let page = super::exposition::parse(&observed.get("/metrics").body).unwrap();
    let late = page.value("eventflux_admin_failures_total", &[("reason", "late")]);
    assert_eq!(late, Some(MAX_CONNECTIONS as f64));
}

#[test]
fn while_the_process_drains_it_is_not_ready_and_still_answers() {
    // A server that accepts and never answers: what was published waits for it until the drain timeout.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let sink = format!("type='websocket', websocket.url='ws://{}/'", silent.local_addr().unwrap());
    let sql = endless(&sink).replace("CREATE STREAM Kept", "@sink(type='log', @map(type='json'))\nCREATE STREAM Kept");
    let mut observed = Observed::run(&[&sql], &["--drain-timeout", "10m"]);
    let (_client, _) = silent.accept().unwrap();
    observed.running.expect_stdout("0");
    observed.running.signal("INT");
    let ready = observed.get_until("/ready", |answer| answer.json()["stopping"] == true);
    assert_eq!((ready.status, &ready.json()["ready"]), (503, &json!(false)));
    let health = observed.get_until("/health", |answer| answer.json()["pipelines"][0]["state"] == "stopping");
    assert_eq!(health.status, 200);
    let page = super::exposition::parse(&observed.get("/metrics").body).unwrap();
    let labels = [("pipeline", &*observed.files[0]), ("state", "stopping")];
    assert_eq!(page.value("eventflux_pipeline_state", &labels), Some(1.0));
    observed.running.signal_until_the_end("INT");
}

#[test]
fn the_listener_ends_with_the_process() {
    let observed = Observed::run(&[&endless("type='blackhole'")], &[]);
    observed.get_until("/ready", |answer| answer.status == 200);
    observed.running.signal("TERM");
    let address = observed.address;
    assert_eq!(observed.running.finish().code, Some(0));
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn the_address_may_come_from_the_environment_and_the_command_line_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("endless.sql");
    std::fs::write(&file, endless("type='blackhole'")).unwrap();
    let file = file.display().to_string();
    let mut running = Running::start(&["run", &file], &[("EVENTFLUX_ADMIN", ":0")]);
    let at = address(&running.expect_stderr("admin listener at "));
    assert!(at.ip().is_loopback(), "{at}");
    assert_eq!(get(at, "/health").status, 200);
    for environment in ["", "127.0.0.1:1"] {
        let mut off = Running::start(
            &["run", "--admin", "off", "--progress-interval", "10ms", &file],
            &[("EVENTFLUX_ADMIN", environment)],
        );
        off.expect_stderr("/s)");
        off.signal("INT");
        let output = off.finish();
        assert!(output.code == Some(0) && !output.stderr.contains("admin listener"), "{output:?}");
    }
}

#[test]
fn a_listener_that_other_machines_can_reach_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("endless.sql");
    std::fs::write(&file, endless("type='blackhole'")).unwrap();
    let mut running = Running::start(&["run", "--admin", "0.0.0.0:0", &file.display().to_string()], &[]);
    let line = running.expect_stderr("answers other machines");
    assert!(line.contains("WARN"), "{line}");
}

#[test]
fn an_address_that_cannot_be_used_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = eventflux(&["run", "--admin", &address, "examples/quickstart.sql"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(&format!("the admin listener cannot listen at {address}: ")), "{output:?}");
    for wrong in ["9090", "localhost:http", "::1:9090"] {
        let output = eventflux(&["run", "--admin", wrong, "examples/quickstart.sql"]);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains("--admin"), "{output:?}");
    }
}
