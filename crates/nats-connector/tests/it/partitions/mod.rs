//! Keys in partitions, and sources that share them.

mod sharing;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use async_nats::jetstream::stream::{Config, RetentionPolicy, Stream};
use eventflux_core::health::ConnectionState;
use eventflux_core::{EventFluxError, MessageMetadata, SourceCallback, ValueRef};
use eventflux_nats_connector::METADATA;
use eventflux_testkit::log_capture::LogCapture;
use eventflux_testkit::nats::NatsServer;
use eventflux_testkit::proxy::ChaosProxy;
use eventflux_testkit::wait::eventually_blocking;

use crate::support::{DEADLINE, QUICK, Registry, TestClient, TestSource, block_on, counted, sink, source};

const LEASE: Duration = Duration::from_secs(2);
const KEYS: usize = 40;

/// A server with a stream in partitions, and what publishes to it.
struct Bench {
    server: NatsServer,
    jetstream: jetstream::Context,
}

impl Bench {
    fn start() -> Self {
        let bench = Self::without_stream();
        bench.create();
        bench
    }

    fn without_stream() -> Self {
        let server = NatsServer::start();
        let client = TestClient::connect(&server).0;
        // It spawns a task.
        let jetstream = block_on(async { jetstream::new(client) });
        Self { server, jetstream }
    }

    fn create(&self) -> Stream {
        let config = Config { name: "TRADES".to_owned(), subjects: vec!["trades.>".to_owned()], ..Config::default() };
        block_on(self.jetstream.create_stream(config)).unwrap()
    }

    /// The numbers of each key in order, by key; each event is `KEY NUMBER`.
    fn publish(&self, numbers: std::ops::Range<usize>, partitions: u32) {
        let sink = sink(
            &self.server.url(),
            &[
                ("nats.subject", "trades.${key}"),
                ("nats.stream", "TRADES"),
                ("partition.by", "key"),
                ("partition.count", &partitions.to_string()),
            ],
        );
        for number in numbers {
            let keys: Vec<_> = (0..KEYS).map(|key| (format!("K{key}"), format!("K{key} {number}"))).collect();
            let texts: Vec<_> = keys
                .iter()
                .map(|(key, _)| [("nats.subject", format!("trades.{key}")), ("partition.by", key.clone())])
                .collect();
            let texts: Vec<_> =
                texts.iter().map(|texts| texts.each_ref().map(|(name, text)| (*name, text.as_str()))).collect();
            let rows: Vec<_> =
                keys.iter().zip(&texts).map(|((_, payload), texts)| (payload.as_str(), &texts[..])).collect();
            block_on(sink.sink.ready());
            sink.publish(&rows).unwrap();
        }
        sink.settle().unwrap();
        assert_eq!(sink.sink.stop(DEADLINE), 0);
    }

    /// To one partition.
    fn store(&self, subject: &str, payloads: &[&str]) {
        block_on(async {
            for payload in payloads {
                let payload = payload.as_bytes().to_vec();
                self.jetstream.publish(subject.to_owned(), payload.into()).await.unwrap().await.unwrap();
            }
        });
    }

    /// What the bucket says of a partition.
    fn record(&self, partition: u32) -> serde_json::Value {
        let value = block_on(async {
            let store = self.jetstream.get_key_value("eventflux-leases-g").await.ok()?;
            store.get(format!("partition.{partition}")).await.ok()?
        });
        value.map(|value| serde_json::from_slice(&value).unwrap()).unwrap_or_default()
    }

    fn waits_for_position(&self, partition: u32, position: u64) {
        eventually_blocking(DEADLINE, || self.record(partition)["position"].as_u64() >= Some(position));
    }
}

fn properties<'a>(partitions: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let base = [
        ("nats.stream", "TRADES"),
        ("nats.subject", "trades.*"),
        ("partition.count", partitions),
        ("partition.group", "g"),
        ("partition.lease", "2s"),
    ];
    let is_new = |key: &str| more.iter().all(|(other, _)| *other != key);
    base.into_iter().filter(|(key, _)| is_new(key)).chain(more.iter().copied()).collect()
}

fn reader(url: &str, partitions: &str) -> TestSource {
    source(url, &properties(partitions, &[]))
}

/// The number of partitions a source holds.
fn held(source: &TestSource) -> u64 {
    counted(&source.context, "eventflux_nats_partitions_held", None)
}

fn waits_to_hold(source: &TestSource, partitions: u64) {
    eventually_blocking(LEASE + DEADLINE, || held(source) == partitions);
}

/// The sequences of what came, with their partitions.
fn sequences(source: &TestSource) -> HashMap<u64, usize> {
    let field = |name| METADATA.iter().position(|spec| spec.name == name).unwrap();
    let (sequence, partition) = (field("sequence"), field("partition"));
    let of = |metadata: Option<MessageMetadata>| {
        let metadata = metadata.unwrap();
        match (metadata.value(sequence), metadata.value(partition)) {
            (ValueRef::Long(sequence), ValueRef::Int(partition)) => (sequence as u64, partition as usize),
            other => panic!("{other:?}"),
        }
    };
    source.recorder.metadata().into_iter().map(of).collect()
}

/// Numbers by key, in the order in which they came.
fn by_key<'a>(texts: impl IntoIterator<Item = &'a String>) -> HashMap<String, Vec<usize>> {
    let mut keys = HashMap::<String, Vec<usize>>::new();
    for text in texts {
        let (key, number) = text.split_once(' ').unwrap();
        keys.entry(key.to_owned()).or_default().push(number.parse().unwrap());
    }
    keys
}

/// Each key has all numbers, in order.
#[track_caller]
fn assert_complete(keys: &HashMap<String, Vec<usize>>, numbers: usize) {
    assert_eq!(keys.len(), KEYS);
    for (key, found) in keys {
        assert_eq!(*found, (0..numbers).collect::<Vec<_>>(), "{key}");
    }
}
