//! The contract of every source and sink, as the testkit states it, with subjects.

use eventflux_core::{SinkFactory, SourceFactory};
use eventflux_nats_connector::{NatsSinkFactory, NatsSourceFactory};
use eventflux_testkit::contract::{self, Capabilities, SinkHarness, SinkPeer, SourceHarness, SourcePeer};

use crate::support::{IN, NatsPeer, OUT};

#[test]
fn the_source_of_subjects_keeps_the_contract() {
    contract::source(Box::new(Source(NatsSourceFactory::default())));
}

#[test]
fn the_sink_of_subjects_keeps_the_contract() {
    contract::sink(Box::new(Sink(NatsSinkFactory::default())));
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

struct Source(NatsSourceFactory);

impl SourceHarness for Source {
    fn factory(&self) -> &dyn SourceFactory {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::network()
    }

    fn peer(&self) -> Box<dyn SourcePeer> {
        Box::new(NatsPeer::start(&[("nats.subject", IN)]))
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        pairs(&[
            ("nats.subject", "a..b"),
            ("nats.subject", "a,a"),
            ("nats.subject", "a.>.b"),
            ("nats.queue", "two words"),
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
        Box::new(NatsPeer::start(&[("nats.subject", OUT), ("nats.queue.bytes", "1MiB")]))
    }

    fn giving_up_properties(&self) -> Option<Vec<(String, String)>> {
        Some(pairs(&[("nats.reconnect.max.attempts", "2")]))
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        pairs(&[("nats.queue.bytes", "0")])
    }
}
