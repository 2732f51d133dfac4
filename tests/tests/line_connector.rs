//! The connector of `docs/writing-a-connector.md` keeps the contract.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use eventflux_core::{SinkFactory, SourceFactory};
use eventflux_testkit::contract::{self, Capabilities, Peer, SinkHarness, SinkPeer, SourceHarness, SourcePeer};
use eventflux_tests::line_connector::{LineFileFactory, TcpLinesFactory};
use tempfile::TempDir;

#[test]
fn the_source_keeps_the_contract() {
    contract::source(Box::new(Lines));
}

#[test]
fn the_sink_keeps_the_contract() {
    contract::sink(Box::new(Files));
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
    clients: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    refusing: AtomicBool,
    ended: AtomicBool,
}

impl LineServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::default(),
        };
        let shared = server.shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.ended.load(Ordering::SeqCst) {
                    return;
                }
                if !shared.refusing.load(Ordering::SeqCst) {
                    shared.clients.lock().unwrap().push(client);
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        server
    }

    fn properties(&self, delay: &str) -> Vec<(String, String)> {
        [
            ("address", &*self.address.to_string()),
            ("reconnect.delay", delay),
            ("reconnect.max.delay", delay),
        ]
        .map(|(key, value)| (format!("tcp-lines.{key}"), value.to_owned()))
        .to_vec()
    }
}

impl Drop for LineServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
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
        self.shared.refusing.store(true, Ordering::SeqCst);
    }

    fn accept(&self) {
        self.shared.refusing.store(false, Ordering::SeqCst);
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
        Capabilities {
            backpressure: false,
            ..Capabilities::local()
        }
    }

    fn peer(&self) -> Box<dyn SinkPeer> {
        Box::new(LineReader(TempDir::new().unwrap()))
    }
}

/// A file that is read back.
struct LineReader(TempDir);

impl Peer for LineReader {
    fn properties(&self) -> Vec<(String, String)> {
        vec![(
            "line-file.path".to_owned(),
            self.0.path().join("lines").display().to_string(),
        )]
    }
}

impl SinkPeer for LineReader {
    fn received(&self) -> Vec<Vec<u8>> {
        let text = fs::read(self.0.path().join("lines")).unwrap_or_default();
        text.split_inclusive(|&byte| byte == b'\n')
            .map(|line| line.trim_ascii_end().to_vec())
            .collect()
    }
}
