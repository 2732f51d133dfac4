//! The contract of every source and sink, as the testkit states it, with a stream between the two ends.

use std::sync::Mutex;

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use eventflux_core::{SinkFactory, SourceFactory};
use eventflux_nats_connector::{NatsSinkFactory, NatsSourceFactory};
use eventflux_testkit::contract::{self, Capabilities, Peer, SinkHarness, SinkPeer, SourceHarness, SourcePeer};

use crate::support::{IN, NatsPeer, OUT, block_on};

const STREAM: &str = "CONTRACT";
const CONSUMER: &str = "suite";

#[test]
fn the_source_of_a_stream_keeps_the_contract() {
    contract::source(Box::new(Source(NatsSourceFactory::default())));
}

#[test]
fn the_sink_to_a_stream_keeps_the_contract() {
    contract::sink(Box::new(Sink(NatsSinkFactory::default())));
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A server with a stream.
struct StreamPeer {
    peer: NatsPeer,
    jetstream: jetstream::Context,
    /// What was read of the stream.
    read: Mutex<Vec<Vec<u8>>>,
}

impl StreamPeer {
    fn start(more: &[(&str, &str)]) -> Self {
        let peer = NatsPeer::start(&[&[("nats.stream", STREAM)], more].concat());
        let jetstream = block_on(async { jetstream::new(peer.client.0.clone()) });
        let subjects = vec!["contract.>".to_owned()];
        let config = Config { name: STREAM.to_owned(), subjects, ..Config::default() };
        block_on(jetstream.create_stream(config)).unwrap();
        Self { peer, jetstream, read: Mutex::default() }
    }

    fn stream(&self) -> jetstream::stream::Stream {
        block_on(self.jetstream.get_stream(STREAM)).unwrap()
    }

    fn count(&self) -> u64 {
        self.stream().cached_info().state.messages
    }
}

impl Peer for StreamPeer {
    fn properties(&self) -> Vec<(String, String)> {
        self.peer.properties()
    }

    fn slow_reconnect_properties(&self) -> Vec<(String, String)> {
        self.peer.slow_reconnect_properties()
    }

    fn connections(&self) -> usize {
        self.peer.connections()
    }

    fn cut(&self) {
        self.peer.cut();
    }

    fn refuse(&self) {
        self.peer.refuse();
    }

    fn ignore(&self) {
        self.peer.ignore();
    }

    fn accept(&self) {
        self.peer.accept();
    }
}

impl SourcePeer for StreamPeer {
    fn send(&self, messages: &[Vec<u8>]) {
        block_on(async {
            let mut stored = Vec::new();
            for message in messages {
                stored.push(self.jetstream.publish(IN, message.clone().into()).await.unwrap());
            }
            for stored in stored {
                stored.await.unwrap();
            }
        });
    }

    fn close(&self) {
        self.peer.close();
    }

    fn acknowledged(&self) -> usize {
        let Ok(info) = block_on(self.stream().consumer_info(CONSUMER)) else { return 0 };
        info.ack_floor.stream_sequence as usize
    }
}

impl SinkPeer for StreamPeer {
    fn received(&self) -> Vec<Vec<u8>> {
        let (stream, count) = (self.stream(), self.count());
        let mut read = self.read.lock().unwrap();
        for sequence in read.len() as u64 + 1..=count {
            read.push(block_on(stream.get_raw_message(sequence)).unwrap().payload.to_vec());
        }
        read.clone()
    }

    fn received_count(&self) -> usize {
        self.count() as usize
    }

    fn pause(&self) {
        self.peer.pause();
    }

    fn resume(&self) {
        self.peer.resume();
    }
}

struct Source(NatsSourceFactory);

impl SourceHarness for Source {
    fn factory(&self) -> &dyn SourceFactory {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { acknowledges: true, ..Capabilities::network() }
    }

    fn peer(&self) -> Box<dyn SourcePeer> {
        Box::new(StreamPeer::start(&[("nats.consumer", CONSUMER)]))
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        pairs(&[
            ("nats.stream", "two words"),
            ("nats.subject", "a,b"),
            ("nats.subject", "a..b"),
            ("nats.consumer", "a.b"),
            ("nats.ack.wait", "1ms"),
            ("nats.fetch.bytes", "0"),
            ("nats.stream.create", "true"),
        ])
    }
}

struct Sink(NatsSinkFactory);

impl SinkHarness for Sink {
    fn factory(&self) -> &dyn SinkFactory {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::network()
    }

    fn peer(&self) -> Box<dyn SinkPeer> {
        Box::new(StreamPeer::start(&[("nats.subject", OUT), ("nats.queue.bytes", "1MiB")]))
    }

    fn giving_up_properties(&self) -> Option<Vec<(String, String)>> {
        Some(pairs(&[("nats.reconnect.max.attempts", "2")]))
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        pairs(&[("nats.stream", "a.b"), ("nats.ack.timeout", "0")])
    }
}
