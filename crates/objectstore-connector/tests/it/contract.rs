//! The contract of every sink, as the testkit states it.

use eventflux_core::SinkFactory;
use eventflux_objectstore_connector::ObjectStoreSinkFactory;
use eventflux_testkit::contract::{self, Capabilities, Peer, SinkHarness, SinkPeer};
use tempfile::TempDir;

use crate::support::{files, lines};

#[test]
fn the_sink_keeps_the_contract_with_a_directory() {
    contract::sink(Box::new(Directories));
}

#[cfg(feature = "s3")]
#[test]
fn the_sink_keeps_the_contract_with_s3() {
    contract::sink(Box::new(Buckets));
}

/// Events get there soon, and little may wait.
fn quick(url: &str) -> Vec<(String, String)> {
    [("url", url), ("batch.delay", "20ms"), ("batch.size", "256KiB"), ("queue.bytes", "2MiB")]
        .map(|(key, value)| (format!("objectstore.{key}"), value.to_owned()))
        .to_vec()
}

fn invalid_values() -> Vec<(String, String)> {
    [
        ("objectstore.url", "gs://bucket"),
        ("objectstore.path", "../up"),
        ("objectstore.path.time", "%Q"),
        ("objectstore.extension", "a/b"),
        ("objectstore.batch.size", "0"),
        ("objectstore.batch.delay", "90000s"),
        ("objectstore.queue.bytes", "1"),
        ("objectstore.timeout", "0"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}

struct Directories;

impl SinkHarness for Directories {
    fn factory(&self) -> &dyn SinkFactory {
        &ObjectStoreSinkFactory
    }

    fn capabilities(&self) -> Capabilities {
        // A directory cannot be told to take nothing.
        Capabilities { backpressure: false, ..Capabilities::local() }
    }

    fn peer(&self) -> Box<dyn SinkPeer> {
        Box::new(Directory(tempfile::tempdir().unwrap()))
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        invalid_values()
    }
}

struct Directory(TempDir);

impl Peer for Directory {
    fn properties(&self) -> Vec<(String, String)> {
        quick(&format!("file:{}", self.0.path().join("objects").display()))
    }
}

impl SinkPeer for Directory {
    fn received(&self) -> Vec<Vec<u8>> {
        let unfinished = files(self.0.path()).iter().any(|path| path.to_string_lossy().contains('#'));
        // What is being written is not there yet.
        if unfinished { Vec::new() } else { lines(self.0.path()).into_iter().map(String::into_bytes).collect() }
    }
}

#[cfg(feature = "s3")]
struct Buckets;

#[cfg(feature = "s3")]
impl SinkHarness for Buckets {
    fn factory(&self) -> &dyn SinkFactory {
        &ObjectStoreSinkFactory
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { backpressure: true, ..Capabilities::local() }
    }

    fn peer(&self) -> Box<dyn SinkPeer> {
        Box::new(crate::fake_s3::FakeS3::start())
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        invalid_values()
    }
}

#[cfg(feature = "s3")]
impl Peer for crate::fake_s3::FakeS3 {
    fn properties(&self) -> Vec<(String, String)> {
        let mut pairs = quick("s3://bucket/edge");
        pairs.extend(self.access().map(|(key, value)| (key.to_owned(), value)));
        pairs
    }

    fn refuse(&self) {
        self.answer_with(403);
    }
}

#[cfg(feature = "s3")]
impl SinkPeer for crate::fake_s3::FakeS3 {
    fn received(&self) -> Vec<Vec<u8>> {
        let objects = self.objects();
        let lines = objects.values().flat_map(|body| body.split_inclusive(|byte| *byte == b'\n'));
        lines.map(|line| line.strip_suffix(b"\n").unwrap().to_vec()).collect()
    }

    fn pause(&self) {
        self.hold(true);
    }

    fn resume(&self) {
        self.hold(false);
    }
}
