//! Libraries of other languages, in programs that are servers or clients.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use eventflux_testkit::proxy::ChaosProxy;
use eventflux_tests::repository;

use crate::peer::{COUNT, ClientProgram, Peer, Role};
use crate::wire::Wire;
use crate::{DRAIN, free_port, missing, start, works};

/// Messages a feeding server sends before it sends its first client away.
const FIRST: usize = 900;

#[test]
fn python_servers_feed_our_source_and_take_from_our_sink() {
    with_python(|python| moves_everything_between_servers(python, Wire::Plain));
}

#[test]
fn python_servers_send_and_take_compressed_messages() {
    with_python(|python| Wire::COMPRESSED.map(|wire| moves_everything_between_servers(python, wire)));
}

#[test]
fn node_servers_feed_our_source_and_take_from_our_sink() {
    with_node(|node| moves_everything_between_servers(node, Wire::Plain));
}

#[test]
fn node_servers_send_and_take_compressed_messages() {
    with_node(|node| Wire::COMPRESSED.map(|wire| moves_everything_between_servers(node, wire)));
}

#[test]
fn a_python_client_feeds_our_server_and_a_node_client_takes_from_it() {
    with_both(|python, node| moves_everything_between_clients(python, node, Wire::Plain));
}

#[test]
fn a_python_client_sends_compressed_messages_and_a_node_client_takes_them() {
    with_both(|python, node| Wire::COMPRESSED.map(|wire| moves_everything_between_clients(python, node, wire)));
}

#[test]
fn a_node_client_feeds_our_server_and_a_python_client_takes_from_it() {
    with_both(|python, node| moves_everything_between_clients(node, python, Wire::Plain));
}

#[test]
fn a_node_client_sends_compressed_messages_and_a_python_client_takes_them() {
    with_both(|python, node| Wire::COMPRESSED.map(|wire| moves_everything_between_clients(node, python, wire)));
}

/// Both peers are servers: fragments, pings, a restart of the feed, and a clean close are part of it.
fn moves_everything_between_servers(language: &Language, wire: Wire) {
    let feed = language.start("server", &["feed", &COUNT.to_string(), &FIRST.to_string()]);
    let collect = language.start("server", &["collect"]);
    let [feed_proxy, collect_proxy] = [&feed, &collect].map(|server| {
        let port = server.expect("listening ").parse().unwrap();
        ChaosProxy::start(([127, 0, 0, 1], port).into())
    });
    let sql = format!(
        "@source(type='websocket', websocket.url='ws://{}/', websocket.reconnect.delay.ms='10', {properties}, @map(type='json'))
         CREATE STREAM Fed (n BIGINT, text STRING);
         @sink(type='websocket', websocket.url='ws://{}/', {properties}, @map(type='json'))
         CREATE STREAM Collected (n BIGINT, text STRING);
         INSERT INTO Collected SELECT n, text FROM Fed;",
        feed_proxy.address(),
        collect_proxy.address(),
        properties = wire.properties(),
    );
    let mut pipeline = start(&sql);
    wire.check_answer_to_us(&feed.expect("extensions "));
    assert_eq!(feed.expect("closed "), "1012", "the feed sent its first client away");
    wire.check_answer_to_us(&feed.expect("extensions "));
    assert_eq!(feed.expect("pong"), "", "our source answered a ping");
    wire.check_answer_to_us(&collect.expect("extensions "));
    collect.expect_all_messages();
    wire.check_traffic(feed_proxy.traffic().to_client_bytes);
    wire.check_traffic(collect_proxy.traffic().to_upstream_bytes);
    let summary = pipeline.stop(DRAIN);
    assert_eq!(feed.expect("closed "), "1000", "our source said goodbye");
    assert_eq!(collect.expect("closed "), "1000", "our sink said goodbye");
    assert_eq!(summary.events_in, COUNT as u64);
    assert_eq!(summary.events_out, COUNT as u64);
    assert_eq!(summary.dropped + summary.failed + summary.undelivered, 0, "{summary}");
}

/// Both peers are clients of one listener of ours.
pub(crate) fn moves_everything_between_clients(sender: &dyn ClientProgram, collector: &dyn ClientProgram, wire: Wire) {
    let port = free_port();
    let sql = format!(
        "@source(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:{port}', websocket.path='/in', {properties} {sender_needs}, @map(type='json'))
         CREATE STREAM Received (n BIGINT, text STRING);
         @sink(type='websocket', websocket.mode='server', websocket.listen='127.0.0.1:{port}', websocket.path='/out', {queue}, {properties} {collector_needs}, @map(type='json'))
         CREATE STREAM Served (n BIGINT, text STRING);
         INSERT INTO Served SELECT n, text FROM Received;",
        // All messages may wait for a slow client.
        queue = "websocket.client.queue.bytes='16MiB'",
        properties = wire.properties(),
        sender_needs = sender.properties(),
        collector_needs = collector.properties(),
    );
    let mut pipeline = start(&sql);
    let [send_proxy, collect_proxy] = [(); 2].map(|()| ChaosProxy::start(([127, 0, 0, 1], port).into()));
    let collect = collector.client(Role::Collect, &format!("ws://{}/out", collect_proxy.address()));
    wire.check_our_answer(&collect.expect("extensions "));
    collect.expect("connected");
    let send = sender.client(Role::Send, &format!("ws://{}/in", send_proxy.address()));
    wire.check_our_answer(&send.expect("extensions "));
    send.expect("connected");
    assert_eq!(send.expect("closed "), "1000", "our source answered the close");
    collect.expect_all_messages();
    wire.check_traffic(send_proxy.traffic().to_upstream_bytes);
    wire.check_traffic(collect_proxy.traffic().to_client_bytes);
    pipeline.stop(DRAIN);
    assert_eq!(collect.expect("closed "), "1001", "our server said that it goes away");
}

fn with_python<T>(test: impl FnOnce(&Language) -> T) {
    if let Some(python) = Language::python() {
        test(&python);
    }
}

fn with_node<T>(test: impl FnOnce(&Language) -> T) {
    if let Some(node) = Language::node() {
        test(&node);
    }
}

fn with_both<T>(test: impl FnOnce(&Language, &Language) -> T) {
    with_python(|python| with_node(|node| test(python, node)));
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
        let probe = ["-c", "import websockets.asyncio.server"];
        Self::usable(interpreter, "py", "Python with the package websockets", &probe)
    }

    fn node() -> Option<Self> {
        let probe = ["--input-type=module", "-e", "import 'ws'"];
        Self::usable("node".into(), "mjs", "Node with the package ws", &probe)
    }

    fn usable(interpreter: PathBuf, extension: &'static str, what: &str, probe: &[&str]) -> Option<Self> {
        if works(&interpreter, probe) {
            return Some(Self { interpreter, extension });
        }
        missing(what);
        None
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Peer {
        let script = repository().join(format!("tests/interop/{program}.{}", self.extension));
        let mut child = Command::new(&self.interpreter)
            .arg(script)
            .args(arguments)
            .env("PYTHONUTF8", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Peer::new(child, lines, None)
    }
}

impl ClientProgram for Language {
    fn client(&self, role: Role, url: &str) -> Peer {
        self.start("client", &[role.name(), url, &COUNT.to_string()])
    }
}
