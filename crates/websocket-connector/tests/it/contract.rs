//! The contract of every source and sink, as the testkit states it.

use std::time::Duration;

use bytes::Bytes;
use eventflux_core::{SinkFactory, SourceFactory};
use eventflux_testkit::contract::{
    self, Capabilities, Peer, SecretProperty, SinkHarness, SinkPeer, SourceHarness, SourcePeer,
};
use eventflux_testkit::peer::{Message, Script, ScriptedPeer};
use eventflux_websocket_connector::{WebSocketSinkFactory, WebSocketSourceFactory};

/// Long enough for a source that does not read to be told so.
const SENDING: Duration = Duration::from_secs(30);

struct Server(ScriptedPeer);

impl Server {
    fn start() -> Self {
        Self(ScriptedPeer::builder().receive_buffer(64 << 10).start())
    }

    fn with_delay(&self, delay: &str) -> Vec<(String, String)> {
        [
            ("websocket.url", self.0.url()),
            ("websocket.reconnect.delay.ms", delay),
            ("websocket.reconnect.max.delay.ms", delay),
            ("websocket.reconnect.max.attempts", "-1"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }
}

impl Peer for Server {
    fn properties(&self) -> Vec<(String, String)> {
        self.with_delay("10")
    }

    fn slow_reconnect_properties(&self) -> Vec<(String, String)> {
        // The pause is random up to this: a day makes less than a minute unlikely.
        self.with_delay("86400000")
    }

    fn connections(&self) -> usize {
        self.0.record().handshakes.len()
    }

    fn cut(&self) {
        self.0.cut();
    }

    fn refuse(&self) {
        self.0.refuse_connections().blocking();
    }

    fn ignore(&self) {
        self.0.ignore_connections().blocking();
    }

    fn accept(&self) {
        self.0.accept_connections().blocking();
    }
}

impl SourcePeer for Server {
    fn send(&self, messages: &[Vec<u8>]) {
        let messages = messages.iter().map(|message| Message::Binary(Bytes::copy_from_slice(message)));
        let _ = self.0.play_on_all(Script::new().within(SENDING).send_all(messages)).within(SENDING).blocking_result();
    }

    fn close(&self) {
        let _ = self.0.play_on_all(Script::new().close(1000, "")).blocking_result();
    }
}

impl SinkPeer for Server {
    fn received(&self) -> Vec<Vec<u8>> {
        self.0.messages().iter().map(|message| message.as_bytes().to_vec()).collect()
    }

    fn pause(&self) {
        let _ = self.0.play_on_all(Script::new().stop_reading()).blocking_result();
    }

    fn resume(&self) {
        let _ = self.0.play_on_all(Script::new().resume_reading()).blocking_result();
    }
}

fn secret_url(peer: &dyn Peer) -> Vec<SecretProperty> {
    let url = peer.properties().swap_remove(0).1;
    vec![SecretProperty {
        key: "websocket.url".to_owned(),
        value: format!("{url}/?token=contract-secret-token"),
        secret: "contract-secret-token".to_owned(),
    }]
}

fn invalid_values() -> Vec<(String, String)> {
    [
        ("websocket.connect.timeout", "0"),
        ("websocket.subprotocol", "a b"),
        ("websocket.headers.Host", "x"),
        ("websocket.max.message.size", "0"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}

struct Source(WebSocketSourceFactory);

impl SourceHarness for Source {
    fn factory(&self) -> &dyn SourceFactory {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::network()
    }

    fn peer(&self) -> Box<dyn SourcePeer> {
        Box::new(Server::start())
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        invalid_values()
    }

    fn secrets(&self, peer: &dyn SourcePeer) -> Vec<SecretProperty> {
        secret_url(peer)
    }
}

struct Sink(WebSocketSinkFactory);

impl SinkHarness for Sink {
    fn factory(&self) -> &dyn SinkFactory {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::network()
    }

    fn peer(&self) -> Box<dyn SinkPeer> {
        Box::new(Server::start())
    }

    fn giving_up_properties(&self) -> Option<Vec<(String, String)>> {
        Some(vec![("websocket.reconnect.max.attempts".to_owned(), "2".to_owned())])
    }

    fn invalid_values(&self) -> Vec<(String, String)> {
        invalid_values()
    }

    fn secrets(&self, peer: &dyn SinkPeer) -> Vec<SecretProperty> {
        secret_url(peer)
    }
}

#[test]
fn the_client_source_keeps_the_contract() {
    contract::source(Box::new(Source(WebSocketSourceFactory::default())));
}

#[test]
fn the_client_sink_keeps_the_contract() {
    contract::sink(Box::new(Sink(WebSocketSinkFactory::default())));
}
