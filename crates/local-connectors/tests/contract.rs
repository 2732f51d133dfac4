//! The shared contract suite, run against every connector of this crate.

// Clippy lets tests unwrap, but not what tests call.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use eventflux_core::{SinkFactory, SourceFactory};
use eventflux_local_connectors::blackhole::BlackholeSinkFactory;
use eventflux_local_connectors::file::FileSinkFactory;
use eventflux_local_connectors::generator::GeneratorSourceFactory;
use eventflux_local_connectors::log::LogSinkFactory;
use eventflux_local_connectors::replay::ReplaySourceFactory;
use eventflux_testkit::contract::{self, Capabilities, Feed, Peer, SinkHarness, SinkPeer, SourceHarness, SourcePeer};
use eventflux_testkit::log_capture::LogCapture;
use tempfile::TempDir;

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A directory with the one file that is replayed, or written.
struct Directory {
    directory: TempDir,
    file: Mutex<Vec<u8>>,
}

impl Directory {
    fn new() -> Self {
        let directory = Self { directory: tempfile::tempdir().unwrap(), file: Mutex::default() };
        fs::write(directory.path(), b"").unwrap();
        directory
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("lines")
    }
}

struct Replay;

impl SourceHarness for Replay {
    fn factory(&self) -> &dyn SourceFactory {
        &ReplaySourceFactory
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::local()
    }

    fn peer(&self) -> Box<dyn SourcePeer> {
        Box::new(Directory::new())
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        pairs(&[("replay.rate", "quick"), ("replay.max.line.size", "0")])
    }
}

impl Peer for Directory {
    fn properties(&self) -> Vec<(String, String)> {
        pairs(&[("replay.file", self.path().to_str().unwrap()), ("replay.rate", "max")])
    }
}

impl SourcePeer for Directory {
    fn send(&self, messages: &[Vec<u8>]) {
        let mut file = self.file.lock().unwrap();
        for message in messages {
            file.extend_from_slice(message);
            file.push(b'\n');
        }
        fs::write(self.path(), &*file).unwrap();
    }
}

struct Generator;

impl SourceHarness for Generator {
    fn factory(&self) -> &dyn SourceFactory {
        &GeneratorSourceFactory
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { feed: Feed::Own, ..Capabilities::local() }
    }

    fn peer(&self) -> Box<dyn SourcePeer> {
        Box::new(Nobody)
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        pairs(&[("generator.rate", "quick"), ("generator.template", "${nothing}")])
    }
}

/// There is nobody at the other end.
struct Nobody;

impl Peer for Nobody {
    fn properties(&self) -> Vec<(String, String)> {
        pairs(&[("generator.template", "${seq}"), ("generator.rate", "1000")])
    }
}

impl SourcePeer for Nobody {
    fn send(&self, _: &[Vec<u8>]) {}
}

/// What the local sinks are able to do: none of them has a peer that can be told to take nothing.
fn sink_capabilities() -> Capabilities {
    Capabilities { backpressure: false, ..Capabilities::local() }
}

struct File;

impl SinkHarness for File {
    fn factory(&self) -> &dyn SinkFactory {
        &FileSinkFactory
    }

    fn capabilities(&self) -> Capabilities {
        sink_capabilities()
    }

    fn peer(&self) -> Box<dyn SinkPeer> {
        Box::new(Reader(Directory::new()))
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        pairs(&[("file.path", "out/")])
    }
}

struct Reader(Directory);

impl Peer for Reader {
    fn properties(&self) -> Vec<(String, String)> {
        pairs(&[("file.path", self.0.path().to_str().unwrap())])
    }
}

impl SinkPeer for Reader {
    fn received(&self) -> Vec<Vec<u8>> {
        let text = fs::read_to_string(self.0.path()).unwrap();
        text.lines().map(|line| line.as_bytes().to_vec()).collect()
    }
}

struct Log;

impl SinkHarness for Log {
    fn factory(&self) -> &dyn SinkFactory {
        &LogSinkFactory
    }

    fn capabilities(&self) -> Capabilities {
        sink_capabilities()
    }

    fn peer(&self) -> Box<dyn SinkPeer> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let prefix = format!("contract {}> ", NEXT.fetch_add(1, Ordering::Relaxed));
        let capture = LogCapture::start().containing(prefix.clone());
        Box::new(Logbook { prefix, capture })
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        pairs(&[("log.max.line.size", "0")])
    }
}

struct Logbook {
    prefix: String,
    capture: LogCapture,
}

impl Peer for Logbook {
    fn properties(&self) -> Vec<(String, String)> {
        pairs(&[("log.target", "log"), ("log.prefix", &self.prefix)])
    }
}

impl SinkPeer for Logbook {
    fn received(&self) -> Vec<Vec<u8>> {
        let payload = |message: &str| message.strip_prefix(&self.prefix).map(|payload| payload.as_bytes().to_vec());
        self.capture.lines().iter().filter_map(|line| payload(&line.message)).collect()
    }
}

struct Blackhole;

impl SinkHarness for Blackhole {
    fn factory(&self) -> &dyn SinkFactory {
        &BlackholeSinkFactory
    }

    fn capabilities(&self) -> Capabilities {
        sink_capabilities()
    }

    fn peer(&self) -> Box<dyn SinkPeer> {
        Box::new(Void)
    }
}

struct Void;

impl Peer for Void {
    fn properties(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

impl SinkPeer for Void {
    fn received(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

#[test]
fn the_replay_source_keeps_the_contract() {
    contract::source(Box::new(Replay));
}

#[test]
fn the_generator_source_keeps_the_contract() {
    contract::source(Box::new(Generator));
}

#[test]
fn the_file_sink_keeps_the_contract() {
    contract::sink(Box::new(File));
}

#[test]
fn the_log_sink_keeps_the_contract() {
    contract::sink(Box::new(Log));
}

#[test]
fn the_blackhole_sink_keeps_the_contract_but_delivers_nothing() {
    let delivers = [
        "a_clone_is_independent",
        "delivers_everything",
        "keeps_the_order",
        "delivers_what_it_accepted_before_stop_returns",
    ];
    for check in contract::sink_checks().filter(|check| !delivers.contains(check)) {
        contract::sink_check(Box::new(Blackhole), check).assert_kept();
    }
}
