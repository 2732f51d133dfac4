//! The connector of `docs/writing-a-connector.md` keeps the contract.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use eventflux_core::{EventFluxContext, SinkFactory, SourceFactory};
use eventflux_engine::EventFlux;
use eventflux_testkit::contract::{self, Capabilities, Peer, SinkHarness, SinkPeer, SourceHarness, SourcePeer};
use eventflux_testkit::wait::eventually_blocking;
use eventflux_tests::line_connector::{self, LineFileFactory, TcpLinesFactory};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// How long a step may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;
/// Pause of the server between two looks for a new connection.
const POLL: Duration = Duration::from_millis(2);

#[test]
fn the_source_keeps_the_contract() {
    contract::source(Box::new(Lines));
}

#[test]
fn the_sink_keeps_the_contract() {
    contract::sink(Box::new(Files));
}

#[test]
fn both_work_in_a_pipeline() {
    let (server, folder) = (LineServer::start(), TempDir::new().unwrap());
    let path = folder.path().join("hot.jsonl");
    let mut context = EventFluxContext::new();
    eventflux_mappers::register(&mut context);
    line_connector::register(&mut context);
    let sql = format!(
        "@source(type='tcp-lines', tcp-lines.address='{}', @map(type='json'))
         CREATE STREAM Readings (sensor STRING, celsius DOUBLE);
         @sink(type='line-file', line-file.path='{}', @map(type='json'))
         CREATE STREAM Hot (sensor STRING, celsius DOUBLE);
         INSERT INTO Hot SELECT sensor, celsius FROM Readings WHERE celsius > 30;",
        server.address,
        path.display()
    );
    let mut pipeline = EventFlux::from_sql(&sql, &context).unwrap();
    pipeline.start().unwrap();
    eventually_blocking(DEADLINE, || server.connections() == 1);
    server.send(&[br#"{"sensor":"cellar","celsius":9.5}"#.to_vec(), br#"{"sensor":"roof","celsius":41.5}"#.to_vec()]);
    eventually_blocking(DEADLINE, || fs::metadata(&path).is_ok_and(|metadata| metadata.len() > 0));
    pipeline.stop(DEADLINE);
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"sensor\":\"roof\",\"celsius\":41.5}\n");
}

struct Lines;

impl SourceHarness for Lines {
    fn factory(&self) -> &dyn SourceFactory {
        &TcpLinesFactory
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::network()
    }

    fn peer(&self) -> Box<dyn SourcePeer> {
        Box::new(LineServer::start())
    }
}

/// A TCP server that sends lines.
struct LineServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    listener: Mutex<Option<TcpListener>>,
    clients: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    ended: AtomicBool,
    /// A listener nobody accepts from, and connections that fill its queue.
    ignored: Mutex<Option<(TcpListener, Vec<TcpStream>)>>,
}

impl LineServer {
    fn start() -> Self {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)), BACKLOG);
        let server = Self { address: listener.local_addr().unwrap(), shared: Arc::default() };
        *server.shared.listener.lock().unwrap() = Some(listener);
        let shared = server.shared.clone();
        thread::spawn(move || {
            while !shared.ended.load(Ordering::SeqCst) {
                let accepted = shared.listener.lock().unwrap().as_ref().map(TcpListener::accept);
                if let Some(Ok((client, _))) = accepted {
                    client.set_nonblocking(false).unwrap();
                    shared.clients.lock().unwrap().push(client);
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                } else {
                    thread::sleep(POLL);
                }
            }
        });
        server
    }

    fn properties(&self, delay: &str) -> Vec<(String, String)> {
        [("address", &*self.address.to_string()), ("reconnect.delay", delay), ("reconnect.max.delay", delay)]
            .map(|(key, value)| (format!("tcp-lines.{key}"), value.to_owned()))
            .to_vec()
    }
}

/// Listens without blocking in `accept`.
fn listen(address: SocketAddr, backlog: i32) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(backlog).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

impl Drop for LineServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
    }
}

impl Peer for LineServer {
    fn properties(&self) -> Vec<(String, String)> {
        self.properties("10ms")
    }

    fn slow_reconnect_properties(&self) -> Vec<(String, String)> {
        self.properties("5m")
    }

    fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    fn cut(&self) {
        self.shared.clients.lock().unwrap().clear();
    }

    fn refuse(&self) {
        *self.shared.listener.lock().unwrap() = None;
    }

    fn ignore(&self) {
        self.refuse();
        // Once the queue of a listener is full, the system leaves further attempts without an answer.
        let listener = listen(self.address, 0);
        let mut fillers = Vec::new();
        while let Ok(filler) = TcpStream::connect_timeout(&self.address, Duration::from_millis(100)) {
            fillers.push(filler);
        }
        *self.shared.ignored.lock().unwrap() = Some((listener, fillers));
    }

    fn accept(&self) {
        *self.shared.ignored.lock().unwrap() = None;
        *self.shared.listener.lock().unwrap() = Some(listen(self.address, BACKLOG));
    }
}

impl SourcePeer for LineServer {
    fn send(&self, messages: &[Vec<u8>]) {
        for client in self.shared.clients.lock().unwrap().iter_mut() {
            for message in messages {
                // A client that is gone gets nothing.
                let _ = client.write_all(&[message, &b"\n"[..]].concat());
            }
        }
    }

    fn close(&self) {
        self.cut();
    }
}

struct Files;

impl SinkHarness for Files {
    fn factory(&self) -> &dyn SinkFactory {
        &LineFileFactory
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { backpressure: false, ..Capabilities::local() }
    }

    fn peer(&self) -> Box<dyn SinkPeer> {
        Box::new(LineReader(TempDir::new().unwrap()))
    }
}

/// A file that is read back.
struct LineReader(TempDir);

impl Peer for LineReader {
    fn properties(&self) -> Vec<(String, String)> {
        vec![("line-file.path".to_owned(), self.0.path().join("lines").display().to_string())]
    }
}

impl SinkPeer for LineReader {
    fn received(&self) -> Vec<Vec<u8>> {
        let text = fs::read(self.0.path().join("lines")).unwrap_or_default();
        text.split_inclusive(|&byte| byte == b'\n').map(|line| line.trim_ascii_end().to_vec()).collect()
    }
}
