//! The contract of every source, with a stream in partitions.

use async_nats::jetstream;
use async_nats::jetstream::stream::Config;
use eventflux_core::SourceFactory;
use eventflux_nats_connector::NatsSourceFactory;
use eventflux_testkit::contract::{self, Capabilities, Peer, SourceHarness, SourcePeer};

use crate::support::{NatsPeer, block_on};

const STREAM: &str = "CONTRACT";

#[test]
fn the_source_of_partitions_keeps_the_contract() {
    contract::source(Box::new(Source(NatsSourceFactory::default())));
}

/// A server with a stream that has one partition.
struct PartitionPeer {
    peer: NatsPeer,
    jetstream: jetstream::Context,
}

impl Peer for PartitionPeer {
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

impl SourcePeer for PartitionPeer {
    fn send(&self, messages: &[Vec<u8>]) {
        block_on(async {
            for message in messages {
                self.jetstream.publish("part.0", message.clone().into()).await.unwrap().await.unwrap();
            }
        });
    }

    fn close(&self) {
        self.peer.close();
    }

    fn acknowledged(&self) -> usize {
        block_on(async {
            let store = self.jetstream.get_key_value("eventflux-leases-suite").await.ok()?;
            let value = store.get("partition.0").await.ok()??;
            let record: serde_json::Value = serde_json::from_slice(&value).ok()?;
            record["position"].as_u64().map(|next| next as usize - 1)
        })
        .unwrap_or_default()
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
        let peer = NatsPeer::start(&[
            ("nats.stream", STREAM),
            ("nats.subject", "part"),
            ("partition.count", "1"),
            ("partition.group", "suite"),
            ("partition.lease", "1s"),
        ]);
        let jetstream = block_on(async { jetstream::new(peer.client.0.clone()) });
        let config = Config { name: STREAM.to_owned(), subjects: vec!["part.*".to_owned()], ..Config::default() };
        block_on(jetstream.create_stream(config)).unwrap();
        Box::new(PartitionPeer { peer, jetstream })
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        [
            ("nats.subject", "a.>"),
            ("nats.subject", "a,b"),
            ("partition.group", "a.b"),
            ("partition.lease", "1ms"),
            ("nats.start", "last_per_subject"),
            ("nats.fetch.bytes", "0"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }
}
