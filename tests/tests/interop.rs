//! Our WebSocket source and sink against software we did not write: the Python library `websockets` and the Node
//! library `ws`, as servers and as clients.
//!
//! The programs are in `tests/interop`; `scripts/test` installs what they need. Without it these tests say so loudly and
//! do nothing, except where the environment variable CI is set: there they fail.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on panics, or says why it does nothing"
)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use eventflux_core::EventFluxContext;
use eventflux_engine::EventFlux;
use eventflux_tests::repository;
use serde_json::Value;

/// How long a step may take before the test fails.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long a pipeline may drain.
const DRAIN: Duration = Duration::from_secs(10);
/// Messages a peer sends.
const COUNT: usize = 2_000;
/// Messages a feeding server sends before it sends its first client away.
const FIRST: usize = 900;

#[test]
fn python_servers_feed_our_source_and_take_from_our_sink() {
    if let Some(language) = Language::python() {
        moves_everything_between_servers(&language, &language);
    }
}

#[test]
fn node_servers_feed_our_source_and_take_from_our_sink() {
    if let Some(language) = Language::node() {
        moves_everything_between_servers(&language, &language);
    }
}

#[test]
fn a_python_client_feeds_our_server_and_a_node_client_takes_from_it() {
    if let (Some(python), Some(node)) = (Language::python(), Language::node()) {
        moves_everything_between_clients(&python, &node);
    }
}

#[test]
fn a_node_client_feeds_our_server_and_a_python_client_takes_from_it() {
    if let (Some(python), Some(node)) = (Language::python(), Language::node()) {
        moves_everything_between_clients(&node, &python);
    }
}

/// Both peers are servers: fragments, pings, a restart of the feed, and a clean close are part of it.
fn moves_everything_between_servers(feeder: &Language, collector: &Language) {
    let feed = feeder.start("server", &["feed", &COUNT.to_string(), &FIRST.to_string()]);
    let collect = collector.start("server", &["collect"]);
    let sql = format!(
        "@source(type='websocket', websocket.url='ws://127.0.0.1:{}/', websocket.reconnect.delay.ms='10', @map(type='json'))
         CREATE STREAM Fed (n BIGINT, text STRING);
         @sink(type='websocket', websocket.url='ws://127.0.0.1:{}/', @map(type='json'))
         CREATE STREAM Collected (n BIGINT, text STRING);
         INSERT INTO Collected SELECT n, text FROM Fed;",
        feed.expect("listening "),
        collect.expect("listening "),
    );
    let mut pipeline = start(&sql);
    assert_eq!(feed.expect("closed "), "1012", "the feed sent its first client away");
    assert_eq!(feed.expect("pong"), "", "our source answered a ping");
    expect_all_messages(&collect);
    let summary = pipeline.stop(DRAIN);
    assert_eq!(feed.expect("closed "), "1000", "our source said goodbye");
    assert_eq!(collect.expect("closed "), "1000", "our sink said goodbye");
    assert_eq!(summary.events_in, COUNT as u64);
    assert_eq!(summary.events_out, COUNT as u64);
    assert_eq!(summary.dropped + summary.failed + summary.undelivered, 0, "{summary}");
}

/// Both peers are clients of one listener of ours.
fn moves_everything_between_clients(sender: &Language, collector: &Language) {
    let port = free_port();
    let sql = format!(
        "@source(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:{port}', websocket.path='/in', @map(type='json'))
         CREATE STREAM Received (n BIGINT, text STRING);
         @sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:{port}', websocket.path='/out', @map(type='json'))
         CREATE STREAM Served (n BIGINT, text STRING);
         INSERT INTO Served SELECT n, text FROM Received;"
    );
    let mut pipeline = start(&sql);
    let collect = collector.start("client", &["collect", &format!("ws://127.0.0.1:{port}/out")]);
    collect.expect("connected");
    let send = sender.start("client", &["send", &format!("ws://127.0.0.1:{port}/in"), &COUNT.to_string()]);
    send.expect("connected");
    assert_eq!(send.expect("closed "), "1000", "our source answered the close");
    expect_all_messages(&collect);
    pipeline.stop(DRAIN);
    assert_eq!(collect.expect("closed "), "1001", "our server said that it goes away");
}

fn expect_all_messages(peer: &Peer) {
    for number in 1..=COUNT {
        let message: Value = serde_json::from_str(&peer.expect("message ")).unwrap();
        assert_eq!(message["n"], number);
        assert_eq!(message["text"], format!("snowman \u{2603} number {number}"));
    }
}

fn start(sql: &str) -> EventFlux {
    let mut context = EventFluxContext::new();
    eventflux_mappers::register(&mut context);
    eventflux_websocket_connector::register(&mut context);
    let mut pipeline = EventFlux::from_sql(sql, &context).unwrap_or_else(|error| panic!("{}", error.render(false)));
    pipeline.start().unwrap();
    pipeline
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An interpreter with the library the peers need.
struct Language {
    interpreter: PathBuf,
    extension: &'static str,
}

impl Language {
    fn python() -> Option<Self> {
        let installed = repository().join("tests/.venv/bin/python");
        let interpreter = if installed.exists() { installed } else { "python3".into() };
        Self::usable(
            interpreter,
            "py",
            "Python with the package websockets",
            &["-c", "import websockets.asyncio.server"],
        )
    }

    fn node() -> Option<Self> {
        let probe = ["--input-type=module", "-e", "import 'ws'"];
        Self::usable("node".into(), "mjs", "Node with the package ws", &probe)
    }

    fn usable(interpreter: PathBuf, extension: &'static str, what: &str, probe: &[&str]) -> Option<Self> {
        let works = Command::new(&interpreter)
            .args(probe)
            .current_dir(repository().join("tests"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if works {
            return Some(Self { interpreter, extension });
        }
        assert!(std::env::var_os("CI").is_none(), "{what} is missing: run scripts/test");
        eprintln!("\n*** NOT TESTED: {what} is missing. Run scripts/test, which installs it. ***\n");
        None
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Peer {
        let script = repository().join(format!("tests/interop/{program}.{}", self.extension));
        let mut child = Command::new(&self.interpreter)
            .arg(script)
            .args(arguments)
            .env("PYTHONUTF8", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Peer { child, lines }
    }
}

/// A running peer; it ends with the test.
struct Peer {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Peer {
    /// The next line the peer prints, which has to begin with `prefix`, without it.
    fn expect(&self, prefix: &str) -> String {
        let line = self
            .lines
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|error| panic!("no line that begins with '{prefix}': {error}"));
        line.strip_prefix(prefix).unwrap_or_else(|| panic!("expected '{prefix}', got '{line}'")).to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
