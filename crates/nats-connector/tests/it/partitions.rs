//! Keys in partitions, and sources that share them.

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

#[test]
fn keys_are_put_where_the_server_itself_would_put_them() {
    let mapping = r#"mappings = { "mapped.*": "own.{{wildcard(1)}}.{{partition(16,1)}}" }"#;
    let server = NatsServer::start_with(mapping);
    let client = TestClient::connect(&server);
    let (own, ours) = (client.subscribe("own.>"), client.subscribe("ours.>"));
    let sink =
        sink(&server.url(), &[("nats.subject", "ours.${key}"), ("partition.by", "key"), ("partition.count", "16")]);
    let keys: Vec<_> = (0..200).map(|key| format!("SYM-{key}-é")).collect();
    for key in &keys {
        client.publish(&format!("mapped.{key}"), key.clone());
        let subject = format!("ours.{key}");
        sink.publish(&[(key, &[("nats.subject", &subject), ("partition.by", key)])]).unwrap();
    }
    sink.settle().unwrap();
    let subjects = |messages: Vec<async_nats::Message>| -> Vec<String> {
        let tails = messages.iter().map(|message| message.subject.split_once('.').unwrap().1.to_owned());
        tails.collect()
    };
    let (mut own, mut ours) = (subjects(own.wait_for(200)), subjects(ours.wait_for(200)));
    own.sort_unstable();
    ours.sort_unstable();
    assert_eq!(own, ours);
}

#[test]
fn one_source_reads_all_partitions_with_the_order_of_each_key_and_goes_on_where_it_stopped() {
    let bench = Bench::start();
    bench.publish(0..50, 8);
    let url = bench.server.url();
    let mut first = reader(&url, "8");
    let texts = first.wait_for(50 * KEYS);
    assert_complete(&by_key(&texts), 50);
    assert_eq!(held(&first), 8);
    let detail = first.context.health.current().detail.unwrap();
    assert_eq!(detail, "holds partitions 0-7 of 8; 1 instance");
    for message in 0..texts.len() {
        let subject = first.metadata(message, "subject").unwrap();
        let partition = first.metadata(message, "partition").unwrap();
        assert_eq!(format!("Int({})", subject.rsplit_once('.').unwrap().1), partition);
    }
    assert_eq!(first.metadata(0, "stream").as_deref(), Some("TRADES"));
    first.source.stop(DEADLINE);
    bench.publish(50..60, 8);
    let second = reader(&url, "8");
    assert_eq!(by_key(&second.wait_for(10 * KEYS))["K7"], (50..60).collect::<Vec<_>>());
    assert_eq!(second.recorder.count(), 10 * KEYS, "nothing comes twice after a clean stop");
}

#[test]
fn sources_share_partitions_and_what_a_dead_one_held_moves_with_the_order_of_each_key() {
    const NUMBERS: usize = 150;
    let bench = Bench::start();
    let proxy = ChaosProxy::start(bench.server.address());
    let (near, far) = (bench.server.url(), format!("nats://{}", proxy.address()));
    let doomed = reader(&far, "9");
    waits_to_hold(&doomed, 9);
    let others = [reader(&near, "9"), reader(&near, "9")];
    others.iter().for_each(|other| waits_to_hold(other, 3));
    waits_to_hold(&doomed, 3);
    bench.publish(0..NUMBERS / 3, 9);
    eventually_blocking(DEADLINE, || {
        others.iter().chain([&doomed]).map(|source| source.recorder.count()).sum::<usize>() >= NUMBERS / 3 * KEYS
    });
    let stored = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| bench.publish(NUMBERS / 3..NUMBERS, 9));
        eventually_blocking(DEADLINE, || doomed.recorder.count() > NUMBERS / 3 * KEYS / 9);
        let stored: Vec<_> = (0..9).map(|partition| bench.record(partition)["position"].as_u64().unwrap()).collect();
        // No goodbye comes through.
        proxy.blackhole();
        let began = Instant::now();
        eventually_blocking(LEASE + DEADLINE, || others.iter().map(held).sum::<u64>() == 9);
        let taken = began.elapsed();
        assert!(taken < LEASE + Duration::from_secs(2), "{taken:?}");
        publishing.join().unwrap();
        stored
    });
    let complete = || {
        let texts: Vec<_> = others.iter().chain([&doomed]).flat_map(TestSource::texts).collect();
        by_key(&texts).values().all(|numbers| (0..NUMBERS).all(|number| numbers.contains(&number)))
    };
    eventually_blocking(DEADLINE, complete);
    assert_eq!(held(&doomed), 0, "it stopped by itself");
    let before = sequences(&doomed);
    for (sequence, partition) in others.iter().flat_map(sequences) {
        let is_repeated = before.contains_key(&sequence);
        assert!(!is_repeated || sequence >= stored[partition], "{sequence} of {partition} was stored: {stored:?}");
    }
    let doomed = by_key(&doomed.texts());
    for other in &others {
        for (key, numbers) in by_key(&other.texts()) {
            // It may have held the partition, given it away to one that is alive, and had it back: never backwards.
            assert!(numbers.is_sorted(), "{key}: {numbers:?}");
            let begun = doomed.get(&key).and_then(|numbers| numbers.last());
            let is_taken_over = begun.is_some_and(|last| numbers.iter().any(|number| number > last));
            let is_behind = begun.is_none_or(|last| numbers.iter().all(|number| number > last));
            assert!(is_taken_over || is_behind, "{key}: {numbers:?} after {begun:?}");
        }
    }
}

#[test]
fn what_is_not_settled_comes_again_and_what_is_settled_does_not() {
    let bench = Bench::start();
    let proxy = ChaosProxy::start(bench.server.address());
    let url = format!("nats://{}", proxy.address());
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("1", &[])].concat();
    let mut first = Registry::new().source(&raw, &[]);
    first.recorder.settle(Ok(2));
    first.start().unwrap();
    for payload in ["a", "b", "c", "d"] {
        bench.store("trades.x.0", &[payload]);
        eventually_blocking(DEADLINE, || first.texts().last().is_some_and(|last| last == payload));
    }
    bench.waits_for_position(0, 3);
    proxy.blackhole();
    let second = reader(&bench.server.url(), "1");
    assert_eq!(second.wait_for(2), ["c", "d"]);
    assert_eq!(bench.record(0)["position"].as_u64().map(|position| position >= 3), Some(true));
}

#[test]
fn a_partition_is_not_given_away_before_what_was_begun_is_settled() {
    let bench = Bench::start();
    let url = bench.server.url();
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("2", &[])].concat();
    let mut first = Registry::new().source(&raw, &[]);
    first.recorder.settle(Ok(0));
    first.start().unwrap();
    waits_to_hold(&first, 2);
    bench.store("trades.x.0", &["a"]);
    bench.store("trades.x.1", &["b"]);
    first.wait_for(2);
    let second = reader(&url, "2");
    eventually_blocking(DEADLINE, || counted(&second.context, "eventflux_nats_partitions_members", None) == 1);
    let begun = Instant::now();
    eventually_blocking(LEASE + DEADLINE, || begun.elapsed() > LEASE && held(&first) == 2);
    assert_eq!(held(&second), 0);
    first.recorder.settle(Ok(usize::MAX));
    waits_to_hold(&second, 1);
    waits_to_hold(&first, 1);
    bench.store("trades.x.0", &["c"]);
    bench.store("trades.x.1", &["d"]);
    eventually_blocking(DEADLINE, || first.recorder.count() + second.recorder.count() == 4);
    assert_eq!((first.recorder.count(), second.recorder.count()), (3, 1), "nothing came twice");
}

/// A pipeline that takes as long for a delivery as the test wants.
struct Slow {
    deliveries: Mutex<Vec<usize>>,
    go_on: Mutex<mpsc::Receiver<()>>,
}

impl SourceCallback for Slow {
    fn on_data(&self, _: &[u8]) -> Result<(), EventFluxError> {
        self.deliveries.lock().unwrap().push(1);
        // The test ends when it does not say so.
        let _ = self.go_on.lock().unwrap().recv();
        Ok(())
    }

    fn on_error(&self, error: EventFluxError, _: &[u8]) -> Result<(), EventFluxError> {
        Err(error)
    }

    fn on_end(&self, _: Result<(), EventFluxError>) {}
}

#[test]
fn a_delivery_that_takes_longer_than_a_lease_does_not_cost_the_partition() {
    let bench = Bench::start();
    let url = bench.server.url();
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("1", &[])].concat();
    let mut slow = Registry::new().source(&raw, &[]);
    let (go_on, told) = mpsc::channel();
    let pipeline = Arc::new(Slow { deliveries: Mutex::default(), go_on: Mutex::new(told) });
    slow.source.start(pipeline.clone()).unwrap();
    waits_to_hold(&slow, 1);
    bench.store("trades.x.0", &["a"]);
    eventually_blocking(DEADLINE, || pipeline.deliveries.lock().unwrap().len() == 1);
    let other = reader(&url, "1");
    let began = Instant::now();
    eventually_blocking(DEADLINE, || began.elapsed() > 2 * LEASE);
    assert_eq!((held(&other), other.recorder.count()), (0, 0));
    go_on.send(()).unwrap();
    bench.waits_for_position(0, 2);
    drop(go_on);
    slow.source.stop(DEADLINE);
    waits_to_hold(&other, 1);
    bench.store("trades.x.0", &["b"]);
    assert_eq!(other.wait_for(1), ["b"]);
}

#[test]
fn nats_that_is_away_for_longer_than_a_lease_stops_the_source_which_then_goes_on() {
    let bench = Bench::start();
    bench.publish(0..5, 4);
    let source = reader(&bench.server.url(), "4");
    source.wait_for(5 * KEYS);
    (0..4)
        .for_each(|partition| eventually_blocking(DEADLINE, || bench.record(partition)["position"].as_u64() > Some(1)));
    bench.server.kill();
    waits_to_hold(&source, 0);
    bench.server.restart();
    waits_to_hold(&source, 4);
    bench.publish(5..10, 4);
    let complete = || by_key(&source.texts()).values().all(|numbers| numbers.contains(&9));
    eventually_blocking(DEADLINE, complete);
    for (key, mut numbers) in by_key(&source.texts()) {
        numbers.dedup();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1] || pair[1] < pair[0]), "{key}: {numbers:?}");
        assert_eq!(numbers.last(), Some(&9));
    }
}

#[test]
fn a_short_interruption_costs_nothing_and_repeats_nothing() {
    let bench = Bench::start();
    let proxy = ChaosProxy::start(bench.server.address());
    let source = reader(&format!("nats://{}", proxy.address()), "4");
    waits_to_hold(&source, 4);
    bench.publish(0..5, 4);
    source.wait_for(5 * KEYS);
    proxy.reset();
    bench.publish(5..10, 4);
    assert_complete(&by_key(&source.wait_for(10 * KEYS)), 10);
    assert_eq!(counted(&source.context, "eventflux_nats_partitions_moved_total", None), 4, "all are held throughout");
}

#[test]
fn a_stream_that_is_deleted_and_made_again_is_read_from_its_beginning() {
    let bench = Bench::start();
    bench.store("trades.x.0", &["a", "b", "c"]);
    let source = reader(&bench.server.url(), "1");
    source.wait_for(3);
    bench.waits_for_position(0, 4);
    block_on(bench.jetstream.delete_stream("TRADES")).unwrap();
    source.wait_for_state(ConnectionState::Reconnecting);
    assert!(source.context.health.current().detail.is_some());
    bench.create();
    bench.store("trades.x.0", &["d"]);
    assert_eq!(source.wait_for(4), ["a", "b", "c", "d"]);
    source.wait_for_state(ConnectionState::Connected);
}

#[test]
fn a_stream_that_is_replaced_at_once_is_read_from_its_beginning() {
    let bench = Bench::start();
    bench.store("trades.x.0", &["a", "b", "c"]);
    let proxy = ChaosProxy::start(bench.server.address());
    let source = reader(&format!("nats://{}", proxy.address()), "1");
    source.wait_for(3);
    bench.waits_for_position(0, 4);
    // The source sees both at once, and its connection lasts.
    proxy.freeze();
    block_on(async {
        bench.jetstream.delete_stream("TRADES").await.unwrap();
        let config = Config { name: "TRADES".to_owned(), subjects: vec!["trades.>".to_owned()], ..Config::default() };
        bench.jetstream.create_stream(config).await.unwrap();
    });
    bench.store("trades.x.0", &["d", "e"]);
    proxy.resume().blocking();
    assert_eq!(source.wait_for(5), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_stream_that_is_older_than_what_the_positions_are_of_is_read_all_the_same() {
    let bench = Bench::start();
    let url = bench.server.url();
    bench.store("trades.x.0", &["a", "b"]);
    let mut first = reader(&url, "2");
    first.wait_for(2);
    bench.waits_for_position(0, 3);
    let epoch = bench.record(0)["epoch"].as_u64().unwrap();
    first.source.stop(DEADLINE);
    for partition in 0..2 {
        let record = serde_json::json!({"owner": null, "position": 900, "epoch": epoch + 1_000, "write": 1});
        block_on(async {
            let store = bench.jetstream.get_key_value("eventflux-leases-g").await.unwrap();
            store.put(format!("partition.{partition}"), record.to_string().into()).await.unwrap();
        });
    }
    let logs = LogCapture::start().containing("the stream is older");
    let second = reader(&url, "2");
    waits_to_hold(&second, 2);
    assert_eq!(second.wait_for(2), ["a", "b"]);
    bench.store("trades.x.1", &["c"]);
    assert_eq!(second.wait_for(3), ["a", "b", "c"]);
    assert_eq!((0..2).map(|partition| bench.record(partition)["epoch"].as_u64()).collect::<Vec<_>>(), [Some(epoch); 2]);
    assert_eq!(logs.lines().len(), 1);
    // Another one neither minds nor begins again.
    let third = reader(&url, "2");
    waits_to_hold(&third, 1);
    bench.store("trades.x.0", &["d"]);
    bench.store("trades.x.1", &["e"]);
    eventually_blocking(DEADLINE, || second.recorder.count() + third.recorder.count() == 5);
}

#[test]
fn messages_that_were_removed_before_they_were_read_are_a_gap() {
    let bench = Bench::start();
    bench.store("trades.x.0", &["a", "b"]);
    let url = bench.server.url();
    let mut first = reader(&url, "1");
    first.wait_for(2);
    first.source.stop(DEADLINE);
    bench.store("trades.x.0", &["c", "d", "e"]);
    block_on(async { bench.jetstream.get_stream("TRADES").await.unwrap().purge().sequence(5).await }).unwrap();
    let logs = LogCapture::start().containing("messages may be missing");
    let second = reader(&url, "1");
    assert_eq!(second.wait_for(1), ["e"]);
    assert_eq!(second.context.metrics.gaps.value(), 1);
    assert_eq!(logs.lines().len(), 1);
}

#[test]
fn a_partition_without_messages_does_not_fall_behind_the_stream() {
    let bench = Bench::start();
    let url = bench.server.url();
    let mut first = reader(&url, "2");
    bench.store("trades.x.0", &["a", "b", "c"]);
    first.wait_for(3);
    bench.waits_for_position(1, 4);
    first.source.stop(DEADLINE);
    block_on(async { bench.jetstream.get_stream("TRADES").await.unwrap().purge().await }).unwrap();
    let second = reader(&url, "2");
    waits_to_hold(&second, 2);
    bench.store("trades.x.1", &["d"]);
    assert_eq!(second.wait_for(1), ["d"]);
    assert_eq!(second.context.metrics.gaps.value(), 0);
}

#[test]
fn partitions_that_nobody_has_read_begin_where_it_is_said() {
    let bench = Bench::start();
    bench.store("trades.x.0", &["a", "b", "c"]);
    let url = bench.server.url();
    let begins = |group: &'static str, more: &[(&'static str, &'static str)]| {
        let source = source(&url, &properties("1", &[more, &[("partition.group", group)]].concat()));
        waits_to_hold(&source, 1);
        source
    };
    let new = begins("new", &[("nats.start", "new")]);
    let sources = [
        (begins("all", &[]), &["a", "b", "c", "d"][..]),
        (begins("last", &[("nats.start", "last")]), &["c", "d"]),
        (begins("sequence", &[("nats.start", "sequence"), ("nats.start.sequence", "2")]), &["b", "c", "d"]),
        (begins("past", &[("nats.start", "time"), ("nats.start.time", "2020-01-01T00:00:00Z")]), &["a", "b", "c", "d"]),
    ];
    bench.store("trades.x.0", &["d"]);
    assert_eq!(new.wait_for(1), ["d"]);
    for (source, expected) in sources {
        assert_eq!(source.wait_for(expected.len()), expected);
    }
}

#[test]
fn a_message_that_is_larger_than_the_share_of_its_partition_comes() {
    let bench = Bench::start();
    let large = "x".repeat(200_000);
    bench.store("trades.x.0", &["a", &large, "b"]);
    let source = source(&bench.server.url(), &properties("1", &[("nats.fetch.bytes", "10KiB")]));
    assert_eq!(source.wait_for(3), ["a", &large, "b"]);
}

#[test]
fn what_is_delivered_and_not_settled_is_bounded() {
    let bench = Bench::start();
    let payloads: Vec<_> = (0..500).map(|number| number.to_string()).collect();
    bench.store("trades.x.0", &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    let more = [("nats.max.ack.pending", "100"), ("nats.fetch.messages", "20")];
    let url = bench.server.url();
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("1", &more)].concat();
    let mut source = Registry::new().source(&raw, &[]);
    source.recorder.settle(Ok(0));
    source.start().unwrap();
    source.wait_for(100);
    bench.waits_for_position(0, 1);
    assert!((100..120).contains(&source.recorder.count()), "{}", source.recorder.count());
    source.recorder.settle(Ok(usize::MAX));
    assert_eq!(source.wait_for(500), payloads);
}

#[test]
fn what_waits_for_the_pipeline_is_bounded_by_bytes_too() {
    let bench = Bench::start();
    let payloads: Vec<_> = (0..100).map(|number| format!("{number:10240}")).collect();
    let url = bench.server.url();
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("1", &[("nats.fetch.bytes", "64KiB")])].concat();
    let mut source = Registry::new().source(&raw, &[]);
    bench.store("trades.x.0", &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    source.recorder.close_gate();
    source.start().unwrap();
    let pending = || counted(&source.context, "eventflux_nats_partitions_pending", None);
    eventually_blocking(DEADLINE, || (1..100).contains(&pending()));
    let began = Instant::now();
    // Longer than a pull waits at the server.
    eventually_blocking(DEADLINE, || began.elapsed() > Duration::from_millis(1_500));
    assert!((70..100).contains(&pending()), "{}", pending());
    source.recorder.open_gate();
    assert_eq!(source.wait_for(100), payloads);
}

#[test]
fn a_source_that_begins_again_is_done_when_it_is_told_to_stop_and_not_later() {
    let bench = Bench::start();
    let url = bench.server.url();
    let raw = [&[("nats.url", &*url)], &QUICK[..], &properties("1", &[])].concat();
    let mut source = Registry::new().source(&raw, &[]);
    source.recorder.settle(Ok(0));
    source.start().unwrap();
    bench.store("trades.x.0", &["a"]);
    source.wait_for(1);
    let consumers =
        || block_on(async { bench.jetstream.get_stream("TRADES").await.unwrap().cached_info().state.consumer_count });
    eventually_blocking(DEADLINE, || consumers() == 1);
    // Another session is needed, and the present one waits for what is not settled.
    block_on(async {
        let store = bench.jetstream.get_key_value("eventflux-leases-g").await.unwrap();
        let record = serde_json::json!({"owner": null, "position": 1, "epoch": u64::MAX, "write": 1});
        store.put("partition.0", record.to_string().into()).await.unwrap();
    });
    eventually_blocking(DEADLINE, || held(&source) == 0);
    let began = Instant::now();
    source.source.stop(Duration::from_secs(1));
    eventually_blocking(DEADLINE, || !source.recorder.ends().is_empty());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_stream_that_forgets_what_was_read_is_refused() {
    let bench = Bench::without_stream();
    let config = Config {
        name: "TRADES".to_owned(),
        subjects: vec!["trades.>".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        ..Config::default()
    };
    block_on(bench.jetstream.create_stream(config)).unwrap();
    let source = reader(&bench.server.url(), "1");
    source.wait_for_state(ConnectionState::Failed);
    let ends = source.recorder.ends();
    let error = ends[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("'nats.stream'") && error.contains("workqueue"), "{error}");
}

#[test]
fn a_source_that_counts_on_fewer_partitions_than_there_are_ends_instead_of_missing_some() {
    let bench = Bench::start();
    bench.publish(0..1, 16);
    let reader = reader(&bench.server.url(), "8");
    reader.wait_for_state(ConnectionState::Failed);
    eventually_blocking(DEADLINE, || !reader.recorder.ends().is_empty());
    let error = reader.recorder.ends()[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("'partition.count'") && error.contains("'16'"), "{error}");
}

#[test]
fn a_stream_is_created_with_the_subjects_of_all_partitions() {
    let bench = Bench::without_stream();
    let source = source(&bench.server.url(), &properties("2", &[("nats.stream.create", "true")]));
    waits_to_hold(&source, 2);
    let stream = block_on(bench.jetstream.get_stream("TRADES")).unwrap();
    assert_eq!(stream.cached_info().config.subjects, ["trades.*.*"]);
    bench.store("trades.x.1", &["a"]);
    assert_eq!(source.wait_for(1), ["a"]);
}

#[test]
fn a_thousand_partitions_are_held_by_one_source() {
    let bench = Bench::start();
    let source = source(&bench.server.url(), &properties("1024", &[("partition.lease", "5s")]));
    waits_to_hold(&source, 1024);
    bench.publish(0..20, 1024);
    assert_complete(&by_key(&source.wait_for(20 * KEYS)), 20);
    let began = Instant::now();
    // Longer than a lease: all are renewed in time.
    eventually_blocking(DEADLINE, || began.elapsed() > Duration::from_secs(6));
    assert_eq!(held(&source), 1024);
    assert_eq!(counted(&source.context, "eventflux_nats_partitions_moved_total", None), 1024);
}
